//! The two roles as this target sees them: who holds a voucher over how much, by what is on its disk.

use decdn_engine::{
    crypto::{Deployment, Signature},
    delivery::Meter,
    ids::{Address, ChannelId, NodeId},
    limits::Limits,
    money::{Amount, Nonce, Rate},
    record::{Best, ChannelStatus, Earning, Key, Paying, Record},
    roles::{
        Role,
        client::Client,
        config::{ClientConfig, NodeConfig, TokenTerms},
        node::Node,
    },
    time::Span,
};
use decdn_testkit::signature;

use super::{DEPOSIT, TOKEN};
use crate::harness::{CLIENT, OPERATOR};

/// A node's channels pay a client's.
pub(super) const SELLER: NodeId = NodeId([1; 32]);
pub(super) const PAYER: NodeId = NodeId([2; 32]);

/// Blocks are read this often, so that two days are few polls.
const POLL: Span = Span::from_secs(600);

fn limits() -> Limits {
    Limits { channels: 4, chain_events: 8, ..Limits::standard() }
}

/// What is held of a channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Holding {
    pub(super) nonce: Nonce,
    pub(super) amount: Amount,
    /// `None` where it is signed when it is needed.
    pub(super) signature: Option<Signature>,
}

impl Holding {
    /// What the contract records of it at most (C7).
    pub(super) fn worth(&self) -> Amount {
        self.amount.min(DEPOSIT)
    }
}

/// A role that holds vouchers.
pub(super) trait Side: Role + Clone {
    /// Its account.
    const ACCOUNT: Address;
    /// The other side of its channels.
    const OTHER: Address;
    /// The number by which its signatures are known.
    const SIGNER: u8;
    /// Whether its vouchers are another's, and may become more.
    const IS_PAID: bool;

    fn start(records: impl Iterator<Item = Record>) -> Self;

    fn key(channel: ChannelId) -> Key;

    /// An open channel with a voucher over this amount.
    fn record(channel: ChannelId, amount: Amount) -> Record;

    fn holding(record: &Record) -> Option<Holding>;
}

/// Enough was sent for this amount.
fn meter(amount: Amount) -> Meter {
    let mut meter = Meter::new();
    meter.raise_to(amount);
    meter
}

fn nonce(amount: Amount) -> Nonce {
    if amount == Amount::ZERO { Nonce::NONE } else { Nonce(1) }
}

impl Side for Node {
    const ACCOUNT: Address = OPERATOR;
    const OTHER: Address = CLIENT;
    const SIGNER: u8 = 1;
    const IS_PAID: bool = true;

    fn start(records: impl Iterator<Item = Record>) -> Self {
        let mut config = NodeConfig::new(Deployment::default(), SELLER, OPERATOR);
        config.tokens = vec![TokenTerms { soft_cap: Amount::MAX, ..TokenTerms::new(TOKEN, Rate(1 << 20)) }];
        config.limits = limits();
        config.monitor.poll = POLL;
        Self::recover(config, records)
    }

    fn key(channel: ChannelId) -> Key {
        Key::Earning(channel)
    }

    fn record(channel: ChannelId, amount: Amount) -> Record {
        let best = Best { amount, nonce: nonce(amount), signature: signature(0), meter: meter(amount) };
        Record::Earning(Earning {
            channel,
            client: CLIENT,
            token: TOKEN,
            deposit: DEPOSIT,
            opened_at_block: 1,
            status: ChannelStatus::Open,
            best: (amount > Amount::ZERO).then_some(best),
        })
    }

    fn holding(record: &Record) -> Option<Holding> {
        let Record::Earning(earning) = record else { return None };
        let best = earning.best.map(|best| (best.nonce, best.amount, Some(best.signature)));
        let (nonce, amount, signature) = best.unwrap_or((Nonce::NONE, Amount::ZERO, None));
        Some(Holding { nonce, amount, signature })
    }
}

impl Side for Client {
    const ACCOUNT: Address = CLIENT;
    const OTHER: Address = OPERATOR;
    const SIGNER: u8 = 0;
    const IS_PAID: bool = false;

    fn start(records: impl Iterator<Item = Record>) -> Self {
        let mut config = ClientConfig::new(Deployment::default(), PAYER, CLIENT);
        config.limits = limits();
        config.monitor.poll = POLL;
        Self::recover(config, records)
    }

    fn key(channel: ChannelId) -> Key {
        Key::Paying(channel)
    }

    fn record(channel: ChannelId, amount: Amount) -> Record {
        Record::Paying(Paying {
            channel,
            node: SELLER,
            operator: OPERATOR,
            token: TOKEN,
            deposit: DEPOSIT,
            opened_at_block: 1,
            status: ChannelStatus::Open,
            is_kept: true,
            nonce: nonce(amount),
            amount,
            meter: meter(amount),
        })
    }

    fn holding(record: &Record) -> Option<Holding> {
        let Record::Paying(paying) = record else { return None };
        Some(Holding { nonce: paying.nonce, amount: paying.amount, signature: None })
    }
}
