//! What a client keeps: channels, peers, streams, downloads, openings.

use alloc::{boxed::Box, vec::Vec};

use super::probe::Price;
use crate::{
    crypto::Signature,
    delivery::Window,
    ids::{Address, ConnId, FetchId, NodeId, SignTicket, StreamId, TxTicket},
    io::FetchFailure,
    money::{Amount, Nonce},
    order::FetchOrder,
    record::{FetchRecord, Paying, Record},
    state::Slot,
    time::Span,
    wire::StreamRequest,
};

/// A channel that this client pays on.
#[derive(Clone, Debug)]
pub(super) struct Channel {
    /// What is durable, or about to be; its meter counts every verified byte.
    pub(super) paying: Paying,
    /// The newest voucher's signature, once there is one.
    pub(super) signature: Option<Signature>,
    pub(super) signing: Option<SignTicket>,
    pub(super) acked: Nonce,
    /// Content streams on this channel, in the order they began.
    pub(super) streams: Vec<StreamId>,
    pub(super) window: Window,
    /// Downloads whose stream on this channel broke off, and where: what came behind is lost, and counts at the node
    /// until it is asked for again (D8).
    pub(super) lost: Vec<(FetchId, u64)>,
    pub(super) closing: Closing,
    /// How often it was put off.
    pub(super) refusals: u8,
}

/// How far this client's own close has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closing {
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

/// A node, as this client is connected to it.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    pub(super) conn: Option<ConnId>,
    pub(super) is_up: bool,
    pub(super) rtt: Span,
    pub(super) next_stream: u32,
    /// Whether the node is known to have the proof of our account on this connection (I3): it has answered.
    /// Until then every request carries it, because streams overtake each other.
    pub(super) is_proven: bool,
    /// Channels whose newest voucher was sent on this connection (V3).
    pub(super) greeted: Vec<Slot>,
    /// Channels with this node.
    pub(super) channels: Vec<Slot>,
}

/// What a stream is for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// Content for a download; the request that was sent.
    Content {
        fetch: FetchId,
        request: Box<StreamRequest>,
        offer: u64,
        next: u64,
        end: u64,
        is_agreed: bool,
        paid_by: Option<Nonce>,
    },
    /// A cooperative close.
    Close,
}

#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub(super) channel: Slot,
    pub(super) node: NodeId,
    pub(super) purpose: Purpose,
}

/// Where a download stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// To be moved along: waits for a channel, a connection, a signature or the chain.
    Waiting,
    /// The node is asked for its price.
    Probing(ConnId),
    /// The node was asked.
    Requested(StreamId),
    /// Content is coming.
    Streaming(StreamId),
    /// Everything is verified; the last voucher has no ack yet.
    Paying(Slot),
    /// Waits before the next attempt.
    BackingOff,
}

#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) order: FetchOrder,
    /// Verified bytes from the order's offset.
    pub(super) verified: u64,
    pub(super) total: Option<u64>,
    /// Which candidate is being tried.
    pub(super) current: usize,
    /// Attempts without progress, per candidate.
    pub(super) tries: Vec<u8>,
    /// Unsigned refusals in a row: they say "later", not "no".
    pub(super) refusals: u8,
    /// What is known of each candidate's price.
    pub(super) prices: Vec<Price>,
    pub(super) stage: Stage,
    pub(super) why: FetchFailure,
    /// Channels whose content it got and whose record does not say so yet: written together with theirs (D14).
    pub(super) sources: Vec<Slot>,
}

impl Fetch {
    pub(super) fn record(&self) -> Record {
        Record::Fetch(FetchRecord {
            order: self.order.clone(),
            verified_bytes: self.verified,
            total_bytes: self.total,
        })
    }
}

/// A channel on its way to being open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub(super) node: NodeId,
    pub(super) operator: Address,
    pub(super) token: Address,
    pub(super) deposit: Amount,
    pub(super) keep: bool,
    pub(super) step: OpeningStep,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OpeningStep {
    Queued,
    Approving(TxTicket),
    Opening(TxTicket),
    /// In this block; its event has not been read yet.
    Included(u64),
}

/// What a signature was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signing {
    Proof,
    Voucher { channel: Slot, amount: Amount, nonce: Nonce },
}
