//! What the L2 model asks of whatever executes its transactions, and the vocabulary both backends share.

use decdn_engine::{
    chain::{self, Block, ChainEvent, Revert, Subject},
    crypto::{Crypto, Signature, Typed},
    ids::{Address, ChannelId},
};

use crate::bindings::{self, Answer, Query, Setup};

/// Something that executes transactions one at a time.
pub trait Machine {
    /// A transaction.
    type Tx: Sender;
    /// What came of one.
    type Receipt: Events;

    /// Executes a transaction in a block. Blocks never go backwards. Whoever runs compiled code recovers
    /// signatures by itself and does not ask `crypto`.
    fn execute(&mut self, block: Block, tx: &Self::Tx, crypto: &dyn Crypto) -> Self::Receipt;
}

/// A machine whose transactions can be measured before they count: what it takes to let accounts pay for them.
pub trait Metered: Machine {
    /// How long a transaction's calldata is.
    fn data_bytes(tx: &Self::Tx) -> u64;

    /// What a transaction would take in a block, in execution gas.
    fn gas(&self, block: Block, tx: &Self::Tx, crypto: &dyn Crypto) -> u64;

    /// A transaction whose gas is not enough: it takes that much, and does nothing.
    fn run_out(&mut self, block: Block, tx: &Self::Tx, gas: u64) -> Self::Receipt;
}

/// A transaction's account.
pub trait Sender {
    /// Who signed it.
    fn sender(&self) -> Address;

    /// Which function it calls: the first bytes of its calldata.
    fn selector(&self) -> [u8; 4];
}

/// A receipt's news.
pub trait Events {
    /// The events that roles follow, in order.
    fn events(&self) -> &[ChainEvent];
}

/// The contracts, run by the model or the bytecode: the same calls, and the same questions.
pub trait Backend: Machine<Tx = Tx, Receipt = Receipt> {
    /// Answers a question about what is stored now.
    fn ask(&self, query: &Query) -> Answer;

    /// A copy, to come back to.
    fn boxed(&self) -> Box<dyn Backend>;

    /// Whether an account has a contract wallet's code that takes a signature (C10). Whoever runs compiled code asks the wallet
    /// and not `crypto`.
    fn wallet_takes(
        &self,
        account: Address,
        what: &Typed,
        signature: &Signature,
        crypto: &dyn Crypto,
    ) -> bool;

    /// A channel; `None` where no channel has the id (C8).
    fn channel(&self, id: ChannelId) -> Option<chain::channel::State> {
        self.ask(&Query::State(Subject::Channel(id))).channel()
    }
}

/// A transaction: a call from an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tx {
    /// Who signed it.
    pub from: Address,
    /// What it does.
    pub call: Call,
}

impl Sender for Tx {
    fn sender(&self) -> Address {
        self.from
    }

    fn selector(&self) -> [u8; 4] {
        match &self.call {
            Call::Role(call) => bindings::selector(call),
            // No sequencer sees it.
            Call::Setup(_) => [0; 4],
        }
    }
}

/// What a transaction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// What roles do.
    Role(chain::Call),
    /// What owners and the authors of scenarios do.
    Setup(Setup),
}

/// What came of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Whether it did what it should, or why not.
    pub result: Result<(), Revert>,
    /// The events it emitted that roles follow, in order.
    pub events: Vec<ChainEvent>,
    /// Gas used. The model says what the bytecode typically uses ([`crate::bindings::typical_gas`]).
    pub gas: u64,
}

impl Events for Receipt {
    fn events(&self) -> &[ChainEvent] {
        &self.events
    }
}
