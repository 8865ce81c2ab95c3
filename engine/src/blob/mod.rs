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
