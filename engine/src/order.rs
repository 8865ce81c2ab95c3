//! What an owner orders: downloads, and what is to become of money that is there.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{Address, BlobHash, ChannelId, FetchId, NodeId},
    money::{Amount, Rate},
};

/// A node that may have the blob: an entry of the fixed list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Its network key.
    pub node: NodeId,
    /// Its account, as the registry has it.
    pub operator: Address,
}

/// What an owner agrees to: an opening that costs no more than this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// The most per MB.
    pub rate: Rate,
    /// The most that goes into the channel.
    pub deposit: Amount,
}

impl Agreement {
    /// Whether an opening with this deposit, for this price, is within it.
    pub fn covers(&self, rate: Rate, deposit: Amount) -> bool {
        rate <= self.rate && deposit <= self.deposit
    }
}

/// An order to download a range of a blob.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FetchOrder {
    /// Names the download; chosen by whoever orders it, unique among live downloads.
    pub id: FetchId,
    /// What to fetch.
    pub hash: BlobHash,
    /// From where; a group boundary.
    pub offset_bytes: u64,
    /// How much; 0 means to the end.
    pub len_bytes: u64,
    /// Whom to ask, in this order.
    pub candidates: Vec<Candidate>,
    /// What to pay in.
    pub token: Address,
    /// The deposit of a channel that has to be opened.
    pub deposit: Amount,
    /// The configured cadence in bytes (D6).
    pub cadence_bytes: u64,
    /// The most to pay per MB.
    pub max_rate: Rate,
    /// Leave the channel open afterwards.
    pub keep_channel: bool,
}

/// An order about money that is there. Stores number the variants by their places: new ones go behind the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Order {
    /// Close a channel: a node one that it earns on, at once and with its best voucher (C11), a client one that it pays on (V7).
    Close(ChannelId),
    /// Draw the account's credit (C6).
    Withdraw {
        /// In which token.
        token: Address,
    },
    /// Close a channel whose token is allowed no more (C5), whosever it is.
    ForceClose(ChannelId),
    /// Have what a node has earned on a channel so far paid out, and go on with it (C12).
    Claim(ChannelId),
}

impl Order {
    /// Whether a call carries it out that takes nothing but the order. What a close takes is its role's to know.
    pub fn is_call(&self) -> bool {
        match self {
            Self::Close(_) | Self::Claim(_) => false,
            Self::Withdraw { .. } | Self::ForceClose(_) => true,
        }
    }
}
