//! Do bytes of a peer mean the same however they are cut, and does what they mean survive our own encoder (W1, W2, W4)?

use decdn_engine::wire::{
    Code, Message, Protocol,
    frame::{Decoder, FrameFault, Piece, encode, encode_chunk_header},
};

use crate::Bytes;

/// The first byte says how the rest is cut.
pub fn wire(input: &[u8]) {
    let mut input = Bytes::new(input);
    let step = usize::from(input.byte()).max(1);
    let stream = input.take(usize::MAX);
    for protocol in Protocol::ALL {
        speak(stream, step, protocol);
    }
}

/// Bytes of a stream of this protocol.
fn speak(stream: &[u8], step: usize, protocol: Protocol) {
    let decode = |bytes: &[u8], step: usize| decode(bytes, step, protocol);
    let whole = decode(stream, stream.len().max(1));
    assert_eq!(decode(stream, step), whole, "cutting every {step} bytes changes what was said");
    for message in &whole.messages {
        let mut frame = Vec::new();
        encode(message, &mut frame);
        assert_eq!(frame.len(), message.wire_len());
        let again = decode(&frame, frame.len());
        assert_eq!(again.messages, [*message], "a message changed on the way");
        assert!(again.ends_between_frames && again.fault.is_none());
    }
    // The same content as one chunk of our own.
    if !whole.content.is_empty() {
        let mut frame = Vec::new();
        encode_chunk_header(whole.content.len(), &mut frame);
        frame.extend_from_slice(&whole.content);
        let again = decode(&frame, step);
        assert!(again.content == whole.content && again.chunks == 1 && again.ends_between_frames);
    }
    // A stream may also end with a bare code.
    if let Some(code) = stream.first_chunk() {
        let code = u32::from_le_bytes(*code);
        assert_eq!(Code::from_wire(code).to_wire(), code);
    }
    if let Some(fault) = whole.fault {
        assert_ne!(fault.code(), Code::Other(fault.code().to_wire()), "W4: a frame is refused by name");
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Said {
    messages: Vec<Message>,
    content: Vec<u8>,
    chunks: usize,
    fault: Option<FrameFault>,
    ends_between_frames: bool,
}

fn decode(stream: &[u8], step: usize, protocol: Protocol) -> Said {
    let mut decoder = Decoder::new(protocol);
    let mut said = Said::default();
    for mut input in stream.chunks(step) {
        loop {
            let next = decoder.next(&mut input);
            assert!(
                decoder.buffered_bytes() <= protocol.message_bytes(),
                "W1: more is kept than a message has"
            );
            match next {
                Ok(None) => break assert!(input.is_empty(), "input is left, and nothing was found"),
                Ok(Some(_)) if said.fault.is_some() => panic!("something was found after a fault"),
                Ok(Some(Piece::Message(message))) => said.messages.push(message),
                Ok(Some(Piece::Chunk { bytes, last })) => {
                    assert!(!bytes.is_empty(), "a piece of a chunk is empty");
                    said.content.extend_from_slice(bytes);
                    said.chunks += usize::from(last);
                }
                Err(fault) => {
                    assert_eq!(*said.fault.get_or_insert(fault), fault, "a fault became another one");
                    break;
                }
            }
        }
    }
    said.ends_between_frames = decoder.is_between_frames();
    said
}
