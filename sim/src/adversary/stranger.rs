//! Somebody who is no party of any channel, and tries all calls on each: to close it (C1), to settle it with a consent
//! that it signed itself (C4) or before its time (C3), to dispute with vouchers that its payer never signed (C2).

use decdn_engine::{
    chain::{Call, Route},
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    ids::{Address, SignTicket, TxTicket},
    io::{Effect, Input, Lane},
    money::{Amount, Nonce},
    time::{Span, Time},
};

use super::{With, mask::Hand};
use crate::{
    actor::{OWN_TICKETS, Turn},
    decide::Label,
    seen::{OnChain, OnChainStatus},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Stranger {
    account: Address,
    /// How often it still tries.
    tries: u64,
    wake: Time,
    next_ticket: u64,
    /// A call that waits for its signature.
    signing: Option<(SignTicket, Call)>,
}

impl Stranger {
    /// Somebody with an account. `with`: `tries`.
    pub fn new(account: Address, with: &With) -> Self {
        let tries = with.or("tries", 40);
        Self { account, tries, wake: Time(0), next_ticket: OWN_TICKETS, signing: None }
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn submit(&mut self, call: Call, turn: &mut Turn<'_>) {
        let ticket = TxTicket(self.ticket());
        turn.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
    }

    /// Has `what` signed, and then makes the call with that signature.
    fn sign(&mut self, what: Typed, call: Call, turn: &mut Turn<'_>) {
        let ticket = SignTicket(self.ticket());
        self.signing = Some((ticket, call));
        turn.push(Lane::Role, Effect::Sign { ticket, what });
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        let is_fit = |other: &OnChain| {
            other.client != self.account
                && !matches!(other.status, OnChainStatus::None | OnChainStatus::Settled)
        };
        let fit: Vec<OnChain> =
            turn.chain.channels().iter().filter_map(|id| turn.chain.channel(*id)).filter(is_fit).collect();
        if fit.is_empty() {
            return;
        }
        let OnChain { id: channel, token, deposit, status, .. } =
            fit[turn.decide.below(Label::Adversary, fit.len() as u64) as usize];
        let signature = Signature([0; 65]);
        let all = VoucherTerms { channel, amount: deposit, nonce: Nonce(u64::MAX), token };
        let nothing = VoucherTerms { amount: Amount::ZERO, nonce: Nonce::NONE, ..all };
        let voucher = SignedVoucher { terms: all, signature };
        match turn.decide.below(Label::Adversary, 5) {
            0 => self.submit(Call::Close { channel, voucher: None }, turn),
            1 => {
                let call = Call::Close { channel, voucher: Some(voucher) };
                self.sign(Typed::Voucher(all), call, turn);
            }
            2 => {
                let call = Call::CloseCooperatively { channel, voucher: None, node_signature: signature };
                self.sign(Typed::CooperativeClose(nothing), call, turn);
            }
            3 if status == OnChainStatus::Closing => self.submit(Call::Settle { channel }, turn),
            _ => self.sign(Typed::Voucher(all), Call::Dispute { voucher }, turn),
        }
    }
}

impl Hand for Stranger {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        match &input {
            Input::Tx { ticket, .. } if ticket.0 > OWN_TICKETS => return None,
            Input::Signed { ticket, signature } => {
                let Some((_, mut call)) = self.signing.take_if(|(wanted, _)| wanted == ticket) else {
                    return Some(input);
                };
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
            Input::Tick if turn.now.mono >= self.wake && self.tries > 0 => {
                self.tries -= 1;
                self.act(turn);
                let wait = turn.decide.between(Label::Adversary, 200_000, 3_000_000);
                self.wake = turn.now.mono + Span(wait);
            }
            _ => {}
        }
        Some(input)
    }

    fn next_deadline(&self) -> Option<Time> {
        (self.tries > 0).then_some(self.wake)
    }

    fn words(&self) -> Vec<u64> {
        vec![self.tries, self.wake.0, self.next_ticket]
    }

    fn restart(&mut self) {
        self.signing = None;
    }
}
