//! Reading scenario files: `scenarios/<theme>/<name>.toml`. Whatever is wrong with one is told in one sentence.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    Scenario,
    check::{Wrong, check},
    file::File,
};
use crate::names::unknown;

/// The largest file that is read: hand-written scenarios have a few hundred lines.
const FILE_BYTES: u64 = 1 << 20;

/// A scenario that can't be used: one sentence that says what, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadScenario(pub String);

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadScenario {}

/// Where the scenarios are: beside this crate, where it was built, or in the present folder.
pub fn folder() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    if built.is_dir() { built.canonicalize().unwrap_or(built) } else { PathBuf::from("scenarios") }
}

/// Every scenario of a folder, by name.
///
/// # Errors
/// For the first file that can't be read or is no scenario.
pub fn all(folder: &Path) -> Result<Vec<Scenario>, BadScenario> {
    let unreadable = |path: &Path, why: std::io::Error| {
        BadScenario(format!("{} can't be read ({why}); run this from a complete checkout.", path.display()))
    };
    let mut found = Vec::new();
    for theme in entries(folder).map_err(|why| unreadable(folder, why))? {
        if !theme.is_dir() || name_of(&theme) == "snapshots" {
            continue;
        }
        for path in entries(&theme).map_err(|why| unreadable(&theme, why))? {
            if path.extension().is_some_and(|extension| extension == "toml") {
                let text = text_of(&path).map_err(|why| unreadable(&path, why))?;
                let name = format!("{}/{}", name_of(&theme), name_of(&path).trim_end_matches(".toml"));
                found.push(parse(&name, &path.display().to_string(), &text)?);
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    if found.is_empty() {
        let name = folder.display();
        return Err(BadScenario(format!("no scenarios in {name}; run this from a complete checkout.")));
    }
    Ok(found)
}

/// The scenario of a file, which is called as its path is written.
///
/// # Errors
/// Where it can't be read or is no scenario.
pub fn load(path: &Path) -> Result<Scenario, BadScenario> {
    let name = path.display().to_string();
    let text = text_of(path)
        .map_err(|why| BadScenario(format!("{name} can't be read ({why}); name a scenario's file.")))?;
    parse(&name, &name, &text)
}

fn text_of(path: &Path) -> io::Result<String> {
    // What has no size, as devices have none, is not read for ever either.
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES {
        return Err(io::Error::other("it is larger than 1 MiB, and a scenario is a short text"));
    }
    Ok(text)
}

/// A scenario by its name, or by the end of it where only one fits.
///
/// # Errors
/// Where none fits, with those that come close.
pub fn find<'a>(scenarios: &'a [Scenario], name: &str) -> Result<&'a Scenario, BadScenario> {
    if let Some(found) = scenarios.iter().find(|scenario| scenario.name == name) {
        return Ok(found);
    }
    let close: Vec<&Scenario> =
        scenarios.iter().filter(|scenario| scenario.name.ends_with(&format!("/{name}"))).collect();
    if let [only] = close[..] {
        return Ok(only);
    }
    Err(BadScenario(format!("there is no scenario {name:?}; `cargo sim list` names them all.")))
}

fn entries(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut entries =
        fs::read_dir(folder)?.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    entries.sort();
    Ok(entries)
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// A scenario from its text; `place` is where the text is from.
///
/// # Errors
/// With line and column where the text is at fault.
pub fn parse(name: &str, place: &str, text: &str) -> Result<Scenario, BadScenario> {
    let there = |at: usize, what: &str| {
        let before = &text.as_bytes()[..at.min(text.len())];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        BadScenario(format!("{place}:{line}:{column}: {what}; correct the scenario there."))
    };
    let file = read(text).map_err(|wrong| match wrong {
        Wrong::There(at, what) => there(at, &what),
        Wrong::Somewhere(what) => BadScenario(format!("{place}: {what}.")),
    })?;
    Ok(Scenario { name: name.to_owned(), file, hash: hash(text), text: text.to_owned(), set: Vec::new() })
}

/// What a text says, if all of it makes sense.
pub(super) fn read(text: &str) -> Result<File, Wrong> {
    let file: File = toml::from_str(text).map_err(|error| {
        let what = error.message().trim().replace('\n', ", ");
        Wrong::There(error.span().map_or(0, |span| span.start), nearest(&what).unwrap_or(what))
    })?;
    check(&file)?;
    Ok(file)
}

/// The short name of a text.
pub(super) fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
}

/// What serde says of a key or a word that is not on its list, with the nearest one that is.
fn nearest(message: &str) -> Option<String> {
    let (what, rest) = [("key", "unknown field `"), ("word", "unknown variant `")]
        .iter()
        .find_map(|(what, start)| Some((*what, message.strip_prefix(start)?)))?;
    let (text, known) = rest.split_once("`, expected ")?;
    Some(unknown(what, text, known.split('`').skip(1).step_by(2)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_does_not_know_is_told_with_the_nearest() {
        let message = "unknown field `windw`, expected one of `window`, `forced`";
        let told = "there is no key \"windw\", the nearest is \"window\"; there are window, forced";
        assert_eq!(nearest(message).as_deref(), Some(told));
        let message = "unknown variant `live`, expected `safety` or `liveness`";
        assert!(nearest(message).is_some_and(|told| told.ends_with("there are safety, liveness")));
        assert_eq!(nearest("something else"), None);
    }
}
