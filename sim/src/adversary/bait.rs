//! A node that quotes less than it charges: once the channel is open it asks for its full rate, over its own signature
//! (D1, E5). A client that holds it to its word leaves, and owes nothing.

use std::collections::BTreeMap;

use decdn_engine::{
    crypto::{StreamResponseTerms, Typed},
    ids::ChannelId,
    io::{Effect, Input, Output},
    money::{DECIMALS, Rate, rate_max},
    time::WallTime,
    wire::{ClientMessage, Message, ProbeMessage, StreamRequest},
};

use super::{With, mask::Hand};
use crate::{actor::Turn, rung::Mix};

/// Requests that it remembers: more than anybody has open.
const REQUESTS: usize = 1_024;

/// See the module.
#[derive(Clone, Debug)]
pub struct Bait {
    part: u64,
    /// What was really asked, where its role was told something else.
    asked: BTreeMap<(ChannelId, WallTime), StreamRequest>,
}

impl Bait {
    /// `with`: `part`, by which it divides its rate in a quote.
    pub fn new(with: &With) -> Self {
        Self { part: with.or("part", 2).max(1), asked: BTreeMap::new() }
    }

    fn low(&self, rate: Rate) -> Rate {
        if rate.0 == 0 { rate } else { Rate((rate.0 / self.part).max(1)) }
    }
}

impl Hand for Bait {
    fn hear(&mut self, input: &mut Input, _turn: &mut Turn<'_>) -> bool {
        if let Input::Message { message: Message::Client(ClientMessage::StreamRequest(request)), .. } = input
        {
            if self.asked.len() < REQUESTS {
                self.asked.insert((request.channel, request.timestamp), *request);
            }
            // Its role would keep the quote, or refuse.
            (request.quote, request.max_rate) = (None, rate_max(DECIMALS));
        }
        true
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let effect = match output.effect {
            Effect::Sign { ticket, what: Typed::ProbeResponse(mut terms) } => {
                terms.rate = self.low(terms.rate);
                Effect::Sign { ticket, what: Typed::ProbeResponse(terms) }
            }
            Effect::Send { stream, message: Message::Probe(ProbeMessage::Response(mut response)) } => {
                response.rate = self.low(response.rate);
                Effect::Send { stream, message: Message::Probe(ProbeMessage::Response(response)) }
            }
            Effect::Sign { ticket, what: Typed::StreamResponse(mut terms) } => {
                if let Some(request) = self.asked.remove(&(terms.channel, terms.timestamp)) {
                    terms.max_rate = request.max_rate;
                    terms.quote = StreamResponseTerms::quote_of(terms.node, &request);
                }
                Effect::Sign { ticket, what: Typed::StreamResponse(terms) }
            }
            effect => effect,
        };
        turn.push(output.lane, effect);
    }

    fn mix(&self, mix: &mut Mix) {
        mix.word(self.asked.len() as u64);
    }

    fn restart(&mut self) {
        self.asked.clear();
    }
}
