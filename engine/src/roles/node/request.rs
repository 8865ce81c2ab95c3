//! Answering a stream request: who asks, on which channel, for what, at which price (I3, P2, V4, V6, D1, D2).

use super::{Node, Signing};
use crate::{
    crypto::{Crypto, Signature, StreamError, StreamResponseTerms, Typed},
    delivery::Tail,
    fault::{LimitHit, Rule},
    ids::{Address, BlobHash, NodeId, StreamId},
    io::{Effect, Lane, Outputs},
    limits::{CLOCK_TOLERANCE, GROUP},
    machine::sending::{Stream, StreamState},
    money::{Amount, Rate},
    record::ChannelStatus,
    state::Slot,
    time::Now,
    wire::{Auth, ClientMessage, Code, StreamRequest, StreamResponse},
};

/// An agreed range, widened to whole groups (D5).
struct Agreed {
    rate: Rate,
    total_bytes: u64,
    start: u64,
    end: u64,
}

impl Node {
    pub(super) fn on_request<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        request: StreamRequest,
        crypto: &C,
        out: &mut Outputs,
    ) {
        if self.sending.streams.contains_key(&id) {
            return self.malformed(id, Rule::W3, out);
        }
        if request.timestamp.distance(now.wall) > CLOCK_TOLERANCE {
            // Either clock may be the wrong one: refused as malformed, but nobody's proven doing.
            let peer = self.inbound.conns[&id.conn].peer;
            out.unattributed(peer, Rule::P2);
            return self.refuse(id, Code::Malformed, out);
        }
        if request.requester == Address::ZERO {
            return self.malformed(id, Rule::P2, out);
        }
        if !request.offset_bytes.is_multiple_of(GROUP) {
            return self.malformed(id, Rule::D5, out);
        }
        if let Some(auth) = request.auth
            && !self.take_auth(id, auth, crypto)
        {
            return self.malformed(id, Rule::I3, out);
        }
        let conn = &self.inbound.conns[&id.conn];
        if conn.account != Some(request.requester) {
            return self.malformed(id, Rule::I3, out);
        }
        if request.quote.is_some_and(|quote| !self.is_own_quote(&request, &quote, crypto)) {
            return self.malformed(id, Rule::E5, out);
        }
        let conn = &self.inbound.conns[&id.conn];
        if conn.streams >= self.config.limits.streams_per_conn.min(conn.protocol.streams()) {
            out.limit(Rule::W3, LimitHit::StreamsPerConn);
            return self.refuse(id, Code::NotNow, out);
        }
        if self.is_signing_enough() {
            out.limit(Rule::O11, LimitHit::Signatures);
            return self.refuse(id, Code::NotNow, out);
        }
        let Some(slot) = self.open_slot(&request.channel, Some(request.requester), out) else {
            // Perhaps it was opened a moment ago: look, and let the client come again (V6).
            self.poll(now, out);
            return self.refuse(id, Code::ChannelPending, out);
        };
        let channel = &self.earnings.channels[slot];
        if channel.client != request.requester || channel.token != request.token {
            return self.malformed(id, Rule::I3, out);
        }
        if channel.streams.len() >= self.config.limits.streams_per_conn as usize {
            out.limit(Rule::W3, LimitHit::StreamsPerConn);
            return self.refuse(id, Code::NotNow, out);
        }
        if let Some(voucher) = request.newest {
            self.on_voucher(id, slot, voucher, crypto, out);
        }
        let is_sure = self.may_extend_credit(now)
            && !self.closings.is_doubtful(slot)
            && !self.has_kept_too_much(request.requester, request.token);
        if self.earnings.channels[slot].status != ChannelStatus::Open || !is_sure {
            return self.refuse(id, Code::NotNow, out);
        }
        let soft_cap = self.config.terms(request.token).map_or(Amount::ZERO, |terms| terms.soft_cap);
        if !self.earnings.is_final_enough(slot, self.buyer.follower.safe(), soft_cap) {
            out.limit(Rule::V6, LimitHit::SoftCap);
            return self.refuse(id, Code::ChannelPending, out);
        }
        match self.agree(slot, &request) {
            // Whoever was promised the blob gets no reason in writing but its own deposit or maximum (E5).
            Err(Refusal::Signed(error))
                if request.quote.is_some()
                    && !matches!(error, StreamError::ChannelInsufficient | StreamError::RateExceeded) =>
            {
                self.refuse(id, Code::NotNow, out);
            }
            Err(Refusal::Unsigned(code)) => self.refuse(id, code, out),
            // The size may have been another node's lie: refused as malformed, but no proof of anything.
            Err(Refusal::OutOfRange) => self.refuse(id, Code::Malformed, out),
            Err(Refusal::Signed(error)) => self.answer(id, slot, &request, Err(error), out),
            Ok(agreed) => self.answer(id, slot, &request, Ok(agreed), out),
        }
    }

    pub(super) fn take_auth<C: Crypto>(&mut self, id: StreamId, auth: Auth, crypto: &C) -> bool {
        let deployment = self.deployment();
        let conn = self.inbound.get(id.conn).expect("a request comes on a connection");
        let what = Typed::BindNodeId { node: conn.peer, nonce: 0 };
        if !crypto.verify(&deployment, &what, &auth.signature, auth.address) {
            return false;
        }
        self.inbound.prove(id.conn, auth.address);
        true
    }

    fn agree(&self, slot: Slot, request: &StreamRequest) -> Result<Agreed, Refusal> {
        let channel = &self.earnings.channels[slot];
        let Some(terms) = self.config.terms(request.token) else {
            return Err(Refusal::Signed(StreamError::Unavailable));
        };
        if channel.deposit < terms.least_deposit {
            return Err(Refusal::Signed(StreamError::ChannelInsufficient));
        }
        let rate = terms.rate;
        // A quote is kept (P3).
        let rate = request.quote.map_or(rate, |quote| rate.min(quote.rate));
        let Some(total_bytes) = self.sending.blobs.get(&request.hash).copied() else {
            return Err(Refusal::Signed(StreamError::Unavailable));
        };
        if total_bytes > self.config.max_blob_size {
            return Err(Refusal::Signed(StreamError::BlobTooLarge));
        }
        if rate > request.max_rate {
            return Err(Refusal::Signed(StreamError::RateExceeded));
        }
        if request.offset_bytes > total_bytes || (request.offset_bytes == total_bytes && total_bytes > 0) {
            return Err(Refusal::OutOfRange);
        }
        let is_to_end = request.len_bytes == 0;
        let end = request.offset_bytes.saturating_add(request.len_bytes);
        let end = if is_to_end {
            total_bytes
        } else {
            end.min(total_bytes).next_multiple_of(GROUP).min(total_bytes)
        };
        // One rate per channel while anything is unpaid or on its way (D5).
        let is_busy = channel.has_unpaid() || channel.streams.iter().any(|id| self.sending.is_live(id));
        if channel.meter.rate() != rate && channel.meter.rate() != Rate(0) && is_busy {
            return Err(Refusal::Unsigned(Code::NotNow));
        }
        assert!(request.offset_bytes <= end && end <= total_bytes, "the range lies in the blob");
        let mut meter = channel.meter;
        meter.set_rate(rate);
        let first_group = GROUP.min(end - request.offset_bytes);
        let is_resend = channel.tails.iter().any(|tail| tail.covers(request.hash, request.offset_bytes));
        if !is_resend && meter.owed_with(first_group) > channel.deposit {
            return Err(Refusal::Signed(StreamError::ChannelInsufficient));
        }
        Ok(Agreed { rate, total_bytes, start: request.offset_bytes, end })
    }

    fn answer(
        &mut self,
        id: StreamId,
        slot: Slot,
        request: &StreamRequest,
        answer: Result<Agreed, StreamError>,
        out: &mut Outputs,
    ) {
        let terms = StreamResponseTerms {
            node: self.config.node,
            hash: request.hash,
            ok: answer.is_ok(),
            token: request.token,
            rate: answer.as_ref().map_or(Rate(0), |agreed| agreed.rate),
            max_rate: request.max_rate,
            total_bytes: answer.as_ref().map_or(0, |agreed| agreed.total_bytes),
            channel: request.channel,
            redirect: NodeId::default(),
            error: answer.as_ref().err().copied(),
            requester: request.requester,
            timestamp: request.timestamp,
            quote: StreamResponseTerms::quote_of(self.config.node, request),
        };
        let (start, end) = answer.as_ref().map_or((0, 0), |agreed| (agreed.start, agreed.end));
        let tail = self.resumed_tail(slot, request.hash, start, answer.is_ok());
        if answer.is_ok() {
            self.earnings.channels[slot].meter.set_rate(terms.rate);
        }
        let stream = Stream {
            channel: slot,
            state: StreamState::Answering,
            terms,
            offer: self.config.offer_for(request.cadence_bytes),
            next: start,
            end,
            unanswered: 0,
            tail,
        };
        self.sending.streams.insert(id, stream);
        let streams = &mut self.earnings.channels[slot].streams;
        assert!(!streams.contains(&id), "a stream carries one request (W3)");
        streams.push(id);
        self.inbound.begin_stream(id.conn);
        self.sign(Lane::Stream(id), Typed::StreamResponse(terms), Signing::Response(id), out);
    }

    /// Takes over what an ended stream sent last, if this request asks for it again (D8).
    fn resumed_tail(&mut self, slot: Slot, hash: BlobHash, start: u64, is_ok: bool) -> Tail {
        let tails = &mut self.earnings.channels[slot].tails;
        match tails.iter().position(|tail| tail.covers(hash, start)) {
            Some(place) if is_ok => tails.remove(place),
            _ => Tail::new(hash),
        }
    }

    pub(super) fn on_response_signed(&mut self, id: StreamId, signature: Signature, out: &mut Outputs) {
        // Late: the peer has left, or the channel has ended.
        let Some(stream) = self.sending.streams.get_mut(&id) else { return };
        assert_eq!(stream.state, StreamState::Answering, "a request is answered once");
        let slot = stream.channel;
        let response = StreamResponse {
            ok: stream.terms.ok,
            rate: stream.terms.rate,
            total_bytes: stream.terms.total_bytes,
            max_bytes_per_voucher: if stream.terms.ok { stream.offer } else { 0 },
            redirect: None,
            error: stream.terms.error,
            signature,
        };
        stream.state = if stream.terms.ok { StreamState::Sending } else { StreamState::Ended };
        let lane = Lane::Stream(id);
        out.send(lane, id, ClientMessage::StreamResponse(response));
        if stream.state == StreamState::Ended {
            out.push(lane, Effect::Finish { stream: id });
        }
        self.pump(slot, out);
    }
}

/// Why a request is not served.
enum Refusal {
    /// With a transport code (W4).
    Unsigned(Code),
    /// With a signed answer (D2).
    Signed(StreamError),
    /// As no request at all: it asks for what lies behind the blob's end.
    OutOfRange,
}
