//! What is ordered and answered: right, but for what the input changes.

use decdn_engine::{
    crypto::StreamError,
    ids::{FetchId, NodeId},
    limits::{GROUP, OFFER_GROUPS_MIN},
    money::{Amount, Nonce, Rate},
    order::FetchOrder,
    wire::{ClientMessage, CloseRequest, Code, RejectReason, StreamRequest, StreamResponse, VoucherReject},
};
use decdn_testkit::signature;

use super::{BLOBS, Market, TOKENS, Wire};
use crate::{Bytes, harness::odd};

pub(crate) const CODES: [Code; 6] =
    [Code::NotNow, Code::ChannelPending, Code::Malformed, Code::Unsupported, Code::TooLarge, Code::Other(7)];
const ERRORS: [StreamError; 5] = [
    StreamError::ChannelInsufficient,
    StreamError::Unavailable,
    StreamError::BlobTooLarge,
    StreamError::RateExceeded,
    StreamError::Blacklisted,
];

impl Market {
    /// An order that is right but for what the input changes. Its cadence carries the order's serial number.
    pub(super) fn new_order(&mut self, id: FetchId, input: &mut Bytes<'_>) -> FetchOrder {
        self.serial += 1;
        let what = input.byte();
        let how = input.byte();
        let count = if how & 1 == 0 { 1 + what % 3 } else { input.byte() % 5 };
        let first = input.byte();
        FetchOrder {
            id,
            hash: BLOBS[usize::from(what / 3) % 3].0,
            offset_bytes: if how & 2 == 0 { 0 } else { input.below(14) * GROUP },
            len_bytes: match how & 12 {
                0 => 0,
                4 => input.below(14 * GROUP),
                8 => input.below(14) * GROUP,
                _ => odd(input),
            },
            candidates: (0..count).map(|step| self.candidate(first.wrapping_add(step))).collect(),
            token: TOKENS[usize::from(how & 16 != 0)],
            deposit: Amount(
                [1_000_000, 300, 1, u128::MAX / 3, 5_000_000_000, 0][usize::from(input.byte()) % 6],
            ),
            cadence_bytes: GROUP * 4 + self.serial % GROUP,
            max_rate: Rate(
                [3_000, 1, 1 << 22, 1_000_000_000_000, 0, u64::MAX][usize::from(input.byte()) % 6],
            ),
            keep_channel: how & 32 != 0,
        }
    }

    /// What a node may say, and what it may not.
    pub(super) fn message(&self, wire: &Wire, input: &mut Bytes<'_>) -> ClientMessage {
        let kind = input.byte();
        let signer = self.signer(wire.node);
        match kind % 12 {
            0..=2 => match &wire.request {
                Some(request) => ClientMessage::StreamResponse(response(request, signer, input)),
                None => ClientMessage::CloseConsent(signature(signer)),
            },
            3 | 4 => ClientMessage::VoucherAck(Nonce(match kind / 16 {
                0..=9 => wire.newest.0,
                10..=12 => wire.newest.0.wrapping_sub(u64::from(input.byte())),
                _ => odd(input),
            })),
            5 => ClientMessage::VoucherReject(VoucherReject {
                reason: RejectReason::V1,
                error: (kind / 16 % 2 == 1).then_some(ERRORS[usize::from(input.byte()) % 5]),
                best_nonce: Nonce(odd(input)),
                best_amount: Amount(u128::from(odd(input))),
            }),
            6 => ClientMessage::StreamAbort(ERRORS[usize::from(input.byte()) % 5]),
            7 => ClientMessage::CloseConsent(signature(if kind / 16 == 0 { 2 } else { signer })),
            8 => ClientMessage::StreamEnd,
            9 => ClientMessage::VoucherAck(wire.newest),
            10 => ClientMessage::CloseRequest(CloseRequest {
                channel: Default::default(),
                voucher: None,
                auth: None,
            }),
            _ => match wire.request {
                Some(request) => ClientMessage::StreamRequest(request),
                None => ClientMessage::StreamEnd,
            },
        }
    }
}

/// An answer that is right but for what the input changes.
fn response(request: &StreamRequest, signer: u8, input: &mut Bytes<'_>) -> StreamResponse {
    let how = input.byte();
    let size = BLOBS.iter().find(|(hash, _)| *hash == request.hash).map_or(0, |(_, size)| *size);
    let is_refusal = how & 7 == 7;
    StreamResponse {
        ok: !is_refusal,
        rate: match how & 7 {
            7 => Rate(0),
            6 => Rate(odd(input)),
            5 => Rate(request.max_rate.0.min(1_000_000_000_000) / 2),
            _ => Rate(request.max_rate.0.min(1_000_000_000_000)),
        },
        total_bytes: match (is_refusal, how >> 3 & 3) {
            (true, _) => 0,
            (_, 3) => odd(input),
            (_, 2) => (size + input.below(4 * GROUP)).saturating_sub(2 * GROUP),
            _ => size,
        },
        max_bytes_per_voucher: match how >> 5 & 3 {
            0 | 1 => OFFER_GROUPS_MIN * GROUP,
            2 => odd(input) / GROUP * GROUP,
            _ => odd(input),
        },
        redirect: (how == 0xff).then_some(NodeId([3; 32])),
        error: is_refusal.then_some(ERRORS[usize::from(input.byte()) % 5]),
        signature: signature(if how >> 7 == 1 { input.byte() } else { signer }),
    }
}
