//! The contract as tests that any driver can be held to.
//!
//! A driver under test sits on a [`Bench`]: the suite plays the engine with a [`Script`], makes things happen
//! outside, decides when disk and signer answer, and reads in one [`Log`] what was started, fed and made durable,
//! in the order in which it happened. `contract_suite!(MyBench)` turns every rule into a test.

mod random;
mod rules;
mod sides;
mod world;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use decdn_engine::{
    crypto::{Crypto, Deployment, Signature, Typed, VoucherTerms},
    ids::{Address, ChannelId, ConnId, FetchId, NodeId, SignTicket, StreamId},
    io::{Effect, Input, Lane, Outputs},
    money::{Amount, Nonce},
    record::{ChannelStatus, Earning, PersistSeq, Record},
    roles::{Reason, Role},
    state::{Broken, Digest},
    time::{Now, Span, Time},
    wire::{ClientMessage, Protocol},
};

pub use random::{Dice, RandomProgram, random_programs_keep_every_rule};
pub use rules::*;
pub use sides::*;
pub use world::{CREDITS, INBOX, Setting, World, until_quiet};

/// Something that happened on the bench.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen {
    /// The role was fed this.
    Fed(Input),
    /// A port was asked for this. `Persist` never shows here.
    Started(Effect),
    /// A download's content is durable up to this byte.
    Synced(FetchId, u64),
    /// These write sets are durable, by one commit.
    Durable(Vec<Vec<Record>>),
}

/// What happened so far, shared by role, ports and suite.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Seen>>>);

impl Log {
    /// Takes down what happened.
    pub fn push(&self, seen: Seen) {
        self.lock().push(seen);
    }

    /// Everything so far.
    pub fn all(&self) -> Vec<Seen> {
        self.lock().clone()
    }

    /// How often something of a kind has happened.
    pub fn count(&self, is_it: impl Fn(&Seen) -> bool) -> usize {
        self.lock().iter().filter(|seen| is_it(seen)).count()
    }

    /// The place of the only occurrence.
    ///
    /// # Panics
    /// If it happened never, or more than once.
    pub fn place(&self, wanted: &Seen) -> usize {
        let all = self.all();
        let places: Vec<usize> = (0..all.len()).filter(|&i| all[i] == *wanted).collect();
        assert_eq!(places.len(), 1, "{wanted:?} happened {} times in {all:#?}", places.len());
        places[0]
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A port whose answers the suite can keep back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Port {
    /// Commits.
    Store,
    /// Syncs of content.
    Blobs,
    /// Signatures.
    Signer,
}

/// What the suite does to ports.
pub trait Hands {
    /// From now on a port keeps its answers back, or no longer does.
    fn hold(&self, port: Port, is_held: bool);
    /// Lets a held port give its oldest answer. Whether there was one to give.
    fn release(&self, port: Port) -> bool;
    /// From now on commits fail.
    fn fail_store(&self);
    /// Whether the driver has given up.
    fn is_stopped(&self) -> bool;
}

/// A driver with everything around it.
pub trait Bench: Sized {
    /// How many inputs of one stream may be heard while nothing that followed from them is under way. `None`
    /// for a driver without back-pressure of its own, where the world plays the transport.
    const INPUTS_PER_STREAM: Option<usize>;
    /// More than a `settle` with next to nothing to do takes, by the driver's clock.
    const SETTLE: Span = Span::from_millis(1);
    /// How many random programs are worth their time.
    const RANDOM_RUNS: u64 = 300;
    /// Whom the driver reaches when it dials.
    const REACHABLE: NodeId = NodeId([9; 32]);

    /// A driver that runs this role. Ports answer by themselves and write into the log what they are asked for;
    /// the signer signs everything; the driver's time begins near zero and passes while the bench settles, or not
    /// at all. The store is empty: what the role was recovered from is between suite and role. Driver and peer both have
    /// the suite's [`content`].
    fn start(role: Script, log: Log) -> Self;
    /// Something happens on the network, or the owner orders something; it is heard at the next `settle`. On connections
    /// that the role has dialled, too: it numbers them from 0 on, and its streams there as it opens them.
    fn arrive(&mut self, input: Input);
    /// Runs until nothing moves any more.
    fn settle(&mut self);
    /// The suite's hands on the driver's ports.
    fn hands(&self) -> impl Hands;
    /// The driver's time.
    fn now(&mut self) -> Time;
    /// Lets time pass.
    fn advance(&mut self, span: Span);
    /// Lets time pass until `at`.
    fn advance_to(&mut self, at: Time) {
        let left = at.since(self.now());
        self.advance(left);
    }

    /// See [`Hands::hold`].
    fn hold(&mut self, port: Port, is_held: bool) {
        self.hands().hold(port, is_held);
    }
    /// See [`Hands::release`].
    fn release(&mut self, port: Port) -> bool {
        self.hands().release(port)
    }
    /// See [`Hands::fail_store`].
    fn fail_store(&mut self) {
        self.hands().fail_store();
    }
    /// See [`Hands::is_stopped`].
    fn is_stopped(&self) -> bool {
        self.hands().is_stopped()
    }
}

type Program = Box<dyn FnMut(Now, &Input, &mut Outputs) -> Option<Time> + Send>;

/// A role that does what a test says: input in, outputs out, and the next deadline.
pub struct Script {
    program: Program,
    deadline: Option<Time>,
    log: Log,
    last: Option<Now>,
}

impl Script {
    /// A role that runs this program at every step; what the program returns is its next deadline.
    pub fn new(
        log: &Log,
        program: impl FnMut(Now, &Input, &mut Outputs) -> Option<Time> + Send + 'static,
    ) -> Self {
        Self { program: Box::new(program), deadline: None, log: log.clone(), last: None }
    }

    /// The same, with a deadline from the start.
    pub fn with_deadline(mut self, at: Time) -> Self {
        self.deadline = Some(at);
        self
    }
}

impl Role for Script {
    fn step<C: Crypto>(&mut self, now: Now, input: Input, _: &C, out: &mut Outputs) {
        assert!(self.last.is_none_or(|last| last.mono <= now.mono), "time went back (6)");
        self.last = Some(now);
        self.log.push(Seen::Fed(input.clone()));
        self.deadline = (self.program)(now, &input, out);
    }

    fn next_deadline(&self) -> Option<(Time, Reason)> {
        self.deadline.map(|at| (at, Reason::Retry))
    }

    fn digest(&mut self) -> Digest {
        Digest::default()
    }

    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }
}

/// For scripts: nobody signed anything.
#[derive(Clone, Copy, Debug)]
pub struct NoCrypto;

impl Crypto for NoCrypto {
    fn recover(&self, _: &Deployment, _: &Typed, _: &Signature) -> Option<Address> {
        None
    }
}

/// The number of the first connection that a peer makes.
pub const CONN: ConnId = ConnId(crate::ACCEPTED | 1);

/// A stream of [`CONN`].
pub fn stream(index: u32) -> StreamId {
    StreamId { conn: CONN, index }
}

/// A peer connects.
pub fn connected(conn: ConnId) -> Input {
    Input::Connected { conn, peer: NodeId([7; 32]), protocol: Protocol::Client, rtt: Span::from_millis(1) }
}

/// A message that says `n` arrives.
pub fn heard(stream: StreamId, n: u64) -> Input {
    Input::Message { stream, message: ClientMessage::VoucherAck(Nonce(n)).into() }
}

/// A message that says `n`.
pub fn say(stream: StreamId, n: u64) -> Effect {
    Effect::Send { stream, message: ClientMessage::VoucherAck(Nonce(n)).into() }
}

/// A record of channel `key` that says `n`.
pub fn record(key: u8, n: u64) -> Record {
    Record::Earning(Earning {
        channel: ChannelId([key; 32]),
        client: Address::ZERO,
        token: Address::ZERO,
        deposit: Amount(u128::from(n)),
        opened_at_block: 0,
        status: ChannelStatus::Open,
        best: None,
    })
}

/// A write set of one record.
pub fn persist(seq: u64, key: u8, n: u64) -> Effect {
    Effect::Persist { seq: PersistSeq(seq), writes: vec![record(key, n)] }
}

/// A request for a signature.
pub fn sign(ticket: u64) -> Effect {
    let terms = VoucherTerms {
        channel: ChannelId::default(),
        amount: Amount(u128::from(ticket)),
        nonce: Nonce(ticket),
        token: Address::ZERO,
    };
    Effect::Sign { ticket: SignTicket(ticket), what: Typed::Voucher(terms) }
}

/// The lane of channel slot `n`.
pub fn lane(n: u32) -> Lane {
    Lane::Channel(n)
}

/// Runs a rule once.
pub fn once(rule: fn()) {
    rule();
}

/// A test per rule for a [`Bench`]. A bench that is worth more than one run of each rule names a function that
/// runs the rule as often as it likes: `contract_suite!(MyBench, on_many_seeds)`.
#[macro_export]
macro_rules! contract_suite {
    ($bench:ty) => {
        $crate::contract_suite!($bench, $crate::suite::once);
    };
    ($bench:ty, $run:path) => {
        $crate::contract_suite!($bench, $run:
            effects_of_a_lane_start_in_order,
            a_barrier_holds_its_lane_and_no_other,
            a_barrier_holds_effects_of_later_steps,
            what_waited_starts_before_persisted_is_fed,
            one_commit_takes_all_lanes,
            write_sets_with_a_common_key_keep_their_order,
            verified_content_is_durable_before_its_record,
            a_failing_store_stops_the_driver_behind_the_barrier,
            a_crash_at_any_point_loses_nothing_that_was_revealed,
            every_request_is_answered_once,
            a_connection_is_silent_after_its_end,
            a_stream_is_silent_after_its_end,
            what_the_engine_ended_is_silent,
            an_unanswered_dial_is_answered_when_it_is_given_up,
            answers_that_nobody_asked_for_are_not_fed,
            a_tick_comes_at_the_deadline_and_not_before,
            a_stream_is_not_read_while_its_effects_wait,
            what_comes_on_a_dialled_connection_is_told_from_an_accepted_one,
            a_lost_connection_takes_none_of_the_other_kind_along,
            a_barrier_of_one_side_holds_nothing_of_the_other,
            content_comes_on_one_side_while_it_goes_out_on_the_other,
            random_programs_keep_every_rule,
        );
    };
    ($bench:ty, $run:path: $($rule:ident),* $(,)?) => {
        $(
            #[test]
            fn $rule() {
                $run($crate::suite::$rule::<$bench>);
            }
        )*
    };
}
