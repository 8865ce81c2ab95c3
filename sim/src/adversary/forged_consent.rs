//! A client that pays, and settles at zero with a consent that it signed itself (C4); then it closes at zero.

use decdn_engine::{
    chain::channel::Call,
    crypto::{Typed, VoucherTerms},
    ids::{ChannelId, SignTicket},
    io::{Effect, Input, Lane, Output},
    money::{Amount, Nonce},
};

use super::{
    exit::Lie,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label, rung::Mix};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct ForgedConsent {
    tried: Vec<ChannelId>,
    signing: Option<(SignTicket, ChannelId)>,
}

impl Ploy for ForgedConsent {
    const LIE: Lie = Lie::Empty;

    fn hear(&mut self, input: &mut Input, kit: &mut Kit, turn: &mut Turn<'_>) -> bool {
        if let Input::Signed { ticket, signature } = input
            && let Some((_, channel)) = self.signing.take_if(|(wanted, _)| wanted == ticket)
        {
            if let Some(node_signature) = *signature {
                kit.exit.submit(Call::CloseCooperatively { channel, voucher: None, node_signature }, turn);
            }
            return false;
        }
        true
    }

    fn say(&mut self, output: Output, kit: &mut Kit, turn: &mut Turn<'_>) {
        let going = kit.going(&output);
        turn.push(output.lane, output.effect);
        let Some(going) = going else { return };
        let channel = going.terms.channel;
        if self.signing.is_none()
            && !self.tried.contains(&channel)
            && turn.decide.below(Label::Adversary, 3) == 0
        {
            self.tried.push(channel);
            let ticket = SignTicket(kit.exit.ticket());
            self.signing = Some((ticket, channel));
            let terms = VoucherTerms { amount: Amount::ZERO, nonce: Nonce::NONE, ..going.terms };
            turn.push(Lane::Role, Effect::Sign { ticket, what: Typed::CooperativeClose(terms) });
        }
    }

    fn mix(&self, mix: &mut Mix) {
        mix.words([self.tried.len() as u64, u64::from(self.signing.is_some())]);
    }

    fn restart(&mut self) {
        *self = Self::default();
    }
}
