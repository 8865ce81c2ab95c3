//! What the L2 is like, and what its sequencer does.

use std::collections::BTreeSet;

use decdn_engine::{
    ids::Address,
    time::{Span, WallTime},
};

use crate::backend::Sender;

/// A chain's constants.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// From block to block.
    pub slot: Span,
    /// The wall clock at time zero.
    pub genesis: WallTime,
    /// How far the safe head is behind the soft one.
    pub safe_lag: Span,
    /// From when on a message in the delayed inbox can be forced (L2).
    pub forced_inclusion: Span,
    /// How long a willing sequencer waits before it takes a message from the delayed inbox, so that no L1
    /// reorg takes it back.
    pub inbox_delay: Span,
    /// How far `block.timestamp` may be behind L1, in seconds (L1).
    pub skew_back_secs: i64,
    /// How far it may be ahead.
    pub skew_ahead_secs: i64,
    /// What a unit of gas costs on an ordinary day, in wei.
    pub base_fee: u64,
    /// What L1 takes for a unit of gas for data, in wei.
    pub l1_fee: u64,
}

impl Profile {
    /// Arbitrum One's figures: blocks of 250 ms, 24 h until forced inclusion, timestamps 24 h back to 1 h
    /// ahead, gas at 0.01 gwei; data at 0.1 gwei, ten times that.
    pub const fn arbitrum() -> Self {
        Self {
            slot: Span::from_millis(250),
            genesis: WallTime(1_800_000_000_000_000),
            safe_lag: Span::from_secs(15 * 60),
            forced_inclusion: Span::from_hours(24),
            inbox_delay: Span::from_secs(10 * 60),
            skew_back_secs: 24 * 3_600,
            skew_ahead_secs: 3_600,
            base_fee: 10_000_000,
            l1_fee: 100_000_000,
        }
    }
}

/// What the sequencer does with transactions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Policy {
    /// Includes everything in the next block, and the delayed inbox after a while.
    #[default]
    Honest,
    /// Ignores these accounts. It reads the delayed inbox in order, as it must, so it stops reading it at the
    /// first message of one of them.
    Censor(BTreeSet<Address>),
    /// Ignores what one of these says.
    CensorCalls(Vec<Censored>),
    /// Produces no blocks. Only what is forced is included.
    Down,
}

/// What a sequencer ignores: these calls of these accounts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Censored {
    /// Whose; everybody's where there is none.
    pub accounts: BTreeSet<Address>,
    /// Functions by their selectors; all where there is none.
    pub calls: BTreeSet<[u8; 4]>,
}

impl Censored {
    fn hits(&self, tx: &impl Sender) -> bool {
        let is_theirs = self.accounts.is_empty() || self.accounts.contains(&tx.sender());
        is_theirs && (self.calls.is_empty() || self.calls.contains(&tx.selector()))
    }
}

impl Policy {
    /// Whether it takes a transaction.
    pub(super) fn takes(&self, tx: &impl Sender) -> bool {
        match self {
            Self::Honest => true,
            Self::Censor(accounts) => !accounts.contains(&tx.sender()),
            Self::CensorCalls(rules) => !rules.iter().any(|rule| rule.hits(tx)),
            Self::Down => false,
        }
    }
}
