//! How often something may happen (P5).

use crate::time::{Span, Time};

/// So many per second, so many at once: one number, the time at which all of it may be used again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    /// From when on it is full.
    pub full_at: Time,
}

impl Bucket {
    /// Takes one out if there is one, of a bucket that holds `burst` and gets `per_sec` back.
    pub fn take(&mut self, now: Time, terms: (u64, u64)) -> bool {
        let less = self.less_one(now, terms);
        *self = less.unwrap_or(*self);
        less.is_some()
    }

    /// What is left of it once one is taken out, if there is one.
    #[must_use]
    pub fn less_one(&self, now: Time, (per_sec, burst): (u64, u64)) -> Option<Self> {
        let gap = 1_000_000 / per_sec.max(1);
        let full_at = self.full_at.max(now) + Span(gap);
        (full_at.since(now) <= Span(gap.saturating_mul(burst))).then_some(Self { full_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p5_a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let mut bucket = Bucket::default();
        let taken = |bucket: &mut Bucket, at| (0..100).filter(|_| bucket.take(Time(at), (5, 7))).count();
        assert_eq!(taken(&mut bucket, 1_000_000), 7);
        assert_eq!(taken(&mut bucket, 1_199_999), 0);
        assert_eq!(taken(&mut bucket, 1_200_000), 1);
        assert_eq!(taken(&mut bucket, 2_200_000), 5);
        assert_eq!(taken(&mut bucket, 90_000_000), 7);
    }
}
