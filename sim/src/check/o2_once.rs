//! O2: per channel claimed + paid at settlement + refunded + held = deposit, and nothing is paid twice.
//!
//! Whoever a transaction is about gains or loses what the channel's terms say, to the base unit; nobody else gains
//! or loses anything; a settled channel stays settled, and its money is gone.

use decdn_engine::{
    chain::{
        ChainEvent,
        channel::{Call, EventKind},
    },
    ids::Address,
    money::Amount,
    time::Time,
};

use super::{book::People, o1_conservation::clock};
use crate::{
    ledger::{Account, Ledger, own},
    report::Report,
    seen::{ChainView, Included, Kind, OnChainStatus, Oracle, Seen},
};

/// See the module.
#[derive(Default)]
pub struct Once {
    people: People,
    accounts: Vec<Address>,
    ledger: Ledger,
}

impl Once {
    /// Everybody has what the ledger says.
    fn check(&mut self, at: Time, chain: &dyn ChainView, report: &mut Report) {
        for place in 0..self.ledger.token_count() {
            let token = self.ledger.token_at(place);
            for (id, account) in self.people.ids().zip(&self.accounts) {
                let has = own(chain, token, *account);
                let due = self.ledger.balance(Account::Of(id), place);
                if has != due {
                    report.violation("O2", "C3", || {
                        let name = self.people.name(id);
                        format!("{}: {name} has {has} with its credits, and should have {due}", clock(at))
                    });
                }
            }
        }
    }

    /// C12: nothing but a claim of its node changes what is claimed, and never takes it back.
    fn judge_claimed(&self, at: Time, tx: &Included<'_>, report: &mut Report) {
        let (Some(before), Some(after)) = (tx.channel_before(), tx.channel_after()) else { return };
        let is_claim = matches!(tx.channel_call(), Some(Call::Claim { .. }))
            && before.status == OnChainStatus::Open
            && tx.sender == before.node;
        if after.claimed != before.claimed && !(is_claim && after.claimed > before.claimed) {
            report.violation("O2", "C12", || {
                let (was, is) = (before.claimed, after.claimed);
                format!(
                    "{}: {was} of channel {} were claimed, now {is}, by {:?}",
                    clock(at),
                    after.id,
                    tx.call
                )
            });
        }
    }

    /// What the contract says it paid, and that it pays once.
    fn judge(&self, at: Time, tx: &Included<'_>, report: &mut Report) {
        for event in tx.events.iter().filter_map(ChainEvent::as_channel) {
            let channel = event.channel;
            let Some(after) = tx.channel_after().filter(|after| after.id == channel) else { continue };
            match event.kind {
                EventKind::Claimed { amount, paid, .. } => {
                    let was = tx.channel_before().map_or(Amount::ZERO, |before| before.claimed);
                    let is_right = amount == after.amount
                        && amount == after.claimed
                        && was.checked_add(paid) == Some(amount)
                        && paid > Amount::ZERO
                        && amount <= after.deposit;
                    if !is_right {
                        report.violation("O2", "C12", || {
                            format!("{}: {paid} were claimed of {amount}: {after:?}, {was} before", clock(at))
                        });
                    }
                }
                EventKind::Settled { amount, paid, refunded, .. } => {
                    let earned = after.claimed.checked_add(paid);
                    let is_right = earned == Some(amount)
                        && amount == after.amount
                        && amount.checked_add(refunded) == Some(after.deposit);
                    if !is_right {
                        report.violation("O2", "C3", || {
                            format!(
                                "{}: channel {channel} settled with {paid} paid and {refunded} refunded, of a deposit of {} with {} recorded and {} claimed",
                                clock(at),
                                after.deposit,
                                after.amount,
                                after.claimed
                            )
                        });
                    }
                }
                _ => {}
            }
        }
        self.judge_claimed(at, tx, report);
        let was = tx.channel_before();
        let Some(before) = was.filter(|before| before.status == OnChainStatus::Settled) else { return };
        if tx.result.is_ok() || tx.channel_after() != Some(before) {
            report.violation("O2", "C3", || {
                format!(
                    "{}: channel {} was settled, and changed again by {:?}",
                    clock(at),
                    before.id,
                    tx.call
                )
            });
        }
    }
}

impl Oracle for Once {
    fn name(&self) -> &'static str {
        "O2"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Included, Kind::Undone, Kind::Block]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match seen {
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.accounts = cast.people.iter().map(|person| person.account).collect();
                self.ledger = Ledger::open(&self.people, &self.accounts, *chain);
            }
            Seen::Included { tx, .. } => {
                self.ledger.post(at, tx, &self.people);
                self.judge(at, tx, report);
            }
            Seen::Undone { tx } => self.ledger.unpost(at, tx, &self.people),
            Seen::Block { chain } => self.check(at, *chain, report),
            _ => {}
        }
    }
}
