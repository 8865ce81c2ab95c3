//! `cdn/probe/v1`: asking a node for its price (section 3).

use serde::{Deserialize, Serialize};

use super::{
    Shape,
    frame::{Body, get, get_first},
};
use crate::{
    crypto::Signature,
    ids::{Address, BlobHash},
    money::{Amount, Rate},
    time::WallTime,
    uint256,
};

pub(super) const SHAPE: Shape =
    Shape { alpn: b"cdn/probe/v1", streams: 1, message_bytes: 1_024, has_chunks: false };

/// One message. Variants are appended, never reordered (W2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum ProbeMessage {
    /// Requester → node.
    Request(ProbeRequest),
    /// Node → requester.
    Response(ProbeResponse),
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
    /// Extension, unsigned: what a channel has to hold at least that it serves on (V4).
    #[serde(default, skip_serializing_if = "is_nothing", with = "uint256")]
    pub least_deposit: Amount,
}

fn is_nothing(amount: &Amount) -> bool {
    *amount == Amount::ZERO
}

/// The base fields in the order of the wire.
type ResponseFields = (bool, Rate, Option<u64>, Signature);

/// A field of an extension (W2).
#[derive(Serialize, Deserialize)]
struct LeastDeposit(#[serde(with = "uint256")] Amount);

impl ProbeMessage {
    pub(super) fn write(&self, body: &mut impl Body) {
        match self {
            Self::Request(request) => body.put(0, request),
            Self::Response(response) => {
                let ProbeResponse { has_blob, rate, total_bytes, signature, least_deposit } = *response;
                body.put(1, &(has_blob, rate, total_bytes, signature));
                if least_deposit > Amount::ZERO {
                    body.put_more(&Some(LeastDeposit(least_deposit)));
                }
            }
        }
    }

    pub(super) fn read(tag: u8, rest: &[u8]) -> Option<Self> {
        Some(match tag {
            0 => Self::Request(get(rest)?),
            1 => {
                let ((has_blob, rate, total_bytes, signature), more): (ResponseFields, _) = get_first(rest)?;
                let said: Option<LeastDeposit> = if more.is_empty() { None } else { get(more)? };
                let least_deposit = said.map_or(Amount::ZERO, |least| least.0);
                Self::Response(ProbeResponse { has_blob, rate, total_bytes, signature, least_deposit })
            }
            _ => return None,
        })
    }
}
