//! What peers say to each other: protocols, their messages, their caps, their frames (sections 2 to 4).
//!
//! A protocol is a file: its messages (W2), how they are written, and what is fixed for its connections and frames. Here
//! they are put together. A message is what the machines exchange; [`frame`] turns it into bytes and back at the edge.
//! `Chunk` has no message: blob bytes never pass through a machine, the edge feeds them to a
//! [`Verifier`](crate::blob::Verifier) as they arrive.

mod client;
pub mod frame;
mod probe;
mod reject;
mod signed;

pub use client::{Auth, ClientMessage, CloseRequest, StreamRequest, StreamResponse, Voucher, VoucherReject};
pub use probe::{ProbeMessage, ProbeRequest, ProbeResponse};
pub use reject::RejectReason;

use serde::{Deserialize, Serialize};

use crate::limits::FRAME_BYTES;

/// What a connection speaks, by its ALPN. A peer has one connection for each (W3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Protocol {
    /// `cdn/client/v1`: paid delivery.
    Client,
    /// `cdn/probe/v1`: asking for a price (section 3).
    Probe,
}

/// What is fixed for a protocol.
struct Shape {
    alpn: &'static [u8],
    /// The most streams that a peer may have on a connection (W3).
    streams: u32,
    /// The largest body of a message.
    message_bytes: usize,
    /// Whether content travels on its streams, in chunks.
    has_chunks: bool,
}

impl Protocol {
    /// All that are spoken here.
    pub const ALL: [Self; 2] = [Self::Client, Self::Probe];

    const fn shape(self) -> Shape {
        match self {
            Self::Client => client::SHAPE,
            Self::Probe => probe::SHAPE,
        }
    }

    /// Its name in the handshake.
    pub const fn alpn(self) -> &'static [u8] {
        self.shape().alpn
    }

    /// The protocol of this name; `None` for one that is not spoken here.
    pub fn from_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == alpn)
    }

    /// The most streams that a peer may have open on a connection (W3).
    pub const fn streams(self) -> u32 {
        self.shape().streams
    }

    /// The largest body of a message: the most that a decoder ever holds.
    pub const fn message_bytes(self) -> usize {
        self.shape().message_bytes
    }

    /// The largest body of a frame (W1). Content is handed on as it comes, so a frame of it may be large.
    pub const fn frame_bytes(self) -> usize {
        if self.has_chunks() { FRAME_BYTES } else { self.message_bytes() }
    }

    const fn has_chunks(self) -> bool {
        self.shape().has_chunks
    }

    /// Tells its connections apart from others of the same number, in a state's digest.
    pub(crate) const fn canon(self) -> u64 {
        match self {
            Self::Client => 0,
            Self::Probe => 1 << 62,
        }
    }
}

/// One message, of whatever protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "most messages are of the larger kind")]
pub enum Message {
    /// Of `cdn/client/v1`.
    Client(ClientMessage),
    /// Of `cdn/probe/v1`.
    Probe(ProbeMessage),
}

impl Message {
    /// The protocol that it belongs to.
    pub const fn protocol(&self) -> Protocol {
        match self {
            Self::Client(_) => Protocol::Client,
            Self::Probe(_) => Protocol::Probe,
        }
    }

    fn write(&self, body: &mut impl frame::Body) {
        match self {
            Self::Client(message) => message.write(body),
            Self::Probe(message) => message.write(body),
        }
    }

    fn read(protocol: Protocol, body: &[u8]) -> Option<Self> {
        let (&tag, rest) = body.split_first()?;
        Some(match protocol {
            Protocol::Client => Self::Client(ClientMessage::read(tag, rest)?),
            Protocol::Probe => Self::Probe(ProbeMessage::read(tag, rest)?),
        })
    }

    /// The length of this message's frame in bytes, without encoding it.
    pub fn wire_len(&self) -> usize {
        frame::frame_len(self)
    }
}

impl From<ClientMessage> for Message {
    fn from(message: ClientMessage) -> Self {
        Self::Client(message)
    }
}

impl From<ProbeMessage> for Message {
    fn from(message: ProbeMessage) -> Self {
        Self::Probe(message)
    }
}

/// Unsigned application error codes that end a stream or a connection (W4).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Code {
    /// 0x01: the request is of a kind this node does not serve.
    Unsupported,
    /// 0x02: a frame above the cap.
    TooLarge,
    /// 0x03: not a message, or not one that may stand here.
    Malformed,
    /// 0x10: rate limited, or not now.
    NotNow,
    /// 0x11: the channel's opening is not final enough yet (V6).
    ChannelPending,
    /// Any other, as it came.
    Other(u32),
}

impl Code {
    /// The number on the wire.
    pub fn to_wire(self) -> u32 {
        match self {
            Self::Unsupported => 0x01,
            Self::TooLarge => 0x02,
            Self::Malformed => 0x03,
            Self::NotNow => 0x10,
            Self::ChannelPending => 0x11,
            Self::Other(code) => code,
        }
    }

    /// The code for a number from the wire.
    pub fn from_wire(code: u32) -> Self {
        match code {
            0x01 => Self::Unsupported,
            0x02 => Self::TooLarge,
            0x03 => Self::Malformed,
            0x10 => Self::NotNow,
            0x11 => Self::ChannelPending,
            other => Self::Other(other),
        }
    }
}
