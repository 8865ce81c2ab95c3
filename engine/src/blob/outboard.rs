//! A blob's parents without its content: what a node keeps beside a blob, so that it can prove any range of it.

use alloc::{vec, vec::Vec};
use core::fmt;

use blake3::{Hasher, hazmat::HasherExt};

use super::tree::{Node, PAIR_BYTES, empty_hash, hash_pair};
use crate::{
    ids::BlobHash,
    limits::{BLOB_BYTES_MAX, GROUP},
};

/// The parents of a blob's tree in pre-order, 64 bytes for each but the first group of the blob.
#[derive(Clone, PartialEq, Eq)]
pub struct Outboard {
    root: BlobHash,
    total_bytes: u64,
    pairs: Vec<u8>,
}

/// Bytes that are no outboard of a blob of that size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WrongLength {
    /// How many there should be; `None` for a size above [`BLOB_BYTES_MAX`].
    pub expected: Option<u64>,
}

impl Outboard {
    /// The outboard of content that is in memory.
    pub fn of(content: &[u8]) -> Self {
        let mut builder = OutboardBuilder::new();
        builder.push(content);
        builder.finish()
    }

    /// An outboard as [`as_bytes`](Self::as_bytes) gave it. It is taken at its word: a peer's verifier, or
    /// ours, finds parents that don't match the root.
    ///
    /// # Errors
    /// If there are not as many bytes as a blob of that size has parents.
    pub fn from_bytes(root: BlobHash, total_bytes: u64, pairs: Vec<u8>) -> Result<Self, WrongLength> {
        if total_bytes > BLOB_BYTES_MAX {
            return Err(WrongLength { expected: None });
        }
        let expected = Self::len_bytes(total_bytes);
        if pairs.len() as u64 != expected {
            return Err(WrongLength { expected: Some(expected) });
        }
        Ok(Self { root, total_bytes, pairs })
    }

    /// How long the outboard of a blob of that size is.
    pub fn len_bytes(total_bytes: u64) -> u64 {
        total_bytes.div_ceil(GROUP).saturating_sub(1).saturating_mul(PAIR_BYTES as u64)
    }

    /// The blob's hash.
    pub fn root(&self) -> BlobHash {
        self.root
    }

    /// The blob's size in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// The parents in pre-order, without the size: the bytes of bao-tree's `PreOrderOutboard`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.pairs
    }

    /// The pair of a parent of this blob's tree; `None` for a node of a larger one.
    pub fn pair(&self, parent: Node) -> Option<&[u8; PAIR_BYTES]> {
        self.pairs.as_chunks().0.get(usize::try_from(parent.index()).ok()?)
    }
}

impl fmt::Debug for Outboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outboard")
            .field("root", &self.root)
            .field("total_bytes", &self.total_bytes)
            .finish_non_exhaustive()
    }
}

/// Builds an outboard from content that streams through. It keeps 32 bytes per group, content never.
#[derive(Clone)]
pub struct OutboardBuilder {
    /// At the present group.
    hasher: Hasher,
    /// Content bytes so far.
    total_bytes: u64,
    /// The chaining values of the groups that are full.
    groups: Vec<[u8; 32]>,
    /// The blob's hash if the first group is the only one.
    only: BlobHash,
}

impl OutboardBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self { hasher: Hasher::new(), total_bytes: 0, groups: Vec::new(), only: empty_hash() }
    }

    /// Takes the content's next bytes, as many as there are.
    pub fn push(&mut self, mut content: &[u8]) {
        while !content.is_empty() {
            let room = GROUP - self.total_bytes % GROUP;
            let fits = content.len().min(usize::try_from(room).expect("a group fits in memory"));
            let (now, later) = content.split_at(fits);
            self.hasher.update(now);
            self.total_bytes += fits as u64;
            content = later;
            if fits as u64 == room {
                self.end_group();
            }
        }
    }

    /// The outboard of everything that was pushed.
    pub fn finish(mut self) -> Outboard {
        if !self.total_bytes.is_multiple_of(GROUP) {
            self.end_group();
        }
        let mut outboard = Outboard { root: self.only, total_bytes: self.total_bytes, pairs: Vec::new() };
        if self.groups.len() > 1 {
            outboard.pairs = vec![0; (self.groups.len() - 1) * PAIR_BYTES];
            outboard.root = BlobHash(fill(
                Node::root(self.groups.len() as u64),
                &self.groups,
                outboard.pairs.as_chunks_mut().0,
                true,
            ));
        }
        outboard
    }

    fn end_group(&mut self) {
        if self.groups.is_empty() {
            self.only = BlobHash(*self.hasher.finalize().as_bytes());
        }
        self.groups.push(self.hasher.finalize_non_root());
        // Not `reset`, which keeps the old input offset.
        self.hasher = Hasher::new();
        self.hasher.set_input_offset(self.groups.len() as u64 * GROUP);
    }
}

impl Default for OutboardBuilder {
    fn default() -> Self {
        Self::new()
    }
}

/// Fills in the pairs of a subtree and gives its hash. As deep as the tree is high: 46 at most.
fn fill(node: Node, groups: &[[u8; 32]], pairs: &mut [[u8; PAIR_BYTES]], is_root: bool) -> [u8; 32] {
    if node.is_leaf() {
        return groups[node.first_group() as usize];
    }
    let (left, right) = node.children();
    let mut pair = [0; PAIR_BYTES];
    pair[..32].copy_from_slice(&fill(left, groups, pairs, false));
    pair[32..].copy_from_slice(&fill(right, groups, pairs, false));
    pairs[node.index() as usize] = pair;
    hash_pair(&pair, is_root)
}
