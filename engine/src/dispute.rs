//! The dispute monitor's view of one closing channel (section 6): what is recorded on chain, what has been
//! tried, and when to stop trusting the sequencer.

use crate::{
    chain::{Block, Route, TxOutcome},
    ids::TxTicket,
    money::Amount,
    roles::config::Monitor,
    state::{Alarm, Canonical},
    time::{ChainTime, Now, Span, Time, WallTime},
};

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

/// What to do next about a closing channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing.
    Wait,
    /// Submit the dispute by this route.
    Submit(Route),
    /// Force the inbox up to this transaction.
    Force(TxTicket),
}

/// A closing channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Watch {
    /// `block.timestamp` of the close.
    pub closed_at: ChainTime,
    /// When the window ends.
    pub deadline: ChainTime,
    /// The recorded amount, as far as it is known.
    pub recorded: Amount,
    /// What the dispute on its way claims.
    pub claimed: Amount,
    /// How far the dispute is.
    pub stage: Stage,
    /// When to take the forced path, or to force.
    pub force: Alarm,
    /// When to settle.
    pub settle: Alarm,
    /// The settlement on its way.
    pub settling: Option<TxTicket>,
}

impl Watch {
    /// A close in this block.
    pub fn new(block: Block, recorded: Amount, deadline: ChainTime) -> Self {
        Self {
            closed_at: block.time,
            deadline,
            recorded,
            claimed: Amount::ZERO,
            stage: Stage::Watching,
            force: Alarm::default(),
            settle: Alarm::default(),
            settling: None,
        }
    }

    /// Whether the recorded amount is below what is held (X1).
    pub fn is_stale(&self, held: Amount) -> bool {
        self.recorded < held
    }

    /// X2: without inclusion by close + W − F − margin on the wall clock, the forced path is taken.
    pub fn force_at(&self, monitor: &Monitor, forced_inclusion: Span) -> WallTime {
        self.deadline.wall() - forced_inclusion - monitor.margin
    }

    /// The ticket in flight that an outcome would be about.
    pub fn ticket(&self) -> Option<TxTicket> {
        match self.stage {
            Stage::Submitted(t) | Stage::Inbox(t) | Stage::Queued(t) | Stage::Forcing(t) => Some(t),
            Stage::Watching | Stage::Wanted => None,
        }
    }

    /// The force alarm came up.
    pub fn on_force_due(&mut self) -> Step {
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

    /// Which way a dispute that failed goes out again: once the sequencer has had its time, not by it.
    pub fn route_again(&self, now: Now, monitor: &Monitor, forced_inclusion: Span) -> Route {
        let is_late = now.wall >= self.force_at(monitor, forced_inclusion);
        if is_late { Route::DelayedInbox } else { Route::Sequencer }
    }

    /// The dispute goes out by this route and claims this amount.
    pub fn on_submitted(&mut self, ticket: TxTicket, route: Route, claimed: Amount) {
        self.claimed = claimed;
        self.stage = match route {
            Route::Sequencer => Stage::Submitted(ticket),
            Route::DelayedInbox => Stage::Inbox(ticket),
        };
    }

    /// The inbox took it: when to force it, or `None` if the outcome is another.
    pub fn on_queued(&mut self, ticket: TxTicket, outcome: &TxOutcome) -> Option<ChainTime> {
        match (self.stage, outcome) {
            (Stage::Inbox(t), TxOutcome::Queued { forcible, .. }) if t == ticket => {
                self.stage = Stage::Queued(ticket);
                Some(*forcible)
            }
            _ => None,
        }
    }

    /// The dispute is in a block: the chain records what it claimed, or more.
    pub fn on_landed(&mut self) {
        self.recorded = self.recorded.max(self.claimed);
        self.stage = Stage::Watching;
    }

    /// The dispute failed or was lost: what is held still has to get there.
    pub fn on_failed(&mut self) {
        self.stage = Stage::Wanted;
    }

    /// Canonical bytes for the digest.
    pub fn canon(&self, out: &mut Canonical) {
        out.number(self.closed_at.0);
        out.number(self.deadline.0);
        out.large(self.recorded.0);
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
