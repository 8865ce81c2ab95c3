//! The dispute monitor (section 6): of one closing channel, what is recorded on chain, what has been tried, and
//! when to stop trusting the sequencer. A role asks its [`Watch`] what to do and does it; who holds what, and who
//! settles, is the role's.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    chain::{Block, Route, Subject, TxOutcome, channel},
    crypto::SignedVoucher,
    fault::{Fault, Rule, Surprise},
    ids::{ChannelId, TxTicket},
    io::{Lane, Notice, Outputs},
    money::Amount,
    state::{Alarms, Canonical},
    time::{ChainTime, Now, Span, Time, WallTime},
};

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
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            enabled: true,
            poll: Span::from_secs(60),
            margin: Span::from_hours(3),
            forced_inclusion: Span::from_hours(24),
            settle_grace: Span::from_secs(600),
        }
    }
}

/// How far a dispute has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Nothing to dispute.
    Watching,
    /// Wanted, but the voucher has no signature at hand yet.
    Wanted,
    /// With the sequencer.
    Submitted(TxTicket),
    /// On its way into the delayed inbox; the sequencer's copy may still win.
    Inbox(TxTicket),
    /// In the delayed inbox, to be forced when its time has come.
    Queued(TxTicket),
    /// Forced; waiting for its block.
    Forcing(TxTicket),
}

/// Why a role looks at a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cue {
    /// Something new: a record on chain, or a better voucher at hand.
    News,
    /// The last dispute failed or was lost.
    Failed,
    /// The force alarm came up.
    Due,
}

/// What to do next about a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Get the voucher's signature first.
    Sign,
    /// Submit the dispute by this route.
    Submit(Route),
    /// Force the inbox up to this transaction.
    Force(TxTicket),
}

/// What an outcome changed about a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing yet.
    Nothing,
    /// The inbox has the dispute; it can be forced from this time on.
    Queued(ChainTime),
    /// The transaction did what it should, in this block.
    Landed(Block),
    /// The settlement failed or was lost: try again later.
    SettleFailed,
    /// The dispute failed or was lost: try again with the next news.
    DisputeFailed,
    /// Another transaction about the channel failed or was lost.
    OtherFailed,
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
    fn worth(&self) -> Amount {
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
    /// How long the delayed inbox takes (L2).
    pub forced_inclusion: Span,
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
    /// The amount that the close recorded.
    closed_at_amount: Amount,
    /// What was recorded since, each with its block: a fork takes back what came in later ones.
    raises: Vec<Raise>,
    /// What the dispute on its way claims.
    pub claimed: Amount,
    /// How far the dispute is.
    pub stage: Stage,
    /// The settlement on its way.
    pub settling: Option<TxTicket>,
    /// The block that it is said to be in.
    settling_in: Option<u64>,
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
    /// A close in this block.
    pub fn new(block: Block, recorded: Amount, deadline: ChainTime) -> Self {
        Self {
            closed_in: block.number,
            closed_at: block.time,
            deadline,
            is_ours: false,
            closed_at_amount: recorded,
            raises: Vec::new(),
            claimed: Amount::ZERO,
            stage: Stage::Watching,
            settling: None,
            settling_in: None,
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

    /// What was on its way belonged to a block that is gone, or to another life of the channel.
    pub fn forget_transactions(&mut self) {
        self.stage = Stage::Watching;
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

    /// Sets both alarms: the forced path, and the end of the window with `grace` after it.
    pub fn arm<K: Copy + Ord>(
        &self,
        now: Now,
        outlook: &Outlook,
        grace: Span,
        alarms: &mut Alarms<K>,
        (force, settle): (K, K),
    ) {
        let force_at = mono_at(now, self.force_at(outlook));
        alarms.arm(force, force_at);
        // How far the chain's clock has to go, rather than how far ours has: they may differ.
        let left = Span::from_secs(self.deadline.0.saturating_sub(outlook.head_time.0));
        alarms.arm(settle, now.mono + left + grace);
    }

    /// X2: without inclusion by close + W − F − margin on the wall clock, the forced path is taken.
    fn force_at(&self, outlook: &Outlook) -> WallTime {
        self.deadline.wall() - outlook.forced_inclusion - outlook.monitor.margin
    }

    /// Whether the chain records less than what is held, and can still be told (X1).
    fn is_disputable(&self, held: &Held, outlook: &Outlook) -> bool {
        self.recorded() < held.worth() && outlook.head_time < self.deadline
    }

    /// The ticket in flight that an outcome would be about.
    pub fn ticket(&self) -> Option<TxTicket> {
        match self.stage {
            Stage::Submitted(t) | Stage::Inbox(t) | Stage::Queued(t) | Stage::Forcing(t) => Some(t),
            Stage::Watching | Stage::Wanted => None,
        }
    }

    /// X1, X2: what to do about the channel now. A stale close that is about to be disputed for the first time is told
    /// to the owner.
    pub fn step(&mut self, cue: Cue, now: Now, held: &Held, outlook: &Outlook, out: &mut Outputs) -> Step {
        if !self.is_disputable(held, outlook) {
            if cue == Cue::News {
                self.stage = Stage::Watching;
            }
            return Step::Wait;
        }
        match cue {
            Cue::News if !outlook.monitor.enabled || self.ticket().is_some() || held.is_signing => Step::Wait,
            Cue::News if held.voucher.is_none() => {
                self.stage = Stage::Wanted;
                Step::Sign
            }
            Cue::News => {
                let (recorded, held) = (self.recorded(), (held.channel, held.worth()));
                let notice = Notice::StaleClose { channel: held.0, recorded, held: held.1 };
                out.notice(notice);
                Step::Submit(Route::Sequencer)
            }
            Cue::Failed if self.stage == Stage::Wanted => {
                // Once the sequencer has had its time, no more by it.
                let is_late = now.wall >= self.force_at(outlook);
                Step::Submit(if is_late { Route::DelayedInbox } else { Route::Sequencer })
            }
            Cue::Failed => Step::Wait,
            Cue::Due => self.on_force_due(),
        }
    }

    fn on_force_due(&mut self) -> Step {
        match self.stage {
            Stage::Watching | Stage::Inbox(_) => Step::Wait,
            // Nobody answers a forced inclusion: it is asked for until the transaction is in a block.
            Stage::Forcing(ticket) => Step::Force(ticket),
            Stage::Wanted | Stage::Submitted(_) => Step::Submit(Route::DelayedInbox),
            Stage::Queued(ticket) => {
                self.stage = Stage::Forcing(ticket);
                Step::Force(ticket)
            }
        }
    }

    /// Sends the dispute out by this route.
    pub fn submit(
        &mut self,
        ticket: TxTicket,
        voucher: SignedVoucher,
        deposit: Amount,
        route: Route,
        lane: Lane,
        out: &mut Outputs,
    ) {
        let is_in_inbox = matches!(self.stage, Stage::Inbox(_) | Stage::Queued(_) | Stage::Forcing(_));
        assert!(!is_in_inbox, "what is in the inbox is forced, and not sent again (X2)");
        self.claimed = voucher.terms.amount.min(deposit);
        self.stage = match route {
            Route::Sequencer => Stage::Submitted(ticket),
            Route::DelayedInbox => {
                let channel = voucher.terms.channel;
                out.notice(Notice::ForcingInclusion { channel });
                Stage::Inbox(ticket)
            }
        };
        out.tx(lane, ticket, channel::Call::Dispute { voucher }, route);
    }

    /// An outcome of one of the channel's transactions. A revert is a surprise: the engine looked before it sent.
    pub fn on_tx(
        &mut self,
        channel: ChannelId,
        ticket: TxTicket,
        outcome: &TxOutcome,
        out: &mut Outputs,
    ) -> Heard {
        let is_dispute = self.ticket() == Some(ticket);
        assert!(!is_dispute || self.settling != Some(ticket), "a transaction disputes or settles");
        match *outcome {
            TxOutcome::Queued { forcible, .. } if self.stage == Stage::Inbox(ticket) => {
                self.stage = Stage::Queued(ticket);
                return Heard::Queued(forcible);
            }
            TxOutcome::Queued { .. } => return Heard::Nothing,
            TxOutcome::Included { result: Ok(()), block } => {
                if is_dispute {
                    // The chain records what it claimed, or more.
                    self.raise(Raise { block: block.number, amount: self.claimed, is_read: false });
                    self.stage = Stage::Watching;
                }
                if self.settling == Some(ticket) {
                    self.settling_in = Some(block.number);
                }
                return Heard::Landed(block);
            }
            TxOutcome::Included { result: Err(reason), .. } => {
                let surprise = Surprise::Reverted { ticket, reason };
                let about = Subject::Channel(channel);
                out.fault(Fault::Chain { about, rule: Rule::X1, surprise });
            }
            TxOutcome::Lost => {}
        }
        if self.settling == Some(ticket) {
            self.settling = None;
            Heard::SettleFailed
        } else if is_dispute {
            // What is held still has to get there.
            self.stage = Stage::Wanted;
            Heard::DisputeFailed
        } else {
            Heard::OtherFailed
        }
    }

    /// Canonical bytes for the digest.
    pub fn canon(&self, out: &mut Canonical) {
        out.number(self.closed_at.0);
        out.number(self.deadline.0);
        out.large(self.recorded().0);
        let (stage, ticket) = match self.stage {
            Stage::Watching => (0, TxTicket(0)),
            Stage::Wanted => (1, TxTicket(0)),
            Stage::Submitted(t) => (2, t),
            Stage::Inbox(t) => (3, t),
            Stage::Queued(t) => (4, t),
            Stage::Forcing(t) => (5, t),
        };
        out.tag(stage);
        out.number(ticket.0);
        out.number(self.settling.map_or(0, |t| t.0));
    }
}

/// When a wall-clock instant will be on the monotonic clock, as far as anybody can tell now.
pub fn mono_at(now: Now, wall: WallTime) -> Time {
    now.mono + Span(wall.0.saturating_sub(now.wall.0))
}
