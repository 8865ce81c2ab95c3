//! What holds of connections and streams between two steps.

use super::{Links, Peer};
use crate::state::{Broken, Checked, Invariant, holds};

impl Links {
    /// Of connections, nodes and streams.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie("a connection belongs to the node that it leads to", Self::lead_to_nodes),
        Invariant::tie("a node's connection is known", Self::are_nodes_connected),
        Invariant::of("a node is greeted on a connection that is up", Self::are_greeted_up),
        Invariant::tie("a stream runs on its node's connection, which is up", Self::are_streams_connected),
        Invariant::tie("a stream's place on its connection was given out", Self::were_streams_opened),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold, or of what does of its tables.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        self.streams.check()?;
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn lead_to_nodes(&self) -> Checked {
        for (conn, node) in &self.conns {
            let of_it = self.peers.get(node).map(|peer| peer.conn);
            holds!(of_it == Some(*conn), "{conn:?}, {node:?} with {of_it:?}");
        }
        Ok(())
    }

    fn are_nodes_connected(&self) -> Checked {
        for (node, peer) in &self.peers {
            holds!(self.conns.get(&peer.conn) == Some(node), "{node:?}, {:?}", peer.conn);
        }
        Ok(())
    }

    fn are_greeted_up(&self) -> Checked {
        for (node, peer) in &self.peers {
            holds!(peer.is_up || peer.greeted.is_empty() && !peer.is_proven, "{node:?}");
        }
        Ok(())
    }

    fn are_streams_connected(&self) -> Checked {
        for (id, stream) in self.streams.iter() {
            let is_on = |peer: &Peer| peer.is_up && peer.conn == id.conn;
            holds!(self.peers.get(&stream.node).is_some_and(is_on), "{id:?}, {:?}", stream.node);
        }
        Ok(())
    }

    fn were_streams_opened(&self) -> Checked {
        for (id, stream) in self.streams.iter() {
            let next = self.peers.get(&stream.node).map_or(0, |peer| peer.next_stream);
            holds!(id.index < next, "{id:?}, the next is {next}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Cx, Purpose, Stream},
        *,
    };
    use crate::{
        ids::{ConnId, NodeId, StreamId},
        io::Outputs,
        machine::Tools,
        state::{Case, Slab, each_fails},
        time::{Now, Span},
    };

    const NODE: NodeId = NodeId([1; 32]);

    /// A node is up, and asked on a stream for its consent.
    fn asking() -> Links {
        let (mut tools, mut out) = (Tools::default(), Outputs::new());
        let cx = &mut Cx { now: Now::default(), tools: &mut tools, out: &mut out };
        let mut links = Links::default();
        links.connect(NODE, 9, cx);
        links.on_up(ConnId(0), Span(1));
        let (stream, _) = links.next_stream(NODE).expect("connected");
        let channel = Slab::default().insert(());
        links.greet(NODE, channel);
        links.streams.insert(stream, Stream { channel, node: NODE, purpose: Purpose::Close });
        links
    }

    fn peer(links: &mut Links) -> &mut Peer {
        links.peers.get_mut(&NODE).expect("the node")
    }

    #[test]
    fn each_invariant_of_links_can_fail() {
        let cases: [Case<Links>; 5] = [
            ("a connection belongs to the node that it leads to", asking, |it| peer(it).conn = ConnId(1)),
            ("a node's connection is known", asking, |it| it.conns.clear()),
            ("a node is greeted on a connection that is up", asking, |it| peer(it).is_up = false),
            ("a stream runs on its node's connection, which is up", asking, |it| {
                let close = it.streams.values().next().cloned().expect("a stream");
                it.streams.insert(StreamId { conn: ConnId(7), index: 0 }, close);
            }),
            ("a stream's place on its connection was given out", asking, |it| peer(it).next_stream = 0),
        ];
        each_fails(Links::INVARIANTS, &cases, |links| assert!(links.check().is_err()));
    }
}
