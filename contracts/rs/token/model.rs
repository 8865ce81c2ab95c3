//! A test token: OpenZeppelin's ERC-20 with open minting, as far as calls can reach it.

use std::{collections::BTreeMap, sync::OnceLock};

use alloy_primitives::{B256, U256};
use decdn_engine::{
    chain::{Block, Revert, token::Call},
    crypto::Deployment,
    ids::Address,
    money::Amount,
};

use super::{Permit, Query, Setup};
use crate::{
    Curves,
    bindings::Answer,
    model::{Model, Target},
};

/// Balances, and what holders let the payment channel take; no call approves anybody else.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    /// What permits are signed under.
    domain: B256,
    /// How many permits of a holder were taken.
    permits: BTreeMap<Address, u64>,
    supply: U256,
    balances: BTreeMap<Address, U256>,
    allowances: BTreeMap<Address, U256>,
}

impl Token {
    pub(crate) fn new(domain: B256) -> Self {
        let (balances, allowances, permits) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { domain, permits, supply: U256::ZERO, balances, allowances }
    }

    /// Whether it takes a permit. Who signed it is asked of the curve itself: no rung has symbols for other contracts' types.
    fn takes(&self, block: Block, permit: &Permit, at: &Deployment) -> bool {
        static CURVES: OnceLock<Curves> = OnceLock::new();
        let digest = permit.digest(self.domain, self.permits_of(permit.owner), at);
        let signer = CURVES.get_or_init(Curves::new).recover_digest(digest, &permit.signature);
        block.time <= permit.deadline && signer == Some(permit.owner)
    }

    fn permits_of(&self, who: Address) -> u64 {
        self.permits.get(&who).copied().unwrap_or_default()
    }

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
        let Some(held) = self.tokens.get(&query.token()) else { return query.nothing() };
        match query {
            Query::Balance { who, .. } => Answer::Amount(capped(held.balance_of(*who))),
            Query::Allowance { who, .. } => Answer::Amount(capped(held.allowance_of(*who))),
            Query::Permits { who, .. } => Answer::Number(held.permits_of(*who)),
        }
    }

    pub(crate) fn would_permit(&self, block: Block, permit: &Permit) -> bool {
        self.tokens.get(&permit.token).is_some_and(|held| held.takes(block, permit, &self.deployment))
    }

    /// C13: does what `opening` does with the permit taken, if the token takes it; nothing stays of one whose opening fails.
    pub(crate) fn with_permit<T>(
        &mut self,
        block: Block,
        permit: &Permit,
        opening: impl FnOnce(&mut Self) -> Result<T, Revert>,
    ) -> Result<T, Revert> {
        if !self.would_permit(block, permit) {
            return opening(self);
        }
        let kept = self.tokens.get(&permit.token).cloned();
        if let Some(held) = self.tokens.get_mut(&permit.token) {
            held.approve(permit.owner, U256::from(permit.amount.0));
            *held.permits.entry(permit.owner).or_default() += 1;
        }
        let opened = opening(self);
        if let (Err(_), Some(kept)) = (&opened, kept) {
            self.tokens.insert(permit.token, kept);
        }
        opened
    }
}

/// As the engine counts money.
pub(crate) fn capped(value: U256) -> Amount {
    Amount(u128::try_from(value).unwrap_or(u128::MAX))
}
