//! Sending within the exposure window (D6–D8, V4): which stream of a channel sends how much, and when it pauses.

use super::{Node, StreamState};
use crate::{
    crypto::StreamError,
    fault::{LimitHit, Rule},
    ids::{BlobHash, StreamId},
    io::{Effect, Lane, Outputs},
    limits::{GROUP, OFFER_GROUPS_MIN, SEND_RANGES},
    state::Slot,
    wire::ClientMessage,
};

/// The least that a stream is sent at once, where there is so much: less would be more headers than content.
const SHARE_MIN: u64 = OFFER_GROUPS_MIN * GROUP;

/// What the streams of a channel are held to.
struct WindowTerms {
    /// The smallest offer among those that still send: exposure stays within it (D8).
    offer: u64,
    /// How much of it one of them may take at once, so that none of many has to wait for whole windows of others.
    share: u64,
}

impl Node {
    pub(super) fn on_blob_ready(&mut self, hash: BlobHash, bytes: u64, out: &mut Outputs) {
        if self.blobs.len() >= self.config.limits.blobs && !self.blobs.contains_key(&hash) {
            return out.limit(Rule::O11, LimitHit::Blobs);
        }
        self.blobs.insert(hash, bytes);
    }

    pub(super) fn forget_blob(&mut self, hash: BlobHash) {
        self.blobs.remove(&hash);
    }

    /// Lets every stream of a channel send as long as something may go out, one range each in turn.
    pub(super) fn pump(&mut self, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.channels.get(slot) else { return };
        if channel.streams.is_empty() {
            return;
        }
        if !self.may_extend_credit(self.now) {
            // Cut off from the chain, a close could go unseen: nothing more goes out (V1, L3).
            return self.stop_streams(slot, out);
        }
        let mut terms = self.window_terms(slot);
        let channel = &self.channels[slot];
        let mut idle = 0;
        let mut place = channel.turn as usize;
        let count = channel.streams.len();
        while idle < count {
            let id = self.channels[slot].streams[place % count];
            idle = if self.send_next(slot, id, &mut terms, out) { 0 } else { idle + 1 };
            place = (place + 1) % count;
        }
        self.channels[slot].turn = place as u32;
    }

    fn window_terms(&self, slot: Slot) -> WindowTerms {
        let streams = self.channels[slot].streams.iter().filter_map(|id| self.streams.get(id));
        let (mut offer, mut unsent) = (u64::MAX, 0);
        for stream in streams.filter(|stream| stream.state == StreamState::Sending) {
            offer = offer.min(stream.offer);
            unsent += u64::from(stream.next < stream.end);
        }
        WindowTerms { offer, share: whole_groups(offer / unsent.max(1), u64::MAX).max(SHARE_MIN) }
    }

    /// Sends one range of a stream if it may.
    fn send_next(&mut self, slot: Slot, id: StreamId, terms: &mut WindowTerms, out: &mut Outputs) -> bool {
        let channel = &self.channels[slot];
        let Some(stream) = self.streams.get(&id) else { return false };
        let is_ready = stream.state == StreamState::Sending
            && stream.next < stream.end
            && stream.unanswered < SEND_RANGES;
        if !is_ready {
            return false;
        }
        let cap = self.config.limits.send_range_bytes;
        let rest = stream.end - stream.next;
        let resend_end = stream.tail.resendable(stream.next).filter(|_| channel.may_have_lost());
        let bytes = match resend_end {
            // Counted already: always goes out.
            Some(end) => rest.min(end - stream.next).min(cap),
            None => {
                let window = channel.meter.room(channel.durable, terms.offer);
                let afford = channel.meter.room(channel.deposit, 0);
                if afford < rest.min(GROUP) {
                    self.abort_insufficient(id, out);
                    // What is left to the others may be more.
                    *terms = self.window_terms(slot);
                    return false;
                }
                whole_groups(window.min(afford).min(cap).min(terms.share), rest)
            }
        };
        if bytes == 0 {
            return false;
        }
        let is_charged = resend_end.is_none();
        let stream = self.streams.get_mut(&id).expect("looked up above");
        let (hash, offset) = (stream.terms.hash, stream.next);
        stream.next += bytes;
        stream.unanswered += 1;
        let kept = stream.offer + self.channels[slot].meter.bytes_per_unit();
        stream.tail.sent(offset, offset + bytes, kept);
        if is_charged {
            self.channels[slot].meter.add(bytes);
        }
        out.push(Lane::Stream(id), Effect::SendRange { stream: id, hash, offset, bytes });
        true
    }

    /// V4: the next group does not fit into the deposit. The stream ends once everything before it is paid or
    /// the payer has had its say; a voucher can't help, so it ends now.
    fn abort_insufficient(&mut self, id: StreamId, out: &mut Outputs) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.state = StreamState::Ended;
            let message = ClientMessage::StreamAbort(StreamError::ChannelInsufficient);
            out.send(Lane::Stream(id), id, message);
        }
    }

    pub(super) fn on_range_sent(&mut self, id: StreamId, out: &mut Outputs) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.unanswered = stream.unanswered.saturating_sub(1);
        let slot = stream.channel;
        self.pump(slot, out);
    }

    /// The blob can't be read any more: the stream ends, nothing else does (O16).
    pub(super) fn on_range_failed(&mut self, id: StreamId, out: &mut Outputs) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        stream.state = StreamState::Ended;
        stream.unanswered = stream.unanswered.saturating_sub(1);
        let (slot, hash) = (stream.channel, stream.terms.hash);
        self.forget_blob(hash);
        out.send(Lane::Stream(id), id, ClientMessage::StreamAbort(StreamError::Unavailable));
        self.pump(slot, out);
    }
}

/// As many bytes as fit into `room`: whole groups, or all of the rest with its tail.
fn whole_groups(room: u64, rest: u64) -> u64 {
    if rest <= room { rest } else { room / GROUP * GROUP }
}
