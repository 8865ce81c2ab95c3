//! iroh on networks: loopback, and one in memory that loses, delays, doubles and cuts off datagrams.

mod bench;
mod contract;
mod delivery;
mod memory;
#[path = "../news/mod.rs"]
mod news;
mod peer;
mod resale;
mod tally;
