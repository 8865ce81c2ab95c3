//! `border`: the value at which an oracle begins to speak, found by halving.

use serde_json::json;

use super::{
    Bad, Verdict,
    args::BorderArgs,
    change, cores, csv,
    out::{say, tell},
};
use crate::{
    names::unknown,
    report::Violation,
    scenario::{self, Scenario, Setting},
    sweep::{Made, Task, sweep},
};

/// Who may speak: the oracles, and what else ends in a violation.
const SPEAKERS: [&str; 17] = [
    "O1", "O2", "O3", "O4", "O5", "O8", "O9", "O10", "O11", "O12", "O13", "O14", "O16", "O17", "bound",
    "check", "world",
];

/// Where the search goes on.
struct Search<'a> {
    base: Scenario,
    set: Vec<Setting>,
    args: &'a BorderArgs,
}

impl Search<'_> {
    /// The scenario at a value.
    fn at(&self, value: u64) -> Result<Scenario, Bad> {
        let setting = Setting::number(&self.args.key, value).map_err(|what| {
            Bad(format!(
                "the key {:?} can't be read ({what}); write one like chain.window_hours.",
                self.args.key
            ))
        })?;
        Ok(scenario::with(&self.base, &[&self.set[..], &[setting]].concat())?)
    }

    /// What is listened for, if it is said in a run.
    fn heard<'m>(&self, made: &'m Made) -> Option<&'m Violation> {
        let mut all = made.violations.iter();
        all.find(|wrong| self.args.oracle.as_ref().is_none_or(|name| *name == wrong.oracle))
    }

    /// A run at a value in which the oracle speaks, if there is one: `first` is the seed that is asked first.
    fn loud(&self, value: u64, first: u64) -> Result<Option<Made>, Bad> {
        let scenario = &self.at(value)?;
        let jobs = self.args.jobs.unwrap_or_else(cores);
        let rung = self.args.rung.into();
        let task = |seed| Task { scenario, seed, rung };
        let others = (0..self.args.seeds).filter(|seed| *seed != first);
        let tasks: Vec<Task<'_>> = [first].into_iter().chain(others).map(task).collect();
        // One alone, and then as many at a time as there are threads, for one is enough.
        let (one, rest) = tasks.split_at(1);
        let mut found: Option<Made> = None;
        for some in [one].into_iter().chain(rest.chunks(jobs.clamp(1, 256))) {
            sweep(some, jobs, None, |made| {
                if found.is_none() && self.heard(&made).is_some() {
                    found = Some(made);
                }
            });
            if found.is_some() {
                break;
            }
        }
        let told = found.as_ref().map_or("silent".to_owned(), |made| csv::oracles(made).join(" "));
        tell!("{} = {value}: {told}", self.args.key);
        Ok(found)
    }
}

/// Two neighbours, the first of them of `low`'s kind and the second of `high`'s, where `is_like_low` is true of `low` and not
/// of `high`.
fn halve<E>(
    low: u64,
    high: u64,
    mut is_like_low: impl FnMut(u64) -> Result<bool, E>,
) -> Result<(u64, u64), E> {
    let (mut low, mut high) = (low, high);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_like_low(middle)? {
            low = middle;
        } else {
            high = middle;
        }
    }
    Ok((low, high))
}

pub(super) fn border(scenarios: &[Scenario], args: &BorderArgs) -> Result<Verdict, Bad> {
    if let Some(name) = args.oracle.as_ref().filter(|name| !SPEAKERS.contains(&&***name)) {
        let what = unknown("oracle", name, SPEAKERS.iter().copied());
        return Err(Bad(format!("--oracle can't be used: {what}.")));
    }
    let (Some(&low), Some(&high)) = (args.between.iter().min(), args.between.iter().max()) else {
        return Err(Bad("--between is missing; give two numbers.".to_owned()));
    };
    if low == high {
        return Err(Bad(format!("--between has {low} twice; give two numbers that differ.")));
    }
    let base = change::choose(scenarios, &args.name)?;
    let search = Search { base, set: change::settings(&args.set)?, args };
    // Both have to make sense before anything is run.
    search.at(low)?;
    search.at(high)?;
    let (at_low, at_high) = (search.loud(low, 0)?, search.loud(high, 0)?);
    let is_low_loud = at_low.is_some();
    let mut loud = match (at_low, at_high) {
        (Some(made), None) | (None, Some(made)) => made,
        (both, _) => {
            let what = if both.is_some() { "speaks at both" } else { "is silent at both" };
            let who = args.oracle.as_deref().unwrap_or("every oracle together");
            tell!("no border: {who} {what} {low} and {high}, over {} seeds", args.seeds);
            return Ok(Verdict::Violated);
        }
    };
    let (below, above) = halve(low, high, |value| {
        let found = search.loud(value, loud.seed)?;
        let is_loud = found.is_some();
        loud = found.unwrap_or_else(|| loud.clone());
        Ok::<_, Bad>(is_loud == is_low_loud)
    })?;
    let (loud_at, quiet_at) = if is_low_loud { (below, above) } else { (above, below) };
    let quiet = Made { set: search.at(quiet_at)?.set, violations: Vec::new(), ..loud.clone() };
    if args.json {
        let side = |value: u64, made: &Made| json!({ "value": value, "seed": made.seed, "oracles": csv::oracles(made), "repro": made.repro() });
        say!(
            "{}",
            json!({
                "scenario": loud.scenario,
                "key": args.key,
                "seeds": args.seeds,
                "loud": side(loud_at, &loud),
                "quiet": side(quiet_at, &quiet),
            })
        );
        return Ok(Verdict::Held);
    }
    let kind = if is_low_loud { "up to" } else { "from" };
    let who = args.oracle.clone().unwrap_or_else(|| csv::oracles(&loud).join(" "));
    let (key, name, seeds) = (&args.key, &loud.scenario, args.seeds);
    say!("{key} of {name}: {who} speaks {kind} {loud_at}; silent at {quiet_at}, over {seeds} seeds");
    if let Some(wrong) = search.heard(&loud) {
        say!("  {} {}: {}", wrong.oracle, wrong.rule, wrong.text);
    }
    say!("  {loud_at:>6}  {}", loud.repro());
    say!("  {quiet_at:>6}  {}", quiet.repro());
    Ok(Verdict::Held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halving_ends_between_neighbours_on_both_sides() {
        for border in 1..=60 {
            let mut asked = 0;
            let found = halve(0, 60, |value| {
                asked += 1;
                Ok::<_, ()>(value < border)
            });
            assert_eq!(found, Ok((border - 1, border)));
            assert!(asked <= 6);
        }
        assert_eq!(halve(0, u64::MAX, |value| Ok::<_, ()>(value < 5)), Ok((4, 5)));
        assert_eq!(halve(0, 9, |_| Err::<bool, _>("no")), Err("no"));
    }
}
