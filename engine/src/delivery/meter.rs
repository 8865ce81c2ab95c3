//! What is owed on a channel, unrounded, and which bytes an amount pays for (D5, D8).

use serde::{Deserialize, Serialize};

use crate::money::{Amount, MB, Rate};

/// Base units × MB: the product of bytes and a rate, before it is divided and rounded up once.
const UNITS: u128 = MB as u128;

/// Metered bytes of a channel. Bytes before the last change of rate are folded into `owed_before`; those since
/// are counted, so that both ends can say how many of them an amount pays for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Meter {
    /// Owed at earlier rates, in base units × MB.
    owed_before: u128,
    /// Content bytes at the present rate.
    bytes: u64,
    /// The present rate; zero before the first stream.
    rate: Rate,
}

impl Meter {
    /// A channel on which nothing has moved.
    pub const fn new() -> Self {
        Self { owed_before: 0, bytes: 0, rate: Rate(0) }
    }

    /// The present rate; zero before the first stream.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Counts from here on at `rate`. Right only while nothing at another rate is unpaid (D5).
    pub fn set_rate(&mut self, rate: Rate) {
        if rate != self.rate {
            let owed = self.owed_raw();
            *self = Self { owed_before: owed, bytes: 0, rate };
            assert_eq!(self.owed_raw(), owed, "what is owed stays, whatever comes next costs");
        }
    }

    /// Counts content bytes.
    pub fn add(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Owed, unrounded: base units × MB.
    pub fn owed_raw(&self) -> u128 {
        let now = u128::from(self.bytes).saturating_mul(u128::from(self.rate.0));
        self.owed_before.saturating_add(now)
    }

    /// Owed, rounded up once.
    pub fn owed(&self) -> Amount {
        Amount(self.owed_raw().div_ceil(UNITS))
    }

    /// Owed if `more` bytes were counted.
    pub fn owed_with(&self, more: u64) -> Amount {
        let mut then = *self;
        then.add(more);
        then.owed()
    }

    /// How many bytes at the present rate `paid` covers: those counted, and more where it is ahead.
    pub fn bytes_paid(&self, paid: Amount) -> u64 {
        if self.rate.0 == 0 {
            return 0;
        }
        let left = paid.0.saturating_mul(UNITS).saturating_sub(self.owed_before);
        u64::try_from(left / u128::from(self.rate.0)).unwrap_or(u64::MAX)
    }

    /// Exposure: counted bytes that `paid` does not pay (D8).
    pub fn unpaid(&self, paid: Amount) -> u64 {
        self.bytes.saturating_sub(self.bytes_paid(paid))
    }

    /// Whether more was counted than `paid` shows the payer to have: its rounded-up last unit may pay for bytes that
    /// were lost on their way.
    pub fn is_ahead_of(&self, paid: Amount) -> bool {
        self.owed_raw()
            > paid.0.saturating_sub(1).saturating_mul(UNITS).saturating_add(u128::from(paid.0 > 0))
    }

    /// How many bytes one base unit buys at the present rate, at least: what rounding up may be ahead by.
    pub fn bytes_per_unit(&self) -> u64 {
        MB.div_ceil(self.rate.0.max(1))
    }

    /// How many more bytes may be counted until exposure reaches `offer`.
    pub fn room(&self, paid: Amount, offer: u64) -> u64 {
        self.bytes_paid(paid).saturating_add(offer).saturating_sub(self.bytes)
    }

    /// After a restart: the fewest bytes for which `paid` would have been signed count as sent, no more (D8).
    pub fn lower_to(&mut self, paid: Amount) {
        let mut fewest = Self { bytes: 0, ..*self };
        fewest.raise_to(paid);
        if fewest.owed_raw() < self.owed_raw() {
            *self = fewest;
        }
    }

    /// After a restart, or where a voucher pays for more than was counted: at least the fewest bytes for which
    /// `paid` would have been signed count as sent (D8).
    pub fn raise_to(&mut self, paid: Amount) {
        let Some(before_last_unit) = paid.0.checked_sub(1) else { return };
        let fewest_raw = before_last_unit.saturating_mul(UNITS).saturating_add(1);
        if self.owed_raw() >= fewest_raw {
            return;
        }
        if self.rate.0 == 0 {
            self.owed_before = fewest_raw;
            return;
        }
        let bytes = fewest_raw.saturating_sub(self.owed_before).div_ceil(u128::from(self.rate.0));
        self.bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        assert!(self.bytes == u64::MAX || self.owed_raw() >= fewest_raw, "all that is paid for was sent");
    }
}
