//! Which scenarios are meant, and what is changed about them.

use std::path::Path;

use super::{Bad, args::Changes};
use crate::{
    scenario::{self, Scenario, Setting},
    trace,
};

/// The most combinations of a grid.
const COMBINATIONS: usize = 10_000;
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

/// Everything that is set in each of the combinations; one combination where there is no grid.
pub(super) fn combinations(changes: &Changes) -> Result<Vec<Vec<Setting>>, Bad> {
    let list = |text: &String| {
        scenario::parse_list(text).map_err(|what| {
            Bad(format!("--grid {text:?} can't be read ({what}); write it like chain.window_hours=24,48."))
        })
    };
    let lists = changes.grid.iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let count = lists.iter().try_fold(1_usize, |count, list| count.checked_mul(list.len()));
    if count.is_none_or(|count| count > COMBINATIONS) {
        return Err(Bad(format!("--grid has more than {COMBINATIONS} combinations; give fewer values.")));
    }
    let set = settings(&changes.set)?;
    Ok(product(&lists).into_iter().map(|chosen| [&set[..], &chosen].concat()).collect())
}

/// One of each list, in every way: the last one changes first.
fn product<T: Clone>(lists: &[Vec<T>]) -> Vec<Vec<T>> {
    lists.iter().fold(vec![Vec::new()], |before, list| {
        let longer = |chosen: &Vec<T>| {
            let chosen = chosen.clone();
            list.iter().map(move |one| [&chosen[..], std::slice::from_ref(one)].concat())
        };
        before.iter().flat_map(longer).collect()
    })
}

/// How many runs a command makes, if they are not too many to keep a list of.
pub(super) fn count(scenarios: usize, seeds: u64) -> Result<(), Bad> {
    let runs = u64::try_from(scenarios).ok().and_then(|count| count.checked_mul(seeds));
    if runs.is_none_or(|runs| runs > RUNS) {
        return Err(Bad(format!("this makes more than {RUNS} runs; give fewer seeds, scenarios or values.")));
    }
    Ok(())
}

/// Every scenario in every combination.
pub(super) fn each(scenarios: &[Scenario], combinations: &[Vec<Setting>]) -> Result<Vec<Scenario>, Bad> {
    let both = scenarios.iter().flat_map(|scenario| combinations.iter().map(move |set| (scenario, set)));
    both.map(|(scenario, set)| Ok(scenario::with(scenario, set)?)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_has_every_combination_in_order() {
        assert_eq!(product::<u8>(&[]), [Vec::<u8>::new()]);
        let lists = [vec![1, 2], vec![3], vec![4, 5]];
        assert_eq!(product(&lists), [[1, 3, 4], [1, 3, 5], [2, 3, 4], [2, 3, 5]]);
    }
}
