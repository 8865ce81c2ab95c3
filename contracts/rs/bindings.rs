//! What goes into a transaction and what comes out of it: ABI bindings from the committed artifacts, and
//! their translation from and to the engine's vocabulary.
//!
//! Logs and return values may come from an endpoint that lies (L4): whatever does not fit becomes
//! [`Malformed`].

use std::fmt;

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::{SolCall, SolError, SolEvent, SolValue};
use decdn_engine::{
    chain::{Call, EventKind, Revert},
    crypto::{Deployment, SignedVoucher},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
    time::ChainTime,
};

use crate::backend::{ChannelView, Setup, Status};

/// The bindings as `sol!` generates them, one module per contract, each with its creation bytecode.
#[expect(missing_docs, reason = "generated; contracts/src documents the names")]
#[allow(clippy::all, reason = "generated")]
pub mod sol {
    alloy_sol_types::sol!(PaymentChannel, "artifacts/PaymentChannel.json");
    alloy_sol_types::sol!(NodeList, "artifacts/NodeList.json");
    alloy_sol_types::sol!(NodeTakesAll, "artifacts/NodeTakesAll.json");
    alloy_sol_types::sol!(TestToken, "artifacts/TestToken.json");
    alloy_sol_types::sol!(TestWallet, "artifacts/TestWallet.json");
}

use sol::{NodeList, PaymentChannel, TestToken, TestWallet};

/// A log or return value that the contract can't have produced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes don't decode.
    Encoding,
    /// An amount above 128 bits.
    Amount,
    /// A status that does not exist.
    Status,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "bytes that do not decode",
            Self::Amount => "an amount above 128 bits",
            Self::Status => "a channel status that does not exist",
        })
    }
}

impl std::error::Error for Malformed {}

/// The contract that a call goes to, and its calldata.
///
/// `token` is the channel's, as read from the chain: the empty voucher of C1 and C4 names it. Calls that carry a
/// voucher name the voucher's own channel and token, whatever they are.
pub fn calldata(call: &Call, payment_channel: Address, token: Address) -> (Address, Bytes) {
    let data = match call {
        Call::Approve { token, amount } => {
            let data =
                TestToken::approveCall { spender: payment_channel, value: U256::from(amount.0) }.abi_encode();
            return (*token, data.into());
        }
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
        Call::WithdrawCredit { token } => PaymentChannel::withdrawCreditCall { token: *token }.abi_encode(),
        Call::ForceClose { channel } => {
            PaymentChannel::forceCloseChannelCall { channelId: B256::from(channel.0) }.abi_encode()
        }
    };
    (payment_channel, data.into())
}

/// The contract that a setting goes to, and its calldata. `from` is the sender, whose own code [`Setup::Delegate`] calls.
pub fn setup_calldata(setup: &Setup, from: Address, at: &Deployment) -> (Address, Bytes) {
    let channel = at.payment_channel;
    let (to, data) = match *setup {
        Setup::Mint { token, to, amount } => {
            (token, TestToken::mintCall { to, amount: U256::from(amount.0) }.abi_encode())
        }
        Setup::Transfer { token, to, amount } => {
            (token, TestToken::transferCall { to, value: U256::from(amount.0) }.abi_encode())
        }
        Setup::SetNode { operator, node, active } => {
            (at.registry, NodeList::setCall { operator, nodeId: B256::from(node.0), active }.abi_encode())
        }
        Setup::AllowToken { token, allowed } => {
            (channel, PaymentChannel::setTokenAllowedCall { token, allowed }.abi_encode())
        }
        Setup::SetWindow { secs } => (channel, PaymentChannel::setDisputeWindowCall { secs }.abi_encode()),
        Setup::Pause(paused) => (channel, PaymentChannel::setPausedCall { paused_: paused }.abi_encode()),
        Setup::Delegate { trusted } => (from, TestWallet::trustCall { key: trusted }.abi_encode()),
    };
    (to, data.into())
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

/// The contract's custom errors by selector. The engine knows no `WindowOutOfBounds`: no role sets the
/// window.
const REVERTS: [([u8; 4], Revert); 21] = [
    (PaymentChannel::Paused::SELECTOR, Revert::Paused),
    (PaymentChannel::TokenNotAllowed::SELECTOR, Revert::TokenNotAllowed),
    (PaymentChannel::ZeroDeposit::SELECTOR, Revert::ZeroDeposit),
    (PaymentChannel::DepositTooLarge::SELECTOR, Revert::DepositTooLarge),
    (PaymentChannel::NodeNotActive::SELECTOR, Revert::NodeNotActive),
    (PaymentChannel::SelfChannel::SELECTOR, Revert::SelfChannel),
    (PaymentChannel::UnknownChannel::SELECTOR, Revert::UnknownChannel),
    (PaymentChannel::NotParty::SELECTOR, Revert::NotParty),
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
    (PaymentChannel::NothingToWithdraw::SELECTOR, Revert::NothingToWithdraw),
    (PaymentChannel::BadSplit::SELECTOR, Revert::BadSplit),
    (PaymentChannel::TokenStillAllowed::SELECTOR, Revert::TokenStillAllowed),
];

/// The reason in a reverted call's output. The errors that have one take no arguments, so anything longer is
/// another.
pub fn revert(output: &[u8]) -> Revert {
    REVERTS.iter().find(|(selector, _)| output == selector).map_or(Revert::Other, |(_, reason)| *reason)
}

/// A log of the payment channel as the engine knows it; `None` for events that no role follows.
pub fn event(topics: &[B256], data: &[u8]) -> Result<Option<(ChannelId, EventKind)>, Malformed> {
    let Some(signature) = topics.first() else { return Ok(None) };
    let topics = || topics.iter().copied();
    let found = match *signature {
        PaymentChannel::ChannelOpened::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelOpened>(topics(), data)?;
            let deposit = amount(e.deposit)?;
            (e.channelId, EventKind::Opened { client: e.client, node: e.node, token: e.token, deposit })
        }
        PaymentChannel::ChannelClosing::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelClosing>(topics(), data)?;
            let (amount, nonce) = (amount(e.amount)?, Nonce(e.nonce));
            (e.channelId, EventKind::Closing { by: e.by, amount, nonce, deadline: ChainTime(e.deadline) })
        }
        PaymentChannel::ChannelDisputed::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelDisputed>(topics(), data)?;
            (e.channelId, EventKind::Disputed { by: e.by, amount: amount(e.amount)?, nonce: Nonce(e.nonce) })
        }
        PaymentChannel::ChannelSettled::SIGNATURE_HASH => {
            let e = decoded::<PaymentChannel::ChannelSettled>(topics(), data)?;
            let (paid, refunded) = (amount(e.paid)?, amount(e.refunded)?);
            (e.channelId, EventKind::Settled { paid, refunded, cooperative: e.cooperative })
        }
        _ => return Ok(None),
    };
    Ok(Some((ChannelId(found.0.0), found.1)))
}

fn decoded<E: SolEvent>(topics: impl Iterator<Item = B256>, data: &[u8]) -> Result<E, Malformed> {
    E::decode_raw_log_validate(topics, data).map_err(|_| Malformed::Encoding)
}

/// What `channel(id)` returned; `None` where no channel has the id (C8).
pub fn channel_view(output: &[u8]) -> Result<Option<ChannelView>, Malformed> {
    let c = PaymentChannel::Channel::abi_decode_validate(output).map_err(|_| Malformed::Encoding)?;
    let status = match c.status {
        0 => return Ok(None),
        1 => Status::Open,
        2 => Status::Closing,
        3 => Status::Settled,
        _ => return Err(Malformed::Status),
    };
    Ok(Some(ChannelView {
        client: c.client,
        node: c.node,
        token: c.token,
        deposit: amount(c.deposit)?,
        amount: amount(c.amount)?,
        nonce: Nonce(c.nonce),
        deadline: ChainTime(c.deadline),
        status,
    }))
}

/// A `uint256` as the engine counts money.
pub fn amount(value: U256) -> Result<Amount, Malformed> {
    u128::try_from(value).map(Amount).map_err(|_| Malformed::Amount)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn opened(deposit: U256) -> (Vec<B256>, Vec<u8>) {
        let event = PaymentChannel::ChannelOpened {
            channelId: B256::repeat_byte(1),
            client: Address::repeat_byte(2),
            node: Address::repeat_byte(3),
            token: Address::repeat_byte(4),
            deposit,
            counter: 1,
        };
        let log = event.encode_log_data();
        (log.topics().to_vec(), log.data.to_vec())
    }

    #[test]
    fn l4_an_amount_above_128_bits_is_malformed() {
        let (topics, data) = opened(U256::from(u128::MAX));
        let Ok(Some((_, EventKind::Opened { deposit, .. }))) = event(&topics, &data) else {
            panic!("decodes")
        };
        assert_eq!(deposit, Amount::MAX);
        let (topics, data) = opened(U256::from(u128::MAX) + U256::ONE);
        assert_eq!(event(&topics, &data), Err(Malformed::Amount));
    }

    #[test]
    fn l4_a_status_that_does_not_exist_is_malformed() {
        let view = |status: u8| [[0; 32].repeat(7), U256::from(status).to_be_bytes::<32>().to_vec()].concat();
        assert_eq!(channel_view(&view(0)), Ok(None));
        assert!(matches!(channel_view(&view(3)), Ok(Some(v)) if v.status == Status::Settled));
        assert_eq!(channel_view(&view(4)), Err(Malformed::Status));
    }

    #[test]
    fn every_revert_of_the_engine_has_its_own_selector() {
        for (i, (selector, reason)) in REVERTS.iter().enumerate() {
            assert_eq!(revert(selector), *reason);
            assert!(REVERTS[..i].iter().all(|(other, r)| other != selector && r != reason));
            assert_eq!(revert(&selector[..3]), Revert::Other);
        }
        assert_eq!(revert(&[]), Revert::Other);
        assert_eq!(revert(&PaymentChannel::WindowOutOfBounds::SELECTOR), Revert::Other);
    }

    proptest! {
        #[test]
        fn l4_no_bytes_from_an_endpoint_panic(
            first in 0..5usize,
            rest in prop::collection::vec(any::<[u8; 32]>(), 0..4),
            data in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let known = [
                PaymentChannel::ChannelOpened::SIGNATURE_HASH,
                PaymentChannel::ChannelClosing::SIGNATURE_HASH,
                PaymentChannel::ChannelDisputed::SIGNATURE_HASH,
                PaymentChannel::ChannelSettled::SIGNATURE_HASH,
                B256::ZERO,
            ];
            let topics: Vec<B256> = [known[first]].into_iter().chain(rest.into_iter().map(B256::from)).collect();
            let right_size = first == 4 || event(&topics, &data).is_err() || data.len() % 32 == 0;
            prop_assert!(right_size);
            if data.len() < 256 {
                prop_assert_eq!(channel_view(&data), Err(Malformed::Encoding));
            }
        }
    }
}
