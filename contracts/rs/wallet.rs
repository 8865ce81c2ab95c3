//! The test wallet, to whose code an account delegates (EIP-7702): bindings, what is set, and the model.

use std::collections::BTreeMap;

use alloy_sol_types::SolCall;
use decdn_engine::ids::Address;

use self::sol::TestWallet;

/// The bindings as `sol!` generates them.
#[allow(clippy::all, reason = "generated")]
pub mod sol {
    alloy_sol_types::sol!(TestWallet, "artifacts/TestWallet.json");
}

/// What an account does to itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// The sender's account delegates to the test wallet's code (EIP-7702), and the wallet takes signatures of this key, under
    /// ERC-1271, and of no other. Zero: of nobody.
    Delegate {
        /// Whom it trusts.
        trusted: Address,
    },
}

impl From<Setup> for crate::Setup {
    fn from(setup: Setup) -> Self {
        Self::Wallet(setup)
    }
}

impl Setup {
    pub(crate) fn calldata(&self) -> Vec<u8> {
        let Self::Delegate { trusted } = *self;
        TestWallet::trustCall { key: trusted }.abi_encode()
    }
}

/// The model: the accounts that delegate, and whom each trusts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wallets(BTreeMap<Address, Address>);

impl Wallets {
    pub(crate) fn has(&self, account: Address) -> bool {
        self.0.contains_key(&account)
    }

    pub(crate) fn trusted_by(&self, account: Address) -> Option<Address> {
        self.0.get(&account).copied()
    }

    pub(crate) fn setup(&mut self, from: Address, setup: &Setup) {
        let Setup::Delegate { trusted } = *setup;
        self.0.insert(from, trusted);
    }
}
