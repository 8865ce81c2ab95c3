//! The one event queue. Virtual time jumps to the next event; which of several simultaneous events comes first is
//! a decision, never a matter of their content or of who asked first.

use std::{cmp::Reverse, collections::BinaryHeap};

use decdn_engine::time::Time;

use crate::decide::{Decisions, Label};

struct Entry<T> {
    at: Time,
    /// Makes the heap's order total, so that the options of a tie come in a fixed order.
    seq: u64,
    event: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.seq) == (other.at, other.seq)
    }
}
impl<T> Eq for Entry<T> {}
impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Entry<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

/// Events by time.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<Entry<T>>>,
    /// Events of the present instant, of which the next one is drawn.
    tied: Vec<T>,
    now: Time,
    pushed: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), tied: Vec::new(), now: Time(0), pushed: 0 }
    }
}

impl<T> Queue<T> {
    /// The present instant.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Lets an event happen at `at`, or now where that has passed.
    pub fn push(&mut self, at: Time, event: T) {
        let at = at.max(self.now);
        self.pushed += 1;
        self.heap.push(Reverse(Entry { at, seq: self.pushed, event }));
    }

    /// Lets time pass in which nothing happens.
    ///
    /// # Panics
    /// If something would have happened.
    pub fn pass(&mut self, until: Time) {
        assert!(self.tied.is_empty() && self.heap.peek().is_none_or(|next| next.0.at > until));
        self.now = self.now.max(until);
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.heap.len() + self.tied.len()
    }

    /// Whether nothing is left to happen.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty() && self.tied.is_empty()
    }

    /// The next event, if there is one up to `until`; time jumps to it.
    pub fn pop(&mut self, until: Time, decide: &mut Decisions) -> Option<T> {
        if self.tied.is_empty() {
            let at = self.heap.peek()?.0.at;
            if at > until {
                return None;
            }
            self.now = at;
            let Reverse(first) = self.heap.pop()?;
            if self.heap.peek().is_none_or(|next| next.0.at > at) {
                return Some(first.event);
            }
            self.tied.push(first.event);
        }
        while self.heap.peek().is_some_and(|next| next.0.at <= self.now) {
            let Reverse(next) = self.heap.pop()?;
            self.tied.push(next.event);
        }
        let drawn = decide.below(Label::Tie, self.tied.len() as u64);
        Some(self.tied.swap_remove(drawn as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_ties_are_drawn() {
        let order = |seed| {
            let (mut queue, mut decide) = (Queue::default(), Decisions::seeded(seed));
            for n in 0..8 {
                queue.push(Time(7), n);
            }
            queue.push(Time(3), 100);
            let all: Vec<u32> = std::iter::from_fn(|| queue.pop(Time(u64::MAX), &mut decide)).collect();
            assert_eq!(all[0], 100);
            all
        };
        assert_eq!(order(1), order(1));
        assert!((2..20).any(|seed| order(seed) != order(1)), "no seed changes the order of a tie");
    }

    #[test]
    fn the_past_is_now_and_the_horizon_holds() {
        let (mut queue, mut decide) = (Queue::default(), Decisions::seeded(0));
        queue.push(Time(5), 'a');
        assert_eq!(queue.pop(Time(4), &mut decide), None);
        assert_eq!(queue.pop(Time(5), &mut decide), Some('a'));
        queue.push(Time(1), 'b');
        assert_eq!(queue.pop(Time(5), &mut decide), Some('b'));
        assert_eq!(queue.now(), Time(5));
        assert!(queue.is_empty());
    }
}
