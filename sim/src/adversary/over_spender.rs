//! A payer whose vouchers raise the nonce without the amount, repeat, fall, or exceed the deposit (V1, V2, V4), and
//! whose close names ever so much (C7).

use decdn_engine::{
    crypto::VoucherTerms,
    io::Output,
    money::{Amount, Nonce},
};

use super::{
    exit::Lie,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct OverSpender;

impl Ploy for OverSpender {
    const LIE: Lie = Lie::AboveDeposit;

    fn say(&mut self, output: Output, kit: &mut Kit, turn: &mut Turn<'_>) {
        let going = kit.going(&output);
        turn.push(output.lane, output.effect);
        let Some(going) = going else { return };
        let (same, amount) = (going.terms.nonce, going.terms.amount.0);
        let next = Nonce(same.0.saturating_add(1));
        let (nonce, amount) = match turn.decide.below(Label::Adversary, 6) {
            // The nonce alone rises.
            0 => (next, amount),
            // The nonce rises and the amount falls.
            1 => (next, amount / 2),
            // The amount alone rises.
            2 => (same, amount + 1),
            // Both rise, and no deposit covers it.
            3 => (next, amount.saturating_add(1 << 80)),
            // The same again: no fault (V1).
            4 => (same, amount),
            _ => return,
        };
        kit.also(&going, VoucherTerms { amount: Amount(amount), nonce, ..going.terms }, turn);
    }
}
