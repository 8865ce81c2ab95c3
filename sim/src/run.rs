//! One run of one scenario: from a seed, a log or bytes to what the oracles say.

use std::{collections::BTreeMap, io::Write};

use decdn_engine::money::Amount;

use crate::{
    actor::{Actor, ActorId, Honest},
    adversary,
    cast::Part,
    chain::Chain,
    check::{self, Briefing, Lifted},
    content::Library,
    decide::Decisions,
    measure::Measure,
    report::{Bound, Quantity, Violation},
    rung::{Rung, SimCrypto},
    scenario::{Plan, PlannedActor, Scenario, evaluate, tokens},
    trace::{Head, Scribe, VERSION},
    watch::{Recorder, Watch},
    weather::Weather,
    world::{Job, Order, Owner, Parts, Ran, TimedFault, World},
};

/// How a run ended.
pub struct Outcome {
    /// What the world counted.
    pub ran: Ran,
    /// What must not have been.
    pub violations: Vec<Violation>,
    /// Probes that were hit, with how often.
    pub probes: BTreeMap<String, u64>,
    /// The scenario's bounds with what was observed.
    pub bounds: Vec<Bound>,
    /// The largest of what was observed, whether a bound is about it or not.
    pub observed: BTreeMap<&'static str, u64>,
    /// Token balances at the end, by name: equal on both rungs.
    pub balances: Vec<(String, u128)>,
    /// The run's choices, logged if they were to be.
    pub decisions: Decisions,
    /// What wrote the run down, if anything did.
    pub recorder: Option<Box<dyn Recorder>>,
}

impl Outcome {
    /// Whether everything held.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs a scenario with these choices.
pub fn run(
    scenario: &Scenario,
    rung: Rung,
    mut decide: Decisions,
    recorder: Option<Box<dyn Recorder>>,
) -> Outcome {
    if recorder.is_some() {
        decide.keep_log();
    }
    let mut genesis = tokens::genesis(&scenario.file);
    let plan = Plan::draw(scenario, &genesis, &mut decide);
    genesis.dispute_window_secs = plan.window.0 / 1_000_000;

    let (crypto, backends, (library, blobs)) = match rung {
        Rung::Ideal => (SimCrypto::Ideal, Chain::model(&genesis), Library::symbols(&plan.blobs)),
        Rung::Real => (SimCrypto::real(&plan.cast), Chain::bytecode(&genesis), Library::bytes(&plan.blobs)),
    };
    let people: Vec<_> = plan
        .cast
        .people
        .iter()
        .map(|person| {
            let node = person.plays(Part::Node).then_some(person.node);
            (person.account, node, plan.wallet)
        })
        .collect();
    let mut chain =
        Chain::new(&genesis, backends, &people, (plan.forced, plan.endpoint), plan.sequencer.clone());
    if plan.timed.iter().any(|timed| matches!(timed.what, TimedFault::Fork(_))) {
        chain.keep_soft();
    }

    if let Some(accounts) = &plan.accounts {
        chain.keep_accounts(accounts.ether.clone());
        chain.set_spikes(accounts.spikes.clone());
        chain.set_low_estimates(accounts.low.clone());
    }

    let mut held = Vec::new();
    let mut jobs = Vec::new();
    for fetch in plan.fetches.iter().chain(&plan.again) {
        for from in &fetch.from {
            held.push((*from, blobs[fetch.blob], plan.blobs[fetch.blob].bytes));
        }
        let mut order = fetch.order.clone();
        order.hash = blobs[fetch.blob];
        jobs.push(Job::new(fetch.actor, fetch.at, Order::Fetch(order)));
    }

    jobs.extend(plan.orders.iter().cloned());

    let briefing = brief(scenario, &plan);
    let actors = plan.actors.iter().map(|planned| (actor(planned), planned.machine)).collect();
    let mut onlookers = check::oracles(&briefing);
    onlookers.push(Box::new(Measure::default()));
    onlookers.push(Box::new(Weather::default()));
    let mut watch = Watch::new(onlookers);
    watch.recorder = recorder;
    let path = plan.paths.values().next().copied();
    let parts = Parts {
        cast: plan.cast.clone(),
        actors,
        blobs: held,
        paths: plan.paths.clone(),
        path: path.unwrap_or(crate::net::Path::NEAR),
        chain,
        library,
        jobs,
        owners: owners(&plan).collect(),
        endpoints: plan.endpoints.clone(),
        window: plan.window,
        timed: plan.timed.clone(),
        calm_at: plan.calm_at,
        kept_channels_end: plan.kept_channels_end,
        until: plan.until,
        steps_max: scenario.file.steps_max,
    };
    let ended = World::new(parts, crypto, decide, watch).run();
    judge(scenario, &plan, ended)
}

/// Runs a scenario into a trace of the form that `head` asks for.
///
/// # Errors
/// Those of the writer.
pub fn traced<W: Write + 'static>(
    scenario: &Scenario,
    head: &Head,
    decide: Decisions,
    to: W,
) -> std::io::Result<(Outcome, W)> {
    let scribe = Scribe::new(to, head);
    let mut outcome = run(scenario, head.rung, decide, Some(Box::new(scribe)));
    let recorder = outcome.recorder.take().expect("a run gives its recorder back");
    let scribe = recorder.into_any().downcast::<Scribe<W>>().expect("it is the one that went in");
    let to = scribe.finish(&outcome)?;
    Ok((outcome, to))
}

/// The head of a trace of a run.
pub fn head(scenario: &Scenario, rung: Rung, seed: Option<u64>, full: bool) -> Head {
    Head {
        version: VERSION,
        scenario: scenario.name.clone(),
        scenario_hash: scenario.hash.clone(),
        set: scenario.set.clone(),
        seed,
        rung,
        artifacts: decdn_contracts::artifacts::recorded_hash().to_owned(),
        full,
    }
}

fn brief(scenario: &Scenario, plan: &Plan) -> Briefing {
    let lifts = scenario.file.lifts.iter().flat_map(|lift| {
        let loss = Amount(evaluate(&lift.loss, &plan.symbols).unwrap_or(0));
        plan.named(&lift.actor).iter().map(move |actor| Lifted { oracle: lift.oracle, actor: *actor, loss })
    });
    let profit = scenario.file.profit.as_ref().map_or_else(|| "0".to_owned(), |line| line.limit.to_string());
    let must_end = plan.calm_at.is_some();
    let asked = owners(plan).map(|(id, _)| id).collect();
    Briefing { symbols: plan.symbols.clone(), lifts: lifts.collect(), profit, must_end, asked }
}

/// Owners who are asked, and whose they are.
fn owners(plan: &Plan) -> impl Iterator<Item = (ActorId, Owner)> + '_ {
    let owned = plan.cast.people.iter().zip(&plan.actors);
    owned.filter_map(|(person, planned)| Some((person.id, planned.owner?)))
}

fn actor(planned: &PlannedActor) -> Box<dyn Actor> {
    let role = planned.role.clone();
    match &planned.plays {
        Some(kind) => adversary::build(kind, role, planned.with.clone()),
        None => Box::new(Honest::new(role)),
    }
}

/// Holds what was observed against the scenario's bounds.
fn judge(scenario: &Scenario, plan: &Plan, ended: (Ran, Watch, Decisions)) -> Outcome {
    let (ran, mut watch, decisions) = ended;
    let mut bounds = Vec::new();
    for line in &scenario.file.bounds {
        let limit = evaluate(&line.limit, &plan.symbols).unwrap_or(0);
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let Some(observed) = watch.report.observed(line.name) else { continue };
        let name = line.name.name();
        if observed > limit {
            watch.report.violation("bound", name, || {
                format!("{name} is {observed}, above its limit of {limit} ({})", line.because)
            });
        }
        bounds.push(Bound { name: name.to_owned(), observed, limit });
    }
    Outcome {
        violations: std::mem::take(&mut watch.report.violations),
        probes: watch.report.probes().map(|(probe, count)| (probe.name().to_owned(), count)).collect(),
        bounds,
        observed: Quantity::ALL
            .iter()
            .filter_map(|quantity| Some((quantity.name(), watch.report.observed(*quantity)?)))
            .collect(),
        balances: ran.balances.clone(),
        decisions,
        recorder: watch.recorder.take(),
        ran,
    }
}
