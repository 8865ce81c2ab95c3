//! A client that asks for bytes, and for a close, on somebody else's channel (I3). It reads the channel's id off the
//! chain, like anybody can; it asks in its own name, in the owner's, and with a proof that isn't one.

use decdn_engine::{
    crypto::Signature,
    io::{Effect, Output},
    wire::{Auth, ClientMessage, Message},
};

use super::{With, mask::Hand};
use crate::{
    actor::Turn,
    decide::Label,
    rung::Mix,
    seen::{OnChain, OnChainStatus},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Borrower {
    /// How many of its requests are bent at most.
    bends: u64,
    /// Its own proof, once it gave one.
    proof: Signature,
}

impl Borrower {
    /// `with`: `bends`, the most requests on others' channels.
    pub fn new(with: &With) -> Self {
        Self { bends: with.or("bends", 24), proof: Signature([0; 65]) }
    }

    /// An open channel of somebody else's at the node that `own` pays.
    fn victim(own: decdn_engine::ids::ChannelId, turn: &mut Turn<'_>) -> Option<OnChain> {
        let own = turn.chain.channel(own)?;
        let is_fit = |other: &OnChain| {
            other.node == own.node && other.client != own.client && other.status == OnChainStatus::Open
        };
        let fit: Vec<OnChain> =
            turn.chain.channels().iter().filter_map(|id| turn.chain.channel(*id)).filter(is_fit).collect();
        let place = turn.decide.below(Label::Adversary, fit.len().max(1) as u64) as usize;
        fit.get(place).copied()
    }

    fn bend(&mut self, message: &mut ClientMessage, turn: &mut Turn<'_>) {
        let (channel, auth) = match message {
            ClientMessage::StreamRequest(request) => (&mut request.channel, &mut request.auth),
            ClientMessage::CloseRequest(request) => (&mut request.channel, &mut request.auth),
            _ => return,
        };
        if let Some(auth) = auth {
            self.proof = auth.signature;
        }
        if self.bends == 0 || turn.decide.below(Label::Adversary, 4) == 0 {
            return;
        }
        let Some(victim) = Self::victim(*channel, turn) else { return };
        self.bends -= 1;
        *channel = victim.id;
        let way = turn.decide.below(Label::Adversary, 3);
        if way == 2 {
            *auth = Some(Auth { address: victim.client, signature: self.proof });
        }
        match message {
            ClientMessage::StreamRequest(request) => {
                request.newest = None;
                if way > 0 {
                    request.requester = victim.client;
                }
            }
            ClientMessage::CloseRequest(request) => request.voucher = None,
            _ => {}
        }
    }
}

impl Hand for Borrower {
    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let Output { lane, mut effect } = output;
        if let Effect::Send { message: Message::Client(message), .. } = &mut effect {
            self.bend(message, turn);
        }
        turn.push(lane, effect);
    }

    fn mix(&self, mix: &mut Mix) {
        mix.word(self.bends);
    }
}
