//! What the engine expects a call to do, given the state at its place in the block (O9).

use super::{Call, DEPOSIT_MAX, Revert, State, Status};
use crate::{
    crypto::{Crypto, Deployment, SignedVoucher, Typed, VoucherTerms},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::ChainTime,
};

/// What an opening depends on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Opening {
    pub is_paused: bool,
    pub is_node_active: bool,
    pub balance: Amount,
    pub allowance: Amount,
}

/// What contract wallets say of a call's signatures (C10): whether an account with code takes under ERC-1271 what it is shown. Only
/// the chain knows, so whoever asks for a prediction asks there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Wallets {
    /// The client's, of the voucher.
    pub takes_voucher: bool,
    /// The node's, of its consent (C4).
    pub takes_consent: bool,
}

/// The state at the transaction's place, as far as the call depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Before {
    /// Who calls.
    pub from: Address,
    /// `block.timestamp`.
    pub time: ChainTime,
    /// The channel that the call is about.
    pub channel: Option<State>,
    /// For [`Call::Open`] and [`Call::ForceClose`]: whether new channels may use the token.
    pub is_token_allowed: bool,
    /// For [`Call::Open`].
    pub opening: Opening,
    /// For calls that carry signatures.
    pub wallets: Wallets,
    /// For [`Call::WithdrawCredit`]: the caller's credit.
    pub credit: Amount,
}

/// The channel after the call, or why it reverts. `None` where the call touches no existing channel.
///
/// # Errors
/// The contract's custom error.
pub fn predict<C: Crypto>(
    call: &Call,
    before: &Before,
    deployment: &Deployment,
    crypto: &C,
) -> Result<Option<State>, Revert> {
    let at = Place { before, deployment, crypto };
    match call {
        Call::Open { node, deposit, .. } => at.open(*node, *deposit).map(|()| None),
        Call::Close { voucher, .. } => at.close(voucher.as_ref()).map(Some),
        Call::Dispute { voucher } => {
            let channel = before.channel.ok_or(Revert::UnknownChannel)?;
            at.dispute(channel, voucher).map(Some)
        }
        Call::Settle { .. } => at.settle().map(Some),
        Call::CloseCooperatively { channel, voucher, node_signature } => {
            let consent = (*channel, voucher.as_ref(), node_signature);
            at.close_cooperatively(consent).map(Some)
        }
        Call::Claim { voucher } => at.claim(voucher).map(Some),
        Call::Finish { voucher, .. } => at.finish(voucher.as_ref()).map(Some),
        Call::WithdrawCredit { to, .. } => at.withdraw(*to).map(|()| None),
        Call::ForceClose { .. } => at.force_close().map(Some),
    }
}

struct Place<'a, C> {
    before: &'a Before,
    deployment: &'a Deployment,
    crypto: &'a C,
}

impl<C: Crypto> Place<'_, C> {
    fn open(&self, node: Address, deposit: Amount) -> Result<(), Revert> {
        let opening = &self.before.opening;
        let refusals = [
            (opening.is_paused, Revert::Paused),
            (!self.before.is_token_allowed, Revert::TokenNotAllowed),
            (deposit == Amount::ZERO, Revert::ZeroDeposit),
            (node == self.before.from, Revert::SelfChannel),
            (!opening.is_node_active, Revert::NodeNotActive),
            (opening.balance < deposit || opening.allowance < deposit, Revert::TransferFailed),
            (deposit > DEPOSIT_MAX, Revert::DepositTooLarge),
        ];
        refusals.iter().find(|(applies, _)| *applies).map_or(Ok(()), |(_, revert)| Err(*revert))
    }

    /// C1: it never lowers what is recorded.
    fn close(&self, voucher: Option<&SignedVoucher>) -> Result<State, Revert> {
        let mut channel = self.before.channel.ok_or(Revert::UnknownChannel)?;
        if self.before.from != channel.client && self.before.from != channel.node {
            return Err(Revert::NotParty);
        }
        match (channel.status, voucher) {
            (Status::Settled, _) => return Err(Revert::NotOpen),
            (Status::Closing, Some(voucher)) => return self.dispute(channel, voucher),
            (Status::Closing, None) if self.before.time >= channel.deadline => {
                return Err(Revert::WindowOver);
            }
            (Status::Closing, None) => return Err(Revert::AmountNotHigher),
            (Status::Open, None) => {}
            (Status::Open, Some(voucher)) => {
                self.check_voucher(&channel, voucher)?;
                channel.amount = channel.amount.max(voucher.terms.amount.min(channel.deposit));
                channel.nonce = channel.nonce.max(voucher.terms.nonce);
            }
        }
        Ok(self.start_window(channel))
    }

    /// C5: as a close with the empty voucher.
    fn force_close(&self) -> Result<State, Revert> {
        let channel = self.before.channel.ok_or(Revert::UnknownChannel)?;
        match channel.status {
            Status::Closing | Status::Settled => Err(Revert::NotOpen),
            Status::Open if self.before.is_token_allowed => Err(Revert::TokenStillAllowed),
            Status::Open => Ok(self.start_window(channel)),
        }
    }

    /// C9: the window is the channel's own.
    fn start_window(&self, channel: State) -> State {
        let deadline = ChainTime(self.before.time.0 + channel.window_secs);
        State { status: Status::Closing, deadline, ..channel }
    }

    /// C2: the amount decides, whatever the nonce; the deadline does not move.
    fn dispute(&self, channel: State, voucher: &SignedVoucher) -> Result<State, Revert> {
        if channel.status != Status::Closing {
            return Err(Revert::NotClosing);
        }
        if self.before.time >= channel.deadline {
            return Err(Revert::WindowOver);
        }
        self.record_higher(channel, voucher)
    }

    /// C2, C12.
    fn record_higher(&self, mut channel: State, voucher: &SignedVoucher) -> Result<State, Revert> {
        if voucher.terms.token != channel.token {
            return Err(Revert::WrongToken);
        }
        let amount = voucher.terms.amount.min(channel.deposit);
        if amount <= channel.amount {
            return Err(Revert::AmountNotHigher);
        }
        self.check_voucher(&channel, voucher)?;
        channel.amount = amount;
        channel.nonce = channel.nonce.max(voucher.terms.nonce);
        Ok(channel)
    }

    /// C3.
    fn settle(&self) -> Result<State, Revert> {
        let channel = self.before.channel.ok_or(Revert::UnknownChannel)?;
        match channel.status {
            Status::Closing if self.before.time >= channel.deadline => {
                Ok(State { status: Status::Settled, ..channel })
            }
            Status::Closing => Err(Revert::WindowOpen),
            Status::Open | Status::Settled => Err(Revert::NotClosing),
        }
    }

    /// C12: what is recorded is paid at once.
    fn claim(&self, voucher: &SignedVoucher) -> Result<State, Revert> {
        let channel = self.before.channel.ok_or(Revert::UnknownChannel)?;
        if channel.status != Status::Open {
            return Err(Revert::NotOpen);
        }
        if self.before.from != channel.node {
            return Err(Revert::NotNode);
        }
        let recorded = self.record_higher(channel, voucher)?;
        Ok(State { claimed: recorded.amount, ..recorded })
    }

    /// C11: only a voucher above what is recorded has to be signed, and only that one counts.
    fn finish(&self, voucher: Option<&SignedVoucher>) -> Result<State, Revert> {
        let mut channel = self.before.channel.ok_or(Revert::UnknownChannel)?;
        let refusals = [
            (channel.status == Status::Settled, Revert::NotOpen),
            (self.before.from != channel.node, Revert::NotNode),
            (channel.status == Status::Closing && self.before.time >= channel.deadline, Revert::WindowOver),
            (voucher.is_some_and(|voucher| voucher.terms.token != channel.token), Revert::WrongToken),
        ];
        if let Some((_, revert)) = refusals.iter().find(|(applies, _)| *applies) {
            return Err(*revert);
        }
        let higher = voucher.filter(|voucher| voucher.terms.amount.min(channel.deposit) > channel.amount);
        if let Some(voucher) = higher {
            self.check_voucher(&channel, voucher)?;
            channel.amount = voucher.terms.amount.min(channel.deposit);
            channel.nonce = channel.nonce.max(voucher.terms.nonce);
        }
        Ok(State { status: Status::Settled, ..channel })
    }

    /// C4.
    fn close_cooperatively(
        &self,
        (id, voucher, consent): (ChannelId, Option<&SignedVoucher>, &crate::crypto::Signature),
    ) -> Result<State, Revert> {
        let channel = self.before.channel.ok_or(Revert::UnknownChannel)?;
        if channel.status == Status::Settled {
            return Err(Revert::NotOpen);
        }
        if self.before.from != channel.client && self.before.from != channel.node {
            return Err(Revert::NotParty);
        }
        let empty =
            VoucherTerms { channel: id, amount: Amount::ZERO, nonce: Nonce::NONE, token: channel.token };
        let terms = voucher.map_or(empty, |voucher| voucher.terms);
        if terms.token != channel.token {
            return Err(Revert::WrongToken);
        }
        let amount = terms.amount.min(channel.deposit);
        if amount < channel.amount {
            return Err(Revert::AmountTooLow);
        }
        if let Some(voucher) = voucher {
            self.check_voucher(&channel, voucher)?;
        }
        let what = Typed::CooperativeClose(terms);
        let recovers = self.crypto.verify(self.deployment, &what, consent, channel.node);
        if !recovers && !self.before.wallets.takes_consent {
            return Err(Revert::BadSignature);
        }
        let nonce = channel.nonce.max(terms.nonce);
        Ok(State { status: Status::Settled, amount, nonce, ..channel })
    }

    /// C6. That the token refuses again is nothing that the state tells.
    fn withdraw(&self, to: Address) -> Result<(), Revert> {
        if to == Address::ZERO || to == self.deployment.payment_channel {
            return Err(Revert::BadPayee);
        }
        if self.before.credit == Amount::ZERO { Err(Revert::NothingToWithdraw) } else { Ok(()) }
    }

    fn check_voucher(&self, channel: &State, voucher: &SignedVoucher) -> Result<(), Revert> {
        if voucher.terms.token != channel.token {
            return Err(Revert::WrongToken);
        }
        let what = Typed::Voucher(voucher.terms);
        let recovers = self.crypto.verify(self.deployment, &what, &voucher.signature, channel.client);
        if recovers || self.before.wallets.takes_voucher { Ok(()) } else { Err(Revert::BadSignature) }
    }
}
