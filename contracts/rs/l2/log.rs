//! Every channel event so far, found by block and by account.

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{ChainEvent, EventKind},
    ids::{Address, ChannelId},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Log {
    events: Vec<ChainEvent>,
    parties: BTreeMap<ChannelId, [Address; 2]>,
    /// Places in `events`, rising.
    by_account: BTreeMap<Address, Vec<usize>>,
}

impl Log {
    pub(super) fn append(&mut self, events: &[ChainEvent]) {
        for event in events {
            if let EventKind::Opened { client, node, .. } = event.kind {
                self.parties.insert(event.channel, [client, node]);
            }
            for party in self.parties.get(&event.channel).into_iter().flatten() {
                self.by_account.entry(*party).or_default().push(self.events.len());
            }
            self.events.push(*event);
        }
    }

    /// Events from a block on, oldest first, in whole blocks up to about `cap`, and the first block that is
    /// not covered, if there is one.
    pub(super) fn since(
        &self,
        from_block: u64,
        account: Option<Address>,
        cap: usize,
    ) -> (Vec<ChainEvent>, Option<u64>) {
        let place = |place: &usize| self.events[*place];
        match account {
            None => {
                let first = self.events.partition_point(|event| event.block.number < from_block);
                whole_blocks(self.events[first..].iter().copied(), cap)
            }
            Some(account) => {
                let places = self.by_account.get(&account).map_or(&[][..], Vec::as_slice);
                let first = places.partition_point(|p| place(p).block.number < from_block);
                whole_blocks(places[first..].iter().map(place), cap)
            }
        }
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
