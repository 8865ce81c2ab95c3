//! O10: an opening that no block takes does not keep its download waiting, and is used if it comes late.

use decdn_engine::{
    chain::{
        Call,
        channel::{self, EventKind},
        token,
    },
    io::{Effect, FetchFailure, Notice},
    money::Amount,
    time::Span,
};

use crate::bench::{Bench, CLIENT, TOKEN, candidate, channel};

fn failed(bench: &mut Bench) -> Option<FetchFailure> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    })
}

#[test]
fn o10_a_download_whose_opening_is_never_included_fails_in_bounded_time() {
    let mut bench = Bench::new(0);
    bench.order(1, &[1, 2], false);
    let mut tried = Vec::new();
    for _ in 0..60 {
        while let Some((_, call)) = bench.tx() {
            tried.push(call);
        }
        bench.pass(Span::from_secs(15));
    }
    assert_eq!(failed(&mut bench), Some(FetchFailure::OpenFailed));
    assert_eq!(tried.len(), 6, "three attempts with each of two nodes: {tried:?}");
    assert!(tried.iter().all(|call| matches!(call, Call::Token(token::Call::Approve { .. }))));
    assert_eq!((bench.table("openings"), bench.table("fetches"), bench.table("peers")), (0, 0, 0));
}

#[test]
fn o10_a_slow_sequencer_still_opens_within_the_timeout() {
    let mut bench = Bench::new(0);
    bench.order(1, &[1], false);
    bench.pass(Span::from_secs(119));
    let (approval, _) = bench.tx().expect("the allowance");
    bench.include(approval, &[]);
    bench.pass(Span::from_secs(119));
    let (opening, call) = bench.tx().expect("the opening");
    let Call::Channel(channel::Call::Open { node, token, deposit }) = call else { panic!("{call:?}") };
    bench.include(
        opening,
        &[(channel(1), EventKind::Opened { client: CLIENT, node, token, deposit, window_secs: 172_800 })],
    );
    assert!(bench.asked().is_some(), "the download begins");
    assert_eq!(failed(&mut bench), None);
}

#[test]
fn o10_an_opening_that_comes_after_its_download_failed_is_closed_again() {
    let mut bench = Bench::new(0);
    bench.order(1, &[1], false);
    let (approval, _) = bench.tx().expect("the allowance");
    bench.include(approval, &[]);
    let (opening, _) = bench.tx().expect("the opening");
    bench.pass(Span::from_secs(900));
    assert_eq!(failed(&mut bench), Some(FetchFailure::OpenFailed));
    while bench.tx().is_some() {}
    let node = candidate(1).operator;
    let kind = EventKind::Opened {
        client: CLIENT,
        node,
        token: TOKEN,
        deposit: Amount(1 << 40),
        window_secs: 172_800,
    };
    bench.include(opening, &[(channel(1), kind)]);
    bench.pass(Span::from_secs(120));
    assert!(
        matches!(bench.tx(), Some((_, Call::Channel(channel::Call::Close { .. })))),
        "nobody knows its node's key any more"
    );
}

#[test]
fn l4_an_opening_waits_for_two_endpoints_to_agree_and_not_for_ever() {
    let mut bench = Bench::new(0);
    bench.is_apart = true;
    bench.pass(Span::from_secs(61));
    bench.order(1, &[1], false);
    bench.pass(Span::from_secs(110));
    assert_eq!((bench.tx(), failed(&mut bench)), (None, None));
    bench.is_apart = false;
    bench.pass(Span::from_secs(61 + 8));
    assert!(bench.tx().is_some(), "two agree");

    let mut bench = Bench::new(0);
    bench.is_apart = true;
    bench.pass(Span::from_secs(61));
    bench.order(1, &[1], false);
    let minutes = (0..180).find(|_| {
        bench.pass(Span::from_secs(60));
        failed(&mut bench).is_some()
    });
    assert_eq!(bench.tx(), None);
    assert!(minutes.is_some_and(|minutes| minutes < 30), "{minutes:?}");
}
