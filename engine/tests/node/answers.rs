//! What a node answers to a request that it does not serve, and where it stops serving one.

use decdn_engine::{
    crypto::{Signature, StreamError, Typed},
    ids::{BlobHash, ConnId, NodeId, StreamId},
    io::{Effect, Input},
    limits::{GROUP, Limits},
    money::{Amount, Nonce, Rate},
    wire::{ClientMessage, Message, StreamResponse, Voucher},
};

use crate::bench::{Bench, HASH};

const MB: u128 = 1 << 20;
const DEPOSIT: u128 = 1_000_000;
/// What the bench's node asks for.
const RATE: u128 = 1_000;

fn node() -> Bench {
    let mut bench = Bench::new(Limits::standard(), &[0]);
    bench.hear(bench.block(10, 0), 10, vec![]);
    bench
}

fn voucher(nonce: u64, amount: u128) -> Voucher {
    Voucher { amount: Amount(amount), nonce: Nonce(nonce), signature: Signature([1; 65]) }
}

/// What is signed of an answer, its message, and whether the stream ends with it.
fn answered(bench: &mut Bench, said: &[Effect]) -> (Typed, StreamResponse, bool) {
    let signed = said.iter().find_map(|effect| match effect {
        Effect::Sign { what, .. } => Some(*what),
        _ => None,
    });
    let said = bench.sign(said);
    let sent = said.iter().find_map(|effect| match effect {
        Effect::Send { message: Message::Client(ClientMessage::StreamResponse(response)), .. } => {
            Some(*response)
        }
        _ => None,
    });
    let is_over = said.iter().any(|effect| matches!(effect, Effect::Finish { .. }));
    (signed.expect("signed"), sent.expect("sent"), is_over)
}

#[test]
fn d2_a_refusal_has_one_reason_and_an_agreement_none() {
    let large = BlobHash([8; 32]);
    let nearly_all = voucher(1, DEPOSIT - 1);
    for (hash, max_rate, newest, error) in [
        (HASH, 1_000, None, None),
        (BlobHash([3; 32]), 1_000, None, Some(StreamError::Unavailable)),
        (large, 1_000, None, Some(StreamError::BlobTooLarge)),
        (HASH, 999, None, Some(StreamError::RateExceeded)),
        (HASH, 1_000, Some(nearly_all), Some(StreamError::ChannelInsufficient)),
    ] {
        let mut bench = node();
        bench.feed(Input::BlobReady { hash: large, bytes: (10 << 30) + 1 });
        let said = match newest {
            Some(_) => bench.ask_with(0, 4 * GROUP, newest),
            None => bench.ask_quoting(hash, None, max_rate),
        };
        let (signed, said, is_over) = answered(&mut bench, &said);
        let Typed::StreamResponse(terms) = signed else { panic!("{signed:?}") };
        assert_eq!((terms.ok, terms.error), (error.is_none(), error));
        assert_eq!((said.ok, said.error, is_over), (error.is_none(), error, error.is_some()));
        assert_eq!((terms.redirect, said.redirect), (NodeId::default(), None), "no error beside a redirect");
        let (rate, bytes) = if said.ok { (Rate(1_000), 64 * GROUP) } else { (Rate(0), 0) };
        assert_eq!((terms.rate, terms.total_bytes), (rate, bytes));
        assert_eq!((said.rate, said.total_bytes), (rate, bytes));
    }
}

#[test]
fn v4_no_group_goes_out_that_the_deposit_does_not_cover() {
    let held = DEPOSIT - 1_000;
    let mut bench = node();
    bench.feed(Input::BlobReady { hash: HASH, bytes: 256 * GROUP });
    // The node has lost its records; what the voucher pays for counts as sent.
    let said = bench.ask_with(0, 4 * GROUP, Some(voucher(1, held)));
    let mut said = bench.sign(&said);
    let stream = StreamId { conn: ConnId(0), index: 0 };
    let mut sent = 0;
    // The voucher may have been signed for any byte of its last unit (D8).
    let room = (DEPOSIT - held + 1) * MB / RATE;
    for nonce in 2.. {
        for effect in &said {
            if let Effect::SendRange { bytes, .. } = effect {
                sent += u128::from(*bytes);
            }
        }
        assert!(sent <= room, "{sent} of {room} bytes");
        let reason = said.iter().find_map(|effect| match effect {
            Effect::Send { message: Message::Client(ClientMessage::StreamAbort(error)), .. } => Some(*error),
            _ => None,
        });
        if let Some(reason) = reason {
            assert_eq!(reason, StreamError::ChannelInsufficient);
            break;
        }
        bench.feed(Input::RangeSent { stream });
        let amount = (held + (sent * RATE).div_ceil(MB)).min(DEPOSIT);
        said = bench.feed(Input::Message {
            stream,
            message: Message::Client(ClientMessage::Voucher(voucher(nonce, amount))),
        });
        assert!(nonce < 100, "it goes on for ever");
    }
    assert!(sent + u128::from(GROUP) > room, "it stops early: {sent} of {room} bytes");
}
