//! O8: an honest holder that can land one transaction in the window gets the voucher with the highest amount settled.
//!
//! The floor of a channel is the highest amount that one of its honest parties had on its disk in time: when the
//! close was in a block, or later, as long as the window left the forced path open (X2). What settles is held
//! against it. So is what makes it possible: the window is as long as it was at the close, nothing moves its end
//! (C2, C9), nothing settles before it (C3), and inside it a genuine voucher over more than is recorded is
//! recorded, whatever its nonce (C2).

use std::collections::BTreeSet;

use decdn_engine::{
    chain::Call,
    crypto::{SignedVoucher, Typed},
    record::Record,
    time::Time,
};

use super::{
    Briefing,
    book::{Channels, People},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    seen::{Included, Kind, Kinds, OnChain, OnChainStatus, Oracle, Report, Seen},
};

/// What the forced path needs beyond F: an hour of clock, two hours for the transactions (X2).
const MARGIN_SECS: u64 = 3 * 3_600;

/// What the parties of a channel hold.
#[derive(Clone, Debug, Default)]
struct Claim {
    /// On the disk of its honest node, of its honest client.
    held: [u128; 2],
    /// The same, as of the last moment that left time to act.
    floor: [u128; 2],
    /// Until when what is new still counts, by the chain's clock.
    counts_until: Option<u64>,
    /// Amounts over which the payer's key signed.
    signed: BTreeSet<(u64, u128)>,
}

const NODE: usize = 0;
const CLIENT: usize = 1;

/// See the module.
#[derive(Default)]
pub struct Settled {
    lifts: Vec<(String, u128)>,
    window_secs: u64,
    forced_secs: u64,
    people: People,
    channels: Channels<Claim>,
    /// Seconds of the chain's clock at simulated time zero.
    epoch_secs: Option<u64>,
    worst: u128,
}

impl Settled {
    /// With W, F, and the lifts that concern it.
    pub fn new(briefing: &Briefing) -> Self {
        let symbol = |name| briefing.symbols.get(name).copied().unwrap_or(0);
        Self {
            lifts: briefing.lifted("O8"),
            window_secs: u64::try_from(symbol("W")).unwrap_or(u64::MAX),
            forced_secs: u64::try_from(symbol("F")).unwrap_or(u64::MAX),
            ..Self::default()
        }
    }

    fn hold(&mut self, at: Time, actor: ActorId, record: &Record) {
        let (channel, who, amount) = match record {
            Record::Earning(earning) => {
                (&earning.channel, NODE, earning.best.map_or(0, |best| best.amount.0))
            }
            Record::Paying(paying) => (&paying.channel, CLIENT, paying.amount.0),
            _ => return,
        };
        if !self.people.is_honest(actor) {
            return;
        }
        let epoch = self.epoch_secs.unwrap_or(0);
        let Some((deal, claim)) = self.channels.get(channel) else { return };
        let party = if who == NODE { deal.node } else { deal.client };
        if party != Some(actor) {
            return;
        }
        claim.held[who] = claim.held[who].max(amount.min(deal.deposit));
        let now = epoch + at.0 / 1_000_000;
        if claim.counts_until.is_none_or(|until| now <= until) {
            claim.floor[who] = claim.held[who];
        }
    }

    fn on_included(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        self.epoch_secs.get_or_insert(tx.block.time.0.saturating_sub(at.0 / 1_000_000));
        self.channels.learn(tx, &self.people);
        self.check_window(at, tx, report);
        self.check_dispute(at, tx, report);
        let Some(after) = tx.after else { return };
        let was = tx.before.map_or(OnChainStatus::None, |before| before.status);
        let forced = self.forced_secs;
        if let Some((_, claim)) = self.channels.get(&after.id)
            && claim.counts_until.is_none()
            && after.status == OnChainStatus::Closing
        {
            let needs = forced.saturating_add(MARGIN_SECS);
            claim.counts_until = Some(after.deadline.0.saturating_sub(needs).max(tx.block.time.0));
        }
        if after.status == OnChainStatus::Settled && was != OnChainStatus::Settled {
            self.check_settled(at, &after, report);
        }
    }

    /// C2, C3, C9: the window.
    fn check_window(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        let (Some(before), Some(after)) = (&tx.before, &tx.after) else { return };
        let now = tx.block.time.0;
        let mut wrong = |rule: &str, what: String| {
            report.violation("O8", rule, || format!("{}: channel {}: {what}", clock(at), after.id));
        };
        match (before.status, after.status) {
            (OnChainStatus::Open, OnChainStatus::Closing) if after.deadline.0 != now + self.window_secs => {
                let got = after.deadline.0.saturating_sub(now);
                wrong("C9", format!("its window is {got} s long, not {}", self.window_secs));
            }
            (OnChainStatus::Closing, OnChainStatus::Closing | OnChainStatus::Open)
                if after.deadline != before.deadline =>
            {
                let (old, new) = (before.deadline.0, after.deadline.0);
                wrong("C2", format!("{:?} moved its deadline from {old} to {new}", tx.call));
            }
            (OnChainStatus::Open | OnChainStatus::Closing, OnChainStatus::Settled)
                if !matches!(tx.call, Call::CloseCooperatively { .. })
                    && (before.status == OnChainStatus::Open || now < before.deadline.0) =>
            {
                let left = before.deadline.0.saturating_sub(now);
                wrong("C3", format!("it settled {left} s before its window ended"));
            }
            _ => {}
        }
        let is_late = before.status == OnChainStatus::Closing && now >= before.deadline.0;
        if is_late && before.amount != after.amount && after.status == OnChainStatus::Closing {
            wrong("C2", "its amount changed after its window".to_owned());
        }
    }

    /// C2: a genuine voucher over more than is recorded is recorded while the window lasts.
    fn check_dispute(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        let voucher = match tx.call {
            Call::Dispute { voucher } => voucher,
            Call::Close { voucher: Some(voucher), .. } if self.is_party(tx) => voucher,
            _ => return,
        };
        let (Some(before), Some(after)) = (&tx.before, &tx.after) else { return };
        let SignedVoucher { terms, .. } = voucher;
        let is_open = before.status == OnChainStatus::Closing && tx.block.time < before.deadline;
        let Some((deal, claim)) = self.channels.get(&terms.channel) else { return };
        let amount = terms.amount.0.min(deal.deposit);
        let is_genuine = claim.signed.contains(&(terms.nonce.0, terms.amount.0)) && terms.token == deal.token;
        if is_open
            && is_genuine
            && amount > before.amount.0
            && (tx.result.is_err() || after.amount.0 != amount)
        {
            report.violation("O8", "C2", || {
                format!(
                    "{}: a genuine voucher over {amount} did not replace {} on channel {}: {:?}",
                    clock(at),
                    before.amount,
                    after.id,
                    tx.result
                )
            });
        }
    }

    fn is_party(&self, tx: &Included<'_>) -> bool {
        tx.before.is_some_and(|before| tx.sender == before.client || tx.sender == before.node)
    }

    fn check_settled(&mut self, at: Time, after: &OnChain, report: &mut Report) {
        let Some((deal, claim)) = self.channels.get(&after.id) else { return };
        let floor = if claim.counts_until.is_some() { claim.floor } else { claim.held };
        let paid = after.amount.0.min(deal.deposit);
        for (who, party) in [(NODE, deal.node), (CLIENT, deal.client)] {
            let Some(party) = party else { continue };
            let loss = floor[who].saturating_sub(paid);
            let name = self.people.name(party);
            self.worst = self.worst.max(loss);
            let lifted = self.lifts.iter().find(|(lifted, _)| lifted == name).map_or(0, |(_, loss)| *loss);
            if loss > lifted {
                report.violation("O8", "X3", || {
                    format!(
                        "{}: channel {} settled at {paid}, where {name} held a voucher over {} in time",
                        clock(at),
                        after.id,
                        floor[who]
                    )
                });
            } else if loss > 0 {
                report.probe("lifted-loss");
            }
        }
        report.observe("settled-below", u64::try_from(self.worst).unwrap_or(u64::MAX));
    }
}

impl Oracle for Settled {
    fn name(&self) -> &'static str {
        "O8"
    }

    fn kinds(&self) -> Kinds {
        Kinds::of(&[Kind::Start, Kind::Signed, Kind::Persisted, Kind::Included, Kind::WindowSet])
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Signed { actor, what: Typed::Voucher(terms), .. } => {
                if let Some((deal, claim)) = self.channels.get(&terms.channel)
                    && deal.client == Some(actor)
                {
                    claim.signed.insert((terms.nonce.0, terms.amount.0));
                }
            }
            Seen::Persisted { actor, writes, .. } => {
                for record in writes {
                    self.hold(at, actor, record);
                }
            }
            Seen::Included { tx, .. } => self.on_included(at, tx, report),
            Seen::WindowSet { secs } => self.window_secs = secs,
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
            }
            _ => {}
        }
    }
}
