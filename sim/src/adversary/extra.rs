//! Vouchers beside the role's own: signed with the payer's key, sent on the stream of the voucher that they follow.

use decdn_engine::{
    crypto::{Signature, Typed, VoucherTerms},
    ids::{SignTicket, StreamId},
    io::{Effect, Input, Lane},
    wire::{ClientMessage, Message, Voucher},
};

use crate::actor::Turn;

/// A voucher on its way to the signer.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    ticket: SignTicket,
    stream: StreamId,
    lane: Lane,
    terms: VoucherTerms,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    wanted: Vec<Wanted>,
}

impl Extra {
    /// Asks for a signature of these terms, to be sent with them.
    pub fn want(
        &mut self,
        ticket: u64,
        (stream, lane): (StreamId, Lane),
        terms: VoucherTerms,
        turn: &mut Turn<'_>,
    ) {
        let ticket = SignTicket(ticket);
        self.wanted.push(Wanted { ticket, stream, lane, terms });
        turn.push(Lane::Role, Effect::Sign { ticket, what: Typed::Voucher(terms) });
    }

    /// Sends what this signature was asked for; `true` if it was for somebody else. Nobody is told that a node refused: the
    /// role would give up.
    pub fn hear(&mut self, input: &Input, turn: &mut Turn<'_>) -> bool {
        match input {
            Input::Signed { ticket, signature } => {
                let Some(at) = self.wanted.iter().position(|wanted| wanted.ticket == *ticket) else {
                    return true;
                };
                let Wanted { stream, lane, terms, .. } = self.wanted.remove(at);
                if let Some(signature) = *signature {
                    send((stream, lane), terms, signature, turn);
                }
                false
            }
            Input::Message { message: Message::Client(ClientMessage::VoucherReject(_)), .. } => false,
            _ => true,
        }
    }

    /// How many are on their way.
    pub fn len(&self) -> u64 {
        self.wanted.len() as u64
    }

    /// The process starts again.
    pub fn clear(&mut self) {
        self.wanted.clear();
    }
}

/// Sends a voucher, whoever signed it for whatever.
pub fn send((stream, lane): (StreamId, Lane), said: VoucherTerms, signature: Signature, turn: &mut Turn<'_>) {
    let voucher = Voucher { amount: said.amount, nonce: said.nonce, signature };
    turn.push(lane, Effect::Send { stream, message: Message::Client(ClientMessage::Voucher(voucher)) });
}
