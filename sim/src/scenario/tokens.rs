//! The test tokens that a scenario trades in.

use decdn_contracts::{Genesis, genesis::TokenSpec};
use decdn_engine::{
    ids::Address,
    money::{Amount, MB, Rate},
    roles::{Config, config::TokenTerms},
};

use super::{
    PlannedActor,
    file::{File, Pin},
};
use crate::{actor::ActorId, decide::Decisions, names::names};

names! {
    /// A test token, by what it counts in.
    TokenName, "token" {
        /// Six decimals.
        Usdc = "usdc",
        /// Two: a base unit is a hundredth.
        Cents = "cents",
        /// Eighteen.
        Fine = "fine",
    }
}

impl TokenName {
    /// Its decimals.
    pub fn decimals(self) -> u8 {
        self.spec().decimals
    }

    fn spec(self) -> TokenSpec {
        match self {
            Self::Usdc => TokenSpec { symbol: "USDC", decimals: 6 },
            Self::Cents => TokenSpec { symbol: "CENT", decimals: 2 },
            Self::Fine => TokenSpec { symbol: "FINE", decimals: 18 },
        }
    }

    /// What a node asks for an MB in it, beside the scenario's rate, which is in the first token.
    fn rate(self) -> Pin {
        match self {
            Self::Usdc => Pin::between(1, 2_000_000),
            Self::Cents => Pin::between(1, 200),
            Self::Fine => Pin::between(1_000_000_000, 1_000_000_000_000),
        }
    }
}

/// The chain's first state, with the scenario's tokens.
pub fn genesis(file: &File) -> Genesis {
    let mut genesis = Genesis::standard();
    let more = file.money.more_tokens.iter().map(|name| name.spec());
    genesis.tokens.extend(more);
    genesis
}

/// The token of a download: the first one, or this one.
pub(super) fn address(genesis: &Genesis, file: &File, name: Option<TokenName>) -> Address {
    let place = name.and_then(|name| file.money.more_tokens.iter().position(|other| *other == name));
    genesis.token(place.map_or(0, |place| place + 1)).expect("it is one of the chain's")
}

/// A node's terms in each token beside the first: its own rate, and no bound.
pub(super) fn more_terms(genesis: &Genesis, file: &File, decide: &mut Decisions) -> Vec<TokenTerms> {
    let terms = |name: &TokenName| {
        let (token, rate) = (address(genesis, file, Some(*name)), Rate(name.rate().draw(decide)));
        let decimals = name.decimals();
        TokenTerms { decimals, soft_cap: Amount::MAX, ..TokenTerms::new(token, rate) }
    };
    file.money.more_tokens.iter().map(terms).collect()
}

/// The decimals of the tokens beside the first.
pub(super) fn decimals(genesis: &Genesis, file: &File) -> Vec<(Address, u8)> {
    let of = |name: &TokenName| (address(genesis, file, Some(*name)), name.decimals());
    file.money.more_tokens.iter().map(of).collect()
}

/// A deposit that covers a download's price one and a half times, at the highest rate of those it may buy from.
pub(super) fn ample(actors: &[PlannedActor], from: &[ActorId], token: Address, bytes: u64) -> u128 {
    let rates = from.iter().filter_map(|id| match &actors[usize::from(id.0)].role {
        Config::Node(config) => {
            config.tokens.iter().filter(|terms| terms.token == token).map(|terms| terms.rate.0).max()
        }
        Config::Client(_) => None,
    });
    let rate = u128::from(rates.max().unwrap_or(1));
    1 + (u128::from(bytes) * rate * 3).div_ceil(2 * u128::from(MB))
}
