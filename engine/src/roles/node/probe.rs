//! Answering probes: whether there is a blob, and for how much (section 3).
//!
//! A positive answer is a quote, and nothing is kept of it: whoever presents it later shows our own signature (E5).

use super::{Node, Signing};
use crate::{
    crypto::{Crypto, ProbeResponseTerms, Quote, Signature, Typed},
    fault::{LimitHit, Rule},
    ids::{Address, StreamId},
    io::{Effect, Lane, Outputs},
    limits::{CLOCK_TOLERANCE, PROBE_WINDOW},
    money::{Amount, Rate},
    time::Now,
    wire::{Code, ProbeMessage, ProbeRequest, ProbeResponse, StreamRequest},
};

impl Node {
    pub(super) fn on_probe(&mut self, now: Now, id: StreamId, request: ProbeRequest, out: &mut Outputs) {
        let cap = self.config.limits.conns;
        let conn = self.inbound.get(id.conn).expect("a question comes on a connection");
        let peer = conn.peer;
        if conn.streams >= conn.protocol.streams() {
            out.limit(Rule::W3, LimitHit::StreamsPerConn);
            return self.refuse(id, Code::NotNow, out);
        }
        self.prints.are_quotes_dirty = true;
        if !self.quotes.take(now, peer, cap) {
            out.limit(Rule::P5, LimitHit::Probes);
            return self.refuse(id, Code::NotNow, out);
        }
        if self.is_signing_enough() {
            out.limit(Rule::O11, LimitHit::Signatures);
            return self.refuse(id, Code::NotNow, out);
        }
        if request.timestamp.distance(now.wall) > CLOCK_TOLERANCE {
            out.unattributed(peer, Rule::P2);
            return self.refuse(id, Code::Malformed, out);
        }
        if request.requester == Address::ZERO {
            return self.malformed(id, Rule::P2, out);
        }
        if !self.may_extend_credit(now) {
            // Nothing would be served: no promise (W4).
            return self.refuse(id, Code::NotNow, out);
        }
        let blob = self.sending.blobs.get(&request.hash).copied();
        let size = blob.filter(|bytes| *bytes <= self.config.max_blob_size);
        let sold = size.zip(self.rate_for(request.token));
        let terms = ProbeResponseTerms {
            node: self.config.node,
            hash: request.hash,
            has_blob: sold.is_some(),
            token: request.token,
            rate: sold.map_or(Rate(0), |(_, rate)| rate),
            requester: request.requester,
            timestamp: request.timestamp,
        };
        self.inbound.begin_stream(id.conn);
        let total_bytes = sold.map(|(bytes, _)| bytes);
        let least_deposit =
            sold.and(self.config.terms(request.token)).map_or(Amount::ZERO, |it| it.least_deposit);
        let purpose = Signing::Probe { stream: id, rate: terms.rate, total_bytes, least_deposit };
        self.sign(Lane::Stream(id), Typed::ProbeResponse(terms), purpose, out);
    }

    pub(super) fn on_probe_signed(
        &mut self,
        stream: StreamId,
        (rate, total_bytes, least_deposit): (Rate, Option<u64>, Amount),
        signature: Option<Signature>,
        out: &mut Outputs,
    ) {
        // Late: the peer has left.
        if self.inbound.get(stream.conn).is_none() {
            return;
        }
        self.inbound.end_stream(stream.conn);
        let Some(signature) = signature else { return self.refuse(stream, Code::NotNow, out) };
        let has_blob = total_bytes.is_some();
        let response = ProbeResponse { has_blob, rate, total_bytes, signature, least_deposit };
        let lane = Lane::Stream(stream);
        out.send(lane, stream, ProbeMessage::Response(response));
        out.push(lane, Effect::Finish { stream });
    }

    pub(super) fn rate_for(&self, token: Address) -> Option<Rate> {
        self.config.terms(token).map(|terms| terms.rate)
    }

    /// E5: whether a presented quote is our own, for this blob, token and requester, and not older than it may be.
    pub(super) fn is_own_quote<C: Crypto>(&self, request: &StreamRequest, quote: &Quote, crypto: &C) -> bool {
        let is_in_time = quote.timestamp <= request.timestamp
            && request.timestamp.since(quote.timestamp) < PROBE_WINDOW
            && quote.rate.is_sane(self.config.rate_max(request.token));
        let what = Typed::ProbeResponse(ProbeResponseTerms::presented(self.config.node, request, quote));
        is_in_time && crypto.verify(&self.deployment(), &what, &quote.signature, self.config.account)
    }
}
