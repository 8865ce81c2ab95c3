//! What the lines say.

use decdn_engine::{io::Input, record::Record, roles::Config, state::Digest, time::Now};
use serde::{Deserialize, Serialize};

use crate::chained::Chained;

/// The format's version: rises when a line changes its meaning.
pub const VERSION: u32 = 5;

/// The chain of hashes over a recording's lines.
pub fn chained() -> Chained {
    Chained::new("decdn-recording 2026 lines")
}

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// See [`VERSION`].
    pub version: u32,
    /// Version of the program that recorded.
    pub software: String,
    /// Who recorded.
    pub setup: Config,
}

/// One input.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fed {
    /// The clocks that the role was shown.
    pub at: Now,
    /// The state that the input met.
    pub met: Digest,
    /// The input.
    pub input: Input,
}

/// Any line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The first line.
    Head(Head),
    /// A durable record at the start.
    Record(Record),
    /// All records are told; this state follows from them.
    Start(Digest),
    /// An input.
    Fed(Fed),
    /// A clean stop in this state.
    End(Digest),
}
