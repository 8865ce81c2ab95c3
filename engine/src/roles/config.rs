//! What a role is told once, at its start.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::Deployment,
    ids::{Address, NodeId},
    limits::{GROUP, Limits, OFFER_GROUPS_MIN},
    money::{Amount, DECIMALS, MB, Rate, rate_max},
    time::Span,
};
pub use crate::{dispute::Monitor, machine::Timeouts};

/// See [`ClientConfig::attempts`].
const ATTEMPTS: u8 = 3;

/// See [`ClientConfig::resumes`]. Older recordings don't say it.
const fn resumes() -> bool {
    true
}

/// A client's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientConfig {
    /// Where the contracts are.
    pub deployment: Deployment,
    /// The client's own network key.
    pub node: NodeId,
    /// The client's account.
    pub account: Address,
    /// The block from which to look for its channels where nothing is recorded.
    pub start_block: u64,
    /// The decimals of tokens, where they are not [`DECIMALS`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub decimals: Vec<(Address, u8)>,
    /// Attempts per candidate without progress before it is given up (D10).
    pub attempts: u8,
    /// Whether the owner is asked before money goes into a channel (D16). If not, an order is itself the yes to whatever is
    /// within it.
    #[serde(default)]
    pub asks: bool,
    /// Whether downloads go on by themselves after a start. If not, each waits until its owner orders it again (D17).
    #[serde(default = "resumes")]
    pub resumes: bool,
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
    /// See [`Monitor`].
    pub monitor: Monitor,
    /// See [`Limits`].
    pub limits: Limits,
}

impl ClientConfig {
    /// The defaults for an account at a deployment.
    pub fn new(deployment: Deployment, node: NodeId, account: Address) -> Self {
        Self {
            deployment,
            node,
            account,
            start_block: 0,
            decimals: Vec::new(),
            attempts: ATTEMPTS,
            asks: false,
            resumes: resumes(),
            timeouts: Timeouts::default(),
            monitor: Monitor::default(),
            limits: Limits::standard(),
        }
    }

    /// The highest rate of a token (P6).
    pub fn rate_max(&self, token: Address) -> Rate {
        let known = self.decimals.iter().find(|(other, _)| *other == token);
        rate_max(known.map_or(DECIMALS, |(_, decimals)| *decimals))
    }
}

/// How a node buys, beside what it has in common with what it sells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Buying {
    /// See [`ClientConfig::attempts`].
    pub attempts: u8,
    /// See [`ClientConfig::asks`].
    pub asks: bool,
    /// See [`ClientConfig::resumes`].
    #[serde(default = "resumes")]
    pub resumes: bool,
    /// See [`Timeouts`].
    pub timeouts: Timeouts,
}

impl Default for Buying {
    fn default() -> Self {
        Self { attempts: ATTEMPTS, asks: false, resumes: resumes(), timeouts: Timeouts::default() }
    }
}

/// On which terms a node sells for a token.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenTerms {
    /// The token.
    pub token: Address,
    /// Its decimals.
    pub decimals: u8,
    /// What it charges.
    pub rate: Rate,
    /// What a channel holds at least that it serves on (V4); and what an account may have kept from it, all together, before it
    /// is served no more (X2).
    pub least_deposit: Amount,
    /// Deposits of channels whose opening is not safe yet, all together, that it serves on (V6).
    pub soft_cap: Amount,
    /// It claims once a channel has earned more than this beyond what was claimed (C12).
    pub claim_above: Amount,
    /// What a native coin is worth, in the token's base units: what gas costs it (X2).
    pub coin: Option<Amount>,
}

impl TokenTerms {
    /// Any deposit is enough, up to 50 million base units at once are taken before they are safe, and nothing is claimed.
    pub const fn new(token: Address, rate: Rate) -> Self {
        Self {
            token,
            decimals: DECIMALS,
            rate,
            least_deposit: Amount::ZERO,
            soft_cap: Amount(50_000_000),
            claim_above: Amount::MAX,
            coin: None,
        }
    }
}

/// What a node does by itself with the channels that it earns on (V1, L3, X2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// How long nothing was asked for on a channel that is finished then, or put aside where that does not pay.
    pub idle: Span,
    /// How long after it has served its last a channel is finished that its client has not settled (C4).
    pub finish: Span,
    /// How long after the window's end a close that pays nothing is put aside.
    pub forgo: Span,
    /// How long after that it is forgotten.
    pub forget: Span,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            idle: Span::from_hours(7 * 24),
            finish: Span::from_hours(1),
            forgo: Span::from_hours(24),
            forget: Span::from_hours(90 * 24),
        }
    }
}

/// A node's configuration.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Where the contracts are.
    pub deployment: Deployment,
    /// The node's network key.
    pub node: NodeId,
    /// The operator's account.
    pub account: Address,
    /// The block from which to look for its channels where nothing is recorded.
    pub start_block: u64,
    /// What it sells for: nothing for other tokens.
    pub tokens: Vec<TokenTerms>,
    /// The largest offer it makes (D6): whole groups.
    pub offer_ceiling: u64,
    /// The largest blob it serves.
    pub max_blob_size: u64,
    /// How old the newest head may be while it serves (V1).
    pub head_age_max: Span,
    /// See [`Policy`].
    pub policy: Policy,
    /// How it buys itself.
    #[serde(default)]
    pub buying: Buying,
    /// See [`Monitor`].
    pub monitor: Monitor,
    /// See [`Limits`].
    pub limits: Limits,
}

impl NodeConfig {
    /// The defaults for an operator at a deployment, with no rate set.
    pub fn new(deployment: Deployment, node: NodeId, account: Address) -> Self {
        Self {
            deployment,
            node,
            account,
            start_block: 0,
            tokens: Vec::new(),
            offer_ceiling: 16 * MB,
            max_blob_size: 10 << 30,
            head_age_max: Span::from_secs(15 * 60),
            policy: Policy::default(),
            buying: Buying::default(),
            monitor: Monitor::default(),
            limits: Limits::standard(),
        }
    }

    /// Its terms for a token, if it sells for it.
    pub fn terms(&self, token: Address) -> Option<&TokenTerms> {
        self.tokens.iter().find(|terms| terms.token == token)
    }

    /// The highest rate of a token (P6).
    pub fn rate_max(&self, token: Address) -> Rate {
        rate_max(self.terms(token).map_or(DECIMALS, |terms| terms.decimals))
    }

    /// What it buys itself it buys with the account, the network key and the limits that it sells with.
    pub fn as_client(&self) -> ClientConfig {
        ClientConfig {
            deployment: self.deployment,
            node: self.node,
            account: self.account,
            start_block: self.start_block,
            decimals: self.tokens.iter().map(|terms| (terms.token, terms.decimals)).collect(),
            attempts: self.buying.attempts,
            asks: self.buying.asks,
            resumes: self.buying.resumes,
            timeouts: self.buying.timeouts,
            monitor: self.monitor,
            limits: self.limits.clone(),
        }
    }

    /// The node's answer to a proposed cadence (D6): whole groups, at least four, at most the ceiling.
    pub fn offer_for(&self, proposal: u64) -> u64 {
        let ceiling = self.offer_ceiling / GROUP;
        (proposal / GROUP).min(ceiling).max(OFFER_GROUPS_MIN) * GROUP
    }
}
