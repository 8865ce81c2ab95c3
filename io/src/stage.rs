//! A chain, a node and a client in one process, over real QUIC on loopback and real files in a temporary folder:
//! what the demo, the benchmark and the end-to-end tests play on. A test may bring a network of its own, and a second node from
//! which the first one buys.

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
    ids::{Address, BlobHash, FetchId, NodeId, TxTicket},
    io::Input,
    money::{Amount, MB, Rate},
    order::{Candidate, FetchOrder},
    roles::{
        client::Client,
        config::{ClientConfig, Monitor, NodeConfig, TokenTerms},
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
/// The stage's own client; others come after it. Everything on a stage is for show, keys too: each party has a number.
const CLIENT: u8 = 1;
/// The stage's own node.
const NODE: u8 = 21;
/// The one from which it buys.
const SOURCE: u8 = 22;

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

/// What all parties have in common.
struct Ground<'a> {
    home: &'a Path,
    clock: &'a SystemClock,
    chain: &'a Devnet,
    token: Address,
    network: &'a dyn Network,
    /// How often the node reads the chain.
    node_poll: Span,
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

    /// As [`set_on`](Self::set_on), with one more node, at which the stage's own node can buy: it has the money, and knows where
    /// the other is.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn resale_on(network: Arc<dyn Network>) -> Result<(Self, Party), StartError> {
        let temp = tempfile::Builder::new().prefix("decdn-stage-").tempdir()?;
        let (mut stage, source) = Self::set_up(temp.path(), network, true).await?;
        stage._temp = Some(temp);
        Ok((stage, source.ok_or("no source was set up")?))
    }

    /// As [`set`](Self::set), in a folder that is somebody else's to remove.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_in(home: &Path) -> Result<Self, StartError> {
        Self::set_in_on(home, Arc::new(Loopback)).await
    }

    async fn set_in_on(home: &Path, network: Arc<dyn Network>) -> Result<Self, StartError> {
        Ok(Self::set_up(home, network, false).await?.0)
    }

    async fn set_up(
        home: &Path,
        network: Arc<dyn Network>,
        has_source: bool,
    ) -> Result<(Self, Option<Party>), StartError> {
        let home = home.to_path_buf();
        let clock = SystemClock::new();
        let genesis = Genesis::standard();
        let profile = Profile { genesis: clock.genesis(), ..Profile::arbitrum() };
        let ticks = clock.clone();
        let chain = Devnet::start(genesis.clone(), profile, Arc::new(move || ticks.now().mono), 0).await?;
        let token = genesis.token(0).ok_or("the genesis has no token")?;
        let client_key = key(CLIENT)?;
        let (home_dir, on) = (&home, &*network);
        let ground =
            Ground { home: home_dir, clock: &clock, chain: &chain, token, network: on, node_poll: POLL };
        ground.pay(client_key.address())?;
        ground.list(NODE)?;
        let source = if has_source {
            ground.pay(key(NODE)?.address())?;
            ground.list(SOURCE)?;
            Some(ground.start_node(SOURCE, None).await?)
        } else {
            None
        };
        let node = ground.start_node(NODE, source.as_ref()).await?;
        let client = ground.start_client(CLIENT, &client_key, &node).await?;
        let window = Span::from_secs(genesis.dispute_window_secs);
        let settle_grace = Monitor::default().settle_grace;
        let stage = Self {
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
        };
        Ok((stage, source))
    }

    fn ground(&self) -> Ground<'_> {
        let Self { home, clock, chain, token, network, .. } = self;
        Ground { home, clock, chain, token: *token, network: &**network, node_poll: POLL }
    }

    /// Ends the client and starts it again from what is durable.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn restart_client(&mut self) -> Result<(), StartError> {
        self.client.stop().await;
        self.client = self.ground().start_client(CLIENT, &self.client_key, &self.node).await?;
        Ok(())
    }

    /// Kills the node and starts it again from what is durable; it buys where it did. The network has to have it at the same
    /// place again, or its client doesn't find it.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn kill_and_restart_node(&mut self, source: &Party) -> Result<(), StartError> {
        self.node.kill().await;
        self.node = self.ground().start_node(NODE, Some(source)).await?;
        Ok(())
    }

    /// Ends the node and starts it again as one that reads the chain as seldom as in production.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn restart_node_as_in_production(&mut self) -> Result<Span, StartError> {
        self.node.stop().await;
        let node_poll = Monitor::default().poll;
        self.node = Ground { node_poll, ..self.ground() }.start_node(NODE, None).await?;
        Ok(node_poll)
    }

    /// Opens so many channels from the client's account to the node, past any engine: one after the other, as each takes a permit.
    ///
    /// # Errors
    /// If one is not opened.
    pub async fn open_channels(&self, count: u64, deposit: Amount) -> Result<(), StartError> {
        let node = self.node.signer.address();
        let open = decdn_engine::chain::channel::Call::Open { node, token: self.token, deposit };
        for _ in 0..count {
            let (_, result) = self.transact_as_client(open.into()).await?;
            result.map_err(|why| format!("a channel was not opened: {why:?}"))?;
        }
        Ok(())
    }

    /// One more client of the same node, with an account, a key and a folder of its own. Each `n` from 2 to 20 is
    /// another one.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn newcomer(&self, n: u8) -> Result<Party, StartError> {
        let key = key(n)?;
        self.ground().pay(key.address())?;
        self.ground().start_client(n, &key, &self.node).await
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
        Self::import_at(&self.node, content, progress).await
    }

    /// As [`import`](Self::import), at any node.
    ///
    /// # Errors
    /// As [`import`](Self::import).
    pub async fn import_at(
        node: &Party,
        content: impl Read + Send + 'static,
        progress: impl FnMut(u64) + Send + 'static,
    ) -> std::io::Result<(BlobHash, u64)> {
        let blobs = node.blobs.clone();
        let importing = tokio::task::spawn_blocking(move || blobs.import(content, progress));
        let (hash, bytes) = importing.await.map_err(std::io::Error::other)??;
        node.order(Input::BlobReady { hash, bytes }).await;
        Ok((hash, bytes))
    }

    /// An order for a whole blob from the node, with a quarter more deposit than it costs.
    pub fn order(&self, id: u64, hash: BlobHash, bytes: u64, keep_channel: bool) -> FetchOrder {
        self.order_from(&self.node, id, hash, bytes, keep_channel)
    }

    /// As [`order`](Self::order), from any node.
    pub fn order_from(
        &self,
        seller: &Party,
        id: u64,
        hash: BlobHash,
        bytes: u64,
        keep_channel: bool,
    ) -> FetchOrder {
        let cost = price(bytes);
        FetchOrder {
            id: FetchId(id),
            hash,
            offset_bytes: 0,
            len_bytes: 0,
            candidates: vec![Candidate { node: seller.node, operator: seller.signer.address() }],
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
                TxOutcome::Queued { .. } | TxOutcome::Lost | TxOutcome::Absent => None,
            })
        });
        Ok(std::pin::pin!(included).next().await.ok_or("the transaction was lost")?)
    }

    /// The chain port of the node's account, for who asks the chain beside the node.
    ///
    /// # Errors
    /// If the chain's address can't be used.
    pub fn node_account(&self) -> Result<AlloyChain, StartError> {
        account(&self.chain, &key(NODE)?)
    }

    /// The node's state directory.
    pub fn node_dir(&self) -> PathBuf {
        self.home.join("node")
    }

    /// Where a finished download goes.
    pub fn delivered(&self, id: u64) -> PathBuf {
        self.home.join(format!("delivered-{id}"))
    }

    /// The node's own copy of a blob's content.
    pub fn content_of(&self, hash: BlobHash) -> PathBuf {
        self.node_dir().join("blobs").join(format!("{hash}.content"))
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

impl Ground<'_> {
    fn set(&self, setup: &Setup) -> Result<(), StartError> {
        let done = self.chain.setup(setup);
        done.map_err(|why| format!("the contracts refused to set the stage: {why:?}").into())
    }

    /// Gives somebody something to spend.
    fn pay(&self, to: Address) -> Result<(), StartError> {
        self.set(&token::Setup::Mint { token: self.token, to, amount: PURSE }.into())
    }

    /// Puts a node into the registry.
    fn list(&self, n: u8) -> Result<(), StartError> {
        let node = NodeId(*SecretKey::from_bytes(&[n; 32]).public().as_bytes());
        self.set(&registry::Setup::SetNode { operator: key(n)?.address(), node, active: true }.into())
    }

    async fn start_node(&self, n: u8, source: Option<&Party>) -> Result<Party, StartError> {
        let name = if n == NODE { "node" } else { "source" };
        let mut parts = open(&self.home.join(name), [n; 32], self.network).await?;
        if let Some(source) = source {
            parts.transport.learn_at(source.node, self.network.places(&source.endpoint()));
        }
        let (key, deployment) = (key(n)?, self.chain.deployment());
        let mut config = NodeConfig::new(deployment, parts.transport.id(), key.address());
        // The chain calls nothing safe for 15 minutes; here the node takes the risk of any deposit (V6).
        config.tokens = vec![TokenTerms { soft_cap: PURSE, ..TokenTerms::new(self.token, RATE) }];
        config.monitor.poll = self.node_poll;
        config.max_blob_size = u64::MAX;
        let role = Node::recover(config, parts.load()?.into_iter());
        let blobs = parts.blobs.list()?;
        let account = account(self.chain, &key)?;
        let node = Party::start(role, parts, self.clock.clone(), account, KeySigner::new(key, deployment));
        for (hash, bytes) in blobs {
            node.order(Input::BlobReady { hash, bytes }).await;
        }
        Ok(node)
    }

    async fn start_client(&self, n: u8, key: &EthKey, node: &Party) -> Result<Party, StartError> {
        let mut parts = open(&self.home.join(format!("client-{n}")), [100 + n; 32], self.network).await?;
        parts.transport.learn_at(node.node, self.network.places(&node.endpoint()));
        let deployment = self.chain.deployment();
        let mut config = ClientConfig::new(deployment, parts.transport.id(), key.address());
        config.monitor.poll = POLL;
        let role = Client::recover(config, parts.load()?.into_iter());
        let (account, signer) = (account(self.chain, key)?, KeySigner::new(key.clone(), deployment));
        Ok(Party::start(role, parts, self.clock.clone(), account, signer))
    }
}
