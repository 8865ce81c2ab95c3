//! What if a value were another one: `--set`, `--grid`, `border`, scenarios by path, and the story of a run.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

const ONE: &str = "chain/one-window";

fn sim(args: &[&str]) -> Output {
    let folder = env!("CARGO_TARGET_TMPDIR");
    Command::new(env!("CARGO_BIN_EXE_decdn-sim")).args(args).current_dir(folder).output().expect("it starts")
}

/// Exit code, stdout, stderr.
fn told(args: &[&str]) -> (i32, String, String) {
    let output = sim(args);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("it ends by itself"), text(output.stdout), text(output.stderr))
}

fn json(args: &[&str]) -> Value {
    let (_, out, error) = told(&[args, &["--json"]].concat());
    serde_json::from_str(&out).unwrap_or_else(|why| panic!("{args:?}: {why}: {error}"))
}

#[test]
fn a_story_says_who_lost_what_and_why_on_one_screen() {
    let args = ["run", ONE, "--rung", "ideal", "--seed", "1", "--story"];
    let (code, lost, _) = told(&[&args[..], &["--set", "chain.window_hours=12"]].concat());
    assert_eq!(code, 1);
    let (code, won, _) = told(&args);
    assert_eq!(code, 0);
    for story in [&lost, &won] {
        assert!(story.lines().count() <= 40, "{story}");
    }
    for (story, name) in [(&lost, "story-lost"), (&won, "story-won")] {
        // The head has the digest, which changes with every byte of state.
        let (_, body) = story.split_once('\n').expect("a head and a body");
        insta::assert_snapshot!(name, body);
    }
}

#[test]
fn the_story_of_many_channels_fits_as_well() {
    let (code, story, error) =
        told(&["run", "chain/censored-dispute", "--rung", "ideal", "--seed", "3", "--story"]);
    assert_eq!(code, 0, "{error}");
    assert!(story.lines().count() <= 60, "{story}");
    assert!(story.contains("O8 is lifted here: W < F"), "{story}");
}

#[test]
fn what_is_set_is_in_force_and_nothing_else_moves() {
    let args = ["run", ONE, "--rung", "ideal", "--seed", "3"];
    let before = json(&args);
    let after = json(&[&args[..], &["--set", "chain.window_hours=72", "--set", "money.rate=1000"]].concat());
    assert_eq!(after["drawn"]["window_secs"], 72 * 3_600);
    assert_eq!(after["drawn"]["actors"]["victim"]["rate"], 1_000);
    assert_ne!(before["drawn"]["actors"]["victim"]["rate"], 1_000);
    for same in ["blob_bytes", "cadence_bytes"] {
        assert_eq!(before["drawn"]["fetches"][0][same], after["drawn"]["fetches"][0][same]);
    }
    assert_eq!(before["drawn"]["endpoint_ms"], after["drawn"]["endpoint_ms"]);
    let sum: u64 = after["balances"].as_object().expect("names").values().filter_map(Value::as_u64).sum();
    assert_eq!(sum, 2_000_000_000_000, "nothing is left in the contract");
    assert_eq!(after["set"], serde_json::json!(["chain.window_hours=72", "money.rate=1000"]));
}

#[test]
fn the_line_that_reproduces_a_violation_can_be_pasted() {
    let set = ["--set", "chain.window_hours=12", "--set", "money.rate={min=5,max=9}"];
    let (code, _, error) = told(&[&["run", ONE, "--rung", "ideal", "--seed", "2"], &set[..]].concat());
    assert_eq!(code, 1);
    let line = error.lines().find_map(|line| line.strip_prefix("repro: cargo sim ")).expect("a line");
    assert_eq!(
        line,
        "run chain/one-window --seed 2 --rung ideal --set chain.window_hours=12 --set 'money.rate={min=5,max=9}'"
    );
    let words = line.replace('\'', "");
    let words: Vec<&str> = words.split(' ').collect();
    assert_eq!(told(&words).2, error);
}

#[test]
fn a_grid_has_a_row_for_each_combination() {
    let grid = ["--grid", "chain.window_hours=12,48", "--grid", "chain.forced_hours=1,24"];
    let (code, rows, _) = told(&[&["sweep", ONE, "--seeds", "3", "--csv"], &grid[..]].concat());
    assert_eq!(code, 1);
    let rows: Vec<Vec<&str>> = rows.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][..5], ["scenario", "chain.window_hours", "chain.forced_hours", "runs", "violated"]);
    let violated: Vec<[&str; 4]> = rows[1..].iter().map(|row| [row[1], row[2], row[3], row[4]]).collect();
    assert_eq!(
        violated,
        [["12", "1", "3", "0"], ["12", "24", "3", "3"], ["48", "1", "3", "0"], ["48", "24", "3", "0"]]
    );
    let (code, table, _) = told(&[&["run", ONE, "--rung", "ideal"], &grid[..]].concat());
    assert_eq!(code, 1);
    let head: Vec<&str> = table.lines().next().expect("a head").split_whitespace().collect();
    let wanted =
        ["chain.window_hours", "chain.forced_hours", "runs", "violated", "by", "largest", "loss", "repro"];
    assert_eq!(head, wanted);
    assert!(table.contains("--set chain.window_hours=12 --set chain.forced_hours=24"), "{table}");
}

#[test]
fn rows_of_runs_say_what_they_cost() {
    let (code, rows, _) = told(&["sweep", ONE, "--seeds", "2", "--csv", "--set", "chain.window_hours=12"]);
    assert_eq!(code, 1);
    assert_eq!(rows.lines().count(), 3);
    let head: Vec<&str> = rows.lines().next().expect("a head").split(',').collect();
    let below = head.iter().position(|name| *name == "settled-below").expect("a column");
    for row in rows.lines().skip(1) {
        let lost: u64 = row.split(',').nth(below).and_then(|text| text.parse().ok()).expect("a number");
        assert!(lost > 0, "{row}");
    }
}

#[test]
fn a_border_has_a_seed_on_each_side() {
    let args =
        ["border", ONE, "chain.window_hours", "--between", "20", "30", "--seeds", "2", "--oracle", "O8"];
    let (code, out, error) = told(&args);
    assert_eq!(code, 0, "{error}");
    assert!(
        out.starts_with("chain.window_hours of chain/one-window: O8 speaks up to 24; silent at 25"),
        "{out}"
    );
    let lines: Vec<&str> =
        out.lines().filter_map(|line| line.split_once("cargo sim ")).map(|two| two.1).collect();
    let codes: Vec<i32> = lines.iter().map(|line| told(&line.split(' ').collect::<Vec<_>>()).0).collect();
    assert_eq!(codes, [1, 0]);
    let object = json(&args);
    assert_eq!((&object["loud"]["value"], &object["quiet"]["value"]), (&24.into(), &25.into()));
    // Nothing to be found.
    let (code, out, error) =
        told(&["border", ONE, "chain.window_hours", "--between", "48", "72", "--seeds", "2"]);
    assert_eq!((code, &*out), (1, ""));
    assert!(error.contains("no border") && error.contains("silent at both"), "{error}");
}

#[test]
fn a_scenario_can_be_a_file_anywhere_and_its_traces_replay() {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/chain/one-window.toml");
    fs::copy(source, folder.join("copy.toml")).expect("a copy");
    let digest = |name: &str| json(&["run", name, "--rung", "ideal"])["digest"].clone();
    assert_eq!(digest("copy.toml"), digest(ONE));
    for (name, set) in [("copy.toml", "money.rate=7"), (ONE, "chain.window_hours=30")] {
        let trace = folder.join("what-if.trace");
        let trace = trace.to_str().expect("text");
        let (code, ..) = told(&["run", name, "--rung", "ideal", "--set", set, "--trace", trace]);
        assert_eq!(code, 0);
        let (code, out, error) = told(&["replay", trace]);
        assert_eq!(code, 0, "{out}{error}");
    }
}

#[test]
fn bad_changes_are_one_sentence_and_exit_code_2() {
    let run = ["run", ONE, "--rung", "ideal"];
    let border = ["border", ONE, "chain.window_hours", "--between"];
    let set = |text| [&run[..], &["--set", text]].concat();
    let grid = |text| [&run[..], &["--grid", text]].concat();
    let rates: Vec<String> = (1..=101).map(|rate| rate.to_string()).collect();
    let many = [format!("money.rate={}", rates.join(",")), format!("money.wallet={}", rates.join(","))];
    let prose = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("prose.toml");
    fs::write(&prose, "shows = \"Nothing.\"\nOnce upon a time\n").expect("a file");
    let prose = prose.to_str().expect("text");
    for (args, part) in [
        (set("chain.windw_hours=24"), "the nearest is \"window_hours\"; there are window_hours"),
        (set("chain.window_hours=11"), "outside 12 to 72"),
        (set("chain.window_hours=soon"), "a number"),
        (set("chain.window_hours"), "no `=`"),
        (set("actors.vicitm.poll_secs=1"), "the nearest is \"victim\""),
        (set("events.7.at_ms=1"), "count from 0"),
        (set("actors.victim.skew_ms=-1"), "skew_ms=-1"),
        (grid("chain.window_hours=12,,24"), "is no value"),
        (grid("chain.window_hours=12,12"), "twice"),
        (grid("chain.window_hours=12,73"), "outside 12 to 72"),
        ([&grid("money.rate=1,2")[..], &["--set", "money.rate=3"]].concat(), "set already"),
        ([&run[..], &["--csv", "--json"]].concat(), "cannot be used with"),
        ([&run[..], &["--story", "--json"]].concat(), "cannot be used with"),
        ([&grid("money.rate=1,2")[..], &["--story"]].concat(), "cannot be used with"),
        ([&border[..], &["12"]].concat(), "--between"),
        ([&border[..], &["12", "12"]].concat(), "twice"),
        ([&border[..], &["12", "73"]].concat(), "outside 12 to 72"),
        ([&border[..], &["12", "72", "--oracle", "08"]].concat(), "the nearest is \"O8\""),
        ([&grid(&many[0])[..], &["--grid", &many[1]]].concat(), "more than 10000 combinations"),
        (vec!["sweep", ONE, "--seeds", "1000000000"], "more than 50000000 runs"),
        (vec!["run", "nowhere.toml"], "can't be read"),
        (vec!["run", "."], "can't be read"),
        (vec!["run", "/dev/zero"], "larger than 1 MiB"),
        (vec!["run", prose], "prose.toml:2:"),
        (vec!["sweep", "chain/one-windw", "--seeds", "1"], "there is no scenario"),
        (vec!["border", ONE, "chain..hours", "--between", "1", "2"], "is no key"),
    ] {
        let (code, out, error) = told(&args);
        assert_eq!((code, &*out), (2, ""), "{args:?}: {error}");
        assert_eq!(error.lines().count(), 1, "{args:?}: {error}");
        assert!(error.starts_with("error: ") && error.trim_end().ends_with('.'), "{args:?}: {error}");
        assert!(error.contains(part), "{args:?}: {error}");
    }
}

#[test]
fn completions_know_what_is_new() {
    let (code, script, _) = told(&["completions", "bash"]);
    assert_eq!(code, 0);
    for word in ["border", "--set", "--grid", "--csv", "--story", "--between"] {
        assert!(script.contains(word), "{word}");
    }
}
