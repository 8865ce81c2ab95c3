//! A bench in memory, on a plain executor: time stands still, nothing is random, no thread runs.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Wake, Waker},
};

use decdn_driver::{
    Limits, Stopped,
    suite::{Bench, CREDITS, Hands, Log, Script, Setting, World},
};
use decdn_engine::{
    io::Input,
    time::{Span, Time},
};
use futures::{channel::oneshot, future::BoxFuture};

/// A clock that the suite turns; work is done at once.
#[derive(Clone, Default)]
struct Still(Arc<Mutex<Watch>>);

#[derive(Default)]
struct Watch {
    now: Time,
    sleepers: Vec<(Time, oneshot::Sender<()>)>,
}

impl Still {
    fn lock(&self) -> MutexGuard<'_, Watch> {
        self.0.lock().expect("no panic while it was held")
    }
}

impl Setting for Still {
    fn now(&self) -> Time {
        self.lock().now
    }

    fn sleep_until(&self, at: Time) -> BoxFuture<'static, ()> {
        let (wake, woken) = oneshot::channel();
        let mut watch = self.lock();
        if watch.now < at {
            watch.sleepers.push((at, wake));
        }
        Box::pin(async {
            // Dropping the sender ends the sleep as well.
            let _ = woken.await;
        })
    }

    fn carry_out(&self, work: BoxFuture<'static, ()>) -> BoxFuture<'static, ()> {
        work
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
    world: World<Still>,
    driver: Pin<Box<dyn Future<Output = Stopped<&'static str, &'static str>>>>,
    flag: Arc<Flag>,
}

impl Memory {
    /// With other limits than the default ones.
    pub fn with_limits(role: Script, log: Log, limits: Limits) -> Self {
        let world = World::new(log, Still::default());
        let driver = Box::pin(world.run(role, limits));
        Self { world, driver, flag: Arc::new(Flag(AtomicBool::new(true))) }
    }

    /// How many things that arrived were not heard yet.
    pub fn unheard(&self) -> usize {
        self.world.unheard()
    }
}

impl Bench for Memory {
    const INPUTS_PER_STREAM: Option<usize> = Some(CREDITS);

    fn start(role: Script, log: Log) -> Self {
        Self::with_limits(role, log, Limits::default())
    }

    fn arrive(&mut self, input: Input) {
        self.world.arrive(input);
    }

    fn settle(&mut self) {
        let waker = Waker::from(self.flag.clone());
        let mut polls = 0;
        // Only a wake-up counts: a driver that forgets to ask for one stands still here, as it would outside.
        while !self.world.is_stopped() && self.flag.0.swap(false, Ordering::SeqCst) {
            polls += 1;
            assert!(polls < 10_000, "the driver spins");
            if self.driver.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                assert!(self.world.is_stopped());
            }
        }
    }

    fn hands(&self) -> impl Hands {
        self.world.clone()
    }

    fn now(&mut self) -> Time {
        self.world.setting().now()
    }

    fn advance(&mut self, span: Span) {
        let mut watch = self.world.setting().lock();
        watch.now = watch.now + span;
        let now = watch.now;
        // Dropping the sender ends the sleep.
        watch.sleepers.retain(|(at, _)| *at > now);
    }
}
