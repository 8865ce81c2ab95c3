//! The bytecode under signed transactions, as a devnet serves them: with nonces, hashes, logs and the state
//! of past blocks.

use std::collections::BTreeMap;

use alloy_primitives::{B256, Bytes, TxKind, U256};
use decdn_engine::{
    chain::{Block, ChainEvent},
    crypto::Crypto,
    ids::Address,
};
use revm::{
    DatabaseRef,
    context::TxEnv,
    database::{CacheDB, EmptyDB},
    primitives::Log,
};

use super::{Evm, free, ran};
use crate::backend::{Events, Machine, Sender};

/// Past states that are kept, one per block with transactions.
const STATES_MAX: usize = 1_024;

/// A transaction whose signature was checked, or one that needs none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawTx {
    /// Its hash.
    pub hash: B256,
    /// Who signed it.
    pub from: Address,
    /// What it calls; `None` creates a contract.
    pub to: Option<Address>,
    /// Calldata, or creation code.
    pub data: Bytes,
    /// Ether sent along.
    pub value: U256,
    /// The account's nonce. `None`: not looked at.
    pub nonce: Option<u64>,
    /// What it may use.
    pub gas_limit: u64,
}

impl Sender for RawTx {
    fn sender(&self) -> Address {
        self.from
    }

    fn selector(&self) -> [u8; 4] {
        self.data.first_chunk().copied().unwrap_or_default()
    }
}

/// What came of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RawReceipt {
    /// Whether it was a valid transaction at its place. An invalid one leaves no trace on chain: its nonce is
    /// used, or it can't pay what it sends.
    pub is_valid: bool,
    /// Whether it did what it should.
    pub success: bool,
    /// What it returned, or the revert data.
    pub output: Bytes,
    /// Gas used.
    pub gas: u64,
    /// Everything it logged.
    pub logs: Vec<Log>,
    /// The contract it created.
    pub created: Option<Address>,
    /// The events that roles follow among the logs.
    pub events: Vec<ChainEvent>,
}

impl Events for RawReceipt {
    fn events(&self) -> &[ChainEvent] {
        &self.events
    }
}

/// What a call would return.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Called {
    /// Whether it would succeed.
    pub success: bool,
    /// What it returns, or the revert data.
    pub output: Bytes,
    /// Gas used.
    pub gas: u64,
}

/// [`Evm`] for signed transactions.
#[derive(Clone, Debug)]
pub struct RawEvm {
    evm: Evm,
    /// The state after each block with transactions.
    states: BTreeMap<u64, CacheDB<EmptyDB>>,
}

impl RawEvm {
    /// Takes the contracts as they are: the state of block 0.
    pub fn new(evm: Evm) -> Self {
        let states = BTreeMap::from([(0, evm.state.clone())]);
        Self { evm, states }
    }

    /// The contracts, for reading.
    pub fn evm(&self) -> &Evm {
        &self.evm
    }

    /// How many transactions an account has had included.
    pub fn nonce_of(&self, account: Address) -> u64 {
        self.account(account).map_or(0, |info| info.nonce)
    }

    /// An account's ether.
    pub fn ether_of(&self, account: Address) -> U256 {
        self.account(account).map_or(U256::ZERO, |info| info.balance)
    }

    /// The code at an address.
    pub fn code_of(&self, address: Address) -> Bytes {
        let code =
            self.account(address).and_then(|info| self.evm.state.code_by_hash_ref(info.code_hash).ok());
        code.map_or_else(Bytes::new, |code| code.original_bytes())
    }

    /// Calls on the state after block `on`, as if in `block`; `None` where that state is no longer kept.
    pub fn call(&self, on: u64, block: Block, tx: &RawTx) -> Option<Called> {
        let (_, state) = self.states.range(..=on).next_back()?;
        // A call that can't be a transaction, for want of ether or gas, fails like one that reverts without a
        // word.
        let failed = Called { success: false, output: Bytes::new(), gas: 0 };
        let ran = self.evm.try_on(state, block, environment(tx));
        Some(ran.map_or(failed, |ran| Called { success: ran.success, output: ran.output, gas: ran.gas }))
    }

    fn account(&self, address: Address) -> Option<revm::state::AccountInfo> {
        self.evm.state.basic_ref(address).ok().flatten()
    }
}

impl Machine for RawEvm {
    type Tx = RawTx;
    type Receipt = RawReceipt;

    fn execute(&mut self, block: Block, tx: &RawTx, _: &dyn Crypto) -> RawReceipt {
        let invalid = RawReceipt {
            is_valid: false,
            success: false,
            output: Bytes::new(),
            gas: 0,
            logs: Vec::new(),
            created: None,
            events: Vec::new(),
        };
        if tx.nonce.is_some_and(|nonce| nonce != self.nonce_of(tx.from)) {
            return invalid;
        }
        let Some(result) = self.evm.transact(block, environment(tx)) else { return invalid };
        if self.states.len() >= STATES_MAX {
            self.states.pop_first();
        }
        self.states.insert(block.number, self.evm.state.clone());
        let ran = ran(result);
        let events = self.evm.events(&ran.logs, block);
        RawReceipt {
            is_valid: true,
            success: ran.success,
            output: ran.output,
            gas: ran.gas,
            logs: ran.logs,
            created: ran.created,
            events,
        }
    }
}

fn environment(tx: &RawTx) -> TxEnv {
    TxEnv {
        caller: tx.from,
        kind: tx.to.map_or(TxKind::Create, TxKind::Call),
        data: tx.data.clone(),
        value: tx.value,
        nonce: tx.nonce.unwrap_or_default(),
        gas_limit: tx.gas_limit,
        ..free()
    }
}
