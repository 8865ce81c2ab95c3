//! The compiled bytecode in revm, behind the same interface as the model.
//!
//! Gas is free and nonces are not looked at: who may send what is the sequencer's and the signer's business.
//! Everything a transaction depends on is in the block, the state and the transaction; revm asks no clock and
//! draws no numbers.

mod raw;

use alloy_primitives::{B256, Bytes, TxKind, U256};
use alloy_sol_types::{SolCall, SolConstructor};
use decdn_engine::{
    chain::{self, Block, ChainEvent, Revert},
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::{Address, ChannelId},
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
    backend::{Backend, Call, ChannelView, Machine, Receipt, Setup, Tx},
    bindings::{
        self,
        sol::{NodeList, NodeTakesAll, PaymentChannel, TestToken, TestWallet},
    },
    genesis::{DEPLOYER, Genesis},
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

        let nodes = NodeList::constructorCall { owner: genesis.owner };
        let channels = PaymentChannel::constructorCall {
            owner: genesis.owner,
            registry_: deployment.registry,
            feeSplit_: genesis.fee_split(),
            disputeWindowSecs: genesis.dispute_window_secs,
        };
        new.create(0, deployment.registry, &NodeList::BYTECODE, &nodes.abi_encode());
        new.create(1, genesis.fee_split(), &NodeTakesAll::BYTECODE, &[]);
        new.create(2, deployment.payment_channel, &PaymentChannel::BYTECODE, &channels.abi_encode());
        for (nonce, (token, spec)) in (3..).zip(genesis.token_addresses().zip(&genesis.tokens)) {
            let (name_, symbol_) = (spec.symbol.to_owned(), spec.symbol.to_owned());
            let test_token = TestToken::constructorCall { name_, symbol_, decimals_: spec.decimals };
            new.create(nonce, token, &TestToken::BYTECODE, &test_token.abi_encode());
            let data = PaymentChannel::setTokenAllowedCall { token, allowed: true }.abi_encode();
            let allowed =
                new.run(Block::default(), call(genesis.owner, deployment.payment_channel, data.into()));
            assert!(allowed.success, "the owner may allow a token");
        }
        new.create(genesis.wallet_nonce(), wallet_code, &TestWallet::BYTECODE, &[]);
        new
    }

    /// Where the contracts are.
    pub fn deployment(&self) -> Deployment {
        self.deployment
    }

    fn create(&mut self, nonce: u8, expected: Address, code: &Bytes, arguments: &[u8]) {
        let data = [code, arguments].concat().into();
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
        assert_eq!(ran.created, Some(expected), "addresses follow from the deployer's nonces");
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

    fn view(&self, to: Address, data: Vec<u8>) -> Bytes {
        let tried = self.try_on(&self.state, Block::default(), call(Address::ZERO, to, data.into()));
        let ran = tried.expect("as in `run`");
        assert!(ran.success, "the contracts' views answer every question");
        ran.output
    }

    fn word(&self, to: Address, data: Vec<u8>) -> U256 {
        U256::from_be_slice(self.view(to, data).get(..32).expect("views of numbers return a word"))
    }

    /// A token's answer about an account; zero where the address is no token.
    fn token_word(&self, token: Address, data: Vec<u8>) -> Amount {
        if self.tokens.contains(&token) { capped(self.word(token, data)) } else { Amount::ZERO }
    }

    /// The token of a channel that a call may have to name (see [`bindings::calldata`]).
    fn token_for(&self, call: &chain::Call) -> Address {
        let unsigned = match call {
            chain::Call::Close { channel, voucher: None }
            | chain::Call::CloseCooperatively { channel, voucher: None, .. } => self.channel(*channel),
            _ => None,
        };
        unsigned.map_or(Address::ZERO, |c| c.token)
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
        let channel = self.deployment.payment_channel;
        match call {
            Call::Role(call) => bindings::calldata(call, channel, self.token_for(call)),
            Call::Setup(setup) => bindings::setup_calldata(setup, from, &self.deployment),
        }
    }
}

impl Machine for Evm {
    type Tx = Tx;
    type Receipt = Receipt;

    fn execute(&mut self, block: Block, tx: &Tx, _: &dyn Crypto) -> Receipt {
        let (to, data) = self.target(tx.from, &tx.call);
        let mut tx_env = call(tx.from, to, data);
        if matches!(tx.call, Call::Setup(Setup::Delegate { .. })) {
            tx_env.set_recovered_authorization(vec![self.delegation(tx.from)]);
            // Such a transaction always names its chain.
            tx_env.chain_id = Some(self.cfg.chain_id);
            tx_env.derive_tx_type().expect("it calls an account");
        }
        let ran = self.run(block, tx_env);
        if !ran.success {
            // A token's own error may look like the contract's: only the contract's calls can give its
            // reasons.
            let known = to == self.deployment.payment_channel;
            let reason = if known { bindings::revert(&ran.output) } else { Revert::Other };
            return Receipt { result: Err(reason), events: Vec::new(), gas: ran.gas };
        }
        let events = channel_events(&ran.logs, block, self.deployment.payment_channel);
        Receipt { result: Ok(()), events, gas: ran.gas }
    }
}

impl Backend for Evm {
    fn channel(&self, id: ChannelId) -> Option<ChannelView> {
        let data = PaymentChannel::channelCall { channelId: B256::from(id.0) }.abi_encode();
        let output = self.view(self.deployment.payment_channel, data);
        bindings::channel_view(&output)
            .expect("the contract holds deposits below 2^128 and knows its statuses")
    }

    fn balance(&self, token: Address, who: Address) -> Amount {
        self.token_word(token, TestToken::balanceOfCall { account: who }.abi_encode())
    }

    fn allowance(&self, token: Address, who: Address) -> Amount {
        let spender = self.deployment.payment_channel;
        self.token_word(token, TestToken::allowanceCall { owner: who, spender }.abi_encode())
    }

    fn credit(&self, who: Address, token: Address) -> Amount {
        let data = PaymentChannel::creditCall { payee: who, token }.abi_encode();
        capped(self.word(self.deployment.payment_channel, data))
    }

    fn counter_of(&self, client: Address) -> u64 {
        let data = PaymentChannel::counterOfCall { client }.abi_encode();
        self.word(self.deployment.payment_channel, data).to()
    }

    fn dispute_window(&self) -> u64 {
        let data = PaymentChannel::disputeWindowCall {}.abi_encode();
        self.word(self.deployment.payment_channel, data).to()
    }

    fn is_node_active(&self, operator: Address) -> bool {
        !self.word(self.deployment.registry, NodeList::isActiveCall { operator }.abi_encode()).is_zero()
    }

    fn is_token_allowed(&self, token: Address) -> bool {
        let data = PaymentChannel::tokenAllowedCall { token }.abi_encode();
        !self.word(self.deployment.payment_channel, data).is_zero()
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

    fn is_paused(&self) -> bool {
        let data = PaymentChannel::pausedCall {}.abi_encode();
        !self.word(self.deployment.payment_channel, data).is_zero()
    }
}

/// The payment channel's events among a transaction's logs.
fn channel_events(logs: &[Log], block: Block, payment_channel: Address) -> Vec<ChainEvent> {
    let ours = logs.iter().filter(|log| log.address == payment_channel);
    ours.filter_map(|log| {
        let event = bindings::event(log.topics(), &log.data.data).expect("the contract's own logs decode");
        event.map(|(channel, kind)| ChainEvent { block, channel, kind })
    })
    .collect()
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

fn capped(value: U256) -> Amount {
    bindings::amount(value).unwrap_or(Amount::MAX)
}
