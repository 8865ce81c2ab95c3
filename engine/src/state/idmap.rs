//! A map by 32-byte id that can be asked but not iterated, so its order can't leak into behaviour.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use crate::ids::ChannelId;

/// Channel ids are keccak hashes: their first eight bytes are as good a hash as any.
#[derive(Clone, Default)]
struct Prefix(u64);

impl Hasher for Prefix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8).take(1) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 ^= u64::from_le_bytes(word);
        }
    }

    // The length prefix of an array adds nothing.
    fn write_usize(&mut self, _: usize) {}
}

/// See the module.
#[derive(Clone)]
pub struct IdMap<V> {
    map: HashMap<[u8; 32], V, BuildHasherDefault<Prefix>>,
}

impl<V> Default for IdMap<V> {
    fn default() -> Self {
        Self { map: HashMap::default() }
    }
}

impl<V> core::fmt::Debug for IdMap<V> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "IdMap({} entries)", self.map.len())
    }
}

impl<V: Copy> IdMap<V> {
    /// The value of an id.
    pub fn get(&self, id: &ChannelId) -> Option<V> {
        self.map.get(&id.0).copied()
    }

    /// Sets the value of an id.
    pub fn insert(&mut self, id: ChannelId, value: V) {
        self.map.insert(id.0, value);
    }

    /// Ids known.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Forgets an id.
    pub fn remove(&mut self, id: &ChannelId) {
        self.map.remove(&id.0);
    }
}
