//! `cdn/client/v1` and `cdn/probe/v1` on the wire: messages, their caps, their frames (sections 2 to 4).
//!
//! A message is what the machines exchange; [`frame`] turns it into bytes and back at the edge. `Chunk` has no
//! message: blob bytes never pass through a machine, the edge feeds them to a
//! [`Verifier`](crate::blob::Verifier) as they arrive.

pub mod frame;
mod reject;
mod signed;

pub use reject::RejectReason;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{Quote, Signature, SignedVoucher, StreamError},
    ids::{Address, BlobHash, ChannelId, NodeId},
    money::{Amount, Nonce, Rate},
    time::WallTime,
    uint256,
};

/// The ALPN of paid delivery.
pub const ALPN_CLIENT: &[u8] = b"cdn/client/v1";

/// The ALPN of probes (section 3). Its connections have numbers of their own: [`ConnId::is_probe`](crate::ids::ConnId::is_probe).
pub const ALPN_PROBE: &[u8] = b"cdn/probe/v1";

/// Unsigned application error codes that end a stream or a connection (W4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Code {
    /// 0x01: the request is of a kind this node does not serve.
    Unsupported,
    /// 0x02: a frame above the cap.
    TooLarge,
    /// 0x03: not a message, or not one that may stand here.
    Malformed,
    /// 0x10: rate limited, or not now.
    NotNow,
    /// 0x11: the channel's opening is not final enough yet (V6).
    ChannelPending,
    /// Any other, as it came.
    Other(u32),
}

impl Code {
    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Unsupported => 0x01,
            Self::TooLarge => 0x02,
            Self::Malformed => 0x03,
            Self::NotNow => 0x10,
            Self::ChannelPending => 0x11,
            Self::Other(code) => code,
        }
    }

    /// The code for a number from the wire.
    pub fn from_wire(code: u32) -> Self {
        match code {
            0x01 => Self::Unsupported,
            0x02 => Self::TooLarge,
            0x03 => Self::Malformed,
            0x10 => Self::NotNow,
            0x11 => Self::ChannelPending,
            other => Self::Other(other),
        }
    }
}

/// Proves the requester's account on its first request of a connection (I3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Auth {
    /// The account.
    #[serde(with = "crate::fixed::account")]
    pub address: Address,
    /// Its signature of [`Typed::BindNodeId`](crate::crypto::Typed::BindNodeId) with nonce 0.
    pub signature: Signature,
}

/// Asks for a range of a blob on a channel. Its serde form is for recordings; [`frame`] spells out the wire form.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamRequest {
    /// The blob.
    pub hash: BlobHash,
    /// The channel that pays.
    pub channel: ChannelId,
    /// The channel's token.
    pub token: Address,
    /// Where the range starts; a group boundary (D5).
    pub offset_bytes: u64,
    /// How long it is; 0 means to the end.
    pub len_bytes: u64,
    /// The client's proposal for the cadence (D6).
    pub cadence_bytes: u64,
    /// The most the client pays.
    pub max_rate: Rate,
    /// The client's account.
    pub requester: Address,
    /// The client's clock.
    pub timestamp: WallTime,
    /// A quote to be held to.
    pub quote: Option<Quote>,
    /// On the first request of a connection (I3).
    pub auth: Option<Auth>,
    /// Extension: the newest voucher of the channel, sent again before the first request on a connection (V3).
    /// The node takes it before it looks at the request.
    pub newest: Option<Voucher>,
}

/// Answers a request (D1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StreamResponse {
    /// Whether the node will stream.
    pub ok: bool,
    /// What it charges, 0 in a refusal.
    pub rate: Rate,
    /// The blob's size, 0 in a refusal.
    pub total_bytes: u64,
    /// The node's offer: the cadence it accepts (D6).
    pub max_bytes_per_voucher: u64,
    /// Another node to ask (D3).
    pub redirect: Option<NodeId>,
    /// Why not (D2).
    pub error: Option<StreamError>,
    /// The node's signature of [`Typed::StreamResponse`](crate::crypto::Typed::StreamResponse).
    pub signature: Signature,
}

/// A payment; the stream says on which channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Voucher {
    /// Cumulative amount.
    #[serde(with = "uint256")]
    pub amount: Amount,
    /// Place in the sequence.
    pub nonce: Nonce,
    /// The client's signature of [`Typed::Voucher`](crate::crypto::Typed::Voucher).
    pub signature: Signature,
}

/// Refuses a voucher and says what the node holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct VoucherReject {
    /// Why it was refused. Recordings of before call it `rule`.
    #[serde(alias = "rule")]
    pub reason: RejectReason,
    /// `ChannelInsufficient` for an amount above the deposit.
    pub error: Option<StreamError>,
    /// Best nonce held.
    pub best_nonce: Nonce,
    /// Best amount held.
    #[serde(with = "uint256")]
    pub best_amount: Amount,
}

/// The channel's final voucher, for a cooperative close (V7). `None` where nothing was ever paid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CloseRequest {
    /// The channel.
    pub channel: ChannelId,
    /// Its last voucher.
    pub voucher: Option<SignedVoucher>,
    /// On the first request of a connection (I3).
    pub auth: Option<Auth>,
}

/// Asks a node whether it has a blob, and for how much (section 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeRequest {
    /// The blob.
    pub hash: BlobHash,
    /// What would be paid in.
    #[serde(with = "crate::fixed::account")]
    pub token: Address,
    /// Who would pay.
    #[serde(with = "crate::fixed::account")]
    pub requester: Address,
    /// The requester's clock.
    pub timestamp: WallTime,
}

/// Answers a probe; `has_blob` makes it a quote (P3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeResponse {
    /// Whether the node has the blob and sells it for that token.
    pub has_blob: bool,
    /// What it would charge; 0 if not.
    pub rate: Rate,
    /// The blob's size, unsigned: a claim like any node's.
    pub total_bytes: Option<u64>,
    /// The node's signature of [`Typed::ProbeResponse`](crate::crypto::Typed::ProbeResponse).
    pub signature: Signature,
}

/// One message of `cdn/client/v1`, `Chunk` aside, or one of the two of `cdn/probe/v1`, which has an enum of its own on the wire
/// ([`frame`]). Variants are appended, never reordered (W2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// Client → node.
    StreamRequest(StreamRequest),
    /// Node → client.
    StreamResponse(StreamResponse),
    /// Client → node.
    Voucher(Voucher),
    /// Node → client: the voucher with this nonce is durable.
    VoucherAck(Nonce),
    /// Node → client.
    VoucherReject(VoucherReject),
    /// Node → client, unsigned: ends a running stream.
    StreamAbort(StreamError),
    /// Client → node: the last verified byte is paid.
    StreamEnd,
    /// Client → node.
    CloseRequest(CloseRequest),
    /// Node → client: its signature of `CooperativeClose` over the channel's best voucher.
    CloseConsent(Signature),
    /// Requester → node, on `cdn/probe/v1`.
    ProbeRequest(ProbeRequest),
    /// Node → requester, on `cdn/probe/v1`.
    ProbeResponse(ProbeResponse),
}

impl Message {
    /// Whether it belongs on `cdn/probe/v1`.
    pub fn is_probe(&self) -> bool {
        matches!(self, Self::ProbeRequest(_) | Self::ProbeResponse(_))
    }

    /// The length of this message's frame in bytes, without encoding it.
    pub fn wire_len(&self) -> usize {
        frame::frame_len(self)
    }
}
