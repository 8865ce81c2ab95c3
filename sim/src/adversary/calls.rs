//! Calls that an adversary makes on chain in its own name, and those that first wait for its own signature.

use decdn_engine::{
    chain::{Route, channel::Call},
    crypto::Typed,
    ids::{SignTicket, TxTicket},
    io::{Effect, Input, Lane},
};

use crate::actor::{OWN_TICKETS, Turn};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    next_ticket: u64,
    signing: Vec<(SignTicket, Call)>,
}

impl Calls {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { next_ticket: OWN_TICKETS, signing: Vec::new() }
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Makes a call as it is.
    pub(super) fn submit(&mut self, call: Call, turn: &mut Turn<'_>) {
        let (ticket, call) = (TxTicket(self.ticket()), call.into());
        turn.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
    }

    /// Has `what` signed, and then makes the call with that signature.
    pub(super) fn sign(&mut self, what: Typed, call: Call, turn: &mut Turn<'_>) {
        let ticket = SignTicket(self.ticket());
        self.signing.push((ticket, call));
        turn.push(Lane::Role, Effect::Sign { ticket, what });
    }

    /// Whether the role is to hear it: what is about these calls is kept from it, outcomes and signatures that were awaited.
    pub(super) fn hear(&mut self, input: &Input, turn: &mut Turn<'_>) -> bool {
        match input {
            Input::Tx { ticket, .. } if ticket.0 > OWN_TICKETS => false,
            Input::Signed { ticket, signature } => {
                let Some(place) = self.signing.iter().position(|(wanted, _)| wanted == ticket) else {
                    return true;
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
                false
            }
            _ => true,
        }
    }

    /// What there is of it for a digest: how many calls wait, and how many tickets were used.
    pub(super) fn words(&self) -> [u64; 2] {
        [self.signing.len() as u64, self.next_ticket]
    }

    /// The signatures that were asked for don't come any more.
    pub(super) fn restart(&mut self) {
        self.signing.clear();
    }
}
