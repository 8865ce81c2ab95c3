//! The deterministic simulator: the engine's own machines under a modelled network, disk, clock and sequencer.
//!
//! Everything random is a [`decide`]d choice, so a decision log is a run. [`actor`]s speak the engine's inputs and
//! effects, honest or not; what really happened is [`seen`] by oracles that stand outside them.
#![warn(missing_docs)]

pub mod actor;
pub mod adversary;
pub mod cast;
pub mod chain;
pub mod check;
pub mod cli;
pub mod content;
pub mod decide;
pub mod edge;
pub mod endpoints;
pub mod ledger;
pub mod measure;
mod names;
pub mod net;
pub mod pingpong;
pub mod queue;
pub mod report;
pub mod run;
pub mod rung;
pub mod scenario;
pub mod seen;
pub mod story;
pub mod sweep;
mod text;
pub mod trace;
pub mod watch;
pub mod weather;
pub mod world;
