//! What a run was told before it began, for people and programs that ask why it went as it did.

use decdn_engine::roles::Config;
use serde_json::{Map, Value, json};

use super::{Plan, PlannedFetch, Scenario, Symbol, tokens};
use crate::{actor::ActorId, decide::Decisions};

/// The parameters that a seed draws for a scenario: its symbols, who does what, what is downloaded, what happens when.
pub fn drawn(scenario: &Scenario, seed: u64) -> Value {
    let plan = Plan::draw(scenario, &tokens::genesis(&scenario.file), &mut Decisions::seeded(seed));
    let symbols: Map<String, Value> = Symbol::ALL
        .iter()
        .filter_map(|symbol| Some((symbol.name().to_owned(), number(plan.symbols.get(*symbol)?))))
        .collect();
    let events: Vec<Value> = plan
        .timed
        .iter()
        .map(|timed| json!({ "at_ms": timed.at.0 / 1_000, "what": format!("{:?}", timed.what) }))
        .collect();
    json!({
        "window_secs": plan.window.0 / 1_000_000,
        "forced_secs": plan.forced.0 / 1_000_000,
        "endpoint_ms": plan.endpoint.0 / 1_000,
        "calm_secs": plan.calm_at.map(|at| at.0 / 1_000_000),
        "until_secs": plan.until.0 / 1_000_000,
        "symbols": symbols,
        "actors": actors(&plan),
        "fetches": plan.fetches.iter().map(|fetch| fetched(&plan, fetch)).collect::<Vec<_>>(),
        "sequencer": plan.sequencer.iter().map(|stretch| json!({
            "from_secs": stretch.from.0 / 1_000_000,
            "until_secs": stretch.until.0 / 1_000_000,
            "censors": stretch.censored.iter().filter_map(|account| plan.cast.by_account(*account))
                .map(|person| &*person.name).collect::<Vec<_>>(),
            "down": stretch.down,
        })).collect::<Vec<_>>(),
        "events": events,
    })
}

/// A number that JSON takes; a larger one as text.
fn number(value: u128) -> Value {
    u64::try_from(value).map_or_else(|_| json!(value.to_string()), |value| json!(value))
}

fn actors(plan: &Plan) -> Map<String, Value> {
    let both = plan.cast.people.iter().zip(&plan.actors);
    both.map(|(person, actor)| {
        let (monitor, rate, ceiling) = match &actor.role {
            Config::Client(client) => (client.monitor, None, None),
            Config::Node(node) => {
                (node.monitor, node.tokens.first().map(|terms| terms.rate.0), Some(node.offer_ceiling))
            }
        };
        let told = json!({
            "plays": actor.plays.map(|kind| kind.name),
            "with": actor.with,
            "rate": rate,
            "offer_ceiling_bytes": ceiling,
            "poll_secs": monitor.poll.0 / 1_000_000,
            "margin_secs": monitor.margin.0 / 1_000_000,
        });
        (person.name.clone(), told)
    })
    .collect()
}

fn fetched(plan: &Plan, fetch: &PlannedFetch) -> Value {
    let name = |id: &ActorId| plan.cast.get(*id).name.clone();
    json!({
        "client": name(&fetch.actor),
        "from": fetch.from.iter().map(name).collect::<Vec<_>>(),
        "at_ms": fetch.at.0 / 1_000,
        "blob_bytes": plan.blobs[fetch.blob].bytes,
        "offset_bytes": fetch.order.offset_bytes,
        "len_bytes": fetch.order.len_bytes,
        "cadence_bytes": fetch.order.cadence_bytes,
        "deposit": number(fetch.order.deposit.0),
    })
}
