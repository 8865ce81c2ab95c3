//! The payment channel: its bindings, what is set and asked of it, what its calls cost, and its model.

pub mod bindings;
pub(crate) mod model;

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{
        Block, Interest,
        channel::{
            Call, Event, EventKind, State,
            predict::{Before, Opening, Wallets},
        },
    },
    crypto::{Crypto, Typed, VoucherTerms},
    ids::{Address, ChannelId},
    money::{Amount, Nonce},
};

use crate::{
    backend::Backend,
    bindings::{Query as Asked, Scene},
    registry, token,
};

/// The bindings as `sol!` generates them.
#[expect(missing_docs, reason = "generated; contracts/src documents the names")]
#[allow(clippy::all, reason = "generated")]
pub mod sol {
    alloy_sol_types::sol!(PaymentChannel, "artifacts/PaymentChannel.json");
    alloy_sol_types::sol!(NodeTakesAll, "artifacts/NodeTakesAll.json");
}

/// What the contract's owner sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// `setTokenAllowed`.
    AllowToken {
        /// The token.
        token: Address,
        /// Whether new channels may use it.
        allowed: bool,
    },
    /// `setDisputeWindow`, in seconds (C9).
    SetWindow {
        /// The window of channels that are opened from now on.
        secs: u64,
    },
    /// `setPaused`.
    Pause(bool),
}

/// What the contract can be asked beside a channel's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// What an account may withdraw of a token (C6): an amount.
    Credit {
        /// Who.
        payee: Address,
        /// Of what.
        token: Address,
    },
    /// How many channels a client has opened (V5).
    CounterOf(Address),
    /// The dispute window that a channel would get now, in seconds (C9).
    DisputeWindow,
    /// Whether new channels may use a token.
    IsTokenAllowed(Address),
    /// Whether new channels are stopped.
    IsPaused,
}

/// An opening with a permit for its deposit (C13). Whoever sends it is owner and payer, whomever the permit names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OpenWithPermit {
    /// The node's operator account.
    pub node: Address,
    /// Token, deposit, and how long the permit counts.
    pub permit: token::Permit,
}

/// Gas of an opening with a permit that succeeds.
pub(crate) const WITH_PERMIT_GAS: u64 = 165_000;

impl From<OpenWithPermit> for crate::Setup {
    fn from(opening: OpenWithPermit) -> Self {
        Self::OpenWithPermit(opening)
    }
}

impl From<Setup> for crate::Setup {
    fn from(setup: Setup) -> Self {
        Self::Channel(setup)
    }
}

impl From<Query> for Asked {
    fn from(query: Query) -> Self {
        Self::Channel(query)
    }
}

/// Execution gas of a call that succeeds.
pub(crate) const fn typical_gas(call: &Call) -> u64 {
    match call {
        Call::Open { .. } => 149_000,
        Call::Close { voucher: None, .. } => 38_000,
        Call::Close { voucher: Some(_), .. } => 49_000,
        Call::Dispute { .. } => 45_000,
        Call::Settle { .. } => 65_500,
        Call::Claim { .. } => 64_500,
        Call::Finish { voucher: None, .. } => 55_500,
        Call::Finish { voucher: Some(_), .. } => 77_000,
        Call::CloseCooperatively { .. } => 83_000,
        Call::WithdrawCredit { .. } => 45_000,
        Call::ForceClose { .. } => 40_000,
    }
}

/// Everything that can be asked about a scene, but for the channels' state.
pub(crate) fn questions(scene: &Scene<'_>) -> impl Iterator<Item = Query> {
    let of_token = |token: &Address| {
        let (token, payees) = (*token, scene.accounts.iter());
        payees.map(move |payee| Query::Credit { payee: *payee, token }).chain([Query::IsTokenAllowed(token)])
    };
    [Query::DisputeWindow, Query::IsPaused]
        .into_iter()
        .chain(scene.accounts.iter().copied().map(Query::CounterOf))
        .chain(scene.tokens.iter().flat_map(of_token))
}

/// What a call depends on, if it came next.
pub(crate) fn before<B: Backend + ?Sized>(
    backend: &B,
    block: Block,
    from: Address,
    call: &Call,
    crypto: &dyn Crypto,
) -> Before {
    let channel = call.channel().and_then(|id| backend.channel(id));
    let flag = |query: Asked| backend.ask(&query).flag();
    let amount = |query: Asked| backend.ask(&query).amount();
    let opening = match *call {
        Call::Open { node, token, .. } => Opening {
            is_paused: flag(Query::IsPaused.into()),
            is_node_active: flag(registry::Query::IsActive(node).into()),
            balance: amount(token::Query::Balance { token, who: from }.into()),
            allowance: amount(token::Query::Allowance { token, who: from }.into()),
        },
        _ => Opening {
            is_paused: false,
            is_node_active: false,
            balance: Amount::ZERO,
            allowance: Amount::ZERO,
        },
    };
    let credit = match *call {
        Call::WithdrawCredit { token, .. } => amount(Query::Credit { payee: from, token }.into()),
        _ => Amount::ZERO,
    };
    let token = match *call {
        Call::Open { token, .. } => Some(token),
        Call::ForceClose { .. } => channel.map(|c| c.token),
        _ => None,
    };
    Before {
        from,
        time: block.time,
        channel,
        is_token_allowed: token.is_some_and(|token| flag(Query::IsTokenAllowed(token).into())),
        opening,
        wallets: channel.map_or_else(Wallets::default, |c| wallets(backend, &c, call, crypto)),
        credit,
    }
}

/// What the wallets of a channel's parties say of a call's signatures.
fn wallets<B: Backend + ?Sized>(backend: &B, c: &State, call: &Call, crypto: &dyn Crypto) -> Wallets {
    let (voucher, consent) = match call {
        Call::Close { voucher, .. } | Call::Finish { voucher, .. } => (voucher.as_ref(), None),
        Call::Dispute { voucher } | Call::Claim { voucher } => (Some(voucher), None),
        Call::CloseCooperatively { channel, voucher, node_signature } => {
            let (channel, token) = (*channel, c.token);
            let empty = VoucherTerms { channel, amount: Amount::ZERO, nonce: Nonce::NONE, token };
            let terms = voucher.map_or(empty, |voucher| voucher.terms);
            (voucher.as_ref(), Some((Typed::CooperativeClose(terms), node_signature)))
        }
        _ => (None, None),
    };
    let takes_voucher = voucher.is_some_and(|voucher| {
        backend.wallet_takes(c.client, &Typed::Voucher(voucher.terms), &voucher.signature, crypto)
    });
    let takes_consent =
        consent.is_some_and(|(what, signature)| backend.wallet_takes(c.node, &what, signature, crypto));
    Wallets { takes_voucher, takes_consent }
}

/// The parties of the channels that were opened so far: later events don't name them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parties(BTreeMap<ChannelId, [Address; 2]>);

impl Parties {
    /// Every interest that covers an event.
    pub(crate) fn interests(&mut self, event: &Event) -> Vec<Interest> {
        if let EventKind::Opened { client, node, .. } = event.kind {
            self.0.insert(event.channel, [client, node]);
        }
        let parties = self.0.get(&event.channel).into_iter().flatten();
        let of_accounts = parties.copied().map(Interest::ChannelsOf);
        [Interest::Channels, Interest::Channel(event.channel)].into_iter().chain(of_accounts).collect()
    }
}
