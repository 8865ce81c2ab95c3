//! Actors that are not honest, one file each. They speak the wire like anybody else.

use std::collections::BTreeMap;

use decdn_engine::roles::config::{ClientConfig, NodeConfig};

use crate::actor::Actor;

/// What an adversary may start from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration of the role that it is, or pretends to be.
    pub role: RoleConfig,
    /// What the scenario says under `with`, drawn for this run.
    pub with: BTreeMap<String, u64>,
}

/// An honest role's configuration.
#[derive(Clone, Debug)]
pub enum RoleConfig {
    /// Of a client.
    Client(ClientConfig),
    /// Of a node.
    Node(NodeConfig),
}

/// The kinds there are, with what each does in one clause.
pub const KINDS: &[(&str, &str)] = &[];

/// An adversary of a kind; `None` where there is no such kind.
pub fn build(_kind: &str, _setup: Setup) -> Option<Box<dyn Actor>> {
    None
}
