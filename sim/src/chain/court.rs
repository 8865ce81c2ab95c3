//! What executes transactions in a run: the contracts, the second backend beside them, and before each transaction
//! the engine's own prediction (O9).

use decdn_contracts::{
    Backend, Call, Genesis, Machine, Query, Receipt, Tx,
    backend::{Events, Metered},
    bindings,
};
use decdn_engine::{
    chain::{self, Block, ChainEvent, Revert, State, Subject, predict},
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
};

use crate::{actor::ActorId, seen};

/// The contracts of a run.
pub struct Court {
    pub(super) main: Box<dyn Backend>,
    /// The model beside the bytecode, on the real rung.
    beside: Option<Box<dyn Backend>>,
    deployment: Deployment,
}

/// A transaction in a block, with what was expected of it.
#[derive(Clone, Debug)]
pub struct Done {
    /// Who made it.
    pub sender: Address,
    /// What it called, if it is one of a role's calls.
    pub call: Option<chain::Call>,
    /// In which block.
    pub block: Block,
    /// What it did.
    pub receipt: Receipt,
    /// Whether it did nothing because its gas was not enough.
    pub is_out_of_gas: bool,
    /// What the engine predicted.
    pub predicted: Option<Result<Option<State>, Revert>>,
    /// What it did on the second backend, and what it is about after it there.
    pub beside: Option<(Result<(), Revert>, Option<State>)>,
    /// What it is about, before it.
    pub before: Option<State>,
    /// What it is about, after it.
    pub after: Option<State>,
}

impl Clone for Court {
    fn clone(&self) -> Self {
        let beside = self.beside.as_ref().map(|backend| backend.boxed());
        Self { main: self.main.boxed(), beside, deployment: self.deployment }
    }
}

impl Events for Done {
    fn events(&self) -> &[ChainEvent] {
        &self.receipt.events
    }
}

impl Done {
    /// The oracles' view of it, unless it set the scene.
    pub fn seen(
        &self,
        from: Option<ActorId>,
        route: chain::Route,
        submitted: decdn_engine::time::Time,
    ) -> Option<seen::Included<'_>> {
        Some(seen::Included {
            from,
            sender: self.sender,
            call: self.call.as_ref()?,
            route,
            block: self.block,
            submitted,
            result: self.receipt.result,
            is_out_of_gas: self.is_out_of_gas,
            predicted: self.predicted,
            beside: self.beside,
            gas: self.receipt.gas,
            events: &self.receipt.events,
            before: self.before,
            after: self.after,
        })
    }
}

impl Court {
    pub(super) fn new(genesis: &Genesis, main: Box<dyn Backend>, beside: Option<Box<dyn Backend>>) -> Self {
        Self { main, beside, deployment: genesis.deployment() }
    }

    pub(super) fn deployment(&self) -> Deployment {
        self.deployment
    }

    fn state(&self, about: Subject) -> Option<State> {
        self.main.ask(&Query::State(about)).state()
    }

    /// The engine's prediction: what the call is about after it, or why it reverts.
    fn predict(
        &self,
        block: Block,
        from: Address,
        call: &chain::Call,
        crypto: &dyn Crypto,
    ) -> Result<Option<State>, Revert> {
        let before = bindings::before(&*self.main, block, from, call, crypto);
        predict(call, &before, &self.deployment, &Asked(crypto))
    }
}

impl Machine for Court {
    type Tx = Tx;
    type Receipt = Done;

    fn execute(&mut self, block: Block, tx: &Tx, crypto: &dyn Crypto) -> Done {
        let call = match tx.call {
            Call::Role(call) => Some(call),
            Call::Setup(_) => None,
        };
        let about = call.and_then(|call| call.subject());
        let before = about.and_then(|about| self.state(about));
        let predicted = call.map(|call| self.predict(block, tx.from, &call, crypto));
        let receipt = self.main.execute(block, tx, crypto);
        let about = about.or_else(|| receipt.events.first().map(|event| event.event.subject()));
        let beside = self.beside.as_mut().map(|backend| {
            let receipt = backend.execute(block, tx, crypto);
            let after = about.and_then(|about| backend.ask(&Query::State(about)).state());
            (receipt.result, after)
        });
        Done {
            sender: tx.from,
            call,
            block,
            receipt,
            is_out_of_gas: false,
            predicted,
            beside,
            before,
            after: about.and_then(|about| self.state(about)),
        }
    }
}

impl Metered for Court {
    fn data_bytes(tx: &Tx) -> u64 {
        match &tx.call {
            Call::Role(call) => bindings::data_bytes(call),
            Call::Setup(_) => 0,
        }
    }

    fn gas(&self, block: Block, tx: &Tx, crypto: &dyn Crypto) -> u64 {
        self.main.boxed().execute(block, tx, crypto).gas
    }

    fn run_out(&mut self, block: Block, tx: &Tx, gas: u64) -> Done {
        let call = match tx.call {
            Call::Role(call) => Some(call),
            Call::Setup(_) => None,
        };
        let state = call.and_then(|call| call.subject()).and_then(|about| self.state(about));
        // Nobody predicts how much gas there is (O9).
        Done {
            sender: tx.from,
            call,
            block,
            receipt: Receipt { result: Err(Revert::Other), events: Vec::new(), gas },
            is_out_of_gas: true,
            predicted: None,
            beside: None,
            before: state,
            after: state,
        }
    }
}

/// A `dyn Crypto` for a function that wants a sized one.
struct Asked<'a>(&'a dyn Crypto);

impl Crypto for Asked<'_> {
    fn recover(&self, deployment: &Deployment, what: &Typed, signature: &Signature) -> Option<Address> {
        self.0.recover(deployment, what, signature)
    }
}
