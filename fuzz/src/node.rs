//! Can a peer or a chain make a node panic, send more than it may, say what it has not stored, or lose count of itself
//! (D8, V3, X1, O5, O11, O12, O13)? And while it buys what its owner orders, pay for what it did not get, or take the one for the
//! other (D5, D12, D14, V7)?

mod driver;
mod lies;

use decdn_engine::{
    crypto::{Quote, SignedVoucher, VoucherTerms},
    ids::{Address, BlobHash, ChannelId, ConnId, FetchId, NodeId, StreamId},
    io::Gone,
    limits::GROUP,
    money::{Amount, Nonce, Rate},
    time::{Span, WallTime},
    wire::{
        Auth, ClientMessage, CloseRequest, Code, ProbeMessage, ProbeRequest, Protocol, StreamRequest,
        Voucher,
        frame::{Decoder, Piece},
    },
};
use decdn_testkit::signature;

use self::driver::Driver;
use crate::{
    Bytes,
    harness::{CLIENT, odd},
    market::{Buyer, CODES},
};

const TOKEN: Address = Address::repeat_byte(3);
const CHANNEL: ChannelId = ChannelId([6; 32]);
const BLOB: BlobHash = BlobHash([7; 32]);
const BLOB_BYTES: u64 = 12 * GROUP + 99;
const DEPOSIT: Amount = Amount(1_000_000);

/// The kind of step that is about what the node buys: of the many that mean the same the last.
const BUYS: u8 = 0xff;

/// The name of the peer's connection for probes; the others are small numbers.
const PROBES: ConnId = ConnId(1 << 62);

fn protocol(name: ConnId) -> Protocol {
    if name == PROBES { Protocol::Probe } else { Protocol::Client }
}

/// A node with one funded channel and one blob, customers that do what `input` says, and nodes from which it buys.
pub fn node(input: &[u8]) {
    let mut input = Bytes::new(input);
    let how = input.below(12) as usize;
    let mut driver = Driver::new(Rate([1, 3_000, 1 << 22][how % 3]), how % 6 >= 3, how >= 6);
    while !input.is_empty() {
        act(&mut driver, &mut input);
        driver.check();
    }
    driver.end();
}

fn act(driver: &mut Driver, input: &mut Bytes<'_>) {
    let kind = input.byte();
    let conn = if kind >> 4 == 15 { PROBES } else { ConnId(u64::from(kind >> 4) % 3) };
    let second = input.byte();
    let stream = StreamId { conn, index: u32::from(second % 6) };
    match kind % 16 {
        0 => driver.connect(stream.conn, NodeId([input.byte() % 3; 32])),
        1 => driver.lose_peer(stream.conn, Gone::Lost),
        2..=4 if conn == PROBES => {
            let message = ProbeMessage::Request(probe(driver.wall(), input));
            driver.hear_peer(stream, message.into());
        }
        2..=4 => {
            let message = ClientMessage::StreamRequest(request(driver.wall(), input));
            driver.hear_peer(stream, message.into());
        }
        5..=7 => driver.hear_peer(stream, ClientMessage::Voucher(voucher(driver.owed(), input)).into()),
        8 => driver.hear_peer(stream, ClientMessage::StreamEnd.into()),
        9 => {
            let voucher = voucher(driver.owed(), input);
            let terms =
                VoucherTerms { channel: CHANNEL, amount: voucher.amount, nonce: voucher.nonce, token: TOKEN };
            let request = CloseRequest {
                channel: CHANNEL,
                voucher: (!input.byte().is_multiple_of(4))
                    .then_some(SignedVoucher { terms, signature: voucher.signature }),
                auth: None,
            };
            driver.hear_peer(stream, ClientMessage::CloseRequest(request).into());
        }
        10 => {
            let length = usize::from(input.byte());
            speak(driver, stream, input.take(length));
        }
        11 => driver.close(stream, input.byte().is_multiple_of(2).then_some(Code::NotNow)),
        12 => driver.wait(Span::from_millis(u64::from(input.byte()) * 500)),
        13 => driver.chain(input),
        _ if kind == BUYS => buy(driver, second, input),
        _ => {
            // Effects are slower than peers, or faster, as the input has it.
            for _ in 0..=input.byte() % 8 {
                driver.carry_out(input);
            }
        }
    }
}

/// Something happens to what the node buys.
fn buy(driver: &mut Driver, kind: u8, input: &mut Bytes<'_>) {
    let choice = usize::from(kind >> 4);
    match kind % 16 {
        0 | 1 => driver.good_day(input),
        2 | 3 => driver.order(FetchId(u64::from(input.byte() % 5)), input),
        4 | 5 => driver.talk(input),
        6 | 7 => driver.content(input.byte(), choice as u64 % 8, true),
        8 => driver.content(input.byte(), choice as u64 % 8, false),
        9 => driver.close_stream(input.byte(), CODES.get(choice % 8).copied()),
        10 => driver.connected(input.byte(), Span(if choice == 0 { 20_000 } else { odd(input) })),
        11 => {
            let why = match choice % 4 {
                0 | 1 => Gone::Lost,
                2 => Gone::WrongPeer,
                _ => Gone::Closed(CODES[usize::from(input.byte()) % CODES.len()]),
            };
            driver.lose(input.byte(), why);
        }
        12 => driver.chain_of_purchases(choice, input),
        13 => driver.answer_tx(input),
        14 => driver.change_mood(input.byte()),
        _ => match choice {
            0..=3 => driver.cancel(FetchId(u64::from(input.byte() % 5))),
            4..=7 => driver.close_channel(input.byte()),
            8..=12 => driver.answer_owner(input.byte()),
            _ => driver.malformed(input.byte(), CODES[usize::from(input.byte()) % CODES.len()]),
        },
    }
}

/// A request that is right but for what the input changes.
fn request(now: WallTime, input: &mut Bytes<'_>) -> StreamRequest {
    let odd = input.byte();
    let pick = |bit: u8, right: u64, wrong: u64| if odd & bit == 0 { right } else { wrong };
    StreamRequest {
        hash: if odd & 1 == 0 { BLOB } else { BlobHash([8; 32]) },
        channel: if odd & 2 == 0 { CHANNEL } else { ChannelId([9; 32]) },
        token: TOKEN,
        offset_bytes: input.below(14) * GROUP + pick(4, 0, 1),
        len_bytes: input.below(14) * GROUP + pick(8, 0, u64::MAX - 14 * GROUP),
        cadence_bytes: input.below(16) * GROUP,
        max_rate: Rate(pick(16, u64::MAX, 2)),
        requester: CLIENT,
        timestamp: WallTime(now.0.saturating_add(pick(32, 0, 61_000_000))),
        quote: (odd & 48 == 48).then(|| Quote {
            rate: Rate(2),
            timestamp: WallTime(now.0 + 61_000_000 - input.below(40_000_000)),
            signature: signature(1),
        }),
        auth: (odd & 64 == 0).then(|| Auth { address: CLIENT, signature: signature(input.byte() / 64) }),
        newest: (odd & 128 != 0).then(|| voucher(Amount(input.below(1 << 20).into()), input)),
    }
}

fn probe(now: WallTime, input: &mut Bytes<'_>) -> ProbeRequest {
    let odd = input.byte();
    ProbeRequest {
        hash: if odd & 1 == 0 { BLOB } else { BlobHash([8; 32]) },
        token: if odd & 2 == 0 { TOKEN } else { Address::repeat_byte(9) },
        requester: if odd & 4 == 0 { CLIENT } else { Address::ZERO },
        timestamp: WallTime(now.0.saturating_add(if odd & 8 == 0 { 0 } else { 61_000_000 })),
    }
}

/// Near what is owed, or anywhere.
fn voucher(owed: Amount, input: &mut Bytes<'_>) -> Voucher {
    let how = input.byte();
    let amount = match how % 4 {
        0 => owed,
        1 => Amount(owed.0.saturating_sub(u128::from(input.byte()))),
        2 => Amount(u128::from(input.below(1 << 21))),
        _ => Amount::MAX,
    };
    let nonce = if how & 4 == 0 { u64::from(input.byte()) } else { u64::MAX - u64::from(input.byte()) };
    Voucher { amount, nonce: Nonce(nonce), signature: signature(how >> 6) }
}

/// Raw bytes, as the edge would hand them on.
fn speak(driver: &mut Driver, stream: StreamId, mut bytes: &[u8]) {
    let mut decoder = Decoder::new(protocol(stream.conn));
    loop {
        match decoder.next(&mut bytes) {
            Ok(None) => return,
            Ok(Some(Piece::Message(message))) => driver.hear_peer(stream, message),
            Ok(Some(Piece::Chunk { .. })) => {
                return driver.stumble(stream, Code::Malformed);
            }
            Err(fault) => return driver.stumble(stream, fault.code()),
        }
    }
}
