//! The loop: hear, step, start what may start, feed what came of it.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use decdn_engine::{
    chain::{ChainUpdate, TxOutcome},
    crypto::{Crypto, Signature},
    ids::{SignTicket, StreamId, TxTicket},
    io::{Effect, Input, Lane, Outputs},
    record::{PersistSeq, Record},
    roles::Role,
    time::Time,
};
use futures::{
    Stream, StreamExt,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};

use crate::{
    commit::Commits,
    lanes::Lanes,
    live::Live,
    ports::{Blobs, Chain, Clock, Incoming, Outgoing, Owner, Ports, Signer, Store, Transport},
};

/// Bounds of a driver's own queues. What they bound stays bounded whatever peers, disk and chain do: past them
/// nothing more is heard from the network or the owner until something is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Effects that wait behind barriers, over all lanes.
    pub waiting_effects: usize,
    /// Answers outstanding: signatures, transactions, polls, commits, content on its way to the disk.
    pub outstanding: usize,
    /// Write sets in one commit.
    pub group_sets: usize,
    /// Steps in a row before the executor gets a turn.
    pub steps_per_poll: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { waiting_effects: 1 << 16, outstanding: 1 << 12, group_sets: 1 << 10, steps_per_poll: 256 }
    }
}

/// Why a driver has stopped. Stopping at any point is safe: recovery goes by what is durable.
#[derive(Debug, PartialEq, Eq)]
pub enum Stopped<S, B> {
    /// The owner's orders have ended.
    ByOwner,
    /// Records can't be made durable.
    Store(S),
    /// Content can't be made durable.
    Blobs(B),
}

impl<S: std::fmt::Display, B: std::fmt::Display> std::fmt::Display for Stopped<S, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ByOwner => f.write_str("stopped by its owner"),
            Self::Store(error) => write!(f, "stopped: records can't be stored: {error}"),
            Self::Blobs(error) => write!(f, "stopped: content can't be stored: {error}"),
        }
    }
}

/// Something outside has an answer.
enum Done<S, B> {
    Committed(Result<(), S>),
    Synced { lane: Lane, seq: PersistSeq, writes: Vec<Record>, result: Result<(), B> },
    Signed(SignTicket, Option<Signature>),
    Tx(TxTicket, Option<TxOutcome>, BoxStream<'static, TxOutcome>),
    Forced,
    Polled(Option<ChainUpdate>),
}

/// Runs one role over its ports. See the crate's documentation for what it promises.
pub struct Driver<R, C, K, T, H, S, B, G, O>
where
    T: Transport,
    S: Store,
    B: Blobs,
{
    role: R,
    crypto: C,
    ports: Ports<K, T, H, S, B, G, O>,
    limits: Limits,
    outputs: Outputs,
    lanes: Lanes<T::Credit>,
    commits: Commits,
    live: Live,
    /// Inputs that follow from effects at once.
    answers: Vec<Input>,
    work: FuturesUnordered<BoxFuture<'static, Done<S::Error, B::Error>>>,
    alarm: Option<(Time, BoxFuture<'static, ()>)>,
}

impl<R, C, K, T, H, S, B, G, O> Driver<R, C, K, T, H, S, B, G, O>
where
    R: Role,
    C: Crypto,
    K: Clock,
    T: Transport,
    H: Chain,
    S: Store,
    B: Blobs,
    G: Signer,
    O: Owner,
{
    /// A driver for a role that is new or was just recovered from `ports.store`.
    pub fn new(role: R, crypto: C, ports: Ports<K, T, H, S, B, G, O>, limits: Limits) -> Self {
        Self {
            role,
            crypto,
            ports,
            limits,
            outputs: Outputs::new(),
            lanes: Lanes::new(),
            commits: Commits::default(),
            live: Live::default(),
            answers: Vec::new(),
            work: FuturesUnordered::new(),
            alarm: None,
        }
    }

    /// Runs until `orders` ends or the disk fails. Orders are the owner's inputs: `Fetch`, `Cancel`,
    /// `CloseChannel`, `Agreed`, `Declined`, `BlobReady`, `BlobGone`.
    pub async fn run(mut self, orders: impl Stream<Item = Input> + Send) -> Stopped<S::Error, B::Error> {
        let mut orders = std::pin::pin!(orders);
        let stopped = poll_fn(|cx| self.poll(cx, orders.as_mut())).await;
        self.ports.owner.stopped(&mut || self.role.digest());
        stopped
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut orders: Pin<&mut impl Stream<Item = Input>>,
    ) -> Poll<Stopped<S::Error, B::Error>> {
        let mut steps = 0;
        loop {
            let mut is_idle = true;
            while let Poll::Ready(Some(done)) = self.work.poll_next_unpin(cx) {
                if let Err(stopped) = self.on_done(done) {
                    return Poll::Ready(stopped);
                }
                is_idle = false;
                steps += 1;
            }
            if self.poll_deadline(cx) {
                self.feed(Input::Tick, None);
                is_idle = false;
                steps += 1;
            }
            if self.has_room() {
                if let Poll::Ready((input, credit)) = self.ports.transport.poll_event(cx) {
                    if self.live.admit(&input) {
                        self.feed(input, Some(Arc::new(credit)));
                    }
                    is_idle = false;
                    steps += 1;
                }
                match orders.as_mut().poll_next(cx) {
                    Poll::Ready(None) => return Poll::Ready(Stopped::ByOwner),
                    Poll::Ready(Some(order)) => {
                        self.feed(order, None);
                        is_idle = false;
                        steps += 1;
                    }
                    Poll::Pending => {}
                }
            }
            if is_idle {
                return Poll::Pending;
            }
            if steps >= self.limits.steps_per_poll {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
    }

    /// Whether to hear more: what is under way ends by itself, so this comes back.
    fn has_room(&self) -> bool {
        self.lanes.len() < self.limits.waiting_effects && self.work.len() < self.limits.outstanding
    }

    /// Whether a `Tick` is due; if not, the executor will call again when it is.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((at, _)) = self.role.next_deadline() else { return false };
        if at <= self.ports.clock.now().mono {
            return true;
        }
        // An alarm that rings too early does no harm, so a later deadline keeps it.
        if self.alarm.as_ref().is_none_or(|(set, _)| *set > at) {
            self.alarm = Some((at, Box::pin(self.ports.clock.sleep_until(at))));
        }
        while let Some((set, alarm)) = &mut self.alarm {
            if alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            let rang_for = *set;
            self.alarm = None;
            if at <= self.ports.clock.now().mono {
                return true;
            }
            // It rang for an earlier deadline, or early: set it for this one, without spinning on a clock whose
            // sleep always ends at once.
            self.alarm = Some((at, Box::pin(self.ports.clock.sleep_until(at))));
            if rang_for == at {
                cx.waker().wake_by_ref();
                return false;
            }
        }
        false
    }

    /// One step, and all that it asks for.
    fn feed(&mut self, input: Input, credit: Option<Arc<T::Credit>>) {
        self.step(input, credit);
        while !self.answers.is_empty() {
            for answer in std::mem::take(&mut self.answers) {
                self.step(answer, None);
            }
        }
        self.commit();
    }

    /// Gives the store its next group, if it is free.
    fn commit(&mut self) {
        if let Some(group) = self.commits.take_group(self.limits.group_sets) {
            let commit = self.ports.store.commit(group);
            self.work.push(Box::pin(async { Done::Committed(commit.await) }));
        }
    }

    fn step(&mut self, input: Input, credit: Option<Arc<T::Credit>>) {
        let now = self.ports.clock.now();
        let role = &mut self.role;
        self.ports.owner.fed(now, &input, &mut || role.digest());
        self.role.step(now, input, &self.crypto, &mut self.outputs);
        for output in self.outputs.drain() {
            if let Effect::Persist { seq, writes } = &output.effect {
                self.commits.announce(*seq, writes);
            }
            self.lanes.push(output.lane, output.effect, credit.clone());
        }
        drop(credit);
        self.start_ready();
    }

    fn start_ready(&mut self) {
        while let Some((lane, effect, credit)) = self.lanes.next() {
            self.start(lane, effect);
            drop(credit);
        }
    }

    fn start(&mut self, lane: Lane, effect: Effect) {
        match effect {
            Effect::Persist { seq, writes } => self.persist(lane, seq, writes),
            Effect::Connect { conn, peer, protocol } => {
                if self.live.dial(conn) {
                    self.ports.transport.connect(conn, peer, protocol);
                }
            }
            Effect::Disconnect { conn, code } => {
                self.answers.extend(self.live.hang_up(conn, code));
                self.ports.transport.disconnect(conn, code);
            }
            Effect::Send { stream, message } => self.ports.transport.send(lane, stream, message),
            Effect::Finish { stream } => self.ports.transport.finish(lane, stream),
            Effect::Reset { stream, code } => {
                self.live.reset(stream);
                self.ports.transport.reset(stream, code);
            }
            Effect::Receive { stream, fetch, hash, total_bytes, offset, bytes } => {
                self.ports.transport.receive(stream, Incoming { fetch, hash, total_bytes, offset, bytes });
            }
            Effect::SendRange { stream, hash, offset, bytes } => {
                self.send_range(stream, Outgoing { hash, offset, bytes });
            }
            Effect::Sign { ticket, what } => {
                let signing = self.ports.signer.sign(what);
                self.work.push(Box::pin(async move { Done::Signed(ticket, signing.await) }));
            }
            Effect::Tx { ticket, call, route } => {
                let outcomes = self.ports.chain.submit(ticket, call, route);
                self.follow(ticket, Box::pin(outcomes));
            }
            Effect::ForceInclude { ticket } => {
                let forcing = self.ports.chain.force_include(ticket);
                self.work.push(Box::pin(async {
                    forcing.await;
                    Done::Forced
                }));
            }
            Effect::Poll { from_block, interests } => {
                let polling = self.ports.chain.poll(from_block, interests);
                self.work.push(Box::pin(async { Done::Polled(polling.await) }));
            }
            Effect::Fault(fault) => self.ports.owner.fault(fault),
            Effect::Notice(notice) => self.ports.owner.notice(notice),
        }
    }

    fn send_range(&mut self, stream: StreamId, what: Outgoing) {
        if self.live.send_range(stream) {
            self.ports.transport.send_range(stream, what);
        }
    }

    /// A write set is at the head of its lane: first the content that it speaks of, then the set itself.
    fn persist(&mut self, lane: Lane, seq: PersistSeq, writes: Vec<Record>) {
        let syncs: Vec<_> = writes
            .iter()
            .filter_map(|record| record.as_fetch().filter(|fetch| fetch.verified_bytes > 0))
            .map(|fetch| self.ports.blobs.sync(fetch.order.id, fetch.verified_bytes))
            .collect();
        if syncs.is_empty() {
            return self.commits.offer(lane, seq, writes);
        }
        self.work.push(Box::pin(async move {
            let mut result = Ok(());
            for sync in syncs {
                result = result.and(sync.await);
            }
            Done::Synced { lane, seq, writes, result }
        }));
    }

    fn follow(&mut self, ticket: TxTicket, outcomes: BoxStream<'static, TxOutcome>) {
        self.work.push(Box::pin(async move {
            let (outcome, rest) = outcomes.into_future().await;
            Done::Tx(ticket, outcome, rest)
        }));
    }

    fn on_done(&mut self, done: Done<S::Error, B::Error>) -> Result<(), Stopped<S::Error, B::Error>> {
        match done {
            Done::Committed(result) => {
                result.map_err(Stopped::Store)?;
                for (lane, seq) in self.commits.done() {
                    // The barrier falls before the engine hears of it: what waited goes out before what follows.
                    self.lanes.release(lane);
                    self.start_ready();
                    self.feed(Input::Persisted { seq }, None);
                }
            }
            Done::Synced { lane, seq, writes, result } => {
                result.map_err(Stopped::Blobs)?;
                self.commits.offer(lane, seq, writes);
            }
            Done::Signed(ticket, signature) => self.feed(Input::Signed { ticket, signature }, None),
            Done::Tx(ticket, outcome, rest) => {
                let outcome = outcome.unwrap_or(TxOutcome::Lost);
                if let TxOutcome::Queued { .. } = outcome {
                    self.follow(ticket, rest);
                }
                self.feed(Input::Tx { ticket, outcome }, None);
            }
            Done::Forced => {}
            Done::Polled(update) => {
                self.feed(update.map_or(Input::ChainUnreachable, Input::Chain), None);
            }
        }
        self.commit();
        Ok(())
    }
}
