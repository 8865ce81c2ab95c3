//! A payer whose vouchers are not what it signed: the signature is of other terms, or has a bit turned (V1, I4). If
//! the node took one, it would hold nothing that a contract accepts; the close at zero would show it.

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
    extra::{Extra, send},
    mask::Hand,
};
use crate::{actor::Turn, decide::Label};

/// See the module.
#[derive(Clone, Debug)]
pub struct Forger {
    exit: Exit,
    extra: Extra,
}

impl Forger {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        Self { exit: Exit::new(Lie::Empty, with), extra: Extra::default() }
    }
}

impl Hand for Forger {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        self.extra.hear(input, turn).and_then(|input| self.exit.hear(input, turn))
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let Some(output) = self.exit.say(output, turn) else { return };
        let Output { lane, effect } = output;
        if let Effect::Send { stream, message: Message::Voucher(voucher) } = &effect
            && let Some(channel) = self.exit.channel_of(voucher.nonce, voucher.amount)
        {
            let token = self.exit.token();
            let more = VoucherTerms {
                channel,
                amount: Amount(voucher.amount.0 + 1),
                nonce: Nonce(voucher.nonce.0 + 1),
                token,
            };
            match turn.decide.below(Label::Adversary, 4) {
                // Signed by this payer, for other terms: it recovers to nobody that anyone knows.
                0 => send(*stream, lane, more, voucher.signature, turn),
                // The signer turns into its neighbour on the ideal rung, r or s into another on the real one.
                kind @ (1 | 2) => {
                    let mut bent = voucher.signature;
                    bent.0[if kind == 1 { 19 } else { 63 }] ^= 1;
                    let said = VoucherTerms { amount: voucher.amount, nonce: voucher.nonce, ..more };
                    send(*stream, lane, said, bent, turn);
                }
                _ => {}
            }
        }
        turn.push(lane, effect);
    }

    fn next_deadline(&self) -> Option<Time> {
        self.exit.next_deadline()
    }

    fn words(&self) -> Vec<u64> {
        self.exit.words()
    }

    fn restart(&mut self) {
        self.exit.restart();
        self.extra.clear();
    }
}
