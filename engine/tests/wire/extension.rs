//! Newer versions may append; older ones ignore what they don't know (W2).

use decdn_engine::wire::{ClientMessage, Message, StreamRequest};
use proptest::{collection::vec, prelude::*};

use super::{Found, MESSAGE_BYTES, decode, decode_one, frame, message, request, voucher};

/// The body of a message, without its length.
fn body(message: &Message) -> Vec<u8> {
    let frame = frame(message);
    let length = frame.iter().position(|byte| byte & 0x80 == 0).expect("a length ends") + 1;
    frame[length..].to_vec()
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = leb128(body.len() as u64);
    frame.extend(body);
    frame
}

/// A second implementation of LEB128.
pub fn leb128(value: u64) -> Vec<u8> {
    let groups = (1..=10).find(|groups| value.checked_shr(7 * groups).unwrap_or(0) == 0).expect("64 bits");
    (0..groups).map(|i| (value >> (7 * i)) as u8 & 0x7f | if i + 1 < groups { 0x80 } else { 0 }).collect()
}

proptest! {
    #[test]
    fn w2_what_follows_known_fields_is_ignored(message in message(), unknown in vec(any::<u8>(), 1..200)) {
        let mut longer = body(&message);
        // A request without its extension has to say so before anything newer can follow.
        if let Message::Client(ClientMessage::StreamRequest(StreamRequest { newest: None, .. })) = message {
            longer.push(0);
        }
        longer.extend(unknown);
        prop_assert_eq!(decode_one(&framed(&longer)), Some(message));
    }

    #[test]
    fn w2_what_follows_a_chunks_content_is_ignored(
        content in vec(any::<u8>(), 1..300),
        unknown in vec(any::<u8>(), 0..=MESSAGE_BYTES),
        next in message(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut chunk = vec![2];
        chunk.extend(leb128(content.len() as u64));
        chunk.extend(&content);
        chunk.extend(unknown);
        let mut bytes = framed(&chunk);
        bytes.extend(frame(&next));
        let cut = cut.index(bytes.len() + 1);
        prop_assert_eq!(decode(&bytes, &[cut]), (vec![Found::Content(content), Found::Message(next)], Ok(true)));
    }

    #[test]
    fn w2_a_missing_extension_is_none(request in request()) {
        let without = StreamRequest { newest: None, ..request };
        let base = body(&Message::Client(ClientMessage::StreamRequest(without)));
        prop_assert_eq!(decode_one(&framed(&base)), Some(Message::Client(ClientMessage::StreamRequest(without))));
        prop_assert!(body(&Message::Client(ClientMessage::StreamRequest(request))).starts_with(&base), "the base fields stay where they are");
    }

    #[test]
    fn w1_a_message_cut_short_inside_its_fields_is_malformed(
        message in message(),
        newest in voucher(),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut whole = message;
        let mut base = 0;
        if let Message::Client(ClientMessage::StreamRequest(request)) = &mut whole {
            request.newest = None;
            base = body(&Message::Client(ClientMessage::StreamRequest(*request))).len();
            request.newest = Some(newest);
        }
        let whole = body(&whole);
        let keep = keep.index(whole.len());
        prop_assume!(keep > 0 && keep != base);
        prop_assert_eq!(decode_one(&framed(&whole[..keep])), None);
    }
}
