//! What may still be fed: nothing about a connection or stream after its end, no answer that was not asked for.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    ids::{ConnId, StreamId},
    io::{Gone, Input},
    wire::Code,
};

use crate::ports::ACCEPTED;

#[derive(Default)]
pub(crate) struct Live {
    conns: BTreeMap<ConnId, Conn>,
}

#[derive(Default)]
struct Conn {
    up: bool,
    closed: Closed,
    /// `SendRange`s without an answer, per stream.
    ranges: BTreeMap<u32, u32>,
}

/// Indexes of closed streams: all below a mark, and some above.
#[derive(Default)]
struct Closed {
    below: u32,
    above: BTreeSet<u32>,
}

impl Closed {
    fn contains(&self, index: u32) -> bool {
        index < self.below || self.above.contains(&index)
    }

    fn insert(&mut self, index: u32) {
        self.above.insert(index);
        while self.above.remove(&self.below) {
            self.below += 1;
        }
    }
}

impl Live {
    /// The engine dials. False if the number is in use.
    pub(crate) fn dial(&mut self, conn: ConnId) -> bool {
        let fresh = conn.0 & ACCEPTED == 0 && !self.conns.contains_key(&conn);
        if fresh {
            self.conns.insert(conn, Conn::default());
        }
        fresh
    }

    /// The engine closes a connection. What it has to be told where the dial was not answered yet.
    pub(crate) fn hang_up(&mut self, conn: ConnId, code: Code) -> Option<Input> {
        let gone = self.conns.remove(&conn)?;
        (!gone.up).then_some(Input::Disconnected { conn, why: Gone::Closed(code) })
    }

    /// The engine resets a stream.
    pub(crate) fn reset(&mut self, stream: StreamId) {
        self.close(stream);
    }

    /// The engine sends content. False if the stream is gone.
    pub(crate) fn send_range(&mut self, stream: StreamId) -> bool {
        match self.conns.get_mut(&stream.conn) {
            Some(conn) if !conn.closed.contains(stream.index) => {
                *conn.ranges.entry(stream.index).or_default() += 1;
                true
            }
            _ => false,
        }
    }

    fn close(&mut self, stream: StreamId) {
        if let Some(conn) = self.conns.get_mut(&stream.conn) {
            conn.closed.insert(stream.index);
            conn.ranges.remove(&stream.index);
        }
    }

    /// Whether the engine may hear this; takes note of it if so.
    pub(crate) fn admit(&mut self, input: &Input) -> bool {
        match input {
            Input::Connected { conn, .. } => match self.conns.get_mut(conn) {
                Some(known) => !std::mem::replace(&mut known.up, true),
                None if conn.0 & ACCEPTED != 0 => {
                    self.conns.insert(*conn, Conn { up: true, ..Conn::default() });
                    true
                }
                None => false,
            },
            Input::Disconnected { conn, .. } => self.conns.remove(conn).is_some(),
            Input::Message { stream, .. }
            | Input::Malformed { stream, .. }
            | Input::Verdict { stream, .. } => self.is_open(*stream),
            Input::StreamClosed { stream, .. } => {
                let open = self.is_open(*stream);
                self.close(*stream);
                open
            }
            Input::RangeSent { stream } | Input::RangeFailed { stream } => {
                let Some(conn) = self.conns.get_mut(&stream.conn) else { return false };
                let Some(unanswered) = conn.ranges.get_mut(&stream.index) else { return false };
                *unanswered -= 1;
                if *unanswered == 0 {
                    conn.ranges.remove(&stream.index);
                }
                true
            }
            _ => true,
        }
    }

    fn is_open(&self, stream: StreamId) -> bool {
        self.conns.get(&stream.conn).is_some_and(|conn| conn.up && !conn.closed.contains(stream.index))
    }
}
