//! A node that serves as it should and claims the whole deposit on chain, with vouchers that its client never signed:
//! its own signature, the client's of other terms, the client's with a bit turned. It closes with them, settles
//! with them by its own consent, and disputes the client's close with them (C1, C2, C4).

use decdn_engine::{
    chain::{
        ChainEvent,
        channel::{Call, EventKind},
    },
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    ids::ChannelId,
    io::{Effect, Input, Output},
    money::Nonce,
    record::{Earning, Record},
    wire::{ClientMessage, Message},
};

use super::{calls::Calls, mask::Hand};
use crate::{actor::Turn, decide::Label, rung::Mix};

/// See the module.
#[derive(Clone, Debug)]
pub struct OverClaimer {
    /// What it holds, by channel.
    earnings: Vec<Earning>,
    /// Channels whose client has not been robbed yet.
    fresh: Vec<ChannelId>,
    calls: Calls,
}

impl OverClaimer {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self { earnings: Vec::new(), fresh: Vec::new(), calls: Calls::new() }
    }

    /// A voucher over the whole deposit, with what signature it can get without its own.
    fn claim(&self, channel: ChannelId, turn: &mut Turn<'_>) -> Option<SignedVoucher> {
        let earning = self.earnings.iter().find(|earning| earning.channel == channel)?;
        let best = earning.best?;
        let mut signature = best.signature;
        if turn.decide.below(Label::Adversary, 2) == 0 {
            signature.0[63] ^= 1;
        }
        let nonce = Nonce(best.nonce.0.saturating_add(1));
        let terms = VoucherTerms { channel, amount: earning.deposit, nonce, token: earning.token };
        Some(SignedVoucher { terms, signature })
    }

    /// Claims by a call, with the client's signature of something else or with its own.
    fn rob(&mut self, channel: ChannelId, by: fn(SignedVoucher) -> Call, turn: &mut Turn<'_>) {
        let Some(voucher) = self.claim(channel, turn) else { return };
        if turn.decide.below(Label::Adversary, 2) == 0 {
            self.calls.sign(Typed::Voucher(voucher.terms), by(voucher), turn);
        } else {
            self.calls.submit(by(voucher), turn);
        }
    }
}

fn close(voucher: SignedVoucher) -> Call {
    Call::Close { channel: voucher.terms.channel, voucher: Some(voucher) }
}

fn dispute(voucher: SignedVoucher) -> Call {
    Call::Dispute { voucher }
}

impl Hand for OverClaimer {
    fn hear(&mut self, input: &mut Input, turn: &mut Turn<'_>) -> bool {
        if !self.calls.hear(input, turn) {
            return false;
        }
        if let Input::Chain(update) = input {
            for event in update.events.iter().filter_map(ChainEvent::as_channel) {
                if matches!(event.kind, EventKind::Closing { .. }) {
                    self.rob(event.channel, dispute, turn);
                    self.rob(event.channel, dispute, turn);
                }
            }
        }
        true
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        match &output.effect {
            // It consents to nothing that is less than everything.
            Effect::Send { message: Message::Client(ClientMessage::CloseConsent(_)), .. } => return,
            Effect::Persist { writes, .. } => {
                for record in writes {
                    if let Record::Earning(earning) = record {
                        let had = self.earnings.len();
                        self.earnings.retain(|known| known.channel != earning.channel);
                        self.earnings.push(*earning);
                        if self.earnings.len() > had {
                            self.fresh.push(earning.channel);
                        }
                    }
                }
            }
            _ => {}
        }
        turn.push(output.lane, output.effect);
        for channel in std::mem::take(&mut self.fresh) {
            let Some(voucher) = self.claim(channel, turn) else {
                // Nothing that its client ever signed: later.
                self.fresh.push(channel);
                continue;
            };
            self.rob(channel, close, turn);
            let node_signature = Signature([0; 65]);
            let call = Call::CloseCooperatively { channel, voucher: Some(voucher), node_signature };
            self.calls.sign(Typed::CooperativeClose(voucher.terms), call, turn);
        }
    }

    fn mix(&self, mix: &mut Mix) {
        let best = self.earnings.iter().filter_map(|earning| earning.best);
        let nonces = best.map(|best| best.nonce.0).fold(0, u64::wrapping_add);
        let [waiting, tickets] = self.calls.words();
        mix.words([self.fresh.len() as u64, waiting, tickets, nonces]);
    }

    fn restart(&mut self) {
        self.calls.restart();
    }
}
