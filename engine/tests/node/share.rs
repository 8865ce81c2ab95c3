//! D8: the streams of a channel share its window.

use decdn_engine::{
    crypto::Signature,
    ids::{ConnId, StreamId},
    io::{Effect, Input},
    limits::{GROUP, Limits},
    money::{Amount, Nonce},
    wire::{ClientMessage, Message, Voucher},
};

use crate::bench::{Bench, HASH};

const WINDOW: u64 = 64 * GROUP;

fn stream(index: u32) -> StreamId {
    StreamId { conn: ConnId(0), index }
}

/// Who is sent how much, in order.
fn sent(said: &[Effect]) -> Vec<(u32, u64)> {
    let ranges = said.iter().filter_map(|effect| match effect {
        Effect::SendRange { stream, bytes, .. } => Some((stream.index, *bytes)),
        _ => None,
    });
    ranges.collect()
}

/// Asks for the blob once more and signs the answer.
fn begin(bench: &mut Bench) -> Vec<Effect> {
    let said = bench.ask(0, WINDOW);
    bench.sign(&said)
}

/// Pays for so many windows, all together.
fn pay(bench: &mut Bench, windows: u64) -> Vec<Effect> {
    let (amount, signature) = (Amount(u128::from(windows * 1_000)), Signature([1; 65]));
    let voucher = Voucher { amount, nonce: Nonce(windows), signature };
    bench
        .feed(Input::Message { stream: stream(0), message: Message::Client(ClientMessage::Voucher(voucher)) })
}

#[test]
fn d8_a_stream_alone_has_the_whole_window_and_streams_together_have_equal_shares_in_turn() {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    bench.feed(Input::BlobReady { hash: HASH, bytes: 4 * WINDOW });
    bench.hear(bench.block(10, 0), 10, vec![]);
    assert_eq!(sent(&begin(&mut bench)), [(0, WINDOW)]);
    for _ in 1..4 {
        assert_eq!(sent(&begin(&mut bench)), [], "the window is full");
    }
    let share = WINDOW / 4;
    let mut turns = Vec::new();
    for windows in 1..4 {
        let said = sent(&pay(&mut bench, windows));
        assert_eq!(said.iter().map(|(_, bytes)| bytes).sum::<u64>(), WINDOW, "{said:?}");
        assert!(said.iter().all(|(_, bytes)| *bytes == share), "{said:?}");
        turns.extend(said.iter().map(|(index, _)| *index));
        for (index, _) in said {
            bench.feed(Input::RangeSent { stream: stream(index) });
        }
    }
    assert_eq!(turns, [0, 1, 2, 3].repeat(3));
}

#[test]
fn d8_many_streams_have_shares_of_at_least_the_smallest_offer() {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    bench.feed(Input::BlobReady { hash: HASH, bytes: 4 * WINDOW });
    bench.hear(bench.block(10, 0), 10, vec![]);
    for _ in 0..40 {
        begin(&mut bench);
    }
    let said = sent(&pay(&mut bench, 1));
    assert_eq!(said.len(), 16, "{said:?}");
    assert!(said.iter().all(|(_, bytes)| *bytes == 4 * GROUP), "{said:?}");
}
