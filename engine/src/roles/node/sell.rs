//! Sending within the exposure window (D6–D8, V4): which stream of a channel sends how much, and when it pauses.

use super::Node;
use crate::{
    crypto::StreamError,
    ids::StreamId,
    io::{Effect, Lane, Outputs},
    limits::{GROUP, SEND_RANGES},
    machine::sending::{StreamState, WindowTerms, whole_groups},
    state::Slot,
    wire::ClientMessage,
};

impl Node {
    /// Lets every stream of a channel send as long as something may go out, one range each in turn.
    pub(super) fn pump(&mut self, slot: Slot, out: &mut Outputs) {
        let channel = self.earnings.channels.get(slot).expect("a channel outlives what it sends");
        if channel.streams.is_empty() {
            return;
        }
        if !self.may_extend_credit(self.now) {
            // Cut off from the chain, a close could go unseen: nothing more goes out (V1, L3).
            return self.stop_streams(slot, out);
        }
        let mut terms = self.window_terms(slot);
        let channel = &self.earnings.channels[slot];
        let mut idle = 0;
        let mut place = channel.turn as usize;
        let count = channel.streams.len();
        while idle < count {
            let id = self.earnings.channels[slot].streams[place % count];
            idle = if self.send_next(slot, id, &mut terms, out) { 0 } else { idle + 1 };
            place = (place + 1) % count;
        }
        let channel = self.earnings.channels.quiet_mut(slot).expect("looked up above");
        assert!(place < channel.streams.len(), "the next turn is a stream's");
        channel.turn = place as u32;
    }

    fn window_terms(&self, slot: Slot) -> WindowTerms {
        self.sending.window_terms(&self.earnings.channels[slot].streams)
    }

    /// Sends one range of a stream if it may.
    fn send_next(&mut self, slot: Slot, id: StreamId, terms: &mut WindowTerms, out: &mut Outputs) -> bool {
        let channel = &self.earnings.channels[slot];
        let stream = self.sending.streams.get(&id).expect("what a channel lists is there");
        if !stream.is_ready() {
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
        assert!(bytes <= rest, "nothing is sent beyond the range");
        let is_charged = resend_end.is_none();
        let stream = self.sending.streams.get_mut(&id).expect("looked up above");
        let (hash, offset) = (stream.terms.hash, stream.next);
        stream.next += bytes;
        stream.unanswered += 1;
        assert!(stream.unanswered <= SEND_RANGES, "a stream that is ready has room for one more range");
        let kept = stream.offer + self.earnings.channels[slot].meter.bytes_per_unit();
        stream.tail.sent(offset, offset + bytes, kept);
        if is_charged {
            self.earnings.channels[slot].meter.add(bytes);
        }
        out.push(Lane::Stream(id), Effect::SendRange { stream: id, hash, offset, bytes });
        true
    }

    /// V4: the next group does not fit into the deposit. The stream ends once everything before it is paid or
    /// the payer has had its say; a voucher can't help, so it ends now.
    fn abort_insufficient(&mut self, id: StreamId, out: &mut Outputs) {
        let stream = self.sending.streams.get_mut(&id).expect("only what could send is aborted");
        stream.state = StreamState::Ended;
        let message = ClientMessage::StreamAbort(StreamError::ChannelInsufficient);
        out.send(Lane::Stream(id), id, message);
    }

    /// The transport has answered a range: more may go out. Where the blob can't be read any more the stream ends.
    pub(super) fn on_range(&mut self, id: StreamId, is_read: bool, out: &mut Outputs) {
        let Some((slot, _)) = self.sending.on_range(id, is_read) else { return };
        if !is_read {
            out.send(Lane::Stream(id), id, ClientMessage::StreamAbort(StreamError::Unavailable));
        }
        self.pump(slot, out);
    }
}
