//! O8: an honest holder that can land one transaction in the window gets the voucher with the highest amount settled.
//!
//! The floor of a channel is the highest amount that one of its honest parties had on its disk in time. In time is
//! whatever was there when the close was in a block, or came while the window left the forced path open: until F + 3 h
//! before the deadline. X2 counts on an hour by which the chain's clock may be ahead, and two for the transactions on
//! L1; a sequencer that drops the holder from then on can't be answered inside the window, whatever the holder does.
//! What comes later still counts where nothing of that happened: the sequencer worked and dropped nobody, and
//! the holder was up, from then to the deadline, which was not nearer than the few minutes that one transaction takes.
//! What settles is held against the floor. So is what makes it possible: the window is as long as it was to be at the opening, nothing moves its end
//! (C2, C9), nothing settles before it (C3), and inside it a genuine voucher over more than is recorded is
//! recorded, whatever its nonce (C2). Nobody but a party ends a channel (C1, C4), nothing that the payer has not signed
//! is ever recorded, and no settlement before the window lacks the other side's signature (C4), but for the node's own: what it
//! finishes (C11) it finishes at once, by what the payer has signed, and at least at what is recorded. Less than the payer has
//! signed is no loss of the payer's.

use std::collections::BTreeSet;

use decdn_engine::{
    chain::channel::Call,
    crypto::{SignedVoucher, Typed},
    record::Record,
    time::Time,
};

use super::{
    Briefing, Liftable, Losses,
    book::{Channels, People},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::{Probe, Quantity, Report},
    scenario::Symbol,
    seen::{Included, Kind, OnChain, OnChainStatus, Oracle, Seen},
};

/// What the forced path needs beyond F: an hour of clock, two hours for the transactions (X2).
const MARGIN_SECS: u64 = 3 * 3_600;
/// What a dispute needs where the sequencer is honest: an earlier one on its way that has to fail first, a poll, and a
/// minute or two on L1 if the holder goes by the inbox all the same.
const LAND_SECS: u64 = 600;

/// What the parties of a channel hold.
#[derive(Clone, Debug, Default)]
struct Claim {
    /// On the disk of its honest node, of its honest client.
    held: [u128; 2],
    /// The same, as of the last moment that left time to act.
    floor: [u128; 2],
    /// Until when what is new counts whatever the sequencer does, by the chain's clock.
    counts_until: Option<u64>,
    /// What came later: which side, how much, when.
    late: Vec<(usize, u128, u64)>,
    /// The window in force when it was opened, in seconds (C9).
    window_secs: u64,
    /// Nonces and amounts that the payer's key signed.
    signed: BTreeSet<(u64, u128)>,
    /// Nonces and amounts that the payee's key consented to.
    consents: BTreeSet<(u64, u128)>,
}

const NODE: usize = 0;
const CLIENT: usize = 1;

/// See the module.
#[derive(Default)]
pub struct Settled {
    lifts: Losses,
    window_secs: u64,
    forced_secs: u64,
    people: People,
    channels: Channels<Claim>,
    /// Seconds of the chain's clock at simulated time zero.
    epoch_secs: u64,
    /// When the sequencer was last not honest; for ever, while it isn't.
    disturbed: Option<u64>,
    /// By actor: when it last crashed, or went on after a suspension.
    crashed: Vec<Option<u64>>,
    worst: u128,
}

impl Settled {
    /// With W, F, and the lifts that concern it.
    pub fn new(briefing: &Briefing) -> Self {
        let secs =
            |symbol| briefing.symbols.get(symbol).map_or(0, |secs| u64::try_from(secs).unwrap_or(u64::MAX));
        Self {
            lifts: briefing.lifted(Liftable::O8),
            window_secs: secs(Symbol::Window),
            forced_secs: secs(Symbol::Forced),
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
        let now = self.secs(at);
        let Some((deal, claim)) = self.channels.get(channel) else { return };
        let party = if who == NODE { deal.payee } else { deal.payer };
        if party != Some(actor) {
            return;
        }
        let amount = amount.min(deal.deposit);
        if claim.counts_until.is_none_or(|until| now <= until) {
            claim.floor[who] = claim.floor[who].max(amount);
        } else if amount > claim.held[who] {
            claim.late.push((who, amount, now));
        }
        claim.held[who] = claim.held[who].max(amount);
    }

    /// Its disk is lost, and with it what it held.
    fn forget(&mut self, actor: ActorId) {
        for (deal, claim) in self.channels.iter_mut() {
            for (who, _) in
                [(NODE, deal.payee), (CLIENT, deal.payer)].iter().filter(|(_, party)| *party == Some(actor))
            {
                (claim.held[*who], claim.floor[*who]) = (0, 0);
                claim.late.retain(|(side, ..)| side != who);
            }
        }
    }

    /// A simulated time by the chain's clock, in seconds.
    fn secs(&self, at: Time) -> u64 {
        self.epoch_secs + at.0 / 1_000_000
    }

    fn on_included(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        self.channels.learn(tx, &self.people);
        self.pin_window(tx);
        self.check_window(at, tx, report);
        self.check_dispute(at, tx, report);
        self.check_signed(at, tx, report);
        let Some(after) = tx.channel_after() else { return };
        let was = tx.channel_before().map(|before| before.status);
        let forced = self.forced_secs;
        if let Some((_, claim)) = self.channels.get(&after.id)
            && claim.counts_until.is_none()
            && after.status == OnChainStatus::Closing
        {
            let needs = forced.saturating_add(MARGIN_SECS);
            claim.counts_until = Some(after.deadline.0.saturating_sub(needs).max(tx.block.time.0));
        }
        if after.status == OnChainStatus::Settled && was != Some(OnChainStatus::Settled) {
            let is_finished = matches!(tx.channel_call(), Some(Call::Finish { .. }));
            self.check_settled(at, after, is_finished, report);
        }
    }

    /// C9: what is in force when a channel is opened is its window.
    fn pin_window(&mut self, tx: &Included<'_>) {
        let (None, Some(after)) = (tx.channel_before(), tx.channel_after()) else { return };
        if let Some((_, claim)) = self.channels.get(&after.id) {
            claim.window_secs = self.window_secs;
        }
    }

    /// C2, C3, C9: the window.
    fn check_window(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        let (Some(before), Some(after)) = (tx.channel_before(), tx.channel_after()) else { return };
        let window_secs = self.channels.get(&after.id).map_or(0, |(_, claim)| claim.window_secs);
        let now = tx.block.time.0;
        let mut wrong = |rule: &str, what: String| {
            report.violation("O8", rule, || format!("{}: channel {}: {what}", clock(at), after.id));
        };
        match (before.status, after.status) {
            (OnChainStatus::Open, OnChainStatus::Closing) if after.deadline.0 != now + window_secs => {
                let got = after.deadline.0.saturating_sub(now);
                wrong("C9", format!("its window is {got} s long, not {window_secs}"));
            }
            (OnChainStatus::Closing, OnChainStatus::Closing | OnChainStatus::Open)
                if after.deadline != before.deadline =>
            {
                let (old, new) = (before.deadline.0, after.deadline.0);
                wrong("C2", format!("{:?} moved its deadline from {old} to {new}", tx.call));
            }
            (OnChainStatus::Open | OnChainStatus::Closing, OnChainStatus::Settled)
                if !matches!(
                    tx.channel_call(),
                    Some(Call::CloseCooperatively { .. } | Call::Finish { .. })
                ) && (before.status == OnChainStatus::Open || now < before.deadline.0) =>
            {
                let left = before.deadline.0.saturating_sub(now);
                wrong("C3", format!("it settled {left} s before its window ended"));
            }
            _ => {}
        }
        if matches!(tx.channel_call(), Some(Call::Finish { .. }))
            && after.status == OnChainStatus::Settled
            && before.status != OnChainStatus::Settled
            && (tx.sender != before.node || after.amount < before.amount)
        {
            wrong("C11", "somebody else finished it, or below what was recorded".to_owned());
        }
        let is_late = before.status == OnChainStatus::Closing && now >= before.deadline.0;
        if is_late && before.amount != after.amount && after.status == OnChainStatus::Closing {
            wrong("C2", "its amount changed after its window".to_owned());
        }
    }

    /// C1, C2, C4: who ends a channel, and by what.
    fn check_signed(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        let (Some(before), Some(after), Ok(())) = (tx.channel_before(), tx.channel_after(), tx.result) else {
            return;
        };
        let is_party = self.is_party(tx);
        let Some((deal, claim)) = self.channels.get(&after.id) else { return };
        let mut wrong = |rule: &str, what: &str| {
            report.violation("O8", rule, || {
                format!("{}: channel {}, by {:?}: {what}", clock(at), after.id, tx.call)
            });
        };
        let is_ended = before.status == OnChainStatus::Open && after.status != OnChainStatus::Open;
        if !is_party && (is_ended || matches!(tx.channel_call(), Some(Call::CloseCooperatively { .. }))) {
            wrong("C1", "somebody who is no party of it ended it");
        }
        let terms = match tx.channel_call() {
            Some(Call::Close { voucher, .. } | Call::CloseCooperatively { voucher, .. }) => {
                voucher.map_or((0, 0), |voucher| (voucher.terms.nonce.0, voucher.terms.amount.0))
            }
            Some(Call::Dispute { voucher } | Call::Claim { voucher }) => {
                (voucher.terms.nonce.0, voucher.terms.amount.0)
            }
            // One that is not above what is recorded is not looked at.
            Some(Call::Finish { voucher: Some(voucher), .. }) if after.amount > before.amount => {
                (voucher.terms.nonce.0, voucher.terms.amount.0)
            }
            _ => return,
        };
        if terms != (0, 0) && !claim.signed.contains(&terms) {
            wrong("C2", "its payer never signed that");
        }
        if matches!(tx.channel_call(), Some(Call::CloseCooperatively { .. }))
            && after.status == OnChainStatus::Settled
            && !claim.consents.contains(&terms)
        {
            let node = deal.payee.map_or("somebody", |node| self.people.name(node));
            wrong("C4", &format!("{node} never consented to that"));
        }
    }

    /// C2: a genuine voucher over more than is recorded is recorded while the window lasts.
    fn check_dispute(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        let voucher = match tx.channel_call() {
            Some(Call::Dispute { voucher }) => voucher,
            Some(Call::Close { voucher: Some(voucher), .. }) if self.is_party(tx) => voucher,
            _ => return,
        };
        let (Some(before), Some(after)) = (tx.channel_before(), tx.channel_after()) else { return };
        let SignedVoucher { terms, .. } = voucher;
        let is_open = before.status == OnChainStatus::Closing && tx.block.time < before.deadline;
        let Some((deal, claim)) = self.channels.get(&terms.channel) else { return };
        let amount = terms.amount.0.min(deal.deposit);
        let is_genuine = claim.signed.contains(&(terms.nonce.0, terms.amount.0)) && terms.token == deal.token;
        if is_open
            && is_genuine
            && !tx.is_out_of_gas
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
        tx.channel_before().is_some_and(|before| tx.sender == before.client || tx.sender == before.node)
    }

    fn check_settled(&mut self, at: Time, after: &OnChain, is_finished: bool, report: &mut Report) {
        let Some((deal, claim)) = self.channels.get(&after.id) else { return };
        let mut floor = if claim.counts_until.is_some() { claim.floor } else { claim.held };
        for &(who, amount, since) in &claim.late {
            let party = if who == NODE { deal.payee } else { deal.payer };
            let crashed = party.and_then(|party| self.crashed[usize::from(party.0)]);
            if since + LAND_SECS <= after.deadline.0 && self.disturbed < Some(since) && crashed < Some(since)
            {
                floor[who] = floor[who].max(amount);
            }
        }
        let paid = after.amount.0.min(deal.deposit);
        for (who, party) in [(NODE, deal.payee), (CLIENT, deal.payer)] {
            let Some(party) = party.filter(|_| who == NODE || !is_finished) else { continue };
            let loss = floor[who].saturating_sub(paid);
            let name = self.people.name(party);
            self.worst = self.worst.max(loss);
            if loss > self.lifts.of(party).unwrap_or(0) {
                report.violation("O8", "X3", || {
                    format!(
                        "{}: channel {} settled at {paid}, where {name} held a voucher over {} in time",
                        clock(at),
                        after.id,
                        floor[who]
                    )
                });
            } else if loss > 0 {
                report.probe(Probe::LiftedLoss);
            }
        }
        report.observe(Quantity::SettledBelow, u64::try_from(self.worst).unwrap_or(u64::MAX));
    }
}

impl Oracle for Settled {
    fn name(&self) -> &'static str {
        "O8"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Start,
            Kind::Signed,
            Kind::Persisted,
            Kind::Crashed,
            Kind::Suspended,
            Kind::Included,
            Kind::Undone,
            Kind::WindowSet,
            Kind::Sequencer,
        ]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Signed { actor, what: Typed::Voucher(terms), .. } => {
                if let Some((deal, claim)) = self.channels.get(&terms.channel)
                    && deal.payer == Some(actor)
                {
                    claim.signed.insert((terms.nonce.0, terms.amount.0));
                }
            }
            Seen::Signed { actor, what: Typed::CooperativeClose(terms), .. } => {
                if let Some((deal, claim)) = self.channels.get(&terms.channel)
                    && deal.payee == Some(actor)
                {
                    claim.consents.insert((terms.nonce.0, terms.amount.0));
                }
            }
            Seen::Persisted { actor, writes, .. } => {
                for record in writes {
                    self.hold(at, actor, record);
                }
            }
            Seen::Included { tx, .. } => self.on_included(at, tx, report),
            // Who closes next opens a new window, and all that is held by then counts.
            Seen::Undone { tx } => {
                if tx.channel_before().is_some_and(|before| before.status == OnChainStatus::Open)
                    && let Some((_, claim)) =
                        tx.channel_after().and_then(|after| self.channels.get(&after.id))
                {
                    claim.counts_until = None;
                    claim.floor = claim.held;
                    claim.late.clear();
                }
            }
            Seen::WindowSet { secs } => self.window_secs = secs,
            Seen::Crashed { actor, is_wiped, .. } => {
                self.crashed[usize::from(actor.0)] = Some(self.secs(at));
                if is_wiped {
                    self.forget(actor);
                }
            }
            Seen::Suspended { actor, lasts } => {
                self.crashed[usize::from(actor.0)] = Some(self.secs(at + lasts));
            }
            Seen::Sequencer { censored, up } => {
                let is_honest = up && censored.is_none();
                self.disturbed = Some(if is_honest { self.secs(at) } else { u64::MAX });
            }
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.epoch_secs = chain.head(at).time.0.saturating_sub(at.0 / 1_000_000);
                self.crashed = vec![None; cast.people.len()];
                self.channels.learn_all(chain, &self.people);
                self.channels.iter_mut().for_each(|(_, claim)| claim.window_secs = self.window_secs);
            }
            _ => {}
        }
    }
}
