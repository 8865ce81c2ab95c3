//! Talking to a node: the request, its answer, the content, and every way it can end (D1–D4, D8, D10).

use alloc::boxed::Box;

use super::Client;
use crate::{
    blob::Verdict,
    crypto::{Crypto, StreamError, StreamResponseTerms, Typed},
    fault::{Fault, Proof, Rule},
    ids::{FetchId, NodeId, StreamId},
    io::{Effect, Lane, Notice, Outputs},
    limits::{BLOB_BYTES_MAX, GROUP, OFFER_GROUPS_MIN},
    machine::{
        AlarmKey, Cx,
        fetcher::{Failure, Price, Stage},
        links::{Purpose, Stream},
    },
    money::Rate,
    record::ChannelStatus,
    state::Slot,
    time::Now,
    wire::{ClientMessage, Code, StreamRequest, StreamResponse},
};

impl Client {
    /// Sends the request. Until the node has answered on a connection the account is proven (I3); before the first
    /// request on a channel the newest voucher is sent again (V3).
    pub(super) fn request(&mut self, now: Now, id: FetchId, slot: Slot, out: &mut Outputs) {
        let node = self.fetcher.fetches[&id].candidate().node;
        let auth = self.identity.auth().expect("nothing is asked for before there is a proof (I3)");
        let (stream, is_first) = self.links.next_stream(node).expect("a request goes to a node that is up");
        let auth = is_first.then_some(auth);
        let channel = &self.wallet.channels[slot];
        assert!(channel.is_open(), "nothing is asked for on a channel that is about to be closed");
        let is_known = self.links.is_greeted(node, slot) && channel.acked == channel.paying.nonce;
        let newest = if is_known { None } else { channel.newest_voucher() };
        self.links.greet(node, slot);
        let fetch = &self.fetcher.fetches[&id];
        let position = fetch.position();
        assert!(fetch.end().is_none_or(|end| position <= end), "no more is verified than was ordered");
        let request = StreamRequest {
            hash: fetch.record.order.hash,
            channel: channel.paying.channel,
            token: fetch.record.order.token,
            offset_bytes: position,
            len_bytes: match fetch.record.order.len_bytes {
                0 => 0,
                len => fetch.record.order.offset_bytes + len - position,
            },
            cadence_bytes: fetch.record.order.cadence_bytes,
            max_rate: fetch.highest_rate(),
            requester: self.config.account,
            timestamp: now.wall,
            quote: fetch.quoted().and_then(|quote| quote.presented(now)),
            auth,
            newest,
        };
        let purpose = Purpose::Content {
            fetch: id,
            request: Box::new(request),
            offer: 0,
            next: position,
            end: position,
            is_agreed: false,
            paid_by: None,
        };
        self.links.streams.insert(stream, Stream { channel: slot, node, purpose });
        let lane = Lane::Channel(slot.index);
        out.send(lane, stream, ClientMessage::StreamRequest(request));
        self.fetcher.set_stage(id, Stage::Requested(stream), &mut Cx { now, tools: &mut self.tools, out });
        if newest.is_some() {
            self.arm_resend(now, slot, out);
        }
    }

    pub(super) fn on_response<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        response: StreamResponse,
        crypto: &C,
        out: &mut Outputs,
    ) {
        let stream = self.links.streams.get(&id).expect("an answer comes on a stream of ours");
        let (slot, node) = (stream.channel, stream.node);
        let Purpose::Content { fetch: fetch_id, request, is_agreed: false, .. } = &stream.purpose else {
            // It has answered already, or was asked for a consent.
            return self.on_breach(now, id, Rule::D1, out);
        };
        let (fetch_id, request) = (*fetch_id, **request);
        let terms = StreamResponseTerms::of(node, &request, &response);
        let operator = self.wallet.channels[slot].paying.operator;
        let is_whole = match (response.ok, response.error, response.redirect) {
            (true, None, None) => {
                let most = self.config.rate_max(request.token);
                response.rate.is_sane(most) && response.total_bytes <= BLOB_BYTES_MAX
            }
            (false, Some(_), None) | (false, None, Some(_)) => {
                response.rate == Rate(0) && response.total_bytes == 0
            }
            _ => false,
        };
        // What breaks D2 counts as unsigned: it is no answer, and the signature under it proves nothing.
        if !is_whole {
            return self.on_breach(now, id, Rule::D2, out);
        }
        let what = Typed::StreamResponse(terms);
        if !crypto.verify(&self.config.deployment, &what, &response.signature, operator) {
            return self.on_breach(now, id, Rule::D1, out);
        }
        if !response.ok {
            let error = response.error.unwrap_or(StreamError::Unavailable);
            if request.quote.is_some() && error != StreamError::ChannelInsufficient {
                // It broke its own promise, and signed that (E5): our maximum was the quoted rate.
                out.breach(node, Rule::E5, Proof::Response { terms, signature: response.signature });
                out.notice(Notice::Refused { fetch: fetch_id, node, error });
                self.drop_stream(now, id, out);
                return self.fail_attempt(now, fetch_id, Failure::Ban, out);
            }
            return self.on_refusal(now, id, fetch_id, (error, true), out);
        }
        let fetch = self.fetcher.fetches.get_mut(&fetch_id).expect("a download outlives its streams");
        let position = request.offset_bytes;
        let is_outside =
            position > response.total_bytes || (position == response.total_bytes && position > 0);
        let offer = response.max_bytes_per_voucher;
        let is_bad_offer = !offer.is_multiple_of(GROUP) || offer / GROUP < OFFER_GROUPS_MIN;
        // The hash alone says whether a blob is empty; a wrong claim must not make the download look whole (D4).
        let is_empty = request.hash.0 == *blake3::hash(&[]).as_bytes();
        let is_false_size = is_empty != (response.total_bytes == 0);
        if response.rate > request.max_rate || is_bad_offer || is_outside || is_false_size {
            let rule = match () {
                () if response.rate > request.max_rate => Rule::D1,
                () if is_false_size => Rule::D4,
                () => Rule::D6,
            };
            let proof = Proof::Response { terms, signature: response.signature };
            out.breach(node, rule, proof);
            self.drop_stream(now, id, out);
            return self.fail_attempt(now, fetch_id, Failure::Ban, out);
        }
        fetch.record.total_bytes = Some(response.total_bytes);
        let end = fetch.end().expect("the size is known by now");
        assert!(position <= end, "what is received lies in the range");
        // One rate per channel while anything is unpaid or on its way (D5): the node should have refused.
        let channel = &self.wallet.channels[slot];
        let meter = &channel.paying.meter;
        let is_busy = !channel.streams.is_empty() || meter.unpaid(channel.paying.amount) > 0;
        if meter.rate() != Rate(0) && meter.rate() != response.rate && is_busy {
            return self.on_breach(now, id, Rule::D5, out);
        }
        let channel = &mut self.wallet.channels[slot];
        channel.paying.meter.set_rate(response.rate);
        if channel.streams.is_empty() {
            channel.window.on_start(now.mono);
        }
        channel.streams.push(id);
        // Asked for again, from where they were lost or before.
        channel.lost.retain(|(of, at)| *of != fetch_id || *at < position);
        let channel_id = channel.paying.channel;
        let stream = self.links.streams.get_mut(&id).expect("looked up above");
        let Purpose::Content { offer: o, end: e, is_agreed, .. } = &mut stream.purpose else {
            unreachable!("a consent is not agreed on")
        };
        (*o, *e, *is_agreed) = (offer, end, true);
        let notice = Notice::StreamStarted {
            fetch: fetch_id,
            channel: channel_id,
            node,
            rate: response.rate,
            offer_bytes: offer,
            total_bytes: response.total_bytes,
        };
        out.notice(notice);
        let receive = Effect::Receive {
            stream: id,
            fetch: fetch_id,
            hash: request.hash,
            total_bytes: response.total_bytes,
            offset: position,
            bytes: end - position,
        };
        out.push(Lane::Stream(id), receive);
        self.fetcher.set_stage(fetch_id, Stage::Streaming(id), &mut Cx { now, tools: &mut self.tools, out });
        self.send_unsent(now, slot, out);
        if position == end {
            // Nothing to send: an empty blob.
            self.on_whole(now, id, fetch_id, out);
        }
    }

    /// A refusal (D11), signed or in an abort.
    fn on_refusal(
        &mut self,
        now: Now,
        id: StreamId,
        fetch: FetchId,
        (error, is_signed): (StreamError, bool),
        out: &mut Outputs,
    ) {
        let node = self.links.streams[&id].node;
        out.notice(Notice::Refused { fetch, node, error });
        let slot = self.links.streams[&id].channel;
        self.drop_stream(now, id, out);
        let failure = match error {
            StreamError::RateExceeded if is_signed => self.price_moved(fetch),
            // In an abort it would be a word that is broken and not signed (E5).
            StreamError::RateExceeded | StreamError::BlobTooLarge => Failure::Ban,
            StreamError::Unavailable | StreamError::Blacklisted => Failure::Refused,
            StreamError::ChannelInsufficient => self.insufficient(now, slot, fetch, out),
        };
        self.fail_attempt(now, fetch, failure, out);
    }

    /// The node wants more than our maximum. If that was an old quote of its own, it is asked again (D11).
    fn price_moved(&mut self, id: FetchId) -> Failure {
        let Some(fetch) = self.fetcher.fetches.get_mut(&id).filter(|fetch| fetch.quoted().is_some()) else {
            return Failure::Ban;
        };
        fetch.set_price(Price::Due);
        Failure::Lost
    }

    /// The node says that the deposit is used up. By our own record it is, or the node is not to be believed. The
    /// channel ends either way: what is owed on it never falls, so it would be refused for ever.
    fn insufficient(&mut self, now: Now, slot: Slot, fetch: FetchId, out: &mut Outputs) -> Failure {
        let paying = &self.wallet.channels[slot].paying;
        let fetched = self.fetcher.fetches.get(&fetch).expect("a download outlives its streams");
        let next_group = fetched.next_group();
        let is_covered = paying.meter.owed_with(next_group) <= paying.deposit;
        let is_fresh = paying.meter.owed_raw() == 0;
        // It has said so beforehand: a channel that was kept is too small for it now (V4).
        let is_below = fetched.quoted().is_some_and(|quote| paying.deposit < quote.least_deposit);
        // What is on its way on other streams counts at the node already, and not yet here.
        let is_shared = self.is_buying(slot);
        let fault = Fault::Unattributed { peer: paying.node, rule: Rule::V4 };
        self.retire(now, slot, out);
        match (is_covered, is_shared) {
            _ if is_below => Failure::UsedUp,
            (true, false) => {
                out.fault(fault);
                Failure::Refused
            }
            // The deposit does not cover a single group: no channel of this kind will do.
            (false, false) if is_fresh => Failure::NeedsChannel,
            _ => Failure::UsedUp,
        }
    }

    pub(super) fn on_abort(&mut self, now: Now, id: StreamId, error: StreamError, out: &mut Outputs) {
        match self.links.streams.get_mut(&id).map(|stream| &mut stream.purpose) {
            Some(Purpose::Content { fetch, next, end, .. }) => {
                // It came behind all that was sent: nothing is lost.
                *end = *next;
                let fetch = *fetch;
                self.on_refusal(now, id, fetch, (error, false), out);
            }
            _ => self.on_breach(now, id, Rule::D2, out),
        }
    }

    /// Content was checked (D4).
    pub(super) fn on_verdict(&mut self, now: Now, id: StreamId, verdict: Verdict, out: &mut Outputs) {
        let silence = self.config.timeouts.silence;
        // Late: the stream has ended.
        let Some(stream) = self.links.streams.get_mut(&id) else { return };
        let (slot, node) = (stream.channel, stream.node);
        // Nothing is received on a stream for a close.
        let Purpose::Content { fetch: fetch_id, next, end, .. } = &mut stream.purpose else { return };
        let fetch_id = *fetch_id;
        let (offset, bytes) = match verdict {
            Verdict::Good { offset, bytes } if offset == *next && bytes <= *end - *next => (offset, bytes),
            Verdict::Good { offset, .. } | Verdict::Bad { offset } => {
                out.breach(node, Rule::D4, Proof::Group { stream: id, offset });
                self.drop_stream(now, id, out);
                return self.fail_attempt(now, fetch_id, Failure::Ban, out);
            }
        };
        *next = offset + bytes;
        let (at, is_whole) = (*next, *next == *end);
        let fetch = self.fetcher.fetches.get_mut(&fetch_id).expect("a download outlives its streams");
        fetch.on_verified(bytes, slot);
        assert_eq!(fetch.position(), at, "a stream is as far as its download");
        let verified_bytes = fetch.record.verified_bytes;
        self.tools.alarms.arm(AlarmKey::Fetch(fetch_id), now.mono + silence);
        out.notice(Notice::Progress { fetch: fetch_id, verified_bytes });
        let channel = &mut self.wallet.channels[slot];
        channel.paying.meter.add(bytes);
        channel.window.on_content(now.mono);
        if is_whole {
            return self.on_whole(now, id, fetch_id, out);
        }
        self.pay(now, slot, false, out);
        self.arm_quiet(now, slot, node);
    }

    /// The stream's whole range is verified: what is not paid yet is signed for now (D6).
    fn on_whole(&mut self, now: Now, id: StreamId, fetch: FetchId, out: &mut Outputs) {
        let Stream { channel: slot, purpose, .. } = &self.links.streams[&id];
        let slot = *slot;
        assert!(
            matches!(purpose, Purpose::Content { next, end, .. } if next == end),
            "{purpose:?}: not whole"
        );
        self.fetcher.set_stage(fetch, Stage::Paying(slot), &mut Cx { now, tools: &mut self.tools, out });
        let channel = &self.wallet.channels[slot];
        if channel.is_square() {
            // Rounding, or another stream's voucher, has paid for it already.
            let nonce = channel.paying.nonce;
            self.set_paid_by(id, nonce);
        }
        self.pay(now, slot, true, out);
        self.finish_if_paid(now, slot, out);
    }

    /// D8: nothing arrived for two round trips, at least 50 ms.
    fn arm_quiet(&mut self, now: Now, slot: Slot, node: NodeId) {
        let rtt = self.links.rtt(node).0;
        let wait = crate::time::Span(rtt.saturating_mul(2)).max(self.config.timeouts.quiet_min);
        self.tools.alarms.arm(AlarmKey::Quiet(slot), now.mono + wait);
    }

    /// Neither answer nor content in time (D10).
    pub(super) fn on_silence(&mut self, now: Now, id: FetchId, stream: StreamId, out: &mut Outputs) {
        let entry = self.links.streams.get(&stream).expect("a download's stream serves it");
        let (slot, node) = (entry.channel, entry.node);
        // Our own signer is the slow one: the node has every right to wait.
        if self.wallet.channels[slot].signing.is_some() {
            let stage = self.fetcher.fetches[&id].stage;
            return self.fetcher.set_stage(id, stage, &mut Cx { now, tools: &mut self.tools, out });
        }
        let got_nothing = matches!(&entry.purpose, Purpose::Content { request, next, is_agreed: true, .. }
            if *next == request.offset_bytes);
        out.unattributed(node, Rule::D10);
        self.drop_stream(now, stream, out);
        self.links.hang_up(node, &mut Cx { now, tools: &mut self.tools, out });
        if got_nothing {
            // Agreed, and yet nothing comes: what was lost before can't be sent again, so the channel ends (D8).
            self.begin_close(now, slot, out);
        }
        self.fail_attempt(now, id, Failure::Refused, out);
    }

    /// The node said or sent what no honest one does: by the connection that it is on, the message itself shows it.
    pub(super) fn on_breach(&mut self, now: Now, id: StreamId, rule: Rule, out: &mut Outputs) {
        if self.prober.get(id.conn).is_some() {
            return self.on_probe_breach(now, id, rule, out);
        }
        // Late: the stream has ended.
        let Some(stream) = self.links.streams.get(&id) else { return };
        let (slot, node) = (stream.channel, stream.node);
        out.breach(node, rule, Proof::Message(id));
        match &stream.purpose {
            Purpose::Content { fetch, .. } => {
                let fetch = *fetch;
                self.drop_stream(now, id, out);
                self.fail_attempt(now, fetch, Failure::Ban, out);
            }
            Purpose::Close => {
                self.drop_stream(now, id, out);
                self.close_alone(now, slot, out);
            }
        }
    }

    pub(super) fn on_stream_closed(&mut self, now: Now, id: StreamId, code: Option<Code>, out: &mut Outputs) {
        if self.prober.get(id.conn).is_some() {
            return self.on_probe_closed(now, id.conn, code, out);
        }
        // Late: this side has ended it.
        let Some(stream) = self.links.streams.get(&id) else { return };
        let slot = stream.channel;
        match &stream.purpose {
            Purpose::Close => {
                self.forget_stream(now, id, out);
                match code {
                    Some(Code::NotNow | Code::ChannelPending) => self.put_off(now, slot, out),
                    _ => self.on_close_refused(now, slot, out),
                }
            }
            Purpose::Content { fetch, .. } => {
                let fetch = *fetch;
                self.forget_stream(now, id, out);
                if self.fetcher.is_paying(fetch) {
                    return;
                }
                let failure = match code {
                    Some(Code::ChannelPending) => Failure::Pending,
                    Some(Code::NotNow) => Failure::NotNow,
                    Some(Code::Malformed | Code::Unsupported | Code::TooLarge) => Failure::Ban,
                    Some(Code::Other(_)) | None => Failure::Refused,
                };
                self.fail_attempt(now, fetch, failure, out);
            }
        }
    }

    /// The connection under a stream is gone.
    pub(super) fn on_stream_lost(&mut self, now: Now, id: StreamId, out: &mut Outputs) {
        // What followed from another's end on this connection may have ended it.
        let Some(stream) = self.links.streams.get(&id) else { return };
        let purpose = stream.purpose.clone();
        let slot = stream.channel;
        self.forget_stream(now, id, out);
        match purpose {
            Purpose::Content { fetch, .. } if !self.fetcher.is_paying(fetch) => {
                self.fail_attempt(now, fetch, Failure::Lost, out);
            }
            Purpose::Content { .. } => {}
            Purpose::Close => self.wallet.on_asking_lost(slot),
        }
    }

    /// Gives a stream up from this side.
    pub(super) fn drop_stream(&mut self, now: Now, id: StreamId, out: &mut Outputs) {
        if self.links.streams.contains_key(&id) {
            self.forget_stream(now, id, out);
            out.reset(id, Code::NotNow);
        }
    }

    /// Forgets a stream, and notes where it broke off (D8). What it brought and is not paid yet is signed for at once, so that the record of the
    /// next stream can't be ahead of the payment for this one.
    pub(super) fn forget_stream(&mut self, now: Now, id: StreamId, out: &mut Outputs) {
        let gone = self.links.streams.remove(&id).expect("only a stream that is there is forgotten");
        let slot = gone.channel;
        let channel = self.wallet.channels.get_mut(slot).expect("a channel outlives its streams");
        if let Purpose::Content { fetch, next, end, is_agreed: true, .. } = gone.purpose
            && next < end
        {
            channel.note_lost(fetch, next);
        }
        channel.streams.retain(|other| *other != id);
        self.pay(now, slot, true, out);
        if self.wallet.channels[slot].paying.status == ChannelStatus::Final {
            self.advance_close(now, slot, out);
        }
    }
}
