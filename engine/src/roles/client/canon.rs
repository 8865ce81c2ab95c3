//! The client's state as canonical bytes, for its digest.

use alloc::collections::{BTreeMap, VecDeque};

use super::{
    Client, Fetch, Opening, OpeningStep, Stage,
    probe::{Price, Probe},
};
use crate::{
    ids::ConnId,
    machine::follower::Follower,
    state::{Canon, Canonical, Digest},
};

impl Client {
    pub(super) fn fold(&mut self) -> Digest {
        let Self { tally, closings, .. } = self;
        let channels =
            self.wallet.channels.fold(tally, |slot, channel, out| (channel, closings.get(slot)).canon(out));
        let streams = self.links.streams.fold(tally, |id, stream, out| (*id, stream).canon(out));
        let fetches = self.fetches.fold(tally, |_, fetch, out| fetch.canon(out));
        if core::mem::take(&mut self.is_rest_dirty) {
            let rest = Rest(&self.follower, &self.openings, &self.probes, self.identity.is_proven());
            self.tally.fold(&mut self.rest, &rest);
        }
        self.tally.digest([channels, streams, fetches])
    }
}

struct Rest<'a>(&'a Follower, &'a VecDeque<Opening>, &'a BTreeMap<ConnId, Probe>, bool);

impl Canon for Rest<'_> {
    fn canon(&self, out: &mut Canonical) {
        let Rest(follower, openings, probes, has_proof) = self;
        out.tag(b'R');
        follower.canon_for_client(*has_proof, out);
        for (conn, probe) in *probes {
            out.number(conn.0);
            out.bytes(&probe.node.0);
        }
        for opening in *openings {
            let (step, ticket) = match opening.step {
                OpeningStep::Queued => (0, 0),
                OpeningStep::Approving(ticket) => (1, ticket.0),
                OpeningStep::Opening(ticket) => (2, ticket.0),
                OpeningStep::Included(block) => (3, block),
            };
            out.bytes(&opening.node.0);
            out.bytes(opening.token.as_slice());
            out.large(opening.deposit.0);
            out.tag(step);
            out.number(ticket);
        }
    }
}

impl Canon for Fetch {
    fn canon(&self, out: &mut Canonical) {
        out.tag(b'F');
        let stage = match self.stage {
            Stage::Waiting => 0,
            Stage::Requested(_) => 1,
            Stage::Streaming(_) => 2,
            Stage::Paying(_) => 3,
            Stage::BackingOff => 4,
            Stage::Probing(_) => 5,
        };
        out.tag(stage);
        for price in &self.prices {
            match price {
                Price::Unasked => out.tag(0),
                Price::Due => out.tag(1),
                Price::Quoted(quote) => {
                    out.tag(2);
                    out.number(quote.rate.0);
                    out.number(quote.timestamp.0);
                }
            }
        }
        out.tag(self.refusals);
        for number in
            [self.order.id.0, self.verified, self.total.map_or(0, |total| total + 1), self.current as u64]
        {
            out.number(number);
        }
        out.bytes(&self.tries);
    }
}
