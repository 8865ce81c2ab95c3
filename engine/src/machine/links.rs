//! Connections and streams of a role that dials: who is up, what each stream is for (W3, I3, V3).

mod check;

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use super::Cx;
use crate::{
    fault::{LimitHit, Rule},
    ids::{ConnId, FetchId, NodeId, StreamId},
    io::{Effect, Lane},
    money::Nonce,
    state::{Canon, Canonical, Slot, TrackedMap},
    time::Span,
    wire::{Code, Protocol, StreamRequest},
};

/// A node that is connected, or being dialled.
#[derive(Clone, Debug)]
struct Peer {
    conn: ConnId,
    is_up: bool,
    rtt: Span,
    next_stream: u32,
    /// Whether the node is known to have the proof of our account on this connection (I3): it has answered.
    /// Until then every request carries it, because streams overtake each other.
    is_proven: bool,
    /// Channels whose newest voucher was sent on this connection (V3).
    greeted: Vec<Slot>,
}

/// What a stream is for.
#[derive(Clone, Debug)]
pub enum Purpose {
    /// Content for a download.
    Content {
        /// Which.
        fetch: FetchId,
        /// The request that was sent.
        request: Box<StreamRequest>,
        /// The node's offer, once it has agreed.
        offer: u64,
        /// The first byte that is not verified.
        next: u64,
        /// Where the range ends, once the node has agreed.
        end: u64,
        /// Whether it has.
        is_agreed: bool,
        /// The voucher that pays for the last byte.
        paid_by: Option<Nonce>,
    },
    /// A cooperative close.
    Close,
}

/// One request and what follows on it.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The channel that pays, or is to be closed.
    pub channel: Slot,
    /// The node that was asked.
    pub node: NodeId,
    /// See [`Purpose`].
    pub purpose: Purpose,
}

impl Stream {
    /// Whether it brings content, or is asked to.
    pub fn is_content(&self) -> bool {
        matches!(self.purpose, Purpose::Content { .. })
    }

    /// The download it brings content for.
    pub fn fetch(&self) -> Option<FetchId> {
        match self.purpose {
            Purpose::Content { fetch, .. } => Some(fetch),
            Purpose::Close => None,
        }
    }

    /// Whether its last byte is verified and no voucher pays it yet.
    pub fn is_whole_unpaid(&self) -> bool {
        matches!(self.purpose, Purpose::Content { next, end, is_agreed: true, paid_by: None, .. } if next == end)
    }

    /// Whether a voucher pays its last byte, and the node has this one or a later.
    pub fn is_paid(&self, acked: Nonce) -> bool {
        matches!(self.purpose, Purpose::Content { paid_by: Some(nonce), .. } if nonce <= acked)
    }
}

/// A connection that has ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// To whom it was.
    pub node: NodeId,
    /// Whether it had come up.
    pub was_up: bool,
    /// The streams that ended with it.
    pub streams: Vec<StreamId>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Links {
    peers: BTreeMap<NodeId, Peer>,
    conns: BTreeMap<ConnId, NodeId>,
    /// Every stream of ours that has not ended.
    pub streams: TrackedMap<StreamId, Stream>,
}

impl Links {
    /// Connects to a node unless that has been done; false if there are too many connections.
    pub fn connect(&mut self, node: NodeId, most: usize, cx: &mut Cx<'_>) -> bool {
        if self.peers.contains_key(&node) {
            return true;
        }
        if self.conns.len() >= most {
            cx.out.limit(Rule::W3, LimitHit::Conns);
            return false;
        }
        let conn = cx.tools.conn();
        let peer = Peer {
            conn,
            is_up: false,
            rtt: Span::default(),
            next_stream: 0,
            is_proven: false,
            greeted: Vec::new(),
        };
        self.peers.insert(node, peer);
        let earlier = self.conns.insert(conn, node);
        assert!(earlier.is_none(), "a connection's number is given once");
        cx.out.push(Lane::Role, Effect::Connect { conn, peer: node, protocol: Protocol::Client });
        true
    }

    /// A dialled connection is up: to whom.
    pub fn on_up(&mut self, conn: ConnId, rtt: Span) -> Option<NodeId> {
        // It may have been hung up on meanwhile.
        let node = *self.conns.get(&conn)?;
        let peer = self.peers.get_mut(&node).expect("a connection has its peer");
        (peer.is_up, peer.rtt) = (true, rtt);
        Some(node)
    }

    /// A connection is gone. Its streams are still there: whoever used them ends each.
    pub fn on_gone(&mut self, conn: ConnId) -> Option<Ended> {
        // It may have been hung up on meanwhile.
        let node = *self.conns.get(&conn)?;
        let was_up = self.is_up(node);
        self.forget(node);
        Some(Ended { node, was_up, streams: self.on_conn(conn).collect() })
    }

    fn forget(&mut self, node: NodeId) -> ConnId {
        let gone = self.peers.remove(&node).expect("a connection has its peer");
        assert_eq!(self.conns.remove(&gone.conn), Some(node), "a peer has its connection");
        gone.conn
    }

    fn on_conn(&self, conn: ConnId) -> impl Iterator<Item = StreamId> {
        let (first, last) = (StreamId { conn, index: 0 }, StreamId { conn, index: u32::MAX });
        self.streams.range(first..=last).map(|(id, _)| *id)
    }

    /// Gives up a connection on which a node was silent and nothing else runs: if it is dead, the transport takes up
    /// to its idle timeout to notice, and the next attempt would be lost on it (D10).
    pub fn hang_up(&mut self, node: NodeId, cx: &mut Cx<'_>) {
        // Another stream's end may have hung up already.
        let Some(conn) = self.peers.get(&node).filter(|peer| peer.is_up).map(|peer| peer.conn) else {
            return;
        };
        if self.on_conn(conn).next().is_none() {
            self.forget(node);
            cx.out.disconnect(conn, Code::NotNow);
        }
    }

    /// Hangs up on all nodes that have no stream and that nobody wants (O11).
    pub fn leave(&mut self, is_wanted: impl Fn(&NodeId) -> bool, cx: &mut Cx<'_>) {
        let is_used =
            |node: &NodeId| self.streams.values().any(|stream| stream.node == *node) || is_wanted(node);
        let idle: Vec<NodeId> = self.conns.values().filter(|node| !is_used(node)).copied().collect();
        for node in idle {
            let conn = self.forget(node);
            cx.out.disconnect(conn, Code::NotNow);
        }
    }

    /// Whether a node can be talked to.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.is_up)
    }

    /// The round trip to a node, as far as it is known.
    pub fn rtt(&self, node: NodeId) -> Span {
        self.peers.get(&node).map_or(Span::default(), |peer| peer.rtt)
    }

    /// The next stream to a node, and whether the first message on it has to prove our account (I3). `None` where
    /// there is no connection.
    pub fn next_stream(&mut self, node: NodeId) -> Option<(StreamId, bool)> {
        let peer = self.peers.get_mut(&node)?;
        assert!(peer.is_up, "a stream runs on a connection that is up (W3)");
        let stream = StreamId { conn: peer.conn, index: peer.next_stream };
        peer.next_stream += 1;
        Some((stream, !peer.is_proven))
    }

    /// The node has answered on this stream: it has our proof.
    pub fn on_answer(&mut self, stream: StreamId) {
        let node = self.streams.get(&stream).expect("an answer comes on a stream of ours").node;
        let peer = self.peers.get_mut(&node).expect("a stream runs on its node's connection");
        peer.is_proven = true;
    }

    /// Whether a channel's newest voucher was sent on the present connection (V3).
    pub fn is_greeted(&self, node: NodeId, channel: Slot) -> bool {
        self.peers.get(&node).is_some_and(|peer| peer.greeted.contains(&channel))
    }

    /// It is sent now.
    pub fn greet(&mut self, node: NodeId, channel: Slot) {
        let peer = self.peers.get_mut(&node).expect("a node is greeted on its connection");
        assert!(peer.is_up, "a node is greeted on a connection that is up");
        if !peer.greeted.contains(&channel) {
            peer.greeted.push(channel);
        }
    }

    /// A channel is gone.
    pub fn forget_channel(&mut self, node: NodeId, channel: Slot) {
        // Its node need not be connected.
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.greeted.retain(|other| *other != channel);
        }
    }

    /// Connections, up or on their way, with the nodes that they lead to.
    pub fn conns(&self) -> impl Iterator<Item = (ConnId, NodeId)> {
        self.conns.iter().map(|(conn, node)| (*conn, *node))
    }

    /// Channels that were greeted, with the nodes.
    pub fn greeted(&self) -> impl Iterator<Item = (NodeId, Slot)> {
        self.peers.iter().flat_map(|(node, peer)| peer.greeted.iter().map(|slot| (*node, *slot)))
    }

    /// Connections, up or on their way, and the most channels that were greeted on one.
    pub fn counts(&self) -> (usize, usize) {
        (self.conns.len(), self.peers.values().map(|peer| peer.greeted.len()).max().unwrap_or(0))
    }
}

impl Canon for (StreamId, &Stream) {
    fn canon(&self, out: &mut Canonical) {
        let (id, stream) = self;
        out.tag(b'S');
        out.number(id.conn.0);
        out.number(u64::from(id.index));
        match &stream.purpose {
            Purpose::Close => out.tag(0),
            Purpose::Content { fetch, offer, next, end, is_agreed, paid_by, .. } => {
                out.tag(1 + u8::from(*is_agreed));
                for number in [fetch.0, *offer, *next, *end, paid_by.map_or(0, |nonce| nonce.0)] {
                    out.number(number);
                }
            }
        }
    }
}
