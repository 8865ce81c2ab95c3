//! Can any change of an encoding, or of what is claimed about the blob, get a wrong byte past the verifier (D4)?

use decdn_engine::{
    blob::{Encoder, Outboard, Part, Verdict, Verifier},
    limits::GROUP,
};

use crate::Bytes;

/// The largest blob that is tried: enough for a lopsided tree of three levels.
const SIZE_MAX: u64 = 6 * GROUP;

/// A blob, a range, edits of the range's encoding, and how it is cut, all from `input`.
pub fn verifier(input: &[u8]) {
    let mut input = Bytes::new(input);
    let size = input.below(SIZE_MAX + 1);
    let content = content(size);
    let outboard = Outboard::of(&content);
    let offset = input.below(size.div_ceil(GROUP).max(1)) * GROUP;
    let bytes = if size == 0 { 0 } else { input.below(size - offset) + 1 };
    let claimed = if input.byte() % 8 == 1 { input.below(SIZE_MAX + 1) } else { size };
    let honest: Vec<u8> = Encoder::new(size, offset, bytes)
        .expect("the range is inside the blob")
        .flat_map(|part| match part {
            Part::Proof(node) => outboard.pair(node).expect("the node is of this tree").to_vec(),
            Part::Content { offset, bytes } => content[offset as usize..][..bytes as usize].to_vec(),
        })
        .collect();
    let step = input.below(honest.len() as u64 + 2) as usize + 1;
    let mut encoding = honest.clone();
    while !input.is_empty() {
        edit(&mut encoding, &mut input);
    }

    let Ok(mut verifier) = Verifier::new(outboard.root(), claimed, offset, bytes) else {
        assert_ne!(claimed, size, "an honest range was refused");
        return;
    };
    let end = verifier.range().end();
    let mut through = offset;
    let mut is_bad = false;
    for piece in encoding.chunks(step) {
        let before = through;
        let found = verifier.push(piece, &mut |at, group: &[u8]| {
            assert_eq!(at, through, "a group out of order");
            assert_eq!(
                group,
                &content[at as usize..][..group.len()],
                "a byte that is not the blob's got through"
            );
            through += group.len() as u64;
        });
        let mut good = 0;
        for verdict in found {
            assert!(!is_bad, "a verdict after a bad one");
            match verdict {
                Verdict::Good { offset, bytes, .. } => {
                    assert_eq!((offset, good), (before, 0));
                    good = bytes;
                }
                Verdict::Bad { offset, .. } => {
                    assert_eq!(offset, through, "the fault is at the first byte that did not get through");
                    is_bad = true;
                }
            }
        }
        assert_eq!(before + good, through, "what got through is what was called good");
    }
    if verifier.is_complete() {
        assert!(!is_bad && through == end);
        assert!(encoding == honest, "another encoding passed for the blob's");
    } else if encoding == honest && claimed == size {
        panic!("an honest encoding was not taken");
    }
}

/// Content whose bytes differ from their neighbours, so that a shift shows.
fn content(size: u64) -> Vec<u8> {
    let mut content = vec![0; size as usize];
    blake3::Hasher::new().update(b"fuzz").finalize_xof().fill(&mut content);
    content
}

fn edit(encoding: &mut Vec<u8>, input: &mut Bytes<'_>) {
    let kind = input.byte();
    let at = input.below(encoding.len() as u64 + 1) as usize;
    match kind % 5 {
        0 => {
            if let Some(byte) = encoding.get_mut(at) {
                *byte ^= 1 << (kind / 5 % 8);
            }
        }
        1 => encoding.truncate(at),
        2 => {
            encoding.splice(at..at, input.take(64).iter().copied());
        }
        3 => {
            let to = (at + input.below(GROUP + 64) as usize).min(encoding.len());
            encoding.drain(at..to);
        }
        _ => {
            let to = (at + 64).min(encoding.len());
            let copy = encoding[at..to].to_vec();
            encoding.splice(to..to, copy);
        }
    }
}
