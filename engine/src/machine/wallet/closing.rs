//! Ending a channel: cooperatively if the node consents in time, else alone with the newest voucher (V7, C1, C4).
//!
//! How far its close has come is part of a channel, and no machine of its own: whether it is bought on, and whether anything more
//! is promised on it, hangs on it.

use super::{Channel, Wallet};
use crate::{
    chain::{Revert, TxOutcome, channel::Call},
    crypto::Signature,
    ids::{StreamId, TxTicket},
    machine::{AlarmKey, Cx, Tools},
    record::ChannelStatus,
    state::Slot,
    time::Span,
    wire::{Auth, CloseRequest},
};

/// How far this role's own close of a channel has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Closing {
    /// Not closing.
    No,
    /// The final voucher, a connection or a proof of identity is still missing.
    Wanted,
    /// The node was asked for its consent.
    Asked(StreamId),
    /// It said "not now": it is asked again after a back-off (D11).
    PutOff,
    /// A close is on its way to the chain, with the node's consent.
    Cooperative(TxTicket),
    /// A close is on its way to the chain, without.
    Unilateral(TxTicket),
}

/// What moves a close along.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing for now.
    Nothing,
    /// The final voucher's signature.
    Sign,
    /// The node's consent, if it can be asked.
    Ask,
    /// A close without the node: its consent is late, or nobody knows which node it is.
    Alone,
}

/// What became of a close that was on its way to the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// The delayed inbox has it.
    Queued,
    /// It is in this block.
    Landed(u64),
    /// Somebody else closed the channel meanwhile: the events say how.
    Overtaken,
    /// The node's consent was good for nothing: without it, then.
    Alone,
    /// Nothing that we know of can make it fail: it is tried again after a wait.
    Failed(Revert),
}

impl Channel {
    /// Whether its close is still this role's to make: nothing is on its way, and the chain knows of none.
    pub fn is_to_be_closed(&self) -> bool {
        let is_wanted = matches!(self.closing, Closing::Wanted | Closing::Asked(_) | Closing::PutOff);
        is_wanted && self.paying.status != ChannelStatus::Closing
    }

    /// Whether the node is being asked for its consent on this stream.
    pub fn is_asking_on(&self, stream: StreamId) -> bool {
        self.closing == Closing::Asked(stream)
    }

    /// Whether the node is being asked for its consent.
    pub fn is_asking(&self) -> bool {
        matches!(self.closing, Closing::Asked(_))
    }
}

impl Wallet {
    /// A channel is to be closed, with the node's consent if that comes within this time. False if that has begun.
    pub fn want_close(&mut self, slot: Slot, consent: Span, cx: &mut Cx<'_>) -> bool {
        let channel = &mut self.channels[slot];
        if channel.closing != Closing::No || channel.paying.status == ChannelStatus::Closing {
            return false;
        }
        channel.closing = Closing::Wanted;
        cx.tools.alarms.arm(AlarmKey::Consent(slot), cx.now.mono + consent);
        true
    }

    /// What a close needs next: the end of the streams that still run, the final voucher's signature, then the node's consent.
    /// What a stream brings after the request would be in no final voucher.
    pub fn close_step(&self, slot: Slot, is_buying: bool, tools: &Tools) -> Step {
        let channel = &self.channels[slot];
        if channel.closing != Closing::Wanted || channel.signing.is_some() || is_buying {
            return Step::Nothing;
        }
        if channel.needs_signature() {
            return Step::Sign;
        }
        let is_late = tools.alarms.at(AlarmKey::Consent(slot)).is_none();
        if is_late || channel.paying.node == Default::default() { Step::Alone } else { Step::Ask }
    }

    /// The node is asked for its consent, on this stream.
    pub fn ask_consent(&mut self, slot: Slot, stream: StreamId, auth: Option<Auth>) -> CloseRequest {
        let channel = &mut self.channels[slot];
        assert_eq!(channel.closing, Closing::Wanted, "a node is asked once at a time");
        assert!(!channel.needs_signature(), "what a node is to consent to is signed (V7)");
        channel.closing = Closing::Asked(stream);
        CloseRequest { channel: channel.paying.channel, voucher: channel.signed_voucher(), auth }
    }

    /// The connection that it was asked on is gone.
    pub fn on_asking_lost(&mut self, slot: Slot) {
        let channel = &mut self.channels[slot];
        assert!(channel.is_asking(), "a close has one stream, as long as the node is asked");
        channel.closing = Closing::Wanted;
    }

    /// The node signed, rightly: both want this amount, so it settles at once.
    pub fn on_consent(
        &mut self,
        slot: Slot,
        ticket: TxTicket,
        signature: Signature,
        cx: &mut Cx<'_>,
    ) -> Call {
        let channel = &mut self.channels[slot];
        assert!(channel.is_asking(), "only who was asked consents");
        channel.closing = Closing::Cooperative(ticket);
        cx.tools.alarms.cancel(AlarmKey::Consent(slot));
        Call::CloseCooperatively {
            channel: channel.paying.channel,
            voucher: channel.signed_voucher(),
            node_signature: signature,
        }
    }

    /// The node said "not now": it is asked again after a wait, which depends on how often it said that.
    pub fn put_off(&mut self, slot: Slot, wait: impl FnOnce(u32) -> Span, cx: &mut Cx<'_>) {
        let channel = &mut self.channels[slot];
        assert!(channel.is_asking(), "who refuses was asked");
        channel.closing = Closing::PutOff;
        channel.refusals = channel.refusals.saturating_add(1);
        cx.tools.alarms.arm(AlarmKey::Ask(slot), cx.now.mono + wait(channel.refusals.into()));
    }

    /// The wait is over. False if the close has gone on without the node.
    pub fn ask_again(&mut self, slot: Slot) -> bool {
        let channel = &mut self.channels[slot];
        let is_due = channel.closing == Closing::PutOff && channel.paying.status != ChannelStatus::Closing;
        if is_due {
            channel.closing = Closing::Wanted;
        }
        is_due
    }

    /// The node is not waited for any more. How far the close had come; `None` if it needs nothing of ours.
    pub fn go_alone(&mut self, slot: Slot, cx: &mut Cx<'_>) -> Option<Closing> {
        let channel = &mut self.channels[slot];
        if !channel.is_to_be_closed() {
            return None;
        }
        cx.tools.alarms.cancel(AlarmKey::Consent(slot));
        Some(core::mem::replace(&mut channel.closing, Closing::Wanted))
    }

    /// The close without the node: the window runs.
    pub fn close_alone(&mut self, slot: Slot, ticket: TxTicket) -> Call {
        let channel = &mut self.channels[slot];
        assert_eq!(channel.closing, Closing::Wanted, "one close is on its way at a time");
        assert!(!channel.needs_signature(), "a close takes the newest voucher along (X1)");
        channel.closing = Closing::Unilateral(ticket);
        Call::Close { channel: channel.paying.channel, voucher: channel.signed_voucher() }
    }

    /// What a transaction came to, if it was this channel's close. One that failed without the node's doing is tried again
    /// after `retry`.
    pub fn on_close_tx(
        &mut self,
        slot: Slot,
        ticket: TxTicket,
        outcome: &TxOutcome,
        retry: Span,
        cx: &mut Cx<'_>,
    ) -> Option<Sent> {
        use crate::chain::channel::Revert::{AmountNotHigher, NotOpen};
        let channel = &mut self.channels[slot];
        let was_alone = channel.closing == Closing::Unilateral(ticket);
        if !was_alone && channel.closing != Closing::Cooperative(ticket) {
            return None;
        }
        let reason = match outcome {
            TxOutcome::Queued { .. } => return Some(Sent::Queued),
            TxOutcome::Included { result: Ok(()), block } => {
                channel.closed_in = Some(block.number);
                return Some(Sent::Landed(block.number));
            }
            TxOutcome::Included { result: Err(Revert::Channel(NotOpen | AmountNotHigher)), .. } => {
                return Some(Sent::Overtaken);
            }
            TxOutcome::Included { result: Err(reason), .. } => *reason,
            TxOutcome::Lost | TxOutcome::Absent => Revert::Other,
        };
        channel.closing = Closing::Wanted;
        if channel.paying.status == ChannelStatus::Closing {
            return Some(Sent::Overtaken);
        }
        if !was_alone {
            return Some(Sent::Alone);
        }
        cx.tools.alarms.arm(AlarmKey::Consent(slot), cx.now.mono + retry);
        Some(Sent::Failed(reason))
    }

    /// The chain took its close back: it was to be closed, by whomever, and begins anew.
    pub fn on_close_undone(&mut self, slot: Slot) {
        let channel = &mut self.channels[slot];
        channel.paying.status = ChannelStatus::Final;
        channel.closing = Closing::No;
    }
}
