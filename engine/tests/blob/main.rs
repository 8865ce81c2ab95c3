//! Range verification (D4, D5): against bao-tree, which we did not write, and against lies.

mod hostile;
mod pieces;
mod yardstick;

use decdn_engine::{
    blob::{Encoder, Outboard, Part, Verdict, Verifier},
    ids::BlobHash,
    limits::GROUP,
};
use proptest::prelude::*;

/// Content that looks random and is the same every time.
fn content(bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    blake3::Hasher::new().update(&bytes.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// Sizes around group boundaries, and any others.
fn size() -> impl Strategy<Value = usize> {
    let group = GROUP as usize;
    prop_oneof![
        2 => (0..20_usize, -1..=1_isize).prop_map(move |(n, by)| (n * group).saturating_add_signed(by)),
        1 => 0..20 * group,
        1 => 0..3_000_usize,
    ]
}

/// A blob that is not empty, and a range in it that starts on a group boundary.
fn ranged() -> impl Strategy<Value = Case> {
    size().prop_filter("a range needs content", |&size| size > 0).prop_flat_map(|size| {
        (0..(size as u64).div_ceil(GROUP), any::<prop::sample::Index>()).prop_map(move |(group, bytes)| {
            let offset = group * GROUP;
            Case { size, offset, bytes: bytes.index(size - offset as usize) as u64 + 1 }
        })
    })
}

#[derive(Clone, Copy, Debug)]
struct Case {
    size: usize,
    offset: u64,
    bytes: u64,
}

impl Case {
    fn whole(size: usize) -> Self {
        Self { size, offset: 0, bytes: size as u64 }
    }

    fn content(self) -> Vec<u8> {
        content(self.size)
    }

    fn encoder(self) -> Encoder {
        Encoder::new(self.size as u64, self.offset, self.bytes).expect("the range is inside the blob")
    }

    fn verifier(self, hash: BlobHash) -> Verifier {
        Verifier::new(hash, self.size as u64, self.offset, self.bytes).expect("the range is inside the blob")
    }

    /// The encoding's parts, each with the content offset before it.
    fn parts(self) -> Vec<(u64, Vec<u8>)> {
        let content = self.content();
        let outboard = Outboard::of(&content);
        let mut encoder = self.encoder();
        let mut parts = Vec::new();
        loop {
            let at = encoder.position();
            let Some(part) = encoder.next() else { return parts };
            parts.push((at, bytes_of(part, &outboard, &content).to_vec()));
        }
    }

    fn encoding(self) -> Vec<u8> {
        self.parts().into_iter().flat_map(|(_, bytes)| bytes).collect()
    }
}

fn bytes_of<'a>(part: Part, outboard: &'a Outboard, content: &'a [u8]) -> &'a [u8] {
    match part {
        Part::Proof(node) => outboard.pair(node).expect("the node is of this tree"),
        Part::Content { offset, bytes } => &content[offset as usize..][..bytes as usize],
    }
}

/// What a verifier let through and what it said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    content: Vec<u8>,
    first: Option<u64>,
    good_bytes: u64,
    bad: Vec<u64>,
}

impl Heard {
    /// Feeds `encoding` in pieces that end at `cuts`, and checks at each that verdicts and content agree.
    fn listen(verifier: &mut Verifier, encoding: &[u8], cuts: &[usize]) -> Self {
        let mut heard = Self::default();
        let mut from = 0;
        for &to in cuts.iter().chain([&encoding.len()]) {
            heard.push(verifier, &encoding[from..to.max(from)]);
            from = to.max(from);
        }
        heard
    }

    fn push(&mut self, verifier: &mut Verifier, input: &[u8]) {
        let mut pieces = Vec::new();
        let found = verifier.push(input, &mut |offset, bytes: &[u8]| pieces.push((offset, bytes.to_vec())));
        let before = self.good_bytes;
        for verdict in found {
            match verdict {
                Verdict::Good { offset, bytes, .. } => {
                    assert!(self.bad.is_empty(), "good after bad");
                    let first = *self.first.get_or_insert(offset);
                    assert_eq!(offset, first + self.good_bytes, "verdicts are consecutive");
                    self.good_bytes += bytes;
                }
                Verdict::Bad { offset, .. } => self.bad.push(offset),
            }
        }
        let mut at = before;
        for (offset, bytes) in pieces {
            assert_eq!(offset, self.first.expect("content without a verdict") + at);
            at += bytes.len() as u64;
            self.content.extend(bytes);
        }
        assert_eq!(at, self.good_bytes, "the sink got what was called good, and nothing else");
    }
}
