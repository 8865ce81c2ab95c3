//! Opening channels: one at a time, because an allowance is one number (V4, O10).

use alloc::collections::VecDeque;

use super::{AlarmKey, Cx};
use crate::{
    chain::{Route, TxOutcome, channel, token},
    ids::{Address, NodeId, TxTicket},
    io::Lane,
    money::Amount,
    order::Agreement,
    state::{Broken, Canonical, Checked, Invariant, holds},
    time::Span,
};

/// A channel on its way to being open.
#[derive(Clone, Copy, Debug)]
pub struct Opening {
    /// With this node.
    pub node: NodeId,
    /// The node's account.
    pub operator: Address,
    /// In this token.
    pub token: Address,
    /// With this deposit.
    pub deposit: Amount,
    /// Whether it stays open when nothing uses it.
    pub keep: bool,
    /// The owner's yes that it used up when it was begun, if the owner is asked (D16).
    agreed: Option<Agreement>,
    step: Step,
}

impl Opening {
    /// To be begun when it is its turn.
    pub fn new(node: NodeId, operator: Address, token: Address, deposit: Amount, keep: bool) -> Self {
        Self { node, operator, token, deposit, keep, agreed: None, step: Step::Queued }
    }

    /// Whether it costs no more than the owner has agreed to.
    pub fn is_agreed(&self) -> bool {
        self.agreed.is_some_and(|agreed| self.deposit <= agreed.deposit)
    }

    /// The block that it is in, once that is known: its event has not been read yet.
    pub fn included_in(&self) -> Option<u64> {
        match self.step {
            Step::Included(block) => Some(block),
            Step::Queued | Step::Approving(_) | Step::Opening(_) => None,
        }
    }

    /// Whether one of its transactions is on its way.
    pub fn is_sent(&self) -> bool {
        matches!(self.step, Step::Approving(_) | Step::Opening(_))
    }

    /// Whether the transaction that opens it is on its way.
    pub fn is_under_way(&self) -> bool {
        matches!(self.step, Step::Opening(_))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Queued,
    Approving(TxTicket),
    Opening(TxTicket),
    /// In this block; its event has not been read yet.
    Included(u64),
}

/// What a transaction's outcome means to the opening that it belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// It goes on.
    Nothing,
    /// It is in this block.
    Included(Opening, u64),
    /// It has failed.
    Failed,
}

/// The openings that are wanted, in their order: the first one is under way, or about to be.
#[derive(Clone, Debug, Default)]
pub struct Opener {
    queue: VecDeque<Opening>,
}

impl Opener {
    /// Wants a channel.
    pub fn want(&mut self, opening: Opening) {
        self.queue.push_back(opening);
    }

    /// How many are wanted.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether a channel like this is on its way.
    pub fn is_opening(&self, node: NodeId, token: Address) -> bool {
        self.queue.iter().any(|opening| opening.node == node && opening.token == token)
    }

    /// The first one.
    pub fn first(&self) -> Option<&Opening> {
        self.queue.front()
    }

    /// The next one to begin, if none is under way.
    pub fn next(&self) -> Option<&Opening> {
        self.first().filter(|opening| opening.step == Step::Queued)
    }

    /// Takes the first one off the list, however far it has come.
    pub fn take(&mut self, cx: &mut Cx<'_>) -> Opening {
        cx.tools.alarms.cancel(AlarmKey::Opening);
        self.queue.pop_front().expect("only an opening that is wanted is over")
    }

    /// Begins the first one, on the owner's yes if the owner is asked: the allowance. Each of its two transactions has so long to
    /// be in a block (O10).
    pub fn begin(&mut self, agreed: Option<Agreement>, inclusion: Span, cx: &mut Cx<'_>) {
        let opening = self.queue.front_mut().expect("only an opening that is wanted begins");
        assert_eq!(opening.step, Step::Queued, "an opening begins once");
        let ticket = cx.tools.tx_ticket();
        opening.step = Step::Approving(ticket);
        opening.agreed = agreed;
        let call = token::Call::Approve { token: opening.token, amount: opening.deposit };
        cx.tools.alarms.arm(AlarmKey::Opening, cx.now.mono + inclusion);
        cx.out.tx(Lane::Role, ticket, call, Route::Sequencer);
    }

    /// The outcome of a transaction: `None` if it belongs to no opening.
    pub fn on_tx(
        &mut self,
        ticket: TxTicket,
        outcome: &TxOutcome,
        inclusion: Span,
        cx: &mut Cx<'_>,
    ) -> Option<Progress> {
        let opening = self.queue.front_mut()?;
        let is_approval = opening.step == Step::Approving(ticket);
        if !is_approval && opening.step != Step::Opening(ticket) {
            return None;
        }
        Some(match outcome {
            TxOutcome::Queued { .. } => Progress::Nothing,
            TxOutcome::Included { result: Ok(()), .. } if is_approval => {
                let ticket = cx.tools.tx_ticket();
                opening.step = Step::Opening(ticket);
                let (node, token, deposit) = (opening.operator, opening.token, opening.deposit);
                let call = channel::Call::Open { node, token, deposit };
                cx.tools.alarms.arm(AlarmKey::Opening, cx.now.mono + inclusion);
                cx.out.tx(Lane::Role, ticket, call, Route::Sequencer);
                Progress::Nothing
            }
            TxOutcome::Included { result: Ok(()), block } => {
                opening.step = Step::Included(block.number);
                cx.tools.alarms.cancel(AlarmKey::Opening);
                Progress::Included(*opening, block.number)
            }
            TxOutcome::Included { result: Err(_), .. } | TxOutcome::Lost | TxOutcome::Absent => {
                Progress::Failed
            }
        })
    }

    /// What holds of openings.
    pub const INVARIANTS: &'static [Invariant<Self>] =
        &[Invariant::of("the first opening is under way, and no other", Self::are_in_turn)];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn are_in_turn(&self) -> Checked {
        for (place, opening) in self.queue.iter().enumerate() {
            let is_queued = opening.step == Step::Queued;
            holds!(is_queued == (place > 0), "opening {place}: {:?}", opening.step);
        }
        Ok(())
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for opening in &self.queue {
            let (step, ticket) = match opening.step {
                Step::Queued => (0, 0),
                Step::Approving(ticket) => (1, ticket.0),
                Step::Opening(ticket) => (2, ticket.0),
                Step::Included(block) => (3, block),
            };
            out.bytes(&opening.node.0);
            out.bytes(opening.token.as_slice());
            out.large(opening.deposit.0);
            out.tag(step);
            out.number(ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Case, each_fails};

    fn opening() -> Opener {
        let mut opener = Opener::default();
        let of = |n| Opening::new(NodeId([n; 32]), Address::ZERO, Address::ZERO, Amount(1), false);
        [1, 2].into_iter().for_each(|n| opener.want(of(n)));
        opener.queue[0].step = Step::Approving(TxTicket(1));
        opener
    }

    #[test]
    fn each_invariant_of_openings_can_fail() {
        let case: Case<Opener> =
            ("the first opening is under way, and no other", opening, |it| _ = it.queue.pop_front());
        each_fails(Opener::INVARIANTS, &[case], |opener| assert!(opener.check().is_err()));
    }
}
