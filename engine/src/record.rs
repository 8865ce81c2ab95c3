//! What a role stores durably. Recovery is a fold: the last record of each key is the truth.

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{Signature, SignedVoucher},
    ids::{Address, BlobHash, ChannelId, FetchId, NodeId},
    money::{Amount, Nonce},
    order::{FetchOrder, Order},
    time::ChainTime,
};

/// A write set's number: rises by one with each, over all lanes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct PersistSeq(pub u64);

/// What a record is about: a later record with the same key replaces an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Key {
    /// A channel that this role pays on.
    Paying(ChannelId),
    /// A channel that this role is paid on.
    Earning(ChannelId),
    /// A download.
    Fetch(FetchId),
    /// How far the chain was read.
    Cursor,
    /// A dispute in the delayed inbox.
    Dispute(ChannelId),
    /// An owner's order about money.
    Order(Order),
    /// What was claimed on a channel.
    Claimed(ChannelId),
    /// What an account kept from this role, in a token.
    Forgone(Address, Address),
}

/// Where a channel stands, as far as this role has heard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ChannelStatus {
    /// Open.
    Open,
    /// The node consented to a cooperative close, or the client asked for one: no more service (V7).
    Final,
    /// Closing on chain: only the dispute matters.
    Closing,
    /// The node closes it by itself: no more service, but what the client still signs is taken (V7).
    Ending,
    /// Open, and put aside: nothing was asked for on it for long, and what it has earned is not worth a transaction (X2).
    Idle,
    /// Closing, and put aside: the window is over for long, and settling it pays nothing (X2).
    Forgone,
}

/// A paying channel: what the client must never lose (V3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Paying {
    /// The channel.
    pub channel: ChannelId,
    /// The node's network key.
    pub node: NodeId,
    /// The node's account.
    pub operator: Address,
    /// The token.
    pub token: Address,
    /// The deposit.
    pub deposit: Amount,
    /// L2 block of the opening.
    pub opened_at_block: u64,
    /// Where it stands.
    pub status: ChannelStatus,
    /// Whether it stays open when no download uses it.
    pub is_kept: bool,
    /// The newest voucher's nonce and amount: revealed, or about to be.
    pub nonce: Nonce,
    /// See `nonce`.
    pub amount: Amount,
    /// What is owed, unrounded, for every verified byte that this record covers.
    pub meter: crate::delivery::Meter,
}

/// An earning channel: what the node must never lose (V3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Earning {
    /// The channel.
    pub channel: ChannelId,
    /// The payer's account.
    pub client: Address,
    /// The token.
    pub token: Address,
    /// The deposit.
    pub deposit: Amount,
    /// L2 block of the opening.
    pub opened_at_block: u64,
    /// Where it stands.
    pub status: ChannelStatus,
    /// The best voucher: nonce, amount, signature.
    pub best: Option<Best>,
}

/// The best voucher of an earning channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Best {
    /// Its amount.
    pub amount: Amount,
    /// Its nonce.
    pub nonce: Nonce,
    /// The client's signature.
    pub signature: Signature,
    /// The meter when it was taken, so that a restart knows the rate it paid for.
    pub meter: crate::delivery::Meter,
}

/// What claims have paid out of a channel so far (C12).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Claimed {
    /// The channel.
    pub channel: ChannelId,
    /// All of it.
    pub amount: Amount,
}

/// What an account kept from this role because disputing it was worth nothing, or did not succeed (X2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forgone {
    /// The account.
    pub client: Address,
    /// In which token.
    pub token: Address,
    /// All of it.
    pub amount: Amount,
}

/// A dispute that was sent to the delayed inbox (X1): its 24 hours are not to begin anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Dispute {
    /// The channel.
    pub channel: ChannelId,
    /// What it was sent with.
    pub voucher: SignedVoucher,
    /// What L1 said of it, once it had it.
    pub queued: Option<Queued>,
}

/// A message that the delayed inbox has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Queued {
    /// When L1 took it, by the chain's clock.
    pub at: ChainTime,
    /// From when on it can be forced.
    pub forcible: ChainTime,
}

/// A download that survives a restart (D14).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchRecord {
    /// What was ordered.
    pub order: FetchOrder,
    /// Content bytes from `order.offset_bytes` that are verified and durable.
    pub verified_bytes: u64,
    /// The blob's size, once a node has said it.
    pub total_bytes: Option<u64>,
}

/// One write: a value for a key, or its removal. Stores number the variants by their places: new ones go behind the others.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// See [`Paying`].
    Paying(Paying),
    /// See [`Earning`].
    Earning(Earning),
    /// See [`FetchRecord`].
    Fetch(FetchRecord),
    /// The first block that a restart has to read again: the effects of all events before it are durable.
    Cursor(u64),
    /// The key's value is no longer needed.
    Gone(Key),
    /// A download that has failed. What it has verified is kept until it is ordered again (D17).
    Kept(FetchRecord),
    /// See [`Dispute`].
    Dispute(Dispute),
    /// An owner's order about money that is not carried out yet. A close stays as long as its channel's record does.
    Order(Order),
    /// See [`Claimed`].
    Claimed(Claimed),
    /// See [`Forgone`].
    Forgone(Forgone),
}

impl Record {
    /// What the record is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Paying(paying) => Key::Paying(paying.channel),
            Self::Earning(earning) => Key::Earning(earning.channel),
            Self::Fetch(fetch) | Self::Kept(fetch) => Key::Fetch(fetch.order.id),
            Self::Cursor(_) => Key::Cursor,
            Self::Gone(key) => *key,
            Self::Dispute(dispute) => Key::Dispute(dispute.channel),
            Self::Order(order) => Key::Order(*order),
            Self::Claimed(claimed) => Key::Claimed(claimed.channel),
            Self::Forgone(forgone) => Key::Forgone(forgone.client, forgone.token),
        }
    }

    /// The download that it is about, under way or kept.
    pub fn as_fetch(&self) -> Option<&FetchRecord> {
        match self {
            Self::Fetch(fetch) | Self::Kept(fetch) => Some(fetch),
            Self::Paying(_)
            | Self::Earning(_)
            | Self::Cursor(_)
            | Self::Gone(_)
            | Self::Dispute(_)
            | Self::Order(_)
            | Self::Claimed(_)
            | Self::Forgone(_) => None,
        }
    }
}

/// For code that wants the blob of a record without matching on it.
impl FetchRecord {
    /// The blob.
    pub fn hash(&self) -> BlobHash {
        self.order.hash
    }
}
