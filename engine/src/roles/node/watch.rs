//! Following the chain: openings, closes, disputes, settlements (X1, X2, V1, V6, L3).

use alloc::{boxed::Box, collections::BTreeSet, vec};

use super::{AlarmKey, Channel, Node};
use crate::{
    chain::{Call, ChainEvent, ChainUpdate, EventKind, Route, TxOutcome},
    crypto::{SignedVoucher, VoucherTerms},
    dispute::{Cue, Heard, Held, Outlook, Step, Watch, mono_at},
    fault::{Fault, LimitHit, Rule, Surprise},
    ids::{ChannelId, TxTicket},
    io::{Effect, Lane, Notice, Outputs},
    money::Amount,
    record::{ChannelStatus, Earning, Key, Record},
    state::Slot,
    time::{Now, Span},
};

/// Chain and wall clock further apart than this: no credit (L3).
const CLOCK_DRIFT_MAX: Span = Span::from_hours(1);

/// How soon to read on where an update did not reach the head.
const LOOK_AGAIN: Span = Span::from_millis(500);

impl Node {
    /// Asks for news, unless an answer is on its way.
    pub(super) fn poll(&mut self, now: Now, out: &mut Outputs) {
        if !self.chain.polling {
            self.chain.polling = true;
            self.is_chain_dirty = true;
            out.push(Lane::Role, Effect::Poll { from_block: self.chain.cursor.next_block });
        }
        self.alarms.arm(AlarmKey::Poll, now.mono + self.config.monitor.poll);
    }

    pub(super) fn on_chain_unreachable(&mut self, now: Now) {
        self.chain.polling = false;
        self.is_chain_dirty = true;
        self.alarms.arm(AlarmKey::Poll, now.mono + self.config.monitor.poll);
    }

    /// V1 and L3: the newest head is young, and its clock is near ours. By its timestamp, or an endpoint that lags would
    /// be believed; and by when it was heard, because the chain's clock may run ahead and ours be set back.
    pub(super) fn may_extend_credit(&self, now: Now) -> bool {
        let most = self.config.head_age_max;
        let is_heard = self.chain.head_at.is_some_and(|at| now.mono.since(at) < most);
        let is_young = now.wall.since(self.chain.head_time.wall()) < most;
        is_heard && is_young && self.chain.is_clock_sane
    }

    /// L3: with the chain's clock this far off a window may be shorter than it looks, so channels that have earned
    /// something are closed while there is time. So many with each news; those whose close failed come again.
    fn close_for_clock(&mut self, now: Now, out: &mut Outputs) {
        let under_way: BTreeSet<Slot> = self.txs.values().copied().collect();
        let is_due = |(slot, channel): &(Slot, &Channel)| {
            channel.status != ChannelStatus::Closing
                && channel.durable > Amount::ZERO
                && !under_way.contains(slot)
        };
        let closes = self.config.limits.closes;
        let mut due: alloc::vec::Vec<ChannelId> =
            self.channels.iter().filter(is_due).map(|(_, channel)| channel.id).take(closes + 1).collect();
        if due.len() > closes {
            due.truncate(closes);
            self.alarms.arm_by(AlarmKey::Poll, now.mono + LOOK_AGAIN);
        }
        for id in due {
            self.on_close_order(id, out);
        }
    }

    pub(super) fn on_chain(&mut self, now: Now, update: ChainUpdate, out: &mut Outputs) {
        self.chain.polling = false;
        self.is_chain_dirty = true;
        if update.head.number > self.chain.head || self.chain.head_at.is_none() {
            self.chain.head = update.head.number;
            self.chain.head_time = update.head.time;
            self.chain.head_at = Some(now.mono);
            self.chain.is_clock_sane = update.head.time.wall().distance(now.wall) <= CLOCK_DRIFT_MAX;
        }
        self.chain.safe = self.chain.safe.max(update.safe);
        self.chain.forced_inclusion = update.forced_inclusion;
        self.release_soft();
        let taken = self.chain.cursor.take(&update, self.config.limits.chain_events);
        if taken.is_cut {
            Self::limit(Rule::O11, LimitHit::ChainEvents, out);
        }
        for event in &update.events[taken.events] {
            self.on_event(now, event, out);
        }
        for slot in core::mem::take(&mut self.retrying) {
            self.defend(now, slot, Cue::Failed, out);
        }
        if self.chain.cursor.next_block <= update.head.number {
            self.alarms.arm_by(AlarmKey::Poll, now.mono + LOOK_AGAIN);
        }
        if !self.chain.is_clock_sane {
            self.close_for_clock(now, out);
        }
        if let Some(block) = self.chain.checkpoint.advance(&self.chain.cursor, &update) {
            self.persist_in(Lane::Role, vec![Record::Cursor(block)], out);
        }
    }

    fn release_soft(&mut self) {
        let safe = self.chain.safe;
        let released: alloc::vec::Vec<Slot> =
            self.soft.iter().filter(|(block, _)| *block <= safe).map(|(_, slot)| *slot).collect();
        self.soft.retain(|(block, _)| *block > safe);
        for slot in released {
            if let Some(channel) = self.channels.get_mut(slot) {
                channel.is_soft = false;
            }
            self.touch_channel(slot);
        }
    }

    fn on_event(&mut self, now: Now, event: &ChainEvent, out: &mut Outputs) {
        match event.kind {
            EventKind::Opened { client, node, token, deposit } => {
                if node == self.config.account && self.by_id.get(&event.channel).is_none() {
                    if self.channels.len() >= self.config.limits.channels {
                        self.chain.checkpoint.refuses(event.block.number);
                        return Self::limit(Rule::O11, LimitHit::Channels, out);
                    }
                    let slot = self.adopt(Earning {
                        channel: event.channel,
                        client,
                        token,
                        deposit,
                        opened_at_block: event.block.number,
                        status: ChannelStatus::Open,
                        best: None,
                    });
                    let record = self.channels[slot].record();
                    let seq = self.persist(slot, vec![record], out);
                    self.chain.checkpoint.writes(seq);
                    out.push(
                        Lane::Role,
                        Effect::Notice(Notice::ChannelOpened { channel: event.channel, deposit }),
                    );
                }
            }
            EventKind::Closing { amount, deadline, .. } => {
                let Some(slot) = self.by_id.get(&event.channel) else { return };
                if self.channels[slot].watch.is_some() {
                    return;
                }
                self.channels[slot].watch = Some(Box::new(Watch::new(event.block, amount, deadline)));
                self.chain.checkpoint.closes(event.block.number, slot);
                if self.channels[slot].status != ChannelStatus::Closing {
                    self.channels[slot].status = ChannelStatus::Closing;
                    let record = self.channels[slot].record();
                    let seq = self.persist(slot, vec![record], out);
                    self.chain.checkpoint.writes(seq);
                    self.stop_streams(slot, out);
                }
                self.touch_channel(slot);
                self.arm_watch(now, slot);
                self.defend(now, slot, Cue::News, out);
            }
            EventKind::Disputed { amount, .. } => {
                let Some(slot) = self.by_id.get(&event.channel) else { return };
                if let Some(watch) = self.channels[slot].watch.as_mut() {
                    watch.recorded = watch.recorded.max(amount);
                    out.push(Lane::Role, Effect::Notice(Notice::Disputed { channel: event.channel, amount }));
                }
                self.touch_channel(slot);
                self.defend(now, slot, Cue::News, out);
            }
            EventKind::Settled { paid, refunded, cooperative } => {
                self.on_settled(event.channel, paid, refunded, cooperative, out);
            }
        }
    }

    fn on_settled(
        &mut self,
        id: ChannelId,
        paid: Amount,
        refunded: Amount,
        cooperative: bool,
        out: &mut Outputs,
    ) {
        let Some(slot) = self.by_id.get(&id) else { return };
        let (nonce, held) = self.channels[slot].best_pair();
        let held = held.min(self.channels[slot].deposit);
        if paid < held {
            let surprise = Surprise::SettledLow { paid, held, nonce };
            out.push(Lane::Role, Effect::Fault(Fault::Chain { channel: id, rule: Rule::X1, surprise }));
        }
        self.stop_streams(slot, out);
        let seq = self.persist(slot, vec![Record::Gone(Key::Earning(id))], out);
        self.chain.checkpoint.writes(seq);
        if let Some(gone) = self.channels.remove(slot) {
            self.tally.remove(&gone.mark);
            self.alarms.forget(AlarmKey::Force(slot));
            self.alarms.forget(AlarmKey::Settle(slot));
            if let Some(watch) = gone.watch {
                self.chain.checkpoint.settled(watch.closed_in, slot);
            }
        }
        self.by_id.remove(&id);
        self.soft.retain(|(_, other)| *other != slot);
        out.push(Lane::Role, Effect::Notice(Notice::Settled { channel: id, paid, refunded, cooperative }));
    }

    fn outlook(&self) -> Outlook {
        Outlook {
            monitor: self.config.monitor,
            head_time: self.chain.head_time,
            forced_inclusion: self.chain.forced_inclusion,
        }
    }

    fn arm_watch(&mut self, now: Now, slot: Slot) {
        let outlook = self.outlook();
        let Some(watch) = self.channels.get_mut(slot).and_then(|channel| channel.watch.as_mut()) else {
            return;
        };
        let keys = (AlarmKey::Force(slot), AlarmKey::Settle(slot));
        // The client settles for its refund; the node only where it doesn't.
        watch.arm(now, &outlook, outlook.monitor.settle_grace, &mut self.alarms, keys);
    }

    /// X1, X2: what the best durable voucher asks for on a closing channel.
    pub(super) fn defend(&mut self, now: Now, slot: Slot, cue: Cue, out: &mut Outputs) {
        let outlook = self.outlook();
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let held = channel.held();
        let Some(watch) = channel.watch.as_deref_mut() else { return };
        let lane = Lane::Channel(slot.index);
        match watch.step(cue, now, &held, &outlook, out) {
            // What is held is signed.
            Step::Wait | Step::Sign => {}
            Step::Submit(route) => {
                let Some(voucher) = held.voucher else { return };
                self.next_ticket += 1;
                let ticket = TxTicket(self.next_ticket);
                self.txs.insert(ticket, slot);
                watch.submit(ticket, voucher, held.deposit, route, lane, out);
            }
            Step::Force(ticket) => {
                self.alarms.arm(AlarmKey::Force(slot), now.mono + outlook.monitor.poll);
                out.push(lane, Effect::ForceInclude { ticket });
            }
        }
        self.touch_channel(slot);
    }

    pub(super) fn on_settle_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let ticket = TxTicket(self.ticket());
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let id = channel.id;
        let Some(watch) = channel.watch.as_mut() else { return };
        // Nothing to earn, or on its way: the client settles for its refund.
        if watch.settling.is_some() || watch.recorded == Amount::ZERO {
            return;
        }
        watch.settling = Some(ticket);
        self.txs.insert(ticket, slot);
        let call = Call::Settle { channel: id };
        out.push(Lane::Channel(slot.index), Effect::Tx { ticket, call, route: Route::Sequencer });
        self.touch_channel(slot);
        self.poll(now, out);
    }

    pub(super) fn on_close_order(&mut self, id: ChannelId, out: &mut Outputs) {
        let Some(slot) = self.by_id.get(&id) else { return };
        if self.channels[slot].status == ChannelStatus::Closing {
            return;
        }
        let voucher = self.channels[slot].best_voucher();
        if self.channels[slot].status == ChannelStatus::Open {
            self.channels[slot].status = ChannelStatus::Final;
            self.stop_streams(slot, out);
            let record = self.channels[slot].record();
            self.persist(slot, vec![record], out);
        }
        self.touch_channel(slot);
        let ticket = TxTicket(self.ticket());
        self.txs.insert(ticket, slot);
        let call = Call::Close { channel: id, voucher };
        out.push(Lane::Channel(slot.index), Effect::Tx { ticket, call, route: Route::Sequencer });
    }

    pub(super) fn on_tx(&mut self, now: Now, ticket: TxTicket, outcome: TxOutcome, out: &mut Outputs) {
        let Some(slot) = self.txs.get(&ticket).copied() else { return };
        if !matches!(outcome, TxOutcome::Queued { .. }) {
            self.txs.remove(&ticket);
        }
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let id = channel.id;
        let Some(watch) = channel.watch.as_deref_mut() else { return self.poll(now, out) };
        match watch.on_tx(id, ticket, &outcome, out) {
            Heard::Nothing => return,
            Heard::Queued(forcible) => {
                self.alarms.arm(AlarmKey::Force(slot), mono_at(now, forcible.wall()));
                return self.touch_channel(slot);
            }
            Heard::SettleFailed => {
                let again = now.mono + self.config.monitor.poll;
                self.alarms.arm(AlarmKey::Settle(slot), again);
            }
            Heard::DisputeFailed => self.retrying.push(slot),
            Heard::Landed(_) | Heard::OtherFailed => {}
        }
        self.touch_channel(slot);
        // The events say what it did; until they come, nothing is assumed.
        self.poll(now, out);
    }
}

impl Channel {
    fn held(&self) -> Held {
        Held {
            channel: self.id,
            deposit: self.deposit,
            amount: self.durable,
            voucher: self.best_voucher(),
            is_signing: false,
        }
    }

    /// The best durable voucher as it goes on chain.
    pub(super) fn best_voucher(&self) -> Option<SignedVoucher> {
        let best = self.best?;
        let terms =
            VoucherTerms { channel: self.id, amount: best.amount, nonce: best.nonce, token: self.token };
        Some(SignedVoucher { terms, signature: best.signature })
    }
}
