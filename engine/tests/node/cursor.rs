//! O12: a restart reads the chain on from where all that came of it is durable, and misses nothing.

use decdn_engine::{
    chain::{
        ChainEvent, ChainUpdate,
        channel::{Ending, EventKind},
    },
    ids::ChannelId,
    io::{Effect, Input},
    limits::{CURSOR_BLOCKS, Limits},
    money::{Amount, Nonce},
    record::{Key, Record},
    time::ChainTime,
};

use decdn_testkit::fixtures::news;

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

/// An hour later: news up to a head, read twice (L4). What was said the first time.
fn read(bench: &mut Bench, head: u64, safe: u64, events: &[ChainEvent]) -> Vec<Effect> {
    bench.pass(3_600);
    let said = bench.hear(bench.block(head, 0), safe, events.to_vec());
    bench.pass(30);
    bench.hear(bench.block(head, 0), safe, events.to_vec());
    said
}

/// The same of an empty chain up to a head that is safe.
fn quiet(bench: &mut Bench, head: u64) {
    read(bench, head, head, &[]);
}

fn event(bench: &Bench, number: u64, channel: ChannelId, kind: EventKind) -> ChainEvent {
    ChainEvent::of_channel(bench.block(number, 0), channel, kind)
}

fn opened() -> EventKind {
    EventKind::Opened {
        client: CLIENT,
        node: OPERATOR,
        token: TOKEN,
        deposit: Amount(1_000_000),
        window_secs: 172_800,
    }
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
    read(&mut bench, 9 * CURSOR_BLOCKS, 2 * CURSOR_BLOCKS, &[]);
    assert_eq!(cursor(&bench), Some(2 * CURSOR_BLOCKS + 1));
}

#[test]
fn o12_the_cursor_waits_until_what_events_did_is_durable() {
    let mut bench = Bench::new(Limits::standard(), &[]);
    bench.is_disk_stuck = true;
    let opening = event(&bench, 50, channel(0), opened());
    read(&mut bench, 2 * CURSOR_BLOCKS, 2 * CURSOR_BLOCKS, &[opening]);
    quiet(&mut bench, 4 * CURSOR_BLOCKS);
    assert_eq!(bench.stuck.len(), 1, "the channel, and no cursor");
    bench.unstick();
    quiet(&mut bench, 5 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(5 * CURSOR_BLOCKS + 1));
}

#[test]
fn o12_a_close_under_way_is_read_again_after_a_restart_and_disputed() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    let close = event(&bench, 2 * CURSOR_BLOCKS, channel(0), closing(&bench));
    read(&mut bench, 3 * CURSOR_BLOCKS, 3 * CURSOR_BLOCKS, &[close]);
    quiet(&mut bench, 9 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(2 * CURSOR_BLOCKS), "the close's own block");
    bench.restart();
    assert_eq!(polled(&mut bench), 2 * CURSOR_BLOCKS);
    let said = read(&mut bench, 9 * CURSOR_BLOCKS, 9 * CURSOR_BLOCKS, &[close]);
    assert!(said.iter().any(|effect| matches!(effect, Effect::Tx { .. })), "{said:?}");
    let kind = EventKind::Settled {
        ending: Ending::Window,
        amount: Amount(700),
        paid: Amount(700),
        refunded: Amount(0),
    };
    let settled = event(&bench, 12 * CURSOR_BLOCKS, channel(0), kind);
    read(&mut bench, 12 * CURSOR_BLOCKS, 12 * CURSOR_BLOCKS, &[settled]);
    quiet(&mut bench, 13 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(13 * CURSOR_BLOCKS + 1), "it is over");
}

#[test]
fn o12_an_opening_without_room_is_read_again_after_a_restart() {
    let mut bench = Bench::new(Limits { channels: 1, ..Limits::standard() }, &[700]);
    let opening = event(&bench, 2 * CURSOR_BLOCKS, channel(9), opened());
    read(&mut bench, 3 * CURSOR_BLOCKS, 3 * CURSOR_BLOCKS, &[opening]);
    quiet(&mut bench, 9 * CURSOR_BLOCKS);
    assert_eq!(cursor(&bench), Some(2 * CURSOR_BLOCKS));
}

/// An answer may have a head and lack logs below it: what was left out comes with the second read.
#[test]
fn l4_what_an_answer_left_out_is_read_again() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    quiet(&mut bench, 100);
    bench.pass(60);
    bench.hear(bench.block(340, 0), 100, vec![]);
    let close = event(&bench, 330, channel(0), closing(&bench));
    bench.pass(60);
    assert!(polled(&mut bench) <= 330);
    let said = bench.hear(bench.block(580, 0), 100, vec![close]);
    assert!(said.iter().any(|effect| matches!(effect, Effect::Tx { .. })), "it is disputed: {said:?}");
    let again = bench.hear(bench.block(590, 0), 100, vec![close]);
    assert!(!again.iter().any(|effect| matches!(effect, Effect::Notice(_))), "and told once: {again:?}");
}

/// A cursor that somebody lied into the disk: the chain is read again from where the contract is.
#[test]
fn l4_a_cursor_above_the_head_goes_back() {
    let mut bench = Bench::new(Limits::standard(), &[700]);
    bench.node.disk.insert(Key::Cursor, Record::Cursor(1_000_000));
    bench.restart();
    assert_eq!(polled(&mut bench), 1_000_000);
    bench.hear(bench.block(500, 0), 400, vec![]);
    assert_eq!(cursor(&bench), Some(0));
    bench.pass(60);
    assert_eq!(polled(&mut bench), 0);
}

/// One answer with a head far ahead moves neither cursor nor clock; a second endpoint's word for it does.
#[test]
fn l4_a_head_far_ahead_moves_nothing_before_it_is_confirmed() {
    for endpoint in [0, 1] {
        let mut bench = Bench::new(Limits::standard(), &[700]);
        quiet(&mut bench, 2 * CURSOR_BLOCKS);
        let far = ChainUpdate { endpoint, ..news(bench.block(300_000_000, 0), 300_000_000, vec![]) };
        bench.feed(Input::Chain(news(bench.block(300_000_000, 0), 300_000_000, vec![])));
        bench.feed(Input::Chain(far));
        quiet(&mut bench, if endpoint == 0 { 4 * CURSOR_BLOCKS } else { 300_000_001 });
        let reached = if endpoint == 0 { 4 * CURSOR_BLOCKS + 1 } else { 300_000_001 };
        assert_eq!(cursor(&bench), Some(reached), "endpoint {endpoint}");
    }
}
