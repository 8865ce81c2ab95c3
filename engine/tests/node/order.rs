//! What a node's owner orders about its money: on record before it leaves, done once, and told (V7, C5, C6, C11, C12).

use decdn_engine::{
    chain::{Call, ChainEvent, Revert, TxOutcome, channel, channel::EventKind},
    crypto::Signature,
    fault::{Fault, LimitHit},
    ids::{Address, TxTicket},
    io::{Answer, Effect, Input, Notice, Refusal},
    limits::{GROUP, Limits, ORDERS},
    money::{Amount, Nonce},
    order::Order,
    record::{ChannelStatus, Key, Record},
    time::ChainTime,
    wire::{ClientMessage, Message, Voucher},
};

use crate::bench::{Bench, CLIENT, OPERATOR, TOKEN, channel as id, closes};

const HELD: u128 = 700;
const CLOSE: fn() -> Order = || Order::Close(id(0));
const CLAIM: fn() -> Order = || Order::Claim(id(0));
const WITHDRAW: Order = Order::Withdraw { token: TOKEN };

/// A node that has read the chain, with one channel on which this much is held.
fn bench(held: u128) -> Bench {
    let mut bench = Bench::new(Limits::standard(), &[held]);
    bench.hear(bench.block(10, 0), 10, vec![]);
    bench
}

fn order(bench: &mut Bench, order: Order) -> Vec<Effect> {
    bench.feed(Input::Order(order))
}

fn answers(said: &[Effect]) -> Vec<Answer> {
    let found = said.iter().filter_map(|effect| match effect {
        Effect::Notice(Notice::Ordered { answer, .. }) => Some(*answer),
        _ => None,
    });
    found.collect()
}

fn claims(said: &[Effect]) -> Vec<(TxTicket, Amount)> {
    let found = said.iter().filter_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Claim { voucher }), .. } => {
            Some((*ticket, voucher.terms.amount))
        }
        _ => None,
    });
    found.collect()
}

/// The chain says that this was claimed on the channel.
fn claimed(bench: &mut Bench, block: u64, safe: u64) -> Vec<Effect> {
    let kind = EventKind::Claimed { amount: Amount(HELD), nonce: Nonce(1), paid: Amount(HELD) };
    let head = bench.block(block, 0);
    bench.hear(head, safe, vec![ChainEvent::of_channel(head, id(0), kind)])
}

fn withdrawals(said: &[Effect]) -> Vec<TxTicket> {
    let found = said.iter().filter_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::WithdrawCredit { .. }), .. } => Some(*ticket),
        _ => None,
    });
    found.collect()
}

/// The chain says that the channel is closing, by this account.
fn closing(bench: &mut Bench, block: u64, by: Address, safe: u64) -> Vec<Effect> {
    let deadline = ChainTime(bench.node.now.wall.secs() + 48 * 3_600);
    let kind = EventKind::Closing { by, amount: Amount(HELD), nonce: Nonce(1), deadline };
    let head = bench.block(block, 0);
    bench.hear(head, safe, vec![ChainEvent::of_channel(head, id(0), kind)])
}

fn settled(bench: &mut Bench, block: u64, safe: u64) -> Vec<Effect> {
    let (paid, amount) = (Amount(HELD), Amount(HELD));
    let kind = EventKind::Settled { ending: channel::Ending::Finish, amount, paid, refunded: Amount(0) };
    let head = bench.block(block, 0);
    bench.hear(head, safe, vec![ChainEvent::of_channel(head, id(0), kind)])
}

/// The outcome of a transaction; and what the chain says afterwards, up to the block.
fn ends(bench: &mut Bench, ticket: TxTicket, outcome: TxOutcome, head: u64) -> Vec<Effect> {
    let mut said = bench.feed(Input::Tx { ticket, outcome });
    said.extend(bench.hear(bench.block(head, 0), 10, vec![]));
    said
}

fn included(bench: &Bench, block: u64, result: Result<(), channel::Revert>) -> TxOutcome {
    TxOutcome::Included { block: bench.block(block, 0), result: result.map_err(Revert::from) }
}

#[test]
fn v7_a_close_that_is_ordered_is_on_record_before_it_leaves_and_ends_with_its_channel() {
    let mut bench = bench(HELD);
    bench.is_disk_stuck = true;
    bench.feed(Input::Order(CLOSE()));
    let [(_, writes)] = &bench.stuck[..] else { panic!("one write set is wanted") };
    let is_final = |record: &Record| matches!(record, Record::Earning(earning) if earning.status == ChannelStatus::Ending);
    assert!(writes.iter().any(is_final) && writes.contains(&Record::Order(CLOSE())), "{writes:?}");
    bench.unstick();
    assert!(bench.request(0).is_err(), "nothing is served on it any more");
    // The event says that it is done, whoever asks.
    let said = closing(&mut bench, 11, OPERATOR, 10);
    assert_eq!(answers(&said), [Answer::Done { block: 11 }]);
    assert_eq!(bench.node.disk.get(&Key::Order(CLOSE())), Some(&Record::Order(CLOSE())));
    let said = order(&mut bench, CLOSE());
    assert_eq!(answers(&said), [Answer::Refused(Refusal::Closing)]);
    settled(&mut bench, 12, 11);
    assert_eq!(answers(&order(&mut bench, CLOSE())), [Answer::Refused(Refusal::Settled)]);
    assert!(bench.node.disk.contains_key(&Key::Order(CLOSE())), "a fork may bring it back");
    bench.hear(bench.block(13, 0), 12, vec![]);
    let keys = [Key::Earning(id(0)), Key::Order(CLOSE())];
    assert!(!keys.iter().any(|key| bench.node.disk.contains_key(key)), "{:?}", bench.node.disk);
    assert_eq!(answers(&order(&mut bench, CLOSE())), [Answer::Refused(Refusal::Unknown)]);
}

#[test]
fn v7_an_order_is_told_as_taken_once_it_is_durable_and_sent_once() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, CLOSE());
    assert_eq!(answers(&said), [Answer::Taken]);
    let [(ticket, _)] = closes(&said)[..] else { panic!("one close is wanted: {said:?}") };
    // Again, while it is on its way: nothing new.
    let said = order(&mut bench, CLOSE());
    assert_eq!((answers(&said), closes(&said)), (vec![Answer::Taken], vec![]));
    // The transaction is lost: a minute later it is sent again, not before.
    let said = ends(&mut bench, ticket, TxOutcome::Lost, 11);
    assert_eq!(closes(&said), []);
    bench.pass(60);
    let said = bench.hear(bench.block(12, 0), 10, vec![]);
    let [(again, _)] = closes(&said)[..] else { panic!("one close is wanted: {said:?}") };
    assert_ne!(ticket, again);
    // Its block is heard of before its event is: nothing is sent on that.
    let outcome = included(&bench, 14, Ok(()));
    assert_eq!(closes(&ends(&mut bench, again, outcome, 13)), []);
    assert_eq!(answers(&closing(&mut bench, 14, OPERATOR, 10)), [Answer::Done { block: 14 }]);
}

/// Between the record and the transaction; and after the transaction, before anything of it was heard.
#[test]
fn v7_a_restart_neither_loses_a_close_nor_makes_another_of_one_that_is_there() {
    let mut bench = bench(HELD);
    order(&mut bench, CLOSE());
    bench.restart();
    assert_eq!(closes(&bench.feed(Input::Tick)), [], "the chain is looked at first");
    let said = bench.hear(bench.block(11, 0), 10, vec![]);
    assert_eq!(closes(&said).len(), 1, "{said:?}");
    bench.restart();
    let said = closing(&mut bench, 12, OPERATOR, 10);
    assert_eq!((closes(&said), answers(&said)), (vec![], vec![Answer::Done { block: 12 }]));
}

#[test]
fn l1_a_close_that_is_taken_back_is_made_again_after_a_restart_too() {
    let mut bench = bench(HELD);
    order(&mut bench, CLOSE());
    closing(&mut bench, 12, OPERATOR, 10);
    bench.restart();
    // On this branch nobody has closed it.
    let said = bench.hear(bench.block(13, 0), 10, vec![]);
    assert_eq!(closes(&said).len(), 1, "{said:?}");
}

#[test]
fn v7_who_was_overtaken_has_what_it_wanted_and_a_revert_that_stands_is_told() {
    for is_overtaken in [true, false] {
        let mut bench = bench(HELD);
        let said = order(&mut bench, CLOSE());
        let [(ticket, _)] = closes(&said)[..] else { panic!("one close is wanted: {said:?}") };
        let outcome = included(&bench, 12, Err(channel::Revert::AmountNotHigher));
        let said = bench.feed(Input::Tx { ticket, outcome });
        assert_eq!(answers(&said), [], "what its block has is still to be read");
        let said = match is_overtaken {
            true => closing(&mut bench, 12, CLIENT, 10),
            false => bench.hear(bench.block(12, 0), 10, vec![]),
        };
        let reverted = Answer::Reverted(Revert::Channel(channel::Revert::AmountNotHigher));
        assert_eq!(answers(&said), [if is_overtaken { Answer::Done { block: 12 } } else { reverted }]);
        assert_eq!(bench.node.disk.contains_key(&Key::Order(CLOSE())), is_overtaken);
    }
}

/// A client learns of the order by its stream's end, and sends its newest voucher again with its next request.
#[test]
fn v7_what_is_signed_after_the_order_is_taken_and_what_closed_lower_is_disputed() {
    let mut bench = bench(HELD);
    order(&mut bench, CLOSE());
    let newest = Voucher { amount: Amount(HELD + 1), nonce: Nonce(2), signature: Signature([1; 65]) };
    let said = bench.ask_with(0, 4 * GROUP, Some(newest));
    let is_reject = |effect: &Effect| {
        matches!(effect, Effect::Send { message: Message::Client(ClientMessage::VoucherReject(_)), .. })
    };
    assert!(!said.iter().any(is_reject), "{said:?}");
    assert_eq!(bench.node.role.best_voucher(&id(0)), Some((Nonce(2), Amount(HELD + 1))));
    let said = closing(&mut bench, 11, OPERATOR, 10);
    let disputes = |effect: &Effect| matches!(effect, Effect::Tx { call: Call::Channel(channel::Call::Dispute { voucher }), .. } if voucher.terms.nonce == Nonce(2));
    assert!(said.iter().any(disputes), "{said:?}");
}

#[test]
fn v7_an_order_is_carried_out_with_the_best_voucher() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, CLOSE());
    let is_best = |effect: &Effect| {
        matches!(effect, Effect::Tx { call: Call::Channel(channel::Call::Finish { voucher: Some(voucher), .. }), .. }
            if voucher.terms.amount == Amount(HELD))
    };
    assert!(said.iter().any(is_best), "{said:?}");
}

#[test]
fn v7_a_channel_without_a_voucher_is_closed_with_the_empty_one() {
    let mut bench = bench(0);
    let said = order(&mut bench, CLOSE());
    let is_empty = |effect: &Effect| {
        matches!(effect, Effect::Tx { call: Call::Channel(channel::Call::Finish { voucher: None, .. }), .. })
    };
    assert!(said.iter().any(is_empty), "{said:?}");
}

#[test]
fn v7_what_is_not_there_is_refused_and_changes_nothing() {
    let mut bench = bench(HELD);
    let disk = bench.node.disk.clone();
    let said = order(&mut bench, Order::Close(id(9)));
    assert_eq!(answers(&said), [Answer::Refused(Refusal::Unknown)]);
    assert_eq!(bench.node.disk, disk);
}

#[test]
fn c11_a_channel_that_is_finished_settles_at_once_and_what_was_ordered_goes_with_it() {
    let mut bench = bench(HELD);
    order(&mut bench, CLOSE());
    assert_eq!(answers(&settled(&mut bench, 12, 11)), [Answer::Done { block: 12 }]);
    assert!(bench.node.disk.contains_key(&Key::Order(CLOSE())), "a fork may bring it back");
    bench.hear(bench.block(13, 0), 12, vec![]);
    assert!(!bench.node.disk.contains_key(&Key::Order(CLOSE())));
}

#[test]
fn l1_a_finish_that_is_taken_back_is_sent_again() {
    let mut bench = bench(HELD);
    order(&mut bench, CLOSE());
    settled(&mut bench, 12, 11);
    let said = bench.hear_from(Some(12), bench.block(13, 0).into(), 11, vec![]);
    assert_eq!(closes(&said).len(), 1, "{said:?}");
}

#[test]
fn c12_a_claim_is_on_record_until_it_is_safe_and_the_channel_goes_on() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, CLAIM());
    assert_eq!(answers(&said), [Answer::Taken]);
    let [(ticket, amount)] = claims(&said)[..] else { panic!("one claim is wanted: {said:?}") };
    assert_eq!(amount, Amount(HELD));
    assert!(bench.node.disk.contains_key(&Key::Order(CLAIM())));
    assert_eq!(claims(&order(&mut bench, CLAIM())), [], "it is on its way");
    assert!(bench.request(0).is_ok(), "the channel is served");
    // Its block is heard of before its event is: nothing is sent on that.
    let outcome = included(&bench, 12, Ok(()));
    assert_eq!(claims(&ends(&mut bench, ticket, outcome, 11)), []);
    assert_eq!(answers(&claimed(&mut bench, 12, 10)), [Answer::Done { block: 12 }]);
    assert!(bench.node.disk.contains_key(&Key::Order(CLAIM())), "a fork may take it back");
    assert_eq!(claims(&bench.hear(bench.block(13, 0), 12, vec![])), []);
    assert!(!bench.node.disk.contains_key(&Key::Order(CLAIM())));
    assert_eq!(answers(&order(&mut bench, CLAIM())), [Answer::Taken], "it may earn more");
}

#[test]
fn l1_a_claim_that_is_lost_or_taken_back_is_sent_again_after_a_restart_too() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, CLAIM());
    assert_eq!(claims(&ends(&mut bench, claims(&said)[0].0, TxOutcome::Lost, 11)), []);
    bench.pass(60);
    assert_eq!(claims(&bench.hear(bench.block(12, 0), 10, vec![])).len(), 1);
    bench.restart();
    let said = bench.hear(bench.block(13, 0), 10, vec![]);
    let [(ticket, _)] = claims(&said)[..] else { panic!("one claim is wanted: {said:?}") };
    let outcome = included(&bench, 14, Ok(()));
    ends(&mut bench, ticket, outcome, 13);
    claimed(&mut bench, 14, 10);
    let said = bench.hear_from(Some(14), bench.block(15, 0).into(), 10, vec![]);
    assert_eq!(claims(&said).len(), 1, "{said:?}");
}

#[test]
fn c12_what_can_not_be_claimed_is_refused_and_what_closes_meanwhile_says_so() {
    let mut poor = bench(0);
    let disk = poor.node.disk.clone();
    assert_eq!(answers(&order(&mut poor, CLAIM())), [Answer::Refused(Refusal::NothingEarned)]);
    assert_eq!(answers(&order(&mut poor, Order::Claim(id(9)))), [Answer::Refused(Refusal::Unknown)]);
    assert_eq!(poor.node.disk, disk);

    let mut bench = bench(HELD);
    order(&mut bench, CLAIM());
    let said = closing(&mut bench, 11, CLIENT, 10);
    assert_eq!(answers(&said), [Answer::Reverted(Revert::Channel(channel::Revert::NotOpen))]);
    assert!(!bench.node.disk.contains_key(&Key::Order(CLAIM())));
    assert_eq!(answers(&order(&mut bench, CLAIM())), [Answer::Refused(Refusal::Closing)]);
}

#[test]
fn c6_a_withdrawal_is_on_record_until_the_chain_has_done_it() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, WITHDRAW);
    assert_eq!(answers(&said), [Answer::Taken]);
    assert!(bench.node.disk.contains_key(&Key::Order(WITHDRAW)));
    assert_eq!(withdrawals(&said).len(), 1);
    assert_eq!(withdrawals(&order(&mut bench, WITHDRAW)), [], "it is on its way");
    // A restart before anything was heard of it: it is made again, and finds nothing if it was done.
    bench.restart();
    let said = bench.hear(bench.block(11, 0), 10, vec![]);
    let [again] = withdrawals(&said)[..] else { panic!("one is wanted: {said:?}") };
    let outcome = included(&bench, 12, Ok(()));
    let said = bench.feed(Input::Tx { ticket: again, outcome });
    assert_eq!(answers(&said), [Answer::Done { block: 12 }]);
    assert!(!bench.node.disk.contains_key(&Key::Order(WITHDRAW)));
    // The chain takes it back, and it is made once more; what is safe is not.
    let said = bench.hear_from(Some(12), bench.block(13, 0).into(), 10, vec![]);
    let [third] = withdrawals(&said)[..] else { panic!("one is wanted: {said:?}") };
    assert!(bench.node.disk.contains_key(&Key::Order(WITHDRAW)));
    let outcome = included(&bench, 14, Ok(()));
    bench.feed(Input::Tx { ticket: third, outcome });
    bench.hear(bench.block(15, 0), 14, vec![]);
    let said = bench.hear_from(Some(15), bench.block(16, 0).into(), 14, vec![]);
    assert_eq!(withdrawals(&said), []);
}

#[test]
fn c6_a_withdrawal_that_finds_nothing_says_so_and_one_that_is_lost_is_made_again() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, WITHDRAW);
    let [ticket] = withdrawals(&said)[..] else { panic!("one is wanted: {said:?}") };
    assert_eq!(withdrawals(&ends(&mut bench, ticket, TxOutcome::Lost, 11)), []);
    bench.pass(60);
    let said = bench.hear(bench.block(12, 0), 10, vec![]);
    let [ticket] = withdrawals(&said)[..] else { panic!("one is wanted: {said:?}") };
    let outcome = included(&bench, 13, Err(channel::Revert::NothingToWithdraw));
    let said = bench.feed(Input::Tx { ticket, outcome });
    let reason = Revert::Channel(channel::Revert::NothingToWithdraw);
    assert_eq!(answers(&said), [Answer::Reverted(reason)]);
    assert!(!bench.node.disk.contains_key(&Key::Order(WITHDRAW)));
    bench.pass(600);
    assert_eq!(withdrawals(&bench.hear(bench.block(14, 0), 10, vec![])), []);
}

#[test]
fn o11_there_are_so_many_orders_and_no_more() {
    let mut bench = bench(HELD);
    for n in 0..ORDERS {
        let said = order(&mut bench, Order::Withdraw { token: Address::repeat_byte(n as u8) });
        assert_eq!(answers(&said), [Answer::Taken]);
    }
    let said = order(&mut bench, Order::ForceClose(id(9)));
    assert_eq!(answers(&said), [Answer::Refused(Refusal::TooMany)]);
    let is_limit =
        |effect: &Effect| matches!(effect, Effect::Fault(Fault::Limit { limit: LimitHit::Orders, .. }));
    assert!(said.iter().any(is_limit), "{said:?}");
}

#[test]
fn c5_a_strangers_channel_can_be_force_closed() {
    let mut bench = bench(HELD);
    let said = order(&mut bench, Order::ForceClose(id(9)));
    let is_forcing = |effect: &Effect| matches!(effect, Effect::Tx { call: Call::Channel(channel::Call::ForceClose { channel }), .. } if *channel == id(9));
    assert!(said.iter().any(is_forcing) && answers(&said) == [Answer::Taken], "{said:?}");
}
