//! Time at the edge: the machine's clocks, and a demo's way to let days pass.
//!
//! The wall clock is read each time: one that was wrong and is set right must not stay wrong until the next start (X2). The monotonic
//! one goes on while the machine is suspended. Its timers don't, so a sleep is looked at again after a while.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is where time comes from")]

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use decdn_driver::Clock;
use decdn_engine::time::{Now, Span, Time, WallTime};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// The machine's clocks. Everything that shares one warps together.
#[derive(Clone, Debug)]
pub struct SystemClock {
    /// What the machine's monotonic clock showed at zero.
    origin: Time,
    genesis: WallTime,
    /// Time that was made to pass.
    warped: Arc<watch::Sender<Span>>,
}

impl SystemClock {
    /// A clock whose monotonic time starts at zero, now.
    pub fn new() -> Self {
        Self { origin: since_boot(), genesis: wall(), warped: Arc::new(watch::Sender::new(Span(0))) }
    }

    /// The wall clock at monotonic time zero.
    pub fn genesis(&self) -> WallTime {
        self.genesis
    }

    /// Lets a span pass at once, for everyone who shares this clock. Sleepers whose time has come wake up.
    pub fn warp(&self, span: Span) {
        self.warped.send_modify(|warped| warped.0 = warped.0.saturating_add(span.0));
    }
}

/// The machine's wall clock.
fn wall() -> WallTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime(u64::try_from(since_epoch.as_micros()).unwrap_or(u64::MAX))
}

/// The machine's monotonic clock, suspended time included. On Linux that is a clock of its own; elsewhere (macOS) the monotonic one
/// does so by itself.
fn since_boot() -> Time {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const CLOCK: ClockId = ClockId::Monotonic;
    let shown = clock_gettime(CLOCK);
    let micros = i128::from(shown.tv_sec) * 1_000_000 + i128::from(shown.tv_nsec) / 1_000;
    Time(u64::try_from(micros).unwrap_or_default())
}

/// The longest sleep at a stretch.
const STRETCH: Duration = Duration::from_secs(10);

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Now {
        let elapsed = since_boot().since(self.origin);
        let warped = *self.warped.borrow();
        Now { mono: Time(elapsed.0.saturating_add(warped.0)), wall: wall() + warped }
    }

    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send + 'static + use<> {
        let clock = self.clone();
        async move {
            let mut warps = clock.warped.subscribe();
            loop {
                let left = at.since(clock.now().mono);
                if left.0 == 0 {
                    return;
                }
                // `clock` holds the sender, so `changed` never fails.
                let left = Duration::from_micros(left.0).min(STRETCH);
                let _ = tokio::time::timeout(left, warps.changed()).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_warp_wakes_who_sleeps_for_days() {
        let clock = SystemClock::new();
        let before = clock.now();
        let sleep = clock.sleep_until(before.mono + Span::from_hours(48));
        let warp = async {
            tokio::task::yield_now().await;
            clock.warp(Span::from_hours(49));
        };
        tokio::join!(sleep, warp);
        assert!(clock.now().wall >= before.wall + Span::from_hours(49));
    }
}
