//! What people and programs get to read.

use std::collections::{BTreeMap, btree_map::Entry};

use serde_json::{Value, json};

use super::out::{say, tell};
use crate::{
    report::{Bound, Quantity},
    rung::Rung,
    scenario::{self, Scenario},
    sweep::{Made, Task},
};

/// `list`: one line or one JSON object per scenario.
pub(super) fn list(scenarios: &[Scenario], as_json: bool) {
    for scenario in scenarios {
        let file = &scenario.file;
        if as_json {
            say!("{}", json!({ "scenario": scenario.name, "shows": file.shows }));
        } else {
            say!("{:<28} {}", scenario.name, file.shows);
        }
    }
}

/// One object per run; other tools read these fields.
pub(super) fn json(made: &Made) -> Value {
    let probes: BTreeMap<&str, u64> =
        made.probes.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    json!({
        "scenario": made.scenario,
        "set": made.set,
        "seed": made.seed,
        "rung": made.rung.name(),
        "ok": made.is_ok(),
        "steps": made.steps,
        "sim_seconds": seconds(made.micros),
        "wall_seconds": made.wall.as_secs_f64(),
        "digest": hex(&made.digest),
        "violations": made.violations,
        "probes": probes,
        "bounds": made.bounds,
        "observed": made.observed,
    })
}

/// The same of one run, with what was drawn for it and who holds what at its end.
pub(super) fn json_of_one(made: &Made, scenario: &Scenario) -> Value {
    let mut object = json(made);
    let held = made.balances.iter().map(|(who, amount)| (who.clone(), exact(*amount)));
    object["balances"] = Value::Object(held.collect());
    object["drawn"] = scenario::drawn(scenario, made.seed);
    object
}

/// An amount that JSON takes; a larger one as text.
fn exact(amount: u128) -> Value {
    u64::try_from(amount).map_or_else(|_| json!(amount.to_string()), |amount| json!(amount))
}

/// One run, for people.
pub(super) fn run(made: &Made) {
    say!(
        "{} seed {} rung {}: {} steps, {} simulated, {:.3} s, digest {}",
        made.scenario,
        made.seed,
        made.rung.name(),
        made.steps,
        clock(made.micros),
        made.wall.as_secs_f64(),
        hex(&made.digest[..8])
    );
    for (probe, count) in &made.probes {
        say!("  probe  {probe:<32} {count}");
    }
    for bound in &made.bounds {
        say!("  bound  {:<32} {} of {}", bound.name, bound.observed, bound.limit);
    }
    let (honest, coalition) = gas(made);
    if coalition > 0 {
        say!("  gas    {:<32} {honest} / {coalition} = {}", "honest / others", ratio(honest, coalition));
    }
}

/// What honest parties' transactions took in gas, and what everybody else's did (O14).
fn gas(made: &Made) -> (u128, u128) {
    let of = |quantity| u128::from(made.observed(quantity));
    (of(Quantity::HonestGas), of(Quantity::CoalitionGas))
}

/// With two decimals; a dash where nobody else is there.
fn ratio(one: u128, other: u128) -> String {
    (one * 100 + other / 2)
        .checked_div(other)
        .map_or("-".to_owned(), |part| format!("{}.{:02}", part / 100, part % 100))
}

/// What broke, and how to see it again.
pub(super) fn violations(made: &Made) {
    for violation in &made.violations {
        tell!("{} {}: {}", violation.oracle, violation.rule, violation.text);
    }
    tell!("repro: {}", made.repro());
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[expect(clippy::float_arithmetic, reason = "a figure that is printed")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

pub(super) fn clock(micros: u64) -> String {
    let secs = micros / 1_000_000;
    format!("{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)
}

/// What a bound leaves: per mille of its limit that was used.
fn used(bound: &Bound) -> u64 {
    let of = u128::from(bound.observed) * 1_000;
    u64::try_from(of.checked_div(u128::from(bound.limit)).unwrap_or(if bound.observed == 0 {
        0
    } else {
        u128::MAX
    }))
    .unwrap_or(u64::MAX)
}

#[derive(Default)]
struct Row {
    runs: u64,
    steps: u64,
    micros: u128,
    wall_micros: u128,
    violations: u64,
    gas: (u128, u128),
    tightest: Option<(u64, String)>,
    probes: BTreeMap<String, u64>,
}

/// The table of a sweep.
#[derive(Default)]
pub(super) struct Table {
    rows: BTreeMap<(String, Rung), Row>,
}

impl Table {
    /// Counts a run.
    pub(super) fn add(&mut self, made: &Made) {
        let row = match self.rows.entry((made.scenario.clone(), made.rung)) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Row::default()),
        };
        row.runs += 1;
        row.steps += made.steps;
        row.micros += u128::from(made.micros);
        row.wall_micros += made.wall.as_micros();
        row.violations += u64::from(!made.is_ok());
        let (honest, coalition) = gas(made);
        row.gas = (row.gas.0 + honest, row.gas.1 + coalition);
        for bound in &made.bounds {
            let part = used(bound);
            if row.tightest.as_ref().is_none_or(|(most, _)| part > *most) {
                row.tightest = Some((part, bound.name.clone()));
            }
        }
        for (probe, count) in &made.probes {
            *row.probes.entry(probe.clone()).or_default() += count;
        }
    }

    /// Prints it.
    pub(super) fn print(&self) {
        say!(
            "{:<30} {:<5} {:>6} {:>11} {:>14} {:>11} {:>10} {:>10}  tightest bound",
            "scenario",
            "rung",
            "runs",
            "steps",
            "simulated",
            "speed-up",
            "violations",
            "gas"
        );
        for ((name, rung), row) in &self.rows {
            let secs = row.micros / 1_000_000;
            let bound = row
                .tightest
                .as_ref()
                .map_or("-".to_owned(), |(part, name)| format!("{}.{} % of {name}", part / 10, part % 10));
            say!(
                "{:<30} {:<5} {:>6} {:>11} {:>14} {:>10}x {:>10} {:>10}  {bound}",
                name,
                rung.name(),
                row.runs,
                row.steps,
                format!("{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60),
                row.micros / row.wall_micros.max(1),
                row.violations,
                ratio(row.gas.0, row.gas.1)
            );
        }
    }

    /// Scenarios of at least `runs` runs in which attacking is cheaper than being attacked, and nothing says why (O14).
    pub(super) fn unexplained(&self, tasks: &[Task<'_>], runs: u64) -> Vec<String> {
        let rows =
            self.rows.iter().filter(|(_, row)| row.runs >= runs && row.gas.0 > row.gas.1 && row.gas.1 > 0);
        let says_why = |name: &str| {
            let mut tasks = tasks.iter().filter(|task| task.scenario.name == *name);
            tasks.any(|task| task.scenario.file.griefing.is_some())
        };
        rows.filter(|((name, _), _)| !says_why(name))
            .map(|((name, _), row)| {
                let ratio = ratio(row.gas.0, row.gas.1);
                format!(
                    "{name}: honest parties' gas is {ratio} times the others', and no `griefing` says why"
                )
            })
            .collect()
    }

    /// Probes that a sweep of at least `runs` runs should have reached and did not.
    pub(super) fn missed(&self, tasks: &[Task<'_>], runs: u64) -> Vec<String> {
        let mut missed = Vec::new();
        for ((name, _), row) in self.rows.iter().filter(|(_, row)| row.runs >= runs) {
            let task = tasks.iter().find(|task| task.scenario.name == *name);
            for probe in task.iter().flat_map(|task| &task.scenario.file.probes) {
                if row.probes.get(probe.name()).is_none_or(|count| *count == 0) {
                    missed.push(format!(
                        "{name} never reached {:?} in {} runs: it shows nothing of it",
                        probe.name(),
                        row.runs
                    ));
                }
            }
        }
        missed
    }
}
