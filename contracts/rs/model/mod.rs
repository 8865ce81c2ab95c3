//! The contracts a second time, in Rust: fast enough for sweeps, and independent of the engine, so that it
//! can judge it.
//!
//! It takes ids, money, time and the call vocabulary from the engine and nothing else; least of all its
//! predicates. The order of checks is the contracts', because it decides which error a call gives.
//! `tests/differential.rs` holds the model against the bytecode. Calls to precompiled contracts are the one
//! thing it does not follow.

mod channel;
mod token;

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{U256, keccak256};
use decdn_engine::{
    chain::{self, Block, ChainEvent, EventKind, Revert},
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::{Address, ChannelId, NodeId},
    money::Amount,
};

use self::{channel::Channel, token::Token};
use crate::{
    backend::{Backend, Call, ChannelView, Machine, Receipt, Setup, Tx},
    gas,
    genesis::Genesis,
};

const WINDOW_SECS_MIN: u64 = 12 * 3_600;
const WINDOW_SECS_MAX: u64 = 72 * 3_600;

/// PaymentChannel, NodeList, NodeTakesAll and the test tokens.
#[derive(Clone, Debug)]
pub struct Model {
    deployment: Deployment,
    fee_split: Address,
    owner: Address,
    window_secs: u64,
    paused: bool,
    allowed: BTreeSet<Address>,
    nodes: BTreeMap<Address, Node>,
    tokens: BTreeMap<Address, Token>,
    counters: BTreeMap<Address, u64>,
    channels: BTreeMap<ChannelId, Channel>,
    /// The accounts that delegate to the test wallet, and whom each trusts.
    wallets: BTreeMap<Address, Address>,
    wallet_code: Address,
    /// By payee and token.
    credits: BTreeMap<(Address, Address), U256>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    active: bool,
}

/// A call's outcome: the event it emitted, if a role follows it.
type Outcome = Result<Option<(ChannelId, EventKind)>, Revert>;

/// What answers at an address.
enum Target<'a> {
    Token(&'a mut Token),
    /// A contract that has no such function.
    Refuses,
    /// No code: the call succeeds and does nothing.
    Nobody,
}

impl Model {
    /// The contracts as deployed.
    pub fn new(genesis: &Genesis) -> Self {
        assert!(
            (WINDOW_SECS_MIN..=WINDOW_SECS_MAX).contains(&genesis.dispute_window_secs),
            "a dispute window of 12 to 72 hours"
        );
        Self {
            deployment: genesis.deployment(),
            fee_split: genesis.fee_split(),
            owner: genesis.owner,
            window_secs: genesis.dispute_window_secs,
            paused: false,
            allowed: genesis.token_addresses().collect(),
            nodes: BTreeMap::new(),
            tokens: genesis.token_addresses().map(|token| (token, Token::default())).collect(),
            counters: BTreeMap::new(),
            channels: BTreeMap::new(),
            wallets: BTreeMap::new(),
            wallet_code: genesis.wallet_code(),
            credits: BTreeMap::new(),
        }
    }

    fn call(&mut self, block: Block, from: Address, call: &Call, crypto: &dyn Crypto) -> Outcome {
        match call {
            Call::Role(call) => self.role_call(block, from, call, crypto),
            Call::Setup(setup) => self.setup(from, setup).map(|()| None),
        }
    }

    fn role_call(&mut self, block: Block, from: Address, call: &chain::Call, crypto: &dyn Crypto) -> Outcome {
        match call {
            chain::Call::Approve { token, amount } => match self.target(*token) {
                Target::Token(token) => {
                    token.approve(from, U256::from(amount.0));
                    Ok(None)
                }
                Target::Refuses => Err(Revert::Other),
                Target::Nobody => Ok(None),
            },
            chain::Call::Open { node, token, deposit } => self.open(from, *node, *deposit, *token).map(Some),
            chain::Call::Close { channel, voucher } => {
                self.close(block, from, *channel, voucher.as_ref(), crypto).map(Some)
            }
            chain::Call::Dispute { voucher } => self.dispute(block, from, voucher, crypto).map(Some),
            chain::Call::Settle { channel } => self.settle(block, *channel).map(Some),
            chain::Call::CloseCooperatively { channel, voucher, node_signature } => {
                self.close_cooperatively(from, *channel, voucher.as_ref(), node_signature, crypto).map(Some)
            }
            chain::Call::WithdrawCredit { token } => self.withdraw_credit(from, *token).map(|()| None),
            chain::Call::ForceClose { channel } => self.force_close(block, from, *channel).map(Some),
        }
    }

    fn setup(&mut self, from: Address, setup: &Setup) -> Result<(), Revert> {
        match *setup {
            Setup::Mint { token, to, amount } => match self.target(token) {
                Target::Token(token) => token.mint(to, U256::from(amount.0)),
                Target::Refuses => Err(Revert::Other),
                Target::Nobody => Ok(()),
            },
            Setup::Transfer { token, to, amount } => match self.target(token) {
                Target::Token(token) => token.transfer(from, to, U256::from(amount.0)),
                Target::Refuses => Err(Revert::Other),
                Target::Nobody => Ok(()),
            },
            Setup::SetNode { operator, node, active } => {
                self.only_owner(from)?;
                if operator == Address::ZERO || node == NodeId::default() {
                    return Err(Revert::Other);
                }
                self.nodes.insert(operator, Node { active });
                Ok(())
            }
            Setup::AllowToken { token, allowed } => {
                self.only_owner(from)?;
                if allowed {
                    self.allowed.insert(token);
                } else {
                    self.allowed.remove(&token);
                }
                Ok(())
            }
            Setup::SetWindow { secs } => {
                self.only_owner(from)?;
                if !(WINDOW_SECS_MIN..=WINDOW_SECS_MAX).contains(&secs) {
                    return Err(Revert::Other);
                }
                self.window_secs = secs;
                Ok(())
            }
            Setup::Pause(paused) => {
                self.only_owner(from)?;
                self.paused = paused;
                Ok(())
            }
            Setup::Delegate { trusted } => {
                self.wallets.insert(from, trusted);
                Ok(())
            }
        }
    }

    fn only_owner(&self, from: Address) -> Result<(), Revert> {
        if from == self.owner { Ok(()) } else { Err(Revert::Other) }
    }

    fn target(&mut self, address: Address) -> Target<'_> {
        let ours =
            [self.deployment.payment_channel, self.deployment.registry, self.fee_split, self.wallet_code];
        let has_code = ours.contains(&address) || self.wallets.contains_key(&address);
        match self.tokens.get_mut(&address) {
            Some(token) => Target::Token(token),
            None if has_code => Target::Refuses,
            None => Target::Nobody,
        }
    }

    /// V5.
    fn channel_id(&self, client: Address, node: Address, token: Address, counter: u64) -> ChannelId {
        let mut words = [0; 6 * 32];
        words[24..32].copy_from_slice(&self.deployment.chain_id.to_be_bytes());
        for (word, address) in (1..).zip([self.deployment.payment_channel, client, node, token]) {
            words[word * 32 + 12..word * 32 + 32].copy_from_slice(address.as_slice());
        }
        words[5 * 32 + 24..].copy_from_slice(&counter.to_be_bytes());
        ChannelId(keccak256(words).0)
    }
}

impl Machine for Model {
    type Tx = Tx;
    type Receipt = Receipt;

    fn execute(&mut self, block: Block, tx: &Tx, crypto: &dyn Crypto) -> Receipt {
        // Every call checks before it writes, so a refused one leaves no trace.
        let outcome = self.call(block, tx.from, &tx.call, crypto);
        let gas = gas::quoted(&tx.call, outcome.is_ok());
        match outcome {
            Ok(event) => {
                let events =
                    event.map(|(channel, kind)| ChainEvent { block, channel, kind }).into_iter().collect();
                Receipt { result: Ok(()), events, gas }
            }
            Err(reason) => Receipt { result: Err(reason), events: Vec::new(), gas },
        }
    }
}

impl Backend for Model {
    fn channel(&self, id: ChannelId) -> Option<ChannelView> {
        self.channels.get(&id).map(Channel::view)
    }

    fn balance(&self, token: Address, who: Address) -> Amount {
        capped(self.tokens.get(&token).map_or(U256::ZERO, |token| token.balance_of(who)))
    }

    fn allowance(&self, token: Address, who: Address) -> Amount {
        capped(self.tokens.get(&token).map_or(U256::ZERO, |token| token.allowance_of(who)))
    }

    fn credit(&self, who: Address, token: Address) -> Amount {
        capped(self.credits.get(&(who, token)).copied().unwrap_or_default())
    }

    fn counter_of(&self, client: Address) -> u64 {
        self.counters.get(&client).copied().unwrap_or_default()
    }

    fn dispute_window(&self) -> u64 {
        self.window_secs
    }

    fn is_node_active(&self, operator: Address) -> bool {
        self.nodes.get(&operator).is_some_and(|node| node.active)
    }

    fn is_token_allowed(&self, token: Address) -> bool {
        self.allowed.contains(&token)
    }

    fn is_paused(&self) -> bool {
        self.paused
    }

    fn wallet_takes(
        &self,
        account: Address,
        what: &Typed,
        signature: &Signature,
        crypto: &dyn Crypto,
    ) -> bool {
        let signer = crypto.recover(&self.deployment, what, signature);
        self.wallets.get(&account).is_some_and(|trusted| signer == Some(*trusted))
    }
}

fn capped(value: U256) -> Amount {
    Amount(u128::try_from(value).unwrap_or(u128::MAX))
}
