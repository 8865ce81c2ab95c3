//! A payer whose vouchers raise the nonce without the amount, repeat, fall, or exceed the deposit (V1, V2, V4), and
//! whose close names ever so much (C7).

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
pub struct OverSpender {
    exit: Exit,
    extra: Extra,
}

impl OverSpender {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        Self { exit: Exit::new(Lie::AboveDeposit, with), extra: Extra::default() }
    }
}

impl Hand for OverSpender {
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
        let amount = voucher.amount.0;
        let next = Nonce(voucher.nonce.0.saturating_add(1));
        let (nonce, amount) = match turn.decide.below(Label::Adversary, 6) {
            // The nonce alone rises.
            0 => (next, amount),
            // The nonce rises and the amount falls.
            1 => (next, amount / 2),
            // The amount alone rises.
            2 => (voucher.nonce, amount + 1),
            // Both rise, and no deposit covers it.
            3 => (next, amount.saturating_add(1 << 80)),
            // The same again: no fault (V1).
            4 => (voucher.nonce, amount),
            _ => return,
        };
        let terms = VoucherTerms { channel, amount: Amount(amount), nonce, token: self.exit.token() };
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
