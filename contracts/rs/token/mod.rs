//! The test tokens: bindings, what is set and asked of one, what a call costs, and the model.

pub(crate) mod model;

use alloy_primitives::{B256, U256, keccak256};
use alloy_sol_types::SolCall;
use decdn_engine::{
    chain::token::Call,
    crypto::{Deployment, Signature},
    ids::Address,
    money::Amount,
    time::ChainTime,
};

use self::sol::TestToken;
use crate::bindings::{Answer, Malformed, Scene, amount, number};

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

/// A permit for the payment channel (ERC-2612, C13).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permit {
    /// Of what.
    pub token: Address,
    /// Whose money.
    pub owner: Address,
    /// How much.
    pub amount: Amount,
    /// Until when it counts.
    pub deadline: ChainTime,
    /// The owner's.
    pub signature: Signature,
}

impl Permit {
    /// What the owner signs: under the token's domain, with how many permits of the owner it has taken.
    pub fn digest(&self, domain: B256, nonce: u64, at: &Deployment) -> [u8; 32] {
        let kind =
            keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        let words = [
            kind,
            self.owner.into_word(),
            at.payment_channel.into_word(),
            U256::from(self.amount.0).into(),
            U256::from(nonce).into(),
            U256::from(self.deadline.0).into(),
        ];
        let hash = keccak256(words.map(|word| word.0).concat());
        keccak256([&[0x19_u8, 0x01][..], domain.as_slice(), hash.as_slice()].concat()).0
    }
}

/// Asks a token for its EIP-712 domain, one word; only one that takes permits has an answer (ERC-2612).
pub fn ask_domain() -> Vec<u8> {
    TestToken::DOMAIN_SEPARATORCall {}.abi_encode()
}

/// The domain of a test token (EIP-712), whose version is 1.
pub fn domain(name: &str, token: Address, chain_id: u64) -> B256 {
    let words = [
        keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
        keccak256(name),
        keccak256("1"),
        U256::from(chain_id).into(),
        token.into_word(),
    ];
    keccak256(words.map(|word| word.0).concat())
}

/// A signature as the calls of ERC-2612 take it.
pub(crate) fn parts(signature: &Signature) -> (B256, B256, u8) {
    let (r, s) = (B256::from_slice(&signature.0[..32]), B256::from_slice(&signature.0[32..64]));
    (r, s, signature.0[64])
}

/// What a token can be asked: an amount, or a number of permits. An address that is none has none of anybody's money.
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
    /// How many permits of an account it has taken.
    Permits {
        /// Of what.
        token: Address,
        /// Whose.
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
        let of = move |who: &Address| {
            let who = *who;
            [Query::Balance { token, who }, Query::Allowance { token, who }, Query::Permits { token, who }]
        };
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
            Self::Balance { token, .. } | Self::Allowance { token, .. } | Self::Permits { token, .. } => {
                *token
            }
        }
    }

    pub(crate) fn calldata(&self, at: &Deployment) -> (Address, Vec<u8>) {
        match *self {
            Self::Balance { token, who } => (token, TestToken::balanceOfCall { account: who }.abi_encode()),
            Self::Allowance { token, who } => {
                let spender = at.payment_channel;
                (token, TestToken::allowanceCall { owner: who, spender }.abi_encode())
            }
            Self::Permits { token, who } => (token, TestToken::noncesCall { owner: who }.abi_encode()),
        }
    }

    pub(crate) fn answer(&self, output: &[u8]) -> Result<Answer, Malformed> {
        match self {
            Self::Balance { .. } | Self::Allowance { .. } => amount(output).map(Answer::Amount),
            Self::Permits { .. } => number(output).map(Answer::Number),
        }
    }

    /// What an address says that is no token: nothing.
    pub(crate) fn nothing(&self) -> Answer {
        match self {
            Self::Balance { .. } | Self::Allowance { .. } => Answer::Amount(Amount::ZERO),
            Self::Permits { .. } => Answer::Number(0),
        }
    }
}
