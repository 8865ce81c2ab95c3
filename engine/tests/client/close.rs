//! V7, D11: "not now" to a close is asked again until the consent is late; then the client closes alone.

use decdn_engine::{
    chain::{
        Call, TxOutcome,
        channel::{self, EventKind},
    },
    io::{Answer, Effect, Input, Notice, Refusal},
    money::{Amount, Nonce},
    order::Order,
    time::Span,
    wire::Code,
};

use crate::bench::{Bench, candidate, channel};

#[test]
fn d11_a_close_that_is_put_off_is_asked_again_and_settles_together() {
    for code in [Code::ChannelPending, Code::NotNow] {
        let mut bench = Bench::new(1);
        bench.feed(Input::CloseChannel(channel(1)));
        for round in 0..3 {
            let (stream, _) = bench.close_asked().expect("asked");
            bench.reset(stream, code);
            assert_eq!(bench.tx(), None, "{code:?}: nothing is closed alone in round {round}");
            assert_eq!(bench.close_asked(), None, "{code:?}: the back-off comes first");
            bench.pass(Span::from_millis(1_250 << round));
        }
        let asked = bench.close_asked().expect("asked once more");
        bench.consent(1, asked);
        assert!(
            matches!(bench.tx(), Some((_, Call::Channel(channel::Call::CloseCooperatively { .. })))),
            "{code:?}"
        );
    }
}

#[test]
fn v7_a_close_that_is_put_off_for_ever_goes_alone_when_the_consent_is_late() {
    let mut bench = Bench::new(1);
    bench.feed(Input::CloseChannel(channel(1)));
    let mut asked = 0;
    for _ in 0..99 {
        if let Some((stream, _)) = bench.close_asked() {
            asked += 1;
            bench.reset(stream, Code::ChannelPending);
        }
        bench.pass(Span::from_millis(100));
    }
    assert!((4..=6).contains(&asked), "asked {asked} times, with a growing back-off");
    assert_eq!(bench.tx(), None, "the consent is not late yet");
    bench.pass(Span::from_millis(200));
    assert!(matches!(bench.tx(), Some((_, Call::Channel(channel::Call::Close { .. })))));
    bench.pass(Span::from_secs(30));
    assert_eq!(bench.close_asked(), None, "and the node is not asked any more");
}

#[test]
fn v7_a_close_that_is_refused_otherwise_goes_alone_at_once() {
    let mut bench = Bench::new(1);
    bench.feed(Input::CloseChannel(channel(1)));
    let (stream, _) = bench.close_asked().expect("asked");
    bench.reset(stream, Code::Malformed);
    assert!(matches!(bench.tx(), Some((_, Call::Channel(channel::Call::Close { .. })))));
}

/// The node closes while it is asked for its consent, or while the client's own close is on its way and then lost.
#[test]
fn v7_nobody_waits_for_a_consent_once_the_chain_has_the_close() {
    for alone in [false, true] {
        let mut bench = Bench::new(1);
        // The chain is read again before the consent is late.
        bench.pass(Span::from_secs(55));
        bench.feed(Input::CloseChannel(channel(1)));
        let (stream, _) = bench.close_asked().expect("asked");
        if alone {
            bench.reset(stream, Code::Malformed);
        }
        let tx = bench.tx();
        assert_eq!(tx.is_some(), alone);
        let (by, deadline) = (candidate(1).operator, bench.clock_in(172_800));
        bench.happened(
            11,
            &[(channel(1), EventKind::Closing { by, amount: Amount::ZERO, nonce: Nonce::NONE, deadline })],
        );
        bench.pass(Span::from_hours(1));
        assert_eq!(
            bench
                .take(|effect| matches!(effect, Effect::Reset { stream: reset, .. } if *reset == stream)
                    .then_some(()))
                .is_some(),
            !alone
        );
        if let Some((ticket, _)) = tx {
            bench.feed(Input::Tx { ticket, outcome: TxOutcome::Lost });
        }
        bench.pass(Span::from_hours(1));
        assert_eq!(bench.close_asked(), None);
        assert_eq!(bench.tx(), None, "it is closed");
    }
}

#[test]
fn v7_an_owner_hears_whether_its_order_to_close_was_taken() {
    let mut bench = Bench::new(1);
    let answers = |bench: &mut Bench, order| {
        bench.feed(Input::Order(order));
        let found = bench.said.iter().filter_map(|effect| match effect {
            Effect::Notice(Notice::Ordered { order: other, answer }) if *other == order => Some(*answer),
            _ => None,
        });
        found.collect::<Vec<_>>()
    };
    assert_eq!(answers(&mut bench, Order::Close(channel(9))), [Answer::Refused(Refusal::Unknown)]);
    assert_eq!(answers(&mut bench, Order::Close(channel(1))), [Answer::Taken]);
    assert!(bench.close_asked().is_some(), "its node is asked for its consent");
}
