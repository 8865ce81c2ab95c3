//! The chain as the driver asks for it: over JSON-RPC, with the role's account.
//!
//! What an endpoint says is checked for being possible, never believed beyond that (L4): amounts that do not
//! fit, logs of other contracts or outside the asked range, and statuses that do not exist make the whole
//! answer void.

pub(crate) mod account;
mod allowance;
pub mod alloy;
mod bidding;
mod endpoint;
pub mod inbox;
mod logs;
mod purse;
mod reader;
mod several;
mod submit;
mod survey;
mod told;

use std::{fmt, time::Duration};

use alloy_primitives::{Address, U256};
use decdn_contracts::bindings::Malformed;
use decdn_engine::{
    chain::{Revert, channel},
    time::Span,
};

pub use self::{
    alloy::AlloyChain,
    purse::{Purse, Spending},
    survey::{Survey, SurveyError, Token},
};

/// How the chain is used.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// The first block that may hold a channel of this account.
    pub start_block: u64,
    /// Blocks in one request for logs.
    pub log_blocks: u64,
    /// Events in one answer to the engine: `limits.chain_events`.
    pub events_max: usize,
    /// How often to look for a transaction's receipt.
    pub receipt_poll: Duration,
    /// How long to look, for a transaction that went to the sequencer.
    pub patience: Duration,
    /// How long to look before more is offered.
    pub raise_after: Duration,
    /// Gas that a transaction may use where there is no estimate. One is a start: what runs out of gas goes out again with twice as much.
    pub gas_limit: u64,
    /// The most to pay per unit of gas, in wei.
    pub max_fee_per_gas: u128,
    /// The most that a transaction may cost in all, in wei, if there is such a limit.
    pub max_cost: Option<u128>,
    /// How to get at the L1's delayed inbox.
    pub inbox: Inbox,
    /// The forced-inclusion delay where the inbox can't be asked.
    pub forced_inclusion: Span,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            start_block: 0,
            log_blocks: 10_000,
            events_max: 4_096,
            receipt_poll: Duration::from_millis(250),
            patience: Duration::from_secs(120),
            raise_after: bidding::RAISE_AFTER,
            gas_limit: 2_000_000,
            max_fee_per_gas: 100_000_000_000,
            max_cost: None,
            inbox: Inbox::None,
            forced_inclusion: Span::from_hours(24),
        }
    }
}

/// The way into the L1's delayed inbox (L2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inbox {
    /// There is none: transactions on that route are lost.
    None,
    /// The devnet's methods.
    Devnet,
}

/// Why the chain can't be read, or a transaction not be made.
#[derive(Debug)]
pub enum ChainError {
    /// The address is no URL.
    Url(String),
    /// The endpoint did not answer, or answered with an error.
    Endpoint(String),
    /// The endpoint answered with something that the contract can't have produced.
    Malformed(Malformed),
    /// The endpoint's answer contradicts itself or the question.
    Nonsense(&'static str),
    /// There is no way into the delayed inbox, or none for this call.
    NoInbox,
    /// The dispute account can't pay for what is to be done on the L1.
    Unfunded {
        /// Which account that is.
        account: Address,
        /// What it has, in wei.
        has: U256,
        /// What it needs.
        needs: U256,
    },
    /// The chain took a transaction and undid it.
    Reverted {
        /// What it was to do.
        what: &'static str,
        /// Why, as far as it can be told.
        why: Revert,
    },
}

impl fmt::Display for ChainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => {
                write!(f, "{url:?} is no URL; an RPC endpoint looks like http://127.0.0.1:8545")
            }
            Self::Endpoint(why) => write!(f, "the RPC endpoint failed: {why}"),
            Self::Malformed(what) => write!(f, "the RPC endpoint answered with {what}"),
            Self::Nonsense(what) => write!(f, "the RPC endpoint answered with {what}"),
            Self::Reverted { what, why: Revert::Channel(channel::Revert::TransferFailed) } => write!(
                f,
                "{what} was reverted because the token did not move, so its allowance for the payment channel or the \
                 balance is too low"
            ),
            Self::Reverted { what, why: Revert::Channel(why) } => write!(f, "{what} was reverted ({why:?})"),
            Self::Reverted { what, why } => write!(f, "{what} was reverted ({why:?})"),
            Self::Unfunded { account, has, needs } => write!(
                f,
                "the dispute account {account} can't pay for a dispute, which takes {} ether on the L1 now; send it {} ether \
                 more there",
                inbox::ether(*needs),
                inbox::ether(needs.saturating_sub(*has))
            ),
            Self::NoInbox => f.write_str("no way into the L1's delayed inbox is configured"),
        }
    }
}

impl std::error::Error for ChainError {}

impl From<Malformed> for ChainError {
    fn from(what: Malformed) -> Self {
        Self::Malformed(what)
    }
}
