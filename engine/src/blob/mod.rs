//! BLAKE3 trees in 16 KiB groups: the geometry, the outboard, the encoding, the verifier (D4, D5).
//!
//! A blob's range travels as one combined pre-order encoding: each parent of the tree that reaches into the range
//! as 64 bytes (the chaining values of its two children), each group of the range as it is, parents before
//! children, left before right. bao-tree calls this `BlockSize::from_chunk_log(4)`, without the size in front:
//! the blob's size is in the `StreamResponse`.
//!
//! [`Verifier`] takes an encoding and lets verified content through; [`Encoder`] says what to send in which order,
//! with the parents looked up in an [`Outboard`].

mod encode;
mod outboard;
mod tree;
mod verify;

pub use encode::{Encoder, Part};
pub use outboard::{Outboard, OutboardBuilder, WrongLength};
pub use tree::{GroupRange, Node, PAIR_BYTES, RangeFault, empty_hash};
pub use verify::{Verdicts, Verifier};

use serde::{Deserialize, Serialize};

/// What a verifier found (D4). Made by [`Verifier`], the trace reader and the simulator's
/// ideal rung, by nobody else: outside this crate the variants can be matched but not built, and clippy.toml bans
/// the constructors wherever they are not allowed by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// `bytes` content bytes from `offset` match the hash, and are with whoever keeps the content.
    #[non_exhaustive]
    Good {
        /// First byte.
        offset: u64,
        /// How many: whole groups, but for the blob's last.
        bytes: u64,
    },
    /// The group at `offset`, or a proof above it, does not match; or something followed the range, which
    /// ends at `offset`. Nothing after it was looked at.
    #[non_exhaustive]
    Bad {
        /// First byte of the group.
        offset: u64,
    },
}

impl Verdict {
    /// These bytes match the hash.
    pub fn good(offset: u64, bytes: u64) -> Self {
        Self::Good { offset, bytes }
    }

    /// What should follow at `offset` does not.
    pub fn bad(offset: u64) -> Self {
        Self::Bad { offset }
    }
}
