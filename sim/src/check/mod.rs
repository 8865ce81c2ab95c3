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
mod o17_agreed;
mod o1_conservation;
mod o2_once;
mod o3_node_loss;
mod o4_client_loss;
mod o5_rising;
mod o8_settled;
mod o9_predicted;

use decdn_engine::money::Amount;

use crate::{actor::ActorId, names::names, scenario::Symbols, seen::Oracle};

names! {
    /// The oracles that a scenario may lift for one actor, because it exists to show a loss.
    Liftable, "oracle to lift" {
        /// A node's loss.
        O3 = "O3",
        /// A client's loss.
        O4 = "O4",
        /// A settlement below what a holder had.
        O8 = "O8",
    }
}

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
    /// Whose owners are asked before money goes into a channel (O17).
    pub asked: Vec<ActorId>,
}

/// See [`Briefing::lifts`].
#[derive(Clone, Debug)]
pub struct Lifted {
    /// Which.
    pub oracle: Liftable,
    /// For whom.
    pub actor: ActorId,
    /// What it may lose at most, in base units.
    pub loss: Amount,
}

impl Briefing {
    /// Those for whom an oracle is lifted.
    fn lifted(&self, oracle: Liftable) -> Losses {
        let lifts = self.lifts.iter().filter(|lift| lift.oracle == oracle);
        Losses(lifts.map(|lift| (lift.actor, lift.loss.0)).collect())
    }
}

/// What those may lose for whom an oracle is lifted.
#[derive(Clone, Debug, Default)]
struct Losses(Vec<(ActorId, u128)>);

impl Losses {
    /// What somebody may lose, if the oracle is lifted for it.
    fn of(&self, actor: ActorId) -> Option<u128> {
        self.0.iter().find(|(lifted, _)| *lifted == actor).map(|(_, loss)| *loss)
    }
}

/// Everybody who looks on at a run.
pub fn oracles(briefing: &Briefing) -> Vec<Box<dyn Oracle>> {
    let mut oracles: Vec<Box<dyn Oracle>> = vec![
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
    ];
    if !briefing.asked.is_empty() {
        oracles.push(Box::new(o17_agreed::Agreed::new(briefing)));
    }
    oracles
}
