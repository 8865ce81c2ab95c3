//! O13: the same decisions give the same state digests, on any machine.
//!
//! Not an onlooker: it needs two runs. A sweep runs a share of its seeds twice and asks this what differs.

use crate::run::Outcome;

/// What differs between two runs of the same decisions, if anything does.
pub fn differ(first: &Outcome, second: &Outcome) -> Option<String> {
    let (one, other) = (&first.ran, &second.ran);
    if one.steps != other.steps {
        return Some(format!("one run took {} steps, the other {}", one.steps, other.steps));
    }
    if one.digest != other.digest {
        return Some(format!("after {} steps each, the folded state digests differ", one.steps));
    }
    let is_same = one.time == other.time
        && one.rules == other.rules
        && one.balances == other.balances
        && first.violations == second.violations
        && first.probes == second.probes
        && first.bounds == second.bounds;
    (!is_same).then(|| "the state digests agree; balances, probes, bounds or violations do not".to_owned())
}
