//! A client that never pays: it takes what each node gives on credit, goes on to the next, and closes at zero.

use decdn_engine::{
    io::{Effect, Output},
    wire::{ClientMessage, Message},
};

use super::{
    exit::Lie,
    payer::{Kit, Ploy},
};
use crate::actor::Turn;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct FastStop;

impl Ploy for FastStop {
    const LIE: Lie = Lie::Empty;

    fn say(&mut self, output: Output, _kit: &mut Kit, turn: &mut Turn<'_>) {
        if let Some(unpaid) = without_money(output) {
            turn.push(unpaid.lane, unpaid.effect);
        }
    }
}

/// An output with every voucher taken out of it.
pub fn without_money(mut output: Output) -> Option<Output> {
    match &mut output.effect {
        Effect::Send { message: Message::Client(ClientMessage::Voucher(_)), .. } => return None,
        Effect::Send { message: Message::Client(ClientMessage::StreamRequest(request)), .. } => {
            request.newest = None
        }
        _ => {}
    }
    Some(output)
}
