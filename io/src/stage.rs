//! A chain, a node and a client in one process, over real QUIC on loopback and real files in a temporary folder:
//! what the demo, the benchmark and the end-to-end tests play on. A test may bring a network of its own.

use std::{
    io::Read,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use decdn_contracts::{EthKey, Genesis, Profile, Setup, registry, token};
use decdn_driver::{Chain, Clock};
use decdn_engine::{
    chain::{Block, Call, Revert, Route, TxOutcome},
    ids::{Address, BlobHash, FetchId, TxTicket},
    io::Input,
    money::{Amount, MB, Rate},
    order::{Candidate, FetchOrder},
    roles::{
        client::Client,
        config::{ClientConfig, NodeConfig},
        node::Node,
    },
    time::Span,
};
use futures::{StreamExt, future::ready};
use iroh::{
    Endpoint, PublicKey, SecretKey, TransportAddr,
    endpoint::{Builder, presets},
};
use tempfile::TempDir;

use crate::{
    chain::{AlloyChain, Config, Inbox},
    clock::SystemClock,
    devnet::Devnet,
    party::{Parts, Party, StartError},
    signer::KeySigner,
    transport::{IrohTransport, TransportLimits},
};

/// What the node asks per MB: a tenth of a cent in a token of 6 decimals.
pub const RATE: Rate = Rate(1_000);
/// What the client proposes, and the node accepts.
pub const CADENCE: u64 = 8 * MB;
/// How often both read the chain: often, so that nobody has to wait.
const POLL: Span = Span::from_millis(100);
/// How often both look for a receipt.
const RECEIPT_POLL: Duration = Duration::from_millis(50);
/// What the client starts with.
const PURSE: Amount = Amount(1_000_000_000_000);
/// Network keys of a stage; everything on it is for show.
const NODE_KEY: [u8; 32] = [21; 32];
/// The stage's own client; others come after it.
const CLIENT: u8 = 1;

/// What connects a stage's client and node.
pub trait Network: Send + Sync {
    /// Bounds of both transports.
    fn limits(&self) -> TransportLimits {
        TransportLimits::default()
    }
    /// Puts an endpoint onto it.
    fn attach(&self, builder: Builder, id: PublicKey) -> Builder;
    /// Where a bound endpoint is.
    fn places(&self, endpoint: &Endpoint) -> Vec<TransportAddr>;
}

/// UDP on 127.0.0.1, any port.
#[derive(Clone, Copy, Debug)]
pub struct Loopback;

impl Network for Loopback {
    fn attach(&self, builder: Builder, _: PublicKey) -> Builder {
        let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        builder.clear_ip_transports().bind_addr(at).expect("an address without a prefix is one to bind to")
    }

    fn places(&self, endpoint: &Endpoint) -> Vec<TransportAddr> {
        endpoint.bound_sockets().into_iter().map(TransportAddr::Ip).collect()
    }
}

/// See the module.
pub struct Stage {
    /// The clock of everything; warp it to let a window pass.
    pub clock: SystemClock,
    /// The chain; both parties reach it over JSON-RPC only.
    pub chain: Devnet,
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
    network: Arc<dyn Network>,
    home: PathBuf,
    /// Removed with the stage, where the stage has made it.
    _temp: Option<TempDir>,
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
        Self::set_on(Arc::new(Loopback)).await
    }

    /// As [`set`](Self::set), on a network that may be somebody else's.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_on(network: Arc<dyn Network>) -> Result<Self, StartError> {
        let temp = tempfile::Builder::new().prefix("decdn-stage-").tempdir()?;
        let mut stage = Self::set_in_on(temp.path(), network).await?;
        stage._temp = Some(temp);
        Ok(stage)
    }

    /// As [`set`](Self::set), in a folder that is somebody else's to remove.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_in(home: &Path) -> Result<Self, StartError> {
        Self::set_in_on(home, Arc::new(Loopback)).await
    }

    async fn set_in_on(home: &Path, network: Arc<dyn Network>) -> Result<Self, StartError> {
        let home = home.to_path_buf();
        let clock = SystemClock::new();
        let genesis = Genesis::standard();
        let profile = Profile { genesis: clock.genesis(), ..Profile::arbitrum() };
        let ticks = clock.clone();
        let chain = Devnet::start(genesis.clone(), profile, Arc::new(move || ticks.now().mono), 0).await?;
        let deployment = chain.deployment();
        let token = genesis.token(0).ok_or("the genesis has no token")?;
        let (client_key, node_key) = (key(CLIENT)?, key(NODE_KEY[0])?);
        let (client_account, node_account) = (client_key.address(), node_key.address());

        let parts = open(&home.join("node"), NODE_KEY, &*network).await?;
        for setup in [
            Setup::from(token::Setup::Mint { token, to: client_account, amount: PURSE }),
            registry::Setup::SetNode { operator: node_account, node: parts.transport.id(), active: true }
                .into(),
        ] {
            chain.setup(&setup).map_err(|why| format!("the contracts refused to set the stage: {why:?}"))?;
        }
        let mut config = NodeConfig::new(deployment, parts.transport.id(), node_account);
        config.rates = vec![(token, RATE)];
        config.monitor.poll = POLL;
        config.max_blob_size = u64::MAX;
        // The chain calls nothing safe for 15 minutes; here the node takes the risk of any deposit (V6).
        config.soft_cap = PURSE;
        let settle_grace = config.monitor.settle_grace;
        let role = Node::recover(config, parts.load()?.into_iter());
        let account = account(&chain, &node_key)?;
        let signer = KeySigner::new(node_key, deployment);
        let node = Party::start(role, parts, clock.clone(), account, signer);

        let client = start_client(&home, CLIENT, &clock, &chain, &client_key, &node, &*network).await?;
        let window = Span::from_secs(genesis.dispute_window_secs);
        Ok(Self {
            clock,
            chain,
            token,
            window,
            settle_grace,
            node,
            client,
            client_key,
            network,
            home,
            _temp: None,
        })
    }

    /// Ends the client and starts it again from what is durable.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn restart_client(&mut self) -> Result<(), StartError> {
        self.client.stop().await;
        let (chain, network) = (&self.chain, &*self.network);
        self.client =
            start_client(&self.home, CLIENT, &self.clock, chain, &self.client_key, &self.node, network)
                .await?;
        Ok(())
    }

    /// One more client of the same node, with an account, a key and a folder of its own. Each `n` from 2 to 20 is
    /// another one.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn newcomer(&self, n: u8) -> Result<Party, StartError> {
        let key = key(n)?;
        let mint = token::Setup::Mint { token: self.token, to: key.address(), amount: PURSE }.into();
        self.chain
            .setup(&mint)
            .map_err(|why| format!("the contracts refused a client its money: {why:?}"))?;
        start_client(&self.home, n, &self.clock, &self.chain, &key, &self.node, &*self.network).await
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

    /// Makes a transaction from the client's account and waits for its block, past any engine: what a dishonest
    /// client does.
    ///
    /// # Errors
    /// If it is never included.
    pub async fn transact_as_client(&self, call: Call) -> Result<(Block, Result<(), Revert>), StartError> {
        let mut account = account(&self.chain, &self.client_key)?;
        let outcomes = account.submit(TxTicket(0), call, Route::Sequencer);
        let included = outcomes.filter_map(|outcome| {
            ready(match outcome {
                TxOutcome::Included { block, result } => Some((block, result)),
                TxOutcome::Queued { .. } | TxOutcome::Lost => None,
            })
        });
        Ok(std::pin::pin!(included).next().await.ok_or("the transaction was lost")?)
    }

    /// Where a finished download goes.
    pub fn delivered(&self, id: u64) -> PathBuf {
        self.home.join(format!("delivered-{id}"))
    }

    /// The node's own copy of a blob's content.
    pub fn content_of(&self, hash: BlobHash) -> PathBuf {
        self.home.join("node/blobs").join(format!("{hash}.content"))
    }
}

/// The chain port of an account.
fn account(chain: &Devnet, key: &EthKey) -> Result<AlloyChain, StartError> {
    let config = Config { receipt_poll: RECEIPT_POLL, inbox: Inbox::Devnet, ..Config::default() };
    Ok(AlloyChain::new(&chain.url(), chain.deployment(), key.clone(), config)?)
}

/// Opens a party's parts and puts its endpoint onto the network.
async fn open(dir: &Path, key: [u8; 32], network: &dyn Network) -> Result<Parts, StartError> {
    let id = SecretKey::from_bytes(&key).public();
    let over = network.attach(Endpoint::builder(presets::Minimal), id);
    Parts::open_over(dir, |blobs| IrohTransport::bind_over(over, key, blobs, network.limits())).await
}

async fn start_client(
    home: &Path,
    n: u8,
    clock: &SystemClock,
    chain: &Devnet,
    key: &EthKey,
    node: &Party,
    network: &dyn Network,
) -> Result<Party, StartError> {
    let mut parts = open(&home.join(format!("client-{n}")), [100 + n; 32], network).await?;
    parts.transport.learn_at(node.node, network.places(&node.endpoint()));
    let deployment = chain.deployment();
    let mut config = ClientConfig::new(deployment, parts.transport.id(), key.address());
    config.monitor.poll = POLL;
    let role = Client::recover(config, parts.load()?.into_iter());
    let signer = KeySigner::new(key.clone(), deployment);
    Ok(Party::start(role, parts, clock.clone(), account(chain, key)?, signer))
}
