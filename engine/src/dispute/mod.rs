//! The dispute monitor (section 6): of one closing channel, what is recorded on chain, what has been tried, and
//! when to stop trusting the sequencer. A role asks its [`Watch`] what to do and does it; who holds what, and who
//! settles, is the role's.

mod routes;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    chain::{Block, Route, Subject, TxOutcome},
    crypto::SignedVoucher,
    fault::{Fault, Rule, Surprise},
    ids::{ChannelId, TxTicket},
    io::{Notice, Outputs},
    money::Amount,
    record::Queued,
    state::{Alarms, Canonical},
    time::{ChainTime, Now, Span, Time},
    worth::{DISPUTE_GAS, Market, SETTLE_GAS, Stake},
};

pub use routes::Step;
use routes::{News, Routes};

/// How channels are watched and defended (section 6).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Monitor {
    /// Whether to dispute stale closes at all (X1).
    pub enabled: bool,
    /// How often to read the chain.
    pub poll: Span,
    /// What has to be left of the window, beyond forced inclusion, when the forced path is taken (X2): 1 h by
    /// which `block.timestamp` may run ahead and 2 h for the transactions.
    pub margin: Span,
    /// Forced-inclusion delay until the chain has said it (L2).
    pub forced_inclusion: Span,
    /// How long after a deadline the node settles where the client has not.
    pub settle_grace: Span,
    /// How many times its cost a transaction has to move (X2): 1 or 2. Beyond that it would pay to steal what is small.
    #[serde(default = "factor")]
    pub factor: u8,
}

/// Older recordings don't say it.
const fn factor() -> u8 {
    2
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            enabled: true,
            poll: Span::from_secs(60),
            margin: Span::from_hours(3),
            forced_inclusion: Span::from_hours(24),
            settle_grace: Span::from_secs(600),
            factor: factor(),
        }
    }
}

/// What an outcome changed about a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// The inbox has the dispute: this goes on record.
    Queued(Queued),
    /// The transaction did what it should, in this block.
    Landed(Block),
    /// It was lost or reverted: it is tried again in a while.
    Failed,
}

/// What a role holds of a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// The channel.
    pub channel: ChannelId,
    /// Its deposit.
    pub deposit: Amount,
    /// The amount to defend.
    pub amount: Amount,
    /// The voucher to do it with, once its signature is at hand.
    pub voucher: Option<SignedVoucher>,
    /// Whether that signature is on its way.
    pub is_signing: bool,
}

impl Held {
    /// What the voucher is worth on chain (C7).
    pub fn worth(&self) -> Amount {
        self.amount.min(self.deposit)
    }
}

/// What the monitor goes by beside the channel itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outlook {
    /// The configuration.
    pub monitor: Monitor,
    /// `block.timestamp` of the newest head.
    pub head_time: ChainTime,
    /// When that head was heard of.
    pub head_at: Time,
    /// How long the delayed inbox takes (L2).
    pub forced_inclusion: Span,
    /// What gas costs (X2).
    pub market: Market,
}

impl Outlook {
    /// How long it is until the chain's clock shows this, by our wall clock or by its own newest time, whichever is first: one of
    /// them may be wrong, and it is better to be early.
    fn left(&self, now: Now, at: ChainTime) -> Span {
        at.wall().since(now.wall).min(self.chain_left(now, at))
    }

    /// The same by the chain's clock alone.
    fn chain_left(&self, now: Now, at: ChainTime) -> Span {
        Span(at.since(self.head_time).0.saturating_sub(now.mono.since(self.head_at).0))
    }
}

/// The alarms of a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keys<K> {
    /// Dispute by the sequencer.
    pub dispute: K,
    /// Dispute by the delayed inbox: send it there, or force what is there.
    pub force: K,
    /// Settle.
    pub settle: K,
}

/// A closing channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// The close's block.
    pub closed_in: u64,
    /// Its `block.timestamp`.
    pub closed_at: ChainTime,
    /// When the window ends.
    pub deadline: ChainTime,
    /// Whether this role closed it.
    pub is_ours: bool,
    /// What its transactions are measured by (X2).
    stake: Stake,
    /// What is held, where disputing it is not worth its gas at present.
    held_back: Option<Amount>,
    /// The amount that the close recorded.
    closed_at_amount: Amount,
    /// What was recorded since, each with its block: a fork takes back what came in later ones.
    raises: Vec<Raise>,
    /// How far its dispute is.
    routes: Routes,
    /// The settlement on its way.
    pub settling: Option<TxTicket>,
    /// The block that it is said to be in.
    settling_in: Option<u64>,
    /// After a settlement that failed: when the next one may go out.
    settle_not_before: Time,
}

/// The most raises that one close keeps. Of more the lowest goes: after a fork too little is believed to be recorded, never too
/// much.
const RAISES_MAX: usize = 8;

/// An amount that a dispute brought on chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Raise {
    block: u64,
    amount: Amount,
    /// Its event was read. If not, a transaction is said to have done it.
    is_read: bool,
}

impl Watch {
    /// A close in this block; with what the disk says that the delayed inbox has.
    pub fn new(
        block: Block,
        (recorded, deadline): (Amount, ChainTime),
        stake: Stake,
        in_inbox: Option<SignedVoucher>,
    ) -> Self {
        Self {
            closed_in: block.number,
            closed_at: block.time,
            deadline,
            is_ours: false,
            stake,
            held_back: None,
            closed_at_amount: recorded,
            raises: Vec::new(),
            routes: Routes::new(in_inbox),
            settling: None,
            settling_in: None,
            settle_not_before: Time(0),
        }
    }

    /// The recorded amount, as far as it is known.
    pub fn recorded(&self) -> Amount {
        self.raises.iter().fold(self.closed_at_amount, |most, raise| most.max(raise.amount))
    }

    /// A dispute brought this amount on chain.
    pub fn on_disputed(&mut self, block: u64, amount: Amount) {
        self.raise(Raise { block, amount, is_read: true });
        assert!(self.recorded() >= amount, "what a dispute brought on chain counts");
    }

    fn raise(&mut self, raise: Raise) {
        if raise.is_read {
            self.raises.retain(|other| other.is_read || other.amount > raise.amount);
        }
        if raise.amount <= self.recorded() {
            return;
        }
        if self.raises.len() >= RAISES_MAX {
            let lowest = (0..self.raises.len()).min_by_key(|place| self.raises[*place].amount);
            lowest.map(|place| self.raises.remove(place));
        }
        self.raises.push(raise);
        assert!(self.raises.len() <= RAISES_MAX, "raises are few (O11)");
    }

    /// Blocks from this one on are others now, and the close was before. Whether anything was taken back.
    pub fn rewind(&mut self, forked_at: u64) -> bool {
        assert!(self.closed_in < forked_at, "of a close that is undone nothing is left");
        let before = (self.raises.len(), self.settling);
        self.raises.retain(|raise| raise.block < forked_at);
        self.end_settling(|block| block >= forked_at);
        before != (self.raises.len(), self.settling)
    }

    /// The chain was read up to before this block: what a transaction is said to have done there, and no event confirms, is
    /// not on this branch. Whether there was such.
    pub fn confirm(&mut self, next_block: u64) -> bool {
        let before = (self.raises.len(), self.settling);
        self.raises.retain(|raise| raise.is_read || raise.block >= next_block);
        self.end_settling(|block| block < next_block);
        before != (self.raises.len(), self.settling)
    }

    /// Whether a transaction is said to have done something that no event has confirmed.
    pub fn is_unsure(&self) -> bool {
        self.settling_in.is_some() || self.raises.iter().any(|raise| !raise.is_read)
    }

    /// What was on its way belonged to a block that is gone, or to another life of the channel. What the disk says of the inbox
    /// stays true.
    pub fn forget_transactions(&mut self, in_inbox: Option<SignedVoucher>) {
        self.routes = Routes::new(in_inbox);
        self.settling = None;
        self.settling_in = None;
        self.raises.retain(|raise| raise.is_read);
    }

    fn end_settling(&mut self, is_undone: impl Fn(u64) -> bool) {
        if self.settling_in.is_some_and(is_undone) {
            self.settling = None;
            self.settling_in = None;
        }
    }

    /// Sets its alarms anew, by what the clocks show now: none of them is set for good (X2). `grace` is how long after the window
    /// it is settled, if it is.
    pub fn arm<K: Copy + Ord>(
        &self,
        now: Now,
        outlook: &Outlook,
        grace: Option<Span>,
        alarms: &mut Alarms<K>,
        keys: Keys<K>,
    ) {
        let mut set = |key, at: Option<Time>| match at {
            Some(at) => alarms.arm(key, at),
            None => alarms.cancel(key),
        };
        let left = |at| outlook.left(now, at);
        set(keys.dispute, self.routes.sequencer_at());
        set(keys.force, self.routes.inbox_at(now, self.force_at(outlook), left));
        // By the chain's clock alone: it is the one that says when the window is over.
        let settle_at = |grace| now.mono + outlook.chain_left(now, self.deadline.after(grace));
        let settle_at = grace.filter(|_| self.settling.is_none()).map(settle_at);
        set(keys.settle, settle_at.map(|at| at.max(self.settle_not_before)));
    }

    /// X2: without inclusion by close + W − F − margin, the forced path is taken.
    fn force_at(&self, outlook: &Outlook) -> ChainTime {
        let needs = (outlook.forced_inclusion.0.saturating_add(outlook.monitor.margin.0)).div_ceil(1_000_000);
        ChainTime(self.deadline.0.saturating_sub(needs))
    }

    /// The transactions of its dispute whose outcome is not known.
    pub fn tickets(&self) -> impl Iterator<Item = TxTicket> {
        self.routes.tickets()
    }

    /// Whether a dispute is wanted, with all that it takes at hand.
    pub fn is_disputed(&self) -> bool {
        self.routes.is_wanted()
    }

    /// Whether the inbox has a dispute that is to be forced.
    pub fn is_queued(&self) -> bool {
        self.routes.is_queued()
    }

    /// X1, X2: what to do about the channel now, by each of the two routes. It goes on until a settlement is seen, whatever a head
    /// says the time is: one that lies must not silence a dispute. A stale close that is disputed for the first time is told to
    /// the owner.
    pub fn step(&mut self, now: Now, held: &Held, outlook: &Outlook, out: &mut Outputs) -> [Option<Step>; 2] {
        let recorded = self.recorded();
        let missing = held.worth().saturating_sub(recorded);
        let is_wanted = missing > Amount::ZERO && outlook.monitor.enabled;
        let pays = outlook.market.pays(missing, DISPUTE_GAS, self.stake.coin);
        self.held_back = (is_wanted && !pays).then_some(held.worth());
        if !is_wanted || !pays {
            self.routes.rest();
            return [None, None];
        }
        let (force_at, left) = (self.force_at(outlook), |at| outlook.left(now, at));
        let steps = self.routes.step(now, held, force_at, left, outlook.monitor.poll);
        for step in steps.iter().flatten() {
            match step {
                Step::Submit(Route::Sequencer, _) if self.routes.is_first(Route::Sequencer) => {
                    out.notice(Notice::StaleClose { channel: held.channel, recorded, held: held.worth() });
                }
                Step::Submit(Route::DelayedInbox, _) if self.routes.is_first(Route::DelayedInbox) => {
                    out.notice(Notice::ForcingInclusion { channel: held.channel });
                }
                Step::Submit(..) | Step::Sign | Step::Force(_) => {}
            }
        }
        steps
    }

    /// Whether a dispute that was held back is worth its gas now (X2).
    pub fn pays_again(&self, outlook: &Outlook) -> bool {
        let missing = self.held_back.map(|held| held.saturating_sub(self.recorded()));
        missing.is_some_and(|missing| outlook.market.pays(missing, DISPUTE_GAS, self.stake.coin))
    }

    /// Whether settling it is worth its gas to whom it pays what is recorded (X2, C12).
    pub fn is_worth_settling(&self, outlook: &Outlook) -> bool {
        let pays = self.recorded().saturating_sub(self.stake.claimed);
        outlook.market.pays(pays, SETTLE_GAS, self.stake.coin)
    }

    /// A dispute goes out.
    pub fn submit(&mut self, route: Route, ticket: TxTicket, voucher: SignedVoucher, deposit: Amount) {
        self.routes.submit(route, ticket, voucher, deposit);
    }

    /// Whether the window is over, as far as the chain has said.
    pub fn is_over(&self, outlook: &Outlook) -> bool {
        outlook.head_time >= self.deadline
    }

    /// The settlement is not due yet by the newest head: look again after this time.
    pub fn put_off_settling(&mut self, at: Time) {
        self.settle_not_before = at;
    }

    /// An outcome of one of the channel's transactions. A revert is a surprise where it was not overtaken: the engine looked before
    /// it sent.
    pub fn on_tx(
        &mut self,
        channel: ChannelId,
        ticket: TxTicket,
        outcome: &TxOutcome,
        (now, wait): (Now, Span),
        out: &mut Outputs,
    ) -> Heard {
        let is_dispute = self.routes.has(ticket);
        let is_settling = self.settling == Some(ticket);
        assert!(!is_dispute || !is_settling, "a transaction disputes or settles");
        let news = self.routes.on_tx(now, ticket, outcome);
        let is_overtaken = matches!(news, Some(News::Failed(claims)) if claims <= self.recorded());
        match (*outcome, news) {
            (_, Some(News::Queued(queued))) => Heard::Queued(queued),
            (TxOutcome::Queued { .. }, _) => Heard::Nothing,
            (TxOutcome::Included { result: Ok(()), block }, news) => {
                if let Some(News::Landed(amount)) = news {
                    self.raise(Raise { block: block.number, amount, is_read: false });
                }
                if is_settling {
                    self.settling_in = Some(block.number);
                }
                Heard::Landed(block)
            }
            (TxOutcome::Included { result: Err(reason), .. }, _) => {
                if !is_overtaken {
                    let surprise = Surprise::Reverted { ticket, reason };
                    out.fault(Fault::Chain { about: Subject::Channel(channel), rule: Rule::X1, surprise });
                }
                self.on_failed(is_settling, now, wait)
            }
            (TxOutcome::Absent, _) => Heard::Nothing,
            (TxOutcome::Lost, _) => self.on_failed(is_settling, now, wait),
        }
    }

    fn on_failed(&mut self, is_settling: bool, now: Now, wait: Span) -> Heard {
        if is_settling {
            self.settling = None;
            self.settle_not_before = now.mono + wait;
        }
        Heard::Failed
    }

    /// Canonical bytes for the digest.
    pub fn canon(&self, out: &mut Canonical) {
        out.number(self.closed_at.0);
        out.number(self.deadline.0);
        out.large(self.recorded().0);
        self.routes.canon(out);
        out.number(self.settling.map_or(0, |t| t.0));
    }
}
