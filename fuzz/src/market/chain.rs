//! A chain that does what it is asked, and may say what it likes.

use decdn_engine::{
    chain::{
        Block, Call, ChainEvent, ChainUpdate,
        channel::{self, Ending, EventKind},
    },
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::{ChainTime, Now, Span},
    worth::GasPrice,
};

use super::{Parties, TOKENS};
use crate::{
    Bytes,
    harness::{STRANGER, odd},
};

const WINDOW_SECS: u64 = 172_800;
/// The most events in one update: one more than a buyer takes.
const EVENTS_MAX: u64 = 5;

pub(crate) struct Chain {
    parties: &'static Parties,
    block: u64,
    log: Vec<ChainEvent>,
    opened: u8,
}

impl Chain {
    pub(super) fn new(parties: &'static Parties) -> Self {
        Self { parties, block: 10, log: Vec::new(), opened: 0 }
    }

    /// A block passes.
    pub(crate) fn pass(&mut self) {
        self.block += 1;
    }

    /// Whether a call is one that only a buyer makes, or about a channel that the buyer has opened.
    pub(crate) fn is_purchase(&self, call: &Call) -> bool {
        let Call::Channel(call) = call else { return true };
        let channel = match *call {
            channel::Call::Open { .. } => return true,
            channel::Call::Dispute { voucher } => voucher.terms.channel,
            channel::Call::Close { channel, .. }
            | channel::Call::Settle { channel }
            | channel::Call::CloseCooperatively { channel, .. } => channel,
            _ => return false,
        };
        (1..=self.opened).any(|number| self.name(number) == channel)
    }

    fn name(&self, number: u8) -> ChannelId {
        ChannelId([self.parties.channels.wrapping_add(number); 32])
    }

    pub(crate) fn block(&self, now: Now) -> Block {
        Block { number: self.block, time: ChainTime(now.wall.secs()) }
    }

    /// A call is included and does what it says.
    pub(crate) fn include(&mut self, now: Now, call: &Call) -> Block {
        self.block += 1;
        let block = self.block(now);
        let deadline = ChainTime(block.time.0 + WINDOW_SECS);
        let zero = (Amount::ZERO, Nonce::NONE);
        let Call::Channel(call) = call else { return block };
        let (channel, kind) = match *call {
            channel::Call::WithdrawCredit { .. }
            | channel::Call::ForceClose { .. }
            | channel::Call::Claim { .. }
            | channel::Call::Finish { .. } => return block,
            channel::Call::Open { node, token, deposit } => {
                self.opened += 1;
                let kind = EventKind::Opened {
                    client: self.parties.buyer,
                    node,
                    token,
                    deposit,
                    window_secs: 172_800,
                };
                (self.name(self.opened), kind)
            }
            channel::Call::Close { channel, voucher } => {
                let (amount, nonce) = voucher.map_or(zero, |v| (v.terms.amount, v.terms.nonce));
                (channel, EventKind::Closing { by: self.parties.buyer, amount, nonce, deadline })
            }
            channel::Call::Dispute { voucher } => {
                let terms = voucher.terms;
                let kind =
                    EventKind::Disputed { by: self.parties.buyer, amount: terms.amount, nonce: terms.nonce };
                (terms.channel, kind)
            }
            channel::Call::Settle { channel } => (
                channel,
                EventKind::Settled {
                    ending: Ending::Window,
                    amount: Amount::ZERO,
                    paid: Amount::ZERO,
                    refunded: Amount::ZERO,
                },
            ),
            channel::Call::CloseCooperatively { channel, voucher, .. } => {
                let paid = voucher.map_or(Amount::ZERO, |v| v.terms.amount);
                (
                    channel,
                    EventKind::Settled {
                        ending: Ending::Consent,
                        amount: paid,
                        paid,
                        refunded: Amount::ZERO,
                    },
                )
            }
        };
        self.log.push(ChainEvent::of_channel(block, channel, kind));
        block
    }

    /// What happened from a block on, and nothing else.
    pub(crate) fn news(&mut self, now: Now, from_block: u64) -> ChainUpdate {
        let events: Vec<_> = self.log.iter().filter(|e| e.block.number >= from_block).copied().collect();
        ChainUpdate {
            head: self.block(now).into(),
            forked_at: None,
            safe: self.block,
            events,
            next: self.block + 1,
            forced_inclusion: Span::from_hours(24),
            gas_price: GasPrice::default(),
            endpoint: 0,
            quorum: None,
        }
    }

    /// The other side closes a channel, low.
    pub(super) fn stale_close(&mut self, now: Now, channel: ChannelId, amount: Amount) {
        self.block += 1;
        let block = self.block(now);
        let deadline = ChainTime(block.time.0 + WINDOW_SECS);
        let kind = EventKind::Closing { by: self.parties.sellers[0].1, amount, nonce: Nonce::NONE, deadline };
        self.log.push(ChainEvent::of_channel(block, channel, kind));
    }

    /// Anything.
    pub(crate) fn lies(&self, input: &mut Bytes<'_>, known: &[ChannelId]) -> ChainUpdate {
        let count = u64::from(input.byte()) % (EVENTS_MAX + 1);
        let events = (0..count).map(|_| lie(self.parties, input, known)).collect();
        let head = Block { number: odd(input), time: ChainTime(odd(input)) };
        let safe = odd(input);
        ChainUpdate {
            head: head.into(),
            forked_at: head.number.is_multiple_of(4).then_some(safe / 2 + head.time.0 % 3),
            safe,
            events,
            // Far enough ahead the buyer hears nothing more: that is what it means, and no question.
            next: odd(input) % 64,
            forced_inclusion: Span(odd(input)),
            gas_price: GasPrice(count),
            endpoint: (count % 3) as u8,
            quorum: None,
        }
    }
}

fn lie(parties: &Parties, input: &mut Bytes<'_>, known: &[ChannelId]) -> ChainEvent {
    let how = input.byte();
    let channel = match known.get(usize::from(how >> 4)) {
        Some(known) => *known,
        None => ChannelId([0xf0 | how >> 4; 32]),
    };
    let block = Block { number: odd(input), time: ChainTime(odd(input)) };
    let amount = |input: &mut Bytes<'_>| match input.byte() {
        0 => Amount::MAX,
        small => Amount(u128::from(small) << (input.byte() % 120)),
    };
    let nonce = Nonce(odd(input));
    let kind = match how % 6 {
        0 | 1 => EventKind::Opened {
            client: if how.is_multiple_of(6) { parties.buyer } else { STRANGER },
            node: parties.sellers[usize::from(input.byte()) % 3].1,
            token: TOKENS[usize::from(input.byte()) % TOKENS.len()],
            deposit: amount(input),
            window_secs: WINDOW_SECS,
        },
        2 => EventKind::Closing {
            by: parties.sellers[0].1,
            amount: amount(input),
            nonce,
            deadline: ChainTime(odd(input)),
        },
        3 => EventKind::Disputed { by: Address::ZERO, amount: amount(input), nonce },
        4 => EventKind::Settled {
            amount: amount(input),
            paid: Amount::ZERO,
            refunded: amount(input),
            ending: [Ending::Window, Ending::Consent, Ending::Finish][usize::from(input.byte()) % 3],
        },
        _ if nonce.0 % 2 == 1 => EventKind::Claimed { amount: Amount::MAX, nonce, paid: amount(input) },
        _ => EventKind::Closing { by: parties.buyer, amount: Amount::ZERO, nonce, deadline: ChainTime(0) },
    };
    ChainEvent::of_channel(block, channel, kind)
}
