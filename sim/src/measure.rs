//! What scenarios ask about a run beside the oracles: the probes that a sweep must reach, and the quantities that
//! bounds hold down. It judges nothing, and it counts for itself what bytes are worth.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    blob::Verdict,
    chain::{Revert, Route, channel},
    fault::{Fault, Rule},
    ids::{BlobHash, ChannelId},
    io::{Answer, Effect, Notice},
    money::MB,
    time::Time,
    wire::{ClientMessage, Message},
};

use crate::{
    actor::ActorId,
    cast::{Cast, Part},
    report::{Probe, Quantity, Report},
    seen::{ChainView, Included, Kind, OnChainStatus, Oracle, Pipe, Seen},
};

/// What a notice shows, if a scenario may ask for it.
pub fn notice_probe(notice: &Notice) -> Option<Probe> {
    Some(match notice {
        Notice::ChannelOpened { .. } => Probe::ChannelOpened,
        Notice::ChannelFound { .. } => Probe::ChannelFound,
        Notice::Quoted { .. } => Probe::Quoted,
        Notice::StreamStarted { .. } => Probe::StreamStarted,
        Notice::Fetched { .. } => Probe::Fetched,
        Notice::FetchFailed { .. } => Probe::FetchFailed,
        Notice::FailedOver { .. } => Probe::FailedOver,
        Notice::Refused { .. } => Probe::Refused,
        Notice::StaleClose { .. } => Probe::StaleCloseSeen,
        Notice::ForcingInclusion { .. } => Probe::ForcedInclusion,
        Notice::Disputed { .. } => Probe::DisputeSeen,
        Notice::Settled { ending: channel::Ending::Consent, .. } => Probe::SettledTogether,
        Notice::Settled { ending: channel::Ending::Window, .. } => Probe::SettledAfterWindow,
        Notice::Settled { ending: channel::Ending::Finish, .. } => Probe::SettledByNode,
        Notice::Ordered { answer: Answer::Taken, .. } => Probe::OrderTaken,
        Notice::Ordered { answer: Answer::Refused(_), .. } => Probe::OrderNotTaken,
        Notice::Ordered { answer: Answer::Done { .. }, .. } => Probe::OrderDone,
        Notice::Ordered { answer: Answer::Reverted(_), .. } => Probe::OrderReverted,
        // What was undone is counted where it happens, once.
        Notice::ChainRead { .. }
        | Notice::Progress { .. }
        | Notice::Voucher { .. }
        | Notice::OrderRefused { .. }
        | Notice::Forgotten { .. }
        | Notice::HeadConfirmed { .. }
        | Notice::TakenBack { .. } => return None,
    })
}

/// The probe of a fault: its rule, and whether somebody is to blame.
pub fn fault_probe(fault: &Fault) -> Probe {
    match (fault, fault.rule()) {
        (Fault::Peer { .. }, Rule::D4) => Probe::BlamedD4,
        (Fault::Peer { .. }, Rule::I3) => Probe::BlamedI3,
        (Fault::Peer { .. }, Rule::V1) => Probe::BlamedV1,
        (Fault::Peer { .. }, Rule::V2) => Probe::BlamedV2,
        (Fault::Peer { .. }, Rule::V4) => Probe::BlamedV4,
        (Fault::Peer { .. }, _) => Probe::Blamed,
        (Fault::Unattributed { .. }, Rule::D10) => Probe::Silence,
        (Fault::Unattributed { .. }, _) => Probe::FailedByNobody,
        (Fault::Limit { .. }, _) => Probe::Limit,
        (Fault::Chain { .. }, _) => Probe::ChainSurprise,
    }
}

/// What an honest actor's effect shows.
pub fn note(effect: &Effect, cast: &Cast, report: &mut Report) {
    match effect {
        Effect::Notice(notice) => {
            if let Some(probe) = notice_probe(notice) {
                report.probe(probe);
            }
        }
        Effect::Fault(fault) => {
            report.probe(fault_probe(fault));
            if let Fault::Peer { peer, .. } = fault
                && cast.by_node(*peer).is_some_and(|person| person.honest)
            {
                report.probe(Probe::HonestBlamed);
            }
        }
        _ => {}
    }
}

/// A range that only grows: downloads go on where they were, and sometimes go over bytes again.
#[derive(Clone, Copy, Debug)]
struct Reach {
    start: u64,
    end: u64,
}

impl Reach {
    /// Takes `[start, end)` in; says how much of it is new.
    fn take(&mut self, start: u64, end: u64) -> u64 {
        let known = self.end - self.start;
        self.start = self.start.min(start);
        self.end = self.end.max(end);
        self.end - self.start - known
    }
}

/// Bytes, each counted once, and what they cost, in base units × MB.
#[derive(Clone, Debug, Default)]
struct Goods {
    reaches: BTreeMap<BlobHash, Reach>,
    cost: u128,
}

impl Goods {
    fn take(&mut self, hash: BlobHash, (offset, bytes): (u64, u64), rate: u64) {
        let fresh = match self.reaches.get_mut(&hash) {
            Some(reach) => reach.take(offset, offset + bytes),
            None => {
                self.reaches.insert(hash, Reach { start: offset, end: offset + bytes });
                bytes
            }
        };
        self.cost += u128::from(fresh) * u128::from(rate);
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Measure {
    cast: Cast,
    /// The agreed rate of each stream, and when it was agreed.
    agreed: BTreeMap<Pipe, (u64, Time)>,
    /// Which channel pays for each stream.
    paid_by: BTreeMap<Pipe, ChannelId>,
    /// Channels on which something was served.
    served: BTreeSet<ChannelId>,
    /// What each honest client verified, whoever sent it.
    bought: BTreeMap<ActorId, Goods>,
    /// What each honest node sent on each channel.
    sold: BTreeMap<ChannelId, Goods>,
    /// Who has sent content since it last verified some.
    selling: BTreeSet<ActorId>,
    disputes: BTreeMap<ChannelId, u64>,
    claims: BTreeMap<ChannelId, u64>,
    /// Channels of which a fork undid a dispute.
    undone: BTreeSet<ChannelId>,
    signatures: u64,
    closed_alone: u64,
}

impl Measure {
    fn is_honest(&self, id: ActorId, part: Part) -> bool {
        let person = self.cast.get(id);
        person.honest && person.plays(part)
    }

    fn rate(&self, pipe: Pipe) -> u64 {
        self.agreed.get(&pipe).map_or(0, |(rate, _)| *rate)
    }

    fn on_included(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        if let Err(revert) = tx.result {
            report.probe(revert_probe(revert));
            return;
        }
        if matches!(tx.channel_call(), Some(channel::Call::Dispute { .. })) {
            report.probe(match tx.route {
                Route::Sequencer => Probe::DisputeLanded,
                Route::DelayedInbox | Route::QueuedBefore => Probe::DisputeLandedByForce,
            });
        }
        match tx.channel_call() {
            Some(channel::Call::Claim { .. }) => report.probe(Probe::Claimed),
            Some(channel::Call::Finish { .. }) => report.probe(Probe::Finished),
            _ => {}
        }
        if tx.from.is_some_and(|id| self.cast.get(id).honest) {
            let way = match tx.route {
                Route::Sequencer => Quantity::InclusionMicros,
                Route::DelayedInbox | Route::QueuedBefore => Quantity::InboxMicros,
            };
            report.observe(way, at.since(tx.submitted).0);
        }
    }

    fn on_undone(&mut self, tx: &Included<'_>, report: &mut Report) {
        let (was, after) = (tx.channel_before(), tx.channel_after());
        let (Some(after), Ok(())) = (after, tx.result) else { return };
        if was.is_none() {
            report.probe(Probe::OpeningUndone);
        } else if after.status == OnChainStatus::Settled {
            report.probe(Probe::SettlementUndone);
        } else if matches!(tx.channel_call(), Some(channel::Call::Dispute { .. })) {
            report.probe(Probe::DisputeUndone);
            self.undone.insert(after.id);
        }
    }

    fn on_end(&self, chain: &dyn ChainView, report: &mut Report) {
        let mut paid: BTreeMap<ActorId, (u128, u128)> = BTreeMap::new();
        let mut stolen = 0;
        for id in chain.channels() {
            let Some(channel) = chain.channel(*id) else { continue };
            if channel.status != OnChainStatus::Settled {
                continue;
            }
            let amount = channel.amount.0.min(channel.deposit.0);
            if let Some(client) = self.cast.by_account(channel.client) {
                let (sum, channels) = paid.entry(client.id).or_default();
                (*sum, *channels) = (*sum + amount, *channels + 1);
            }
            if let Some(goods) = self.sold.get(id) {
                let loss = (goods.cost / u128::from(MB)).saturating_sub(amount);
                stolen += loss;
                report.observe(Quantity::NodeLoss, narrow(loss));
            }
        }
        report.observe(Quantity::Stolen, narrow(stolen));
        for person in &self.cast.people {
            if !self.is_honest(person.id, Part::Client) {
                continue;
            }
            let cost = self.bought.get(&person.id).map_or(0, |goods| goods.cost);
            let price = cost.div_ceil(u128::from(MB));
            let (sum, channels) = paid.get(&person.id).copied().unwrap_or_default();
            let roundings = channels.saturating_sub(1);
            report.observe(Quantity::Overpaid, narrow(sum.saturating_sub(price + roundings)));
            report.observe(Quantity::Underpaid, narrow(price.saturating_sub(sum)));
        }
        report.observe(Quantity::FailedDownloads, report.probe_count(Probe::FetchFailed));
        report.observe(Quantity::HonestBlamed, report.probe_count(Probe::HonestBlamed));
        report.observe(Quantity::Signatures, self.signatures);
    }
}

impl Oracle for Measure {
    fn name(&self) -> &'static str {
        "measure"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Start,
            Kind::Unlinked,
            Kind::Sent,
            Kind::Delivered,
            Kind::Lost,
            Kind::SentContent,
            Kind::Verified,
            Kind::Signed,
            Kind::Crashed,
            Kind::Submitted,
            Kind::Included,
            Kind::Undone,
            Kind::End,
        ]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Start { cast, .. } => self.cast = cast.clone(),
            Seen::Unlinked { why: decdn_engine::io::Gone::Lost, .. } => report.probe(Probe::LinkLost),
            Seen::Sent { pipe, message: Message::Client(message), .. } => match message {
                ClientMessage::StreamRequest(request) => {
                    self.paid_by.insert(pipe, request.channel);
                }
                ClientMessage::StreamResponse(response) if response.ok => {
                    self.agreed.insert(pipe, (response.rate.0, at));
                    if let Some(channel) = self.paid_by.get(&pipe)
                        && !self.served.insert(*channel)
                    {
                        report.probe(Probe::AskedAgain);
                    }
                }
                ClientMessage::VoucherReject(_) => report.probe(Probe::VoucherRejected),
                _ => {}
            },
            Seen::Delivered {
                pipe,
                message: Message::Client(ClientMessage::StreamResponse(response)),
                ..
            } if response.ok => {
                self.agreed.insert(pipe, (response.rate.0, at));
            }
            Seen::Lost { message: Message::Client(ClientMessage::Voucher(_)), .. } => {
                report.probe(Probe::VoucherLost)
            }
            Seen::SentContent { from, pipe, channel: Some(channel), hash, offset, bytes, .. }
                if self.is_honest(from, Part::Node) =>
            {
                let rate = self.rate(pipe);
                self.sold.entry(channel).or_default().take(hash, (offset, bytes), rate);
                self.selling.insert(from);
            }
            Seen::Verified { actor, pipe, hash, verdict: Verdict::Good { offset, bytes, .. }, .. }
                if self.is_honest(actor, Part::Client) =>
            {
                let (rate, since) = self.agreed.get(&pipe).copied().unwrap_or((0, at));
                self.bought.entry(actor).or_default().take(hash, (offset, bytes), rate);
                report.observe(Quantity::TransferMicros, at.since(since).0);
                if self.selling.remove(&actor) {
                    report.probe(Probe::BoughtWhileSelling);
                }
            }
            Seen::Signed { actor, what: decdn_engine::crypto::Typed::Voucher(_), .. }
                if self.is_honest(actor, Part::Client) =>
            {
                self.signatures += 1;
            }
            Seen::Crashed { undone, is_wiped, .. } => {
                report.probe(if is_wiped { Probe::Wiped } else { Probe::Crashed });
                if undone > 0 {
                    report.probe(Probe::CrashedMidStep);
                }
            }
            Seen::Submitted { actor, call, .. } if self.cast.get(actor).honest => {
                if matches!(call.as_channel(), Some(channel::Call::Close { .. })) {
                    self.closed_alone += 1;
                    report.observe(Quantity::ClosedAlone, self.closed_alone);
                }
                if let Some(channel::Call::Claim { voucher }) = call.as_channel() {
                    let count = self.claims.entry(voucher.terms.channel).or_default();
                    *count += 1;
                    report.observe(Quantity::Claims, *count);
                }
                let Some(channel::Call::Dispute { voucher }) = call.as_channel() else { return };
                let count = self.disputes.entry(voucher.terms.channel).or_default();
                *count += 1;
                report.observe(Quantity::Disputes, *count);
                if self.undone.contains(&voucher.terms.channel) {
                    report.probe(Probe::DisputedAgain);
                }
            }
            Seen::Included { tx, .. } => self.on_included(at, tx, report),
            Seen::Undone { tx } => self.on_undone(tx, report),
            Seen::End { chain, .. } => self.on_end(chain, report),
            _ => {}
        }
    }
}

/// What a revert shows.
fn revert_probe(revert: Revert) -> Probe {
    use channel::Revert as Why;
    let Revert::Channel(why) = revert else { return Probe::Revert };
    match why {
        Why::WindowOpen => Probe::RevertWindowOpen,
        Why::WindowOver => Probe::RevertWindowOver,
        Why::AmountNotHigher => Probe::RevertAmountNotHigher,
        Why::BadSignature => Probe::RevertBadSignature,
        Why::NotClosing => Probe::RevertNotClosing,
        Why::NotOpen => Probe::RevertNotOpen,
        Why::NotParty => Probe::RevertNotParty,
        _ => Probe::Revert,
    }
}

fn narrow(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}
