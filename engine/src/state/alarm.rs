//! Deadlines: one heap per role, at most one live entry per alarm.
//!
//! Moving an alarm later costs nothing: its entry stays where it is and is put back when it comes up early.
//! A cancelled alarm's entry comes up once and does nothing.

use alloc::collections::BinaryHeap;
use core::cmp::Reverse;

use crate::time::Time;

/// When something is due, kept with whatever it is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Alarm {
    at: Option<Time>,
    queued: Option<Time>,
}

impl Alarm {
    /// When it is due.
    pub fn at(&self) -> Option<Time> {
        self.at
    }

    /// Nothing is due any more.
    pub fn cancel(&mut self) {
        self.at = None;
    }
}

/// The heap: (time, sequence, key), so that equal times come up in the order they were set.
#[derive(Clone, Debug)]
pub struct Alarms<K> {
    heap: BinaryHeap<Reverse<(Time, u64, K)>>,
    seq: u64,
}

impl<K: Copy + Ord> Default for Alarms<K> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), seq: 0 }
    }
}

impl<K: Copy + Ord> Alarms<K> {
    /// Sets an alarm, or moves it.
    pub fn arm(&mut self, alarm: &mut Alarm, at: Time, key: K) {
        alarm.at = Some(at);
        if alarm.queued.is_none_or(|queued| queued > at) {
            self.push(alarm, at, key);
        }
    }

    /// Sets an alarm unless an earlier one is set.
    pub fn arm_by(&mut self, alarm: &mut Alarm, at: Time, key: K) {
        if alarm.at.is_none_or(|set| set > at) {
            self.arm(alarm, at, key);
        }
    }

    fn push(&mut self, alarm: &mut Alarm, at: Time, key: K) {
        alarm.queued = Some(at);
        self.heap.push(Reverse((at, self.seq, key)));
        self.seq += 1;
    }

    /// The earliest entry: never later than the earliest alarm.
    pub fn next(&self) -> Option<(Time, K)> {
        self.heap.peek().map(|Reverse((at, _, key))| (*at, *key))
    }

    /// Takes the earliest entry if its time has come. The owner then asks [`Alarms::is_due`].
    pub fn pop(&mut self, now: Time) -> Option<(Time, K)> {
        let (at, key) = self.next().filter(|(at, _)| *at <= now)?;
        self.heap.pop();
        Some((at, key))
    }

    /// Whether an entry that came up at `entry` means that the alarm is due; if so it is cleared, else it is
    /// put back where it belongs.
    pub fn is_due(&mut self, alarm: &mut Alarm, entry: Time, now: Time, key: K) -> bool {
        if alarm.queued != Some(entry) {
            return false;
        }
        alarm.queued = None;
        match alarm.at {
            Some(at) if at <= now => {
                alarm.at = None;
                true
            }
            Some(at) => {
                self.push(alarm, at, key);
                false
            }
            None => false,
        }
    }

    /// Entries held, live or not.
    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
}
