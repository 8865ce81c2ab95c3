//! D5–D8: the window never stalls two honest sides and is never exceeded; money is exact over any split.

mod pair;

use decdn_engine::roles::Role;
use decdn_engine::{
    delivery::Window,
    ids::BlobHash,
    io::Input,
    limits::{GROUP, OFFER_GROUPS_MIN},
    money::{Amount, MB, Rate},
    time::Time,
};
use pair::{Pair, Side};
use proptest::prelude::*;

const HASH: BlobHash = BlobHash([7; 32]);

fn price(bytes: u64, rate: Rate) -> Amount {
    Amount((u128::from(bytes) * u128::from(rate.0)).div_ceil(u128::from(MB)))
}

/// Cuts a blob at group boundaries into consecutive ranges.
fn ranges(total: u64, cuts: &[u64]) -> Vec<(u64, u64)> {
    let groups = total.div_ceil(GROUP);
    let mut at: Vec<u64> = cuts.iter().map(|cut| cut % groups * GROUP).chain([0]).collect();
    at.sort_unstable();
    at.dedup();
    let ends = at.iter().skip(1).copied().chain([total]);
    at.iter().copied().zip(ends).map(|(start, end)| (start, end - start)).collect()
}

/// O5, O10: whenever a client starts again, between an opening's block and its own note of it among others, it gets and
/// pays what it ordered, once; a channel that it can't call its own pays nothing.
#[test]
fn o5_a_client_that_starts_again_at_any_step_pays_once() {
    for at in 1..200 {
        let mut pair = Pair::new(Rate(1_000), 64 * GROUP, 8 * GROUP);
        pair.client_restarts = [at].into();
        pair.add_blob(HASH, 3 * MB);
        pair.fetch(0, HASH, (0, 0), MB, Amount(1 << 60));
        assert!(pair.run(400_000), "started again at {at}: {:?} {:?}", pair.done, pair.settled());
        assert_eq!(pair.done.values().next(), Some(&Ok(3 * MB)), "started again at {at}");
        assert_eq!(pair.settled(), Some(Amount(3_000)), "started again at {at}");
    }
}

/// D17: a download fails because its node has lost the blob; when that is back it is ordered again. Wherever the client starts again,
/// each byte is bought once.
#[test]
fn d17_a_download_that_failed_is_bought_once_wherever_its_client_starts_again() {
    for at in 1..300 {
        let mut pair = Pair::new(Rate(MB), 4 * GROUP, 4 * GROUP);
        pair.client_restarts = [at].into();
        pair.has_other_terms = true;
        pair.deaths = [101].into();
        pair.add_blob(HASH, MB);
        pair.fetch(0, HASH, (0, 0), MB, Amount(1 << 60));
        let again = pair::order(0, HASH, (0, 0), 5 * GROUP, Amount(1 << 59));
        pair.script = [
            (100, Side::Node, Input::BlobGone { hash: HASH }),
            (100_000, Side::Node, Input::BlobReady { hash: HASH, bytes: MB }),
            (100_000, Side::Client, Input::Fetch(again.clone())),
        ]
        .into();
        assert!(pair.run(400_000), "started again at {at}: {:?} {:?}", pair.done, pair.settled());
        // Who starts again between the word of a failure and its record tries once more, and fails once more.
        if pair.done.values().next() == Some(&Err(())) {
            pair.script.push_back((0, Side::Client, Input::Fetch(again)));
            assert!(pair.run(800_000), "started again at {at}: {:?} {:?}", pair.done, pair.settled());
        }
        assert_eq!(pair.done.values().next(), Some(&Ok(MB)), "started again at {at}");
        assert_eq!(pair.settled(), Some(Amount(MB.into())), "started again at {at}");
        assert!(pair.failed > 0, "it never failed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// D17: other terms at any step, and a restart at any other.
    #[test]
    fn d17_other_terms_at_any_step_change_neither_content_nor_price(
        total in 1u64..3_000_000,
        amendments in prop::collection::vec((1usize..400, 1u64..1_000_000, 1u64..3), 1..4),
        client_restarts in prop::collection::vec(1usize..400, 0..2),
        deaths in prop::collection::vec(1usize..400, 0..2),
    ) {
        let rate = Rate(777);
        let mut pair = Pair::new(rate, 64 * GROUP, 8 * GROUP);
        pair.has_other_terms = true;
        let sorted = |mut when: Vec<usize>| { when.sort_unstable(); when.into() };
        pair.client_restarts = sorted(client_restarts);
        pair.deaths = sorted(deaths);
        pair.add_blob(HASH, total);
        pair.fetch(0, HASH, (0, 0), MB, Amount(1 << 60));
        let mut amendments = amendments;
        amendments.sort_unstable();
        for (at, cadence, factor) in amendments {
            let mut order = pair::order(0, HASH, (0, 0), cadence, Amount(1 << 59));
            // At, or above, what the node charges.
            order.max_rate = Rate(rate.0 * factor);
            pair.late.push_back((at, order));
        }
        prop_assert!(pair.run(400_000), "stalled: {:?} {:?}", pair.done, pair.settled());
        prop_assert_eq!(pair.done.values().next(), Some(&Ok(total)));
        prop_assert_eq!(pair.settled(), Some(price(total, rate)));
    }

    /// D6, D8: any offers, lengths, tails and streams.
    #[test]
    fn d8_window_never_stalls_and_is_never_exceeded(
        total in 1u64..6_000_000,
        cadences in prop::collection::vec(1u64..3_000_000, 1..6),
        cuts in prop::collection::vec(any::<u64>(), 0..6),
        ceiling in 1u64..200,
        rate in prop_oneof![1u64..4, 1u64..2_000_000],
        range in 1u64..80,
    ) {
        let rate = Rate(rate);
        let mut pair = Pair::new(rate, ceiling * GROUP, range * GROUP);
        pair.add_blob(HASH, total);
        let ranges = ranges(total, &cuts);
        for (i, range) in ranges.iter().enumerate() {
            pair.fetch(i as u64, HASH, *range, cadences[i % cadences.len()], Amount(1 << 60));
        }
        prop_assert!(pair.run(400_000), "stalled: {:?} {:?}", pair.done, pair.settled());
        prop_assert_eq!(pair.done.len(), ranges.len());
        let fetched: u64 = pair.done.values().map(|bytes| bytes.unwrap_or(0)).sum();
        prop_assert_eq!(fetched, total);
        prop_assert_eq!(pair.settled(), Some(price(total, rate)));
    }

    /// D8 loss and restart: connections die with content and vouchers in flight, either side starts again.
    #[test]
    fn d8_losses_and_restarts_stall_nobody_and_cost_nothing(
        total in 1u64..3_000_000,
        cadence in 1u64..1_000_000,
        rate in prop_oneof![1u64..4, 1u64..2_000_000],
        deaths in prop::collection::vec(1usize..400, 0..2),
        client_restarts in prop::collection::vec(1usize..400, 0..2),
        range in 1u64..20,
    ) {
        let rate = Rate(rate);
        let mut pair = Pair::new(rate, 64 * GROUP, range * GROUP);
        let sorted = |mut when: Vec<usize>| { when.sort_unstable(); when.into() };
        pair.deaths = sorted(deaths);
        pair.client_restarts = sorted(client_restarts);
        pair.add_blob(HASH, total);
        pair.fetch(0, HASH, (0, 0), cadence, Amount(1 << 60));
        prop_assert!(pair.run(400_000), "stalled: {:?} {:?}", pair.done, pair.settled());
        prop_assert_eq!(pair.done.values().next(), Some(&Ok(total)));
        prop_assert_eq!(pair.settled(), Some(price(total, rate)));
    }

    /// D8 restart: the node forgets what it sent beyond its best voucher; the client pays for what it has all the same.
    #[test]
    fn d8_a_node_that_starts_again_is_paid_in_full(
        total in 1u64..3_000_000,
        cadence in 1u64..1_000_000,
        rate in prop_oneof![1u64..4, 1u64..2_000_000],
        node_restarts in prop::collection::vec(1usize..400, 0..3),
        range in 1u64..20,
    ) {
        let rate = Rate(rate);
        let mut pair = Pair::new(rate, 64 * GROUP, range * GROUP);
        pair.node_restarts = node_restarts.into();
        pair.add_blob(HASH, total);
        pair.fetch(0, HASH, (0, 0), cadence, Amount(1 << 60));
        prop_assert!(pair.run(400_000), "stalled: {:?} {:?}", pair.done, pair.settled());
        prop_assert_eq!(pair.done.values().next(), Some(&Ok(total)));
        prop_assert_eq!(pair.settled(), Some(price(total, rate)));
    }

    /// O13: a digest is a function of the state alone, however often it is asked for; a clone has the same.
    #[test]
    fn o13_digests_do_not_depend_on_when_they_are_asked_for(
        total in 1u64..3_000_000,
        cadence in 1u64..1_000_000,
        cuts in prop::collection::vec(any::<u64>(), 0..4),
        steps in 1usize..300,
        death in 1usize..100,
    ) {
        let ends: Vec<_> = [false, true].into_iter().map(|is_watched| {
            let mut pair = Pair::new(Rate(777), 64 * GROUP, 8 * GROUP);
            pair.is_watched = is_watched;
            pair.deaths = [death].into();
            pair.add_blob(HASH, total);
            for (i, range) in ranges(total, &cuts).into_iter().enumerate() {
                pair.fetch(i as u64, HASH, range, cadence, Amount(1 << 60));
            }
            pair.run(steps);
            let (mut client, mut node) = (pair.client.role.clone(), pair.node.role.clone());
            (pair.client.role.digest(), pair.node.role.digest(), client.digest(), node.digest())
        }).collect();
        prop_assert_eq!(ends[0], ends[1]);
        prop_assert_eq!((ends[0].0, ends[0].1), (ends[0].2, ends[0].3));
    }

    /// D7: a wait of more than an eighth of what the full window before it took makes the client sign at half from then
    /// on; a shorter one doesn't.
    #[test]
    fn d7_a_stall_halves_the_interval_for_good_and_a_short_wait_does_not(
        took in 0u64..10_000_000,
        wait in prop_oneof![0u64..2_000_000, 0u64..10_000_000],
        groups in OFFER_GROUPS_MIN..1_000,
    ) {
        let (offer, is_stall) = (groups * GROUP, wait * 8 > took);
        let mut window = Window::default();
        window.on_start(Time(0));
        window.on_content(Time(took));
        window.on_full();
        window.on_content(Time(took + wait));
        for _ in 0..2 {
            prop_assert_eq!(window.wants_voucher(offer / 2, offer, GROUP), is_stall);
            prop_assert!(!window.wants_voucher(offer / 2 - 1, offer, GROUP), "no more often than at half");
            prop_assert!(window.wants_voucher(offer - GROUP + 1, offer, GROUP), "the node would pause");
            window.on_start(Time(took + wait));
        }
    }
}

/// D6: 10 GiB at 10 MB takes exactly 1,024 vouchers where no stall counts.
#[test]
fn d6_ten_gib_at_ten_mb_takes_1024_vouchers() {
    let total = 10 << 30;
    let mut pair = Pair::new(Rate(1_000), 16 * MB, MB);
    pair.add_blob(HASH, total);
    pair.fetch(0, HASH, (0, 0), 10 * MB, Amount(1 << 60));
    assert!(pair.run(4_000_000), "stalled: {:?}", pair.client.role);
    assert_eq!(pair.vouchers, 1_024);
    assert_eq!(pair.most_exposed, 10 * MB);
}
