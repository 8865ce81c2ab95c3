//! An honest role with somebody else's hand on it: what every adversary is here. The role keeps up the protocol;
//! the hand holds back, bends or adds what the attack needs.

use decdn_engine::{
    io::{Input, Output, Outputs},
    record::Record,
    roles::Config,
    state::{Broken, Digest},
    time::Time,
};

use crate::{
    actor::{Actor, Honest, Turn},
    rung::Mix,
};

/// What an adversary does to the role it wears.
pub trait Hand {
    /// An input on its way to the role, which may be bent; `false` keeps it from the role.
    fn hear(&mut self, _input: &mut Input, _turn: &mut Turn<'_>) -> bool {
        true
    }

    /// An output of the role: to be pushed as it is, bent, or not at all.
    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        turn.push(output.lane, output.effect);
    }

    /// Something that the role is to believe; asked for after each input until there is nothing more.
    fn urge(&mut self, _turn: &mut Turn<'_>) -> Option<Input> {
        None
    }

    /// When a tick is due for the hand's own sake.
    fn next_deadline(&self) -> Option<Time> {
        None
    }

    /// Mixes in everything that its later doings depend on, for the digest (O13).
    fn mix(&self, mix: &mut Mix);

    /// The process starts again: the hand remembers nothing.
    fn restart(&mut self) {}
}

/// A role with a hand on it.
pub struct Masked<H> {
    role: Honest,
    hand: H,
    out: Outputs,
}

impl<H: Hand> Masked<H> {
    /// An honest role that `hand` plays with.
    pub fn new(role: Config, hand: H) -> Self {
        Self { role: Honest::new(role), hand, out: Outputs::new() }
    }

    fn take(&mut self, input: Input, turn: &mut Turn<'_>) {
        self.role.take(input, Turn { out: &mut self.out, ..turn.lend() });
        for output in self.out.drain() {
            self.hand.say(output, turn);
        }
    }
}

impl<H: Hand> Actor for Masked<H> {
    fn step(&mut self, input: &Input, mut turn: Turn<'_>) {
        let mut heard = input.clone();
        if self.hand.hear(&mut heard, &mut turn) {
            self.take(heard, &mut turn);
        }
        while let Some(urged) = self.hand.urge(&mut turn) {
            self.take(urged, &mut turn);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        [self.role.next_deadline(), self.hand.next_deadline()].into_iter().flatten().min()
    }

    fn digest(&mut self) -> Digest {
        let mut mix = Mix::new();
        mix.bytes(&self.role.digest().0);
        self.hand.mix(&mut mix);
        Digest(*mix.finish().first_chunk().expect("a mix is longer than a digest"))
    }

    fn check(&self) -> Result<(), Broken> {
        self.role.check()
    }

    fn restart(&mut self, durable: &mut dyn Iterator<Item = Record>) {
        self.role.restart(durable);
        self.hand.restart();
    }
}
