//! Sections 3 and 9: what a node quotes, and that it keeps a quote of its own or refuses unsigned.

use decdn_engine::{
    crypto::{ProbeResponseTerms, Quote, Signature, StreamError, Typed},
    fault::{Fault, LimitHit, Rule},
    ids::{Address, BlobHash, ConnId, NodeId, StreamId},
    io::{Effect, Gone, Input},
    limits::{GROUP, Limits, PROBE_WINDOW},
    money::{Amount, Rate},
    time::{Span, WallTime},
    wire::{Code, Message, ProbeMessage, ProbeRequest, ProbeResponse, Protocol},
};
use decdn_testkit::named;

use crate::bench::{Bench, CLIENT, HASH, OPERATOR, TOKEN};

const PROBER: ConnId = ConnId(7);

/// Somebody asks for prices.
fn prober(conn: ConnId, peer: u8) -> Input {
    Input::Connected { conn, peer: NodeId([peer; 32]), protocol: Protocol::Probe, rtt: Span(1) }
}

/// A node that sells, with somebody who asks.
fn node() -> Bench {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    bench.hear(bench.block(10, 0), 10, vec![]);
    bench.feed(prober(PROBER, 9));
    bench
}

fn request(bench: &Bench) -> ProbeRequest {
    ProbeRequest { hash: HASH, token: TOKEN, requester: CLIENT, timestamp: bench.node.now.wall }
}

fn ask(bench: &mut Bench, request: ProbeRequest) -> Vec<Effect> {
    let stream = StreamId { conn: PROBER, index: bench.next_index() };
    bench.feed(Input::Message { stream, message: Message::Probe(ProbeMessage::Request(request)) })
}

fn code(said: &[Effect]) -> Option<Code> {
    said.iter().find_map(|effect| match effect {
        Effect::Reset { code, .. } => Some(*code),
        _ => None,
    })
}

/// What is signed of an answer, and the answer.
fn answered(bench: &mut Bench, request: ProbeRequest) -> (ProbeResponseTerms, ProbeResponse) {
    let said = ask(bench, request);
    let terms = said.iter().find_map(|effect| match effect {
        Effect::Sign { what: Typed::ProbeResponse(terms), .. } => Some(*terms),
        _ => None,
    });
    let said = bench.sign(&said);
    let answer = said.iter().find_map(|effect| match effect {
        Effect::Send { message: Message::Probe(ProbeMessage::Response(response)), .. } => Some(*response),
        _ => None,
    });
    (terms.expect("signed"), answer.expect("sent"))
}

#[test]
fn p1_an_answer_says_and_signs_what_was_asked() {
    let mut bench = node();
    let request = request(&bench);
    let (terms, answer) = answered(&mut bench, request);
    let expected = ProbeResponseTerms {
        node: NodeId([1; 32]),
        hash: HASH,
        has_blob: true,
        token: TOKEN,
        rate: Rate(1_000),
        requester: CLIENT,
        timestamp: request.timestamp,
    };
    assert_eq!(terms, expected);
    let signature = Signature([1; 65]);
    let whole = ProbeResponse {
        has_blob: true,
        rate: Rate(1_000),
        total_bytes: Some(64 * GROUP),
        signature,
        least_deposit: Amount(0),
    };
    assert_eq!(answer, whole);
}

#[test]
fn p4_what_is_not_there_or_has_no_rate_or_is_too_large_is_not_sold() {
    let mut bench = node();
    let good = request(&bench);
    bench.feed(Input::BlobReady { hash: BlobHash([8; 32]), bytes: (10 << 30) + 1 });
    for request in [
        ProbeRequest { hash: BlobHash([3; 32]), ..good },
        ProbeRequest { token: Address::repeat_byte(0x71), ..good },
        ProbeRequest { hash: BlobHash([8; 32]), ..good },
    ] {
        let (terms, answer) = answered(&mut bench, request);
        assert_eq!((terms.has_blob, terms.rate, answer.total_bytes), (false, Rate(0), None));
        bench.pass(1);
    }
}

#[test]
fn p2_a_wrong_clock_or_nobody_gets_no_signature() {
    let mut bench = node();
    let good = request(&bench);
    for request in [
        ProbeRequest { timestamp: good.timestamp + Span::from_secs(61), ..good },
        ProbeRequest { timestamp: good.timestamp - Span::from_secs(61), ..good },
        ProbeRequest { requester: Address::ZERO, ..good },
    ] {
        let said = ask(&mut bench, request);
        assert_eq!(code(&said), Some(Code::Malformed));
        assert!(bench.sign(&said).is_empty());
        bench.pass(1);
    }
}

#[test]
fn w4_a_node_that_has_lost_sight_of_the_chain_promises_nothing() {
    let mut bench = node();
    bench.pass(16 * 60);
    let request = request(&bench);
    assert_eq!(code(&ask(&mut bench, request)), Some(Code::NotNow));
}

#[test]
fn p5_a_node_id_gets_five_answers_a_second() {
    let mut bench = node();
    for _ in 0..5 {
        let request = request(&bench);
        answered(&mut bench, request);
    }
    let good = request(&bench);
    let said = ask(&mut bench, good);
    assert_eq!(code(&said), Some(Code::NotNow));
    let limit = Effect::Fault(Fault::Limit { rule: Rule::P5, limit: LimitHit::Probes });
    assert!(said.contains(&limit));
    // Another connection of the same peer is no way around it.
    bench.feed(prober(PROBER, 9));
    let good = request(&bench);
    assert_eq!(code(&ask(&mut bench, good)), Some(Code::NotNow));
    bench.pass(1);
    let good = request(&bench);
    answered(&mut bench, good);
}

#[test]
fn p5_who_asks_too_often_takes_nothing_from_the_others() {
    let mut bench = node();
    for _ in 0..3_000 {
        let request = request(&bench);
        let said = ask(&mut bench, request);
        bench.sign(&said);
    }
    bench.feed(Input::Disconnected { conn: PROBER, why: Gone::Lost });
    bench.feed(prober(PROBER, 10));
    let good = request(&bench);
    answered(&mut bench, good);
}

#[test]
fn w3_one_probe_at_a_time_and_none_among_streams() {
    let mut bench = node();
    let good = request(&bench);
    let first = ask(&mut bench, good);
    assert_eq!(code(&ask(&mut bench, good)), Some(Code::NotNow));
    assert!(!bench.sign(&first).is_empty(), "the first is answered");
    let stream = StreamId { conn: ConnId(0), index: 9 };
    let said = bench.feed(Input::Message { stream, message: Message::Probe(ProbeMessage::Request(good)) });
    assert_eq!(code(&said), Some(Code::Malformed));
    // Neither connection has ended the other.
    assert_eq!(bench.request(0), Ok(()));
}

/// A quote of this rate that is so old.
fn quote(bench: &Bench, rate: u64, age: Span) -> Option<Quote> {
    let timestamp = WallTime(bench.node.now.wall.0 - age.0);
    Some(Quote { rate: Rate(rate), timestamp, signature: named(OPERATOR) })
}

/// The rate that is agreed to.
fn agreed(said: &[Effect]) -> Option<(bool, Rate, Option<StreamError>, bool)> {
    said.iter().find_map(|effect| match effect {
        Effect::Sign { what: Typed::StreamResponse(terms), .. } => {
            Some((terms.ok, terms.rate, terms.error, terms.quote != [0; 32]))
        }
        _ => None,
    })
}

#[test]
fn e5_a_quote_of_its_own_is_kept_and_named() {
    let mut bench = node();
    let own = quote(&bench, 900, Span::from_secs(29));
    let said = bench.ask_quoting(HASH, own, 1_000);
    assert_eq!(agreed(&said), Some((true, Rate(900), None, true)), "though its rate is 1,000 by now");
    let mut bench = node();
    let dear = quote(&bench, 2_000, Span(0));
    let said = bench.ask_quoting(HASH, dear, 2_000);
    assert_eq!(agreed(&said), Some((true, Rate(1_000), None, true)), "a quote is a maximum");
    let mut bench = node();
    let cheap = quote(&bench, 900, Span(0));
    let said = bench.ask_quoting(HASH, cheap, 800);
    assert_eq!(agreed(&said), Some((false, Rate(0), Some(StreamError::RateExceeded), true)));
}

#[test]
fn e5_a_quote_of_somebody_else_or_of_another_time_is_malformed() {
    let mut bench = node();
    let own = quote(&bench, 900, Span(0)).expect("a quote");
    let forged = Quote { signature: named(CLIENT), ..own };
    let late = Quote { timestamp: WallTime(own.timestamp.0 - PROBE_WINDOW.0), ..own };
    let early = Quote { timestamp: WallTime(own.timestamp.0 + 1), ..own };
    for bad in [forged, late, early, Quote { rate: Rate(0), ..own }] {
        let said = bench.ask_quoting(HASH, Some(bad), 1_000);
        assert_eq!((code(&said), agreed(&said)), (Some(Code::Malformed), None));
    }
}

#[test]
fn e5_whoever_was_promised_a_blob_that_is_gone_gets_nothing_in_writing() {
    let mut bench = node();
    bench.feed(Input::BlobGone { hash: HASH });
    let own = quote(&bench, 900, Span(0));
    let said = bench.ask_quoting(HASH, own, 1_000);
    assert_eq!((code(&said), agreed(&said)), (Some(Code::NotNow), None));
    let said = bench.ask_quoting(HASH, None, 1_000);
    assert_eq!(agreed(&said), Some((false, Rate(0), Some(StreamError::Unavailable), false)));
}

#[test]
fn o11_a_signer_that_is_slow_is_asked_for_no_more_than_may_be_wanted_at_once() {
    let mut bench = Bench::new(Limits::tiny(), &[0]);
    bench.feed(Input::BlobReady { hash: HASH, bytes: 4 * GROUP });
    bench.hear(bench.block(10, 0), 10, vec![]);
    let signing = |bench: &Bench| {
        bench.node.role.tables().iter().find(|(name, _)| *name == "signing").map(|(_, held)| *held)
    };
    // A peer asks, leaves before it is answered, and comes again.
    for n in 0..20 {
        let conn = ConnId(PROBER.0 + 1 + n);
        bench.feed(prober(conn, 9));
        let request = request(&bench);
        let stream = StreamId { conn, index: 0 };
        let said =
            bench.feed(Input::Message { stream, message: Message::Probe(ProbeMessage::Request(request)) });
        assert_eq!(code(&said).is_some(), n >= 8, "{n}");
        bench.feed(Input::Disconnected { conn, why: Gone::Lost });
        bench.pass(1);
    }
    assert_eq!(signing(&bench), Some(8));
}
