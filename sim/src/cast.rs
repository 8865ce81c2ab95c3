//! Who is who in a run: names, parts, accounts and keys.

use std::sync::LazyLock;

use decdn_contracts::EthKey;
use decdn_engine::ids::{Address, NodeId};
use serde::Deserialize;

use crate::actor::ActorId;

/// Somebody who takes part in a run.
#[derive(Clone, Debug)]
pub struct Person {
    /// Its place in the cast.
    pub id: ActorId,
    /// Its name in the scenario.
    pub name: String,
    /// What it plays: one part, or several where a node also buys.
    pub parts: Vec<Part>,
    /// Whether it is an engine role as it is: what oracles protect.
    pub honest: bool,
    /// Its account.
    pub account: Address,
    /// Its network key.
    pub node: NodeId,
    /// Where it starts: the offer ceiling of a node, 0 for a client (D6).
    pub offer_ceiling: u64,
}

impl Person {
    /// Whether this is among what it plays.
    pub fn plays(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }
}

/// What somebody plays, honestly or not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Pays.
    Client,
    /// Is paid.
    Node,
}

/// Everybody who takes part in a run, by [`ActorId`].
#[derive(Clone, Debug, Default)]
pub struct Cast {
    /// In the order of their ids.
    pub people: Vec<Person>,
}

impl Cast {
    /// Somebody.
    pub fn get(&self, id: ActorId) -> &Person {
        &self.people[usize::from(id.0)]
    }

    /// Whose account this is.
    pub fn by_account(&self, account: Address) -> Option<&Person> {
        self.people.iter().find(|person| person.account == account)
    }

    /// Whose network key this is.
    pub fn by_node(&self, node: NodeId) -> Option<&Person> {
        self.people.iter().find(|person| person.node == node)
    }
}

/// An actor's keys: they follow from its place in the cast, on both rungs.
pub fn keys(id: ActorId) -> (EthKey, NodeId) {
    /// Keys cost more than a short run: the first ones are made once.
    static FIRST: LazyLock<Vec<(EthKey, NodeId)>> =
        LazyLock::new(|| (0..8).map(|id| make_keys(ActorId(id))).collect());
    FIRST.get(usize::from(id.0)).cloned().unwrap_or_else(|| make_keys(id))
}

fn make_keys(id: ActorId) -> (EthKey, NodeId) {
    let secret = blake3::derive_key("decdn-sim 2026 actor account", &id.0.to_le_bytes());
    let key = EthKey::from_secret(secret).expect("one in 2^128 secrets is out of range, and these are not");
    (key, NodeId(blake3::derive_key("decdn-sim 2026 actor network key", &id.0.to_le_bytes())))
}
