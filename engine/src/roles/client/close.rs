//! Ending a channel: cooperatively if the node consents in time, else alone with the newest voucher (V7, C1, C4).

use super::Client;
use crate::{
    chain::{Subject, TxOutcome},
    crypto::{Crypto, Signature, Typed},
    fault::{Fault, Rule, Surprise},
    ids::{NodeId, StreamId, TxTicket},
    io::{Effect, Lane, Outputs},
    machine::{
        AlarmKey, Cx,
        links::{Purpose, Stream},
        wallet::{Channel, Closing, Sent, Step},
    },
    record::ChannelStatus,
    state::Slot,
    time::Now,
    wire::{ClientMessage, Code},
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
        if !self.wallet.want_close(slot, consent, &mut Cx { now, tools: &mut self.tools, out }) {
            return;
        }
        if is_abrupt {
            self.end_streams(now, slot, out);
        }
        self.pay(now, slot, true, out);
        self.wallet.channels[slot].paying.status = ChannelStatus::Final;
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

    /// Moves a close along as far as it goes.
    pub(super) fn advance_close(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        match self.wallet.close_step(slot, self.is_buying(slot), &self.tools) {
            Step::Nothing => {}
            Step::Sign => self.sign_newest(now, slot, out),
            Step::Ask => self.ask_consent(now, slot, out),
            Step::Alone => self.close_alone(now, slot, out),
        }
    }

    /// Asks the node for its consent, as soon as there is a connection and the proof of who asks.
    fn ask_consent(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let node = self.wallet.channels[slot].paying.node;
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
        let request = self.wallet.ask_consent(slot, stream, is_first.then_some(auth));
        self.links.streams.insert(stream, Stream { channel: slot, node, purpose: Purpose::Close });
        out.send(Lane::Channel(slot.index), stream, ClientMessage::CloseRequest(request));
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
        if !channel.is_asking_on(id) {
            return self.on_breach(now, id, Rule::V7, out);
        }
        let what = Typed::CooperativeClose(channel.newest_terms());
        if !crypto.verify(&self.config.deployment, &what, &signature, channel.paying.operator) {
            return self.on_breach(now, id, Rule::V7, out);
        }
        out.push(Lane::Channel(slot.index), Effect::Finish { stream: id });
        self.forget_stream(now, id, out);
        let ticket = self.tools.tx_ticket();
        let call =
            self.wallet.on_consent(slot, ticket, signature, &mut Cx { now, tools: &mut self.tools, out });
        self.closings.submit(slot, ticket, call, out);
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
        if self.wallet.channels.get(slot).is_some_and(Channel::is_asking) {
            self.close_alone(now, slot, out);
        }
    }

    /// The node said "not now": it may not have seen the channel yet, or still be busy with it. It is asked again after
    /// a back-off, until its consent is late (D11).
    pub(super) fn put_off(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let Some(channel) = self.wallet.channels.get(slot).filter(|channel| channel.is_asking()) else {
            return;
        };
        let id = channel.paying.channel.0;
        let wait = |round| self.fetcher.jittered(&id, round);
        self.wallet.put_off(slot, wait, &mut Cx { now, tools: &mut self.tools, out });
    }

    pub(super) fn on_ask_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        if self.wallet.ask_again(slot) {
            self.advance_close(now, slot, out);
        }
    }

    /// Closes with the newest voucher, without the node: the window runs.
    pub(super) fn close_alone(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let Some(before) = self.wallet.go_alone(slot, cx) else { return };
        if let Closing::Asked(stream) = before
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
        let ticket = self.tools.tx_ticket();
        let call = self.wallet.close_alone(slot, ticket);
        self.closings.submit(slot, ticket, call, out);
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
        let retry = self.config.monitor.poll;
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        match self.wallet.on_close_tx(slot, ticket, outcome, retry, cx) {
            None => return false,
            Some(Sent::Queued) => {}
            Some(Sent::Landed(block)) => self.await_block(now, block, out),
            Some(Sent::Overtaken) => self.poll(now, out),
            Some(Sent::Alone) => self.close_alone(now, slot, out),
            Some(Sent::Failed(reason)) => {
                let about = Subject::Channel(self.wallet.channels[slot].paying.channel);
                let surprise = Surprise::Reverted { ticket, reason };
                out.fault(Fault::Chain { about, rule: Rule::X1, surprise });
            }
        }
        true
    }
}
