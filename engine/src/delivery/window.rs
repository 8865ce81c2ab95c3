//! The payer's side of the window: when to sign (D6, D7, D8).

use crate::{
    limits::GROUP,
    time::{Span, Time},
};

/// When the present window began, when its last group came, and whether stalls made the client sign at half.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Window {
    began: Time,
    last: Time,
    is_full: bool,
    /// Signs at half the window since a stall (D7).
    pub is_halved: bool,
}

impl Window {
    /// Content was verified at `now`. A stall counts when the wait for it was more than an eighth of the time in
    /// which the full window before it arrived.
    pub fn on_content(&mut self, now: Time) {
        if self.is_full {
            let wait = now.since(self.last);
            let took = self.last.since(self.began);
            self.is_halved |= wait > Span(took.0 / 8);
            self.is_full = false;
            self.began = now;
        }
        self.last = now;
    }

    /// The first stream of a quiet channel starts a window.
    pub fn on_start(&mut self, now: Time) {
        *self = Self { began: now, last: now, is_full: false, is_halved: self.is_halved };
    }

    /// The node can't send another group until a voucher comes.
    pub fn on_full(&mut self) {
        self.is_full = true;
    }

    /// Whether to sign: the node would pause, or half of the window is unpaid after a stall. `next_group` is the
    /// size of the largest next group of the streams that still run, zero if none does.
    pub fn wants_voucher(&self, unpaid: u64, offer: u64, next_group: u64) -> bool {
        let would_pause = unpaid + next_group > offer;
        unpaid > 0 && (would_pause || (self.is_halved && unpaid >= (offer / 2).max(GROUP)))
    }
}
