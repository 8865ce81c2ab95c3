//! The one thing that differs: what the tasks run on.

use std::{fmt::Debug, future::Future};

#[cfg(not(madsim))]
mod kind {
    use std::{cell::Cell, fmt::Debug, future::Future};

    thread_local! {
        static SEED: Cell<u64> = const { Cell::new(0) };
    }

    /// tokio, on this thread, with a clock that moves when nothing else does.
    pub struct Runtime(madsim_tokio::runtime::Runtime);

    impl Runtime {
        /// tokio draws nothing from the seed; what runs on it may.
        pub fn new(seed: u64) -> Self {
            SEED.set(seed);
            let runtime =
                madsim_tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
            Self(runtime.expect("a runtime without threads and sockets"))
        }

        /// Runs all tasks until this future ends.
        pub fn block_on<F: Future>(&self, future: F) -> F::Output {
            self.0.block_on(future)
        }
    }

    /// Of the runtime that this is called in.
    pub fn seed() -> u64 {
        SEED.get()
    }

    pub fn checked<A: Debug + Send, F: Future<Output = A> + 'static>(seed: u64, program: fn() -> F) -> A {
        Runtime::new(seed).block_on(program())
    }
}

#[cfg(madsim)]
mod kind {
    use std::{fmt::Debug, future::Future};

    use madsim::{
        Config,
        runtime::{Handle, Runtime as Simulation},
    };

    /// madsim, with a schedule that the seed draws.
    pub struct Runtime(Simulation);

    impl Runtime {
        /// The schedule of this seed.
        pub fn new(seed: u64) -> Self {
            Self(Simulation::with_seed_and_config(seed, Config::default()))
        }

        /// Runs all tasks until this future ends.
        pub fn block_on<F: Future>(&self, future: F) -> F::Output {
            self.0.block_on(future)
        }
    }

    /// Of the runtime that this is called in.
    pub fn seed() -> u64 {
        Handle::current().seed()
    }

    /// madsim's own check: two runs, draw by draw.
    pub fn checked<A: Debug + Send, F: Future<Output = A> + 'static>(seed: u64, program: fn() -> F) -> A {
        Simulation::check_determinism(seed, Config::default(), program)
    }
}

pub use kind::{Runtime, seed};

/// Runs a program again and again with one seed, with madsim under its own check, and compares what came of it.
///
/// # Panics
/// If anything differs.
pub fn run_checked<A, F>(seed: u64, program: fn() -> F) -> A
where
    A: PartialEq + Debug + Send,
    F: Future<Output = A> + 'static,
{
    let end = kind::checked(seed, program);
    assert_eq!(end, Runtime::new(seed).block_on(program()), "seed {seed} leads to two ends");
    end
}
