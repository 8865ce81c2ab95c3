//! A payer that closes with its own (2^64 − 1, 1 unit): under a rule by nonce no dispute could answer it (C2). In half
//! of the runs it also pays the node with the last nonce, after which there is no next one (V1): nothing may wrap. In
//! the other half it offers the node that one unit too, after it has paid more (V2).

use decdn_engine::{
    crypto::VoucherTerms,
    io::{Effect, Input, Output},
    money::{Amount, Nonce},
    time::Time,
    wire::Message,
};

use super::{
    With,
    exit::{Exit, Lie},
    extra::Extra,
    mask::Hand,
};
use crate::{actor::Turn, decide::Label};

/// See the module.
#[derive(Clone, Debug)]
pub struct NonceJump {
    exit: Exit,
    extra: Extra,
    /// Whether it pays by the last nonce; drawn at its first voucher.
    jumps: Option<bool>,
}

impl NonceJump {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        Self { exit: Exit::new(Lie::HighestNonce, with), extra: Extra::default(), jumps: None }
    }
}

impl Hand for NonceJump {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        let input = self.extra.hear(input, turn)?;
        match input {
            // The role would not believe an ack of a nonce that it never used.
            Input::Message { message: Message::VoucherAck(Nonce(u64::MAX)), .. } => None,
            input => self.exit.hear(input, turn),
        }
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let Some(output) = self.exit.say(output, turn) else { return };
        let Output { lane, effect } = output;
        let Effect::Send { stream, message: Message::Voucher(voucher) } = effect else {
            return turn.push(lane, effect);
        };
        let Some(channel) = self.exit.channel_of(voucher.nonce, voucher.amount) else { return };
        let jumps = *self.jumps.get_or_insert_with(|| turn.decide.below(Label::Adversary, 2) == 1);
        if !jumps {
            turn.push(lane, effect);
        }
        let amount = if jumps { voucher.amount } else { Amount(1) };
        let terms = VoucherTerms { channel, amount, nonce: Nonce(u64::MAX), token: self.exit.token() };
        let ticket = self.exit.ticket();
        self.extra.want(ticket, (stream, lane), (terms, terms), turn);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.exit.next_deadline()
    }

    fn words(&self) -> Vec<u64> {
        let mut words = self.exit.words();
        words.extend([self.extra.len(), self.jumps.map_or(2, u64::from)]);
        words
    }

    fn restart(&mut self) {
        self.exit.restart();
        self.extra.clear();
    }
}
