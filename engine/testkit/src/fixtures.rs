//! Who is who in tests, and what most of them begin with.

use decdn_engine::{
    chain::{BlockRef, ChainEvent, ChainUpdate},
    crypto::{Deployment, Signature},
    delivery::Meter,
    ids::{Address, BlobHash, ChannelId, FetchId, NodeId},
    limits::GROUP,
    money::{Amount, Nonce, Rate},
    order::{Candidate, FetchOrder},
    record::{Best, ChannelStatus, Earning, Paying},
    roles::config::{ClientConfig, NodeConfig, TokenTerms},
    time::Span,
    worth::GasPrice,
};

/// What is paid in.
pub const TOKEN: Address = Address::repeat_byte(0x70);
/// A client's account.
pub const CLIENT: Address = Address::repeat_byte(0xc1);
/// A node's account.
pub const OPERATOR: Address = Address::repeat_byte(0x0e);
/// A blob.
pub const HASH: BlobHash = BlobHash([7; 32]);
/// One unit per byte.
pub const RATE: Rate = Rate(1 << 20);
/// When benches begin, in seconds since the Unix epoch.
pub const START: u64 = 1_700_000_000;

/// A client with the account [`CLIENT`], by the defaults.
pub fn client_config() -> ClientConfig {
    ClientConfig::new(Deployment::default(), NodeId([99; 32]), CLIENT)
}

/// A node with the account [`OPERATOR`] that sells for [`TOKEN`] at this rate, by the defaults.
pub fn node_config(rate: Rate) -> NodeConfig {
    let mut config = NodeConfig::new(Deployment::default(), NodeId([1; 32]), OPERATOR);
    config.tokens.push(TokenTerms::new(TOKEN, rate));
    config
}

/// News of a head that covers all up to it, of a chain that did not fork.
pub fn news(head: impl Into<BlockRef>, safe: u64, events: Vec<ChainEvent>) -> ChainUpdate {
    let head = head.into();
    let (next, forced_inclusion) = (head.number + 1, Span::from_hours(24));
    let gas_price = GasPrice::default();
    let (endpoint, quorum) = (0, None);
    ChainUpdate { head, forked_at: None, safe, events, next, forced_inclusion, gas_price, endpoint, quorum }
}

/// An order of a whole blob for at most [`RATE`], whose channel is not to be kept.
pub fn order(id: u64, hash: BlobHash, candidates: Vec<Candidate>) -> FetchOrder {
    FetchOrder {
        id: FetchId(id),
        hash,
        offset_bytes: 0,
        len_bytes: 0,
        candidates,
        token: TOKEN,
        deposit: Amount(1 << 40),
        cadence_bytes: 16 * GROUP,
        max_rate: RATE,
        keep_channel: false,
    }
}

/// An open channel from [`CLIENT`] with a voucher over this amount, or with none.
pub fn earning(channel: ChannelId, deposit: Amount, amount: Amount, nonce: Nonce) -> Earning {
    let mut meter = Meter::new();
    meter.raise_to(amount);
    let best = Best { amount, nonce, signature: Signature([1; 65]), meter };
    Earning {
        channel,
        client: CLIENT,
        token: TOKEN,
        deposit,
        opened_at_block: 0,
        status: ChannelStatus::Open,
        best: (amount > Amount::ZERO).then_some(best),
    }
}

/// An open channel with this node, on which this much was paid for as much content, or nothing. It is kept.
pub fn paying(channel: ChannelId, candidate: Candidate, opened_at_block: u64, amount: Amount) -> Paying {
    let mut meter = Meter::new();
    meter.raise_to(amount);
    Paying {
        channel,
        node: candidate.node,
        operator: candidate.operator,
        token: TOKEN,
        deposit: Amount(1 << 40),
        opened_at_block,
        status: ChannelStatus::Open,
        is_kept: true,
        nonce: if amount == Amount::ZERO { Nonce::NONE } else { Nonce(1) },
        amount,
        meter,
    }
}
