//! D17: what a failed download has verified is kept until it is ordered again; and one that runs can be given other terms.

use decdn_engine::{
    chain::{Call, token},
    ids::{Address, BlobHash, FetchId, StreamId},
    io::{Effect, FetchFailure, Input, Notice},
    limits::{GROUP, Limits},
    money::{Amount, Rate},
    order::FetchOrder,
    record::{Key, Record},
    roles::Role,
    time::Span,
    wire::{Code, StreamRequest},
};

use crate::bench::{BLOB, Bench, RATE, candidate, channel, order};

/// What was verified before anything happened.
const SOME: u64 = 4 * GROUP;
const DAY: Span = Span::from_secs(86_400);

fn fetch(bench: &mut Bench, order: FetchOrder) {
    bench.feed(Input::Fetch(order));
}

/// A client with two channels that are kept; the download has got some groups from the first of these nodes.
fn begun(nodes: &[u8]) -> (Bench, StreamId) {
    let mut bench = Bench::new(2);
    fetch(&mut bench, order(1, nodes));
    let asked = bench.asked().expect("asked");
    bench.agree(nodes[0], asked);
    bench.content(asked.0, 0, SOME);
    (bench, asked.0)
}

/// The same, whose only node then broke the protocol: the download has failed.
fn failed() -> Bench {
    let (mut bench, stream) = begun(&[1]);
    bench.reset(stream, Code::Malformed);
    assert_eq!(end(&mut bench), Some(FetchFailure::NoCandidateLeft));
    bench
}

fn end(bench: &mut Bench) -> Option<FetchFailure> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    })
}

fn refused(bench: &mut Bench) -> Option<(u64, FetchFailure)> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::OrderRefused { fetch, why }) => Some((fetch.0, *why)),
        _ => None,
    })
}

fn forgotten(bench: &mut Bench) -> Option<(u64, u64)> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::Forgotten { fetch, verified_bytes }) => Some((fetch.0, *verified_bytes)),
        _ => None,
    })
}

/// What is on record of a download: whether it has failed, and how much it has verified.
fn stored(bench: &Bench, id: u64) -> Option<(bool, u64)> {
    let disk = &bench.client.disk;
    disk.get(&Key::Fetch(FetchId(id))).map(|record| {
        let verified = record.as_fetch().expect("a download").verified_bytes;
        (matches!(record, Record::Kept(_)), verified)
    })
}

/// The order that is on record.
fn terms(bench: &Bench) -> FetchOrder {
    let disk = &bench.client.disk;
    disk[&Key::Fetch(FetchId(1))].as_fetch().expect("a download").order.clone()
}

/// A request to a node for what is missing.
fn goes_on(bench: &mut Bench, node: u8) -> (StreamId, StreamRequest) {
    let asked = bench.asked().expect("it goes on");
    assert_eq!((asked.1.channel, asked.1.offset_bytes), (channel(node), SOME));
    asked
}

#[test]
fn d17_what_a_failed_download_has_verified_is_kept_until_it_is_ordered_again() {
    let mut bench = failed();
    assert_eq!((stored(&bench, 1), bench.table("fetches")), (Some((true, SOME)), 1));
    bench.pass(DAY);
    assert_eq!(bench.asked(), None, "nothing moves it");
    for _ in 0..2 {
        bench.restart();
        bench.pass(DAY);
        assert_eq!((bench.asked(), stored(&bench, 1)), (None, Some((true, SOME))), "nor does a start");
    }
    fetch(&mut bench, order(1, &[2]));
    let asked = goes_on(&mut bench, 2);
    assert_eq!(stored(&bench, 1), Some((false, SOME)), "from now on a start lets it go on");
    bench.agree(2, asked);
    bench.content(asked.0, SOME, BLOB - SOME);
    bench.ack_on(asked.0, 2);
    let done = bench.take(|effect| match effect {
        Effect::Notice(Notice::Fetched { bytes, .. }) => Some(*bytes),
        _ => None,
    });
    assert_eq!((done, stored(&bench, 1), bench.table("fetches")), (Some(BLOB), None, 0));
    let paid: u128 = bench.client.role.channels().map(|paying| paying.meter.owed().0).sum();
    assert_eq!(paid, u128::from(BLOB), "at one unit per byte: each of them once");
}

#[test]
fn d17_nothing_is_kept_of_nothing_or_of_what_the_owner_gave_up() {
    let mut bench = Bench::new(2);
    fetch(&mut bench, order(1, &[1]));
    let (stream, _) = bench.asked().expect("asked");
    bench.reset(stream, Code::Malformed);
    assert_eq!((end(&mut bench), stored(&bench, 1)), (Some(FetchFailure::NoCandidateLeft), None));

    let (mut bench, _) = begun(&[1]);
    bench.feed(Input::Cancel(FetchId(1)));
    assert_eq!((end(&mut bench), stored(&bench, 1)), (Some(FetchFailure::Cancelled), None));

    let mut bench = failed();
    bench.feed(Input::Cancel(FetchId(1)));
    assert_eq!((end(&mut bench), stored(&bench, 1)), (Some(FetchFailure::Cancelled), None));
    assert_eq!(bench.table("fetches"), 0);
}

#[test]
fn d17_a_client_that_does_not_resume_leaves_downloads_to_its_owner() {
    for resumes in [true, false] {
        let (bench, _) = begun(&[1]);
        let mut config = bench.config();
        config.resumes = resumes;
        let records = bench.client.records();
        let mut again = Bench::recover(config, records);
        let durable = stored(&again, 1);
        if resumes {
            goes_on_where(&mut again, durable);
            continue;
        }
        again.pass(DAY);
        assert_eq!((again.asked(), again.table("conns")), (None, 0), "nobody is even called");
        assert_eq!(stored(&again, 1), durable, "it has not failed");
        fetch(&mut again, order(1, &[1]));
        goes_on_where(&mut again, durable);
    }
}

fn goes_on_where(bench: &mut Bench, durable: Option<(bool, u64)>) {
    let (_, request) = bench.asked().expect("it goes on");
    assert_eq!(durable, Some((false, request.offset_bytes)));
}

/// Two that have failed, with that many groups verified, where there is room for two.
fn full(groups: [u64; 2]) -> Bench {
    let mut config = Bench::new(0).config();
    config.limits = Limits { fetches: 2, ..Limits::standard() };
    let records = Bench::new(2).fold(&[true]).into_values().collect();
    let mut bench = Bench::recover(config, records);
    for (id, groups) in [(1, groups[0]), (2, groups[1])] {
        fetch(&mut bench, FetchOrder { keep_channel: true, ..order(id, &[id as u8]) });
        let asked = bench.asked().expect("asked");
        bench.agree(id as u8, asked);
        bench.content(asked.0, 0, groups * GROUP);
        bench.reset(asked.0, Code::Malformed);
    }
    assert_eq!(bench.table("fetches"), 2);
    bench
}

#[test]
fn d17_the_least_that_is_kept_makes_room_for_a_new_download() {
    for (groups, gone) in [([3, 4], 1), ([4, 3], 2), ([3, 3], 1)] {
        let mut bench = full(groups);
        fetch(&mut bench, order(3, &[1]));
        assert_eq!(forgotten(&mut bench), Some((gone, 3 * GROUP)));
        assert_eq!((bench.table("fetches"), stored(&bench, gone)), (2, None));
        assert!(stored(&bench, 3 - gone).is_some() && stored(&bench, 3).is_some());
    }
    // One that runs makes no room, and a bad order needs none.
    let mut bench = full([3, 4]);
    fetch(&mut bench, order(3, &[]));
    assert_eq!((forgotten(&mut bench), end(&mut bench)), (None, Some(FetchFailure::BadOrder)));
    for id in [1, 2] {
        fetch(&mut bench, order(id, &[2]));
    }
    end(&mut bench);
    fetch(&mut bench, order(3, &[1]));
    assert_eq!((forgotten(&mut bench), end(&mut bench)), (None, Some(FetchFailure::TooMany)));
}

#[test]
fn d17_an_order_that_can_t_be_carried_out_leaves_the_download_as_it_is() {
    let bad = [
        FetchOrder { hash: BlobHash([8; 32]), ..order(1, &[2]) },
        FetchOrder { offset_bytes: GROUP, ..order(1, &[2]) },
        FetchOrder { len_bytes: GROUP, ..order(1, &[2]) },
        FetchOrder { max_rate: Rate(0), ..order(1, &[2]) },
        order(1, &[]),
    ];
    for order in bad {
        let mut bench = failed();
        fetch(&mut bench, order.clone());
        assert_eq!(refused(&mut bench), Some((1, FetchFailure::BadOrder)));
        assert_eq!((bench.asked(), stored(&bench, 1)), (None, Some((true, SOME))));
        let (mut bench, stream) = begun(&[1]);
        let before = bench.client.role.digest();
        fetch(&mut bench, order);
        assert_eq!(refused(&mut bench), Some((1, FetchFailure::BadOrder)));
        assert_eq!(bench.client.role.digest(), before);
        bench.content(stream, SOME, GROUP);
        assert_eq!(end(&mut bench), None);
    }
    let (mut bench, _) = begun(&[1]);
    let before = bench.client.role.digest();
    fetch(&mut bench, order(1, &[2; 65]));
    assert_eq!((refused(&mut bench), bench.client.role.digest()), (Some((1, FetchFailure::TooMany)), before));
}

#[test]
fn d17_terms_that_allow_what_runs_count_from_the_next_request() {
    let (mut bench, stream) = begun(&[1]);
    let before = bench.client.role.digest();
    let writes = bench.writes.len();
    fetch(&mut bench, order(1, &[1]));
    assert_eq!(
        (bench.client.role.digest(), bench.writes.len()),
        (before, writes),
        "the same again is nothing new"
    );

    let new = FetchOrder { cadence_bytes: 8 * GROUP, deposit: Amount(7), ..order(1, &[2, 1]) };
    fetch(&mut bench, new.clone());
    assert_eq!((bench.asked(), terms(&bench)), (None, new));
    assert_ne!(bench.client.role.digest(), before);
    bench.content(stream, SOME, GROUP);
    bench.reset(stream, Code::Malformed);
    bench.pass(Span::from_secs(1));
    let (_, request) = bench.asked().expect("the other one");
    assert_eq!((request.channel, request.cadence_bytes), (channel(2), 8 * GROUP));
    assert_eq!(request.offset_bytes, SOME + GROUP);
}

#[test]
fn d17_terms_that_do_not_allow_what_runs_end_it_and_that_is_no_failure() {
    let token = Address::repeat_byte(0x71);
    let others = [
        order(1, &[2]),
        FetchOrder { max_rate: Rate(RATE.0 - 1), ..order(1, &[2, 1]) },
        FetchOrder { token, ..order(1, &[1]) },
    ];
    for new in others {
        let (mut bench, stream) = begun(&[1]);
        fetch(&mut bench, new.clone());
        let reset = bench.take(|effect| match effect {
            Effect::Reset { stream, .. } => Some(*stream),
            _ => None,
        });
        assert_eq!((reset, terms(&bench)), (Some(stream), new.clone()));
        let paying = bench.client.role.channels().find(|paying| paying.channel == channel(1));
        assert_eq!(
            paying.map(|paying| paying.amount),
            Some(Amount(SOME.into())),
            "what it got is signed for"
        );
        assert_eq!(end(&mut bench), None);
        if new.token == token {
            let call = bench.tx().expect("a channel in the other token").1;
            assert!(matches!(call, Call::Token(token::Call::Approve { token: of, .. }) if of == token));
            assert!(bench.close_asked().is_some(), "the other channel has lost bytes that nobody asks for");
        } else if new.max_rate == RATE {
            goes_on(&mut bench, 2);
            assert!(bench.close_asked().is_some(), "the first channel has lost bytes that nobody asks for");
        }
    }
}

#[test]
fn d17_a_lower_maximum_asks_for_prices_anew() {
    let (mut bench, _) = begun(&[1]);
    bench.quotes = Some((Rate(RATE.0 / 2), true));
    fetch(&mut bench, FetchOrder { max_rate: Rate(RATE.0 - 1), ..order(1, &[1]) });
    let asked = goes_on(&mut bench, 1);
    assert_eq!(asked.1.max_rate, Rate(RATE.0 - 1), "nobody has quoted anything yet");
    // The channel has another rate as long as it is not paid: the client has to wait for that (D5).
    bench.reset(asked.0, Code::NotNow);
    bench.pass(Span::from_secs(1));
    let (_, request) = goes_on(&mut bench, 1);
    assert_eq!(request.max_rate, Rate(RATE.0 - 1));
}

#[test]
fn d17_what_is_held_against_a_candidate_stays_as_long_as_the_download_runs() {
    let (mut bench, stream) = begun(&[1, 2]);
    bench.reset(stream, Code::Malformed);
    bench.pass(Span::from_secs(1));
    let asked = goes_on(&mut bench, 2);
    fetch(&mut bench, FetchOrder { deposit: Amount(7), ..order(1, &[1, 2]) });
    assert_eq!(bench.asked(), None);
    bench.reset(asked.0, Code::Malformed);
    bench.pass(DAY);
    assert_eq!((end(&mut bench), bench.asked()), (Some(FetchFailure::NoCandidateLeft), None));
    // And an order for nobody else fails at once.
    let (mut bench, stream) = begun(&[1, 2]);
    bench.reset(stream, Code::Malformed);
    bench.pass(Span::from_secs(1));
    goes_on(&mut bench, 2);
    fetch(&mut bench, order(1, &[1]));
    assert_eq!(
        (end(&mut bench), stored(&bench, 1)),
        (Some(FetchFailure::NoCandidateLeft), Some((true, SOME)))
    );
    fetch(&mut bench, order(1, &[1]));
    let call = bench.tx().map(|(_, call)| call);
    assert!(matches!(call, Some(Call::Token(_))), "the channel with what it lost is closed: a new one");
}

#[test]
fn d17_an_owner_who_is_asked_is_asked_anew_under_other_terms() {
    let mut config = Bench::new(0).config();
    config.asks = true;
    let mut bench = Bench::recover(config, vec![]);
    let question = |bench: &mut Bench| {
        bench.take(|effect| match effect {
            Effect::Notice(Notice::Quoted { node, deposit: Some(deposit), .. }) => Some((*node, *deposit)),
            _ => None,
        })
    };
    let (low, high) = (Amount(1 << 20), Amount(1 << 21));
    fetch(&mut bench, FetchOrder { deposit: low, ..order(1, &[1]) });
    assert_eq!(question(&mut bench), Some((candidate(1).node, low)));
    fetch(&mut bench, FetchOrder { deposit: high, ..order(1, &[1]) });
    assert_eq!(question(&mut bench), Some((candidate(1).node, high)));
    let yes = |bench: &mut Bench, node: u8, deposit| {
        bench.feed(Input::Agreed { fetch: FetchId(1), node: candidate(node).node, rate: RATE, deposit });
    };
    yes(&mut bench, 1, low);
    assert_eq!(bench.tx(), None, "a yes to the first question is too little for the second");
    fetch(&mut bench, FetchOrder { deposit: high, ..order(1, &[2]) });
    assert_eq!(question(&mut bench), Some((candidate(2).node, high)));
    yes(&mut bench, 1, high);
    assert_eq!(bench.tx(), None, "a yes to somebody who is no longer asked");
    yes(&mut bench, 2, high);
    assert!(bench.tx().is_some());
}
