//! What a bench has around its driver: ports that answer when the suite lets them and write down what they are
//! asked for, and an inbox that keeps a transport's credits. Benches differ in their [`Setting`] and in how things
//! come to the inbox.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Waker},
};

use decdn_engine::{
    chain::{Block, Call, ChainUpdate, Interest, Route, TxOutcome},
    crypto::{Signature, Typed},
    fault::Fault,
    ids::{ConnId, FetchId, NodeId, SignTicket, StreamId, TxTicket},
    io::{Effect, Input, Lane, Notice},
    record::Record,
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::{Code, Message, Protocol},
};
use futures::{FutureExt, Stream, StreamExt, channel::oneshot, future::BoxFuture, stream};

use super::{Hands, Log, NoCrypto, Port, Script, Seen};
use crate::{
    Blobs, Chain, Clock, Driver, Incoming, Limits, Outgoing, Owner, Ports, Signer, Stopped, Store, Transport,
};

/// Inputs of one stream that may be out at once.
pub const CREDITS: usize = 4;

/// Inputs that the inbox takes from a network before [`World::room`] makes it wait.
pub const INBOX: usize = 256;

/// Ticks in a row without anything under way that count as rest.
const QUIET_TICKS: usize = 3;

/// Ticks after which a bench that never comes to rest is given up.
const LONGEST_SETTLE: usize = 20_000;

/// Where a bench's driver lives: its clock, and how its ports get their work done.
pub trait Setting: Clone + Send + Sync + 'static {
    /// The time there. Called by the driver's own task only.
    fn now(&self) -> Time;
    /// Ends once `now()` is `at` or later.
    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()>;
    /// Has a port's work done, now or later, here or on another task; ends when it is done.
    fn carry_out(&self, work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()>;
    /// The driver sends a message.
    fn send(&self, _stream: StreamId, _message: &Message) {}
}

/// All ports of one driver, and the suite's hands on them.
#[derive(Clone)]
pub struct World<S> {
    setting: S,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    log: Log,
    gates: [Gate; 3],
    store_fails: bool,
    inbox: VecDeque<Input>,
    /// Credits that are out, per stream.
    credits: BTreeMap<StreamId, usize>,
    reader: Option<Waker>,
    /// A network that waits for room in the inbox.
    network: Option<Waker>,
    /// Answers under way that nobody holds back.
    busy: usize,
    is_stopped: bool,
}

#[derive(Default)]
struct Gate {
    is_held: bool,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Inner {
    fn wake_reader(&mut self) {
        if let Some(waker) = self.reader.take() {
            waker.wake();
        }
    }
}

impl<S: Setting> World<S> {
    /// Ports that answer at once, as far as the setting lets them, and write into this log.
    pub fn new(log: Log, setting: S) -> Self {
        let inner = Inner {
            log,
            gates: Default::default(),
            store_fails: false,
            inbox: VecDeque::new(),
            credits: BTreeMap::new(),
            reader: None,
            network: None,
            busy: 0,
            is_stopped: false,
        };
        Self { setting, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Runs a driver for this role until it stops.
    pub fn run(
        &self,
        role: Script,
        limits: Limits,
    ) -> impl Future<Output = Stopped<&'static str, &'static str>> + Send + 'static + use<S> {
        let ports = Ports {
            clock: self.clone(),
            transport: self.clone(),
            chain: self.clone(),
            store: self.clone(),
            blobs: self.clone(),
            signer: self.clone(),
            owner: self.clone(),
        };
        self.follow(Driver::new(role, NoCrypto, ports, limits).run(stream::pending()))
    }

    /// Takes note of a driver's end: for one that has other ports than these, too.
    pub fn follow<F: Future>(&self, driver: F) -> impl Future<Output = F::Output> + use<S, F> {
        let world = self.clone();
        async move {
            let stopped = driver.await;
            world.lock().is_stopped = true;
            stopped
        }
    }

    /// Where this world is.
    pub fn setting(&self) -> &S {
        &self.setting
    }

    /// Something is with the transport now; the driver hears it as soon as it has credit and room.
    pub fn arrive(&self, input: Input) {
        let mut inner = self.lock();
        inner.inbox.push_back(input);
        inner.wake_reader();
    }

    /// Waits until the inbox takes more from a network.
    pub async fn room(&self) {
        poll_fn(|cx| {
            let mut inner = self.lock();
            if inner.inbox.len() < INBOX {
                return Poll::Ready(());
            }
            inner.network = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// How many things that arrived were not heard yet.
    pub fn unheard(&self) -> usize {
        self.lock().inbox.len()
    }

    /// Whether no answer is under way but those that are held back.
    pub fn is_quiet(&self) -> bool {
        self.lock().busy == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while it was held")
    }

    /// Takes down that a port was asked for this.
    pub fn started(&self, effect: Effect) {
        self.see(Seen::Started(effect));
    }

    /// Takes down what happened.
    pub fn see(&self, seen: Seen) {
        self.lock().log.push(seen);
    }

    /// Whether commits are to fail.
    pub fn store_fails(&self) -> bool {
        self.lock().store_fails
    }

    /// A port's work, which begins when nobody holds it back and counts as under way from then on. `None` where the
    /// bench has gone meanwhile.
    pub fn behind<F: Future + Send + 'static>(
        &self,
        held_by: Option<Port>,
        work: F,
    ) -> impl Future<Output = Option<F::Output>> + Send + 'static + use<S, F> {
        let opened = held_by.map(|port| self.gate(port));
        let world = self.clone();
        async move {
            if let Some(opened) = opened {
                opened.await.ok()?;
            }
            let _busy = Busy::new(&world);
            Some(work.await)
        }
    }

    /// A port's answer: when nobody holds it back, by work that the setting has done.
    fn answer<A: Send + 'static, W: FnOnce(&mut Inner) -> A + Send + 'static>(
        &self,
        held_by: Option<Port>,
        work: W,
    ) -> impl Future<Output = Option<A>> + Send + 'static + use<S, A, W> {
        let there = self.clone();
        let answer = async move {
            let (tell, told) = oneshot::channel();
            let world = there.clone();
            let job = async move {
                let answer = work(&mut world.lock());
                // Nobody listens any more where the driver was dropped.
                let _ = tell.send(answer);
            };
            there.setting.carry_out(job.boxed()).await;
            told.await.ok()
        };
        self.behind(held_by, answer).map(Option::flatten)
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

impl<S: Setting> Hands for World<S> {
    fn hold(&self, port: Port, is_held: bool) {
        self.lock().gates[port as usize].is_held = is_held;
    }

    fn release(&self, port: Port) -> bool {
        let open = self.lock().gates[port as usize].waiting.pop_front();
        open.is_some_and(|open| open.send(()).is_ok())
    }

    fn fail_store(&self) {
        self.lock().store_fails = true;
    }

    fn is_stopped(&self) -> bool {
        self.lock().is_stopped
    }
}

/// Lets a bench run, tick by tick, until it has been at rest for a while; a tick says whether something is under
/// way.
///
/// # Panics
/// If it never comes to rest.
pub fn until_quiet(mut tick: impl FnMut() -> bool) {
    let mut quiet = 0;
    for _ in 0..LONGEST_SETTLE {
        quiet = if tick() { 0 } else { quiet + 1 };
        if quiet == QUIET_TICKS {
            return;
        }
    }
    panic!("something is still under way after {LONGEST_SETTLE} ticks");
}

struct Busy(Arc<Mutex<Inner>>);

impl Busy {
    fn new<S: Setting>(world: &World<S>) -> Self {
        world.lock().busy += 1;
        Self(world.inner.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.lock().expect("no panic while it was held").busy -= 1;
    }
}

/// What an input of a stream holds until all that followed from it has started.
pub struct Credit(Arc<Mutex<Inner>>, Option<StreamId>);

impl Drop for Credit {
    fn drop(&mut self) {
        let mut inner = self.0.lock().expect("no panic while it was held");
        if let Some(out) = self.1.and_then(|stream| inner.credits.get_mut(&stream)) {
            *out -= 1;
        }
        inner.wake_reader();
    }
}

fn stream_of(input: &Input) -> Option<StreamId> {
    match input {
        Input::Message { stream, .. } => Some(*stream),
        _ => None,
    }
}

impl<S: Setting> Transport for World<S> {
    type Credit = Credit;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, Credit)> {
        let mut inner = self.lock();
        inner.reader = Some(cx.waker().clone());
        let has_credit = |input: &Input| {
            stream_of(input).is_none_or(|s| inner.credits.get(&s).copied().unwrap_or(0) < CREDITS)
        };
        let Some(place) = inner.inbox.iter().position(has_credit) else { return Poll::Pending };
        let input = inner.inbox.remove(place).expect("found there");
        let stream = stream_of(&input);
        if let Some(stream) = stream {
            *inner.credits.entry(stream).or_default() += 1;
        }
        if let Some(network) = inner.network.take() {
            network.wake();
        }
        Poll::Ready((input, Credit(self.inner.clone(), stream)))
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol) {
        self.started(Effect::Connect { conn, peer, protocol });
        self.arrive(Input::Connected { conn, peer, protocol, rtt: Span::default() });
    }
    fn disconnect(&mut self, conn: ConnId, code: Code) {
        self.started(Effect::Disconnect { conn, code });
    }
    fn send(&mut self, _: Lane, stream: StreamId, message: Message) {
        self.setting.send(stream, &message);
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
        self.arrive(Input::RangeSent { stream });
    }
}

impl<S: Setting> Clock for World<S> {
    fn now(&self) -> Now {
        let mono = self.setting.now();
        Now { mono, wall: WallTime(mono.0) }
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send + 'static + use<S> {
        self.setting.sleep_until(at)
    }
}

impl<S: Setting> Chain for World<S> {
    fn submit(
        &mut self,
        ticket: TxTicket,
        call: Call,
        route: Route,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<S> {
        self.started(Effect::Tx { ticket, call, route });
        let queued = TxOutcome::Queued { at: ChainTime(0), forcible: ChainTime(1) };
        // One that waits and then is never heard of again, and one that goes through.
        let outcomes = match route {
            Route::DelayedInbox => vec![queued],
            Route::QueuedBefore => vec![TxOutcome::Absent],
            Route::Sequencer => vec![TxOutcome::Included { block: Block::default(), result: Ok(()) }; 2],
        };
        let mined = self.answer(None, |_| outcomes);
        stream::once(mined).flat_map(|outcomes| stream::iter(outcomes.unwrap_or_default()))
    }
    fn force_include(&mut self, ticket: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<S> {
        self.started(Effect::ForceInclude { ticket });
        async {}
    }
    fn poll(
        &mut self,
        from_block: u64,
        interests: Vec<Interest>,
    ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<S> {
        self.started(Effect::Poll { from_block, interests });
        self.answer(None, |_| None).map(Option::flatten)
    }
}

impl<S: Setting> Store for World<S> {
    type Error = &'static str;

    fn commit(
        &mut self,
        sets: Vec<Vec<Record>>,
    ) -> impl Future<Output = Result<(), &'static str>> + Send + 'static + use<S> {
        let commit = self.answer(Some(Port::Store), |inner| {
            if inner.store_fails {
                return Err("disk full");
            }
            inner.log.push(Seen::Durable(sets));
            Ok(())
        });
        commit.map(|answer| answer.unwrap_or(Err("the bench is gone")))
    }
}

impl<S: Setting> Blobs for World<S> {
    type Error = &'static str;

    fn sync(
        &mut self,
        fetch: FetchId,
        verified_bytes: u64,
    ) -> impl Future<Output = Result<(), &'static str>> + Send + 'static + use<S> {
        let sync =
            self.answer(Some(Port::Blobs), move |inner| inner.log.push(Seen::Synced(fetch, verified_bytes)));
        sync.map(|answer| answer.ok_or("the bench is gone"))
    }
}

impl<S: Setting> Signer for World<S> {
    fn sign(&mut self, what: Typed) -> impl Future<Output = Option<Signature>> + Send + 'static + use<S> {
        let ticket = match what {
            Typed::Voucher(terms) => terms.nonce.0,
            _ => panic!("the suite signs vouchers only"),
        };
        self.started(Effect::Sign { ticket: SignTicket(ticket), what });
        self.answer(Some(Port::Signer), |_| Signature([0; 65]))
    }
}

impl<S: Setting> Owner for World<S> {
    fn notice(&mut self, notice: Notice) {
        self.started(Effect::Notice(notice));
    }
    fn fault(&mut self, fault: Fault) {
        self.started(Effect::Fault(fault));
    }
}
