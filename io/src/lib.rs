//! deCDN at the edge: what the engine needs from the world, and the program that puts it together.
//!
//! Most modules are one port of [`decdn_driver`]: [`transport`] is QUIC through iroh, [`store`] is records and
//! files, [`signer`] signs with keys that [`keys`] reads, [`clock`] asks the machine, [`chain`] is JSON-RPC through alloy. [`devnet`]
//! serves JSON-RPC from a chain of our own. [`control`] is how an owner talks to a node that runs. [`party`] makes a running client or node of them, [`stage`] puts
//! both on one chain in one process, [`cli`] is the program `decdn`, whose configuration and receipts are texts of [`decdn_files`].

#![warn(missing_docs)]

pub mod chain;
pub mod cli;
pub mod clock;
pub mod control;
pub mod devnet;
pub mod keys;
pub mod party;
pub mod signer;
pub mod stage;
pub mod store;
pub mod transport;

pub use decdn_files::{config, receipt};
