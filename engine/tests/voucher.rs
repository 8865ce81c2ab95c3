//! V1, V2, V4: which vouchers a payee takes, stated once more as a table of comparisons.

use std::cmp::Ordering::{Equal, Greater, Less};

use decdn_engine::{
    crypto::StreamError,
    money::{Amount, Nonce},
    voucher::{Ruling, rule},
    wire::RejectReason,
};
use proptest::prelude::*;

/// Small numbers, so that equal ones are common; nothing is held where both are zero.
fn held() -> impl Strategy<Value = (u64, u128)> {
    prop_oneof![Just((0, 0)), (1_u64..6, 1_u128..6)]
}

fn ruling((best_nonce, best_amount): (u64, u128), deposit: u128, nonce: u64, amount: u128) -> Ruling {
    rule((Nonce(best_nonce), Amount(best_amount)), Amount(deposit), Nonce(nonce), Amount(amount))
}

proptest! {
    #[test]
    fn v1_a_better_voucher_is_higher_in_both_and_a_late_one_in_neither(
        best in held(), deposit in 0_u128..9, nonce in 1_u64..8, amount in 0_u128..9,
    ) {
        let both = (nonce.cmp(&best.0), amount.cmp(&best.1));
        let is_better = both == (Greater, Greater) && amount <= deposit;
        let is_late = matches!(both, (Less, Less | Equal) | (Equal, Equal));
        let said = ruling(best, deposit, nonce, amount);
        prop_assert_eq!(said == Ruling::Better, is_better);
        prop_assert_eq!(said == Ruling::Late, is_late);
    }

    #[test]
    fn v2_any_other_voucher_is_turned_down_as_its_clients_fault(
        best in held(), deposit in 0_u128..9, nonce in 1_u64..8, amount in 0_u128..9,
    ) {
        let both = (nonce.cmp(&best.0), amount.cmp(&best.1));
        let is_other = matches!(both, (Less, Greater) | (Equal, Less | Greater) | (Greater, Less | Equal));
        let is_refused = matches!(ruling(best, deposit, nonce, amount), Ruling::Refused(..));
        prop_assert_eq!(is_refused, is_other || (both == (Greater, Greater) && amount > deposit));
    }

    #[test]
    fn v4_a_voucher_above_the_deposit_is_never_taken(
        best in held(), deposit in 0_u128..9, above in 1_u128..9, nonce in 1_u64..8,
    ) {
        let said = ruling(best, deposit, nonce, deposit + above);
        let too_much = Ruling::Refused(RejectReason::V4, Some(StreamError::ChannelInsufficient));
        prop_assert!(said == too_much || said == Ruling::Late, "{:?}", said);
    }
}
