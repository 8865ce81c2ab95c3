//! Closing channels: the transactions that close, dispute and settle them, which channels are in their dispute window, and what is
//! done about each (X1, X2).
//!
//! [`Watch`] knows one of them. What is held of a channel, and whether settling it is worth it, is the role's to say.

mod retained;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

pub use retained::{Kept, Retained, Why};

use super::{AlarmKey, Cx};
use crate::{
    chain::{Block, Call, Route, TxOutcome, channel},
    dispute::{Cue, Heard, Held, Outlook, Step, Watch, mono_at},
    ids::{ChannelId, TxTicket},
    io::{Effect, Lane, Notice, Outputs},
    money::Amount,
    state::{Broken, Checked, Invariant, Slot, holds},
    time::{ChainTime, Span},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Closings {
    watches: BTreeMap<Slot, Watch>,
    /// Disputes that failed or were lost: tried again with the next news from the chain.
    retrying: Vec<Slot>,
    /// Transactions whose outcome is not known, each with its channel.
    pub txs: BTreeMap<TxTicket, Slot>,
    /// Channels whose close was taken back, or is not known again after a restart: what is right once the chain is read.
    /// Each with whether this role closed it.
    unclosed: BTreeMap<Slot, bool>,
    /// Channels of which something was taken back beside the close.
    rewound: BTreeSet<Slot>,
    /// Channels whose transactions are said to be in a block that is still to be read.
    unsure: BTreeSet<Slot>,
    /// What is kept of channels that are over, or were never there, as long as the safe head does not say so.
    pub retained: Retained,
}

/// What a channel's defence needs of its role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Defence {
    /// Nothing.
    Nothing,
    /// The held voucher's signature.
    Signature,
}

/// What a transaction's outcome means beyond its channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Nothing yet.
    Nothing,
    /// It did what it should, in this block: read it.
    Landed(Block),
    /// It did not: look at the chain.
    Failed,
}

impl Closings {
    /// A channel is closing since this block. `false`, and nothing changes, if that is known.
    pub fn begin(&mut self, slot: Slot, (block, recorded, deadline): (Block, Amount, ChainTime)) -> bool {
        let is_new = !self.watches.contains_key(&slot);
        if is_new {
            self.watches.insert(slot, Watch::new(block, recorded, deadline));
        }
        is_new
    }

    /// Sets both of a closing channel's alarms: the forced path, and `grace` after the window's end.
    pub fn arm(&self, slot: Slot, outlook: &Outlook, grace: Span, cx: &mut Cx<'_>) {
        let watch = self.watches.get(&slot).expect("alarms are set for a channel that is closing");
        let keys = (AlarmKey::Force(slot), AlarmKey::Settle(slot));
        watch.arm(cx.now, outlook, grace, &mut cx.tools.alarms, keys);
    }

    /// A closing channel.
    pub fn get(&self, slot: Slot) -> Option<&Watch> {
        self.watches.get(&slot)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Watch)> {
        self.watches.iter().map(|(slot, watch)| (*slot, watch))
    }

    /// How many channels are closing, or over and retained.
    pub fn known(&self) -> usize {
        self.watches.len() + self.retained.len()
    }

    /// How many channels are closing.
    pub fn len(&self) -> usize {
        self.watches.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.watches.is_empty()
    }

    /// Which are.
    pub fn slots(&self) -> impl Iterator<Item = Slot> {
        self.watches.keys().copied()
    }

    /// How many disputes wait for the next news to be tried again.
    pub fn retrying(&self) -> usize {
        self.retrying.len()
    }

    /// The chain records this much now.
    pub fn on_disputed(
        &mut self,
        slot: Slot,
        channel: ChannelId,
        (block, amount): (u64, Amount),
        cx: &mut Cx<'_>,
    ) {
        // Its close may be in a block that was not read.
        if let Some(watch) = self.watches.get_mut(&slot) {
            watch.on_disputed(block, amount);
            cx.out.notice(Notice::Disputed { channel, amount });
        }
    }

    /// X1, X2: what is held asks for this, whoever gains by it.
    pub fn defend(
        &mut self,
        slot: Slot,
        cue: Cue,
        held: &Held,
        outlook: &Outlook,
        cx: &mut Cx<'_>,
    ) -> Defence {
        let watch = self.watches.get_mut(&slot).expect("what is defended is closing");
        let lane = Lane::Channel(slot.index);
        match watch.step(cue, cx.now, held, outlook, cx.out) {
            Step::Wait => Defence::Nothing,
            Step::Sign => Defence::Signature,
            Step::Submit(route) => {
                // A better one may be without its signature yet.
                let Some(voucher) = held.voucher else { return Defence::Nothing };
                let ticket = cx.tools.tx_ticket();
                watch.submit(ticket, voucher, held.deposit, route, lane, cx.out);
                self.sent(slot, ticket);
                Defence::Nothing
            }
            Step::Force(ticket) => {
                cx.tools.alarms.arm(AlarmKey::Force(slot), cx.now.mono + outlook.monitor.poll);
                cx.out.push(lane, Effect::ForceInclude { ticket });
                Defence::Nothing
            }
        }
    }

    /// Whose disputes have to be tried again now: with the news that has just come.
    pub fn take_retrying(&mut self) -> Vec<Slot> {
        core::mem::take(&mut self.retrying)
    }

    /// Asks for a call about a channel.
    pub fn submit(&mut self, slot: Slot, ticket: TxTicket, call: impl Into<Call>, out: &mut Outputs) {
        self.sent(slot, ticket);
        out.tx(Lane::Channel(slot.index), ticket, call, Route::Sequencer);
    }

    /// A transaction about a channel is on its way.
    fn sent(&mut self, slot: Slot, ticket: TxTicket) {
        let earlier = self.txs.insert(ticket, slot);
        assert!(earlier.is_none(), "a ticket is given out once");
    }

    /// Whose transaction this is. With its outcome it is one no longer.
    pub fn take_tx(&mut self, ticket: TxTicket, outcome: &TxOutcome) -> Option<Slot> {
        let slot = *self.txs.get(&ticket)?;
        if !matches!(outcome, TxOutcome::Queued { .. }) {
            self.txs.remove(&ticket);
        }
        Some(slot)
    }

    /// Whether a channel can be settled: it is closing, and no settlement is on its way.
    pub fn is_settleable(&self, slot: Slot) -> bool {
        self.watches.get(&slot).is_some_and(|watch| watch.settling.is_none())
    }

    /// Settles a channel.
    pub fn settle(&mut self, slot: Slot, channel: ChannelId, ticket: TxTicket, out: &mut Outputs) {
        let watch = self.watches.get_mut(&slot).expect("what is settled is closing");
        assert!(watch.settling.is_none(), "a channel is settled by one transaction at a time");
        watch.settling = Some(ticket);
        self.submit(slot, ticket, channel::Call::Settle { channel }, out);
    }

    /// The outcome of one of a closing channel's transactions, be it by whomever.
    pub fn on_tx(
        &mut self,
        slot: Slot,
        channel: ChannelId,
        ticket: TxTicket,
        outcome: &TxOutcome,
        outlook: &Outlook,
        cx: &mut Cx<'_>,
    ) -> Option<Outcome> {
        // Its close may not be read yet.
        let watch = self.watches.get_mut(&slot)?;
        match watch.on_tx(channel, ticket, outcome, cx.out) {
            Heard::Nothing => return Some(Outcome::Nothing),
            Heard::Queued(forcible) => {
                cx.tools.alarms.arm(AlarmKey::Force(slot), mono_at(cx.now, forcible.wall()));
                return Some(Outcome::Nothing);
            }
            Heard::Landed(block) => {
                if watch.is_unsure() {
                    self.unsure.insert(slot);
                }
                return Some(Outcome::Landed(block));
            }
            Heard::SettleFailed => {
                cx.tools.alarms.arm(AlarmKey::Settle(slot), cx.now.mono + outlook.monitor.poll);
            }
            Heard::DisputeFailed => self.retrying.push(slot),
            Heard::OtherFailed => {}
        }
        Some(Outcome::Failed)
    }

    /// What holds of closing channels.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie(
            "a dispute that is to be tried again is about a closing channel",
            Self::are_retries_about_closings,
        ),
        Invariant::tie("what an event is to confirm is about a closing channel", Self::are_unsure_closing),
        Invariant::of("what is retained is listed by its block", |closings| closings.retained.is_listed()),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn are_retries_about_closings(&self) -> Checked {
        for slot in &self.retrying {
            holds!(self.watches.contains_key(slot), "{slot:?}");
        }
        Ok(())
    }

    fn are_unsure_closing(&self) -> Checked {
        for (slot, watch) in &self.watches {
            holds!(!watch.is_unsure() || self.unsure.contains(slot), "{slot:?}");
        }
        for slot in self.unsure.iter().chain(&self.rewound) {
            holds!(self.watches.contains_key(slot), "{slot:?}");
        }
        Ok(())
    }

    /// The channel is over: what was known of its close, if it was closing here.
    pub fn remove(&mut self, slot: Slot, cx: &mut Cx<'_>) -> Option<Watch> {
        self.unclosed.remove(&slot);
        self.rewound.remove(&slot);
        self.unsure.remove(&slot);
        self.retrying.retain(|other| *other != slot);
        self.unwatch(slot, cx)
    }

    fn unwatch(&mut self, slot: Slot, cx: &mut Cx<'_>) -> Option<Watch> {
        cx.tools.alarms.forget(AlarmKey::Force(slot));
        cx.tools.alarms.forget(AlarmKey::Settle(slot));
        self.watches.remove(&slot)
    }

    /// This role closed the channel.
    pub fn is_own_close(&mut self, slot: Slot) {
        let watch = self.watches.get_mut(&slot).expect("what was closed is closing");
        watch.is_ours = true;
    }

    /// The channel's settlement was taken back: it closes as before, but what was on its way is not any more.
    pub fn restore(&mut self, slot: Slot, mut watch: Watch) {
        watch.forget_transactions();
        let other = self.watches.insert(slot, watch);
        assert!(other.is_none(), "a channel closes once at a time");
        self.rewound.insert(slot);
    }

    /// Whether something of the channel was taken back, and what came instead is still to be read.
    pub fn is_rewound(&self, slot: Slot) -> bool {
        self.rewound.contains(&slot)
    }

    /// Channels of which that is so.
    pub fn rewound(&self) -> impl Iterator<Item = Slot> {
        self.rewound.iter().copied()
    }

    /// The channel is said to be closing, and nothing is known of that close.
    pub fn expect(&mut self, slot: Slot) {
        assert!(!self.watches.contains_key(&slot), "nothing is known of a close that is expected");
        self.unclosed.insert(slot, false);
    }

    /// Blocks from this one on are others now. Which closes were in them, with their blocks.
    pub fn rewind(&mut self, forked_at: u64, cx: &mut Cx<'_>) -> Vec<(Slot, u64)> {
        let mut undone = Vec::new();
        for (slot, watch) in &mut self.watches {
            if watch.closed_in >= forked_at {
                undone.push((*slot, watch.closed_in));
            } else if watch.rewind(forked_at) {
                self.rewound.insert(*slot);
            }
        }
        for (slot, _) in &undone {
            self.retrying.retain(|other| other != slot);
            let is_ours = self.unwatch(*slot, cx).expect("it was closing").is_ours;
            self.rewound.remove(slot);
            self.unsure.remove(slot);
            self.unclosed.insert(*slot, is_ours);
        }
        undone
    }

    /// The chain was read up to before this block. Of which channels something is not on it that was believed to be: what is
    /// held of them is to be looked at again.
    pub fn take_rewound(&mut self, next_block: u64) -> BTreeSet<Slot> {
        if self.rewound.is_empty() && self.unsure.is_empty() {
            return BTreeSet::new();
        }
        let mut rewound = core::mem::take(&mut self.rewound);
        let watches = &mut self.watches;
        self.unsure.retain(|slot| {
            let watch =
                watches.get_mut(slot).expect("what an event is to confirm is about a closing channel");
            if watch.confirm(next_block) {
                rewound.insert(*slot);
            }
            watch.is_unsure()
        });
        rewound
    }

    /// The chain was read: which channels that are said to be closing are not, and whether this role had closed them.
    pub fn take_unclosed(&mut self) -> Vec<(Slot, bool)> {
        let unclosed = core::mem::take(&mut self.unclosed);
        unclosed.into_iter().filter(|(slot, _)| !self.watches.contains_key(slot)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dispute::Monitor,
        io::Outputs,
        machine::Tools,
        record::{Key, Record},
        state::{Case, each_fails},
        time::Now,
    };

    fn retrying() -> Closings {
        let mut closings = Closings::default();
        let slot = crate::state::Slab::default().insert(());
        closings.begin(slot, (Block::default(), Amount::ZERO, ChainTime(1)));
        closings.retrying.push(slot);
        closings
    }

    /// A settlement is said to be in a block.
    fn unsure() -> Closings {
        let mut closings = retrying();
        closings.retrying.clear();
        let slot = closings.slots().next().expect("one is closing");
        let (mut tools, mut out, outlook) = (Tools::default(), Outputs::new(), outlook());
        closings.settle(slot, ChannelId([1; 32]), TxTicket(1), &mut out);
        let cx = &mut Cx { now: Now::default(), tools: &mut tools, out: &mut out };
        let included = TxOutcome::Included { block: Block::default(), result: Ok(()) };
        closings.on_tx(slot, ChannelId([1; 32]), TxTicket(1), &included, &outlook, cx);
        closings
    }

    fn outlook() -> Outlook {
        let monitor = Monitor::default();
        Outlook { monitor, head_time: ChainTime(0), forced_inclusion: Span::from_hours(24) }
    }

    fn retaining() -> Closings {
        let mut closings = Closings::default();
        let record = Record::Gone(Key::Earning(ChannelId([1; 32])));
        let kept = Kept { why: Why::Settled, block: 5, held_from: 5, record, watch: None };
        closings.retained.keep(ChannelId([1; 32]), kept);
        closings
    }

    #[test]
    fn each_invariant_of_closings_can_fail() {
        let cases: [Case<Closings>; 3] = [
            ("a dispute that is to be tried again is about a closing channel", retrying, |it| {
                it.watches.clear()
            }),
            ("what an event is to confirm is about a closing channel", unsure, |it| it.unsure.clear()),
            ("what is retained is listed by its block", retaining, |it| it.retained.unlist()),
        ];
        each_fails(Closings::INVARIANTS, &cases, |closings| assert!(closings.check().is_err()));
    }
}
