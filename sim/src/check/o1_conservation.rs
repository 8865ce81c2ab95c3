//! O1: every token is conserved over wallets, escrow, credits, treasury and burn.
//!
//! After each block: all holders together have what was ever minted, and what lies outside the actors'
//! wallets is exactly what claims have left of the deposits of channels that have not settled (C12), and the credits that nobody
//! has withdrawn.

use decdn_engine::{ids::Address, time::Time};

use super::book::People;
use crate::{
    ledger::{Account, Ledger},
    report::Report,
    seen::{ChainView, Kind, Oracle, Seen},
};

/// See the module.
#[derive(Default)]
pub struct Conservation {
    people: People,
    accounts: Vec<Address>,
    ledger: Ledger,
    /// What lay outside the actors' wallets before the first transaction, by token.
    outside: Vec<i128>,
}

impl Conservation {
    fn check(&self, at: Time, chain: &dyn ChainView, report: &mut Report) {
        for place in 0..self.ledger.token_count() {
            let token = self.ledger.token_at(place);
            let has = |account: &Address| chain.balance(token, *account).0;
            let all: u128 = chain.holders().iter().map(has).sum();
            let minted = chain.supply(token).0;
            if all != minted {
                report.violation("O1", "O1", || {
                    format!("{}: {all} of token {token} are held, {minted} were minted", clock(at))
                });
            }
            let others = chain.holders().iter().filter(|holder| !self.accounts.contains(holder));
            let outside: u128 = others.map(has).sum();
            let credits: u128 = self.accounts.iter().map(|who| chain.credit(token, *who).0).sum();
            let owed = self.outside[place]
                + self.ledger.balance(Account::Escrow, place)
                + self.ledger.balance(Account::World, place);
            let left = signed(outside) - signed(credits);
            if left != owed {
                report.violation("O1", "C3", || {
                    format!(
                        "{}: beside credits the contracts hold {left} of token {token}, and owe {owed} to channels",
                        clock(at)
                    )
                });
            }
        }
    }
}

/// A simulated time as violations tell it.
pub(super) fn clock(at: Time) -> String {
    let (secs, micros) = (at.0 / 1_000_000, at.0 % 1_000_000);
    format!("at {}:{:02}:{:02}.{micros:06}", secs / 3_600, secs / 60 % 60, secs % 60)
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

impl Oracle for Conservation {
    fn name(&self) -> &'static str {
        "O1"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Included, Kind::Undone, Kind::Block, Kind::End]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match seen {
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.accounts = cast.people.iter().map(|person| person.account).collect();
                self.ledger = Ledger::open(&self.people, &self.accounts, *chain);
                let outside = |place: usize| {
                    let token = self.ledger.token_at(place);
                    let others = chain.holders().iter().filter(|holder| !self.accounts.contains(holder));
                    signed(others.map(|holder| chain.balance(token, *holder).0).sum())
                };
                self.outside = (0..self.ledger.token_count()).map(outside).collect();
                self.check(at, *chain, report);
            }
            Seen::Included { tx, .. } => self.ledger.post(at, tx, &self.people),
            Seen::Undone { tx } => self.ledger.unpost(at, tx, &self.people),
            Seen::Block { chain } | Seen::End { chain, .. } => self.check(at, *chain, report),
            _ => {}
        }
    }
}
