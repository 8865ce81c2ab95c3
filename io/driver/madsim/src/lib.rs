//! The driver among tasks: what arrives comes from a peer's task, every piece of a port's work is a task of its own.
//!
//! `--cfg madsim` replaces clock, randomness and scheduling of a whole binary, so this is a package by itself, built
//! into a folder by itself: see `.ci/madsim`. There, whichever tasks are ready run in an order that the seed draws.
//! Without the cfg the same code runs on tokio with a paused clock, in tokio's order.

#![warn(missing_docs)]

mod runtime;

use std::{
    cell::Cell,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use decdn_driver::{
    Limits, Stopped,
    suite::{Bench, CREDITS, Dice, Hands, Log, Script, Setting, World, until_quiet},
};
use decdn_engine::{
    io::Input,
    time::{Span, Time},
};
use futures::future::BoxFuture;
use madsim_tokio::{
    sync::mpsc::{UnboundedSender, unbounded_channel},
    task::JoinHandle,
    time::Instant,
};

pub use runtime::{Runtime, run_checked, seed};

const TICK: Duration = Duration::from_millis(1);
/// A piece of work takes so long at most, in ms. Where it takes none, the schedule alone decides what comes first.
const WORK_MAX: u64 = 2;

/// Tasks of the runtime that it was made in.
#[derive(Clone)]
pub struct Tasks {
    start: Instant,
    dice: Arc<Mutex<Dice>>,
}

impl Tasks {
    /// Work takes as long as this seed says. Called inside a runtime.
    pub fn new(seed: u64) -> Self {
        Self { start: Instant::now(), dice: Arc::new(Mutex::new(Dice(seed))) }
    }
}

impl Setting for Tasks {
    fn now(&self) -> Time {
        Time(u64::try_from(self.start.elapsed().as_micros()).expect("less than 500,000 years"))
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        Box::pin(madsim_tokio::time::sleep_until(self.start + Duration::from_micros(at.0)))
    }

    fn carry_out(&self, work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        let takes = self.dice.lock().unwrap_or_else(PoisonError::into_inner).roll(WORK_MAX + 1);
        let task = madsim_tokio::spawn(async move {
            if takes > 0 {
                madsim_tokio::time::sleep(Duration::from_millis(takes)).await;
            }
            work.await;
        });
        Box::pin(async move { task.await.expect("a port's work does not fail") })
    }
}

/// Our driver among tasks.
pub struct Madsim {
    // Before the runtime, so that nothing of it is left when that goes.
    driver: Option<JoinHandle<Stopped<&'static str, &'static str>>>,
    world: World<Tasks>,
    arrivals: UnboundedSender<Input>,
    said: u64,
    heard: Arc<AtomicU64>,
    runtime: Runtime,
}

impl Madsim {
    fn sleep(&self, span: Duration) {
        self.runtime.block_on(async { madsim_tokio::time::sleep(span).await });
    }
}

impl Bench for Madsim {
    const INPUTS_PER_STREAM: Option<usize> = Some(CREDITS);
    const SETTLE: Span = Span::from_millis(100);

    fn start(role: Script, log: Log) -> Self {
        let seed = SEED.replace(SEED.get() + 1);
        let runtime = Runtime::new(seed);
        let (arrivals, mut arriving) = unbounded_channel();
        let heard = Arc::new(AtomicU64::new(0));
        let count = heard.clone();
        let (world, driver) = runtime.block_on(async move {
            let world = World::new(log, Tasks::new(seed));
            let driver = madsim_tokio::spawn(world.run(role, Limits::default()));
            let there = world.clone();
            madsim_tokio::spawn(async move {
                while let Some(input) = arriving.recv().await {
                    there.room().await;
                    there.arrive(input);
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
            (world, driver)
        });
        Self { driver: Some(driver), world, arrivals, said: 0, heard, runtime }
    }

    fn arrive(&mut self, input: Input) {
        self.said += 1;
        self.arrivals.send(input).expect("the peer's task runs as long as the bench");
    }

    fn settle(&mut self) {
        until_quiet(|| {
            self.sleep(TICK);
            if let Some(driver) = self.driver.take_if(|driver| driver.is_finished()) {
                let ended = self.runtime.block_on(driver);
                ended.expect("a driver that stops does so by itself");
            }
            let is_heard = self.said == self.heard.load(Ordering::SeqCst);
            !(self.world.is_stopped() || is_heard && self.world.is_quiet())
        });
    }

    fn hands(&self) -> impl Hands {
        self.world.clone()
    }

    fn now(&mut self) -> Time {
        self.runtime.block_on(async { self.world.setting().now() })
    }

    fn advance(&mut self, span: Span) {
        self.sleep(Duration::from_micros(span.0));
    }
}

thread_local! {
    /// Of the next bench on this thread; each has one of its own.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Runs a rule over many schedules. A failure says which seed to start from.
pub fn on_many_seeds(rule: fn()) {
    // tokio has one schedule: there a seed says only how long work takes.
    const SEEDS: u64 = if cfg!(madsim) { 40 } else { 5 };
    /// More than the benches that one run of a rule starts.
    const APART: u64 = 1 << 20;
    for seed in 0..SEEDS {
        SEED.set(seed * APART);
        let told = Told(seed);
        rule();
        drop(told);
    }
}

/// Tells the seed of a run that panics.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at seed {}", self.0);
        }
    }
}
