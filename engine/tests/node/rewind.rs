//! L1: what the chain takes back a node takes back, and only what the safe head has is for ever.

use decdn_engine::{
    chain::{
        BlockRef, Call, ChainEvent, ChainUpdate, TxOutcome, channel,
        channel::{Ending, EventKind},
    },
    crypto::Signature,
    fault::{Fault, LimitHit, Rule},
    ids::{BlockHash, ChannelId, TxTicket},
    io::{Effect, Fact, Input, Notice},
    limits::{GROUP, Limits},
    money::{Amount, Nonce},
    record::{ChannelStatus, Key, Record},
    time::{ChainTime, Span},
    wire::Voucher,
};
use proptest::prelude::*;

use crate::{
    bench::{Bench, CLIENT, OPERATOR, TOKEN, channel as id},
    branches::{
        Deed::{self, Close, Dispute, Open, Settle},
        HELD, deeds, sensible,
    },
};

/// The channels that are open before anything happens.
const OPEN: &[u8] = &[0, 1, 2];

/// A channel's event in a block.
fn event(bench: &Bench, (block, n, deed): (u64, u8, Deed)) -> ChainEvent {
    let kind = match deed {
        Open(deposit) => EventKind::Opened {
            client: CLIENT,
            node: OPERATOR,
            token: TOKEN,
            deposit: Amount(deposit),
            window_secs: 172_800,
        },
        Close(amount) => EventKind::Closing {
            by: CLIENT,
            amount: Amount(amount),
            nonce: Nonce::NONE,
            deadline: ChainTime(bench.node.now.wall.secs() + 48 * 3_600),
        },
        Dispute(amount) => EventKind::Disputed { by: OPERATOR, amount: Amount(amount), nonce: Nonce(1) },
        Settle => EventKind::Settled {
            ending: Ending::Window,
            amount: Amount(HELD),
            paid: Amount(HELD),
            refunded: Amount(0),
        },
    };
    ChainEvent::of_channel(bench.block(block, 0), id(n), kind)
}

fn events(bench: &Bench, deeds: &[(u64, u8, Deed)]) -> Vec<ChainEvent> {
    deeds.iter().map(|deed| event(bench, *deed)).collect()
}

/// News up to a head, with nothing safe beyond block 100.
fn hear(bench: &mut Bench, head: u64, deeds: &[(u64, u8, Deed)]) -> Vec<Effect> {
    let events = events(bench, deeds);
    bench.hear(bench.block(head, 0), 100, events)
}

/// The same, from a fork on.
fn fork(bench: &mut Bench, at: u64, head: u64, deeds: &[(u64, u8, Deed)]) -> Vec<Effect> {
    let events = events(bench, deeds);
    bench.hear_from(Some(at), bench.block(head, 0).into(), 100, events)
}

fn disputed(effects: &[Effect]) -> Vec<(TxTicket, ChannelId)> {
    let found = effects.iter().filter_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Dispute { voucher }), .. } => {
            Some((*ticket, voucher.terms.channel))
        }
        _ => None,
    });
    found.collect()
}

fn taken_back(effects: &[Effect], what: Fact) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Notice(Notice::TakenBack { what: it, .. }) if *it == what))
}

fn record(bench: &Bench, n: u8) -> Option<decdn_engine::record::Earning> {
    match bench.node.disk.get(&Key::Earning(id(n))) {
        Some(Record::Earning(earning)) => Some(*earning),
        _ => None,
    }
}

fn bench() -> Bench {
    Bench::new(Limits::standard(), &[HELD])
}

#[test]
fn l1_a_settlement_erases_nothing_before_it_is_safe() {
    let mut bench = bench();
    hear(&mut bench, 120, &[(110, 0, Close(HELD)), (119, 0, Settle)]);
    assert_eq!(bench.node.role.channel_count(), 0, "it is over");
    assert!(record(&bench, 0).and_then(|earning| earning.best).is_some(), "and may come back");
    bench.hear(bench.block(130, 0), 118, vec![]);
    assert!(record(&bench, 0).is_some());
    bench.hear(bench.block(140, 0), 119, vec![]);
    assert_eq!(record(&bench, 0), None, "nothing brings it back any more");
}

#[test]
fn l1_a_settlement_that_is_undone_is_disputed_again() {
    let mut bench = bench();
    hear(&mut bench, 120, &[(110, 0, Close(0)), (112, 0, Dispute(HELD)), (119, 0, Settle)]);
    let effects = fork(&mut bench, 111, 125, &[]);
    assert!(taken_back(&effects, Fact::Settlement));
    assert_eq!(disputed(&effects).len(), 1, "the close stands, the dispute does not: {effects:?}");
    assert_eq!(bench.node.role.channel_count(), 1);
}

#[test]
fn o13_what_a_fork_undoes_shows_in_the_digest_before_the_new_branch_is_read() {
    let mut bench = bench();
    let sent = disputed(&hear(&mut bench, 111, &[(110, 0, Close(0))]));
    assert_eq!(disputed(&hear(&mut bench, 115, &[(112, 0, Dispute(HELD))])), []);
    let [(ticket, _)] = sent[..] else { panic!("{sent:?}") };
    let landed = TxOutcome::Included { block: bench.block(112, 0), result: Ok(()) };
    bench.feed(Input::Tx { ticket, outcome: landed });
    let (head, forced_inclusion) = (bench.block(125, 0).into(), Span::from_hours(24));
    let not_yet = ChainUpdate {
        head,
        forked_at: Some(111),
        safe: 100,
        next: 112,
        forced_inclusion,
        ..ChainUpdate::default()
    };
    assert_eq!(disputed(&bench.feed(Input::Chain(not_yet))), [], "it may come again");
    bench.node.check_digest();
    assert_eq!(disputed(&hear(&mut bench, 125, &[])).len(), 1);
}

#[test]
fn l1_a_settlement_that_is_undone_twice_is_disputed_twice() {
    let mut bench = bench();
    for head in [120, 130] {
        let deeds = [(head - 9, 0, Close(0)), (head - 8, 0, Dispute(HELD)), (head - 1, 0, Settle)];
        hear(&mut bench, head, &deeds);
        assert_eq!(bench.node.role.channel_count(), 0);
        let effects = fork(&mut bench, head - 9, head + 1, &[(head + 1, 0, Close(0))]);
        assert!(taken_back(&effects, Fact::Settlement) && taken_back(&effects, Fact::Close));
        assert_eq!(disputed(&effects).len(), 1, "{head}: {effects:?}");
        fork(&mut bench, head + 1, head + 1, &[]);
    }
}

#[test]
fn l1_a_settlement_that_is_undone_alone_is_made_again() {
    let mut bench = bench();
    hear(&mut bench, 120, &[(110, 0, Close(HELD)), (119, 0, Settle)]);
    fork(&mut bench, 119, 121, &[]);
    bench.pass(49 * 3_600);
    hear(&mut bench, 122, &[]);
    bench.pass(600);
    let is_settle = |effect: &Effect| matches!(effect, Effect::Tx { call: Call::Channel(channel::Call::Settle { channel }), .. } if *channel == id(0));
    assert!(bench.feed(Input::Tick).iter().any(is_settle));
}

#[test]
fn l1_a_dispute_that_is_undone_is_sent_again_whatever_its_outcome_said() {
    // Told of its inclusion before its event is read, after the fork, or never.
    for (is_told_before, is_told_after) in [(true, false), (false, true), (false, false)] {
        let mut bench = bench();
        let sent = disputed(&hear(&mut bench, 110, &[(110, 0, Close(0))]));
        let [(ticket, _)] = sent[..] else { panic!("{sent:?}") };
        let block = bench.block(112, 0);
        let outcome = TxOutcome::Included { block, result: Ok(()) };
        if is_told_before {
            bench.feed(Input::Tx { ticket, outcome });
            hear(&mut bench, 115, &[(112, 0, Dispute(HELD))]);
        }
        let mut effects = fork(&mut bench, 111, 116, &[]);
        if is_told_after {
            bench.feed(Input::Tx { ticket, outcome });
            effects = hear(&mut bench, 117, &[]);
        }
        let again = disputed(&effects).len();
        assert_eq!(
            again,
            usize::from(is_told_before || is_told_after),
            "on its way it still is: {effects:?}"
        );
    }
}

#[test]
fn l1_a_close_that_is_undone_leaves_a_channel_that_serves_no_more() {
    let mut bench = bench();
    hear(&mut bench, 110, &[(110, 0, Close(HELD))]);
    assert_eq!(record(&bench, 0).map(|earning| earning.status), Some(ChannelStatus::Closing));
    let effects = fork(&mut bench, 110, 111, &[]);
    assert!(taken_back(&effects, Fact::Close));
    assert_eq!(record(&bench, 0).map(|earning| earning.status), Some(ChannelStatus::Final));
}

#[test]
fn l1_a_close_that_was_undone_while_the_node_was_away_is_undone() {
    let mut bench = bench();
    hear(&mut bench, 110, &[(110, 0, Close(HELD))]);
    bench.restart();
    hear(&mut bench, 120, &[]);
    assert_eq!(record(&bench, 0).map(|earning| earning.status), Some(ChannelStatus::Final));
}

#[test]
fn v6_an_opening_that_vanished_is_not_served_and_not_safe() {
    let mut bench = Bench::new(Limits::standard(), &[]);
    hear(&mut bench, 110, &[(110, 0, Open(1_000_000))]);
    assert_eq!(bench.node.role.channel_count(), 1);
    let effects = fork(&mut bench, 110, 112, &[]);
    assert!(taken_back(&effects, Fact::Opening));
    assert_eq!(bench.node.role.channel_count(), 0, "whatever the safe head's number is");
    assert!(record(&bench, 0).is_some(), "it may come back");
    bench.hear(bench.block(200, 0), 150, vec![]);
    assert!(record(&bench, 0).is_some(), "an endpoint may have left it out (L4)");
    bench.pass(30);
    bench.hear(bench.block(201, 0), 150, vec![]);
    assert_eq!(record(&bench, 0), None);
}

#[test]
fn l4_an_opening_that_one_answer_left_out_is_not_erased_by_the_next_one() {
    let mut bench = Bench::new(Limits::standard(), &[]);
    hear(&mut bench, 110, &[(110, 0, Open(1_000_000))]);
    bench.restart();
    // The first answer after a start leaves the opening out, and the next one has it, below a safe head that passes both.
    bench.hear(bench.block(112, 0), 100, vec![]);
    assert_eq!(bench.node.role.channel_count(), 0);
    bench.pass(60);
    let opening = events(&bench, &[(110, 0, Open(1_000_000))]);
    bench.hear(bench.block(130, 0), 120, opening);
    assert!(record(&bench, 0).is_some());
    assert_eq!(bench.node.role.channel_count(), 1);
}

#[test]
fn v6_an_opening_that_comes_back_has_its_new_deposit() {
    for is_late in [false, true] {
        let mut bench = Bench::new(Limits::standard(), &[]);
        hear(&mut bench, 110, &[(110, 0, Open(1_000_000))]);
        if is_late {
            fork(&mut bench, 110, 112, &[]);
            hear(&mut bench, 115, &[(114, 0, Open(5))]);
        } else {
            fork(&mut bench, 110, 115, &[(114, 0, Open(5))]);
        }
        let earning = record(&bench, 0).expect("it is there again");
        assert_eq!((earning.deposit, earning.opened_at_block), (Amount(5), 114));
        assert_eq!(bench.node.role.channel_count(), 1);
    }
}

/// Its close was on the branch before the one that did not have the channel at all.
#[test]
fn l1_a_channel_that_comes_back_without_its_close_is_not_closing() {
    let mut bench = bench();
    hear(&mut bench, 115, &[(111, 3, Open(9)), (114, 3, Close(0))]);
    fork(&mut bench, 111, 116, &[]);
    fork(&mut bench, 111, 117, &[(111, 3, Open(9))]);
    assert_eq!(record(&bench, 3).map(|earning| earning.status), Some(ChannelStatus::Final));
}

/// While the node did not hear of the chain the opening moved, and became safe.
#[test]
fn v6_an_opening_that_comes_back_as_safe_counts_towards_the_soft_cap_no_more() {
    let mut bench = bench();
    hear(&mut bench, 105, &[(101, 1, Open(1_000_000))]);
    let soft = |bench: &Bench| bench.node.role.tables().into_iter().find(|(table, _)| *table == "soft");
    assert_eq!(bench.request(1), Ok(()));
    assert_eq!(soft(&bench), Some(("soft", 1)));
    let events = events(&bench, &[(102, 1, Open(1_000_000))]);
    bench.hear_from(Some(101), bench.block(140, 0).into(), 130, events);
    assert_eq!(soft(&bench), Some(("soft", 0)));
}

/// What is held of it is more than it can pay now: the node goes on with what there is.
#[test]
fn v6_an_opening_that_comes_back_with_less_than_was_paid_on_it_is_served_no_more() {
    let mut bench = bench();
    hear(&mut bench, 105, &[(101, 1, Open(1_000_000))]);
    bench.ask_with(
        1,
        4 * GROUP,
        Some(Voucher { amount: Amount(HELD), nonce: Nonce(1), signature: Signature([1; 65]) }),
    );
    fork(&mut bench, 101, 115, &[(114, 1, Open(5))]);
    let earning = record(&bench, 1).expect("there");
    assert_eq!(earning.best.map(|best| best.amount), Some(Amount(HELD)));
    assert_eq!((earning.deposit, earning.status), (Amount(5), ChannelStatus::Final));
}

#[test]
fn l1_nothing_is_undone_that_the_safe_head_has() {
    let mut bench = bench();
    bench.hear(bench.block(100, 0), 100, events(&bench, &[(90, 0, Close(HELD))]));
    let effects = fork(&mut bench, 50, 101, &[]);
    let limit = Fault::Limit { rule: Rule::L1, limit: LimitHit::SafeBlocks };
    assert!(effects.contains(&Effect::Fault(limit)), "{effects:?}");
    assert_eq!(record(&bench, 0).map(|earning| earning.status), Some(ChannelStatus::Closing));
}

#[test]
fn l1_a_head_with_another_hash_is_a_fork_that_nobody_told() {
    let mut bench = bench();
    let head = |bench: &Bench, hash| BlockRef::new(bench.block(120, 0), BlockHash([hash; 32]));
    let close = events(&bench, &[(110, 0, Close(HELD))]);
    bench.hear_from(None, head(&bench, 1), 100, close);
    let effects = bench.hear_from(None, head(&bench, 2), 100, vec![]);
    assert!(taken_back(&effects, Fact::Close));
    bench.pass(60);
    let polls = bench.feed(Input::Tick);
    assert!(
        polls.iter().any(|effect| matches!(effect, Effect::Poll { from_block: ..=101, .. })),
        "{polls:?}"
    );
}

#[test]
fn o11_channels_that_are_over_count_as_long_as_they_may_come_back() {
    let mut bench = Bench::new(Limits { channels: 1, ..Limits::standard() }, &[]);
    hear(&mut bench, 110, &[(101, 0, Open(9)), (102, 0, Settle), (103, 1, Open(9)), (104, 1, Settle)]);
    let effects = hear(&mut bench, 111, &[(111, 2, Open(9))]);
    let limit = Fault::Limit { rule: Rule::O11, limit: LimitHit::Channels };
    assert!(effects.contains(&Effect::Fault(limit)), "two are over, one is allowed: {effects:?}");
}

/// What is durable of channels, as far as the chain decides it: what was closed on another branch stays without service.
fn facts(bench: &Bench) -> Vec<(ChannelId, Amount, u64, bool, Option<Amount>)> {
    let known = bench.node.disk.values().filter_map(|record| match record {
        Record::Earning(it) => {
            let best = it.best.map(|best| best.amount);
            Some((it.channel, it.deposit, it.opened_at_block, it.status == ChannelStatus::Closing, best))
        }
        _ => None,
    });
    known.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Whoever saw another branch first, or two of them, knows in the end what one knows who only ever saw this one, and
    /// disputes the same. Restarts in between change nothing.
    #[test]
    fn l1_after_a_fork_a_node_is_as_if_it_had_only_seen_this_branch(
        trunk in deeds(101, 0),
        branches in prop::collection::vec((deeds(111, 0), any::<bool>(), any::<bool>()), 1..3),
        last in deeds(111, 0),
    ) {
        let trunk = sensible(OPEN, &[], &trunk);
        let last = sensible(OPEN, &trunk, &last);
        let [mut torn, mut straight] = [(), ()].map(|()| Bench::new(Limits::standard(), &[HELD, HELD, 0]));
        for bench in [&mut torn, &mut straight] {
            hear(bench, 110, &trunk);
        }
        for (place, (branch, answers, restarts)) in branches.iter().enumerate() {
            let branch = &sensible(OPEN, &trunk, branch);
            let effects = match place {
                0 => hear(&mut torn, 121, branch),
                _ => fork(&mut torn, 111, 121, branch),
            };
            for (ticket, _) in disputed(&effects) {
                let block = torn.block(121, 0);
                // Without an answer it would be on its way, and not sent again.
                let outcome = if *answers {
                    TxOutcome::Included { block, result: Ok(()) }
                } else {
                    TxOutcome::Lost
                };
                torn.feed(Input::Tx { ticket, outcome });
            }
            if *restarts {
                torn.restart();
                hear(&mut torn, 110, &trunk);
                hear(&mut torn, 121, branch);
            }
        }
        fork(&mut torn, 111, 122, &last);
        hear(&mut straight, 122, &last);
        prop_assert_eq!(torn.node.role.channel_count(), straight.node.role.channel_count());
        // What is safe is the same to the last record.
        for bench in [&mut torn, &mut straight] {
            bench.hear(bench.block(200, 0), 190, vec![]);
            bench.pass(30);
            bench.hear(bench.block(201, 0), 190, vec![]);
        }
        prop_assert_eq!(facts(&torn), facts(&straight));
        for bench in [&mut torn, &mut straight] {
            bench.restart();
        }
        let disputes = [&mut torn, &mut straight].map(|bench| {
            let events = events(bench, &[trunk.clone(), last.clone()].concat());
            let mut disputed: Vec<ChannelId> =
                disputed(&bench.hear(bench.block(202, 0), 190, events)).into_iter().map(|(_, id)| id).collect();
            disputed.sort();
            disputed
        });
        prop_assert_eq!(&disputes[0], &disputes[1]);
    }
}
