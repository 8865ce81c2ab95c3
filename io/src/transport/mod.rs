//! Our protocols over QUIC: iroh connections, a reader and a writer task per stream.

mod iroh;
mod reader;
mod witness;
mod writer;

pub use self::{
    iroh::{BindError, Credit, IrohTransport, TransportLimits},
    reader::CREDITS,
};
pub use witness::{Agreement, Evidence, Witness};
