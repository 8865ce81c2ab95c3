//! O12: after a crash between any two outputs what is there is the fold of the acknowledged write sets, and nothing
//! that was revealed is lost (V3, V7).
//!
//! Two sides. Nothing leaves an honest party before its disk holds what makes it binding: a client's signature, a
//! node's acknowledgement, a node's consent. And what is durable after a crash is every write set that was
//! acknowledged, with each one that was under way either whole or not at all.

use std::collections::{BTreeMap, VecDeque};

use decdn_engine::{
    chain::{self, Route, channel::Call},
    ids::ChannelId,
    io::{Effect, Output},
    record::{ChannelStatus, Key, PersistSeq, Record},
    time::Time,
    wire::{ClientMessage, Message},
};

use super::{
    book::{Channels, People, Pipes},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::Report,
    seen::{Durable, Kind, Oracle, Pipe, Seen},
};

/// An actor's disk, folded here.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// What was acknowledged, with the number of the write set.
    kept: BTreeMap<Key, (Option<PersistSeq>, Record)>,
    /// What was asked for and not acknowledged, oldest first.
    under_way: VecDeque<(PersistSeq, Vec<Record>)>,
}

impl Disk {
    fn fold(&mut self, seq: PersistSeq, writes: &[Record]) {
        for record in writes {
            let newest = self.kept.get(&record.key()).and_then(|(seq, _)| *seq);
            if newest.is_none_or(|newest| newest <= seq) {
                self.kept.insert(record.key(), (Some(seq), record.clone()));
            }
        }
    }

    /// Whether the disk can be this. If so, it is what is kept from now on.
    fn settle(&mut self, durable: &Durable) -> bool {
        let has = |record: &Record| match record {
            Record::Gone(key) => durable.get(key).is_none(),
            record => durable.get(&record.key()) == Some(record),
        };
        let under_way = std::mem::take(&mut self.under_way);
        for (place, (seq, writes)) in under_way.iter().enumerate() {
            // What a later write set of the same key says hides what this one said.
            let later = |record: &Record| {
                let mut rest = under_way.range(place + 1..).flat_map(|(_, writes)| writes);
                rest.any(|other| other.key() == record.key() && has(other))
            };
            if writes.iter().all(|record| has(record) || later(record)) {
                self.fold(*seq, writes);
            }
        }
        let kept = self.kept.values().map(|(_, record)| record);
        let is_fold =
            kept.clone().all(has) && durable.iter().all(|record| self.kept.contains_key(&record.key()));
        self.kept.clear();
        self.kept.extend(durable.iter().map(|record| (record.key(), (None, record.clone()))));
        is_fold
    }
}

/// See the module.
#[derive(Default)]
pub struct DurableFirst {
    people: People,
    channels: Channels<()>,
    disks: Vec<Disk>,
    /// The channel that a stream's request named.
    pipes: Pipes<Option<ChannelId>>,
}

impl DurableFirst {
    fn disk(&mut self, actor: ActorId) -> &mut Disk {
        &mut self.disks[usize::from(actor.0)]
    }

    /// A payer's voucher leaves: its disk must know of it.
    fn on_voucher(
        &mut self,
        at: Time,
        actor: ActorId,
        (channel, nonce, amount): (ChannelId, u64, u128),
        report: &mut Report,
    ) {
        let record = self.disk(actor).kept.get(&Key::Paying(channel)).map(|(_, record)| record);
        let is_known = matches!(record, Some(Record::Paying(paying))
            if (paying.nonce.0 == nonce && paying.amount.0 == amount)
                || (paying.nonce.0 > nonce && paying.amount.0 > amount));
        if !is_known {
            report.violation("O12", "V3", || {
                let name = self.people.name(actor);
                format!("{}: nonce {nonce} over {amount} leaves {name} before it is on its disk", clock(at))
            });
        }
    }

    /// What a payer says.
    fn on_payer(&mut self, at: Time, from: ActorId, pipe: Pipe, message: &Message, report: &mut Report) {
        let Message::Client(message) = message else { return };
        let (channel, voucher) = match message {
            ClientMessage::StreamRequest(request) => {
                (Some(request.channel), request.newest.map(|newest| (newest.nonce, newest.amount)))
            }
            ClientMessage::CloseRequest(request) => {
                let terms = request.voucher.map(|voucher| (voucher.terms.nonce, voucher.terms.amount));
                (Some(request.channel), terms)
            }
            ClientMessage::Voucher(voucher) => {
                (*self.pipes.entry(pipe), Some((voucher.nonce, voucher.amount)))
            }
            _ => return,
        };
        *self.pipes.entry(pipe) = channel;
        if let (Some(channel), Some((nonce, amount))) = (channel, voucher) {
            self.on_voucher(at, from, (channel, nonce.0, amount.0), report);
        }
    }

    /// What a payee says.
    fn on_payee(&mut self, at: Time, from: ActorId, pipe: Pipe, message: &Message, report: &mut Report) {
        let Message::Client(message) = message else { return };
        if !matches!(message, ClientMessage::VoucherAck(_) | ClientMessage::CloseConsent(_)) {
            return;
        }
        let Some(channel) = *self.pipes.entry(pipe) else { return };
        let record = self.disk(from).kept.get(&Key::Earning(channel)).map(|(_, record)| record);
        let Some(Record::Earning(earning)) = record else {
            // Settled meanwhile, or never written at all.
            if record.is_none() {
                self.early(at, from, "an answer about a channel", report);
            }
            return;
        };
        let best = earning.best.map_or(0, |best| best.nonce.0);
        match message {
            ClientMessage::VoucherAck(nonce) if nonce.0 > best => {
                self.early(at, from, "an acknowledgement", report);
            }
            ClientMessage::CloseConsent(_) if earning.status == ChannelStatus::Open => {
                self.early(at, from, "the consent to a close", report);
            }
            _ => {}
        }
    }

    fn early(&self, at: Time, from: ActorId, what: &str, report: &mut Report) {
        report.violation("O12", "V3", || {
            let name = self.people.name(from);
            format!("{}: {what} leaves {name} before what it says is on its disk", clock(at))
        });
    }

    /// A dispute goes to the delayed inbox: its 24 hours would begin anew after a crash that it is not on record for (X1).
    fn on_inbox(&mut self, at: Time, actor: ActorId, call: &chain::Call, report: &mut Report) {
        let Some(Call::Dispute { voucher }) = call.as_channel() else { return };
        if !self.people.is_honest(actor) {
            return;
        }
        let record =
            self.disk(actor).kept.get(&Key::Dispute(voucher.terms.channel)).map(|(_, record)| record);
        if !matches!(record, Some(Record::Dispute(dispute)) if dispute.voucher == *voucher) {
            report.violation("O12", "X1", || {
                let name = self.people.name(actor);
                format!("{}: a dispute leaves {name} for the inbox before it is on its disk", clock(at))
            });
        }
    }

    /// A voucher goes to the chain: what a payer signed has to be on its disk.
    fn on_call(&mut self, at: Time, actor: ActorId, call: &chain::Call, report: &mut Report) {
        let Some(
            Call::Close { voucher: Some(voucher), .. }
            | Call::CloseCooperatively { voucher: Some(voucher), .. }
            | Call::Finish { voucher: Some(voucher), .. }
            | Call::Claim { voucher }
            | Call::Dispute { voucher },
        ) = call.as_channel()
        else {
            return;
        };
        let terms = voucher.terms;
        let is_payer = self.channels.get(&terms.channel).is_some_and(|(deal, ())| deal.payer == Some(actor));
        if is_payer && self.people.is_honest(actor) {
            self.on_voucher(at, actor, (terms.channel, terms.nonce.0, terms.amount.0), report);
        }
    }

    /// A cursor is stored: what is not safe may yet be undone, and what is not there yet will be missed (L1, L4).
    fn on_cursor(&self, at: Time, actor: ActorId, writes: &[Record], safe: u64, report: &mut Report) {
        for record in writes {
            if let Record::Cursor(block) = record
                && *block > safe.saturating_add(1)
            {
                report.violation("O12", "L4", || {
                    let name = self.people.name(actor);
                    format!("{}: {name} stores that it has read up to {block}, and {safe} is safe", clock(at))
                });
            }
        }
    }

    fn on_step(&mut self, actor: ActorId, outputs: &[Output]) {
        for output in outputs {
            if let Effect::Persist { seq, writes } = &output.effect {
                self.disk(actor).under_way.push_back((*seq, writes.clone()));
            }
        }
    }

    fn on_crash(&mut self, at: Time, actor: ActorId, durable: &Durable, report: &mut Report) {
        if !self.disk(actor).settle(durable) {
            report.violation("O12", "O12", || {
                let name = self.people.name(actor);
                format!("{}: what {name} finds after its crash is not what its disk acknowledged", clock(at))
            });
        }
    }
}

impl Oracle for DurableFirst {
    fn name(&self) -> &'static str {
        "O12"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Start,
            Kind::Step,
            Kind::Sent,
            Kind::Delivered,
            Kind::Persisted,
            Kind::Submitted,
            Kind::Included,
            Kind::Crashed,
        ]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Step { actor, outputs, .. } if self.people.is_honest(actor) => self.on_step(actor, outputs),
            Seen::Sent { from, pipe, message, .. } if self.people.is_honest(from) => {
                self.on_payer(at, from, pipe, message, report);
                self.on_payee(at, from, pipe, message, report);
            }
            Seen::Delivered { to, pipe, message: Message::Client(message), .. }
                if self.people.is_honest(to) =>
            {
                match message {
                    ClientMessage::StreamRequest(request) => *self.pipes.entry(pipe) = Some(request.channel),
                    ClientMessage::CloseRequest(request) => *self.pipes.entry(pipe) = Some(request.channel),
                    _ => {}
                }
            }
            Seen::Persisted { actor, seq, writes, safe } if self.people.is_honest(actor) => {
                self.on_cursor(at, actor, writes, safe, report);
                let disk = self.disk(actor);
                disk.under_way.retain(|(other, _)| *other != seq);
                disk.fold(seq, writes);
            }
            Seen::Submitted { actor, call, route } => {
                self.on_call(at, actor, call, report);
                if route == Route::DelayedInbox {
                    self.on_inbox(at, actor, call, report);
                }
            }
            // Nobody can know more than his disk.
            Seen::Crashed { actor, is_wiped: true, .. } => *self.disk(actor) = Disk::default(),
            Seen::Crashed { actor, durable, .. } if self.people.is_honest(actor) => {
                self.on_crash(at, actor, durable, report);
            }
            Seen::Included { tx, .. } => self.channels.learn(tx, &self.people),
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
                self.disks = vec![Disk::default(); cast.people.len()];
            }
            _ => {}
        }
    }
}
