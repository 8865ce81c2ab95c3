//! A test token: OpenZeppelin's ERC-20 with open minting, as far as calls can reach it.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use decdn_engine::{chain::Revert, ids::Address};

/// Balances, and what holders let the payment channel take; no call approves anybody else.
#[derive(Clone, Debug, Default)]
pub(super) struct Token {
    supply: U256,
    balances: BTreeMap<Address, U256>,
    allowances: BTreeMap<Address, U256>,
}

impl Token {
    pub(super) fn balance_of(&self, who: Address) -> U256 {
        self.balances.get(&who).copied().unwrap_or_default()
    }

    pub(super) fn allowance_of(&self, who: Address) -> U256 {
        self.allowances.get(&who).copied().unwrap_or_default()
    }

    pub(super) fn approve(&mut self, from: Address, amount: U256) {
        self.allowances.insert(from, amount);
    }

    pub(super) fn mint(&mut self, to: Address, amount: U256) -> Result<(), Revert> {
        if to == Address::ZERO {
            return Err(Revert::Other);
        }
        self.supply = self.supply.checked_add(amount).ok_or(Revert::Other)?;
        self.add(to, amount);
        Ok(())
    }

    pub(super) fn transfer(&mut self, from: Address, to: Address, amount: U256) -> Result<(), Revert> {
        let held = self.balance_of(from);
        if to == Address::ZERO || held < amount {
            return Err(Revert::Other);
        }
        self.balances.insert(from, held - amount);
        self.add(to, amount);
        Ok(())
    }

    /// `transferFrom` by the payment channel.
    pub(super) fn take(&mut self, from: Address, escrow: Address, amount: U256) -> Result<(), Revert> {
        let left = self.allowance_of(from).checked_sub(amount).ok_or(Revert::Other)?;
        self.transfer(from, escrow, amount)?;
        self.allowances.insert(from, left);
        Ok(())
    }

    /// No overflow: every balance is at most the supply.
    fn add(&mut self, to: Address, amount: U256) {
        *self.balances.entry(to).or_default() += amount;
    }
}
