//! Money is exact to the base unit over any split into groups and streams (D5), and both ends of a channel agree
//! on which bytes an amount pays for (D8).

use decdn_engine::{
    delivery::Meter,
    money::{Amount, MB, Rate},
};
use proptest::{collection::vec, prelude::*};

const UNITS: u128 = MB as u128;

fn rate() -> impl Strategy<Value = u64> {
    prop_oneof![1..50_u64, 1..=u64::MAX, Just(MB), Just(MB - 1), Just(MB + 1), Just(u64::MAX)]
}

fn bytes() -> impl Strategy<Value = u64> {
    prop_oneof![1..40_u64, 1..1_u64 << 40, (1..1000_u64).prop_map(|groups| groups << 14)]
}

/// A channel that had streams at other rates before, each paid when the next one came.
fn used() -> impl Strategy<Value = Meter> {
    (vec((rate(), bytes()), 0..4), rate()).prop_map(|(before, rate)| {
        let mut meter = Meter::new();
        for (rate, bytes) in before {
            meter.set_rate(Rate(rate));
            meter.add(bytes);
        }
        // Zero first, so that a last rate that comes again starts a new count.
        meter.set_rate(Rate(0));
        meter.set_rate(Rate(rate));
        meter
    })
}

/// Bytes counted at the present rate.
fn counted(meter: &Meter) -> u64 {
    meter.unpaid(Amount::ZERO)
}

fn with(meter: Meter, bytes: u64) -> Meter {
    let mut meter = meter;
    meter.add(bytes);
    meter
}

proptest! {
    #[test]
    fn d5_a_channel_is_rounded_up_once_whatever_its_streams(streams in vec((rate(), vec(bytes(), 1..6)), 1..6)) {
        let mut meter = Meter::new();
        let mut exact = 0_u128;
        for (rate, groups) in streams {
            meter.set_rate(Rate(rate));
            for bytes in groups {
                let expected = with(meter, bytes).owed();
                prop_assert_eq!(meter.owed_with(bytes), expected);
                meter.add(bytes);
                exact += u128::from(bytes) * u128::from(rate);
                prop_assert_eq!(meter.owed_raw(), exact);
                let rounding = meter.owed().0 * UNITS - exact;
                prop_assert!(rounding < UNITS, "less than one base unit too much, and never too little");
            }
        }
    }

    #[test]
    fn d5_owed_is_the_same_over_any_split(start in used(), total in bytes(), cuts in vec(any::<prop::sample::Index>(), 0..8)) {
        let mut cuts: Vec<u64> =
            cuts.iter().map(|cut| cut.index(total as usize + 1) as u64).chain([0, total]).collect();
        cuts.sort_unstable();
        let mut split = start;
        for piece in cuts.windows(2) {
            // A new stream at the same rate changes nothing.
            split.set_rate(start.rate());
            split.add(piece[1] - piece[0]);
        }
        prop_assert_eq!(split, with(start, total));
    }

    #[test]
    fn d8_an_amount_pays_for_as_many_bytes_as_it_covers(start in used(), more in 0..1_u128 << 60) {
        // What was owed when the rate changed is paid (D5).
        let paid = Amount(start.owed().0 + more);
        let covered = start.bytes_paid(paid);
        prop_assume!(covered < u64::MAX);
        prop_assert!(with(start, covered).owed() <= paid);
        prop_assert!(with(start, covered + 1).owed() > paid);
    }

    #[test]
    fn d8_whoever_pays_what_is_owed_owes_no_byte(start in used(), bytes in bytes()) {
        let meter = with(start, bytes);
        prop_assert_eq!(meter.unpaid(meter.owed()), 0);
        if let Some(less) = meter.owed().0.checked_sub(1).filter(|&less| less >= start.owed().0) {
            prop_assert!(meter.unpaid(Amount(less)) > 0, "a base unit less leaves a byte unpaid");
        }
    }

    #[test]
    fn d8_room_fills_the_offer_and_no_byte_more(
        start in used(),
        sent in bytes(),
        share in 0..=100_u128,
        offer in (4..1000_u64).prop_map(|groups| groups << 14),
    ) {
        let meter = with(start, sent);
        let paid = Amount(start.owed().0 + (meter.owed().0 - start.owed().0) * share / 100);
        let room = meter.room(paid, offer);
        if room == 0 {
            prop_assert!(meter.unpaid(paid) >= offer);
        } else {
            prop_assert_eq!(with(meter, room).unpaid(paid), offer);
            prop_assert_eq!(with(meter, room).room(paid, offer), 0);
        }
    }

    #[test]
    fn d8_a_restart_takes_the_fewest_bytes_that_the_amount_was_signed_for(
        start in used(),
        sent in 0..200_u64,
        signed in 0..200_u64,
        below in 0..3_u128,
    ) {
        // At rates above one base unit a byte, amounts between those of two bytes count as the later one.
        let paid = Amount((with(start, signed).owed().0).saturating_sub(below).max(start.owed().0));
        let fewest = (0..=signed).find(|&bytes| with(start, bytes).owed() >= paid);
        let fewest = fewest.expect("it was signed for no more than that");

        let mut raised = with(start, sent);
        raised.raise_to(paid);
        prop_assert_eq!(raised, with(start, sent.max(fewest)));

        let mut lowered = with(start, sent);
        lowered.lower_to(paid);
        prop_assert_eq!(lowered, with(start, sent.min(fewest)));
    }

    #[test]
    fn d8_raising_brings_what_is_owed_up_to_the_amount(start in used(), sent in bytes(), paid in 0..1_u128 << 80) {
        let mut meter = with(start, sent);
        meter.raise_to(Amount(paid));
        prop_assume!(counted(&meter) < u64::MAX);
        prop_assert!(meter.owed() >= Amount(paid));
        prop_assert!(counted(&meter) >= sent);
        if counted(&meter) > sent {
            prop_assert!(with(start, counted(&meter) - 1).owed() < Amount(paid), "not one byte too many");
        }
    }

    #[test]
    fn no_number_overflows(rates in any::<[u64; 2]>(), bytes in any::<[u64; 3]>(), paid in any::<[u128; 2]>()) {
        let mut meter = Meter::new();
        for ((rate, bytes), paid) in rates.into_iter().zip(bytes).zip(paid.map(Amount)) {
            meter.raise_to(paid);
            meter.set_rate(Rate(rate));
            meter.add(bytes);
            prop_assert!(meter.owed_with(bytes) >= meter.owed());
            prop_assert!(meter.unpaid(paid) <= counted(&meter));
            meter.room(paid, bytes);
            let before = meter;
            meter.raise_to(paid);
            prop_assert!(meter.owed() >= before.owed());
            let before = meter;
            meter.lower_to(paid);
            prop_assert!(meter.owed_raw() <= before.owed_raw());
        }
    }
}

#[test]
fn d6_ten_gib_at_ten_mb_is_1024_vouchers_of_ten_mb_each() {
    let (rate, interval, total) = (Rate(7), 10 * MB, 10 * 1024 * MB);
    let mut meter = Meter::new();
    meter.set_rate(rate);
    let (mut vouchers, mut paid) = (0, Amount::ZERO);
    for _ in 0..total / (16 << 10) {
        meter.add(16 << 10);
        if meter.unpaid(paid) >= interval {
            paid = meter.owed();
            vouchers += 1;
        }
    }
    assert_eq!((vouchers, paid, meter.unpaid(paid)), (1024, Amount(7 * 10 * 1024), 0));
}
