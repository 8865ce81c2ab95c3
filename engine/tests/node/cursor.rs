//! O12: a restart reads the chain on from where all that came of it is durable, and misses nothing.

use decdn_engine::{
    chain::{ChainEvent, channel::EventKind},
    ids::ChannelId,
    io::{Effect, Input},
    limits::{CURSOR_BLOCKS, Limits},
    money::{Amount, Nonce},
    record::{Key, Record},
    time::ChainTime,
};

use crate::bench::{Bench, CLIENT, OPERATOR, TOKEN, channel};

fn cursor(bench: &Bench) -> Option<u64> {
    match bench.node.disk.get(&Key::Cursor) {
        Some(Record::Cursor(block)) => Some(*block),
        _ => None,
    }
}

/// Where a node reads on from when its time has come.
fn polled(bench: &mut Bench) -> u64 {
    match bench.feed(Input::Tick)[..] {
        [Effect::Poll { from_block, .. }] => from_block,
        ref other => panic!("{other:?}"),
    }
}

/// News of an empty chain up to a head that is safe.
fn quiet(bench: &mut Bench, head: u64) {
    bench.hear(bench.block(head, 0), head, vec![]);
}

fn event(bench: &Bench, number: u64, channel: ChannelId, kind: EventKind) -> ChainEvent {
    ChainEvent::of_channel(bench.block(number, 0), channel, kind)
}

fn opened() -> EventKind {
    EventKind::Opened { client: CLIENT, node: OPERATOR, token: TOKEN, deposit: Amount(1_000_000) }
}

fn closing(bench: &Bench) -> EventKind {
    let deadline = ChainTime(bench.node.now.wall.secs() + 48 * 3_600);
    EventKind::Closing { by: CLIENT, amount: Amount(0), nonce: Nonce::NONE, deadline }
}

#[test]
fn o12_the_cursor_is_stored_every_so_many_blocks_and_a_restart_goes_on_there() {
    let mut bench = Bench::new(Limits::standard(), &[]);
    quiet(&mut bench, CURSOR_BLOCKS - 2);
    assert_eq!(cursor(&bench), None, "not worth a write yet");
    quiet(&mut bench, CURSOR_BLOCKS + 5);
    assert_eq!(cursor(&bench), Some(CURSOR_BLOCKS + 6));
    quiet(&mut bench, 2 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(CURSOR_BLOCKS + 6));
    bench.restart();
    assert_eq!(polled(&mut bench), CURSOR_BLOCKS + 6);
}

#[test]
fn l1_the_cursor_stays_behind_the_safe_head() {
    let mut bench = Bench::new(Limits::standard(), &[]);
    let head = bench.block(9 * CURSOR_BLOCKS, 0);
    bench.hear(head, 2 * CURSOR_BLOCKS, vec![]);
    assert_eq!(cursor(&bench), Some(2 * CURSOR_BLOCKS + 1));
}

#[test]
fn o12_the_cursor_waits_until_what_events_did_is_durable() {
    let mut bench = Bench::new(Limits::standard(), &[]);
    bench.is_disk_stuck = true;
    let head = bench.block(2 * CURSOR_BLOCKS, 0);
    let opening = event(&bench, 50, channel(0), opened());
    bench.hear(head, head.number, vec![opening]);
    quiet(&mut bench, 4 * CURSOR_BLOCKS);
    assert_eq!(bench.stuck.len(), 1, "the channel, and no cursor");
    bench.unstick();
    quiet(&mut bench, 5 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(5 * CURSOR_BLOCKS + 1));
}

#[test]
fn o12_a_close_under_way_is_read_again_after_a_restart_and_disputed() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    let head = bench.block(3 * CURSOR_BLOCKS, 0);
    let close = event(&bench, 2 * CURSOR_BLOCKS, channel(0), closing(&bench));
    bench.hear(head, head.number, vec![close]);
    quiet(&mut bench, 9 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(2 * CURSOR_BLOCKS), "the close's own block");
    bench.restart();
    assert_eq!(polled(&mut bench), 2 * CURSOR_BLOCKS);
    let said = bench.hear(head, head.number, vec![close]);
    assert!(said.iter().any(|effect| matches!(effect, Effect::Tx { .. })), "{said:?}");
    let kind = EventKind::Settled { paid: Amount(700), refunded: Amount(0), cooperative: false };
    let head = bench.block(12 * CURSOR_BLOCKS, 0);
    let settled = event(&bench, head.number, channel(0), kind);
    bench.hear(head, head.number, vec![settled]);
    quiet(&mut bench, 13 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(13 * CURSOR_BLOCKS + 1), "it is over");
}

#[test]
fn o12_an_opening_without_room_is_read_again_after_a_restart() {
    let mut bench = Bench::new(Limits { channels: 1, ..Limits::standard() }, &[700]);
    let head = bench.block(3 * CURSOR_BLOCKS, 0);
    let opening = event(&bench, 2 * CURSOR_BLOCKS, channel(9), opened());
    bench.hear(head, head.number, vec![opening]);
    quiet(&mut bench, 9 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(2 * CURSOR_BLOCKS));
}
