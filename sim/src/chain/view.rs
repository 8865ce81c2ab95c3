//! The chain as oracles read it.

use decdn_contracts::{Answer, Query};
use decdn_engine::{
    chain::Block,
    ids::{Address, ChannelId},
    money::Amount,
    time::Time,
};

use super::Chain;
use crate::seen::ChainView;

impl ChainView for Chain {
    fn ask(&self, query: &Query) -> Answer {
        self.l2.machine().main.ask(query)
    }

    fn supply(&self, token: Address) -> Amount {
        if self.tokens.contains(&token) { self.minted } else { Amount::ZERO }
    }

    fn tokens(&self) -> &[Address] {
        &self.tokens
    }

    fn holders(&self) -> &[Address] {
        &self.holders
    }

    fn channels(&self) -> &[ChannelId] {
        &self.channels
    }

    fn head(&self, now: Time) -> Block {
        self.l2.head(now)
    }
}
