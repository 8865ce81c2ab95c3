//! The running digest: a wrapping sum of hashes over the live entries, so that only what changed is hashed again.
//!
//! The hash is XXH3, 128 bits wide: the same on every machine, and not cryptographic. A digest tells runs apart that were to be
//! the same; nobody gains by two states that have one digest, and whoever could choose such states is no part of a run.

use alloc::vec::Vec;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use twox_hash::XxHash3_128;

use crate::fixed;

/// A state's fingerprint: equal states have equal digests, on any machine (O13).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 16]);

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        fixed::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        fixed::deserialize(deserializer).map(Self)
    }
}

impl Digest {
    /// Of two states that make up one.
    pub fn and(&self, other: &Self) -> Self {
        let mut both = [0; 32];
        both[..16].copy_from_slice(&self.0);
        both[16..].copy_from_slice(&other.0);
        Self(XxHash3_128::oneshot(&both).to_le_bytes())
    }
}

impl core::fmt::Debug for Digest {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// State that counts towards the digest. Equal states write equal bytes; caches and generations stay out.
pub trait Canon {
    /// Appends the state's canonical bytes, its key first.
    fn canon(&self, out: &mut Canonical);
}

/// Canonical bytes: a tag, ids and numbers, each of a fixed length.
#[derive(Clone, Debug, Default)]
pub struct Canonical(Vec<u8>);

impl Canonical {
    /// One byte: what kind of state this is, or a small choice.
    pub fn tag(&mut self, byte: u8) {
        self.0.push(byte);
    }

    /// A number.
    pub fn number(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A large number.
    pub fn large(&mut self, value: u128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes of a fixed length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Kept with each entry: its present share of the sum, and whether that is out of date.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Mark {
    print: [u64; 2],
    dirty: bool,
}

impl Mark {
    /// Of an entry that was never hashed.
    pub const fn touched() -> Self {
        Self { print: [0; 2], dirty: true }
    }

    /// Whether it is out of date.
    pub const fn is_touched(&self) -> bool {
        self.dirty
    }

    /// Notes a change; true the first time since the last fold, when the entry has to be queued.
    pub fn touch(&mut self) -> bool {
        !core::mem::replace(&mut self.dirty, true)
    }
}

/// The wrapping sum of some entries' shares.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sum([u64; 2]);

impl Sum {
    /// Brings one entry's share up to date; `canon` writes its canonical bytes.
    pub fn fold(&mut self, mark: &mut Mark, scratch: &mut Canonical, canon: impl FnOnce(&mut Canonical)) {
        scratch.0.clear();
        canon(scratch);
        let hash = XxHash3_128::oneshot(&scratch.0);
        let print = [hash as u64, (hash >> 64) as u64];
        self.less(mark);
        self.add(&Self(print));
        *mark = Mark { print, dirty: false };
    }

    /// Takes a removed entry's share out.
    pub fn less(&mut self, mark: &Mark) {
        self.0.iter_mut().zip(mark.print).for_each(|(sum, word)| *sum = sum.wrapping_sub(word));
    }

    /// The shares of these entries, summed up anew.
    pub fn of<'a>(marks: impl Iterator<Item = &'a Mark>) -> Self {
        let mut sum = Self::default();
        marks.for_each(|mark| sum.add(&Self(mark.print)));
        sum
    }

    fn add(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(sum, word)| *sum = sum.wrapping_add(word));
    }
}

/// What makes the digest of a role: the entries that are alone of their kind, and room to write canonical bytes in.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    alone: Sum,
    scratch: Canonical,
}

impl Tally {
    /// Brings the share of an entry that is in no table up to date.
    pub fn fold(&mut self, mark: &mut Mark, state: &impl Canon) {
        self.alone.fold(mark, &mut self.scratch, |out| state.canon(out));
    }

    /// Room to write in.
    pub fn scratch(&mut self) -> &mut Canonical {
        &mut self.scratch
    }

    /// The sum over all entries: those that are alone, and these tables'.
    pub fn digest<const N: usize>(&self, tables: [Sum; N]) -> Digest {
        let mut total = self.alone;
        tables.iter().for_each(|sum| total.add(sum));
        let mut bytes = [0; 16];
        for (out, word) in bytes.chunks_exact_mut(8).zip(total.0) {
            out.copy_from_slice(&word.to_le_bytes());
        }
        Digest(bytes)
    }
}
