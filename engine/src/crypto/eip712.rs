//! The EIP-712 types, spelled as the contracts spell them. `tests/eip712.rs` holds them against `cast`.

use alloy_primitives::{B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct, eip712_domain, sol};

use super::{Deployment, ProbeResponseTerms, StreamResponseTerms, Typed, VoucherTerms};
use crate::ids::Address;

sol! {
    struct Voucher {
        bytes32 channelId;
        uint256 amount;
        uint64 nonce;
        address token;
    }

    struct CooperativeClose {
        bytes32 channelId;
        uint256 amount;
        uint64 nonce;
        address token;
    }

    struct StreamResponse {
        bytes32 nodeId;
        bytes32 hash;
        bool ok;
        address token;
        uint64 ratePerMb;
        uint64 maxRatePerMb;
        uint64 totalBytes;
        bytes32 channelId;
        bytes32 redirect;
        uint8 error;
        address requester;
        uint64 timestampUs;
        bytes32 quote;
    }

    struct ProbeResponse {
        bytes32 nodeId;
        bytes32 hash;
        bool hasBlob;
        address token;
        uint64 ratePerMb;
        address requester;
        uint64 timestampUs;
    }

    struct BindNodeId {
        bytes32 nodeId;
        uint64 nonce;
    }
}

fn domain(name: &'static str, chain_id: u64, contract: Address) -> Eip712Domain {
    eip712_domain! {
        name: name,
        version: "1",
        chain_id: chain_id,
        verifying_contract: contract,
    }
}

pub(super) fn digest(what: &Typed, at: &Deployment) -> [u8; 32] {
    let channels = || domain("PaymentChannel", at.chain_id, at.payment_channel);
    let hash = match what {
        Typed::Voucher(v) => voucher(v).eip712_signing_hash(&channels()),
        Typed::CooperativeClose(v) => cooperative_close(v).eip712_signing_hash(&channels()),
        Typed::StreamResponse(r) => {
            stream_response(r).eip712_signing_hash(&domain("SlashingJudge", at.chain_id, at.judge))
        }
        Typed::ProbeResponse(p) => {
            probe_response(p).eip712_signing_hash(&domain("SlashingJudge", at.chain_id, at.judge))
        }
        Typed::BindNodeId { node, nonce } => BindNodeId { nodeId: B256::from(node.0), nonce: *nonce }
            .eip712_signing_hash(&domain("NodeRegistry", at.chain_id, at.registry)),
    };
    hash.0
}

pub(super) fn probe_hash(terms: &ProbeResponseTerms) -> [u8; 32] {
    probe_response(terms).eip712_hash_struct().0
}

fn probe_response(p: &ProbeResponseTerms) -> ProbeResponse {
    ProbeResponse {
        nodeId: B256::from(p.node.0),
        hash: B256::from(p.hash.0),
        hasBlob: p.has_blob,
        token: p.token,
        ratePerMb: p.rate.0,
        requester: p.requester,
        timestampUs: p.timestamp.0,
    }
}

fn voucher(v: &VoucherTerms) -> Voucher {
    Voucher {
        channelId: B256::from(v.channel.0),
        amount: U256::from(v.amount.0),
        nonce: v.nonce.0,
        token: v.token,
    }
}

fn cooperative_close(v: &VoucherTerms) -> CooperativeClose {
    CooperativeClose {
        channelId: B256::from(v.channel.0),
        amount: U256::from(v.amount.0),
        nonce: v.nonce.0,
        token: v.token,
    }
}

fn stream_response(r: &StreamResponseTerms) -> StreamResponse {
    StreamResponse {
        nodeId: B256::from(r.node.0),
        hash: B256::from(r.hash.0),
        ok: r.ok,
        token: r.token,
        ratePerMb: r.rate.0,
        maxRatePerMb: r.max_rate.0,
        totalBytes: r.total_bytes,
        channelId: B256::from(r.channel.0),
        redirect: B256::from(r.redirect.0),
        error: r.error.map_or(0, |error| error.code()),
        requester: r.requester,
        timestampUs: r.timestamp.0,
        quote: B256::from(r.quote),
    }
}
