//! Every bound of the engine, in one place, with a tiny profile that lets tests reach each one.

use serde::{Deserialize, Serialize};

use crate::{money::MB, time::Span};

/// Content bytes of a chunk group: the unit of verification, metering and payment (D5).
pub const GROUP: u64 = 16 * 1024;
/// A frame's largest body (W1).
pub const FRAME_BYTES: usize = 16 << 20;
/// The largest piece of a bao encoding in one `Chunk` (a local choice below [`FRAME_BYTES`]).
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Unanswered `SendRange`s per stream: the whole back-pressure of sending.
pub const SEND_RANGES: u8 = 8;
/// The fewest groups an offer may hold (D6).
pub const OFFER_GROUPS_MIN: u64 = 4;
/// How often one lost group goes out again without being charged (D8).
pub const RESENDS: u8 = 2;
/// Runs of bytes with the same history that a node remembers of what a stream sent last (D8). Each loss makes two more;
/// beyond these the oldest are counted as one.
pub const TAIL_RUNS: usize = 32;
/// Blocks between two writes of the chain cursor: five minutes of Arbitrum's.
pub const CURSOR_BLOCKS: u64 = 1_200;
/// A signed request's greatest distance from the node's clock (P2).
pub const CLOCK_TOLERANCE: Span = Span::from_secs(60);
/// How long after its probe a quote may be presented (P3).
pub const PROBE_WINDOW: Span = Span::from_secs(30);
/// Probes that a node answers, all together, per second, and at once (P5).
pub const PROBES: (u64, u64) = (1_000, 2_000);
/// Probes that a node answers to one NodeId, per second, and at once (P5).
pub const PROBES_PER_NODE: (u64, u64) = (5, 5);
/// Orders about money, closes of a node's channels aside, that are not carried out or may yet be undone (L1).
pub const ORDERS: usize = 16;
/// A blob's largest size that the engine computes with: 2^60 bytes.
pub const BLOB_BYTES_MAX: u64 = 1 << 60;

/// The bounds that a deployment may choose.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Channels a role takes up. Those that are over count as well, for as long as a fork may bring them back: so many more (L1).
    pub channels: usize,
    /// Connections a role tracks.
    pub conns: usize,
    /// Streams per connection; its protocol may allow fewer (W3).
    pub streams_per_conn: u32,
    /// Downloads a client runs at once.
    pub fetches: usize,
    /// Candidates in one order.
    pub candidates: usize,
    /// Blobs a node lists.
    pub blobs: usize,
    /// Bytes in one `SendRange`.
    pub send_range_bytes: u64,
    /// Records of what ended streams sent last and the channel has not paid (D8 loss), per channel.
    pub tails: usize,
    /// Chain events taken from one update; the rest waits for the next poll.
    pub chain_events: usize,
    /// Channels that a node closes with one update while the chain's clock is off (L3).
    pub closes: usize,
}

impl Limits {
    /// For production.
    pub const fn standard() -> Self {
        Self {
            channels: 1 << 20,
            conns: 4_096,
            streams_per_conn: 100,
            fetches: 1_024,
            candidates: 64,
            blobs: 1 << 20,
            send_range_bytes: MB,
            tails: 8,
            chain_events: 4_096,
            closes: 256,
        }
    }

    /// So small that a test reaches every bound in a handful of steps.
    pub const fn tiny() -> Self {
        Self {
            channels: 2,
            conns: 2,
            streams_per_conn: 2,
            fetches: 2,
            candidates: 2,
            blobs: 2,
            send_range_bytes: GROUP,
            tails: 1,
            chain_events: 2,
            closes: 1,
        }
    }
}
