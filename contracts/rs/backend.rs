//! What the L2 model asks of whatever executes its transactions, and the vocabulary both backends share.

pub use decdn_engine::chain::predict::{OnChain as ChannelView, Status};
use decdn_engine::{
    chain::{
        self, Block, ChainEvent, Revert,
        predict::{Before, Opening, Wallets},
    },
    crypto::{Crypto, Signature, Typed, VoucherTerms},
    ids::{Address, ChannelId, NodeId},
    money::{Amount, Nonce},
};

/// Something that executes transactions one at a time.
pub trait Machine {
    /// A transaction.
    type Tx: Sender;
    /// What came of one.
    type Receipt: Events;

    /// Executes a transaction in a block. Blocks never go backwards. Whoever runs compiled code recovers
    /// signatures by itself and does not ask `crypto`.
    fn execute(&mut self, block: Block, tx: &Self::Tx, crypto: &dyn Crypto) -> Self::Receipt;
}

/// A transaction's account.
pub trait Sender {
    /// Who signed it.
    fn sender(&self) -> Address;
}

/// A receipt's news.
pub trait Events {
    /// The events that roles follow, in order.
    fn events(&self) -> &[ChainEvent];
}

/// The contracts, run by the model or the bytecode: the same calls, and the same questions.
pub trait Backend: Machine<Tx = Tx, Receipt = Receipt> {
    /// A channel; `None` where no channel has the id (C8).
    fn channel(&self, id: ChannelId) -> Option<ChannelView>;
    /// What an account holds of a token, at most [`Amount::MAX`].
    fn balance(&self, token: Address, who: Address) -> Amount;
    /// What an account let the payment channel take of a token, at most [`Amount::MAX`].
    fn allowance(&self, token: Address, who: Address) -> Amount;
    /// What an account may withdraw of a token (C6), at most [`Amount::MAX`].
    fn credit(&self, who: Address, token: Address) -> Amount;
    /// How many channels a client has opened (V5).
    fn counter_of(&self, client: Address) -> u64;
    /// The dispute window that a close would get now, in seconds (C9).
    fn dispute_window(&self) -> u64;
    /// Whether an operator may take new channels.
    fn is_node_active(&self, operator: Address) -> bool;
    /// Whether new channels may use a token.
    fn is_token_allowed(&self, token: Address) -> bool;
    /// Whether new channels are stopped.
    fn is_paused(&self) -> bool;

    /// Whether an account has a contract wallet's code that takes a signature (C10). Whoever runs compiled code asks the wallet
    /// and not `crypto`.
    fn wallet_takes(
        &self,
        account: Address,
        what: &Typed,
        signature: &Signature,
        crypto: &dyn Crypto,
    ) -> bool;

    /// The state that the engine's prediction of a call depends on (O9), if the call came next.
    fn before(&self, block: Block, from: Address, call: &chain::Call, crypto: &dyn Crypto) -> Before {
        let channel = match call {
            chain::Call::Close { voucher: Some(voucher), .. }
            | chain::Call::CloseCooperatively { voucher: Some(voucher), .. } => Some(voucher.terms.channel),
            _ => call.channel(),
        };
        let channel = channel.and_then(|id| self.channel(id));
        let opening = match *call {
            chain::Call::Open { node, token, .. } => Opening {
                is_paused: self.is_paused(),
                is_node_active: self.is_node_active(node),
                balance: self.balance(token, from),
                allowance: self.allowance(token, from),
            },
            _ => Opening {
                is_paused: false,
                is_node_active: false,
                balance: Amount::ZERO,
                allowance: Amount::ZERO,
            },
        };
        let credit = match *call {
            chain::Call::WithdrawCredit { token } => self.credit(from, token),
            _ => Amount::ZERO,
        };
        let token = match *call {
            chain::Call::Open { token, .. } => Some(token),
            chain::Call::ForceClose { .. } => channel.map(|c| c.token),
            _ => None,
        };
        let wallets = channel.map_or_else(Wallets::default, |c| self.wallets(&c, call, crypto));
        Before {
            from,
            time: block.time,
            window_secs: self.dispute_window(),
            channel,
            is_token_allowed: token.is_some_and(|token| self.is_token_allowed(token)),
            opening,
            wallets,
            credit,
        }
    }

    /// What the wallets of a channel's parties say of a call's signatures.
    fn wallets(&self, c: &ChannelView, call: &chain::Call, crypto: &dyn Crypto) -> Wallets {
        let (voucher, consent) = match call {
            chain::Call::Close { voucher, .. } => (voucher.as_ref(), None),
            chain::Call::Dispute { voucher } => (Some(voucher), None),
            chain::Call::CloseCooperatively { channel, voucher, node_signature } => {
                let (channel, token) = (*channel, c.token);
                let empty = VoucherTerms { channel, amount: Amount::ZERO, nonce: Nonce::NONE, token };
                let terms = voucher.map_or(empty, |voucher| voucher.terms);
                (voucher.as_ref(), Some((Typed::CooperativeClose(terms), node_signature)))
            }
            _ => (None, None),
        };
        let takes_voucher = voucher.is_some_and(|voucher| {
            self.wallet_takes(c.client, &Typed::Voucher(voucher.terms), &voucher.signature, crypto)
        });
        let takes_consent =
            consent.is_some_and(|(what, signature)| self.wallet_takes(c.node, &what, signature, crypto));
        Wallets { takes_voucher, takes_consent }
    }
}

/// A transaction: a call from an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tx {
    /// Who signed it.
    pub from: Address,
    /// What it does.
    pub call: Call,
}

impl Sender for Tx {
    fn sender(&self) -> Address {
        self.from
    }
}

/// What a transaction does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::large_enum_variant, reason = "transactions are rare")]
pub enum Call {
    /// What roles do.
    Role(chain::Call),
    /// What owners and the authors of scenarios do.
    Setup(Setup),
}

/// What no role does: test money, and the settings of the contracts' owner. They fail with [`Revert::Other`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Setup {
    /// `TestToken.mint`, open to everyone.
    Mint {
        /// The token.
        token: Address,
        /// Who gets it.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// `TestToken.transfer` from the sender.
    Transfer {
        /// The token.
        token: Address,
        /// Who gets it.
        to: Address,
        /// How much.
        amount: Amount,
    },
    /// `NodeList.set`.
    SetNode {
        /// The node's account.
        operator: Address,
        /// Its network key.
        node: NodeId,
        /// Whether clients may open channels with it.
        active: bool,
    },
    /// `setTokenAllowed`.
    AllowToken {
        /// The token.
        token: Address,
        /// Whether new channels may use it.
        allowed: bool,
    },
    /// `setDisputeWindow`, in seconds (C9).
    SetWindow {
        /// The window of closes from now on.
        secs: u64,
    },
    /// `setPaused`.
    Pause(bool),
    /// The sender's account delegates to the test wallet's code (EIP-7702), and the wallet takes signatures of this key, under
    /// ERC-1271, and of no other. Zero: of nobody.
    Delegate {
        /// Whom it trusts.
        trusted: Address,
    },
}

/// What came of a transaction.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// Whether it did what it should, or why not.
    pub result: Result<(), Revert>,
    /// The channel events it emitted, in order.
    pub events: Vec<ChainEvent>,
    /// Gas used. The model says what the bytecode typically uses ([`crate::gas`]).
    pub gas: u64,
}

impl Events for Receipt {
    fn events(&self) -> &[ChainEvent] {
        &self.events
    }
}
