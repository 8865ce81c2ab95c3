//! What an owner has ordered about money that is there: on record from when it is taken until the chain has done or refused it, and
//! tried again as long as it has not (V7, C5, C6).
//!
//! Orders about channels that a node earns on are sent by the node, which knows what it holds of them; the others are calls of their
//! own. Until the safe head has what they did, it may be undone (L1).

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    chain::{Revert, TxOutcome, channel::Call},
    ids::{ChannelId, TxTicket},
    io::Answer,
    limits::ORDERS,
    order::Order,
    state::{Broken, Canonical, Checked, Invariant, holds},
    time::{Now, Span, Time},
};

/// How often the wait between two tries doubles: six times a minute's poll is an hour.
const DOUBLINGS: u8 = 6;

/// How far an order is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// To be sent from this time on.
    Due { at: Time, tries: u8 },
    /// A transaction is on its way.
    Sent { ticket: TxTicket, tries: u8 },
    /// Its transaction is said to be in this block.
    Landed(u64),
    /// The contract would not, in this block: what happened there before is still to be read.
    Reverted { block: u64, reason: Revert },
}

/// What a transaction's outcome means for its order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing, or that it is tried again.
    Nothing,
    /// It is in this block.
    Landed(u64),
    /// The contract would not.
    Reverted(Revert),
}

/// What is to be done about an order once the chain was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// To send it.
    Send,
    /// To say that the contract would not, and to forget it.
    Tell(Revert),
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Orders {
    /// Those about channels that are earned on, as long as anything is on record of their channels.
    closes: BTreeMap<ChannelId, Stage>,
    /// The others.
    calls: BTreeMap<Order, Stage>,
    /// Calls that are done and off the record, with their blocks, as long as these are not safe.
    done: BTreeMap<Order, u64>,
}

impl Orders {
    fn get(&self, order: &Order) -> Option<&Stage> {
        match order {
            Order::Close(channel) => self.closes.get(channel),
            Order::Withdraw { .. } | Order::ForceClose(_) => self.calls.get(order),
        }
    }

    fn get_mut(&mut self, order: &Order) -> Option<&mut Stage> {
        match order {
            Order::Close(channel) => self.closes.get_mut(channel),
            Order::Withdraw { .. } | Order::ForceClose(_) => self.calls.get_mut(order),
        }
    }

    /// After a start: it is on record. Whether it was sent nobody knows.
    pub fn recover(&mut self, order: Order) {
        self.note(order);
    }

    /// Whether this order is on record.
    pub fn has(&self, order: &Order) -> bool {
        self.get(order).is_some()
    }

    /// Whether one more call has room, if it is none that was done a moment ago.
    pub fn has_room(&self, order: &Order) -> bool {
        self.done.contains_key(order) || self.calls.len() + self.done.len() < ORDERS
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.closes.len() + self.calls.len() + self.done.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an order: it is to be sent at once.
    pub fn note(&mut self, order: Order) {
        let due = Stage::Due { at: Time(0), tries: 0 };
        match order {
            Order::Close(channel) => _ = self.closes.insert(channel, due),
            Order::Withdraw { .. } | Order::ForceClose(_) => {
                self.done.remove(&order);
                self.calls.insert(order, due);
            }
        }
    }

    /// It was sent, if it is an order.
    pub fn sent(&mut self, order: &Order, ticket: TxTicket) {
        if let Some(stage) = self.get_mut(order) {
            let tries = if let Stage::Due { tries, .. } = *stage { tries } else { 0 };
            *stage = Stage::Sent { ticket, tries };
        }
    }

    /// The calls that are to be sent now.
    pub fn due_calls(&self, now: Now) -> Vec<(Order, Call)> {
        let is_due = |stage: &Stage| matches!(stage, Stage::Due { at, .. } if *at <= now.mono);
        let due = self.calls.iter().filter(|(_, stage)| is_due(stage));
        due.filter_map(|(order, _)| Some((*order, call(order)?))).collect()
    }

    /// Whose call this is.
    pub fn of_call(&self, ticket: TxTicket) -> Option<Order> {
        let is_its = |stage: &Stage| matches!(stage, Stage::Sent { ticket: other, .. } if *other == ticket);
        self.calls.iter().find(|(_, stage)| is_its(stage)).map(|(order, _)| *order)
    }

    /// The outcome of a transaction; `poll` is the first wait before another try.
    pub fn on_tx(
        &mut self,
        order: &Order,
        ticket: TxTicket,
        outcome: &TxOutcome,
        (now, poll): (Now, Span),
    ) -> Heard {
        let Some(stage) = self.get_mut(order) else { return Heard::Nothing };
        let Stage::Sent { ticket: newest, tries } = *stage else { return Heard::Nothing };
        if newest != ticket {
            return Heard::Nothing;
        }
        match *outcome {
            TxOutcome::Included { block, result: Ok(()) } => {
                *stage = Stage::Landed(block.number);
                Heard::Landed(block.number)
            }
            TxOutcome::Included { block, result: Err(reason) } => {
                *stage = Stage::Reverted { block: block.number, reason };
                Heard::Reverted(reason)
            }
            TxOutcome::Lost => {
                let wait = Span(poll.0.saturating_mul(1 << tries));
                *stage = Stage::Due { at: now.mono + wait, tries: (tries + 1).min(DOUBLINGS) };
                Heard::Nothing
            }
            TxOutcome::Queued { .. } | TxOutcome::Absent => Heard::Nothing,
        }
    }

    /// A call is over, and off the record.
    pub fn end_call(&mut self, order: Order, answer: &Answer) {
        self.calls.remove(&order);
        if let Answer::Done { block } = answer {
            self.done.insert(order, *block);
        }
    }

    /// The safe head has what these did.
    pub fn forget_safe(&mut self, safe: u64) {
        self.done.retain(|_, block| *block > safe);
    }

    /// Blocks from this one on are others now: the calls that were in them are to be sent again.
    pub fn rewind(&mut self, forked_at: u64) -> Vec<Order> {
        let undone = |(order, block): (&Order, &u64)| (*block >= forked_at).then_some(*order);
        let undone: Vec<Order> = self.done.iter().filter_map(undone).collect();
        undone.iter().for_each(|order| self.note(*order));
        undone
    }

    /// A channel is closing or settled since this block. Whether that was ordered.
    pub fn landed(&mut self, channel: ChannelId, block: u64) -> bool {
        let stage = self.closes.get_mut(&channel);
        stage.map(|stage| *stage = Stage::Landed(block)).is_some()
    }

    /// A channel's transactions are not followed any more: should it come back, its close is to be sent again.
    pub fn let_go(&mut self, channel: ChannelId) {
        if self.closes.contains_key(&channel) {
            self.note(Order::Close(channel));
        }
    }

    /// The order to close a channel is over: whether there was one.
    pub fn end_close(&mut self, channel: ChannelId) -> bool {
        self.closes.remove(&channel).is_some()
    }

    /// The chain was read up to before this block: what is to be done about closes, of channels that are there and not closing.
    pub fn ready(
        &self,
        now: Now,
        next_block: u64,
        is_open: impl Fn(&ChannelId) -> bool,
    ) -> Vec<(ChannelId, Ready)> {
        let ready = |(channel, stage): (&ChannelId, &Stage)| match *stage {
            Stage::Due { at, .. } if at <= now.mono => Some((*channel, Ready::Send)),
            // It was said to be in a block that has it not: another branch, or an endpoint that was wrong.
            Stage::Landed(block) if block < next_block => Some((*channel, Ready::Send)),
            Stage::Reverted { block, reason } if block < next_block => Some((*channel, Ready::Tell(reason))),
            Stage::Due { .. } | Stage::Sent { .. } | Stage::Landed(_) | Stage::Reverted { .. } => None,
        };
        let open = self.closes.iter().filter(|(channel, _)| is_open(channel));
        open.filter_map(ready).collect()
    }

    /// Whether a close is to be sent now.
    pub fn is_due(&self, channel: &ChannelId, now: Now) -> bool {
        matches!(self.closes.get(channel), Some(Stage::Due { at, .. }) if *at <= now.mono)
    }

    /// Channels whose close was ordered, each with its transaction.
    pub fn closes(&self) -> impl Iterator<Item = (&ChannelId, Option<TxTicket>)> {
        self.closes.iter().map(|(channel, stage)| match stage {
            Stage::Sent { ticket, .. } => (channel, Some(*ticket)),
            Stage::Due { .. } | Stage::Landed(_) | Stage::Reverted { .. } => (channel, None),
        })
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for (channel, stage) in &self.closes {
            out.tag(b'o');
            out.bytes(&channel.0);
            canon(stage, out);
        }
        for (order, stage) in &self.calls {
            canon_call(order, out);
            canon(stage, out);
        }
        for (order, block) in &self.done {
            canon_call(order, out);
            out.tag(4);
            out.number(*block);
        }
    }

    /// What holds of orders.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::of("no more orders than allowed", Self::are_few),
        Invariant::tie("what is done is on no record", Self::are_done_off_the_record),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn are_few(&self) -> Checked {
        let count = self.calls.len() + self.done.len();
        holds!(count <= ORDERS, "{count}, at most {ORDERS}");
        Ok(())
    }

    fn are_done_off_the_record(&self) -> Checked {
        for order in self.done.keys() {
            holds!(!self.calls.contains_key(order), "{order:?}");
        }
        Ok(())
    }
}

/// The call that carries an order out, where it takes nothing but the order.
fn call(order: &Order) -> Option<Call> {
    match *order {
        Order::Close(_) => None,
        Order::Withdraw { token } => Some(Call::WithdrawCredit { token }),
        Order::ForceClose(channel) => Some(Call::ForceClose { channel }),
    }
}

fn canon_call(order: &Order, out: &mut Canonical) {
    match order {
        Order::Withdraw { token } => {
            out.tag(b'w');
            out.bytes(token.as_slice());
        }
        Order::Close(channel) | Order::ForceClose(channel) => {
            out.tag(b'f');
            out.bytes(&channel.0);
        }
    }
}

/// When the next try is says nothing of what there is.
fn canon(stage: &Stage, out: &mut Canonical) {
    let (tag, number) = match stage {
        Stage::Due { .. } => (0, 0),
        Stage::Sent { ticket, .. } => (1, ticket.0),
        Stage::Landed(block) => (2, *block),
        Stage::Reverted { block, .. } => (3, *block),
    };
    out.tag(tag);
    out.number(number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::Address,
        state::{Case, each_fails},
    };

    fn withdraw(n: u8) -> Order {
        Order::Withdraw { token: Address::repeat_byte(n) }
    }

    fn full() -> Orders {
        let mut orders = Orders::default();
        (0..ORDERS as u8).for_each(|n| orders.note(withdraw(n)));
        orders
    }

    fn done() -> Orders {
        let mut orders = Orders::default();
        orders.end_call(withdraw(1), &Answer::Done { block: 5 });
        orders
    }

    #[test]
    fn each_invariant_of_orders_can_fail() {
        let cases: [Case<Orders>; 2] = [
            ("no more orders than allowed", full, |it| it.note(withdraw(0xff))),
            ("what is done is on no record", done, |it| {
                it.calls.insert(withdraw(1), Stage::Landed(5));
            }),
        ];
        each_fails(Orders::INVARIANTS, &cases, |orders| assert!(orders.check().is_err()));
    }

    #[test]
    fn o11_there_is_room_for_so_many_and_for_what_was_done_a_moment_ago() {
        let mut orders = full();
        assert!(!orders.has_room(&withdraw(0xff)));
        orders.end_call(withdraw(1), &Answer::Done { block: 5 });
        assert!(orders.has_room(&withdraw(1)) && !orders.has_room(&withdraw(0xff)));
        orders.forget_safe(5);
        assert!(orders.has_room(&withdraw(0xff)));
    }
}
