//! A client that never pays: it takes what each node gives on credit, goes on to the next, and closes at zero.

use decdn_engine::{
    io::{Effect, Input, Output},
    time::Time,
    wire::Message,
};

use super::{
    With,
    exit::{Exit, Lie},
    mask::Hand,
};
use crate::actor::Turn;

/// See the module.
#[derive(Clone, Debug)]
pub struct FastStop {
    exit: Exit,
}

impl FastStop {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        Self { exit: Exit::new(Lie::Empty, with) }
    }
}

impl Hand for FastStop {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        self.exit.hear(input, turn)
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let Some(output) = self.exit.say(output, turn) else { return };
        if let Some(unpaid) = without_money(output) {
            turn.push(unpaid.lane, unpaid.effect);
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

/// An output with every voucher taken out of it.
pub fn without_money(mut output: Output) -> Option<Output> {
    match &mut output.effect {
        Effect::Send { message: Message::Voucher(_), .. } => return None,
        Effect::Send { message: Message::StreamRequest(request), .. } => request.newest = None,
        _ => {}
    }
    Some(output)
}
