//! Section 3, D1: a node is asked for its price before money goes into a channel with it, and is held to its answer.

use decdn_engine::{
    chain::{
        Call,
        channel::{self, EventKind},
        token,
    },
    crypto::{Signature, StreamError},
    fault::{Fault, Rule},
    ids::{ConnId, NodeId, StreamId, TxTicket},
    io::{Effect, FetchFailure, Gone, Input, Notice},
    limits::PROBE_WINDOW,
    money::{Amount, Rate},
    time::Span,
    wire::{ClientMessage, Code, Message, ProbeMessage, ProbeRequest, Protocol, StreamRequest},
};

use crate::bench::{BLOB, Bench, CLIENT, HASH, RATE, TOKEN, candidate, channel};

const LOW: Rate = Rate(RATE.0 / 2);

/// A client with an order for the first of these nodes, none of which answers probes.
fn asking(nodes: &[u8]) -> Bench {
    let mut bench = Bench::new(0);
    bench.quotes = None;
    bench.order(1, nodes, false);
    bench
}

fn probed(bench: &mut Bench) -> Option<(StreamId, ProbeRequest)> {
    bench.take(|effect| match effect {
        Effect::Send { stream, message: Message::Probe(ProbeMessage::Request(request)) } => {
            Some((*stream, *request))
        }
        _ => None,
    })
}

/// The node answers what it was asked, like this.
fn answer(bench: &mut Bench, quote: (Rate, bool)) {
    let (stream, request) = probed(bench).expect("it was asked");
    bench.quotes = Some(quote);
    let input = bench.quote(stream, request);
    bench.feed(input);
}

fn failed(bench: &mut Bench) -> Option<FetchFailure> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    })
}

fn blamed(bench: &mut Bench) -> Option<Rule> {
    bench.take(|effect| match effect {
        Effect::Fault(Fault::Peer { rule, .. }) => Some(*rule),
        _ => None,
    })
}

fn refused(bench: &mut Bench) -> Option<StreamError> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::Refused { error, .. }) => Some(*error),
        _ => None,
    })
}

/// Lets the allowance be; the opening that follows it.
fn approved(bench: &mut Bench) -> (TxTicket, Call) {
    let (approval, _) = bench.tx().expect("the allowance");
    bench.include(approval, &[]);
    bench.tx().expect("the opening")
}

/// Lets that opening be in a block.
fn opened(bench: &mut Bench, node: u8, (ticket, call): (TxTicket, Call)) {
    let Call::Channel(channel::Call::Open { node: operator, token, deposit }) = call else {
        panic!("{call:?}")
    };
    let event = EventKind::Opened { client: CLIENT, node: operator, token, deposit, window_secs: 172_800 };
    bench.include(ticket, &[(channel(node), event)]);
}

/// Lets the channel that was asked for open; the request on it.
fn open(bench: &mut Bench, node: u8) -> (StreamId, StreamRequest) {
    let opening = approved(bench);
    opened(bench, node, opening);
    bench.asked().expect("the download begins")
}

#[test]
fn d1_no_money_moves_before_the_price_is_known_and_the_request_presents_it() {
    let mut bench = asking(&[1]);
    assert_eq!(bench.tx(), None);
    let (stream, request) = probed(&mut bench).expect("asked");
    assert_eq!(bench.dialled[&stream.conn].1, Protocol::Probe);
    assert_eq!((request.hash, request.token, request.requester), (HASH, TOKEN, CLIENT));
    bench.quotes = Some((LOW, true));
    let input = bench.quote(stream, request);
    bench.feed(input);
    let place = |found: &dyn Fn(&Effect) -> bool| bench.said.iter().position(found).expect("there");
    let shown = place(&|effect| {
        matches!(effect, Effect::Notice(Notice::Quoted { node, rate: LOW, total_bytes: Some(BLOB), .. })
            if *node == candidate(1).node)
    });
    assert!(shown < place(&|effect| matches!(effect, Effect::Tx { .. })), "shown first");
    let (_, asked) = open(&mut bench, 1);
    assert_eq!(asked.max_rate, LOW, "no more than it said, though the order would pay more");
    let quote = asked.quote.expect("presented");
    assert_eq!((quote.rate, quote.timestamp), (LOW, request.timestamp));
}

#[test]
fn d1_a_deposit_follows_the_quoted_price_not_the_highest() {
    let mut bench = Bench::new(0);
    bench.quotes = Some((LOW, true));
    bench.order_with(1, &[1], false, Amount(u128::from(BLOB / 2)));
    let Some((_, Call::Token(token::Call::Approve { amount, .. }))) = bench.tx() else {
        panic!("an allowance is asked for")
    };
    assert_eq!(amount, Amount(u128::from(BLOB / 2)), "at half a unit per byte it is enough");
}

#[test]
fn d1_a_price_above_the_ceiling_costs_nothing() {
    let mut bench = asking(&[1]);
    answer(&mut bench, (Rate(RATE.0 + 1), true));
    assert_eq!(refused(&mut bench), Some(StreamError::RateExceeded));
    assert_eq!(failed(&mut bench), Some(FetchFailure::NoCandidateLeft));
    assert_eq!((bench.tx(), bench.table("probes"), bench.table("conns")), (None, 0, 0));
}

#[test]
fn p4_a_node_without_the_blob_is_passed_over() {
    let mut bench = asking(&[1, 2]);
    answer(&mut bench, (Rate(0), false));
    assert_eq!(refused(&mut bench), Some(StreamError::Unavailable));
    bench.quotes = Some((RATE, true));
    bench.pass(Span::from_secs(1));
    let (_, asked) = open(&mut bench, 2);
    assert_eq!((asked.channel, asked.max_rate), (channel(2), RATE));
}

#[test]
fn d10_a_node_that_does_not_answer_its_probe_costs_nothing() {
    let mut bench = asking(&[1]);
    let mut asked = 0;
    for _ in 0..20 {
        asked += usize::from(probed(&mut bench).is_some());
        assert_eq!(bench.tx(), None);
        bench.pass(Span::from_secs(5));
    }
    assert_eq!((failed(&mut bench), asked), (Some(FetchFailure::NoCandidateLeft), 3));
    assert_eq!((bench.table("probes"), bench.table("peers"), bench.table("fetches")), (0, 0, 0));
}

#[test]
fn d11_a_probe_that_is_put_off_is_sent_again() {
    let mut bench = asking(&[1]);
    let (stream, _) = probed(&mut bench).expect("asked");
    bench.feed(Input::StreamClosed { stream, code: Some(Code::NotNow) });
    assert_eq!((failed(&mut bench), probed(&mut bench)), (None, None), "after a while");
    bench.pass(Span::from_secs(1));
    answer(&mut bench, (LOW, true));
    assert!(bench.tx().is_some());
}

#[test]
fn p6_an_answer_that_the_operator_did_not_sign_ends_the_candidate() {
    for (rate, is_forged) in [(LOW, true), (Rate(0), false), (Rate(u64::MAX), false)] {
        let mut bench = asking(&[1]);
        let (stream, request) = probed(&mut bench).expect("asked");
        bench.quotes = Some((rate, true));
        let Input::Message { stream, message: Message::Probe(ProbeMessage::Response(mut response)) } =
            bench.quote(stream, request)
        else {
            panic!("an answer");
        };
        if is_forged {
            response.signature = Signature([7; 65]);
        }
        bench.feed(Input::Message { stream, message: Message::Probe(ProbeMessage::Response(response)) });
        assert_eq!(blamed(&mut bench), Some(Rule::P6));
        assert_eq!((failed(&mut bench), bench.tx()), (Some(FetchFailure::NoCandidateLeft), None));
    }
}

#[test]
fn w2_anything_else_on_a_stream_of_a_probe_ends_the_candidate() {
    let mut bench = asking(&[1]);
    let (stream, request) = probed(&mut bench).expect("asked");
    bench.feed(Input::Message { stream, message: Message::Probe(ProbeMessage::Request(request)) });
    assert_eq!(
        (blamed(&mut bench), failed(&mut bench)),
        (Some(Rule::W2), Some(FetchFailure::NoCandidateLeft))
    );
}

#[test]
fn i3_somebody_else_at_the_address_of_a_probe_is_nobody_to_pay() {
    let mut bench = asking(&[1]);
    let (stream, _) = probed(&mut bench).expect("asked");
    bench.feed(Input::Disconnected { conn: stream.conn, why: Gone::WrongPeer });
    let stranger = Effect::Fault(Fault::Unattributed { peer: candidate(1).node, rule: Rule::I3 });
    assert!(bench.said.contains(&stranger));
    assert_eq!(bench.tx(), None);
}

#[test]
fn d1_a_node_that_quotes_low_and_charges_more_is_blamed_and_paid_nothing() {
    let mut bench = Bench::new(0);
    bench.quotes = Some((LOW, true));
    bench.order(1, &[1, 2], false);
    let asked = open(&mut bench, 1);
    bench.agree_at(RATE, 1, asked);
    assert_eq!(blamed(&mut bench), Some(Rule::D1), "with its own signature to show");
    bench.pass(Span::from_secs(1));
    let (_, elsewhere) = open(&mut bench, 2);
    assert_eq!(elsewhere.channel, channel(2));
    assert!(bench.client.role.channels().all(|paying| paying.amount == Amount::ZERO));
}

#[test]
fn e5_a_node_that_signs_away_its_own_quote_is_blamed() {
    let mut bench = Bench::new(0);
    bench.quotes = Some((LOW, true));
    bench.order(1, &[1], false);
    let asked = open(&mut bench, 1);
    bench.refuse(1, asked, StreamError::RateExceeded);
    assert_eq!(blamed(&mut bench), Some(Rule::E5));
    assert_eq!(failed(&mut bench), Some(FetchFailure::NoCandidateLeft));
}

#[test]
fn d11_an_old_quote_is_not_presented_and_a_price_that_moved_is_asked_for_again() {
    let mut bench = Bench::new(0);
    bench.quotes = Some((LOW, true));
    bench.order(1, &[1], false);
    let opening = approved(&mut bench);
    // The sequencer takes its time.
    bench.pass(PROBE_WINDOW);
    opened(&mut bench, 1, opening);
    let asked = bench.asked().expect("the download begins");
    assert_eq!((asked.1.quote, asked.1.max_rate), (None, LOW), "paid no more all the same");
    bench.quotes = Some((RATE, true));
    bench.refuse(1, asked, StreamError::RateExceeded);
    bench.pass(Span::from_secs(1));
    assert_eq!(blamed(&mut bench), None, "it promised nothing for so long");
    let (_, again) = bench.asked().expect("at the new price, within the order's");
    assert_eq!((again.max_rate, again.quote.map(|quote| quote.rate)), (RATE, Some(RATE)));
    assert_eq!(bench.tx(), None, "the channel is there");
}

#[test]
fn w3_two_downloads_ask_a_node_one_after_the_other_and_share_the_channel() {
    let mut bench = asking(&[1]);
    bench.order(2, &[1], false);
    let (stream, request) = probed(&mut bench).expect("the first asks");
    assert_eq!((probed(&mut bench), bench.table("probes")), (None, 1));
    bench.quotes = Some((LOW, true));
    let input = bench.quote(stream, request);
    bench.feed(input);
    open(&mut bench, 1);
    assert!(bench.asked().is_some(), "and the second");
    assert_eq!((bench.tx(), bench.table("probes")), (None, 0));
}

#[test]
fn w3_a_download_that_is_given_up_while_it_asks_leaves_its_place_to_the_next() {
    let mut bench = asking(&[1]);
    bench.order(2, &[1], false);
    let (stream, _) = probed(&mut bench).expect("the first asks");
    bench.feed(Input::Cancel(decdn_engine::ids::FetchId(1)));
    let hung_up = Effect::Disconnect { conn: stream.conn, code: Code::NotNow };
    assert!(bench.said.contains(&hung_up));
    assert!(probed(&mut bench).is_some(), "the second");
    assert_eq!((bench.table("probes"), stream.conn), (1, ConnId(0)));
    assert_eq!(NodeId([1; 32]), candidate(1).node);
}

#[test]
fn d1_a_quote_is_kept_while_others_are_tried() {
    let mut bench = asking(&[1, 2]);
    answer(&mut bench, (LOW, true));
    let (stream, _) = open(&mut bench, 1);
    bench.quotes = None;
    bench.reset(stream, Code::NotNow);
    bench.pass(Span::from_secs(1));
    answer(&mut bench, (Rate(RATE.0 + 1), true));
    assert_eq!(refused(&mut bench), Some(StreamError::RateExceeded), "the second wants too much");
    bench.pass(Span::from_secs(5));
    let (_, again) = bench.asked().expect("the first again");
    assert_eq!((again.channel, again.max_rate), (channel(1), LOW));
}

#[test]
fn d1_a_price_above_the_ceiling_opens_no_channel_for_a_candidate_that_is_named_twice() {
    let mut bench = asking(&[1, 1]);
    for _ in 0..2 {
        answer(&mut bench, (Rate(RATE.0 + 1), true));
        bench.quotes = None;
        bench.pass(Span::from_secs(1));
    }
    assert_eq!(failed(&mut bench), Some(FetchFailure::NoCandidateLeft));
    assert_eq!((bench.tx(), blamed(&mut bench)), (None, None));
}

#[test]
fn e5_a_price_that_moves_in_an_abort_ends_the_candidate() {
    let mut bench = Bench::new(0);
    bench.quotes = Some((LOW, true));
    bench.order(1, &[1], false);
    let asked = open(&mut bench, 1);
    bench.agree_at(LOW, 1, asked);
    bench.quotes = None;
    let message = Message::Client(ClientMessage::StreamAbort(StreamError::RateExceeded));
    bench.feed(Input::Message { stream: asked.0, message });
    bench.pass(Span::from_secs(5));
    assert_eq!(failed(&mut bench), Some(FetchFailure::NoCandidateLeft));
    assert_eq!((probed(&mut bench), bench.asked()), (None, None), "nothing is bought at another price");
}

#[test]
fn d1_an_opening_that_waited_longer_than_its_quote_is_good_asks_again() {
    let mut bench = Bench::new(0);
    bench.quotes = Some((LOW, true));
    bench.order(1, &[1], false);
    bench.order(2, &[2], false);
    let opening = approved(&mut bench);
    bench.quotes = None;
    bench.pass(PROBE_WINDOW);
    opened(&mut bench, 1, opening);
    assert_eq!(bench.tx(), None, "the second's quote is too old");
    answer(&mut bench, (LOW, true));
    let (_, asked) = open(&mut bench, 2);
    assert_eq!(asked.channel, channel(2));
}

#[test]
fn d1_a_client_that_starts_again_asks_again_before_it_buys_on_its_channel() {
    let mut bench = Bench::new(1);
    bench.quotes = Some((LOW, true));
    bench.order(1, &[1], true);
    assert!(bench.asked().is_some(), "a channel that is there needs no quote");
    let records = bench.client.records();
    let mut bench = Bench::silent(bench.config(), records);
    bench.quotes = None;
    bench.feed(Input::Tick);
    assert_eq!(bench.asked(), None);
    answer(&mut bench, (LOW, true));
    let no_deposit =
        |effect: &Effect| matches!(effect, Effect::Notice(Notice::Quoted { rate: LOW, deposit: None, .. }));
    assert!(bench.said.iter().any(no_deposit), "shown, and nothing is deposited for it");
    let (_, asked) = bench.asked().expect("now it may");
    assert_eq!(asked.max_rate, LOW);
}

#[test]
fn v4_a_channel_holds_what_the_node_wants_at_least_up_to_twice_what_was_ordered() {
    for (least, deposit) in
        [(1, 1_000_000_000), (1_000_000_001, 1_000_000_001), (2_000_000_000, 2_000_000_000)]
    {
        let mut bench = Bench::new(0);
        bench.least_deposit = Amount(least);
        bench.order_with(1, &[1], false, Amount(1_000_000_000));
        let (_, call) = approved(&mut bench);
        let Call::Channel(channel::Call::Open { deposit: paid, .. }) = call else { panic!("{call:?}") };
        assert_eq!(paid, Amount(deposit), "{least}");
    }
}

#[test]
fn v4_who_wants_more_than_that_is_left_and_nothing_is_spent() {
    let mut bench = Bench::new(0);
    bench.least_deposit = Amount(2_000_000_001);
    bench.order_with(1, &[1], false, Amount(1_000_000_000));
    assert_eq!(bench.tx(), None);
    assert_eq!(refused(&mut bench), Some(StreamError::ChannelInsufficient));
    assert_eq!((failed(&mut bench), blamed(&mut bench)), (Some(FetchFailure::NoCandidateLeft), None));
}
