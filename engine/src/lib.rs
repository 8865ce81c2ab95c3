//! The deCDN protocol as pure state machines.
//!
//! One entry point per role: `step(now, input, crypto, out)`. A step runs to completion and everything that
//! follows from it is in `out`; there is nothing to poll but [`next_deadline`](roles::Role::next_deadline).
//! The crate reaches no clock, thread, socket, file or source of randomness, so the same machine runs in
//! production, in the simulator and under a fuzzer, and behaves the same in all three.
//!
//! Where to start: [`roles`] wires the parts into a client and a node, [`delivery`] meters and windows content,
//! [`dispute`] defends what was earned, [`blob`] verifies content, [`wire`] is what peers say.
//! Rule ids such as `D8` or `V3` refer to `docs/protocol.md`.
#![no_std]
#![warn(missing_docs)]

extern crate alloc;

pub mod bid;
pub mod blob;
pub mod chain;
pub mod crypto;
pub mod delivery;
pub mod dispute;
pub mod fault;
mod fixed;
pub mod ids;
pub mod io;
pub mod limits;
pub mod machine;
pub mod money;
pub mod order;
pub mod record;
pub mod roles;
pub mod state;
pub mod time;
mod uint256;
pub mod voucher;
pub mod wire;
pub mod worth;
