//! Which vouchers a payee takes (V1, V2).

use crate::{
    crypto::StreamError,
    money::{Amount, Nonce},
    wire::RejectReason,
};

/// What to do with a voucher whose channel and token are right.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ruling {
    /// Better than the best, if the signature holds.
    Better,
    /// A late duplicate: no fault, nothing changes.
    Late,
    /// Not allowed, for this reason; if the signature holds, it is the client's fault (V2).
    Refused(RejectReason, Option<StreamError>),
}

/// Compares a voucher with the best one held. Cheap: the signature is checked afterwards, and only if it matters.
pub fn rule(best: (Nonce, Amount), deposit: Amount, nonce: Nonce, amount: Amount) -> Ruling {
    let (best_nonce, best_amount) = best;
    let is_repeat = nonce == best_nonce && amount == best_amount && best_nonce != Nonce::NONE;
    let is_overtaken = nonce < best_nonce && amount <= best_amount;
    if is_repeat || is_overtaken {
        Ruling::Late
    } else if amount > deposit {
        Ruling::Refused(RejectReason::V4, Some(StreamError::ChannelInsufficient))
    } else if nonce > best_nonce && amount > best_amount {
        Ruling::Better
    } else {
        Ruling::Refused(RejectReason::V2, None)
    }
}
