//! What a node does with its channels by itself: claims, finishes, puts aside, forgets; and what is worth its gas (C4, C12, L3, X2).

use decdn_engine::{
    chain::{Call, ChainEvent, ChainUpdate, Revert, TxOutcome, channel, channel::EventKind},
    ids::{Address, ConnId, NodeId, StreamId, TxTicket},
    io::{Effect, Gone, Input},
    limits::{GROUP, Limits},
    money::{Amount, Nonce},
    order::Order,
    record::{ChannelStatus, Claimed, Key, Record},
    time::{ChainTime, Span},
    wire::{Code, Message, ProbeMessage, ProbeRequest, Protocol},
    worth::{CLAIM_GAS, DISPUTE_GAS, FINISH_GAS, GasPrice, Market, SETTLE_GAS},
};
use decdn_testkit::fixtures::news;

use crate::bench::{Bench, CLIENT, HASH, OPERATOR, TOKEN, channel as id, closes};

/// What a native coin is worth, and what gas costs: so that a finish is worth it for some hundred units.
const COIN: Amount = Amount(3_000_000_000);
const PRICE: GasPrice = GasPrice(1_000_000);
const DAY: u64 = 86_400;

fn cost(gas: u64, price: GasPrice) -> u128 {
    Market { gas_price: price, factor: 2 }.cost(gas, Some(COIN)).0
}

/// A node that has read the chain, with a channel for each of these amounts, under a policy.
fn bench(held: &[u128], change: impl Fn(&mut Bench)) -> Bench {
    let mut bench = Bench::new(Limits::standard(), held);
    bench.config.tokens[0].coin = Some(COIN);
    change(&mut bench);
    bench.restart();
    heads(&mut bench, 10, 10);
    bench
}

/// News of a head, at this price of gas.
fn priced(bench: &mut Bench, number: u64, events: Vec<ChainEvent>, gas_price: GasPrice) -> Vec<Effect> {
    let update = ChainUpdate { gas_price, ..news(bench.block(number, 0), number - 1, events) };
    bench.feed(Input::Chain(update))
}

fn heads(bench: &mut Bench, from: u64, to: u64) -> Vec<Effect> {
    (from..=to).flat_map(|number| priced(bench, number, vec![], PRICE)).collect()
}

fn event(bench: &mut Bench, number: u64, n: u8, kind: EventKind) -> Vec<Effect> {
    let head = bench.block(number, 0);
    priced(bench, number, vec![ChainEvent::of_channel(head, id(n), kind)], PRICE)
}

fn closing(bench: &Bench, amount: u128) -> EventKind {
    let deadline = ChainTime(bench.node.now.wall.secs() + 48 * 3_600);
    EventKind::Closing { by: CLIENT, amount: Amount(amount), nonce: Nonce::NONE, deadline }
}

fn settled(amount: u128) -> EventKind {
    let (paid, ending) = (Amount(amount), channel::Ending::Window);
    EventKind::Settled { ending, amount: paid, paid, refunded: Amount(0) }
}

fn claims(said: &[Effect]) -> Vec<TxTicket> {
    let found = said.iter().filter_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Claim { .. }), .. } => Some(*ticket),
        _ => None,
    });
    found.collect()
}

fn disputes(said: &[Effect]) -> Vec<usize> {
    let found = said.iter().filter_map(|effect| match effect {
        Effect::Tx { call: Call::Channel(channel::Call::Dispute { voucher }), .. } => {
            Some(usize::from(voucher.terms.channel.0[0]))
        }
        _ => None,
    });
    found.collect()
}

fn settlements(said: &[Effect]) -> usize {
    let is_settle = |effect: &&Effect| {
        matches!(effect, Effect::Tx { call: Call::Channel(channel::Call::Settle { .. }), .. })
    };
    said.iter().filter(is_settle).count()
}

fn status(bench: &Bench, n: u8) -> Option<ChannelStatus> {
    match bench.node.disk.get(&Key::Earning(id(n))) {
        Some(Record::Earning(earning)) => Some(earning.status),
        _ => None,
    }
}

fn table(bench: &Bench, name: &str) -> usize {
    bench.node.role.tables().into_iter().find(|(other, _)| *other == name).expect("a table").1
}

#[test]
fn l3_a_channel_that_nobody_asks_on_for_a_week_is_finished_and_not_before() {
    let mut bench = bench(&[cost(FINISH_GAS, PRICE) + 1], |_| {});
    bench.pass(7 * DAY - 1);
    assert_eq!(closes(&heads(&mut bench, 11, 12)), []);
    bench.pass(1);
    let said = heads(&mut bench, 13, 13);
    let [(ticket, channel)] = closes(&said)[..] else { panic!("one finish is wanted: {said:?}") };
    assert_eq!(channel, id(0));
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Ending), "nothing more is served (C4)");
    assert!(bench.node.disk.contains_key(&Key::Order(Order::Close(id(0)))), "it is on record");
    // What the contract would not have is not asked for again by itself.
    let block = bench.block(13, 0);
    let outcome = TxOutcome::Included { block, result: Err(Revert::Other) };
    bench.feed(Input::Tx { ticket, outcome });
    bench.pass(8 * DAY);
    assert_eq!(closes(&heads(&mut bench, 14, 16)), []);
}

#[test]
fn l3_a_channel_in_use_is_not_idle() {
    let mut bench = bench(&[cost(FINISH_GAS, PRICE) + 1], |_| {});
    bench.pass(6 * DAY);
    heads(&mut bench, 11, 11);
    let said = bench.ask(0, 4 * GROUP);
    bench.sign(&said);
    heads(&mut bench, 12, 12);
    bench.feed(Input::Disconnected { conn: ConnId(0), why: Gone::Lost });
    heads(&mut bench, 13, 13);
    bench.pass(6 * DAY);
    assert_eq!(closes(&heads(&mut bench, 14, 14)), []);
    bench.pass(DAY);
    assert_eq!(closes(&heads(&mut bench, 15, 15)).len(), 1);
}

#[test]
fn x2_what_does_not_pay_is_put_aside_and_comes_back_with_the_next_request() {
    let mut bench = bench(&[cost(FINISH_GAS, PRICE)], |_| {});
    bench.pass(7 * DAY);
    assert_eq!(closes(&heads(&mut bench, 11, 11)), []);
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Idle));
    assert_eq!((bench.node.role.channel_count(), table(&bench, "aside")), (0, 1));
    // So it is after a restart.
    bench.restart();
    heads(&mut bench, 11, 12);
    assert_eq!((bench.node.role.channel_count(), table(&bench, "aside")), (0, 1));
    assert_eq!(bench.request(0), Ok(()));
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Open));
    assert_eq!((bench.node.role.channel_count(), table(&bench, "aside")), (1, 0));
}

#[test]
fn x2_a_close_of_what_is_put_aside_is_disputed_where_that_pays() {
    let worth = cost(FINISH_GAS, PRICE);
    assert!(worth > cost(DISPUTE_GAS, PRICE));
    let mut bench = bench(&[worth], |_| {});
    bench.pass(7 * DAY);
    heads(&mut bench, 11, 11);
    let kind = closing(&bench, 0);
    assert_eq!(disputes(&event(&mut bench, 12, 0, kind)), [0]);
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Closing));
}

#[test]
fn x2_an_owner_may_close_what_is_put_aside() {
    let mut bench = bench(&[cost(FINISH_GAS, PRICE)], |_| {});
    bench.pass(7 * DAY);
    heads(&mut bench, 11, 11);
    assert_eq!(closes(&bench.feed(Input::Order(Order::Close(id(0))))).len(), 1);
}

#[test]
fn c4_who_consented_finishes_an_hour_later() {
    let mut bench = bench(&[cost(FINISH_GAS, PRICE) + 1], |_| {});
    let Some(Record::Earning(earning)) = bench.node.disk.get_mut(&Key::Earning(id(0))) else { panic!() };
    earning.status = ChannelStatus::Final;
    bench.restart();
    heads(&mut bench, 11, 11);
    bench.pass(3_599);
    assert_eq!(closes(&heads(&mut bench, 12, 12)), []);
    bench.pass(1);
    assert_eq!(closes(&heads(&mut bench, 13, 13)).len(), 1);
}

#[test]
fn c12_what_was_earned_beyond_the_cap_is_claimed_and_only_that() {
    let cap = cost(CLAIM_GAS, PRICE);
    let held = cost(FINISH_GAS, PRICE) + 1;
    let mut bench = bench(&[cap, held], |it| it.config.tokens[0].claim_above = Amount(cap));
    // What the disk has is looked at with the first news; of two one has passed the cap.
    bench.restart();
    let said = heads(&mut bench, 11, 11);
    assert_eq!(claims(&said).len(), 1, "{said:?}");
    let kind = EventKind::Claimed { amount: Amount(held), nonce: Nonce(1), paid: Amount(held) };
    event(&mut bench, 12, 1, kind);
    let stored = |bench: &Bench| match bench.node.disk.get(&Key::Claimed(id(1))) {
        Some(Record::Claimed(claimed)) => claimed.amount.0,
        _ => 0,
    };
    assert_eq!(stored(&bench), held);
    // So it is after a restart: nothing is claimed twice, and nothing is left to finish for.
    bench.restart();
    event(&mut bench, 12, 1, kind);
    bench.pass(7 * DAY);
    let said = heads(&mut bench, 13, 14);
    assert_eq!((claims(&said).len(), closes(&said).len()), (0, 0), "{said:?}");
    bench.pass(7 * DAY);
    let said = heads(&mut bench, 15, 15);
    assert_eq!(closes(&said), [], "{said:?}");
    assert_eq!(status(&bench, 1), Some(ChannelStatus::Idle));
}

#[test]
fn c12_a_claim_that_a_fork_took_back_is_made_again() {
    let mut bench = bench(&[1_000], |it| {
        it.config.tokens[0].claim_above = Amount(999);
        it.config.tokens[0].coin = None;
    });
    // It was sent with the first news.
    let outcome = TxOutcome::Included { block: bench.block(11, 0), result: Ok(()) };
    bench.feed(Input::Tx { ticket: TxTicket(1), outcome });
    let kind = EventKind::Claimed { amount: Amount(1_000), nonce: Nonce(1), paid: Amount(1_000) };
    let head = bench.block(11, 0);
    bench.hear(head, 10, vec![ChainEvent::of_channel(head, id(0), kind)]);
    let head = bench.block(13, 0);
    assert_eq!(claims(&bench.hear(head, 10, vec![])).len(), 0);
    let stored = |amount| Record::Claimed(Claimed { channel: id(0), amount: Amount(amount) });
    assert_eq!(bench.node.disk.get(&Key::Claimed(id(0))), Some(&stored(1_000)));
    assert_eq!(claims(&bench.hear_from(Some(11), head.into(), 10, vec![])).len(), 1);
    assert_eq!(bench.node.disk.get(&Key::Claimed(id(0))), Some(&stored(0)));
}

#[test]
fn x2_dust_is_not_disputed_until_gas_is_cheap_enough() {
    let held = cost(DISPUTE_GAS, PRICE);
    let mut bench = bench(&[held], |_| {});
    let kind = closing(&bench, 0);
    assert_eq!(disputes(&event(&mut bench, 11, 0, kind)), [0; 0]);
    assert_eq!(disputes(&heads(&mut bench, 12, 13)), [0; 0]);
    assert_eq!(disputes(&priced(&mut bench, 14, vec![], GasPrice(PRICE.0 / 2))), [0]);
}

#[test]
fn x2_the_most_valuable_goes_first() {
    let least = cost(DISPUTE_GAS, PRICE);
    let mut bench = bench(&[least + 2, least + 9, least, least + 4], |_| {});
    let head = bench.block(11, 0);
    let events = (0..4).map(|n| ChainEvent::of_channel(head, id(n), closing(&bench, 0))).collect();
    assert_eq!(disputes(&priced(&mut bench, 11, events, PRICE)), [1, 3, 0]);
}

#[test]
fn x2_whoever_kept_more_than_a_least_deposit_is_served_no_more() {
    let held = cost(DISPUTE_GAS, PRICE);
    let mut bench = bench(&[held, held, 0], |it| it.config.tokens[0].least_deposit = Amount(2 * held - 1));
    let keeps = |bench: &mut Bench, n: u8, block: u64| {
        let kind = closing(bench, 0);
        assert_eq!(disputes(&event(bench, block, n, kind)), [0; 0]);
        event(bench, block + 1, n, settled(0));
    };
    keeps(&mut bench, 0, 11);
    assert_eq!(bench.request(2), Ok(()));
    keeps(&mut bench, 1, 13);
    assert_eq!(bench.request(2), Err(Code::NotNow));
    let forgone = bench.node.disk.get(&Key::Forgone(CLIENT, TOKEN));
    assert!(matches!(forgone, Some(Record::Forgone(it)) if it.amount == Amount(2 * held)), "{forgone:?}");
    bench.restart();
    heads(&mut bench, 15, 16);
    assert_eq!(bench.request(2), Err(Code::NotNow), "a restart forgives nothing");
}

#[test]
fn x2_a_settlement_that_costs_more_than_it_pays_is_not_sent() {
    let pays = cost(SETTLE_GAS, PRICE);
    let mut bench = bench(&[pays, pays + 1], |_| {});
    for n in 0..2 {
        let kind = closing(&bench, pays + u128::from(n));
        event(&mut bench, 11 + u64::from(n), n, kind);
    }
    bench.pass(48 * 3_600 + 601);
    let mut said = heads(&mut bench, 13, 13);
    said.extend(bench.feed(Input::Tick));
    assert_eq!(settlements(&said), 1, "{said:?}");
}

#[test]
fn l3_a_close_that_pays_nothing_holds_the_cursor_for_a_day_and_is_forgotten_after_ninety() {
    let mut bench = bench(&[0], |_| {});
    let kind = closing(&bench, 0);
    event(&mut bench, 11, 0, kind);
    let cursor = |bench: &Bench| match bench.node.disk.get(&Key::Cursor) {
        Some(Record::Cursor(block)) => *block,
        _ => 0,
    };
    bench.pass(48 * 3_600 + DAY - 1);
    heads(&mut bench, 12, 13);
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Closing));
    bench.pass(1);
    heads(&mut bench, 14, 14);
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Forgone));
    assert_eq!((bench.node.role.channel_count(), table(&bench, "aside")), (0, 1));
    for number in [2_000, 2_001, 2_002] {
        bench.pass(600);
        heads(&mut bench, number, number);
    }
    assert!(cursor(&bench) > 11, "{}", cursor(&bench));
    bench.restart();
    heads(&mut bench, 2_003, 2_003);
    assert_eq!(table(&bench, "aside"), 1);
    bench.pass(90 * DAY);
    heads(&mut bench, 2_004, 2_005);
    assert_eq!((status(&bench, 0), table(&bench, "aside")), (None, 0));
}

#[test]
fn l3_a_close_that_was_given_up_is_settled_by_whom_it_pays() {
    let mut bench = bench(&[0], |it| it.config.policy.forgo = Span(0));
    let kind = closing(&bench, 0);
    event(&mut bench, 11, 0, kind);
    bench.pass(48 * 3_600);
    heads(&mut bench, 12, 13);
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Forgone));
    event(&mut bench, 14, 0, settled(0));
    heads(&mut bench, 15, 16);
    assert_eq!((status(&bench, 0), table(&bench, "aside")), (None, 0));
}

#[test]
fn v4_a_channel_below_the_least_deposit_is_refused_in_writing() {
    let mut bench = bench(&[0], |it| it.config.tokens[0].least_deposit = Amount(1_000_001));
    let said = bench.ask(0, 4 * GROUP);
    let said = bench.sign(&said);
    let is_refusal = |effect: &Effect| format!("{effect:?}").contains("ChannelInsufficient");
    assert!(said.iter().any(is_refusal), "{said:?}");
}

#[test]
fn v4_the_least_deposit_is_told_before_money_moves() {
    let mut bench = bench(&[], |it| it.config.tokens[0].least_deposit = Amount(5));
    bench.feed(Input::Connected {
        conn: ConnId(1),
        peer: NodeId([8; 32]),
        protocol: Protocol::Probe,
        rtt: Span(1),
    });
    let least = |bench: &mut Bench, token| {
        let (requester, timestamp) = (CLIENT, bench.node.now.wall);
        let message = ProbeMessage::Request(ProbeRequest { hash: HASH, token, requester, timestamp }).into();
        let stream = StreamId { conn: ConnId(1), index: bench.next_index() };
        let said = bench.feed(Input::Message { stream, message });
        let said = bench.sign(&said);
        let found = said.iter().find_map(|effect| match effect {
            Effect::Send { message: Message::Probe(ProbeMessage::Response(response)), .. } => Some(*response),
            _ => None,
        });
        found.expect("an answer").least_deposit
    };
    assert_eq!(least(&mut bench, TOKEN), Amount(5));
    assert_eq!(least(&mut bench, Address::repeat_byte(9)), Amount(0), "it is not sold for that");
}

#[test]
fn x2_only_its_client_brings_a_channel_back() {
    let mut bench = bench(&[cost(FINISH_GAS, PRICE)], |_| {});
    bench.pass(7 * DAY);
    heads(&mut bench, 11, 11);
    bench.requester = OPERATOR;
    assert_eq!(bench.request(0), Err(Code::ChannelPending));
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Idle));
    bench.requester = CLIENT;
    assert_eq!(bench.request(0), Ok(()));
}

#[test]
fn x2_what_a_finish_leaves_behind_nobody_has_kept() {
    let mut bench = bench(&[1_000, 0], |_| {});
    let kind = EventKind::Settled {
        ending: channel::Ending::Finish,
        amount: Amount(400),
        paid: Amount(400),
        refunded: Amount(0),
    };
    event(&mut bench, 11, 0, kind);
    assert_eq!(bench.request(1), Ok(()));
    assert_eq!(table(&bench, "forgone"), 0);
}

#[test]
fn l3_a_head_that_runs_ahead_gives_nothing_up() {
    let held = cost(DISPUTE_GAS, PRICE) + 1;
    let mut bench = bench(&[held], |_| {});
    let kind = closing(&bench, 0);
    assert_eq!(disputes(&event(&mut bench, 11, 0, kind)), [0]);
    let lost = |bench: &mut Bench, n| {
        bench.feed(Input::Tx { ticket: TxTicket(n), outcome: TxOutcome::Lost });
    };
    lost(&mut bench, 1);
    // By its own clock the window is not over: what an endpoint says of the time silences no dispute.
    let late = |bench: &mut Bench, number| {
        let head = bench.block(number, 48 * 3_600 + DAY as i64);
        let update = ChainUpdate { gas_price: PRICE, ..news(head, number - 1, vec![]) };
        bench.feed(Input::Chain(update))
    };
    for number in 12..16 {
        bench.pass(40);
        late(&mut bench, number);
    }
    assert_eq!(status(&bench, 0), Some(ChannelStatus::Closing));
    // By both it is: it is given up, and what it was worth is counted.
    bench.pass(48 * 3_600 + DAY);
    heads(&mut bench, 16, 17);
    assert_eq!((status(&bench, 0), table(&bench, "forgone")), (Some(ChannelStatus::Forgone), 1));
}
