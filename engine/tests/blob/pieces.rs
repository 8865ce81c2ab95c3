//! Cutting changes nothing: neither where a sender stops nor where the transport cuts.

use decdn_engine::{
    blob::{Outboard, Part},
    limits::{CHUNK_BYTES, GROUP},
};
use proptest::prelude::*;

use super::{Heard, ranged};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn d4_any_cutting_of_the_input_gives_the_same_content(
        case in ranged(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let encoding = case.encoding();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(encoding.len() + 1)).collect();
        cuts.sort_unstable();
        let hash = Outboard::of(&case.content()).root();
        let whole = Heard::listen(&mut case.verifier(hash), &encoding, &[]);
        let mut verifier = case.verifier(hash);
        prop_assert!(Heard::listen(&mut verifier, &encoding, &cuts) == whole);
        prop_assert!(verifier.is_complete());
    }

    #[test]
    fn d8_a_range_sent_in_pieces_is_the_range_sent_at_once(
        case in ranged(),
        stops in prop::collection::vec(0..20_u64, 0..8),
    ) {
        let mut pieces = case.encoder();
        let mut parts = Vec::new();
        let mut stops: Vec<_> = stops.iter().map(|stop| stop * GROUP).collect();
        stops.sort_unstable();
        for until in stops.into_iter().chain([pieces.range().end()]) {
            while let Some(part) = pieces.next_until(until) {
                parts.push(part);
            }
            prop_assert!(pieces.position() >= until.min(pieces.range().end()));
            let stands_after_a_group = parts.last().is_none_or(|part| matches!(part, Part::Content { .. }));
            prop_assert!(stands_after_a_group);
        }
        prop_assert!(pieces.is_complete());
        prop_assert_eq!(parts, case.encoder().collect::<Vec<_>>());
    }

    #[test]
    fn a_chunk_holds_whole_groups_and_stays_below_its_cap(
        case in ranged(),
        until in any::<prop::sample::Index>(),
        bytes_max in prop_oneof![Just(CHUNK_BYTES as u64), 0..5 * GROUP],
    ) {
        let mut encoder = case.encoder();
        let until = case.offset + until.index(case.size - case.offset as usize) as u64 + 1;
        while let Some((bytes, end)) = encoder.chunk(until, bytes_max) {
            prop_assert!(end > encoder.position() && end <= encoder.range().end());
            let groups = (end - encoder.position()).div_ceil(GROUP);
            prop_assert!(bytes <= bytes_max || groups == 1);
            let parts: Vec<_> = std::iter::from_fn(|| encoder.next_until(end)).collect();
            prop_assert_eq!(parts.iter().map(Part::len_bytes).sum::<u64>(), bytes);
            prop_assert_eq!(encoder.position(), end);
        }
        prop_assert!(encoder.position() >= until.min(encoder.range().end()));
    }

    #[test]
    fn a_chunk_may_end_only_after_a_group(case in ranged()) {
        let mut verifier = case.verifier(Outboard::of(&case.content()).root());
        let mut heard = Heard::default();
        prop_assert!(verifier.is_at_boundary());
        for (_, bytes) in case.parts() {
            let before = heard.good_bytes;
            let (front, back) = bytes.split_at(bytes.len() / 2);
            heard.push(&mut verifier, front);
            prop_assert!(front.is_empty() || !verifier.is_at_boundary());
            heard.push(&mut verifier, back);
            prop_assert_eq!(verifier.is_at_boundary(), heard.good_bytes > before);
        }
        prop_assert!(verifier.is_complete());
    }
}
