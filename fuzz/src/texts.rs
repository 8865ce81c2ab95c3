//! Traces and recordings, which anybody may hand to `cargo sim replay`: whatever they say, reading them ends, in a value
//! or in one sentence that names the file.

use std::sync::OnceLock;

use decdn_recording::{Chained, Reader};
use decdn_sim::{
    scenario::{self, Scenario},
    trace,
};
use decdn_testkit::tell;

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
        _ => {
            // States have other digests from day to day: each `@D` stands for the one that is met there.
            let mut text = String::from_utf8_lossy(input).into_owned();
            for _ in 0..DIGESTS_MAX {
                if !text.contains(DIGEST) {
                    break;
                }
                let guess = text.replacen(DIGEST, &"0".repeat(32), 1);
                let met = retold(&chained(&guess)).err().and_then(|wrong| met_instead(&wrong));
                text = text.replacen(DIGEST, &met.unwrap_or_default(), 1);
            }
            chained(&text)
        }
    };
    if let Err(wrong) = retold(&bytes) {
        one_sentence(&wrong);
    }
}

/// What stands for a digest, and how many of them are found out.
const DIGEST: &str = "@D";
const DIGESTS_MAX: usize = 16;

fn chained(text: &str) -> Vec<u8> {
    chain(decdn_recording::chained(), text)
}

fn retold(bytes: &[u8]) -> Result<(), String> {
    let told = trace::retell_from(Reader::new(NAME, bytes), |_, _| {});
    tell(|| format!("{told:?}"));
    told.map(|_| ()).map_err(|wrong| wrong.0)
}

/// The digest of a state that is another one than was recorded.
fn met_instead(wrong: &str) -> Option<String> {
    let (_, rest) = wrong.split_once(" and is ")?;
    rest.get(..32).map(str::to_owned)
}
