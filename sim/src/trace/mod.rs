//! Traces: a run written down as JSON lines, each chained to the one before by a hash, compressed with zstd.
//!
//! A slim trace holds the decisions and the state digests: enough to make the run again. A full one also holds
//! what every actor was told and asked for, the chain and the probes. Both begin with a head and end with a tail;
//! what lies between is compared line by line when a trace is replayed.
//!
//! What a real client or node was told is another text, a recording ([`decdn_recording`]): it has no scenario and no
//! decisions, and is told to the engine again.

mod incident;
mod line;
mod read;
mod record;
mod replay;

pub use incident::{Ending, Incident, diff_recordings, is_recording, retell, retell_from};
pub use line::{Body, Head, Tail, VERSION, chained};
pub use read::{BadTrace, Reader};

pub use record::Scribe;
pub use replay::{Script, diff, head, replay, script, script_of};
