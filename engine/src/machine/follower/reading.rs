//! What was read of the chain (L4): each block twice, half a minute apart or more, because an answer may have a head and lack logs
//! below it. What is taken is taken once.

use alloc::{
    collections::{BTreeSet, VecDeque},
    vec::Vec,
};

use super::APART;
use crate::{
    chain::{ChainEvent, ChainUpdate, Cursor},
    time::Time,
};

/// Reads that are told apart: of more, two count as one that came later.
const MARKS: usize = 16;

/// What was taken of an update.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Took {
    /// The places of events that are new.
    pub events: Vec<usize>,
    /// Some are left for the next answer.
    pub is_cut: bool,
    /// More events than are remembered: these blocks are not read for a second time.
    pub is_overrun: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Reading {
    cursor: Cursor,
    /// The first block that was not read twice.
    confirmed: u64,
    /// When blocks up to before this one were read first; rising.
    marks: VecDeque<(Time, u64)>,
    /// Events of blocks that are not read twice.
    taken: BTreeSet<ChainEvent>,
    /// The last answer was cut: the next one goes on there.
    is_cut: bool,
}

impl Reading {
    /// From this block on.
    pub fn at(block: u64) -> Self {
        Self {
            cursor: Cursor::at(block),
            confirmed: block,
            marks: VecDeque::new(),
            taken: BTreeSet::new(),
            is_cut: false,
        }
    }

    /// The first block that is not read to its end.
    pub fn next_block(&self) -> u64 {
        self.cursor.next_block
    }

    /// The first block that was not read twice.
    pub fn confirmed(&self) -> u64 {
        self.confirmed
    }

    /// Where the next answer is to begin.
    pub fn from(&self) -> u64 {
        if self.is_cut { self.cursor.next_block } else { self.confirmed.min(self.cursor.next_block) }
    }

    /// Blocks from this one on are others now, or are to be read again.
    pub fn rewind(&mut self, first: u64) {
        self.cursor.rewind(first);
        self.confirmed = self.confirmed.min(first);
        self.marks.retain(|(_, next)| *next <= first);
        while self.taken.last().is_some_and(|event| event.block.number >= first) {
            self.taken.pop_last();
        }
    }

    /// Takes what is new of an update that begins where it has to, at most so many events. One whose head does not count moves
    /// nothing. `room`: the most events that are remembered.
    pub fn take(
        &mut self,
        now: Time,
        update: &ChainUpdate,
        counts: bool,
        (cap, room): (usize, usize),
    ) -> Took {
        let before = self.cursor.next_block;
        let older = update.events.partition_point(|event| event.block.number < before);
        let mut took = Took::default();
        let is_late_left = !self.take_new(&update.events, 0..older, cap, &mut took);
        if !counts {
            self.take_new(&update.events, older..update.events.len(), cap, &mut took);
            return took;
        }
        let left = cap.saturating_sub(took.events.len());
        let fresh = self.cursor.take(&update.events[older..], update.next, left);
        (took.is_cut, self.is_cut) = (fresh.is_cut || is_late_left, fresh.is_cut);
        let fresh = fresh.events.start + older..fresh.events.end + older;
        self.take_new(&update.events, fresh, cap, &mut took);
        // Whoever tells events out of order may send the cursor back.
        self.confirmed = self.confirmed.min(self.cursor.next_block);
        if !took.is_cut {
            self.confirm(now, update.next);
        }
        if self.cursor.next_block > before {
            self.mark(now);
        }
        if self.taken.len() > room {
            took.is_overrun = true;
            self.confirmed = self.cursor.next_block;
            self.marks.clear();
            self.taken.clear();
        }
        took
    }

    /// Takes those of these that are new. Whether none is left.
    fn take_new(
        &mut self,
        events: &[ChainEvent],
        places: core::ops::Range<usize>,
        cap: usize,
        took: &mut Took,
    ) -> bool {
        for place in places {
            let is_new = !self.taken.contains(&events[place]);
            if is_new && took.events.len() >= cap {
                return false;
            }
            if is_new {
                self.taken.insert(events[place]);
                took.events.push(place);
            }
        }
        true
    }

    /// What was read long enough ago is read for the second time, as far as this answer goes.
    fn confirm(&mut self, now: Time, next: u64) {
        while let Some((read, until)) = self.marks.front().copied() {
            if now.since(read) < APART || next < until {
                break;
            }
            self.marks.pop_front();
            self.confirmed = self.confirmed.max(until);
        }
        while self.taken.first().is_some_and(|event| event.block.number < self.confirmed) {
            self.taken.pop_first();
        }
    }

    fn mark(&mut self, now: Time) {
        if self.marks.len() >= MARKS {
            self.marks.pop_back();
        }
        self.marks.push_back((now, self.cursor.next_block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        chain::{Block, channel::EventKind},
        ids::ChannelId,
        money::{Amount, Nonce},
        time::ChainTime,
    };

    const BOUNDS: (usize, usize) = (16, 16);

    fn event(number: u64, amount: u128) -> ChainEvent {
        let kind = EventKind::Disputed { by: Default::default(), amount: Amount(amount), nonce: Nonce(1) };
        ChainEvent::of_channel(Block { number, time: ChainTime(1) }, ChannelId([1; 32]), kind)
    }

    fn update(events: &[ChainEvent], next: u64) -> ChainUpdate {
        ChainUpdate { events: events.to_vec(), next, ..ChainUpdate::default() }
    }

    fn at(secs: u64) -> Time {
        Time(secs * 1_000_000)
    }

    #[test]
    fn l4_each_block_is_read_twice_half_a_minute_apart_and_taken_once() {
        let mut reading = Reading::at(10);
        let first = update(&[event(15, 1)], 20);
        assert_eq!(reading.take(at(0), &first, true, BOUNDS).events, [0]);
        assert_eq!((reading.from(), reading.next_block()), (10, 20));
        // What was left out comes with the second read, what was there is no news.
        let second = update(&[event(12, 7), event(15, 1), event(25, 2)], 30);
        assert_eq!(reading.take(at(29), &second, true, BOUNDS).events, [0, 2]);
        assert_eq!(reading.from(), 10, "too soon after the first");
        assert_eq!(reading.take(at(30), &update(&second.events, 31), true, BOUNDS), Took::default());
        assert_eq!((reading.from(), reading.confirmed()), (20, 20));
    }

    #[test]
    fn l4_what_a_head_that_does_not_count_came_with_is_taken_and_moves_nothing() {
        let mut reading = Reading::at(10);
        let far = update(&[event(12, 1)], 1_000_000);
        assert_eq!(reading.take(at(0), &far, false, BOUNDS).events, [0]);
        assert_eq!((reading.from(), reading.next_block()), (10, 10));
        assert_eq!(reading.take(at(1), &update(&far.events, 20), true, BOUNDS).events, [0; 0]);
        assert_eq!(reading.next_block(), 20);
    }

    #[test]
    fn l1_what_a_fork_undid_is_taken_again() {
        let mut reading = Reading::at(10);
        let told = update(&[event(12, 1), event(15, 2)], 20);
        assert_eq!(reading.take(at(0), &told, true, BOUNDS).events, [0, 1]);
        reading.rewind(15);
        assert_eq!(reading.take(at(1), &told, true, BOUNDS).events, [1]);
    }

    #[test]
    fn o11_more_events_than_are_remembered_are_read_once() {
        let mut reading = Reading::at(10);
        let many: Vec<_> = (0..17).map(|n| event(11, n)).collect();
        let took = reading.take(at(0), &update(&many, 20), true, (100, 16));
        assert!(took.is_overrun && took.events.len() == 17);
        assert_eq!((reading.from(), reading.confirmed()), (20, 20));
    }
}
