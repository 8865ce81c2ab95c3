//! Runs an engine role over ports, on any executor.
//!
//! The crate names no runtime: no tokio, no clock, no socket, no file. tokio with iroh and redb, turmoil and
//! madsim run this same code; a test runs it on a plain executor over memory.
//!
//! # The driver's contract
//!
//! The engine's side of it is in [`decdn_engine::io`]. A driver, this one or the simulator's, keeps these
//! promises; [`suite`] holds any of them to it.
//!
//! 1. **Order.** Effects of one lane start in the order in which they were put out. Lanes do not wait for each
//!    other. To start is: to be handed to a port. Answers come in any order.
//! 2. **Barrier.** No later effect of a `Persist`'s lane starts before its write set is durable, whether it was
//!    put out by the same step or a later one. Then what waited starts, then `Persisted` is fed, once. One slow
//!    commit stalls no other lane.
//! 3. **Write sets.** Each is durable as a whole or not at all. One commit is under way at a time and takes
//!    every write set that has come to the head of its lane since the last one (group commit). Write sets that
//!    share a key become durable in the order of their numbers, whatever their lanes. Content that a record
//!    calls verified is durable before the record is.
//! 4. **Answers.** Every `Sign`, `Tx`, `Poll` and `Connect` is answered exactly once, `Tx` by one `Included` or
//!    `Lost` after any `Queued`. Every `SendRange` is answered once, in order, unless its stream ends first. An
//!    answer that nobody asked for is not fed.
//! 5. **Ends.** After `Disconnected` or `StreamClosed` was fed, or `Disconnect` or `Reset` was carried out,
//!    nothing about that connection or stream is fed; the one exception is the answer that an unanswered
//!    `Connect` still owes.
//! 6. **Time.** When `next_deadline` has come, `Tick` is fed; a step is never told an earlier time than the one
//!    before it.
//! 7. **Bounds.** Every queue has a cap. A stream is read no further while what followed from its inputs is not
//!    under way (the transport's credits); past the driver's own [`Limits`] nothing is heard from network or
//!    owner. Answers are always heard: they are what makes room.
//! 8. **Failure.** Where records or content can't be made durable the driver stops before anything behind that
//!    barrier has started. It may be dropped at any point; recovery goes by what is durable.
//! 9. **Both sides.** A role may be dialled and dial at once, and have the same peer at the other end of both. What
//!    comes is fed under the number of the connection that it came on: from [`ACCEPTED`] on, or as the engine gave
//!    it. No end, barrier, signature or content of one side holds up or ends anything of the other.

#![warn(missing_docs)]

mod commit;
mod driver;
mod lanes;
mod live;
mod ports;
pub mod suite;

pub use driver::{Driver, Limits, Stopped};
pub use ports::{ACCEPTED, Blobs, Chain, Clock, Incoming, Outgoing, Owner, Ports, Signer, Store, Transport};
