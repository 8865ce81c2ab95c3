//! O16: a fault in one channel changes nothing in another.
//!
//! What somebody honest does about a stream on which it sells, for whatever reason, it does to that stream's channel: no
//! stream of another channel is reset, aborted or finished in the same step, and no other channel's record is written. A
//! stream belongs to the channel that its request names, if that is the asker's to name (I3), else to none. The same holds
//! for a stream on which it buys where a peer is at fault, unless a download ends by it: that ends what it uses.

use std::collections::BTreeMap;

use decdn_engine::{
    fault::Fault,
    ids::{ChannelId, ConnId, StreamId},
    io::{Effect, Input, Notice, Output},
    record::Record,
    time::Time,
    wire::{ClientMessage, Message},
};

use super::{
    book::{Channels, People},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::Report,
    seen::{Kind, Oracle, Seen},
};

/// See the module.
#[derive(Default)]
pub struct Apart {
    people: People,
    channels: Channels<()>,
    /// By actor: whose each connection is that it accepted.
    peers: Vec<BTreeMap<ConnId, ActorId>>,
    /// By actor: what each stream belongs to.
    streams: Vec<BTreeMap<StreamId, Place>>,
}

/// What a stream belongs to, as one of its ends sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    channel: ChannelId,
    /// Whether this end was asked, and sells; the other one asks, and buys.
    is_asked: bool,
}

/// What a stream belongs to whose request names somebody else's channel.
const NONE: ChannelId = ChannelId([0; 32]);

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
    let Message::Client(message) = message else { return None };
    match message {
        ClientMessage::StreamRequest(request) => Some(request.channel),
        ClientMessage::CloseRequest(request) => Some(request.channel),
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
        let peers = &mut self.peers[usize::from(actor.0)];
        match input {
            Input::Connected { conn, peer, .. } => {
                peers.extend(self.people.by_node(*peer).map(|peer| (*conn, peer)));
            }
            Input::Message { stream, message } => {
                if let Some(channel) = named(message) {
                    let asker = peers.get(&stream.conn);
                    let payer = self.channels.get(&channel).map(|(deal, ())| deal.payer);
                    let is_others = asker.is_some() && payer.is_some_and(|payer| payer != asker.copied());
                    let channel = if is_others { NONE } else { channel };
                    streams.insert(*stream, Place { channel, is_asked: true });
                }
            }
            Input::Disconnected { conn, .. } => {
                peers.remove(conn);
                streams.retain(|stream, _| stream.conn != *conn);
            }
            _ => {}
        }
        let is_fault = is_fault(outputs);
        // Most steps end nothing: then there is nothing to look up.
        let ended = |output: &Output| match &output.effect {
            Effect::Reset { stream, .. } | Effect::Finish { stream } => Some(*stream),
            Effect::Send { stream, message: Message::Client(ClientMessage::StreamAbort(_)) } => Some(*stream),
            _ => None,
        };
        let mut over = Vec::new();
        for output in outputs {
            match &output.effect {
                Effect::Send { stream, message } => {
                    if let Some(channel) = named(message) {
                        streams.insert(*stream, Place { channel, is_asked: false });
                    }
                }
                Effect::Persist { writes, .. } => {
                    let here = about(input).and_then(|stream| streams.get(&stream));
                    let Some(here) = here.filter(|here| here.is_asked).map(|here| here.channel) else {
                        continue;
                    };
                    let other = writes.iter().find_map(|record| match record {
                        Record::Earning(earning) if earning.channel != here => Some(earning.channel),
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
                && here.channel != other.channel
                && (here.is_asked || is_fault)
            {
                let (here, other) = (here.channel, other.channel);
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

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Step, Kind::Crashed, Kind::Included]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Step { actor, input, outputs, .. } if self.people.is_honest(actor) => {
                self.on_step(at, actor, input, outputs, report);
            }
            Seen::Crashed { actor, .. } => {
                self.streams[usize::from(actor.0)].clear();
                self.peers[usize::from(actor.0)].clear();
            }
            Seen::Included { tx, .. } => self.channels.learn(tx, &self.people),
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
                self.peers = vec![BTreeMap::new(); cast.people.len()];
                self.streams = vec![BTreeMap::new(); cast.people.len()];
            }
            _ => {}
        }
    }
}
