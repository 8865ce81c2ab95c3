//! O10: when faults stop, fetches finish or fail cleanly, channels end, queues drain. And nobody spins: an actor
//! that takes inputs or makes transactions without end is as dead as one that waits for ever, and ends the run; whatever
//! fails, no honest party is blamed for it by another.

use std::collections::BTreeSet;

use decdn_engine::{
    fault::Fault,
    ids::{ChannelId, FetchId},
    io::{Effect, Input, Notice, Output},
    order::Order,
    time::Time,
};

use super::{
    Briefing,
    book::{Channels, People},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::Report,
    seen::{ChainView, Kind, OnChainStatus, Oracle, Seen},
};

/// Inputs that an actor may take at one instant of simulated time: more than all its streams and alarms together.
const AT_ONCE: u32 = 16_384;
/// Inputs that an actor may take with neither content, money nor a write to show for it.
const IDLE: u32 = 1_000_000;
/// Transactions that an actor may make: a handful for each of its channels. More is somebody who tries the same again and
/// again, at its own cost.
const TXS: u32 = 512;
/// How long after its window a closing channel may wait for its settlement, in seconds of the chain: the node's
/// grace, and a few attempts.
const SETTLE_SECS: u64 = 3_600;

/// How an actor is doing.
#[derive(Clone, Debug, Default)]
struct Pace {
    last: Time,
    at_once: u32,
    idle: u32,
    txs: u32,
    /// Downloads that were ordered and have not ended.
    fetches: BTreeSet<FetchId>,
    /// Whether some download asked to keep its channel.
    keeps: bool,
    /// Channels that its owner has ordered to be closed.
    closes: BTreeSet<ChannelId>,
}

/// See the module.
#[derive(Default)]
pub struct Ends {
    must_end: bool,
    people: People,
    channels: Channels<()>,
    paces: Vec<Pace>,
}

impl Ends {
    /// Knows whether everything must have ended.
    pub fn new(briefing: &Briefing) -> Self {
        Self { must_end: briefing.must_end, ..Self::default() }
    }

    fn on_step(&mut self, at: Time, actor: ActorId, input: &Input, outputs: &[Output], report: &mut Report) {
        let pace = &mut self.paces[usize::from(actor.0)];
        if pace.last == at {
            pace.at_once += 1;
        } else {
            (pace.last, pace.at_once) = (at, 0);
        }
        pace.idle += 1;
        let mut is_new = false;
        match input {
            Input::Fetch(order) => {
                is_new = pace.fetches.insert(order.id);
                pace.keeps |= order.keep_channel;
            }
            Input::CloseChannel(channel) | Input::Order(Order::Close(channel)) => {
                pace.closes.insert(*channel);
            }
            Input::Verdict { .. } | Input::RangeSent { .. } | Input::Persisted { .. } | Input::Tx { .. } => {
                pace.idle = 0;
            }
            _ => {}
        }
        for output in outputs {
            match &output.effect {
                Effect::Notice(Notice::Fetched { fetch, .. } | Notice::FetchFailed { fetch, .. }) => {
                    pace.fetches.remove(fetch);
                }
                // What runs goes on; what does not, does not go on.
                Effect::Notice(Notice::OrderRefused { fetch, .. }) if is_new => {
                    _ = pace.fetches.remove(fetch)
                }
                _ => {}
            }
        }
        let blamed = outputs.iter().find_map(|output| match output.effect {
            Effect::Fault(Fault::Peer { peer, rule, .. }) => Some((peer, rule)),
            _ => None,
        });
        if let Some((peer, rule)) = blamed
            && self.people.is_honest(actor)
            && let Some(peer) = self.people.by_node(peer).filter(|peer| self.people.is_honest(*peer))
        {
            report.violation("O10", &rule.to_string(), || {
                let (name, peer) = (self.people.name(actor), self.people.name(peer));
                format!("{}: {name} blames {peer}, which did what it should", clock(at))
            });
        }
        if self.people.is_honest(actor) && (pace.at_once == AT_ONCE || pace.idle == IDLE) {
            let (at_once, idle) = (pace.at_once, pace.idle);
            report.violation("O10", "O10", || {
                let name = self.people.name(actor);
                format!("{}: {name} took {at_once} inputs at once, {idle} without any progress", clock(at))
            });
            report.give_up();
        }
    }

    fn on_submitted(&mut self, at: Time, actor: ActorId, report: &mut Report) {
        let pace = &mut self.paces[usize::from(actor.0)];
        pace.txs += 1;
        if pace.txs == TXS && self.people.is_honest(actor) {
            report.violation("O10", "O10", || {
                format!("{}: {} has made {TXS} transactions", clock(at), self.people.name(actor))
            });
            report.give_up();
        }
    }

    fn on_end(&mut self, at: Time, chain: &dyn ChainView, report: &mut Report) {
        if !self.must_end {
            return;
        }
        for (id, pace) in self.people.ids().zip(&self.paces) {
            if let Some(fetch) = pace.fetches.first()
                && self.people.is_honest(id)
            {
                report.violation("O10", "D10", || {
                    let name = self.people.name(id);
                    format!("{}: download {} of {name} has neither finished nor failed", clock(at), fetch.0)
                });
            }
        }
        let now = chain.head(at).time.0;
        for (deal, ()) in self.channels.iter_mut() {
            let Some(channel) = chain.channel(deal.id) else { continue };
            let honest = |party: Option<ActorId>| party.filter(|party| self.people.is_honest(*party));
            let (client, node) = (honest(deal.payer), honest(deal.payee));
            let keeps = client.is_some_and(|client| self.paces[usize::from(client.0)].keeps);
            let orders = |who: &ActorId| self.paces[usize::from(who.0)].closes.contains(&deal.id);
            let who = match channel.status {
                OnChainStatus::Open => {
                    let ordered = client.into_iter().chain(node).find(orders);
                    ordered.or(client.filter(|_| !keeps))
                }
                // Who has nothing to gain by it need not settle.
                OnChainStatus::Closing if now > channel.deadline.0 + SETTLE_SECS => {
                    client.or(node.filter(|_| channel.amount.0 > 0))
                }
                _ => None,
            };
            if let Some(who) = who {
                report.violation("O10", "V4", || {
                    let name = self.people.name(who);
                    format!(
                        "{}: channel {} of {name} has not ended: {:?}",
                        clock(at),
                        deal.id,
                        channel.status
                    )
                });
            }
        }
    }
}

impl Oracle for Ends {
    fn name(&self) -> &'static str {
        "O10"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Step, Kind::Crashed, Kind::Submitted, Kind::Included, Kind::End]
    }

    fn counts_idle_steps(&self) -> bool {
        true
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Step { actor, input, outputs, .. } => self.on_step(at, actor, input, outputs, report),
            Seen::Submitted { actor, .. } => self.on_submitted(at, actor, report),
            Seen::Included { tx, .. } => self.channels.learn(tx, &self.people),
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
                self.paces = vec![Pace::default(); cast.people.len()];
            }
            Seen::End { chain, .. } => self.on_end(at, chain, report),
            _ => {}
        }
    }
}
