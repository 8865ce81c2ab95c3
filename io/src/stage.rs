//! A chain, a node and a client in one process, over real QUIC on loopback and real files in a temporary folder:
//! what the demo, the benchmark and the end-to-end tests play on.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use decdn_contracts::{EthKey, Genesis, Setup};
use decdn_engine::{
    ids::{Address, BlobHash, FetchId},
    io::{Candidate, FetchOrder, Input},
    money::{Amount, MB, Rate},
    roles::{
        client::Client,
        config::{ClientConfig, NodeConfig},
        node::Node,
    },
    time::Span,
};
use tempfile::TempDir;

use crate::{
    clock::SystemClock,
    local::LocalChain,
    party::{Parts, Party, StartError},
    signer::KeySigner,
};

/// What the node asks per MB: a tenth of a cent in a token of 6 decimals.
pub const RATE: Rate = Rate(1_000);
/// What the client proposes, and the node accepts.
pub const CADENCE: u64 = 8 * MB;
/// How often both read the chain: often, so that nobody has to wait.
const POLL: Span = Span::from_millis(100);
/// What the client starts with.
const PURSE: Amount = Amount(1_000_000_000_000);
/// Network keys of a stage; everything on it is for show.
const NODE_KEY: [u8; 32] = [21; 32];
const CLIENT_KEY: [u8; 32] = [22; 32];
const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// See the module.
#[derive(Debug)]
pub struct Stage {
    /// The clock of everything; warp it to let a window pass.
    pub clock: SystemClock,
    /// The chain.
    pub chain: LocalChain,
    /// The token that is paid in.
    pub token: Address,
    /// The dispute window.
    pub window: Span,
    /// How long after a window the node settles.
    pub settle_grace: Span,
    /// Sells.
    pub node: Party,
    /// Buys.
    pub client: Party,
    client_key: EthKey,
    temp: TempDir,
}

/// What `bytes` cost: rounded up once (D5).
pub fn price(bytes: u64) -> Amount {
    Amount((u128::from(bytes) * u128::from(RATE.0)).div_ceil(u128::from(MB)))
}

fn key(n: u8) -> Result<EthKey, StartError> {
    EthKey::from_secret([n; 32]).ok_or_else(|| "a stage's key is no key".into())
}

impl Stage {
    /// Everything up: contracts deployed, money minted, node listed, both parties running.
    ///
    /// # Errors
    /// If the temporary folder or the loopback interface can't be used.
    pub async fn set() -> Result<Self, StartError> {
        let temp = tempfile::Builder::new().prefix("decdn-stage-").tempdir()?;
        let clock = SystemClock::new();
        let genesis = Genesis::standard();
        let chain = LocalChain::new(&genesis, clock.clone())?;
        let deployment = chain.deployment();
        let token = genesis.token(0).ok_or("the genesis has no token")?;
        let (client_key, node_key) = (key(1)?, key(2)?);
        let (client_account, node_account) = (client_key.address(), node_key.address());

        let parts = Parts::open(&temp.path().join("node"), NODE_KEY, LOOPBACK).await?;
        for setup in [
            Setup::Mint { token, to: client_account, amount: PURSE },
            Setup::SetNode { operator: node_account, node: parts.transport.id(), active: true },
        ] {
            let done = chain.set_up(genesis.owner, setup).await;
            done.map_err(|why| format!("the contracts refused to set the stage: {why:?}"))?;
        }
        let mut config = NodeConfig::new(deployment, parts.transport.id(), node_account);
        config.rates = vec![(token, RATE)];
        config.monitor.poll = POLL;
        config.max_blob_size = u64::MAX;
        // The chain calls nothing safe for 15 minutes; here the node takes the risk of any deposit (V6).
        config.soft_cap = PURSE;
        let settle_grace = config.monitor.settle_grace;
        let role = Node::recover(config, parts.load()?.into_iter());
        let signer = KeySigner::new(node_key, deployment);
        let node = Party::start(role, parts, clock.clone(), chain.account(node_account), signer);

        let client = start_client(&temp, &clock, &chain, &client_key, &node).await?;
        let window = Span::from_secs(genesis.dispute_window_secs);
        Ok(Self { clock, chain, token, window, settle_grace, node, client, client_key, temp })
    }

    /// Ends the client and starts it again from what is durable.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn restart_client(&mut self) -> Result<(), StartError> {
        self.client.stop().await;
        self.client =
            start_client(&self.temp, &self.clock, &self.chain, &self.client_key, &self.node).await?;
        Ok(())
    }

    /// Puts content into the node's store and tells the node.
    ///
    /// # Errors
    /// If the content can't be read, or the disk refuses.
    pub async fn import(
        &self,
        content: impl Read + Send + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> std::io::Result<(BlobHash, u64)> {
        let blobs = self.node.blobs.clone();
        let importing = tokio::task::spawn_blocking(move || blobs.import(content, progress));
        let (hash, bytes) = importing.await.map_err(std::io::Error::other)??;
        self.node.order(Input::BlobReady { hash, bytes }).await;
        Ok((hash, bytes))
    }

    /// An order for a whole blob from the node, with a quarter more deposit than it costs.
    pub fn order(&self, id: u64, hash: BlobHash, bytes: u64, keep_channel: bool) -> FetchOrder {
        let cost = price(bytes);
        FetchOrder {
            id: FetchId(id),
            hash,
            offset_bytes: 0,
            len_bytes: 0,
            candidates: vec![Candidate { node: self.node.node, operator: self.node.signer.address() }],
            token: self.token,
            deposit: Amount(cost.0 + cost.0 / 4 + 1),
            cadence_bytes: CADENCE,
            max_rate: RATE,
            keep_channel,
        }
    }

    /// Where a finished download goes.
    pub fn delivered(&self, id: u64) -> PathBuf {
        self.temp.path().join(format!("delivered-{id}"))
    }

    /// The node's own copy of a blob's content.
    pub fn content_of(&self, hash: BlobHash) -> PathBuf {
        self.temp.path().join("node/blobs").join(format!("{hash}.content"))
    }
}

async fn start_client(
    temp: &TempDir,
    clock: &SystemClock,
    chain: &LocalChain,
    key: &EthKey,
    node: &Party,
) -> Result<Party, StartError> {
    let mut parts = Parts::open(&temp.path().join("client"), CLIENT_KEY, LOOPBACK).await?;
    parts.transport.learn(node.node, node.addrs.clone());
    let deployment = chain.deployment();
    let mut config = ClientConfig::new(deployment, parts.transport.id(), key.address());
    config.monitor.poll = POLL;
    let role = Client::recover(config, parts.load()?.into_iter());
    let signer = KeySigner::new(key.clone(), deployment);
    Ok(Party::start(role, parts, clock.clone(), chain.account(key.address()), signer))
}
