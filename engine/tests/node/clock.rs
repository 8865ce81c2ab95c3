//! V1, L3: credit needs a head that is young by its own timestamp, and a chain clock that is near the wall clock.

use decdn_engine::{
    chain::{ChainEvent, TxOutcome, channel::EventKind},
    ids::TxTicket,
    io::{Effect, Input},
    limits::Limits,
    money::{Amount, Nonce},
    time::{ChainTime, Span},
    wire::Code,
};

use crate::bench::{Bench, CLIENT, channel, closes};

const MINUTE: i64 = 60;

#[test]
fn v1_a_head_is_as_old_as_its_timestamp_says_whenever_it_was_heard() {
    for (off, served) in [(0, true), (-14 * MINUTE, true), (-15 * MINUTE, false), (-50 * MINUTE, false)] {
        let mut bench = Bench::new(Limits::standard(), &[0]);
        bench.hear(bench.block(10, off), 10, vec![]);
        let wanted = if served { Ok(()) } else { Err(Code::NotNow) };
        assert_eq!(bench.request(0), wanted, "a head of {off} s");
    }
}

#[test]
fn v1_an_endpoint_that_stands_still_is_not_believed_for_longer_than_its_head_is_young() {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    let head = bench.block(10, 0);
    for _ in 0..14 {
        bench.hear(head, 10, vec![]);
        assert_eq!(bench.request(0), Ok(()));
        bench.pass(60);
    }
    bench.pass(60);
    bench.hear(head, 10, vec![]);
    assert_eq!(bench.request(0), Err(Code::NotNow));
}

#[test]
fn v1_a_wall_clock_set_back_makes_no_head_young() {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    bench.hear(bench.block(10, 0), 10, vec![]);
    bench.pass(15 * 60);
    bench.node.now.wall = bench.node.now.wall - Span::from_secs(15 * 60);
    assert_eq!(bench.request(0), Err(Code::NotNow));
}

/// So far off is the first head; the second one, half a minute later, says that it was no slip.
fn show_drift(bench: &mut Bench, off: i64) {
    bench.hear(bench.block(8, 0), 8, vec![]);
    let said = bench.hear(bench.block(9, off), 9, vec![]);
    assert_eq!(closes(&said), [], "one head is a slip");
    bench.pass(30);
}

#[test]
fn l3_a_clock_more_than_an_hour_off_closes_what_has_earned_something() {
    for off in [61 * MINUTE - 1, -61 * MINUTE] {
        let mut bench = Bench::new(Limits::standard(), &[700, 0, 900]);
        show_drift(&mut bench, off);
        let said = bench.hear(bench.block(10, off), 10, vec![]);
        let closed: Vec<_> = closes(&said).into_iter().map(|(_, channel)| channel).collect();
        assert_eq!(closed, [channel(0), channel(2)], "{off} s off");
        assert_eq!(bench.request(1), Err(Code::NotNow));
        bench.pass(60);
        assert_eq!(closes(&bench.hear(bench.block(11, off), 10, vec![])), [], "they are on their way");
    }
}

/// A head that is heard once more is old, one that comes right after it may be of the same slip, and a right one in between says
/// that it was one.
#[test]
fn l3_it_takes_two_heads_half_a_minute_apart_that_are_off_in_a_row() {
    let off = -70 * MINUTE;
    for (wait, number, between) in [(30, 9, None), (29, 10, None), (30, 11, Some(10))] {
        let mut bench = Bench::new(Limits::standard(), &[700]);
        bench.hear(bench.block(8, 0), 8, vec![]);
        bench.hear(bench.block(9, off), 9, vec![]);
        assert_eq!(bench.request(0), Err(Code::NotNow), "but no credit is given");
        if let Some(number) = between {
            bench.hear(bench.block(number, 0), 9, vec![]);
        }
        bench.pass(wait);
        let said = bench.hear(bench.block(number, off), 9, vec![]);
        assert_eq!(closes(&said), [], "{wait} s, block {number}");
    }
}

#[test]
fn l3_within_the_hour_nothing_is_closed() {
    for off in [59 * MINUTE, -59 * MINUTE] {
        let mut bench = Bench::new(Limits::standard(), &[700]);
        show_drift(&mut bench, off);
        assert_eq!(closes(&bench.hear(bench.block(10, off), 10, vec![])), [], "{off} s off");
    }
}

#[test]
fn l3_a_close_that_failed_is_tried_again_and_one_that_landed_is_not() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    let off = -70 * MINUTE;
    show_drift(&mut bench, off);
    let said = bench.hear(bench.block(10, off), 10, vec![]);
    bench.feed(Input::Tx { ticket: closes(&said)[0].0, outcome: TxOutcome::Lost });
    let said = bench.hear(bench.block(11, off), 10, vec![]);
    let [(ticket, _)] = closes(&said)[..] else { panic!("again: {said:?}") };
    let block = bench.block(12, off);
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Included { block, result: Ok(()) } });
    let deadline = ChainTime(block.time.0 + 48 * 3_600);
    let kind = EventKind::Closing { by: CLIENT, amount: Amount(700), nonce: Nonce(1), deadline };
    let closing = ChainEvent::of_channel(block, channel(0), kind);
    assert_eq!(closes(&bench.hear(block, 10, vec![closing])), []);
}

#[test]
fn l3_a_batch_of_closes_is_bounded_and_the_rest_follows() {
    let mut bench = Bench::new(Limits { closes: 2, ..Limits::standard() }, &[1; 5]);
    show_drift(&mut bench, -2 * 60 * MINUTE);
    let mut closed: Vec<TxTicket> = Vec::new();
    for number in 10..13 {
        let said = bench.hear(bench.block(number, -2 * 60 * MINUTE), 10, vec![]);
        assert!(closes(&said).len() <= 2);
        closed.extend(closes(&said).into_iter().map(|(ticket, _)| ticket));
        bench.pass(1);
        let polls = bench.feed(Input::Tick);
        let is_asked = polls.iter().any(|effect| matches!(effect, Effect::Poll { .. }));
        assert_eq!(is_asked, number < 12, "the next batch does not wait for a minute");
    }
    assert_eq!(closed.len(), 5);
}
