//! What a node does when the chain, or its clock, does not do what it should.

mod bench;
mod clock;
