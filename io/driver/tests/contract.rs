//! Our driver against its contract, in memory.

mod bench;

use bench::Memory;
use decdn_driver::{
    Limits, contract_suite,
    suite::{Bench, CONN, Log, Port, Script, Seen, connected, heard, lane, persist, sign, stream},
};
use decdn_engine::io::{Effect, Input};

contract_suite!(Memory);

#[test]
fn past_the_limit_of_waiting_effects_nothing_more_is_heard_until_the_disk_answers() {
    let log = Log::default();
    let mut seq = 0;
    let script = Script::new(&log, move |_, input, out| {
        if let Input::Message { .. } = input {
            // All in one lane, from streams that each have credit left.
            out.push(lane(0), persist(seq, 0, seq));
            seq += 1;
        }
        None
    });
    let limits = Limits { waiting_effects: 5, ..Limits::default() };
    let mut bench = Memory::with_limits(script, log.clone(), limits);
    bench.hold(Port::Store, true);
    bench.arrive(connected(CONN));
    for n in 0..40 {
        bench.arrive(heard(stream(n), 0));
    }
    bench.settle();
    let fed = |log: &Log| log.count(|seen| matches!(seen, Seen::Fed(Input::Message { .. })));
    assert_eq!(fed(&log), 6, "one is being written, five wait");
    assert_eq!(bench.unheard(), 34);
    while bench.release(Port::Store) {
        bench.settle();
    }
    assert_eq!(fed(&log), 40);
}

#[test]
fn past_the_limit_of_outstanding_answers_nothing_more_is_heard_until_one_comes() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if let Input::Message { stream, .. } = input {
            out.push(lane(0), sign(u64::from(stream.index)));
        }
        None
    });
    let limits = Limits { outstanding: 3, ..Limits::default() };
    let mut bench = Memory::with_limits(script, log.clone(), limits);
    bench.hold(Port::Signer, true);
    bench.arrive(connected(CONN));
    for n in 0..10 {
        bench.arrive(heard(stream(n), 0));
    }
    bench.settle();
    let asked = |log: &Log| log.count(|seen| matches!(seen, Seen::Started(Effect::Sign { .. })));
    assert_eq!(asked(&log), 3);
    while bench.release(Port::Signer) {
        bench.settle();
        assert!(asked(&log) - log.count(|s| matches!(s, Seen::Fed(Input::Signed { .. }))) <= 3);
    }
    assert_eq!(asked(&log), 10);
}

#[test]
fn a_commit_takes_no_more_write_sets_than_its_limit() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if let Input::Connected { .. } = input {
            (0..10).for_each(|n| out.push(lane(n as u32), persist(n, n as u8, 1)));
        }
        None
    });
    let limits = Limits { group_sets: 4, ..Limits::default() };
    let mut bench = Memory::with_limits(script, log.clone(), limits);
    bench.arrive(connected(CONN));
    bench.settle();
    let groups: Vec<usize> = log
        .all()
        .iter()
        .filter_map(|seen| if let Seen::Durable(sets) = seen { Some(sets.len()) } else { None })
        .collect();
    assert_eq!(groups, [4, 4, 2]);
}
