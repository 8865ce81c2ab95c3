//! A bench in memory, on a plain executor: time stands still, nothing is random, no thread runs.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use decdn_driver::{
    Blobs, Chain, Clock, Driver, Incoming, Limits, Outgoing, Owner, Ports, Signer, Stopped, Store, Transport,
    suite::{Bench, Log, NoCrypto, Port, Script, Seen},
};
use decdn_engine::{
    chain::{Block, Call, ChainUpdate, Route, TxOutcome},
    crypto::{Signature, Typed},
    fault::Fault,
    ids::{ConnId, FetchId, NodeId, StreamId, TxTicket},
    io::{Effect, Input, Lane, Notice},
    record::Record,
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::{Code, Message},
};
use futures::{Stream, channel::oneshot, stream};

/// Inputs of one stream that may be out at once.
const CREDITS: usize = 4;

/// What all ports share.
#[derive(Clone)]
struct World(Arc<Mutex<Inner>>);

struct Inner {
    log: Log,
    now: Time,
    sleepers: Vec<(Time, oneshot::Sender<()>)>,
    gates: [Gate; 3],
    store_fails: bool,
    arrived: VecDeque<Input>,
    /// Credits that are out, per stream.
    credits: BTreeMap<StreamId, usize>,
    reader: Option<Waker>,
}

#[derive(Default)]
struct Gate {
    is_held: bool,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while it was held")
    }

    fn started(&self, effect: Effect) {
        self.lock().log.push(Seen::Started(effect));
    }

    /// Ends when the port may answer.
    fn gate(&self, port: Port) -> oneshot::Receiver<()> {
        let (open, opened) = oneshot::channel();
        let mut inner = self.lock();
        let gate = &mut inner.gates[port as usize];
        if gate.is_held {
            gate.waiting.push_back(open);
        } else {
            open.send(()).expect("the receiver is right here");
        }
        opened
    }
}

struct Credit(World, Option<StreamId>);

impl Drop for Credit {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        if let Some(out) = self.1.and_then(|stream| inner.credits.get_mut(&stream)) {
            *out -= 1;
        }
        if let Some(waker) = inner.reader.take() {
            waker.wake();
        }
    }
}

fn stream_of(input: &Input) -> Option<StreamId> {
    match input {
        Input::Message { stream, .. } => Some(*stream),
        _ => None,
    }
}

impl Transport for World {
    type Credit = Credit;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, Credit)> {
        let mut inner = self.lock();
        inner.reader = Some(cx.waker().clone());
        let has_credit = |input: &Input| {
            stream_of(input).is_none_or(|s| inner.credits.get(&s).copied().unwrap_or(0) < CREDITS)
        };
        let Some(place) = inner.arrived.iter().position(has_credit) else { return Poll::Pending };
        let input = inner.arrived.remove(place).expect("found there");
        let stream = stream_of(&input);
        if let Some(stream) = stream {
            *inner.credits.entry(stream).or_default() += 1;
        }
        Poll::Ready((input, Credit(self.clone(), stream)))
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId) {
        self.started(Effect::Connect { conn, peer });
        self.lock().arrived.push_back(Input::Connected { conn, peer, rtt: Span::default() });
    }
    fn disconnect(&mut self, conn: ConnId, code: Code) {
        self.started(Effect::Disconnect { conn, code });
    }
    fn send(&mut self, _: Lane, stream: StreamId, message: Message) {
        self.started(Effect::Send { stream, message });
    }
    fn finish(&mut self, _: Lane, stream: StreamId) {
        self.started(Effect::Finish { stream });
    }
    fn reset(&mut self, stream: StreamId, code: Code) {
        self.started(Effect::Reset { stream, code });
    }
    fn receive(&mut self, stream: StreamId, what: Incoming) {
        let Incoming { fetch, hash, total_bytes, offset, bytes } = what;
        self.started(Effect::Receive { stream, fetch, hash, total_bytes, offset, bytes });
    }
    fn send_range(&mut self, stream: StreamId, what: Outgoing) {
        let Outgoing { hash, offset, bytes } = what;
        self.started(Effect::SendRange { stream, hash, offset, bytes });
        self.lock().arrived.push_back(Input::RangeSent { stream });
    }
}

impl Clock for World {
    fn now(&self) -> Now {
        let mono = self.lock().now;
        Now { mono, wall: WallTime(mono.0) }
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (wake, woken) = oneshot::channel();
        let mut inner = self.lock();
        if inner.now < at {
            inner.sleepers.push((at, wake));
        }
        async {
            // Dropping the sender ends the sleep as well.
            let _ = woken.await;
        }
    }
}

impl Chain for World {
    fn submit(
        &mut self,
        ticket: TxTicket,
        call: Call,
        route: Route,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<> {
        self.started(Effect::Tx { ticket, call, route });
        let queued = TxOutcome::Queued { at: ChainTime(0), forcible: ChainTime(1) };
        // One that waits and then is never heard of again, and one that goes through.
        stream::iter(match route {
            Route::DelayedInbox => vec![queued],
            Route::Sequencer => vec![TxOutcome::Included { block: Block::default(), result: Ok(()) }; 2],
        })
    }
    fn force_include(&mut self, ticket: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.started(Effect::ForceInclude { ticket });
        async {}
    }
    fn poll(
        &mut self,
        from_block: u64,
    ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<> {
        self.started(Effect::Poll { from_block });
        async { None }
    }
}

impl Store for World {
    type Error = &'static str;

    fn commit(
        &mut self,
        sets: Vec<Vec<Record>>,
    ) -> impl Future<Output = Result<(), &'static str>> + Send + 'static + use<> {
        let world = self.clone();
        let gate = self.gate(Port::Store);
        async move {
            gate.await.map_err(|_| "the bench is gone")?;
            if world.lock().store_fails {
                return Err("disk full");
            }
            world.lock().log.push(Seen::Durable(sets));
            Ok(())
        }
    }
}

impl Blobs for World {
    type Error = &'static str;

    fn sync(
        &mut self,
        fetch: FetchId,
        verified_bytes: u64,
    ) -> impl Future<Output = Result<(), &'static str>> + Send + 'static + use<> {
        let world = self.clone();
        let gate = self.gate(Port::Blobs);
        async move {
            gate.await.map_err(|_| "the bench is gone")?;
            world.lock().log.push(Seen::Synced(fetch, verified_bytes));
            Ok(())
        }
    }
}

impl Signer for World {
    fn sign(&mut self, what: Typed) -> impl Future<Output = Option<Signature>> + Send + 'static + use<> {
        let ticket = match what {
            Typed::Voucher(terms) => terms.nonce.0,
            _ => panic!("the suite signs vouchers only"),
        };
        self.started(Effect::Sign { ticket: decdn_engine::ids::SignTicket(ticket), what });
        let gate = self.gate(Port::Signer);
        async { gate.await.ok().map(|()| Signature([0; 65])) }
    }
}

impl Owner for World {
    fn notice(&mut self, notice: Notice) {
        self.started(Effect::Notice(notice));
    }
    fn fault(&mut self, fault: Fault) {
        self.started(Effect::Fault(fault));
    }
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Our driver over memory.
pub struct Memory {
    world: World,
    driver: Pin<Box<dyn Future<Output = Stopped<&'static str, &'static str>>>>,
    flag: Arc<Flag>,
    stopped: Option<Stopped<&'static str, &'static str>>,
}

impl Memory {
    /// With other limits than the default ones.
    pub fn with_limits(role: Script, log: Log, limits: Limits) -> Self {
        let world = World(Arc::new(Mutex::new(Inner {
            log,
            now: Time(0),
            sleepers: Vec::new(),
            gates: Default::default(),
            store_fails: false,
            arrived: VecDeque::new(),
            credits: BTreeMap::new(),
            reader: None,
        })));
        let ports = Ports {
            clock: world.clone(),
            transport: world.clone(),
            chain: world.clone(),
            store: world.clone(),
            blobs: world.clone(),
            signer: world.clone(),
            owner: world.clone(),
        };
        let driver = Driver::new(role, NoCrypto, ports, limits);
        let flag = Arc::new(Flag(AtomicBool::new(true)));
        Self { world, driver: Box::pin(driver.run(stream::pending())), flag, stopped: None }
    }

    /// How many things that arrived were not heard yet.
    pub fn unheard(&self) -> usize {
        self.world.lock().arrived.len()
    }
}

impl Bench for Memory {
    const INPUTS_PER_STREAM: Option<usize> = Some(CREDITS);

    fn start(role: Script, log: Log) -> Self {
        Self::with_limits(role, log, Limits::default())
    }

    fn arrive(&mut self, input: Input) {
        let mut inner = self.world.lock();
        inner.arrived.push_back(input);
        if let Some(waker) = inner.reader.take() {
            waker.wake();
        }
    }

    fn settle(&mut self) {
        let waker = Waker::from(self.flag.clone());
        let mut polls = 0;
        // Only a wake-up counts: a driver that forgets to ask for one stands still here, as it would outside.
        while self.stopped.is_none() && self.flag.0.swap(false, Ordering::SeqCst) {
            polls += 1;
            assert!(polls < 10_000, "the driver spins");
            if let Poll::Ready(stopped) = self.driver.as_mut().poll(&mut Context::from_waker(&waker)) {
                self.stopped = Some(stopped);
            }
        }
    }

    fn hold(&mut self, port: Port, is_held: bool) {
        self.world.lock().gates[port as usize].is_held = is_held;
    }

    fn release(&mut self, port: Port) -> bool {
        let open = self.world.lock().gates[port as usize].waiting.pop_front();
        open.is_some_and(|open| open.send(()).is_ok())
    }

    fn fail_store(&mut self) {
        self.world.lock().store_fails = true;
    }

    fn advance(&mut self, span: Span) {
        let mut inner = self.world.lock();
        inner.now = inner.now + span;
        let now = inner.now;
        // Dropping the sender ends the sleep.
        inner.sleepers.retain(|(at, _)| *at > now);
    }

    fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }
}
