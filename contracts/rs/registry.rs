//! `NodeList`, which stands in for the bonded registry: bindings, what is set and asked of it, and the model.

use std::collections::BTreeMap;

use alloy_primitives::B256;
use alloy_sol_types::SolCall;
use decdn_engine::{
    chain::Revert,
    ids::{Address, NodeId},
};

use self::sol::NodeList;
use crate::bindings::{Answer, Scene};

/// The bindings as `sol!` generates them.
#[allow(clippy::all, reason = "generated")]
pub mod sol {
    alloy_sol_types::sol!(NodeList, "artifacts/NodeList.json");
}

/// What the contract's owner sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// `NodeList.set`.
    SetNode {
        /// The node's account.
        operator: Address,
        /// Its network key.
        node: NodeId,
        /// Whether clients may open channels with it.
        active: bool,
    },
}

/// What the contract can be asked: yes or no.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// Whether an operator may take new channels.
    IsActive(Address),
}

impl From<Setup> for crate::Setup {
    fn from(setup: Setup) -> Self {
        Self::Registry(setup)
    }
}

impl From<Query> for crate::Query {
    fn from(query: Query) -> Self {
        Self::Registry(query)
    }
}

/// Everything that can be asked about a scene.
pub(crate) fn questions(scene: &Scene<'_>) -> impl Iterator<Item = Query> {
    scene.accounts.iter().copied().map(Query::IsActive)
}

impl Setup {
    pub(crate) fn calldata(&self) -> Vec<u8> {
        match *self {
            Self::SetNode { operator, node, active } => {
                NodeList::setCall { operator, nodeId: B256::from(node.0), active }.abi_encode()
            }
        }
    }
}

impl Query {
    pub(crate) fn calldata(&self) -> Vec<u8> {
        match *self {
            Self::IsActive(operator) => NodeList::isActiveCall { operator }.abi_encode(),
        }
    }
}

/// The model: which operators are active.
#[derive(Clone, Debug, Default)]
pub(crate) struct Nodes(BTreeMap<Address, bool>);

impl Nodes {
    pub(crate) fn is_active(&self, operator: Address) -> bool {
        self.0.get(&operator).copied().unwrap_or_default()
    }

    /// By the owner.
    pub(crate) fn setup(&mut self, setup: &Setup) -> Result<(), Revert> {
        let Setup::SetNode { operator, node, active } = *setup;
        if operator == Address::ZERO || node == NodeId::default() {
            return Err(Revert::Other);
        }
        self.0.insert(operator, active);
        Ok(())
    }

    pub(crate) fn ask(&self, query: &Query) -> Answer {
        let Query::IsActive(operator) = *query;
        Answer::Flag(self.is_active(operator))
    }
}
