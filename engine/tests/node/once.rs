//! W3: a stream carries one request, whatever comes on it later.

use decdn_engine::{
    ids::{ConnId, StreamId},
    io::{Effect, Input},
    limits::Limits,
    wire::{ClientMessage, Message},
};

use crate::bench::Bench;

const STREAM: StreamId = StreamId { conn: ConnId(0), index: 0 };

fn answers(effects: &[Effect]) -> usize {
    let is_answer = |effect: &&Effect| {
        matches!(effect, Effect::Send { message: Message::Client(ClientMessage::StreamResponse(_)), .. })
    };
    effects.iter().filter(is_answer).count()
}

/// A node that gives credit.
fn bench() -> Bench {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    bench.hear(bench.block(10, 0), 10, vec![]);
    bench
}

/// The signature that the first request waits for is not taken for the second's.
#[test]
fn w3_a_stream_that_is_over_takes_no_second_request() {
    let mut bench = bench();
    let first = bench.ask(0, 65_536);
    assert!(first.iter().any(|effect| matches!(effect, Effect::Sign { .. })), "{first:?}");
    bench.feed(Input::Message { stream: STREAM, message: Message::Client(ClientMessage::StreamEnd) });
    let second = bench.ask_there(0);
    assert_eq!(second, [], "it is late");
    assert_eq!(answers(&bench.sign(&first)), 0, "nobody waits for it any more");
}

#[test]
fn w3_a_stream_that_was_refused_takes_no_second_request() {
    let mut bench = bench();
    assert!(bench.request(9).is_err(), "there is no such channel");
    assert_eq!(bench.ask_there(0), []);
    assert_eq!(bench.request(0), Ok(()), "another stream is another request");
}
