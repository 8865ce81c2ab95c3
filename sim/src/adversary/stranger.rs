//! Somebody who is no party of any channel, and tries all calls on each: to close it (C1), to settle it with a consent
//! that it signed itself (C4) or before its time (C3), to dispute with vouchers that its payer never signed (C2).

use decdn_engine::{
    chain::channel::Call,
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    ids::Address,
    io::Input,
    money::{Amount, Nonce},
    time::{Span, Time},
};

use super::{With, calls::Calls, mask::Hand};
use crate::{
    actor::Turn,
    decide::Label,
    rung::Mix,
    seen::{OnChain, OnChainStatus},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Stranger {
    account: Address,
    /// How often it still tries.
    tries: u64,
    wake: Time,
    calls: Calls,
}

impl Stranger {
    /// Somebody with an account. `with`: `tries`.
    pub fn new(account: Address, with: &With) -> Self {
        let tries = with.or("tries", 40);
        Self { account, tries, wake: Time(0), calls: Calls::new() }
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        let is_fit = |other: &OnChain| other.client != self.account && other.status != OnChainStatus::Settled;
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
            0 => self.calls.submit(Call::Close { channel, voucher: None }, turn),
            1 => {
                let call = Call::Close { channel, voucher: Some(voucher) };
                self.calls.sign(Typed::Voucher(all), call, turn);
            }
            2 => {
                let call = Call::CloseCooperatively { channel, voucher: None, node_signature: signature };
                self.calls.sign(Typed::CooperativeClose(nothing), call, turn);
            }
            3 if status == OnChainStatus::Closing => self.calls.submit(Call::Settle { channel }, turn),
            _ => self.calls.sign(Typed::Voucher(all), Call::Dispute { voucher }, turn),
        }
    }
}

impl Hand for Stranger {
    fn hear(&mut self, input: &mut Input, turn: &mut Turn<'_>) -> bool {
        if !self.calls.hear(input, turn) {
            return false;
        }
        if matches!(input, Input::Tick) && turn.now.mono >= self.wake && self.tries > 0 {
            self.tries -= 1;
            self.act(turn);
            let wait = turn.decide.between(Label::Adversary, 200_000, 3_000_000);
            self.wake = turn.now.mono + Span(wait);
        }
        true
    }

    fn next_deadline(&self) -> Option<Time> {
        (self.tries > 0).then_some(self.wake)
    }

    fn mix(&self, mix: &mut Mix) {
        let [_, tickets] = self.calls.words();
        mix.words([self.tries, self.wake.0, tickets]);
    }

    fn restart(&mut self) {
        self.calls.restart();
    }
}
