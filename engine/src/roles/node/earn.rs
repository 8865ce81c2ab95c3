//! Taking vouchers, and consenting to a close (V1–V3, V7).

use super::{Node, Signing};
use crate::{
    crypto::{Crypto, SignedVoucher, Typed, VoucherTerms},
    fault::{Proof, Rule},
    ids::StreamId,
    io::{Effect, Lane, Notice, Outputs},
    machine::Cx,
    record::{ChannelStatus, PersistSeq},
    state::Slot,
    time::Now,
    voucher::{Ruling, rule},
    wire::{ClientMessage, CloseRequest, Code, RejectReason, Voucher, VoucherReject},
};

impl Node {
    pub(super) fn on_voucher_message<C: Crypto>(
        &mut self,
        id: StreamId,
        voucher: Voucher,
        crypto: &C,
        out: &mut Outputs,
    ) {
        match self.sending.streams.get(&id).map(|stream| stream.channel) {
            Some(slot) => self.on_voucher(id, slot, voucher, crypto, out),
            None => self.malformed(id, Rule::V1, out),
        }
    }

    /// V1: cheap checks first, the signature last; V3: durable before it is acknowledged or raises the limit.
    pub(super) fn on_voucher<C: Crypto>(
        &mut self,
        id: StreamId,
        slot: Slot,
        voucher: Voucher,
        crypto: &C,
        out: &mut Outputs,
    ) {
        let lane = Lane::Channel(slot.index);
        let channel = &self.earnings.channels[slot];
        let Voucher { amount, nonce, signature } = voucher;
        let terms = VoucherTerms { channel: channel.id, amount, nonce, token: channel.token };
        let ruling = rule(channel.best_pair(), channel.deposit, nonce, amount);
        if ruling == Ruling::Late {
            let (best_nonce, _) = channel.best_pair();
            out.send(lane, id, ClientMessage::VoucherAck(best_nonce));
            return;
        }
        let is_signed = crypto.verify(&self.deployment(), &Typed::Voucher(terms), &signature, channel.client);
        let is_taken = channel.status != ChannelStatus::Final;
        let (reason, error) = match ruling {
            Ruling::Better if is_signed && is_taken => return self.take(id, slot, voucher, out),
            Ruling::Better if is_signed => (RejectReason::V7, None),
            Ruling::Refused(reason, error) if is_signed => {
                let peer = self.inbound.conns[&id.conn].peer;
                let proof = Proof::Voucher(SignedVoucher { terms, signature });
                out.breach(peer, reason.into(), proof);
                (reason, error)
            }
            Ruling::Better | Ruling::Refused(..) | Ruling::Late => {
                let peer = self.inbound.conns[&id.conn].peer;
                out.breach(peer, Rule::V1, Proof::Message(id));
                (RejectReason::V1, None)
            }
        };
        let (best_nonce, best_amount) = self.earnings.channels[slot].best_pair();
        let reject = VoucherReject { reason, error, best_nonce, best_amount };
        out.send(lane, id, ClientMessage::VoucherReject(reject));
    }

    fn take(&mut self, id: StreamId, slot: Slot, voucher: Voucher, out: &mut Outputs) {
        let lane = Lane::Channel(slot.index);
        let cx = &mut Cx { now: self.now, tools: &mut self.buyer.tools, out };
        self.earnings.take(slot, voucher, cx);
        let channel_id = self.earnings.channels[slot].id;
        out.send(lane, id, ClientMessage::VoucherAck(voucher.nonce));
        let notice = Notice::Voucher { channel: channel_id, amount: voucher.amount, nonce: voucher.nonce };
        out.push(lane, Effect::Notice(notice));
    }

    /// The voucher is durable: now it raises the sending limit (V3).
    pub(super) fn on_persisted(&mut self, now: Now, seq: PersistSeq, out: &mut Outputs) {
        self.buyer.follower.checkpoint.on_persisted(seq);
        // It raises no limit, or its channel has settled meanwhile.
        let Some(slot) = self.earnings.on_persisted(seq) else { return };
        self.pump(slot, out);
        self.defend(now, slot, out);
        self.claim_if_due(now, slot, out);
    }

    /// V7: consent only over the best voucher, and only once the channel is durably final.
    pub(super) fn on_close_request<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        request: CloseRequest,
        crypto: &C,
        out: &mut Outputs,
    ) {
        if let Some(auth) = request.auth
            && !self.take_auth(id, auth, crypto)
        {
            return self.malformed(id, Rule::I3, out);
        }
        let client = self.inbound.conns[&id.conn].account;
        let known = client.and_then(|client| self.open_slot(&request.channel, Some(client), out));
        let Some(slot) = known.or_else(|| self.earnings.slot(&request.channel)) else {
            self.poll(now, out);
            return self.refuse(id, Code::ChannelPending, out);
        };
        if self.inbound.conns[&id.conn].account != Some(self.earnings.channels[slot].client) {
            return self.malformed(id, Rule::I3, out);
        }
        if let Some(SignedVoucher { terms, signature }) = request.voucher {
            let channel = &self.earnings.channels[slot];
            if terms.channel != channel.id || terms.token != channel.token {
                return self.malformed(id, Rule::V1, out);
            }
            let is_new = channel.best_pair() != (terms.nonce, terms.amount);
            if is_new {
                let voucher = Voucher { amount: terms.amount, nonce: terms.nonce, signature };
                self.on_voucher(id, slot, voucher, crypto, out);
            }
        }
        let channel = &mut self.earnings.channels[slot];
        let (nonce, amount) = channel.best_pair();
        let asked =
            request.voucher.map_or((crate::money::Nonce::NONE, crate::money::Amount::ZERO), |voucher| {
                (voucher.terms.nonce, voucher.terms.amount)
            });
        if asked != (nonce, amount) || channel.status == ChannelStatus::Closing || channel.is_consenting {
            return self.refuse(id, Code::NotNow, out);
        }
        let terms = VoucherTerms { channel: channel.id, amount, nonce, token: channel.token };
        channel.is_consenting = true;
        if channel.status != ChannelStatus::Final {
            channel.status = ChannelStatus::Final;
            self.stop_streams(slot, out);
            self.persist(slot, out);
        }
        let status = self.earnings.channels[slot].status;
        assert_eq!(status, ChannelStatus::Final, "consent is given once nothing is served any more (V7)");
        let purpose = Signing::Consent { channel: slot, stream: id };
        self.sign(Lane::Channel(slot.index), Typed::CooperativeClose(terms), purpose, out);
    }

    /// No more service on a channel: its streams are refused from here on.
    pub(super) fn stop_streams(&mut self, slot: Slot, out: &mut Outputs) {
        for id in self.earnings.channels[slot].streams.clone() {
            self.end_stream(id);
            self.refuse(id, Code::NotNow, out);
        }
        assert!(self.earnings.channels[slot].streams.is_empty(), "what a channel lists is there to be ended");
    }
}
