//! Paying channels: what is owed on each, the newest voucher, its signature and its acknowledgement (D5–D8, V1, V3).

mod check;
mod closing;

use alloc::{collections::BTreeMap, vec::Vec};

pub use closing::{Closing, Sent, Step};

use super::{AlarmKey, Cx};
use crate::{
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    delivery::Window,
    dispute::{Held, Watch},
    ids::{ChannelId, FetchId, NodeId, SignTicket, StreamId},
    io::Lane,
    money::{Amount, Nonce},
    record::{ChannelStatus, Paying},
    state::{Canon, Canonical, IdMap, Slot, TrackedSlab},
    time::Span,
    wire::Voucher,
};

/// A channel that this role pays on.
#[derive(Clone, Debug)]
pub struct Channel {
    /// What is durable, or about to be; its meter counts every verified byte.
    pub paying: Paying,
    /// The newest voucher's signature, once there is one.
    pub signature: Option<Signature>,
    /// The signature of the newest voucher that was asked for.
    pub signing: Option<SignTicket>,
    /// The highest nonce that the node has acknowledged.
    pub acked: Nonce,
    /// Content streams on this channel, in the order they began.
    pub streams: Vec<StreamId>,
    /// When to sign.
    pub window: Window,
    /// Downloads whose stream on this channel broke off, and where: what came behind is lost, and counts at the node
    /// until it is asked for again (D8).
    pub lost: Vec<(FetchId, u64)>,
    /// See [`Closing`].
    pub closing: Closing,
    /// The block that its close is said to be in, until that is read.
    pub closed_in: Option<u64>,
    /// How often its close was put off.
    pub refusals: u8,
}

/// What of a channel's streams decides whether a voucher is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Running {
    /// The smallest offer of those that have not ended, 0 without any.
    pub offer: u64,
    /// The largest next group among them.
    pub next_group: u64,
    /// Whether the last byte of one is verified and not paid.
    pub is_one_whole: bool,
}

/// What the signer's answer means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signed {
    /// The newest voucher of this channel can go out.
    Ready(Slot),
    /// The signer would not: it is asked again.
    Refused,
    /// Nobody's: its channel is gone, or it was never asked for here.
    Late,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Wallet {
    /// Channels that have not settled.
    pub channels: TrackedSlab<Channel>,
    by_id: IdMap<Slot>,
    by_node: BTreeMap<NodeId, Vec<Slot>>,
    signing: BTreeMap<SignTicket, Slot>,
}

impl Wallet {
    /// Without a channel. The places of its channels are numbered from here on.
    pub fn numbered_from(first: u32) -> Self {
        Self { channels: TrackedSlab::numbered_from(first), ..Self::default() }
    }

    /// Takes up a channel.
    pub fn adopt(&mut self, paying: Paying) -> Slot {
        let slot = self.channels.insert(Channel {
            paying,
            signature: None,
            signing: None,
            acked: Nonce::NONE,
            streams: Vec::new(),
            window: Window::default(),
            lost: Vec::new(),
            closing: Closing::No,
            closed_in: None,
            refusals: 0,
        });
        self.by_id.insert(paying.channel, slot);
        self.by_node.entry(paying.node).or_default().push(slot);
        slot
    }

    /// A channel has settled.
    pub fn remove(&mut self, slot: Slot, cx: &mut Cx<'_>) -> Option<Channel> {
        let gone = self.channels.remove(slot)?;
        AlarmKey::of_channel(slot).into_iter().for_each(|key| cx.tools.alarms.forget(key));
        self.by_id.remove(&gone.paying.channel);
        let of_node = self.by_node.get_mut(&gone.paying.node).expect("a channel is listed with its node");
        of_node.retain(|other| *other != slot);
        if of_node.is_empty() {
            self.by_node.remove(&gone.paying.node);
        }
        Some(gone)
    }

    /// The channel of an id.
    pub fn slot(&self, id: &ChannelId) -> Option<Slot> {
        self.by_id.get(id)
    }

    /// The channels with a node, the oldest first.
    pub fn with(&self, node: NodeId) -> &[Slot] {
        self.by_node.get(&node).map(Vec::as_slice).unwrap_or_default()
    }

    /// The nodes with which there are channels.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.by_node.keys().copied()
    }

    /// The signatures under way.
    pub fn tickets(&self) -> impl Iterator<Item = SignTicket> {
        self.signing.keys().copied()
    }

    /// How many signatures are under way.
    pub fn signing(&self) -> usize {
        self.signing.len()
    }

    /// Raises what is promised to all that was verified, if the window asks for it, or if `is_due` and anything is unpaid
    /// (D6, D7). The new voucher is not signed yet: first it has to be on record (V3).
    pub fn promise(
        &mut self,
        slot: Slot,
        is_due: bool,
        running: Running,
        cx: &mut Cx<'_>,
    ) -> Option<VoucherTerms> {
        let channel = self.channels.get(slot)?;
        if !channel.may_promise() {
            return None;
        }
        let Running { offer, next_group, is_one_whole } = running;
        let unpaid = channel.paying.meter.unpaid(channel.paying.amount);
        let is_full = offer > 0 && unpaid + next_group > offer;
        let is_last = channel.streams.is_empty() || is_one_whole;
        if !(is_due || is_last || channel.window.wants_voucher(unpaid, offer, next_group)) {
            return None;
        }
        let nonce = channel.paying.nonce.next()?;
        let channel = &mut self.channels[slot];
        if is_full {
            channel.window.on_full();
        }
        channel.paying.nonce = nonce;
        channel.paying.amount = channel.owed();
        channel.signature = None;
        cx.tools.alarms.cancel(AlarmKey::Quiet(slot));
        cx.tools.alarms.cancel(AlarmKey::Resend(slot));
        Some(channel.newest_terms())
    }

    /// Asks for the newest voucher's signature, unless that was done.
    pub fn sign(&mut self, slot: Slot, cx: &mut Cx<'_>) {
        if self.channels[slot].signing.is_some() {
            return;
        }
        let channel = &mut self.channels[slot];
        let ticket = cx.tools.sign(Lane::Channel(slot.index), Typed::Voucher(channel.newest_terms()), cx.out);
        channel.signing = Some(ticket);
        self.signing.insert(ticket, slot);
    }

    /// The signer's answer.
    pub fn on_signed(
        &mut self,
        ticket: SignTicket,
        signature: Option<Signature>,
        ack: Span,
        cx: &mut Cx<'_>,
    ) -> Signed {
        let Some(slot) = self.signing.remove(&ticket) else { return Signed::Late };
        let Some(channel) = self.channels.get_mut(slot) else { return Signed::Late };
        assert_eq!(channel.signing, Some(ticket), "a channel has one signature under way");
        channel.signing = None;
        if signature.is_none() {
            Self::arm_resend(slot, ack, cx);
            return Signed::Refused;
        }
        channel.signature = signature;
        Signed::Ready(slot)
    }

    /// V3: unacknowledged after this long, the newest voucher goes out again; without a signature it is asked for again.
    pub fn arm_resend(slot: Slot, ack: Span, cx: &mut Cx<'_>) {
        cx.tools.alarms.arm(AlarmKey::Resend(slot), cx.now.mono + ack);
    }

    /// The node says that it has a voucher. `false` if it was never signed.
    pub fn on_ack(&mut self, slot: Slot, nonce: Nonce, cx: &mut Cx<'_>) -> bool {
        let channel = &mut self.channels[slot];
        if nonce > channel.paying.nonce {
            return false;
        }
        channel.acked = channel.acked.max(nonce);
        if channel.acked == channel.paying.nonce {
            cx.tools.alarms.cancel(AlarmKey::Resend(slot));
        }
        true
    }
}

impl Channel {
    /// What the newest voucher says.
    pub fn newest_terms(&self) -> VoucherTerms {
        VoucherTerms {
            channel: self.paying.channel,
            amount: self.paying.amount,
            nonce: self.paying.nonce,
            token: self.paying.token,
        }
    }

    /// Whether there is a voucher whose signature is not at hand.
    pub fn needs_signature(&self) -> bool {
        self.paying.nonce != Nonce::NONE && self.signature.is_none()
    }

    /// The newest voucher as it goes on chain.
    pub fn signed_voucher(&self) -> Option<SignedVoucher> {
        let signature = self.signature?;
        (self.paying.nonce != Nonce::NONE).then(|| SignedVoucher { terms: self.newest_terms(), signature })
    }

    /// The newest voucher in the form it travels.
    pub fn newest_voucher(&self) -> Option<Voucher> {
        let SignedVoucher { terms, signature } = self.signed_voucher()?;
        Some(Voucher { amount: terms.amount, nonce: terms.nonce, signature })
    }

    /// What is held of it, should it be closing (X1).
    pub fn held(&self) -> Held {
        Held {
            channel: self.paying.channel,
            deposit: self.paying.deposit,
            amount: self.paying.amount,
            voucher: self.signed_voucher(),
            is_signing: self.signing.is_some(),
        }
    }

    /// Whether everything verified is signed for.
    pub fn is_square(&self) -> bool {
        self.owed() <= self.paying.amount
    }

    /// Whether a new voucher may be promised at all: something is unpaid, no signature is under way, and the final voucher
    /// is not out. What came after that one is not paid, and was not asked for.
    pub fn may_promise(&self) -> bool {
        self.signing.is_none() && !self.is_square() && matches!(self.closing, Closing::No | Closing::Wanted)
    }

    /// What all verified bytes cost, as far as the deposit goes.
    fn owed(&self) -> Amount {
        self.paying.meter.owed().min(self.paying.deposit)
    }

    /// Whether it can be bought on: it is open, and not about to be closed.
    pub fn is_open(&self) -> bool {
        self.paying.status == ChannelStatus::Open && self.closing == Closing::No
    }

    /// Whether it is on the chain without a record of ours that would let it be paid on, and not closing yet.
    pub fn is_apart(&self) -> bool {
        self.paying.status == ChannelStatus::Final && self.closing == Closing::No
    }

    /// A download's stream broke off here, or may have (D8).
    pub fn note_lost(&mut self, fetch: FetchId, at: u64) {
        match self.lost.iter_mut().find(|(of, _)| *of == fetch) {
            Some((_, first)) => *first = at.min(*first),
            None => self.lost.push((fetch, at)),
        }
    }
}

impl Canon for (&Channel, Option<&Watch>) {
    fn canon(&self, out: &mut Canonical) {
        let (channel, watch) = self;
        let paying = &channel.paying;
        out.tag(b'C');
        out.bytes(&paying.channel.0);
        let flags = [
            channel.signature.is_some(),
            channel.signing.is_some(),
            channel.window.is_halved,
            watch.is_some(),
        ];
        let flags = flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag));
        out.tag(paying.status as u8 | flags << 4);
        out.number(paying.nonce.0);
        out.large(paying.amount.0);
        out.large(paying.meter.owed_raw());
        out.number(channel.acked.0);
        let (closing, ticket) = match channel.closing {
            Closing::No => (0, 0),
            Closing::Wanted => (1, 0),
            Closing::Asked(stream) => (2, u64::from(stream.index)),
            Closing::Cooperative(ticket) => (3, ticket.0),
            Closing::Unilateral(ticket) => (4, ticket.0),
            Closing::PutOff => (5, u64::from(channel.refusals)),
        };
        out.tag(closing);
        out.number(ticket);
        if let Some(watch) = watch {
            watch.canon(out);
        }
    }
}
