//! Frames: a length (LEB128 u32, minimal) and a postcard body (W1).
//!
//! The body is a tag and the message's fields. A `Chunk`'s content is handed on as it arrives, so that the
//! largest thing ever buffered is a message, of at most [`Protocol::message_bytes`]. What follows the known fields of a body
//! belongs to newer versions and is ignored (W2), up to the same bound.

use alloc::vec::Vec;
use core::{fmt, mem};

use postcard::ser_flavors::Size;
use serde::{Serialize, de::DeserializeOwned};

use super::{Code, Message, Protocol};
use crate::limits::FRAME_BYTES;

/// Of a piece of content, in every protocol that has any.
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
    let length = body_len(message);
    debug_assert!(length <= message.protocol().message_bytes(), "a message outgrew its cap");
    leb128(length as u32, out);
    message.write(out);
}

/// How long a message's frame is.
pub(super) fn frame_len(message: &Message) -> usize {
    let length = body_len(message);
    leb128_len(length as u32) + length
}

fn body_len(message: &Message) -> usize {
    let mut counted = Counted(0);
    message.write(&mut counted);
    counted.0
}

/// What a body is written to: bytes, or a count of them.
pub(super) trait Body {
    fn put_more<T: Serialize>(&mut self, value: &T);

    fn put<T: Serialize>(&mut self, tag: u8, value: &T) {
        self.put_more(&tag);
        self.put_more(value);
    }
}

impl Body for Vec<u8> {
    fn put_more<T: Serialize>(&mut self, value: &T) {
        let longer = postcard::to_extend(value, mem::take(self));
        *self = longer.expect("plain data into memory can't fail");
    }
}

struct Counted(usize);

impl Body for Counted {
    fn put_more<T: Serialize>(&mut self, value: &T) {
        let length = postcard::serialize_with_flavor::<T, Size, usize>(value, Size::default());
        self.0 += length.expect("plain data can be counted");
    }
}

/// Appends what stands before a chunk's `content_bytes` bytes of encoding; they follow as they are.
///
/// # Panics
/// If the chunk is empty or its frame would be above [`FRAME_BYTES`].
pub fn encode_chunk_header(content_bytes: usize, out: &mut Vec<u8>) {
    assert!(content_bytes > 0 && content_bytes <= FRAME_BYTES - 6, "a chunk of {content_bytes} bytes");
    let length = content_bytes as u32;
    leb128(1 + leb128_len(length) as u32 + length, out);
    out.push(TAG_CHUNK);
    leb128(length, out);
}

fn leb128_len(value: u32) -> usize {
    (u32::BITS - value.leading_zeros()).div_ceil(7).max(1) as usize
}

fn leb128(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Cuts one direction of a stream into messages and chunk content, whatever pieces the bytes come in.
#[derive(Clone)]
pub struct Decoder {
    protocol: Protocol,
    state: State,
    /// Bytes of a number or a message that is not whole yet.
    held: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In a frame's length.
    Length,
    /// At the tag of a body of this many bytes.
    Tag(u32),
    /// In a message's body; this many bytes in all, tag included.
    Body(u32),
    /// In a chunk's length; this many bytes are left in the frame.
    ChunkLength(u32),
    /// In a chunk's content.
    Chunk {
        /// Content bytes that are left.
        left: u32,
        /// Bytes of the frame after the content.
        unknown: u32,
    },
    /// After a chunk's known fields; this many bytes are left in the frame.
    Unknown(u32),
    /// After this fault: nothing more is read.
    Broken(FrameFault),
}

/// Without the bytes it holds: a voucher is worth money.
impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("state", &self.state).field("held_bytes", &self.held.len()).finish()
    }
}

impl Decoder {
    /// A decoder at the start of a stream of this protocol.
    pub fn new(protocol: Protocol) -> Self {
        Self { protocol, state: State::Length, held: Vec::new() }
    }

    /// Whether the stream may end here: not inside a frame.
    pub fn is_between_frames(&self) -> bool {
        self.state == State::Length && self.held.is_empty()
    }

    /// How many bytes it holds: at most [`Protocol::message_bytes`].
    pub fn buffered_bytes(&self) -> usize {
        self.held.len()
    }

    /// Takes bytes from the front of `input` until a piece is found; `None` once `input` is used up.
    ///
    /// # Errors
    /// The first fault, and the same again ever after.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameFault> {
        if let State::Broken(fault) = self.state {
            return Err(fault);
        }
        let found = self.advance(input);
        if let Err(fault) = found {
            *self = Self { state: State::Broken(fault), ..Self::new(self.protocol) };
        }
        found
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, FrameFault> {
        loop {
            let Some((&first, rest)) = input.split_first() else { return Ok(None) };
            match self.state {
                State::Length => {
                    *input = rest;
                    if let Some(length) = self.number(first)? {
                        self.state = match length {
                            0 => return Err(FrameFault::Malformed),
                            _ if length as usize > self.protocol.frame_bytes() => {
                                return Err(FrameFault::TooLarge);
                            }
                            _ => State::Tag(length),
                        };
                    }
                }
                State::Tag(length) if first == TAG_CHUNK && self.protocol.has_chunks() => {
                    *input = rest;
                    self.state = State::ChunkLength(length - 1);
                }
                State::Tag(length) => {
                    if length as usize > self.protocol.message_bytes() {
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
                    let message = Message::read(self.protocol, &self.held).ok_or(FrameFault::Malformed)?;
                    self.held.clear();
                    self.state = State::Length;
                    return Ok(Some(Piece::Message(message)));
                }
                State::ChunkLength(left) => {
                    *input = rest;
                    let left = left.checked_sub(1).ok_or(FrameFault::Malformed)?;
                    self.state = match self.number(first)? {
                        None => State::ChunkLength(left),
                        Some(0) => return Err(FrameFault::Malformed),
                        Some(length) => match left.checked_sub(length) {
                            None => return Err(FrameFault::Malformed),
                            Some(unknown) if unknown as usize > self.protocol.message_bytes() => {
                                return Err(FrameFault::TooLarge);
                            }
                            Some(unknown) => State::Chunk { left: length, unknown },
                        },
                    };
                }
                State::Chunk { left, unknown } => {
                    let bytes = take(input, left as usize);
                    let left = left - bytes.len() as u32;
                    self.state = match (left, unknown) {
                        (0, 0) => State::Length,
                        (0, _) => State::Unknown(unknown),
                        _ => State::Chunk { left, unknown },
                    };
                    return Ok(Some(Piece::Chunk { bytes, last: left == 0 }));
                }
                State::Unknown(left) => {
                    let left = left - take(input, left as usize).len() as u32;
                    self.state = if left == 0 { State::Length } else { State::Unknown(left) };
                }
                State::Broken(fault) => return Err(fault),
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

pub(super) fn get<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    get_first(bytes).map(|(value, _)| value)
}

pub(super) fn get_first<T: DeserializeOwned>(bytes: &[u8]) -> Option<(T, &[u8])> {
    postcard::take_from_bytes(bytes).ok()
}
