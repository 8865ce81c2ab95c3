//! Closing channels that are earned on: because their owner says so, or because the chain's clock does (V7, L3).

use alloc::{vec, vec::Vec};

use super::Node;
use crate::{
    chain::{TxOutcome, channel},
    ids::{ChannelId, TxTicket},
    io::{Answer, Effect, Lane, Notice, Outputs, Refusal},
    machine::orders::Ready,
    order::Order,
    record::{ChannelStatus, Key, Record},
    state::Slot,
    time::Now,
};

impl Node {
    /// Whether a channel is or was one that it earns on, as far as it remembers.
    pub(super) fn has_earned_on(&self, id: &ChannelId) -> bool {
        self.earnings.slot(id).is_some() || self.closings.retained.contains(id)
    }

    /// The owner wants a channel closed. Nothing more is served on it; the order is on record before the close leaves, and with it
    /// the voucher that it closes with.
    pub(super) fn on_close_order(&mut self, now: Now, id: ChannelId, out: &mut Outputs) {
        let order = Order::Close(id);
        let slot = match self.earnings.slot(&id) {
            None if self.closings.retained.has_settled(&id) => Err(Refusal::Settled),
            None => Err(Refusal::Unknown),
            Some(slot) if self.earnings.channels[slot].status == ChannelStatus::Closing => {
                Err(Refusal::Closing)
            }
            Some(slot) => Ok(slot),
        };
        let slot = match slot {
            Ok(slot) => slot,
            Err(refusal) => {
                return out.notice(Notice::Ordered { order, answer: Answer::Refused(refusal) });
            }
        };
        let lane = Lane::Channel(slot.index);
        let is_new = !self.buyer.orders.has(&order);
        if is_new {
            self.buyer.orders.note(order);
            self.buyer.prints.is_rest_dirty = true;
            if self.earnings.channels[slot].status == ChannelStatus::Open {
                self.earnings.channels[slot].status = ChannelStatus::Ending;
                self.stop_streams(slot, out);
            }
            let writes = vec![self.earnings.channels[slot].record(), Record::Order(order)];
            self.buyer.tools.persist(lane, writes, out);
        }
        out.push(lane, Effect::Notice(Notice::Ordered { order, answer: Answer::Taken }));
        self.send_close(now, id, out);
    }

    /// The same without an owner: what this is done for comes again where it fails (L3).
    pub(super) fn close(&mut self, id: ChannelId, out: &mut Outputs) {
        let slot = self.earnings.slot(&id).expect("what is closed is there");
        let channel = &mut self.earnings.channels[slot];
        assert_ne!(channel.status, ChannelStatus::Closing, "what is closing needs no other close");
        if channel.status == ChannelStatus::Open {
            channel.status = ChannelStatus::Ending;
            self.stop_streams(slot, out);
            self.persist(slot, out);
        }
        self.submit_close(slot, out);
    }

    /// Closes with the best voucher: the window runs.
    pub(super) fn submit_close(&mut self, slot: Slot, out: &mut Outputs) {
        self.earnings.channels.touch(slot);
        self.buyer.prints.is_rest_dirty = true;
        let channel = &self.earnings.channels[slot];
        let (id, voucher) = (channel.id, channel.best_voucher());
        let ticket = self.buyer.tools.tx_ticket();
        self.buyer.orders.sent(&Order::Close(id), ticket);
        self.closings.submit(slot, ticket, channel::Call::Close { channel: id, voucher }, out);
    }

    /// A close that is due; not beside another transaction about the channel, be it a close for the clock.
    fn send_close(&mut self, now: Now, id: ChannelId, out: &mut Outputs) {
        let slot = self.earnings.slot(&id).expect("an order is sent about a channel that is there");
        if self.buyer.orders.is_due(&id, now) && !self.closings.txs.values().any(|other| *other == slot) {
            self.submit_close(slot, out);
        }
    }

    /// The chain is read up to its head: closes that were ordered and are not on it are sent again, so many with each news; those
    /// that the contract would not have are over.
    pub(super) fn send_closes(&mut self, now: Now, out: &mut Outputs) {
        let Self { earnings, closings, .. } = self;
        let is_open = |id: &ChannelId| earnings.slot(id).is_some_and(|slot| closings.get(slot).is_none());
        let ready = self.buyer.orders.ready(now, self.buyer.follower.next_block(), is_open);
        for (id, ready) in ready.into_iter().take(self.config.limits.closes) {
            let slot = self.earnings.slot(&id).expect("an order is ready where its channel is there");
            match ready {
                Ready::Send if self.closings.txs.values().any(|other| *other == slot) => {}
                Ready::Send => self.submit_close(slot, out),
                Ready::Tell(reason) => {
                    self.buyer.orders.end_close(id);
                    self.buyer.prints.is_rest_dirty = true;
                    let order = Order::Close(id);
                    let gone = vec![Record::Gone(Key::Order(order))];
                    self.buyer.tools.persist(Lane::Channel(slot.index), gone, out);
                    out.notice(Notice::Ordered { order, answer: Answer::Reverted(reason) });
                }
            }
        }
    }

    /// The outcome of a close, if this is one that was ordered. What it did its event says.
    pub(super) fn on_close_tx(&mut self, now: Now, id: ChannelId, ticket: TxTicket, outcome: &TxOutcome) {
        self.buyer.prints.is_rest_dirty = true;
        let poll = self.config.monitor.poll;
        self.buyer.orders.on_tx(&Order::Close(id), ticket, outcome, (now, poll));
    }

    /// The channel is closing or settled, whoever did it.
    pub(super) fn note_close_done(&mut self, id: ChannelId, block: u64, out: &mut Outputs) {
        if self.buyer.orders.landed(id, block) {
            self.buyer.prints.is_rest_dirty = true;
            out.notice(Notice::Ordered { order: Order::Close(id), answer: Answer::Done { block } });
        }
    }

    /// The disk is to forget a channel that is over, and what was ordered of it.
    pub(super) fn erase(&mut self, id: ChannelId) -> Vec<Record> {
        let mut gone: Vec<Record> = self.closings.erase(id, Key::Earning).collect();
        if self.buyer.orders.end_close(id) {
            self.buyer.prints.is_rest_dirty = true;
            gone.push(Record::Gone(Key::Order(Order::Close(id))));
        }
        gone
    }
}
