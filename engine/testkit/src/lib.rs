//! How one drives a role in a test. [`Bench`] is the half of the driver that every role needs and keeps the contract of
//! [`decdn_engine::io`], so whatever goes wrong is the engine's doing; peers and chain are each test's own.
//!
//! A test may let effects wait in their lanes and choose what starts next, as the fuzzers do:
//!
//! ```
//! use decdn_engine::{
//!     io::{Effect, Input},
//!     roles::client::Client,
//!     time::Span,
//! };
//! use decdn_testkit::{Bench, Symbols, fixtures};
//!
//! let mut bench = Bench::new(Client::new(fixtures::client_config()), Symbols).with_twin();
//! bench.feed(Input::Tick, |_| {});
//! let mut polls = 0;
//! while let Some((_, effect)) = bench.next(0) {
//!     match effect {
//!         Effect::Persist { seq, .. } => bench.feed(Input::Persisted { seq }, |_| {}),
//!         Effect::Poll { .. } => {
//!             polls += 1;
//!             let news = fixtures::news(bench.block(10), 10, vec![]);
//!             bench.feed(Input::Chain(news), |_| {});
//!         }
//!         _ => {}
//!     }
//! }
//! assert_eq!(polls, 1);
//! assert!(bench.pass(Span::from_hours(1)), "it wants to read the chain again");
//! bench.reboot(|records| Client::recover(fixtures::client_config(), records));
//! ```
//!
//! Or it takes what a [`Bench::step`] asks for and answers at once, as the tests of the engine do.
#![warn(missing_docs)]

mod bench;
mod crypto;
pub mod disk;
pub mod fixtures;
mod tell;

pub use bench::Bench;
pub use crypto::{FirstByte, Symbols, Trusting, named, sign, signature};
pub use tell::tell;
