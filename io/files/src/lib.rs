//! The texts that people hand to the programs, and get from them: the configuration, key files, receipts. Each may have been
//! written by anybody: it is read into a value, or refused in one sentence that can be shown on a terminal.
//!
//! They are a crate of their own so that a fuzzer can ask them without building the network.

#![warn(missing_docs)]

pub mod config;
mod plain;
pub mod receipt;
pub mod secrets;

pub use plain::plain;
