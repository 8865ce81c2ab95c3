//! The world: actors, their edges, the network, the disk and the chain under one queue of events.
//!
//! `slot` is what an actor has of its own, `carry` does what actors ask for, `arrive` is what the network brings, `life` is how
//! processes start, crash and come back, `sleep` how machines are suspended, `money` is what the chain brings, `order` what owners
//! order, `owner` what they answer, `hand` is for whoever drives a world step by step. This file holds the state, takes the next
//! event and steps actors.

mod arrive;
mod carry;
mod endpoints;
mod hand;
mod life;
mod money;
mod order;
mod owner;
mod sleep;
mod slot;

pub use hand::Hand;
pub use order::{Job, Order};
pub use owner::Owner;
pub(crate) use slot::Slot;

use std::collections::BTreeMap;

use decdn_engine::{
    chain::Interest,
    fault::Rule,
    ids::BlobHash,
    io::{Effect, Gone, Input, Notice, Outputs},
    record::PersistSeq,
    state::{Slab, Slot as Place},
    time::{Span, Time, WallTime},
};

use crate::{
    actor::{Actor, ActorId, Trick, Turn},
    cast::Cast,
    chain::Chain,
    content::Library,
    decide::Decisions,
    endpoints::Endpoint,
    measure,
    net::{Due, Net, Path},
    queue::Queue,
    rung::{Mix, SimCrypto},
    seen::{ChainView, Durable, LinkId, Seen},
    watch::Watch,
};

/// The wall clock at the start of a run, in microseconds since the Unix epoch: 2027-01-15 08:00 UTC.
pub const EPOCH: WallTime = WallTime(1_800_000_000_000_000);

/// On the ideal rung one step in so many is checked: a check looks at the whole state and costs more than most steps. Prime, so
/// that nothing which recurs is passed over for ever.
const CHECK_EVERY: u64 = 61;

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    /// An actor's deadline may have come.
    Wake(ActorId),
    /// A process starts again.
    Restart(ActorId),
    /// A suspended machine goes on.
    Resume(ActorId),
    /// Something about what was sent.
    Net(Due),
    /// A connection comes up, or fails to.
    Dialled(LinkId),
    /// An end notices that its connection is gone.
    Unlink(LinkId, u8, Gone),
    /// A connection dies.
    Die(LinkId),
    /// A write set is on the disk.
    Durable(ActorId, u32, PersistSeq),
    /// An input that was prepared is due.
    Feed(u32),
    /// The chain has something to do.
    Chain,
    /// A poll is answered.
    Polled(Place),
    /// An owner orders something.
    Order(u32),
    /// An owner answers what it was asked.
    Answer(ActorId, Box<Input>),
    /// One of the scenario's timed faults.
    Timed(u32),
    /// Faults end.
    Calm,
}

/// A poll on its way to the chain.
#[derive(Clone, Debug)]
struct Poll {
    actor: ActorId,
    epoch: u32,
    from_block: u64,
    interests: Vec<Interest>,
}

/// An input that waits for its time.
#[derive(Debug)]
struct Feed {
    actor: ActorId,
    epoch: u32,
    input: Input,
}

/// A fault at a time of its own.
#[derive(Clone, Copy, Debug)]
pub struct Timed {
    /// When.
    pub at: Time,
    /// What.
    pub what: TimedFault,
}

/// What can be scheduled to go wrong.
#[derive(Clone, Copy, Debug)]
pub enum TimedFault {
    /// The process dies, and starts again after this long.
    Crash(ActorId, Span),
    /// The same, and its disk is lost: it starts with nothing but its keys.
    Wipe(ActorId, Span),
    /// The machine is suspended for this long, and its monotonic clock may stand still meanwhile.
    Suspend(ActorId, Span, bool),
    /// Nothing that `from` sends reaches `to` for this long.
    Partition {
        /// The silenced one.
        from: ActorId,
        /// Who hears nothing.
        to: ActorId,
        /// How long.
        lasts: Span,
    },
    /// The contract's owner sets the dispute window of closes from now on (C9), in seconds.
    Window(u64),
    /// The sequencer takes back its word about blocks of so long a time.
    Fork(Span),
    /// The chain's clock is so many seconds ahead of (or, negative, behind) L1's from now on.
    Drift(i64),
    /// Blocks are posted to L1 from now on, or not.
    Posting(bool),
    /// The actor's wall clock jumps to this many microseconds ahead of (or, negative, behind) true time.
    Clock(ActorId, i64),
    /// The next head that the actor hears of is so many microseconds ahead of (or, negative, behind) its time, and so many blocks
    /// too high.
    Glitch(ActorId, i64, u64),
    /// The actor's account has so much to pay for gas from now on, in wei.
    Ether(ActorId, u128),
    /// Until then the actor hears of logs so much later than of heads.
    LogsBehind(ActorId, Span, Time),
}

/// How an actor is treated by its machine.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// How long a durable write takes, shortest and longest.
    pub disk: (Span, Span),
    /// Of a million writes, how many take up to `slow_disk.1`.
    pub slow_disk: (u32, Span),
    /// How long a signature takes.
    pub signer: (Span, Span),
    /// Of a million outputs, after how many the process dies.
    pub crash: u32,
    /// The most crashes of this kind.
    pub crashes: u32,
    /// How long it is gone.
    pub restart: (Span, Span),
    /// Its wall clock, in microseconds ahead of true time.
    pub skew: i64,
}

/// What a world is made of.
pub struct Parts {
    /// Who is who.
    pub cast: Cast,
    /// The actors, by [`ActorId`].
    pub actors: Vec<(Box<dyn Actor>, Machine)>,
    /// Which blobs whom has from the start: the actor, the hash, the size.
    pub blobs: Vec<(ActorId, BlobHash, u64)>,
    /// Each ordered pair that isn't connected as all others are.
    pub paths: BTreeMap<(ActorId, ActorId), Path>,
    /// How everybody else is connected.
    pub path: Path,
    /// The chain.
    pub chain: Chain,
    /// What there is to download.
    pub library: Library,
    /// What owners order.
    pub jobs: Vec<Job>,
    /// Owners who are asked before money goes into a channel.
    pub owners: BTreeMap<ActorId, Owner>,
    /// Who reads the chain through other endpoints than one that is right.
    pub endpoints: BTreeMap<ActorId, Vec<Endpoint>>,
    /// W.
    pub window: Span,
    /// Faults with a time of their own.
    pub timed: Vec<Timed>,
    /// When faults end.
    pub calm_at: Option<Time>,
    /// Whether channels that clients keep have to end too.
    pub kept_channels_end: bool,
    /// When the run ends at the latest.
    pub until: Time,
    /// The most engine steps.
    pub steps_max: u64,
}

/// How a run went, beside what the oracles say.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Inputs taken by actors.
    pub steps: u64,
    /// Simulated time that passed.
    pub time: Span,
    /// All state digests of the run, folded (O13).
    pub digest: [u8; 32],
    /// Rules that were applied in faults, with how often.
    pub rules: BTreeMap<Rule, u64>,
    /// What everybody holds at the end, by name and token.
    pub balances: Vec<(String, u128)>,
}

/// A run under way.
pub struct World {
    queue: Queue<Event>,
    decide: Decisions,
    crypto: SimCrypto,
    cast: Cast,
    actors: Vec<Slot>,
    net: Net,
    paths: BTreeMap<(ActorId, ActorId), Path>,
    path: Path,
    chain: Chain,
    chain_armed: Option<Time>,
    library: Library,
    jobs: Vec<Job>,
    owners: BTreeMap<ActorId, Owner>,
    endpoints: BTreeMap<ActorId, Vec<Endpoint>>,
    window: Span,
    timed: Vec<Timed>,
    polls: Slab<Poll>,
    feeds: Vec<Option<Feed>>,
    feeds_free: Vec<u32>,
    watch: Watch,
    out: Outputs,
    tricks: Vec<Trick>,
    until: Time,
    kept_channels_end: bool,
    calm: bool,
    steps: u64,
    steps_max: u64,
    mix: Mix,
    rules: BTreeMap<Rule, u64>,
    /// After how many steps one is checked; 0 once something was broken.
    check_every: u64,
    /// Nothing that decides whether it is over has changed since it was found not to be.
    goes_on: bool,
    /// How many machines are suspended.
    suspended: usize,
    /// Set when going on makes no sense.
    halted: bool,
}

impl World {
    /// A world at its start.
    pub fn new(parts: Parts, crypto: SimCrypto, decide: Decisions, watch: Watch) -> Self {
        let Parts {
            cast,
            actors,
            blobs,
            paths,
            path,
            chain,
            library,
            jobs,
            owners,
            endpoints,
            window,
            timed,
            calm_at,
            kept_channels_end,
            until,
            steps_max,
        } = parts;
        let is_each_checked =
            cfg!(debug_assertions) || !matches!(crypto, SimCrypto::Ideal) || watch.recorder.is_some();
        let mut world = Self {
            queue: Queue::default(),
            decide,
            crypto,
            cast,
            actors: Vec::new(),
            net: Net::default(),
            paths,
            path,
            chain,
            chain_armed: None,
            library,
            jobs,
            owners,
            endpoints,
            window,
            timed,
            polls: Slab::default(),
            feeds: Vec::new(),
            feeds_free: Vec::new(),
            watch,
            out: Outputs::new(),
            tricks: Vec::new(),
            until,
            kept_channels_end,
            calm: false,
            steps: 0,
            steps_max,
            mix: Mix::new(),
            rules: BTreeMap::new(),
            check_every: if is_each_checked { 1 } else { CHECK_EVERY },
            goes_on: false,
            suspended: 0,
            halted: false,
        };
        for (actor, machine) in actors {
            world.actors.push(Slot::new(actor, machine));
        }
        for (actor, hash, bytes) in blobs {
            world.actors[usize::from(actor.0)].blobs.push((hash, bytes));
        }
        if let Some(at) = calm_at {
            world.queue.push(at, Event::Calm);
        }
        world
    }

    /// Runs to the end: until nothing is left to happen, or time is up.
    pub fn run(mut self) -> (Ran, Watch, Decisions) {
        self.start();
        while !self.halted {
            let Some(event) = self.queue.pop(self.until, &mut self.decide) else { break };
            self.happen(event);
        }
        self.finish()
    }

    /// Everybody's process begins, and what the scenario has in store is put down for its time.
    fn start(&mut self) {
        let start = Seen::Start { cast: &self.cast, chain: &self.chain };
        self.watch.see(Time(0), &start);
        for id in 0..self.actors.len() {
            self.begin(ActorId(id as u16));
        }
        for (index, job) in self.jobs.iter().enumerate() {
            self.queue.push(job.at, Event::Order(index as u32));
        }
        for (index, timed) in self.timed.iter().enumerate() {
            self.queue.push(timed.at, Event::Timed(index as u32));
        }
        self.arm_chain();
    }

    fn finish(mut self) -> (Ran, Watch, Decisions) {
        for id in 0..self.actors.len() {
            self.check(ActorId(id as u16));
        }
        let now = self.queue.now();
        let durable: Vec<Durable> =
            self.actors.iter_mut().map(|slot| std::mem::take(&mut slot.edge.durable)).collect();
        let drained = self.is_over();
        if let Some(recorder) = &mut self.watch.recorder {
            recorder.choices(self.decide.log());
            self.decide.clear_log();
        }
        self.watch.see(now, &Seen::End { chain: &self.chain, durable: &durable, drained });
        let mut balances = Vec::new();
        for person in &self.cast.people {
            for token in self.chain.tokens() {
                balances.push((person.name.clone(), self.chain.balance(*token, person.account).0));
            }
        }
        let ran = Ran {
            steps: self.steps,
            time: Span(now.0),
            digest: self.mix.finish(),
            rules: self.rules,
            balances,
        };
        (ran, self.watch, self.decide)
    }

    fn happen(&mut self, event: Event) {
        if let Some(actor) = self.is_suspended_from(&event) {
            return self.slot(actor).suspended.as_mut().expect("it is suspended").waiting.push(event);
        }
        match event {
            Event::Wake(actor) => self.wake(actor),
            Event::Restart(actor) => self.restart(actor),
            Event::Resume(actor) => self.resume(actor),
            Event::Net(due) => self.on_net(due),
            Event::Dialled(link) => self.on_dialled(link),
            Event::Unlink(link, end, why) => self.on_unlink(link, end, why),
            Event::Die(link) => self.on_die(link),
            Event::Durable(actor, epoch, seq) => self.on_durable(actor, epoch, seq),
            Event::Feed(slot) => self.on_feed(slot),
            Event::Chain => self.on_chain_work(),
            Event::Polled(poll) => self.on_polled(poll),
            Event::Order(job) => self.on_order(job as usize),
            Event::Answer(actor, answer) => self.on_answer(actor, *answer),
            Event::Timed(fault) => self.on_timed(fault as usize),
            Event::Calm => self.on_calm(),
        }
    }

    /// Lets an actor take an input and carries out what follows.
    fn step(&mut self, id: ActorId, input: Input) {
        let at = self.queue.now();
        let slot = &mut self.actors[usize::from(id.0)];
        debug_assert!(slot.up, "a dead process took an input");
        let now = slot.now(at);
        let mut out = std::mem::take(&mut self.out);
        let mut tricks = std::mem::take(&mut self.tricks);
        let turn = Turn {
            now,
            crypto: &self.crypto,
            chain: &self.chain,
            decide: &mut self.decide,
            out: &mut out,
            tricks: &mut tricks,
        };
        slot.actor.step(&input, turn);
        self.steps += 1;
        if self.check_every > 0 && self.steps.is_multiple_of(self.check_every) {
            self.check(id);
        }
        let slot = &mut self.actors[usize::from(id.0)];
        let digest = slot.actor.digest();
        self.mix.word(u64::from(id.0));
        self.mix.bytes(&digest.0);
        if let Some(recorder) = &mut self.watch.recorder {
            recorder.choices(self.decide.log());
            self.decide.clear_log();
        }
        let seen = Seen::Step { actor: id, now, input: &input, outputs: out.as_slice() };
        self.watch.step(at, digest, &seen);
        self.carry_all(id, &mut out, &tricks);
        tricks.clear();
        self.out = out;
        self.tricks = tricks;
        self.arm(id);
        self.halted |= self.watch.report.is_hopeless();
        if self.steps >= self.steps_max {
            let steps = self.steps_max;
            self.halt("steps", || format!("no end after {steps} steps: the scenario's limit"));
        }
    }

    /// Asks an actor for its own invariants. What follows from one that is broken would only repeat it.
    fn check(&mut self, id: ActorId) {
        let slot = &self.actors[usize::from(id.0)];
        if self.check_every == 0 || !slot.up {
            return;
        }
        if let Err(broken) = slot.actor.check() {
            self.check_every = 0;
            let (name, at) = (&self.cast.get(id).name, self.queue.now());
            let text = || format!("at {} us {name} breaks it: {}", at.0, broken.place);
            self.watch.report.violation("check", broken.invariant, text);
        }
    }

    /// Stops the run, which would have no end (O10).
    fn halt(&mut self, rule: &str, text: impl FnOnce() -> String) {
        if !self.halted {
            self.watch.report.violation("O10", rule, text);
        }
        self.halted = true;
    }

    /// Whether this life of an actor goes on.
    fn lives(&self, id: ActorId, epoch: u32) -> bool {
        let slot = &self.actors[usize::from(id.0)];
        slot.up && slot.epoch == epoch
    }

    /// Wakes an actor for its next deadline, unless it will wake before.
    fn arm(&mut self, id: ActorId) {
        let slot = &mut self.actors[usize::from(id.0)];
        if !slot.up {
            return;
        }
        slot.due = slot.actor.next_deadline();
        let Some(deadline) = slot.due else { return };
        let at = Time(deadline.0.saturating_add_signed(-slot.mono)).max(self.queue.now());
        if slot.armed.is_none_or(|armed| at < armed) {
            slot.armed = Some(at);
            self.queue.push(at, Event::Wake(id));
        }
    }

    fn wake(&mut self, id: ActorId) {
        let at = self.queue.now();
        let slot = &mut self.actors[usize::from(id.0)];
        if slot.armed == Some(at) {
            slot.armed = None;
        }
        if !slot.up {
            return;
        }
        if !slot.is_due(at) {
            return self.arm(id);
        }
        self.step(id, Input::Tick);
        let slot = &self.actors[usize::from(id.0)];
        if slot.up && slot.is_due(at) {
            let name = self.cast.get(id).name.clone();
            self.halt("deadline", || format!("{name} is still due after a tick: it would tick for ever"));
        }
    }

    /// Prepares an input for later.
    fn feed_at(&mut self, at: Time, actor: ActorId, input: Input) {
        let epoch = self.actors[usize::from(actor.0)].epoch;
        let feed = Some(Feed { actor, epoch, input });
        let slot = match self.feeds_free.pop() {
            Some(slot) => {
                self.feeds[slot as usize] = feed;
                slot
            }
            None => {
                self.feeds.push(feed);
                self.feeds.len() as u32 - 1
            }
        };
        self.queue.push(at, Event::Feed(slot));
    }

    fn on_feed(&mut self, slot: u32) {
        let Some(Feed { actor, epoch, input }) = self.feeds[slot as usize].take() else { return };
        self.feeds_free.push(slot);
        if self.lives(actor, epoch) {
            self.step(actor, input);
        }
    }

    /// Notes what an actor tells its owner or the log.
    fn note(&mut self, actor: ActorId, effect: &Effect) {
        if self.cast.get(actor).honest {
            measure::note(effect, &self.cast, &mut self.watch.report);
        }
        match effect {
            Effect::Fault(fault) => *self.rules.entry(fault.rule()).or_default() += 1,
            Effect::Notice(Notice::Fetched { fetch, .. }) => self.job_done(actor, *fetch, true),
            Effect::Notice(Notice::FetchFailed { fetch, .. }) => self.job_done(actor, *fetch, false),
            Effect::Notice(Notice::Ordered { order, answer }) => self.job_answered(actor, *order, *answer),
            _ => {}
        }
    }
}
