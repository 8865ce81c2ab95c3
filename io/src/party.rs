//! A client or a node that runs: engine, driver and ports put together, and what its owner holds of it.

use std::{
    collections::BTreeSet,
    fs::File,
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
};

use decdn_contracts::Curves;
use decdn_driver::{Chain, Driver, Limits, Owner, Ports, Transport};
use decdn_engine::{
    fault::Fault,
    ids::{ChannelId, NodeId},
    io::{Fact, Input, Notice},
    record::Record,
    roles::{Config, Role},
    state::Digest,
    time::Now,
};
use decdn_recording::Recorder;
use futures::stream;
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};

use crate::{
    clock::SystemClock,
    signer::KeySigner,
    store::{BlobStore, DirError, Records, StateDir},
    transport::{BindError, IrohTransport, TransportLimits},
};

/// News that its owner has not taken. What comes past it is dropped: nothing in the engine depends on news, and a purse whose
/// owner has not heard the price lets no money go.
const NEWS_MAX: usize = 1 << 14;
/// Orders that the driver has not taken.
const ORDERS_MAX: usize = 64;

/// What a party tells its owner.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "news are built and consumed one at a time")]
pub enum News {
    /// See [`Notice`].
    Notice(Notice),
    /// See [`Fault`].
    Fault(Fault),
}

/// What any failed start has to say.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Channels that have settled, be it on the soft head alone: their records stay until that is safe.
type Settled = Arc<Mutex<BTreeSet<ChannelId>>>;

struct Teller {
    news: mpsc::Sender<News>,
    settled: Settled,
    recorder: Option<Recorder<File>>,
}

impl Owner for Teller {
    fn notice(&mut self, notice: Notice) {
        let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        match &notice {
            Notice::Settled { channel, .. } => _ = settled.insert(*channel),
            Notice::TakenBack { channel, what: Fact::Settlement } => _ = settled.remove(channel),
            _ => {}
        }
        drop(settled);
        // Full: whoever owns this party does not look.
        let _ = self.news.try_send(News::Notice(notice));
    }

    fn fault(&mut self, fault: Fault) {
        let _ = self.news.try_send(News::Fault(fault));
    }

    fn fed(&mut self, now: Now, input: &Input, digest: &mut dyn FnMut() -> Digest) {
        let Some(recorder) = &mut self.recorder else { return };
        recorder.fed(now, digest(), input);
        if let Some(error) = recorder.take_error() {
            tracing::warn!(%error, "the recording ends here; the role goes on");
            self.recorder = None;
        }
    }

    fn stopped(&mut self, digest: &mut dyn FnMut() -> Digest) {
        // One that can't be ended is torn, which is no fault.
        if let Some(recorder) = self.recorder.take() {
            let _ = recorder.end(digest());
        }
    }
}

/// Ends the party's lock on its directory after everything that writes there.
#[derive(Debug)]
struct Home {
    dir: StateDir,
}

/// What a party is made of before its role starts.
#[derive(Debug)]
pub struct Parts {
    home: Home,
    /// Its records; what they hold is what the role recovers from.
    pub records: Records,
    /// Its blobs and downloads.
    pub blobs: BlobStore,
    /// Its connections.
    pub transport: IrohTransport,
    recorder: Option<Recorder<File>>,
    first: Vec<Input>,
}

impl Parts {
    /// Opens a state directory and binds an endpoint.
    ///
    /// # Errors
    /// If the directory is in use, newer or broken, or the address can't be bound: each says what to do.
    pub async fn open(dir: &Path, network_key: [u8; 32], at: SocketAddr) -> Result<Self, StartError> {
        let limits = TransportLimits::default();
        Self::open_over(dir, |blobs| IrohTransport::bind(network_key, at, blobs, limits)).await
    }

    /// As [`open`](Self::open), on whatever network `bind` binds the endpoint to.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_over<F>(dir: &Path, bind: impl FnOnce(BlobStore) -> F) -> Result<Self, StartError>
    where
        F: Future<Output = Result<IrohTransport, BindError>>,
    {
        let mut dir = StateDir::open(dir)?;
        let records = Records::open(&mut dir)?;
        Self::put_together(dir, records, bind).await
    }

    /// As [`open`](Self::open), with records that are kept elsewhere.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn with(
        dir: StateDir,
        records: Records,
        network_key: [u8; 32],
        at: SocketAddr,
    ) -> Result<Self, StartError> {
        let limits = TransportLimits::default();
        Self::put_together(dir, records, |blobs| IrohTransport::bind(network_key, at, blobs, limits)).await
    }

    async fn put_together<F>(
        dir: StateDir,
        records: Records,
        bind: impl FnOnce(BlobStore) -> F,
    ) -> Result<Self, StartError>
    where
        F: Future<Output = Result<IrohTransport, BindError>>,
    {
        let home = Home { dir };
        let path = home.dir.path();
        let blobs = BlobStore::open(path).map_err(|error| DirError::Io(path.to_path_buf(), error))?;
        let transport = bind(blobs.clone()).await?;
        Ok(Self { home, records, blobs, transport, recorder: None, first: Vec::new() })
    }

    /// Orders something before the role hears of anything: what is on record of the past is then known to be wanted, or not.
    pub fn order(&mut self, order: Input) {
        self.first.push(order);
    }

    /// Records what the role will be told, in a new file that only its owner may read. `records` are what it starts
    /// from, `start` the state that they make.
    ///
    /// # Errors
    /// If the file is there already, or can't be written.
    pub fn record(
        &mut self,
        file: &Path,
        config: Config,
        records: &[Record],
        start: Digest,
    ) -> std::io::Result<()> {
        self.recorder = Some(Recorder::create(file, env!("CARGO_PKG_VERSION"), config, records, start)?);
        Ok(())
    }

    /// Everything durable.
    ///
    /// # Errors
    /// If the records can't be read.
    pub fn load(&self) -> Result<Vec<Record>, StartError> {
        Ok(self.records.load()?)
    }
}

/// A party that runs.
#[derive(Debug)]
pub struct Party {
    /// Its network key.
    pub node: NodeId,
    /// Where it can be reached.
    pub addrs: Vec<SocketAddr>,
    /// Its blobs.
    pub blobs: BlobStore,
    /// Its signer, which counts.
    pub signer: KeySigner,
    /// What it tells.
    pub news: mpsc::Receiver<News>,
    settled: Settled,
    records: Option<Records>,
    orders: Option<mpsc::Sender<Input>>,
    stopped: watch::Receiver<Option<String>>,
    task: Option<JoinHandle<()>>,
    endpoint: iroh::Endpoint,
}

impl Party {
    /// Starts a role on its parts.
    pub fn start<R, H>(role: R, parts: Parts, clock: SystemClock, chain: H, signer: KeySigner) -> Self
    where
        R: Role + Send + 'static,
        H: Chain + 'static,
    {
        Self::start_over(role, parts, clock, chain, signer, |transport| transport)
    }

    /// Starts a role on its parts, with something around its transport.
    pub fn start_over<R, H, T>(
        role: R,
        parts: Parts,
        clock: SystemClock,
        chain: H,
        signer: KeySigner,
        around: impl FnOnce(IrohTransport) -> T,
    ) -> Self
    where
        R: Role + Send + 'static,
        H: Chain + 'static,
        T: Transport + 'static,
    {
        let Parts { home, records, blobs, transport, recorder, first } = parts;
        let (orders, mut orders_in) = mpsc::channel(ORDERS_MAX);
        let mut first = first.into_iter();
        let (tell, news) = mpsc::channel(NEWS_MAX);
        let settled = Settled::default();
        let (node, addrs, endpoint) = (transport.id(), transport.addrs(), transport.endpoint());
        let ports = Ports {
            clock,
            transport: around(transport),
            chain,
            store: records.clone(),
            blobs: blobs.clone(),
            signer: signer.clone(),
            owner: Teller { news: tell, settled: settled.clone(), recorder },
        };
        let driver = Driver::new(role, Curves::new(), ports, Limits::default());
        let (says, stopped) = watch::channel(None);
        let readable = Some(records.clone());
        let task = tokio::spawn(async move {
            let orders = stream::poll_fn(move |cx| match first.next() {
                Some(order) => Poll::Ready(Some(order)),
                None => orders_in.poll_recv(cx),
            });
            let why = driver.run(orders).await;
            says.send_replace(Some(why.to_string()));
            records.close().await;
            drop(home);
        });
        let records = readable;
        Self {
            node,
            addrs,
            blobs,
            signer,
            news,
            settled,
            records,
            orders: Some(orders),
            stopped,
            task: Some(task),
            endpoint,
        }
    }

    /// Its endpoint.
    pub fn endpoint(&self) -> iroh::Endpoint {
        self.endpoint.clone()
    }

    /// Orders something: `Fetch`, `Cancel`, `CloseChannel`, `Order`, `Agreed`, `Declined`, `BlobReady`, `BlobGone`. Lost where the party has
    /// stopped.
    pub async fn order(&self, order: Input) {
        if let Some(orders) = &self.orders {
            let _ = orders.send(order).await;
        }
    }

    /// What is durable at this moment, read beside the running role.
    ///
    /// # Errors
    /// If the records can't be read, or the party was stopped.
    pub fn load(&self) -> impl Future<Output = Result<Vec<Record>, StartError>> + Send + 'static + use<> {
        let records = self.records.clone();
        async move {
            let records = records.ok_or("the party was stopped")?;
            Ok(tokio::task::spawn_blocking(move || records.load()).await??)
        }
    }

    /// Whether a channel has settled since the start, be it on the soft head alone. Its record stays until that is safe (L1).
    pub fn has_settled(&self, channel: &ChannelId) -> bool {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).contains(channel)
    }

    /// The next news; an error with its reason once the party has stopped.
    ///
    /// # Errors
    /// The sentence that the driver left.
    pub async fn next(&mut self) -> Result<News, String> {
        match self.news.recv().await {
            Some(news) => Ok(news),
            // The news end with the driver, a moment before it has said why.
            None => Err(match self.stopped.wait_for(Option::is_some).await {
                Ok(why) => why.clone().unwrap_or_default(),
                Err(_) => "stopped without a word".to_owned(),
            }),
        }
    }

    /// Ends the party wherever it is, as a kill of its process does: nothing that was under way is waited for, but a commit that the
    /// disk has begun, without which the directory could not be opened again.
    pub async fn kill(&mut self) {
        self.orders = None;
        if let Some(task) = self.task.take() {
            task.abort();
            // It ends as one that was aborted.
            let _ = task.await;
            self.endpoint.close().await;
        }
        if let Some(records) = self.records.take() {
            records.close().await;
        }
    }

    /// Ends the party. What is durable stays; its signer and its blobs can still be asked.
    pub async fn stop(&mut self) {
        self.orders = None;
        self.records = None;
        if let Some(task) = self.task.take() {
            // A driver that panicked has said so already.
            let _ = task.await;
            self.endpoint.close().await;
        }
    }
}
