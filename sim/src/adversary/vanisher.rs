//! A node that takes the money and stops for good in the middle of a cadence: it hears and says nothing any more,
//! on the wire or on the chain (D9, D10).

use decdn_engine::{
    io::{Effect, Input, Output},
    limits::GROUP,
};

use super::{With, mask::Hand};
use crate::{actor::Turn, decide::Label, rung::Mix};

/// See the module.
#[derive(Clone, Debug)]
pub struct Vanisher {
    groups: u64,
    left: Option<u64>,
    gone: bool,
}

impl Vanisher {
    /// `with`: `groups`, the most that go out before it is gone.
    pub fn new(with: &With) -> Self {
        Self { groups: with.or("groups", 64), left: None, gone: false }
    }
}

impl Hand for Vanisher {
    fn hear(&mut self, input: &mut Input, _turn: &mut Turn<'_>) -> bool {
        // The clock goes on, or the process would be due for ever.
        !self.gone || *input == Input::Tick
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        if self.gone {
            return;
        }
        let Output { lane, mut effect } = output;
        if let Effect::SendRange { bytes, .. } = &mut effect {
            let left =
                *self.left.get_or_insert_with(|| turn.decide.between(Label::Adversary, 0, self.groups));
            let here = bytes.div_ceil(GROUP);
            self.gone = left < here;
            self.left = Some(left.saturating_sub(here));
            if self.gone {
                *bytes = left * GROUP;
                if left == 0 {
                    return;
                }
            }
        }
        turn.push(lane, effect);
    }

    fn mix(&self, mix: &mut Mix) {
        mix.words([self.left.unwrap_or(u64::MAX), u64::from(self.gone)]);
    }

    fn restart(&mut self) {
        self.gone = true;
    }
}
