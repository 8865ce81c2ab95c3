//! The shape of a blob's tree over its groups, and the ranges that can be asked of it.

use blake3::{
    Hasher,
    hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root},
};

use crate::{
    ids::BlobHash,
    limits::{BLOB_BYTES_MAX, GROUP},
};

/// Bytes of a parent: the chaining values of its left and its right child.
pub const PAIR_BYTES: usize = 64;

/// A subtree of a blob's tree: a run of groups. One group is a leaf, more are a parent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    first: u64,
    groups: u64,
    /// How many parents come before this one in pre-order.
    index: u64,
}

impl Node {
    /// The root of a tree of so many groups, at least one.
    pub(super) fn root(groups: u64) -> Self {
        debug_assert!(groups > 0, "a tree has a root");
        Self { first: 0, groups, index: 0 }
    }

    /// The number of the subtree's first group.
    pub fn first_group(&self) -> u64 {
        self.first
    }

    /// The number after that of the subtree's last group.
    pub fn end_group(&self) -> u64 {
        self.first + self.groups
    }

    /// The parent's place in pre-order among the tree's parents, from 0: its place in an outboard.
    pub fn index(&self) -> u64 {
        self.index
    }

    pub(super) fn is_leaf(&self) -> bool {
        self.groups == 1
    }

    /// BLAKE3's rule: the left child has the largest power of two that leaves something for the right one.
    pub(super) fn children(&self) -> (Self, Self) {
        debug_assert!(!self.is_leaf(), "a leaf has no children");
        let left_groups = self.groups.next_power_of_two() / 2;
        // The left subtree has one parent less than it has groups, and this node comes before them.
        let left = Self { first: self.first, groups: left_groups, index: self.index + 1 };
        let right = Self {
            first: self.first + left_groups,
            groups: self.groups - left_groups,
            index: self.index + left_groups,
        };
        (left, right)
    }
}

/// Why a range can't be asked of a blob.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RangeFault {
    /// It does not start on a group boundary (D5).
    OffGrid,
    /// It ends after the blob does.
    Outside,
    /// It has no bytes, though the blob has.
    Empty,
    /// The blob is above [`BLOB_BYTES_MAX`].
    TooLarge,
}

/// A range of a blob, widened to whole groups (D5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupRange {
    total_bytes: u64,
    first: u64,
    end: u64,
}

impl GroupRange {
    /// The groups that hold `bytes` bytes from `offset` of a blob of `total_bytes`.
    ///
    /// # Errors
    /// If `offset` is not on a group boundary, or the range is empty or not inside the blob. The one empty range
    /// is that of the empty blob.
    pub fn new(total_bytes: u64, offset: u64, bytes: u64) -> Result<Self, RangeFault> {
        if total_bytes > BLOB_BYTES_MAX {
            return Err(RangeFault::TooLarge);
        }
        if !offset.is_multiple_of(GROUP) {
            return Err(RangeFault::OffGrid);
        }
        let end = offset.checked_add(bytes).filter(|&end| end <= total_bytes).ok_or(RangeFault::Outside)?;
        if bytes == 0 && total_bytes > 0 {
            return Err(RangeFault::Empty);
        }
        Ok(Self { total_bytes, first: offset / GROUP, end: end.div_ceil(GROUP) })
    }

    /// The blob's size in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    /// First byte.
    pub fn offset(&self) -> u64 {
        self.first * GROUP
    }

    /// The byte after the last one: a group boundary, or the blob's end.
    pub fn end(&self) -> u64 {
        self.total_bytes.min(self.end * GROUP)
    }

    /// Content bytes of the widened range: what is charged for (D5).
    pub fn bytes(&self) -> u64 {
        self.end() - self.offset()
    }

    /// The root of the blob's tree; `None` for the empty blob.
    pub(super) fn root(&self) -> Option<Node> {
        let groups = self.groups_in_blob();
        (groups > 0).then(|| Node::root(groups))
    }

    /// How many groups the blob has.
    pub(super) fn groups_in_blob(&self) -> u64 {
        self.total_bytes.div_ceil(GROUP)
    }

    /// Whether the range has a group of this subtree.
    pub(super) fn meets(&self, node: Node) -> bool {
        node.first < self.end && self.first < node.end_group()
    }

    /// The byte after a group's last.
    pub(super) fn group_end(&self, group: u64) -> u64 {
        self.total_bytes.min((group + 1) * GROUP)
    }
}

/// The hash of the blob without content.
pub fn empty_hash() -> BlobHash {
    BlobHash(*blake3::hash(&[]).as_bytes())
}

/// The hash of a group that starts at byte `offset`: the blob's, if it is the only one, else a chaining value.
pub(super) fn hash_group(offset: u64, content: &[u8], is_root: bool) -> [u8; 32] {
    if is_root {
        return *blake3::hash(content).as_bytes();
    }
    Hasher::new().set_input_offset(offset).update(content).finalize_non_root()
}

/// The hash of a parent from those of its children.
pub(super) fn hash_pair(pair: &[u8; PAIR_BYTES], is_root: bool) -> [u8; 32] {
    let (left, right) = split_pair(pair);
    if is_root {
        *merge_subtrees_root(left, right, Mode::Hash).as_bytes()
    } else {
        merge_subtrees_non_root(left, right, Mode::Hash)
    }
}

/// A parent's two halves.
pub(super) fn split_pair(pair: &[u8; PAIR_BYTES]) -> (&[u8; 32], &[u8; 32]) {
    let (left, right) = pair.split_first_chunk().expect("64 bytes begin with 32");
    (left, right.first_chunk().expect("32 bytes are left"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_widened_to_whole_groups_and_ends_with_the_blob() {
        let range = GroupRange::new(3 * GROUP + 5, GROUP, GROUP + 1).expect("inside");
        assert_eq!((range.offset(), range.end(), range.bytes()), (GROUP, 3 * GROUP, 2 * GROUP));
        let tail = GroupRange::new(3 * GROUP + 5, 3 * GROUP, 1).expect("inside");
        assert_eq!((tail.offset(), tail.end(), tail.bytes()), (3 * GROUP, 3 * GROUP + 5, 5));
        let nothing = GroupRange::new(0, 0, 0).expect("the empty blob has an empty range");
        assert_eq!((nothing.offset(), nothing.end(), nothing.root()), (0, 0, None));
        let all = GroupRange::new(BLOB_BYTES_MAX, 0, BLOB_BYTES_MAX).expect("as large as may be");
        assert_eq!(all.bytes(), BLOB_BYTES_MAX);
    }

    #[test]
    fn a_range_off_the_grid_or_the_blob_is_refused() {
        for (total, offset, bytes, fault) in [
            (GROUP, 1, 1, RangeFault::OffGrid),
            (GROUP, 0, GROUP + 1, RangeFault::Outside),
            (GROUP, GROUP, 1, RangeFault::Outside),
            (GROUP, GROUP, u64::MAX, RangeFault::Outside),
            (0, 0, 1, RangeFault::Outside),
            (GROUP, 0, 0, RangeFault::Empty),
            (BLOB_BYTES_MAX + 1, 0, 1, RangeFault::TooLarge),
        ] {
            assert_eq!(GroupRange::new(total, offset, bytes), Err(fault), "{total} {offset} {bytes}");
        }
    }

    #[test]
    fn parents_are_numbered_in_pre_order_without_gaps() {
        for groups in 1..200 {
            let mut open = alloc::vec![Node::root(groups)];
            let (mut parents, mut leaves) = (0, 0);
            while let Some(node) = open.pop() {
                if node.is_leaf() {
                    assert_eq!(node.first_group(), leaves);
                    leaves += 1;
                    continue;
                }
                assert_eq!(node.index(), parents);
                parents += 1;
                let (left, right) = node.children();
                assert_eq!(left.end_group(), right.first_group());
                open.extend([right, left]);
            }
            assert_eq!((leaves, parents), (groups, groups - 1));
        }
    }
}
