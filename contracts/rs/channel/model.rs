//! The payment channel's calls (C1 to C13), each check in the contract's order.

use std::collections::{BTreeMap, BTreeSet};

use alloy_primitives::{U256, keccak256};
use decdn_engine::{
    chain::{
        Block, Revert,
        channel::{Call, DEPOSIT_MAX, Ending, Event, EventKind, Revert as Why, State, Status},
    },
    crypto::{Crypto, Signature, SignedVoucher, Typed, VoucherTerms},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::ChainTime,
};

use super::{OpenWithPermit, Query, Setup};
use crate::{
    backend::Backend,
    bindings::Answer,
    genesis::Genesis,
    model::{Model, Target},
    token::{Permit, model::capped},
};

const WINDOW_SECS_MIN: u64 = 12 * 3_600;
const WINDOW_SECS_MAX: u64 = 72 * 3_600;

type Happened = Result<Event, Revert>;

/// What the contract stores.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    window_secs: u64,
    paused: bool,
    allowed: BTreeSet<Address>,
    counters: BTreeMap<Address, u64>,
    known: BTreeMap<ChannelId, State>,
    /// By payee and token.
    credits: BTreeMap<(Address, Address), U256>,
}

impl Channels {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        assert!(
            (WINDOW_SECS_MIN..=WINDOW_SECS_MAX).contains(&genesis.dispute_window_secs),
            "a dispute window of 12 to 72 hours"
        );
        Self {
            window_secs: genesis.dispute_window_secs,
            paused: false,
            allowed: genesis.token_addresses().collect(),
            counters: BTreeMap::new(),
            known: BTreeMap::new(),
            credits: BTreeMap::new(),
        }
    }

    pub(crate) fn state(&self, id: ChannelId) -> Option<State> {
        self.known.get(&id).copied()
    }

    pub(crate) fn ask(&self, query: &Query) -> Answer {
        match *query {
            Query::Credit { payee, token } => {
                Answer::Amount(capped(self.credits.get(&(payee, token)).copied().unwrap_or_default()))
            }
            Query::CounterOf(client) => {
                Answer::Number(self.counters.get(&client).copied().unwrap_or_default())
            }
            Query::DisputeWindow => Answer::Number(self.window_secs),
            Query::IsTokenAllowed(token) => Answer::Flag(self.allowed.contains(&token)),
            Query::IsPaused => Answer::Flag(self.paused),
        }
    }

    /// By the owner.
    pub(crate) fn setup(&mut self, setup: &Setup) -> Result<(), Revert> {
        match *setup {
            Setup::AllowToken { token, allowed: true } => {
                self.allowed.insert(token);
            }
            Setup::AllowToken { token, allowed: false } => {
                self.allowed.remove(&token);
            }
            Setup::SetWindow { secs } => {
                if !(WINDOW_SECS_MIN..=WINDOW_SECS_MAX).contains(&secs) {
                    return Err(Revert::Other);
                }
                self.window_secs = secs;
            }
            Setup::Pause(paused) => self.paused = paused,
        }
        Ok(())
    }
}

impl Model {
    pub(crate) fn channel_call(
        &mut self,
        block: Block,
        from: Address,
        call: &Call,
        crypto: &dyn Crypto,
    ) -> Result<Option<Event>, Revert> {
        let event = match call {
            Call::Open { node, token, deposit } => self.open(from, *node, *deposit, *token)?,
            Call::Close { channel, voucher } => {
                self.close(block, from, *channel, voucher.as_ref(), crypto)?
            }
            Call::Dispute { voucher } => self.dispute(block, from, voucher, crypto)?,
            Call::Settle { channel } => self.settle(block, *channel)?,
            Call::CloseCooperatively { channel, voucher, node_signature } => {
                self.close_cooperatively(from, *channel, voucher.as_ref(), node_signature, crypto)?
            }
            Call::Claim { voucher } => self.claim(from, voucher, crypto)?,
            Call::Finish { channel, voucher } => {
                self.finish(block, from, *channel, voucher.as_ref(), crypto)?
            }
            Call::WithdrawCredit { token, to } => {
                self.withdraw_credit(from, *token, *to)?;
                return Ok(None);
            }
            Call::ForceClose { channel } => self.force_close(block, from, *channel)?,
        };
        Ok(Some(event))
    }

    /// C13.
    pub(crate) fn open_with_permit(
        &mut self,
        block: Block,
        from: Address,
        OpenWithPermit { node, permit }: &OpenWithPermit,
    ) -> Happened {
        let permit = Permit { owner: from, ..*permit };
        self.with_permit(block, &permit, |model| model.open(from, *node, permit.amount, permit.token))
    }

    fn open(&mut self, from: Address, node: Address, deposit: Amount, token: Address) -> Happened {
        if self.channels.paused {
            return Err(Why::Paused.into());
        }
        if !self.channels.allowed.contains(&token) {
            return Err(Why::TokenNotAllowed.into());
        }
        if deposit == Amount::ZERO {
            return Err(Why::ZeroDeposit.into());
        }
        if node == from {
            return Err(Why::SelfChannel.into());
        }
        if !self.registry.is_active(node) {
            return Err(Why::NodeNotActive.into());
        }
        let escrow = self.deployment.payment_channel;
        // An address that can't tell its balances stops the call before the transfer is tried.
        let Target::Token(held) = self.target(token) else { return Err(Revert::Other) };
        if deposit > DEPOSIT_MAX {
            let could = held.clone().take(from, escrow, U256::from(deposit.0));
            return Err(could.map_or(Why::TransferFailed, |()| Why::DepositTooLarge).into());
        }
        held.take(from, escrow, U256::from(deposit.0)).map_err(|_| Why::TransferFailed)?;

        let counter = self.channels.counters.entry(from).or_default();
        *counter += 1;
        let counter = *counter;
        let id = self.channel_id(from, node, token, counter);
        let channel = State {
            id,
            client: from,
            node,
            token,
            deposit,
            amount: Amount::ZERO,
            claimed: Amount::ZERO,
            nonce: Nonce::NONE,
            deadline: ChainTime(0),
            window_secs: self.channels.window_secs,
            status: Status::Open,
        };
        self.channels.known.insert(id, channel);
        let window_secs = channel.window_secs;
        Ok(Event { channel: id, kind: EventKind::Opened { client: from, node, token, deposit, window_secs } })
    }

    /// C1. On a channel that is closing it is a dispute.
    fn close(
        &mut self,
        block: Block,
        from: Address,
        id: ChannelId,
        voucher: Option<&SignedVoucher>,
        crypto: &dyn Crypto,
    ) -> Happened {
        let id = voucher.map_or(id, |voucher| voucher.terms.channel);
        let mut c = self.known(id)?;
        party(&c, from)?;
        match c.status {
            Status::Open => {}
            Status::Closing => return self.raise(block, from, id, c, voucher, crypto),
            Status::Settled => return Err(Why::NotOpen.into()),
        }
        if let Some(voucher) = voucher {
            if voucher.terms.token != c.token {
                return Err(Why::WrongToken.into());
            }
            self.signed_by_client(&c, voucher, crypto)?;
        }
        let terms = terms_or_empty(id, c.token, voucher);
        c.nonce = c.nonce.max(terms.nonce);
        c.amount = c.amount.max(terms.amount.min(c.deposit));
        self.start_window(block, from, id, c)
    }

    /// C5.
    fn force_close(&mut self, block: Block, from: Address, id: ChannelId) -> Happened {
        let c = self.known(id)?;
        if c.status != Status::Open {
            return Err(Why::NotOpen.into());
        }
        if self.channels.allowed.contains(&c.token) {
            return Err(Why::TokenStillAllowed.into());
        }
        self.start_window(block, from, id, c)
    }

    /// C1, C5: with the window of its opening (C9).
    fn start_window(&mut self, block: Block, from: Address, id: ChannelId, mut c: State) -> Happened {
        let deadline = ChainTime(block.time.0.checked_add(c.window_secs).ok_or(Revert::Other)?);
        c.status = Status::Closing;
        c.deadline = deadline;
        self.channels.known.insert(id, c);
        Ok(Event {
            channel: id,
            kind: EventKind::Closing { by: from, amount: c.amount, nonce: c.nonce, deadline },
        })
    }

    /// C2.
    fn dispute(
        &mut self,
        block: Block,
        from: Address,
        voucher: &SignedVoucher,
        crypto: &dyn Crypto,
    ) -> Happened {
        let id = voucher.terms.channel;
        let c = self.known(id)?;
        if c.status != Status::Closing {
            return Err(Why::NotClosing.into());
        }
        self.raise(block, from, id, c, Some(voucher), crypto)
    }

    /// Records a higher amount on a channel that is closing. The empty voucher's amount is above nothing.
    fn raise(
        &mut self,
        block: Block,
        from: Address,
        id: ChannelId,
        mut c: State,
        voucher: Option<&SignedVoucher>,
        crypto: &dyn Crypto,
    ) -> Happened {
        if block.time >= c.deadline {
            return Err(Why::WindowOver.into());
        }
        let Some(voucher) = voucher else { return Err(Why::AmountNotHigher.into()) };
        if voucher.terms.token != c.token {
            return Err(Why::WrongToken.into());
        }
        let amount = voucher.terms.amount.min(c.deposit);
        if amount <= c.amount {
            return Err(Why::AmountNotHigher.into());
        }
        self.signed_by_client(&c, voucher, crypto)?;
        c.amount = amount;
        c.nonce = c.nonce.max(voucher.terms.nonce);
        self.channels.known.insert(id, c);
        Ok(Event { channel: id, kind: EventKind::Disputed { by: from, amount, nonce: c.nonce } })
    }

    /// C3.
    fn settle(&mut self, block: Block, id: ChannelId) -> Happened {
        let c = self.known(id)?;
        if c.status != Status::Closing {
            return Err(Why::NotClosing.into());
        }
        if block.time < c.deadline {
            return Err(Why::WindowOpen.into());
        }
        Ok(self.pay_out(id, c, Ending::Window))
    }

    /// C4. The consent names the voucher's amount as signed, not as capped.
    fn close_cooperatively(
        &mut self,
        from: Address,
        id: ChannelId,
        voucher: Option<&SignedVoucher>,
        consent: &Signature,
        crypto: &dyn Crypto,
    ) -> Happened {
        let id = voucher.map_or(id, |voucher| voucher.terms.channel);
        let mut c = self.known(id)?;
        if c.status == Status::Settled {
            return Err(Why::NotOpen.into());
        }
        party(&c, from)?;
        let terms = terms_or_empty(id, c.token, voucher);
        if terms.token != c.token {
            return Err(Why::WrongToken.into());
        }
        let amount = terms.amount.min(c.deposit);
        if amount < c.amount {
            return Err(Why::AmountTooLow.into());
        }
        if let Some(voucher) = voucher {
            self.signed_by_client(&c, voucher, crypto)?;
        }
        if !self.is_signed(c.node, &Typed::CooperativeClose(terms), consent, crypto) {
            return Err(Why::BadSignature.into());
        }
        c.amount = amount;
        c.nonce = c.nonce.max(terms.nonce);
        Ok(self.pay_out(id, c, Ending::Consent))
    }

    /// C12.
    fn claim(&mut self, from: Address, voucher: &SignedVoucher, crypto: &dyn Crypto) -> Happened {
        let id = voucher.terms.channel;
        let mut c = self.known(id)?;
        if c.status != Status::Open {
            return Err(Why::NotOpen.into());
        }
        if from != c.node {
            return Err(Why::NotNode.into());
        }
        if voucher.terms.token != c.token {
            return Err(Why::WrongToken.into());
        }
        let amount = voucher.terms.amount.min(c.deposit);
        if amount <= c.amount {
            return Err(Why::AmountNotHigher.into());
        }
        self.signed_by_client(&c, voucher, crypto)?;
        let paid = Amount(amount.0 - c.claimed.0);
        (c.amount, c.claimed, c.nonce) = (amount, amount, c.nonce.max(voucher.terms.nonce));
        self.channels.known.insert(id, c);
        self.pay(c.token, c.node, paid);
        Ok(Event { channel: id, kind: EventKind::Claimed { amount, nonce: c.nonce, paid } })
    }

    /// C11. A voucher that is not above what is recorded counts for nothing.
    fn finish(
        &mut self,
        block: Block,
        from: Address,
        id: ChannelId,
        voucher: Option<&SignedVoucher>,
        crypto: &dyn Crypto,
    ) -> Happened {
        let id = voucher.map_or(id, |voucher| voucher.terms.channel);
        let mut c = self.known(id)?;
        if c.status == Status::Settled {
            return Err(Why::NotOpen.into());
        }
        if from != c.node {
            return Err(Why::NotNode.into());
        }
        if c.status == Status::Closing && block.time >= c.deadline {
            return Err(Why::WindowOver.into());
        }
        if let Some(voucher) = voucher {
            if voucher.terms.token != c.token {
                return Err(Why::WrongToken.into());
            }
            let amount = voucher.terms.amount.min(c.deposit);
            if amount > c.amount {
                self.signed_by_client(&c, voucher, crypto)?;
                (c.amount, c.nonce) = (amount, c.nonce.max(voucher.terms.nonce));
            }
        }
        Ok(self.pay_out(id, c, Ending::Finish))
    }

    /// C6.
    fn withdraw_credit(&mut self, from: Address, token: Address, to: Address) -> Result<(), Revert> {
        let escrow = self.deployment.payment_channel;
        if to == Address::ZERO || to == escrow {
            return Err(Why::BadPayee.into());
        }
        let Some(amount) = self.channels.credits.get(&(from, token)).copied() else {
            return Err(Why::NothingToWithdraw.into());
        };
        let Target::Token(held) = self.target(token) else { return Err(Why::TransferFailed.into()) };
        held.transfer(escrow, to, amount).map_err(|_| Why::TransferFailed)?;
        self.channels.credits.remove(&(from, token));
        Ok(())
    }

    /// C3: the refund first. The split of this model leaves everything to the node.
    fn pay_out(&mut self, id: ChannelId, mut c: State, ending: Ending) -> Event {
        let (amount, paid) = (c.amount, Amount(c.amount.0 - c.claimed.0));
        let refunded = Amount(c.deposit.0 - c.amount.0);
        c.status = Status::Settled;
        self.channels.known.insert(id, c);
        self.pay(c.token, c.client, refunded);
        self.pay(c.token, c.node, paid);
        Event { channel: id, kind: EventKind::Settled { ending, amount, paid, refunded } }
    }

    /// C6: what the token refuses to pay is credited.
    fn pay(&mut self, token: Address, to: Address, amount: Amount) {
        let (escrow, amount) = (self.deployment.payment_channel, U256::from(amount.0));
        let paid = match self.target(token) {
            _ if amount.is_zero() => true,
            Target::Token(held) => held.transfer(escrow, to, amount).is_ok(),
            Target::Refuses | Target::Nobody => false,
        };
        if !paid {
            *self.channels.credits.entry((to, token)).or_default() += amount;
        }
    }

    /// V5.
    fn channel_id(&self, client: Address, node: Address, token: Address, counter: u64) -> ChannelId {
        let mut words = [0; 6 * 32];
        words[24..32].copy_from_slice(&self.deployment.chain_id.to_be_bytes());
        for (word, address) in (1..).zip([self.deployment.payment_channel, client, node, token]) {
            words[word * 32 + 12..word * 32 + 32].copy_from_slice(address.as_slice());
        }
        words[5 * 32 + 24..].copy_from_slice(&counter.to_be_bytes());
        ChannelId(keccak256(words).0)
    }

    fn known(&self, id: ChannelId) -> Result<State, Revert> {
        self.channels.state(id).ok_or(Why::UnknownChannel.into())
    }

    fn signed_by_client(
        &self,
        c: &State,
        voucher: &SignedVoucher,
        crypto: &dyn Crypto,
    ) -> Result<(), Revert> {
        let what = Typed::Voucher(voucher.terms);
        if self.is_signed(c.client, &what, &voucher.signature, crypto) {
            Ok(())
        } else {
            Err(Why::BadSignature.into())
        }
    }

    /// C10: by the account's own key, or by what its wallet takes.
    fn is_signed(&self, signer: Address, what: &Typed, signature: &Signature, crypto: &dyn Crypto) -> bool {
        crypto.verify(&self.deployment, what, signature, signer)
            || self.wallet_takes(signer, what, signature, crypto)
    }
}

fn party(c: &State, from: Address) -> Result<(), Revert> {
    if from == c.client || from == c.node { Ok(()) } else { Err(Why::NotParty.into()) }
}

/// The empty voucher (C1) names the channel's token.
fn terms_or_empty(id: ChannelId, token: Address, voucher: Option<&SignedVoucher>) -> VoucherTerms {
    voucher.map_or(VoucherTerms { channel: id, amount: Amount::ZERO, nonce: Nonce::NONE, token }, |voucher| {
        voucher.terms
    })
}
