//! A node whose price rises: from some time on it quotes more than before. What it charges stays below either quote, so nothing
//! but its quotes tells. A client goes by what its owner has agreed to (D16).

use std::collections::BTreeMap;

use decdn_engine::{
    crypto::Typed,
    ids::SignTicket,
    io::{Effect, Input, Output},
    money::{DECIMALS, Rate, rate_max},
    time::{Span, WallTime},
    wire::{Message, ProbeMessage},
};

use super::{With, mask::Hand};
use crate::{actor::Turn, rung::Mix, world::EPOCH};

/// See the module.
#[derive(Clone, Debug)]
pub struct Riser {
    from: WallTime,
    percent: u64,
    /// The quotes that its signer was asked for, and whether they are of the higher price: each is sent as it was signed.
    signing: BTreeMap<SignTicket, bool>,
    /// The one whose signature has come in this step.
    is_risen: bool,
}

impl Riser {
    /// `with`: `from_secs`, when, and `percent`, what it quotes then of what it did.
    pub fn new(with: &With) -> Self {
        let from = EPOCH + Span::from_secs(with.or("from_secs", 60));
        Self { from, percent: with.or("percent", 200), signing: BTreeMap::new(), is_risen: false }
    }

    fn high(&self, rate: Rate, is_risen: bool) -> Rate {
        if is_risen {
            Rate((rate.0.saturating_mul(self.percent) / 100).min(rate_max(DECIMALS).0))
        } else {
            rate
        }
    }
}

impl Hand for Riser {
    fn hear(&mut self, input: &mut Input, _turn: &mut Turn<'_>) -> bool {
        if let Input::Signed { ticket, .. } = input {
            self.is_risen = self.signing.remove(ticket).unwrap_or_default();
        }
        true
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let effect = match output.effect {
            Effect::Sign { ticket, what: Typed::ProbeResponse(mut terms) } => {
                let is_risen = turn.now.wall >= self.from;
                self.signing.insert(ticket, is_risen);
                terms.rate = self.high(terms.rate, is_risen);
                Effect::Sign { ticket, what: Typed::ProbeResponse(terms) }
            }
            Effect::Send { stream, message: Message::Probe(ProbeMessage::Response(mut response)) } => {
                response.rate = self.high(response.rate, self.is_risen);
                Effect::Send { stream, message: Message::Probe(ProbeMessage::Response(response)) }
            }
            effect => effect,
        };
        turn.push(output.lane, effect);
    }

    fn mix(&self, mix: &mut Mix) {
        mix.words([self.signing.len() as u64, u64::from(self.is_risen)]);
    }

    fn restart(&mut self) {
        self.signing.clear();
    }
}
