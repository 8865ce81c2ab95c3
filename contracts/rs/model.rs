//! The contracts a second time, in Rust: fast enough for sweeps, and independent of the engine, so that it
//! can judge it.
//!
//! It takes ids, money, time and the call vocabulary from the engine and nothing else; least of all its
//! predicates. The order of checks is the contracts', because it decides which error a call gives. What a contract does is
//! in its own folder. `tests/differential` holds the model against the bytecode. Calls to precompiled contracts are the one
//! thing it does not follow.

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{self, Block, ChainEvent, Event, Revert, State, Subject},
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
};

use crate::{
    backend::{Backend, Call, Machine, Receipt, Tx},
    bindings::{Answer, Query, Setup},
    channel::model::Channels,
    gas,
    genesis::Genesis,
    registry::Nodes,
    token::model::Token,
    wallet::Wallets,
};

/// PaymentChannel, NodeList, NodeTakesAll, the test tokens and wallets.
#[derive(Clone, Debug)]
pub struct Model {
    pub(crate) deployment: Deployment,
    fee_split: Address,
    owner: Address,
    wallet_code: Address,
    pub(crate) tokens: BTreeMap<Address, Token>,
    pub(crate) channels: Channels,
    pub(crate) registry: Nodes,
    wallets: Wallets,
}

/// What answers at an address.
pub(crate) enum Target<'a> {
    Token(&'a mut Token),
    /// A contract that has no such function.
    Refuses,
    /// No code: the call succeeds and does nothing.
    Nobody,
}

impl Model {
    /// The contracts as deployed.
    pub fn new(genesis: &Genesis) -> Self {
        Self {
            deployment: genesis.deployment(),
            fee_split: genesis.fee_split(),
            owner: genesis.owner,
            wallet_code: genesis.wallet_code(),
            tokens: genesis.token_domains().map(|(token, domain)| (token, Token::new(domain))).collect(),
            channels: Channels::new(genesis),
            registry: Nodes::default(),
            wallets: Wallets::default(),
        }
    }

    /// What a call does; the event that it emits, if a role follows it.
    fn call(
        &mut self,
        block: Block,
        from: Address,
        call: &chain::Call,
        crypto: &dyn Crypto,
    ) -> Result<Option<Event>, Revert> {
        match call {
            chain::Call::Token(call) => self.token_call(from, call).map(|()| None),
            chain::Call::Channel(call) => {
                self.channel_call(block, from, call, crypto).map(|event| event.map(Event::Channel))
            }
        }
    }

    fn setup(&mut self, block: Block, from: Address, setup: &Setup) -> Result<Option<Event>, Revert> {
        let done = match setup {
            Setup::OpenWithPermit(opening) => {
                return self.open_with_permit(block, from, opening).map(|event| Some(Event::Channel(event)));
            }
            Setup::Token(setup) => self.token_setup(from, setup),
            Setup::Wallet(setup) => {
                self.wallets.setup(from, setup);
                Ok(())
            }
            Setup::Channel(_) | Setup::Registry(_) if from != self.owner => Err(Revert::Other),
            Setup::Channel(setup) => self.channels.setup(setup),
            Setup::Registry(setup) => self.registry.setup(setup),
        };
        done.map(|()| None)
    }

    pub(crate) fn target(&mut self, address: Address) -> Target<'_> {
        let ours =
            [self.deployment.payment_channel, self.deployment.registry, self.fee_split, self.wallet_code];
        let has_code = ours.contains(&address) || self.wallets.has(address);
        match self.tokens.get_mut(&address) {
            Some(token) => Target::Token(token),
            None if has_code => Target::Refuses,
            None => Target::Nobody,
        }
    }
}

impl Machine for Model {
    type Tx = Tx;
    type Receipt = Receipt;

    fn execute(&mut self, block: Block, tx: &Tx, crypto: &dyn Crypto) -> Receipt {
        // Every call checks before it writes, so a refused one leaves no trace.
        let outcome = match &tx.call {
            Call::Role(call) => self.call(block, tx.from, call, crypto),
            Call::Setup(setup) => self.setup(block, tx.from, setup),
        };
        let gas = gas::quoted(&tx.call, outcome.is_ok());
        match outcome {
            Ok(event) => {
                let events = event.map(|event| ChainEvent { block, event }).into_iter().collect();
                Receipt { result: Ok(()), events, gas }
            }
            Err(reason) => Receipt { result: Err(reason), events: Vec::new(), gas },
        }
    }
}

impl Backend for Model {
    fn boxed(&self) -> Box<dyn Backend> {
        Box::new(self.clone())
    }

    fn ask(&self, query: &Query) -> Answer {
        match query {
            Query::State(Subject::Channel(id)) => Answer::State(self.channels.state(*id).map(State::Channel)),
            Query::Token(query) => self.ask_token(query),
            Query::Channel(query) => self.channels.ask(query),
            Query::Registry(query) => self.registry.ask(query),
        }
    }

    fn wallet_takes(
        &self,
        account: Address,
        what: &Typed,
        signature: &Signature,
        crypto: &dyn Crypto,
    ) -> bool {
        let signer = crypto.recover(&self.deployment, what, signature);
        self.wallets.trusted_by(account).is_some_and(|trusted| signer == Some(trusted))
    }
}
