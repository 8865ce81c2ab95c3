//! Owners who are asked before money goes into a channel (D16). Each takes its time; its answer reaches whatever process is up
//! then, which may be another than the one that asked.

use decdn_engine::{
    ids::{FetchId, NodeId},
    io::Input,
    money::{Amount, Rate},
    time::Span,
};

use super::{Event, World};
use crate::{actor::ActorId, decide::Label, report::Probe};

/// How an owner answers.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    /// How long it thinks, shortest and longest.
    pub thinks: (Span, Span),
    /// Of a million questions, how many it says no to.
    pub declines: u32,
    /// Of a million, how many it never answers.
    pub ignores: u32,
    /// Of a million, how many it agrees to at half the deposit.
    pub halves: u32,
    /// Of a million, after how many a yes it thinks on, and says no.
    pub repents: u32,
}

impl World {
    /// An owner sees a price and a deposit.
    pub(super) fn ask(&mut self, id: ActorId, about: (FetchId, NodeId), terms: (Rate, Amount)) {
        let Some(owner) = self.owners.get(&id).copied() else { return };
        let ((fetch, node), (rate, deposit), decide) = (about, terms, &mut self.decide);
        let (probe, answer) = if decide.chance(Label::Owner, owner.ignores) {
            (Probe::OwnerSilent, None)
        } else if decide.chance(Label::Owner, owner.declines) {
            (Probe::OwnerDeclined, Some(Input::Declined { fetch, node }))
        } else if decide.chance(Label::Owner, owner.halves) {
            let deposit = Amount(deposit.0 / 2);
            (Probe::OwnerAgreedToLess, Some(Input::Agreed { fetch, node, rate, deposit }))
        } else {
            (Probe::OwnerAgreed, Some(Input::Agreed { fetch, node, rate, deposit }))
        };
        self.watch.report.probe(probe);
        let Some(answer) = answer else { return };
        let mut thinks = || Span(decide.between(Label::Owner, owner.thinks.0.0, owner.thinks.1.0));
        let at = self.queue.now() + thinks();
        let again = at + thinks();
        let repents = matches!(answer, Input::Agreed { .. }) && decide.chance(Label::Owner, owner.repents);
        self.queue.push(at, Event::Answer(id, Box::new(answer)));
        if repents {
            self.watch.report.probe(Probe::OwnerRepented);
            self.queue.push(again, Event::Answer(id, Box::new(Input::Declined { fetch, node })));
        }
    }

    /// While nothing is up to be told, it is lost.
    pub(super) fn on_answer(&mut self, id: ActorId, answer: Input) {
        if self.actors[usize::from(id.0)].up {
            self.step(id, answer);
        }
    }
}
