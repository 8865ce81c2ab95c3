//! The kernel without the protocol: bare actors in pairs, one message to and fro in each pair. Latencies are drawn
//! and steps are counted as ever; nobody looks on. What `cargo sim bench` measures.

use std::collections::BTreeMap;

use decdn_contracts::Genesis;
use decdn_engine::{
    ids::{Address, ConnId, NodeId, StreamId},
    io::{Effect, Input, Lane},
    record::Record,
    state::Digest,
    time::{Span, Time},
    wire::{ClientMessage, Protocol},
};

use crate::{
    actor::{Actor, ActorId, Turn},
    cast::{Cast, Part, Person},
    chain::Chain,
    content::Library,
    decide::Decisions,
    net::Path,
    rung::SimCrypto,
    watch::Watch,
    world::{Machine, Parts, Ran, World},
};

/// One way, shortest and longest.
const LATENCY: (Span, Span) = (Span::from_millis(1), Span::from_millis(10));

/// Sends back whatever comes.
struct Player {
    /// Whom to dial, until that is done.
    dials: Option<NodeId>,
    /// How many messages it still answers.
    left: u64,
}

impl Actor for Player {
    fn step(&mut self, input: &Input, mut turn: Turn<'_>) {
        let stream = match input {
            Input::Tick => {
                if let Some(peer) = self.dials.take() {
                    turn.push(
                        Lane::Role,
                        Effect::Connect { conn: ConnId(0), peer, protocol: Protocol::Client },
                    );
                }
                return;
            }
            // The one who has dialled begins.
            Input::Connected { conn: ConnId(0), .. } => StreamId { conn: ConnId(0), index: 0 },
            Input::Message { stream, .. } if self.left > 0 => {
                self.left -= 1;
                *stream
            }
            _ => return,
        };
        turn.push(Lane::Stream(stream), Effect::Send { stream, message: ClientMessage::StreamEnd.into() });
    }

    fn next_deadline(&self) -> Option<Time> {
        self.dials.map(|_| Time(0))
    }

    fn digest(&mut self) -> Digest {
        Digest::default()
    }

    fn restart(&mut self, _: &mut dyn Iterator<Item = Record>) {}
}

/// Plays so many pairs until each one's message has arrived `messages` times at either end, all of them counted.
pub fn play(pairs: u8, messages: u64, seed: u64) -> Ran {
    let machine = Machine {
        disk: (Span(0), Span(0)),
        slow_disk: (0, Span(0)),
        signer: (Span(0), Span(0)),
        crash: 0,
        crashes: 0,
        restart: (Span(0), Span(0)),
        skew: 0,
    };
    let mut people = Vec::new();
    let mut actors: Vec<(Box<dyn Actor>, Machine)> = Vec::new();
    for n in 0..2 * u16::from(pairs) {
        let key = |n: u16| NodeId(core::array::from_fn(|at| n.to_be_bytes()[at % 2]));
        people.push(Person {
            id: ActorId(n),
            name: format!("host-{n}"),
            parts: vec![Part::Client],
            honest: false,
            account: Address::from(core::array::from_fn(|at| n.to_be_bytes()[at % 2])),
            node: key(n),
            offer_ceiling: 0,
        });
        // Every other one begins, so its first message comes from nowhere and the last one is not answered.
        let dials = n.is_multiple_of(2).then(|| key(n + 1));
        let left = if n.is_multiple_of(2) { (messages / 2).saturating_sub(1) } else { messages / 2 };
        actors.push((Box::new(Player { dials, left }), machine));
    }
    let genesis = Genesis::standard();
    let chain = Chain::new(&genesis, Chain::model(&genesis), &[], (Span(0), Span(0)), Vec::new());
    let path = Path { latency: LATENCY, ..Path::NEAR };
    let parts = Parts {
        cast: Cast { people },
        actors,
        blobs: Vec::new(),
        paths: BTreeMap::new(),
        path,
        chain,
        library: Library::symbols(&[]).0,
        jobs: Vec::new(),
        owners: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        window: Span(0),
        timed: Vec::new(),
        calm_at: None,
        kept_channels_end: false,
        until: Time(u64::MAX),
        steps_max: u64::MAX,
    };
    let (ran, ..) =
        World::new(parts, SimCrypto::Ideal, Decisions::seeded(seed), Watch::new(Vec::new())).run();
    ran
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_message_of_every_pair_is_a_step() {
        let ran = play(3, 10, 1);
        // A tick and two connections per pair, and the messages.
        assert_eq!(ran.steps, 3 * (1 + 2 + 10));
        assert!(ran.time >= Span::from_millis(10), "ten messages in a row take {:?}", ran.time);
        assert_eq!(play(3, 10, 1).digest, ran.digest);
        assert_ne!(play(3, 10, 2).time, ran.time, "the seed draws the latencies");
    }
}
