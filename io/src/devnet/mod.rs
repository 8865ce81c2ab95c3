//! An L2 of our own on loopback: the contracts' bytecode under a sequencer, behind the JSON-RPC that Ethereum
//! libraries speak, so that nodes and clients in other processes use it as they would Arbitrum.
//!
//! JSON-RPC comes over HTTP and, on the same port, over WebSocket, with subscriptions to new heads and logs.
//!
//! For tests and demonstrations. Gas is free, the tokens are worth nothing, and the methods that begin with
//! `decdn_` let anybody warp time, censor accounts and stop the sequencer.

mod chain;
mod http;
mod rpc;
mod ws;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use alloy_consensus::Transaction as _;
use decdn_contracts::{Backend, EthKey, Evm, Genesis, Policy, Profile, Setup, token};
use decdn_engine::{
    chain::{Block, Revert},
    crypto::Deployment,
    ids::Address,
    time::{Span, Time},
};
use tokio::{net::TcpListener, task::JoinHandle};

use self::chain::Chain;

/// What the devnet asks for the time: monotonic, counted from when the profile's wall clock starts.
pub type Clock = Arc<dyn Fn() -> Time + Send + Sync>;

/// A transaction in a block, for a statement.
#[derive(Clone, Copy, Debug)]
pub struct Transaction {
    /// Where it is.
    pub block: Block,
    /// The first four bytes of its input: which function it called.
    pub selector: [u8; 4],
    /// Whether it did what it should.
    pub success: bool,
    /// Gas used.
    pub gas: u64,
}

/// What was asked of a devnet over HTTP.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Calls that were answered without an error, by method.
    pub calls: BTreeMap<String, u64>,
    /// Bytes of request bodies.
    pub asked_bytes: u64,
    /// Bytes of the bodies of answers.
    pub answered_bytes: u64,
}

/// A running devnet; it stops serving when dropped.
pub struct Devnet {
    chain: Arc<Mutex<Chain>>,
    address: SocketAddr,
    server: JoinHandle<()>,
    genesis: Genesis,
}

impl Devnet {
    /// Deploys the contracts and serves JSON-RPC on loopback; port 0 takes any that is free.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(genesis: Genesis, profile: Profile, clock: Clock, port: u16) -> io::Result<Self> {
        Self::start_with(genesis, None, profile, clock, port).await
    }

    /// As [`start`](Self::start), with the contracts owned by a key that the devnet holds: then whoever asks may
    /// have nodes listed and tokens minted, and the chain shows the events of it.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start_owned(
        genesis: Genesis,
        owner: EthKey,
        profile: Profile,
        clock: Clock,
        port: u16,
    ) -> io::Result<Self> {
        let genesis = Genesis { owner: owner.address(), ..genesis };
        Self::start_with(genesis, Some(owner), profile, clock, port).await
    }

    async fn start_with(
        genesis: Genesis,
        owner: Option<EthKey>,
        profile: Profile,
        clock: Clock,
        port: u16,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let chain = Arc::new(Mutex::new(Chain::new(&genesis, owner, profile, clock)));
        let server = tokio::spawn(http::serve(listener, Arc::clone(&chain)));
        Ok(Self { chain, address, server, genesis })
    }

    /// Where it serves.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the contracts are.
    pub fn deployment(&self) -> Deployment {
        self.genesis.deployment()
    }

    /// What the chain started with.
    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Lists nodes, mints test money and changes settings, as the contracts' owner and at once.
    ///
    /// # Errors
    /// The contract refused it.
    pub fn setup(&self, setup: &Setup) -> Result<(), Revert> {
        self.chain().setup(self.genesis.owner, setup)
    }

    /// Lets the chain's time jump ahead.
    pub fn warp(&self, span: Span) {
        self.chain().warp(span);
    }

    /// Changes what the sequencer does; see [`Policy`].
    pub fn set_policy(&self, policy: Policy) {
        self.chain().set_policy(policy);
    }

    /// Lets the sequencer ignore these accounts.
    pub fn censor(&self, accounts: BTreeSet<Address>) {
        self.set_policy(Policy::Censor(accounts));
    }

    /// How long a message waits in the delayed inbox until it can be forced in (L2).
    pub fn forced_inclusion(&self) -> Span {
        self.chain().forced_inclusion()
    }

    /// What was asked over HTTP so far.
    pub fn traffic(&self) -> Traffic {
        self.chain().traffic.clone()
    }

    /// The soft head.
    pub fn head(&self) -> Block {
        self.chain().head()
    }

    /// Reads the contracts at the soft head.
    pub fn read<T>(&self, read: impl FnOnce(&Evm) -> T) -> T {
        read(self.chain().contracts())
    }

    /// What an account holds of a token.
    pub fn balance(&self, token: Address, who: Address) -> decdn_engine::money::Amount {
        self.read(|contracts| contracts.ask(&token::Query::Balance { token, who }.into()).amount())
    }

    /// Every transaction of an account that is in a block, oldest first.
    pub fn transactions_of(&self, account: Address) -> Vec<Transaction> {
        let mut chain = self.chain();
        let head = chain.head().number;
        chain
            .mined(0, head)
            .filter_map(|(hash, mined)| {
                let tx = &chain.sent_before(hash)?.tx;
                let selector = tx.input().first_chunk().copied().unwrap_or_default();
                let (success, gas) = (mined.receipt.success, mined.receipt.gas);
                (tx.signer() == account).then_some(Transaction { block: mined.block, selector, success, gas })
            })
            .collect()
    }

    fn chain(&self) -> MutexGuard<'_, Chain> {
        lock(&self.chain)
    }
}

impl Drop for Devnet {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A panic under the lock would have been a bug of ours; what the chain was before it is still a chain.
fn lock(chain: &Mutex<Chain>) -> MutexGuard<'_, Chain> {
    chain.lock().unwrap_or_else(PoisonError::into_inner)
}
