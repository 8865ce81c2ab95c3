//! D16: a client that asks its owner opens nothing before the owner has agreed to the price and the deposit.

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{
        Call, TxOutcome,
        channel::{self, EventKind},
        token,
    },
    ids::{FetchId, NodeId, TxTicket},
    io::{Effect, FetchFailure, Input, Notice},
    limits::PROBE_WINDOW,
    money::{Amount, Rate},
    roles::Role,
    time::Span,
};
use proptest::prelude::*;

use crate::bench::{Bench, CLIENT, RATE, candidate, channel};

const LOW: Rate = Rate(RATE.0 / 2);
/// What the blob costs at the low rate; at the other one it is twice as much.
const DEPOSIT: Amount = Amount(1 << 19);
const ENOUGH: (Rate, Amount) = (RATE, Amount(2 * DEPOSIT.0));

/// A client that asks, with no channel yet. Nodes want the low rate.
fn asking() -> Bench {
    let mut config = Bench::new(0).config();
    config.asks = true;
    let mut bench = Bench::recover(config, vec![]);
    bench.quotes = Some((LOW, true));
    bench
}

/// The same, with an order for the first of these nodes that has become a question.
fn asked(nodes: &[u8]) -> Bench {
    let mut bench = asking();
    bench.order_with(1, nodes, false, DEPOSIT);
    assert_eq!((question(&mut bench), bench.tx()), (Some((1, 1, LOW, DEPOSIT)), None));
    bench
}

/// Takes the newest question: the download, the node, its rate, the deposit.
fn question(bench: &mut Bench) -> Option<(u64, u8, Rate, Amount)> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::Quoted { fetch, node, rate, deposit: Some(deposit), .. }) => {
            Some((fetch.0, node.0[0], *rate, *deposit))
        }
        _ => None,
    })
}

fn yes(bench: &mut Bench, fetch: u64, node: u8, (rate, deposit): (Rate, Amount)) {
    bench.feed(Input::Agreed { fetch: FetchId(fetch), node: NodeId([node; 32]), rate, deposit });
}

fn no(bench: &mut Bench, fetch: u64, node: u8) {
    bench.feed(Input::Declined { fetch: FetchId(fetch), node: NodeId([node; 32]) });
}

/// The allowance that was asked for.
fn approved(bench: &mut Bench) -> Option<Amount> {
    match bench.tx()?.1 {
        Call::Token(token::Call::Approve { amount, .. }) => Some(amount),
        other => panic!("{other:?} before its allowance"),
    }
}

fn failed(bench: &mut Bench) -> Option<FetchFailure> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    })
}

/// Lets the opening under way be in a block.
fn open(bench: &mut Bench, node: u8) {
    let (ticket, _) = bench.tx().expect("the allowance");
    bench.include(ticket, &[]);
    let (ticket, call) = bench.tx().expect("the opening");
    let Call::Channel(channel::Call::Open { node: operator, token, deposit }) = call else {
        panic!("{call:?}")
    };
    assert_eq!(operator, candidate(node).operator);
    bench.include(
        ticket,
        &[(
            channel(node),
            EventKind::Opened { client: CLIENT, node: operator, token, deposit, window_secs: 172_800 },
        )],
    );
}

#[test]
fn d16_a_yes_in_time_opens_with_what_was_asked_for() {
    let mut bench = asked(&[1]);
    bench.pass(Span::from_secs(10));
    yes(&mut bench, 1, 1, ENOUGH);
    assert_eq!(question(&mut bench), None, "it was told already");
    open(&mut bench, 1);
    let (_, request) = bench.asked().expect("the download begins");
    assert_eq!((request.max_rate, request.quote.map(|quote| quote.rate)), (LOW, Some(LOW)));
}

#[test]
fn d16_a_no_ends_the_candidate_and_no_other() {
    let mut bench = asked(&[1, 2]);
    no(&mut bench, 1, 1);
    bench.pass(Span::from_secs(1));
    assert_eq!((question(&mut bench), bench.tx()), (Some((1, 2, LOW, DEPOSIT)), None));
    no(&mut bench, 1, 2);
    bench.pass(Span::from_secs(60));
    assert_eq!((failed(&mut bench), bench.tx()), (Some(FetchFailure::NotAgreed), None));
}

#[test]
fn d16_silence_ends_the_candidate_after_five_minutes() {
    let mut bench = asked(&[1]);
    let patience = bench.config().timeouts.agreement;
    assert_eq!(patience, Span::from_secs(300));
    bench.pass(Span(patience.0 - 1));
    assert_eq!(failed(&mut bench), None);
    bench.pass(Span(1));
    assert_eq!((failed(&mut bench), bench.tx()), (Some(FetchFailure::NotAgreed), None));
    yes(&mut bench, 1, 1, ENOUGH);
    assert_eq!((bench.tx(), bench.table("fetches")), (None, 0), "too late");
}

#[test]
fn d16_a_yes_to_less_leaves_the_question_open() {
    let mut bench = asked(&[1]);
    for (rate, deposit) in
        [(Rate(LOW.0 - 1), ENOUGH.1), (LOW, Amount(DEPOSIT.0 - 1)), (Rate(0), Amount::ZERO)]
    {
        yes(&mut bench, 1, 1, (rate, deposit));
        assert_eq!((bench.tx(), question(&mut bench), failed(&mut bench)), (None, None, None));
    }
    yes(&mut bench, 1, 1, (LOW, DEPOSIT));
    assert_eq!(approved(&mut bench), Some(DEPOSIT));
}

#[test]
fn d16_an_answer_to_what_nobody_asked_does_nothing() {
    let mut bench = asked(&[1, 2]);
    for (fetch, node) in [(2, 1), (1, 2), (9, 9)] {
        yes(&mut bench, fetch, node, ENOUGH);
        no(&mut bench, fetch, node);
    }
    assert_eq!((bench.tx(), question(&mut bench), failed(&mut bench)), (None, None, None));
    yes(&mut bench, 1, 1, ENOUGH);
    assert_eq!(approved(&mut bench), Some(DEPOSIT));
    yes(&mut bench, 1, 1, ENOUGH);
    no(&mut bench, 1, 1);
    assert_eq!(
        (bench.tx(), failed(&mut bench), bench.table("openings")),
        (None, None, 1),
        "the opening has left"
    );
}

#[test]
fn d16_a_yes_that_outlives_its_quote_asks_the_node_and_only_a_rise_the_owner() {
    for (quoted, is_within) in [(LOW, true), (Rate(LOW.0 / 2), true), (RATE, false)] {
        let mut bench = asked(&[1]);
        bench.quotes = Some((quoted, true));
        bench.pass(PROBE_WINDOW);
        yes(&mut bench, 1, 1, (LOW, DEPOSIT));
        let asks_again = question(&mut bench);
        assert_eq!(
            (approved(&mut bench).is_some(), asks_again.is_none()),
            (is_within, is_within),
            "{quoted:?}"
        );
        if !is_within {
            assert_eq!(asks_again, Some((1, 1, RATE, Amount(2 * DEPOSIT.0))));
            yes(&mut bench, 1, 1, (LOW, DEPOSIT));
            assert_eq!(bench.tx(), None, "that was the old price");
            yes(&mut bench, 1, 1, ENOUGH);
            assert_eq!(approved(&mut bench), Some(ENOUGH.1));
        }
    }
}

#[test]
fn d16_after_a_restart_the_owner_is_asked_anew() {
    for is_answered in [false, true] {
        let mut bench = asked(&[1]);
        if is_answered {
            yes(&mut bench, 1, 1, ENOUGH);
            assert_eq!(approved(&mut bench), Some(DEPOSIT));
        }
        bench.restart();
        assert_eq!((question(&mut bench), bench.tx()), (Some((1, 1, LOW, DEPOSIT)), None));
    }
}

#[test]
fn d16_each_opening_has_a_yes_of_its_own() {
    let mut bench = asked(&[1]);
    yes(&mut bench, 1, 1, ENOUGH);
    let (ticket, _) = bench.tx().expect("the allowance");
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Lost });
    bench.pass(Span::from_secs(5));
    assert_eq!((question(&mut bench), bench.tx()), (Some((1, 1, LOW, DEPOSIT)), None));
}

#[test]
fn d16_who_can_use_the_channel_of_another_download_stops_asking() {
    let mut bench = asked(&[1]);
    bench.order_with(2, &[1], false, DEPOSIT);
    assert_eq!(question(&mut bench), Some((2, 1, LOW, DEPOSIT)), "its owner is not kept waiting");
    yes(&mut bench, 1, 1, ENOUGH);
    open(&mut bench, 1);
    assert!(bench.asked().is_some() && bench.asked().is_some(), "both go on with it");
    yes(&mut bench, 2, 1, ENOUGH);
    no(&mut bench, 2, 1);
    assert_eq!((bench.tx(), bench.table("streams")), (None, 2), "nobody asked for that any more");
}

#[test]
fn d16_a_slow_owner_holds_no_other_opening_up() {
    let mut bench = asked(&[1]);
    bench.order_with(2, &[2], false, DEPOSIT);
    assert_eq!(question(&mut bench), Some((2, 2, LOW, DEPOSIT)));
    yes(&mut bench, 2, 2, ENOUGH);
    open(&mut bench, 2);
    assert_eq!(bench.asked().map(|(_, request)| request.channel), Some(channel(2)));
}

#[test]
fn d16_a_no_after_a_yes_counts_while_the_opening_waits_for_its_turn() {
    let mut bench = asked(&[1]);
    bench.order_with(2, &[2], false, DEPOSIT);
    yes(&mut bench, 1, 1, ENOUGH);
    yes(&mut bench, 2, 2, ENOUGH);
    assert_eq!((bench.table("openings"), approved(&mut bench)), (2, Some(DEPOSIT)));
    no(&mut bench, 2, 2);
    assert_eq!(failed(&mut bench), Some(FetchFailure::NotAgreed));
    bench.pass(bench.config().timeouts.inclusion);
    assert_eq!((bench.table("openings"), bench.tx()), (0, None));
}

#[test]
fn d16_a_no_takes_a_yes_back_while_another_candidate_is_tried() {
    let mut bench = asked(&[1, 2]);
    bench.order_with(2, &[1, 2], true, DEPOSIT);
    yes(&mut bench, 1, 1, ENOUGH);
    yes(&mut bench, 2, 1, ENOUGH);
    // The first one's opening fails: both turn to the other node.
    let (ticket, _) = bench.tx().expect("the allowance");
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Lost });
    bench.pass(Span::from_secs(1));
    no(&mut bench, 2, 1);
    // Silence ends that one; then the first node would be next.
    bench.pass(Span::from_secs(400));
    assert_eq!(bench.tx(), None, "nobody has agreed to anything any more");
    assert_eq!(failed(&mut bench), Some(FetchFailure::NotAgreed));
}

/// What happens to a client that asks.
#[derive(Clone, Copy, Debug)]
enum Act {
    Order(u64, u8),
    Yes(u64, u8, (Rate, Amount)),
    No(u64, u8),
    Quotes(Rate),
    Wait(u64),
    Include,
    Lose,
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    let (fetch, node) = (1..4_u64, 1..4_u8);
    let rate = prop::sample::select(vec![LOW, RATE, Rate(LOW.0 / 2)]);
    let deposit = prop::sample::select(vec![DEPOSIT, ENOUGH.1, Amount(DEPOSIT.0 / 2), Amount::MAX]);
    prop_oneof![
        2 => (fetch.clone(), node.clone()).prop_map(|(fetch, node)| Act::Order(fetch, node)),
        5 => (fetch.clone(), node.clone(), (rate.clone(), deposit)).prop_map(|(fetch, node, to)| Act::Yes(fetch, node, to)),
        1 => (fetch, node).prop_map(|(fetch, node)| Act::No(fetch, node)),
        1 => rate.prop_map(Act::Quotes),
        3 => prop::sample::select(vec![1_u64, 10, 31, 400]).prop_map(Act::Wait),
        4 => Just(Act::Include),
        1 => Just(Act::Lose),
        1 => Just(Act::Restart),
    ]
}

/// What an owner has said since the start, and what left on it.
#[derive(Default)]
struct Said {
    /// Each yes to the newest question about a download and a node: a later one takes none back.
    yes: BTreeMap<(u64, u8), Vec<(Rate, Amount)>>,
    /// Those on which the allowance may have left that leads to the next opening.
    meant: Vec<(u64, u8)>,
}

impl Said {
    /// Reads what a step brought about: an allowance needs a yes that no other has used up, an opening one with its node.
    /// `lowest`: the lowest price that a young quote can have.
    fn read(&mut self, bench: &mut Bench, lowest: Rate, txs: &mut Vec<(TxTicket, Call)>) {
        for effect in std::mem::take(&mut bench.said) {
            match effect {
                Effect::Notice(Notice::Quoted { fetch, node, deposit: Some(_), .. }) => {
                    self.yes.insert((fetch.0, node.0[0]), vec![]);
                }
                Effect::Tx { ticket, call, .. } => {
                    self.judge(&call, lowest);
                    txs.push((ticket, call));
                }
                _ => {}
            }
        }
    }

    fn judge(&mut self, call: &Call, lowest: Rate) {
        match *call {
            Call::Token(token::Call::Approve { amount, .. }) => {
                let covers = |yes: &(Rate, Amount)| yes.0 >= lowest && yes.1 >= amount;
                let covering = self.yes.iter().filter(|(_, yes)| yes.iter().any(covers));
                self.meant = covering.map(|(key, _)| *key).collect();
            }
            Call::Channel(channel::Call::Open { node, .. }) => {
                self.meant.retain(|(_, meant)| candidate(*meant).operator == node);
            }
            _ => return,
        }
        assert!(!self.meant.is_empty(), "{call:?} leaves without a yes");
        // Among several nobody can tell here which one was used up.
        if let [meant] = self.meant[..] {
            self.yes.insert(meant, vec![]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever owners, nodes, sequencer and restarts do.
    #[test]
    fn d16_nothing_that_spends_leaves_before_the_owner_agreed_to_it(acts in prop::collection::vec(act(), 1..60)) {
        let (mut bench, mut said, mut txs) = (asking(), Said::default(), vec![]);
        let (mut opened, mut prices) = (0_u8, vec![(bench.client.now.mono, LOW)]);
        for act in acts {
            match act {
                Act::Order(fetch, node) => bench.order_with(fetch, &[node, node % 3 + 1], true, DEPOSIT),
                Act::Yes(fetch, node, to) => {
                    said.yes.entry((fetch, node)).and_modify(|yes| yes.push(to));
                    yes(&mut bench, fetch, node, to);
                }
                Act::No(fetch, node) => {
                    said.yes.entry((fetch, node)).and_modify(Vec::clear);
                    no(&mut bench, fetch, node);
                }
                Act::Quotes(rate) => {
                    prices.push((bench.client.now.mono, rate));
                    bench.quotes = Some((rate, true));
                }
                Act::Wait(secs) => bench.pass(Span::from_secs(secs)),
                Act::Include => {
                    if let Some((ticket, call)) = txs.pop() {
                        let event = match call {
                            Call::Channel(channel::Call::Open { node, token, deposit }) => {
                                opened += 1;
                                Some((channel(opened), EventKind::Opened { client: CLIENT, node, token, deposit, window_secs: 172_800 }))
                            }
                            _ => None,
                        };
                        bench.include(ticket, event.as_slice());
                    }
                }
                Act::Lose => {
                    if let Some((ticket, _)) = txs.pop() {
                        bench.feed(Input::Tx { ticket, outcome: TxOutcome::Lost });
                    }
                }
                Act::Restart => {
                    bench.restart();
                    (said, txs) = (Said::default(), vec![]);
                }
            }
            // What was in force before a price of the last half minute is still quoted.
            while prices.get(1).is_some_and(|(since, _)| bench.client.now.mono.since(*since) >= PROBE_WINDOW) {
                prices.remove(0);
            }
            let lowest = prices.iter().map(|(_, rate)| *rate).min().expect("one is in force");
            said.read(&mut bench, lowest, &mut txs);
        }
        prop_assert!(bench.client.role.next_deadline().is_some());
    }
}
