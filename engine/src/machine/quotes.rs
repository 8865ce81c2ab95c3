//! How often prices are asked for and answered (P5). A positive answer is a quote, and nothing is kept of it: whoever
//! presents it later shows our own signature (E5).

use alloc::collections::BTreeMap;

use crate::{
    ids::NodeId,
    limits::{PROBES, PROBES_PER_NODE},
    state::{Bucket, Canon, Canonical},
    time::Now,
};

/// The rate limiter of probes.
#[derive(Clone, Debug, Default)]
pub struct Quotes {
    all: Bucket,
    /// Buckets that are not full: whoever isn't listed has asked nothing for a second.
    by_node: BTreeMap<NodeId, Bucket>,
}

impl Quotes {
    /// How many nodes have asked within a second.
    pub fn len(&self) -> usize {
        self.by_node.len()
    }

    /// Whether none has.
    pub fn is_empty(&self) -> bool {
        self.by_node.is_empty()
    }

    /// Whether one more may be answered, to this node; `most` nodes are listed. Whoever asks too often takes nothing from the
    /// others.
    pub fn take(&mut self, now: Now, peer: NodeId, most: usize) -> bool {
        let Some(all) = self.all.less_one(now.mono, PROBES) else { return false };
        if self.by_node.len() >= most && !self.by_node.contains_key(&peer) {
            self.by_node.retain(|_, bucket| bucket.full_at > now.mono);
            if self.by_node.len() >= most {
                return false;
            }
        }
        let is_there = self.by_node.entry(peer).or_default().take(now.mono, PROBES_PER_NODE);
        assert!(self.by_node.len() <= most, "nodes beyond the table get no answer (O11)");
        if is_there {
            self.all = all;
        }
        is_there
    }
}

impl Canon for Quotes {
    fn canon(&self, out: &mut Canonical) {
        out.tag(b'q');
        out.number(self.all.full_at.0);
        for (peer, bucket) in &self.by_node {
            out.bytes(&peer.0);
            out.number(bucket.full_at.0);
        }
    }
}
