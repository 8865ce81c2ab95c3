//! What is said to the chain and heard from it, and what the engine expects a call to do. A file per contract has its
//! calls, reasons, events and state; here they are one vocabulary.

pub mod channel;
mod checkpoint;
mod cursor;
mod openings;
pub mod quorum;
pub mod token;

pub use checkpoint::Checkpoint;
pub use cursor::{Cursor, Taken};
pub use openings::{Openings, UNSEEN};
pub use quorum::Quorum;

use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::{Crypto, Deployment},
    ids::{Address, BlockHash, ChannelId},
    time::{ChainTime, Span},
    worth::GasPrice,
};

/// A block: its number and its timestamp.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Block {
    /// L2 block number.
    pub number: u64,
    /// `block.timestamp`.
    pub time: ChainTime,
}

/// A block, and which one of its number: after a fork another one stands there (L1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct BlockRef {
    /// L2 block number.
    pub number: u64,
    /// Its hash. Recordings of before there was one say nothing.
    #[serde(default)]
    pub hash: BlockHash,
    /// `block.timestamp`.
    pub time: ChainTime,
}

impl BlockRef {
    /// The block with this hash.
    pub fn new(Block { number, time }: Block, hash: BlockHash) -> Self {
        Self { number, hash, time }
    }
}

/// Where nothing forks: a block is its number.
impl From<Block> for BlockRef {
    fn from(block: Block) -> Self {
        Self::new(block, BlockHash::default())
    }
}

/// A call that a role asks to be made from its account, by contract. It shows as the contract's own.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "calls are rare, and moved once")]
pub enum Call {
    /// A token's.
    Token(token::Call),
    /// The payment channel's.
    Channel(channel::Call),
}

impl Call {
    /// What the call is about, if it names it.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::Token(_) => None,
            Self::Channel(call) => call.channel().map(Subject::Channel),
        }
    }

    /// What it is to do, for whoever reads that it was not done.
    pub fn purpose(&self) -> &'static str {
        match self {
            Self::Token(call) => call.purpose(),
            Self::Channel(call) => call.purpose(),
        }
    }

    /// The payment channel's call.
    pub fn as_channel(&self) -> Option<&channel::Call> {
        match self {
            Self::Channel(call) => Some(call),
            Self::Token(_) => None,
        }
    }
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(call) => call.fmt(f),
            Self::Channel(call) => call.fmt(f),
        }
    }
}

impl From<token::Call> for Call {
    fn from(call: token::Call) -> Self {
        Self::Token(call)
    }
}

impl From<channel::Call> for Call {
    fn from(call: channel::Call) -> Self {
        Self::Channel(call)
    }
}

/// What a contract keeps apart: calls, events and surprises are about one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Subject {
    /// A channel.
    Channel(ChannelId),
}

/// A subject as its contract has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// A channel.
    Channel(channel::State),
}

impl State {
    /// Which one it is.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Channel(channel) => Subject::Channel(channel.id),
        }
    }

    /// The channel.
    pub fn as_channel(&self) -> Option<&channel::State> {
        match self {
            Self::Channel(channel) => Some(channel),
        }
    }
}

/// How a transaction gets to the chain.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Route {
    /// Through the L2 sequencer.
    Sequencer,
    /// Through the L1 delayed inbox (L2). It is included by a willing sequencer, or by force after the delay.
    DelayedInbox,
    /// Nothing is sent: the delayed inbox is searched for a message of ours with this call that no block has yet, sent before a
    /// restart (X1). It is queued, or absent; lost is what could not be looked for.
    QueuedBefore,
}

/// What became of a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum TxOutcome {
    /// The delayed inbox holds it; from `forcible` on it can be forced in.
    Queued {
        /// When L1 took it, by the chain's clock.
        at: ChainTime,
        /// From when on `forceInclusion` works.
        forcible: ChainTime,
    },
    /// It is in a block.
    Included {
        /// The block.
        block: Block,
        /// Whether it did what it should, or why not.
        result: Result<(), Revert>,
    },
    /// It will not be included: refused by the endpoint, replaced, or lost.
    Lost,
    /// The delayed inbox holds no such message, or a block has it already ([`Route::QueuedBefore`]).
    Absent,
}

/// Why a call was refused: a contract's own reason where the engine knows it. Those of the payment channel are written
/// without their contract's name, as recordings have them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revert {
    /// Anything else: a token's own error, out of gas, a panic.
    Other,
    /// The payment channel's.
    #[serde(untagged)]
    Channel(channel::Revert),
}

impl fmt::Debug for Revert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other => f.write_str("Other"),
            Self::Channel(reason) => reason.fmt(f),
        }
    }
}

impl From<channel::Revert> for Revert {
    fn from(reason: channel::Revert) -> Self {
        Self::Channel(reason)
    }
}

/// Something that happened, by contract.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Event {
    /// To a channel.
    Channel(channel::Event),
}

impl Event {
    /// What happened to a channel.
    pub fn as_channel(&self) -> Option<&channel::Event> {
        match self {
            Self::Channel(event) => Some(event),
        }
    }

    /// What it happened to.
    pub fn subject(&self) -> Subject {
        match self {
            Self::Channel(event) => Subject::Channel(event.channel),
        }
    }
}

/// An event in its block; ordered by blocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct ChainEvent {
    /// In which block.
    pub block: Block,
    /// What.
    pub event: Event,
}

impl ChainEvent {
    /// An event of a channel in this block.
    pub fn of_channel(block: Block, channel: ChannelId, kind: channel::EventKind) -> Self {
        Self { block, event: Event::Channel(channel::Event { channel, kind }) }
    }

    /// What happened to a channel.
    pub fn as_channel(&self) -> Option<&channel::Event> {
        self.event.as_channel()
    }
}

/// An event as it is recorded: a channel's beside its block. Another contract's gets a field of its own.
#[derive(Serialize, Deserialize)]
struct Written {
    block: Block,
    #[serde(default)]
    channel: Option<ChannelId>,
    #[serde(default)]
    kind: Option<channel::EventKind>,
}

impl From<ChainEvent> for Written {
    fn from(ChainEvent { block, event }: ChainEvent) -> Self {
        match event {
            Event::Channel(channel::Event { channel, kind }) => {
                Self { block, channel: Some(channel), kind: Some(kind) }
            }
        }
    }
}

impl TryFrom<Written> for ChainEvent {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        match written {
            Written { block, channel: Some(channel), kind: Some(kind) } => {
                Ok(Self::of_channel(block, channel, kind))
            }
            Written { .. } => Err("an event of no contract"),
        }
    }
}

/// What a poll is about. An update holds the events that one of the poll's interests covers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Interest {
    /// The channels of an account, be it the client or the node.
    ChannelsOf(Address),
    /// One channel, whosever it is.
    Channel(ChannelId),
    /// All channels there are.
    Channels,
}

/// An answer to a poll, or news from a subscription: what was asked about, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ChainUpdate {
    /// The soft head (L1).
    pub head: BlockRef,
    /// The safe head's number.
    pub safe: u64,
    /// The first block that is another one than was told before. What was told of it and of later ones is undone, and told
    /// again from here on, wherever the poll starts (L1).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_at: Option<u64>,
    /// Events from the polled block on, at most `limits.chain_events`.
    pub events: Vec<ChainEvent>,
    /// The first block that this update does not cover: where the next poll starts.
    pub next: u64,
    /// How long the chain's delayed inbox takes (L2), read live.
    pub forced_inclusion: Span,
    /// What gas costs, as far as anybody says (X2).
    #[serde(default, skip_serializing_if = "GasPrice::is_unknown")]
    pub gas_price: GasPrice,
    /// Which endpoint said so, of those that are configured (L4).
    #[serde(default, skip_serializing_if = "is_first")]
    pub endpoint: u8,
    /// Where several endpoints are configured: what they make of it together (L4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorum: Option<Quorum>,
}

impl ChainUpdate {
    /// Whether two endpoints stand behind it, or there is but one (L4).
    pub fn is_agreed(&self) -> bool {
        self.quorum.as_ref().is_none_or(|quorum| quorum.is_agreed)
    }

    /// Closes that one of several endpoints alone tells of, and whether two deny it (L4).
    pub fn doubted(&self) -> impl Iterator<Item = (&ChainEvent, bool)> {
        let doubted = self.quorum.iter().flat_map(|quorum| &quorum.doubted);
        doubted.map(|event| (event, self.is_agreed() && event.block.number < self.next))
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_first(endpoint: &u8) -> bool {
    *endpoint == 0
}

/// The state at a transaction's place, as far as the call depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "asked for once per transaction")]
pub enum Before {
    /// For a token's call: nothing.
    Token,
    /// For a call of the payment channel.
    Channel(channel::predict::Before),
}

/// What the call is about, after it, or why it reverts (O9). `None` where the call names nothing that exists.
///
/// The simulator asks before every transaction and compares with what the bytecode did, so that the engine's
/// idea of the contracts can't drift from them.
///
/// # Errors
/// The contract's custom error.
///
/// # Panics
/// If the state is another contract's than the call.
pub fn predict<C: Crypto>(
    call: &Call,
    before: &Before,
    deployment: &Deployment,
    crypto: &C,
) -> Result<Option<State>, Revert> {
    match (call, before) {
        (Call::Token(_), Before::Token) => Ok(None),
        (Call::Channel(call), Before::Channel(before)) => {
            let after = channel::predict::predict(call, before, deployment, crypto);
            after.map(|channel| channel.map(State::Channel)).map_err(Revert::Channel)
        }
        (Call::Token(_) | Call::Channel(_), _) => {
            unreachable!("the state is asked for by the call: {call:?}")
        }
    }
}
