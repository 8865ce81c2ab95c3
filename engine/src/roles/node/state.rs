//! What a node keeps: channels, streams, connections, and its view of the chain.

use alloc::vec::Vec;

use crate::{
    crypto::StreamResponseTerms,
    delivery::{Meter, Tail},
    dispute::Watch,
    ids::{Address, ChannelId, ConnId, NodeId, StreamId},
    money::{Amount, Nonce},
    record::{Best, ChannelStatus, Earning, Record},
    state::{Alarm, Canon, Mark, Slot},
    time::{ChainTime, Span, Time},
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
    /// Set while the channel is closing on chain.
    pub(super) watch: Option<alloc::boxed::Box<Watch>>,
    /// Whether its deposit counts towards the soft cap (V6).
    pub(super) is_soft: bool,
    pub(super) mark: Mark,
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
    pub(super) mark: Mark,
}

#[derive(Clone, Debug)]
pub(super) struct Conn {
    pub(super) peer: NodeId,
    /// The account it proved (I3).
    pub(super) account: Option<Address>,
    pub(super) streams: u32,
    pub(super) mark: Mark,
}

/// What a signature was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signing {
    Response(StreamId),
    Consent { channel: Slot, stream: StreamId },
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum AlarmKey {
    Poll,
    Force(Slot),
    Settle(Slot),
}

/// What the node has heard of the chain.
#[derive(Clone, Debug)]
pub(super) struct ChainView {
    pub(super) head: u64,
    /// `block.timestamp` of the head, and when it was heard.
    pub(super) head_time: ChainTime,
    pub(super) head_at: Option<Time>,
    pub(super) is_clock_sane: bool,
    pub(super) safe: u64,
    pub(super) next_block: u64,
    pub(super) forced_inclusion: Span,
    pub(super) polling: bool,
    pub(super) poll: Alarm,
}

impl Canon for Channel {
    fn canon(&self, out: &mut Vec<u8>) {
        out.push(b'c');
        out.extend_from_slice(&self.id.0);
        out.push(self.status as u8);
        out.extend_from_slice(&self.deposit.0.to_le_bytes());
        let (nonce, amount) = self.best_pair();
        out.extend_from_slice(&nonce.0.to_le_bytes());
        out.extend_from_slice(&amount.0.to_le_bytes());
        out.extend_from_slice(&self.durable.0.to_le_bytes());
        out.extend_from_slice(&self.meter.owed_raw().to_le_bytes());
        out.push(u8::from(self.is_soft));
        self.tails.iter().for_each(|tail| tail.canon(out));
        if let Some(watch) = &self.watch {
            watch.canon(out);
        }
    }
}

impl Canon for (StreamId, &Stream) {
    fn canon(&self, out: &mut Vec<u8>) {
        let (id, stream) = self;
        out.push(b's');
        out.extend_from_slice(&id.conn.0.to_le_bytes());
        out.extend_from_slice(&id.index.to_le_bytes());
        out.push(stream.state as u8);
        out.push(stream.unanswered);
        out.extend_from_slice(&stream.next.to_le_bytes());
        out.extend_from_slice(&stream.end.to_le_bytes());
        out.extend_from_slice(&stream.offer.to_le_bytes());
        stream.tail.canon(out);
    }
}

impl Canon for (ConnId, &Conn) {
    fn canon(&self, out: &mut Vec<u8>) {
        let (id, conn) = self;
        out.push(b'n');
        out.extend_from_slice(&id.0.to_le_bytes());
        out.extend_from_slice(&conn.peer.0);
        out.extend_from_slice(conn.account.unwrap_or_default().as_slice());
    }
}
