//! V1, O5: a channel that the chain tells of and no record does may have been paid on. It is closed, and never paid on again.

use decdn_engine::{
    chain::{
        Call, TxOutcome,
        channel::{self, EventKind},
        token,
    },
    ids::ChannelId,
    io::{Effect, Input, Notice},
    money::Amount,
    record::Record,
    time::Span,
};

use crate::bench::{Bench, CLIENT, TOKEN, candidate, channel};

const DEPOSIT: Amount = Amount(1 << 40);

fn opened(node: u8) -> EventKind {
    EventKind::Opened {
        client: CLIENT,
        node: candidate(node).operator,
        token: TOKEN,
        deposit: DEPOSIT,
        window_secs: 172_800,
    }
}

fn found(bench: &mut Bench) -> Option<ChannelId> {
    bench.take(|effect| match effect {
        Effect::Notice(Notice::ChannelFound { channel, .. }) => Some(*channel),
        _ => None,
    })
}

/// A client without records, whose chain has a channel with the first node from an earlier life.
fn forgetful() -> Bench {
    let config = Bench::new(0).config();
    let mut bench = Bench::silent(config, Vec::new());
    bench.happened(5, &[(channel(1), opened(1))]);
    bench
}

#[test]
fn v1_a_channel_that_no_record_speaks_of_is_closed_and_another_one_paid_on() {
    let mut bench = forgetful();
    bench.order(1, &[1], true);
    bench.feed(Input::Tick);
    assert_eq!(found(&mut bench), Some(channel(1)));
    assert_eq!(bench.asked(), None, "nothing is bought on it");
    let (_, request) = bench.close_asked().expect("its node is known by the order");
    assert_eq!((request.channel, request.voucher), (channel(1), None));
    let (approval, _) = bench.tx().expect("the allowance of another channel");
    bench.include(approval, &[]);
    let (opening, _) = bench.tx().expect("its opening");
    bench.include(opening, &[(channel(9), opened(1))]);
    assert_eq!(bench.asked().expect("the download begins").1.channel, channel(9));
    // The node holds a voucher, and so consents to no other amount.
    bench.pass(Span::from_secs(11));
    let (_, call) = bench.tx().expect("a close alone");
    assert_eq!(call, Call::Channel(channel::Call::Close { channel: channel(1), voucher: None }));
}

#[test]
fn v1_a_channel_that_was_found_is_not_paid_on_after_a_restart_either() {
    let mut bench = forgetful();
    bench.feed(Input::Tick);
    let mut kept = bench.client.records();
    let [Record::Paying(paying)] = &mut kept[..] else { panic!("{kept:?}") };
    // Too long ago for the next life to read it again.
    paying.opened_at_block = 0;
    // A second life that died before it had closed anything, and a third.
    let mut again = Bench::recover(bench.config(), kept);
    again.order(1, &[1], true);
    assert_eq!(again.asked(), None);
    assert!(matches!(again.tx(), Some((_, Call::Token(token::Call::Approve { .. })))), "another channel");
    assert!(
        matches!(again.tx(), Some((_, Call::Channel(channel::Call::Close { voucher: None, .. })))),
        "nobody knows its node's key"
    );
}

#[test]
fn v1_an_opening_that_is_seen_before_its_transaction_is_known_waits_for_it() {
    let mut bench = Bench::new(0);
    bench.order(1, &[1], true);
    let (approval, _) = bench.tx().expect("the allowance");
    bench.include(approval, &[]);
    let (opening, _) = bench.tx().expect("the opening");
    // One of an earlier life that an endpoint had kept back, then ours: the events come before the outcome.
    bench.happened(12, &[(channel(8), opened(1))]);
    let block = bench.happened(13, &[(channel(1), opened(1))]);
    bench.pass(Span::from_secs(61));
    assert_eq!(bench.asked(), None, "either may have been paid on");
    bench.feed(Input::Tx { ticket: opening, outcome: TxOutcome::Included { block, result: Ok(()) } });
    assert_eq!(bench.asked().expect("the download begins").1.channel, channel(1));
    assert_eq!(found(&mut bench), Some(channel(8)));
    assert_eq!(bench.close_asked().expect("closed").1.channel, channel(8));
}

#[test]
fn v1_an_opening_whose_transaction_counts_as_lost_is_closed_when_it_shows() {
    let mut bench = Bench::new(0);
    bench.order(1, &[1], true);
    let (approval, _) = bench.tx().expect("the allowance");
    bench.include(approval, &[]);
    let (opening, _) = bench.tx().expect("the opening");
    bench.happened(12, &[(channel(1), opened(1))]);
    bench.pass(Span::from_secs(61));
    bench.feed(Input::Tx { ticket: opening, outcome: TxOutcome::Lost });
    assert_eq!(bench.close_asked().expect("closed").1.channel, channel(1));
    bench.pass(Span::from_secs(1));
    assert_eq!(bench.asked(), None);
    assert!(matches!(bench.tx(), Some((_, Call::Token(token::Call::Approve { .. })))), "another attempt");
}

#[test]
fn x1_a_close_of_a_found_channel_that_is_older_than_the_start_is_settled() {
    let mut bench = forgetful();
    let deadline = bench.clock_in(48 * 3_600);
    let nonce = decdn_engine::money::Nonce(3);
    let by = candidate(1).operator;
    bench.happened(6, &[(channel(1), EventKind::Closing { by, amount: Amount(500), nonce, deadline })]);
    bench.feed(Input::Tick);
    assert_eq!((bench.close_asked(), bench.tx()), (None, None), "it is closing already");
    bench.pass(Span::from_hours(49));
    assert_eq!(bench.tx(), None, "not before the chain says so");
    bench.happened(11, &[]);
    bench.pass(Span::from_secs(120));
    assert!(
        matches!(bench.tx(), Some((_, Call::Channel(channel::Call::Settle { channel: id }))) if id == channel(1))
    );
}
