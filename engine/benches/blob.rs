//! How fast content is hashed, walked and verified on one core: `cargo bench -p decdn-engine --bench blob`.
//! The figures go to `docs/performance.md`; nothing here asserts a time.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::float_arithmetic, reason = "a figure is printed")]

use std::{hint::black_box, io::Cursor, time::Instant};

use bao_tree::{
    BaoTree, BlockSize, ChunkRanges,
    io::{BaoContentItem, sync::DecodeResponseIter},
};
use decdn_engine::blob::{Encoder, Outboard, Part, Verifier};

const MIB: usize = 1 << 20;
const BYTES: usize = 256 * MIB;
const RUNS: usize = 5;

fn main() {
    let mut content = vec![0; BYTES];
    blake3::Hasher::new().update(b"throughput").finalize_xof().fill(&mut content);

    report("blake3, whole blob", || {
        black_box(blake3::hash(&content));
    });
    report("outboard", || {
        black_box(Outboard::of(&content));
    });
    let outboard = Outboard::of(&content);
    report("encode, content not copied", || {
        let mut encoding = 0;
        for part in Encoder::new(BYTES as u64, 0, BYTES as u64).expect("the whole blob") {
            encoding += match part {
                Part::Proof(node) => black_box(outboard.pair(node).expect("of this tree")).len(),
                Part::Content { offset, bytes } => {
                    black_box(&content[offset as usize..][..bytes as usize]).len()
                }
            };
        }
        black_box(encoding);
    });
    let encoding: Vec<u8> = Encoder::new(BYTES as u64, 0, BYTES as u64)
        .expect("the whole blob")
        .flat_map(|part| match part {
            Part::Proof(node) => outboard.pair(node).expect("of this tree").to_vec(),
            Part::Content { offset, bytes } => content[offset as usize..][..bytes as usize].to_vec(),
        })
        .collect();
    for piece in [encoding.len(), 256 * 1024, 64 * 1024, 16 * 1024, 1_300] {
        report(&format!("verify, pushed {piece} bytes at a time"), || {
            let mut verifier =
                Verifier::new(outboard.root(), BYTES as u64, 0, BYTES as u64).expect("the whole blob");
            for bytes in encoding.chunks(piece) {
                black_box(verifier.push(bytes, &mut |_, content: &[u8]| {
                    black_box(content);
                }));
            }
            assert!(verifier.is_complete());
        });
    }
    report("verify, bao-tree", || {
        let tree = BaoTree::new(BYTES as u64, BlockSize::from_chunk_log(4));
        let ranges = ChunkRanges::all();
        let root = (*outboard.root().as_bytes()).into();
        for item in DecodeResponseIter::new(root, tree, Cursor::new(&encoding), &ranges) {
            if let BaoContentItem::Leaf(leaf) = item.expect("the encoding is right") {
                black_box(leaf);
            }
        }
    });
}

fn report(what: &str, mut run: impl FnMut()) {
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    let gib_per_second = BYTES as f64 / (1 << 30) as f64 / seconds[RUNS / 2];
    println!("{what:<44} {gib_per_second:>8.2} GiB/s (median of {RUNS})");
}
