//! Tables that know what was touched: their share of the digest is brought up to date by hashing that alone.

use alloc::{
    collections::{BTreeMap, btree_map},
    vec::Vec,
};
use core::{
    mem,
    ops::{Index, IndexMut, RangeBounds},
};

use super::{Broken, Canonical, Checked, Invariant, Mark, Slab, Slot, Sum, Tally, holds};

#[derive(Clone, Debug)]
struct Entry<V> {
    value: V,
    mark: Mark,
}

impl<V> Entry<V> {
    fn new(value: V) -> Self {
        Self { value, mark: Mark::touched() }
    }
}

/// A [`BTreeMap`] whose entries count towards the digest.
#[derive(Clone, Debug)]
pub struct TrackedMap<K, V> {
    map: BTreeMap<K, Entry<V>>,
    touched: Vec<K>,
    sum: Sum,
}

impl<K, V> Default for TrackedMap<K, V> {
    fn default() -> Self {
        Self { map: BTreeMap::new(), touched: Vec::new(), sum: Sum::default() }
    }
}

impl<K: Copy + Ord, V> TrackedMap<K, V> {
    /// Puts a value in, in place of the one that was there.
    pub fn insert(&mut self, key: K, value: V) {
        if let Some(old) = self.map.insert(key, Entry::new(value)) {
            self.sum.less(&old.mark);
        }
        self.touched.push(key);
        self.tidy();
    }

    fn tidy(&mut self) {
        if self.touched.len() > queue_max(self.map.len()) {
            let touched = self.map.iter().filter(|(_, entry)| entry.mark.is_touched());
            self.touched = touched.map(|(key, _)| *key).collect();
        }
    }

    /// Takes a value out, with its share of the digest.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let gone = self.map.remove(key)?;
        self.sum.less(&gone.mark);
        self.tidy();
        Some(gone.value)
    }

    /// A value, to look at.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.map.get(key).map(|entry| &entry.value)
    }

    /// A value, to change: it is hashed again.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let entry = self.map.get_mut(key)?;
        if entry.mark.touch() {
            self.touched.push(*key);
        }
        Some(&mut entry.value)
    }

    /// A value, to change in what the digest leaves out: it is not hashed again.
    pub fn quiet_mut(&mut self, key: &K) -> Option<&mut V> {
        self.map.get_mut(key).map(|entry| &mut entry.value)
    }

    /// Whether there is a value.
    pub fn contains_key(&self, key: &K) -> bool {
        self.map.contains_key(key)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// All of them, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        self.map.iter().map(|(key, entry)| (key, &entry.value))
    }

    /// Those with keys in this range.
    pub fn range(&self, range: impl RangeBounds<K>) -> impl Iterator<Item = (&K, &V)> {
        self.map.range(range).map(|(key, entry)| (key, &entry.value))
    }

    /// All keys.
    pub fn keys(&self) -> btree_map::Keys<'_, K, impl Sized> {
        self.map.keys()
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.map.values().map(|entry| &entry.value)
    }

    /// Those that `wanted` says, to change.
    pub fn values_mut(&mut self, wanted: impl Fn(&V) -> bool) -> impl Iterator<Item = &mut V> {
        let Self { map, touched, .. } = self;
        map.iter_mut().filter(move |(_, entry)| wanted(&entry.value)).map(|(key, entry)| {
            if entry.mark.touch() {
                touched.push(*key);
            }
            &mut entry.value
        })
    }

    /// Brings its share of the digest up to date. `canon` writes an entry's canonical bytes.
    pub fn fold(&mut self, tally: &mut Tally, mut canon: impl FnMut(&K, &V, &mut Canonical)) -> Sum {
        if self.touched.is_empty() {
            return self.sum;
        }
        for key in self.touched.drain(..) {
            // It may have gone meanwhile.
            if let Some(Entry { value, mark }) = self.map.get_mut(&key) {
                self.sum.fold(mark, tally.scratch(), |out| canon(&key, value, out));
            }
        }
        self.sum
    }
}

/// How long the queue for the digest may get while entries come and go and nobody asks for one, as in production (O11): then it
/// is made anew from those that are there.
const fn queue_max(entries: usize) -> usize {
    2 * entries + 64
}

/// `queued`: whatever is in the queue. Each entry may have been touched once more since it was made anew.
fn is_queue_short(queued: usize, entries: usize) -> Checked {
    holds!(queued <= queue_max(entries) + entries, "{queued} queued, {entries} there");
    Ok(())
}

const SHORT: &str = "the queue for the digest is in proportion to the table";
const QUEUED: &str = "what was touched is queued for the digest";
const SUMMED: &str = "a table's share of the digest is the sum of its entries'";

/// `queued`: how many of them wait for the digest, as far as the table knows.
fn are_queued<'a>(marks: impl Iterator<Item = &'a Mark>, queued: usize) -> Checked {
    let touched = marks.filter(|mark| mark.is_touched()).count();
    holds!(touched <= queued, "{touched} touched, {queued} queued");
    Ok(())
}

fn is_sum<'a>(sum: Sum, marks: impl Iterator<Item = &'a Mark>) -> Checked {
    holds!(sum == Sum::of(marks), "an entry was left out, or is gone and counted still");
    Ok(())
}

impl<K: Copy + Ord + 'static, V: 'static> TrackedMap<K, V> {
    /// What holds of every table.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie(QUEUED, |it| {
            let queued = it.touched.iter().filter(|key| it.map.contains_key(key)).count();
            are_queued(it.map.values().map(|entry| &entry.mark), queued)
        }),
        Invariant::tie(SUMMED, |it| is_sum(it.sum, it.map.values().map(|entry| &entry.mark))),
        Invariant::tie(SHORT, |it| is_queue_short(it.touched.len(), it.map.len())),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }
}

impl<K: Copy + Ord, V> Index<&K> for TrackedMap<K, V> {
    type Output = V;

    /// # Panics
    /// If there is no such value: for keys that the caller has just looked up.
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("the key is in the table")
    }
}

/// A [`Slab`] whose entries count towards the digest.
#[derive(Clone, Debug)]
pub struct TrackedSlab<V> {
    slab: Slab<Entry<V>>,
    touched: Vec<Slot>,
    sum: Sum,
}

impl<V> Default for TrackedSlab<V> {
    fn default() -> Self {
        Self::numbered_from(0)
    }
}

impl<V> TrackedSlab<V> {
    /// See [`Slab::numbered_from`].
    pub fn numbered_from(first: u32) -> Self {
        Self { slab: Slab::numbered_from(first), touched: Vec::new(), sum: Sum::default() }
    }

    /// See [`Slab::numbers`].
    pub fn numbers(&self, slot: Slot) -> bool {
        self.slab.numbers(slot)
    }

    /// What an entry costs in memory.
    pub const fn bytes_per_entry() -> usize {
        mem::size_of::<Entry<V>>() + mem::size_of::<u32>() * 2
    }

    /// Puts a value in.
    pub fn insert(&mut self, value: V) -> Slot {
        let slot = self.slab.insert(Entry::new(value));
        self.touched.push(slot);
        self.tidy();
        slot
    }

    fn tidy(&mut self) {
        if self.touched.len() > queue_max(self.slab.len()) {
            let touched = self.slab.iter().filter(|(_, entry)| entry.mark.is_touched());
            self.touched = touched.map(|(slot, _)| slot).collect();
        }
    }

    /// Takes a value out, with its share of the digest.
    pub fn remove(&mut self, slot: Slot) -> Option<V> {
        let gone = self.slab.remove(slot)?;
        self.sum.less(&gone.mark);
        self.tidy();
        Some(gone.value)
    }

    /// A value, to look at.
    pub fn get(&self, slot: Slot) -> Option<&V> {
        self.slab.get(slot).map(|entry| &entry.value)
    }

    /// A value, to change: it is hashed again.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut V> {
        let entry = self.slab.get_mut(slot)?;
        if entry.mark.touch() {
            self.touched.push(slot);
        }
        Some(&mut entry.value)
    }

    /// A value, to change in what the digest leaves out: it is not hashed again.
    pub fn quiet_mut(&mut self, slot: Slot) -> Option<&mut V> {
        self.slab.get_mut(slot).map(|entry| &mut entry.value)
    }

    /// Something changed that is hashed with this value and kept elsewhere.
    pub fn touch(&mut self, slot: Slot) {
        _ = self.get_mut(slot);
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.slab.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slab.is_empty()
    }

    /// See [`Slab::places`].
    pub fn places(&self, from: u32, count: usize) -> (u32, Vec<Slot>) {
        let (next, slots) = self.slab.places(from, count);
        (next, slots.collect())
    }

    /// All of them, by place.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &V)> {
        self.slab.iter().map(|(slot, entry)| (slot, &entry.value))
    }

    /// Brings its share of the digest up to date. `canon` writes an entry's canonical bytes.
    pub fn fold(&mut self, tally: &mut Tally, mut canon: impl FnMut(Slot, &V, &mut Canonical)) -> Sum {
        if self.touched.is_empty() {
            return self.sum;
        }
        for slot in self.touched.drain(..) {
            // It may have gone meanwhile.
            if let Some(Entry { value, mark }) = self.slab.get_mut(slot) {
                self.sum.fold(mark, tally.scratch(), |out| canon(slot, value, out));
            }
        }
        self.sum
    }
}

impl<V: 'static> TrackedSlab<V> {
    /// What holds of every table, beside what does of its slab.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::tie(QUEUED, |it| {
            let queued = it.touched.iter().filter(|slot| it.slab.get(**slot).is_some()).count();
            are_queued(it.slab.iter().map(|(_, entry)| &entry.mark), queued)
        }),
        Invariant::tie(SUMMED, |it| is_sum(it.sum, it.slab.iter().map(|(_, entry)| &entry.mark))),
        Invariant::tie(SHORT, |it| is_queue_short(it.touched.len(), it.slab.len())),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        self.slab.check()?;
        Invariant::check_all(Self::INVARIANTS, self)
    }
}

impl<V> Index<Slot> for TrackedSlab<V> {
    type Output = V;

    /// # Panics
    /// If the slot's value is gone: for slots that the caller has just looked up.
    fn index(&self, slot: Slot) -> &V {
        self.get(slot).expect("the slot is live")
    }
}

impl<V> IndexMut<Slot> for TrackedSlab<V> {
    fn index_mut(&mut self, slot: Slot) -> &mut V {
        self.get_mut(slot).expect("the slot is live")
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{
        super::{Case, each_fails},
        *,
    };

    fn print(
        tally: &mut Tally,
        map: &mut TrackedMap<u64, u64>,
        slab: &mut TrackedSlab<u64>,
    ) -> super::super::Digest {
        let of_map = map.fold(tally, |key, value, out| {
            out.tag(1);
            out.number(*key);
            out.number(*value);
        });
        let of_slab = slab.fold(tally, |_, value, out| out.number(*value));
        tally.digest([of_map, of_slab])
    }

    fn some_map() -> TrackedMap<u64, u64> {
        let mut map = TrackedMap::default();
        (0..3).for_each(|n| map.insert(n, n));
        map.fold(&mut Tally::default(), |_, value, out| out.number(*value));
        map.get_mut(&1);
        map
    }

    fn some_slab() -> TrackedSlab<u64> {
        let mut slab = TrackedSlab::default();
        let slots = [1, 2, 3].map(|n| slab.insert(n));
        slab.fold(&mut Tally::default(), |_, value, out| out.number(*value));
        slab.touch(slots[1]);
        slab
    }

    #[test]
    fn each_invariant_of_tables_can_fail() {
        let cases: [Case<TrackedMap<u64, u64>>; 3] = [
            (QUEUED, some_map, |map| map.touched.clear()),
            (SUMMED, some_map, |map| _ = map.map.pop_first()),
            (SHORT, some_map, |map| map.touched.extend([9; 99])),
        ];
        each_fails(TrackedMap::INVARIANTS, &cases, |map| assert!(map.check().is_err()));
        let cases: [Case<TrackedSlab<u64>>; 3] = [
            (QUEUED, some_slab, |slab| slab.touched.clear()),
            (SUMMED, some_slab, |slab| slab.sum = Sum::default()),
            (SHORT, some_slab, |slab| slab.touched = vec![slab.touched[0]; 99]),
        ];
        each_fails(TrackedSlab::INVARIANTS, &cases, |slab| assert!(slab.check().is_err()));
    }

    /// O11: without a digest nothing is taken off the queue, and a table whose entries come and go must not grow.
    #[test]
    fn o11_a_table_that_nobody_takes_a_digest_of_stays_small() {
        let (mut map, mut slab) = (TrackedMap::default(), TrackedSlab::default());
        for n in 0..10_000_u64 {
            map.insert(n, n);
            let slot = slab.insert(n);
            assert_eq!((map.remove(&n), slab.remove(slot)), (Some(n), Some(n)));
            assert!(map.touched.len() <= queue_max(0) && slab.touched.len() <= queue_max(0));
        }
        assert_eq!((map.check(), slab.check()), (Ok(()), Ok(())));
    }

    /// O13: whatever was done to a table, its share is that of one that was made with what it holds.
    #[test]
    fn o13_the_share_of_a_table_is_that_of_its_entries_alone() {
        let (mut tally, mut map, mut slab) =
            (Tally::default(), TrackedMap::default(), TrackedSlab::default());
        let mut slots = vec![];
        let mut seed = 1_u64;
        for step in 0..2_000_u64 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (choice, key) = (seed >> 60, seed >> 40 & 15);
            match choice {
                0..=3 => map.insert(key, step),
                4 | 5 => _ = map.remove(&key),
                6..=8 => map.get_mut(&key).into_iter().for_each(|value| *value += 1),
                9 => map.values_mut(|value| value % 2 == 0).for_each(|value| *value += 3),
                10..=12 => slots.push(slab.insert(step)),
                13 if !slots.is_empty() => _ = slab.remove(slots.swap_remove(key as usize % slots.len())),
                _ => slots.last().copied().into_iter().for_each(|slot| slab[slot] += 1),
            }
            assert_eq!((map.check(), slab.check()), (Ok(()), Ok(())));
            if step % 7 == 0 {
                print(&mut tally, &mut map, &mut slab);
            }
        }
        let (mut again, mut other) = (TrackedMap::default(), TrackedSlab::default());
        map.iter().for_each(|(key, value)| again.insert(*key, *value));
        slab.iter().for_each(|(_, value)| _ = other.insert(*value));
        assert!(map.len() > 3 && slab.len() > 3);
        let (one, two) =
            (print(&mut tally, &mut map, &mut slab), print(&mut Tally::default(), &mut again, &mut other));
        assert_eq!(one, two);
        again.remove(map.keys().next().expect("one is left"));
        assert_ne!(one, print(&mut Tally::default(), &mut again, &mut other));
    }
}
