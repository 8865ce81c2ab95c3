//! A slab: values at small numbers that are used again, each use with its own generation.

use alloc::vec::Vec;

use super::{Broken, Checked, Invariant, holds};

/// A place in a slab. A slot of a removed value finds nothing, even when the place is taken again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Slot {
    /// The place: names the channel's lane.
    pub index: u32,
    generation: u32,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    /// The number of the first place.
    first: u32,
    entries: Vec<Entry<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::numbered_from(0)
    }
}

impl<T> Slab<T> {
    /// An empty one whose places are numbered from here on: two slabs with places of their own.
    pub fn numbered_from(first: u32) -> Self {
        Self { first, entries: Vec::new(), free: Vec::new() }
    }

    /// Whether a slot is one of this slab's, be it empty or not, where no other slab's numbers are above its own.
    pub fn numbers(&self, slot: Slot) -> bool {
        slot.index >= self.first
    }

    fn at(&self, index: u32) -> usize {
        index.wrapping_sub(self.first) as usize
    }

    /// Values held.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a value in.
    pub fn insert(&mut self, value: T) -> Slot {
        if let Some(index) = self.free.pop() {
            let at = self.at(index);
            let entry = &mut self.entries[at];
            entry.value = Some(value);
            return Slot { index, generation: entry.generation };
        }
        let place = u32::try_from(self.entries.len()).expect("limits keep slabs far below 2^31");
        let index = self.first + place;
        self.entries.push(Entry { generation: 0, value: Some(value) });
        Slot { index, generation: 0 }
    }

    /// Takes a value out.
    pub fn remove(&mut self, slot: Slot) -> Option<T> {
        let at = self.at(slot.index);
        let entry = self.entries.get_mut(at).filter(|e| e.generation == slot.generation)?;
        let value = entry.value.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(slot.index);
        Some(value)
    }

    /// The value at a slot.
    pub fn get(&self, slot: Slot) -> Option<&T> {
        self.entries.get(self.at(slot.index)).filter(|e| e.generation == slot.generation)?.value.as_ref()
    }

    /// The value at a slot.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut T> {
        let at = self.at(slot.index);
        self.entries.get_mut(at).filter(|e| e.generation == slot.generation)?.value.as_mut()
    }

    /// The values in so many places from this one on, and where the next ones begin: at the first place again after the last.
    pub fn places(&self, from: u32, count: usize) -> (u32, impl Iterator<Item = Slot>) {
        let (start, end) = (from as usize, (from as usize).saturating_add(count));
        let next = if end < self.entries.len() { end as u32 } else { 0 };
        let slots = self.entries.iter().enumerate().skip(start).take(count).filter_map(|(index, entry)| {
            let slot = Slot { index: self.first + index as u32, generation: entry.generation };
            entry.value.as_ref().map(|_| slot)
        });
        (next, slots)
    }

    /// All values, by place: for recovery, inspection, and what happens rarely enough to look at each.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &T)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let slot = Slot { index: self.first + index as u32, generation: entry.generation };
            entry.value.as_ref().map(|value| (slot, value))
        })
    }
}

impl<T: 'static> Slab<T> {
    /// What holds of every slab.
    pub const INVARIANTS: &'static [Invariant<Self>] =
        &[Invariant::tie("the free places of a slab are its empty ones", Self::are_free_places_empty)];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    /// As many, each of them empty, and no place twice: then their sum would be another.
    fn are_free_places_empty(&self) -> Checked {
        let empty = || self.entries.iter().enumerate().filter(|(_, entry)| entry.value.is_none());
        let (free, places) = (self.free.len(), empty().count());
        holds!(free == places, "{free} free places, {places} empty ones");
        let sums = (
            self.free.iter().map(|place| u64::from(*place)).sum(),
            empty().map(|(place, _)| u64::from(self.first) + place as u64).sum(),
        );
        let (free, places): (u64, u64) = sums;
        holds!(free == places, "the free places are others than the empty ones");
        Ok(())
    }
}

impl<T> core::ops::Index<Slot> for Slab<T> {
    type Output = T;

    /// # Panics
    /// If the slot's value is gone: for slots that the caller has just looked up.
    fn index(&self, slot: Slot) -> &T {
        self.get(slot).expect("the slot is live")
    }
}

impl<T> core::ops::IndexMut<Slot> for Slab<T> {
    fn index_mut(&mut self, slot: Slot) -> &mut T {
        self.get_mut(slot).expect("the slot is live")
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Case, each_fails},
        *,
    };

    fn with_free_places() -> Slab<u8> {
        let mut slab = Slab::default();
        let slots = [1, 2, 3, 4].map(|n| slab.insert(n));
        slab.remove(slots[1]);
        slab.remove(slots[2]);
        slab
    }

    #[test]
    fn a_place_that_is_free_twice_or_never_is_noticed() {
        let name = Slab::<u8>::INVARIANTS[0].name;
        let damages: [fn(&mut Slab<u8>); 2] = [|slab| slab.free.truncate(1), |slab| slab.free[0] = 2];
        for damage in damages {
            let case: Case<Slab<u8>> = (name, with_free_places, damage);
            each_fails(Slab::INVARIANTS, &[case], |slab| assert!(slab.check().is_err()));
        }
    }
}
