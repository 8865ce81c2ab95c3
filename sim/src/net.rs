//! Connections and streams between actors: who is connected to whom, what is under way, how long it takes. A pipe
//! keeps each stream's order and loses nothing, as QUIC does; what it can't repair is a connection's death.
//!
//! This module decides when things arrive. What then happens is the world's business.

use std::collections::VecDeque;

use decdn_engine::{
    ids::{BlobHash, ChannelId, ConnId, FetchId},
    limits::{CHUNK_BYTES, GROUP},
    time::{Span, Time},
    wire::{ClientMessage, Code, Message, Protocol},
};

use crate::{
    actor::ActorId,
    content::Bytes,
    decide::{Decisions, Label},
    seen::LinkId,
};

/// How a pair of actors is connected.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Path {
    /// One way, shortest and longest.
    pub latency: (Span, Span),
    /// Bytes per second in each direction; `None` is as fast as can be.
    pub bandwidth: Option<u64>,
    /// Mean life of a connection while faults go on.
    pub life: Option<Span>,
    /// Of a million vouchers and acks, how many come twice.
    pub duplicate: u32,
    /// Of a million vouchers and acks, how many come late, after others of their stream.
    pub delay: u32,
}

impl Path {
    /// Next to each other.
    pub const NEAR: Self =
        Self { latency: (Span(100), Span(200)), bandwidth: None, life: None, duplicate: 0, delay: 0 };
}

/// What travels.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "items live in a slab; boxing would cost an allocation per message"
)]
pub enum Item {
    /// A control message.
    Message(Message),
    /// Content of a blob.
    Content(Content),
    /// Nothing more comes.
    Fin,
    /// Given up, both ways.
    Reset(Code),
}

/// A piece of a blob.
#[derive(Clone, Debug)]
pub struct Content {
    /// Which blob.
    pub hash: BlobHash,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
    /// First byte of the group in it that is wrong.
    pub corrupt: Option<u64>,
    /// The last piece of its `SendRange`: it owes a `RangeSent`.
    pub last: bool,
}

/// An item that left its sender and has not arrived.
#[derive(Clone, Debug)]
pub struct Flying {
    /// On which connection.
    pub link: LinkId,
    /// From which end of it.
    pub end: u8,
    /// On which stream.
    pub index: u32,
    /// What.
    pub item: Item,
    /// An additional copy of a message, or one that may overtake: not part of the stream's order.
    pub stray: bool,
}

/// What an end agreed to receive on a stream.
#[derive(Clone, Copy, Debug)]
pub struct Receive {
    /// For which download.
    pub fetch: FetchId,
    /// Of which blob.
    pub hash: BlobHash,
    /// The blob's size, as the sender said.
    pub total_bytes: u64,
    /// The next byte.
    pub next: u64,
    /// The end.
    pub until: u64,
}

/// One stream of a connection.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Who pays, as the request had it.
    pub channel: Option<ChannelId>,
    /// Offset and length that the request asked for.
    pub asked: (u64, u64),
    /// Each end's encoder or verifier, on the real rung.
    pub bytes: [Bytes; 2],
    /// What waits for the line, per sending end.
    out: [VecDeque<Item>; 2],
    /// No item in order arrives before this one, per sending end.
    arrival: [Time; 2],
    /// What an end agreed to receive.
    pub receive: [Option<Receive>; 2],
    /// An end was told that the other is done, or gave the stream up: it hears no more of it.
    pub deaf: [bool; 2],
    /// An end gave the stream up or finished it: it sends no more.
    pub mute: [bool; 2],
}

/// One direction's line.
#[derive(Clone, Debug, Default)]
struct Line {
    busy_until: Time,
    /// Streams with something to send, each once.
    ring: VecDeque<u32>,
    /// Whether an event will come when the line is free.
    waiting: bool,
    /// Nothing arrives before this: a partition.
    blocked_until: Time,
}

/// One end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct End {
    /// Who.
    pub actor: ActorId,
    /// Which life of it.
    pub epoch: u32,
    /// The connection's number there.
    pub conn: ConnId,
    /// How it stands.
    pub state: EndState,
}

/// How an end of a connection stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EndState {
    /// Not up yet.
    Opening,
    /// Up.
    Up,
    /// It was told that the connection is gone, said so itself, or died.
    Gone,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Link {
    /// The dialling end and the accepting end.
    pub ends: [End; 2],
    /// How they are connected.
    pub path: Path,
    /// What they speak.
    pub protocol: Protocol,
    /// Nothing arrives any more.
    pub dead: bool,
    lines: [Line; 2],
    streams: Vec<Stream>,
}

impl Link {
    /// A stream; made when first named, up to a bound that no honest pair reaches.
    pub fn stream(&mut self, index: u32) -> Option<&mut Stream> {
        const STREAMS: u32 = 1 << 20;
        if index >= STREAMS {
            return None;
        }
        if self.streams.len() <= index as usize {
            self.streams.resize_with(index as usize + 1, Stream::default);
        }
        self.streams.get_mut(index as usize)
    }
}

/// When something happens because of what was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Due {
    /// The item in this slot arrives.
    Arrive(u32),
    /// This end's line is free again.
    LineFree(LinkId, u8),
    /// The oldest unanswered `SendRange` of this end's stream is with the transport.
    RangeSent(LinkId, u8, u32),
}

/// All connections and everything under way.
#[derive(Clone, Debug, Default)]
pub struct Net {
    links: Vec<Link>,
    flying: Vec<Option<Flying>>,
    free: Vec<u32>,
    /// Whether faults are over (O10).
    pub calm: bool,
}

impl Net {
    /// A connection.
    pub fn link(&mut self, id: LinkId) -> &mut Link {
        &mut self.links[id.0 as usize]
    }

    /// Every connection with an end that is not gone.
    pub fn live(&self) -> impl Iterator<Item = (LinkId, &Link)> {
        self.links
            .iter()
            .enumerate()
            .filter(|(_, link)| link.ends.iter().any(|end| end.state != EndState::Gone))
            .map(|(id, link)| (LinkId(id as u32), link))
    }

    /// Adds a connection that is being made.
    pub fn dial(&mut self, ends: [End; 2], path: Path, protocol: Protocol) -> LinkId {
        let (lines, streams) = (Default::default(), Vec::new());
        self.links.push(Link { ends, path, protocol, dead: false, lines, streams });
        LinkId(self.links.len() as u32 - 1)
    }

    /// A drawn one-way latency.
    pub fn latency(path: &Path, decide: &mut Decisions) -> Span {
        let (low, high) = path.latency;
        Span(decide.between(Label::Latency, low.0, high.0))
    }

    /// Blocks one direction until `until`: what is sent meanwhile arrives after it, as retransmission would do.
    pub fn block(&mut self, from: ActorId, to: ActorId, until: Time) {
        for link in &mut self.links {
            for end in 0..2 {
                if link.ends[end].actor == from && link.ends[1 - end].actor == to {
                    let line = &mut link.lines[end];
                    line.blocked_until = line.blocked_until.max(until);
                }
            }
        }
    }

    /// Hands an item to an end's line. Whatever follows goes to `due`.
    pub fn send(
        &mut self,
        now: Time,
        at: (LinkId, u8, u32),
        item: Item,
        decide: &mut Decisions,
        due: &mut impl FnMut(Time, Due),
    ) {
        let (id, end, index) = at;
        let Some(stream) = self.link(id).stream(index) else { return };
        let was_empty = stream.out[usize::from(end)].is_empty();
        stream.out[usize::from(end)].push_back(item);
        let line = &mut self.link(id).lines[usize::from(end)];
        if was_empty {
            line.ring.push_back(index);
        }
        if line.busy_until <= now && !line.waiting {
            self.advance(now, id, end, decide, due);
        } else if !line.waiting {
            line.waiting = true;
            let free = line.busy_until;
            due(free, Due::LineFree(id, end));
        }
    }

    /// The line is free: sends what waits, one piece of each stream in turn.
    pub fn line_free(
        &mut self,
        now: Time,
        id: LinkId,
        end: u8,
        decide: &mut Decisions,
        due: &mut impl FnMut(Time, Due),
    ) {
        self.link(id).lines[usize::from(end)].waiting = false;
        self.advance(now, id, end, decide, due);
    }

    fn advance(
        &mut self,
        now: Time,
        id: LinkId,
        end: u8,
        decide: &mut Decisions,
        due: &mut impl FnMut(Time, Due),
    ) {
        let calm = self.calm;
        let side = usize::from(end);
        loop {
            let link = &mut self.links[id.0 as usize];
            if link.dead || link.ends[side].state == EndState::Gone {
                return;
            }
            let line = &mut link.lines[side];
            if line.busy_until > now {
                if !line.ring.is_empty() && !line.waiting {
                    line.waiting = true;
                    due(line.busy_until, Due::LineFree(id, end));
                }
                return;
            }
            let Some(index) = line.ring.pop_front() else { return };
            let stream = &mut link.streams[index as usize];
            let Some(item) = next_piece(&mut stream.out[side]) else { continue };
            if !stream.out[side].is_empty() {
                line.ring.push_back(index);
            }
            let wire = item_len(&item);
            let busy =
                link.path.bandwidth.map_or(0, |rate| wire.saturating_mul(1_000_000).div_ceil(rate.max(1)));
            line.busy_until = now + Span(busy);
            let left = line.busy_until.max(line.blocked_until);
            if let Item::Content(Content { last: true, .. }) = item {
                due(line.busy_until, Due::RangeSent(id, end, index));
            }
            // A stream keeps its order; what a payer sends again, or on another stream, is all that can come twice
            // or too late.
            let is_loose = matches!(
                item,
                Item::Message(Message::Client(ClientMessage::Voucher(_) | ClientMessage::VoucherAck(_)))
            );
            let control = is_loose && !calm;
            let twice = control && decide.chance(Label::Shuffle, link.path.duplicate);
            let late = control && decide.chance(Label::Shuffle, link.path.delay);
            let path = link.path;
            let mut at = left + Self::latency(&path, decide);
            if late {
                at = at + Span(decide.between(Label::Shuffle, 0, 3_000_000));
            } else {
                // Strictly later: simultaneous events have no order.
                at = at.max(stream.arrival[side] + Span(1));
                stream.arrival[side] = at;
            }
            if twice {
                let again = at + Span(decide.between(Label::Shuffle, 0, 3_000_000));
                let slot = self.keep(Flying { link: id, end, index, item: item.clone(), stray: true });
                due(again, Due::Arrive(slot));
            }
            let slot = self.keep(Flying { link: id, end, index, item, stray: late });
            due(at, Due::Arrive(slot));
        }
    }

    /// Drops what an end has not sent yet on a stream; true if a `SendRange` among it has no answer.
    pub fn drop_unsent(&mut self, id: LinkId, end: u8, index: u32) {
        if let Some(stream) = self.link(id).stream(index) {
            stream.out[usize::from(end)].clear();
        }
        self.link(id).lines[usize::from(end)].ring.retain(|&waiting| waiting != index);
    }

    fn keep(&mut self, flying: Flying) -> u32 {
        match self.free.pop() {
            Some(slot) => {
                self.flying[slot as usize] = Some(flying);
                slot
            }
            None => {
                self.flying.push(Some(flying));
                self.flying.len() as u32 - 1
            }
        }
    }

    /// Takes an item out of the air.
    pub fn land(&mut self, slot: u32) -> Option<Flying> {
        let flying = self.flying.get_mut(slot as usize)?.take();
        if flying.is_some() {
            self.free.push(slot);
        }
        flying
    }

    /// What is in this slot of the air.
    pub fn flying(&self, slot: u32) -> Option<&Flying> {
        self.flying.get(slot as usize)?.as_ref()
    }

    /// How many items are in the air.
    pub fn in_flight(&self) -> usize {
        self.flying.len() - self.free.len()
    }
}

/// Cuts the next piece off a stream's queue: whole messages, content in chunks.
fn next_piece(queue: &mut VecDeque<Item>) -> Option<Item> {
    const PIECE: u64 = CHUNK_BYTES as u64;
    if let Some(Item::Content(range)) = queue.front_mut()
        && range.bytes > PIECE
    {
        let mut piece = range.clone();
        piece.bytes = PIECE;
        piece.last = false;
        range.offset += PIECE;
        range.bytes -= PIECE;
        let end = piece.offset + PIECE;
        if range.corrupt.is_some_and(|bad| bad < end) {
            range.corrupt = None;
        } else {
            piece.corrupt = None;
        }
        return Some(Item::Content(piece));
    }
    queue.pop_front()
}

/// What an item takes on the line, in bytes: the same on both rungs.
fn item_len(item: &Item) -> u64 {
    /// A parent of the hash tree per group, and a frame's header.
    const PER_GROUP: u64 = 64;
    const PER_CHUNK: u64 = 10;
    match item {
        Item::Message(message) => message.wire_len() as u64,
        Item::Content(content) => content.bytes + content.bytes.div_ceil(GROUP) * PER_GROUP + PER_CHUNK,
        Item::Fin | Item::Reset(_) => 8,
    }
}
