//! Model and bytecode do the same, and the engine foretells it (O9): after every transaction of random runs
//! by several parties they agree on the result with its reason, the events, and everything that can be read.

mod plan;

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use decdn_contracts::differential::{PARTIES, Run};
use decdn_engine::chain::{Revert, channel};
use proptest::{
    prelude::*,
    test_runner::{TestRng, TestRunner},
};

use self::plan::step;

#[test]
fn o9_model_bytecode_and_prediction_agree_after_every_transaction() {
    let seen = Mutex::new(BTreeMap::<(&str, Option<Revert>), u64>::new());
    let (taken_by_wallets, held) = (AtomicU64::new(0), AtomicUsize::new(0));
    // The same runs every time, so that what they reach can be demanded; PROPTEST_CASES makes them more.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&prop::collection::vec(step(), 1..60), |steps| {
        let mut run = Run::new();
        for step in &steps {
            let Some((call, result)) = run.take(step) else { continue };
            *seen.lock().unwrap_or_else(PoisonError::into_inner).entry((call, result.err())).or_default() +=
                1;
        }
        taken_by_wallets.fetch_add(run.taken_by_wallets, Ordering::Relaxed);
        held.fetch_add(run.vouchers_held(), Ordering::Relaxed);
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
    assert_ne!(taken_by_wallets.into_inner(), 0, "C10: no wallet took a signature");
    assert_ne!(held.into_inner(), 0, "V1: no payee took a voucher");
    let seen = seen.into_inner().unwrap_or_else(PoisonError::into_inner);
    for expected in expected() {
        assert!(seen.contains_key(&expected), "no run reached {expected:?}; reached were {seen:?}");
    }
}

#[test]
fn c8_a_batch_does_what_its_calls_do_one_by_one() {
    let (done, skipped) = (AtomicU64::new(0), AtomicU64::new(0));
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let items = step().prop_filter("a call of the payment channel", plan::is_of_channels);
    let batches = prop::collection::vec((0..PARTIES, prop::collection::vec(items, 0..8)), 1..8);
    let outcome = runner.run(&batches, |batches| {
        let mut run = Run::new();
        for (by, steps) in &batches {
            for result in run.batch(*by, steps) {
                let count = if result.is_ok() { &done } else { &skipped };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    });
    if let Err(why) = outcome {
        panic!("{why}");
    }
    assert_ne!(done.into_inner(), 0, "no item did anything");
    assert_ne!(skipped.into_inner(), 0, "no item was skipped");
}

/// What the runs have to reach, or they prove little: each call's success, and every reason it can have with
/// these tokens.
fn expected() -> Vec<(&'static str, Option<Revert>)> {
    use channel::Revert::*;
    let reasons: [(&str, &[channel::Revert]); 12] = [
        ("open", &[Paused, TokenNotAllowed, ZeroDeposit, SelfChannel, NodeNotActive, TransferFailed]),
        ("permit", &[Paused, TokenNotAllowed, ZeroDeposit, SelfChannel, NodeNotActive, TransferFailed]),
        (
            "close",
            &[UnknownChannel, NotParty, NotOpen, WrongToken, BadSignature, AmountNotHigher, WindowOver],
        ),
        ("dispute", &[UnknownChannel, NotClosing, WindowOver, WrongToken, AmountNotHigher, BadSignature]),
        ("settle", &[UnknownChannel, NotClosing, WindowOpen]),
        ("cooperative", &[UnknownChannel, NotOpen, NotParty, WrongToken, AmountTooLow, BadSignature]),
        ("claim", &[UnknownChannel, NotOpen, NotNode, WrongToken, AmountNotHigher, BadSignature]),
        ("finish", &[UnknownChannel, NotOpen, NotNode, WindowOver, WrongToken, BadSignature]),
        ("force", &[UnknownChannel, NotOpen, TokenStillAllowed]),
        ("approve", &[]),
        ("delegate", &[]),
        ("setup", &[]),
    ];
    let mut all: Vec<_> = reasons
        .iter()
        .flat_map(|(call, reasons)| {
            [(*call, None)].into_iter().chain(reasons.iter().map(|reason| (*call, Some((*reason).into()))))
        })
        .collect();
    all.push(("withdraw", Some(NothingToWithdraw.into())));
    all.push(("withdraw", Some(BadPayee.into())));
    all.extend([("open", Some(Revert::Other)), ("setup", Some(Revert::Other))]);
    all
}
