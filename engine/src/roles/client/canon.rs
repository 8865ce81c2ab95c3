//! The client's state as canonical bytes, for its digest.

use super::Client;
use crate::{
    machine::{follower::Follower, opener::Opener, orders::Orders, prober::Prober},
    state::{Canon, Canonical, Digest, Mark, Tally},
};

/// What the digest is made with, beside the tables' own shares.
#[derive(Clone, Debug)]
pub(in crate::roles) struct Prints {
    tally: Tally,
    /// The chain's view, the openings, the probes and the proof: one entry of the digest.
    pub(in crate::roles) is_rest_dirty: bool,
    rest: Mark,
}

impl Default for Prints {
    fn default() -> Self {
        Self { tally: Tally::default(), is_rest_dirty: true, rest: Mark::default() }
    }
}

impl Client {
    pub(in crate::roles) fn fold(&mut self) -> Digest {
        let Self { prints: Prints { tally, is_rest_dirty, rest }, closings, wallet, links, fetcher, .. } =
            self;
        let channels =
            wallet.channels.fold(tally, |slot, channel, out| (channel, closings.get(slot)).canon(out));
        let streams = links.streams.fold(tally, |id, stream, out| (*id, stream).canon(out));
        let fetches = fetcher.fetches.fold(tally, |_, fetch, out| fetch.canon(out));
        if core::mem::take(is_rest_dirty) {
            let (follower, has_proof) = (&self.follower, self.identity.is_proven());
            tally.fold(rest, &Rest(follower, &self.opener, &self.prober, &self.orders, has_proof));
        }
        tally.digest([channels, streams, fetches])
    }
}

struct Rest<'a>(&'a Follower, &'a Opener, &'a Prober, &'a Orders, bool);

impl Canon for Rest<'_> {
    fn canon(&self, out: &mut Canonical) {
        let Rest(follower, opener, prober, orders, has_proof) = self;
        out.tag(b'R');
        follower.canon_for_client(*has_proof, out);
        prober.canon(out);
        opener.canon(out);
        orders.canon(out);
    }
}
