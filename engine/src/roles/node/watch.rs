//! Following the chain: openings, closes, disputes, settlements (X1, X2, V1, V6, L3).

use alloc::{boxed::Box, vec};

use super::{AlarmKey, Channel, Node};
use crate::{
    chain::{Call, ChainEvent, ChainUpdate, EventKind, Route, TxOutcome},
    crypto::{SignedVoucher, VoucherTerms},
    dispute::{Stage, Step, Watch, mono_at},
    fault::{Fault, LimitHit, Rule, Surprise},
    ids::{ChannelId, TxTicket},
    io::{Effect, Lane, Notice, Outputs},
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
        self.alarms.arm(&mut self.chain.poll, now.mono + self.config.monitor.poll, AlarmKey::Poll);
    }

    pub(super) fn on_chain_unreachable(&mut self, now: Now) {
        self.chain.polling = false;
        self.is_chain_dirty = true;
        self.alarms.arm(&mut self.chain.poll, now.mono + self.config.monitor.poll, AlarmKey::Poll);
    }

    /// V1 and L3: the newest head is young, and its clock is near ours.
    pub(super) fn may_extend_credit(&self, now: Now) -> bool {
        let is_young = self.chain.head_at.is_some_and(|at| now.mono.since(at) < self.config.head_age_max);
        is_young && self.chain.is_clock_sane
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
            self.dispute_again(now, slot, out);
        }
        if self.chain.cursor.next_block <= update.head.number {
            self.alarms.arm_by(&mut self.chain.poll, now.mono + LOOK_AGAIN, AlarmKey::Poll);
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
                    self.persist(slot, vec![record], out);
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
                if self.channels[slot].status != ChannelStatus::Closing {
                    self.channels[slot].status = ChannelStatus::Closing;
                    let record = self.channels[slot].record();
                    self.persist(slot, vec![record], out);
                    self.stop_streams(slot, out);
                }
                self.touch_channel(slot);
                self.arm_watch(now, slot);
                self.dispute_if_stale(slot, out);
            }
            EventKind::Disputed { amount, .. } => {
                let Some(slot) = self.by_id.get(&event.channel) else { return };
                if let Some(watch) = self.channels[slot].watch.as_mut() {
                    watch.recorded = watch.recorded.max(amount);
                    out.push(Lane::Role, Effect::Notice(Notice::Disputed { channel: event.channel, amount }));
                }
                self.touch_channel(slot);
                self.dispute_if_stale(slot, out);
            }
            EventKind::Settled { paid, refunded, cooperative } => {
                self.on_settled(event.channel, paid, refunded, cooperative, out);
            }
        }
    }

    fn on_settled(
        &mut self,
        id: ChannelId,
        paid: crate::money::Amount,
        refunded: crate::money::Amount,
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
        self.persist(slot, vec![Record::Gone(Key::Earning(id))], out);
        if let Some(gone) = self.channels.remove(slot) {
            self.tally.remove(&gone.mark);
        }
        self.by_id.remove(&id);
        self.soft.retain(|(_, other)| *other != slot);
        out.push(Lane::Role, Effect::Notice(Notice::Settled { channel: id, paid, refunded, cooperative }));
    }

    /// The two alarms of a closing channel: the forced path, and the end of the window.
    fn arm_watch(&mut self, now: Now, slot: Slot) {
        let monitor = self.config.monitor;
        let forced_inclusion = self.chain.forced_inclusion;
        let Some(watch) = self.channels.get_mut(slot).and_then(|channel| channel.watch.as_mut()) else {
            return;
        };
        let force_at = mono_at(now, watch.force_at(&monitor, forced_inclusion));
        self.alarms.arm(&mut watch.force, force_at, AlarmKey::Force(slot));
        // How far the chain's clock has to go, rather than how far ours has: they may differ.
        let left = Span::from_secs(watch.deadline.0.saturating_sub(self.chain.head_time.0));
        let settle_at = now.mono + left + monitor.settle_grace;
        self.alarms.arm(&mut watch.settle, settle_at, AlarmKey::Settle(slot));
    }

    /// X1: a close below the best durable voucher is disputed, once.
    pub(super) fn dispute_if_stale(&mut self, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let held = channel.durable.min(channel.deposit);
        let (id, is_enabled) = (channel.id, self.config.monitor.enabled);
        let head_time = self.chain.head_time;
        let Some(watch) = channel.watch.as_mut() else { return };
        if !watch.is_stale(held) || head_time >= watch.deadline {
            watch.stage = Stage::Watching;
            return;
        }
        if !is_enabled || watch.ticket().is_some() {
            return;
        }
        let recorded = watch.recorded;
        out.push(Lane::Role, Effect::Notice(Notice::StaleClose { channel: id, recorded, held }));
        self.submit_dispute(slot, Route::Sequencer, out);
    }

    /// A dispute that failed or was lost goes out again while the window lasts.
    fn dispute_again(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let (monitor, forced_inclusion) = (self.config.monitor, self.chain.forced_inclusion);
        let head_time = self.chain.head_time;
        let Some(channel) = self.channels.get(slot) else { return };
        let held = channel.durable.min(channel.deposit);
        let Some(watch) = channel.watch.as_deref() else { return };
        if watch.stage == Stage::Wanted && watch.is_stale(held) && head_time < watch.deadline {
            self.submit_dispute(slot, watch.route_again(now, &monitor, forced_inclusion), out);
        }
    }

    fn submit_dispute(&mut self, slot: Slot, route: Route, out: &mut Outputs) {
        let ticket = TxTicket(self.ticket());
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let Some(voucher) = channel.best_voucher() else { return };
        let deposit = channel.deposit;
        let Some(watch) = channel.watch.as_mut() else { return };
        watch.on_submitted(ticket, route, voucher.terms.amount.min(deposit));
        if route == Route::DelayedInbox {
            out.push(Lane::Role, Effect::Notice(Notice::ForcingInclusion { channel: voucher.terms.channel }));
        }
        let call = Call::Dispute { voucher };
        out.push(Lane::Channel(slot.index), Effect::Tx { ticket, call, route });
        self.txs.insert(ticket, slot);
        self.touch_channel(slot);
    }

    pub(super) fn on_force_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let (again, head_time) = (now.mono + self.config.monitor.poll, self.chain.head_time);
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let held = channel.durable.min(channel.deposit);
        let Some(watch) = channel.watch.as_mut().filter(|watch| watch.is_stale(held)) else { return };
        if head_time >= watch.deadline {
            return;
        }
        let step = watch.on_force_due();
        if let Step::Force(_) = step {
            self.alarms.arm(&mut watch.force, again, AlarmKey::Force(slot));
        }
        self.touch_channel(slot);
        match step {
            Step::Wait => {}
            Step::Submit(route) => self.submit_dispute(slot, route, out),
            Step::Force(ticket) => out.push(Lane::Channel(slot.index), Effect::ForceInclude { ticket }),
        }
    }

    pub(super) fn on_settle_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let ticket = TxTicket(self.ticket());
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let id = channel.id;
        let Some(watch) = channel.watch.as_mut() else { return };
        // Nothing to earn, or on its way: the client settles for its refund.
        if watch.settling.is_some() || watch.recorded == crate::money::Amount::ZERO {
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
        let Some(watch) = channel.watch.as_mut() else { return self.poll(now, out) };
        if let Some(forcible) = watch.on_queued(ticket, &outcome) {
            self.alarms.arm(&mut watch.force, mono_at(now, forcible.wall()), AlarmKey::Force(slot));
            return self.touch_channel(slot);
        }
        let is_settlement = watch.settling == Some(ticket);
        let failed = match outcome {
            TxOutcome::Queued { .. } => return,
            TxOutcome::Included { result: Ok(()), .. } => {
                if watch.ticket() == Some(ticket) {
                    watch.on_landed();
                }
                None
            }
            TxOutcome::Included { result: Err(reason), .. } => Some(Some(reason)),
            TxOutcome::Lost => Some(None),
        };
        if let Some(reason) = failed {
            if is_settlement {
                watch.settling = None;
                let again = now.mono + self.config.monitor.poll;
                self.alarms.arm(&mut watch.settle, again, AlarmKey::Settle(slot));
            } else if watch.ticket() == Some(ticket) {
                watch.on_failed();
                self.retrying.push(slot);
            }
            if let Some(reason) = reason {
                let surprise = Surprise::Reverted { ticket, reason };
                out.push(Lane::Role, Effect::Fault(Fault::Chain { channel: id, rule: Rule::X1, surprise }));
            }
        }
        self.touch_channel(slot);
        // The events say what it did; until they come, nothing is assumed.
        self.poll(now, out);
    }
}

impl Channel {
    /// The best durable voucher as it goes on chain.
    pub(super) fn best_voucher(&self) -> Option<SignedVoucher> {
        let best = self.best?;
        let terms =
            VoucherTerms { channel: self.id, amount: best.amount, nonce: best.nonce, token: self.token };
        Some(SignedVoucher { terms, signature: best.signature })
    }
}
