//! Our trees, outboards and encodings are bao-tree's, byte for byte, and each side decodes the other's.

use std::io::Cursor;

use bao_tree::{
    BaoTree, BlockSize, ChunkNum, ChunkRanges,
    io::{
        BaoContentItem,
        outboard::{EmptyOutboard, PreOrderMemOutboard},
        sync::{DecodeResponseIter, decode_ranges, encode_ranges, encode_ranges_validated},
    },
};
use decdn_engine::{
    blob::{GroupRange, Outboard, OutboardBuilder},
    ids::BlobHash,
};
use proptest::prelude::*;

use super::{Case, Heard, content, ranged, size};

const BLOCK: BlockSize = BlockSize::from_chunk_log(4);

fn yardstick(content: &[u8]) -> PreOrderMemOutboard {
    PreOrderMemOutboard::create(content, BLOCK)
}

/// The widened range as bao-tree names it.
fn ranges(case: Case) -> ChunkRanges {
    let range = GroupRange::new(case.size as u64, case.offset, case.bytes).expect("inside");
    ChunkRanges::from(ChunkNum::full_chunks(range.offset())..ChunkNum::chunks(range.end()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn d4_an_outboard_is_bao_trees_however_it_was_built(
        size in size(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let content = content(size);
        let theirs = yardstick(&content);
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(size + 1)).chain([0, size]).collect();
        cuts.sort_unstable();
        let mut builder = OutboardBuilder::new();
        for piece in cuts.windows(2) {
            builder.push(&content[piece[0]..piece[1]]);
        }
        let ours = builder.finish();
        prop_assert_eq!(ours.root(), BlobHash(*theirs.root.as_bytes()));
        prop_assert_eq!(ours.root(), BlobHash(*blake3::hash(&content).as_bytes()));
        prop_assert_eq!(ours.as_bytes(), &theirs.data[..]);
        prop_assert_eq!(ours.total_bytes(), size as u64);
        let read = Outboard::from_bytes(ours.root(), size as u64, theirs.data).expect("the right length");
        prop_assert_eq!(read, ours);
    }

    #[test]
    fn d4_an_encoding_is_bao_trees_byte_for_byte(case in ranged()) {
        let content = case.content();
        let outboard = yardstick(&content);
        let mut plain = Vec::new();
        encode_ranges(&content[..], &outboard, &ranges(case), &mut plain).expect("memory");
        prop_assert!(plain == case.encoding(), "the encodings differ");
        let mut validated = Vec::new();
        encode_ranges_validated(&content[..], &outboard, &ranges(case), &mut validated).expect("memory");
        prop_assert!(validated == plain);
    }

    #[test]
    fn d4_bao_tree_decodes_ours(case in ranged()) {
        let content = case.content();
        let root = *Outboard::of(&content).root().as_bytes();
        let tree = BaoTree::new(case.size as u64, BLOCK);
        let encoding = case.encoding();
        let ranges = ranges(case);
        let mut decoded = Vec::new();
        for item in DecodeResponseIter::new(root.into(), tree, Cursor::new(&encoding), &ranges) {
            if let BaoContentItem::Leaf(leaf) = item.expect("the encoding is right") {
                decoded.extend_from_slice(&leaf.data);
            }
        }
        let end = case.offset as usize + decoded.len();
        prop_assert_eq!(end as u64, case.verifier(BlobHash(root)).range().end());
        prop_assert!(decoded == content[case.offset as usize..end]);
    }

    #[test]
    fn d4_we_decode_bao_trees(case in ranged()) {
        let content = case.content();
        let theirs = yardstick(&content);
        let mut encoding = Vec::new();
        encode_ranges(&content[..], &theirs, &ranges(case), &mut encoding).expect("memory");
        let mut verifier = case.verifier(BlobHash(*theirs.root.as_bytes()));
        let heard = Heard::listen(&mut verifier, &encoding, &[]);
        prop_assert!(verifier.is_complete() && heard.bad.is_empty());
        prop_assert!(heard.content == content[case.offset as usize..][..heard.content.len()]);
        prop_assert_eq!(heard.good_bytes, verifier.range().bytes());
    }

    #[test]
    fn d4_both_find_a_flipped_bit(case in ranged(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let root = *blake3::hash(&case.content()).as_bytes();
        let mut encoding = case.encoding();
        let at = at.index(encoding.len());
        encoding[at] ^= 1 << bit;
        let tree = BaoTree::new(case.size as u64, BLOCK);
        let mut target = vec![0; case.size];
        let theirs = decode_ranges(
            Cursor::new(&encoding),
            &ranges(case),
            &mut target,
            EmptyOutboard { tree, root: root.into() },
        );
        let mut verifier = case.verifier(BlobHash(root));
        let ours = Heard::listen(&mut verifier, &encoding, &[]);
        prop_assert!(theirs.is_err());
        prop_assert_eq!(ours.bad.len(), 1);
    }
}
