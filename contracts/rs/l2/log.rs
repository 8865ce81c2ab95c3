//! Every event so far, found by block and by interest.

use std::collections::BTreeMap;

use decdn_engine::chain::{ChainEvent, Interest};

use crate::bindings::Readers;

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    events: Vec<ChainEvent>,
    readers: Readers,
    /// Places in `events`, rising.
    places: BTreeMap<Interest, Vec<usize>>,
}

impl Log {
    pub(super) fn append(&mut self, events: &[ChainEvent]) {
        for event in events {
            for interest in self.readers.of(&event.event) {
                self.places.entry(interest).or_default().push(self.events.len());
            }
            self.events.push(*event);
        }
    }

    /// Blocks from this one on are undone.
    pub(super) fn truncate(&mut self, from_block: u64) {
        let first = self.events.partition_point(|event| event.block.number < from_block);
        self.events.truncate(first);
        for places in self.places.values_mut() {
            places.truncate(places.partition_point(|place| *place < first));
        }
    }

    /// Events from a block on that one of these interests covers, each once, oldest first, in whole blocks up to about
    /// `cap`, and the first block that is not covered, if there is one.
    pub(super) fn since(
        &self,
        from_block: u64,
        interests: &[Interest],
        cap: usize,
    ) -> (Vec<ChainEvent>, Option<u64>) {
        // Most readers are at the head, where nothing is new.
        if self.events.last().is_none_or(|event| event.block.number < from_block) {
            return (Vec::new(), None);
        }
        let first = self.events.partition_point(|event| event.block.number < from_block);
        let places = interests.iter().filter_map(|interest| self.places.get(interest));
        let mut ahead: Vec<&[usize]> =
            places.map(|places| &places[places.partition_point(|place| *place < first)..]).collect();
        let merged = std::iter::from_fn(|| {
            let next = ahead.iter().filter_map(|places| places.first()).min().copied()?;
            for places in &mut ahead {
                *places = places.strip_prefix(&[next]).unwrap_or(places);
            }
            Some(self.events[next])
        });
        whole_blocks(merged, cap)
    }
}

fn whole_blocks(events: impl Iterator<Item = ChainEvent>, cap: usize) -> (Vec<ChainEvent>, Option<u64>) {
    let mut taken: Vec<ChainEvent> = Vec::new();
    for event in events {
        let number = event.block.number;
        let first = taken.first().map_or(number, |event| event.block.number);
        if taken.len() >= cap && first != number {
            taken.retain(|event| event.block.number != number);
            return (taken, Some(number));
        }
        taken.push(event);
    }
    (taken, None)
}
