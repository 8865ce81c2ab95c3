//! A payer that signs a nonce twice: (n, a) for the node, (n, less) on the wire to see whether the node takes it, and
//! (n, 0) for its own close (C2, V2).

use decdn_engine::{crypto::VoucherTerms, io::Output, money::Amount};

use super::{
    exit::Lie,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label};

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct EqualNonce;

impl Ploy for EqualNonce {
    const LIE: Lie = Lie::SameNonce;

    fn say(&mut self, output: Output, kit: &mut Kit, turn: &mut Turn<'_>) {
        let going = kit.going(&output);
        turn.push(output.lane, output.effect);
        let Some(going) = going else { return };
        // Half of the time another amount is signed for the same nonce: less, or one more.
        let paid = going.terms.amount.0;
        let amount = match turn.decide.below(Label::Adversary, 4) {
            0 => Amount(paid / 2),
            1 => Amount(paid + 1),
            _ => return,
        };
        kit.also(&going, VoucherTerms { amount, ..going.terms }, turn);
    }
}
