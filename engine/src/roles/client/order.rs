//! What the owner orders about money that is there: closes of channels that are paid on, and calls that no channel here is needed
//! for (V7, C5, C6). Those are a node's as well.

use alloc::vec;

use super::Client;
use crate::{
    chain::{Route, TxOutcome},
    fault::{LimitHit, Rule},
    ids::{ChannelId, TxTicket},
    io::{Answer, Effect, Lane, Notice, Outputs, Refusal},
    machine::orders::Heard,
    order::Order,
    record::{ChannelStatus, Key, Record},
    time::Now,
};

impl Client {
    pub(super) fn on_money_order(&mut self, now: Now, order: Order, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        let refusal = match order {
            Order::Close(channel) => self.refuses_close(&channel),
            // What is closing needs no force.
            Order::ForceClose(channel) => {
                self.refuses_close(&channel).filter(|refusal| *refusal != Refusal::Unknown)
            }
            Order::Claim(channel) if self.wallet.slot(&channel).is_some() => Some(Refusal::NotNode),
            Order::Claim(_) => Some(Refusal::Unknown),
            Order::Withdraw { .. } => None,
        };
        let is_new = order.is_call() && !self.orders.has(&order);
        let refusal = refusal.or((is_new && !self.orders.has_room(&order)).then_some(Refusal::TooMany));
        if let Some(refusal) = refusal {
            if refusal == Refusal::TooMany {
                out.limit(Rule::O11, LimitHit::Orders);
            }
            return out.notice(Notice::Ordered { order, answer: Answer::Refused(refusal) });
        }
        if is_new {
            self.orders.note(order);
            // Before it leaves: a crash neither loses it nor, once its fate is known, does it again.
            self.persist(Lane::Role, vec![Record::Order(order)], out);
        }
        let mut lane = Lane::Role;
        if let Order::Close(channel) = order {
            let slot = self.wallet.slot(&channel).expect("what is not there was refused");
            self.begin_close(now, slot, out);
            lane = Lane::Channel(slot.index);
        }
        // Behind the record in its lane.
        out.push(lane, Effect::Notice(Notice::Ordered { order, answer: Answer::Taken }));
        self.send_orders(now, out);
    }

    /// Why a channel can't be closed by this client, if it can't.
    fn refuses_close(&self, channel: &ChannelId) -> Option<Refusal> {
        match self.wallet.slot(channel) {
            Some(slot) if self.wallet.channels[slot].paying.status == ChannelStatus::Closing => {
                Some(Refusal::Closing)
            }
            Some(_) => None,
            None if self.closings.retained.has_settled(channel) => Some(Refusal::Settled),
            None => Some(Refusal::Unknown),
        }
    }

    /// Sends what is due, and forgets what the safe head has.
    pub(super) fn send_orders(&mut self, now: Now, out: &mut Outputs) {
        self.orders.forget_safe(self.follower.safe());
        for (order, call) in self.orders.due_calls(now, self.config.account) {
            let ticket = self.tools.tx_ticket();
            self.orders.sent(&order, ticket);
            out.tx(Lane::Role, ticket, call, Route::Sequencer);
        }
    }

    /// The outcome of an order's own call; true if it was one.
    pub(super) fn on_order_tx(
        &mut self,
        now: Now,
        ticket: TxTicket,
        outcome: &TxOutcome,
        out: &mut Outputs,
    ) -> bool {
        let Some(order) = self.orders.of_call(ticket) else { return false };
        self.prints.is_rest_dirty = true;
        let answer = match self.orders.on_tx(&order, ticket, outcome, (now, self.config.monitor.poll)) {
            Heard::Nothing => return true,
            Heard::Landed(block) => Answer::Done { block },
            Heard::Reverted(reason) => Answer::Reverted(reason),
        };
        self.orders.end_call(order, &answer);
        self.persist(Lane::Role, vec![Record::Gone(Key::Order(order))], out);
        out.notice(Notice::Ordered { order, answer });
        true
    }

    /// L1: what the chain took back is done again.
    pub(super) fn rewind_orders(&mut self, forked_at: u64, out: &mut Outputs) {
        let undone = self.orders.rewind(forked_at);
        if !undone.is_empty() {
            self.persist(Lane::Role, undone.into_iter().map(Record::Order).collect(), out);
        }
    }
}
