//! A test token: OpenZeppelin's ERC-20 with open minting, as far as calls can reach it.

use std::collections::BTreeMap;

use alloy_primitives::U256;
use decdn_engine::{
    chain::{Revert, token::Call},
    ids::Address,
    money::Amount,
};

use super::{Query, Setup};
use crate::{
    bindings::Answer,
    model::{Model, Target},
};

/// Balances, and what holders let the payment channel take; no call approves anybody else.
#[derive(Clone, Debug, Default)]
pub(crate) struct Token {
    supply: U256,
    balances: BTreeMap<Address, U256>,
    allowances: BTreeMap<Address, U256>,
}

impl Token {
    pub(crate) fn balance_of(&self, who: Address) -> U256 {
        self.balances.get(&who).copied().unwrap_or_default()
    }

    pub(crate) fn allowance_of(&self, who: Address) -> U256 {
        self.allowances.get(&who).copied().unwrap_or_default()
    }

    pub(crate) fn approve(&mut self, from: Address, amount: U256) {
        self.allowances.insert(from, amount);
    }

    pub(crate) fn mint(&mut self, to: Address, amount: U256) -> Result<(), Revert> {
        if to == Address::ZERO {
            return Err(Revert::Other);
        }
        self.supply = self.supply.checked_add(amount).ok_or(Revert::Other)?;
        self.add(to, amount);
        Ok(())
    }

    pub(crate) fn transfer(&mut self, from: Address, to: Address, amount: U256) -> Result<(), Revert> {
        let held = self.balance_of(from);
        if to == Address::ZERO || held < amount {
            return Err(Revert::Other);
        }
        self.balances.insert(from, held - amount);
        self.add(to, amount);
        Ok(())
    }

    /// `transferFrom` by the payment channel.
    pub(crate) fn take(&mut self, from: Address, escrow: Address, amount: U256) -> Result<(), Revert> {
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

impl Model {
    pub(crate) fn token_call(&mut self, from: Address, call: &Call) -> Result<(), Revert> {
        match *call {
            Call::Approve { token, amount } => self.of_token(token, |held| {
                held.approve(from, U256::from(amount.0));
                Ok(())
            }),
        }
    }

    pub(crate) fn token_setup(&mut self, from: Address, setup: &Setup) -> Result<(), Revert> {
        match *setup {
            Setup::Mint { token, to, amount } => {
                self.of_token(token, |held| held.mint(to, U256::from(amount.0)))
            }
            Setup::Transfer { token, to, amount } => {
                self.of_token(token, |held| held.transfer(from, to, U256::from(amount.0)))
            }
        }
    }

    fn of_token(
        &mut self,
        token: Address,
        does: impl FnOnce(&mut Token) -> Result<(), Revert>,
    ) -> Result<(), Revert> {
        match self.target(token) {
            Target::Token(held) => does(held),
            Target::Refuses => Err(Revert::Other),
            Target::Nobody => Ok(()),
        }
    }

    pub(crate) fn ask_token(&self, query: &Query) -> Answer {
        let found = self.tokens.get(&query.token()).map_or(U256::ZERO, |held| match query {
            Query::Balance { who, .. } => held.balance_of(*who),
            Query::Allowance { who, .. } => held.allowance_of(*who),
        });
        Answer::Amount(capped(found))
    }
}

/// As the engine counts money.
pub(crate) fn capped(value: U256) -> Amount {
    Amount(u128::try_from(value).unwrap_or(u128::MAX))
}
