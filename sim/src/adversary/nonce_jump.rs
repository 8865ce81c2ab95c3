//! A payer that closes with its own (2^64 − 1, 1 unit): under a rule by nonce no dispute could answer it (C2). In half
//! of the runs it also pays the node with the last nonce, after which there is no next one (V1): nothing may wrap. In
//! the other half it offers the node that one unit too, after it has paid more (V2).

use decdn_engine::{
    crypto::VoucherTerms,
    io::{Effect, Input, Output},
    money::{Amount, Nonce},
    wire::{ClientMessage, Message},
};

use super::{
    exit::Lie,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label, rung::Mix};

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct NonceJump {
    /// Whether it pays by the last nonce; drawn at its first voucher.
    jumps: Option<bool>,
}

impl Ploy for NonceJump {
    const LIE: Lie = Lie::HighestNonce;

    fn hear(&mut self, input: &mut Input, _kit: &mut Kit, _turn: &mut Turn<'_>) -> bool {
        // The role would not believe an ack of a nonce that it never used.
        let is_strange = matches!(
            input,
            Input::Message { message: Message::Client(ClientMessage::VoucherAck(Nonce(u64::MAX))), .. }
        );
        !is_strange
    }

    fn say(&mut self, output: Output, kit: &mut Kit, turn: &mut Turn<'_>) {
        let Effect::Send { message: Message::Client(ClientMessage::Voucher(_)), .. } = output.effect else {
            return turn.push(output.lane, output.effect);
        };
        let Some(going) = kit.going(&output) else { return };
        let jumps = *self.jumps.get_or_insert_with(|| turn.decide.below(Label::Adversary, 2) == 1);
        if !jumps {
            turn.push(output.lane, output.effect);
        }
        let amount = if jumps { going.terms.amount } else { Amount(1) };
        kit.also(&going, VoucherTerms { amount, nonce: Nonce(u64::MAX), ..going.terms }, turn);
    }

    fn mix(&self, mix: &mut Mix) {
        mix.word(self.jumps.map_or(2, u64::from));
    }
}
