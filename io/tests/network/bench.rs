//! The driver with the adapters of production: iroh, redb, files and the machine's clock. Its peer is an iroh endpoint
//! that does what the suite says. Chain, signer and owner are the suite's, and so is the disk under redb, which fails
//! when the suite wants it to.
//!
//! iroh runs in real time, so the bench never guesses when all is quiet: it keeps a tally of what the peer has put on
//! the network and what has come of it ([`Tally`]).

use std::{
    future::Future,
    task::{Context, Poll},
    time::Duration,
};

use decdn_driver::{
    Blobs, Clock, Driver, Incoming, Limits, Outgoing, Ports, Store, Transport,
    suite::{Bench, Hands, Log, NoCrypto, Port, Script, Seen, Setting, World, content, until_quiet},
};
use decdn_engine::{
    ids::{ConnId, FetchId, NodeId, StreamId},
    io::{Effect, Input, Lane},
    record::Record,
    time::{Span, Time},
    wire::{Code, Message, Protocol},
};
use decdn_io::{
    clock::SystemClock,
    stage::Network,
    store::{BlobStore, Records},
    transport::{CREDITS, Credit, IrohTransport},
};
use decdn_store::{Disk, Op, StoreError, ordeal};
use futures::{FutureExt, future::BoxFuture, stream};
use iroh::{Endpoint, SecretKey, endpoint::presets};
use tempfile::TempDir;
use tokio::{runtime::Runtime, sync::mpsc, task::JoinHandle};

use crate::{
    peer::{Heard, Order, Peer},
    tally::{Held, Owed, Tally},
};

const DRIVER_KEY: [u8; 32] = [31; 32];
const PEER_KEY: [u8; 32] = [32; 32];
/// What [`PEER_KEY`] is called.
const PEER: NodeId = NodeId([
    78, 211, 47, 99, 191, 53, 240, 238, 239, 203, 37, 242, 138, 46, 31, 189, 200, 115, 174, 40, 53, 103, 27,
    12, 148, 96, 245, 241, 46, 69, 86, 168,
]);

/// A network under the suite: each bench gets one of its own.
pub trait Wire: Network {
    /// Random programs that a test of a few seconds has time for.
    const RANDOM_RUNS: u64;
    /// The next one.
    fn next() -> Self;
}

/// The machine's clock. What the suite's own ports do takes no time.
#[derive(Clone)]
pub struct Machine(SystemClock);

impl Setting for Machine {
    fn now(&self) -> Time {
        self.0.now().mono
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        self.0.sleep_until(at).boxed()
    }

    fn carry_out(&self, work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        work
    }
}

/// Our driver over iroh.
pub struct Quic<N> {
    world: World<Machine>,
    tally: Tally,
    orders: mpsc::UnboundedSender<Order>,
    peer: Peer,
    driver: Option<JoinHandle<()>>,
    // After everything that lives in it, before the folder that it writes to.
    runtime: Runtime,
    disk: Disk,
    _home: TempDir,
    pub network: N,
}

impl<N: Wire> Quic<N> {
    /// What the peer hears from the driver.
    pub fn heard(&self) -> Heard {
        self.peer.heard.clone()
    }

    /// Lets so much time pass, whatever is under way.
    pub fn run(&self, millis: u64) {
        self.runtime.block_on(async { tokio::time::sleep(Duration::from_millis(millis)).await });
    }

    /// Lets time pass until that is so.
    pub fn run_until(&self, is_so: impl Fn() -> bool) {
        self.runtime.block_on(async {
            while !is_so() {
                tokio::time::sleep(Duration::from_micros(100)).await;
            }
        });
    }

    /// The power goes, the peer's too: whatever is under way ends where it is, and of what the disk had not synced
    /// each sector is there or not, as `choose` says. What the store finds then.
    pub fn crash(self, choose: impl FnMut(u64) -> u64) -> Vec<Record> {
        let Self { runtime, disk, .. } = self;
        disk.cut_power(choose);
        drop(runtime);
        ordeal::open(&disk).expect("its own database").load().expect("readable")
    }

    fn spawn(&mut self, order: Order) {
        self.orders.send(order).expect("the peer lives as long as the bench");
    }
}

impl<N: Wire> Bench for Quic<N> {
    const INPUTS_PER_STREAM: Option<usize> = Some(CREDITS as usize);
    const SETTLE: Span = Span::from_secs(1);
    const RANDOM_RUNS: u64 = N::RANDOM_RUNS;
    const REACHABLE: NodeId = PEER;

    fn start(role: Script, log: Log) -> Self {
        // One thread: between two looks at the bench everything that is ready has run.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let home = tempfile::tempdir().expect("a temporary folder");
        let (orders, ordered) = mpsc::unbounded_channel();
        let (tally, clock) = (Tally::default(), SystemClock::new());
        let world = World::new(log, Machine(clock.clone()));
        let (network, disk) = (N::next(), Disk::default());
        let (peer, driver) = runtime.block_on(async {
            let own = |key: [u8; 32]| SecretKey::from_bytes(&key).public();
            let builder = |key| network.attach(Endpoint::builder(presets::Minimal), own(key));
            let blobs = BlobStore::open(home.path()).expect("a fresh folder");
            blobs.import(std::io::Cursor::new(content()), |_| {}).expect("room on the disk");
            let records = Records::over(ordeal::open(&disk).expect("a new disk"));
            let mut transport =
                IrohTransport::bind_over(builder(DRIVER_KEY), DRIVER_KEY, blobs.clone(), network.limits())
                    .await
                    .expect("the network is there");
            let there = network.places(&transport.endpoint());
            let driver_at = iroh::EndpointAddr::from_parts(own(DRIVER_KEY), there);
            let peer = Peer::start(builder(PEER_KEY), PEER_KEY, driver_at, tally.clone(), ordered).await;
            assert_eq!(own(PEER_KEY).as_bytes(), &PEER.0, "what the key is called");
            transport.learn_at(PEER, network.places(&peer.endpoint));
            let ports = Ports {
                clock,
                transport: Tap { inner: transport, world: world.clone(), tally: tally.clone() },
                chain: world.clone(),
                store: Gated { inner: (records, disk.clone()), world: world.clone() },
                blobs: Gated { inner: blobs, world: world.clone() },
                signer: world.clone(),
                owner: world.clone(),
            };
            let driver = Driver::new(role, NoCrypto, ports, Limits::default()).run(stream::pending());
            let running = world.follow(driver).map(drop);
            (peer, tokio::spawn(running))
        });
        Self { world, tally, orders, peer, driver: Some(driver), runtime, disk, _home: home, network }
    }

    fn arrive(&mut self, input: Input) {
        match input {
            Input::Connected { conn, .. } => {
                self.tally.owe(Owed::Up(conn));
                self.spawn(Order::Dial(conn));
            }
            Input::Message { stream, message } => {
                self.tally.owe(Owed::Said(stream));
                self.spawn(Order::Say(stream, Box::new(message)));
            }
            Input::Verdict { stream, .. } => {
                self.tally.owe(Owed::Delivered(stream));
                self.spawn(Order::Deliver(stream));
            }
            Input::StreamClosed { stream, code: None } => {
                let is_first = self.tally.owe(Owed::Closed(stream));
                self.spawn(if is_first { Order::Finish(stream) } else { Order::Break(stream) });
            }
            Input::Malformed { stream, .. } => self.spawn(Order::Garble(stream)),
            Input::Disconnected { conn, .. } => {
                // A close overtakes what is under way; what was said before it is heard here.
                self.settle();
                self.tally.owe(Owed::Down(conn));
                self.spawn(Order::HangUp(conn));
            }
            // What no network brings: the transport itself would have to be wrong.
            Input::RangeSent { .. } | Input::RangeFailed { .. } => self.tally.inject(input),
            other => panic!("{other:?} does not come from a peer"),
        }
    }

    fn settle(&mut self) {
        until_quiet(|| {
            self.run(1);
            if let Some(driver) = self.driver.take_if(|driver| driver.is_finished()) {
                self.runtime.block_on(driver).expect("a driver that stops does so by itself");
            }
            !(self.world.is_stopped() || self.world.is_quiet() && self.tally.is_settled())
        });
    }

    fn hands(&self) -> impl Hands {
        self.world.clone()
    }

    fn now(&mut self) -> Time {
        self.world.setting().now()
    }

    fn advance(&mut self, span: Span) {
        self.world.setting().0.warp(span);
    }
}

/// Production's transport; what goes through is taken down.
struct Tap {
    inner: IrohTransport,
    world: World<Machine>,
    tally: Tally,
}

impl Transport for Tap {
    type Credit = Held<Option<Credit>>;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, Self::Credit)> {
        if let Some(input) = self.tally.poll_injected(cx) {
            return Poll::Ready((input, Held::without()));
        }
        self.inner.poll_event(cx).map(|(input, credit)| {
            let held = self.tally.came(&input, Some(credit));
            (input, held)
        })
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol) {
        self.world.started(Effect::Connect { conn, peer, protocol });
        self.tally.owe(Owed::Dialled(conn));
        self.inner.connect(conn, peer, protocol);
    }

    fn disconnect(&mut self, conn: ConnId, code: Code) {
        self.world.started(Effect::Disconnect { conn, code });
        self.tally.ended(conn);
        self.inner.disconnect(conn, code);
    }

    fn send(&mut self, lane: Lane, stream: StreamId, message: Message) {
        self.world.started(Effect::Send { stream, message });
        self.inner.send(lane, stream, message);
    }

    fn finish(&mut self, lane: Lane, stream: StreamId) {
        self.world.started(Effect::Finish { stream });
        self.inner.finish(lane, stream);
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        self.world.started(Effect::Reset { stream, code });
        self.tally.silenced(stream);
        self.inner.reset(stream, code);
    }

    fn receive(&mut self, stream: StreamId, what: Incoming) {
        let Incoming { fetch, hash, total_bytes, offset, bytes } = what;
        self.world.started(Effect::Receive { stream, fetch, hash, total_bytes, offset, bytes });
        self.inner.receive(stream, what);
    }

    fn send_range(&mut self, stream: StreamId, what: Outgoing) {
        let Outgoing { hash, offset, bytes } = what;
        self.world.started(Effect::SendRange { stream, hash, offset, bytes });
        self.tally.owe(Owed::Range(stream));
        self.inner.send_range(stream, what);
    }
}

/// A port of production that the suite can hold back.
struct Gated<P> {
    inner: P,
    world: World<Machine>,
}

impl Store for Gated<(Records, Disk)> {
    type Error = StoreError;

    fn commit(
        &mut self,
        sets: Vec<Vec<Record>>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let ((mut records, disk), world) = (self.inner.clone(), self.world.clone());
        let commit = self.world.behind(Some(Port::Store), async move {
            if world.store_fails() {
                disk.fail(Op::Sync, 0, std::io::ErrorKind::Other);
            }
            records.commit(sets.clone()).await?;
            world.see(Seen::Durable(sets));
            Ok(())
        });
        commit.map(|answer| answer.unwrap_or(Err(StoreError::Cut)))
    }
}

impl Blobs for Gated<BlobStore> {
    type Error = std::io::Error;

    fn sync(
        &mut self,
        fetch: FetchId,
        verified_bytes: u64,
    ) -> impl Future<Output = std::io::Result<()>> + Send + 'static + use<> {
        let (mut blobs, world) = (self.inner.clone(), self.world.clone());
        let sync = self.world.behind(Some(Port::Blobs), async move {
            blobs.sync(fetch, verified_bytes).await?;
            world.see(Seen::Synced(fetch, verified_bytes));
            Ok(())
        });
        sync.map(|answer| answer.unwrap_or_else(|| Err(std::io::Error::other("the bench is gone"))))
    }
}
