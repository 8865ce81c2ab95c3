//! How dishonest payers leave: no cooperative close, a close that tells a lie, and then every try to keep what the
//! lie gained — settling before the window is over (C3), and disputing downwards with a higher nonce (C2).

use decdn_engine::{
    chain::{
        self, ChainEvent, Route,
        channel::{Call, EventKind},
    },
    crypto::{SignedVoucher, Typed, VoucherTerms},
    ids::{Address, ChannelId, SignTicket, TxTicket},
    io::{Effect, Input, Lane, Output},
    money::{Amount, Nonce},
    time::{Span, Time, WallTime},
    wire::{ClientMessage, Message},
};

use super::With;
use crate::{
    actor::{OWN_TICKETS, Turn},
    decide::Label,
    rung::Mix,
    world::EPOCH,
};

/// What the close says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    /// Nothing was ever paid (C1).
    Empty,
    /// A second signature for the newest nonce, over nothing.
    SameNonce,
    /// The highest nonce there is, over one base unit.
    HighestNonce,
    /// The newest nonce, over ever so much: the contract caps it (C7).
    AboveDeposit,
}

/// A close that waits for its signature or its time.
#[derive(Clone, Copy, Debug)]
struct Held {
    channel: ChannelId,
    lane: Lane,
    ticket: TxTicket,
    /// Set while the lie is being signed.
    signing: Option<SignTicket>,
    voucher: Option<SignedVoucher>,
}

/// What is done to a closing channel at its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Deed {
    Settle(ChannelId),
    Belittle(ChannelId),
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Exit {
    lie: Lie,
    /// No close before this.
    not_before: WallTime,
    /// How often to try to settle inside the window.
    early_settles: u64,
    /// Whether to dispute downwards.
    belittles: bool,
    held: Vec<Held>,
    deeds: Vec<(Time, Deed)>,
    belittling: Vec<(SignTicket, VoucherTerms)>,
    token: Address,
    newest: Vec<(ChannelId, Nonce, Amount)>,
    next_ticket: u64,
    wake: Option<Time>,
}

impl Exit {
    /// Leaves with this lie. `with`: `close_at_secs` (no earlier), `early_settles`, `belittles`.
    pub fn new(lie: Lie, with: &With) -> Self {
        Self {
            lie,
            not_before: EPOCH + Span::from_secs(with.or("close_at_secs", 0)),
            early_settles: with.or("early_settles", 2),
            belittles: with.or("belittles", 1) > 0,
            held: Vec::new(),
            deeds: Vec::new(),
            belittling: Vec::new(),
            token: Address::ZERO,
            newest: Vec::new(),
            next_ticket: OWN_TICKETS,
            wake: None,
        }
    }

    /// A ticket that the role does not use.
    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// The newest voucher that the role asked to be signed on a channel.
    pub fn newest(&self, channel: ChannelId) -> (Nonce, Amount) {
        let found = self.newest.iter().find(|(id, _, _)| *id == channel);
        found.map_or((Nonce::NONE, Amount::ZERO), |(_, nonce, amount)| (*nonce, *amount))
    }

    /// The channel whose newest voucher this is.
    pub fn channel_of(&self, nonce: Nonce, amount: Amount) -> Option<ChannelId> {
        let found = self.newest.iter().find(|(_, n, a)| (*n, *a) == (nonce, amount));
        found.map(|(id, _, _)| *id)
    }

    /// The token that the role pays in, once it has said so.
    pub fn token(&self) -> Address {
        self.token
    }

    /// See [`Hand::hear`](super::mask::Hand::hear).
    pub fn hear(&mut self, input: &Input, turn: &mut Turn<'_>) -> bool {
        match input {
            Input::Signed { ticket, signature } if ticket.0 > OWN_TICKETS => {
                if let Some(held) = self.held.iter_mut().find(|held| held.signing == Some(*ticket)) {
                    held.signing = None;
                    let lie = held.voucher.as_mut();
                    if let (Some(voucher), Some(signature)) = (lie, signature) {
                        voucher.signature = *signature;
                    }
                    self.let_go(turn);
                    return false;
                }
                if let Some(at) = self.belittling.iter().position(|(own, _)| own == ticket) {
                    let (_, terms) = self.belittling.remove(at);
                    if let Some(signature) = *signature {
                        let voucher = SignedVoucher { terms, signature };
                        self.submit(Call::Dispute { voucher }, turn);
                    }
                    return false;
                }
                true
            }
            Input::Tx { ticket, .. } if ticket.0 > OWN_TICKETS => false,
            Input::Chain(update) => {
                for event in update.events.iter().filter_map(ChainEvent::as_channel) {
                    match event.kind {
                        EventKind::Closing { deadline, .. } => {
                            let left = Span::from_secs(deadline.0.saturating_sub(update.head.time.0));
                            self.plan(event.channel, left, turn);
                        }
                        EventKind::Disputed { amount, .. } if self.belittles && amount.0 > 1 => {
                            self.deeds.push((turn.now.mono, Deed::Belittle(event.channel)));
                        }
                        EventKind::Settled { .. } => {
                            self.deeds.retain(|(_, deed)| !deed.is_about(event.channel))
                        }
                        EventKind::Opened { .. } | EventKind::Disputed { .. } | EventKind::Claimed { .. } => {
                        }
                    }
                }
                true
            }
            Input::Tick => {
                self.let_go(turn);
                self.act(turn);
                true
            }
            _ => true,
        }
    }

    /// See [`Hand::say`](super::mask::Hand::say); what comes back is to be said.
    pub fn say(&mut self, output: Output, turn: &mut Turn<'_>) -> Option<Output> {
        match &output.effect {
            Effect::Send { message: Message::Client(ClientMessage::StreamRequest(request)), .. } => {
                self.token = request.token
            }
            Effect::Sign { what: Typed::Voucher(terms), .. } => {
                self.newest.retain(|(id, _, _)| *id != terms.channel);
                self.newest.push((terms.channel, terms.nonce, terms.amount));
            }
            // No consent is asked for, nothing is put right: the role waits in vain, and closes alone.
            Effect::Send { message: Message::Client(ClientMessage::CloseRequest(_)), .. }
            | Effect::Tx { call: chain::Call::Channel(Call::Dispute { .. }), .. }
            | Effect::ForceInclude { .. } => return None,
            Effect::Tx { ticket, call: chain::Call::Channel(Call::Close { channel, .. }), .. } => {
                let (ticket, channel) = (*ticket, *channel);
                self.hold(channel, output.lane, ticket, turn);
                return None;
            }
            _ => {}
        }
        Some(output)
    }

    /// Prepares the lie for a close.
    fn hold(&mut self, channel: ChannelId, lane: Lane, ticket: TxTicket, turn: &mut Turn<'_>) {
        let (nonce, amount) = self.newest(channel);
        let told = match self.lie {
            Lie::Empty => None,
            Lie::SameNonce => Some((nonce, Amount::ZERO)),
            Lie::HighestNonce => Some((Nonce(u64::MAX), Amount(1))),
            Lie::AboveDeposit => Some((nonce, Amount(amount.0.saturating_add(1 << 80)))),
        };
        let mut held = Held { channel, lane, ticket, signing: None, voucher: None };
        if let Some((nonce, amount)) = told.filter(|(nonce, _)| *nonce != Nonce::NONE) {
            let terms = VoucherTerms { channel, amount, nonce, token: self.token };
            let sign = SignTicket(self.ticket());
            held.signing = Some(sign);
            held.voucher = Some(SignedVoucher { terms, signature: decdn_engine::crypto::Signature([0; 65]) });
            turn.push(Lane::Role, Effect::Sign { ticket: sign, what: Typed::Voucher(terms) });
        }
        self.held.push(held);
        self.let_go(turn);
    }

    /// Submits the closes whose signature and time have come.
    fn let_go(&mut self, turn: &mut Turn<'_>) {
        if turn.now.wall < self.not_before {
            let wait = Span(self.not_before.0 - turn.now.wall.0);
            self.wake = (!self.held.is_empty()).then(|| turn.now.mono + wait);
            return;
        }
        self.wake = None;
        let ready = |held: &mut Held| held.signing.is_none();
        for held in self.held.extract_if(.., ready) {
            let Held { channel, lane, ticket, voucher, .. } = held;
            let call = Call::Close { channel, voucher };
            turn.push(lane, Effect::Tx { ticket, call: call.into(), route: Route::Sequencer });
        }
    }

    /// The channel is closing: when to try to settle too early.
    fn plan(&mut self, channel: ChannelId, left: Span, turn: &mut Turn<'_>) {
        if self.deeds.iter().any(|(_, deed)| deed.is_about(channel)) {
            return;
        }
        for nth in 0..self.early_settles {
            // At once, an hour too early, and at any other time of the window.
            let after = match nth {
                0 => 1_000_000,
                1 => left.0.saturating_sub(Span::from_hours(1).0),
                _ => turn.decide.below(Label::Adversary, left.0),
            };
            self.deeds.push((turn.now.mono + Span(after), Deed::Settle(channel)));
        }
    }

    fn act(&mut self, turn: &mut Turn<'_>) {
        let now = turn.now.mono;
        let due: Vec<Deed> = self.deeds.extract_if(.., |(at, _)| *at <= now).map(|(_, deed)| deed).collect();
        for deed in due {
            match deed {
                Deed::Settle(channel) => self.submit(Call::Settle { channel }, turn),
                Deed::Belittle(channel) => {
                    let terms = VoucherTerms {
                        channel,
                        amount: Amount(1),
                        nonce: Nonce(u64::MAX),
                        token: self.token,
                    };
                    let ticket = SignTicket(self.ticket());
                    self.belittling.push((ticket, terms));
                    turn.push(Lane::Role, Effect::Sign { ticket, what: Typed::Voucher(terms) });
                }
            }
        }
    }

    /// Sends a call of its own to the chain; nobody hears what becomes of it.
    pub fn submit(&mut self, call: Call, turn: &mut Turn<'_>) {
        let ticket = TxTicket(self.ticket());
        let call = call.into();
        turn.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
    }

    /// See [`Hand::next_deadline`](super::mask::Hand::next_deadline).
    pub fn next_deadline(&self) -> Option<Time> {
        self.deeds.iter().map(|(at, _)| *at).chain(self.wake).min()
    }

    /// See [`Hand::mix`](super::mask::Hand::mix).
    pub fn mix(&self, mix: &mut Mix) {
        mix.words([self.next_ticket, self.held.len() as u64, self.belittling.len() as u64]);
        mix.words(self.deeds.iter().map(|(at, _)| at.0));
    }

    /// The process starts again. What waited is forgotten; the role closes again.
    pub fn restart(&mut self) {
        self.held.clear();
        self.deeds.clear();
        self.belittling.clear();
        self.wake = None;
    }
}

impl Deed {
    fn is_about(self, id: ChannelId) -> bool {
        let (Self::Settle(channel) | Self::Belittle(channel)) = self;
        channel == id
    }
}
