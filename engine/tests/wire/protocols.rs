//! Each ALPN is a protocol of its own: its name, its caps, its messages (W1, W2, W3).

use decdn_engine::{
    limits::FRAME_BYTES,
    wire::{
        Protocol,
        frame::{Decoder, FrameFault},
    },
};
use proptest::{collection::vec, prelude::*};

use super::{Found, decode_by, decoder_for, extension::leb128, frame, message, probe};

/// Any byte after a length.
fn after(protocol: Protocol, length: usize) -> Result<bool, FrameFault> {
    let mut bytes = leb128(length as u64);
    // A tag that every protocol knows.
    bytes.push(0);
    decode_by(Decoder::new(protocol), &bytes, &[]).1
}

#[test]
fn w2_w3_names_and_stream_caps_are_the_specified_ones() {
    let specified = [("cdn/client/v1", 100), ("cdn/probe/v1", 1)];
    for (protocol, (alpn, streams)) in Protocol::ALL.into_iter().zip(specified) {
        assert_eq!((protocol.alpn(), protocol.streams()), (alpn.as_bytes(), streams));
        assert_eq!(Protocol::from_alpn(alpn.as_bytes()), Some(protocol));
    }
    for unknown in ["", "cdn/client", "cdn/client/v2", "cdn/probe/v1 "] {
        assert_eq!(Protocol::from_alpn(unknown.as_bytes()), None, "{unknown:?}");
    }
}

#[test]
fn w1_each_protocol_keeps_its_caps() {
    for protocol in Protocol::ALL {
        assert!(protocol.message_bytes() <= protocol.frame_bytes() && protocol.frame_bytes() <= FRAME_BYTES);
        assert_eq!(after(protocol, protocol.message_bytes()), Ok(false));
        assert_eq!(after(protocol, protocol.message_bytes() + 1), Err(FrameFault::TooLarge));
        let whole = decode_by(Decoder::new(protocol), &leb128(protocol.frame_bytes() as u64), &[]).1;
        assert_eq!(whole, Ok(false));
        let above = decode_by(Decoder::new(protocol), &leb128(protocol.frame_bytes() as u64 + 1), &[]).1;
        assert_eq!(above, Err(FrameFault::TooLarge), "at the length, before anything of the body");
    }
}

proptest! {
    #[test]
    fn w2_what_a_decoder_finds_is_of_its_protocol(bytes in vec(prop_oneof![0..16_u8, any::<u8>()], 0..400)) {
        for protocol in Protocol::ALL {
            for found in decode_by(Decoder::new(protocol), &bytes, &[]).0 {
                if let Found::Message(message) = found {
                    prop_assert_eq!(message.protocol(), protocol);
                }
            }
        }
    }

    #[test]
    fn w2_a_message_knows_its_protocol(message in prop_oneof![message(), probe()]) {
        let sent = frame(&message);
        let other = Protocol::ALL.into_iter().filter(|protocol| *protocol != message.protocol());
        prop_assert_eq!(decode_by(decoder_for(&message), &sent, &[]).0, [Found::Message(message)]);
        for protocol in other {
            let found = decode_by(Decoder::new(protocol), &sent, &[]).0;
            prop_assert!(!found.contains(&Found::Message(message)));
        }
    }
}
