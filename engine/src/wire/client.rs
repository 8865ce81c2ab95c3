//! `cdn/client/v1`: paid delivery.

use serde::{Deserialize, Serialize};

use super::{
    RejectReason, Shape,
    frame::{Body, get, get_first},
};
use crate::{
    crypto::{Quote, Signature, SignedVoucher, StreamError},
    ids::{Address, BlobHash, ChannelId, NodeId},
    money::{Amount, Nonce, Rate},
    time::WallTime,
    uint256,
};

pub(super) const SHAPE: Shape =
    Shape { alpn: b"cdn/client/v1", streams: 100, message_bytes: 1_024, has_chunks: true };

/// One message, `Chunk` aside. Variants are appended, never reordered (W2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ClientMessage {
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

/// Asks for a range of a blob on a channel. Its serde form is for recordings; the wire form is spelt out below.
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
    /// Why it was refused.
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

impl ClientMessage {
    pub(super) fn write(&self, body: &mut impl Body) {
        match self {
            Self::StreamRequest(request) => {
                body.put(0, &request_to_wire(request));
                if request.newest.is_some() {
                    body.put_more(&request.newest);
                }
            }
            Self::StreamResponse(response) => body.put(1, response),
            // 2 is a chunk.
            Self::Voucher(voucher) => body.put(3, voucher),
            Self::VoucherAck(nonce) => body.put(4, nonce),
            Self::VoucherReject(reject) => body.put(5, reject),
            Self::StreamAbort(error) => body.put(6, error),
            Self::StreamEnd => body.put(7, &()),
            Self::CloseRequest(request) => body.put(8, request),
            Self::CloseConsent(signature) => body.put(9, signature),
        }
    }

    /// Known fields, then an extension whose unknown part is ignored (W2).
    pub(super) fn read(tag: u8, rest: &[u8]) -> Option<Self> {
        Some(match tag {
            0 => {
                let (fields, more) = get_first(rest)?;
                let newest = if more.is_empty() { None } else { get(more)? };
                Self::StreamRequest(request_from_wire(fields, newest))
            }
            1 => Self::StreamResponse(get(rest)?),
            3 => Self::Voucher(get(rest)?),
            4 => Self::VoucherAck(get(rest)?),
            5 => Self::VoucherReject(get(rest)?),
            6 => Self::StreamAbort(get(rest)?),
            7 => Self::StreamEnd,
            8 => Self::CloseRequest(get(rest)?),
            9 => Self::CloseConsent(get(rest)?),
            _ => return None,
        })
    }
}

/// The base fields of a request in the order of the wire: hash, channel, token, offset, length, cadence, highest
/// rate, requester, timestamp, quote, proof of the account.
type RequestFields =
    (BlobHash, ChannelId, [u8; 20], u64, u64, u64, Rate, [u8; 20], WallTime, Option<Quote>, Option<Auth>);

fn request_to_wire(request: &StreamRequest) -> RequestFields {
    (
        request.hash,
        request.channel,
        request.token.into_array(),
        request.offset_bytes,
        request.len_bytes,
        request.cadence_bytes,
        request.max_rate,
        request.requester.into_array(),
        request.timestamp,
        request.quote,
        request.auth,
    )
}

fn request_from_wire(fields: RequestFields, newest: Option<Voucher>) -> StreamRequest {
    let (
        hash,
        channel,
        token,
        offset_bytes,
        len_bytes,
        cadence_bytes,
        max_rate,
        requester,
        timestamp,
        quote,
        auth,
    ) = fields;
    StreamRequest {
        hash,
        channel,
        token: Address::new(token),
        offset_bytes,
        len_bytes,
        cadence_bytes,
        max_rate,
        requester: Address::new(requester),
        timestamp,
        quote,
        auth,
        newest,
    }
}
