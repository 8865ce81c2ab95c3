//! What a driver stands on: one trait per thing outside the engine.
//!
//! A port that starts something hands back a future, so that an answer comes exactly once by construction. No
//! port may block the thread. Futures are `Send`, so that a driver may live on any executor.

use std::{
    future::Future,
    task::{Context, Poll},
};

use decdn_engine::{
    chain::{Call, ChainUpdate, Interest, Route, TxOutcome},
    crypto::{Signature, Typed},
    fault::Fault,
    ids::{BlobHash, ConnId, FetchId, NodeId, StreamId, TxTicket},
    io::{Input, Lane, Notice},
    record::Record,
    state::Digest,
    time::{Now, Time},
    wire::{Code, Message, Protocol},
};
use futures::Stream;

/// Set in the number of every connection that a peer made, which count from 1; the engine numbers those that it dials
/// from 0 up.
pub const ACCEPTED: u64 = 1 << 63;

/// Time.
pub trait Clock: Send {
    /// Both clocks, now. The monotonic one never goes back.
    fn now(&self) -> Now;

    /// Ends once `now().mono` is at or after `at`. Ending early is harmless, ending late delays a `Tick`.
    fn sleep_until(&self, at: Time) -> impl Future<Output = ()> + Send + 'static + use<Self>;
}

/// What a stream will carry towards us: the fields of `Effect::Receive`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Incoming {
    /// For which download.
    pub fetch: FetchId,
    /// Of which blob.
    pub hash: BlobHash,
    /// The blob's size in bytes, as the node gave it.
    pub total_bytes: u64,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub bytes: u64,
}

/// What a stream is to carry away: the fields of `Effect::SendRange`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outgoing {
    /// Of which blob.
    pub hash: BlobHash,
    /// First byte: a group boundary.
    pub offset: u64,
    /// How many: whole groups, but for the blob's last.
    pub bytes: u64,
}

/// Connections and streams.
///
/// Calls never wait. What is asked of a stream within one [`Lane`] goes out in the order of the calls; a message
/// from a channel's lane may pass content that waits, never half a frame of it. A transport keeps at most a
/// fixed number of messages per stream and resets a stream whose peer lets more pile up. Asking something of a
/// connection or stream that is gone does nothing.
///
/// Content: after `receive` a stream's chunks are verified, the good ones are with the download's file before
/// the verdict comes. Content where no `receive` follows is malformed.
pub trait Transport: Send {
    /// Held as long as what followed from an input is not all under way; a transport reads a stream no further
    /// while too many of its credits are out. That is the back-pressure of receiving.
    type Credit: Send + Sync + 'static;

    /// The next thing that happened: `Connected` (also for connections that peers made, whose numbers have
    /// [`ACCEPTED`] set), `Disconnected`, `Message`, `StreamClosed`, `Malformed`, `Verdict`, `RangeSent`,
    /// `RangeFailed`, and nothing else.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, Self::Credit)>;

    /// Dials, by the protocol's ALPN; `Connected` or `Disconnected` follows.
    fn connect(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol);
    /// Closes a connection.
    fn disconnect(&mut self, conn: ConnId, code: Code);
    /// Sends a message; the first one on a dialled connection's stream opens it.
    fn send(&mut self, lane: Lane, stream: StreamId, message: Message);
    /// Ends our side once everything before it is out.
    fn finish(&mut self, lane: Lane, stream: StreamId);
    /// Ends both sides at once.
    fn reset(&mut self, stream: StreamId, code: Code);
    /// Tells what content to take from a stream.
    fn receive(&mut self, stream: StreamId, what: Incoming);
    /// Sends content; `RangeSent` or `RangeFailed` follows, in the order of the calls, unless the stream ends.
    fn send_range(&mut self, stream: StreamId, what: Outgoing);
}

/// The chain, and the account that transactions are made from.
pub trait Chain: Send {
    /// Makes a transaction and follows it: `Queued` where it waits in the delayed inbox, then `Included` or
    /// `Lost`. A stream that ends without either counts as `Lost`.
    fn submit(
        &mut self,
        ticket: TxTicket,
        call: Call,
        route: Route,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<Self>;

    /// Forces the delayed inbox up to a transaction that it holds; what becomes of it shows in that
    /// transaction's own outcome.
    fn force_include(&mut self, ticket: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<Self>;

    /// Reads from a block on; `None` where no endpoint answers.
    fn poll(
        &mut self,
        from_block: u64,
        interests: Vec<Interest>,
    ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<Self>;
}

/// Durable records.
pub trait Store: Send {
    /// Why a commit failed.
    type Error: std::fmt::Display + Send + 'static;

    /// Makes these write sets durable, in this order, all of them or none. A driver has one commit under way
    /// at a time and stops at the first error: what is on disk after it is known only to a new start.
    fn commit(
        &mut self,
        sets: Vec<Vec<Record>>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static + use<Self>;
}

/// Content that downloads keep.
pub trait Blobs: Send {
    /// Why content is not durable.
    type Error: std::fmt::Display + Send + 'static;

    /// Makes a download's first `verified_bytes` bytes durable.
    fn sync(
        &mut self,
        fetch: FetchId,
        verified_bytes: u64,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static + use<Self>;
}

/// The role's Ethereum key: at hand, in a device, or far away.
pub trait Signer: Send {
    /// Signs, or will not.
    fn sign(&mut self, what: Typed) -> impl Future<Output = Option<Signature>> + Send + 'static + use<Self>;
}

/// Whoever runs the driver. Nothing depends on what it does with these.
pub trait Owner: Send {
    /// For its eyes.
    fn notice(&mut self, notice: Notice);
    /// For its log.
    fn fault(&mut self, fault: Fault);
    /// An input is about to be fed to a role in the state that `digest` tells: for a recording that the simulator can
    /// replay.
    fn fed(&mut self, _now: Now, _input: &Input, _digest: &mut dyn FnMut() -> Digest) {}
    /// The driver stops, with its role in the state that `digest` tells; nothing is fed any more.
    fn stopped(&mut self, _digest: &mut dyn FnMut() -> Digest) {}
}

/// All the ports of one driver.
#[derive(Clone, Debug)]
pub struct Ports<K, T, H, S, B, G, O> {
    /// See [`Clock`].
    pub clock: K,
    /// See [`Transport`].
    pub transport: T,
    /// See [`Chain`].
    pub chain: H,
    /// See [`Store`].
    pub store: S,
    /// See [`Blobs`].
    pub blobs: B,
    /// See [`Signer`].
    pub signer: G,
    /// See [`Owner`].
    pub owner: O,
}
