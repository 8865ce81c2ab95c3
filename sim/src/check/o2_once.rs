//! O2: per channel paid + refunded + held = deposit, and nothing is paid twice.
//!
//! Whoever a transaction is about gains or loses what the channel's terms say, to the base unit; nobody else gains
//! or loses anything; a settled channel stays settled, and its money is gone.

use decdn_engine::{
    chain::{ChainEvent, channel::EventKind},
    ids::Address,
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

    /// What the contract says it paid, and that it pays once.
    fn judge(&self, at: Time, tx: &Included<'_>, report: &mut Report) {
        for event in tx.events.iter().filter_map(ChainEvent::as_channel) {
            let channel = event.channel;
            let EventKind::Settled { amount, paid, refunded, .. } = event.kind else { continue };
            let Some(after) = tx.channel_after().filter(|after| after.id == channel) else { continue };
            let sum = paid.checked_add(refunded);
            if sum != Some(after.deposit) || paid != after.amount.min(after.deposit) || amount != after.amount
            {
                report.violation("O2", "C3", || {
                    format!(
                        "{}: channel {channel} settled with {paid} paid and {refunded} refunded, of a deposit of {} with {} recorded",
                        clock(at),
                        after.deposit,
                        after.amount
                    )
                });
            }
        }
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
