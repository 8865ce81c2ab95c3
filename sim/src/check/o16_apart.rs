//! O16: a fault in one channel changes nothing in another.
//!
//! What an honest node does about one stream, for whatever reason, it does to that stream's channel: no stream of
//! another channel is reset, aborted or finished in the same step, and no other channel's record is written. The
//! same holds for an honest client where a peer is at fault, unless a download ends by it: that ends what it uses.

use std::collections::BTreeMap;

use decdn_engine::{
    fault::Fault,
    ids::{ChannelId, StreamId},
    io::{Effect, Input, Notice, Output},
    record::Record,
    time::Time,
    wire::Message,
};

use super::{book::People, o1_conservation::clock};
use crate::{
    actor::ActorId,
    seen::{Kind, Kinds, Oracle, Report, Seen},
};

/// See the module.
#[derive(Default)]
pub struct Apart {
    people: People,
    /// By actor: the channel that each stream's request named.
    streams: Vec<BTreeMap<StreamId, ChannelId>>,
}

/// The stream that an input is about.
fn about(input: &Input) -> Option<StreamId> {
    match input {
        Input::Message { stream, .. }
        | Input::StreamClosed { stream, .. }
        | Input::Malformed { stream, .. }
        | Input::RangeFailed { stream }
        | Input::Verdict { stream, .. } => Some(*stream),
        _ => None,
    }
}

fn named(message: &Message) -> Option<ChannelId> {
    match message {
        Message::StreamRequest(request) => Some(request.channel),
        Message::CloseRequest(request) => Some(request.channel),
        _ => None,
    }
}

/// Whether a peer's fault is all that happened.
fn is_fault(outputs: &[Output]) -> bool {
    let effects = || outputs.iter().map(|output| &output.effect);
    effects().any(|effect| matches!(effect, Effect::Fault(Fault::Peer { .. })))
        && !effects().any(|effect| {
            matches!(effect, Effect::Notice(Notice::Fetched { .. } | Notice::FetchFailed { .. }))
        })
}

impl Apart {
    fn on_step(&mut self, at: Time, actor: ActorId, input: &Input, outputs: &[Output], report: &mut Report) {
        let streams = &mut self.streams[usize::from(actor.0)];
        match input {
            Input::Message { stream, message } => {
                if let Some(channel) = named(message) {
                    streams.insert(*stream, channel);
                }
            }
            Input::Disconnected { conn, .. } => streams.retain(|stream, _| stream.conn != *conn),
            _ => {}
        }
        let is_node = self.people.is_honest_node(actor);
        let is_bound = is_node || is_fault(outputs);
        // Most steps end nothing: then there is nothing to look up.
        let ended = |output: &Output| match &output.effect {
            Effect::Reset { stream, .. } | Effect::Finish { stream } => Some(*stream),
            Effect::Send { stream, message: Message::StreamAbort(_) } => Some(*stream),
            _ => None,
        };
        let mut over = Vec::new();
        for output in outputs {
            match &output.effect {
                Effect::Send { stream, message } => {
                    if let Some(channel) = named(message) {
                        streams.insert(*stream, channel);
                    }
                }
                Effect::Persist { writes, .. } if is_node => {
                    let Some(here) = about(input).and_then(|stream| streams.get(&stream)) else { continue };
                    let other = writes.iter().find_map(|record| match record {
                        Record::Earning(earning) if earning.channel != *here => Some(earning.channel),
                        _ => None,
                    });
                    if let Some(other) = other {
                        let name = self.people.name(actor);
                        report.violation("O16", "O16", || {
                            format!("{}: {name} changes channel {other} for a stream of {here}", clock(at))
                        });
                    }
                }
                _ => {}
            }
            let Some(stream) = ended(output) else { continue };
            if let (Some(here), Some(other)) =
                (about(input).and_then(|stream| streams.get(&stream)), streams.get(&stream))
                && here != other
                && is_bound
            {
                let name = self.people.name(actor);
                report.violation("O16", "O16", || {
                    format!("{}: {name} ends a stream of channel {other} for a stream of {here}", clock(at))
                });
            }
            if matches!(output.effect, Effect::Reset { .. }) {
                over.push(stream);
            }
        }
        if let Input::StreamClosed { stream, .. } = input {
            over.push(*stream);
        }
        for stream in over {
            streams.remove(&stream);
        }
    }
}

impl Oracle for Apart {
    fn name(&self) -> &'static str {
        "O16"
    }

    fn kinds(&self) -> Kinds {
        Kinds::of(&[Kind::Start, Kind::Step, Kind::Crashed])
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Step { actor, input, outputs, .. } if self.people.is_honest(actor) => {
                self.on_step(at, actor, input, outputs, report);
            }
            Seen::Crashed { actor, .. } => self.streams[usize::from(actor.0)].clear(),
            Seen::Start { cast, .. } => {
                self.people = People::new(cast);
                self.streams = vec![BTreeMap::new(); cast.people.len()];
            }
            _ => {}
        }
    }
}
