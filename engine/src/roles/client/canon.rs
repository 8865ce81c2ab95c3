//! The client's state as canonical bytes, for its digest.

use alloc::collections::BTreeMap;

use super::{Client, probe::Probe};
use crate::{
    ids::ConnId,
    machine::{follower::Follower, opener::Opener},
    state::{Canon, Canonical, Digest},
    wire::Protocol,
};

impl Client {
    pub(super) fn fold(&mut self) -> Digest {
        let Self { tally, closings, .. } = self;
        let channels =
            self.wallet.channels.fold(tally, |slot, channel, out| (channel, closings.get(slot)).canon(out));
        let streams = self.links.streams.fold(tally, |id, stream, out| (*id, stream).canon(out));
        let fetches = self.fetcher.fetches.fold(tally, |_, fetch, out| fetch.canon(out));
        if core::mem::take(&mut self.is_rest_dirty) {
            let rest = Rest(&self.follower, &self.opener, &self.probes, self.identity.is_proven());
            self.tally.fold(&mut self.rest, &rest);
        }
        self.tally.digest([channels, streams, fetches])
    }
}

struct Rest<'a>(&'a Follower, &'a Opener, &'a BTreeMap<ConnId, Probe>, bool);

impl Canon for Rest<'_> {
    fn canon(&self, out: &mut Canonical) {
        let Rest(follower, opener, probes, has_proof) = self;
        out.tag(b'R');
        follower.canon_for_client(*has_proof, out);
        for (conn, probe) in *probes {
            out.number(conn.0 | Protocol::Probe.canon());
            out.bytes(&probe.node.0);
        }
        opener.canon(out);
    }
}
