//! Inputs and outputs: everything that a role hears and everything that it asks for.
//!
//! # The driver's side of the contract
//!
//! 1. Effects of one [`Lane`] are carried out in order. Lanes are independent of each other.
//! 2. [`Effect::Persist`] is a barrier for the later effects of its lane, those of later steps included, and for
//!    no other lane: none of them starts before the write set is durable. Then [`Input::Persisted`] follows.
//! 3. A write set is atomic, and write sets that share a key become durable in the order of their numbers. Content that a [`FetchRecord`](crate::record::FetchRecord) calls verified is durable
//!    before the record is.
//! 4. Every `Sign`, `Tx`, `SendRange`, `Connect` and `Poll` is answered exactly once, or the process dies.
//! 5. After `Disconnected` or `StreamClosed` the driver feeds nothing more about that connection or stream.
//! 6. When `next_deadline` has come, `Input::Tick` is fed.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    blob::Verdict,
    chain::{Call, ChainUpdate, Interest, Revert, Route, TxOutcome, channel::Ending},
    crypto::{Signature, StreamError, Typed},
    fault::{Fault, LimitHit, Proof, Rule},
    ids::{BlobHash, ChannelId, ConnId, FetchId, NodeId, SignTicket, StreamId, TxTicket},
    money::{Amount, Rate},
    order::{FetchOrder, Order},
    record::{PersistSeq, Record},
    time::{ChainTime, Span},
    wire::{Code, Message, Protocol},
};

/// Why a connection is gone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Gone {
    /// It could not be made.
    Unreachable,
    /// The peer at the address has another NodeId.
    WrongPeer,
    /// Lost: idle, reset, or the network.
    Lost,
    /// The peer closed it with this code.
    Closed(Code),
}

/// What a role is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "inputs are built and consumed one at a time")]
pub enum Input {
    /// A deadline has come, or nothing has: always harmless.
    Tick,
    /// A connection is up: one that was asked for, or one that a peer made.
    Connected {
        /// Its number.
        conn: ConnId,
        /// The authenticated peer.
        peer: NodeId,
        /// What both speak on it.
        protocol: Protocol,
        /// Round trip so far.
        rtt: Span,
    },
    /// A connection is gone with all its streams, or never came up.
    Disconnected {
        /// Its number.
        conn: ConnId,
        /// Why.
        why: Gone,
    },
    /// A message, decoded.
    Message {
        /// Where it came from.
        stream: StreamId,
        /// What it says.
        message: Message,
    },
    /// The peer ended its side of a stream, or reset it with a code.
    StreamClosed {
        /// Which.
        stream: StreamId,
        /// The code, if it was reset.
        code: Option<Code>,
    },
    /// Bytes that are no message, or content where none was agreed.
    Malformed {
        /// Where.
        stream: StreamId,
        /// The code to refuse it with.
        code: Code,
    },
    /// Content was checked.
    Verdict {
        /// Where it came from.
        stream: StreamId,
        /// What was found.
        verdict: Verdict,
    },
    /// The oldest unanswered [`Effect::SendRange`] of a stream is with the transport.
    RangeSent {
        /// Which.
        stream: StreamId,
    },
    /// The oldest unanswered [`Effect::SendRange`] of a stream can't be sent: the blob can't be read.
    RangeFailed {
        /// Which.
        stream: StreamId,
    },
    /// A blob is complete and verified in the store.
    BlobReady {
        /// Which.
        hash: BlobHash,
        /// Its size.
        bytes: u64,
    },
    /// A blob is no longer in the store.
    BlobGone {
        /// Which.
        hash: BlobHash,
    },
    /// A write set is durable.
    Persisted {
        /// Which.
        seq: PersistSeq,
    },
    /// A signature, or `None` where the signer would not.
    Signed {
        /// Which.
        ticket: SignTicket,
        /// The signature.
        signature: Option<Signature>,
    },
    /// News from the chain.
    Chain(ChainUpdate),
    /// A poll found no endpoint that answers.
    ChainUnreachable,
    /// A transaction's fate.
    Tx {
        /// Which.
        ticket: TxTicket,
        /// What became of it.
        outcome: TxOutcome,
    },
    /// From the owner: download this; or go on with a download that was kept; or other terms for one that runs (D17).
    Fetch(FetchOrder),
    /// From the owner: give a download up, and what it has verified.
    Cancel(FetchId),
    /// From the owner: close this channel. The same as [`Order::Close`].
    CloseChannel(ChannelId),
    /// From the owner: about money that is there. [`Notice::Ordered`] says what becomes of it.
    Order(Order),
    /// From the owner, who was asked by [`Notice::Quoted`]: yes, to one opening with this node for this download, at no more
    /// than this (D16).
    Agreed {
        /// For which download.
        fetch: FetchId,
        /// With whom.
        node: NodeId,
        /// The most per MB.
        rate: Rate,
        /// The most that goes into the channel.
        deposit: Amount,
    },
    /// From the owner: no. This download leaves this node; a yes that no opening has used up is taken back.
    Declined {
        /// For which download.
        fetch: FetchId,
        /// Whom.
        node: NodeId,
    },
}

/// Orders effects: within a lane, not across.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Lane {
    /// The role itself: connections, polls, notices.
    Role,
    /// A channel's money: vouchers, their records, their transactions. The number is the channel's slot.
    Channel(u32),
    /// A stream's content.
    Stream(StreamId),
}

/// What a role asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Store these writes, all or none, before anything later in this lane.
    Persist {
        /// Echoed when they are durable.
        seq: PersistSeq,
        /// The write set.
        writes: Vec<Record>,
    },
    /// Connect to a peer.
    Connect {
        /// The connection's number from now on.
        conn: ConnId,
        /// Whom to reach; the driver knows its addresses.
        peer: NodeId,
        /// What to speak.
        protocol: Protocol,
    },
    /// Close a connection.
    Disconnect {
        /// Which.
        conn: ConnId,
        /// With this code.
        code: Code,
    },
    /// Send a message; the first one on a stream of a dialled connection opens it.
    Send {
        /// Where.
        stream: StreamId,
        /// What.
        message: Message,
    },
    /// Nothing more will be sent on a stream.
    Finish {
        /// Which.
        stream: StreamId,
    },
    /// Refuse or give up a stream, both ways.
    Reset {
        /// Which.
        stream: StreamId,
        /// With this code.
        code: Code,
    },
    /// Content of this range will come on the stream: verify it, keep it for the fetch, report verdicts.
    Receive {
        /// Where.
        stream: StreamId,
        /// For which download.
        fetch: FetchId,
        /// Of which blob.
        hash: BlobHash,
        /// The blob's size as the node gave it.
        total_bytes: u64,
        /// First byte.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// Send this range of a blob on the stream, as `Chunk`s.
    SendRange {
        /// Where.
        stream: StreamId,
        /// Of which blob.
        hash: BlobHash,
        /// First byte: a group boundary.
        offset: u64,
        /// How many: whole groups, but for the blob's last.
        bytes: u64,
    },
    /// Sign this with the role's Ethereum key.
    Sign {
        /// Echoed in the answer.
        ticket: SignTicket,
        /// What.
        what: Typed,
    },
    /// Make a transaction from the role's account.
    Tx {
        /// Echoed in its outcomes.
        ticket: TxTicket,
        /// What to call.
        call: Call,
        /// How.
        route: Route,
    },
    /// Force the delayed inbox up to this transaction (L2).
    ForceInclude {
        /// The transaction that the inbox holds.
        ticket: TxTicket,
    },
    /// Read the chain from this block on.
    Poll {
        /// The first block that is not read yet.
        from_block: u64,
        /// What to read of it.
        interests: Vec<Interest>,
    },
    /// A fault, for the log, the reputation, and whoever keeps evidence.
    Fault(Fault),
    /// For the owner's eyes.
    Notice(Notice),
}

/// An effect in its lane.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Output {
    /// Its lane.
    pub lane: Lane,
    /// What to do.
    pub effect: Effect,
}

/// What an owner may want to see. Nothing depends on it, but for a client that asks its owner: there `Quoted` with a deposit is the
/// question.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "fields are named after what they hold")]
pub enum Notice {
    /// A client has read the chain up to this block, the head it heard of, for the first time since its start: whatever
    /// channels it has were told before.
    ChainRead { block: u64 },
    /// A channel is open and usable by this role.
    ChannelOpened { channel: ChannelId, deposit: Amount },
    /// A client has found a channel on the chain that none of its records speaks of: it is closed, not paid on.
    ChannelFound { channel: ChannelId, deposit: Amount },
    /// A node has said, and signed, what it would charge at most; its word about the size is not signed. It comes before each
    /// opening, with the deposit that will go into it (D1), and where a price is above the order's highest. A client that asks
    /// waits for [`Input::Agreed`] where there is a deposit, and then says it no second time.
    Quoted { fetch: FetchId, node: NodeId, rate: Rate, total_bytes: Option<u64>, deposit: Option<Amount> },
    /// A stream begins at this rate and offer.
    StreamStarted {
        fetch: FetchId,
        channel: ChannelId,
        node: NodeId,
        rate: Rate,
        offer_bytes: u64,
        total_bytes: u64,
    },
    /// Bytes verified so far, from the order's offset.
    Progress { fetch: FetchId, verified_bytes: u64 },
    /// A voucher was signed (client) or taken (node).
    Voucher { channel: ChannelId, amount: Amount, nonce: crate::money::Nonce },
    /// A download is whole, verified and paid for.
    Fetched { fetch: FetchId, bytes: u64 },
    /// A download was given up. What it has verified is kept for the next order (D17), unless the owner gave it up.
    FetchFailed { fetch: FetchId, why: FetchFailure },
    /// An order for a download that is there already was refused: it stays as it was, running or kept (D17).
    OrderRefused { fetch: FetchId, why: FetchFailure },
    /// What a failed download has verified is kept no longer: a new one had no other room (O11).
    Forgotten { fetch: FetchId, verified_bytes: u64 },
    /// A download goes on with another candidate.
    FailedOver { fetch: FetchId, from: NodeId },
    /// A refusal with its typed reason.
    Refused { fetch: FetchId, node: NodeId, error: StreamError },
    /// A close below the held voucher was seen; a dispute is on its way.
    StaleClose { channel: ChannelId, recorded: Amount, held: Amount },
    /// The dispute takes the forced-inclusion path (X2).
    ForcingInclusion { channel: ChannelId },
    /// A dispute is on chain.
    Disputed { channel: ChannelId, amount: Amount },
    /// A channel has settled, on the soft head at least: until it is safe its record stays.
    Settled { channel: ChannelId, ending: Ending, paid: Amount, refunded: Amount },
    /// What became of an owner's order about money: at once whether it was taken, later how it ended.
    Ordered { order: Order, answer: Answer },
    /// A head that is far from the last one was said by two endpoints, or by one for a while: it counts from here on (L4).
    HeadConfirmed { block: u64, time: ChainTime },
    /// The chain took back what it had said of a channel (L1).
    TakenBack { channel: ChannelId, what: Fact },
}

/// What the chain can take back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Fact {
    /// That it was opened.
    Opening,
    /// That it is closing.
    Close,
    /// That it has settled.
    Settlement,
}

/// Why a download was given up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum FetchFailure {
    /// Every candidate failed as often as it may (D10).
    NoCandidateLeft,
    /// The order itself can't be carried out: no candidates, an offset off the grid, the id of a download of something else.
    BadOrder,
    /// Too many downloads at once.
    TooMany,
    /// Opening a channel failed on chain.
    OpenFailed,
    /// Given up by the owner.
    Cancelled,
    /// The owner did not agree to what the last candidate asks for.
    NotAgreed,
}

/// What became of an [`Order`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is on record, and carried out whatever becomes of this process.
    Taken,
    /// It was not taken, and nothing has changed.
    Refused(Refusal),
    /// The chain has it, in this block: a channel is closing or settled, be it by whomever, a credit is drawn.
    Done {
        /// L2 block.
        block: u64,
    },
    /// The contract would not. The order is over.
    Reverted(Revert),
}

/// Why an order is not taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// No such channel is known here: there is none, or it is somebody else's.
    Unknown,
    /// The channel is closing already.
    Closing,
    /// The channel has settled.
    Settled,
    /// So many orders are not carried out yet ([`ORDERS`](crate::limits::ORDERS)).
    TooMany,
    /// No voucher is held of the channel: it has earned nothing.
    NothingEarned,
    /// Only a node claims, of channels that it earns on.
    NotNode,
}

/// The outputs of a step: owned by the caller and used again.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    items: Vec<Output>,
}

impl Outputs {
    /// An empty list.
    pub const fn new() -> Self {
        Self { items: Vec::new() }
    }

    /// Adds an effect to a lane.
    pub fn push(&mut self, lane: Lane, effect: Effect) {
        self.items.push(Output { lane, effect });
    }

    /// Tells the owner.
    pub fn notice(&mut self, notice: Notice) {
        self.push(Lane::Role, Effect::Notice(notice));
    }

    /// Reports a fault.
    pub fn fault(&mut self, fault: Fault) {
        self.push(Lane::Role, Effect::Fault(fault));
    }

    /// Reports a bound of ours that was reached.
    pub fn limit(&mut self, rule: Rule, limit: LimitHit) {
        self.fault(Fault::Limit { rule, limit });
    }

    /// Reports a rule that a peer broke, with what shows it.
    pub fn breach(&mut self, peer: NodeId, rule: Rule, proof: Proof) {
        self.fault(Fault::Peer { peer, rule, proof });
    }

    /// Reports what went wrong with a peer and is nobody's provable doing.
    pub fn unattributed(&mut self, peer: NodeId, rule: Rule) {
        self.fault(Fault::Unattributed { peer, rule });
    }

    /// Sends a message.
    pub fn send(&mut self, lane: Lane, stream: StreamId, message: impl Into<Message>) {
        self.push(lane, Effect::Send { stream, message: message.into() });
    }

    /// Makes a transaction.
    pub fn tx(&mut self, lane: Lane, ticket: TxTicket, call: impl Into<Call>, route: Route) {
        self.push(lane, Effect::Tx { ticket, call: call.into(), route });
    }

    /// Refuses or gives up a stream, both ways.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        self.push(Lane::Stream(stream), Effect::Reset { stream, code });
    }

    /// Hangs up.
    pub fn disconnect(&mut self, conn: ConnId, code: Code) {
        self.push(Lane::Role, Effect::Disconnect { conn, code });
    }

    /// The outputs so far, in order.
    pub fn as_slice(&self) -> &[Output] {
        &self.items
    }

    /// Takes the outputs out and leaves the memory for the next step.
    pub fn drain(&mut self) -> alloc::vec::Drain<'_, Output> {
        self.items.drain(..)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
