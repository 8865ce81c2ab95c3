//! Several endpoints (L4): for all but a dispute it takes two that agree.

use decdn_engine::{
    chain::{Block, Call, ChainEvent, ChainUpdate, Quorum, Revert, TxOutcome, channel, channel::EventKind},
    ids::TxTicket,
    io::{Effect, Input},
    limits::Limits,
    money::{Amount, Nonce},
    record::{ChannelStatus, Key, Record},
    time::ChainTime,
    wire::Code,
};
use decdn_testkit::fixtures::{CLIENT, news};

use crate::bench::{Bench, channel};

/// Two agree on this head, and one of them alone tells of closes.
fn agreed(bench: &Bench, head: u64, next: u64, doubted: &[ChainEvent]) -> Input {
    let quorum = Some(Quorum { is_agreed: true, doubted: doubted.to_vec() });
    let update = news(bench.block(head, 0), head.saturating_sub(10), vec![]);
    Input::Chain(ChainUpdate { next, quorum, ..update })
}

/// No two agree.
fn apart(bench: &Bench, head: u64, doubted: &[ChainEvent]) -> Input {
    let quorum = Some(Quorum { is_agreed: false, doubted: doubted.to_vec() });
    Input::Chain(ChainUpdate { quorum, ..news(bench.block(head, 0), head, vec![]) })
}

fn close(bench: &Bench, number: u64) -> ChainEvent {
    let deadline = ChainTime(bench.node.now.wall.secs() + 48 * 3_600);
    let kind = EventKind::Closing { by: CLIENT, amount: Amount(0), nonce: Nonce(0), deadline };
    ChainEvent::of_channel(bench.block(number, 0), channel(0), kind)
}

fn disputes(said: &[Effect]) -> Vec<TxTicket> {
    let dispute = |effect: &Effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Dispute { .. }), .. } => Some(*ticket),
        _ => None,
    };
    said.iter().filter_map(dispute).collect()
}

fn status(bench: &Bench) -> ChannelStatus {
    match bench.node.disk.get(&Key::Earning(channel(0))) {
        Some(Record::Earning(earning)) => earning.status,
        other => panic!("no channel: {other:?}"),
    }
}

fn reverted() -> TxOutcome {
    let block = Block { number: 101, time: ChainTime(0) };
    TxOutcome::Included { block, result: Err(Revert::from(channel::Revert::NotClosing)) }
}

#[test]
fn l4_a_close_that_one_alone_tells_of_is_disputed_and_nothing_else_follows() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    bench.feed(agreed(&bench, 100, 101, &[]));
    let lie = close(&bench, 100);
    let said = bench.feed(agreed(&bench, 100, 101, &[lie]));
    let [ticket] = disputes(&said)[..] else { panic!("one dispute: {said:?}") };
    assert_eq!(status(&bench), ChannelStatus::Open, "two deny it");
    assert_eq!(bench.request(0), Ok(()), "and credit goes on");
    // It is the same rumour with every answer.
    assert_eq!(disputes(&bench.feed(agreed(&bench, 100, 101, &[lie]))), []);
    bench.feed(Input::Tx { ticket, outcome: reverted() });
    // Once the contract has denied it, the next one is not heard for a while.
    for (hours, heard) in [(0, 0), (1, 0), (2, 1)] {
        bench.pass(hours * 3_600);
        let said = bench.feed(agreed(&bench, 200, 201, &[close(&bench, 150)]));
        assert_eq!(disputes(&said).len(), heard, "after {hours} h more");
    }
}

#[test]
fn l4_a_close_that_nobody_denies_ends_credit_on_its_channel() {
    let mut bench = Bench::new(Limits::standard(), &[700, 700]);
    bench.feed(agreed(&bench, 100, 101, &[]));
    let lone = close(&bench, 100);
    assert_eq!(disputes(&bench.feed(agreed(&bench, 100, 100, &[lone]))).len(), 1);
    assert_eq!((bench.request(0), bench.request(1)), (Err(Code::NotNow), Ok(())));
    // The second endpoint has it as well: what is under way stays under way.
    let said = bench.feed(Input::Chain(ChainUpdate {
        quorum: Some(Quorum { is_agreed: true, doubted: vec![] }),
        ..news(bench.block(105, 0), 90, vec![lone])
    }));
    assert_eq!(disputes(&said), []);
    assert_eq!(status(&bench), ChannelStatus::Closing);
}

#[test]
fn l4_where_no_two_agree_credit_ends_after_15_minutes_and_a_dispute_goes_out_all_the_same() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    bench.feed(agreed(&bench, 100, 101, &[]));
    for (minutes, credit) in [(5, Ok(())), (9, Ok(())), (1, Err(Code::NotNow))] {
        bench.pass(minutes * 60);
        bench.feed(apart(&bench, 5_000, &[]));
        assert_eq!(bench.request(0), credit, "after {minutes} min more");
    }
    let lone = close(&bench, 4_000);
    assert_eq!(disputes(&bench.feed(apart(&bench, 5_000, &[lone]))).len(), 1);
    bench.feed(agreed(&bench, 300, 301, &[]));
    assert_eq!(bench.request(0), Err(Code::NotNow), "one says that it is closing");
}

#[test]
fn l4_where_no_two_agree_nothing_is_erased_and_no_cursor_moves() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    bench.feed(agreed(&bench, 100, 101, &[]));
    let before = bench.node.disk.clone();
    for _ in 0..40 {
        bench.pass(60);
        bench.feed(apart(&bench, 50_000, &[]));
    }
    assert_eq!(bench.node.disk, before);
}

/// What happened below the head is not agreed on for too long.
#[test]
fn l4_a_contested_block_ends_credit_after_15_minutes() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    // The first answer reads up to the block, so from the second one on it is contested.
    for minute in 0..17 {
        bench.feed(agreed(&bench, 100 + minute, 50, &[]));
        assert_eq!(bench.request(0), if minute < 16 { Ok(()) } else { Err(Code::NotNow) }, "{minute}");
        bench.pass(60);
    }
}
