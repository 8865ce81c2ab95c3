//! Closing channels that are earned on, because their owner says so or because the chain's clock does, and claiming on them (V7, L3,
//! C11, C12).

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
        let is_aside = self.earnings.aside.get(id).is_some();
        self.earnings.slot(id).is_some() || is_aside || self.closings.retained.contains(id)
    }

    /// The owner wants a channel closed, or claimed on. Before the transaction leaves, the order is on record and with it the voucher
    /// that it takes along. Nothing more is served on what is to be closed.
    pub(super) fn on_earned_order(&mut self, now: Now, order: Order, id: ChannelId, out: &mut Outputs) {
        self.open_slot(&id, None, out);
        let slot = match self.takes(order, id) {
            Ok(slot) => slot,
            Err(refusal) => {
                return out.notice(Notice::Ordered { order, answer: Answer::Refused(refusal) });
            }
        };
        self.take_order(now, order, slot, out);
    }

    /// Takes an order, be it the owner's or the node's own. It is told either way.
    pub(super) fn take_order(&mut self, now: Now, order: Order, slot: Slot, out: &mut Outputs) {
        let lane = Lane::Channel(slot.index);
        let is_new = !self.buyer.orders.has(&order);
        if is_new {
            self.buyer.orders.note(order);
            self.buyer.prints.is_rest_dirty = true;
            let is_close = matches!(order, Order::Close(_));
            if is_close && self.earnings.channels[slot].status == ChannelStatus::Open {
                self.earnings.channels[slot].status = ChannelStatus::Ending;
                self.stop_streams(slot, out);
            }
            let writes = vec![self.earnings.channels[slot].record(), Record::Order(order)];
            self.buyer.tools.persist(lane, writes, out);
        }
        out.push(lane, Effect::Notice(Notice::Ordered { order, answer: Answer::Taken }));
        self.send_order(now, order, slot, out);
    }

    /// The channel that an order is about, if it can be carried out.
    fn takes(&self, order: Order, id: ChannelId) -> Result<Slot, Refusal> {
        let Some(slot) = self.earnings.slot(&id) else {
            // What is forgone closes on chain, for nothing.
            if self.earnings.aside.get(&id).is_some() {
                return Err(Refusal::Closing);
            }
            let has_settled = self.closings.retained.has_settled(&id);
            return Err(if has_settled { Refusal::Settled } else { Refusal::Unknown });
        };
        let channel = &self.earnings.channels[slot];
        if channel.status == ChannelStatus::Closing {
            return Err(Refusal::Closing);
        }
        if matches!(order, Order::Claim(_)) && channel.best_voucher().is_none() {
            return Err(Refusal::NothingEarned);
        }
        Ok(slot)
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

    /// Closes with the best voucher. A payee can't cheat with its payer's signature, so there is no window (C11).
    pub(super) fn submit_close(&mut self, slot: Slot, out: &mut Outputs) {
        let order = Order::Close(self.earnings.channels[slot].id);
        self.submit_earned(order, slot, out);
    }

    fn submit_earned(&mut self, order: Order, slot: Slot, out: &mut Outputs) {
        self.earnings.channels.touch(slot);
        self.buyer.prints.is_rest_dirty = true;
        let channel = &self.earnings.channels[slot];
        let call = match (order, channel.best_voucher()) {
            (Order::Claim(_), Some(voucher)) => channel::Call::Claim { voucher },
            (_, voucher) => channel::Call::Finish { channel: channel.id, voucher },
        };
        let ticket = self.buyer.tools.tx_ticket();
        self.buyer.orders.sent(&order, ticket);
        self.closings.submit(slot, ticket, call, out);
    }

    pub(super) fn has_transaction(&self, slot: Slot) -> bool {
        self.closings.txs.values().any(|other| *other == slot)
    }

    /// What is due; not beside another transaction about the channel, be it a close for the clock.
    fn send_order(&mut self, now: Now, order: Order, slot: Slot, out: &mut Outputs) {
        if self.buyer.orders.is_due(&order, now) && !self.has_transaction(slot) {
            self.submit_earned(order, slot, out);
        }
    }

    /// The chain is read up to its head: what was ordered and is not on it is sent again, so much with each news; what the
    /// contract would not have is over.
    pub(super) fn send_orders(&mut self, now: Now, out: &mut Outputs) {
        let Self { earnings, closings, .. } = self;
        let is_open = |id: &ChannelId| earnings.slot(id).is_some_and(|slot| closings.get(slot).is_none());
        let ready = self.buyer.orders.ready(now, self.buyer.follower.next_block(), is_open);
        for (order, id, ready) in ready.into_iter().take(self.config.limits.closes) {
            let slot = self.earnings.slot(&id).expect("an order is ready where its channel is there");
            match ready {
                Ready::Send if self.has_transaction(slot) => {}
                Ready::Send => self.submit_earned(order, slot, out),
                Ready::Tell(reason) => {
                    self.end_order(order, slot, Answer::Reverted(reason), out);
                    self.earnings.channels[slot].is_left_alone = true;
                }
            }
        }
        for order in self.buyer.orders.safe_claims(self.buyer.follower.safe()) {
            self.buyer.orders.end(&order);
            self.buyer.prints.is_rest_dirty = true;
            self.buyer.tools.persist(Lane::Role, vec![Record::Gone(Key::Order(order))], out);
        }
    }

    /// An order is over, and off the record.
    fn end_order(&mut self, order: Order, slot: Slot, answer: Answer, out: &mut Outputs) {
        self.buyer.orders.end(&order);
        self.buyer.prints.is_rest_dirty = true;
        let gone = vec![Record::Gone(Key::Order(order))];
        self.buyer.tools.persist(Lane::Channel(slot.index), gone, out);
        out.notice(Notice::Ordered { order, answer });
    }

    /// The outcome of what was ordered of a channel, if this is that. What it did its event says.
    pub(super) fn on_order_tx(&mut self, now: Now, id: ChannelId, ticket: TxTicket, outcome: &TxOutcome) {
        self.buyer.prints.is_rest_dirty = true;
        let poll = self.config.monitor.poll;
        for order in [Order::Close(id), Order::Claim(id)] {
            self.buyer.orders.on_tx(&order, ticket, outcome, (now, poll));
        }
    }

    /// The chain has what may have been ordered, whoever did it.
    pub(super) fn note_done(&mut self, order: Order, block: u64, out: &mut Outputs) {
        if self.buyer.orders.landed(&order, block) {
            self.buyer.prints.is_rest_dirty = true;
            out.notice(Notice::Ordered { order, answer: Answer::Done { block } });
        }
    }

    /// A channel is closing or settled: that it was to be closed is done, and nothing can be claimed on it any more.
    pub(super) fn note_close_done(&mut self, slot: Slot, block: u64, out: &mut Outputs) {
        let id = self.earnings.channels[slot].id;
        self.note_done(Order::Close(id), block, out);
        if self.buyer.orders.is_to_do(&Order::Claim(id)) {
            let reason = channel::Revert::NotOpen.into();
            self.end_order(Order::Claim(id), slot, Answer::Reverted(reason), out);
        }
    }

    /// The disk is to forget a channel that is over, and what was ordered of it.
    pub(super) fn erase(&mut self, id: ChannelId) -> Vec<Record> {
        let mut gone: Vec<Record> = self.closings.erase(id, Key::Earning).collect();
        gone.extend(self.earnings.claims.erase(id));
        for order in [Order::Close(id), Order::Claim(id)] {
            if self.buyer.orders.end(&order) {
                self.buyer.prints.is_rest_dirty = true;
                gone.push(Record::Gone(Key::Order(order)));
            }
        }
        gone
    }
}
