//! Signed messages and how they are checked (W6, I4).
//!
//! The engine names what is signed ([`Typed`]) and asks a [`Crypto`] who signed it. It depends on no curve:
//! production recovers secp256k1 keys over [`Typed::digest`], the simulator's ideal rung compares symbols.

mod eip712;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    fixed,
    ids::{Address, BlobHash, ChannelId, NodeId},
    money::{Amount, Nonce, Rate},
    time::WallTime,
    uint256,
};

/// Where the contracts live: every EIP-712 domain of the protocol follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Deployment {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// `PaymentChannel`.
    pub payment_channel: Address,
    /// `NodeRegistry`.
    pub registry: Address,
    /// `SlashingJudge`.
    pub judge: Address,
}

/// A 65-byte ECDSA signature, r ‖ s ‖ v (I4). To the engine it is opaque.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signature(pub [u8; 65]);

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Signature({:02x}{:02x}{:02x}{:02x}…)", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

impl Serialize for Signature {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fixed::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed::deserialize(deserializer).map(Self)
    }
}

/// What a voucher says, without its signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoucherTerms {
    /// The channel it pays on.
    pub channel: ChannelId,
    /// Cumulative amount (V1).
    #[serde(with = "uint256")]
    pub amount: Amount,
    /// Place in the channel's sequence (V1).
    pub nonce: Nonce,
    /// The channel's token.
    #[serde(with = "fixed::account")]
    pub token: Address,
}

/// A voucher as it may go on chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SignedVoucher {
    /// What it says.
    pub terms: VoucherTerms,
    /// The client's signature of [`Typed::Voucher`].
    pub signature: Signature,
}

/// The signed set of a stream response (D1): what was asked, and what was answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamResponseTerms {
    /// The answering node.
    pub node: NodeId,
    /// The blob asked for.
    pub hash: BlobHash,
    /// Whether the node will stream.
    pub ok: bool,
    /// The channel's token.
    pub token: Address,
    /// The rate it will charge, 0 in a refusal.
    pub rate: Rate,
    /// The most the requester would pay.
    pub max_rate: Rate,
    /// The blob's size, 0 in a refusal.
    pub total_bytes: u64,
    /// The channel that pays.
    pub channel: ChannelId,
    /// Another node to ask, zero if none (D3).
    pub redirect: NodeId,
    /// Why not, if not (D2).
    pub error: Option<StreamError>,
    /// Who asked.
    pub requester: Address,
    /// When it was asked, by the requester's clock.
    pub timestamp: WallTime,
    /// Struct hash of the presented quote, zero if none (E5).
    #[serde(with = "fixed")]
    pub quote: [u8; 32],
}

/// The signed set of a probe's answer (P1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeResponseTerms {
    /// The answering node.
    pub node: NodeId,
    /// The blob asked for.
    pub hash: BlobHash,
    /// Whether the node has it and sells it for this token: then this is a quote (P3).
    pub has_blob: bool,
    /// What would be paid in.
    pub token: Address,
    /// What it would charge at most, 0 if it does not sell.
    pub rate: Rate,
    /// Who asked.
    pub requester: Address,
    /// When it was asked, by the requester's clock.
    pub timestamp: WallTime,
}

impl ProbeResponseTerms {
    /// The EIP-712 struct hash: how a stream response names the quote that it was shown (D1).
    pub fn struct_hash(&self) -> [u8; 32] {
        eip712::probe_hash(self)
    }
}

/// Why a node does not stream, or stops: exactly five (D2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum StreamError {
    /// The blob is above the node's `max_blob_size`.
    BlobTooLarge,
    /// The node's rate is above the requester's maximum.
    RateExceeded,
    /// The deposit does not cover the next group (V4).
    ChannelInsufficient,
    /// The hash is on the blacklist.
    Blacklisted,
    /// The node does not have the blob, or not now.
    Unavailable,
}

impl StreamError {
    /// The `error` of the signed set: 1..5 in D2's order.
    pub fn code(self) -> u8 {
        self as u8 + 1
    }
}

/// A quote that a request presents: the node's own probe response (E5).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Quote {
    /// The quoted rate.
    pub rate: Rate,
    /// The probe's timestamp.
    pub timestamp: WallTime,
    /// The node's signature of the probe response.
    pub signature: Signature,
}

/// Everything that the secp256k1 key signs: one variant per EIP-712 type.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Typed {
    /// A payment (section 5), under the channel contract's domain.
    Voucher(VoucherTerms),
    /// A node's consent to a cooperative close (V7), under the channel contract's domain.
    CooperativeClose(VoucherTerms),
    /// An answer to a stream request (D1), under the judge's domain.
    StreamResponse(StreamResponseTerms),
    /// Binds an Ethereum account to a network key (I2, I3), under the registry's domain.
    BindNodeId {
        /// The network key.
        node: NodeId,
        /// 0 on a connection (I3), the registry's counter on chain (I2).
        nonce: u64,
    },
    /// An answer to a probe (P1), under the judge's domain.
    ProbeResponse(ProbeResponseTerms),
}

impl Typed {
    /// The EIP-712 signing hash.
    pub fn digest(&self, deployment: &Deployment) -> [u8; 32] {
        eip712::digest(self, deployment)
    }
}

/// Who signed what. Pure: the same question has the same answer, always.
pub trait Crypto {
    /// The account whose signature of `what` this is, or `None` where it is nobody's: not canonical (I4),
    /// or not a signature at all.
    fn recover(&self, deployment: &Deployment, what: &Typed, signature: &Signature) -> Option<Address>;

    /// Whether `signer` signed `what`.
    fn verify(&self, deployment: &Deployment, what: &Typed, signature: &Signature, signer: Address) -> bool {
        self.recover(deployment, what, signature) == Some(signer)
    }
}
