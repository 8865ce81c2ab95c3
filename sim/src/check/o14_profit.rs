//! O14: the profit of any coalition is at most what the scenario's formula says.
//!
//! Everybody who is not honest is taken as one coalition. What it gained is read off the ledger: money that came
//! in, content that it got, less money and content that it gave. The formula is the scenario's `profit`, which may
//! name K, the channels between the coalition and honest parties: each costs it an opening and a close. Where everybody
//! is honest there is nobody to gain anything.

use std::collections::BTreeMap;

use decdn_engine::{
    blob::Verdict,
    ids::BlobHash,
    record::{Key, Record},
    time::Time,
    wire::{ClientMessage, Message},
};

use super::{
    Briefing,
    book::{Channels, People, Pipes, Ranges},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    ledger::{Account, Entry, Ledger},
    report::{Quantity, Report},
    scenario::{Symbol, Symbols, evaluate},
    seen::{ChainView, Durable, Kind, OnChainStatus, Oracle, Pipe, Seen},
};

/// What a stream was asked for and agreed to.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    token: u8,
    rate: u64,
}

/// See the module.
#[derive(Default)]
pub struct Profit {
    formula: String,
    symbols: Symbols,
    people: People,
    ledger: Ledger,
    channels: Channels<()>,
    pipes: Pipes<Asked>,
    /// What everybody has got, each byte once.
    got: BTreeMap<(ActorId, BlobHash), Ranges>,
}

impl Profit {
    /// With the scenario's formula.
    pub fn new(briefing: &Briefing) -> Self {
        let (formula, symbols) = (briefing.profit.clone(), briefing.symbols.clone());
        Self { formula, symbols, ..Self::default() }
    }

    fn on_message(&mut self, pipe: Pipe, message: &Message) {
        let Message::Client(message) = message else { return };
        match message {
            ClientMessage::StreamRequest(request) => {
                let Some(number) = self.channels.number(&request.channel) else { return };
                let (deal, _) = self.channels.at(number);
                let token = self.ledger.token(deal.token).unwrap_or(0) as u8;
                *self.pipes.entry(pipe) = Asked { token, rate: 0 };
            }
            ClientMessage::StreamResponse(response) if response.ok => {
                let asked = self.pipes.entry(pipe);
                if asked.rate == 0 {
                    asked.rate = response.rate.0;
                }
            }
            _ => {}
        }
    }

    /// Money in channels that are not over goes to whom it is owed: the node has its best voucher, the client the
    /// rest.
    fn wind_up(&mut self, at: Time, chain: &dyn ChainView, durable: &[Durable]) {
        for (deal, _) in self.channels.iter_mut() {
            let Some(channel) = chain.channel(deal.id) else { continue };
            let Some(token) = self.ledger.token(deal.token) else { continue };
            if !matches!(channel.status, OnChainStatus::Open | OnChainStatus::Closing) {
                continue;
            }
            let record = deal.payee.and_then(|node| durable.get(usize::from(node.0)));
            let best = match record.and_then(|durable| durable.get(&Key::Earning(deal.id))) {
                Some(Record::Earning(earning)) => earning.best.map_or(0, |best| best.amount.0),
                _ => 0,
            };
            let due = best.max(channel.amount.0).min(deal.deposit);
            let account = |who: Option<ActorId>| who.map_or(Account::World, Account::Of);
            for (to, amount) in [(deal.payee, due), (deal.payer, deal.deposit - due)] {
                let amount = decdn_engine::money::Amount(amount);
                self.ledger.enter(Entry { at, token, from: Account::Escrow, to: account(to), amount });
            }
        }
    }

    fn on_end(&mut self, at: Time, report: &mut Report) {
        let coalition = || self.people.ids().filter(|id| !self.people.is_honest(*id));
        let mut profit = 0;
        for token in 0..self.ledger.token_count() {
            let gained: i128 = coalition().map(|id| self.ledger.profit(id, token)).sum();
            profit = profit.max(gained);
        }
        let profit = u128::try_from(profit).unwrap_or(0);
        let honest = |who: Option<ActorId>| who.is_some_and(|who| self.people.is_honest(who));
        let mixed = self.channels.iter_mut().filter(|(deal, ())| honest(deal.payer) != honest(deal.payee));
        let mixed = mixed.count() as u128;
        self.symbols.set(Symbol::Mixed, mixed);
        let allowed = evaluate(&self.formula, &self.symbols).unwrap_or(0);
        if profit > allowed {
            report.violation("O14", "O14", || {
                format!("{}: the coalition gained {profit}, where {allowed} is conceded", clock(at))
            });
        }
        report.observe(Quantity::CoalitionProfit, u64::try_from(profit).unwrap_or(u64::MAX));
        let gas = |honest: bool| {
            let gas_of = |id| if self.people.is_honest(id) == honest { self.ledger.page(id).gas } else { 0 };
            self.people.ids().map(gas_of).sum::<u64>()
        };
        report.observe(Quantity::CoalitionGas, gas(false));
        report.observe(Quantity::HonestGas, gas(true));
    }
}

impl Oracle for Profit {
    fn name(&self) -> &'static str {
        "O14"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Start, Kind::Sent, Kind::SentContent, Kind::Verified, Kind::Included, Kind::Undone, Kind::End]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::SentContent { from, bytes, .. } => self.ledger.page_mut(from).sent_bytes += bytes,
            Seen::Verified {
                actor, from, pipe, hash, verdict: Verdict::Good { offset, bytes, .. }, ..
            } => {
                // What goes out again for nothing (D8) is worth nothing more to whoever has it.
                let fresh = self.got.entry((actor, hash)).or_default().add(offset, offset + bytes);
                if let Some(asked) = self.pipes.get(pipe) {
                    self.ledger.serve(usize::from(asked.token), from, actor, fresh, asked.rate);
                }
            }
            Seen::Sent { pipe, message, .. } => self.on_message(pipe, message),
            Seen::Included { tx, .. } => {
                self.channels.learn(tx, &self.people);
                self.ledger.post(at, tx, &self.people);
            }
            Seen::Undone { tx } => self.ledger.unpost(at, tx, &self.people),
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
                let accounts: Vec<_> = cast.people.iter().map(|person| person.account).collect();
                self.ledger = Ledger::open(&self.people, &accounts, chain);
            }
            Seen::End { chain, durable, .. } => {
                self.wind_up(at, chain, durable);
                self.on_end(at, report);
            }
            _ => {}
        }
    }
}
