//! The contracts in one list: what is set and asked of each, and how calls, settings and questions become bytes and come
//! back from them. What stands behind a line is in the contract's own folder.
//!
//! Logs and return values may come from an endpoint that lies (L4): whatever does not fit becomes
//! [`Malformed`].

use std::fmt;

use alloy_primitives::{B256, Bytes, U256};
use alloy_sol_types::SolEvent;
use decdn_engine::{
    chain::{self, Before, Block, Event, Interest, Revert, State, Subject},
    crypto::{Crypto, Deployment},
    ids::{Address, ChannelId},
    money::Amount,
};

use crate::{backend::Backend, channel, registry, token, wallet};

/// The bindings as `sol!` generates them, each contract with its creation bytecode.
pub mod sol {
    pub use crate::{
        channel::sol::{NodeTakesAll, PaymentChannel},
        registry::sol::NodeList,
        token::sol::TestToken,
        wallet::sol::TestWallet,
    };
}

/// What no role does: test money, and the settings of the contracts' owner. They fail with [`Revert::Other`]. An opening with a permit,
/// which adapters make of a role's opening, fails like that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// A test token's.
    Token(token::Setup),
    /// The payment channel's.
    Channel(channel::Setup),
    /// The registry's.
    Registry(registry::Setup),
    /// The sender's own account's.
    Wallet(wallet::Setup),
    /// `openWithPermit` (C13).
    OpenWithPermit(channel::OpenWithPermit),
}

/// A question about what is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Query {
    /// The whole of one thing: [`Answer::State`].
    State(Subject),
    /// Of a token.
    Token(token::Query),
    /// Of the payment channel.
    Channel(channel::Query),
    /// Of the registry.
    Registry(registry::Query),
}

/// The answer to a question, by its shape.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Yes or no.
    Flag(bool),
    /// A count, or seconds.
    Number(u64),
    /// Money, at most [`Amount::MAX`].
    Amount(Amount),
    /// What is there; `None` where nothing is (C8).
    State(Option<State>),
}

/// Who and what a chain is asked about where everything is to be read of it.
#[derive(Clone, Debug)]
pub struct Scene<'a> {
    /// Accounts.
    pub accounts: &'a [Address],
    /// Tokens, or what might be one.
    pub tokens: &'a [Address],
    /// What the contracts keep.
    pub subjects: &'a [Subject],
}

/// The contract that a call goes to, and its calldata. `token` is that of the channel that [`wants_token_of`] names.
pub fn calldata(call: &chain::Call, at: &Deployment, token: Address) -> (Address, Bytes) {
    let (to, data) = match call {
        chain::Call::Token(call) => token::calldata(call, at),
        chain::Call::Channel(call) => (at.payment_channel, channel::bindings::calldata(call, token)),
    };
    (to, data.into())
}

/// Functions of the payment channel as calldata begins with them.
pub mod selectors {
    use alloy_sol_types::SolCall;

    use super::sol::PaymentChannel;

    /// `openChannel`.
    pub const OPEN: [u8; 4] = PaymentChannel::openChannelCall::SELECTOR;
    /// `closeChannel`.
    pub const CLOSE: [u8; 4] = PaymentChannel::closeChannelCall::SELECTOR;
    /// `disputeChannel`.
    pub const DISPUTE: [u8; 4] = PaymentChannel::disputeChannelCall::SELECTOR;
    /// `settleChannel`.
    pub const SETTLE: [u8; 4] = PaymentChannel::settleChannelCall::SELECTOR;
}

/// Which function a call goes to: the first bytes of its calldata.
pub fn selector(call: &chain::Call) -> [u8; 4] {
    let data = match call {
        chain::Call::Token(call) => token::calldata(call, &Deployment::default()).1,
        chain::Call::Channel(call) => channel::bindings::calldata(call, Address::ZERO),
    };
    data.first_chunk().copied().unwrap_or_default()
}

/// How long a call's calldata is.
pub fn data_bytes(call: &chain::Call) -> u64 {
    calldata(call, &Deployment::default(), Address::ZERO).1.len() as u64
}

/// The channel whose token [`calldata`] has to be told for this call.
pub fn wants_token_of(call: &chain::Call) -> Option<ChannelId> {
    channel::bindings::wants_token_of(call.as_channel()?)
}

/// Why the contract at an address refused a call, by its output. A token's own error may look like a contract's: only the
/// contract's calls can give its reasons.
pub fn revert(at: &Deployment, to: Address, output: &[u8]) -> Revert {
    let reason =
        if to == at.payment_channel { channel::bindings::revert(output).map(Revert::Channel) } else { None };
    reason.unwrap_or(Revert::Other)
}

/// A log of the contract at an address as the engine knows it; `None` for what no role follows.
pub fn event(
    at: &Deployment,
    address: Address,
    topics: &[B256],
    data: &[u8],
) -> Result<Option<Event>, Malformed> {
    if address == at.payment_channel {
        return Ok(channel::bindings::event(topics, data)?.map(Event::Channel));
    }
    Ok(None)
}

/// What a log looks like that an interest covers: its contract, and one of these in each place of its topics; anything
/// where there are none.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wanted {
    /// The contract.
    pub address: Address,
    /// The event's signature, and what is indexed.
    pub topics: [Vec<B256>; 4],
}

impl Wanted {
    /// Whether a log looks like that.
    pub fn has(&self, address: Address, topics: &[B256]) -> bool {
        let fits = |(place, any): (usize, &Vec<B256>)| {
            any.is_empty() || topics.get(place).is_some_and(|topic| any.contains(topic))
        };
        address == self.address && self.topics.iter().enumerate().all(fits)
    }
}

/// The logs that an interest covers: those that any of these names.
pub fn wanted(interest: &Interest, at: &Deployment) -> Vec<Wanted> {
    match interest {
        Interest::ChannelsOf(account) => channel::bindings::events_with(*account, at).into(),
        Interest::Channel(id) => vec![channel::bindings::events_of(Some(*id), at)],
        Interest::Channels => vec![channel::bindings::events_of(None, at)],
    }
}

/// Execution gas of a call that succeeds.
pub const fn typical_gas(call: &chain::Call) -> u64 {
    match call {
        chain::Call::Token(call) => token::typical_gas(call),
        chain::Call::Channel(call) => channel::typical_gas(call),
    }
}

/// The state that the engine's prediction of a call depends on (O9), if the call came next.
pub fn before<B: Backend + ?Sized>(
    backend: &B,
    block: Block,
    from: Address,
    call: &chain::Call,
    crypto: &dyn Crypto,
) -> Before {
    match call {
        chain::Call::Token(_) => Before::Token,
        chain::Call::Channel(call) => Before::Channel(channel::before(backend, block, from, call, crypto)),
    }
}

/// Everything that can be asked about a scene.
pub fn questions(scene: &Scene<'_>) -> Vec<Query> {
    let mut all: Vec<Query> = scene.subjects.iter().copied().map(Query::State).collect();
    all.extend(token::questions(scene).map(Query::Token));
    all.extend(channel::questions(scene).map(Query::Channel));
    all.extend(registry::questions(scene).map(Query::Registry));
    all
}

/// Which interests cover an event. It remembers what later events have to be told by.
#[derive(Clone, Debug, Default)]
pub struct Readers {
    parties: channel::Parties,
}

impl Readers {
    /// Every interest that covers an event, each once.
    pub fn of(&mut self, event: &Event) -> Vec<Interest> {
        match event {
            Event::Channel(event) => self.parties.interests(event),
        }
    }
}

impl Setup {
    /// The contract that a setting goes to, and its calldata. `from` is the sender.
    pub fn calldata(&self, from: Address, at: &Deployment) -> (Address, Bytes) {
        let (to, data) = match self {
            Self::Token(setup) => setup.calldata(),
            Self::Channel(setup) => (at.payment_channel, setup.calldata()),
            Self::Registry(setup) => (at.registry, setup.calldata()),
            Self::Wallet(setup) => (from, setup.calldata()),
            Self::OpenWithPermit(opening) => (at.payment_channel, opening.calldata()),
        };
        (to, data.into())
    }
}

impl Query {
    /// The contract that a question goes to, and its calldata.
    pub fn calldata(&self, at: &Deployment) -> (Address, Bytes) {
        let (to, data) = match self {
            Self::State(Subject::Channel(id)) => (at.payment_channel, channel::bindings::ask_state(*id)),
            Self::Token(query) => query.calldata(at),
            Self::Channel(query) => (at.payment_channel, query.calldata()),
            Self::Registry(query) => (at.registry, query.calldata()),
        };
        (to, data.into())
    }

    /// Reads what the contract returned.
    pub fn answer(&self, output: &[u8]) -> Result<Answer, Malformed> {
        match self {
            Self::State(Subject::Channel(id)) => {
                let channel = channel::bindings::state(*id, output)?;
                Ok(Answer::State(channel.map(State::Channel)))
            }
            Self::Token(query) => query.answer(output),
            Self::Channel(query) => query.answer(output),
            Self::Registry(_) => flag(output).map(Answer::Flag),
        }
    }
}

/// A question has answers of one shape; whoever takes it for another made a mistake.
impl Answer {
    /// Yes or no.
    #[track_caller]
    pub fn flag(self) -> bool {
        match self {
            Self::Flag(flag) => flag,
            other => panic!("{other:?} is neither yes nor no"),
        }
    }

    /// A count, or seconds.
    #[track_caller]
    pub fn number(self) -> u64 {
        match self {
            Self::Number(number) => number,
            other => panic!("{other:?} is no number"),
        }
    }

    /// Money.
    #[track_caller]
    pub fn amount(self) -> Amount {
        match self {
            Self::Amount(amount) => amount,
            other => panic!("{other:?} is no amount"),
        }
    }

    /// What is there.
    #[track_caller]
    pub fn state(self) -> Option<State> {
        match self {
            Self::State(state) => state,
            other => panic!("{other:?} is no state"),
        }
    }

    /// The channel that is there.
    #[track_caller]
    pub fn channel(self) -> Option<chain::channel::State> {
        self.state().and_then(|state| state.as_channel().copied())
    }
}

/// A log or return value that the contract can't have produced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Malformed {
    /// The bytes don't decode.
    Encoding,
    /// An amount above 128 bits.
    Amount,
    /// A status that does not exist.
    Status,
    /// An ending that does not exist.
    Ending,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoding => "bytes that do not decode",
            Self::Amount => "an amount above 128 bits",
            Self::Status => "a channel status that does not exist",
            Self::Ending => "a channel ending that does not exist",
        })
    }
}

impl std::error::Error for Malformed {}

pub(crate) fn decoded<E: SolEvent>(topics: impl Iterator<Item = B256>, data: &[u8]) -> Result<E, Malformed> {
    E::decode_raw_log_validate(topics, data).map_err(|_| Malformed::Encoding)
}

/// A `uint256` as the engine counts money.
pub fn units(value: U256) -> Result<Amount, Malformed> {
    u128::try_from(value).map(Amount).map_err(|_| Malformed::Amount)
}

/// A returned amount.
pub(crate) fn amount(output: &[u8]) -> Result<Amount, Malformed> {
    word(output).and_then(units)
}

/// A returned `uint64`.
pub(crate) fn number(output: &[u8]) -> Result<u64, Malformed> {
    word(output)?.try_into().map_err(|_| Malformed::Encoding)
}

/// A returned `bool`.
pub(crate) fn flag(output: &[u8]) -> Result<bool, Malformed> {
    match number(output)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Encoding),
    }
}

fn word(output: &[u8]) -> Result<U256, Malformed> {
    output.get(..32).map(U256::from_be_slice).ok_or(Malformed::Encoding)
}
