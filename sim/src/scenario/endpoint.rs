//! Endpoints in a scenario file: `[[endpoints]]` says whose, how many, and what is wrong with how many of them.

use std::collections::BTreeMap;

use decdn_engine::{
    chain::quorum::ENDPOINTS,
    time::{Span, Time},
};
use serde::Deserialize;

use super::file::{Pin, Placed, zero};
use crate::{
    actor::ActorId,
    decide::Decisions,
    endpoints::{Endpoint, Fault},
};

/// The endpoints of an actor, or of each of several: an entry of `[[endpoints]]`. Of a million answers that many are wrong in a way.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoints {
    /// Whose.
    pub of: Placed,
    /// How many there are, from 1 to 5.
    #[serde(default = "one")]
    pub count: Pin,
    /// With how many of them something is wrong; all of it with each. Which they are is drawn.
    #[serde(default = "one")]
    pub wrong: Pin,
    /// From when.
    #[serde(default = "zero")]
    pub from_ms: Pin,
    /// How long; the whole run, calm or not, where nothing is said.
    #[serde(default)]
    pub for_ms: Option<Pin>,
    /// By how many blocks their heads lag.
    #[serde(default = "zero")]
    pub lag_blocks: Pin,
    /// By how many blocks their logs are behind their heads.
    #[serde(default = "zero")]
    pub logs_lag_blocks: Pin,
    /// How many answers have a head far ahead.
    #[serde(default = "zero")]
    pub ahead: Pin,
    /// By so many blocks.
    #[serde(default = "zero")]
    pub ahead_blocks: Pin,
    /// And by so much.
    #[serde(default = "zero")]
    pub ahead_ms: Pin,
    /// How many have another chain's head.
    #[serde(default = "zero")]
    pub other_chain: Pin,
    /// How many of a million events they leave out.
    #[serde(default = "zero")]
    pub omits: Pin,
    /// How many have what never happened, a wrong safe head and a wrong wait for the inbox.
    #[serde(default = "zero")]
    pub forges: Pin,
    /// How many are errors, or none at all.
    #[serde(default = "zero")]
    pub silent: Pin,
    /// How many of a million transactions they take and forget.
    #[serde(default = "zero")]
    pub loses: Pin,
}

fn one() -> Pin {
    Pin::Is(1)
}

impl Endpoints {
    /// Its numbers.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        [
            &self.count,
            &self.wrong,
            &self.from_ms,
            &self.lag_blocks,
            &self.logs_lag_blocks,
            &self.ahead,
            &self.ahead_blocks,
            &self.ahead_ms,
            &self.other_chain,
            &self.omits,
            &self.forges,
            &self.silent,
            &self.loses,
        ]
        .into_iter()
        .chain(&self.for_ms)
    }

    /// What is wrong with it, if anything.
    pub fn wrong(&self) -> Result<(), String> {
        if self.count.least() < 1 || self.count.most() > ENDPOINTS as u64 {
            return Err(format!("{:?} has no or too many endpoints; give it 1 to {ENDPOINTS}", &*self.of));
        }
        let chances = [&self.ahead, &self.other_chain, &self.omits, &self.forges, &self.silent, &self.loses];
        if chances.iter().any(|chance| chance.most() > 1_000_000) {
            return Err("of a million more than a million are wrong; lower it".to_owned());
        }
        Ok(())
    }

    fn fault(&self, decide: &mut Decisions) -> Fault {
        let mut chance = |pin: &Pin| pin.draw(decide) as u32;
        let (ahead, other_chain) = (chance(&self.ahead), chance(&self.other_chain));
        let (omits, forges) = (chance(&self.omits), chance(&self.forges));
        let (silent, loses) = (chance(&self.silent), chance(&self.loses));
        let from = Time(self.from_ms.draw(decide) * 1_000);
        let lasts = self.for_ms.as_ref().map(|pin| Span::from_millis(pin.draw(decide)));
        Fault {
            from,
            until: lasts.map_or(Time(u64::MAX), |lasts| from + lasts),
            lag_blocks: self.lag_blocks.draw(decide),
            logs_lag_blocks: self.logs_lag_blocks.draw(decide),
            ahead,
            ahead_blocks: self.ahead_blocks.draw(decide),
            ahead_by: Span::from_millis(self.ahead_ms.draw(decide)),
            other_chain,
            omits,
            forges,
            silent,
            loses,
        }
    }
}

/// Everybody's endpoints: after all else is drawn, so that with others a run is the same but for them. Who has none in the file has
/// one, and it is right.
pub(super) fn endpoints(
    lines: &[Endpoints],
    ids: &BTreeMap<&str, Vec<ActorId>>,
    decide: &mut Decisions,
) -> BTreeMap<ActorId, Vec<Endpoint>> {
    let mut all: BTreeMap<ActorId, Vec<Endpoint>> = BTreeMap::new();
    for line in lines {
        for id in ids.get(&*line.of).into_iter().flatten() {
            let count = line.count.draw(decide) as usize;
            let wrong = line.wrong.draw(decide) as usize;
            let those = all.entry(*id).or_default();
            those.resize_with(count.max(those.len()), Endpoint::default);
            let count = those.len() as u64;
            let first = decide.below(crate::decide::Label::Endpoint, count);
            for step in 0..wrong.min(those.len()) as u64 {
                let fault = line.fault(decide);
                those[((first + step) % count) as usize].faults.push(fault);
            }
        }
    }
    all
}
