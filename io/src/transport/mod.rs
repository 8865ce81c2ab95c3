//! `cdn/client/v1` over QUIC: iroh connections, a reader and a writer task per stream.

mod iroh;
mod reader;
mod writer;

pub use self::iroh::{BindError, IrohTransport, TransportLimits};
