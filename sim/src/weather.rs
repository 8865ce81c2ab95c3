//! Which weather met money: probes that count only while a channel of an honest party is closing on chain, because weather that meets
//! nothing shows nothing. It judges nothing.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    chain::{Call, Route, channel},
    ids::{Address, ChannelId},
    time::Time,
};

use crate::{
    actor::ActorId,
    cast::Cast,
    chain::PurseNews,
    report::{Probe, Report},
    seen::{Included, Kind, OnChainStatus, Oracle, Seen},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Weather {
    cast: Cast,
    /// Channels that are closing, with their parties.
    closing: BTreeMap<ChannelId, [Address; 2]>,
    /// Channels that are open, with their parties.
    open: BTreeMap<ChannelId, [Address; 2]>,
    /// Whose dispute is on its way through the delayed inbox, about which channel.
    queued: BTreeSet<(ActorId, ChannelId)>,
    /// Whose wall clock is off.
    off: BTreeSet<ActorId>,
}

impl Weather {
    /// Whether one of these channels is this party's, and it is honest.
    fn has_one(&self, channels: &BTreeMap<ChannelId, [Address; 2]>, actor: ActorId) -> bool {
        let person = self.cast.get(actor);
        person.honest && channels.values().any(|parties| parties.contains(&person.account))
    }

    /// Whether a channel of this honest party is closing.
    fn is_at_stake(&self, actor: ActorId) -> bool {
        self.has_one(&self.closing, actor)
    }

    fn meets(&self, actor: ActorId, probe: Probe, report: &mut Report) {
        if self.is_at_stake(actor) {
            report.probe(probe);
        }
    }

    fn on_included(&mut self, tx: &Included<'_>, report: &mut Report) {
        if tx.route == Route::Sequencer && self.queued.iter().any(|(who, _)| tx.from == Some(*who)) {
            report.probe(Probe::BusinessWhileQueued);
        }
        if let Some(after) = tx.channel_after() {
            if after.status == OnChainStatus::Open {
                self.open.insert(after.id, [after.client, after.node]);
            } else {
                self.open.remove(&after.id);
            }
            if after.status == OnChainStatus::Closing {
                let is_new = self.closing.insert(after.id, [after.client, after.node]).is_none();
                let off: Vec<ActorId> = self.off.iter().copied().collect();
                // A close that begins under a wrong clock meets it as much as one that a clock goes wrong under.
                off.into_iter().filter(|_| is_new).for_each(|who| {
                    self.meets(who, Probe::ClockWrongInWindow, report);
                });
            } else {
                self.closing.remove(&after.id);
            }
        }
        if let (Some(from), Some(channel::Call::Dispute { voucher }), Route::DelayedInbox) =
            (tx.from, tx.channel_call(), tx.route)
        {
            self.queued.remove(&(from, voucher.terms.channel));
        }
    }
}

fn probe_of(what: PurseNews) -> Probe {
    match what {
        PurseNews::Unpaid { .. } => Probe::UnpaidInWindow,
        PurseNews::OutOfGas { .. } => Probe::OutOfGasInWindow,
        PurseNews::Raised { .. } => Probe::RaisedInWindow,
        PurseNews::GivenUp => Probe::GivenUpInWindow,
    }
}

impl Oracle for Weather {
    fn name(&self) -> &'static str {
        "weather"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Start,
            Kind::Submitted,
            Kind::Included,
            Kind::Undone,
            Kind::Restarted,
            Kind::Suspended,
            Kind::ClockSet,
            Kind::TxLost,
            Kind::HeadOff,
            Kind::LogsMissed,
            Kind::EndpointWrong,
            Kind::Apart,
            Kind::Purse,
        ]
    }

    fn see(&mut self, _at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Start { cast, .. } => self.cast = cast.clone(),
            Seen::Submitted {
                actor,
                call: Call::Channel(channel::Call::Dispute { voucher }),
                route: Route::DelayedInbox,
            } if self.is_at_stake(actor) => _ = self.queued.insert((actor, voucher.terms.channel)),
            Seen::Included { tx, .. } => self.on_included(tx, report),
            Seen::Undone { tx } => {
                if let Some(channel) = tx.channel_before() {
                    match channel.status {
                        OnChainStatus::Closing => {
                            self.closing.insert(channel.id, [channel.client, channel.node]);
                        }
                        _ => _ = self.closing.remove(&channel.id),
                    }
                }
            }
            Seen::Restarted { actor, .. } if self.queued.iter().any(|(who, _)| *who == actor) => {
                report.probe(Probe::RestartedWhileQueued);
            }
            Seen::Suspended { actor, .. } => self.meets(actor, Probe::SuspendedInWindow, report),
            Seen::ClockSet { actor, ahead_us } => {
                if ahead_us == 0 {
                    self.off.remove(&actor);
                } else {
                    self.off.insert(actor);
                    self.meets(actor, Probe::ClockWrongInWindow, report);
                }
            }
            // It matters where something was earned and nothing is closing.
            Seen::HeadOff { actor, .. } if self.has_one(&self.open, actor) => {
                report.probe(Probe::HeadOffWhileOpen)
            }
            Seen::EndpointWrong { actor, .. } => {
                if self.has_one(&self.open, actor) {
                    report.probe(Probe::EndpointWrongWhileOpen);
                }
                self.meets(actor, Probe::EndpointWrongInWindow, report);
            }
            Seen::Apart { actor } if self.has_one(&self.open, actor) || self.is_at_stake(actor) => {
                report.probe(Probe::EndpointsApart);
            }
            Seen::Purse { actor, what } => self.meets(actor, probe_of(what), report),
            Seen::LogsMissed { actor, .. } => self.meets(actor, Probe::LogsMissedInWindow, report),
            Seen::TxLost { actor, route } => {
                let probe = match route {
                    Route::Sequencer => Probe::LostInWindow,
                    Route::DelayedInbox | Route::QueuedBefore => Probe::InboxMissingInWindow,
                };
                self.meets(actor, probe, report);
            }
            _ => {}
        }
    }
}
