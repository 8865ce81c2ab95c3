//! The command line: exit codes, one sentence for bad input, and the fields that other tools read.

use std::process::{Command, Output, Stdio};

fn sim(args: &[&str]) -> Output {
    let folder = std::env::temp_dir();
    Command::new(env!("CARGO_BIN_EXE_decdn-sim")).args(args).current_dir(folder).output().expect("it starts")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ends by itself")
}

#[test]
fn bad_input_is_one_sentence_and_exit_code_2() {
    let wrong: &[&[&str]] = &[
        &["frob"],
        &["run"],
        &["run", "delivery/nowhere"],
        &["run", "delivery/honest-fetch", "--frob"],
        &["run", "delivery/honest-fetch", "--rung", "middle"],
        &["run", "delivery/honest-fetch", "--seed", "many"],
        &["run", "delivery/honest-fetch", "--seed", "-1"],
        &["run", "delivery/honest-fetch", "--rung", "ideal", "--trace", "/nowhere/trace"],
        &["sweep", "--seeds", "0"],
        &["sweep", "--seeds", "1", "--jobs", "0"],
        &["sweep", "delivery/nowhere", "--seeds", "1"],
        &["sweep"],
        &["replay", "/nowhere"],
        &["replay", "/"],
        &["replay", "/dev/null"],
        &["diff", "/nowhere", "/nowhere"],
        &["completions", "abacus"],
        &["bench", "--rounds", "0"],
    ];
    for args in wrong {
        let output = sim(args);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), 2, "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
        assert!(error.starts_with("error: ") && error.trim_end().ends_with('.'), "{args:?}: {error}");
    }
}

#[test]
fn a_run_prints_the_promised_fields() {
    let output = sim(&["run", "delivery/honest-fetch", "--rung", "ideal", "--json", "--seed", "4"]);
    assert_eq!(code(&output), 0);
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one object");
    for field in [
        "scenario",
        "seed",
        "rung",
        "ok",
        "steps",
        "sim_seconds",
        "wall_seconds",
        "digest",
        "violations",
        "probes",
        "bounds",
    ] {
        assert!(object.get(field).is_some(), "{field} is missing");
    }
    assert_eq!(object["scenario"], "delivery/honest-fetch");
    assert_eq!(object["seed"], 4);
    assert_eq!(object["ok"], true);
}

#[test]
fn list_has_one_object_per_scenario() {
    let output = sim(&["list", "--json"]);
    assert_eq!(code(&output), 0);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.lines().count() > 0);
    for line in text.lines() {
        let object: serde_json::Value = serde_json::from_str(line).expect("an object per line");
        for field in ["scenario", "shows"] {
            assert!(object.get(field).is_some(), "{field} is missing in {line}");
        }
    }
}

#[test]
fn o13_two_threads_find_what_one_finds_in_the_same_order() {
    let runs = |jobs: &str| {
        let args = ["sweep", "delivery/honest-fetch", "--seeds", "12", "--json", "--jobs", jobs];
        let text = String::from_utf8(sim(&args).stdout).expect("text");
        let without_times = |line: &str| {
            let mut object: serde_json::Value = serde_json::from_str(line).expect("an object per line");
            object.as_object_mut().expect("an object").remove("wall_seconds");
            object
        };
        text.lines().map(without_times).collect::<Vec<_>>()
    };
    let one = runs("1");
    assert_eq!(one.len(), 12);
    assert_eq!(one, runs("2"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_decdn-sim"))
        .args(["run", "delivery/honest-fetch", "--rung", "ideal", "-v"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the simulator starts");
    // Closed before the first of its many lines.
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(141));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn o14_attacks_that_cost_more_to_bear_than_to_make_have_a_reason() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/dispute/stranger-calls.toml");
    let text = std::fs::read_to_string(source).expect("a scenario");
    let silent: String =
        text.lines().filter(|line| !line.starts_with("griefing")).map(|line| format!("{line}\n")).collect();
    assert_ne!(text, silent, "it gives its reason");
    for (name, text, wanted) in [("reason.toml", text, 0), ("no-reason.toml", silent, 1)] {
        let path = folder.join(name);
        std::fs::write(&path, text).expect("a file");
        let output = sim(&["sweep", path.to_str().expect("text"), "--seeds", "50"]);
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), wanted, "{error}");
        assert_eq!(error.contains("no `griefing` says why"), wanted == 1, "{error}");
    }
    let output = sim(&["run", "dispute/stranger-calls", "--rung", "ideal"]);
    let shown = String::from_utf8_lossy(&output.stdout);
    assert!(shown.lines().any(|line| line.contains("honest / others") && line.contains(" = ")), "{shown}");
}
