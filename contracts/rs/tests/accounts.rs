//! The L2's accounts without any contract: nonces, the mempool, replacement, gas and the ether that it is paid from.

use decdn_contracts::{
    Curves, L2, Machine, Profile,
    backend::{Events, Metered, Sender},
    l2::{Refusal, Spike, Terms},
};
use decdn_engine::{
    chain::{Block, ChainEvent},
    crypto::Crypto,
    ids::Address,
    time::Time,
};

const SLOT: u64 = 250_000;
const ETHER: u128 = 1_000_000_000_000_000_000;
const FEE: u128 = 20_000_000;
const LIMIT: u64 = 200_000;

/// Notes what it executed, and what ran out of gas.
#[derive(Clone, Default)]
struct Notes {
    done: Vec<u64>,
    ran_out: Vec<u64>,
}

#[derive(Clone, Copy)]
struct Note {
    from: Address,
    number: u64,
    gas: u64,
}

impl Sender for Note {
    fn sender(&self) -> Address {
        self.from
    }

    fn selector(&self) -> [u8; 4] {
        [0; 4]
    }
}

struct Nothing;

impl Events for Nothing {
    fn events(&self) -> &[ChainEvent] {
        &[]
    }
}

impl Machine for Notes {
    type Tx = Note;
    type Receipt = Nothing;

    fn execute(&mut self, _: Block, tx: &Note, _: &dyn Crypto) -> Nothing {
        self.done.push(tx.number);
        Nothing
    }
}

impl Metered for Notes {
    fn data_bytes(_: &Note) -> u64 {
        // With the envelope 200 bytes.
        90
    }

    fn gas(&self, _: Block, tx: &Note, _: &dyn Crypto) -> u64 {
        tx.gas
    }

    fn run_out(&mut self, _: Block, tx: &Note, _: u64) -> Nothing {
        self.ran_out.push(tx.number);
        Nothing
    }
}

/// What its data takes: 200 bytes of 16, ten times as dear as the L2's own gas.
const DATA: u64 = 200 * 16 * 10;

fn account(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn note(n: u8, number: u64) -> Note {
    Note { from: account(n), number, gas: 50_000 }
}

fn terms(nonce: u64) -> Terms {
    Terms { nonce, gas_limit: LIMIT, max_fee: FEE }
}

fn chain() -> L2<Notes> {
    let mut l2 = L2::new(Notes::default(), Profile::arbitrum());
    l2.keep_accounts();
    [1, 2].into_iter().for_each(|n| l2.set_ether(account(n), ETHER));
    l2
}

fn work(l2: &mut L2<Notes>, now: Time) {
    l2.produce(now, &Curves::new(), |_| 0);
}

#[test]
fn l2_a_transaction_waits_for_those_before_it_and_comes_with_them() {
    let mut l2 = chain();
    let at = Time(10);
    l2.send(at, note(1, 11), terms(1)).expect("it waits");
    assert_eq!(l2.next_block_at(at), None, "nothing can be included");
    l2.send(at, note(1, 10), terms(0)).expect("the one before it");
    l2.send(at, note(2, 20), terms(0)).expect("another account's");
    work(&mut l2, Time(SLOT));
    let mut done = l2.machine().done.clone();
    done.retain(|number| *number != 20);
    assert_eq!(done, [10, 11]);
    assert_eq!((l2.nonce(account(1)), l2.nonce(account(2))), (2, 1));
    assert_eq!(l2.send(at, note(1, 12), terms(1)), Err(Refusal::NonceUsed { next: 2 }));
}

#[test]
fn l2_a_replacement_bids_a_tenth_more_and_the_other_one_is_over() {
    let mut l2 = chain();
    let at = Time(10);
    let first = l2.send(at, note(1, 11), terms(1)).expect("it waits");
    let bids = |max_fee| Terms { max_fee, ..terms(1) };
    let least = FEE * 110 / 100;
    assert_eq!(l2.send(at, note(1, 12), bids(least - 1)), Err(Refusal::Underpriced { least }));
    l2.send(at, note(1, 12), bids(least)).expect("a tenth more");
    assert_eq!(l2.take_dropped(), [first]);
    l2.send(at, note(1, 10), terms(0)).expect("the one before");
    work(&mut l2, Time(SLOT));
    assert_eq!(l2.machine().done, [10, 12]);
}

#[test]
fn l2_gas_is_paid_for_with_its_data_and_whoever_lacks_ether_is_refused() {
    let mut l2 = chain();
    let at = Time(10);
    assert_eq!(l2.estimate(at, &note(1, 10), &Curves::new()), 50_000 + DATA);
    l2.send(at, note(1, 10), terms(0)).expect("it can pay");
    work(&mut l2, Time(SLOT));
    let cost = u128::from(50_000 + DATA) * l2.base_fee(at);
    assert_eq!(l2.ether(account(1)), ETHER - cost, "the base fee, for what it took");
    let needs = u128::from(LIMIT) * FEE;
    l2.set_ether(account(1), needs - 7);
    assert_eq!(l2.send(at, note(1, 11), terms(1)), Err(Refusal::Unaffordable { missing: 7 }));
    l2.set_ether(account(1), needs);
    l2.send(at, note(1, 11), terms(1)).expect("all that it has");
}

#[test]
fn l2_too_little_gas_is_refused_or_used_up_for_nothing() {
    let mut l2 = chain();
    let at = Time(10);
    let limit = |gas_limit| Terms { gas_limit, ..terms(0) };
    assert_eq!(l2.send(at, note(1, 10), limit(DATA - 1)), Err(Refusal::TooLittleGas { least: DATA }));
    l2.send(at, note(1, 10), limit(50_000 + DATA - 1)).expect("a node can't know");
    work(&mut l2, Time(SLOT));
    assert_eq!((l2.machine().done.len(), &l2.machine().ran_out[..]), (0, &[10][..]));
    assert_eq!(l2.nonce(account(1)), 1, "its nonce is used");
    let cost = u128::from(50_000 + DATA - 1) * l2.base_fee(at);
    assert_eq!(l2.ether(account(1)), ETHER - cost, "and paid for");
}

#[test]
fn l2_what_bids_less_than_the_base_fee_waits_until_it_falls() {
    let mut l2 = chain();
    let [from, until] = [Time(0), Time(40 * SLOT)];
    l2.set_spikes(vec![Spike { from, until, times: 100 }]);
    assert_eq!(l2.base_fee(from), 100 * l2.base_fee(until));
    l2.send(Time(10), note(1, 10), terms(0)).expect("it waits");
    assert_eq!(l2.next_block_at(Time(39 * SLOT)), None);
    work(&mut l2, Time(39 * SLOT));
    assert!(l2.machine().done.is_empty());
    assert_eq!(l2.next_block_at(until), Some(until));
    work(&mut l2, until);
    assert_eq!(l2.machine().done, [10]);
}

#[test]
fn l2_a_message_that_is_signed_for_the_l2_does_nothing_once_its_nonce_is_used() {
    let mut l2 = chain();
    let delay = l2.profile().inbox_delay;
    let killed = l2.submit_inbox_signed(Time(10), note(1, 10), terms(0));
    l2.submit_inbox(Time(10), note(1, 11));
    l2.send(Time(20), note(1, 12), terms(0)).expect("ordinary business");
    work(&mut l2, Time(SLOT));
    work(&mut l2, Time(delay.0 + 2 * SLOT));
    assert_eq!(l2.machine().done, [12, 11], "a ticket has no nonce");
    assert_eq!(l2.take_dropped(), [killed.id]);
}

#[test]
fn l2_what_is_undone_gives_its_nonce_and_its_ether_back() {
    let mut l2 = chain();
    l2.keep_soft();
    let id = l2.send(Time(10), note(1, 10), terms(0)).expect("it can pay");
    work(&mut l2, Time(SLOT));
    assert_eq!(l2.undo(Time(2 * SLOT), 0), [id]);
    assert_eq!((l2.nonce(account(1)), l2.ether(account(1))), (0, ETHER));
    assert!(l2.submit_again(Time(2 * SLOT), id));
    work(&mut l2, Time(4 * SLOT));
    assert_eq!(l2.machine().done, [10]);
    assert_eq!(l2.nonce(account(1)), 1);
}
