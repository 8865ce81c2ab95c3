//! What is said to the chain and heard from it, and what the engine expects a call to do.

mod checkpoint;
mod cursor;
pub mod predict;

pub use checkpoint::Checkpoint;
pub use cursor::{Cursor, Taken};

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{Signature, SignedVoucher},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::{ChainTime, Span},
};

/// A block: its number and its timestamp.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Block {
    /// L2 block number.
    pub number: u64,
    /// `block.timestamp`.
    pub time: ChainTime,
}

/// A call that a role asks to be made from its account.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Call {
    /// ERC-20 `approve(PaymentChannel, amount)`.
    Approve {
        /// The token.
        token: Address,
        /// The allowance.
        amount: Amount,
    },
    /// `openChannel`.
    Open {
        /// The node's operator account.
        node: Address,
        /// The token.
        token: Address,
        /// The deposit.
        deposit: Amount,
    },
    /// `closeChannel`; without a voucher, the empty one (C1).
    Close {
        /// The channel.
        channel: ChannelId,
        /// The voucher to close with.
        voucher: Option<SignedVoucher>,
    },
    /// `disputeChannel` (C2).
    Dispute {
        /// The voucher with the higher amount.
        voucher: SignedVoucher,
    },
    /// `settleChannel` (C3).
    Settle {
        /// The channel.
        channel: ChannelId,
    },
    /// `closeCooperatively` (C4).
    CloseCooperatively {
        /// The channel.
        channel: ChannelId,
        /// The final voucher; `None` for the empty one.
        voucher: Option<SignedVoucher>,
        /// The node's signature of the same terms.
        node_signature: Signature,
    },
    /// `withdrawCredit` (C6).
    WithdrawCredit {
        /// The token.
        token: Address,
    },
    /// `forceCloseChannel` (C5). No role of ours makes it; anyone may.
    ForceClose {
        /// The channel.
        channel: ChannelId,
    },
}

impl Call {
    /// The channel that the call is about.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Close { channel, .. }
            | Self::Settle { channel }
            | Self::ForceClose { channel }
            | Self::CloseCooperatively { channel, .. } => Some(*channel),
            Self::Dispute { voucher } => Some(voucher.terms.channel),
            Self::Approve { .. } | Self::Open { .. } | Self::WithdrawCredit { .. } => None,
        }
    }
}

/// How a transaction gets to the chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Route {
    /// Through the L2 sequencer.
    Sequencer,
    /// Through the L1 delayed inbox (L2). It is included by a willing sequencer, or by force after the delay.
    DelayedInbox,
}

/// What became of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TxOutcome {
    /// The delayed inbox holds it; from `forcible` on it can be forced in.
    Queued {
        /// When L1 took it, by the chain's clock.
        at: ChainTime,
        /// From when on `forceInclusion` works.
        forcible: ChainTime,
    },
    /// It is in a block.
    Included {
        /// The block.
        block: Block,
        /// Whether it did what it should, or why not.
        result: Result<(), Revert>,
    },
    /// It will not be included: refused by the endpoint, replaced, or lost.
    Lost,
}

/// Why the contract refused a call: its custom errors.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the contract's; contracts/src documents them")]
pub enum Revert {
    Paused,
    TokenNotAllowed,
    ZeroDeposit,
    DepositTooLarge,
    NodeNotActive,
    SelfChannel,
    UnknownChannel,
    NotParty,
    NotOpen,
    NotClosing,
    WrongToken,
    BadSignature,
    BadVoucher,
    AmountNotHigher,
    AmountTooLow,
    WindowOpen,
    WindowOver,
    TransferFailed,
    NothingToWithdraw,
    BadSplit,
    TokenStillAllowed,
    /// Anything else: a token's own error, out of gas, a panic.
    Other,
}

/// Something that happened to a channel, on chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ChainEvent {
    /// In which block.
    pub block: Block,
    /// Which channel.
    pub channel: ChannelId,
    /// What.
    pub kind: EventKind,
}

/// The contract's events, as far as a role cares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract's events")]
pub enum EventKind {
    /// `ChannelOpened`
    Opened { client: Address, node: Address, token: Address, deposit: Amount },
    /// `ChannelClosing`, of a close or, with amount 0, of a forced one (C5)
    Closing { by: Address, amount: Amount, nonce: Nonce, deadline: ChainTime },
    /// `ChannelDisputed`
    Disputed { by: Address, amount: Amount, nonce: Nonce },
    /// `ChannelSettled`
    Settled { paid: Amount, refunded: Amount, cooperative: bool },
}

/// An answer to a poll, or news from a subscription: events of the role's channels, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ChainUpdate {
    /// The soft head (L1).
    pub head: Block,
    /// The safe head's number.
    pub safe: u64,
    /// Events from the polled block on, at most `limits.chain_events`.
    pub events: Vec<ChainEvent>,
    /// The first block that this update does not cover: where the next poll starts.
    pub next: u64,
    /// How long the chain's delayed inbox takes (L2), read live.
    pub forced_inclusion: Span,
}
