//! What went wrong, and whose doing it was: every fault carries the id of the rule that was applied.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    chain::{Revert, Subject},
    crypto::{Signature, SignedVoucher, StreamResponseTerms},
    ids::{NodeId, StreamId, TxTicket},
    money::{Amount, Nonce},
    wire::RejectReason,
};

/// A rule of `docs/protocol.md`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Rule {
    /// Identity proven on the first request; only the channel's client streams on it.
    I3,
    /// Frames and caps.
    W1,
    /// The messages of a protocol, each where it may stand.
    W2,
    /// Stream and connection caps.
    W3,
    /// Timestamps within 60 s.
    P2,
    /// Answers of the registered signer, with a sane rate.
    P6,
    /// Signed stream responses.
    D1,
    /// `ok`, error and redirect exclude each other.
    D2,
    /// Every group is verified.
    D4,
    /// Metering, one rate per channel.
    D5,
    /// Offers and cadence.
    D6,
    /// Timeouts.
    D10,
    /// Vouchers accepted.
    V1,
    /// Vouchers refused, the client's fault.
    V2,
    /// Durable before it is revealed.
    V3,
    /// The deposit covers every group.
    V4,
    /// How final an opening is.
    V6,
    /// Cooperative close.
    V7,
    /// The dispute monitor.
    X1,
    /// Bounded queues and tables.
    O11,
    /// The heads of the chain, and what may be undone.
    L1,
    /// A presented quote is the node's own, and kept.
    E5,
    /// How often probes are answered.
    P5,
    /// What endpoints say of the chain.
    L4,
}

impl From<RejectReason> for Rule {
    fn from(reason: RejectReason) -> Self {
        match reason {
            RejectReason::V1 => Self::V1,
            RejectReason::V2 => Self::V2,
            RejectReason::V4 => Self::V4,
            RejectReason::V7 => Self::V7,
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A fault, by whose doing it was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "faults are rare, and moved once")]
pub enum Fault {
    /// A peer did what an honest one can't, and this proves it.
    Peer {
        /// Who.
        peer: NodeId,
        /// The rule it broke.
        rule: Rule,
        /// What shows it.
        proof: Proof,
    },
    /// Something failed that is nobody's provable doing: silence, a lost connection, an unsigned refusal.
    Unattributed {
        /// Who it happened with.
        peer: NodeId,
        /// The rule that ended it.
        rule: Rule,
    },
    /// A bound of our own was reached.
    Limit {
        /// The rule that sets it.
        rule: Rule,
        /// Which one.
        limit: LimitHit,
    },
    /// The chain did something that the engine did not expect.
    Chain {
        /// What it concerns.
        about: Subject,
        /// The rule that noticed.
        rule: Rule,
        /// What it was.
        surprise: Surprise,
    },
}

impl Fault {
    /// The rule that was applied.
    pub fn rule(&self) -> Rule {
        match self {
            Self::Peer { rule, .. }
            | Self::Unattributed { rule, .. }
            | Self::Limit { rule, .. }
            | Self::Chain { rule, .. } => *rule,
        }
    }
}

/// What attributes a fault to a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Proof {
    /// A validly signed voucher that V1 does not allow.
    Voucher(SignedVoucher),
    /// A message of this authenticated connection that can't stand where it stood.
    Message(StreamId),
    /// A group that does not match the blob's hash.
    Group {
        /// Where it came from.
        stream: StreamId,
        /// Its first byte.
        offset: u64,
    },
    /// A signed stream response that breaks a rule.
    Response {
        /// What was signed.
        terms: StreamResponseTerms,
        /// By the node.
        signature: Signature,
    },
}

/// Which bound was reached.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are those of `Limits`")]
pub enum LimitHit {
    Channels,
    Conns,
    StreamsPerConn,
    Fetches,
    Candidates,
    Blobs,
    ChainEvents,
    SoftCap,
    Probes,
    Signatures,
    SafeBlocks,
    FarHead,
    Orders,
}

/// What the chain did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Surprise {
    /// A transaction that the engine expected to succeed was reverted.
    Reverted {
        /// Which.
        ticket: TxTicket,
        /// Why.
        reason: Revert,
    },
    /// The channel settled below what the best voucher says.
    SettledLow {
        /// Paid to the node.
        paid: Amount,
        /// What it held.
        held: Amount,
        /// The held voucher's nonce.
        nonce: Nonce,
    },
}
