//! Amounts and rates: integers in a token's base units, never floats.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in the MB that a rate is quoted for.
pub const MB: u64 = 1 << 20;

/// The highest rate a requester takes at its word, in base units per MB (P6).
pub const RATE_MAX: u64 = 1_000_000_000_000;

/// An amount of one token, in its base units. `uint256` on wire and chain; what does not fit is refused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Amount(pub u128);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount the engine handles.
    pub const MAX: Self = Self(u128::MAX);

    /// `self + other`, or `None` where the sum does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// `self − other`, at least zero.
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A price: token base units per MB (1,048,576 bytes). Zero is no price (P6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Rate(pub u64);

impl Rate {
    /// Whether a requester may take this rate at its word (P6): above zero, at most 10^12.
    pub fn is_sane(self) -> bool {
        self.0 > 0 && self.0 <= RATE_MAX
    }
}

/// A voucher's place in its channel's sequence. Nonces start at 1; 0 means "none yet" (V1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct Nonce(pub u64);

impl Nonce {
    /// No voucher yet.
    pub const NONE: Self = Self(0);

    /// The following nonce, or `None` at the end of the sequence.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}
