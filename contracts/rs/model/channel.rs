//! The payment channel's calls (C1 to C10), each check in the contract's order.

use alloy_primitives::U256;
use decdn_engine::{
    chain::{Block, EventKind, Revert},
    crypto::{Crypto, Signature, SignedVoucher, Typed, VoucherTerms},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::ChainTime,
};

use super::{Model, Target};
use crate::backend::{Backend, ChannelView, Status};

/// A channel as stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel(ChannelView);

impl Channel {
    pub(super) fn view(&self) -> ChannelView {
        self.0
    }
}

type Happened = Result<(ChannelId, EventKind), Revert>;

impl Model {
    pub(super) fn open(&mut self, from: Address, node: Address, deposit: Amount, token: Address) -> Happened {
        if self.paused {
            return Err(Revert::Paused);
        }
        if !self.allowed.contains(&token) {
            return Err(Revert::TokenNotAllowed);
        }
        if deposit == Amount::ZERO {
            return Err(Revert::ZeroDeposit);
        }
        if node == from {
            return Err(Revert::SelfChannel);
        }
        if !self.is_node_active(node) {
            return Err(Revert::NodeNotActive);
        }
        let escrow = self.deployment.payment_channel;
        // An address that can't tell its balances stops the call before the transfer is tried.
        let Target::Token(held) = self.target(token) else { return Err(Revert::Other) };
        held.take(from, escrow, U256::from(deposit.0)).map_err(|_| Revert::TransferFailed)?;

        let counter = self.counters.entry(from).or_default();
        *counter += 1;
        let counter = *counter;
        let id = self.channel_id(from, node, token, counter);
        let channel = ChannelView {
            client: from,
            node,
            token,
            deposit,
            amount: Amount::ZERO,
            nonce: Nonce::NONE,
            deadline: ChainTime(0),
            status: Status::Open,
        };
        self.channels.insert(id, Channel(channel));
        Ok((id, EventKind::Opened { client: from, node, token, deposit }))
    }

    /// C1. On a channel that is closing it is a dispute.
    pub(super) fn close(
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
            Status::Settled => return Err(Revert::NotOpen),
        }
        if let Some(voucher) = voucher {
            if voucher.terms.token != c.token {
                return Err(Revert::WrongToken);
            }
            self.signed_by_client(&c, voucher, crypto)?;
        }
        let terms = terms_or_empty(id, c.token, voucher);
        c.nonce = terms.nonce;
        c.amount = terms.amount.min(c.deposit);
        self.start_window(block, from, id, c)
    }

    /// C5.
    pub(super) fn force_close(&mut self, block: Block, from: Address, id: ChannelId) -> Happened {
        let c = self.known(id)?;
        if c.status != Status::Open {
            return Err(Revert::NotOpen);
        }
        if self.allowed.contains(&c.token) {
            return Err(Revert::TokenStillAllowed);
        }
        self.start_window(block, from, id, c)
    }

    /// C1, C5: with the window in force now (C9).
    fn start_window(&mut self, block: Block, from: Address, id: ChannelId, mut c: ChannelView) -> Happened {
        let deadline = ChainTime(block.time.0.checked_add(self.window_secs).ok_or(Revert::Other)?);
        c.status = Status::Closing;
        c.deadline = deadline;
        self.channels.insert(id, Channel(c));
        Ok((id, EventKind::Closing { by: from, amount: c.amount, nonce: c.nonce, deadline }))
    }

    /// C2.
    pub(super) fn dispute(
        &mut self,
        block: Block,
        from: Address,
        voucher: &SignedVoucher,
        crypto: &dyn Crypto,
    ) -> Happened {
        let id = voucher.terms.channel;
        let c = self.known(id)?;
        if c.status != Status::Closing {
            return Err(Revert::NotClosing);
        }
        self.raise(block, from, id, c, Some(voucher), crypto)
    }

    /// Records a higher amount on a channel that is closing. The empty voucher's amount is above nothing.
    fn raise(
        &mut self,
        block: Block,
        from: Address,
        id: ChannelId,
        mut c: ChannelView,
        voucher: Option<&SignedVoucher>,
        crypto: &dyn Crypto,
    ) -> Happened {
        if block.time >= c.deadline {
            return Err(Revert::WindowOver);
        }
        let Some(voucher) = voucher else { return Err(Revert::AmountNotHigher) };
        if voucher.terms.token != c.token {
            return Err(Revert::WrongToken);
        }
        let amount = voucher.terms.amount.min(c.deposit);
        if amount <= c.amount {
            return Err(Revert::AmountNotHigher);
        }
        self.signed_by_client(&c, voucher, crypto)?;
        c.amount = amount;
        c.nonce = c.nonce.max(voucher.terms.nonce);
        self.channels.insert(id, Channel(c));
        Ok((id, EventKind::Disputed { by: from, amount, nonce: c.nonce }))
    }

    /// C3.
    pub(super) fn settle(&mut self, block: Block, id: ChannelId) -> Happened {
        let c = self.known(id)?;
        if c.status != Status::Closing {
            return Err(Revert::NotClosing);
        }
        if block.time < c.deadline {
            return Err(Revert::WindowOpen);
        }
        Ok(self.pay_out(id, c, false))
    }

    /// C4. The consent names the voucher's amount as signed, not as capped.
    pub(super) fn close_cooperatively(
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
            return Err(Revert::NotOpen);
        }
        party(&c, from)?;
        let terms = terms_or_empty(id, c.token, voucher);
        if terms.token != c.token {
            return Err(Revert::WrongToken);
        }
        let amount = terms.amount.min(c.deposit);
        if amount < c.amount {
            return Err(Revert::AmountTooLow);
        }
        if let Some(voucher) = voucher {
            self.signed_by_client(&c, voucher, crypto)?;
        }
        if !self.is_signed(c.node, &Typed::CooperativeClose(terms), consent, crypto) {
            return Err(Revert::BadSignature);
        }
        c.amount = amount;
        c.nonce = c.nonce.max(terms.nonce);
        Ok(self.pay_out(id, c, true))
    }

    /// C6.
    pub(super) fn withdraw_credit(&mut self, from: Address, token: Address) -> Result<(), Revert> {
        let Some(amount) = self.credits.get(&(from, token)).copied() else {
            return Err(Revert::NothingToWithdraw);
        };
        let escrow = self.deployment.payment_channel;
        let Target::Token(held) = self.target(token) else { return Err(Revert::TransferFailed) };
        held.transfer(escrow, from, amount).map_err(|_| Revert::TransferFailed)?;
        self.credits.remove(&(from, token));
        Ok(())
    }

    fn pay_out(&mut self, id: ChannelId, mut c: ChannelView, cooperative: bool) -> (ChannelId, EventKind) {
        let (paid, refunded) = (c.amount, Amount(c.deposit.0 - c.amount.0));
        c.status = Status::Settled;
        self.channels.insert(id, Channel(c));
        self.pay(c.token, c.node, paid);
        self.pay(c.token, c.client, refunded);
        (id, EventKind::Settled { paid, refunded, cooperative })
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
            *self.credits.entry((to, token)).or_default() += amount;
        }
    }

    fn known(&self, id: ChannelId) -> Result<ChannelView, Revert> {
        self.channels.get(&id).map(Channel::view).ok_or(Revert::UnknownChannel)
    }

    fn signed_by_client(
        &self,
        c: &ChannelView,
        voucher: &SignedVoucher,
        crypto: &dyn Crypto,
    ) -> Result<(), Revert> {
        let what = Typed::Voucher(voucher.terms);
        if self.is_signed(c.client, &what, &voucher.signature, crypto) {
            Ok(())
        } else {
            Err(Revert::BadSignature)
        }
    }

    /// C10: by the account's own key, or by what its wallet takes.
    fn is_signed(&self, signer: Address, what: &Typed, signature: &Signature, crypto: &dyn Crypto) -> bool {
        crypto.verify(&self.deployment, what, signature, signer)
            || self.wallet_takes(signer, what, signature, crypto)
    }
}

fn party(c: &ChannelView, from: Address) -> Result<(), Revert> {
    if from == c.client || from == c.node { Ok(()) } else { Err(Revert::NotParty) }
}

/// The empty voucher (C1) names the channel's token.
fn terms_or_empty(id: ChannelId, token: Address, voucher: Option<&SignedVoucher>) -> VoucherTerms {
    voucher.map_or(VoucherTerms { channel: id, amount: Amount::ZERO, nonce: Nonce::NONE, token }, |voucher| {
        voucher.terms
    })
}
