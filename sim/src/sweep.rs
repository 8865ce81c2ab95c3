//! Many runs, on several threads, in one order: what is found does not depend on how many threads look.
#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "how long runs take is shown to people; no run depends on it"
)]

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use crate::{
    check::o13_same,
    decide::Decisions,
    report::{Bound, Quantity, Violation},
    run::{Outcome, run},
    rung::Rung,
    scenario::Scenario,
};

/// Of this many seeds one runs twice (O13).
pub const TWICE: u64 = 20;

/// Of this many seeds one runs on the real rung as well, and must end the same.
pub const ALSO_REAL: u64 = 50;

/// A run to be made.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    /// Of what.
    pub scenario: &'a Scenario,
    /// From which seed.
    pub seed: u64,
    /// On which rung.
    pub rung: Rung,
}

/// A run that was made.
#[derive(Clone, Debug)]
pub struct Made {
    /// `theme/name`, or the file's path.
    pub scenario: String,
    /// What was set beside the file.
    pub set: Vec<String>,
    /// The seed.
    pub seed: u64,
    /// The rung.
    pub rung: Rung,
    /// Engine steps.
    pub steps: u64,
    /// Simulated time in microseconds.
    pub micros: u64,
    /// How long it took.
    pub wall: Duration,
    /// All state digests, folded.
    pub digest: [u8; 32],
    /// What must not have been.
    pub violations: Vec<Violation>,
    /// Probes that were hit.
    pub probes: BTreeMap<String, u64>,
    /// Bounds with what was observed.
    pub bounds: Vec<Bound>,
    /// The largest of what was observed, by quantity.
    pub observed: BTreeMap<&'static str, u64>,
    /// Who holds what at the end.
    pub balances: Vec<(String, u128)>,
}

impl Made {
    /// Whether everything held.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// What to type to see it again.
    pub fn repro(&self) -> String {
        let name = quoted(&self.scenario);
        let mut line = format!("cargo sim run {name} --seed {} --rung {}", self.seed, self.rung.name());
        for setting in &self.set {
            line += &format!(" --set {}", quoted(setting));
        }
        line
    }

    /// The largest of a quantity in this run, 0 where it has none.
    pub fn observed(&self, quantity: Quantity) -> u64 {
        self.observed.get(quantity.name()).copied().unwrap_or(0)
    }

    /// What a run came to.
    pub fn from(task: &Task<'_>, outcome: Outcome, wall: Duration) -> Self {
        Self {
            scenario: task.scenario.name.clone(),
            set: task.scenario.set.clone(),
            seed: task.seed,
            rung: task.rung,
            steps: outcome.ran.steps,
            micros: outcome.ran.time.0,
            wall,
            digest: outcome.ran.digest,
            violations: outcome.violations,
            probes: outcome.probes,
            bounds: outcome.bounds,
            observed: outcome.observed,
            balances: outcome.balances,
        }
    }
}

/// A word as a shell takes it.
pub fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./=,:+@".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Makes one run; some of them twice, some on the other rung too. A panic is a violation like any other.
pub fn make(task: &Task<'_>) -> Made {
    let start = Instant::now();
    let once = |rung| run(task.scenario, rung, Decisions::seeded(task.seed), None);
    let result = catch_unwind(AssertUnwindSafe(|| {
        let first = once(task.rung);
        let wall = start.elapsed();
        let mut differing = None;
        let mut only_real = Vec::new();
        if task.seed.is_multiple_of(TWICE) {
            differing = o13_same::differ(&first, &once(task.rung)).map(|text| ("O13", text));
        }
        if task.rung == Rung::Ideal && task.seed % ALSO_REAL == ALSO_REAL / 2 {
            let real = once(Rung::Real);
            if let Some(what) = unequal(&first, &real) {
                differing = differing.or(Some(("rungs", what)));
                // What the oracles say of the other rung tells more than that the two differ.
                only_real
                    .extend(real.violations.into_iter().filter(|wrong| !first.violations.contains(wrong)));
            }
        }
        let mut made = Made::from(task, first, wall);
        made.violations.extend(differing.map(|(rule, text)| Violation {
            oracle: "O13".to_owned(),
            rule: rule.to_owned(),
            text,
        }));
        made.violations.append(&mut only_real);
        made
    }));
    result.unwrap_or_else(|_| Made {
        scenario: task.scenario.name.clone(),
        set: task.scenario.set.clone(),
        seed: task.seed,
        rung: task.rung,
        steps: 0,
        micros: 0,
        wall: start.elapsed(),
        digest: [0; 32],
        violations: vec![Violation {
            oracle: "world".to_owned(),
            rule: "panic".to_owned(),
            text: "the run panicked: an assertion does not hold (its message is above)".to_owned(),
        }],
        probes: BTreeMap::new(),
        bounds: Vec::new(),
        observed: BTreeMap::new(),
        balances: Vec::new(),
    })
}

/// In what two rungs' outcomes differ, if they do: balances, rule ids, probes, what was violated.
pub fn unequal(ideal: &Outcome, real: &Outcome) -> Option<String> {
    // A role's own invariants are looked at less often on the ideal rung.
    let violated = |outcome: &Outcome| -> Vec<Violation> {
        outcome.violations.iter().filter(|violation| violation.oracle != "check").cloned().collect()
    };
    let violations = (violated(ideal), violated(real));
    let sides = if ideal.balances != real.balances {
        ("balances", format!("{:?}", ideal.balances), format!("{:?}", real.balances))
    } else if ideal.ran.rules != real.ran.rules {
        ("rules", format!("{:?}", ideal.ran.rules), format!("{:?}", real.ran.rules))
    } else if ideal.probes != real.probes {
        ("probes", format!("{:?}", ideal.probes), format!("{:?}", real.probes))
    } else if violations.0 != violations.1 {
        ("violations", format!("{:?}", violations.0), format!("{:?}", violations.1))
    } else {
        return None;
    };
    Some(format!("the rungs end with different {}: ideal {}, real {}", sides.0, sides.1, sides.2))
}

/// Makes all runs, or as many as begin within `at_most`. Each is handed over in the order of `tasks`.
pub fn sweep(tasks: &[Task<'_>], jobs: usize, at_most: Option<Duration>, mut done: impl FnMut(Made)) {
    let start = Instant::now();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        for _ in 0..jobs.clamp(1, 256) {
            let (send, next) = (send.clone(), &next);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(task) = tasks.get(index) else { return };
                    if at_most.is_some_and(|limit| start.elapsed() >= limit) {
                        return;
                    }
                    if send.send((index, make(task))).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        let mut waiting = BTreeMap::new();
        let mut turn = 0;
        for (index, made) in receive {
            waiting.insert(index, made);
            while let Some(made) = waiting.remove(&turn) {
                done(made);
                turn += 1;
            }
        }
        waiting.into_values().for_each(done);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_read_them() {
        for (word, shown) in [
            ("chain.window_hours=24", "chain.window_hours=24"),
            ("a={ min = 1 }", "'a={ min = 1 }'"),
            ("a=it's", r"'a=it'\''s'"),
            ("", "''"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }
}
