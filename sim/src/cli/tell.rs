//! `--story`: the run once more, for its decisive events.

use super::{
    out::say,
    show::{clock, hex},
};
use crate::{
    decide::Decisions,
    run::run,
    scenario::{Plan, tokens},
    story::{Story, told},
    sweep::{Made, Task},
};

/// Tells what a run came to.
pub(super) fn story(task: &Task<'_>, made: &Made) {
    if made.violations.iter().any(|violation| violation.rule == "panic") {
        // It would panic again; what it said is printed behind this.
        return say!("{} seed {} rung {}: it panics", made.scenario, made.seed, made.rung.name());
    }
    let genesis = tokens::genesis(&task.scenario.file);
    let decide = || Decisions::seeded(task.seed);
    let plan = Plan::draw(task.scenario, &genesis, &mut decide());
    let hours = |span: decdn_engine::time::Span| span.0 / 3_600_000_000;
    say!(
        "{} seed {} rung {}: window {} h, forced inclusion {} h, {} simulated, digest {}",
        made.scenario,
        made.seed,
        made.rung.name(),
        hours(plan.window),
        hours(plan.forced),
        clock(made.micros),
        hex(&made.digest[..8])
    );
    let mut outcome = run(task.scenario, task.rung, decide(), Some(Box::new(Story::new(&plan.sequencer))));
    let recorder = outcome.recorder.take().expect("a run gives its recorder back");
    let story = recorder.into_any().downcast::<Story>().expect("it is the one that went in");
    told(&story, task.scenario, &made.violations).iter().for_each(|line| say!("{line}"));
}
