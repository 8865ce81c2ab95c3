//! What really happened, as oracles read it, and what they say about it.
//!
//! An oracle stands outside the actors, survives their restarts, and restates the rule itself. It sees an event
//! after it happened; the events of one simulated instant come in the order in which they happened.

use decdn_contracts::{Answer, Query, channel as channel_contract, token};
use decdn_engine::{
    blob::Verdict,
    chain::{Block, Call, ChainEvent, Revert, Route, State, Subject, channel},
    crypto::{Signature, Typed},
    ids::{Address, BlobHash, ChannelId},
    io::{Effect, Gone, Input, Output},
    money::Amount,
    record::{Key, PersistSeq, Record},
    state::Digest,
    time::{Now, Span, Time},
    wire::Message,
};

use crate::{actor::ActorId, cast::Cast, chain::PurseNews, report::Report};

/// A connection, in the world's own count: both ends and all oracles mean the same by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LinkId(pub u32);

/// A stream, in the world's own count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pipe {
    /// Its connection.
    pub link: LinkId,
    /// Its place on the connection.
    pub index: u32,
}

/// A channel as the contract has it, and where it stands (C8: "none" is the absence of this).
pub use decdn_engine::chain::channel::{State as OnChain, Status as OnChainStatus};

/// The chain at one moment, read from the contracts themselves.
pub trait ChainView {
    /// What a contract answers.
    fn ask(&self, query: &Query) -> Answer;
    /// What was ever minted of a token.
    fn supply(&self, token: Address) -> Amount;
    /// The tokens there are.
    fn tokens(&self) -> &[Address];
    /// Every account that could hold a token: actors, escrow, treasury, burn sink.
    fn holders(&self) -> &[Address];
    /// Every channel, oldest first.
    fn channels(&self) -> &[ChannelId];
    /// The newest block at a time.
    fn head(&self, now: Time) -> Block;

    /// A wallet's balance; the escrow's, the treasury's and the burn sink's too.
    fn balance(&self, token: Address, account: Address) -> Amount {
        self.ask(&token::Query::Balance { token, who: account }.into()).amount()
    }

    /// What a refusing token left for an account to withdraw (C6).
    fn credit(&self, token: Address, account: Address) -> Amount {
        self.ask(&channel_contract::Query::Credit { payee: account, token }.into()).amount()
    }

    /// A channel.
    fn channel(&self, id: ChannelId) -> Option<OnChain> {
        self.ask(&Query::State(Subject::Channel(id))).channel()
    }
}

/// A transaction in a block.
#[derive(Clone, Copy, Debug)]
pub struct Included<'a> {
    /// Who made it, if anybody of the cast.
    pub from: Option<ActorId>,
    /// Its account.
    pub sender: Address,
    /// What it called.
    pub call: &'a Call,
    /// How it got there.
    pub route: Route,
    /// In which block.
    pub block: Block,
    /// When it was handed in, by simulated time.
    pub submitted: Time,
    /// What it did.
    pub result: Result<(), Revert>,
    /// Whether it did nothing because its gas was not enough: no rule of the contract is to blame.
    pub is_out_of_gas: bool,
    /// What the engine predicts, given the state at its place in the block: what it is about after it, where it names
    /// something that exists, or why it reverts (O9).
    pub predicted: Option<Result<Option<State>, Revert>>,
    /// What the second chain did, and what it is about after it there, where two run side by side: the Rust model
    /// beside the bytecode (O9).
    pub beside: Option<(Result<(), Revert>, Option<State>)>,
    /// Gas used, 0 on the model.
    pub gas: u64,
    /// Its events that roles follow.
    pub events: &'a [ChainEvent],
    /// What it is about, before it, as the contract had it.
    pub before: Option<State>,
    /// What it is about, after it; for an opening the new channel.
    pub after: Option<State>,
}

impl Included<'_> {
    /// The call, if it is one of the payment channel's.
    pub fn channel_call(&self) -> Option<&channel::Call> {
        self.call.as_channel()
    }

    /// The channel it is about, before it.
    pub fn channel_before(&self) -> Option<&OnChain> {
        self.before.as_ref().and_then(State::as_channel)
    }

    /// The channel it is about, after it.
    pub fn channel_after(&self) -> Option<&OnChain> {
        self.after.as_ref().and_then(State::as_channel)
    }
}

macro_rules! seen {
    ($($(#[$doc:meta])* $name:ident { $($(#[$fdoc:meta])* $field:ident: $type:ty,)* },)*) => {
        /// Something that happened.
        #[derive(Clone, Copy)]
        pub enum Seen<'a> { $($(#[$doc])* $name { $($(#[$fdoc])* $field: $type,)* },)* }

        /// The kinds of [`Seen`]: an oracle names those that it reads.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[expect(missing_docs, reason = "named after the variants of `Seen`")]
        pub enum Kind { $($name,)* }

        impl Kind {
            /// All kinds.
            pub const ALL: &[Self] = &[$(Self::$name,)*];
        }

        impl Seen<'_> {
            /// Its kind.
            pub fn kind(&self) -> Kind {
                match self { $(Self::$name { .. } => Kind::$name,)* }
            }
        }
    };
}

seen! {
    /// The run begins.
    Start {
        /// Who is who.
        cast: &'a Cast,
        /// The chain with everybody's starting balances.
        chain: &'a dyn ChainView,
    },
    /// An actor took an input; its outputs are not carried out yet. A crash may still cut them off.
    Step {
        /// Who.
        actor: ActorId,
        /// Its clocks.
        now: Now,
        /// What it was told.
        input: &'a Input,
        /// What it asks for.
        outputs: &'a [Output],
    },
    /// An effect is carried out: nothing holds it up any more. Never a write set.
    Started {
        /// Whose.
        actor: ActorId,
        /// What.
        effect: &'a Effect,
    },
    /// A connection is up at the end that dialled.
    Linked {
        /// Which.
        link: LinkId,
        /// Who dialled.
        from: ActorId,
        /// Whom.
        to: ActorId,
    },
    /// An end learnt that its connection is gone, or closed it itself.
    Unlinked {
        /// Which.
        link: LinkId,
        /// Whose end.
        actor: ActorId,
        /// Why, as that end was told.
        why: Gone,
    },
    /// An end is done with a stream: it was told that the other one finished or gave it up, or gave it up itself.
    StreamOver {
        /// Whose end.
        actor: ActorId,
        /// Which.
        pipe: Pipe,
    },
    /// A message left an actor: it is past every barrier and can't be taken back.
    Sent {
        /// Who.
        from: ActorId,
        /// To whom.
        to: ActorId,
        /// On which stream.
        pipe: Pipe,
        /// What.
        message: &'a Message,
    },
    /// A message arrived, and the actor is about to be told.
    Delivered {
        /// From whom.
        from: ActorId,
        /// To whom.
        to: ActorId,
        /// On which stream.
        pipe: Pipe,
        /// What.
        message: &'a Message,
    },
    /// A message was lost with its connection or receiver.
    Lost {
        /// From whom.
        from: ActorId,
        /// To whom.
        to: ActorId,
        /// On which stream.
        pipe: Pipe,
        /// What.
        message: &'a Message,
    },
    /// Content left an actor (one `SendRange`, or the part of one that got out).
    SentContent {
        /// Who.
        from: ActorId,
        /// To whom.
        to: ActorId,
        /// On which stream.
        pipe: Pipe,
        /// Which channel pays, as the stream's request had it.
        channel: Option<ChannelId>,
        /// Of which blob.
        hash: BlobHash,
        /// First byte.
        offset: u64,
        /// How many.
        bytes: u64,
    },
    /// Content was checked at the receiver, and it is about to be told.
    Verified {
        /// Who received.
        actor: ActorId,
        /// From whom.
        from: ActorId,
        /// On which stream.
        pipe: Pipe,
        /// Which channel pays, as the stream's request had it.
        channel: Option<ChannelId>,
        /// Of which blob.
        hash: BlobHash,
        /// What was found.
        verdict: Verdict,
    },
    /// A write set is durable.
    Persisted {
        /// Whose.
        actor: ActorId,
        /// Which.
        seq: PersistSeq,
        /// What it holds.
        writes: &'a [Record],
        /// The safe head's number at the time, whatever the actor heard of it.
        safe: u64,
    },
    /// The actor's signer signed.
    Signed {
        /// Whose key.
        actor: ActorId,
        /// What.
        what: &'a Typed,
        /// The signature.
        signature: &'a Signature,
    },
    /// A process died. Write sets in flight were dropped or kept, whole, by decision; this is what is durable now.
    Crashed {
        /// Who.
        actor: ActorId,
        /// Outputs of its last step that were not carried out any more, and those that waited behind a barrier.
        undone: u32,
        /// What is durable, by key.
        durable: &'a Durable,
        /// Whether its disk is lost as well: then nothing is.
        is_wiped: bool,
    },
    /// A machine is suspended: nothing happens on it.
    Suspended {
        /// Whose.
        actor: ActorId,
        /// For how long.
        lasts: Span,
    },
    /// A wall clock was set.
    ClockSet {
        /// Whose.
        actor: ActorId,
        /// How far it is ahead of true time now, in microseconds.
        ahead_us: i64,
    },
    /// A head is told with a wrong time or number.
    HeadOff {
        /// To whom.
        actor: ActorId,
        /// How far it is ahead of its true time, in microseconds.
        ahead_us: i64,
        /// How much too high its number is.
        blocks: u64,
    },
    /// Events are left out of an answer that covers their blocks.
    LogsMissed {
        /// To whom.
        actor: ActorId,
        /// How many.
        missed: usize,
    },
    /// One of an actor's endpoints does not answer, or not what the chain is.
    EndpointWrong {
        /// Whose.
        actor: ActorId,
        /// Which of them, from 0.
        endpoint: usize,
    },
    /// Of an actor's endpoints no two agree.
    Apart {
        /// Whose.
        actor: ActorId,
    },
    /// A process is up again, recovered from what is durable.
    Restarted {
        /// Who.
        actor: ActorId,
        /// What it recovered from.
        durable: &'a Durable,
        /// Its state's fingerprint after recovery.
        digest: Digest,
    },
    /// A transaction was handed to the chain.
    Submitted {
        /// Who.
        actor: ActorId,
        /// What it calls.
        call: &'a Call,
        /// How.
        route: Route,
    },
    /// A transaction was lost on its way to the chain.
    TxLost {
        /// Whose.
        actor: ActorId,
        /// On which way.
        route: Route,
    },
    /// An account has so much to pay for gas from here on.
    EtherSet {
        /// Whose.
        actor: ActorId,
        /// How much, in wei.
        wei: u128,
    },
    /// A purse has done something about a transaction, or could not.
    Purse {
        /// Whose.
        actor: ActorId,
        /// What.
        what: PurseNews,
    },
    /// A transaction is in a block.
    Included {
        /// All about it.
        tx: &'a Included<'a>,
        /// The chain after its whole block.
        chain: &'a dyn ChainView,
    },
    /// A transaction is in its block no more: a fork undid it. The newest come first.
    Undone {
        /// All about it, as it was.
        tx: &'a Included<'a>,
    },
    /// A block with transactions is complete: the chain between two of them shows only its end.
    Block {
        /// The chain after it.
        chain: &'a dyn ChainView,
    },
    /// The dispute window is another one from here on (C9).
    WindowSet {
        /// How long, in seconds.
        secs: u64,
    },
    /// A policy of the sequencer changed.
    Sequencer {
        /// Whose transactions it drops, or are lost on their way to it, if only somebody's.
        censored: Option<ActorId>,
        /// Whether it works at all.
        up: bool,
    },
    /// From here on no faults are injected (O10).
    Calm {
        /// How long the run goes on.
        left: Span,
    },
    /// The run is over.
    End {
        /// The chain at the end.
        chain: &'a dyn ChainView,
        /// What is durable at whom, by [`ActorId`].
        durable: &'a [Durable],
        /// Whether the run stopped by itself: nothing was left to happen before its time was up.
        drained: bool,
    },
}

/// Durable records of an actor: a fold by [`Record::key`] in the order of the write sets' numbers.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Durable {
    records: std::collections::BTreeMap<Key, (PersistSeq, Record)>,
}

impl Durable {
    /// Folds a write set in. Sets of different lanes may become durable in another order than they were asked
    /// for: the higher number wins per key.
    pub fn apply(&mut self, seq: PersistSeq, writes: Vec<Record>) {
        for record in writes {
            match self.records.entry(record.key()) {
                std::collections::btree_map::Entry::Vacant(entry) => {
                    entry.insert((seq, record));
                }
                std::collections::btree_map::Entry::Occupied(mut entry) => {
                    if entry.get().0 <= seq {
                        entry.insert((seq, record));
                    }
                }
            }
        }
    }

    /// A new process counts its write sets from the start: what is there is older than anything it writes.
    pub fn rebase(&mut self) {
        self.records.retain(|_, (seq, record)| {
            *seq = PersistSeq::default();
            !matches!(record, Record::Gone(_))
        });
    }

    /// The disk is lost.
    pub fn wipe(&mut self) {
        self.records.clear();
    }

    /// The record of a key.
    pub fn get(&self, key: &Key) -> Option<&Record> {
        self.records.get(key).map(|(_, record)| record).filter(|record| !matches!(record, Record::Gone(_)))
    }

    /// All records that are not gone, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.values().map(|(_, record)| record).filter(|record| !matches!(record, Record::Gone(_)))
    }
}

/// Watches a run and says what must not be.
pub trait Oracle {
    /// Its id in the spec, `O3`.
    fn name(&self) -> &'static str;

    /// What it reads: it is asked about no others.
    fn kinds(&self) -> &'static [Kind];

    /// Whether it has to see steps, too, in which an actor only asks for news from the chain, or hears that there is none.
    fn counts_idle_steps(&self) -> bool {
        false
    }

    /// Something of these kinds happened at `at`, simulated time.
    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report);
}
