//! The contracts as Rust sees them: bindings and bytecode from the committed artifacts, the signature curve
//! they recover with, two backends that run them, and the L2 chain around either.
//!
//! The backends answer the same calls through [`Backend`]: [`Model`] restates the contracts in Rust, fast
//! enough for sweeps and exhaustive search; [`Evm`] (feature `l2`) runs the compiled bytecode.
//! Neither knows the engine's predicates, so that they can judge them. [`L2`] puts one of them under a
//! sequencer with a policy and an L1 with a delayed inbox, all in virtual time.
#![warn(missing_docs)]

pub mod artifacts;
pub mod backend;
pub mod bindings;
pub mod channel;
pub mod curves;
#[cfg(feature = "l2")]
pub mod differential;
#[cfg(feature = "l2")]
pub mod evm;
pub mod gas;
pub mod genesis;
pub mod l2;
pub mod model;
pub mod registry;
pub mod token;
pub mod wallet;

pub use artifacts::check_sources;
pub use backend::{Backend, Call, Machine, Receipt, Tx};
pub use bindings::{Answer, Query, Setup};
pub use curves::{Curves, EthKey};
#[cfg(feature = "l2")]
pub use evm::Evm;
pub use genesis::Genesis;
pub use l2::{L2, Policy, Profile};
pub use model::Model;
