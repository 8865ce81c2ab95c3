//! Peers, disk and driver all at once: whatever runs first, the contract holds, and the same seed ends the same.

use std::time::Duration;

use decdn_driver::{
    Limits,
    suite::{CONN, Hands, Log, Port, RandomProgram, Seen, World, connected, heard, stream},
};
use decdn_driver_madsim::{Tasks, run_checked, seed};
use decdn_engine::io::Input;
use madsim_tokio::{
    task::{JoinHandle, yield_now},
    time::sleep,
};

/// Different roles, with work that takes differently long.
const PROGRAMS: u64 = 20;
/// Seeds for each of them.
const SCHEDULES: u64 = 10;
const PEERS: u32 = 3;
const MESSAGES: u64 = 10;

#[test]
fn rules_1_2_3_4_under_any_schedule() {
    let mut split = 0;
    for program in 0..PROGRAMS {
        let seeds = program * SCHEDULES..(program + 1) * SCHEDULES;
        let runs: Vec<_> = seeds.map(|seed| run_checked(seed, everything_at_once)).collect();
        split += u64::from(runs.iter().any(|run| *run != runs[0]));
    }
    // madsim's schedules differ, or this test is about one of them; tokio has one.
    assert_eq!(split, if cfg!(madsim) { PROGRAMS } else { 0 });
}

async fn everything_at_once() -> Vec<Seen> {
    let program = seed() / SCHEDULES;
    let log = Log::default();
    let (role, oracle) = RandomProgram::new(program, &log);
    let world = World::new(log.clone(), Tasks::new(program));
    let driver = madsim_tokio::spawn(world.run(role, Limits::default()));
    world.arrive(connected(CONN));
    let mut others: Vec<JoinHandle<()>> =
        (0..PEERS).map(|n| madsim_tokio::spawn(peer(n, world.clone()))).collect();
    others.push(madsim_tokio::spawn(slow_disk(world.clone())));
    for other in others {
        other.await.expect("no task but the driver's can fail");
    }
    let mut quiet = 0;
    while quiet < 5 {
        sleep(Duration::from_millis(1)).await;
        quiet = if world.is_quiet() && world.unheard() == 0 { quiet + 1 } else { 0 };
    }
    assert!(!driver.is_finished(), "the driver has stopped");
    oracle.check(&log);
    let seen = log.all();
    for peer in 0..PEERS {
        let heard = seen.iter().filter_map(|seen| match seen {
            Seen::Fed(Input::Message { stream: from, message }) if *from == stream(peer) => Some(*message),
            _ => None,
        });
        let said = (0..MESSAGES).map(|n| match self::heard(stream(peer), n) {
            Input::Message { message, .. } => message,
            other => panic!("{other:?} is no message"),
        });
        assert!(heard.eq(said), "peer {peer} was not heard in order: {seen:#?}");
    }
    seen
}

async fn peer(n: u32, world: World<Tasks>) {
    for message in 0..MESSAGES {
        world.room().await;
        world.arrive(heard(stream(n), message));
        yield_now().await;
    }
}

/// Keeps commits back for a while, again and again, and then lets them all go at once.
async fn slow_disk(world: World<Tasks>) {
    for _ in 0..10 {
        world.hold(Port::Store, true);
        sleep(Duration::from_millis(3)).await;
        world.hold(Port::Store, false);
        while world.release(Port::Store) {}
        yield_now().await;
    }
}
