//! Following the chain: what became of our channels, and disputing a close below our newest voucher (X1, X2).

use alloc::{boxed::Box, vec};

use super::{AlarmKey, Channel, Client};
use crate::{
    chain::{Call, ChainEvent, ChainUpdate, EventKind, Route, TxOutcome},
    dispute::{Cue, Heard, Held, Outlook, Step, Watch, mono_at},
    fault::{Fault, LimitHit, Rule},
    ids::{ChannelId, StreamId, TxTicket},
    io::{Effect, Lane, Notice, Outputs},
    record::{ChannelStatus, Key, Record},
    state::Slot,
    time::{Now, Span},
};

/// How soon to look again for a block that is known to exist.
const LOOK_AGAIN: Span = Span::from_millis(500);

impl Client {
    pub(super) fn poll(&mut self, now: Now, out: &mut Outputs) {
        if !self.chain.is_polling {
            self.chain.is_polling = true;
            self.is_rest_dirty = true;
            out.push(Lane::Role, Effect::Poll { from_block: self.chain.cursor.next_block });
        }
        self.alarms.arm(AlarmKey::Poll, now.mono + self.config.monitor.poll);
    }

    /// A transaction of ours is in this block: read it.
    pub(super) fn await_block(&mut self, now: Now, block: u64, out: &mut Outputs) {
        self.chain.awaited = self.chain.awaited.max(block);
        self.is_rest_dirty = true;
        self.poll(now, out);
    }

    pub(super) fn on_chain_unreachable(&mut self, now: Now) {
        self.chain.is_polling = false;
        self.is_rest_dirty = true;
        self.alarms.arm(AlarmKey::Poll, now.mono + self.config.monitor.poll);
    }

    pub(super) fn on_chain(&mut self, now: Now, update: ChainUpdate, out: &mut Outputs) {
        self.chain.is_polling = false;
        self.is_rest_dirty = true;
        self.chain.head_time = self.chain.head_time.max(update.head.time);
        self.chain.forced_inclusion = update.forced_inclusion;
        let taken = self.chain.cursor.take(&update, self.config.limits.chain_events);
        if taken.is_cut {
            let fault = Fault::Limit { rule: Rule::O11, limit: LimitHit::ChainEvents };
            out.push(Lane::Role, Effect::Fault(fault));
        }
        for event in &update.events[taken.events] {
            self.on_event(now, event, out);
        }
        for slot in core::mem::take(&mut self.retrying) {
            self.defend(now, slot, Cue::Failed, out);
        }
        self.give_up_unseen_opening(now, out);
        let is_behind = self.chain.cursor.next_block <= self.chain.awaited.max(update.head.number);
        if is_behind {
            self.alarms.arm_by(AlarmKey::Poll, now.mono + LOOK_AGAIN);
        }
        if let Some(block) = self.chain.checkpoint.advance(&self.chain.cursor, &update) {
            self.persist(Lane::Role, vec![Record::Cursor(block)], out);
        }
        // Nothing is bought before the past is read: a channel of it may be settled.
        let is_read = self.chain.cursor.next_block > update.head.number;
        if is_read && !core::mem::replace(&mut self.chain.is_known, true) {
            let block = update.head.number;
            out.push(Lane::Role, Effect::Notice(Notice::ChainRead { block }));
            self.resume(now, out);
        } else if self.proof.is_none() && !self.is_proof_asked {
            // The signer would not, the last time.
            self.advance_all(now, out);
        }
    }

    /// The first news after a start: downloads go on, and channels that nothing uses are closed.
    fn resume(&mut self, now: Now, out: &mut Outputs) {
        let half_closed: vec::Vec<Slot> = self
            .channels
            .iter()
            .filter(|(_, channel)| channel.paying.status == ChannelStatus::Final)
            .map(|(slot, _)| slot)
            .collect();
        for slot in half_closed {
            self.begin_close(now, slot, out);
        }
        self.close_unused(now, out);
        self.advance_all(now, out);
    }

    fn on_event(&mut self, now: Now, event: &ChainEvent, out: &mut Outputs) {
        let slot = self.by_id.get(&event.channel);
        match (event.kind, slot) {
            (EventKind::Opened { client, node, token, deposit }, None) if client == self.config.account => {
                self.on_opened(now, event.channel, event.block.number, (node, token, deposit), out);
            }
            (EventKind::Closing { amount, deadline, .. }, Some(slot)) => {
                if self.channels[slot].watch.is_none() {
                    self.channels[slot].watch = Some(Box::new(Watch::new(event.block, amount, deadline)));
                    self.chain.checkpoint.closes(event.block.number, slot);
                    self.on_closing(now, slot, out);
                }
            }
            (EventKind::Disputed { amount, .. }, Some(slot)) => {
                if let Some(watch) = self.watch_mut(slot) {
                    watch.recorded = watch.recorded.max(amount);
                    out.push(Lane::Role, Effect::Notice(Notice::Disputed { channel: event.channel, amount }));
                }
                self.touch_channel(slot);
                self.defend(now, slot, Cue::News, out);
            }
            (EventKind::Settled { paid, refunded, cooperative }, Some(slot)) => {
                out.push(
                    Lane::Role,
                    Effect::Notice(Notice::Settled { channel: event.channel, paid, refunded, cooperative }),
                );
                self.on_settled(now, slot, event.channel, out);
            }
            (EventKind::Opened { .. }, _) | (_, None) => {}
        }
    }

    fn on_closing(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let was_closing = self.stop(now, slot, out);
        self.alarms.cancel(AlarmKey::Consent(slot));
        if !was_closing {
            let seq = self.persist_paying(slot, out);
            self.chain.checkpoint.writes(seq);
        }
        self.touch_channel(slot);
        let outlook = self.outlook();
        let Some(watch) = self.channels[slot].watch.as_deref_mut() else { return };
        let keys = (AlarmKey::Force(slot), AlarmKey::Settle(slot));
        watch.arm(now, &outlook, Span::from_secs(1), &mut self.alarms, keys);
        self.defend(now, slot, Cue::News, out);
    }

    fn outlook(&self) -> Outlook {
        Outlook {
            monitor: self.config.monitor,
            head_time: self.chain.head_time,
            forced_inclusion: self.chain.forced_inclusion,
        }
    }

    /// The channel is over: what was being bought on it goes on with another one.
    pub(super) fn end_streams(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let ids: vec::Vec<StreamId> =
            self.streams.iter().filter(|(_, stream)| stream.channel == slot).map(|(id, _)| *id).collect();
        for id in ids {
            let fetch = match &self.streams[&id].purpose {
                super::Purpose::Content { fetch, .. } => Some(*fetch),
                super::Purpose::Close => None,
            };
            self.drop_stream(id, out);
            if let Some(fetch) = fetch.filter(|fetch| !self.is_paying(*fetch)) {
                self.fail_attempt(now, fetch, super::fetch::Failure::NeedsChannel, out);
            }
        }
    }

    /// The chain ends the channel. Its status says so before its streams end: a download that ends with them would else
    /// have the channel closed once more.
    fn stop(&mut self, now: Now, slot: Slot, out: &mut Outputs) -> bool {
        let status = &mut self.channels[slot].paying.status;
        let before = core::mem::replace(status, ChannelStatus::Closing);
        self.end_streams(now, slot, out);
        before == ChannelStatus::Closing
    }

    fn on_settled(&mut self, now: Now, slot: Slot, id: ChannelId, out: &mut Outputs) {
        self.stop(now, slot, out);
        let seq = self.persist(Lane::Channel(slot.index), vec![Record::Gone(Key::Paying(id))], out);
        self.chain.checkpoint.writes(seq);
        if let Some(gone) = self.channels.remove(slot) {
            self.tally.remove(&gone.mark);
            AlarmKey::of_channel(slot).into_iter().for_each(|key| self.alarms.forget(key));
            if let Some(watch) = gone.watch {
                self.chain.checkpoint.settled(watch.closed_in, slot);
            }
            if let Some(peer) = self.peers.get_mut(&gone.paying.node) {
                peer.channels.retain(|other| *other != slot);
                peer.greeted.retain(|other| *other != slot);
            }
        }
        self.by_id.remove(&id);
        self.leave_idle_peers(out);
    }

    /// X1, X2: what our newest voucher asks for on a closing channel, whoever gains by it.
    pub(super) fn defend(&mut self, now: Now, slot: Slot, cue: Cue, out: &mut Outputs) {
        let outlook = self.outlook();
        let Some(channel) = self.channels.get_mut(slot) else { return };
        let held = channel.held();
        let Some(watch) = channel.watch.as_deref_mut() else { return };
        let lane = Lane::Channel(slot.index);
        match watch.step(cue, now, &held, &outlook, out) {
            Step::Wait => {}
            Step::Sign => self.sign_newest(slot, out),
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

    pub(super) fn on_settle_due(&mut self, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.channels.get(slot) else { return };
        let id = channel.paying.channel;
        if channel.watch.as_ref().is_none_or(|watch| watch.settling.is_some()) {
            return;
        }
        let ticket = self.submit(slot, Call::Settle { channel: id }, Route::Sequencer, out);
        if let Some(watch) = self.watch_mut(slot) {
            watch.settling = Some(ticket);
        }
    }

    pub(super) fn on_tx(&mut self, now: Now, ticket: TxTicket, outcome: TxOutcome, out: &mut Outputs) {
        if self.on_opening_tx(now, ticket, outcome, out) {
            return;
        }
        let Some(slot) = self.txs.get(&ticket).copied() else { return };
        if !matches!(outcome, TxOutcome::Queued { .. }) {
            self.txs.remove(&ticket);
        }
        if self.channels.get(slot).is_none() || self.on_close_tx(now, slot, ticket, &outcome, out) {
            return;
        }
        let id = self.channels[slot].paying.channel;
        self.touch_channel(slot);
        let Some(watch) = self.channels[slot].watch.as_deref_mut() else { return };
        match watch.on_tx(id, ticket, &outcome, out) {
            Heard::Nothing => return,
            Heard::Queued(forcible) => {
                let at = mono_at(now, forcible.wall());
                return self.alarms.arm(AlarmKey::Force(slot), at);
            }
            Heard::Landed(block) => return self.await_block(now, block.number, out),
            Heard::SettleFailed => {
                let again = now.mono + self.config.monitor.poll;
                self.alarms.arm(AlarmKey::Settle(slot), again);
            }
            Heard::DisputeFailed => self.retrying.push(slot),
            Heard::OtherFailed => {}
        }
        self.poll(now, out);
    }
}

impl Channel {
    fn held(&self) -> Held {
        Held {
            channel: self.paying.channel,
            deposit: self.paying.deposit,
            amount: self.paying.amount,
            voucher: self.signed_voucher(),
            is_signing: self.signing.is_some(),
        }
    }
}
