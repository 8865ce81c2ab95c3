//! Deadlines: one heap per role, at most one live entry per alarm.
//!
//! Moving an alarm later costs nothing: its entry stays where it is and is put back when it comes up early.
//! A cancelled alarm's entry comes up once and does nothing. Entries of alarms that are gone, or were moved to an earlier
//! time, are swept out before they outnumber the others: however fast downloads and channels come and go, the heap stays
//! in proportion to those that are there (O11).

use alloc::{collections::BinaryHeap, vec::Vec};
use core::{cmp::Reverse, mem};

use crate::time::Time;

/// So few entries are never worth a sweep.
pub const ALARMS_SPARE: usize = 64;

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

    /// Sweeps if there are more than twice as many entries as `alarms`, the most that can be set, and
    /// [`ALARMS_SPARE`]: so a sweep costs no more than the entries that led to it. `alarm` finds an entry's alarm.
    pub fn tidy(&mut self, alarms: usize, mut alarm: impl FnMut(K) -> Option<Alarm>) {
        if self.heap.len() <= 2 * alarms + ALARMS_SPARE {
            return;
        }
        let mut entries: Vec<_> = mem::take(&mut self.heap).into_vec();
        entries.retain(|Reverse((at, _, key))| alarm(*key).is_some_and(|alarm| alarm.queued == Some(*at)));
        // An alarm that went there and back again has its entry twice; the first one counts.
        entries.sort_unstable_by_key(|Reverse((at, seq, key))| (*key, *at, *seq));
        entries.dedup_by_key(|Reverse((at, _, key))| (*key, *at));
        self.heap = entries.into();
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

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    const OWNERS: usize = 8;

    /// Owners that set, move and cancel alarms and are replaced, as `seed` has it. What came due, in order, and the most
    /// entries that were held.
    fn run(mut seed: u64, is_tidy: bool) -> (Vec<(u64, u64)>, usize) {
        let mut alarms = Alarms::default();
        let mut owners: Vec<(u64, Alarm)> = (0..OWNERS as u64).map(|key| (key, Alarm::default())).collect();
        let (mut due, mut most) = (vec![], 0);
        for now in 0..4_000 {
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (choice, span) = ((seed >> 33) as usize, (seed >> 48) % 5_000);
                let (key, alarm) = &mut owners[choice % OWNERS];
                match choice / OWNERS % 8 {
                    0 => alarm.cancel(),
                    1 => (*key, *alarm) = (*key + OWNERS as u64, Alarm::default()),
                    2 => alarms.arm_by(alarm, Time(now + span), *key),
                    _ => alarms.arm(alarm, Time(now + span), *key),
                }
            }
            while let Some((at, key)) = alarms.pop(Time(now)) {
                let owner = owners.iter_mut().find(|(owner, _)| *owner == key);
                if owner.is_some_and(|(_, alarm)| alarms.is_due(alarm, at, Time(now), key)) {
                    due.push((now, key));
                }
            }
            if is_tidy {
                let find = |key| owners.iter().find(|(owner, _)| *owner == key).map(|(_, alarm)| *alarm);
                alarms.tidy(OWNERS, find);
            }
            most = most.max(alarms.len());
        }
        (due, most)
    }

    #[test]
    fn o11_entries_stay_in_proportion_to_alarms_and_sweeping_changes_no_deadline() {
        for seed in 0..20 {
            let (due, most) = run(seed, true);
            let (all_due, all) = run(seed, false);
            assert_eq!(due, all_due);
            assert!(!due.is_empty());
            assert!(most <= 2 * OWNERS + ALARMS_SPARE, "{most}");
            assert!(all > 2 * most, "nothing to sweep: {all}");
        }
    }
}
