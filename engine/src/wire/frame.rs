//! Frames: a length (LEB128 u32, minimal) and a postcard body (W1).
//!
//! The body is a tag and the message's fields. A `Chunk`'s content is handed on as it arrives, so that the
//! largest thing ever buffered is a message of at most [`MESSAGE_BYTES`].

use alloc::vec::Vec;

use serde::{Serialize, de::DeserializeOwned};

use super::{Code, Message, StreamRequest, Voucher};
use crate::limits::FRAME_BYTES;

/// The largest frame body that is not a `Chunk`.
pub const MESSAGE_BYTES: usize = 1_024;

const TAG_CHUNK: u8 = 2;

/// Why bytes are no frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FrameFault {
    /// Above a cap.
    TooLarge,
    /// A length that is not minimal, a body that is no message, an empty chunk.
    Malformed,
}

impl FrameFault {
    /// The code to refuse the stream with (W4).
    pub fn code(self) -> Code {
        match self {
            Self::TooLarge => Code::TooLarge,
            Self::Malformed => Code::Malformed,
        }
    }
}

/// What a decoder found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "matched at once")]
pub enum Piece<'a> {
    /// A whole message.
    Message(Message),
    /// Part of a chunk's content.
    Chunk {
        /// The bytes, never empty.
        bytes: &'a [u8],
        /// Whether the chunk ends here: then the encoding has to be at the end of a group.
        last: bool,
    },
}

/// Appends a message's frame.
pub fn encode(message: &Message, out: &mut Vec<u8>) {
    let mut body = Vec::with_capacity(256);
    match message {
        Message::StreamRequest(request) => {
            put(&mut body, 0, request);
            if request.newest.is_some() {
                put_more(&mut body, &request.newest);
            }
        }
        Message::StreamResponse(response) => put(&mut body, 1, response),
        Message::Voucher(voucher) => put(&mut body, 3, voucher),
        Message::VoucherAck(nonce) => put(&mut body, 4, nonce),
        Message::VoucherReject(reject) => put(&mut body, 5, reject),
        Message::StreamAbort(error) => put(&mut body, 6, error),
        Message::StreamEnd => body.push(7),
        Message::CloseRequest(request) => put(&mut body, 8, request),
        Message::CloseConsent(signature) => put(&mut body, 9, signature),
    }
    debug_assert!(body.len() <= MESSAGE_BYTES, "a message outgrew its cap");
    leb128(body.len() as u32, out);
    out.extend_from_slice(&body);
}

/// Appends what stands before a chunk's `content_bytes` bytes of encoding; they follow as they are.
///
/// # Panics
/// If the chunk is empty or its frame would be above [`FRAME_BYTES`].
pub fn encode_chunk_header(content_bytes: usize, out: &mut Vec<u8>) {
    assert!(content_bytes > 0 && content_bytes <= FRAME_BYTES - 6, "a chunk of {content_bytes} bytes");
    let mut length = Vec::with_capacity(5);
    leb128(content_bytes as u32, &mut length);
    leb128((1 + length.len() + content_bytes) as u32, out);
    out.push(TAG_CHUNK);
    out.extend_from_slice(&length);
}

fn put<T: Serialize>(body: &mut Vec<u8>, tag: u8, value: &T) {
    body.push(tag);
    put_more(body, value);
}

fn put_more<T: Serialize>(body: &mut Vec<u8>, value: &T) {
    let bytes = postcard::to_allocvec(value);
    body.extend_from_slice(&bytes.expect("plain data into memory can't fail"));
}

fn leb128(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Cuts one direction of a stream into messages and chunk content, whatever pieces the bytes come in.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    state: State,
    /// Bytes of a number or a message that is not whole yet.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// In a frame's length.
    #[default]
    Length,
    /// At the tag of a body of this many bytes.
    Tag(u32),
    /// In a message's body; this many bytes in all, tag included.
    Body(u32),
    /// In a chunk's length; this many bytes are left in the frame.
    ChunkLength(u32),
    /// In a chunk's content; this many bytes are left.
    Chunk(u32),
    /// After a fault: nothing more is read.
    Broken,
}

impl Decoder {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the stream may end here: not inside a frame.
    pub fn is_between_frames(&self) -> bool {
        self.state == State::Length && self.held.is_empty()
    }

    /// Takes bytes from the front of `input` until a piece is found; `None` once `input` is used up.
    ///
    /// # Errors
    /// The first fault, and the same again ever after.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameFault> {
        let found = self.advance(input);
        if found.is_err() {
            self.state = State::Broken;
        }
        found
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameFault> {
        loop {
            if let State::Chunk(left) = self.state {
                if input.is_empty() {
                    return Ok(None);
                }
                let bytes = take(input, left as usize);
                let left = left - bytes.len() as u32;
                self.state = if left == 0 { State::Length } else { State::Chunk(left) };
                return Ok(Some(Piece::Chunk { bytes, last: left == 0 }));
            }
            let Some((&first, rest)) = input.split_first() else { return Ok(None) };
            match self.state {
                State::Length => {
                    *input = rest;
                    if let Some(length) = self.number(first)? {
                        if length as usize > FRAME_BYTES {
                            return Err(FrameFault::TooLarge);
                        }
                        self.state =
                            if length == 0 { return Err(FrameFault::Malformed) } else { State::Tag(length) };
                    }
                }
                State::Tag(length) if first == TAG_CHUNK => {
                    *input = rest;
                    self.state = State::ChunkLength(length - 1);
                }
                State::Tag(length) => {
                    if length as usize > MESSAGE_BYTES {
                        return Err(FrameFault::TooLarge);
                    }
                    self.state = State::Body(length);
                }
                State::Body(length) => {
                    let missing = length as usize - self.held.len();
                    self.held.extend_from_slice(take(input, missing));
                    if self.held.len() < length as usize {
                        return Ok(None);
                    }
                    let message = decode_body(&self.held).ok_or(FrameFault::Malformed)?;
                    self.held.clear();
                    self.state = State::Length;
                    return Ok(Some(Piece::Message(message)));
                }
                State::ChunkLength(left) => {
                    *input = rest;
                    let left = left.checked_sub(1).ok_or(FrameFault::Malformed)?;
                    self.state = match self.number(first)? {
                        None => State::ChunkLength(left),
                        Some(length) if length == left && length > 0 => State::Chunk(length),
                        Some(_) => return Err(FrameFault::Malformed),
                    };
                }
                State::Chunk(_) => unreachable!("handled above"),
                State::Broken => return Err(FrameFault::Malformed),
            }
        }
    }

    /// Adds a byte to the number being read; `Some` when it is whole.
    fn number(&mut self, byte: u8) -> Result<Option<u32>, FrameFault> {
        self.held.push(byte);
        if byte & 0x80 != 0 {
            return if self.held.len() < 5 { Ok(None) } else { Err(FrameFault::Malformed) };
        }
        let minimal = byte != 0 || self.held.len() == 1;
        let value = self
            .held
            .iter()
            .rev()
            .try_fold(0u32, |sum, &b| sum.checked_mul(128)?.checked_add(u32::from(b & 0x7f)));
        self.held.clear();
        value.filter(|_| minimal).map(Some).ok_or(FrameFault::Malformed)
    }
}

fn take<'a>(input: &mut &'a [u8], at_most: usize) -> &'a [u8] {
    let (front, rest) = input.split_at(at_most.min(input.len()));
    *input = rest;
    front
}

/// A message from its body: known fields, then an extension whose unknown part is ignored (W2).
fn decode_body(body: &[u8]) -> Option<Message> {
    let (&tag, rest) = body.split_first()?;
    Some(match tag {
        0 => {
            let (mut request, more) = get_first::<StreamRequest>(rest)?;
            if !more.is_empty() {
                request.newest = get::<Option<Voucher>>(more)?;
            }
            Message::StreamRequest(request)
        }
        1 => Message::StreamResponse(get(rest)?),
        3 => Message::Voucher(get(rest)?),
        4 => Message::VoucherAck(get(rest)?),
        5 => Message::VoucherReject(get(rest)?),
        6 => Message::StreamAbort(get(rest)?),
        7 => Message::StreamEnd,
        8 => Message::CloseRequest(get(rest)?),
        9 => Message::CloseConsent(get(rest)?),
        _ => return None,
    })
}

fn get<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    get_first(bytes).map(|(value, _)| value)
}

fn get_first<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}
