//! A client that pays as it should, then closes as if it never had, and tries to settle before anybody looks (C1,
//! C3).

use decdn_engine::{
    io::{Input, Output},
    time::Time,
};

use super::{
    With,
    exit::{Exit, Lie},
    mask::Hand,
};
use crate::actor::Turn;

/// See the module.
#[derive(Clone, Debug)]
pub struct StaleCloser {
    exit: Exit,
}

impl StaleCloser {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        Self { exit: Exit::new(Lie::Empty, with) }
    }
}

impl Hand for StaleCloser {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        self.exit.hear(input, turn)
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        if let Some(output) = self.exit.say(output, turn) {
            turn.push(output.lane, output.effect);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.exit.next_deadline()
    }

    fn words(&self) -> Vec<u64> {
        self.exit.words()
    }

    fn restart(&mut self) {
        self.exit.restart();
    }
}
