//! A payer that steals, as far as all of them are alike: how it leaves (`exit`), vouchers on the side (`extra`), and
//! in between the one thing that is its own, its [`Ploy`].

use decdn_engine::{
    crypto::{Signature, VoucherTerms},
    ids::StreamId,
    io::{Effect, Input, Lane, Output},
    time::Time,
    wire::{ClientMessage, Message},
};

use super::{
    With,
    exit::{Exit, Lie},
    extra::Extra,
    mask::Hand,
};
use crate::{actor::Turn, rung::Mix};

/// What one kind of payer does beside leaving with a lie.
pub trait Ploy {
    /// What its close says.
    const LIE: Lie;

    /// An input on its way to the role, which may be bent; `false` keeps it from the role.
    fn hear(&mut self, _input: &mut Input, _kit: &mut Kit, _turn: &mut Turn<'_>) -> bool {
        true
    }

    /// An output of the role that is no part of an honest leave: to be pushed as it is, bent, or not at all.
    fn say(&mut self, output: Output, _kit: &mut Kit, turn: &mut Turn<'_>) {
        turn.push(output.lane, output.effect);
    }

    /// Something that the role is to believe; asked for after each input until there is nothing more.
    fn urge(&mut self) -> Option<Input> {
        None
    }

    /// Mixes in everything that its later doings depend on, for the digest (O13).
    fn mix(&self, _mix: &mut Mix) {}

    /// The process starts again.
    fn restart(&mut self) {}
}

/// A voucher on its way from the role to a node.
#[derive(Clone, Copy, Debug)]
pub struct Going {
    /// Where it goes.
    pub stream: StreamId,
    /// Its lane.
    pub lane: Lane,
    /// What it says.
    pub terms: VoucherTerms,
    /// The payer's signature of that.
    pub signature: Signature,
}

/// What every ploy has at hand.
#[derive(Clone, Debug)]
pub struct Kit {
    /// How it leaves.
    pub exit: Exit,
    extra: Extra,
}

impl Kit {
    /// The voucher that this output sends, if it sends the newest one of a channel.
    pub fn going(&self, output: &Output) -> Option<Going> {
        let Effect::Send { stream, message: Message::Client(ClientMessage::Voucher(voucher)) } =
            &output.effect
        else {
            return None;
        };
        let channel = self.exit.channel_of(voucher.nonce, voucher.amount)?;
        let (amount, nonce, token) = (voucher.amount, voucher.nonce, self.exit.token());
        let terms = VoucherTerms { channel, amount, nonce, token };
        Some(Going { stream: *stream, lane: output.lane, terms, signature: voucher.signature })
    }

    /// Has these terms signed, and sends them on the way of `after`.
    pub fn also(&mut self, after: &Going, terms: VoucherTerms, turn: &mut Turn<'_>) {
        let ticket = self.exit.ticket();
        self.extra.want(ticket, (after.stream, after.lane), terms, turn);
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Payer<P> {
    kit: Kit,
    ploy: P,
}

impl<P: Ploy> Payer<P> {
    /// `with`: see [`Exit::new`].
    pub fn new(ploy: P, with: &With) -> Self {
        Self { kit: Kit { exit: Exit::new(P::LIE, with), extra: Extra::default() }, ploy }
    }
}

impl<P: Ploy> Hand for Payer<P> {
    fn hear(&mut self, input: &mut Input, turn: &mut Turn<'_>) -> bool {
        let Self { kit, ploy } = self;
        kit.extra.hear(input, turn) && ploy.hear(input, kit, turn) && kit.exit.hear(input, turn)
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        if let Some(output) = self.kit.exit.say(output, turn) {
            self.ploy.say(output, &mut self.kit, turn);
        }
    }

    fn urge(&mut self, _turn: &mut Turn<'_>) -> Option<Input> {
        self.ploy.urge()
    }

    fn next_deadline(&self) -> Option<Time> {
        self.kit.exit.next_deadline()
    }

    fn mix(&self, mix: &mut Mix) {
        self.kit.exit.mix(mix);
        mix.word(self.kit.extra.len());
        self.ploy.mix(mix);
    }

    fn restart(&mut self) {
        self.kit.exit.restart();
        self.kit.extra.clear();
        self.ploy.restart();
    }
}
