//! O17: no transaction that spends leaves before the owner agreed to its price and its deposit (D16), restarts included.
//!
//! What spends is an allowance and an opening. Before an allowance leaves, the process that makes it has been told a yes which no
//! other has used up: to at least this deposit, and to no less than what a node has said within the time for which a quote is good.
//! The opening goes to the node that one of these was about. Where several answers would do, nobody can tell from outside which
//! one was used; all of them count until one is left.

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{Call, channel, token},
    ids::{Address, FetchId, NodeId},
    io::{Effect, Input, Notice},
    limits::PROBE_WINDOW,
    money::{Amount, Rate},
    time::{Span, Time},
    wire::{Message, ProbeMessage},
};

use super::{Briefing, book::People, o1_conservation::clock};
use crate::{
    actor::ActorId,
    report::{Probe, Report},
    seen::{Kind, Oracle, Seen},
};

/// A quote is good for so long after its question; the answer was on its way, and what was decided on it waits for a disk.
const GOOD: Span = Span(PROBE_WINDOW.0 + 10_000_000);

/// What a yes is about.
type About = (FetchId, NodeId);

/// The last question about a download and a node.
#[derive(Clone, Copy, Debug)]
struct Question {
    rate: Rate,
    /// In which life of the process.
    life: u32,
    is_agreed: bool,
}

/// What a client with an owner has been told.
#[derive(Clone, Debug, Default)]
struct Mind {
    /// Rises with each crash.
    life: u32,
    /// Since its process began: what the owner agreed to, and no allowance has used up. A later yes takes none back.
    yes: BTreeMap<About, Vec<(Rate, Amount)>>,
    /// The same: what nodes have told, and when.
    told: BTreeMap<NodeId, Vec<(Time, Rate)>>,
    /// What the last allowance may be for, if no opening has followed yet.
    meant: Vec<(About, Amount)>,
    questions: BTreeMap<About, Question>,
}

impl Mind {
    /// The lowest price of a node that may still be in force.
    fn lowest(&self, node: NodeId, at: Time) -> Option<Rate> {
        let told = self.told.get(&node).into_iter().flatten();
        told.filter(|(when, _)| at.since(*when) <= GOOD).map(|(_, rate)| *rate).min()
    }

    /// An allowance leaves: whether an agreement allows that.
    fn allows(&mut self, at: Time, amount: Amount) -> bool {
        let most = |(about, yes): (&About, &Vec<(Rate, Amount)>)| {
            let lowest = self.lowest(about.1, at)?;
            let covering = yes.iter().filter(|(rate, deposit)| *deposit >= amount && *rate >= lowest);
            covering.map(|(_, deposit)| (*about, *deposit)).max()
        };
        self.meant = self.yes.iter().filter_map(most).collect();
        self.use_up();
        !self.meant.is_empty()
    }

    /// An opening follows it: whether it is one that was agreed to.
    fn opens(&mut self, deposit: Amount, is_with: impl Fn(NodeId) -> bool) -> bool {
        self.meant.retain(|((_, node), most)| is_with(*node) && deposit <= *most);
        self.use_up();
        !std::mem::take(&mut self.meant).is_empty()
    }

    fn use_up(&mut self) {
        if let [(about, _)] = self.meant[..] {
            self.yes.remove(&about);
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Agreed {
    people: People,
    minds: BTreeMap<ActorId, Mind>,
}

impl Agreed {
    /// Knows who has to ask.
    pub fn new(briefing: &Briefing) -> Self {
        let minds = briefing.asked.iter().map(|id| (*id, Mind::default())).collect();
        Self { minds, ..Self::default() }
    }

    fn on_input(&mut self, actor: ActorId, input: &Input) {
        let Some(mind) = self.minds.get_mut(&actor) else { return };
        match *input {
            Input::Agreed { fetch, node, rate, deposit } => {
                mind.yes.entry((fetch, node)).or_default().push((rate, deposit));
                mind.questions.entry((fetch, node)).and_modify(|question| question.is_agreed = true);
            }
            Input::Declined { fetch, node } => _ = mind.yes.remove(&(fetch, node)),
            _ => {}
        }
    }

    fn on_question(&mut self, actor: ActorId, about: About, rate: Rate, report: &mut Report) {
        let Some(mind) = self.minds.get_mut(&actor) else { return };
        let life = mind.life;
        let Some(before) = mind.questions.insert(about, Question { rate, life, is_agreed: false }) else {
            return;
        };
        if before.life < life {
            report.probe(Probe::AskedAfterRestart);
        } else if before.is_agreed && rate > before.rate {
            report.probe(Probe::AskedAfterRise);
        }
    }

    fn on_asked(&mut self, at: Time, actor: ActorId, call: &Call, report: &mut Report) {
        let Self { people, minds } = self;
        let Some(mind) = minds.get_mut(&actor).filter(|_| people.is_honest(actor)) else { return };
        let is_with = |operator: Address, node| {
            people.of(operator).is_some_and(|who| people.by_node(node) == Some(who))
        };
        let (is_agreed, amount) = match *call {
            Call::Token(token::Call::Approve { amount, .. }) => (mind.allows(at, amount), amount),
            Call::Channel(channel::Call::Open { node, deposit, .. }) => {
                (mind.opens(deposit, |of| is_with(node, of)), deposit)
            }
            _ => return,
        };
        if !is_agreed {
            report.violation("O17", "D16", || {
                let name = people.name(actor);
                format!("{}: {amount} of {name} leaves before its owner has agreed: {call:?}", clock(at))
            });
        }
    }
}

impl Oracle for Agreed {
    fn name(&self) -> &'static str {
        "O17"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Step, Kind::Started, Kind::Delivered, Kind::Crashed]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Start { cast, .. } => self.people = People::new(cast),
            Seen::Step { actor, input, outputs, .. } => {
                self.on_input(actor, input);
                for output in outputs {
                    if let Effect::Tx { call, .. } = &output.effect {
                        self.on_asked(at, actor, call, report);
                    }
                }
            }
            Seen::Started {
                actor,
                effect: Effect::Notice(Notice::Quoted { fetch, node, rate, deposit: Some(_), .. }),
            } => {
                self.on_question(actor, (*fetch, *node), *rate, report);
            }
            Seen::Delivered {
                from, to, message: Message::Probe(ProbeMessage::Response(response)), ..
            } => {
                let node = self.people.node_of(from);
                if let (Some(mind), Some(node)) = (self.minds.get_mut(&to), node) {
                    let told = mind.told.entry(node).or_default();
                    told.retain(|(when, _)| at.since(*when) <= GOOD);
                    told.push((at, response.rate));
                }
            }
            Seen::Crashed { actor, .. } => {
                if let Some(mind) = self.minds.get_mut(&actor) {
                    let (life, questions) = (mind.life + 1, std::mem::take(&mut mind.questions));
                    *mind = Mind { life, questions, ..Mind::default() };
                }
            }
            _ => {}
        }
    }
}
