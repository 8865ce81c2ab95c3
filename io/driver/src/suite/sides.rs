//! Rule 9: a role that is dialled and dials at once, as a node does that buys while it sells. Its customer and its seller are
//! the same peer, which is the hardest to tell apart.

use decdn_engine::{
    blob::{Outboard, Verdict},
    ids::{BlobHash, ConnId, FetchId, NodeId, SignTicket, StreamId},
    io::{Effect, Gone, Input, Lane},
    wire::{Code, Protocol},
};

use super::{Bench, CONN, Log, Port, Script, Seen, connected, heard, persist, record, say, sign, stream};

/// The number of the first connection that a role of the suite dials; the next ones follow.
pub const DIALLED: ConnId = ConnId(0);

/// From here on a role's channels are those that it pays on; below are those that it earns on.
pub const BESIDE: u32 = 1 << 31;

const EARNS: Lane = Lane::Channel(0);
const PAYS: Lane = Lane::Channel(BESIDE);

/// A stream that the role has opened on [`DIALLED`]. A role opens them in the order of their indexes.
pub fn asked(index: u32) -> StreamId {
    StreamId { conn: DIALLED, index }
}

/// All content that the suite has, bought or sold: a blob of one group.
pub fn content() -> Vec<u8> {
    (0..5_000_u32).map(|n| (n ^ (n >> 8)) as u8).collect()
}

/// What [`content`] is called.
pub fn blob() -> BlobHash {
    Outboard::of(&content()).root()
}

/// Content arrives on a stream that waits for it, and is good.
#[expect(clippy::disallowed_methods, reason = "says what a verifier finds in the suite's content")]
pub fn delivered(stream: StreamId) -> Input {
    Input::Verdict { stream, verdict: Verdict::good(0, content().len() as u64) }
}

fn receive(stream: StreamId) -> Effect {
    let bytes = content().len() as u64;
    Effect::Receive { stream, fetch: FetchId(1), hash: blob(), total_bytes: bytes, offset: 0, bytes }
}

fn send_range(stream: StreamId) -> Effect {
    Effect::SendRange { stream, hash: blob(), offset: 0, bytes: content().len() as u64 }
}

/// Dials back.
pub(super) fn dial(conn: ConnId, peer: NodeId) -> Effect {
    Effect::Connect { conn, peer, protocol: Protocol::Client }
}

fn fed(log: &Log, input: Input) -> bool {
    log.count(|seen| *seen == Seen::Fed(input.clone())) == 1
}

fn started(log: &Log, effect: &Effect) -> bool {
    log.count(|seen| *seen == Seen::Started(effect.clone())) == 1
}

/// A role that dials back who dials it, asks on its first streams there as soon as it may, and otherwise does what `then` says.
fn dials_back(
    log: &Log,
    mut then: impl FnMut(&Input, &mut decdn_engine::io::Outputs) + Send + 'static,
) -> Script {
    Script::new(log, move |_, input, out| {
        match input {
            Input::Connected { conn: CONN, peer, .. } => out.push(Lane::Role, dial(DIALLED, *peer)),
            Input::Connected { conn: DIALLED, .. } => {
                (0..2).for_each(|index| out.push(PAYS, say(asked(index), 0)));
            }
            _ => {}
        }
        then(input, out);
        None
    })
}

/// Both connections are up, and two streams of the role's own are open.
fn both_up<B: Bench>(role: Script, log: &Log) -> B {
    let mut bench = B::start(role, log.clone());
    bench.arrive(connected(CONN));
    bench.settle();
    let is_up = |wanted: ConnId| {
        log.count(|seen| matches!(seen, Seen::Fed(Input::Connected { conn, .. }) if *conn == wanted)) == 1
    };
    assert!(is_up(CONN) && is_up(DIALLED), "{:#?}", log.all());
    assert!((0..2).all(|index| started(log, &say(asked(index), 0))), "{:#?}", log.all());
    bench
}

/// Rule 9: streams of one index on both connections are two streams, and end as such.
pub fn what_comes_on_a_dialled_connection_is_told_from_an_accepted_one<B: Bench>() {
    let log = Log::default();
    let mut bench = both_up::<B>(dials_back(&log, |_, _| {}), &log);
    let close = |stream| Input::StreamClosed { stream, code: None };
    let said = [
        heard(stream(0), 1),
        heard(asked(0), 2),
        heard(stream(1), 3),
        heard(asked(1), 4),
        close(asked(0)),
        close(stream(1)),
        heard(stream(0), 5),
        heard(asked(1), 6),
    ];
    for input in &said {
        bench.arrive(input.clone());
    }
    bench.arrive(heard(asked(0), 7));
    bench.arrive(heard(stream(1), 8));
    bench.settle();
    let all: Vec<Input> = log
        .all()
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Fed(input @ (Input::Message { .. } | Input::StreamClosed { .. })) => Some(input),
            _ => None,
        })
        .collect();
    let of = |input: &Input| match input {
        Input::Message { stream, .. } | Input::StreamClosed { stream, .. } => *stream,
        other => panic!("{other:?} is of no stream"),
    };
    for id in [stream(0), stream(1), asked(0), asked(1)] {
        let [came, expected] = [&all[..], &said[..]]
            .map(|inputs| inputs.iter().filter(|input| of(input) == id).cloned().collect::<Vec<_>>());
        assert_eq!(came, expected, "on {id:?}");
    }
    assert_eq!(all.len(), said.len(), "nothing came on any other stream: {all:#?}");
}

/// Rules 5 and 9.
pub fn a_lost_connection_takes_none_of_the_other_kind_along<B: Bench>() {
    let log = Log::default();
    let again = ConnId(DIALLED.0 + 1);
    let asked_again = StreamId { conn: again, index: 0 };
    let script = dials_back(&log, move |input, out| match input {
        Input::Disconnected { conn: DIALLED, .. } => out.push(Lane::Role, dial(again, B::REACHABLE)),
        Input::Connected { conn, .. } if *conn == again => out.push(PAYS, say(asked_again, 1)),
        Input::Message { stream, .. } if *stream == asked_again => {
            out.push(Lane::Role, Effect::Disconnect { conn: again, code: Code::NotNow });
        }
        _ => {}
    });
    let mut bench = both_up::<B>(script, &log);
    let ended = |wanted: ConnId| {
        log.count(|seen| matches!(seen, Seen::Fed(Input::Disconnected { conn, .. }) if *conn == wanted))
    };
    bench.arrive(heard(stream(0), 1));
    bench.arrive(Input::Disconnected { conn: DIALLED, why: Gone::Lost });
    bench.settle();
    bench.arrive(heard(stream(0), 2));
    bench.arrive(heard(asked(0), 3));
    bench.settle();
    assert_eq!((ended(DIALLED), ended(CONN)), (1, 0), "{:#?}", log.all());
    assert!(fed(&log, heard(stream(0), 2)), "who buys here is still heard");
    assert!(!fed(&log, heard(asked(0), 3)), "nothing comes after the end");

    assert!(started(&log, &say(asked_again, 1)), "the one that was lost can be dialled anew");
    bench.arrive(Input::Disconnected { conn: CONN, why: Gone::Lost });
    bench.settle();
    assert_eq!((ended(CONN), ended(again)), (1, 0), "{:#?}", log.all());
    let new = ConnId(CONN.0 + 1);
    let on_new = StreamId { conn: new, index: 0 };
    bench.arrive(connected(new));
    bench.arrive(heard(on_new, 4));
    bench.settle();
    bench.arrive(heard(asked_again, 5));
    bench.settle();
    assert!(fed(&log, heard(asked_again, 5)), "who sells here is still heard");
    assert!(started(&log, &Effect::Disconnect { conn: again, code: Code::NotNow }));
    bench.arrive(heard(on_new, 6));
    bench.settle();
    assert!(fed(&log, heard(on_new, 4)) && fed(&log, heard(on_new, 6)), "{:#?}", log.all());
    assert_eq!((ended(new), ended(again)), (0, 0), "what the role ends itself it is not told");
}

/// Rules 2 and 9: whichever side waits for the disk or the signer, the other goes on.
pub fn a_barrier_of_one_side_holds_nothing_of_the_other<B: Bench>() {
    /// From here on an answer waits for the disk.
    const STORED: u64 = 10;
    let log = Log::default();
    let mut seq = 0;
    let script = dials_back(&log, move |input, out| {
        let Input::Message { stream: on, message } = input else { return };
        let n = (1..100).find(|n| heard(*on, *n) == Input::Message { stream: *on, message: *message });
        let n = n.expect("the suite says small numbers");
        let (lane, key) = if on.conn == DIALLED { (PAYS, 2) } else { (EARNS, 1) };
        if n >= STORED {
            out.push(lane, persist(seq, key, n));
            seq += 1;
        }
        out.push(lane, say(*on, n));
        out.push(lane, sign(n));
    });
    let mut bench = both_up::<B>(script, &log);
    bench.hold(Port::Store, true);
    bench.hold(Port::Signer, true);
    for (waits, goes_on, [n, m]) in
        [(stream(0), asked(0), [STORED, 1]), (asked(0), stream(0), [STORED + 1, 2])]
    {
        bench.arrive(heard(waits, n));
        bench.settle();
        bench.arrive(heard(goes_on, m));
        bench.settle();
        assert!(started(&log, &say(goes_on, m)) && started(&log, &sign(m)), "{:#?}", log.all());
        assert!(
            !started(&log, &say(waits, n)) && !started(&log, &sign(n)),
            "{waits:?} is behind its barrier"
        );
        assert!(bench.release(Port::Store), "a commit is under way");
        bench.settle();
        let key = if waits.conn == DIALLED { 2 } else { 1 };
        let durable = log.place(&Seen::Durable(vec![vec![record(key, n)]]));
        assert!(durable < log.place(&Seen::Started(say(waits, n))));
    }
    bench.hold(Port::Signer, false);
    while bench.release(Port::Signer) {
        bench.settle();
    }
    bench.settle();
    for ticket in [1, 2, STORED, STORED + 1] {
        let is_answer = |seen: &Seen| matches!(seen, Seen::Fed(Input::Signed { ticket: of, .. }) if *of == SignTicket(ticket));
        assert_eq!(log.count(is_answer), 1, "one answer to {ticket}, whichever side asked");
    }
}

/// Rules 4 and 9: what is received waits for nothing that is sent, and the other way round.
pub fn content_comes_on_one_side_while_it_goes_out_on_the_other<B: Bench>() {
    let log = Log::default();
    let paid = say(asked(0), 9);
    let told = paid.clone();
    let script = dials_back(&log, move |input, out| match input {
        Input::Message { stream: on, message } if on.conn == CONN => {
            // The first time what is sent has to be stored before.
            if heard(*on, 1) == (Input::Message { stream: *on, message: *message }) {
                out.push(EARNS, persist(0, 1, 1));
            }
            out.push(EARNS, send_range(*on));
        }
        Input::Message { stream: on, .. } => out.push(PAYS, receive(*on)),
        Input::Verdict { .. } => {
            out.push(PAYS, persist(1, 2, 1));
            out.push(PAYS, told.clone());
        }
        _ => {}
    });
    let mut bench = both_up::<B>(script, &log);
    let sent = |log: &Log| log.count(|seen| *seen == Seen::Fed(Input::RangeSent { stream: stream(0) }));
    bench.hold(Port::Store, true);
    bench.arrive(heard(stream(0), 1));
    bench.settle();
    bench.arrive(heard(asked(0), 2));
    bench.settle();
    assert!(started(&log, &receive(asked(0))), "what is bought does not wait for what is sold");
    bench.arrive(delivered(asked(0)));
    bench.settle();
    assert!(fed(&log, delivered(asked(0))), "{:#?}", log.all());
    assert_eq!((sent(&log), started(&log, &paid)), (0, false), "both are behind a barrier");
    assert!(bench.release(Port::Store), "what is sold is being stored");
    bench.settle();
    assert_eq!((sent(&log), started(&log, &paid)), (1, false), "{:#?}", log.all());
    bench.arrive(heard(stream(0), 3));
    bench.settle();
    assert_eq!(
        (sent(&log), started(&log, &paid)),
        (2, false),
        "what is sold does not wait for what is bought"
    );
    assert!(bench.release(Port::Store), "what is bought is being stored");
    bench.settle();
    assert!(started(&log, &paid));
    let answers =
        log.count(|seen| matches!(seen, Seen::Fed(Input::RangeSent { .. } | Input::RangeFailed { .. })));
    assert_eq!((sent(&log), answers), (2, 2), "an answer for each, and to nobody else");
}
