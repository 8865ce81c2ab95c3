//! The two ways of a dispute to the chain, the sequencer and the delayed inbox: what is under way on each, and when it is tried
//! again (X2). From the force time on both are used: neither stands in for the other.

use super::Held;
use crate::{
    chain::{Route, TxOutcome},
    crypto::SignedVoucher,
    ids::TxTicket,
    money::Amount,
    record::Queued,
    state::Canonical,
    time::{ChainTime, Now, Span, Time},
};

/// How long to wait after a first failure; twice as long after each further one.
const BACKOFF: Span = Span::from_secs(1);
/// The longest wait.
const BACKOFF_MAX: Span = Span::from_secs(300);

/// What to do next about a stale close.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Get the voucher's signature first.
    Sign,
    /// Submit the dispute with this voucher by this route.
    Submit(Route, SignedVoucher),
    /// Force the inbox up to this transaction.
    Force(TxTicket),
}

/// What became of a dispute that was under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum News {
    /// The inbox has it.
    Queued(Queued),
    /// It is in a block: the chain records so much, or more.
    Landed(Amount),
    /// The inbox does not hold it.
    Absent,
    /// It was lost, or reverted though it claimed so much.
    Failed(Amount),
}

/// A dispute that was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sent {
    ticket: TxTicket,
    voucher: SignedVoucher,
    /// What it claims: never more than the deposit (C7).
    claims: Amount,
}

/// What the delayed inbox has of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Inbox {
    /// Nothing.
    Empty,
    /// This, as the disk says: it is to be looked for there.
    Recorded(SignedVoucher),
    /// It is looked for.
    Searched(Sent),
    /// It is on its way there.
    Sent(Sent),
    /// It is there, and can be forced from this time of L1's clock on.
    Queued(Sent, ChainTime),
}

/// How often it failed in a row, and when it may be tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Retry {
    failures: u32,
    not_before: Time,
}

impl Retry {
    fn fail(&mut self, now: Now) {
        let doubled = BACKOFF.0.saturating_mul(1_u64.checked_shl(self.failures).unwrap_or(u64::MAX));
        self.failures = self.failures.saturating_add(1);
        self.wait(now, Span(doubled).min(BACKOFF_MAX));
    }

    fn wait(&mut self, now: Now, span: Span) {
        self.not_before = now.mono + span;
    }

    fn is_over(&self, now: Now) -> bool {
        self.not_before <= now.mono
    }
}

/// What was wanted when it was looked at last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wanted {
    /// Nothing: the chain records what is held.
    Nothing,
    /// The signature of what is held.
    Signature,
    /// That the chain records this much.
    Amount(Amount),
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Routes {
    sequencer: Option<Sent>,
    sequencer_retry: Retry,
    inbox: Inbox,
    inbox_retry: Retry,
    wanted: Wanted,
    signing_retry: Retry,
}

impl Routes {
    /// Of a close that was just heard of; with what the disk says of the inbox.
    pub fn new(recorded: Option<SignedVoucher>) -> Self {
        Self {
            sequencer: None,
            sequencer_retry: Retry::default(),
            inbox: recorded.map_or(Inbox::Empty, Inbox::Recorded),
            inbox_retry: Retry::default(),
            wanted: Wanted::Nothing,
            signing_retry: Retry::default(),
        }
    }

    /// The transactions whose outcome is not known.
    pub fn tickets(&self) -> impl Iterator<Item = TxTicket> {
        let inbox = match self.inbox {
            Inbox::Searched(sent) | Inbox::Sent(sent) | Inbox::Queued(sent, _) => Some(sent.ticket),
            Inbox::Empty | Inbox::Recorded(_) => None,
        };
        self.sequencer.map(|sent| sent.ticket).into_iter().chain(inbox)
    }

    /// Whether this is one of them.
    pub fn has(&self, ticket: TxTicket) -> bool {
        self.tickets().any(|other| other == ticket)
    }

    /// Whether this is the first try by a route since something landed there.
    pub fn is_first(&self, route: Route) -> bool {
        let retry = match route {
            Route::Sequencer => &self.sequencer_retry,
            Route::DelayedInbox | Route::QueuedBefore => &self.inbox_retry,
        };
        retry.failures == 0
    }

    /// Nothing is to be disputed.
    pub fn rest(&mut self) {
        self.wanted = Wanted::Nothing;
    }

    /// What to do on each of the two, for whoever holds more than is recorded. `left`: how long it is until a time of the chain,
    /// by whichever clock is first; `poll`: how long a forced inclusion is waited for before it is asked for again.
    pub fn step(
        &mut self,
        now: Now,
        held: &Held,
        force_at: ChainTime,
        left: impl Fn(ChainTime) -> Span,
        poll: Span,
    ) -> [Option<Step>; 2] {
        let Some(voucher) = held.voucher else {
            self.wanted = Wanted::Signature;
            let is_due = self.signing_retry.is_over(now);
            if is_due {
                // A signer may refuse, or be away.
                self.signing_retry.fail(now);
            }
            return [(is_due && !held.is_signing).then_some(Step::Sign), None];
        };
        self.wanted = Wanted::Amount(held.worth());
        self.signing_retry = Retry::default();
        let is_due = self.sequencer.is_none() && self.sequencer_retry.is_over(now);
        let sequencer = is_due.then_some(Step::Submit(Route::Sequencer, voucher));
        if !self.inbox_retry.is_over(now) {
            return [sequencer, None];
        }
        let is_time = |at| left(at) == Span(0);
        let submit = |voucher| Some(Step::Submit(Route::DelayedInbox, voucher));
        let inbox = match self.inbox {
            Inbox::Searched(_) | Inbox::Sent(_) => None,
            // What is there already has waited for some time: nothing is sent before it was looked for (X1).
            Inbox::Recorded(recorded) => Some(Step::Submit(Route::QueuedBefore, recorded)),
            Inbox::Queued(sent, forcible) if sent.claims >= held.worth() => {
                let is_due = is_time(forcible);
                if is_due {
                    // Nobody answers a forced inclusion: it is asked for until the transaction is in a block.
                    self.inbox_retry.wait(now, poll);
                }
                is_due.then_some(Step::Force(sent.ticket))
            }
            // What is there is left alone for less than a higher amount.
            Inbox::Empty | Inbox::Queued(..) if is_time(force_at) => submit(voucher),
            Inbox::Empty | Inbox::Queued(..) => None,
        };
        [sequencer, inbox]
    }

    /// It goes out by this route.
    pub fn submit(&mut self, route: Route, ticket: TxTicket, voucher: SignedVoucher, deposit: Amount) {
        let sent = Sent { ticket, voucher, claims: voucher.terms.amount.min(deposit) };
        match route {
            Route::Sequencer => {
                assert!(self.sequencer.is_none(), "one dispute is with the sequencer at a time");
                self.sequencer = Some(sent);
            }
            Route::DelayedInbox => {
                assert!(self.is_inbox_idle(), "one dispute is on its way to the inbox at a time");
                self.inbox = Inbox::Sent(sent);
            }
            Route::QueuedBefore => {
                assert_eq!(self.inbox, Inbox::Recorded(voucher), "what is looked for is on record");
                self.inbox = Inbox::Searched(sent);
            }
        }
    }

    fn is_inbox_idle(&self) -> bool {
        matches!(self.inbox, Inbox::Empty | Inbox::Queued(..))
    }

    /// The outcome of one of its transactions.
    pub fn on_tx(&mut self, now: Now, ticket: TxTicket, outcome: &TxOutcome) -> Option<News> {
        let is_with_sequencer = self.sequencer.is_some_and(|sent| sent.ticket == ticket);
        let sent = match (self.sequencer, self.inbox) {
            (Some(sent), _) if is_with_sequencer => sent,
            (_, Inbox::Searched(sent) | Inbox::Sent(sent) | Inbox::Queued(sent, _))
                if sent.ticket == ticket =>
            {
                sent
            }
            _ => return None,
        };
        let retry = if is_with_sequencer { &mut self.sequencer_retry } else { &mut self.inbox_retry };
        let news = match *outcome {
            TxOutcome::Queued { at, forcible } => {
                // The sequencer queues nothing.
                if is_with_sequencer {
                    return None;
                }
                *retry = Retry::default();
                self.inbox = Inbox::Queued(sent, forcible);
                return Some(News::Queued(Queued { at, forcible }));
            }
            TxOutcome::Included { result: Ok(()), .. } => {
                *retry = Retry::default();
                News::Landed(sent.claims)
            }
            TxOutcome::Absent => {
                *retry = Retry::default();
                News::Absent
            }
            // Nobody knows what is there as long as nobody could look.
            TxOutcome::Lost if matches!(self.inbox, Inbox::Searched(searched) if searched == sent) => {
                retry.fail(now);
                self.inbox = Inbox::Recorded(sent.voucher);
                return Some(News::Failed(sent.claims));
            }
            TxOutcome::Included { result: Err(_), .. } | TxOutcome::Lost => {
                retry.fail(now);
                News::Failed(sent.claims)
            }
        };
        if is_with_sequencer {
            self.sequencer = None;
        } else {
            self.inbox = Inbox::Empty;
        }
        Some(news)
    }

    /// When the sequencer is tried again, if it is, or the signer.
    pub fn sequencer_at(&self) -> Option<Time> {
        match self.wanted {
            Wanted::Nothing => None,
            Wanted::Signature => Some(self.signing_retry.not_before),
            Wanted::Amount(_) => self.sequencer.is_none().then_some(self.sequencer_retry.not_before),
        }
    }

    /// When something is to be done about the inbox, if it is.
    pub fn inbox_at(&self, now: Now, force_at: ChainTime, left: impl Fn(ChainTime) -> Span) -> Option<Time> {
        let Wanted::Amount(wanted) = self.wanted else { return None };
        let at = |time| now.mono + left(time);
        let due = match self.inbox {
            Inbox::Searched(_) | Inbox::Sent(_) => return None,
            Inbox::Recorded(_) => now.mono,
            Inbox::Queued(sent, forcible) if sent.claims >= wanted => at(forcible),
            Inbox::Empty | Inbox::Queued(..) => at(force_at),
        };
        Some(due.max(self.inbox_retry.not_before))
    }

    /// Whether a dispute is wanted, and its signature is at hand.
    pub fn is_wanted(&self) -> bool {
        matches!(self.wanted, Wanted::Amount(_))
    }

    /// Whether the inbox has something that is to be forced.
    pub fn is_queued(&self) -> bool {
        self.is_wanted() && matches!(self.inbox, Inbox::Queued(..))
    }

    /// Canonical bytes for the digest: all but times.
    pub fn canon(&self, out: &mut Canonical) {
        let (tag, ticket) = match self.inbox {
            Inbox::Empty => (0, TxTicket(0)),
            Inbox::Recorded(_) => (1, TxTicket(0)),
            Inbox::Searched(sent) => (2, sent.ticket),
            Inbox::Sent(sent) => (3, sent.ticket),
            Inbox::Queued(sent, _) => (4, sent.ticket),
        };
        let wanted = match self.wanted {
            Wanted::Nothing => 0,
            Wanted::Signature => 1,
            Wanted::Amount(_) => 2,
        };
        out.tag(tag | wanted << 4);
        out.number(ticket.0);
        out.number(self.sequencer.map_or(0, |sent| sent.ticket.0));
        out.number(u64::from(self.sequencer_retry.failures) << 32 | u64::from(self.inbox_retry.failures));
    }
}
