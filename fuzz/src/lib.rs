//! One function per question that bytes from outside can ask of deCDN. Each takes any bytes and panics where the
//! answer is wrong.
//!
//! The functions know no fuzzer: `tests/corpus.rs` replays `corpus/<target>/` through them, and a coverage-guided
//! fuzzer needs one line per target that calls them.

mod bytes;
mod node;
mod verifier;
mod wire;

pub use bytes::Bytes;
pub use node::node;
pub use verifier::verifier;
pub use wire::wire;

/// A question: any bytes in, a panic if the answer is wrong.
pub type Target = fn(&[u8]);

/// Every target by name; the name is also that of its folder under `corpus/`.
pub const TARGETS: &[(&str, Target)] = &[("node", node), ("verifier", verifier), ("wire", wire)];
