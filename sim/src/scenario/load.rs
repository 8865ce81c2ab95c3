//! Reading scenario files: `scenarios/<theme>/<name>.toml`. Whatever is wrong with one is told in one sentence.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{
    Scenario,
    check::{Wrong, check},
    file::File,
};

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
                let size = fs::metadata(&path).map_err(|why| unreadable(&path, why))?.len();
                if size > FILE_BYTES {
                    let name = path.display();
                    return Err(BadScenario(format!(
                        "{name} is larger than 1 MiB; a scenario is a short text."
                    )));
                }
                let text = fs::read_to_string(&path).map_err(|why| unreadable(&path, why))?;
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
    let file: File = toml::from_str(text).map_err(|error| {
        let what = error.message().trim().replace('\n', ", ");
        there(error.span().map_or(0, |span| span.start), &what)
    })?;
    check(&file).map_err(|wrong| match wrong {
        Wrong::There(at, what) => there(at, &what),
        Wrong::Somewhere(what) => BadScenario(format!("{place}: {what}.")),
    })?;
    Ok(Scenario {
        name: name.to_owned(),
        file,
        hash: blake3::hash(text.as_bytes()).to_hex()[..16].to_owned(),
    })
}
