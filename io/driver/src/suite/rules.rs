//! One function per rule of the contract.

use decdn_engine::{
    chain::{Route, TxOutcome, channel},
    ids::{Address, BlobHash, ConnId, FetchId, SignTicket, StreamId, TxTicket},
    io::{Effect, Gone, Input, Lane},
    money::{Amount, Rate},
    order::FetchOrder,
    record::{FetchRecord, PersistSeq, Record},
    time::{Span, Time},
    wire::{Code, Protocol},
};

use super::{
    Bench, CONN, Log, Port, Script, Seen, connected, heard, lane, persist, record, say, sign, stream,
};

/// Rule 1.
pub fn effects_of_a_lane_start_in_order<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if matches!(input, Input::Connected { .. }) {
            for n in 0..20 {
                out.push(lane((n % 3) as u32), say(stream(0), n));
            }
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.arrive(connected(CONN));
    bench.settle();
    for of_lane in 0..3 {
        let places: Vec<usize> = (0..20)
            .filter(|n| n % 3 == of_lane)
            .map(|n| log.place(&Seen::Started(say(stream(0), n))))
            .collect();
        assert!(places.is_sorted(), "lane {of_lane} is out of order: {places:?}");
    }
}

/// Rule 2.
pub fn a_barrier_holds_its_lane_and_no_other<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if matches!(input, Input::Connected { .. }) {
            out.push(lane(0), say(stream(0), 0));
            out.push(lane(0), persist(0, 0, 1));
            out.push(lane(0), say(stream(0), 1));
            out.push(lane(0), sign(1));
            out.push(lane(1), say(stream(0), 2));
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.hold(Port::Store, true);
    bench.arrive(connected(CONN));
    bench.settle();
    let before = log.all();
    assert!(before.contains(&Seen::Started(say(stream(0), 0))), "what stands before a barrier starts");
    assert!(before.contains(&Seen::Started(say(stream(0), 2))), "another lane does not wait");
    assert!(!before.contains(&Seen::Started(say(stream(0), 1))), "nothing passes the barrier");
    assert!(!before.contains(&Seen::Started(sign(1))), "no signature is asked for behind the barrier");
    assert!(bench.release(Port::Store), "the commit is under way");
    bench.settle();
    let durable = log.place(&Seen::Durable(vec![vec![record(0, 1)]]));
    assert!(durable < log.place(&Seen::Started(say(stream(0), 1))));
    assert!(durable < log.place(&Seen::Started(sign(1))));
}

/// Rule 2: also what later steps put out, and other lanes' write sets go on meanwhile.
pub fn a_barrier_holds_effects_of_later_steps<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        match input {
            Input::Connected { .. } => out.push(lane(0), persist(0, 0, 1)),
            Input::Message { stream, .. } => {
                out.push(lane(0), say(*stream, 1));
                out.push(lane(1), persist(1, 1, 1));
                out.push(lane(1), say(*stream, 2));
            }
            _ => {}
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.hold(Port::Store, true);
    bench.arrive(connected(CONN));
    bench.settle();
    bench.arrive(heard(stream(0), 9));
    bench.settle();
    assert_eq!(log.count(|seen| matches!(seen, Seen::Started(Effect::Send { .. }))), 0);
    bench.release(Port::Store);
    bench.settle();
    let first = log.place(&Seen::Started(say(stream(0), 1)));
    assert!(log.place(&Seen::Durable(vec![vec![record(0, 1)]])) < first);
    assert_eq!(log.count(|seen| *seen == Seen::Started(say(stream(0), 2))), 0, "its own commit is held");
    bench.release(Port::Store);
    bench.settle();
    let second = log.place(&Seen::Started(say(stream(0), 2)));
    assert!(log.place(&Seen::Durable(vec![vec![record(1, 1)]])) < second);
}

/// Rule 2: the barrier falls, what waited starts, and then the role hears of it, once.
pub fn what_waited_starts_before_persisted_is_fed<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        match input {
            Input::Connected { .. } => {
                out.push(lane(0), persist(0, 0, 1));
                out.push(lane(0), say(stream(0), 1));
            }
            Input::Persisted { .. } => out.push(lane(0), say(stream(0), 2)),
            _ => {}
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.arrive(connected(CONN));
    bench.settle();
    let fed = log.place(&Seen::Fed(Input::Persisted { seq: PersistSeq(0) }));
    assert!(log.place(&Seen::Durable(vec![vec![record(0, 1)]])) < fed);
    assert!(log.place(&Seen::Started(say(stream(0), 1))) < fed);
    assert!(fed < log.place(&Seen::Started(say(stream(0), 2))));
}

/// Rule 3: group commit, and one commit at a time.
pub fn one_commit_takes_all_lanes<B: Bench>() {
    let log = Log::default();
    let mut seq = 0;
    let script = Script::new(&log, move |_, input, out| {
        if let Input::Message { .. } = input {
            let n = seq as u8;
            out.push(lane(u32::from(n)), persist(seq, n, 1));
            seq += 1;
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.hold(Port::Store, true);
    bench.arrive(connected(CONN));
    for n in 0..4 {
        bench.arrive(heard(stream(n), 0));
        bench.settle();
    }
    assert!(bench.release(Port::Store));
    bench.settle();
    log.place(&Seen::Durable(vec![vec![record(0, 1)]]));
    assert!(bench.release(Port::Store));
    bench.settle();
    log.place(&Seen::Durable((1..4).map(|key| vec![record(key, 1)]).collect()));
    assert!(!bench.release(Port::Store), "nothing is left to commit");
}

/// Rule 3: a held-back lane never brings an old value of a record back.
pub fn write_sets_with_a_common_key_keep_their_order<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if matches!(input, Input::Connected { .. }) {
            out.push(lane(0), persist(0, 0, 1));
            // Behind lane 0's barrier: an older value of record 5 than lane 1 is about to write.
            out.push(lane(0), persist(1, 5, 1));
            out.push(lane(1), persist(2, 5, 2));
            out.push(lane(2), persist(3, 6, 3));
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.arrive(connected(CONN));
    bench.settle();
    let durable: Vec<Record> = log
        .all()
        .into_iter()
        .filter_map(|seen| if let Seen::Durable(sets) = seen { Some(sets) } else { None })
        .flatten()
        .flatten()
        .collect();
    let place =
        |wanted: Record| durable.iter().position(|record| *record == wanted).expect("durable in the end");
    assert!(place(record(5, 1)) < place(record(5, 2)), "the later value of a record is the last one");
    assert_eq!(durable.len(), 4);
}

/// Rule 3: content first, then the record that calls it verified.
pub fn verified_content_is_durable_before_its_record<B: Bench>() {
    let fetch = FetchRecord {
        order: FetchOrder {
            id: FetchId(3),
            hash: BlobHash([1; 32]),
            offset_bytes: 0,
            len_bytes: 0,
            candidates: Vec::new(),
            token: Address::ZERO,
            deposit: Amount(0),
            cadence_bytes: 0,
            max_rate: Rate(1),
            keep_channel: false,
        },
        verified_bytes: 77,
        total_bytes: None,
    };
    for of_fetch in [Record::Fetch(fetch.clone()), Record::Kept(fetch)] {
        content_before::<B>(&[record(0, 1), of_fetch]);
    }
}

fn content_before<B: Bench>(writes: &[Record]) {
    let writes = writes.to_vec();
    let log = Log::default();
    let put = writes.clone();
    let script = Script::new(&log, move |_, input, out| {
        if matches!(input, Input::Connected { .. }) {
            out.push(lane(0), Effect::Persist { seq: PersistSeq(0), writes: put.clone() });
            out.push(lane(0), say(stream(0), 1));
            out.push(lane(1), persist(1, 1, 1));
            out.push(lane(1), say(stream(0), 2));
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.hold(Port::Blobs, true);
    bench.arrive(connected(CONN));
    bench.settle();
    assert_eq!(
        log.count(|seen| *seen == Seen::Durable(vec![writes.clone()])),
        0,
        "the content is not durable"
    );
    log.place(&Seen::Started(say(stream(0), 2)));
    assert!(bench.release(Port::Blobs), "the content is on its way");
    bench.settle();
    let synced = log.place(&Seen::Synced(FetchId(3), 77));
    let durable = log.place(&Seen::Durable(vec![writes]));
    assert!(synced < durable && durable < log.place(&Seen::Started(say(stream(0), 1))));
}

/// Rule 8.
pub fn a_failing_store_stops_the_driver_behind_the_barrier<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if matches!(input, Input::Connected { .. }) {
            out.push(lane(0), persist(0, 0, 1));
            out.push(lane(0), say(stream(0), 1));
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.fail_store();
    bench.arrive(connected(CONN));
    bench.settle();
    assert!(bench.is_stopped());
    assert_eq!(log.count(|seen| matches!(seen, Seen::Started(_) | Seen::Durable(_))), 0);
    assert_eq!(log.count(|seen| matches!(seen, Seen::Fed(Input::Persisted { .. }))), 0);
}

/// Rules 2 and 8: a counter that is stored before it is said. Whatever the moment of the crash, nothing was said
/// that is not durable, and a role recovered from there never says a number twice.
pub fn a_crash_at_any_point_loses_nothing_that_was_revealed<B: Bench>() {
    let counter = |log: &Log, from: u64| {
        let (mut n, mut seq) = (from, 0);
        Script::new(log, move |_, input, out| {
            if let Input::Message { stream, .. } = input {
                n += 1;
                out.push(lane(0), persist(seq, 0, n));
                out.push(lane(0), say(*stream, n));
                seq += 1;
            }
            None
        })
    };
    let run = |from: u64| {
        let log = Log::default();
        let mut bench = B::start(counter(&log, from), log.clone());
        bench.arrive(connected(CONN));
        for i in 0..6 {
            // Now and then several at once, so that some wait behind a commit.
            bench.hold(Port::Store, i % 3 != 2);
            bench.arrive(heard(stream(0), i));
            bench.settle();
            bench.release(Port::Store);
            bench.settle();
        }
        bench.hold(Port::Store, false);
        while bench.release(Port::Store) {
            bench.settle();
        }
        bench.settle();
        log.all()
    };
    let said = |log: &[Seen], n: u64| log.contains(&Seen::Started(say(stream(0), n)));
    let whole = run(0);
    assert!(said(&whole, 6), "without a crash everything is said in the end: {whole:#?}");
    for crash in 0..whole.len() {
        let before = &whole[..crash];
        let durable = before.iter().rev().find_map(|seen| match seen {
            Seen::Durable(sets) => sets.last().and_then(|set| set.last()).and_then(number),
            _ => None,
        });
        let durable = durable.unwrap_or(0);
        assert!((durable + 1..=7).all(|n| !said(before, n)), "said more than {durable} before event {crash}");
        let after = run(durable);
        assert!((0..=durable).all(|n| !said(&after, n)), "said again after a crash at event {crash}");
        assert!(said(&after, durable + 1));
    }
}

fn number(record: &Record) -> Option<u64> {
    match record {
        Record::Earning(earning) => u64::try_from(earning.deposit.0).ok(),
        _ => None,
    }
}

fn dial<B: Bench>(conn: ConnId) -> Effect {
    Effect::Connect { conn, peer: B::REACHABLE, protocol: Protocol::Client }
}

/// Rule 4.
pub fn every_request_is_answered_once<B: Bench>() {
    let log = Log::default();
    let dialled = ConnId(0);
    let script = Script::new(&log, move |_, input, out| {
        if matches!(input, Input::Connected { conn: CONN, .. }) {
            out.push(Lane::Role, sign(1));
            out.push(lane(0), sign(2));
            out.push(Lane::Role, Effect::Poll { from_block: 5, interests: Vec::new() });
            let call = channel::Call::Settle { channel: Default::default() }.into();
            out.push(Lane::Role, Effect::Tx { ticket: TxTicket(1), call, route: Route::Sequencer });
            out.push(Lane::Role, Effect::Tx { ticket: TxTicket(2), call, route: Route::DelayedInbox });
            out.push(Lane::Role, dial::<B>(dialled));
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.hold(Port::Signer, true);
    bench.arrive(connected(CONN));
    bench.settle();
    bench.hold(Port::Signer, false);
    while bench.release(Port::Signer) {
        bench.settle();
    }
    bench.settle();
    for wanted in [SignTicket(1), SignTicket(2)] {
        let is_answer = |seen: &Seen| matches!(seen, Seen::Fed(Input::Signed { ticket, signature: Some(_) }) if *ticket == wanted);
        assert_eq!(log.count(is_answer), 1, "one signature for {wanted:?}");
    }
    assert_eq!(log.count(|s| matches!(s, Seen::Fed(Input::Chain(_) | Input::ChainUnreachable))), 1);
    assert_eq!(log.count(|s| matches!(s, Seen::Fed(Input::Connected { conn, .. }) if *conn == dialled)), 1);
    for ticket in [TxTicket(1), TxTicket(2)] {
        let outcomes: Vec<TxOutcome> = log
            .all()
            .into_iter()
            .filter_map(|seen| match seen {
                Seen::Fed(Input::Tx { ticket: of, outcome }) if of == ticket => Some(outcome),
                _ => None,
            })
            .collect();
        let ends = outcomes.iter().filter(|outcome| !matches!(outcome, TxOutcome::Queued { .. })).count();
        assert_eq!(ends, 1, "one end for {ticket:?}: {outcomes:?}");
        assert!(!matches!(outcomes.last(), Some(TxOutcome::Queued { .. })));
    }
}

/// Rule 5.
pub fn a_connection_is_silent_after_its_end<B: Bench>() {
    let log = Log::default();
    let mut bench = B::start(Script::new(&log, |_, _, _| None), log.clone());
    bench.arrive(connected(CONN));
    bench.arrive(heard(stream(0), 1));
    bench.arrive(Input::Disconnected { conn: CONN, why: Gone::Lost });
    bench.arrive(heard(stream(0), 2));
    bench.arrive(Input::StreamClosed { stream: stream(0), code: None });
    bench.arrive(Input::Disconnected { conn: CONN, why: Gone::Lost });
    bench.settle();
    log.place(&Seen::Fed(heard(stream(0), 1)));
    let all = log.all();
    // A network may have a reason of its own for an end.
    assert!(matches!(all.last(), Some(Seen::Fed(Input::Disconnected { conn: CONN, .. }))), "{all:#?}");
    assert_eq!(all.len(), 3, "{all:#?}");
}

/// Rule 5.
pub fn a_stream_is_silent_after_its_end<B: Bench>() {
    let log = Log::default();
    let mut bench = B::start(Script::new(&log, |_, _, _| None), log.clone());
    bench.arrive(connected(CONN));
    bench.arrive(heard(stream(1), 1));
    bench.arrive(Input::StreamClosed { stream: stream(1), code: None });
    bench.arrive(heard(stream(1), 2));
    bench.arrive(Input::Malformed { stream: stream(1), code: Code::Malformed });
    bench.arrive(Input::StreamClosed { stream: stream(1), code: None });
    bench.arrive(heard(stream(0), 3));
    bench.settle();
    assert_eq!(log.count(|seen| matches!(seen, Seen::Fed(Input::StreamClosed { .. }))), 1);
    assert_eq!(log.count(|seen| *seen == Seen::Fed(heard(stream(1), 2))), 0);
    assert_eq!(log.count(|seen| matches!(seen, Seen::Fed(Input::Malformed { .. }))), 0);
    log.place(&Seen::Fed(heard(stream(0), 3)));
}

/// Rule 5.
pub fn what_the_engine_ended_is_silent<B: Bench>() {
    let log = Log::default();
    let other = ConnId(CONN.0 + 1);
    let script = Script::new(&log, move |_, input, out| {
        match input {
            Input::Message { stream, .. } if stream.index == 0 => {
                out.push(Lane::Stream(*stream), Effect::Reset { stream: *stream, code: Code::NotNow });
            }
            Input::Connected { conn, .. } if *conn == other => {
                out.push(Lane::Role, Effect::Disconnect { conn: other, code: Code::NotNow });
            }
            _ => {}
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.arrive(connected(CONN));
    bench.arrive(connected(other));
    bench.arrive(heard(stream(0), 1));
    bench.arrive(heard(stream(0), 2));
    bench.arrive(heard(StreamId { conn: other, index: 0 }, 3));
    bench.arrive(Input::Disconnected { conn: other, why: Gone::Lost });
    bench.arrive(heard(stream(1), 4));
    bench.settle();
    log.place(&Seen::Fed(heard(stream(0), 1)));
    log.place(&Seen::Fed(heard(stream(1), 4)));
    assert_eq!(log.count(|seen| matches!(seen, Seen::Fed(Input::Message { .. }))), 2);
    assert_eq!(log.count(|seen| matches!(seen, Seen::Fed(Input::Disconnected { .. }))), 0);
}

/// Rules 4 and 5: a dial that the engine gives up on in the same breath.
pub fn an_unanswered_dial_is_answered_when_it_is_given_up<B: Bench>() {
    let log = Log::default();
    let dialled = ConnId(0);
    let script = Script::new(&log, move |_, input, out| {
        if matches!(input, Input::Connected { conn: CONN, .. }) {
            out.push(Lane::Role, dial::<B>(dialled));
            out.push(Lane::Role, Effect::Disconnect { conn: dialled, code: Code::NotNow });
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.arrive(connected(CONN));
    bench.settle();
    let about_it = |seen: &Seen| match seen {
        Seen::Fed(Input::Connected { conn, .. } | Input::Disconnected { conn, .. }) => *conn == dialled,
        _ => false,
    };
    assert_eq!(log.count(about_it), 1);
}

/// Rule 4.
pub fn answers_that_nobody_asked_for_are_not_fed<B: Bench>() {
    let log = Log::default();
    let script = Script::new(&log, |_, input, out| {
        if let Input::Message { stream, .. } = input {
            let hash = BlobHash([1; 32]);
            out.push(Lane::Stream(*stream), Effect::SendRange { stream: *stream, hash, offset: 0, bytes: 1 });
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.arrive(connected(CONN));
    bench.arrive(Input::RangeSent { stream: stream(0) });
    bench.arrive(heard(stream(0), 1));
    bench.settle();
    // The bench answers the range that was sent; two more answers are one too many each.
    bench.arrive(Input::RangeSent { stream: stream(0) });
    bench.arrive(Input::RangeFailed { stream: stream(1) });
    bench.settle();
    let answers =
        |seen: &Seen| matches!(seen, Seen::Fed(Input::RangeSent { .. } | Input::RangeFailed { .. }));
    assert_eq!(log.count(answers), 1);
}

/// Rule 6.
pub fn a_tick_comes_at_the_deadline_and_not_before<B: Bench>() {
    let log = Log::default();
    let ticks = |log: &Log| log.count(|seen| *seen == Seen::Fed(Input::Tick));
    let second = Time(5_000_000);
    let first = Time(2_000_000);
    let script = Script::new(&log, move |now, input, _| {
        assert!(*input != Input::Tick || now.mono >= first, "a tick before its deadline");
        if now.mono < first {
            Some(first)
        } else if now.mono < second {
            Some(second)
        } else {
            None
        }
    });
    let mut bench = B::start(script.with_deadline(second), log.clone());
    bench.settle();
    // A step brings the deadline forward.
    bench.arrive(connected(CONN));
    bench.settle();
    for (deadline, already) in [(first, 0), (second, 1)] {
        bench.advance_to(Time(deadline.0 - B::SETTLE.0));
        bench.settle();
        assert!(bench.now() < deadline, "the bench is slower than it says");
        assert_eq!(ticks(&log), already);
        bench.advance_to(deadline);
        bench.settle();
        assert_eq!(ticks(&log), already + 1);
    }
    bench.advance(Span::from_secs(10));
    bench.settle();
    assert_eq!(ticks(&log), 2, "one tick, and no more after it");
}

/// Rule 7: a stream whose effects wait for the disk is read no further; another one is.
pub fn a_stream_is_not_read_while_its_effects_wait<B: Bench>() {
    let Some(bound) = B::INPUTS_PER_STREAM else { return };
    let log = Log::default();
    let mut seq = 0;
    let script = Script::new(&log, move |_, input, out| {
        if let Input::Message { stream, .. } = input
            && stream.index == 0
        {
            out.push(lane(0), persist(seq, 0, seq));
            out.push(lane(0), say(*stream, seq));
            seq += 1;
        }
        None
    });
    let mut bench = B::start(script, log.clone());
    bench.hold(Port::Store, true);
    bench.arrive(connected(CONN));
    let sent = 4 * bound as u64 + 8;
    for n in 0..sent {
        bench.arrive(heard(stream(0), n));
    }
    bench.arrive(heard(stream(1), 0));
    bench.settle();
    let fed =
        |log: &Log| log.count(|s| matches!(s, Seen::Fed(Input::Message { stream, .. }) if stream.index == 0));
    assert!(fed(&log) <= bound, "{} inputs were heard, {bound} may wait", fed(&log));
    log.place(&Seen::Fed(heard(stream(1), 0)));
    while bench.release(Port::Store) {
        bench.settle();
    }
    assert_eq!(fed(&log) as u64, sent, "once the disk is back, everything is heard");
}
