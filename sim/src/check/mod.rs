//! The oracles: each restates its rules itself and reads only what really happened.
//!
//! One file per oracle of section 18. They stand outside the roles, survive their restarts, and use none of the
//! engine's predicates: no meter, no ruling on vouchers, no prediction. `book` is where they write things down.

pub mod book;
mod o10_ends;
mod o11_bounded;
mod o12_durable;
pub mod o13_same;
mod o14_profit;
mod o16_apart;
mod o1_conservation;
mod o2_once;
mod o3_node_loss;
mod o4_client_loss;
mod o5_rising;
mod o8_settled;
mod o9_predicted;

use decdn_engine::money::Amount;

use crate::{scenario::Symbols, seen::Oracle};

/// What oracles are told about a run before it begins.
#[derive(Clone, Debug)]
pub struct Briefing {
    /// What R, C, W, F and the other symbols stand for in this run.
    pub symbols: Symbols,
    /// Oracles lifted for one actor, with what it may lose instead.
    pub lifts: Vec<Lifted>,
    /// What everybody who is not honest may gain together, in base units (O14): a formula over `symbols` and K, the
    /// channels between them and honest parties.
    pub profit: String,
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

impl Briefing {
    /// The actors for whom an oracle is lifted, with what each may lose.
    fn lifted(&self, oracle: &str) -> Vec<(String, u128)> {
        let lifts = self.lifts.iter().filter(|lift| lift.oracle == oracle);
        lifts.map(|lift| (lift.actor.clone(), lift.loss.0)).collect()
    }
}

/// Everybody who looks on at a run.
pub fn oracles(briefing: &Briefing) -> Vec<Box<dyn Oracle>> {
    vec![
        Box::new(o1_conservation::Conservation::default()),
        Box::new(o2_once::Once::default()),
        Box::new(o3_node_loss::NodeLoss::new(briefing)),
        Box::new(o4_client_loss::ClientLoss::new(briefing)),
        Box::new(o5_rising::Rising::default()),
        Box::new(o8_settled::Settled::new(briefing)),
        Box::new(o9_predicted::Predicted::default()),
        Box::new(o10_ends::Ends::new(briefing)),
        Box::new(o11_bounded::Bounded::default()),
        Box::new(o12_durable::DurableFirst::default()),
        Box::new(o14_profit::Profit::new(briefing)),
        Box::new(o16_apart::Apart::default()),
    ]
}
