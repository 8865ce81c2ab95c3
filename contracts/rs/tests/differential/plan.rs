//! What a run tries: calls by several parties, most of them nearly right.

use decdn_contracts::differential::{
    By, Consent, Content, Ink, Owner, PARTIES, Paper, Step, Sum, TOKENS, Terms,
};
use proptest::prelude::*;

fn ink() -> impl Strategy<Value = Ink> {
    prop_oneof![
        12 => Just(Ink::Right),
        1 => (0..PARTIES).prop_map(Ink::By),
        1 => Just(Ink::HighS),
        1 => any::<u8>().prop_map(Ink::V),
        1 => any::<u8>().prop_map(Ink::Noise),
        1 => Just(Ink::OtherAmount),
    ]
}

fn sum() -> impl Strategy<Value = Sum> {
    prop_oneof![
        5 => any::<u8>().prop_map(Sum::Part),
        2 => (-1..=1i8).prop_map(Sum::Recorded),
        2 => (-1..=1i8).prop_map(Sum::Deposit),
        1 => prop_oneof![any::<u128>(), Just(u128::MAX)].prop_map(Sum::Any),
    ]
}

fn paper() -> impl Strategy<Value = Paper> {
    let nonce = prop_oneof![6 => 0..6u64, 1 => any::<u64>(), 1 => Just(u64::MAX)];
    let token = prop_oneof![9 => Just(None), 1 => (0..TOKENS).prop_map(Some)];
    let terms = (sum(), nonce, token, ink()).prop_map(|(amount, nonce, token, signature)| Terms {
        amount,
        nonce,
        token,
        signature,
    });
    let content = prop_oneof![
        1 => Just(Content::Empty),
        4 => terms.prop_map(Content::Written),
        1 => any::<usize>().prop_map(Content::Held),
    ];
    (any::<usize>(), prop::bool::weighted(0.03), content).prop_map(|(channel, is_lost, content)| Paper {
        channel,
        is_lost,
        content,
    })
}

fn by() -> impl Strategy<Value = By> {
    prop_oneof![4 => Just(By::Client), 4 => Just(By::Node), 2 => (0..PARTIES).prop_map(By::Party)]
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![9 => Just(Owner::Real), 1 => (0..PARTIES).prop_map(Owner::Pretender)]
}

fn money() -> impl Strategy<Value = u128> {
    prop_oneof![16 => 0..2_000u128, 1 => Just(0), 2 => Just(u128::MAX), 2 => any::<u128>()]
}

/// One step.
pub fn step() -> impl Strategy<Value = Step> {
    let (party, token) = (0..PARTIES, 0..TOKENS);
    let hours = prop_oneof![Just(0), Just(43_199), 43_200..=259_200u64, Just(259_201), any::<u64>()];
    let consent = prop_oneof![8 => ink().prop_map(Consent::Same), 1 => Just(Consent::Capped), 1 => Just(Consent::AsVoucher)];
    let setup = prop_oneof![
        (token.clone(), 0..=PARTIES, money()).prop_map(|(token, to, amount)| Step::Mint {
            token,
            to,
            amount
        }),
        (party.clone(), token.clone(), 0..=PARTIES, money())
            .prop_map(|(by, token, to, amount)| Step::Transfer { by, token, to, amount }),
        (owner(), 0..=PARTIES, any::<bool>()).prop_map(|(by, who, active)| Step::SetNode { by, who, active }),
        (owner(), token.clone(), any::<bool>()).prop_map(|(by, token, allowed)| Step::AllowToken {
            by,
            token,
            allowed
        }),
        (owner(), hours).prop_map(|(by, secs)| Step::SetWindow { by, secs }),
        (owner(), prop::bool::weighted(0.3)).prop_map(|(by, paused)| Step::Pause { by, paused }),
        (party.clone(), token.clone(), money()).prop_map(|(by, token, amount)| Step::Approve {
            by,
            token,
            amount
        }),
    ];
    let open_token = prop_oneof![8 => Just(0), 3 => token.clone()];
    let deposit = || prop_oneof![20 => money(), 1 => 1..1u128 << 100];
    let permit = (ink(), prop_oneof![4 => Just(1_000i64), 1 => -1..=1i64]);
    prop_oneof![
        2 => setup,
        2 => (party.clone(), party.clone(), open_token.clone(), deposit(), permit).prop_map(
            |(by, node, token, deposit, (permit, off_secs))| Step::OpenWithPermit {
                by,
                node,
                token,
                deposit,
                off_secs,
                permit,
            }
        ),
        4 => (party.clone(), party.clone(), open_token, deposit())
            .prop_map(|(by, node, token, deposit)| Step::Open { by, node, token, deposit }),
        3 => paper().prop_map(|voucher| Step::Pay { voucher }),
        5 => (by(), paper()).prop_map(|(by, voucher)| Step::Close { by, voucher }),
        5 => (by(), paper()).prop_map(|(by, voucher)| Step::Dispute { by, voucher }),
        3 => (by(), any::<usize>()).prop_map(|(by, channel)| Step::Settle { by, channel }),
        4 => (by(), paper(), consent)
            .prop_map(|(by, voucher, consent)| Step::CloseCooperatively { by, voucher, consent }),
        1 => (party.clone(), token, 0..PARTIES + 2)
            .prop_map(|(by, token, to)| Step::Withdraw { by, token, to }),
        4 => (by(), paper()).prop_map(|(by, voucher)| Step::Claim { by, voucher }),
        3 => (by(), paper()).prop_map(|(by, voucher)| Step::Finish { by, voucher }),
        2 => (by(), any::<usize>()).prop_map(|(by, channel)| Step::ForceClose { by, channel }),
        1 => (party, 0..=PARTIES).prop_map(|(by, trusted)| Step::Delegate { by, trusted }),
        1 => (0..300_000u64).prop_map(|secs| Step::Wait { secs }),
        2 => (any::<usize>(), -1..=1i64).prop_map(|(channel, off_secs)| Step::WaitForDeadline { channel, off_secs }),
    ]
}

/// Whether a step is a call of the payment channel's that roles make.
pub fn is_of_channels(step: &Step) -> bool {
    matches!(
        step,
        Step::Open { .. }
            | Step::OpenWithPermit { .. }
            | Step::Close { .. }
            | Step::Dispute { .. }
            | Step::Settle { .. }
            | Step::CloseCooperatively { .. }
            | Step::Claim { .. }
            | Step::Finish { .. }
            | Step::Withdraw { .. }
            | Step::ForceClose { .. }
    )
}
