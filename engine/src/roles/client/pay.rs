//! Signing for what is verified (D6–D8, V3): one task per channel, durable before the signature leaves.

use alloc::vec;

use super::{Channel, Client, Closing, Purpose, Signing, Stage};
use crate::{
    crypto::{Signature, SignedVoucher, StreamError, Typed, VoucherTerms},
    dispute::Cue,
    fault::{Proof, Rule},
    ids::{FetchId, StreamId},
    io::{Effect, Lane, Notice, Outputs},
    limits::GROUP,
    machine::AlarmKey,
    money::{Amount, Nonce},
    record::{PersistSeq, Record},
    state::Slot,
    time::Now,
    wire::{Code, Message, VoucherReject},
};

impl Channel {
    /// What the newest voucher says.
    pub(super) fn newest_terms(&self) -> VoucherTerms {
        VoucherTerms {
            channel: self.paying.channel,
            amount: self.paying.amount,
            nonce: self.paying.nonce,
            token: self.paying.token,
        }
    }

    /// Whether there is a voucher whose signature is not at hand.
    pub(super) fn needs_signature(&self) -> bool {
        self.paying.nonce != Nonce::NONE && self.signature.is_none()
    }

    /// The newest voucher as it goes on chain.
    pub(super) fn signed_voucher(&self) -> Option<SignedVoucher> {
        let signature = self.signature?;
        (self.paying.nonce != Nonce::NONE).then(|| SignedVoucher { terms: self.newest_terms(), signature })
    }

    /// Whether everything verified is signed for.
    pub(super) fn is_square(&self) -> bool {
        self.owed() <= self.paying.amount
    }

    /// What all verified bytes cost, as far as the deposit goes.
    fn owed(&self) -> Amount {
        self.paying.meter.owed().min(self.paying.deposit)
    }
}

impl Client {
    /// Signs a voucher if the window asks for one, or if `now_due` and anything verified is unpaid.
    pub(super) fn pay(&mut self, slot: Slot, now_due: bool, out: &mut Outputs) {
        let Some(channel) = self.channels.get(slot) else { return };
        if channel.signing.is_some() || channel.is_square() {
            return;
        }
        // The final voucher is out: what came after it is not paid, and was not asked for.
        if !matches!(channel.closing, Closing::No | Closing::Wanted) {
            return;
        }
        let unpaid = channel.paying.meter.unpaid(channel.paying.amount);
        let (offer, next_group) = self.running(slot);
        let is_full = offer > 0 && unpaid + next_group > offer;
        let is_last = channel.streams.is_empty() || channel.streams.iter().any(|id| self.is_whole_unpaid(id));
        if !(now_due || is_last || channel.window.wants_voucher(unpaid, offer, next_group)) {
            return;
        }
        let Some(nonce) = channel.paying.nonce.next() else { return };
        let channel = &mut self.channels[slot];
        if is_full {
            channel.window.on_full();
        }
        channel.paying.nonce = nonce;
        channel.paying.amount = channel.owed();
        channel.signature = None;
        self.tools.alarms.cancel(AlarmKey::Quiet(slot));
        self.tools.alarms.cancel(AlarmKey::Resend(slot));
        let terms = channel.newest_terms();
        let lane = Lane::Channel(slot.index);
        for id in self.channels[slot].streams.clone() {
            if self.is_whole_unpaid(&id) {
                self.set_paid_by(id, nonce);
            }
        }
        self.persist_paying(slot, out);
        let purpose = Signing::Voucher { channel: slot, amount: terms.amount, nonce };
        let ticket = self.sign(lane, Typed::Voucher(terms), purpose, out);
        self.channels[slot].signing = Some(ticket);
        let notice = Notice::Voucher { channel: terms.channel, amount: terms.amount, nonce };
        out.push(lane, Effect::Notice(notice));
    }

    /// Stores a channel together with the downloads whose bytes its meter counts, and with the other channels that
    /// they got bytes on: none may be ahead of the others after a crash, or a byte would be paid twice or not at all
    /// (D14).
    pub(super) fn persist_paying(&mut self, slot: Slot, out: &mut Outputs) -> PersistSeq {
        let mut writes = vec![];
        let mut slots = vec![slot];
        let mut done = 0;
        while let Some(&source) = slots.get(done) {
            done += 1;
            for fetch in self.fetches.values_mut(|fetch| fetch.sources.contains(&source)) {
                for other in core::mem::take(&mut fetch.sources) {
                    if !slots.contains(&other) && self.channels.get(other).is_some() {
                        slots.push(other);
                    }
                }
                writes.push(fetch.record());
            }
        }
        writes.extend(slots.iter().map(|slot| Record::Paying(self.channels[*slot].paying)));
        self.persist(Lane::Channel(slot.index), writes, out)
    }

    /// The smallest offer of the streams that still run, and the largest next group among them.
    fn running(&self, slot: Slot) -> (u64, u64) {
        let mut found = (0, 0);
        for id in &self.channels[slot].streams {
            // A stream counts until it has ended, as it does for the node; only one that still runs has a next group.
            if let Some(Purpose::Content { offer, next, end, .. }) = self.streams.get(id).map(|s| &s.purpose)
            {
                let smallest = if found.0 == 0 { *offer } else { found.0.min(*offer) };
                found = (smallest, found.1.max(GROUP.min(end - next)));
            }
        }
        found
    }

    /// Whether a stream's last byte is verified and no voucher pays it yet.
    fn is_whole_unpaid(&self, id: &StreamId) -> bool {
        matches!(self.streams.get(id).map(|stream| &stream.purpose),
            Some(Purpose::Content { next, end, is_agreed: true, paid_by: None, .. }) if next == end)
    }

    pub(super) fn set_paid_by(&mut self, id: StreamId, nonce: Nonce) {
        if let Some(Purpose::Content { paid_by, .. }) = self.streams.get_mut(&id).map(|s| &mut s.purpose) {
            *paid_by = Some(nonce);
        }
    }

    fn is_paid(&self, id: &StreamId, acked: Nonce) -> bool {
        matches!(self.streams.get(id).map(|stream| &stream.purpose),
            Some(Purpose::Content { paid_by: Some(nonce), .. }) if *nonce <= acked)
    }

    pub(super) fn fetch_of(&self, id: &StreamId) -> Option<FetchId> {
        match self.streams.get(id).map(|stream| &stream.purpose) {
            Some(Purpose::Content { fetch, .. }) => Some(*fetch),
            _ => None,
        }
    }

    pub(super) fn on_voucher_signed(
        &mut self,
        now: Now,
        slot: Slot,
        (nonce, amount): (Nonce, Amount),
        signature: Option<Signature>,
        out: &mut Outputs,
    ) {
        let Some(channel) = self.channels.get_mut(slot) else { return };
        channel.signing = None;
        let channel = &mut self.channels[slot];
        debug_assert!((nonce, amount) == (channel.paying.nonce, channel.paying.amount), "one signing task");
        let node = channel.paying.node;
        if signature.is_none() {
            // The signer would not; ask again.
            self.arm_resend(now, slot);
            return;
        }
        channel.signature = signature;
        self.send_newest(now, slot, out);
        self.pay(slot, false, out);
        self.defend(now, slot, Cue::News, out);
        self.advance_peer(now, node, out);
    }

    /// Sends the newest voucher on the youngest stream of its channel, if there is one.
    fn send_newest(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let channel = &self.channels[slot];
        let Some(&stream) = channel.streams.last() else { return };
        let Some(voucher) = channel.newest_voucher() else { return };
        out.send(Lane::Channel(slot.index), stream, Message::Voucher(voucher));
        self.arm_resend(now, slot);
    }

    pub(super) fn arm_resend(&mut self, now: Now, slot: Slot) {
        let at = now.mono + self.config.timeouts.ack;
        self.tools.alarms.arm(AlarmKey::Resend(slot), at);
    }

    /// V3: unacknowledged for 2 s, so it goes out again; without a signature it is asked for again.
    pub(super) fn on_resend_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.channels.get(slot) else { return };
        if channel.needs_signature() {
            return self.sign_newest(slot, out);
        }
        if channel.acked < channel.paying.nonce {
            self.send_newest(now, slot, out);
        }
    }

    pub(super) fn on_ack(&mut self, now: Now, id: StreamId, nonce: Nonce, out: &mut Outputs) {
        let Some(slot) = self.streams.get(&id).map(|stream| stream.channel) else { return };
        let Some(channel) = self.channels.get_mut(slot) else { return };
        if nonce > channel.paying.nonce {
            // It acknowledges what was never signed.
            return self.on_malformed(now, id, out);
        }
        channel.acked = channel.acked.max(nonce);
        if channel.acked == channel.paying.nonce {
            self.tools.alarms.cancel(AlarmKey::Resend(slot));
        }
        self.finish_if_paid(now, slot, out);
    }

    /// Ends the streams whose last verified byte is paid and acknowledged.
    pub(super) fn finish_if_paid(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.channels.get(slot) else { return };
        let acked = channel.acked;
        let is_square = acked == channel.paying.nonce && channel.signing.is_none() && channel.is_square();
        let whole: vec::Vec<StreamId> =
            channel.streams.iter().filter(|id| self.is_paid(id, acked)).copied().collect();
        for id in whole {
            let fetch = self.fetch_of(&id);
            let lane = Lane::Channel(slot.index);
            out.send(lane, id, Message::StreamEnd);
            out.push(lane, Effect::Finish { stream: id });
            self.forget_stream(id, out);
            if let Some(fetch) = fetch {
                self.complete(now, fetch, out);
            }
        }
        if !is_square {
            return;
        }
        // Downloads whose stream was lost after the last byte.
        let paying: vec::Vec<FetchId> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.stage == Stage::Paying(slot))
            .map(|(id, _)| *id)
            .collect();
        for id in paying {
            self.complete(now, id, out);
        }
    }

    pub(super) fn on_reject(&mut self, now: Now, id: StreamId, reject: VoucherReject, out: &mut Outputs) {
        let Some(stream) = self.streams.get(&id) else { return };
        let (slot, node) = (stream.channel, stream.node);
        if reject.error == Some(StreamError::ChannelInsufficient) {
            return self.on_abort(now, id, StreamError::ChannelInsufficient, out);
        }
        // Every voucher we send is better than the one before: a rejection is the node's fault, or its loss.
        out.breach(node, Rule::V1, Proof::Message(id));
        let fetch = self.fetch_of(&id);
        self.forget_stream(id, out);
        out.reset(id, Code::NotNow);
        match fetch {
            Some(fetch) => self.fail_attempt(now, fetch, super::fetch::Failure::Ban, out),
            None => self.close_alone(slot, out),
        }
    }
}
