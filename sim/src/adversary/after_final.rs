//! A client that asks for a close in the middle of its downloads, keeps the consent to itself, and goes on asking for
//! bytes and offering vouchers on the channel; then it cashes the consent in (V7). Whatever the node gave or took
//! after its consent would be lost to it.

use decdn_engine::{
    chain::channel::Call,
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    ids::{SignTicket, StreamId},
    io::{Effect, Input, Lane, Output},
    money::{Amount, Nonce},
    wire::{ClientMessage, CloseRequest, Code, Message, StreamRequest, Voucher},
};

use super::{
    exit::Lie,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label, rung::Mix};

/// Requests after the consent, before it is cashed in.
const ASKS: u32 = 3;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct AfterFinal {
    /// The two newest vouchers that left.
    vouchers: [Option<SignedVoucher>; 2],
    /// The stream on which it asked for a close.
    asked: Option<(StreamId, SignedVoucher)>,
    consent: Option<(SignedVoucher, Signature)>,
    /// A voucher over more than the final one: being signed, then signed.
    beyond: Option<(SignTicket, VoucherTerms)>,
    offer: Option<Voucher>,
    asks: u32,
}

impl AfterFinal {
    /// Turns a request for bytes into one for a close, over the newest voucher or over the one before.
    fn ask(&mut self, stream: StreamId, request: &StreamRequest, turn: &mut Turn<'_>) -> Option<Message> {
        let of_channel = |voucher: &&SignedVoucher| voucher.terms.channel == request.channel;
        let known: Vec<&SignedVoucher> = self.vouchers.iter().flatten().filter(of_channel).collect();
        if known.is_empty() || turn.decide.below(Label::Adversary, 2) == 0 {
            return None;
        }
        let voucher = *known[turn.decide.below(Label::Adversary, known.len() as u64) as usize];
        self.asked = Some((stream, voucher));
        let (channel, auth) = (request.channel, request.auth);
        Some(ClientMessage::CloseRequest(CloseRequest { channel, voucher: Some(voucher), auth }).into())
    }

    fn consented(
        &mut self,
        voucher: SignedVoucher,
        signature: Signature,
        kit: &mut Kit,
        turn: &mut Turn<'_>,
    ) {
        self.consent = Some((voucher, signature));
        let nonce = Nonce(voucher.terms.nonce.0 + 1);
        let terms = VoucherTerms { amount: Amount(voucher.terms.amount.0 + 1), nonce, ..voucher.terms };
        let ticket = SignTicket(kit.exit.ticket());
        self.beyond = Some((ticket, terms));
        turn.push(Lane::Role, Effect::Sign { ticket, what: Typed::Voucher(terms) });
    }
}

impl Ploy for AfterFinal {
    const LIE: Lie = Lie::Empty;

    fn hear(&mut self, input: &mut Input, kit: &mut Kit, turn: &mut Turn<'_>) -> bool {
        match input {
            Input::Message { stream, message: Message::Client(ClientMessage::CloseConsent(signature)) } => {
                let (stream, signature) = (*stream, *signature);
                if let Some((_, voucher)) = self.asked.take_if(|(asked, _)| *asked == stream) {
                    self.consented(voucher, signature, kit, turn);
                }
                // The role takes it for a refusal, and asks again.
                *input = Input::StreamClosed { stream, code: Some(Code::NotNow) };
            }
            Input::StreamClosed { stream, .. } => _ = self.asked.take_if(|(asked, _)| asked == stream),
            Input::Disconnected { conn, .. } => _ = self.asked.take_if(|(asked, _)| asked.conn == *conn),
            Input::Signed { ticket, signature } => {
                let Some((_, terms)) = self.beyond.filter(|(wanted, _)| wanted == ticket) else {
                    return true;
                };
                let (amount, nonce) = (terms.amount, terms.nonce);
                self.offer = signature.map(|signature| Voucher { amount, nonce, signature });
                return false;
            }
            // The role would not believe an ack of a nonce that it never used.
            Input::Message { message: Message::Client(ClientMessage::VoucherAck(nonce)), .. } => {
                return Some(*nonce) != self.offer.map(|offer| offer.nonce);
            }
            _ => {}
        }
        true
    }

    fn say(&mut self, output: Output, kit: &mut Kit, turn: &mut Turn<'_>) {
        if let Some(going) = kit.going(&output) {
            let voucher = SignedVoucher { terms: going.terms, signature: going.signature };
            self.vouchers = [Some(voucher), self.vouchers[0].filter(|old| *old != voucher)];
        }
        let Output { lane, mut effect } = output;
        if let Effect::Send { stream, message } = &mut effect
            && let Message::Client(ClientMessage::StreamRequest(request)) = message
        {
            match self.consent {
                None if self.asked.is_none() => {
                    if let Some(close) = self.ask(*stream, request, turn) {
                        *message = close;
                    }
                }
                None => {}
                Some((voucher, node_signature)) if voucher.terms.channel == request.channel => {
                    self.asks += 1;
                    request.newest = self.offer;
                    if self.asks == ASKS {
                        let channel = request.channel;
                        let call =
                            Call::CloseCooperatively { channel, voucher: Some(voucher), node_signature };
                        kit.exit.submit(call, turn);
                    }
                }
                Some(_) => {}
            }
        }
        turn.push(lane, effect);
    }

    fn mix(&self, mix: &mut Mix) {
        let newest = self.vouchers[0].map_or(0, |voucher| voucher.terms.nonce.0);
        let stage = u64::from(self.asked.is_some()) | u64::from(self.consent.is_some()) << 1;
        mix.words([newest, stage, u64::from(self.offer.is_some()), u64::from(self.asks)]);
    }

    fn restart(&mut self) {
        *self = Self::default();
    }
}
