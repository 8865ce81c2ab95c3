//! Connections that peers made: one for each peer and protocol, the account that each has proved, and how many streams run on it
//! (W3, I3).

use alloc::collections::BTreeMap;

use super::Cx;
use crate::{
    fault::{LimitHit, Rule},
    ids::{Address, ConnId, NodeId},
    state::{Canon, Canonical, TrackedMap},
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
}

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
        self.conns.insert(conn, Conn { peer, protocol, account: None, streams: 0 });
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

    /// The peer has proved its account.
    pub fn prove(&mut self, conn: ConnId, account: Address) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.account = Some(account);
        }
    }

    /// A request has begun.
    pub fn begin_stream(&mut self, conn: ConnId) {
        if let Some(conn) = self.conns.get_mut(&conn) {
            conn.streams += 1;
        }
    }

    /// A request has ended, unless it did with its connection.
    pub fn end_stream(&mut self, conn: ConnId) {
        if let Some(conn) = self.conns.get_mut(&conn) {
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
