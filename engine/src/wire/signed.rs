//! The signed sets of answers, put together from what travels: both ends have to come to the same (P1, D1).

use super::{StreamRequest, StreamResponse};
use crate::{
    crypto::{ProbeResponseTerms, Quote, StreamResponseTerms},
    ids::NodeId,
};

impl ProbeResponseTerms {
    /// What this node signed where it made the quote that a request presents.
    pub fn presented(node: NodeId, request: &StreamRequest, quote: &Quote) -> Self {
        Self {
            node,
            hash: request.hash,
            has_blob: true,
            token: request.token,
            rate: quote.rate,
            requester: request.requester,
            timestamp: quote.timestamp,
        }
    }
}

impl StreamResponseTerms {
    /// What this node signs where it gives this answer to this request, as its requester has to put it together.
    pub fn of(node: NodeId, request: &StreamRequest, response: &StreamResponse) -> Self {
        Self {
            node,
            hash: request.hash,
            ok: response.ok,
            token: request.token,
            rate: response.rate,
            max_rate: request.max_rate,
            total_bytes: response.total_bytes,
            channel: request.channel,
            redirect: response.redirect.unwrap_or_default(),
            error: response.error,
            requester: request.requester,
            timestamp: request.timestamp,
            quote: Self::quote_of(node, request),
        }
    }

    /// The struct hash of the quote that a request presents, zero if none.
    pub fn quote_of(node: NodeId, request: &StreamRequest) -> [u8; 32] {
        let of = |quote: &Quote| ProbeResponseTerms::presented(node, request, quote).struct_hash();
        request.quote.as_ref().map_or([0; 32], of)
    }
}
