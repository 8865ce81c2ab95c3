//! Write sets on their way to the store: grouped, and in order wherever order matters.
//!
//! Lanes are independent, so a write set may overtake an earlier one of another lane, with one exception: where
//! two write sets have a key in common, the one with the lower number is durable first or both at once. Without
//! it a held-back lane would bring an old value of a record back, and recovery would fold to a state that never
//! was.

use std::collections::{BTreeMap, VecDeque};

use decdn_engine::{
    io::Lane,
    record::{Key, PersistSeq, Record},
};

struct WriteSet {
    lane: Lane,
    seq: PersistSeq,
    writes: Vec<Record>,
}

#[derive(Default)]
pub(crate) struct Commits {
    /// Per key, the write sets that are not in a group yet, by their numbers.
    order: BTreeMap<Key, VecDeque<PersistSeq>>,
    /// At the head of their lane, behind another lane's write set with a common key.
    blocked: BTreeMap<PersistSeq, WriteSet>,
    /// The next group.
    next: VecDeque<WriteSet>,
    /// The group that the store has.
    under_way: Vec<(Lane, PersistSeq)>,
}

impl Commits {
    /// A step has put out this write set.
    pub(crate) fn announce(&mut self, seq: PersistSeq, writes: &[Record]) {
        for key in keys(writes) {
            let waiting = self.order.entry(key).or_default();
            debug_assert!(waiting.back().is_none_or(|last| *last < seq), "write sets are numbered upwards");
            waiting.push_back(seq);
        }
    }

    /// Everything before this write set in its lane is done, and so is the content that it speaks of.
    pub(crate) fn offer(&mut self, lane: Lane, seq: PersistSeq, writes: Vec<Record>) {
        self.blocked.insert(seq, WriteSet { lane, seq, writes });
        // In rising order one pass suffices: a set is only ever blocked by lower ones.
        let candidates: Vec<_> = self.blocked.range(seq..).map(|(seq, _)| *seq).collect();
        for seq in candidates {
            let free = keys(&self.blocked[&seq].writes)
                .all(|key| self.order.get(&key).and_then(VecDeque::front) == Some(&seq));
            if free {
                let set = self.blocked.remove(&seq).expect("it was found there");
                for key in keys(&set.writes) {
                    let waiting = self.order.get_mut(&key).expect("it was announced");
                    waiting.pop_front();
                    if waiting.is_empty() {
                        self.order.remove(&key);
                    }
                }
                self.next.push_back(set);
            }
        }
    }

    /// The next group, at most `max` write sets; `None` while one is under way or there is nothing to write.
    pub(crate) fn take_group(&mut self, max: usize) -> Option<Vec<Vec<Record>>> {
        if !self.under_way.is_empty() || self.next.is_empty() {
            return None;
        }
        let count = self.next.len().min(max.max(1));
        let group = self.next.drain(..count);
        Some(
            group
                .map(|set| {
                    self.under_way.push((set.lane, set.seq));
                    set.writes
                })
                .collect(),
        )
    }

    /// The group is durable: whose barriers fall.
    pub(crate) fn done(&mut self) -> Vec<(Lane, PersistSeq)> {
        std::mem::take(&mut self.under_way)
    }
}

/// The keys of a write set, each once.
fn keys(writes: &[Record]) -> impl Iterator<Item = Key> + '_ {
    writes.iter().enumerate().filter_map(|(i, record)| {
        let key = record.key();
        writes[..i].iter().all(|earlier| earlier.key() != key).then_some(key)
    })
}
