//! Deadlines: one heap per role, at most one live entry per alarm. An alarm is named by its key; the heap owns the times.
//!
//! Moving an alarm later costs nothing: its entry stays where it is and is put back when it comes up early.
//! A cancelled alarm's entry comes up once and does nothing. Entries of alarms that are gone, or were moved to an earlier
//! time, are swept out before they outnumber the others: however fast downloads and channels come and go, the heap stays
//! in proportion to those that are there (O11).

use alloc::{
    collections::{BTreeMap, BinaryHeap},
    vec::Vec,
};
use core::{cmp::Reverse, mem};

use super::{Broken, Checked, Invariant, holds};
use crate::time::Time;

/// So few entries are never worth a sweep.
pub const ALARMS_SPARE: usize = 64;

/// When something is due, and for when its entry is in the heap. One that has come up has neither: it stays for the next
/// time, because what is due once is mostly set again at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Alarm {
    at: Option<Time>,
    queued: Option<Time>,
}

/// The heap: (time, sequence, key), so that equal times come up in the order they were set; and each alarm by its key.
#[derive(Clone, Debug)]
pub struct Alarms<K> {
    heap: BinaryHeap<Reverse<(Time, u64, K)>>,
    seq: u64,
    set: BTreeMap<K, Alarm>,
}

impl<K: Copy + Ord> Default for Alarms<K> {
    fn default() -> Self {
        Self { heap: BinaryHeap::new(), seq: 0, set: BTreeMap::new() }
    }
}

impl<K: Copy + Ord> Alarms<K> {
    /// When an alarm is due, if it is set.
    pub fn at(&self, key: K) -> Option<Time> {
        self.set.get(&key)?.at
    }

    /// Sets an alarm, or moves it.
    pub fn arm(&mut self, key: K, at: Time) {
        let alarm = self.set.entry(key).or_default();
        alarm.at = Some(at);
        if alarm.queued.is_none_or(|queued| queued > at) {
            alarm.queued = Some(at);
            self.push(at, key);
        }
    }

    /// Sets an alarm unless an earlier one is set.
    pub fn arm_by(&mut self, key: K, at: Time) {
        if self.at(key).is_none_or(|set| set > at) {
            self.arm(key, at);
        }
    }

    /// It is not due any more.
    pub fn cancel(&mut self, key: K) {
        if let Some(alarm) = self.set.get_mut(&key) {
            alarm.at = None;
        }
    }

    /// What it was about is gone: its entry, if it has one, means nothing from here on.
    pub fn forget(&mut self, key: K) {
        self.set.remove(&key);
    }

    fn push(&mut self, at: Time, key: K) {
        self.heap.push(Reverse((at, self.seq, key)));
        self.seq += 1;
    }

    /// The earliest entry: never later than the earliest alarm.
    pub fn next(&self) -> Option<(Time, K)> {
        self.heap.peek().map(|Reverse((at, _, key))| (*at, *key))
    }

    /// The next alarm that is due, which is no longer set then.
    pub fn due(&mut self, now: Time) -> Option<K> {
        while let Some((entry, key)) = self.next().filter(|(at, _)| *at <= now) {
            self.heap.pop();
            let Some(alarm) = self.set.get_mut(&key).filter(|alarm| alarm.queued == Some(entry)) else {
                continue;
            };
            match alarm.at {
                Some(at) if at > now => {
                    alarm.queued = Some(at);
                    self.push(at, key);
                }
                at => {
                    *alarm = Alarm::default();
                    if at.is_some() {
                        return Some(key);
                    }
                }
            }
        }
        None
    }

    /// Sweeps if there are more than twice as many entries or alarms as `alarms`, the most that can be set, and
    /// [`ALARMS_SPARE`]: so a sweep costs no more than what led to it.
    pub fn tidy(&mut self, alarms: usize) {
        let most = 2 * alarms + ALARMS_SPARE;
        if self.set.len() > most {
            self.set.retain(|_, alarm| alarm.queued.is_some());
        }
        if self.heap.len() <= most {
            return;
        }
        let mut entries: Vec<_> = mem::take(&mut self.heap).into_vec();
        let set = &self.set;
        entries.retain(|Reverse((at, _, key))| set.get(key).is_some_and(|alarm| alarm.queued == Some(*at)));
        // An alarm that went there and back again has its entry twice; the first one counts.
        entries.sort_unstable_by_key(|Reverse((at, seq, key))| (*key, *at, *seq));
        entries.dedup_by_key(|Reverse((at, _, key))| (*key, *at));
        self.heap = entries.into();
    }

    /// The alarms that are set, or were cancelled and have an entry left.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.set.iter().filter(|(_, alarm)| alarm.queued.is_some()).map(|(key, _)| *key)
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

impl<K: Copy + Ord + 'static> Alarms<K> {
    /// What holds of all alarms.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie("an alarm has its entry in the heap", Self::has_each_its_entry),
        Invariant::of("no entry comes up after its alarm is due", Self::are_entries_early),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn has_each_its_entry(&self) -> Checked {
        for (place, (key, alarm)) in self.set.iter().enumerate() {
            let is_its =
                |entry: &Reverse<(Time, u64, K)>| (Some(entry.0.0), entry.0.2) == (alarm.queued, *key);
            let is_there = alarm.queued.is_none() || self.heap.iter().any(is_its);
            holds!(is_there, "alarm {place} of {}", self.set.len());
        }
        Ok(())
    }

    fn are_entries_early(&self) -> Checked {
        for (place, alarm) in self.set.values().enumerate() {
            let is_early = alarm.at.is_none_or(|at| alarm.queued.is_some_and(|queued| queued <= at));
            holds!(is_early, "alarm {place} of {}: {alarm:?}", self.set.len());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::{
        super::{Case, each_fails},
        *,
    };

    const OWNERS: usize = 8;

    /// Owners that set, move and cancel alarms and are replaced, as `seed` has it. What came due, in order, and the most
    /// entries that were held.
    fn run(mut seed: u64, is_tidy: bool) -> (Vec<(u64, u64)>, usize) {
        let mut alarms = Alarms::default();
        let mut owners: Vec<u64> = (0..OWNERS as u64).collect();
        let (mut due, mut most) = (vec![], 0);
        for now in 0..4_000 {
            for _ in 0..4 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let (choice, span) = ((seed >> 33) as usize, (seed >> 48) % 5_000);
                let key = &mut owners[choice % OWNERS];
                match choice / OWNERS % 8 {
                    0 => alarms.cancel(*key),
                    1 => {
                        alarms.forget(*key);
                        *key += OWNERS as u64;
                    }
                    2 => alarms.arm_by(*key, Time(now + span)),
                    _ => alarms.arm(*key, Time(now + span)),
                }
            }
            while let Some(key) = alarms.due(Time(now)) {
                assert!(owners.contains(&key), "an alarm came up that was forgotten");
                due.push((now, key));
            }
            if is_tidy {
                alarms.tidy(OWNERS);
            }
            most = most.max(alarms.len());
            assert!(alarms.keys().all(|key| owners.contains(&key)));
            assert_eq!(alarms.check(), Ok(()));
        }
        (due, most)
    }

    fn two() -> Alarms<u8> {
        let mut alarms = Alarms::default();
        alarms.arm(1, Time(10));
        alarms.arm(2, Time(20));
        alarms
    }

    #[test]
    fn each_invariant_of_alarms_can_fail() {
        let cases: [Case<Alarms<u8>>; 2] = [
            ("an alarm has its entry in the heap", two, |alarms| _ = alarms.heap.pop()),
            ("no entry comes up after its alarm is due", two, |alarms| {
                alarms.set.values_mut().for_each(|alarm| alarm.at = Some(Time(5)));
            }),
        ];
        each_fails(Alarms::INVARIANTS, &cases, |alarms| assert!(alarms.check().is_err()));
    }

    #[test]
    fn o11_alarms_that_came_up_are_swept_where_nobody_forgets_them() {
        let mut alarms = Alarms::default();
        alarms.arm(0, Time(10_000));
        for now in 1..1_000_u64 {
            alarms.arm(now, Time(now));
            assert_eq!(alarms.due(Time(now)), Some(now));
            alarms.tidy(2);
            assert!(alarms.set.len() <= 4 + ALARMS_SPARE, "{}", alarms.set.len());
            assert_eq!((alarms.check(), alarms.keys().collect::<Vec<_>>()), (Ok(()), vec![0]));
        }
        assert_eq!(alarms.due(Time(10_000)), Some(0));
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
