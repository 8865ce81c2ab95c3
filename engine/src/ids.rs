//! Identifiers: what names a node, a blob, a channel, a connection, a stream.

use core::fmt;

pub use alloy_primitives::Address;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::fixed;

macro_rules! id32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                fixed::serialize(&self.0, serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                fixed::deserialize(deserializer).map(Self)
            }
        }

        impl $name {
            /// The id's bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "("))?;
                self.0[..4].iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                write!(f, "…)")
            }
        }
    };
}

id32! {
    /// An Ed25519 public key: names a node on the network (I1).
    NodeId
}
id32! {
    /// BLAKE3-256 of a blob's content.
    BlobHash
}
id32! {
    /// Names a block of one branch of the chain: another block of the same number has another one.
    BlockHash
}
id32! {
    /// keccak256 of what V5 lists: names a payment channel.
    ChannelId
}

/// One QUIC connection. Dialled ones are numbered by the engine, accepted ones by the driver; a number is
/// never used again by the same process, so a late input about a dead connection finds nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct ConnId(pub u64);

/// One bidirectional stream, hence one request (W3): the connection and the stream's place on it, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct StreamId {
    /// The connection.
    pub conn: ConnId,
    /// The place on the connection, from 0.
    pub index: u32,
}

/// Names one request for a signature; echoed in its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct SignTicket(pub u64);

/// Names one transaction that a role asked for; echoed in its outcome.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct TxTicket(pub u64);

/// Names one download, chosen by whoever orders it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
pub struct FetchId(pub u64);
