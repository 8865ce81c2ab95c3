//! The payment channel's calls, settings and questions as calldata, and its errors, events and answers from bytes.

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue};
use decdn_engine::{
    chain::{
        self,
        channel::{Call, Ending, Event, EventKind, Revert, State, Status},
    },
    crypto::{Deployment, SignedVoucher},
    ids::{Address, ChannelId},
    money::Nonce,
    time::ChainTime,
};

use super::{OpenWithPermit, Query, Setup, sol::PaymentChannel};
use crate::{
    bindings::{Answer, Malformed, Wanted, amount, decoded, flag, number, units},
    token::parts,
};

/// A call's calldata.
///
/// `token` is the channel's, as read from the chain: the empty voucher of C1 and C4 names it. Calls that carry a
/// voucher name the voucher's own channel and token, whatever they are.
pub(crate) fn calldata(call: &Call, token: Address) -> Vec<u8> {
    match call {
        Call::Open { node, token, deposit } => PaymentChannel::openChannelCall {
            counterparty: *node,
            deposit: U256::from(deposit.0),
            token: *token,
        }
        .abi_encode(),
        Call::Close { channel, voucher } => {
            PaymentChannel::closeChannelCall { voucher: voucher_or_empty(*channel, voucher.as_ref(), token) }
                .abi_encode()
        }
        Call::Dispute { voucher } => {
            PaymentChannel::disputeChannelCall { voucher: sol_voucher(voucher) }.abi_encode()
        }
        Call::Settle { channel } => {
            PaymentChannel::settleChannelCall { channelId: B256::from(channel.0) }.abi_encode()
        }
        Call::CloseCooperatively { channel, voucher, node_signature } => {
            PaymentChannel::closeCooperativelyCall {
                voucher: voucher_or_empty(*channel, voucher.as_ref(), token),
                nodeSignature: Bytes::copy_from_slice(&node_signature.0),
            }
            .abi_encode()
        }
        Call::Claim { voucher } => {
            PaymentChannel::claimChannelCall { voucher: sol_voucher(voucher) }.abi_encode()
        }
        Call::Finish { channel, voucher } => {
            PaymentChannel::finishChannelCall { voucher: voucher_or_empty(*channel, voucher.as_ref(), token) }
                .abi_encode()
        }
        Call::WithdrawCredit { token, to } => {
            PaymentChannel::withdrawCreditCall { token: *token, to: *to }.abi_encode()
        }
        Call::ForceClose { channel } => {
            PaymentChannel::forceCloseChannelCall { channelId: B256::from(channel.0) }.abi_encode()
        }
    }
}

/// Calldata of a batch (C8) of calls, each by its own calldata.
pub fn batch(calls: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
    PaymentChannel::batchCall { calls: calls.into_iter().map(Bytes::from).collect() }.abi_encode()
}

/// Which item of a batch was skipped, and why, by a log; `None` for other logs.
pub fn skipped(topics: &[B256], data: &[u8]) -> Result<Option<(u64, chain::Revert)>, Malformed> {
    if topics.first() != Some(&PaymentChannel::BatchItemFailed::SIGNATURE_HASH) {
        return Ok(None);
    }
    let e = decoded::<PaymentChannel::BatchItemFailed>(topics.iter().copied(), data)?;
    let index = e.index.try_into().map_err(|_| Malformed::Encoding)?;
    Ok(Some((index, revert(e.why.as_slice()).map_or(chain::Revert::Other, Into::into))))
}

/// The channel whose token a call has to name although it carries no voucher that does.
pub(crate) fn wants_token_of(call: &Call) -> Option<ChannelId> {
    match call {
        Call::Close { channel, voucher: None }
        | Call::Finish { channel, voucher: None }
        | Call::CloseCooperatively { channel, voucher: None, .. } => Some(*channel),
        _ => None,
    }
}

fn voucher_or_empty(
    channel: ChannelId,
    voucher: Option<&SignedVoucher>,
    token: Address,
) -> PaymentChannel::Voucher {
    voucher.map_or_else(
        || PaymentChannel::Voucher {
            channelId: B256::from(channel.0),
            amount: U256::ZERO,
            nonce: 0,
            token,
            signature: Bytes::new(),
        },
        sol_voucher,
    )
}

fn sol_voucher(voucher: &SignedVoucher) -> PaymentChannel::Voucher {
    PaymentChannel::Voucher {
        channelId: B256::from(voucher.terms.channel.0),
        amount: U256::from(voucher.terms.amount.0),
        nonce: voucher.terms.nonce.0,
        token: voucher.terms.token,
        signature: Bytes::copy_from_slice(&voucher.signature.0),
    }
}

impl OpenWithPermit {
    pub(crate) fn calldata(&self) -> Vec<u8> {
        let (r, s, v) = parts(&self.permit.signature);
        PaymentChannel::openWithPermitCall {
            counterparty: self.node,
            deposit: U256::from(self.permit.amount.0),
            token: self.permit.token,
            deadline: U256::from(self.permit.deadline.0),
            v,
            r,
            s,
        }
        .abi_encode()
    }
}

impl Setup {
    pub(crate) fn calldata(&self) -> Vec<u8> {
        match *self {
            Self::AllowToken { token, allowed } => {
                PaymentChannel::setTokenAllowedCall { token, allowed }.abi_encode()
            }
            Self::SetWindow { secs } => PaymentChannel::setDisputeWindowCall { secs }.abi_encode(),
            Self::Pause(paused) => PaymentChannel::setPausedCall { paused_: paused }.abi_encode(),
        }
    }
}

impl Query {
    pub(crate) fn calldata(&self) -> Vec<u8> {
        match *self {
            Self::Credit { payee, token } => PaymentChannel::creditCall { payee, token }.abi_encode(),
            Self::CounterOf(client) => PaymentChannel::counterOfCall { client }.abi_encode(),
            Self::DisputeWindow => PaymentChannel::disputeWindowCall {}.abi_encode(),
            Self::IsTokenAllowed(token) => PaymentChannel::tokenAllowedCall { token }.abi_encode(),
            Self::IsPaused => PaymentChannel::pausedCall {}.abi_encode(),
        }
    }

    pub(crate) fn answer(&self, output: &[u8]) -> Result<Answer, Malformed> {
        match self {
            Self::Credit { .. } => amount(output).map(Answer::Amount),
            Self::CounterOf(_) | Self::DisputeWindow => number(output).map(Answer::Number),
            Self::IsTokenAllowed(_) | Self::IsPaused => flag(output).map(Answer::Flag),
        }
    }
}

/// Asks for a channel's state; [`state`] reads the answer.
pub(crate) fn ask_state(id: ChannelId) -> Vec<u8> {
    PaymentChannel::channelCall { channelId: B256::from(id.0) }.abi_encode()
}

/// The contract's custom errors by selector. The engine knows no `WindowOutOfBounds`: no role sets the
/// window.
const REVERTS: [([u8; 4], Revert); 23] = [
    (PaymentChannel::Paused::SELECTOR, Revert::Paused),
    (PaymentChannel::TokenNotAllowed::SELECTOR, Revert::TokenNotAllowed),
    (PaymentChannel::ZeroDeposit::SELECTOR, Revert::ZeroDeposit),
    (PaymentChannel::DepositTooLarge::SELECTOR, Revert::DepositTooLarge),
    (PaymentChannel::NodeNotActive::SELECTOR, Revert::NodeNotActive),
    (PaymentChannel::SelfChannel::SELECTOR, Revert::SelfChannel),
    (PaymentChannel::UnknownChannel::SELECTOR, Revert::UnknownChannel),
    (PaymentChannel::NotParty::SELECTOR, Revert::NotParty),
    (PaymentChannel::NotNode::SELECTOR, Revert::NotNode),
    (PaymentChannel::NotOpen::SELECTOR, Revert::NotOpen),
    (PaymentChannel::NotClosing::SELECTOR, Revert::NotClosing),
    (PaymentChannel::WrongToken::SELECTOR, Revert::WrongToken),
    (PaymentChannel::BadSignature::SELECTOR, Revert::BadSignature),
    (PaymentChannel::BadVoucher::SELECTOR, Revert::BadVoucher),
    (PaymentChannel::AmountNotHigher::SELECTOR, Revert::AmountNotHigher),
    (PaymentChannel::AmountTooLow::SELECTOR, Revert::AmountTooLow),
    (PaymentChannel::WindowOpen::SELECTOR, Revert::WindowOpen),
    (PaymentChannel::WindowOver::SELECTOR, Revert::WindowOver),
    (PaymentChannel::TransferFailed::SELECTOR, Revert::TransferFailed),
    (PaymentChannel::BadPayee::SELECTOR, Revert::BadPayee),
    (PaymentChannel::NothingToWithdraw::SELECTOR, Revert::NothingToWithdraw),
    (PaymentChannel::TooLittleGas::SELECTOR, Revert::TooLittleGas),
    (PaymentChannel::TokenStillAllowed::SELECTOR, Revert::TokenStillAllowed),
];

/// The reason in a reverted call's output; `None` where the contract has no such error. Those that it has take no arguments,
/// so anything longer is another.
pub fn revert(output: &[u8]) -> Option<Revert> {
    REVERTS.iter().find(|(selector, _)| output == selector).map(|(_, reason)| *reason)
}

/// A log as the engine knows it; `None` for events that no role follows.
pub fn event(topics: &[B256], data: &[u8]) -> Result<Option<Event>, Malformed> {
    let Some(signature) = topics.first() else { return Ok(None) };
    let topics = || topics.iter().copied();
    let found = match *signature {
        PaymentChannel::ChannelOpened::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelOpened>(topics(), data)?;
            let deposit = units(e.deposit)?;
            let (client, node, token, window_secs) = (e.client, e.node, e.token, e.window);
            (e.channelId, EventKind::Opened { client, node, token, deposit, window_secs })
        }
        PaymentChannel::ChannelClosing::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelClosing>(topics(), data)?;
            let (amount, nonce) = (units(e.amount)?, Nonce(e.nonce));
            (e.channelId, EventKind::Closing { by: e.by, amount, nonce, deadline: ChainTime(e.deadline) })
        }
        PaymentChannel::ChannelDisputed::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelDisputed>(topics(), data)?;
            (e.channelId, EventKind::Disputed { by: e.by, amount: units(e.amount)?, nonce: Nonce(e.nonce) })
        }
        PaymentChannel::ChannelClaimed::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelClaimed>(topics(), data)?;
            let (amount, paid) = (units(e.amount)?, units(e.paid)?);
            (e.channelId, EventKind::Claimed { amount, nonce: Nonce(e.nonce), paid })
        }
        PaymentChannel::ChannelSettled::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelSettled>(topics(), data)?;
            let (amount, paid, refunded) = (units(e.amount)?, units(e.paid)?, units(e.refunded)?);
            (e.channelId, EventKind::Settled { ending: ending(e.ending)?, amount, paid, refunded })
        }
        _ => return Ok(None),
    };
    Ok(Some(Event { channel: ChannelId(found.0.0), kind: found.1 }))
}

/// What happens to a channel.
const KINDS: [B256; 5] = [
    PaymentChannel::ChannelOpened::SIGNATURE_HASH,
    PaymentChannel::ChannelClosing::SIGNATURE_HASH,
    PaymentChannel::ChannelDisputed::SIGNATURE_HASH,
    PaymentChannel::ChannelClaimed::SIGNATURE_HASH,
    PaymentChannel::ChannelSettled::SIGNATURE_HASH,
];

/// All events of an account's channels: it is the client, or the node. Both are indexed in each (C8).
pub(crate) fn events_with(account: Address, at: &Deployment) -> [Wanted; 2] {
    let (address, account) = (at.payment_channel, vec![account.into_word()]);
    let client = [KINDS.to_vec(), Vec::new(), account.clone(), Vec::new()];
    let node = [KINDS.to_vec(), Vec::new(), Vec::new(), account];
    [Wanted { address, topics: client }, Wanted { address, topics: node }]
}

/// All events of one channel, or of all.
pub(crate) fn events_of(channel: Option<ChannelId>, at: &Deployment) -> Wanted {
    let ids = channel.into_iter().map(|id| B256::from(id.0)).collect();
    Wanted { address: at.payment_channel, topics: [KINDS.to_vec(), ids, Vec::new(), Vec::new()] }
}

fn ending(word: u8) -> Result<Ending, Malformed> {
    match word {
        0 => Ok(Ending::Window),
        1 => Ok(Ending::Consent),
        2 => Ok(Ending::Finish),
        _ => Err(Malformed::Ending),
    }
}

/// What `channel(id)` returned; `None` where no channel has the id (C8).
pub fn state(id: ChannelId, output: &[u8]) -> Result<Option<State>, Malformed> {
    let c = PaymentChannel::Channel::abi_decode_validate(output).map_err(|_| Malformed::Encoding)?;
    let status = match c.status {
        0 => return Ok(None),
        1 => Status::Open,
        2 => Status::Closing,
        3 => Status::Settled,
        _ => return Err(Malformed::Status),
    };
    Ok(Some(State {
        id,
        client: c.client,
        node: c.node,
        token: c.token,
        deposit: units(c.deposit)?,
        amount: units(c.amount)?,
        claimed: units(c.claimed)?,
        nonce: Nonce(c.nonce),
        deadline: ChainTime(c.deadline),
        window_secs: c.window,
        status,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use decdn_engine::money::Amount;
    use proptest::prelude::*;

    fn opened(deposit: U256) -> (Vec<B256>, Vec<u8>) {
        let event = PaymentChannel::ChannelOpened {
            channelId: B256::repeat_byte(1),
            client: Address::repeat_byte(2),
            node: Address::repeat_byte(3),
            token: Address::repeat_byte(4),
            deposit,
            counter: 1,
            window: 172_800,
        };
        let log = event.encode_log_data();
        (log.topics().to_vec(), log.data.to_vec())
    }

    #[test]
    fn l4_an_amount_above_128_bits_is_malformed() {
        let (topics, data) = opened(U256::from(u128::MAX));
        let Ok(Some(Event { kind: EventKind::Opened { deposit, .. }, .. })) = event(&topics, &data) else {
            panic!("decodes")
        };
        assert_eq!(deposit, Amount::MAX);
        let (topics, data) = opened(U256::from(u128::MAX) + U256::ONE);
        assert_eq!(event(&topics, &data), Err(Malformed::Amount));
    }

    #[test]
    fn l4_a_status_that_does_not_exist_is_malformed() {
        let view = |status: u8| [[0; 32].repeat(9), U256::from(status).to_be_bytes::<32>().to_vec()].concat();
        assert_eq!(state(ChannelId::default(), &view(0)), Ok(None));
        assert!(matches!(state(ChannelId::default(), &view(3)), Ok(Some(v)) if v.status == Status::Settled));
        assert_eq!(state(ChannelId::default(), &view(4)), Err(Malformed::Status));
    }

    #[test]
    fn l4_an_ending_that_does_not_exist_is_malformed() {
        let settled = |ending: u8| {
            let words = [U256::from(ending), U256::ZERO, U256::ZERO, U256::ZERO];
            let data = words.map(|word| word.to_be_bytes::<32>()).concat();
            let [id, client, node] = [B256::ZERO; 3];
            event(&[PaymentChannel::ChannelSettled::SIGNATURE_HASH, id, client, node], &data)
        };
        assert!(settled(2).is_ok_and(|event| event.is_some()));
        assert!(settled(3).is_err());
    }

    #[test]
    fn every_revert_of_the_engine_has_its_own_selector() {
        for (i, (selector, reason)) in REVERTS.iter().enumerate() {
            assert_eq!(revert(selector), Some(*reason));
            assert!(REVERTS[..i].iter().all(|(other, r)| other != selector && r != reason));
            assert_eq!(revert(&selector[..3]), None);
        }
        assert_eq!(revert(&[]), None);
        assert_eq!(revert(&PaymentChannel::WindowOutOfBounds::SELECTOR), None);
    }

    proptest! {
        #[test]
        fn l4_no_bytes_from_an_endpoint_panic(
            first in 0..6usize,
            rest in prop::collection::vec(any::<[u8; 32]>(), 0..4),
            data in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let known = [
                PaymentChannel::ChannelOpened::SIGNATURE_HASH,
                PaymentChannel::ChannelClosing::SIGNATURE_HASH,
                PaymentChannel::ChannelDisputed::SIGNATURE_HASH,
                PaymentChannel::ChannelSettled::SIGNATURE_HASH,
                PaymentChannel::ChannelClaimed::SIGNATURE_HASH,
                B256::ZERO,
            ];
            let topics: Vec<B256> = [known[first]].into_iter().chain(rest.into_iter().map(B256::from)).collect();
            let right_size = first == 5 || event(&topics, &data).is_err() || data.len() % 32 == 0;
            prop_assert!(right_size);
            if data.len() < 320 {
                prop_assert_eq!(state(ChannelId::default(), &data), Err(Malformed::Encoding));
            }
        }
    }
}
