//! Scenario files: whatever is wrong with one is told in one sentence that says where.

use decdn_sim::scenario::{self, parse};

const GOOD: &str = r#"
shows = "A test."
wave = 1

[[actors]]
name = "client"
part = "client"

[[actors]]
name = "node"
part = "node"

[[fetches]]
client = "client"
from = ["node"]
"#;

fn wrong(text: &str) -> String {
    let error = parse("theme/name", "scenarios/theme/name.toml", text).expect_err("it must be refused").0;
    assert!(!error.contains('\n'), "one sentence: {error}");
    assert!(error.ends_with('.'), "{error}");
    error
}

#[test]
fn the_smallest_scenario_is_one() {
    parse("theme/name", "here", GOOD).expect("well-formed");
}

#[test]
fn an_unknown_key_is_named_with_line_and_column() {
    let error = wrong(&GOOD.replace("name = \"node\"", "name = \"node\"\nspeed = 3"));
    assert!(error.starts_with("scenarios/theme/name.toml:11:1: ") && error.contains("speed"), "{error}");
}

#[test]
fn a_slip_of_syntax_is_named_with_line_and_column() {
    let error = wrong(&GOOD.replace("wave = 1", "wave = = 1"));
    assert!(error.starts_with("scenarios/theme/name.toml:3:8: "), "{error}");
    let error = wrong(&GOOD.replace("wave = 1", "wave = \"one\""));
    assert!(error.starts_with("scenarios/theme/name.toml:3:8: "), "{error}");
}

#[test]
fn what_types_cannot_say_is_said_too() {
    for (from, to, names) in [
        ("from = [\"node\"]", "from = [\"nod\"]", "nod"),
        ("from = [\"node\"]", "from = []", "from"),
        ("name = \"node\"", "name = \"client\"", "client"),
        ("part = \"node\"", "part = \"node\"\nplays = \"angel\"", "angel"),
        ("part = \"node\"", "part = \"node\"\ncount = { min = 3, max = 2 }", "range"),
        ("wave = 1", "wave = 1\n[chain]\nwindow_hours = 11", "window_hours"),
        ("wave = 1", "wave = 1\n[[bounds]]\nname = \"x\"\nlimit = \"R * Q\"\nbecause = \"y\"", "Q"),
        ("wave = 1", "wave = 1\n[[bounds]]\nname = \"x\"\nlimit = \"K\"\nbecause = \"y\"", "K"),
        ("wave = 1", "wave = 1\n[profit]\nlimit = \"K * Q\"\nbecause = \"y\"", "Q"),
        ("part = \"node\"", "part = \"node\"\nplays = \"vanisher\"", "profit"),
        ("wave = 1", "wave = 1\n[[events]]\nat_ms = 1", "event"),
    ] {
        let error = wrong(&GOOD.replacen(from, to, 1));
        assert!(error.contains(names), "{to}: {error}");
    }
}

#[test]
fn a_name_is_found_by_its_end_only_if_it_is_the_only_one() {
    let one = parse("a/name", "here", GOOD).expect("well-formed");
    let other = parse("b/name", "here", GOOD).expect("well-formed");
    assert!(scenario::find(std::slice::from_ref(&one), "name").is_ok());
    let both = [one, other];
    assert!(scenario::find(&both, "name").is_err());
    assert_eq!(scenario::find(&both, "b/name").map(|found| found.name.as_str()), Ok("b/name"));
}
