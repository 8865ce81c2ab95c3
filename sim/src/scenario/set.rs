//! `--set KEY=VALUE`: a scenario with a value changed as if its file said so. The file is checked like any other, so that
//! names and limits are those of files; what is not set is drawn from a seed as before.

use std::fmt;

use toml::{Table, Value};

use super::{
    BadScenario, Scenario,
    check::Wrong,
    file::File,
    keep::keep_draws,
    load::{hash, read},
};
use crate::names::unknown;

/// The longest setting that is read.
const LONGEST: usize = 1_000;
/// The most settings of a run.
const MOST: usize = 64;
/// What a file may leave out although it is a list.
const LISTS: [&str; 8] =
    ["actors", "fetches", "events", "endpoints", "links", "bounds", "lifts", "sequencer"];

/// A value for a place in a scenario's file: a dotted path, with actors, fetches and bounds by name and everything in a list
/// by its number from 0.
#[derive(Clone, PartialEq, Debug)]
pub struct Setting {
    path: Vec<String>,
    value: Value,
    /// The value as it was written.
    shown: String,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key(), self.shown)
    }
}

impl Setting {
    /// From `KEY=VALUE`.
    ///
    /// # Errors
    /// A clause that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (key, value) = halves(text)?;
        Self::new(path(key)?, value)
    }

    fn new(path: Vec<String>, value: &str) -> Result<Self, String> {
        let shown = value.trim().to_owned();
        Ok(Self { path, value: value_of(&shown)?, shown })
    }

    /// A number for a key.
    ///
    /// # Errors
    /// A clause that says what is wrong with the key.
    pub fn number(key: &str, number: u64) -> Result<Self, String> {
        Self::parse(&format!("{key}={number}"))
    }

    /// Its place, as it is written.
    pub fn key(&self) -> String {
        let plain = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
        let quoted = |name: &String| Value::String(name.clone()).to_string();
        let names = self.path.iter().map(|name| if plain(name) { name.clone() } else { quoted(name) });
        names.collect::<Vec<_>>().join(".")
    }
}

/// Settings of one key from `KEY=A,B,C`.
///
/// # Errors
/// A clause that says what is wrong with it.
pub fn parse_list(text: &str) -> Result<Vec<Setting>, String> {
    let (key, values) = halves(text)?;
    let path = path(key)?;
    let setting = |value| Setting::new(path.clone(), value);
    let settings: Vec<Setting> = split(values).into_iter().map(setting).collect::<Result<_, String>>()?;
    for (at, one) in settings.iter().enumerate() {
        if settings[..at].iter().any(|other| other.value == one.value) {
            return Err(format!("{} is in it twice", one.shown));
        }
    }
    Ok(settings)
}

fn halves(text: &str) -> Result<(&str, &str), String> {
    if text.len() > LONGEST || text.contains(char::is_control) {
        return Err(format!("it is longer than {LONGEST} bytes, or more than a line"));
    }
    text.split_once('=').ok_or_else(|| "there is no `=` in it".to_owned())
}

/// At the commas outside of brackets and quotes.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut in_quotes, mut from, mut parts) = (0_u32, false, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '"' => in_quotes = !in_quotes,
            '[' | '{' if !in_quotes => depth += 1,
            ']' | '}' if !in_quotes => depth = depth.saturating_sub(1),
            ',' if !in_quotes && depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

fn path(key: &str) -> Result<Vec<String>, String> {
    let bad = || format!("`{}` is no key: write one like chain.window_hours", key.trim());
    let mut table: Table = toml::from_str(&format!("{key} = 0")).map_err(|_| bad())?;
    let mut path = Vec::new();
    loop {
        let (name, value) = table.into_iter().next().ok_or_else(bad)?;
        path.push(name);
        match value {
            Value::Table(inner) => table = inner,
            Value::Integer(0) => return Ok(path),
            _ => return Err(bad()),
        }
    }
}

fn value_of(text: &str) -> Result<Value, String> {
    let read: Option<Table> = toml::from_str(&format!("value = {text}")).ok();
    match read.and_then(|mut table| table.remove("value")) {
        Some(value) => Ok(value),
        None if is_word(text) => Ok(Value::String(text.to_owned())),
        None => {
            Err(format!("`{text}` is no value: write a number, a word, or what a scenario's file would have"))
        }
    }
}

fn is_word(text: &str) -> bool {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic());
    starts
        && !["true", "false", "inf", "nan"].contains(&text)
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_/".contains(c))
}

/// A scenario with all of this set.
///
/// # Errors
/// A sentence that names the setting that does not fit.
pub fn with(base: &Scenario, settings: &[Setting]) -> Result<Scenario, BadScenario> {
    if settings.is_empty() {
        return Ok(base.clone());
    }
    let wrong = |setting: &Setting, what: &str| {
        BadScenario(format!("{setting} can't be set in {}: {what}.", base.name))
    };
    if settings.len() > MOST {
        return Err(BadScenario(format!("{} settings are too many; give at most {MOST}.", settings.len())));
    }
    for (at, setting) in settings.iter().enumerate() {
        if settings[..at].iter().any(|other| other.path == setting.path) {
            return Err(wrong(setting, "this key is set already; set it once"));
        }
    }
    let mut file = changed(base, settings).map_err(|(at, what)| wrong(&settings[at], &what))?;
    keep_draws(&base.file, &mut file);
    let set: Vec<String> = settings.iter().map(ToString::to_string).collect();
    let hash = hash(&format!("{}\n{}", base.text, set.join("\n")));
    Ok(Scenario { name: base.name.clone(), file, hash, text: base.text.clone(), set })
}

/// The file with these settings; or the first of them after which it makes no sense, and why not.
fn changed(base: &Scenario, settings: &[Setting]) -> Result<File, (usize, String)> {
    let root: Table = toml::from_str(&base.text).map_err(|error| (0, error.message().to_owned()))?;
    let mut root = Value::Table(root);
    let mut wrong = None;
    for (at, setting) in settings.iter().enumerate() {
        put(&mut root, &setting.path, &setting.value).map_err(|what| (at, what))?;
        let text = toml::to_string(&root).map_err(|why| (at, why.to_string()))?;
        match read(&text) {
            Ok(file) if at + 1 == settings.len() => return Ok(file),
            Ok(_) => wrong = None,
            // What comes later may put it right.
            Err(why) => wrong = wrong.or(Some((at, clause(why)))),
        }
    }
    Err(wrong.unwrap_or_else(|| (0, "it makes no sense".to_owned())))
}

fn clause(wrong: Wrong) -> String {
    let (Wrong::There(_, what) | Wrong::Somewhere(what)) = wrong;
    if what.starts_with("a number, `") { format!("what belongs there is {what}") } else { what }
}

/// Puts a value in its place.
fn put(at: &mut Value, path: &[String], value: &Value) -> Result<(), String> {
    let Some((name, rest)) = path.split_first() else {
        *at = value.clone();
        return Ok(());
    };
    let inner = match at {
        Value::Table(table) => match table.get_mut(name) {
            Some(inner) => inner,
            None if rest.is_empty() => {
                table.insert(name.clone(), value.clone());
                return Ok(());
            }
            None if LISTS.contains(&&**name) => return Err(format!("it has no {name} at all")),
            None => table.entry(name.clone()).or_insert_with(|| Value::Table(Table::new())),
        },
        Value::Array(list) => element(list, name)?,
        // What is a single value in the file may be several as well.
        _ => return Err(format!("there is nothing inside that could be called {name:?}")),
    };
    put(inner, rest, value)
}

fn name_of(value: &Value) -> Option<&str> {
    value.get("name").and_then(Value::as_str)
}

/// Something in a list: by its name, or by its number.
fn element<'a>(list: &'a mut [Value], name: &str) -> Result<&'a mut Value, String> {
    let number = name.parse::<usize>().ok().filter(|number| *number < list.len());
    let at = list.iter().position(|value| name_of(value) == Some(name)).or(number);
    match at {
        Some(at) => Ok(&mut list[at]),
        None if list.iter().any(|value| name_of(value).is_some()) => {
            Err(unknown("entry", name, list.iter().filter_map(name_of)))
        }
        None => {
            let count = list.len();
            Err(format!("there is no entry {name:?}; the {count} there are count from 0"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{decide::Decisions, scenario::parse};

    const TEXT: &str = r#"
        shows = "A test."
        [chain]
        window_hours = 48
        [[actors]]
        name = "client"
        part = "client"
        [[actors]]
        name = "node"
        part = "node"
        poll_secs = 60
        [[fetches]]
        client = "client"
        from = ["node"]
        [[events]]
        at_ms = 5
        crash = "node"
        for_ms = { min = 1, max = 100 }
    "#;

    fn base() -> Scenario {
        parse("test/set", "here", TEXT).expect("a scenario")
    }

    fn set(texts: &[&str]) -> Result<Scenario, String> {
        let settings: Vec<Setting> =
            texts.iter().map(|text| Setting::parse(text)).collect::<Result<_, _>>()?;
        with(&base(), &settings).map_err(|why| why.0)
    }

    #[test]
    fn paths_lead_through_tables_names_and_numbers() {
        let changed = set(&[
            "chain.window_hours=24",
            "money.rate = 7",
            "actors.node.poll_secs={min=1,max=9}",
            "events.0.for_ms=3",
            "mode=safety",
        ])
        .expect("it fits");
        assert_eq!(changed.file.chain.window_hours.least(), 24);
        assert_eq!(changed.file.money.rate.most(), 7);
        assert_eq!(changed.file.actors[1].poll_secs.as_ref().map(|pin| pin.most()), Some(9));
        let mut event = changed.file.events[0].clone();
        assert_eq!(event.slots_mut()[1].as_ref().map(|pin| pin.most()), Some(3));
        assert_eq!(changed.file.mode, crate::scenario::file::Mode::Safety);
        assert_eq!(changed.set[0], "chain.window_hours=24");
        assert_ne!(changed.hash, base().hash);
    }

    #[test]
    fn what_does_not_fit_is_told_in_a_clause() {
        for (text, told) in [
            ("chain.windw_hours=24", "the nearest is \"window_hours\""),
            ("chian.window_hours=24", "the nearest is \"chain\""),
            ("chain.window_hours=100", "outside 12 to 72"),
            ("chain.window_hours=soon", "what belongs there is a number"),
            ("actors.nod.poll_secs=1", "the nearest is \"node\""),
            ("events.1.at_ms=1", "the 1 there are count from 0"),
            ("links.0.link.mbit=1", "it has no links at all"),
            ("actors.node.poll_secs.min=1", "nothing inside"),
            ("mode=never", "there are safety, liveness"),
        ] {
            let error = set(&[text]).expect_err(text);
            assert!(error.contains(told), "{text}: {error}");
        }
        let twice = set(&["chain.window_hours=24", "chain.window_hours=25"]).expect_err("twice");
        assert!(twice.contains("set already"), "{twice}");
        for text in ["chain.window_hours", "=5", "a..b=1", "a=", "a={", "a=1\nb=2", "a=[1]]"] {
            Setting::parse(text).expect_err(text);
        }
    }

    #[test]
    fn lists_part_at_commas_outside_of_brackets() {
        let list = parse_list("chain.window_hours=12,{min=1,max=2},\"a,b\"").expect("a list");
        let shown: Vec<String> = list.iter().map(|one| one.shown.clone()).collect();
        assert_eq!(shown, ["12", "{min=1,max=2}", "\"a,b\""]);
        parse_list("a=1,1").expect_err("twice");
        parse_list("a=1,").expect_err("nothing");
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in ["a.b=1", "a.\"b.c\".d={min=1, max = 2}", "mode=safety", "a=[1, 2]", "a=true"] {
            let setting = Setting::parse(text).expect(text);
            assert_eq!(setting.to_string(), text);
            assert_eq!(Setting::parse(&setting.to_string()), Ok(setting));
        }
    }

    #[test]
    fn what_is_not_set_is_drawn_as_before() {
        let draws = |scenario: &Scenario, seed| {
            let mut decide = Decisions::seeded(seed);
            let file = &scenario.file;
            let (money, fetch) = (&file.money, &file.fetches[0]);
            let mut event = file.events[0].clone();
            let [at, lasts, _] = event.slots_mut().map(|pin| pin.map_or(0, |pin| pin.draw(&mut decide)));
            [
                at,
                lasts,
                money.rate.draw(&mut decide),
                money.cadence_bytes.draw(&mut decide),
                file.chain.window_hours.draw(&mut decide),
                fetch.blob_bytes.draw(&mut decide),
            ]
        };
        let base = base();
        // What was open is closed, and the other way round.
        let changed = set(&["money.rate=7", "chain.window_hours={min=20,max=30}", "events.0.for_ms=9"]);
        let changed = changed.expect("it fits");
        for seed in 0..20 {
            let (before, after) = (draws(&base, seed), draws(&changed, seed));
            assert_eq!((after[1], after[2]), (9, 7));
            assert!((20..=30).contains(&after[4]));
            assert_eq!((before[0], before[3], before[5]), (after[0], after[3], after[5]), "seed {seed}");
        }
    }
}
