//! Can nodes and a chain that say anything make a client panic, pay for what it did not get, pay twice, or lose count of
//! itself (D5, D14, V3, V7, O11, O12, O13)?

mod book;
mod chain;
mod driver;
mod owner;

use decdn_engine::{
    crypto::StreamError,
    ids::{BlobHash, FetchId, NodeId},
    io::Gone,
    limits::{GROUP, OFFER_GROUPS_MIN},
    money::{Amount, Nonce, Rate},
    order::{Candidate, FetchOrder},
    time::Span,
    wire::{ClientMessage, Code, StreamRequest, StreamResponse, VoucherReject},
};

use self::driver::{Driver, Wire};
use crate::{
    Bytes,
    harness::{OPERATOR, RIVAL, STRANGER, odd, signature},
};

const TOKENS: [decdn_engine::ids::Address; 2] =
    [decdn_engine::ids::Address::repeat_byte(3), decdn_engine::ids::Address::repeat_byte(13)];
/// Blobs with their real sizes; the last one's hash is that of nothing.
const BLOBS: [(BlobHash, u64); 3] =
    [(BlobHash([7; 32]), 12 * GROUP + 99), (BlobHash([8; 32]), 6 * GROUP), (BlobHash(EMPTY), 0)];
const EMPTY: [u8; 32] = [
    0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b,
    0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
];
const CODES: [Code; 6] =
    [Code::NotNow, Code::ChannelPending, Code::Malformed, Code::Unsupported, Code::TooLarge, Code::Other(7)];
const ERRORS: [StreamError; 5] = [
    StreamError::ChannelInsufficient,
    StreamError::Unavailable,
    StreamError::BlobTooLarge,
    StreamError::RateExceeded,
    StreamError::Blacklisted,
];

/// Nodes by number from 0, each with its own operator.
fn candidate(number: u8) -> Candidate {
    let number = number % 3;
    let operator = [OPERATOR, RIVAL, STRANGER][usize::from(number)];
    Candidate { node: NodeId([number + 1; 32]), operator }
}

/// The number by which `Symbols` knows a node's operator.
fn signer(node: NodeId) -> u8 {
    [1, 3, 2][usize::from(node.0[0] - 1) % 3]
}

/// A client with orders, and a world that does what `input` says.
pub fn client(input: &[u8]) {
    let mut input = Bytes::new(input);
    let mut driver = Driver::new();
    while !input.is_empty() {
        act(&mut driver, &mut input);
        driver.check();
    }
    driver.end();
}

fn act(driver: &mut Driver, input: &mut Bytes<'_>) {
    let kind = input.byte();
    let choice = usize::from(kind >> 4);
    match kind % 16 {
        0 => driver.good_day(input),
        1 => {
            let id = FetchId(u64::from(input.byte() % 5));
            let order = order(id, driver.next_serial(), input);
            driver.order(order);
        }
        2..=4 => {
            for _ in 0..=choice {
                driver.carry_out(input);
            }
        }
        5 | 6 => {
            let Some((stream, wire)) = driver.stream(input.byte()) else { return };
            let message = message(&wire, input);
            driver.hear(stream, message);
        }
        7 | 8 => driver.content(input.byte(), choice as u64 % 8, true),
        9 => driver.content(input.byte(), choice as u64 % 8, false),
        10 => {
            let code = CODES.get(choice % 8).copied();
            driver.close_stream(input.byte(), code);
        }
        11 => {
            let rtt = Span(if choice == 0 { 20_000 } else { odd(input) });
            driver.connected(input.byte(), rtt);
        }
        12 => {
            let why = match choice % 4 {
                0 | 1 => Gone::Lost,
                2 => Gone::WrongPeer,
                _ => Gone::Closed(CODES[usize::from(input.byte()) % CODES.len()]),
            };
            driver.lose(input.byte(), why);
        }
        13 => match choice {
            0..=3 => driver.wait_until_due(),
            4 => driver.crash_and_ask(),
            5 => driver.answer_owner(input.byte()),
            6..=12 => driver.wait(Span::from_millis(u64::from(input.byte()) * 500)),
            _ => driver.wait(Span(odd(input))),
        },
        14 => driver.hear_chain(choice, input),
        _ => match choice {
            0..=6 => driver.answer_tx(input),
            7..=9 => driver.crash(),
            10 | 11 => driver.cancel(FetchId(u64::from(input.byte() % 5))),
            12 | 13 => driver.close_channel(input.byte()),
            14 => driver.change_mood(input.byte()),
            _ => driver.malformed(input.byte(), CODES[usize::from(input.byte()) % CODES.len()]),
        },
    }
}

/// An order that is right but for what the input changes. Its cadence carries the order's serial number.
fn order(id: FetchId, serial: u64, input: &mut Bytes<'_>) -> FetchOrder {
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
        candidates: (0..count).map(|step| candidate(first.wrapping_add(step))).collect(),
        token: TOKENS[usize::from(how & 16 != 0)],
        deposit: Amount([1_000_000, 300, 1, u128::MAX / 3, 5_000_000_000, 0][usize::from(input.byte()) % 6]),
        cadence_bytes: GROUP * 4 + serial % GROUP,
        max_rate: Rate([3_000, 1, 1 << 22, 1_000_000_000_000, 0, u64::MAX][usize::from(input.byte()) % 6]),
        keep_channel: how & 32 != 0,
    }
}

/// What a node may say, and what it may not.
fn message(wire: &Wire, input: &mut Bytes<'_>) -> ClientMessage {
    let kind = input.byte();
    match kind % 12 {
        0..=2 => match &wire.request {
            Some(request) => ClientMessage::StreamResponse(response(request, signer(wire.node), input)),
            None => ClientMessage::CloseConsent(signature(signer(wire.node))),
        },
        3 | 4 => ClientMessage::VoucherAck(Nonce(match kind / 16 {
            0..=9 => wire.newest.0,
            10..=12 => wire.newest.0.wrapping_sub(u64::from(input.byte())),
            _ => odd(input),
        })),
        5 => ClientMessage::VoucherReject(VoucherReject {
            reason: decdn_engine::wire::RejectReason::V1,
            error: (kind / 16 % 2 == 1).then_some(ERRORS[usize::from(input.byte()) % 5]),
            best_nonce: Nonce(odd(input)),
            best_amount: Amount(u128::from(odd(input))),
        }),
        6 => ClientMessage::StreamAbort(ERRORS[usize::from(input.byte()) % 5]),
        7 => ClientMessage::CloseConsent(signature(if kind / 16 == 0 { 2 } else { signer(wire.node) })),
        8 => ClientMessage::StreamEnd,
        9 => ClientMessage::VoucherAck(wire.newest),
        10 => ClientMessage::CloseRequest(decdn_engine::wire::CloseRequest {
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
