//! Signing for what is verified (D6–D8, V3): one task per channel, durable before the signature leaves.

use alloc::vec;

use super::Client;
use crate::{
    crypto::{Signature, StreamError},
    fault::{Proof, Rule},
    ids::{FetchId, SignTicket, StreamId},
    io::{Effect, Lane, Notice, Outputs},
    limits::GROUP,
    machine::{
        AlarmKey, Cx,
        fetcher::{Failure, Stage},
        links::{Purpose, Stream},
        wallet::{Channel, Running, Signed, Wallet},
    },
    money::Nonce,
    record::{Paying, PersistSeq, Record},
    state::Slot,
    time::Now,
    wire::{ClientMessage, Code, VoucherReject},
};

impl Client {
    /// Signs a voucher if the window asks for one, or if `now_due` and anything verified is unpaid.
    pub(super) fn pay(&mut self, now: Now, slot: Slot, now_due: bool, out: &mut Outputs) {
        if !self.wallet.channels.get(slot).is_some_and(Channel::may_promise) {
            return;
        }
        let running = self.running(slot);
        let Paying { nonce, amount, deposit, .. } = self.wallet.channels[slot].paying;
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let Some(terms) = self.wallet.promise(slot, now_due, running, cx) else { return };
        assert!(terms.amount <= deposit, "no more is promised than was paid in (V4)");
        assert!(terms.amount > amount, "each voucher is for more than the one before (V1)");
        assert_eq!(Some(terms.nonce), nonce.next(), "each voucher's nonce is the next one (V1)");
        for id in self.wallet.channels[slot].streams.clone() {
            if self.links.streams.get(&id).is_some_and(Stream::is_whole_unpaid) {
                self.set_paid_by(id, terms.nonce);
            }
        }
        self.persist_paying(slot, out);
        self.wallet.sign(slot, &mut Cx { now, tools: &mut self.tools, out });
        let notice = Notice::Voucher { channel: terms.channel, amount: terms.amount, nonce: terms.nonce };
        out.push(Lane::Channel(slot.index), Effect::Notice(notice));
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
            for fetch in self.fetcher.fetches.values_mut(|fetch| fetch.sources.contains(&source)) {
                for other in core::mem::take(&mut fetch.sources) {
                    // It may have settled meanwhile.
                    if !slots.contains(&other) && self.wallet.channels.get(other).is_some() {
                        slots.push(other);
                    }
                }
                writes.push(fetch.stored());
            }
        }
        writes.extend(slots.iter().map(|slot| Record::Paying(self.wallet.channels[*slot].paying)));
        assert!(writes.len() >= slots.len(), "every channel is written, with its downloads (D14)");
        self.persist(Lane::Channel(slot.index), writes, out)
    }

    /// What of a channel's streams decides whether a voucher is due.
    fn running(&self, slot: Slot) -> Running {
        let mut found = Running::default();
        for id in &self.wallet.channels[slot].streams {
            let stream = self.links.streams.get(id).expect("a channel lists streams that are there");
            let Purpose::Content { offer, next, end, .. } = &stream.purpose else {
                unreachable!("a channel lists streams that bring content")
            };
            assert!(next <= end, "nothing is verified beyond the range");
            // A stream counts until it has ended, as it does for the node; only one that still runs has a next group.
            found.offer = if found.offer == 0 { *offer } else { found.offer.min(*offer) };
            found.next_group = found.next_group.max(GROUP.min(end - next));
            found.is_one_whole |= stream.is_whole_unpaid();
        }
        found
    }

    pub(super) fn set_paid_by(&mut self, id: StreamId, nonce: Nonce) {
        let stream = self.links.streams.get_mut(&id).expect("what is paid is there");
        let Purpose::Content { paid_by, .. } = &mut stream.purpose else {
            unreachable!("content alone is paid for")
        };
        *paid_by = Some(nonce);
    }

    pub(super) fn fetch_of(&self, id: &StreamId) -> Option<FetchId> {
        self.links.streams.get(id).expect("asked of a stream that is there").fetch()
    }

    pub(super) fn on_voucher_signed(
        &mut self,
        now: Now,
        ticket: SignTicket,
        signature: Option<Signature>,
        out: &mut Outputs,
    ) {
        let ack = self.config.timeouts.ack;
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let Signed::Ready(slot) = self.wallet.on_signed(ticket, signature, ack, cx) else { return };
        let node = self.wallet.channels[slot].paying.node;
        self.send_newest(now, slot, out);
        self.pay(now, slot, false, out);
        self.defend(now, slot, out);
        self.advance_peer(now, node, out);
    }

    /// Sends the newest voucher on the youngest stream of its channel, if there is one.
    fn send_newest(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let channel = &self.wallet.channels[slot];
        // Without a stream it goes out on the next one.
        let Some(&stream) = channel.streams.last() else { return };
        // Its signature may still be missing.
        let Some(voucher) = channel.newest_voucher() else { return };
        out.send(Lane::Channel(slot.index), stream, ClientMessage::Voucher(voucher));
        self.arm_resend(now, slot, out);
    }

    /// V3: what was signed while its channel had no stream goes out on the next.
    pub(super) fn send_unsent(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let channel = &self.wallet.channels[slot];
        if channel.acked < channel.paying.nonce && self.tools.alarms.at(AlarmKey::Resend(slot)).is_none() {
            self.send_newest(now, slot, out);
        }
    }

    pub(super) fn arm_resend(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        Wallet::arm_resend(slot, self.config.timeouts.ack, &mut Cx { now, tools: &mut self.tools, out });
    }

    /// V3: unacknowledged for 2 s, so it goes out again; without a signature it is asked for again.
    pub(super) fn on_resend_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let channel = self.wallet.channels.get(slot).expect("a channel's alarm has its channel");
        if channel.needs_signature() {
            return self.sign_newest(now, slot, out);
        }
        if channel.acked < channel.paying.nonce {
            self.send_newest(now, slot, out);
        }
    }

    pub(super) fn on_ack(&mut self, now: Now, id: StreamId, nonce: Nonce, out: &mut Outputs) {
        let slot = self.links.streams.get(&id).expect("an ack comes on a stream of ours").channel;
        if !self.wallet.on_ack(slot, nonce, &mut Cx { now, tools: &mut self.tools, out }) {
            // It acknowledges what was never signed.
            return self.on_breach(now, id, Rule::V3, out);
        }
        self.finish_if_paid(now, slot, out);
    }

    /// Ends the streams whose last verified byte is paid and acknowledged.
    pub(super) fn finish_if_paid(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let channel = self.wallet.channels.get(slot).expect("a channel outlives its streams");
        let acked = channel.acked;
        let is_square = acked == channel.paying.nonce && channel.signing.is_none() && channel.is_square();
        let is_paid = |id: &StreamId| self.links.streams.get(id).is_some_and(|stream| stream.is_paid(acked));
        let whole: vec::Vec<StreamId> = channel.streams.iter().filter(|id| is_paid(id)).copied().collect();
        for id in whole {
            let fetch = self.fetch_of(&id);
            let lane = Lane::Channel(slot.index);
            out.send(lane, id, ClientMessage::StreamEnd);
            out.push(lane, Effect::Finish { stream: id });
            self.forget_stream(now, id, out);
            if let Some(fetch) = fetch {
                self.complete(now, fetch, out);
            }
        }
        if !is_square {
            return;
        }
        // Downloads whose stream was lost after the last byte.
        let paying: vec::Vec<FetchId> = self
            .fetcher
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
        let stream = self.links.streams.get(&id).expect("a rejection comes on a stream of ours");
        let (slot, node) = (stream.channel, stream.node);
        if reject.error == Some(StreamError::ChannelInsufficient) {
            return self.on_abort(now, id, StreamError::ChannelInsufficient, out);
        }
        // Every voucher we send is better than the one before: a rejection is the node's fault, or its loss.
        out.breach(node, Rule::V1, Proof::Message(id));
        let fetch = self.fetch_of(&id);
        self.forget_stream(now, id, out);
        out.reset(id, Code::NotNow);
        match fetch {
            Some(fetch) => self.fail_attempt(now, fetch, Failure::Ban, out),
            None => self.close_alone(now, slot, out),
        }
    }
}
