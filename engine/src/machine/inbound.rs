//! Connections that peers made: one for each peer and protocol, the account that each has proved, and how many streams run on it
//! (W3, I3).

use alloc::collections::{BTreeMap, BTreeSet};

use super::Cx;
use crate::{
    fault::{LimitHit, Rule},
    ids::{Address, ConnId, NodeId, StreamId},
    state::{Broken, Canon, Canonical, Checked, Invariant, TrackedMap, holds},
    wire::{Code, Protocol},
};

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Who made it.
    pub peer: NodeId,
    /// What it speaks.
    pub protocol: Protocol,
    /// The account it proved (I3).
    pub account: Option<Address>,
    /// Requests on it that have not ended.
    pub streams: u32,
    /// Streams of it that were refused, or are over, the last ones: what still comes on them is late, and no new request.
    given_up: BTreeSet<u32>,
}

/// So many of them are remembered: more than can be on their way at once (W3).
const GIVEN_UP: usize = 128;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Inbound {
    /// All that are up.
    pub conns: TrackedMap<ConnId, Conn>,
    by_peer: BTreeMap<(NodeId, Protocol), ConnId>,
}

impl Inbound {
    /// The connection that a peer had before it made another: it has lost the old one.
    pub fn older(&self, peer: NodeId, protocol: Protocol) -> Option<ConnId> {
        self.by_peer.get(&(peer, protocol)).copied()
    }

    /// A connection is up; it is ended where there are too many.
    pub fn on_up(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol, most: usize, cx: &mut Cx<'_>) {
        if self.conns.len() >= most {
            cx.out.limit(Rule::W3, LimitHit::Conns);
            return cx.out.disconnect(conn, Code::NotNow);
        }
        let older = self.by_peer.insert((peer, protocol), conn);
        assert!(older.is_none(), "the older connection was ended");
        let given_up = BTreeSet::new();
        self.conns.insert(conn, Conn { peer, protocol, account: None, streams: 0, given_up });
        assert_eq!(self.conns.len(), self.by_peer.len(), "a connection's number is used once");
    }

    /// A connection is gone. `false` if it was none.
    pub fn on_gone(&mut self, conn: ConnId) -> bool {
        let Some(gone) = self.conns.remove(&conn) else { return false };
        let by = (gone.peer, gone.protocol);
        assert_eq!(self.by_peer.remove(&by), Some(conn), "a peer has one connection for each protocol");
        true
    }

    /// A connection.
    pub fn get(&self, conn: ConnId) -> Option<&Conn> {
        self.conns.get(&conn)
    }

    /// What holds of connections that peers made.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie("a connection is found by its peer", Self::are_found_by_peer),
        Invariant::tie("a peer leads to a connection", Self::are_peers_connected),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        self.conns.check()?;
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn are_found_by_peer(&self) -> Checked {
        for (id, conn) in self.conns.iter() {
            let found = self.by_peer.get(&(conn.peer, conn.protocol));
            holds!(found == Some(id), "{id:?}, {:?} with {found:?}", conn.peer);
        }
        Ok(())
    }

    fn are_peers_connected(&self) -> Checked {
        let (peers, conns) = (self.by_peer.len(), self.conns.len());
        holds!(peers == conns, "{peers} peers, {conns} connections");
        Ok(())
    }

    /// The peer has proved its account.
    pub fn prove(&mut self, conn: ConnId, account: Address) {
        let conn = self.conns.get_mut(&conn).expect("a proof comes on a connection");
        conn.account = Some(account);
    }

    /// A stream is reset from here, or not answered.
    pub fn give_up(&mut self, stream: StreamId) {
        if let Some(conn) = self.conns.quiet_mut(&stream.conn) {
            conn.given_up.insert(stream.index);
            if conn.given_up.len() > GIVEN_UP {
                conn.given_up.pop_first();
            }
            assert!(conn.given_up.len() <= GIVEN_UP, "what is remembered of a connection is bounded (O11)");
        }
    }

    /// Whether a stream was.
    pub fn has_given_up(&self, stream: StreamId) -> bool {
        self.get(stream.conn).is_some_and(|conn| conn.given_up.contains(&stream.index))
    }

    /// A request has begun.
    pub fn begin_stream(&mut self, conn: ConnId) {
        let conn = self.conns.quiet_mut(&conn).expect("a request comes on a connection");
        conn.streams += 1;
    }

    /// A request has ended, unless it did with its connection.
    pub fn end_stream(&mut self, conn: ConnId) {
        if let Some(conn) = self.conns.quiet_mut(&conn) {
            assert!(conn.streams > 0, "a stream ends once");
            conn.streams -= 1;
        }
    }
}

impl Canon for (ConnId, &Conn) {
    fn canon(&self, out: &mut Canonical) {
        let (id, conn) = self;
        out.tag(b'n');
        out.number(id.0 | conn.protocol.canon());
        out.bytes(&conn.peer.0);
        out.bytes(conn.account.unwrap_or_default().as_slice());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Case, each_fails};

    fn connected() -> Inbound {
        let mut inbound = Inbound::default();
        let (mut tools, mut out) = (super::super::Tools::default(), crate::io::Outputs::new());
        let cx = &mut Cx { now: crate::time::Now::default(), tools: &mut tools, out: &mut out };
        inbound.on_up(ConnId(1), NodeId([1; 32]), Protocol::Client, 9, cx);
        inbound
    }

    #[test]
    fn each_invariant_of_connections_that_peers_made_can_fail() {
        let cases: [Case<Inbound>; 2] = [
            ("a connection is found by its peer", connected, |it| it.by_peer.clear()),
            ("a peer leads to a connection", connected, |it| _ = it.conns.remove(&ConnId(1))),
        ];
        each_fails(Inbound::INVARIANTS, &cases, |inbound| assert!(inbound.check().is_err()));
    }
}
