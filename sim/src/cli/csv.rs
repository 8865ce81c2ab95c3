//! Comma-separated values: a head, then a row for each run.

use super::{out::say, show};
use crate::{report::Quantity, sweep::Made};

/// The quantities of money that rows have.
pub(super) const MONEY: [Quantity; 4] =
    [Quantity::SettledBelow, Quantity::ClientLoss, Quantity::NodeLoss, Quantity::Overpaid];

/// The names of a run's columns.
pub(super) fn head() {
    let first = ["scenario", "set", "seed", "rung", "ok", "steps", "simulated", "oracles"];
    let money = MONEY.map(Quantity::name);
    row(first.into_iter().chain(money).chain(["repro"]).map(str::to_owned));
}

/// A run.
pub(super) fn run(made: &Made) {
    let first = [
        made.scenario.clone(),
        made.set.join(" "),
        made.seed.to_string(),
        made.rung.name().to_owned(),
        made.is_ok().to_string(),
        made.steps.to_string(),
        show::clock(made.micros),
        oracles(made).join(" "),
    ];
    let money = MONEY.map(|quantity| made.observed(quantity).to_string());
    row(first.into_iter().chain(money).chain([made.repro()]));
}

/// Who spoke, each once.
pub(super) fn oracles(made: &Made) -> Vec<&str> {
    let mut oracles: Vec<&str> = made.violations.iter().map(|violation| &*violation.oracle).collect();
    oracles.sort_unstable();
    oracles.dedup();
    oracles
}

/// A row of anything.
pub(super) fn row(fields: impl Iterator<Item = String>) {
    say!("{}", fields.map(|text| field(&text)).collect::<Vec<_>>().join(","));
}

/// A field, in quotes where it needs them (RFC 4180).
fn field(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", text.replace('"', "\"\""));
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_they_have_to_be() {
        for (text, shown) in [("plain", "plain"), ("a,b", "\"a,b\""), ("say \"no\"", "\"say \"\"no\"\"\"")] {
            assert_eq!(field(text), shown);
        }
    }
}
