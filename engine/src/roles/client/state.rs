//! What a client keeps of downloads and openings.

use alloc::vec::Vec;

use super::probe::Price;
use crate::{
    ids::{Address, ConnId, NodeId, StreamId, TxTicket},
    io::FetchFailure,
    money::Amount,
    order::FetchOrder,
    record::{FetchRecord, Record},
    state::Slot,
};

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
