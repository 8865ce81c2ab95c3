//! L1: what the chain takes back a client takes back, and only what the safe head has is for ever.

use decdn_engine::{
    chain::{
        Call, ChainUpdate, TxOutcome, channel,
        channel::{Ending, EventKind},
    },
    ids::{ChannelId, TxTicket},
    io::{Effect, Fact, Input, Notice},
    money::{Amount, Nonce},
    record::{ChannelStatus, Key, Paying, Record},
    roles::config::ClientConfig,
    time::Span,
};
use decdn_testkit::fixtures;
use proptest::prelude::*;

use crate::{
    bench::{Bench, CLIENT, TOKEN, candidate, channel as id},
    branches::{
        Deed::{self, Close, Dispute, Open, Settle},
        HELD, deeds, sensible,
    },
};

/// The channels that are open before anything happens.
const OPEN: &[u8] = &[1, 2, 3];

/// What the safe head has.
const SAFE: u64 = 100;

fn config() -> ClientConfig {
    let mut config = fixtures::client_config();
    config.monitor.poll = Span::from_secs(60);
    config
}

/// A client that has paid on the first channels, and has read all up to the safe head.
fn paying(channels: u8) -> Bench {
    let paying = |n| fixtures::paying(id(n), candidate(n), 9, Amount(HELD));
    let records = (1..=channels).map(|n| Record::Paying(paying(n)));
    let records: Vec<Record> = records.chain([Record::Cursor(SAFE + 1)]).collect();
    let mut bench = Bench::silent(config(), records);
    (bench.height, bench.safe) = (SAFE, SAFE);
    bench.feed(Input::Tick);
    bench
}

/// These things happen, and the client reads up to a head.
fn hear(bench: &mut Bench, head: u64, deeds: &[(u64, u8, Deed)]) {
    for &(block, n, deed) in deeds {
        let kind = match deed {
            Open(deposit) => EventKind::Opened {
                client: CLIENT,
                node: candidate(n).operator,
                token: TOKEN,
                deposit: Amount(deposit),
                window_secs: 172_800,
            },
            Close(amount) => EventKind::Closing {
                by: candidate(n).operator,
                amount: Amount(amount),
                nonce: Nonce::NONE,
                deadline: bench.clock_in(48 * 3_600),
            },
            Dispute(amount) => EventKind::Disputed { by: CLIENT, amount: Amount(amount), nonce: Nonce(1) },
            Settle => EventKind::Settled {
                ending: Ending::Window,
                amount: Amount(HELD),
                paid: Amount(HELD),
                refunded: Amount(0),
            },
        };
        bench.happened(block, &[(id(n), kind)]);
    }
    bench.height = head;
    bench.pass(Span::from_secs(61));
}

/// The same, from a fork on.
fn fork(bench: &mut Bench, at: u64, head: u64, deeds: &[(u64, u8, Deed)]) {
    bench.fork(at);
    hear(bench, head, deeds);
}

/// Takes the disputes that nobody answered yet.
fn disputed(bench: &mut Bench) -> Vec<(TxTicket, ChannelId)> {
    let dispute = |effect: &Effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Dispute { voucher }), .. } => {
            Some((*ticket, voucher.terms.channel))
        }
        _ => None,
    };
    core::iter::from_fn(|| bench.take(dispute)).collect()
}

fn taken_back(bench: &mut Bench, what: Fact) -> bool {
    let notice = |effect: &Effect| match effect {
        Effect::Notice(Notice::TakenBack { what: it, .. }) if *it == what => Some(()),
        _ => None,
    };
    bench.take(notice).is_some()
}

fn paid(record: &Record) -> Option<Paying> {
    if let Record::Paying(paying) = record { Some(*paying) } else { None }
}

fn record(bench: &Bench, n: u8) -> Option<Paying> {
    bench.client.disk.get(&Key::Paying(id(n))).and_then(paid)
}

#[test]
fn l1_a_settlement_erases_no_record_of_a_client_before_it_is_safe() {
    let mut bench = paying(1);
    hear(&mut bench, 120, &[(110, 1, Close(HELD)), (119, 1, Settle)]);
    assert_eq!(bench.client.role.channels().count(), 0, "it is over");
    assert_eq!(record(&bench, 1).map(|paying| paying.amount), Some(Amount(HELD)), "and may come back");
    bench.safe = 118;
    hear(&mut bench, 130, &[]);
    assert!(record(&bench, 1).is_some());
    bench.safe = 119;
    hear(&mut bench, 131, &[]);
    assert_eq!(record(&bench, 1), None, "nothing brings it back any more");
}

#[test]
fn l1_a_settlement_that_is_undone_is_disputed_again_by_the_client() {
    let mut bench = paying(1);
    hear(&mut bench, 111, &[(110, 1, Close(0))]);
    assert_eq!(disputed(&mut bench).len(), 1, "its own newest voucher says more");
    hear(&mut bench, 120, &[(112, 1, Dispute(HELD)), (119, 1, Settle)]);
    fork(&mut bench, 112, 125, &[]);
    assert!(taken_back(&mut bench, Fact::Settlement));
    assert_eq!(disputed(&mut bench).len(), 1, "the close stands, the dispute does not");
    assert_eq!(bench.client.role.channels().count(), 1);
}

#[test]
fn o13_what_a_fork_undoes_shows_in_the_digest_of_a_client_before_the_new_branch_is_read() {
    let mut bench = paying(1);
    hear(&mut bench, 115, &[(110, 1, Close(0)), (112, 1, Dispute(HELD))]);
    disputed(&mut bench);
    let not_yet = ChainUpdate {
        forked_at: Some(111),
        next: 112,
        ..fixtures::news(bench.client.block(125), SAFE, vec![])
    };
    bench.feed(Input::Chain(not_yet));
    assert_eq!(disputed(&mut bench), [], "it may come again");
    bench.client.check_digest();
    fork(&mut bench, 111, 126, &[]);
    assert_eq!(disputed(&mut bench).len(), 1);
}

#[test]
fn v6_a_channel_whose_opening_is_undone_is_bought_on_no_more() {
    let mut bench = paying(0);
    hear(&mut bench, 115, &[(112, 1, Open(1 << 40))]);
    fork(&mut bench, 110, 120, &[]);
    assert!(taken_back(&mut bench, Fact::Opening));
    assert_eq!(bench.client.role.channels().count(), 0);
    bench.safe = 120;
    hear(&mut bench, 130, &[]);
    assert_eq!(record(&bench, 1), None);
}

/// What is durable of channels, as far as the chain decides it: what was closed on another branch is closed for good.
fn facts(bench: &Bench) -> Vec<(ChannelId, Amount, u64, bool, Amount)> {
    let durable: Vec<Paying> = bench.client.disk.values().filter_map(paid).collect();
    let mut known: Vec<Paying> = bench.client.role.channels().copied().collect();
    known.sort_by_key(|it| it.channel);
    assert_eq!(durable, known, "O12: a restart would know something else");
    let fact = |it: &Paying| {
        (it.channel, it.deposit, it.opened_at_block, it.status == ChannelStatus::Closing, it.amount)
    };
    durable.iter().map(fact).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever saw another branch first, or two of them, knows in the end what one knows who only ever saw this one, and
    /// disputes the same. Restarts in between change nothing.
    #[test]
    fn l1_after_a_fork_a_client_is_as_if_it_had_only_seen_this_branch(
        trunk in deeds(101, 1),
        branches in prop::collection::vec((deeds(111, 1), any::<bool>(), any::<bool>()), 1..3),
        last in deeds(111, 1),
    ) {
        let trunk = sensible(OPEN, &[], &trunk);
        let last = sensible(OPEN, &trunk, &last);
        let [mut torn, mut straight] = [(), ()].map(|()| paying(3));
        for bench in [&mut torn, &mut straight] {
            hear(bench, 110, &trunk);
        }
        for (branch, answers, restarts) in &branches {
            fork(&mut torn, 111, 121, &sensible(OPEN, &trunk, branch));
            for (ticket, _) in disputed(&mut torn) {
                // Without an answer it would be on its way, and not sent again.
                let block = torn.client.block(121);
                let outcome =
                    if *answers { TxOutcome::Included { block, result: Ok(()) } } else { TxOutcome::Lost };
                torn.feed(Input::Tx { ticket, outcome });
            }
            torn.client.check_digest();
            if *restarts {
                torn.restart();
            }
        }
        fork(&mut torn, 111, 122, &last);
        hear(&mut straight, 122, &last);
        prop_assert_eq!(torn.client.role.channels().count(), straight.client.role.channels().count());
        // What is safe is the same to the last record.
        for bench in [&mut torn, &mut straight] {
            bench.safe = 190;
            hear(bench, 200, &[]);
        }
        prop_assert_eq!(facts(&torn), facts(&straight));
        let disputes = [&mut torn, &mut straight].map(|bench| {
            disputed(bench);
            bench.restart();
            bench.pass(Span::from_secs(61));
            let mut disputed: Vec<ChannelId> = disputed(bench).into_iter().map(|(_, id)| id).collect();
            disputed.sort();
            disputed
        });
        prop_assert_eq!(&disputes[0], &disputes[1]);
    }
}
