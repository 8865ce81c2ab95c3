//! Can a chain that lags, forks, leaves out and misdates, or a process that dies, make a role defend a channel with a wrong voucher,
//! lose what it knows of a dispute, or store a cursor that is ahead of what is true (X1, X2, L1, L4, O5, O12)? And once the lies are
//! over, does who can land one transaction in time get the best voucher recorded (O8)?
//!
//! The true chain is beside the role. Endpoints may lie about heads, lag, keep each event back for half a minute at most, lose
//! transactions, and take them without a word. They don't invent events, nor a safe head that is too high: against these a role has
//! no means of its own while one endpoint is asked at a time (L4, docs/protocol.md, section 21).

mod driver;
mod side;
mod truth;

use decdn_engine::{
    chain::{BlockRef, ChainUpdate},
    ids::{Address, ChannelId},
    io::Input,
    money::Amount,
    roles::{client::Client, node::Node},
    time::{ChainTime, Span},
};

use self::{driver::Driver, side::Side};
use crate::{
    Bytes,
    harness::{CLIENT, OPERATOR, odd},
};

const TOKEN: Address = Address::repeat_byte(3);
const DEPOSIT: Amount = Amount(1_000_000);
const CHANNELS: [ChannelId; 2] = [ChannelId([6; 32]), ChannelId([7; 32])];

/// Whose channels there are.
struct Party {
    client: Address,
    node: Address,
    token: Address,
}

const PARTY: Party = Party { client: CLIENT, node: OPERATOR, token: TOKEN };

/// A role with two channels, and a chain that does what `input` says.
pub fn chain(input: &[u8]) {
    let mut input = Bytes::new(input);
    match input.byte() % 2 {
        0 => follow::<Node>(&mut input),
        _ => follow::<Client>(&mut input),
    }
}

fn follow<R: Side>(input: &mut Bytes<'_>) {
    let how = input.byte();
    let amounts = [Amount(500_000), Amount([300, 0, DEPOSIT.0, DEPOSIT.0 - 1][usize::from(how % 4)])];
    let skew = match how >> 4 {
        0..=11 => 0,
        12 => 3_000,
        13 => -36_000,
        14 => 600,
        _ => -600,
    };
    let mut driver = Driver::<R>::new(amounts, skew);
    while !input.is_empty() {
        act(&mut driver, input);
    }
    if how & 4 != 0 {
        driver.crash();
    }
    driver.end(how & 8 != 0);
}

fn act<R: Side>(driver: &mut Driver<R>, input: &mut Bytes<'_>) {
    let kind = input.byte();
    let choice = kind >> 4;
    let channel = CHANNELS[usize::from(choice % 2)];
    match kind % 16 {
        0 | 1 => {
            for _ in 0..=choice {
                driver.carry_out(usize::from(input.byte()), choice == 15);
            }
        }
        2 | 3 => driver.answer(),
        4 => driver.pass(Span::from_secs(u64::from(choice) * 10 + 1)),
        5 => driver.pass(Span::from_secs(u64::from(input.byte()) * 600)),
        6 => driver.pass(driver.bench.until_due().min(Span::from_hours(12))),
        7 => driver.truth.post(truth::UNSAFE_BLOCKS + u64::from(input.byte()) * 64),
        8 => driver.truth.fork(input.below(1 << 24), choice & 1 == 1),
        9 | 10 => {
            let amount = Amount(u128::from(input.below(1 << 20)));
            driver.others(channel, choice >> 1, amount);
        }
        11 => match choice {
            0..=5 => driver.crash(),
            6..=8 => driver.land_orphan(usize::from(input.byte())),
            9 => driver.set_wall(0),
            10 => driver.set_wall(i64::from(input.byte()) * 170),
            11 => driver.set_wall(-i64::from(input.byte()) * 170),
            12 => driver.feed(Input::ChainUnreachable),
            _ => driver.order(input.byte(), channel),
        },
        12 => driver.pay(channel, u64::from(input.byte()) << (choice / 2)),
        13 => {
            if let Some(place) = usize::from(input.byte()).checked_rem(driver.txs.len()) {
                driver.settle(place);
            }
        }
        14 => {
            if let Some(place) = usize::from(input.byte()).checked_rem(driver.txs.len()) {
                let near = driver.truth.head().number + u64::from(input.byte() % 8);
                driver.mislead(place, choice, near);
            }
        }
        _ => lie(driver, choice, input),
    }
}

/// An answer that is right but for what the input changes.
fn lie<R: Side>(driver: &mut Driver<R>, how: u8, input: &mut Bytes<'_>) {
    let from = driver.poll.take().unwrap_or(0);
    let right = driver.truth.head();
    // Whoever lags tells what it knows: of the same branch, and less.
    let lags = if how & 1 == 1 { input.below(1 << 16) } else { 0 };
    let last = right.number.saturating_sub(lags).max(1);
    let forked_at = driver.truth.take_fork();
    let begins = (from.min(forked_at.unwrap_or(u64::MAX)), last);
    let keeps_back = if how & 2 == 2 { input.byte() } else { 0 };
    let mut place = 0;
    let mut events = driver.truth.tell(driver.bench.now.mono, begins, || {
        place += 1;
        keeps_back >> (place % 8) & 1 == 1
    });
    if how & 4 == 4 && events.len() > 1 {
        let middle = usize::from(input.byte()) % events.len();
        events.rotate_left(middle);
    }
    let mut head = BlockRef { number: last, hash: driver.truth.hash(last), time: right.time };
    if how & 8 == 8 {
        match input.byte() % 4 {
            0 => head.number = odd(input),
            1 => head.time = ChainTime(odd(input)),
            2 => {
                head.time =
                    ChainTime(head.time.0.saturating_add_signed(i64::from(input.byte()) * 600 - 76_800))
            }
            _ => head = BlockRef { number: odd(input), time: ChainTime(odd(input)), ..head },
        }
    }
    let lowers = if how & 1 == 1 { input.below(1 << 12) } else { 0 };
    driver.feed(Input::Chain(ChainUpdate {
        head,
        forked_at,
        safe: driver.truth.safe.saturating_sub(lowers),
        events,
        next: last + 1,
        forced_inclusion: if how == 15 { Span(odd(input)) } else { truth::FORCED_INCLUSION },
        endpoint: how % 3,
        ..ChainUpdate::default()
    }));
}
