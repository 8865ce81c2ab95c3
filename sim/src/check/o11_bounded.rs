//! O11: every queue, table and timer set stays below its limit, as far as it can be seen from outside: what one step
//! asks for, unanswered `SendRange`s per stream, streams per connection, write sets on their way.

use std::collections::BTreeMap;

use decdn_engine::{
    ids::{ConnId, StreamId},
    io::{Effect, Input, Output},
    time::Time,
    wire::{ClientMessage, Message},
};

use super::{book::People, o1_conservation::clock};
use crate::{
    actor::ActorId,
    report::Report,
    seen::{Kind, Oracle, Seen},
};

/// Streams of a connection (W3).
const STREAMS: usize = 100;
/// Unanswered `SendRange`s of a stream.
const SEND_RANGES: u8 = 8;
/// What one step may ask for: an input concerns one connection, and a stream of it asks for a handful of things.
const OUTPUTS: usize = STREAMS * (SEND_RANGES as usize + 4);
/// Write sets on their way: a few per channel and download that are in use, for as long as a slow disk takes.
const WRITES: u32 = 1_024;

/// What an actor has under way.
#[derive(Clone, Debug, Default)]
struct Desk {
    /// Streams, each with the `SendRange`s that nobody has answered.
    streams: BTreeMap<StreamId, u8>,
    writes: u32,
}

impl Desk {
    fn cut(&mut self, conn: ConnId) {
        self.streams.retain(|stream, _| stream.conn != conn);
    }

    fn on(&self, conn: ConnId) -> impl Iterator<Item = StreamId> {
        let (first, last) = (StreamId { conn, index: 0 }, StreamId { conn, index: u32::MAX });
        self.streams.range(first..=last).map(|(stream, _)| *stream)
    }

    fn take(&mut self, input: &Input) -> Option<ConnId> {
        match input {
            Input::RangeSent { stream } | Input::RangeFailed { stream } => {
                if let Some(count) = self.streams.get_mut(stream) {
                    *count = count.saturating_sub(1);
                }
            }
            Input::StreamClosed { stream, .. } => _ = self.streams.remove(stream),
            Input::Disconnected { conn, .. } => self.cut(*conn),
            Input::Persisted { .. } => self.writes = self.writes.saturating_sub(1),
            Input::Message {
                stream,
                message: Message::Client(ClientMessage::StreamRequest(_) | ClientMessage::CloseRequest(_)),
            } => {
                self.streams.entry(*stream).or_default();
                return Some(stream.conn);
            }
            _ => {}
        }
        None
    }

    /// Takes an output in; says what there are too many of.
    fn ask(&mut self, effect: &Effect, asked: &mut Option<ConnId>) -> Option<&'static str> {
        match effect {
            Effect::SendRange { stream, .. } => {
                let count = self.streams.entry(*stream).or_default();
                *count += 1;
                return (*count > SEND_RANGES).then_some("unanswered ranges on a stream");
            }
            Effect::Reset { stream, .. } | Effect::Finish { stream } => _ = self.streams.remove(stream),
            Effect::Disconnect { conn, .. } => self.cut(*conn),
            Effect::Send {
                stream,
                message: Message::Client(ClientMessage::StreamRequest(_) | ClientMessage::CloseRequest(_)),
            } => {
                self.streams.entry(*stream).or_default();
                *asked = Some(stream.conn);
            }
            Effect::Persist { .. } => {
                self.writes += 1;
                return (self.writes > WRITES).then_some("write sets on their way");
            }
            _ => {}
        }
        None
    }
}

/// See the module.
#[derive(Default)]
pub struct Bounded {
    people: People,
    desks: Vec<Desk>,
}

impl Bounded {
    fn on_step(&mut self, at: Time, actor: ActorId, input: &Input, outputs: &[Output], report: &mut Report) {
        let desk = &mut self.desks[usize::from(actor.0)];
        let mut asked = desk.take(input);
        let mut over = (outputs.len() > OUTPUTS).then_some("outputs of one step");
        for output in outputs {
            over = desk.ask(&output.effect, &mut asked).or(over);
        }
        if asked.is_some_and(|conn| desk.on(conn).count() > STREAMS) {
            over = Some("streams on a connection");
        }
        if let Some(what) = over {
            let name = self.people.name(actor);
            report.violation("O11", "O11", || format!("{}: {name} has too many {what}", clock(at)));
        }
    }
}

impl Oracle for Bounded {
    fn name(&self) -> &'static str {
        "O11"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Step, Kind::Crashed]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Step { actor, input, outputs, .. } if self.people.is_honest(actor) => {
                self.on_step(at, actor, input, outputs, report);
            }
            Seen::Crashed { actor, .. } => self.desks[usize::from(actor.0)] = Desk::default(),
            Seen::Start { cast, .. } => {
                self.people = People::new(cast);
                self.desks = vec![Desk::default(); cast.people.len()];
            }
            _ => {}
        }
    }
}
