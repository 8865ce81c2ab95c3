//! When a node settles a channel that somebody closed (X1).

use decdn_engine::{
    chain::{Call, ChainEvent, TxOutcome, channel, channel::EventKind},
    io::{Effect, Input},
    limits::Limits,
    money::{Amount, Nonce},
    roles::Role,
    time::ChainTime,
};

use crate::bench::{Bench, CLIENT, OPERATOR, channel as id};

const HELD: u128 = 700;
const WINDOW: u64 = 48 * 3_600;

fn hear(bench: &mut Bench, number: u64, kind: EventKind) -> Vec<Effect> {
    let block = bench.block(number, 0);
    bench.hear(block, number, vec![ChainEvent::of_channel(block, id(0), kind)])
}

/// Ticks until nothing more is due within a minute; what was put out.
fn tick(bench: &mut Bench) -> Vec<Effect> {
    bench.pass(60);
    let mut said = Vec::new();
    while bench.node.role.next_deadline().is_some_and(|(at, _)| at <= bench.node.now.mono) {
        said.extend(bench.feed(Input::Tick));
    }
    said
}

fn settles(said: &[Effect]) -> bool {
    let is_settling =
        |call: &Call| matches!(call, Call::Channel(channel::Call::Settle { channel }) if *channel == id(0));
    said.iter().any(|effect| matches!(effect, Effect::Tx { call, .. } if is_settling(call)))
}

/// Somebody has closed at nothing, and the window is over without anything recorded, as far as was heard. What the node asks for then.
fn closed_at_nothing(bench: &mut Bench) -> Vec<Effect> {
    let deadline = ChainTime(bench.node.now.wall.secs() + WINDOW);
    let closing = EventKind::Closing { by: CLIENT, amount: Amount::ZERO, nonce: Nonce::NONE, deadline };
    hear(bench, 4, closing);
    bench.pass(WINDOW + 3_600);
    let said = tick(bench);
    assert!(!settles(&said), "there is nothing to earn, as far as it knows");
    said
}

/// An endpoint that is out of reach until the window is over.
#[test]
fn x1_a_dispute_that_is_heard_of_after_the_window_is_settled_all_the_same() {
    let mut bench = Bench::new(Limits::standard(), &[HELD]);
    closed_at_nothing(&mut bench);
    hear(&mut bench, 5, EventKind::Disputed { by: OPERATOR, amount: Amount(HELD), nonce: Nonce(1) });
    bench.pass(3_600);
    assert!(settles(&tick(&mut bench)), "or its client would have to");
}

/// The same, of an outcome whose block is not read yet.
#[test]
fn x1_a_dispute_whose_outcome_comes_after_the_window_is_settled_all_the_same() {
    let mut bench = Bench::new(Limits::standard(), &[HELD]);
    let said = closed_at_nothing(&mut bench);
    let ticket = said.iter().find_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Dispute { .. }), .. } => Some(*ticket),
        _ => None,
    });
    let ticket = ticket.expect("its dispute is forced");
    bench.hear(bench.block(5, 0), 5, vec![]);
    let block = bench.block(6, 0);
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Included { block, result: Ok(()) } });
    bench.pass(3_600);
    assert!(settles(&tick(&mut bench)), "or its client would have to");
}
