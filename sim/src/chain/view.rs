//! The chain as oracles read it.

use decdn_contracts::{ChannelView, Status};
use decdn_engine::{
    chain::Block,
    ids::{Address, ChannelId},
    money::Amount,
    time::Time,
};

use super::Chain;
use crate::seen::{ChainView, OnChain, OnChainStatus};

/// A channel in the oracles' words.
pub(super) fn on_chain(id: ChannelId, channel: &ChannelView) -> OnChain {
    OnChain {
        id,
        client: channel.client,
        node: channel.node,
        token: channel.token,
        deposit: channel.deposit,
        amount: channel.amount,
        nonce: channel.nonce.0,
        deadline: channel.deadline,
        status: match channel.status {
            Status::Open => OnChainStatus::Open,
            Status::Closing => OnChainStatus::Closing,
            Status::Settled => OnChainStatus::Settled,
        },
    }
}

impl ChainView for Chain {
    fn balance(&self, token: Address, account: Address) -> Amount {
        self.l2.machine().main.balance(token, account)
    }

    fn credit(&self, token: Address, account: Address) -> Amount {
        self.l2.machine().main.credit(account, token)
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

    fn channel(&self, id: ChannelId) -> Option<OnChain> {
        self.l2.machine().main.channel(id).map(|channel| on_chain(id, &channel))
    }

    fn channels(&self) -> &[ChannelId] {
        &self.channels
    }

    fn head(&self, now: Time) -> Block {
        self.l2.head(now)
    }
}
