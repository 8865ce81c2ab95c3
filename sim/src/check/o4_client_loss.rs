//! O4: a client pays for verified bytes and for nothing else, each of them once, and never more than the deposit.
//! Between honest parties it pays for all of them, to the base unit (D6); to one offer where the node finished before it had the last voucher (C11).
//!
//! Verified content is counted here per channel at the rate that its stream was agreed at. No signature may stand
//! under more than that, rounded up once; no settlement may pay more. Over crashes and channels together, what a
//! client signs pays for distinct bytes (D14): a byte that was verified twice is bought once. And nobody is paid at a higher
//! rate than he has quoted for the present order (D1).
//!
//! What is on its disk as verified stays there until the download is whole, or its owner gives it up or is told that it is forgotten;
//! and is asked of nobody again (D17).

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    blob::Verdict,
    chain::channel::Call,
    crypto::Typed,
    ids::FetchId,
    io::{Effect, FetchFailure, Input, Notice, Output},
    order::FetchOrder,
    record::{Key, Record},
    time::Time,
    wire::{ClientMessage, Message, ProbeMessage},
};

use super::{
    Briefing, Liftable, Losses,
    book::{Blobs, Channels, People, Pipes, Ranges, UNIT},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::{Probe, Quantity, Report},
    seen::{Included, Kind, OnChainStatus, Oracle, Pipe, Seen},
};

/// A channel, as far as its client's risk goes.
#[derive(Clone, Debug, Default)]
struct Bill {
    /// Verified content, bytes × rate.
    verified: u128,
    /// The most that was signed for.
    signed: u128,
    /// The largest offer that was agreed on it, bytes × rate.
    offered: u128,
    settled: Option<u128>,
}

/// What a stream was asked for and agreed to.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// The channel's number, one up; 0 where there is none.
    channel: u32,
    /// The place among what is bought, one up.
    goods: u32,
    rate: u64,
    max_rate: u64,
}

/// What a client has of a blob, since its owner last ordered it.
#[derive(Clone, Debug, Default)]
struct Goods {
    verified: Ranges,
}

/// A download, as its client's disk has it.
#[derive(Clone, Copy, Debug)]
struct Stored {
    blob: u32,
    /// Where it began, and the first byte that is missing.
    start: u64,
    next: u64,
}

/// A client's purchases over all channels.
#[derive(Clone, Copy, Debug, Default)]
struct Purse {
    /// Distinct verified bytes.
    bytes: u64,
    /// The highest rate that was agreed.
    rate: u64,
    /// Signed for, over all channels.
    signed: u128,
    /// Channels on which anything was signed: each rounds up once.
    channels: u32,
}

/// See the module.
#[derive(Default)]
pub struct ClientLoss {
    lifts: Losses,
    people: People,
    channels: Channels<Bill>,
    pipes: Pipes<Asked>,
    blobs: Blobs,
    goods: Vec<Goods>,
    goods_of: BTreeMap<(ActorId, u32), u32>,
    purses: Vec<Purse>,
    /// Which blob a probe asks for.
    probes: BTreeMap<Pipe, u32>,
    /// What a client was quoted last, by whom, for what.
    quotes: BTreeMap<(ActorId, ActorId, u32), u64>,
    /// By actor: whether it ever crashed, and may have forgotten a cadence of verified bytes (D8).
    crashed: Vec<bool>,
    /// Downloads that have not ended, as far as their clients' disks have them.
    stored: BTreeMap<(ActorId, FetchId), Stored>,
    /// Downloads whose end their owners were told or ordered, and which were not ordered since.
    over: BTreeSet<(ActorId, FetchId)>,
    /// Downloads that have failed, and were not ordered since.
    failed: BTreeSet<(ActorId, FetchId)>,
}

impl ClientLoss {
    /// With the lifts that concern it.
    pub fn new(briefing: &Briefing) -> Self {
        Self { lifts: briefing.lifted(Liftable::O4), ..Self::default() }
    }

    fn goods(&mut self, client: ActorId, hash: &decdn_engine::ids::BlobHash) -> u32 {
        let blob = self.blobs.number(hash);
        let next = self.goods.len() as u32;
        let place = *self.goods_of.entry((client, blob)).or_insert(next);
        if place == next {
            self.goods.push(Goods::default());
        }
        place
    }

    fn on_verified(
        &mut self,
        at: Time,
        (actor, from): (ActorId, ActorId),
        pipe: Pipe,
        (offset, bytes): (u64, u64),
        report: &mut Report,
    ) {
        let Some(asked) = self.pipes.get(pipe).copied() else { return };
        let (Some(number), Some(goods)) = (asked.channel.checked_sub(1), asked.goods.checked_sub(1)) else {
            return;
        };
        if asked.rate > asked.max_rate {
            report.violation("O4", "D1", || {
                let name = self.people.name(actor);
                format!(
                    "{}: {name} buys at {}, above its maximum of {}",
                    clock(at),
                    asked.rate,
                    asked.max_rate
                )
            });
        }
        if let Some(quoted) = self.quotes.get(&(actor, from, goods)).filter(|quoted| asked.rate > **quoted) {
            report.violation("O4", "D1", || {
                let (name, node) = (self.people.name(actor), self.people.name(from));
                format!("{}: {name} buys at {}, where {node} had quoted {quoted}", clock(at), asked.rate)
            });
        }
        let (_, bill) = self.channels.at(number);
        bill.verified = bill.verified.saturating_add(u128::from(bytes) * u128::from(asked.rate));
        let new = self.goods[goods as usize].verified.add(offset, offset + bytes);
        self.purses[usize::from(actor.0)].bytes += new;
    }

    /// A new order: the owner wants the blob once more, and pays once more. Unless the download is there.
    fn on_order(&mut self, actor: ActorId, order: &FetchOrder, report: &mut Report) {
        let key = (actor, order.id);
        let has_failed = self.failed.remove(&key);
        if !self.over.remove(&key) && self.stored.contains_key(&key) {
            return report.probe(if has_failed { Probe::OrderedAgain } else { Probe::Amended });
        }
        self.stored.remove(&key);
        let goods = self.goods(actor, &order.hash);
        self.goods[goods as usize].verified.clear();
        self.quotes.retain(|(client, _, of), _| (*client, *of) != (actor, goods));
    }

    /// What an owner is told about its downloads.
    fn on_told(&mut self, actor: ActorId, outputs: &[Output]) {
        for output in outputs {
            match output.effect {
                Effect::Notice(
                    Notice::Fetched { fetch, .. }
                    | Notice::FetchFailed { fetch, why: FetchFailure::Cancelled }
                    | Notice::Forgotten { fetch, .. },
                ) => _ = self.over.insert((actor, fetch)),
                Effect::Notice(Notice::FetchFailed { fetch, .. }) => _ = self.failed.insert((actor, fetch)),
                _ => {}
            }
        }
    }

    /// A record of a download is on a disk, or gone from it.
    fn on_stored(&mut self, at: Time, actor: ActorId, record: &Record, report: &mut Report) {
        let key = match record.key() {
            Key::Fetch(fetch) => (actor, fetch),
            _ => return,
        };
        let before = self.stored.get(&key).copied();
        let next = record.as_fetch().map(|fetch| {
            let (start, blob) = (fetch.order.offset_bytes, self.blobs.number(&fetch.order.hash));
            Stored { blob, start, next: start + fetch.verified_bytes }
        });
        let is_less = before.is_some_and(|before| next.map_or(before.start, |next| next.next) < before.next);
        if is_less && !self.over.contains(&key) {
            report.violation("O4", "D17", || {
                let name = self.people.name(actor);
                format!("{}: {name} forgets what download {} has verified", clock(at), key.1.0)
            });
        }
        match next {
            Some(next) => _ = self.stored.insert(key, next),
            None => _ = self.stored.remove(&key),
        }
    }

    /// Content is asked for: none that every download of the blob has on its disk.
    fn on_asked(&mut self, at: Time, actor: ActorId, blob: u32, offset: u64, report: &mut Report) {
        let (first, last) = ((actor, FetchId(0)), (actor, FetchId(u64::MAX)));
        let live = self.stored.range(first..=last).filter(|(key, _)| !self.over.contains(key));
        let least = live.filter(|(_, stored)| stored.blob == blob).map(|(_, stored)| stored.next).min();
        if least.is_some_and(|least| offset < least) {
            report.violation("O4", "D17", || {
                let name = self.people.name(actor);
                let least = least.unwrap_or_default();
                format!("{}: {name} asks for bytes from {offset} on, and has them up to {least}", clock(at))
            });
        }
    }

    fn on_signed(
        &mut self,
        at: Time,
        actor: ActorId,
        terms: &decdn_engine::crypto::VoucherTerms,
        report: &mut Report,
    ) {
        let name = self.people.name(actor);
        let Some((deal, bill)) = self.channels.get(&terms.channel) else {
            return report.violation("O4", "V1", || {
                format!("{}: {name} signs a voucher for a channel that was never opened", clock(at))
            });
        };
        let amount = terms.amount.0;
        if deal.payer != Some(actor) || amount > deal.deposit {
            report.violation("O4", "V1", || {
                format!("{}: {name} signs for {amount}, with a deposit of {}", clock(at), deal.deposit)
            });
        }
        if amount > bill.verified.div_ceil(UNIT) {
            report.violation("O4", "D5", || {
                let worth = bill.verified.div_ceil(UNIT);
                format!(
                    "{}: {name} signs for {amount}; what it verified on the channel costs {worth}",
                    clock(at)
                )
            });
        }
        if amount <= bill.signed {
            return;
        }
        let purse = &mut self.purses[usize::from(actor.0)];
        purse.channels += u32::from(bill.signed == 0);
        purse.signed = purse.signed.saturating_add(amount - bill.signed);
        bill.signed = amount;
        let rate = purse.rate;
        let worth = u128::from(purse.bytes) * u128::from(rate);
        let rounding = u128::from(purse.channels) * (UNIT - 1);
        if purse.signed.saturating_mul(UNIT) > worth.saturating_add(rounding) {
            report.violation("O4", "D14", || {
                format!(
                    "{}: {name} signed for {} in all, and has {} distinct bytes at {rate} per MB: some byte is paid twice",
                    clock(at),
                    purse.signed,
                    purse.bytes
                )
            });
        }
    }

    fn on_included(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        self.channels.learn(tx, &self.people);
        let Some(after) = tx.channel_after().filter(|after| after.status == OnChainStatus::Settled) else {
            return;
        };
        let Some((deal, bill)) = self.channels.get(&after.id) else { return };
        if bill.settled.is_some() {
            return;
        }
        let paid = after.amount.0.min(deal.deposit);
        bill.settled = Some(paid);
        let Some(client) = deal.payer.filter(|payer| self.people.is_honest(*payer)) else { return };
        let worth = bill.verified.div_ceil(UNIT);
        let name = self.people.name(client);
        let lifted = self.lifts.of(client).unwrap_or(0);
        if paid > worth.saturating_add(lifted) {
            report.violation("O4", "D9", || {
                format!("{}: {name} pays {paid} on chain for bytes that cost {worth}", clock(at))
            });
        }
        let is_kept = deal.payee.is_some_and(|payee| self.people.is_honest(payee));
        // Who finishes takes what he holds: what was still to be signed, an offer at most, he did not wait for.
        let is_finished = matches!(tx.channel_call(), Some(Call::Finish { .. }));
        let forgone = if is_finished { bill.offered.div_ceil(UNIT) } else { 0 };
        if is_kept && paid.saturating_add(forgone) < worth && !self.crashed[usize::from(client.0)] {
            report.violation("O4", "D6", || {
                format!(
                    "{}: {name} pays {paid} on chain, and has verified bytes that cost {worth}",
                    clock(at)
                )
            });
        }
        let loss = paid.saturating_sub(bill.verified / UNIT);
        report.observe(Quantity::ClientLoss, u64::try_from(loss).unwrap_or(u64::MAX));
    }
}

impl Oracle for ClientLoss {
    fn name(&self) -> &'static str {
        "O4"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Start,
            Kind::Step,
            Kind::Sent,
            Kind::Delivered,
            Kind::Verified,
            Kind::Persisted,
            Kind::Signed,
            Kind::Crashed,
            Kind::Included,
            Kind::Undone,
        ]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Verified { actor, from, pipe, verdict: Verdict::Good { offset, bytes, .. }, .. }
                if self.people.is_honest(actor) =>
            {
                self.on_verified(at, (actor, from), pipe, (offset, bytes), report);
            }
            Seen::Step { actor, input, outputs, .. } if self.people.is_honest(actor) => {
                if let Input::Fetch(order) = input {
                    self.on_order(actor, order, report);
                }
                self.on_told(actor, outputs);
            }
            Seen::Persisted { actor, writes, .. } if self.people.is_honest(actor) => {
                for record in writes {
                    self.on_stored(at, actor, record, report);
                }
            }
            Seen::Sent { from, pipe, message: Message::Probe(ProbeMessage::Request(request)), .. }
                if self.people.is_honest(from) =>
            {
                let goods = self.goods(from, &request.hash);
                self.probes.insert(pipe, goods);
            }
            Seen::Delivered {
                from,
                to,
                pipe,
                message: Message::Probe(ProbeMessage::Response(response)),
                ..
            } => {
                if let Some(goods) = self.probes.remove(&pipe).filter(|_| response.has_blob) {
                    self.quotes.insert((to, from, goods), response.rate.0);
                }
            }
            Seen::Sent {
                from,
                pipe,
                message: Message::Client(ClientMessage::StreamRequest(request)),
                ..
            } if self.people.is_honest(from) => {
                let channel = self.channels.number(&request.channel).map_or(0, |number| number + 1);
                let goods = self.goods(from, &request.hash) + 1;
                let blob = self.blobs.number(&request.hash);
                self.on_asked(at, from, blob, request.offset_bytes, report);
                *self.pipes.entry(pipe) = Asked { channel, goods, rate: 0, max_rate: request.max_rate.0 };
            }
            Seen::Delivered {
                to,
                pipe,
                message: Message::Client(ClientMessage::StreamResponse(response)),
                ..
            } if response.ok && self.people.is_honest(to) => {
                let asked = self.pipes.entry(pipe);
                if asked.rate == 0 {
                    let rate = response.rate.0;
                    asked.rate = rate;
                    if let Some(number) = asked.channel.checked_sub(1) {
                        let offered = u128::from(response.max_bytes_per_voucher) * u128::from(rate);
                        let (_, bill) = self.channels.at(number);
                        bill.offered = bill.offered.max(offered);
                    }
                    let purse = &mut self.purses[usize::from(to.0)];
                    purse.rate = purse.rate.max(rate.min(asked.max_rate));
                }
            }
            Seen::Signed { actor, what: Typed::Voucher(terms), .. } if self.people.is_honest(actor) => {
                self.on_signed(at, actor, terms, report);
            }
            Seen::Crashed { actor, durable, is_wiped, .. } => {
                self.crashed[usize::from(actor.0)] = true;
                if is_wiped {
                    self.stored.retain(|(client, _), _| *client != actor);
                }
                // Write sets that were under way may have got there.
                if self.people.is_honest(actor) {
                    durable.iter().for_each(|record| self.on_stored(at, actor, record, report));
                }
            }
            Seen::Included { tx, .. } => self.on_included(at, tx, report),
            Seen::Undone { tx } => {
                if let Some(after) = tx.channel_after().filter(|after| after.status == OnChainStatus::Settled)
                    && let Some((_, bill)) = self.channels.get(&after.id)
                {
                    bill.settled = None;
                }
            }
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.purses = vec![Purse::default(); cast.people.len()];
                self.crashed = vec![false; cast.people.len()];
                self.channels.learn_all(chain, &self.people);
            }
            _ => {}
        }
    }
}
