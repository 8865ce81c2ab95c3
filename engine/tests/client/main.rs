//! What a client does when nodes, connections and the chain don't do what they should.

mod again;
mod agree;
mod bench;
#[path = "../shared/branches.rs"]
mod branches;
mod close;
mod found;
mod lost;
mod open;
mod peers;
mod probe;
mod resume;
mod rewind;
