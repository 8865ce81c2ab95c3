//! Blobs on both rungs: as ranges whose groups are good or bad, or as bytes that are encoded into frames, cut, and
//! verified. Either way a receiver gets the same verdicts.

use std::collections::BTreeMap;

use decdn_engine::{
    blob::{Encoder, Outboard, Part, Verdict, Verifier},
    ids::BlobHash,
    wire::{
        Message, Protocol,
        frame::{self, Decoder, Piece},
    },
};

use crate::{
    net::{Content, Receive},
    scenario::PlannedBlob,
};

/// What there is to download.
#[derive(Default)]
pub struct Library {
    /// On the real rung: the blobs' bytes.
    blobs: Option<BTreeMap<BlobHash, Blob>>,
}

struct Blob {
    content: Vec<u8>,
    outboard: Outboard,
}

/// One end's view of a stream's content: what it sends, or what it checks. Only on the real rung.
#[derive(Clone, Default)]
pub struct Bytes {
    encoder: Option<Encoder>,
    receiver: Option<Box<(Decoder, Option<Verifier>)>>,
}

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Bytes")
    }
}

impl Library {
    /// Symbols: a blob's hash follows from its place in the scenario.
    pub fn symbols(planned: &[PlannedBlob]) -> (Self, Vec<BlobHash>) {
        let hash = |blob: &PlannedBlob| {
            BlobHash(blake3::derive_key("decdn-sim 2026 blob", &blob.number.to_le_bytes()))
        };
        (Self::default(), planned.iter().map(hash).collect())
    }

    /// Bytes: a blob's content follows from its place in the scenario.
    pub fn bytes(planned: &[PlannedBlob]) -> (Self, Vec<BlobHash>) {
        let mut blobs = BTreeMap::new();
        let mut hashes = Vec::new();
        for blob in planned {
            let content = fill(blob);
            let outboard = Outboard::of(&content);
            hashes.push(outboard.root());
            blobs.insert(outboard.root(), Blob { content, outboard });
        }
        (Self { blobs: Some(blobs) }, hashes)
    }

    /// Whether frames and bytes are real.
    pub fn is_real(&self) -> bool {
        self.blobs.is_some()
    }

    /// Checks a piece against what was agreed: at most one range that is good, then at most one group that is not.
    pub fn check(
        &self,
        receive: &mut Receive,
        asked: (u64, u64),
        ends: [&mut Bytes; 2],
        content: &Content,
    ) -> [Option<Verdict>; 2] {
        match &self.blobs {
            None => symbolic(receive, content),
            Some(blobs) => {
                let encoded = blobs.get(&content.hash).map(|blob| encode(blob, asked, ends[0], content));
                verify(receive, ends[1], &encoded.unwrap_or_default())
            }
        }
    }
}

/// The ideal rung: what a verifier would say.
#[expect(clippy::disallowed_methods, reason = "this is the ideal rung")]
fn symbolic(receive: &mut Receive, content: &Content) -> [Option<Verdict>; 2] {
    let first = receive.next;
    if first == u64::MAX {
        return [None, None];
    }
    let is_right = content.hash == receive.hash && content.offset == first && first < receive.until;
    let good_until = if is_right { content.corrupt.unwrap_or(content.offset + content.bytes) } else { first };
    let good = good_until.min(receive.until).saturating_sub(first);
    let is_bad = !is_right || content.corrupt.is_some();
    receive.next = if is_bad { u64::MAX } else { first + good };
    [(good > 0).then(|| Verdict::good(first, good)), is_bad.then(|| Verdict::bad(first + good))]
}

/// A piece as it goes over the wire: the next part of the stream's one encoding, in a chunk.
fn encode(blob: &Blob, (offset, len): (u64, u64), sender: &mut Bytes, content: &Content) -> Vec<u8> {
    let total = blob.outboard.total_bytes();
    // A request may name more than there is: what is served ends with the blob.
    let left = total.saturating_sub(offset);
    let bytes = if len == 0 { left } else { len.min(left) };
    if sender.encoder.as_ref().is_none_or(|encoder| encoder.position() != content.offset) {
        // The first piece, or a sender that does not keep to its own encoding.
        let range = if offset == content.offset { (offset, bytes) } else { (content.offset, content.bytes) };
        sender.encoder = Encoder::new(total, range.0, range.1).ok();
    }
    let Some(encoder) = &mut sender.encoder else { return Vec::new() };
    let mut encoding = Vec::with_capacity(content.bytes as usize + 4_096);
    while let Some(part) = encoder.next_until(content.offset + content.bytes) {
        match part {
            Part::Proof(parent) => encoding.extend(blob.outboard.pair(parent).into_iter().flatten()),
            Part::Content { offset, bytes } => {
                let at = encoding.len();
                encoding.extend_from_slice(&blob.content[offset as usize..(offset + bytes) as usize]);
                if content.corrupt == Some(offset) {
                    encoding[at] ^= 1;
                }
            }
        }
    }
    if encoding.is_empty() {
        return encoding;
    }
    let mut framed = Vec::with_capacity(encoding.len() + 16);
    frame::encode_chunk_header(encoding.len(), &mut framed);
    framed.append(&mut encoding);
    framed
}

fn verify(receive: &mut Receive, receiver: &mut Bytes, mut framed: &[u8]) -> [Option<Verdict>; 2] {
    let state = receiver.receiver.get_or_insert_with(|| {
        let Receive { hash, total_bytes, next, until, .. } = *receive;
        let verifier = Verifier::new(hash, total_bytes, next, until.saturating_sub(next)).ok();
        Box::new((Decoder::new(Protocol::Client), verifier))
    });
    let (decoder, Some(verifier)) = &mut **state else { return [None, None] };
    let mut found = [None, None];
    while let Ok(Some(piece)) = decoder.next(&mut framed) {
        let Piece::Chunk { bytes, .. } = piece else { break };
        let verdicts = verifier.push(bytes, &mut |_, _| {});
        found = [verdicts.good, verdicts.bad];
    }
    if let Some(Verdict::Good { offset, bytes, .. }) = found[0] {
        receive.next = offset + bytes;
    }
    found
}

/// Content that has no two equal groups, made as fast as memory takes it.
fn fill(blob: &PlannedBlob) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ u64::from(blob.number);
    let words = blob.bytes.div_ceil(8);
    let mut content = Vec::with_capacity(words as usize * 8);
    for _ in 0..words {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend_from_slice(&state.to_le_bytes());
    }
    content.truncate(blob.bytes as usize);
    content
}

/// A message through its frame and back, as the wire would have it; `None` where it does not survive.
pub fn through_frame(message: &Message) -> Option<Message> {
    let mut bytes = Vec::new();
    frame::encode(message, &mut bytes);
    match Decoder::new(message.protocol()).next(&mut bytes.as_slice()) {
        Ok(Some(Piece::Message(message))) => Some(message),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use decdn_engine::ids::FetchId;

    use super::*;

    /// What a receiver finds in the whole of what is left behind `offset`, of which the request asked for `len`.
    fn found(library: &Library, hash: BlobHash, total: u64, offset: u64, len: u64) -> [Option<Verdict>; 2] {
        let mut receive = Receive { fetch: FetchId(0), hash, total_bytes: total, next: offset, until: total };
        let content = Content { hash, offset, bytes: total - offset, corrupt: None, last: true };
        let (mut sender, mut receiver) = (Bytes::default(), Bytes::default());
        library.check(&mut receive, (offset, len), [&mut sender, &mut receiver], &content)
    }

    #[test]
    fn o13_a_request_for_more_than_there_is_gets_the_rest_on_both_rungs() {
        let total = 17 * 16_384 + 12_434;
        let planned = [PlannedBlob { bytes: total, number: 3 }];
        for (library, hashes) in [Library::symbols(&planned), Library::bytes(&planned)] {
            for offset in [0, 16_384, 17 * 16_384] {
                for len in [0, total - offset, total - offset + 1, 49_152 * 16] {
                    let [good, bad] = found(&library, hashes[0], total, offset, len);
                    let Some(Verdict::Good { offset: from, bytes, .. }) = good else {
                        panic!("real {}: nothing good of {len} from {offset}", library.is_real())
                    };
                    assert_eq!((from, bytes, bad), (offset, total - offset, None));
                }
            }
        }
    }
}
