//! Traces: what is written replays, and what was tampered with is named by its line.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use decdn_sim::{
    decide::Decisions,
    run,
    rung::Rung,
    scenario::{self, Scenario},
    trace,
};

fn scenarios() -> Vec<Scenario> {
    scenario::all(&scenario::folder()).expect("the scenarios are well-formed")
}

fn artifacts() -> &'static str {
    decdn_contracts::artifacts::recorded_hash()
}

/// A trace of the honest download in a file of its own.
fn written(name: &str, seed: u64, full: bool) -> PathBuf {
    let all = scenarios();
    let honest = scenario::find(&all, "delivery/honest-fetch").expect("the baseline exists");
    let head = run::head(honest, Rung::Ideal, Some(seed), full);
    let (_, bytes) =
        run::traced(honest, &head, Decisions::seeded(seed), Vec::new()).expect("memory takes it");
    file(name, &bytes)
}

fn file(name: &str, text: &[u8]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.trace.zst"));
    let mut encoder = zstd::Encoder::new(fs::File::create(&path).expect("a file"), 1).expect("an encoder");
    encoder.write_all(text).expect("written");
    encoder.finish().expect("finished");
    path
}

fn text_of(path: &Path) -> String {
    let mut text = String::new();
    let mut decoder = zstd::Decoder::new(fs::File::open(path).expect("a file")).expect("a decoder");
    decoder.read_to_string(&mut text).expect("text");
    text
}

fn sentence(path: &Path) -> String {
    let wrong = trace::replay(path, &scenarios(), artifacts()).err().expect("it must not replay");
    assert!(!wrong.0.contains('\n'), "one sentence: {wrong}");
    wrong.0
}

#[test]
fn o13_slim_and_full_traces_replay_and_slim_ones_grow_into_full_ones() {
    let (slim, full) = (written("slim", 5, false), written("full", 5, true));
    let all = scenarios();
    for path in [&slim, &full] {
        trace::replay(path, &all, artifacts()).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
    let script = trace::script(&slim, &all, artifacts()).unwrap_or_else(|wrong| panic!("{wrong}"));
    let head = run::head(script.scenario, Rung::Ideal, Some(5), true);
    let again = run::traced(script.scenario, &head, Decisions::recorded(script.choices), Vec::new());
    assert_eq!(String::from_utf8(again.expect("memory takes it").1).expect("text"), text_of(&full));
}

#[test]
fn a_truncated_trace_is_named_by_its_line() {
    let text = text_of(&written("whole", 6, true));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let cut = file("cut", lines[..lines.len() - 1].concat().as_bytes());
    assert!(sentence(&cut).contains(&format!(":{}: ", lines.len())), "{}", sentence(&cut));
    let inside = file("inside", &text.as_bytes()[..text.len() - 10]);
    assert!(sentence(&inside).contains(&format!(":{}: ", lines.len())), "{}", sentence(&inside));
    let whole = fs::read(written("bytes", 6, true)).expect("bytes");
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("half.trace.zst");
    fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    assert!(sentence(&path).contains("cut off"), "{}", sentence(&path));
}

#[test]
fn an_edited_trace_is_named_by_its_first_wrong_line() {
    let text = text_of(&written("edit", 7, true));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for at in [1, lines.len() / 2, lines.len() - 1] {
        let mut edited: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
        edited[at] = edited[at].replacen(['1', '2', '3', '4', '5'], "9", 30);
        let path = file("edited", edited.concat().as_bytes());
        assert!(sentence(&path).contains(&format!(":{}: ", at + 1)), "{at}: {}", sentence(&path));
    }
}

#[test]
fn a_foreign_trace_is_refused_at_its_head() {
    for wrong in ["{\"h\":\"0123456789abcdef\",\"e\":{}}\n", "hello\n", "\n"] {
        assert!(sentence(&file("foreign", wrong.as_bytes())).contains(":1: "));
    }
    let all = scenarios();
    let path = written("contracts", 8, false);
    let wrong = trace::replay(&path, &all, "other").err().expect("other contracts");
    assert!(wrong.0.contains("other contracts"), "{wrong}");
}

#[test]
fn a_bomb_is_refused_before_it_takes_memory() {
    let zeros = vec![b'0'; 32 << 20];
    let bomb = file("bomb", &zeros);
    assert!(fs::metadata(&bomb).expect("a file").len() < 64 << 10);
    assert!(sentence(&bomb).contains("too long"), "{}", sentence(&bomb));
}

#[test]
fn diff_names_the_first_line_at_which_two_traces_part() {
    let (a, b) = (written("a", 9, true), written("b", 10, true));
    assert_eq!(trace::diff(&a, &a), Ok(None));
    let (line, left, right) = trace::diff(&a, &b).expect("both are traces").expect("two seeds differ");
    assert_eq!(line, 1, "the head holds the seed");
    assert_ne!(left, right);
}
