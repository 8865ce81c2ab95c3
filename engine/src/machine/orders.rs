//! What an owner has ordered about money that is there: on record from when it is taken until the chain has done or refused it, and
//! tried again as long as it has not (V7, C5, C6).
//!
//! Orders about channels that a node earns on are sent by the node, which knows what it holds of them; the others are calls of their
//! own. Until the safe head has what they did, it may be undone (L1).

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    chain::{Revert, TxOutcome, channel::Call},
    ids::{Address, ChannelId, TxTicket},
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
    /// An event in this block says that it was done.
    Done(u64),
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
    /// Closes and claims of channels that are earned on: a close as long as anything is on record of its channel, a claim until the
    /// safe head has it.
    earned: BTreeMap<Order, Stage>,
    /// The others.
    calls: BTreeMap<Order, Stage>,
    /// Calls that are done and off the record, with their blocks, as long as these are not safe.
    done: BTreeMap<Order, u64>,
}

impl Orders {
    fn get(&self, order: &Order) -> Option<&Stage> {
        match order {
            Order::Close(_) | Order::Claim(_) => self.earned.get(order),
            Order::Withdraw { .. } | Order::ForceClose(_) => self.calls.get(order),
        }
    }

    fn get_mut(&mut self, order: &Order) -> Option<&mut Stage> {
        match order {
            Order::Close(_) | Order::Claim(_) => self.earned.get_mut(order),
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
        self.earned.len() + self.calls.len() + self.done.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes an order: it is to be sent at once.
    pub fn note(&mut self, order: Order) {
        let due = Stage::Due { at: Time(0), tries: 0 };
        match order {
            Order::Close(_) | Order::Claim(_) => _ = self.earned.insert(order, due),
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

    /// The calls that are to be sent now, for this account.
    pub fn due_calls(&self, now: Now, account: Address) -> Vec<(Order, Call)> {
        let is_due = |stage: &Stage| matches!(stage, Stage::Due { at, .. } if *at <= now.mono);
        let due = self.calls.iter().filter(|(_, stage)| is_due(stage));
        due.filter_map(|(order, _)| Some((*order, call(order, account)?))).collect()
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
        for stage in self.earned.values_mut() {
            if matches!(*stage, Stage::Done(block) if block >= forked_at) {
                *stage = Stage::Due { at: Time(0), tries: 0 };
            }
        }
        undone
    }

    /// The chain has what was ordered of a channel, in this block. Whether it was ordered.
    pub fn landed(&mut self, order: &Order, block: u64) -> bool {
        let stage = self.earned.get_mut(order);
        stage.map(|stage| *stage = Stage::Done(block)).is_some()
    }

    /// A channel's transactions are not followed any more: should it come back, what was ordered of it is to be sent again.
    pub fn let_go(&mut self, channel: ChannelId) {
        for order in [Order::Close(channel), Order::Claim(channel)] {
            if self.earned.contains_key(&order) {
                self.note(order);
            }
        }
    }

    /// An order about a channel is over: whether there was one.
    pub fn end(&mut self, order: &Order) -> bool {
        self.earned.remove(order).is_some()
    }

    /// The claims that the safe head has.
    pub fn safe_claims(&self, safe: u64) -> Vec<Order> {
        let is_safe = |stage: &Stage| matches!(stage, Stage::Done(block) if *block <= safe);
        let claims = self.earned.iter().filter(|(order, _)| matches!(order, Order::Claim(_)));
        claims.filter(|(_, stage)| is_safe(stage)).map(|(order, _)| *order).collect()
    }

    /// The chain was read up to before this block: what is to be done about channels that are there and not closing.
    pub fn ready(
        &self,
        now: Now,
        next_block: u64,
        is_open: impl Fn(&ChannelId) -> bool,
    ) -> Vec<(Order, ChannelId, Ready)> {
        let ready = |stage: &Stage| match *stage {
            Stage::Due { at, .. } if at <= now.mono => Some(Ready::Send),
            // It was said to be in a block that has it not: another branch, or an endpoint that was wrong.
            Stage::Landed(block) if block < next_block => Some(Ready::Send),
            Stage::Reverted { block, reason } if block < next_block => Some(Ready::Tell(reason)),
            Stage::Due { .. } | Stage::Sent { .. } | Stage::Landed(_) | Stage::Reverted { .. } => None,
            Stage::Done(_) => None,
        };
        let about = |(order, stage): (&Order, &Stage)| match order {
            Order::Close(channel) | Order::Claim(channel) if is_open(channel) => {
                Some((*order, *channel, ready(stage)?))
            }
            _ => None,
        };
        self.earned.iter().filter_map(about).collect()
    }

    /// Whether an order about a channel is not done yet.
    pub fn is_to_do(&self, order: &Order) -> bool {
        self.earned.get(order).is_some_and(|stage| !matches!(stage, Stage::Done(_)))
    }

    /// Whether an order about a channel is to be sent now.
    pub fn is_due(&self, order: &Order, now: Now) -> bool {
        matches!(self.earned.get(order), Some(Stage::Due { at, .. }) if *at <= now.mono)
    }

    /// What was ordered of channels that are earned on, each with its transaction.
    pub fn earned(&self) -> impl Iterator<Item = (&Order, Option<TxTicket>)> {
        self.earned.iter().map(|(order, stage)| match stage {
            Stage::Sent { ticket, .. } => (order, Some(*ticket)),
            Stage::Due { .. } | Stage::Landed(_) | Stage::Reverted { .. } | Stage::Done(_) => (order, None),
        })
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for (order, stage) in self.earned.iter().chain(&self.calls) {
            canon_order(order, out);
            canon(stage, out);
        }
        for (order, block) in &self.done {
            canon_order(order, out);
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
fn call(order: &Order, account: Address) -> Option<Call> {
    match *order {
        Order::Close(_) | Order::Claim(_) => None,
        Order::Withdraw { token } => Some(Call::WithdrawCredit { token, to: account }),
        Order::ForceClose(channel) => Some(Call::ForceClose { channel }),
    }
}

fn canon_order(order: &Order, out: &mut Canonical) {
    let (tag, about) = match order {
        Order::Close(channel) => (b'o', &channel.0[..]),
        Order::Withdraw { token } => (b'w', token.as_slice()),
        Order::ForceClose(channel) => (b'f', &channel.0[..]),
        Order::Claim(channel) => (b'k', &channel.0[..]),
    };
    out.tag(tag);
    out.bytes(about);
}

/// When the next try is says nothing of what there is.
fn canon(stage: &Stage, out: &mut Canonical) {
    let (tag, number) = match stage {
        Stage::Due { .. } => (0, 0),
        Stage::Sent { ticket, .. } => (1, ticket.0),
        Stage::Landed(block) => (2, *block),
        Stage::Reverted { block, .. } => (3, *block),
        Stage::Done(block) => (5, *block),
    };
    out.tag(tag);
    out.number(number);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Case, each_fails};

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
