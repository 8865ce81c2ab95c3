//! What a node keeps: channels, streams, connections, and its view of the chain.

use alloc::vec::Vec;

use crate::{
    crypto::StreamResponseTerms,
    delivery::{Meter, Tail},
    dispute::Watch,
    ids::{Address, BlobHash, ChannelId, ConnId, NodeId, StreamId},
    money::{Amount, Nonce, Rate},
    record::{Best, ChannelStatus, Earning, Record},
    state::{Canon, Canonical, Slot},
    wire::Protocol,
};

/// A channel that pays this node.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    pub(super) client: Address,
    pub(super) token: Address,
    pub(super) deposit: Amount,
    pub(super) opened_at_block: u64,
    pub(super) status: ChannelStatus,
    /// The best voucher, durable or about to be.
    pub(super) best: Option<Best>,
    /// The amount of the best durable voucher: what the sending limit goes by (V3).
    pub(super) durable: Amount,
    pub(super) meter: Meter,
    /// Streams on this channel, in the order of their requests.
    pub(super) streams: Vec<StreamId>,
    /// Which of them is served first next time.
    pub(super) turn: u32,
    /// What ended streams sent last and the channel has not paid (D8).
    pub(super) tails: Vec<Tail>,
    /// Whether a consent is being signed.
    pub(super) is_consenting: bool,
    /// Whether its deposit counts towards the soft cap (V6).
    pub(super) is_soft: bool,
}

impl Channel {
    pub(super) fn best_pair(&self) -> (Nonce, Amount) {
        self.best.map_or((Nonce::NONE, Amount::ZERO), |best| (best.nonce, best.amount))
    }

    pub(super) fn record(&self) -> Record {
        Record::Earning(Earning {
            channel: self.id,
            client: self.client,
            token: self.token,
            deposit: self.deposit,
            opened_at_block: self.opened_at_block,
            status: self.status,
            best: self.best,
        })
    }

    /// Whether some sent byte is not paid by a durable voucher.
    pub(super) fn has_unpaid(&self) -> bool {
        self.meter.unpaid(self.durable) > 0
    }

    /// Whether some sent byte may have been lost, by all that the best durable voucher says. At a rate of a few base
    /// units per MB a voucher is rounded up over many groups, so a byte may be paid for and lost all the same.
    pub(super) fn may_have_lost(&self) -> bool {
        self.meter.is_ahead_of(self.durable)
    }
}

/// Where a stream stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StreamState {
    /// The response is being signed.
    Answering,
    /// Content goes out.
    Sending,
    /// Nothing more goes out; vouchers for what went are still taken.
    Ended,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) channel: Slot,
    pub(super) state: StreamState,
    pub(super) terms: StreamResponseTerms,
    pub(super) offer: u64,
    /// Next byte to send, and the end of the range.
    pub(super) next: u64,
    pub(super) end: u64,
    pub(super) unanswered: u8,
    pub(super) tail: Tail,
}

#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) peer: NodeId,
    pub(super) protocol: Protocol,
    /// The account it proved (I3).
    pub(super) account: Option<Address>,
    pub(super) streams: u32,
}

/// What a signature was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signing {
    Response(StreamId),
    Consent { channel: Slot, stream: StreamId },
    Probe { stream: StreamId, rate: Rate, total_bytes: Option<u64> },
}

impl Canon for (&Channel, Option<&Watch>) {
    fn canon(&self, out: &mut Canonical) {
        let (channel, watch) = self;
        out.tag(b'c');
        out.bytes(&channel.id.0);
        out.tag(channel.status as u8 | u8::from(channel.is_soft) << 4 | u8::from(watch.is_some()) << 5);
        let (nonce, amount) = channel.best_pair();
        out.number(nonce.0);
        out.large(amount.0);
        out.large(channel.durable.0);
        out.large(channel.meter.owed_raw());
        out.number(channel.tails.len() as u64);
        channel.tails.iter().for_each(|tail| tail.canon(out));
        if let Some(watch) = watch {
            watch.canon(out);
        }
    }
}

impl Canon for (StreamId, &Stream) {
    fn canon(&self, out: &mut Canonical) {
        let (id, stream) = self;
        out.tag(b's');
        out.number(id.conn.0);
        out.number(u64::from(id.index));
        out.tag(stream.state as u8);
        out.tag(stream.unanswered);
        out.number(stream.next);
        out.number(stream.end);
        out.number(stream.offer);
        stream.tail.canon(out);
    }
}

impl Canon for (ConnId, &Conn) {
    fn canon(&self, out: &mut Canonical) {
        let (id, conn) = self;
        out.tag(b'n');
        out.number(id.0 | conn.protocol.canon());
        out.bytes(&conn.peer.0);
        out.bytes(conn.account.unwrap_or_default().as_slice());
    }
}

impl Canon for (BlobHash, u64) {
    fn canon(&self, out: &mut Canonical) {
        out.tag(b'b');
        out.bytes(&self.0.0);
        out.number(self.1);
    }
}
