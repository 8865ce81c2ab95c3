//! A node without its records finds its channels on the chain, and goes by the voucher that the client sends again (V3).

use decdn_engine::{
    chain::{ChainEvent, channel::EventKind},
    crypto::Signature,
    io::Effect,
    limits::{GROUP, Limits},
    money::{Amount, Nonce},
    record::{Key, Record},
    wire::{ClientMessage, Message, Voucher},
};

use crate::bench::{Bench, CLIENT, OPERATOR, TOKEN, channel};

/// A node that has lost everything, after the chain told it of its channel.
fn forgetful() -> Bench {
    let mut bench = Bench::new(Limits::standard(), &[]);
    let kind = EventKind::Opened {
        client: CLIENT,
        node: OPERATOR,
        token: TOKEN,
        deposit: Amount(1_000_000),
        window_secs: 172_800,
    };
    let event = ChainEvent::of_channel(bench.block(5, 0), channel(0), kind);
    bench.hear(bench.block(9, 0), 9, vec![event]);
    bench
}

fn newest(nonce: u64, amount: u128) -> Voucher {
    Voucher { amount: Amount(amount), nonce: Nonce(nonce), signature: Signature([1; 65]) }
}

fn best(bench: &Bench) -> Option<(Nonce, Amount)> {
    match bench.node.disk.get(&Key::Earning(channel(0))) {
        Some(Record::Earning(earning)) => earning.best.map(|best| (best.nonce, best.amount)),
        _ => None,
    }
}

fn sent(said: &[Effect]) -> u64 {
    let of = |effect: &Effect| if let Effect::SendRange { bytes, .. } = effect { *bytes } else { 0 };
    said.iter().map(of).sum()
}

#[test]
fn v3_a_node_without_records_takes_the_voucher_that_the_client_sends_again() {
    let mut bench = forgetful();
    assert_eq!(best(&bench), None);
    let said = bench.ask_with(0, 4 * GROUP, Some(newest(7, 5_000)));
    assert_eq!(best(&bench), Some((Nonce(7), Amount(5_000))));
    let is_ack = |effect: &Effect| {
        matches!(effect, Effect::Send { message: Message::Client(ClientMessage::VoucherAck(Nonce(7))), .. })
    };
    assert!(said.iter().any(is_ack), "{said:?}");
    assert!(!said.iter().any(|effect| matches!(effect, Effect::Fault(_))), "nobody is to blame: {said:?}");
}

#[test]
fn d8_a_node_without_records_sends_no_byte_again_that_the_voucher_had_paid_for() {
    let mut bench = forgetful();
    let said = bench.ask_with(0, 4 * GROUP, Some(newest(7, 5_000)));
    let said = bench.sign(&said);
    assert_eq!(sent(&said), 4 * GROUP, "one offer on credit, though 5,000 units would pay for 5 MB");
}
