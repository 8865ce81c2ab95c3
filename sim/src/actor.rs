//! An actor: whoever has an account and a network key, takes inputs and asks for effects. The engine's roles are
//! actors; an adversary is one that may also play [`Trick`]s, often by wrapping an honest role and bending what
//! goes in or comes out.

use decdn_engine::{
    ids::Address,
    io::{Effect, Input, Lane, Outputs},
    record::Record,
    roles::{AnyRole, Config, Role as _},
    state::{Broken, Digest},
    time::{Now, Time},
};

use crate::{decide::Decisions, rung::SimCrypto, seen::ChainView};

/// An actor's place in the cast; stable over its restarts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct ActorId(pub u16);

/// What no honest role can ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trick {
    /// The group at byte `offset` of the `SendRange` at `output` of this step's outputs goes out with a wrong byte.
    Corrupt {
        /// Index into the outputs of this step.
        output: usize,
        /// First byte of the group.
        offset: u64,
    },
    /// Pays the sequencer: transactions of `account` through the sequencer stay out until `until`.
    Bribe {
        /// Whose transactions.
        account: Address,
        /// Simulated time.
        until: Time,
    },
}

/// Everything an actor has in hand while it takes one input.
pub struct Turn<'a> {
    /// The actor's clocks.
    pub now: Now,
    /// Who signed what.
    pub crypto: &'a SimCrypto,
    /// The chain, which everybody may read, for adversaries; honest roles ask for it by polls.
    pub chain: &'a dyn ChainView,
    /// The run's only randomness, for adversaries; honest roles draw nothing.
    pub decide: &'a mut Decisions,
    /// Where effects go. Tickets of an adversary that wraps a role start at [`OWN_TICKETS`].
    pub out: &'a mut Outputs,
    /// Where tricks go.
    pub tricks: &'a mut Vec<Trick>,
}

/// The first sign and transaction ticket that a wrapper uses for itself: the wrapped role counts from 0.
pub const OWN_TICKETS: u64 = 1 << 63;

impl Turn<'_> {
    /// The same turn, lent on to a wrapped actor.
    pub fn lend(&mut self) -> Turn<'_> {
        let Self { now, crypto, chain, .. } = *self;
        Turn { now, crypto, chain, decide: self.decide, out: self.out, tricks: self.tricks }
    }

    /// Asks for an effect.
    pub fn push(&mut self, lane: Lane, effect: Effect) {
        self.out.push(lane, effect);
    }
}

/// Whoever takes part in a run.
pub trait Actor {
    /// Takes one input; everything that follows is appended to the turn's outputs and tricks. The input stays with whoever
    /// shows it to the oracles: a copy of it is large, of what a role is told most often it is nothing.
    fn step(&mut self, input: &Input, turn: Turn<'_>);

    /// When `Input::Tick` is due, on the actor's monotonic clock; O(1).
    fn next_deadline(&self) -> Option<Time>;

    /// The fingerprint of the state (O13).
    fn digest(&mut self) -> Digest;

    /// Whether the state's own invariants hold.
    ///
    /// # Errors
    /// The first that doesn't.
    fn check(&self) -> Result<(), Broken> {
        Ok(())
    }

    /// The process died and starts again with nothing but what is durable: one record per key, in key order.
    fn restart(&mut self, durable: &mut dyn Iterator<Item = Record>);
}

/// An engine role as an actor: it does what it asks for, and nothing else.
pub struct Honest {
    role: AnyRole,
    config: Config,
}

impl Honest {
    /// A role at its first start.
    pub fn new(config: Config) -> Self {
        Self { role: AnyRole::recover(config.clone(), core::iter::empty()), config }
    }

    /// Takes one input for its own.
    pub fn take(&mut self, input: Input, turn: Turn<'_>) {
        self.role.step(turn.now, input, turn.crypto, turn.out);
    }
}

impl Actor for Honest {
    fn step(&mut self, input: &Input, turn: Turn<'_>) {
        self.take(input.clone(), turn);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.role.next_deadline().map(|(time, _)| time)
    }

    fn digest(&mut self) -> Digest {
        self.role.digest()
    }

    fn check(&self) -> Result<(), Broken> {
        self.role.check()
    }

    fn restart(&mut self, durable: &mut dyn Iterator<Item = Record>) {
        self.role = AnyRole::recover(self.config.clone(), durable);
    }
}
