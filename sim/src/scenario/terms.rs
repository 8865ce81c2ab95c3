//! A node's terms for the token, and what it does with its channels by itself, as far as a scenario says it.

use decdn_engine::{
    ids::Address,
    money::{Amount, DECIMALS, Rate},
    roles::config::{Policy, TokenTerms},
    time::Span,
};
use serde::Deserialize;

use super::file::Pin;
use crate::decide::Decisions;

/// In the token's base units. What is not said is no bound.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Terms {
    /// See [`TokenTerms::least_deposit`].
    pub least_deposit: Option<Pin>,
    /// See [`TokenTerms::soft_cap`].
    pub soft_cap: Option<Pin>,
    /// See [`TokenTerms::claim_above`].
    pub claim_above: Option<Pin>,
    /// See [`TokenTerms::coin`].
    pub coin: Option<Pin>,
    /// See [`Policy::idle`].
    pub idle_hours: Option<Pin>,
    /// See [`Policy::finish`].
    pub finish_hours: Option<Pin>,
    /// See [`Policy::forgo`].
    pub forgo_hours: Option<Pin>,
    /// See [`Policy::forget`].
    pub forget_hours: Option<Pin>,
}

impl Terms {
    /// All that it says.
    pub fn pins(&self) -> [Option<&Pin>; 8] {
        let Self { least_deposit, soft_cap, claim_above, coin, .. } = self;
        let Self { idle_hours, finish_hours, forgo_hours, forget_hours, .. } = self;
        [least_deposit, soft_cap, claim_above, coin, idle_hours, finish_hours, forgo_hours, forget_hours]
            .map(Option::as_ref)
    }

    /// The same, to change.
    pub fn pins_mut(&mut self) -> [Option<&mut Pin>; 8] {
        let Self { least_deposit, soft_cap, claim_above, coin, .. } = self;
        let Self { idle_hours, finish_hours, forgo_hours, forget_hours, .. } = self;
        [least_deposit, soft_cap, claim_above, coin, idle_hours, finish_hours, forgo_hours, forget_hours]
            .map(Option::as_mut)
    }

    /// The terms of a run.
    pub fn draw(&self, decide: &mut Decisions, token: Address, rate: Rate) -> (TokenTerms, Policy) {
        let mut amount = |pin: &Option<Pin>| pin.as_ref().map(|pin| Amount(pin.draw(decide).into()));
        let terms = TokenTerms {
            token,
            decimals: DECIMALS,
            rate,
            least_deposit: amount(&self.least_deposit).unwrap_or(Amount::ZERO),
            soft_cap: amount(&self.soft_cap).unwrap_or(Amount::MAX),
            claim_above: amount(&self.claim_above).unwrap_or(Amount::MAX),
            coin: amount(&self.coin),
        };
        let mut hours = |pin: &Option<Pin>, default: Span| {
            pin.as_ref().map_or(default, |pin| Span::from_hours(pin.draw(decide)))
        };
        let default = Policy::default();
        let policy = Policy {
            idle: hours(&self.idle_hours, default.idle),
            finish: hours(&self.finish_hours, default.finish),
            forgo: hours(&self.forgo_hours, default.forgo),
            forget: hours(&self.forget_hours, default.forget),
        };
        (terms, policy)
    }
}
