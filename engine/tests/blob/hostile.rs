//! What a lying or broken sender can put on a stream, and that nothing of it counts (D4).

use decdn_engine::{
    blob::{Outboard, RangeFault, Verifier, empty_hash},
    ids::BlobHash,
    limits::{BLOB_BYTES_MAX, GROUP},
};
use proptest::prelude::*;

use super::{Case, Heard, content, ranged};

fn hash(case: Case) -> BlobHash {
    Outboard::of(&case.content()).root()
}

/// Flips one bit of part `part` and demands that everything before it, and nothing after it, came through.
fn flip(case: Case, part: usize, byte: usize, bit: u8, cuts: &[usize]) {
    let mut parts = case.parts();
    let (affected, bytes) = &mut parts[part];
    let affected = *affected;
    let byte = byte % bytes.len();
    bytes[byte] ^= 1 << bit;
    let encoding: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let mut verifier = case.verifier(hash(case));
    let heard = Heard::listen(&mut verifier, &encoding, cuts);
    assert_eq!(heard.bad, [affected], "found once, at the first group that it affects");
    assert_eq!(case.offset + heard.good_bytes, affected, "all groups before it were delivered");
    assert!(heard.content == case.content()[case.offset as usize..affected as usize]);
    assert!(!verifier.is_complete() && !verifier.is_at_boundary());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn d4_any_flipped_bit_is_found_before_its_group_gets_through(
        case in ranged(),
        part in any::<prop::sample::Index>(),
        byte in any::<prop::sample::Index>(),
        bit in 0..8_u8,
        cut in any::<prop::sample::Index>(),
    ) {
        let parts = case.parts();
        let part = part.index(parts.len());
        let length: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        flip(case, part, byte.index(parts[part].1.len()), bit, &[cut.index(length + 1)]);
    }

    #[test]
    fn d4_another_blobs_hash_gets_nothing_through(case in ranged(), bit in 0..256_usize) {
        let mut hash = hash(case);
        hash.0[bit / 8] ^= 1 << (bit % 8);
        let heard = Heard::listen(&mut case.verifier(hash), &case.encoding(), &[]);
        prop_assert_eq!(heard, Heard { bad: vec![case.offset], ..Heard::default() });
    }

    #[test]
    fn d4_a_wrong_size_is_found_by_the_last_group(
        size in 1..20 * GROUP as usize,
        claimed in 1..20 * GROUP as usize,
    ) {
        prop_assume!(size != claimed);
        let honest = Case::whole(size);
        let claim = Case::whole(claimed);
        // The liar sends what the claimed shape asks for, as far as it has it.
        let content = honest.content();
        let outboard = Outboard::of(&content);
        let encoding: Vec<u8> = claim
            .encoder()
            .flat_map(|part| match part {
                decdn_engine::blob::Part::Proof(node) => outboard.pair(node).map_or(vec![0; 64], |pair| pair.to_vec()),
                decdn_engine::blob::Part::Content { offset, bytes } => {
                    let have = content.get(offset as usize..).unwrap_or_default();
                    let mut group = have[..have.len().min(bytes as usize)].to_vec();
                    group.resize(bytes as usize, 0);
                    group
                }
            })
            .collect();
        let mut verifier = claim.verifier(outboard.root());
        let heard = Heard::listen(&mut verifier, &encoding, &[]);
        prop_assert_eq!(heard.bad.len(), 1);
        prop_assert!(!verifier.is_complete());
        prop_assert!(content.starts_with(&heard.content), "what got through is the blob's");
        prop_assert!((heard.content.len() as u64) < claimed as u64);
    }

    #[test]
    fn d4_a_truncated_encoding_is_never_complete(case in ranged(), keep in any::<prop::sample::Index>()) {
        let encoding = case.encoding();
        let mut verifier = case.verifier(hash(case));
        let heard = Heard::listen(&mut verifier, &encoding[..keep.index(encoding.len())], &[]);
        prop_assert!(heard.bad.is_empty() && !verifier.is_complete());
        prop_assert!(heard.good_bytes < verifier.range().bytes());
    }

    #[test]
    fn d4_surplus_after_the_range_is_a_fault(
        case in ranged(),
        surplus in prop::collection::vec(any::<u8>(), 1..100),
        together in any::<bool>(),
    ) {
        let mut encoding = case.encoding();
        let length = encoding.len();
        encoding.extend(surplus);
        let mut verifier = case.verifier(hash(case));
        let heard = Heard::listen(&mut verifier, &encoding, if together { &[] } else { std::slice::from_ref(&length) });
        let end = verifier.range().end();
        prop_assert_eq!(heard.bad, [end]);
        prop_assert_eq!(heard.good_bytes, verifier.range().bytes());
        prop_assert!(!verifier.is_complete());
    }

    #[test]
    fn d4_arbitrary_bytes_neither_panic_nor_get_through(
        total in prop_oneof![1..100 * GROUP, Just(BLOB_BYTES_MAX), 1..=BLOB_BYTES_MAX],
        group in any::<u64>(),
        bytes in any::<u64>(),
        input in prop::collection::vec(any::<u8>(), 0..40_000),
        cut in any::<prop::sample::Index>(),
    ) {
        let offset = group % total.div_ceil(GROUP) * GROUP;
        let bytes = bytes % (total - offset) + 1;
        let mut verifier = Verifier::new(BlobHash([7; 32]), total, offset, bytes).expect("inside");
        let cut = cut.index(input.len() + 1);
        let heard = Heard::listen(&mut verifier, &input, &[cut]);
        prop_assert_eq!(heard.good_bytes, 0);
        prop_assert!(!verifier.is_complete());
    }
}

#[test]
fn d4_every_byte_of_every_proof_counts() {
    let case = Case { size: 7 * GROUP as usize + 9, offset: 2 * GROUP, bytes: 4 * GROUP };
    for (part, (_, bytes)) in case.parts().iter().enumerate() {
        let step = if bytes.len() == 64 { 1 } else { 1_021 };
        for byte in (0..bytes.len()).step_by(step) {
            flip(case, part, byte, (byte % 8) as u8, &[]);
        }
    }
}

#[test]
fn d4_swapped_siblings_are_found() {
    let case = Case::whole(2 * GROUP as usize);
    let mut parts = case.parts();
    parts.swap(1, 2);
    let encoding: Vec<u8> = parts.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let heard = Heard::listen(&mut case.verifier(hash(case)), &encoding, &[]);
    assert_eq!(heard, Heard { bad: vec![0], ..Heard::default() });
}

#[test]
fn d4_the_empty_blob_is_complete_at_once_and_nothing_else_may_claim_to_be_it() {
    let mut honest = Verifier::new(empty_hash(), 0, 0, 0).expect("the empty range of the empty blob");
    assert!(honest.is_complete() && honest.is_at_boundary());
    assert_eq!(Heard::listen(&mut honest, &[], &[]), Heard::default());
    assert_eq!(Heard::listen(&mut honest, &[1], &[]).bad, [0]);

    let mut lie =
        Verifier::new(Outboard::of(&content(5)).root(), 0, 0, 0).expect("a size is not checked yet");
    assert!(!lie.is_complete());
    assert_eq!(Heard::listen(&mut lie, &[], &[]).bad, [0]);
    assert_eq!(Heard::listen(&mut lie, &[], &[]).bad, [0; 0], "once");
}

#[test]
fn d5_a_range_off_the_grid_or_outside_is_refused() {
    let hash = BlobHash([7; 32]);
    for (total, offset, bytes, fault) in [
        (3 * GROUP, GROUP + 1, 1, RangeFault::OffGrid),
        (3 * GROUP, GROUP, 2 * GROUP + 1, RangeFault::Outside),
        (3 * GROUP, 0, 0, RangeFault::Empty),
        (u64::MAX, 0, 1, RangeFault::TooLarge),
    ] {
        assert_eq!(Verifier::new(hash, total, offset, bytes).err(), Some(fault));
    }
}

#[test]
fn an_outboard_of_the_wrong_length_is_refused() {
    let outboard = Outboard::of(&content(40_000));
    let pairs = outboard.as_bytes().to_vec();
    let read = |total, pairs| Outboard::from_bytes(outboard.root(), total, pairs);
    assert_eq!(read(40_000, pairs.clone()).as_ref(), Ok(&outboard));
    assert_eq!(read(40_000, pairs[1..].to_vec()).unwrap_err().expected, Some(128));
    assert_eq!(read(60_000, pairs.clone()).unwrap_err().expected, Some(192));
    assert_eq!(read(u64::MAX, pairs).unwrap_err().expected, None);
}
