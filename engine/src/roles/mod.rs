//! One machine per role; each wires the parts together.

mod check;
pub mod client;
pub mod config;
pub mod node;
mod role;

pub use role::{Reason, Role};

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
    state::{Broken, Digest},
    time::{Now, Time},
};

/// A role of any kind: the one list of them, for whoever runs what it is given.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "a process has one")]
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

    fn check(&self) -> Result<(), Broken> {
        match self {
            Self::Client(client) => client.check(),
            Self::Node(node) => node.check(),
        }
    }
}
