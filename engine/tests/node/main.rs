//! What a node does about the chain, when it or its clock does not do what it should, and among its streams.

mod answers;
mod bench;
#[path = "../shared/branches.rs"]
mod branches;
mod buys;
mod clock;
mod cursor;
mod lost;
mod once;
mod order;
mod policy;
mod probe;
mod quorum;
mod rewind;
mod settle;
mod share;
