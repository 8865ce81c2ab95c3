//! Can nodes and a chain that say anything make a client panic, pay for what it did not get, pay twice, or lose count of
//! itself (D5, D14, V3, V7, O11, O12, O13)?

mod driver;

use decdn_engine::{ids::FetchId, io::Gone, time::Span};

use self::driver::Driver;
use crate::{
    Bytes,
    harness::odd,
    market::{Buyer, CODES},
};

/// A client with orders, and a world that does what `input` says.
pub fn client(input: &[u8]) {
    let mut input = Bytes::new(input);
    let mut driver = Driver::new();
    while !input.is_empty() {
        act(&mut driver, &mut input);
        driver.check();
    }
    driver.end();
}

fn act(driver: &mut Driver, input: &mut Bytes<'_>) {
    let kind = input.byte();
    let choice = usize::from(kind >> 4);
    match kind % 16 {
        0 => driver.good_day(input),
        1 => {
            let id = FetchId(u64::from(input.byte() % 5));
            driver.order(id, input);
        }
        2..=4 => {
            for _ in 0..=choice {
                driver.carry_out(input);
            }
        }
        5 | 6 => driver.talk(input),
        7 | 8 => driver.content(input.byte(), choice as u64 % 8, true),
        9 => driver.content(input.byte(), choice as u64 % 8, false),
        10 => {
            let code = CODES.get(choice % 8).copied();
            driver.close_stream(input.byte(), code);
        }
        11 => {
            let rtt = Span(if choice == 0 { 20_000 } else { odd(input) });
            driver.connected(input.byte(), rtt);
        }
        12 => {
            let why = match choice % 4 {
                0 | 1 => Gone::Lost,
                2 => Gone::WrongPeer,
                _ => Gone::Closed(CODES[usize::from(input.byte()) % CODES.len()]),
            };
            driver.lose(input.byte(), why);
        }
        13 => match choice {
            0..=3 => driver.wait_until_due(),
            4 => driver.crash_and_ask(),
            5 => driver.answer_owner(input.byte()),
            6..=12 => driver.wait(Span::from_millis(u64::from(input.byte()) * 500)),
            _ => driver.wait(Span(odd(input))),
        },
        14 => driver.hear_chain(choice, input),
        _ => match choice {
            0..=6 => driver.answer_tx(input),
            7..=9 => driver.crash(),
            10 | 11 => driver.cancel(FetchId(u64::from(input.byte() % 5))),
            12 | 13 => driver.close_channel(input.byte()),
            14 => driver.change_mood(input.byte()),
            _ => driver.malformed(input.byte(), CODES[usize::from(input.byte()) % CODES.len()]),
        },
    }
}
