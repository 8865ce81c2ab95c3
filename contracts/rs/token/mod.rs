//! The test tokens: bindings, what is set and asked of one, what a call costs, and the model.

pub(crate) mod model;

use alloy_primitives::U256;
use alloy_sol_types::SolCall;
use decdn_engine::{chain::token::Call, crypto::Deployment, ids::Address, money::Amount};

use self::sol::TestToken;
use crate::bindings::Scene;

/// The bindings as `sol!` generates them.
#[allow(clippy::all, reason = "generated")]
pub mod sol {
    alloy_sol_types::sol!(TestToken, "artifacts/TestToken.json");
}

/// Test money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// `TestToken.mint`, open to everyone.
    Mint {
        /// The token.
        token: Address,
        /// Who gets it.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// `TestToken.transfer` from the sender.
    Transfer {
        /// The token.
        token: Address,
        /// Who gets it.
        to: Address,
        /// How much.
        amount: Amount,
    },
}

/// What a token can be asked: an amount. An address that is none has none of anybody's money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// What an account holds.
    Balance {
        /// Of what.
        token: Address,
        /// Who.
        who: Address,
    },
    /// What an account lets the payment channel take.
    Allowance {
        /// Of what.
        token: Address,
        /// Who.
        who: Address,
    },
}

impl From<Setup> for crate::Setup {
    fn from(setup: Setup) -> Self {
        Self::Token(setup)
    }
}

impl From<Query> for crate::Query {
    fn from(query: Query) -> Self {
        Self::Token(query)
    }
}

/// The token that a call goes to, and its calldata.
pub(crate) fn calldata(call: &Call, at: &Deployment) -> (Address, Vec<u8>) {
    match call {
        Call::Approve { token, amount } => {
            let (spender, value) = (at.payment_channel, U256::from(amount.0));
            (*token, TestToken::approveCall { spender, value }.abi_encode())
        }
    }
}

/// Execution gas of a call that succeeds.
pub(crate) const fn typical_gas(call: &Call) -> u64 {
    match call {
        Call::Approve { .. } => 46_000,
    }
}

/// Everything that can be asked about a scene.
pub(crate) fn questions(scene: &Scene<'_>) -> impl Iterator<Item = Query> {
    scene.tokens.iter().flat_map(|token| {
        let token = *token;
        let of =
            move |who: &Address| [Query::Balance { token, who: *who }, Query::Allowance { token, who: *who }];
        scene.accounts.iter().flat_map(of)
    })
}

impl Setup {
    pub(crate) fn calldata(&self) -> (Address, Vec<u8>) {
        match *self {
            Self::Mint { token, to, amount } => {
                (token, TestToken::mintCall { to, amount: U256::from(amount.0) }.abi_encode())
            }
            Self::Transfer { token, to, amount } => {
                (token, TestToken::transferCall { to, value: U256::from(amount.0) }.abi_encode())
            }
        }
    }
}

impl Query {
    /// The token that is asked.
    pub fn token(&self) -> Address {
        match self {
            Self::Balance { token, .. } | Self::Allowance { token, .. } => *token,
        }
    }

    pub(crate) fn calldata(&self, at: &Deployment) -> (Address, Vec<u8>) {
        match *self {
            Self::Balance { token, who } => (token, TestToken::balanceOfCall { account: who }.abi_encode()),
            Self::Allowance { token, who } => {
                let spender = at.payment_channel;
                (token, TestToken::allowanceCall { owner: who, spender }.abi_encode())
            }
        }
    }
}
