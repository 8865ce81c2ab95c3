//! Amounts and rates: integers in a token's base units, never floats.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Bytes in the MB that a rate is quoted for.
pub const MB: u64 = 1 << 20;

/// Decimals of a token of which nobody has said another number.
pub const DECIMALS: u8 = 6;

/// The highest rate of a token with so many decimals (P6): a million whole tokens per MB, as far as that is a rate.
pub const fn rate_max(decimals: u8) -> Rate {
    match 10_u64.checked_pow(decimals as u32 + 6) {
        Some(most) => Rate(most),
        None => Rate(u64::MAX),
    }
}

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
    /// Whether it may be taken at its word (P6): above zero, and no more than the token's highest.
    pub fn is_sane(self, most: Self) -> bool {
        self.0 > 0 && self <= most
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p6_the_highest_rate_is_a_million_tokens_as_far_as_that_fits() {
        assert_eq!(rate_max(2), Rate(100_000_000));
        assert_eq!(rate_max(DECIMALS), Rate(1_000_000_000_000));
        assert_eq!(rate_max(13), Rate(10_000_000_000_000_000_000));
        assert_eq!(
            (rate_max(14), rate_max(18), rate_max(255)),
            (Rate(u64::MAX), Rate(u64::MAX), Rate(u64::MAX))
        );
        assert!(Rate(1).is_sane(rate_max(0)) && Rate(1_000_000).is_sane(rate_max(0)));
        assert!(!Rate(1_000_001).is_sane(rate_max(0)) && !Rate(0).is_sane(rate_max(18)));
    }
}
