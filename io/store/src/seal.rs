//! What every commit says of the whole: its number, how many records there are, and a sum over all of them.
//!
//! The sum is of BLAKE3 hashes over key and value, so a commit changes it by what it writes. A page of an older commit, or a
//! record that is gone, changes it as well; only the commit that a seal was made for fits it.

/// Number, count, sum, and a checksum over these three.
const BYTES: usize = 8 + 8 + 32 + 32;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seal {
    /// Commits so far; 0 is the empty database.
    pub(crate) commit: u64,
    records: u64,
    sum: [u64; 4],
}

impl Seal {
    /// A seal to add records to.
    pub(crate) fn of_nothing(commit: u64) -> Self {
        Self { commit, ..Self::default() }
    }

    /// A record that was not there.
    pub(crate) fn add(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_add(1);
        for (lane, share) in self.sum.iter_mut().zip(share(key, value)) {
            *lane = lane.wrapping_add(share);
        }
    }

    /// A record that is there no more.
    pub(crate) fn remove(&mut self, key: &[u8], value: &[u8]) {
        self.records = self.records.wrapping_sub(1);
        for (lane, share) in self.sum.iter_mut().zip(share(key, value)) {
            *lane = lane.wrapping_sub(share);
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&self.commit.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.records.to_le_bytes());
        for (place, lane) in bytes[16..48].chunks_exact_mut(8).zip(self.sum) {
            place.copy_from_slice(&lane.to_le_bytes());
        }
        let check = checksum("decdn seal v1", &bytes[..48]);
        bytes[48..].copy_from_slice(&check);
        bytes
    }

    /// `None` if these bytes are no seal.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(48)?;
        if check != checksum("decdn seal v1", body) {
            return None;
        }
        let mut numbers = body.chunks_exact(8).map(number);
        let (commit, records) = (numbers.next()?, numbers.next()?);
        let sum = [numbers.next()?, numbers.next()?, numbers.next()?, numbers.next()?];
        Some(Self { commit, records, sum })
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// What a record adds to the sum.
fn share(key: &[u8], value: &[u8]) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new_derive_key("decdn record v1");
    hasher.update(&(key.len() as u64).to_le_bytes()).update(key).update(value);
    let mut lanes = [0; 4];
    for (lane, bytes) in lanes.iter_mut().zip(hasher.finalize().as_bytes().chunks_exact(8)) {
        *lane = number(bytes);
    }
    lanes
}

/// Tells a damaged body from a whole one.
pub(crate) fn checksum(context: &str, body: &[u8]) -> [u8; 32] {
    blake3::derive_key(context, body)
}
