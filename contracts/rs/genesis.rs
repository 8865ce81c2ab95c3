//! The chain's first state: which contracts there are, and at which addresses.
//!
//! Addresses follow from the deployer and the order of deployment, as `CREATE` has it, so both backends agree
//! on them without running anything.

#[cfg(feature = "l2")]
use alloy_primitives::Bytes;
use alloy_primitives::{B256, address, keccak256};
use decdn_engine::{crypto::Deployment, ids::Address};

use crate::token;

/// Deploys everything; an account that nobody holds a key of.
pub(crate) const DEPLOYER: Address = address!("dec0000000000000000000000000000000000000");

/// What the chain starts with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Genesis {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Owner of the contracts: allows tokens, lists nodes, sets the window.
    pub owner: Address,
    /// The first dispute window in seconds, 12 to 72 hours.
    pub dispute_window_secs: u64,
    /// The test tokens to deploy, all allow-listed.
    pub tokens: Vec<TokenSpec>,
}

/// A test token.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TokenSpec {
    /// Its name and symbol.
    pub symbol: &'static str,
    /// Its decimals.
    pub decimals: u8,
}

/// A contract that the deployer creates.
#[cfg(feature = "l2")]
pub(crate) struct Creation {
    /// Where it ends up.
    pub(crate) address: Address,
    /// Its creation code.
    pub(crate) code: Bytes,
    /// Its constructor's arguments.
    pub(crate) arguments: Vec<u8>,
}

impl Genesis {
    /// Test USDC, a window of 48 hours, chain id 31,337, and an owner that nobody holds a key of.
    pub fn standard() -> Self {
        Self {
            chain_id: 31_337,
            owner: address!("dec0000000000000000000000000000000000001"),
            dispute_window_secs: 48 * 3_600,
            tokens: vec![TokenSpec { symbol: "USDC", decimals: 6 }],
        }
    }

    /// Where the contracts are. There is no judge yet; its address only names its EIP-712 domain.
    pub fn deployment(&self) -> Deployment {
        Deployment {
            chain_id: self.chain_id,
            registry: created(0),
            payment_channel: created(2),
            judge: address!("dec0000000000000000000000000000000000002"),
        }
    }

    /// The fee split.
    pub fn fee_split(&self) -> Address {
        created(1)
    }

    /// The `index`th token of [`tokens`](Self::tokens); `None` where there are fewer.
    pub fn token(&self, index: usize) -> Option<Address> {
        self.tokens.get(index)?;
        Some(created(3 + u8::try_from(index).ok()?))
    }

    /// The code of test wallets, to which accounts delegate ([`wallet`](crate::wallet)).
    pub fn wallet_code(&self) -> Address {
        created(u8::try_from(3 + self.tokens.len()).expect("the deployer made every one of them"))
    }

    /// What the deployer creates, in order.
    #[cfg(feature = "l2")]
    pub(crate) fn creations(&self) -> Vec<Creation> {
        use alloy_sol_types::SolConstructor as _;

        use crate::bindings::sol::{NodeList, NodeTakesAll, PaymentChannel, TestToken, TestWallet};

        let at = self.deployment();
        let created = |address, code: &Bytes, arguments| Creation { address, code: code.clone(), arguments };
        let nodes = NodeList::constructorCall { owner: self.owner }.abi_encode();
        let channels = PaymentChannel::constructorCall {
            owner: self.owner,
            registry_: at.registry,
            feeSplit_: self.fee_split(),
            disputeWindowSecs: self.dispute_window_secs,
        }
        .abi_encode();
        let mut all = vec![
            created(at.registry, &NodeList::BYTECODE, nodes),
            created(self.fee_split(), &NodeTakesAll::BYTECODE, Vec::new()),
            created(at.payment_channel, &PaymentChannel::BYTECODE, channels),
        ];
        for (token, spec) in self.token_addresses().zip(&self.tokens) {
            let (name_, symbol_) = (spec.symbol.to_owned(), spec.symbol.to_owned());
            let new = TestToken::constructorCall { name_, symbol_, decimals_: spec.decimals };
            all.push(created(token, &TestToken::BYTECODE, new.abi_encode()));
        }
        all.push(created(self.wallet_code(), &TestWallet::BYTECODE, Vec::new()));
        all
    }

    /// Every token's address and EIP-712 domain, in order.
    pub fn token_domains(&self) -> impl Iterator<Item = (Address, B256)> + '_ {
        let domain = |spec: &TokenSpec, token| token::domain(spec.symbol, token, self.chain_id);
        self.token_addresses().zip(&self.tokens).map(move |(token, spec)| (token, domain(spec, token)))
    }

    /// Every token's address, in order.
    pub fn token_addresses(&self) -> impl Iterator<Item = Address> + '_ {
        (0..self.tokens.len()).map_while(|index| self.token(index))
    }
}

/// The address of the contract that the deployer creates with this nonce: the last 20 bytes of
/// keccak256(rlp([deployer, nonce])). Below 128 a nonce is one byte of RLP, zero is the empty string.
fn created(nonce: u8) -> Address {
    assert!(nonce < 0x80, "more contracts than this encoding of their addresses allows");
    let mut rlp = [0; 23];
    rlp[..2].copy_from_slice(&[0xd6, 0x94]);
    rlp[2..22].copy_from_slice(DEPLOYER.as_slice());
    rlp[22] = if nonce == 0 { 0x80 } else { nonce };
    Address::from_slice(&keccak256(rlp)[12..])
}
