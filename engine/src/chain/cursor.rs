//! How far a role has read the chain, event by event.

use core::ops::Range;

use super::ChainEvent;

/// The place of the next event: a block, and how many of its events were taken. A block may hold more events than
/// a step takes, so a block number alone would read the same ones for ever.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Cursor {
    /// The first block that is not read to its end: where the next poll starts.
    pub next_block: u64,
    /// Events of that block that were taken already.
    taken: usize,
}

/// What to take from an update.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// Which of its events.
    pub events: Range<usize>,
    /// Whether some are left for the next poll.
    pub is_cut: bool,
}

impl Cursor {
    /// Before the first event of a block.
    pub fn at(next_block: u64) -> Self {
        Self { next_block, taken: 0 }
    }

    /// Blocks from this one on are others now: they are read again.
    pub fn rewind(&mut self, forked_at: u64) {
        if forked_at <= self.next_block {
            *self = Self::at(forked_at);
        }
    }

    /// At most `cap` events of an answer that begins no later than here, and moves behind them; behind `next` if none is left. Those
    /// of the present block that were taken are passed over.
    pub fn take(&mut self, events: &[ChainEvent], next: u64, cap: usize) -> Taken {
        let here = events.iter().take_while(|event| event.block.number == self.next_block).count();
        let start = self.taken.min(here);
        let end = events.len().min(start.saturating_add(cap));
        let is_cut = end < events.len();
        if is_cut {
            let block = events[end].block.number;
            let taken = events[..end].iter().rev().take_while(|e| e.block.number == block).count();
            *self = Self { next_block: block, taken };
        } else if next > self.next_block {
            *self = Self::at(next);
        }
        Taken { events: start..end, is_cut }
    }
}
