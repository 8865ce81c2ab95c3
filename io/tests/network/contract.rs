//! Our driver with iroh against its contract: on loopback, and on a network that misbehaves.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use decdn_driver::suite::{
    Bench, CONN, Dice, Log, Script, Seen, a_crash_at_any_point_loses_nothing_that_was_revealed, connected,
    heard, lane, persist, say, stream,
};
use decdn_engine::{
    io::{Gone, Input},
    record::Record,
    wire::{ClientMessage, Message},
};
use decdn_io::stage::Loopback;

use crate::{
    bench::{Quic, Wire},
    memory::{Done, Faults, Line, Memory},
};

impl Wire for Loopback {
    const RANDOM_RUNS: u64 = 25;

    fn next() -> Self {
        Self
    }
}

const FAULTS: Faults = Faults { lost: 20, doubled: 50, delay_ms: (0, 3), cuts: 4, cut_ms: 15 };

thread_local! {
    /// Of the next bench on this thread; each test has one.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

thread_local! {
    /// All those of this thread.
    static NETWORKS: RefCell<Vec<Memory>> = const { RefCell::new(Vec::new()) };
}

/// Whoever hangs up says so once. Where that gets lost, the other end notices by the silence.
const IDLE: Duration = Duration::from_secs(4);

/// A network with every fault at once, with odds of its own for each bench.
impl Wire for Line {
    const RANDOM_RUNS: u64 = 15;

    fn next() -> Self {
        let network = Memory::new(SEED.replace(SEED.get() + 1), FAULTS);
        NETWORKS.with_borrow_mut(|all| all.push(network.clone()));
        Self { memory: network, idle: IDLE }
    }
}

mod on_loopback {
    use super::*;
    decdn_driver::contract_suite!(Quic<Loopback>);
}

mod on_a_troubled_network {
    use super::*;
    decdn_driver::contract_suite!(Quic<Line>);
}

/// Stores what it hears, then says it.
fn counter(log: &Log) -> Script {
    let mut seq = 0;
    Script::new(log, move |_, input, out| {
        if let Input::Message { stream, message: Message::Client(ClientMessage::VoucherAck(nonce)) } = input {
            out.push(lane(0), persist(seq, 0, nonce.0));
            out.push(lane(0), say(*stream, nonce.0));
            seq += 1;
        }
        None
    })
}

/// Rules 1, 2 and 8 from outside: all that counts is what a peer was told and what a disk holds.
#[test]
fn after_a_crash_at_any_moment_the_disk_has_what_the_peer_was_told() {
    const LAST: u64 = 40;
    let (mut nothing, mut some, mut everything) = (0, 0, 0);
    for moment in 0..30 {
        let log = Log::default();
        let mut bench = Quic::<Loopback>::start(counter(&log), log.clone());
        bench.arrive(connected(CONN));
        (1..=LAST).for_each(|n| bench.arrive(heard(stream(0), n)));
        let told = bench.heard();
        if moment % 2 == 0 {
            bench.run(4 * moment);
        } else {
            // A slow machine may do all or nothing in any time: so much, then.
            bench.run_until(|| told.lock().expect("no panic while it was held").len() as u64 >= moment);
        }
        let mut dice = Dice(moment);
        let disk = bench.crash(|sectors| dice.roll(sectors));
        let told: Vec<u64> = told
            .lock()
            .expect("no panic while it was held")
            .iter()
            .map(|(_, message)| match message {
                Message::Client(ClientMessage::VoucherAck(nonce)) => nonce.0,
                other => panic!("a counter says no {other:?}"),
            })
            .collect();
        assert!(told.iter().copied().eq(1..=told.len() as u64), "out of order: {told:?}");
        let stored = match disk[..] {
            [] => 0,
            [Record::Earning(earning)] => earning.deposit.0,
            _ => panic!("a counter has one record: {disk:?}"),
        };
        assert!(told.len() as u128 <= stored, "{} were told, {stored} is stored", told.len());
        match told.len() as u64 {
            0 => nothing += 1,
            LAST => everything += 1,
            _ => some += 1,
        }
    }
    assert!(
        nothing > 0 && some > 0,
        "{nothing} before anything was told, {some} in between, {everything} after all"
    );
}

/// Rule 5.
#[test]
fn a_peer_that_falls_silent_is_lost_and_its_connection_is_over() {
    let log = Log::default();
    let mut bench = Quic::<Line>::start(Script::new(&log, |_, _, _| None), log.clone());
    bench.arrive(connected(CONN));
    bench.arrive(heard(stream(0), 1));
    bench.settle();
    bench.network.memory.cut(true);
    bench.arrive(heard(stream(0), 2));
    bench.settle();
    bench.network.memory.cut(false);
    bench.run(500);
    log.place(&Seen::Fed(heard(stream(0), 1)));
    assert_eq!(log.all().last(), Some(&Seen::Fed(Input::Disconnected { conn: CONN, why: Gone::Lost })));
    assert_eq!(log.all().len(), 3, "{:#?}", log.all());
}

#[test]
fn the_troubled_network_does_everything_that_its_table_says() {
    a_crash_at_any_point_loses_nothing_that_was_revealed::<Quic<Line>>();
    let done: Vec<_> = NETWORKS.with_borrow(|all| all.iter().map(Memory::done).collect());
    let sum = |what: fn(&Done) -> u64| done.iter().map(what).sum::<u64>();
    let sums = [
        sum(|done| done.lost),
        sum(|done| done.doubled),
        sum(|done| done.overtaken),
        sum(|done| done.cut_off),
    ];
    assert!(sums.iter().all(|sum| *sum > 0), "{sums:?} of {}", sum(|done| done.sent));
}
