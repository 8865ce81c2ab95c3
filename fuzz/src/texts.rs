//! Traces and recordings, which anybody may hand to `cargo sim replay`: whatever they say, reading them ends, in a value
//! or in one sentence that names the file.

use std::sync::OnceLock;

use decdn_recording::{Chained, Reader};
use decdn_sim::{
    scenario::{self, Scenario},
    trace,
};

/// What a file is called in its sentences.
const NAME: &str = "fuzzed";
/// Inputs that begin with this byte are taken as they are, the others as lines that still lack their hashes: nothing
/// behind a hash is reached by chance.
const RAW: u8 = 0;

fn one_sentence(wrong: &str) {
    assert!(wrong.contains(NAME), "the file is named: {wrong}");
    assert!(!wrong.contains('\n'), "one sentence: {wrong}");
}

/// Each line of a text with the hash that belongs before it.
fn chain(mut chained: Chained, text: &str) -> Vec<u8> {
    text.lines().map(|line| chained.wrap(line)).collect::<String>().into_bytes()
}

/// Any bytes as a trace.
pub fn trace(input: &[u8]) {
    static SCENARIOS: OnceLock<Vec<Scenario>> = OnceLock::new();
    let scenarios =
        SCENARIOS.get_or_init(|| scenario::all(&scenario::folder()).expect("the scenarios are well-formed"));
    let artifacts = decdn_contracts::artifacts::recorded_hash();
    let bytes = match input.split_first() {
        Some((&RAW, raw)) => raw.to_vec(),
        _ => {
            // A head speaks of the scenarios and contracts of its day; `@S` and `@C` stand for today's.
            let text =
                String::from_utf8_lossy(input).replace("@S", &scenarios[0].hash).replace("@C", artifacts);
            zstd::encode_all(chain(trace::chained(), &text).as_slice(), 1).expect("memory takes it")
        }
    };
    let reader = trace::Reader::new(NAME, bytes.as_slice()).expect("a decoder");
    if let Err(wrong) = trace::script_of(reader, scenarios, artifacts) {
        one_sentence(&wrong.0);
    }
}

/// Any bytes as a recording.
pub fn recording(input: &[u8]) {
    let bytes = match input.split_first() {
        Some((&RAW, raw)) => raw.to_vec(),
        _ => chain(decdn_recording::chained(), &String::from_utf8_lossy(input)),
    };
    if let Err(wrong) = trace::retell_from(Reader::new(NAME, bytes.as_slice()), |_, _| {}) {
        one_sentence(&wrong.0);
    }
}
