//! D8: what a stream sent last, against a model that counts every group.

use std::collections::BTreeMap;

use decdn_engine::{
    delivery::Tail,
    ids::BlobHash,
    limits::{GROUP, RESENDS, TAIL_RUNS},
};
use proptest::prelude::*;

const OFFER: u64 = 256;

/// One stream after the other: where each begins, as far back from the end of the last as may be, and how many groups it
/// sends.
fn streams() -> impl Strategy<Value = Vec<(u64, u64)>> {
    prop::collection::vec((0..OFFER, 1..OFFER), 1..200)
}

proptest! {
    #[test]
    fn d8_nothing_goes_out_again_more_than_twice_and_runs_are_bounded(streams in streams()) {
        let mut tail = Tail::new(BlobHash([7; 32]));
        let mut sent: BTreeMap<u64, u8> = BTreeMap::new();
        let mut end = 0_u64;
        for (back, groups) in streams {
            let start = end.saturating_sub(back);
            let begins = tail.covers(BlobHash([7; 32]), start * GROUP) || start == end;
            if !begins {
                continue;
            }
            for group in start..start + groups {
                let is_again = tail.resendable(group * GROUP).is_some();
                let times = sent.entry(group).or_default();
                // Charged, a group begins a new life.
                *times = if is_again { *times + 1 } else { 0 };
                prop_assert!(*times <= RESENDS);
                tail.sent(group * GROUP, (group + 1) * GROUP, OFFER * GROUP);
                prop_assert!(tail.run_count() <= TAIL_RUNS);
            }
            end = end.max(start + groups);
        }
    }
}

#[test]
fn d8_a_few_losses_are_remembered_to_the_group() {
    let mut tail = Tail::new(BlobHash([7; 32]));
    tail.sent(0, 64 * GROUP, OFFER * GROUP);
    for lost in [60, 40, 20] {
        tail.sent(lost * GROUP, (lost + 1) * GROUP, OFFER * GROUP);
    }
    assert_eq!(tail.run_count(), 7);
    assert_eq!(tail.resendable(20 * GROUP), Some(21 * GROUP));
    tail.sent(20 * GROUP, 21 * GROUP, OFFER * GROUP);
    assert_eq!(tail.resendable(20 * GROUP), None, "twice is enough");
    assert_eq!(tail.resendable(21 * GROUP), Some(40 * GROUP));
}
