//! The oracles: each restates its rules itself and reads only what really happened.

use decdn_engine::money::Amount;

use crate::{scenario::Symbols, seen::Oracle};

/// What oracles are told about a run before it begins.
#[derive(Clone, Debug)]
pub struct Briefing {
    /// What R, C, W, F and the other symbols stand for in this run.
    pub symbols: Symbols,
    /// Oracles lifted for one actor, with what it may lose instead.
    pub lifts: Vec<Lifted>,
    /// Whether everything must have come to an end by the end of the run (O10).
    pub must_end: bool,
}

/// See [`Briefing::lifts`].
#[derive(Clone, Debug)]
pub struct Lifted {
    /// Which, `O8`.
    pub oracle: String,
    /// For whom: a name of the cast.
    pub actor: String,
    /// What it may lose at most, in base units.
    pub loss: Amount,
}

/// Everybody who looks on at a run.
pub fn oracles(_briefing: &Briefing) -> Vec<Box<dyn Oracle>> {
    Vec::new()
}
