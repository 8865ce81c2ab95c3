//! Reading scenario files: `scenarios/<theme>/<name>.toml`. Whatever is wrong with one is told in one sentence.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use super::{
    SYMBOLS, Scenario, Symbols, evaluate,
    file::{File, Pin},
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
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = &text.as_bytes()[..at];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
        let what = error.message().trim().replace('\n', ", ");
        BadScenario(format!("{place}:{line}:{column}: {what}; correct the scenario there."))
    })?;
    check(&file).map_err(|what| BadScenario(format!("{place}: {what}.")))?;
    Ok(Scenario {
        name: name.to_owned(),
        file,
        hash: blake3::hash(text.as_bytes()).to_hex()[..16].to_owned(),
    })
}

/// What a type can't say.
fn check(file: &File) -> Result<(), String> {
    let names: Vec<&str> = file.actors.iter().map(|actor| actor.name.as_str()).collect();
    let known = |name: &str, place: &str| {
        if names.contains(&name) {
            Ok(())
        } else {
            Err(format!("{place} names {name:?}, which is no actor; there are {}", names.join(", ")))
        }
    };
    for actor in &file.actors {
        if names.iter().filter(|name| **name == actor.name).count() > 1 {
            return Err(format!("two actors are called {:?}; give each a name of its own", actor.name));
        }
        if actor.count.most() > 64 {
            return Err(format!("actor {:?} has a count above 64; lower it", actor.name));
        }
        let options = actor.plays.as_deref().map_or(&[][..], crate::adversary::options);
        if let Some(name) = actor.with.keys().find(|name| !options.contains(&name.as_str())) {
            let known = options.join(", ");
            return Err(format!(
                "actor {:?} is told {name:?} under with; what it plays takes {known}",
                actor.name
            ));
        }
        if let Some(kind) = &actor.plays
            && !crate::adversary::KINDS.iter().any(|(known, _)| known == kind)
        {
            let kinds: Vec<&str> = crate::adversary::KINDS.iter().map(|(kind, _)| *kind).collect();
            return Err(format!(
                "actor {:?} plays {kind:?}, which is no adversary; there are {}",
                actor.name,
                kinds.join(", ")
            ));
        }
    }
    for fetch in &file.fetches {
        known(&fetch.client, "a fetch")?;
        for from in &fetch.from {
            known(from, "a fetch")?;
        }
        if fetch.from.is_empty() {
            return Err("a fetch has nobody in `from`; name at least one node".to_owned());
        }
        if fetch.blob_bytes.most() > 1 << 40 || fetch.count.most() > 1_000 {
            return Err("a fetch is above 2^40 bytes or 1,000 times; lower it".to_owned());
        }
    }
    for pair in &file.links {
        known(&pair.from, "a link")?;
        known(&pair.to, "a link")?;
    }
    for rule in &file.chain.sequencer {
        for name in &rule.censors {
            known(name, "the sequencer")?;
        }
    }
    for event in &file.events {
        let named = [&event.crash, &event.wipe, &event.clock_ahead, &event.clock_behind];
        let silence = event.silence.iter().flatten();
        let others = usize::from(event.silence.is_some()) + usize::from(event.window_hours.is_some());
        if named.iter().filter(|name| name.is_some()).count() + others != 1 {
            let keys = "crash, wipe, silence, window_hours, clock_ahead, clock_behind";
            return Err(format!("an event needs exactly one of {keys}"));
        }
        for name in named.into_iter().flatten().chain(silence) {
            known(name, "an event")?;
        }
    }
    let windows = file.events.iter().filter_map(|event| event.window_hours.as_ref());
    if windows.chain([&file.chain.window_hours]).any(|window| window.least() < 12 || window.most() > 72) {
        return Err("window_hours is outside 12 to 72, the contract's bounds; correct it".to_owned());
    }
    if file.limit_hours.most() > 24 * 365 {
        return Err("limit_hours is above a year; lower it".to_owned());
    }
    for pin in pins(file) {
        if pin.least() > pin.most() || matches!(pin, Pin::Any(any) if any.any.is_empty()) {
            return Err("a range has its ends exchanged, or no options; correct it".to_owned());
        }
    }
    let symbols: Symbols = SYMBOLS.iter().map(|(name, _)| ((*name).to_owned(), 1)).collect();
    if file.profit.is_none() && file.actors.iter().any(|actor| actor.plays.is_some()) {
        return Err("an actor plays an adversary, and no `profit` says what it may gain; add it".to_owned());
    }
    let formulas =
        file.bounds.iter().map(|bound| &bound.limit).chain(file.lifts.iter().map(|lift| &lift.loss));
    let profit_symbols: Symbols =
        symbols.iter().map(|(name, one)| (name.clone(), *one)).chain([("K".to_owned(), 1)]).collect();
    let profit = file.profit.iter().map(|line| (&line.limit, &profit_symbols));
    for (formula, symbols) in formulas.map(|formula| (formula, &symbols)).chain(profit) {
        if formula.len() > 400 {
            return Err("a formula is longer than 400 characters; shorten it".to_owned());
        }
        evaluate(formula, symbols).map_err(|what| format!("in the formula `{formula}` {what}"))?;
    }
    for lift in &file.lifts {
        known(&lift.actor, "a lift")?;
    }
    Ok(())
}

fn pins(file: &File) -> Vec<&Pin> {
    let (money, chain, link) = (&file.money, &file.chain, &file.link);
    let mut pins = vec![
        &file.limit_hours,
        &file.calm_secs,
        &money.rate,
        &money.cadence_bytes,
        &money.offer_ceiling_bytes,
        &money.deposit,
        &money.wallet,
        &chain.window_hours,
        &chain.forced_hours,
        &chain.endpoint_ms,
    ];
    for link in file.links.iter().map(|pair| &pair.link).chain([link]) {
        pins.extend([&link.latency_us, &link.jitter_us, &link.mbit, &link.life_ms]);
    }
    for actor in &file.actors {
        pins.extend([&actor.count, &actor.disk_us, &actor.signer_us, &actor.restart_ms]);
        pins.extend(actor.with.values());
        pins.extend([&actor.rate, &actor.offer_ceiling_bytes, &actor.soft_cap].into_iter().flatten());
        pins.extend([&actor.poll_secs, &actor.margin_hours].into_iter().flatten());
    }
    for fetch in &file.fetches {
        pins.extend([&fetch.blob_bytes, &fetch.offset_groups, &fetch.len_bytes, &fetch.at_ms, &fetch.count]);
        pins.extend([&fetch.keep_channel]);
        pins.extend([&fetch.cadence_bytes, &fetch.deposit].into_iter().flatten());
    }
    for event in &file.events {
        pins.extend([&event.at_ms, &event.for_ms, &event.by_ms]);
        pins.extend(&event.window_hours);
    }
    for rule in &chain.sequencer {
        pins.extend([&rule.from_secs, &rule.for_secs]);
    }
    pins
}
