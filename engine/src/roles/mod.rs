//! One machine per role; each wires the parts together.

pub mod client;
pub mod config;
pub mod node;

use serde::{Deserialize, Serialize};

use self::{
    client::Client,
    config::{ClientConfig, NodeConfig},
    node::Node,
};
use crate::{
    crypto::Crypto,
    ids::{Address, NodeId},
    io::{Input, Outputs},
    record::Record,
    state::Digest,
    time::{Now, Time},
};

/// Why a role wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// A peer has been silent for too long (D10).
    Silence,
    /// Nothing has arrived for two round trips: sign for what is verified (D8).
    Quiet,
    /// A voucher has no ack yet (V3).
    Resend,
    /// Try again after a back-off.
    Retry,
    /// Read the chain (X1).
    Poll,
    /// Take the forced-inclusion path (X2).
    Force,
    /// The dispute window ends: settle.
    Settle,
    /// A cooperative close got no consent.
    Consent,
    /// An opening is in no block yet.
    Inclusion,
}

/// What all roles have in common: what a driver needs to run one.
pub trait Role {
    /// Takes one input; everything that follows is appended to `out`. Runs to completion.
    fn step<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs);

    /// When `Input::Tick` is due, and why; O(1).
    fn next_deadline(&self) -> Option<(Time, Reason)>;

    /// The fingerprint of the state; O(changes since the last call).
    fn digest(&mut self) -> Digest;
}

/// A role of any kind: the one list of them, for whoever runs what it is given.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one, made at its start")]
pub enum AnyRole {
    /// Buys.
    Client(Client),
    /// Sells.
    Node(Node),
}

/// What a role of any kind is told once, at its start.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Config {
    /// See [`ClientConfig`].
    Client(ClientConfig),
    /// See [`NodeConfig`].
    Node(NodeConfig),
}

impl Config {
    /// What such a role is called.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Client(_) => "client",
            Self::Node(_) => "node",
        }
    }

    /// The role's account.
    pub const fn account(&self) -> Address {
        match self {
            Self::Client(config) => config.account,
            Self::Node(config) => config.account,
        }
    }

    /// The role's network key.
    pub const fn node(&self) -> NodeId {
        match self {
            Self::Client(config) => config.node,
            Self::Node(config) => config.node,
        }
    }
}

impl AnyRole {
    /// A role from its durable records (O12); a fresh one from none.
    pub fn recover(config: Config, records: impl Iterator<Item = Record>) -> Self {
        match config {
            Config::Client(config) => Self::Client(Client::recover(config, records)),
            Config::Node(config) => Self::Node(Node::recover(config, records)),
        }
    }
}

impl Role for AnyRole {
    fn step<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs) {
        match self {
            Self::Client(client) => client.step(now, input, crypto, out),
            Self::Node(node) => node.step(now, input, crypto, out),
        }
    }

    fn next_deadline(&self) -> Option<(Time, Reason)> {
        match self {
            Self::Client(client) => client.next_deadline(),
            Self::Node(node) => node.next_deadline(),
        }
    }

    fn digest(&mut self) -> Digest {
        match self {
            Self::Client(client) => client.digest(),
            Self::Node(node) => node.digest(),
        }
    }
}
