//! Closing channels: the transactions that close, dispute and settle them, which channels are in their dispute window, and what is
//! done about each (X1, X2).
//!
//! [`Watch`] knows one of them. What is held of a channel, and whether settling it is worth it, is the role's to say.

mod retained;
mod rumours;

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec,
    vec::Vec,
};

pub use retained::{Kept, Retained, Why};
use rumours::Rumours;

use super::{AlarmKey, Cx};
use crate::{
    chain::{Block, Call, Route, TxOutcome, channel},
    crypto::SignedVoucher,
    dispute::{Heard, Held, Keys, Outlook, Step, Watch},
    ids::{ChannelId, TxTicket},
    io::{Effect, Lane, Notice, Outputs},
    money::Amount,
    record::{Dispute, Key, Record},
    state::{Broken, Checked, Invariant, Slot, holds},
    time::{ChainTime, Now, Span},
    worth::Stake,
};

/// When a role settles.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settling {
    /// How long after the window.
    pub grace: Span,
    /// Even where nothing is recorded: then the whole deposit is refunded.
    pub for_nothing: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Closings {
    settling: Settling,
    watches: BTreeMap<Slot, Watch>,
    /// Closes that one of several endpoints alone tells of.
    rumours: Rumours,
    /// What the disk says of disputes that were sent to the delayed inbox, as long as it says anything of their channels.
    recorded: BTreeMap<ChannelId, Dispute>,
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
    /// Of a role that settles like this.
    pub fn new(settling: Settling) -> Self {
        Self {
            settling,
            watches: BTreeMap::new(),
            rumours: Rumours::default(),
            recorded: BTreeMap::new(),
            txs: BTreeMap::new(),
            unclosed: BTreeMap::new(),
            rewound: BTreeSet::new(),
            unsure: BTreeSet::new(),
            retained: Retained::default(),
        }
    }

    /// After a start: what the disk says of a dispute.
    pub fn recover(&mut self, dispute: Dispute) {
        self.recorded.insert(dispute.channel, dispute);
    }

    /// The disk is to forget a channel, which it has under this key: what it says of its dispute goes with it.
    pub fn erase(
        &mut self,
        channel: ChannelId,
        key: fn(ChannelId) -> Key,
    ) -> impl Iterator<Item = Record> + use<> {
        let dispute = self.recorded.remove(&channel).map(|_| Key::Dispute(channel));
        [Some(key(channel)), dispute].into_iter().flatten().map(Record::Gone)
    }

    /// The channels about which the disk knows of a dispute.
    pub fn disputes(&self) -> impl ExactSizeIterator<Item = &ChannelId> {
        self.recorded.keys()
    }

    fn in_inbox(&self, channel: ChannelId) -> Option<SignedVoucher> {
        self.recorded.get(&channel).map(|dispute| dispute.voucher)
    }

    /// A channel is closing since this block. `false`, and nothing changes, if that is known.
    pub fn begin(
        &mut self,
        slot: Slot,
        channel: ChannelId,
        close: (Block, Amount, ChainTime),
        stake: Stake,
    ) -> bool {
        let is_new = !self.watches.contains_key(&slot);
        if is_new {
            let heard = self.rumours.come_true(slot, close);
            let watch = heard.unwrap_or_else(|| self.watch(channel, close, stake));
            self.watches.insert(slot, watch);
        }
        is_new
    }

    /// Of a close, with what the disk says of its dispute.
    fn watch(
        &self,
        channel: ChannelId,
        (block, recorded, deadline): (Block, Amount, ChainTime),
        stake: Stake,
    ) -> Watch {
        Watch::new(block, (recorded, deadline), stake, self.in_inbox(channel))
    }

    fn watch_mut(&mut self, slot: Slot) -> Option<&mut Watch> {
        self.watches.get_mut(&slot).or_else(|| self.rumours.get_mut(slot))
    }

    /// Sets a closing channel's alarms by what the clocks show now.
    fn arm(&self, slot: Slot, outlook: &Outlook, cx: &mut Cx<'_>) {
        let watch = self.watches.get(&slot).or_else(|| self.rumours.get(slot));
        let watch = watch.expect("alarms are set for a channel that is closing, or said to be");
        let keys = Keys {
            dispute: AlarmKey::Dispute(slot),
            force: AlarmKey::Force(slot),
            settle: AlarmKey::Settle(slot),
        };
        // Nothing but a dispute follows from a rumour.
        let is_settled = self.watches.contains_key(&slot) && self.is_worth_settling(watch, outlook);
        let grace = is_settled.then_some(self.settling.grace);
        watch.arm(cx.now, outlook, grace, &mut cx.tools.alarms, keys);
    }

    /// The same for all of them: the chain has told its time, or what our clocks show may have changed while nothing was heard (X2).
    pub fn arm_all(&self, outlook: &Outlook, cx: &mut Cx<'_>) {
        self.slots().chain(self.rumours.slots()).for_each(|slot| self.arm(slot, outlook, cx));
    }

    /// Whether this role would settle a channel with this watch, once its window is over.
    pub fn is_worth_settling(&self, watch: &Watch, outlook: &Outlook) -> bool {
        self.settling.for_nothing || watch.is_worth_settling(outlook)
    }

    /// Disputes that were held back and are worth their gas now (X2).
    pub fn paying_again(&self, outlook: &Outlook) -> Vec<Slot> {
        let pays = self.watches.iter().filter(|(_, watch)| watch.pays_again(outlook));
        pays.map(|(slot, _)| *slot).collect()
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
    pub fn defend(&mut self, slot: Slot, held: &Held, outlook: &Outlook, cx: &mut Cx<'_>) -> Defence {
        let watch = self.watches.get_mut(&slot).or_else(|| self.rumours.get_mut(slot));
        let watch = watch.expect("what is defended is closing, or said to be");
        let lane = Lane::Channel(slot.index);
        let mut defence = Defence::Nothing;
        for step in watch.step(cx.now, held, outlook, cx.out).into_iter().flatten() {
            match step {
                Step::Sign => defence = Defence::Signature,
                Step::Submit(route, voucher) => {
                    let ticket = cx.tools.tx_ticket();
                    watch.submit(route, ticket, voucher, held.deposit);
                    let earlier = self.txs.insert(ticket, slot);
                    assert!(earlier.is_none(), "a ticket is given out once");
                    if route == Route::DelayedInbox {
                        // It goes on record before it leaves (X1).
                        let dispute = Dispute { channel: held.channel, voucher, queued: None };
                        self.recorded.insert(held.channel, dispute);
                        cx.tools.persist(lane, vec![Record::Dispute(dispute)], cx.out);
                    }
                    cx.out.tx(lane, ticket, channel::Call::Dispute { voucher }, route);
                }
                Step::Force(ticket) => cx.out.push(lane, Effect::ForceInclude { ticket }),
            }
        }
        self.arm(slot, outlook, cx);
        defence
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

    /// The settlement of a channel is due, by the alarm: whether the chain would take it now, by its newest head. If not, it is looked
    /// at again after a poll.
    pub fn is_settleable(&mut self, slot: Slot, outlook: &Outlook, cx: &mut Cx<'_>) -> bool {
        let watch = self.watches.get_mut(&slot).expect("what is to be settled is closing");
        let is_over = watch.is_over(outlook);
        if !is_over {
            watch.put_off_settling(cx.now.mono + outlook.monitor.poll);
            self.arm(slot, outlook, cx);
        }
        is_over
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
        let is_rumour = !self.watches.contains_key(&slot);
        let watch = self.watch_mut(slot)?;
        let heard = watch.on_tx(channel, ticket, outcome, (cx.now, outlook.monitor.poll), cx.out);
        let meaning = match heard {
            Heard::Nothing => Outcome::Nothing,
            Heard::Queued(queued) => {
                let dispute = self.recorded.get_mut(&channel).expect("what the inbox has is on record");
                if dispute.queued.replace(queued) != Some(queued) {
                    cx.tools.persist(Lane::Channel(slot.index), vec![Record::Dispute(*dispute)], cx.out);
                }
                Outcome::Nothing
            }
            Heard::Landed(block) => {
                if watch.is_unsure() && !is_rumour {
                    self.unsure.insert(slot);
                }
                Outcome::Landed(block)
            }
            Heard::Failed => Outcome::Failed,
        };
        if is_rumour && matches!(outcome, TxOutcome::Included { result: Err(_), .. }) {
            // The contract has the last word.
            self.rumours.refute(slot, cx.now.mono);
            self.silence(slot, cx);
            return Some(meaning);
        }
        self.arm(slot, outlook, cx);
        Some(meaning)
    }

    /// What holds of closing channels.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
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
        self.unwatch(slot, cx)
    }

    fn unwatch(&mut self, slot: Slot, cx: &mut Cx<'_>) -> Option<Watch> {
        self.rumours.remove(slot);
        self.silence(slot, cx);
        self.watches.remove(&slot)
    }

    fn silence(&self, slot: Slot, cx: &mut Cx<'_>) {
        cx.tools.alarms.forget(AlarmKey::Dispute(slot));
        cx.tools.alarms.forget(AlarmKey::Force(slot));
        cx.tools.alarms.forget(AlarmKey::Settle(slot));
    }

    /// One of several endpoints alone tells of a close, and two deny it or not (L4). Whether that is to be looked at: then it is defended
    /// like any other, and nothing else follows from it.
    pub fn rumour(
        &mut self,
        slot: Slot,
        channel: ChannelId,
        (close, stake): ((Block, Amount, ChainTime), Stake),
        is_denied: bool,
        now: Now,
    ) -> bool {
        let watch = self.watch(channel, close, stake);
        !self.watches.contains_key(&slot) && self.rumours.hear(slot, (close, watch), is_denied, now.mono)
    }

    /// Whether a channel is closing, or said to be.
    pub fn is_defended(&self, slot: Slot) -> bool {
        self.watches.contains_key(&slot) || self.rumours.get(slot).is_some()
    }

    /// Whether one of several endpoints says that a channel is closing, and no two deny it: no new credit (L4).
    pub fn is_doubtful(&self, slot: Slot) -> bool {
        self.rumours.is_doubtful(slot)
    }

    /// This role closed the channel.
    pub fn is_own_close(&mut self, slot: Slot) {
        let watch = self.watches.get_mut(&slot).expect("what was closed is closing");
        watch.is_ours = true;
    }

    /// The channel's settlement was taken back: it closes as before, but what was on its way is not any more.
    pub fn restore(&mut self, slot: Slot, channel: ChannelId, mut watch: Watch) {
        watch.forget_transactions(self.in_inbox(channel));
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
        for slot in self.rumours.rewind(forked_at) {
            self.silence(slot, cx);
        }
        for (slot, watch) in &mut self.watches {
            if watch.closed_in >= forked_at {
                undone.push((*slot, watch.closed_in));
            } else if watch.rewind(forked_at) {
                self.rewound.insert(*slot);
            }
        }
        for (slot, _) in &undone {
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
        state::{Case, each_fails},
        time::{Now, Time},
    };

    fn closings() -> Closings {
        Closings::new(Settling { grace: Span(0), for_nothing: true })
    }

    /// A settlement is said to be in a block.
    fn unsure() -> Closings {
        let mut closings = closings();
        let slot = crate::state::Slab::default().insert(());
        closings.begin(
            slot,
            ChannelId([1; 32]),
            (Block::default(), Amount::ZERO, ChainTime(1)),
            Stake::default(),
        );
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
        let forced_inclusion = Span::from_hours(24);
        let market = crate::worth::Market::default();
        Outlook { monitor, head_time: ChainTime(0), head_at: Time(0), forced_inclusion, market }
    }

    fn retaining() -> Closings {
        let mut closings = closings();
        let record = Record::Gone(Key::Earning(ChannelId([1; 32])));
        let kept = Kept { why: Why::Settled, block: 5, held_from: 5, record, watch: None };
        closings.retained.keep(ChannelId([1; 32]), kept);
        closings
    }

    #[test]
    fn each_invariant_of_closings_can_fail() {
        let cases: [Case<Closings>; 2] = [
            ("what an event is to confirm is about a closing channel", unsure, |it| it.unsure.clear()),
            ("what is retained is listed by its block", retaining, |it| it.retained.unlist()),
        ];
        each_fails(Closings::INVARIANTS, &cases, |closings| assert!(closings.check().is_err()));
    }
}
