//! O5: a payer's nonces and amounts rise together and a payee's best amount never falls, crashes included; on chain
//! the recorded amount never falls.

use std::collections::BTreeSet;

use decdn_engine::{
    crypto::Typed,
    ids::ChannelId,
    record::{Best, Key, Record},
    time::Time,
};

use super::{
    book::{Channels, People},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::Report,
    seen::{Durable, Included, Kind, OnChainStatus, Oracle, Seen},
};

/// What was signed and taken on a channel.
#[derive(Clone, Debug, Default)]
struct Sequence {
    /// The payer's newest: nonce and amount.
    newest: (u64, u128),
    /// Everything that the payer's key signed above the payee's best.
    signed: BTreeSet<(u64, u128)>,
    /// The payee's best, on its disk.
    best: (u64, u128),
    /// Settled: a voucher is worth nothing any more.
    is_over: bool,
}

/// See the module.
#[derive(Default)]
pub struct Rising {
    people: People,
    channels: Channels<Sequence>,
}

impl Rising {
    fn on_signed(
        &mut self,
        at: Time,
        actor: ActorId,
        (channel, nonce, amount): (&ChannelId, u64, u128),
        report: &mut Report,
    ) {
        let Some((deal, kept)) = self.channels.get(channel) else { return };
        if deal.payer != Some(actor) {
            return;
        }
        kept.signed.insert((nonce, amount));
        let newest = kept.newest;
        let is_repeat = (nonce, amount) == newest;
        let rises = nonce > newest.0 && amount > newest.1;
        if self.people.is_honest(actor) && !is_repeat && !rises {
            let rule = if nonce == newest.0 { "V3" } else { "V1" };
            report.violation("O5", rule, || {
                format!(
                    "{}: {} signs nonce {nonce} over {amount} on channel {channel}, after nonce {} over {}",
                    clock(at),
                    self.people.name(actor),
                    newest.0,
                    newest.1
                )
            });
        }
        if nonce >= newest.0 {
            kept.newest = (nonce, amount);
        }
    }

    /// The payee takes a voucher: higher in both than the one before, within the deposit, signed by the payer.
    fn on_taken(
        &mut self,
        at: Time,
        actor: ActorId,
        channel: &ChannelId,
        best: Option<Best>,
        report: &mut Report,
    ) {
        let Some((deal, kept)) = self.channels.get(channel) else {
            return report.violation("O5", "V1", || {
                let name = self.people.name(actor);
                format!("{}: {name} keeps a channel that was never opened", clock(at))
            });
        };
        if kept.is_over {
            return;
        }
        let now = best.map_or((0, 0), |best| (best.nonce.0, best.amount.0));
        let was = std::mem::replace(&mut kept.best, now);
        if now == was {
            return;
        }
        let rises = now.0 > was.0 && now.1 > was.1;
        let is_signed = kept.signed.contains(&now);
        kept.signed = kept.signed.split_off(&(now.0, 0));
        if !rises || !is_signed || now.1 > deal.deposit {
            report.violation("O5", "V1", || {
                let name = self.people.name(actor);
                let signed = if is_signed { "" } else { ", which its payer never signed" };
                format!(
                    "{}: {name} keeps nonce {} over {}{signed} in place of nonce {} over {}, with a deposit of {}",
                    clock(at),
                    now.0,
                    now.1,
                    was.0,
                    was.1,
                    deal.deposit
                )
            });
        }
    }

    /// What was on the disk before is there after a crash, or something better: a write set that was under way.
    fn on_crash(&mut self, at: Time, actor: ActorId, durable: &Durable, report: &mut Report) {
        for (deal, kept) in
            self.channels.iter_mut().filter(|(deal, kept)| deal.payee == Some(actor) && !kept.is_over)
        {
            let record = durable.get(&Key::Earning(deal.id));
            let Some(Record::Earning(earning)) = record else { continue };
            let now = earning.best.map_or((0, 0), |best| (best.nonce.0, best.amount.0));
            if now.1 < kept.best.1 || now.0 < kept.best.0 {
                report.violation("O5", "V3", || {
                    format!(
                        "{}: {} forgets nonce {} over {} in a crash, and has nonce {} over {}",
                        clock(at),
                        self.people.name(actor),
                        kept.best.0,
                        kept.best.1,
                        now.0,
                        now.1
                    )
                });
            }
            kept.best = kept.best.max(now);
        }
    }

    fn on_included(&mut self, at: Time, tx: &Included<'_>, report: &mut Report) {
        self.channels.learn(tx, &self.people);
        let (Some(before), Some(after)) = (tx.channel_before(), tx.channel_after()) else { return };
        if after.status == OnChainStatus::Settled
            && let Some((_, kept)) = self.channels.get(&after.id)
        {
            kept.is_over = true;
        }
        if after.amount < before.amount || after.nonce < before.nonce {
            report.violation("O5", "C2", || {
                format!(
                    "{}: channel {} had nonce {} over {} recorded, and now has nonce {} over {}",
                    clock(at),
                    after.id,
                    before.nonce.0,
                    before.amount,
                    after.nonce.0,
                    after.amount
                )
            });
        }
    }
}

impl Oracle for Rising {
    fn name(&self) -> &'static str {
        "O5"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Signed, Kind::Persisted, Kind::Crashed, Kind::Included, Kind::Undone]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::Signed { actor, what: Typed::Voucher(terms), .. } => {
                self.on_signed(at, actor, (&terms.channel, terms.nonce.0, terms.amount.0), report);
            }
            Seen::Persisted { actor, writes, .. } if self.people.is_honest(actor) => {
                for record in writes {
                    if let Record::Earning(earning) = record {
                        self.on_taken(at, actor, &earning.channel, earning.best, report);
                    }
                }
            }
            // A payer whose disk is lost has signed what it has signed all the same; a payee has nothing left that could fall.
            Seen::Crashed { actor, is_wiped: true, .. } => {
                let mut all = self.channels.iter_mut();
                all.by_ref()
                    .filter(|(deal, _)| deal.payee == Some(actor))
                    .for_each(|(_, kept)| kept.best = (0, 0));
            }
            Seen::Crashed { actor, durable, .. } if self.people.is_honest(actor) => {
                self.on_crash(at, actor, durable, report);
            }
            Seen::Included { tx, .. } => self.on_included(at, tx, report),
            // It is worth something again.
            Seen::Undone { tx } => {
                if let Some(after) = tx.channel_after().filter(|after| after.status == OnChainStatus::Settled)
                    && let Some((_, kept)) = self.channels.get(&after.id)
                {
                    kept.is_over = false;
                }
            }
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
            }
            _ => {}
        }
    }
}
