//! Asking nodes for their price before money moves (section 3, P6, D1): one connection for each question, and one question at a
//! time with a node (W3).

use alloc::collections::BTreeMap;

use super::Cx;
use crate::{
    crypto::{Crypto, Deployment, ProbeResponseTerms, Signature, Typed},
    fault::{LimitHit, Proof, Rule},
    ids::{Address, ConnId, FetchId, NodeId, StreamId},
    io::{Effect, Gone, Lane},
    limits::BLOB_BYTES_MAX,
    money::{Amount, Rate},
    state::{Broken, Canonical, Checked, Invariant, holds},
    time::WallTime,
    wire::{Code, ProbeMessage, ProbeRequest, ProbeResponse, Protocol},
};

/// A question under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Probe {
    /// Who is asked.
    pub node: NodeId,
    /// For which download.
    pub fetch: FetchId,
    /// What was asked, once the connection is up.
    asked: Option<ProbeRequest>,
}

/// What an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The node has the blob, and charges this at most.
    Quote {
        /// Per MB.
        rate: Rate,
        /// When it was asked.
        timestamp: WallTime,
        /// Its signature.
        signature: Signature,
        /// The blob's size: unsigned.
        total_bytes: Option<u64>,
        /// What a channel has to hold at least: unsigned (V4).
        least_deposit: Amount,
    },
    /// It has not, or does not sell it for this token.
    NotSold,
    /// It counts for nothing: not signed by the candidate's account, or with a rate that is none.
    Worthless,
}

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failed {
    /// Not now.
    Later,
    /// Nobody there, silence, or an end without an answer.
    Silent,
    /// What it says is none of the protocol.
    Never,
}

impl From<Code> for Failed {
    fn from(code: Code) -> Self {
        match code {
            Code::NotNow | Code::ChannelPending => Self::Later,
            Code::Malformed | Code::Unsupported | Code::TooLarge => Self::Never,
            Code::Other(_) => Self::Silent,
        }
    }
}

/// Questions under way, by their connections, which are for nothing else.
#[derive(Clone, Debug, Default)]
pub struct Prober {
    probes: BTreeMap<ConnId, Probe>,
}

impl Prober {
    /// How many are under way.
    pub fn len(&self) -> usize {
        self.probes.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.probes.is_empty()
    }

    /// The question on a connection, if it is for one.
    pub fn get(&self, conn: ConnId) -> Option<&Probe> {
        self.probes.get(&conn)
    }

    /// Whether a node is being asked: its answer will move along whoever waits for it.
    pub fn is_asking(&self, node: NodeId) -> bool {
        self.probes.values().any(|probe| probe.node == node)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (ConnId, &Probe)> {
        self.probes.iter().map(|(conn, probe)| (*conn, probe))
    }

    /// What holds of questions.
    pub const INVARIANTS: &'static [Invariant<Self>] =
        &[Invariant::of("one question at a time with a node", Self::are_apart)];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn are_apart(&self) -> Checked {
        for (conn, probe) in &self.probes {
            let mut earlier = self.probes.range(..conn).map(|(_, probe)| probe.node);
            holds!(!earlier.any(|node| node == probe.node), "{conn:?}, {:?}", probe.node);
        }
        Ok(())
    }

    /// Begins to ask a node; `None` if too many are being asked. There may be as many as there may be other connections: an open
    /// channel that is idle must not keep a price from being asked.
    pub fn ask(&mut self, node: NodeId, fetch: FetchId, most: usize, cx: &mut Cx<'_>) -> Option<ConnId> {
        assert!(!self.is_asking(node), "one question at a time with a node (W3)");
        if self.probes.len() >= most {
            cx.out.limit(Rule::W3, LimitHit::Conns);
            return None;
        }
        let conn = cx.tools.conn();
        self.probes.insert(conn, Probe { node, fetch, asked: None });
        cx.out.push(Lane::Role, Effect::Connect { conn, peer: node, protocol: Protocol::Probe });
        Some(conn)
    }

    /// The connection is up: the question goes out.
    pub fn on_up(&mut self, conn: ConnId, request: ProbeRequest, cx: &mut Cx<'_>) {
        let probe = self.probes.get_mut(&conn).expect("a connection for a question has one");
        probe.asked = Some(request);
        cx.out.send(Lane::Role, StreamId { conn, index: 0 }, ProbeMessage::Request(request));
    }

    /// P6: an answer counts if the candidate's account signed it for what was asked, at a sane rate.
    pub fn on_response<C: Crypto>(
        &self,
        id: StreamId,
        response: ProbeResponse,
        (deployment, operator, most): (&Deployment, Address, Rate),
        crypto: &C,
        cx: &mut Cx<'_>,
    ) -> Option<Answer> {
        let Probe { node, asked, .. } = *self.probes.get(&id.conn).expect("an answer is to a question");
        // Nothing was asked yet: no answer to anything.
        let asked = asked?;
        let ProbeResponse { has_blob, rate, total_bytes, signature, least_deposit } = response;
        let terms = ProbeResponseTerms {
            node,
            hash: asked.hash,
            has_blob,
            token: asked.token,
            rate,
            requester: asked.requester,
            timestamp: asked.timestamp,
        };
        let is_whole =
            (!has_blob || rate.is_sane(most)) && total_bytes.is_none_or(|bytes| bytes <= BLOB_BYTES_MAX);
        let what = Typed::ProbeResponse(terms);
        if !is_whole || !crypto.verify(deployment, &what, &signature, operator) {
            cx.out.breach(node, Rule::P6, Proof::Message(id));
            return Some(Answer::Worthless);
        }
        if !has_blob {
            return Some(Answer::NotSold);
        }
        Some(Answer::Quote { rate, timestamp: asked.timestamp, signature, total_bytes, least_deposit })
    }

    /// A question's connection is gone before its answer.
    pub fn on_lost(&mut self, conn: ConnId, why: Gone, cx: &mut Cx<'_>) -> (Probe, Failed) {
        let probe = self.probes.remove(&conn).expect("a connection for a question has one");
        let rule = if why == Gone::WrongPeer { Rule::I3 } else { Rule::D10 };
        cx.out.unattributed(probe.node, rule);
        let failed = match why {
            Gone::Closed(code) => code.into(),
            Gone::Unreachable | Gone::WrongPeer | Gone::Lost => Failed::Silent,
        };
        (probe, failed)
    }

    /// Hangs up: the question is answered, or has failed.
    pub fn end(&mut self, conn: ConnId, cx: &mut Cx<'_>) -> Option<Probe> {
        let probe = self.probes.remove(&conn)?;
        cx.out.disconnect(conn, Code::NotNow);
        Some(probe)
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for (conn, probe) in &self.probes {
            out.number(conn.0 | Protocol::Probe.canon());
            out.bytes(&probe.node.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Case, each_fails};

    fn asking() -> Prober {
        let probe = |n| Probe { node: NodeId([n; 32]), fetch: FetchId(1), asked: None };
        Prober { probes: BTreeMap::from([(ConnId(1), probe(1)), (ConnId(2), probe(2))]) }
    }

    #[test]
    fn each_invariant_of_questions_can_fail() {
        let case: Case<Prober> = ("one question at a time with a node", asking, |it| {
            it.probes.values_mut().for_each(|probe| probe.node = NodeId([1; 32]));
        });
        each_fails(Prober::INVARIANTS, &[case], |prober| assert!(prober.check().is_err()));
    }
}
