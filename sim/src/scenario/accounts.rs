//! Accounts on the chain, where a scenario has them: `[chain.accounts]`. Without it whatever is sent is taken as it comes, and costs
//! nobody anything.

use decdn_contracts::l2::Spike;
use decdn_engine::time::{Span, Time};
use serde::Deserialize;

use super::file::{Pin, Placed, zero};
use crate::{
    actor::ActorId,
    cast::Cast,
    chain::{Ether, LowEstimates},
    decide::Decisions,
    world::{Timed, TimedFault},
};

/// Wei in a gwei.
const GWEI: u128 = 1_000_000_000;

/// Transactions have nonces, wait in a mempool, and are paid for in ether.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accounts {
    /// What each account has on the L2 at the start.
    #[serde(default = "ample")]
    pub ether_gwei: Pin,
    /// Whether a message in the delayed inbox is signed for the L2, where it has a nonce: 0 or 1. As a ticket it has none.
    #[serde(default = "zero")]
    pub signed_inbox: Pin,
    /// What accounts have from a time on.
    #[serde(default)]
    pub ether: Vec<EtherLine>,
    /// When gas is dear.
    #[serde(default)]
    pub spikes: Vec<SpikeLine>,
    /// When endpoints tell that transactions take less gas, or that gas is cheaper, than it is.
    #[serde(default)]
    pub low_estimates: Vec<LowLine>,
}

/// What somebody's account has from a time on: it spent the rest elsewhere, or somebody sent it more.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtherLine {
    /// Whose.
    pub who: Placed,
    /// From when.
    pub from_secs: Pin,
    /// How much.
    pub gwei: Pin,
}

/// The base fee is this many times what it is on an ordinary day.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpikeLine {
    /// From when.
    pub from_secs: Pin,
    /// How long.
    pub for_secs: Pin,
    /// How many times.
    pub times: Pin,
}

/// What they are told their transactions take, in percent of what is true.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowLine {
    /// Who.
    pub whom: Vec<Placed>,
    /// From when.
    pub from_secs: Pin,
    /// How long.
    pub for_secs: Pin,
    /// How much of the gas.
    #[serde(default = "all")]
    pub gas_percent: Pin,
    /// How much of the fee.
    #[serde(default = "all")]
    pub fee_percent: Pin,
}

/// A run's accounts.
#[derive(Clone, Debug)]
pub struct PlannedAccounts {
    /// How they begin.
    pub ether: Ether,
    /// When gas is dear.
    pub spikes: Vec<Spike>,
    /// When estimates are low.
    pub low: Vec<LowEstimates>,
}

fn all() -> Pin {
    Pin::Is(100)
}
fn ample() -> Pin {
    Pin::Is(10_000_000_000)
}

impl Accounts {
    /// Its numbers.
    pub fn pins(&self) -> Vec<&Pin> {
        let mut pins = vec![&self.ether_gwei, &self.signed_inbox];
        pins.extend(self.ether.iter().flat_map(|line| [&line.from_secs, &line.gwei]));
        pins.extend(self.spikes.iter().flat_map(|line| [&line.from_secs, &line.for_secs, &line.times]));
        let low = self.low_estimates.iter();
        pins.extend(
            low.flat_map(|line| [&line.from_secs, &line.for_secs, &line.gas_percent, &line.fee_percent]),
        );
        pins
    }

    /// Its numbers, to be changed: in the order of [`pins`](Self::pins).
    pub(super) fn pins_mut(&mut self) -> Vec<&mut Pin> {
        let mut pins = vec![&mut self.ether_gwei, &mut self.signed_inbox];
        pins.extend(self.ether.iter_mut().flat_map(|line| [&mut line.from_secs, &mut line.gwei]));
        let spikes = self.spikes.iter_mut();
        pins.extend(spikes.flat_map(|line| [&mut line.from_secs, &mut line.for_secs, &mut line.times]));
        let low = self.low_estimates.iter_mut();
        pins.extend(low.flat_map(|line| {
            [&mut line.from_secs, &mut line.for_secs, &mut line.gas_percent, &mut line.fee_percent]
        }));
        pins
    }

    /// Whom it names.
    pub fn names(&self) -> impl Iterator<Item = &Placed> {
        let low = self.low_estimates.iter().flat_map(|line| &line.whom);
        self.ether.iter().map(|line| &line.who).chain(low)
    }

    /// This run's, and what changes about them at a time of its own.
    pub(super) fn draw<'a>(
        &self,
        cast: &Cast,
        meant: impl Fn(&str) -> &'a [ActorId],
        decide: &mut Decisions,
    ) -> (PlannedAccounts, Vec<Timed>) {
        let wei = |gwei: u64| u128::from(gwei) * GWEI;
        let secs = |pin: &Pin, decide: &mut Decisions| Span::from_secs(pin.draw(decide));
        let at_start = wei(self.ether_gwei.draw(decide));
        let has_signed_messages = self.signed_inbox.draw(decide) > 0;
        let accounts = cast.people.iter().map(|person| (person.account, at_start)).collect();
        let mut timed = Vec::new();
        for line in &self.ether {
            let (at, has) = (Time(secs(&line.from_secs, decide).0), wei(line.gwei.draw(decide)));
            timed.extend(meant(&line.who).iter().map(|id| Timed { at, what: TimedFault::Ether(*id, has) }));
        }
        let mut spikes = Vec::new();
        for line in &self.spikes {
            let from = Time(secs(&line.from_secs, decide).0);
            let until = from + secs(&line.for_secs, decide);
            spikes.push(Spike { from, until, times: line.times.draw(decide) });
        }
        let mut low = Vec::new();
        for line in &self.low_estimates {
            let from = Time(secs(&line.from_secs, decide).0);
            let until = from + secs(&line.for_secs, decide);
            let whom = line.whom.iter().flat_map(|name| meant(name)).map(|id| cast.get(*id).account);
            let (gas_percent, fee_percent) = (line.gas_percent.draw(decide), line.fee_percent.draw(decide));
            low.push(LowEstimates { from, until, whom: whom.collect(), gas_percent, fee_percent });
        }
        (PlannedAccounts { ether: Ether { accounts, has_signed_messages }, spikes, low }, timed)
    }
}
