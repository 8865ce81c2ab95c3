//! One function per question that bytes from outside can ask of deCDN. Each takes any bytes and panics where the
//! answer is wrong.
//!
//! The functions know no fuzzer. `fuzz_targets/` hands each to libFuzzer, for `cargo fuzz`; `tests/corpus.rs` replays
//! `corpus/<target>/` through them and needs nothing but cargo.

mod bytes;
mod chain;
mod client;
mod contract;
mod files;
mod harness;
mod logs;
mod market;
mod node;
mod texts;
mod verifier;
mod wire;

use std::{fs, io, path::Path};

pub use decdn_store::ordeal::{damaged as database, power_cut};

pub use bytes::Bytes;
pub use chain::chain;
pub use client::client;
pub use contract::contract;
pub use files::{config, key_file, receipt};
pub use logs::logs;
pub use node::node;
pub use texts::{recording, trace};
pub use verifier::verifier;
pub use wire::wire;

/// A question: any bytes in, a panic if the answer is wrong.
pub type Target = fn(&[u8]);

/// Every target by name; the name is also that of its folder under `corpus/` and of its file under `fuzz_targets/`.
pub const TARGETS: &[(&str, Target)] = &[
    ("chain", chain),
    ("client", client),
    ("config", config),
    ("contract", contract),
    ("database", database),
    ("key_file", key_file),
    ("logs", logs),
    ("node", node),
    ("power_cut", power_cut),
    ("receipt", receipt),
    ("recording", recording),
    ("trace", trace),
    ("verifier", verifier),
    ("wire", wire),
];

/// The committed inputs of a target, with their paths.
///
/// # Errors
/// If the target has no folder, or something in it can't be read.
pub fn corpus(name: &str) -> io::Result<Vec<(String, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let mut inputs = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        inputs.push((path.display().to_string(), fs::read(&path)?));
    }
    inputs.sort();
    Ok(inputs)
}
