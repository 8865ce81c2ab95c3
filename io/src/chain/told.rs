//! What a poll told of the chain's branch, so that the next one notices another (L1).

use std::collections::VecDeque;

use alloy_primitives::B256;

/// The most blocks that are remembered. Of more every other one goes: a fork is then taken to begin earlier than it does, and
/// more is read again.
const BLOCKS_MAX: usize = 256;

/// Blocks that were told as heads since the safe one, rising, with their hashes.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    safe: u64,
    blocks: VecDeque<(u64, B256)>,
    /// A fork that was found and that nobody heard of.
    owed: Option<u64>,
}

impl Told {
    /// Those that an endpoint with this head has to have, or its branch is another one.
    pub(super) fn up_to(&self, head: u64) -> Vec<(u64, B256)> {
        self.blocks.iter().take_while(|(number, _)| *number <= head).copied().collect()
    }

    /// The endpoint has the first so many of them and not the rest: where its branch begins. What was told beyond is forgotten.
    pub(super) fn fork(&mut self, same: usize) -> u64 {
        self.blocks.truncate(same);
        self.blocks.back().map_or(self.safe, |(number, _)| *number).saturating_add(1)
    }

    /// A fork was found, and the answer that should have said so failed.
    pub(super) fn owe(&mut self, forked_at: u64) {
        self.owed = Some(self.owed.map_or(forked_at, |owed| owed.min(forked_at)));
    }

    /// See [`owe`](Self::owe).
    pub(super) fn owed(&self) -> Option<u64> {
        self.owed
    }

    /// This head was told, with this safe one. What is safe needs no remembering but for its number.
    pub(super) fn tell(&mut self, (number, hash): (u64, B256), safe: u64) {
        self.safe = self.safe.max(safe);
        self.owed = None;
        while self.blocks.front().is_some_and(|(number, _)| *number <= self.safe) {
            self.blocks.pop_front();
        }
        if number > self.safe && self.blocks.back().is_none_or(|(last, _)| *last < number) {
            self.blocks.push_back((number, hash));
        }
        if self.blocks.len() > BLOCKS_MAX {
            let mut place = 0;
            self.blocks.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hash(branch: u8, number: u64) -> B256 {
        let mut hash = B256::repeat_byte(branch);
        hash[..8].copy_from_slice(&number.to_be_bytes());
        hash
    }

    proptest! {
        /// However many heads were told, a fork is taken to begin no later than it does, and after the safe head; and few are
        /// remembered.
        #[test]
        fn l1_a_fork_is_never_taken_to_begin_too_late(
            steps in prop::collection::vec(1u64..100, 1..600),
            lag in 0u64..20_000,
            back in 0u64..20_000,
        ) {
            let mut told = Told::default();
            let (mut head, mut safe) = (0, 0);
            for step in steps {
                head += step;
                safe = safe.max(head.saturating_sub(lag));
                told.tell((head, hash(1, head)), safe);
                prop_assert!(told.blocks.len() <= BLOCKS_MAX);
            }
            let first = head.saturating_sub(back).max(safe + 1);
            let known = told.up_to(head);
            let same = known.iter().take_while(|(number, _)| *number < first).count();
            let forked_at = told.fork(same);
            prop_assert!(safe < forked_at && forked_at <= first, "{forked_at}, {first}, safe {safe}");
            prop_assert!(told.up_to(u64::MAX).iter().all(|(number, _)| *number < forked_at));
        }
    }
}
