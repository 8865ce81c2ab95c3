//! A payer whose vouchers are not what it signed: the signature is of other terms, or has a bit turned (V1, I4). If
//! the node took one, it would hold nothing that a contract accepts; the close at zero would show it.

use decdn_engine::{
    crypto::VoucherTerms,
    io::Output,
    money::{Amount, Nonce},
};

use super::{
    exit::Lie,
    extra::send,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct Forger;

impl Ploy for Forger {
    const LIE: Lie = Lie::Empty;

    fn say(&mut self, output: Output, kit: &mut Kit, turn: &mut Turn<'_>) {
        if let Some(going) = kit.going(&output) {
            let to = (going.stream, going.lane);
            let nonce = Nonce(going.terms.nonce.0 + 1);
            match turn.decide.below(Label::Adversary, 4) {
                // Signed by this payer, for other terms: it recovers to nobody that anyone knows.
                0 => {
                    let amount = Amount(going.terms.amount.0 + 1);
                    send(to, VoucherTerms { amount, nonce, ..going.terms }, going.signature, turn);
                }
                // The signer turns into its neighbour on the ideal rung, r or s into another on the real one.
                kind @ (1 | 2) => {
                    let mut bent = going.signature;
                    bent.0[if kind == 1 { 19 } else { 63 }] ^= 1;
                    send(to, VoucherTerms { nonce, ..going.terms }, bent, turn);
                }
                _ => {}
            }
        }
        turn.push(output.lane, output.effect);
    }
}
