//! Checks an encoding against a blob's hash while it comes in, and lets content through that matches (D4).

use alloc::vec::Vec;
use core::mem;

use super::{
    Verdict,
    encode::{Encoder, Part},
    tree::{GroupRange, RangeFault, empty_hash, hash_group, hash_pair, split_pair},
};
use crate::ids::BlobHash;

/// An incremental verifier of one range of a blob. It buffers one group or one parent at most.
///
/// The blob's size is as trustworthy as the range is long: a wrong one is found at the latest with the blob's
/// last group, and a range that ends before it may never show it.
#[derive(Clone)]
pub struct Verifier {
    walk: Encoder,
    /// What the open subtrees of the walk must hash to, the next one last.
    hashes: Vec<[u8; 32]>,
    /// The beginning of a part whose rest has not come yet.
    held: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// At the start, or after a group: a chunk may end here.
    AtBoundary,
    /// Inside a part, or after a parent.
    Between,
    /// Said to be empty, but its hash is another.
    NotEmpty,
    /// A fault was found.
    Failed,
}

/// What one push found: what was good, then what was bad.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdicts {
    /// The groups that were verified, all in one.
    pub good: Option<Verdict>,
    /// The fault that ended it.
    pub bad: Option<Verdict>,
}

impl IntoIterator for Verdicts {
    type Item = Verdict;
    type IntoIter = core::iter::Flatten<core::array::IntoIter<Option<Verdict>, 2>>;

    fn into_iter(self) -> Self::IntoIter {
        [self.good, self.bad].into_iter().flatten()
    }
}

impl Verifier {
    /// A verifier of `bytes` bytes from `offset`, widened to whole groups, of a blob of `total_bytes`.
    ///
    /// # Errors
    /// See [`GroupRange::new`].
    pub fn new(hash: BlobHash, total_bytes: u64, offset: u64, bytes: u64) -> Result<Self, RangeFault> {
        let walk = Encoder::new(total_bytes, offset, bytes)?;
        let lie = total_bytes == 0 && hash != empty_hash();
        Ok(Self {
            hashes: if walk.is_complete() { Vec::new() } else { [hash.0].into() },
            walk,
            held: Vec::new(),
            state: if lie { State::NotEmpty } else { State::AtBoundary },
        })
    }

    /// The widened range.
    pub fn range(&self) -> GroupRange {
        self.walk.range()
    }

    /// Whether a chunk may end here: at the start, or after a group that was good.
    pub fn is_at_boundary(&self) -> bool {
        self.state == State::AtBoundary
    }

    /// Whether the whole range was verified.
    pub fn is_complete(&self) -> bool {
        self.state == State::AtBoundary && self.walk.is_complete()
    }

    /// Takes the encoding's next bytes, as many as there are. `sink` gets the offset and the content of each
    /// group that was verified, in order. After a fault nothing is looked at any more, and nothing is found.
    ///
    /// A blob that is said to be empty and is not is found with the first push, be it of nothing.
    #[expect(clippy::disallowed_methods, reason = "this is where verdicts come from")]
    pub fn push(&mut self, mut input: &[u8], sink: &mut impl FnMut(u64, &[u8])) -> Verdicts {
        if self.state == State::Failed {
            return Verdicts::default();
        }
        let from = self.walk.position();
        let sound = self.state != State::NotEmpty && self.take_parts(&mut input, sink) && input.is_empty();
        let position = self.walk.position();
        let mut found = Verdicts::default();
        if position > from {
            found.good = Some(Verdict::good(from, position - from));
        }
        if !sound {
            self.state = State::Failed;
            self.held = Vec::new();
            found.bad = Some(Verdict::bad(position));
        }
        found
    }

    /// Takes whole parts from `input` until it is used up or the range ends; false if one does not match.
    fn take_parts(&mut self, input: &mut &[u8], sink: &mut impl FnMut(u64, &[u8])) -> bool {
        while let Some(part) = self.walk.peek() {
            let wanted = part.len_bytes() as usize;
            if self.held.is_empty() && input.len() >= wanted {
                // The hot path: nothing is copied.
                let (whole, rest) = input.split_at(wanted);
                *input = rest;
                if !self.check(part, whole, sink) {
                    return false;
                }
                continue;
            }
            if input.is_empty() {
                return true;
            }
            self.state = State::Between;
            let (now, later) = input.split_at(input.len().min(wanted - self.held.len()));
            self.held.reserve_exact(wanted - self.held.len());
            self.held.extend_from_slice(now);
            *input = later;
            if self.held.len() == wanted {
                let whole = mem::take(&mut self.held);
                let good = self.check(part, &whole, sink);
                self.held = whole;
                self.held.clear();
                if !good {
                    return false;
                }
            }
        }
        true
    }

    /// Checks one whole part; hands content on, or notes what its children must hash to.
    fn check(&mut self, part: Part, whole: &[u8], sink: &mut impl FnMut(u64, &[u8])) -> bool {
        let hash = self.hashes.pop().expect("the walk and the hashes go in step");
        let is_root = self.is_root(part);
        match part {
            Part::Content { offset, .. } => {
                if hash_group(offset, whole, is_root) != hash {
                    return false;
                }
                self.walk.next();
                sink(offset, whole);
                self.state = State::AtBoundary;
            }
            Part::Proof(parent) => {
                let pair = whole.try_into().expect("a parent has 64 bytes");
                if hash_pair(pair, is_root) != hash {
                    return false;
                }
                self.walk.next();
                let (left, right) = self.walk.wanted(parent);
                let (left_hash, right_hash) = split_pair(pair);
                self.hashes.extend(right.map(|_| right_hash));
                self.hashes.extend(left.map(|_| left_hash));
                self.state = State::Between;
            }
        }
        true
    }

    fn is_root(&self, part: Part) -> bool {
        let groups = self.walk.range().groups_in_blob();
        match part {
            Part::Content { .. } => groups == 1,
            Part::Proof(parent) => parent.end_group() - parent.first_group() == groups,
        }
    }
}
