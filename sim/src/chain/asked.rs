//! The chain as an endpoint has it: the whole truth, some blocks ago.

use decdn_engine::{
    chain::{BlockRef, ChainUpdate, Interest},
    time::Time,
};

use super::{Chain, POLL_EVENTS};

impl Chain {
    /// What an endpoint answers that is so many blocks behind.
    pub fn seen_behind(
        &self,
        now: Time,
        lag_blocks: u64,
        from_block: u64,
        interests: &[Interest],
    ) -> ChainUpdate {
        let behind = Time(now.0.saturating_sub(lag_blocks.saturating_mul(self.l2.profile().slot.0)));
        let mut update = self.l2.events_since(behind, from_block, interests, POLL_EVENTS);
        let last = update.head.number;
        update.events.retain(|event| event.block.number <= last);
        update.next = update.next.min(last.saturating_add(1)).max(from_block);
        update.safe = update.safe.min(last);
        update
    }

    /// What a block of this number is called.
    pub fn named(&self, number: u64) -> BlockRef {
        self.l2.name(self.l2.block(number))
    }

    /// The first block that is another one than somebody knows who has heard of so many forks.
    pub fn forked_since(&self, forks: usize) -> Option<u64> {
        self.l2.forked_since(forks)
    }
}
