//! A node that serves well for a while, then flips a byte of a group (D4). It draws where.

use decdn_engine::{
    io::{Effect, Output},
    limits::GROUP,
};

use super::{With, mask::Hand};
use crate::{
    actor::{Trick, Turn},
    decide::Label,
    rung::Mix,
};

/// See the module.
#[derive(Clone, Debug)]
pub struct BadByte {
    /// The most groups that go out right before one goes out wrong.
    groups: u64,
    /// How many still do.
    left: Option<u64>,
}

impl BadByte {
    /// `with`: `groups`, the most that go out right.
    pub fn new(with: &With) -> Self {
        Self { groups: with.or("groups", 64), left: None }
    }
}

impl Hand for BadByte {
    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        if let Effect::SendRange { offset, bytes, .. } = output.effect {
            let left =
                *self.left.get_or_insert_with(|| turn.decide.between(Label::Adversary, 0, self.groups));
            let here = bytes.div_ceil(GROUP);
            if left < here {
                let place = turn.out.as_slice().len();
                turn.tricks.push(Trick::Corrupt { output: place, offset: offset + left * GROUP });
                self.left = None;
            } else {
                self.left = Some(left - here);
            }
        }
        turn.push(output.lane, output.effect);
    }

    fn mix(&self, mix: &mut Mix) {
        mix.word(self.left.unwrap_or(u64::MAX));
    }
}
