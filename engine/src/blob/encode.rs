//! What to send of a blob, in which order: the walk through its tree that both ends take.

use alloc::vec::Vec;

use super::tree::{GroupRange, Node, PAIR_BYTES, RangeFault};

/// One item of an encoding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// A parent: send its pair, [`Outboard::pair`](super::Outboard::pair).
    Proof(Node),
    /// A group: send these content bytes.
    Content {
        /// First byte.
        offset: u64,
        /// How many: a whole group, but for the blob's last.
        bytes: u64,
    },
}

impl Part {
    /// How long the part is in the encoding.
    pub fn len_bytes(&self) -> u64 {
        match self {
            Self::Proof(_) => PAIR_BYTES as u64,
            Self::Content { bytes, .. } => *bytes,
        }
    }
}

/// Walks a range's encoding part by part. It holds no content and reads none: the edge sends content from where
/// it lies. A stream's range goes out in consecutive pieces; the walk can stop after any group and go on later.
#[derive(Clone, Debug)]
pub struct Encoder {
    range: GroupRange,
    /// Subtrees that are not walked yet, the next one last. Each has a group of the range.
    open: Vec<Node>,
    /// First content byte that did not come yet.
    next: u64,
}

impl Encoder {
    /// The encoding of `bytes` bytes from `offset`, widened to whole groups.
    ///
    /// # Errors
    /// See [`GroupRange::new`].
    pub fn new(total_bytes: u64, offset: u64, bytes: u64) -> Result<Self, RangeFault> {
        let range = GroupRange::new(total_bytes, offset, bytes)?;
        Ok(Self { range, open: range.root().into_iter().collect(), next: range.offset() })
    }

    /// The widened range.
    pub fn range(&self) -> GroupRange {
        self.range
    }

    /// The first content byte that did not come yet: a group boundary, or the range's end.
    pub fn position(&self) -> u64 {
        self.next
    }

    /// Whether everything came.
    pub fn is_complete(&self) -> bool {
        self.open.is_empty()
    }

    /// The next part, left where it is.
    pub fn peek(&self) -> Option<Part> {
        let node = *self.open.last()?;
        Some(if node.is_leaf() {
            Part::Content { offset: self.next, bytes: self.range.group_end(node.first_group()) - self.next }
        } else {
            Part::Proof(node)
        })
    }

    /// The next part, as long as content before byte `until` is missing.
    pub fn next_until(&mut self, until: u64) -> Option<Part> {
        if self.next < until { self.next() } else { None }
    }

    /// What fits in one chunk: how many bytes of encoding, and up to which content byte. At most `bytes_max` bytes
    /// long, at least one group, nothing past the group that holds the byte before `until`; `None` where no
    /// content before `until` is missing.
    pub fn chunk(&self, until: u64, bytes_max: u64) -> Option<(u64, u64)> {
        let mut ahead = self.clone();
        let mut whole = None;
        let mut bytes = 0;
        while let Some(part) = ahead.next_until(until) {
            bytes += part.len_bytes();
            if bytes > bytes_max && whole.is_some() {
                break;
            }
            if let Part::Content { .. } = part {
                whole = Some((bytes, ahead.next));
            }
        }
        whole
    }

    /// Which children of a parent the range has a group of.
    pub(super) fn wanted(&self, parent: Node) -> (Option<Node>, Option<Node>) {
        let (left, right) = parent.children();
        (
            Some(left).filter(|&node| self.range.meets(node)),
            Some(right).filter(|&node| self.range.meets(node)),
        )
    }
}

impl Iterator for Encoder {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        let part = self.peek()?;
        self.open.pop();
        match part {
            Part::Content { offset, bytes } => self.next = offset + bytes,
            Part::Proof(parent) => {
                let (left, right) = self.wanted(parent);
                self.open.extend(right);
                self.open.extend(left);
            }
        }
        Some(part)
    }
}
