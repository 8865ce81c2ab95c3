//! A payer that signs a nonce twice: (n, a) for the node, (n, less) on the wire to see whether the node takes it, and
//! (n, 0) for its own close (C2, V2).

use decdn_engine::{
    crypto::VoucherTerms,
    io::{Effect, Input, Output},
    money::Amount,
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
pub struct EqualNonce {
    exit: Exit,
    extra: Extra,
}

impl EqualNonce {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        Self { exit: Exit::new(Lie::SameNonce, with), extra: Extra::default() }
    }
}

impl Hand for EqualNonce {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        self.extra.hear(input, turn).and_then(|input| self.exit.hear(input, turn))
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let Some(output) = self.exit.say(output, turn) else { return };
        let Output { lane, effect } = output;
        let sent = match &effect {
            Effect::Send { stream, message: Message::Voucher(voucher) } => Some((*stream, *voucher)),
            _ => None,
        };
        turn.push(lane, effect);
        let Some((stream, voucher)) = sent else { return };
        let Some(channel) = self.exit.channel_of(voucher.nonce, voucher.amount) else { return };
        // Half of the time another amount is signed for the same nonce: less, or one more.
        let amount = match turn.decide.below(Label::Adversary, 4) {
            0 => Amount(voucher.amount.0 / 2),
            1 => Amount(voucher.amount.0 + 1),
            _ => return,
        };
        let terms = VoucherTerms { channel, amount, nonce: voucher.nonce, token: self.exit.token() };
        let ticket = self.exit.ticket();
        self.extra.want(ticket, (stream, lane), (terms, terms), turn);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.exit.next_deadline()
    }

    fn words(&self) -> Vec<u64> {
        let mut words = self.exit.words();
        words.push(self.extra.len());
        words
    }

    fn restart(&mut self) {
        self.exit.restart();
        self.extra.clear();
    }
}
