//! A node that serves as it should and claims the whole deposit on chain, with vouchers that its client never signed:
//! its own signature, the client's of other terms, the client's with a bit turned. It closes with them, settles
//! with them by its own consent, and disputes the client's close with them (C1, C2, C4).

use decdn_engine::{
    chain::{Call, EventKind, Route},
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    ids::{ChannelId, SignTicket, TxTicket},
    io::{Effect, Input, Lane, Output},
    money::Nonce,
    record::{Earning, Record},
    wire::Message,
};

use super::mask::Hand;
use crate::{
    actor::{OWN_TICKETS, Turn},
    decide::Label,
};

/// See the module.
#[derive(Clone, Debug)]
pub struct OverClaimer {
    /// What it holds, by channel.
    earnings: Vec<Earning>,
    /// Channels whose client has not been robbed yet.
    fresh: Vec<ChannelId>,
    /// Calls that wait for its own signature.
    signing: Vec<(SignTicket, Call)>,
    next_ticket: u64,
}

impl OverClaimer {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self { earnings: Vec::new(), fresh: Vec::new(), signing: Vec::new(), next_ticket: OWN_TICKETS }
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn submit(&mut self, call: Call, turn: &mut Turn<'_>) {
        let ticket = TxTicket(self.ticket());
        turn.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
    }

    fn sign(&mut self, what: Typed, call: Call, turn: &mut Turn<'_>) {
        let ticket = SignTicket(self.ticket());
        self.signing.push((ticket, call));
        turn.push(Lane::Role, Effect::Sign { ticket, what });
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
            self.sign(Typed::Voucher(voucher.terms), by(voucher), turn);
        } else {
            self.submit(by(voucher), turn);
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
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        match &input {
            Input::Tx { ticket, .. } if ticket.0 > OWN_TICKETS => return None,
            Input::Signed { ticket, signature } => {
                let Some(place) = self.signing.iter().position(|(wanted, _)| wanted == ticket) else {
                    return Some(input);
                };
                let (_, mut call) = self.signing.remove(place);
                if let Some(signature) = *signature {
                    match &mut call {
                        Call::Close { voucher: Some(voucher), .. } | Call::Dispute { voucher } => {
                            voucher.signature = signature;
                        }
                        Call::CloseCooperatively { node_signature, .. } => *node_signature = signature,
                        _ => {}
                    }
                    self.submit(call, turn);
                }
                return None;
            }
            Input::Chain(update) => {
                for event in &update.events {
                    if matches!(event.kind, EventKind::Closing { .. }) {
                        self.rob(event.channel, dispute, turn);
                        self.rob(event.channel, dispute, turn);
                    }
                }
            }
            _ => {}
        }
        Some(input)
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        match &output.effect {
            // It consents to nothing that is less than everything.
            Effect::Send { message: Message::CloseConsent(_), .. } => return,
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
            self.sign(Typed::CooperativeClose(voucher.terms), call, turn);
        }
    }

    fn words(&self) -> Vec<u64> {
        let best = self.earnings.iter().filter_map(|earning| earning.best);
        let nonces = best.map(|best| best.nonce.0).fold(0, u64::wrapping_add);
        vec![self.fresh.len() as u64, self.signing.len() as u64, self.next_ticket, nonces]
    }

    fn restart(&mut self) {
        self.signing.clear();
    }
}
