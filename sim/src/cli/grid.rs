//! `--grid`: every combination of some values, over all seeds given, and a row for each.

use std::{collections::BTreeMap, time::Duration};

use super::{Bad, Form, Verdict, args::Changes, csv, out::say, progress, show};
use crate::{
    report::Quantity,
    scenario::Setting,
    sweep::{Made, Task, sweep},
    text::{columns, grouped},
};

/// A combination's runs.
#[derive(Default)]
struct Row {
    scenario: String,
    values: Vec<String>,
    runs: u64,
    violated: u64,
    /// In how many runs each oracle spoke.
    oracles: BTreeMap<String, u64>,
    money: [u64; csv::MONEY.len()],
    /// The run to look at, with what it cost: the one that cost most of those that broke something.
    worst: Option<(u64, u64, String)>,
}

/// What honest parties lost in a run, as far as no rule allows for it.
fn loss(made: &Made) -> u64 {
    made.observed(Quantity::SettledBelow).max(made.observed(Quantity::ClientLoss))
}

impl Row {
    fn add(&mut self, made: &Made) {
        self.runs += 1;
        self.violated += u64::from(!made.is_ok());
        for oracle in csv::oracles(made) {
            *self.oracles.entry(oracle.to_owned()).or_default() += 1;
        }
        for (most, quantity) in self.money.iter_mut().zip(csv::MONEY) {
            *most = (*most).max(made.observed(quantity));
        }
        let cost = loss(made);
        if !made.is_ok() && self.worst.as_ref().is_none_or(|(most, ..)| cost > *most) {
            self.worst = Some((cost, made.seed, made.repro()));
        }
    }

    fn spoke(&self) -> String {
        let spoke = self.oracles.iter().map(|(oracle, runs)| format!("{oracle} {runs}"));
        spoke.collect::<Vec<_>>().join(", ")
    }

    fn largest(&self) -> u64 {
        // Both are among what rows have: see `loss`.
        self.money[0].max(self.money[1])
    }
}

/// Makes the runs of every combination.
pub(super) fn grid(
    changes: &Changes,
    tasks: &[Task<'_>],
    jobs: usize,
    at_most: Option<Duration>,
    form: Form,
) -> Result<Verdict, Bad> {
    let lists =
        changes.grid.iter().map(|text| crate::scenario::parse_list(text)).collect::<Result<Vec<_>, _>>();
    let lists = lists.map_err(Bad)?;
    let keys: Vec<String> = lists.iter().filter_map(|list| list.first()).map(Setting::key).collect();
    let bar = progress(tasks.len() as u64);
    let mut rows: Vec<Row> = Vec::new();
    let mut last: Option<(String, Vec<String>)> = None;
    sweep(tasks, jobs, at_most, |made| {
        bar.set_message(made.scenario.clone());
        bar.inc(1);
        if form == Form::Json {
            bar.suspend(|| say!("{}", show::json(&made)));
        }
        // The runs of a combination come one after the other.
        let this = (made.scenario.clone(), made.set.clone());
        if last.as_ref() != Some(&this) {
            let values = values(&made.set, keys.len());
            rows.push(Row { scenario: made.scenario.clone(), values, ..Row::default() });
            last = Some(this);
        }
        if let Some(row) = rows.last_mut() {
            row.add(&made);
        }
    });
    bar.finish_and_clear();
    match form {
        Form::Json => {}
        Form::Csv => as_csv(&keys, &rows),
        Form::Table => as_table(&keys, &rows),
    }
    Ok(if rows.iter().all(|row| row.violated == 0) { Verdict::Held } else { Verdict::Violated })
}

/// The values of the grid's keys: they are the last ones that are set.
fn values(set: &[String], keys: usize) -> Vec<String> {
    let own = set.iter().skip(set.len().saturating_sub(keys));
    own.map(|text| text.split_once('=').map_or(text.clone(), |(_, value)| value.to_owned())).collect()
}

fn as_csv(keys: &[String], rows: &[Row]) {
    let strings = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let money = csv::MONEY.map(|quantity| quantity.name().to_owned());
    let head =
        [strings(&["scenario"]), keys.to_vec(), strings(&["runs", "violated", "oracles", "largest-loss"])];
    csv::row(head.concat().into_iter().chain(money).chain(strings(&["seed", "repro"])));
    for row in rows {
        let (seed, repro) = match &row.worst {
            Some((_, seed, repro)) => (seed.to_string(), repro.clone()),
            None => (String::new(), String::new()),
        };
        let own = [row.runs.to_string(), row.violated.to_string(), row.spoke(), row.largest().to_string()];
        let money = row.money.map(|most| most.to_string());
        let fields = [row.scenario.clone()].into_iter().chain(row.values.iter().cloned());
        csv::row(fields.chain(own).chain(money).chain([seed, repro]));
    }
}

fn as_table(keys: &[String], rows: &[Row]) {
    let has_several = rows.iter().any(|row| row.scenario != rows[0].scenario);
    let mut heads: Vec<String> = keys.to_vec();
    heads.extend(["runs", "violated", "by", "largest loss", "repro"].map(str::to_owned));
    let mut lines: Vec<Vec<String>> = vec![heads];
    for row in rows {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let repro = row.worst.as_ref().map_or(String::new(), |(_, _, repro)| repro.clone());
        let mut line = row.values.clone();
        line.extend([row.runs.to_string(), row.violated.to_string()]);
        line.extend([or_dash(row.spoke()), grouped(row.largest().into()), or_dash(repro)]);
        lines.push(line);
    }
    if has_several {
        let names = ["scenario"].into_iter().chain(rows.iter().map(|row| &*row.scenario));
        for (line, name) in lines.iter_mut().zip(names) {
            line.insert(0, name.to_owned());
        }
    }
    columns(&lines).iter().for_each(|line| say!("{line}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_values_of_the_grid_alone() {
        let set = ["money.rate=7".to_owned(), "a.b=1".to_owned(), "c={ min = 1 }".to_owned()];
        assert_eq!(values(&set, 2), ["1", "{ min = 1 }"]);
        assert!(values(&set, 0).is_empty());
    }
}
