//! Time as the engine is told it: it never asks.

use core::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// A span of time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Span(pub u64);

impl Span {
    /// `n` microseconds.
    pub const fn from_micros(n: u64) -> Self {
        Self(n)
    }
    /// `n` milliseconds, or the longest span.
    pub const fn from_millis(n: u64) -> Self {
        Self(n.saturating_mul(1_000))
    }
    /// `n` seconds, or the longest span.
    pub const fn from_secs(n: u64) -> Self {
        Self(n.saturating_mul(1_000_000))
    }
    /// `n` hours, or the longest span.
    pub const fn from_hours(n: u64) -> Self {
        Self::from_secs(n.saturating_mul(3_600))
    }
}

/// A point on the driver's monotonic clock, in microseconds from an origin that means nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Time(pub u64);

impl Time {
    /// The span since `earlier`, zero if it is later.
    pub fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

/// A claim about real time: microseconds since the Unix epoch, as some clock had it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct WallTime(pub u64);

impl WallTime {
    /// How far two claims are apart.
    pub fn distance(self, other: WallTime) -> Span {
        Span(self.0.abs_diff(other.0))
    }

    /// How long after `earlier` this is, zero if it is before.
    pub fn since(self, earlier: WallTime) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub fn secs(self) -> u64 {
        self.0 / 1_000_000
    }
}

impl Add<Span> for WallTime {
    type Output = WallTime;
    fn add(self, span: Span) -> WallTime {
        WallTime(self.0.saturating_add(span.0))
    }
}

impl Sub<Span> for WallTime {
    type Output = WallTime;
    fn sub(self, span: Span) -> WallTime {
        WallTime(self.0.saturating_sub(span.0))
    }
}

/// The chain's clock: `block.timestamp`, in seconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ChainTime(pub u64);

impl ChainTime {
    /// The same instant as a wall clock would claim it.
    pub fn wall(self) -> WallTime {
        WallTime(self.0.saturating_mul(1_000_000))
    }

    /// So much later, in whole seconds, rounded up.
    pub fn after(self, span: Span) -> ChainTime {
        ChainTime(self.0.saturating_add(span.0.div_ceil(1_000_000)))
    }

    /// How long after `earlier` this is, zero if it is before.
    pub fn since(self, earlier: ChainTime) -> Span {
        Span::from_secs(self.0.saturating_sub(earlier.0))
    }
}

/// What a step is told about time: the monotonic clock for timeouts, the wall clock as a claim for signed
/// timestamps and for deadlines of the chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Now {
    /// Monotonic.
    pub mono: Time,
    /// Claimed.
    pub wall: WallTime,
}
