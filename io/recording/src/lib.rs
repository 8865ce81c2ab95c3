//! Recordings: what a running client or node was told, in order, so that the simulator can tell it again and see the
//! same states.
//!
//! A recording is a text, a JSON line per event. Each line carries a hash over itself and all lines before it, so that
//! the first one that was changed is found. It begins with a [`Head`], the durable records that the role started from
//! and the digest of the state that they make; then comes a line per input, with the digest of the state that the
//! input met; a clean stop ends it with the last digest. A process that dies leaves a torn last line, which is no fault.
//!
//! Lines are not compressed: what is written is there after a crash. Inputs hold signatures, amounts and peers, but no
//! secret: the engine never sees one.
#![warn(missing_docs)]

mod chained;
mod line;
mod read;
mod write;

pub use chained::{BODY_AT, Chained};
pub use line::{Fed, Head, Line, VERSION, chained};
pub use read::{BadRecording, Reader};
pub use write::Recorder;
