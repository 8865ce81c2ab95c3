//! Which scenarios are meant, and what is changed about them.

use std::path::Path;

use super::Bad;
use crate::{
    scenario::{self, Scenario, Setting},
    trace,
};

/// The most runs of a command.
const RUNS: u64 = 50_000_000;

/// A scenario by its name, or by its file's path.
pub(super) fn choose(all: &[Scenario], name: &str) -> Result<Scenario, Bad> {
    if is_path(name) {
        return Ok(scenario::load(Path::new(name))?);
    }
    Ok(scenario::find(all, name)?.clone())
}

/// Whether this is a path rather than a name: no scenario's name looks like one.
pub(super) fn is_path(name: &str) -> bool {
    name.ends_with(".toml") || name.starts_with(['.', '/', '\\'])
}

/// What `--set` says.
pub(super) fn settings(texts: &[String]) -> Result<Vec<Setting>, Bad> {
    let setting = |text: &String| {
        Setting::parse(text).map_err(|what| {
            Bad(format!("--set {text:?} can't be read ({what}); write it like chain.window_hours=24."))
        })
    };
    texts.iter().map(setting).collect()
}

/// How many runs a command makes, if they are not too many to keep a list of.
pub(super) fn count(scenarios: usize, seeds: u64) -> Result<(), Bad> {
    let runs = u64::try_from(scenarios).ok().and_then(|count| count.checked_mul(seeds));
    if runs.is_none_or(|runs| runs > RUNS) {
        return Err(Bad(format!("this makes more than {RUNS} runs; give fewer seeds, scenarios or values.")));
    }
    Ok(())
}

/// Every scenario with this set.
pub(super) fn each(scenarios: &[Scenario], set: &[Setting]) -> Result<Vec<Scenario>, Bad> {
    scenarios.iter().map(|scenario| Ok(scenario::with(scenario, set)?)).collect()
}

/// The scenarios there are, and the one that a trace is of: it may have been changed, or be a file elsewhere.
pub(super) fn for_trace(scenarios: &[Scenario], file: &Path) -> Result<Vec<Scenario>, Bad> {
    let head = trace::head(file)?;
    let mut all = scenarios.to_vec();
    if (is_path(&head.scenario) || !head.set.is_empty())
        && let Ok(base) = choose(scenarios, &head.scenario)
    {
        all.push(scenario::with(&base, &settings(&head.set)?)?);
    }
    Ok(all)
}
