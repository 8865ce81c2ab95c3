//! What a node asks its signer for.

use crate::{ids::StreamId, money::Rate, state::Slot};

/// What a signature was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signing {
    Response(StreamId),
    Consent { channel: Slot, stream: StreamId },
    Probe { stream: StreamId, rate: Rate, total_bytes: Option<u64> },
}
