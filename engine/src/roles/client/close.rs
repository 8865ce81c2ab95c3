//! Ending a channel: cooperatively if the node consents in time, else alone with the newest voucher (V7, C1, C4).

use super::Client;
use crate::{
    chain::{Revert, Subject, TxOutcome, channel},
    crypto::{Crypto, Signature, Typed},
    fault::Rule,
    ids::{ChannelId, NodeId, StreamId, TxTicket},
    io::{Effect, Lane, Outputs},
    machine::{
        AlarmKey, Cx,
        links::{Purpose, Stream},
        wallet::Closing,
    },
    record::ChannelStatus,
    state::Slot,
    time::Now,
    wire::{ClientMessage, CloseRequest, Code},
};

impl Client {
    /// Starts to close a channel: nothing is bought on it any more.
    pub(super) fn begin_close(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        self.start_close(now, slot, true, out);
    }

    /// Starts to close a channel that is used up: nothing new is asked for on it. What runs may end, because bytes on
    /// their way would be lost to the node.
    pub(super) fn retire(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        self.start_close(now, slot, false, out);
    }

    fn start_close(&mut self, now: Now, slot: Slot, is_abrupt: bool, out: &mut Outputs) {
        let consent = self.config.timeouts.consent;
        let channel = &mut self.wallet.channels[slot];
        if channel.closing != Closing::No || channel.paying.status == ChannelStatus::Closing {
            return;
        }
        channel.closing = Closing::Wanted;
        self.tools.alarms.arm(AlarmKey::Consent(slot), now.mono + consent);
        if is_abrupt {
            self.end_streams(now, slot, out);
        }
        self.pay(now, slot, true, out);
        let channel = &mut self.wallet.channels[slot];
        channel.paying.status = ChannelStatus::Final;
        self.persist_paying(slot, out);
        self.advance_close(now, slot, out);
    }

    pub(super) fn advance_closings(&mut self, now: Now, node: NodeId, out: &mut Outputs) {
        let slots = self.wallet.with(node).to_vec();
        for slot in slots {
            if self.wallet.channels.get(slot).is_some_and(|channel| channel.closing == Closing::Wanted) {
                self.advance_close(now, slot, out);
            }
        }
    }

    /// Moves a close along: the end of the streams that still run, the final voucher's signature, a connection, the
    /// proof, the request. What a stream brings after the request would be in no final voucher.
    pub(super) fn advance_close(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let channel = &self.wallet.channels[slot];
        if channel.closing != Closing::Wanted || channel.signing.is_some() || self.is_buying(slot) {
            return;
        }
        if channel.needs_signature() {
            return self.sign_newest(now, slot, out);
        }
        let is_late = self.tools.alarms.at(AlarmKey::Consent(slot)).is_none();
        let node = channel.paying.node;
        if is_late || node == NodeId::default() {
            return self.close_alone(now, slot, out);
        }
        if !self.connect(now, node, out) {
            // No room until the consent is late.
            return;
        }
        let Some(auth) = self.identity.auth() else {
            return self.identity.ask(&mut Cx { now, tools: &mut self.tools, out });
        };
        if !self.links.is_up(node) {
            return;
        }
        let Some((stream, is_first)) = self.links.next_stream(node) else { return };
        let auth = is_first.then_some(auth);
        let channel = &mut self.wallet.channels[slot];
        channel.closing = Closing::Asked(stream);
        let request =
            CloseRequest { channel: channel.paying.channel, voucher: channel.signed_voucher(), auth };
        self.links.streams.insert(stream, Stream { channel: slot, node, purpose: Purpose::Close });
        let lane = Lane::Channel(slot.index);
        out.send(lane, stream, ClientMessage::CloseRequest(request));
    }

    /// The node signed: both want this amount, so it settles at once.
    pub(super) fn on_consent<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        signature: Signature,
        crypto: &C,
        out: &mut Outputs,
    ) {
        let Some(slot) = self.links.streams.get(&id).map(|stream| stream.channel) else { return };
        let Some(channel) = self.wallet.channels.get(slot) else { return };
        if channel.closing != Closing::Asked(id) {
            return self.on_breach(now, id, Rule::V7, out);
        }
        let what = Typed::CooperativeClose(channel.newest_terms());
        if !crypto.verify(&self.config.deployment, &what, &signature, channel.paying.operator) {
            return self.on_breach(now, id, Rule::V7, out);
        }
        let call = channel::Call::CloseCooperatively {
            channel: channel.paying.channel,
            voucher: channel.signed_voucher(),
            node_signature: signature,
        };
        let lane = Lane::Channel(slot.index);
        out.push(lane, Effect::Finish { stream: id });
        self.forget_stream(now, id, out);
        let ticket = self.tools.tx_ticket();
        self.closings.submit(slot, ticket, call, out);
        let channel = &mut self.wallet.channels[slot];
        channel.closing = Closing::Cooperative(ticket);
        self.tools.alarms.cancel(AlarmKey::Consent(slot));
    }

    /// Whether a stream on this channel brings content, or is asked to.
    pub(super) fn is_buying(&self, slot: Slot) -> bool {
        self.links.streams.values().any(|stream| stream.channel == slot && stream.is_content())
    }

    /// No consent in time. While streams run nobody was asked: they end, or go silent (D10).
    pub(super) fn on_consent_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let consent = self.config.timeouts.consent;
        if self.wallet.channels[slot].closing == Closing::Wanted && self.is_buying(slot) {
            return self.tools.alarms.arm(AlarmKey::Consent(slot), now.mono + consent);
        }
        self.close_alone(now, slot, out);
    }

    /// The node won't consent.
    pub(super) fn on_close_refused(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        if matches!(self.wallet.channels.get(slot).map(|channel| channel.closing), Some(Closing::Asked(_))) {
            self.close_alone(now, slot, out);
        }
    }

    /// The node said "not now": it may not have seen the channel yet, or still be busy with it. It is asked again after
    /// a back-off, until its consent is late (D11).
    pub(super) fn put_off(&mut self, now: Now, slot: Slot) {
        let Some(channel) = self.wallet.channels.get(slot) else { return };
        if !matches!(channel.closing, Closing::Asked(_)) {
            return;
        }
        let round = channel.refusals.saturating_add(1);
        let wait = self.fetcher.jittered(&channel.paying.channel.0, u32::from(round));
        let channel = &mut self.wallet.channels[slot];
        channel.closing = Closing::PutOff;
        channel.refusals = round;
        self.tools.alarms.arm(AlarmKey::Ask(slot), now.mono + wait);
    }

    pub(super) fn on_ask_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.wallet.channels.get_mut(slot) else { return };
        if channel.closing == Closing::PutOff && channel.paying.status != ChannelStatus::Closing {
            channel.closing = Closing::Wanted;
            self.advance_close(now, slot, out);
        }
    }

    /// Closes with the newest voucher, without the node: the window runs.
    pub(super) fn close_alone(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.wallet.channels.get_mut(slot) else { return };
        if !matches!(channel.closing, Closing::Wanted | Closing::Asked(_) | Closing::PutOff)
            || channel.paying.status == ChannelStatus::Closing
        {
            return;
        }
        let asked = channel.closing;
        channel.closing = Closing::Wanted;
        self.tools.alarms.cancel(AlarmKey::Consent(slot));
        if let Closing::Asked(stream) = asked
            && self.links.streams.remove(&stream).is_some()
        {
            out.reset(stream, Code::NotNow);
        }
        let channel = &self.wallet.channels[slot];
        if channel.signing.is_some() {
            return;
        }
        if channel.needs_signature() {
            return self.sign_newest(now, slot, out);
        }
        let call =
            channel::Call::Close { channel: channel.paying.channel, voucher: channel.signed_voucher() };
        let ticket = self.tools.tx_ticket();
        assert!(!channel.needs_signature(), "a close takes the newest voucher along (X1)");
        self.closings.submit(slot, ticket, call, out);
        self.wallet.channels[slot].closing = Closing::Unilateral(ticket);
    }

    pub(super) fn on_close_order(&mut self, now: Now, id: ChannelId, out: &mut Outputs) {
        if let Some(slot) = self.wallet.slot(&id) {
            self.begin_close(now, slot, out);
        }
    }

    /// The outcome of our own close; true if it was one.
    pub(super) fn on_close_tx(
        &mut self,
        now: Now,
        slot: Slot,
        ticket: TxTicket,
        outcome: &TxOutcome,
        out: &mut Outputs,
    ) -> bool {
        let closing = self.wallet.channels[slot].closing;
        if closing != Closing::Cooperative(ticket) && closing != Closing::Unilateral(ticket) {
            return false;
        }
        match outcome {
            TxOutcome::Included { result: Ok(()), block } => {
                self.wallet.channels[slot].closed_in = Some(block.number);
                self.await_block(now, block.number, out);
            }
            TxOutcome::Queued { .. } => {}
            TxOutcome::Included {
                result: Err(Revert::Channel(channel::Revert::NotOpen | channel::Revert::AmountNotHigher)),
                ..
            } => {
                // Somebody else closed it meanwhile: the events say how.
                self.poll(now, out);
            }
            TxOutcome::Included { result: Err(_), .. } | TxOutcome::Lost => {
                let was_alone = closing == Closing::Unilateral(ticket);
                self.wallet.channels[slot].closing = Closing::Wanted;
                if was_alone {
                    // Nothing that we know of can make it fail: wait before trying again.
                    let at = now.mono + self.config.monitor.poll;
                    let channel = &mut self.wallet.channels[slot];
                    self.tools.alarms.arm(AlarmKey::Consent(slot), at);
                    let fault = crate::fault::Fault::Chain {
                        about: Subject::Channel(channel.paying.channel),
                        rule: Rule::X1,
                        surprise: crate::fault::Surprise::Reverted {
                            ticket,
                            reason: match outcome {
                                TxOutcome::Included { result: Err(reason), .. } => *reason,
                                _ => Revert::Other,
                            },
                        },
                    };
                    out.fault(fault);
                } else {
                    self.close_alone(now, slot, out);
                }
            }
        }
        true
    }
}
