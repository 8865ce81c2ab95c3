//! What an idle node asks of its endpoint. The hour is sixty jumps of the clock by one poll interval each: the chain makes its blocks
//! in each of them, the node polls as it does in production, and nothing is extrapolated.

use std::time::Duration;

use decdn_engine::{money::Amount, record::Record};
use decdn_io::{devnet::Traffic, stage::Stage};
use serde_json::json;

use super::{Trouble, say};

/// Nothing was asked for so long: the poll is over.
const QUIET: Duration = Duration::from_millis(150);
const DEPOSIT: Amount = Amount(1_000_000);
const HOUR_SECS: u64 = 3_600;

pub(super) async fn idle(channels: u64, as_json: bool) -> Result<(), Trouble> {
    let mut stage = Stage::set().await?;
    stage.client.stop().await;
    stage.open_channels(channels, DEPOSIT).await?;
    let poll = stage.restart_node_as_in_production().await?;
    // It finds its channels, and reads their blocks for the second time.
    for _ in 0..30 {
        stage.clock.warp(poll);
        quiet(&stage).await;
    }
    let known = stage.node.load().await?.iter().filter(|record| matches!(record, Record::Earning(_))).count();
    if known as u64 != channels {
        return Err(format!("the node knows {known} channels of {channels}").into());
    }
    let (before, first) = (quiet(&stage).await, stage.chain.head().number);
    let polls = HOUR_SECS * 1_000_000 / poll.0;
    for _ in 0..polls {
        stage.clock.warp(poll);
        quiet(&stage).await;
    }
    let (after, last) = (quiet(&stage).await, stage.chain.head().number);
    stage.node.stop().await;
    let calls: Vec<(String, u64)> = after
        .calls
        .iter()
        .map(|(method, count)| (method.clone(), count - before.calls.get(method).copied().unwrap_or(0)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let asked = after.asked_bytes - before.asked_bytes;
    let answered = after.answered_bytes - before.answered_bytes;
    if as_json {
        let calls: serde_json::Map<_, _> = calls.into_iter().map(|(method, n)| (method, json!(n))).collect();
        return say(json!({
            "what": "idle", "channels": channels, "polls": polls, "blocks": last - first, "calls": calls,
            "asked_bytes": asked, "answered_bytes": answered,
        }));
    }
    say(format_args!(
        "\n  an hour of a node with {channels} open channels, idle: {polls} polls, {} blocks",
        last - first
    ))?;
    for (method, count) in calls {
        say(format_args!("    {method:<28}{count:>8}  {:>6} a poll", count / polls))?;
    }
    say(format_args!("    bodies: {asked} bytes asked, {answered} answered"))
}

/// What was asked so far, once nothing more comes.
async fn quiet(stage: &Stage) -> Traffic {
    let mut before = stage.chain.traffic();
    loop {
        tokio::time::sleep(QUIET).await;
        let now = stage.chain.traffic();
        if now == before {
            return now;
        }
        before = now;
    }
}
