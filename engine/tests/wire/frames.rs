//! Frames under any cutting, at their caps, and under bytes that are none (W1).

use decdn_engine::{
    limits::FRAME_BYTES,
    wire::{
        ClientMessage, Message, Protocol,
        frame::{Decoder, FrameFault, Piece, encode_chunk_header},
    },
};
use proptest::{collection::vec, prelude::*};

use super::{
    Found, MESSAGE_BYTES, decode, decode_by, decode_one, decoder_for, extension::leb128, frame, message,
    one_by, probe,
};

fn found() -> impl Strategy<Value = Found> {
    prop_oneof![message().prop_map(Found::Message), vec(any::<u8>(), 1..2_000).prop_map(Found::Content),]
}

fn bytes_of(found: &[Found]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in found {
        match item {
            Found::Message(message) => bytes.extend(frame(message)),
            Found::Content(content) => {
                encode_chunk_header(content.len(), &mut bytes);
                bytes.extend(content);
            }
        }
    }
    bytes
}

fn sorted(cuts: &[prop::sample::Index], len: usize) -> Vec<usize> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(len + 1)).collect();
    cuts.sort_unstable();
    cuts
}

proptest! {
    #[test]
    fn w1_a_message_survives_its_frame_and_its_length_is_known(message in message()) {
        let frame = frame(&message);
        prop_assert_eq!(decode_one(&frame), Some(message));
        prop_assert_eq!(message.wire_len(), frame.len());
        prop_assert!(frame.len() <= MESSAGE_BYTES);
    }

    #[test]
    fn a_recorded_message_is_the_message(message in message()) {
        let text = serde_json::to_string(&message).expect("plain data");
        prop_assert_eq!(serde_json::from_str::<Message>(&text).ok(), Some(message), "{}", text);
        let binary = postcard::to_allocvec(&message).expect("plain data");
        prop_assert_eq!(postcard::from_bytes::<Message>(&binary).ok(), Some(message));
    }

    #[test]
    fn w1_any_cutting_gives_the_same_frames(
        sent in vec(found(), 0..6),
        cuts in vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let bytes = bytes_of(&sent);
        prop_assert_eq!(decode(&bytes, &sorted(&cuts, bytes.len())), (sent, Ok(true)));
    }

    #[test]
    fn w1_a_stream_that_ends_inside_a_frame_shows_it(sent in found(), keep in any::<prop::sample::Index>()) {
        let bytes = bytes_of(&[sent]);
        let keep = keep.index(bytes.len());
        let (found, between) = decode(&bytes[..keep], &[]);
        prop_assert_eq!((found, between), (vec![], Ok(keep == 0)));
    }

    #[test]
    fn w1_only_the_minimal_length_is_taken(length in 0..u64::from(u32::MAX) * 4, padding in 1..4_usize) {
        let minimal = leb128(length);
        let (_, taken) = decode(&minimal, &[]);
        let expected = match length {
            0 => Err(FrameFault::Malformed),
            length if length <= FRAME_BYTES as u64 => Ok(false),
            length if length <= u64::from(u32::MAX) => Err(FrameFault::TooLarge),
            _ => Err(FrameFault::Malformed),
        };
        prop_assert_eq!(taken, expected);
        let mut padded = minimal;
        *padded.last_mut().expect("a number has bytes") |= 0x80;
        padded.extend(vec![0x80; padding - 1]);
        padded.push(0);
        prop_assert_eq!(decode(&padded, &[]).1, Err(FrameFault::Malformed));
    }

    #[test]
    fn w1_arbitrary_bytes_never_panic_and_never_pile_up(
        // Bytes that often are lengths, tags and small numbers get further than random ones.
        bytes in vec(prop_oneof![0..16_u8, Just(0x80), Just(0xff), any::<u8>()], 0..4_000),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut decoder = Decoder::new(Protocol::Client);
        let mut fault = None;
        let mut from = 0;
        for to in sorted(&cuts, bytes.len()).into_iter().chain([bytes.len()]) {
            let mut input = &bytes[from..to];
            from = to;
            loop {
                let next = decoder.next(&mut input);
                prop_assert!(decoder.buffered_bytes() <= MESSAGE_BYTES);
                match next {
                    Ok(None) => break,
                    Ok(Some(_)) => prop_assert_eq!(fault, None, "nothing comes after a fault"),
                    Err(found) => {
                        prop_assert_eq!(*fault.get_or_insert(found), found, "the same for ever");
                        prop_assert_eq!(decoder.next(&mut &[][..]), Err(found), "even without input");
                        prop_assert!(!decoder.is_between_frames());
                        break;
                    }
                }
            }
        }
        prop_assert_eq!(decode(&bytes, &[]).1.err(), fault, "cutting changes no fault");
    }

    #[test]
    fn w2_probes_are_a_protocol_of_their_own(
        message in probe(),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut bytes = frame(&message);
        prop_assert_eq!(message.wire_len(), bytes.len());
        let decoder = decoder_for(&message);
        let cut = decode_by(decoder.clone(), &bytes, &sorted(&cuts, bytes.len()));
        prop_assert_eq!(cut, (vec![Found::Message(message)], Ok(true)));
        prop_assert!(decode_one(&bytes) != Some(message), "the same bytes mean something else, or nothing, on the other");
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        prop_assert!(one_by(decoder, &bytes) != Some(message), "every bit means something");
    }

    #[test]
    fn w1_a_flipped_bit_never_panics(
        message in message(),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let mut bytes = frame(&message);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let (found, Ok(true)) = decode(&bytes, &[]) {
            prop_assert!(found != [Found::Message(message)], "every bit means something");
        }
    }
}

#[test]
fn w1_caps_are_checked_before_anything_is_kept() {
    let at_cap = |length: usize, tag: u8| {
        let mut bytes = leb128(length as u64);
        bytes.push(tag);
        decode(&bytes, &[]).1
    };
    assert_eq!(at_cap(MESSAGE_BYTES, 0), Ok(false));
    assert_eq!(at_cap(MESSAGE_BYTES + 1, 0), Err(FrameFault::TooLarge), "at the tag, not at the end");
    assert_eq!(at_cap(FRAME_BYTES, 2), Ok(false), "content is not kept");
    assert_eq!(decode(&leb128(FRAME_BYTES as u64 + 1), &[]).1, Err(FrameFault::TooLarge));
}

#[test]
fn w1_the_largest_chunk_is_handed_on_as_it_comes() {
    let content = vec![7; FRAME_BYTES - 6];
    let mut header = Vec::new();
    encode_chunk_header(content.len(), &mut header);
    let mut decoder = Decoder::new(Protocol::Client);
    assert_eq!(decoder.next(&mut &header[..]), Ok(None));
    let mut total = 0;
    for mut input in content.chunks(100_000) {
        let Ok(Some(Piece::Chunk { bytes, last })) = decoder.next(&mut input) else {
            panic!("content was not handed on");
        };
        total += bytes.len();
        assert_eq!(last, total == content.len());
        assert_eq!((decoder.buffered_bytes(), input.len()), (0, 0));
    }
    assert_eq!(total, content.len());
    assert!(decoder.is_between_frames());
}

#[test]
fn w1_chunks_that_are_empty_or_longer_than_their_frame_are_malformed() {
    for body in [&[2, 0][..], &[2], &[2, 3, 7, 7], &[2, 0x81, 0, 7], &[2, 0x80]] {
        let mut bytes = vec![body.len() as u8];
        bytes.extend(body);
        bytes.push(0);
        assert_eq!(decode(&bytes, &[]), (vec![], Err(FrameFault::Malformed)), "{body:?}");
    }
    let mut bytes = leb128(3 + MESSAGE_BYTES as u64 + 1);
    bytes.extend([2, 1, 7]);
    assert_eq!(decode(&bytes, &[]).1, Err(FrameFault::TooLarge), "too much after the content");
}

#[test]
fn w1_an_unknown_tag_and_an_amount_above_128_bits_are_malformed() {
    assert_eq!(decode(&[1, 10], &[]).1, Err(FrameFault::Malformed));
    let voucher = frame(&Message::Client(ClientMessage::Voucher(decdn_engine::wire::Voucher {
        amount: decdn_engine::money::Amount::MAX,
        nonce: decdn_engine::money::Nonce(1),
        signature: decdn_engine::crypto::Signature([1; 65]),
    })));
    for high in 2..18 {
        let mut bytes = voucher.clone();
        assert_eq!(bytes[high], 0, "the upper half of the amount");
        bytes[high] = 1;
        assert_eq!(decode(&bytes, &[]).1, Err(FrameFault::Malformed));
    }
}

#[test]
fn a_decoder_does_not_show_what_it_holds() {
    let mut decoder = Decoder::new(Protocol::Client);
    assert_eq!(decoder.next(&mut &[100, 3, 0xde, 0xad, 222, 173][..]), Ok(None));
    let shown = format!("{decoder:?}").to_lowercase();
    assert!(!shown.contains("222") && !shown.contains("0xde"), "{shown}");
}

#[test]
fn w2_no_content_and_no_other_message_comes_on_a_stream_of_a_probe() {
    for tag in 2..=u8::MAX {
        let decoder = Decoder::new(Protocol::Probe);
        assert_eq!(decode_by(decoder, &[2, tag, 1], &[]).1, Err(FrameFault::Malformed), "{tag}");
    }
}
