//! Scenario files: whatever is wrong with one is told in one sentence that says where.

use decdn_sim::scenario::{self, parse};

const GOOD: &str = r#"
shows = "A test."

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
    assert!(error.starts_with("scenarios/theme/name.toml:10:1: ") && error.contains("speed"), "{error}");
}

#[test]
fn a_slip_of_syntax_is_named_with_line_and_column() {
    let error = wrong(&GOOD.replace("shows = ", "shows = = "));
    assert!(error.starts_with("scenarios/theme/name.toml:2:9: "), "{error}");
    let error = wrong(&GOOD.replace("\"A test.\"", "1"));
    assert!(error.starts_with("scenarios/theme/name.toml:2:9: "), "{error}");
}

#[test]
fn what_types_cannot_say_is_said_too() {
    for (from, to, names) in [
        ("from = [\"node\"]", "from = []", "from"),
        ("part = \"node\"", "part = \"node\"\ncount = { min = 3, max = 2 }", "range"),
        ("\n[[actors]]", "\n[chain]\nwindow_hours = 11\n[[actors]]", "window_hours"),
        ("part = \"node\"", "part = \"node\"\nplays = \"vanisher\"", "profit"),
        ("\n[[actors]]", "\n[[events]]\nat_ms = 1\n[[actors]]", "exactly one of"),
        ("\n[[actors]]", "\n[[events]]\nat_ms = 1\nwindow_hours = 73\n[[actors]]", "window_hours"),
        ("\n[[actors]]", "\n[[events]]\nat_ms = { min = 2, max = 1 }\ncrash = \"node\"\n[[actors]]", "range"),
    ] {
        let error = wrong(&GOOD.replacen(from, to, 1));
        assert!(error.contains(names), "{to}: {error}");
    }
}

/// A name of each kind that is on no list: the text that names it, what the sentence says, and where.
const UNKNOWN: &[(&str, &str)] = &[
    ("probes = [\"fetchd\"]", "no probe \"fetchd\", the nearest is \"fetched\""),
    ("bounds = [{ name = \"overpayed\", limit = \"0\", because = \"\" }]", "the nearest is \"overpaid\""),
    ("bounds = [{ name = \"signatures\", limit = \"RTTT\", because = \"\" }]", "the nearest is \"RTT\""),
    ("bounds = [{ name = \"signatures\", limit = \"K\", because = \"\" }]", "no symbol \"K\""),
    ("profit = { limit = \"K * MBB\", because = \"\" }", "the nearest is \"MB\""),
    (
        "lifts = [{ oracle = \"O5\", actor = \"node\", loss = \"0\", because = \"\" }]",
        "no oracle to lift \"O5\"",
    ),
    (
        "lifts = [{ oracle = \"O3\", actor = \"nod\", loss = \"0\", because = \"\" }]",
        "no actor \"nod\", the nearest is \"node\"",
    ),
    ("lifts = [{ oracle = \"O3\", actor = \"node\", loss = \"DD\", because = \"\" }]", "no symbol \"DD\""),
    ("links = [{ from = \"clint\", to = \"node\" }]", "no actor \"clint\", the nearest is \"client\""),
    ("links = [{ from = \"client\", to = \"nodes\" }]", "no actor \"nodes\""),
    ("links = [{ from = \"node\", to = \"node\" }]", "to itself"),
    (
        "links = [{ from = \"node\", to = \"client\" }, { from = \"client\", to = \"node\" }]",
        "a link already",
    ),
    (
        "chain = { sequencer = [{ from_secs = 1, for_secs = 1, censors = [\"node\", \"nodd\"] }] }",
        "no actor \"nodd\"",
    ),
    ("events = [{ at_ms = 1, crash = \"nodd\" }]", "no actor \"nodd\""),
    ("events = [{ at_ms = 1, wipe = \"nodd\" }]", "no actor \"nodd\""),
    ("events = [{ at_ms = 1, silence = [\"node\", \"nodd\"] }]", "no actor \"nodd\""),
    ("events = [{ at_ms = 1, clock_ahead = \"nodd\", by_ms = 1 }]", "no actor \"nodd\""),
    ("events = [{ at_ms = 1, clock_behind = \"nodd\", by_ms = 1 }]", "no actor \"nodd\""),
    ("events = [{ at_ms = 1, censors = [\"nodd\"] }]", "no actor \"nodd\""),
    (
        "events = [{ at_ms = 1, down = \"sequenzer\" }]",
        "no service \"sequenzer\", the nearest is \"sequencer\"",
    ),
    ("events = [{ at_ms = 1, cancel = \"first\" }]", "no fetch \"first\", nor any other"),
    ("events = [{ at_ms = 1, order = \"first\" }]", "no fetch \"first\", nor any other"),
    ("events = [{ at_ms = 1, cancel = \"first\", max_rate = 1 }]", "belong to order alone"),
    ("events = [{ at_ms = 1, close = [\"client\", \"nodd\"] }]", "no actor \"nodd\""),
    ("events = [{ at_ms = 1, close = [\"node\", \"node\"] }]", "have no channel"),
    ("events = [{ at_ms = 1, crash = \"node\", cancel = \"first\" }]", "exactly one of crash, wipe"),
    ("events = [{ at_ms = 1, window_hours = 12, for_ms = 1 }]", "for_ms belongs to crash"),
    ("events = [{ at_ms = 1, crash = \"node\", by_ms = 1 }]", "by_ms belongs to clock_ahead"),
];

#[test]
fn a_name_that_nothing_has_is_told_with_its_place_and_with_those_there_are() {
    for (line, names) in UNKNOWN {
        let error = wrong(&GOOD.replacen("\n[[actors]]", &format!("\n{line}\n[[actors]]"), 1));
        assert!(error.starts_with("scenarios/theme/name.toml:4:"), "{line}: {error}");
        assert!(error.contains(names), "{line}: {error}");
    }
    for (from, to, line, names) in [
        (
            "from = [\"node\"]",
            "from = [\"node\", \"mode\"]",
            14,
            "no actor \"mode\", the nearest is \"node\"",
        ),
        ("from = [\"node\"]", "from = [\"client\"]", 14, "\"client\" is a client; name a node"),
        ("client = \"client\"", "client = \"cliént\"", 13, "the nearest is \"client\""),
        ("client = \"client\"", "client = \"node\"", 14, "\"node\" can't buy from itself; name another node"),
        ("part = \"node\"", "part = \"nod\"", 10, "no word \"nod\", the nearest is \"node\""),
        (
            "part = \"node\"",
            "part = \"node\"\nplays = \"bayt\"",
            11,
            "no adversary \"bayt\", the nearest is \"bait\"",
        ),
        (
            "part = \"node\"",
            "part = \"node\"\nplays = \"bait\"\nwith = { prt = 1 }",
            12,
            "no option of bait \"prt\", the nearest is \"part\"",
        ),
        ("part = \"node\"", "part = \"node\"\nwith = { part = 1 }", 11, "takes no options"),
        ("part = \"node\"", "part = \"node\"\nowner = { thinks_ms = 1 }", 9, "\"node\" buys nothing"),
        ("part = \"client\"", "part = \"client\"\nplays = \"bait\"", 5, "can't play bait, a node that"),
        ("name = \"node\"", "name = \"client\"", 9, "two actors are called \"client\""),
        ("name = \"node\"", "name = \"client\"\ncount = 2", 9, "two actors are called \"client\""),
        (
            "from = [\"node\"]",
            "from = [\"node\"]\nname = \"first\"\n[[events]]\nat_ms = 1\ncancel = \"frist\"",
            18,
            "no fetch \"frist\", the nearest is \"first\"",
        ),
        (
            "from = [\"node\"]",
            "from = [\"node\"]\nname = \"first\"\n[[events]]\nat_ms = 1\norder = \"first\"\nfrom = [\"client\"]",
            19,
            "is a client; name a node",
        ),
        (
            "from = [\"node\"]",
            "from = [\"node\"]\nname = \"first\"\n[[fetches]]\nclient = \"client\"\nfrom = [\"node\"]\nname = \"first\"",
            19,
            "two fetches are called \"first\"",
        ),
        (
            "name = \"node\"",
            "name = \"node\"\ncount = 2\npart = \"node\"\n[[actors]]\nname = \"node-2\"",
            13,
            "two actors are called \"node-2\"",
        ),
    ] {
        let error = wrong(&GOOD.replacen(from, to, 1));
        assert!(error.starts_with(&format!("scenarios/theme/name.toml:{line}:")), "{to}: {error}");
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
