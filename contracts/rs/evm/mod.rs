//! The compiled bytecode in revm, behind the same interface as the model.
//!
//! Gas is free and nonces are not looked at: who may send what is the sequencer's and the signer's business.
//! Everything a transaction depends on is in the block, the state and the transaction; revm asks no clock and
//! draws no numbers.

mod raw;

use alloy_primitives::{B256, Bytes, TxKind, U256};
use alloy_sol_types::SolCall;
use decdn_engine::{
    chain::{Block, ChainEvent, Revert},
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
    money::Amount,
};
use revm::{
    Context, DatabaseRef, ExecuteCommitEvm, ExecuteEvm, MainBuilder, MainContext,
    context::{BlockEnv, CfgEnv, TxEnv},
    context_interface::{
        result::{ExecutionResult, Output},
        transaction::{Authorization, RecoveredAuthority, RecoveredAuthorization},
    },
    database::{CacheDB, EmptyDB},
    primitives::{Log, hardfork::SpecId},
};

pub use self::raw::{Called, RawEvm, RawReceipt, RawTx};
use crate::{
    backend::{Backend, Call, Machine, Receipt, Tx},
    bindings::{self, Answer, Malformed, Query, Setup, sol::TestWallet},
    channel,
    genesis::{Creation, DEPLOYER, Genesis},
    wallet,
};

/// What a transaction may use: far above anything the contracts need.
const TX_GAS: u64 = 10_000_000;
const BLOCK_GAS: u64 = 1 << 50;

/// The word by which a wallet takes a signature (ERC-1271): the selector of `isValidSignature`.
const YES: [u8; 32] = {
    let (selector, mut word) = (TestWallet::isValidSignatureCall::SELECTOR, [0; 32]);
    let mut i = 0;
    while i < selector.len() {
        word[i] = selector[i];
        i += 1;
    }
    word
};

/// The contracts as compiled. It is its state: the interpreter is made anew for every transaction, which
/// costs little and leaves nothing behind.
#[derive(Clone, Debug)]
pub struct Evm {
    state: CacheDB<EmptyDB>,
    cfg: CfgEnv,
    deployment: Deployment,
    tokens: Vec<Address>,
    wallet_code: Address,
}

/// What came of running code.
struct Ran {
    success: bool,
    output: Bytes,
    created: Option<Address>,
    gas: u64,
    logs: Vec<Log>,
}

impl Evm {
    /// Deploys the contracts from their artifacts, at the addresses that [`Genesis`] names.
    pub fn new(genesis: &Genesis) -> Self {
        let deployment = genesis.deployment();
        let tokens = genesis.token_addresses().collect();
        let state = CacheDB::new(EmptyDB::default());
        let wallet_code = genesis.wallet_code();
        let mut new = Self { state, cfg: cfg(genesis.chain_id), deployment, tokens, wallet_code };

        for (nonce, creation) in (0..).zip(genesis.creations()) {
            new.create(nonce, &creation);
        }
        for token in genesis.token_addresses() {
            let allow = Setup::from(channel::Setup::AllowToken { token, allowed: true });
            let (to, data) = allow.calldata(genesis.owner, &deployment);
            let allowed = new.run(Block::default(), call(genesis.owner, to, data));
            assert!(allowed.success, "the owner may allow a token");
        }
        new
    }

    /// Where the contracts are.
    pub fn deployment(&self) -> Deployment {
        self.deployment
    }

    fn create(&mut self, nonce: u8, creation: &Creation) {
        let data = [&creation.code[..], &creation.arguments].concat().into();
        let tx = TxEnv {
            caller: DEPLOYER,
            kind: TxKind::Create,
            data,
            nonce: nonce.into(),
            gas_limit: TX_GAS,
            ..free()
        };
        let ran = self.run(Block::default(), tx);
        assert!(ran.success, "an artifact's constructor refused its arguments");
        assert_eq!(ran.created, Some(creation.address), "addresses follow from the deployer's nonces");
    }

    fn run(&mut self, block: Block, tx: TxEnv) -> Ran {
        ran(self
            .transact(block, tx)
            .expect("gas is free, nonces are not checked, and the state is in memory"))
    }

    /// Executes a transaction and keeps what it did; `None` where it is not valid.
    fn transact(&mut self, block: Block, tx: TxEnv) -> Option<ExecutionResult> {
        let context = Context::mainnet()
            .with_db(&mut self.state)
            .with_cfg(self.cfg.clone())
            .with_block(block_env(block));
        context.build_mainnet().transact_commit(tx).ok()
    }

    /// Executes a transaction on a state and forgets what it did.
    fn try_on(&self, state: &CacheDB<EmptyDB>, block: Block, tx: TxEnv) -> Option<Ran> {
        let context = Context::mainnet()
            .with_db(CacheDB::new(state))
            .with_cfg(self.cfg.clone())
            .with_block(block_env(block));
        context.build_mainnet().transact(tx).ok().map(|done| ran(done.result))
    }

    fn view(&self, to: Address, data: Bytes) -> Bytes {
        let tried = self.try_on(&self.state, Block::default(), call(Address::ZERO, to, data));
        let ran = tried.expect("as in `run`");
        assert!(ran.success, "the contracts' views answer every question");
        ran.output
    }

    /// The authorization by which an account delegates to the test wallet in its next transaction (EIP-7702). Whether the
    /// account signed it is the signer's business, like everything's here.
    fn delegation(&self, account: Address) -> RecoveredAuthorization {
        let sent = self.state.basic_ref(account).ok().flatten().map_or(0, |info| info.nonce);
        let chain_id = U256::from(self.cfg.chain_id);
        // The transaction itself uses up a nonce first.
        let inner = Authorization { chain_id, address: self.wallet_code, nonce: sent + 1 };
        RecoveredAuthorization::new_unchecked(inner, RecoveredAuthority::Valid(account))
    }

    fn has_code(&self, account: Address) -> bool {
        self.state.basic_ref(account).ok().flatten().is_some_and(|info| !info.is_empty_code_hash())
    }

    fn target(&self, from: Address, call: &Call) -> (Address, Bytes) {
        match call {
            Call::Role(call) => {
                let channel = bindings::wants_token_of(call).and_then(|id| self.channel(id));
                bindings::calldata(call, &self.deployment, channel.map_or(Address::ZERO, |c| c.token))
            }
            Call::Setup(setup) => setup.calldata(from, &self.deployment),
        }
    }

    /// Makes calls as one batch of an account (C8), and says which were skipped, and why.
    ///
    /// # Panics
    /// If one of them is no call of the payment channel, or the batch as a whole fails.
    pub fn batch(&mut self, block: Block, from: Address, calls: &[Call]) -> Vec<(u64, Revert)> {
        let channels = self.deployment.payment_channel;
        let data = |asked: &Call| {
            let (to, data) = self.target(from, asked);
            assert_eq!(to, channels, "a batch is of the payment channel's calls: {asked:?}");
            data.to_vec()
        };
        let batch = channel::bindings::batch(calls.iter().map(data));
        let ran = self.run(block, call(from, channels, batch.into()));
        assert!(ran.success, "C8: no item stops a batch");
        let skipped = |log: &Log| {
            let told = channel::bindings::skipped(log.topics(), &log.data.data);
            told.expect("the contracts' own logs decode").filter(|_| log.address == channels)
        };
        ran.logs.iter().filter_map(skipped).collect()
    }

    /// The events that roles follow among a transaction's logs.
    fn events(&self, logs: &[Log], block: Block) -> Vec<ChainEvent> {
        let event = |log: &Log| {
            bindings::event(&self.deployment, log.address, log.topics(), &log.data.data)
                .expect("the contracts' own logs decode")
        };
        logs.iter().filter_map(event).map(|event| ChainEvent { block, event }).collect()
    }
}

impl Machine for Evm {
    type Tx = Tx;
    type Receipt = Receipt;

    fn execute(&mut self, block: Block, tx: &Tx, _: &dyn Crypto) -> Receipt {
        let (to, data) = self.target(tx.from, &tx.call);
        let mut tx_env = call(tx.from, to, data);
        if matches!(tx.call, Call::Setup(Setup::Wallet(wallet::Setup::Delegate { .. }))) {
            tx_env.set_recovered_authorization(vec![self.delegation(tx.from)]);
            // Such a transaction always names its chain.
            tx_env.chain_id = Some(self.cfg.chain_id);
            tx_env.derive_tx_type().expect("it calls an account");
        }
        let ran = self.run(block, tx_env);
        if !ran.success {
            let reason = bindings::revert(&self.deployment, to, &ran.output);
            return Receipt { result: Err(reason), events: Vec::new(), gas: ran.gas };
        }
        let events = self.events(&ran.logs, block);
        Receipt { result: Ok(()), events, gas: ran.gas }
    }
}

impl Backend for Evm {
    fn boxed(&self) -> Box<dyn Backend> {
        Box::new(self.clone())
    }

    fn ask(&self, query: &Query) -> Answer {
        if let Query::Token(query) = query
            && !self.tokens.contains(&query.token())
        {
            return query.nothing();
        }
        let (to, data) = query.calldata(&self.deployment);
        match query.answer(&self.view(to, data)) {
            Ok(answer) => answer,
            // A test token may hold more than the engine counts.
            Err(Malformed::Amount) => Answer::Amount(Amount::MAX),
            Err(why) => panic!("the contracts answered {query:?} with {why}"),
        }
    }

    fn wallet_takes(&self, account: Address, what: &Typed, signature: &Signature, _: &dyn Crypto) -> bool {
        if !self.has_code(account) {
            return false;
        }
        let hash = B256::from(what.digest(&self.deployment));
        let signature = Bytes::copy_from_slice(&signature.0);
        let data = TestWallet::isValidSignatureCall { hash, signature }.abi_encode();
        let asked = self.try_on(&self.state, Block::default(), call(Address::ZERO, account, data.into()));
        asked.is_some_and(|ran| ran.success && ran.output.as_ref() == YES)
    }
}

fn ran(result: ExecutionResult) -> Ran {
    let gas = result.tx_gas_used();
    match result {
        ExecutionResult::Success { logs, output, .. } => {
            let (output, created) = match output {
                Output::Call(output) => (output, None),
                Output::Create(output, created) => (output, created),
            };
            Ran { success: true, output, created, gas, logs }
        }
        ExecutionResult::Revert { output, .. } => {
            Ran { success: false, output, created: None, gas, logs: Vec::new() }
        }
        ExecutionResult::Halt { .. } => {
            Ran { success: false, output: Bytes::new(), created: None, gas, logs: Vec::new() }
        }
    }
}

fn call(caller: Address, to: Address, data: Bytes) -> TxEnv {
    TxEnv { caller, kind: TxKind::Call(to), data, gas_limit: TX_GAS, ..free() }
}

/// A legacy transaction that pays nothing.
fn free() -> TxEnv {
    TxEnv { gas_price: 0, gas_priority_fee: None, chain_id: None, ..TxEnv::default() }
}

fn cfg(chain_id: u64) -> CfgEnv {
    let mut cfg = CfgEnv::new_with_spec(SpecId::PRAGUE);
    cfg.chain_id = chain_id;
    cfg.disable_nonce_check = true;
    cfg
}

fn block_env(block: Block) -> BlockEnv {
    BlockEnv {
        number: U256::from(block.number),
        timestamp: U256::from(block.time.0),
        gas_limit: BLOCK_GAS,
        basefee: 0,
        prevrandao: Some(B256::ZERO),
        ..BlockEnv::default()
    }
}
