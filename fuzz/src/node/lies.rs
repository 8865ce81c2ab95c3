//! A chain that says anything.

use decdn_engine::{
    chain::{
        Block, ChainEvent,
        channel::{Ending, EventKind},
    },
    ids::ChannelId,
    money::{Amount, Nonce},
    time::ChainTime,
};

use super::{CHANNEL, DEPOSIT, TOKEN};
use crate::{
    Bytes,
    harness::{CLIENT, OPERATOR, STRANGER, odd},
};

/// Something that a chain may say of channels, true or not.
pub(super) fn lie(input: &mut Bytes<'_>) -> ChainEvent {
    let how = input.byte();
    let channel = if how & 0x30 == 0 { CHANNEL } else { ChannelId([0xf0 | how >> 4; 32]) };
    let block = Block { number: odd(input), time: ChainTime(odd(input)) };
    let amount = Amount(if how & 0x80 == 0 { u128::from(odd(input)) } else { u128::MAX });
    let nonce = Nonce(odd(input));
    let kind = match how % 6 {
        // The real channel's terms are what the contract has; others are anybody's.
        0 | 1 if channel == CHANNEL => EventKind::Opened {
            client: CLIENT,
            node: OPERATOR,
            token: TOKEN,
            deposit: DEPOSIT,
            window_secs: 172_800,
        },
        0 | 1 => EventKind::Opened {
            client: match how & 0x40 {
                0 if how.is_multiple_of(6) => CLIENT,
                0 => STRANGER,
                // One that it pays on; or with itself, which no contract forbids to say.
                _ => OPERATOR,
            },
            node: if how & 8 == 0 { OPERATOR } else { STRANGER },
            token: TOKEN,
            deposit: amount,
            window_secs: odd(input),
        },
        2 | 3 => EventKind::Closing { by: CLIENT, amount, nonce, deadline: ChainTime(odd(input)) },
        4 if how & 8 != 0 => EventKind::Claimed { amount, nonce, paid: amount },
        4 => EventKind::Disputed { by: STRANGER, amount, nonce },
        _ => {
            let ending = if how & 8 == 0 { Ending::Consent } else { Ending::Window };
            EventKind::Settled { ending, amount, paid: amount, refunded: Amount::ZERO }
        }
    };
    ChainEvent::of_channel(block, channel, kind)
}
