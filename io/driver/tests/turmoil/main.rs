//! Our driver against its contract on turmoil: simulated hosts, TCP and time under real tokio, ports that take
//! their time. Then what only a network and a host can do to it: hold, partition, crash.

mod bench;
mod frame;

use bench::{DRIVER, PEER, Turmoil};
use decdn_driver::{
    contract_suite,
    suite::{
        Bench, CONN, CREDITS, INBOX, Log, Port, Script, Seen, connected, heard, lane, persist, say, stream,
    },
};
use decdn_engine::{
    ids::{ConnId, StreamId},
    io::{Gone, Input},
    record::Record,
    time::Span,
    wire::{ClientMessage, Message},
};

contract_suite!(Turmoil);

/// Milliseconds after which everything that was sent has come to the other host.
const SETTLED: u64 = 50;

/// The numbers that messages said, in the order in which they were fed.
fn fed(log: &Log) -> Vec<u64> {
    log.all().iter().filter_map(|seen| if let Seen::Fed(input) = seen { said(input) } else { None }).collect()
}

fn said(input: &Input) -> Option<u64> {
    match input {
        Input::Message { message: Message::Client(ClientMessage::VoucherAck(nonce)), .. } => Some(nonce.0),
        _ => None,
    }
}

/// Stores each number that follows the last one, then acknowledges it; one that it has is only acknowledged.
fn counter(log: &Log, stored: u64) -> Script {
    let (mut last, mut seq) = (stored, 0);
    Script::new(log, move |_, input, out| {
        if let (Input::Message { stream, .. }, Some(n)) = (input, said(input))
            && n <= last + 1
        {
            if n > last {
                last = n;
                out.push(lane(0), persist(seq, 0, n));
                seq += 1;
            }
            out.push(lane(0), say(*stream, n));
        }
        None
    })
}

/// What a counter finds on its disk.
fn durable(log: &Log) -> Vec<u64> {
    let sets = log.all().into_iter().filter_map(|seen| match seen {
        Seen::Durable(sets) => Some(sets),
        _ => None,
    });
    let number = |record| match record {
        Record::Earning(earning) => u64::try_from(earning.deposit.0).expect("it was a u64"),
        other => panic!("a counter stores no {other:?}"),
    };
    sets.flatten().flatten().map(number).collect()
}

/// The highest number that the peer was told is stored.
fn acknowledged(bench: &Turmoil) -> u64 {
    let number = |message| match message {
        Message::Client(ClientMessage::VoucherAck(nonce)) => nonce.0,
        other => panic!("a counter says no {other:?}"),
    };
    bench.answers().into_iter().map(number).max().unwrap_or(0)
}

/// A peer connects and says all these, each on its connection's first stream.
fn say_all(bench: &mut Turmoil, conn: ConnId, numbers: impl IntoIterator<Item = u64>) {
    bench.arrive(connected(conn));
    numbers.into_iter().for_each(|n| bench.arrive(heard(StreamId { conn, index: 0 }, n)));
}

#[test]
fn while_the_network_holds_nothing_is_fed_and_after_it_everything_in_order() {
    let log = Log::default();
    let period = Span::from_millis(100);
    let mut bench = Turmoil::start(Script::new(&log, move |now, _, _| Some(now.mono + period)), log.clone());
    say_all(&mut bench, CONN, [0]);
    bench.settle();
    assert_eq!(fed(&log), [0]);

    bench.sim.hold(PEER, DRIVER);
    (1..=20).for_each(|n| bench.arrive(heard(stream(n as u32 % 3), n)));
    let ticks = |log: &Log| log.count(|seen| *seen == Seen::Fed(Input::Tick));
    let before = ticks(&log);
    bench.run(550);
    assert_eq!(fed(&log), [0], "nothing passes a link on hold");
    assert_eq!(bench.in_flight(), 20);
    assert!(ticks(&log) >= before + 5, "the driver itself goes on");

    bench.sim.release(PEER, DRIVER);
    bench.settle();
    assert_eq!(fed(&log), (0..=20).collect::<Vec<_>>(), "each once, in the order in which they were sent");
}

#[test]
fn after_a_partition_the_driver_hears_of_the_lost_connection_and_then_what_the_peer_says_again() {
    let log = Log::default();
    let mut bench = Turmoil::start(counter(&log, 0), log.clone());
    say_all(&mut bench, CONN, [1, 2]);
    bench.settle();
    assert_eq!(fed(&log), [1, 2]);

    bench.sim.partition(PEER, DRIVER);
    bench.arrive(heard(stream(0), 3));
    bench.arrive(heard(stream(0), 4));
    bench.run(500);
    bench.sim.repair(PEER, DRIVER);
    bench.run(500);
    assert_eq!(fed(&log), [1, 2], "what was sent into a partition is lost for good");
    assert_eq!(bench.in_flight(), 2);

    let next = ConnId(CONN.0 + 1);
    bench.redial();
    say_all(&mut bench, next, [3, 4]);
    bench.settle();
    bench.run(SETTLED);
    assert_eq!(fed(&log), [1, 2, 3, 4]);
    let lost = log.place(&Seen::Fed(Input::Disconnected { conn: CONN, why: Gone::Lost }));
    assert!(lost < log.place(&Seen::Fed(connected(next))));
    assert_eq!(acknowledged(&bench), 4);
}

#[test]
fn what_is_stored_but_was_not_heard_is_acknowledged_again_and_stored_once() {
    let log = Log::default();
    let mut bench = Turmoil::start(counter(&log, 0), log.clone());
    say_all(&mut bench, CONN, [1]);
    bench.settle();
    bench.run(SETTLED);
    assert_eq!(acknowledged(&bench), 1);

    bench.sim.partition_oneway(DRIVER, PEER);
    bench.arrive(heard(stream(0), 2));
    bench.settle();
    bench.run(SETTLED);
    log.place(&Seen::Started(say(stream(0), 2)));
    assert_eq!(acknowledged(&bench), 1, "the driver has said it; the peer has not heard it");

    bench.sim.repair_oneway(DRIVER, PEER);
    bench.redial();
    say_all(&mut bench, ConnId(CONN.0 + 1), [2]);
    bench.settle();
    bench.run(SETTLED);
    assert_eq!(acknowledged(&bench), 2);
    assert_eq!(durable(&log), [1, 2]);
}

#[test]
fn rule_7_a_peer_that_floods_is_held_up_by_its_own_connection() {
    let log = Log::default();
    let mut bench = Turmoil::start(counter(&log, 0), log.clone());
    bench.hold(Port::Store, true);
    let sent = 2 * INBOX as u64;
    say_all(&mut bench, CONN, 1..=sent);
    bench.run(500);
    assert_eq!(fed(&log).len(), CREDITS);
    assert_eq!(bench.world().unheard(), INBOX, "no more than that waits at the driver");
    assert!(bench.in_flight() > 0, "the rest waits on the way");
    bench.hold(Port::Store, false);
    assert!(bench.release(Port::Store));
    bench.settle();
    assert_eq!(durable(&log), (1..=sent).collect::<Vec<_>>());
}

/// Rules 2, 3 and 8. The host dies at any moment and starts again; the peer says again what was not acknowledged.
#[test]
fn after_a_crash_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_stored_twice() {
    const LAST: u64 = 12;
    // What the sweep came across: a number heard but not stored, one stored but not acknowledged, a crash before
    // everything and one after it.
    let (mut cut_off, mut unheard, mut early, mut late) = (0, 0, 0, 0);
    for moment in 0..90 {
        let log = Log::default();
        let disk = log.clone();
        let recovered = move || counter(&disk, durable(&disk).last().copied().unwrap_or(0));
        let mut bench = Turmoil::new(moment, log.clone(), recovered);
        say_all(&mut bench, CONN, 1..=LAST);
        bench.run(moment);

        bench.sim.crash(DRIVER);
        let before = log.all();
        let stored = durable(&log).last().copied().unwrap_or(0);
        let promised = acknowledged(&bench);
        // What was on its way out still comes to the peer.
        bench.run(SETTLED);
        let revealed = acknowledged(&bench);
        assert!(revealed <= stored, "{revealed} is acknowledged, {stored} is stored at {moment} ms");
        assert!(!bench.sim.is_host_running(DRIVER));
        assert_eq!(log.all(), before, "a dead host does nothing");
        cut_off += u32::from(fed(&log).last().is_some_and(|heard| *heard > stored));
        unheard += u32::from(promised < stored);
        early += u32::from(fed(&log).is_empty());
        late += u32::from(promised == LAST);

        bench.sim.bounce(DRIVER);
        bench.redial();
        say_all(&mut bench, CONN, promised + 1..=LAST);
        bench.settle();
        bench.run(SETTLED);
        assert_eq!(acknowledged(&bench), LAST, "crashed at {moment} ms");
        assert_eq!(durable(&log), (1..=LAST).collect::<Vec<_>>(), "crashed at {moment} ms");
    }
    assert!(cut_off > 0 && unheard > 0 && early > 0 && late > 0, "{cut_off} {unheard} {early} {late}");
}
