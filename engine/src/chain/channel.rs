//! The payment channel: its calls, reasons, events and state, and what the engine expects of a call.

pub mod predict;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{Signature, SignedVoucher},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::ChainTime,
};

/// The largest deposit that the contract takes, in base units.
pub const DEPOSIT_MAX: Amount = Amount((1 << 96) - 1);

/// A call of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Call {
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
    /// `claimChannel` (C12): what the node has earned so far is paid, and the channel stays open. No role of ours makes it yet.
    Claim {
        /// The voucher with the higher amount.
        voucher: SignedVoucher,
    },
    /// `finishChannel` (C11): the node's own ending, without a window. No role of ours makes it yet.
    Finish {
        /// The channel.
        channel: ChannelId,
        /// The voucher to finish with; `None` for the empty one, which means what is recorded.
        voucher: Option<SignedVoucher>,
    },
    /// `withdrawCredit` (C6).
    WithdrawCredit {
        /// The token.
        token: Address,
        /// Who gets it: anybody but nobody and the contract itself.
        to: Address,
    },
    /// `forceCloseChannel` (C5). No role of ours makes it; anyone may.
    ForceClose {
        /// The channel.
        channel: ChannelId,
    },
}

impl Call {
    /// The channel that the call is about: a voucher's own, where it carries one. The empty voucher of C1 and C4 is sent
    /// with the channel's token.
    pub fn channel(&self) -> Option<ChannelId> {
        match self {
            Self::Close { voucher: Some(voucher), .. }
            | Self::Finish { voucher: Some(voucher), .. }
            | Self::CloseCooperatively { voucher: Some(voucher), .. }
            | Self::Dispute { voucher }
            | Self::Claim { voucher } => Some(voucher.terms.channel),
            Self::Close { channel, .. }
            | Self::Finish { channel, .. }
            | Self::Settle { channel }
            | Self::ForceClose { channel }
            | Self::CloseCooperatively { channel, .. } => Some(*channel),
            Self::Open { .. } | Self::WithdrawCredit { .. } => None,
        }
    }

    pub(super) fn purpose(&self) -> &'static str {
        match self {
            Self::Open { .. } => "opening a channel",
            Self::Close { .. } | Self::ForceClose { .. } => "closing a channel",
            Self::CloseCooperatively { .. } => "closing a channel together",
            Self::Dispute { .. } => "disputing a close",
            Self::Claim { .. } => "claiming what a channel has earned",
            Self::Finish { .. } => "finishing a channel",
            Self::Settle { .. } => "settling a channel",
            Self::WithdrawCredit { .. } => "withdrawing a credit",
        }
    }
}

/// Why the contract refuses a call: its custom errors.
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
    NotNode,
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
    BadPayee,
    NothingToWithdraw,
    TooLittleGas,
    TokenStillAllowed,
}

/// Something that happened to a channel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Which.
    pub channel: ChannelId,
    /// What.
    pub kind: EventKind,
}

/// The contract's events, as far as a role cares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of the contract's events")]
pub enum EventKind {
    /// `ChannelOpened`; recordings of before C9 say nothing of the window
    Opened {
        client: Address,
        node: Address,
        token: Address,
        deposit: Amount,
        #[serde(default)]
        window_secs: u64,
    },
    /// `ChannelClosing`, of a close or of a forced one (C5); amount and nonce are what is recorded
    Closing { by: Address, amount: Amount, nonce: Nonce, deadline: ChainTime },
    /// `ChannelDisputed`
    Disputed { by: Address, amount: Amount, nonce: Nonce },
    /// `ChannelClaimed`: what the node has earned so far, and what of it was paid now
    Claimed { amount: Amount, nonce: Nonce, paid: Amount },
    /// `ChannelSettled`: how, what the node has earned in all, what of it was paid now, what went back
    Settled { ending: Ending, amount: Amount, paid: Amount, refunded: Amount },
}

/// How a channel ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Ending {
    /// Its window was over (C3).
    Window,
    /// Both signed (C4).
    Consent,
    /// The node had enough (C11).
    Finish,
}

/// Where a channel stands on chain (C8: "none" is the absence of this).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status {
    /// Open.
    Open,
    /// Inside or past the dispute window, not settled.
    Closing,
    /// Settled.
    Settled,
}

/// A channel as the contract has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are the contract's")]
pub struct State {
    pub id: ChannelId,
    pub client: Address,
    pub node: Address,
    pub token: Address,
    pub deposit: Amount,
    pub amount: Amount,
    pub claimed: Amount,
    pub nonce: Nonce,
    pub deadline: ChainTime,
    pub window_secs: u64,
    pub status: Status,
}
