//! What a deposit needs of its token before the channel opens (C13). The engine asks for an approval, then for the opening. Where the
//! token takes permits (ERC-2612), the approval is nothing to send and the opening takes a permit along; so it is where enough is
//! allowed already. Otherwise the approval goes out, behind one of 0 where some smaller allowance stands in its way, as with USDT.

use std::collections::BTreeMap;

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes};
use decdn_contracts::{
    bindings::{self, Setup},
    channel::OpenWithPermit,
    token::{self, Permit},
};
use decdn_engine::{
    chain::{Block, BlockRef, Call, Revert, TxOutcome, channel, token::Call as TokenCall},
    crypto::Signature,
    money::Amount,
    time::ChainTime,
};

use super::{ChainError, alloy::Shared};

/// How long a permit counts, by the chain's clock.
const PERMIT_SECS: u64 = 3_600;

/// Under what tokens take permits: their EIP-712 domains; `None` where an opening with one failed.
pub(super) type Domains = BTreeMap<Address, Option<B256>>;

/// What becomes of a call on its way to the sequencer.
pub(super) enum Way {
    /// It goes out as it is.
    AsItIs,
    /// This goes out in its place, to the payment channel.
    WithPermit(Bytes),
    /// An approval of 0 goes out first, to the token.
    ZeroFirst(Bytes),
    /// There is nothing to do: it is so at this block.
    Done(Block),
}

impl Shared {
    /// Looks at what the token allows, and how it takes more.
    pub(super) async fn way_of(&self, call: &Call) -> Result<Way, ChainError> {
        match *call {
            Call::Token(TokenCall::Approve { token, amount }) if amount > Amount::ZERO => {
                self.way_of_approval(token, amount).await
            }
            Call::Channel(channel::Call::Open { node, token, deposit }) => {
                self.way_of_opening(node, token, deposit).await
            }
            _ => Ok(Way::AsItIs),
        }
    }

    async fn way_of_approval(&self, token: Address, amount: Amount) -> Result<Way, ChainError> {
        let allowed = self.allowance(token).await?;
        if allowed >= amount || self.domain(token).await.is_some() {
            let BlockRef { number, time, .. } = self.block(BlockNumberOrTag::Latest).await?;
            return Ok(Way::Done(Block { number, time }));
        }
        if allowed == Amount::ZERO {
            return Ok(Way::AsItIs);
        }
        let nothing = TokenCall::Approve { token, amount: Amount::ZERO }.into();
        Ok(Way::ZeroFirst(bindings::calldata(&nothing, &self.deployment, token).1))
    }

    async fn way_of_opening(&self, node: Address, token: Address, amount: Amount) -> Result<Way, ChainError> {
        if self.allowance(token).await? >= amount {
            return Ok(Way::AsItIs);
        }
        let Some(domain) = self.domain(token).await else { return Ok(Way::AsItIs) };
        let owner = self.key.address();
        let nonce = self.ask(&token::Query::Permits { token, who: owner }.into()).await?.number();
        let time = self.block(BlockNumberOrTag::Latest).await?.time;
        let deadline = ChainTime(time.0.saturating_add(PERMIT_SECS));
        let mut permit = Permit { token, owner, amount, deadline, signature: Signature([0; 65]) };
        // Domain and nonce are the endpoint's word. Whatever it says, this allows the payment channel this amount and nobody
        // anything else, and the payment channel takes it from nobody but who calls it.
        permit.signature = self.key.sign_digest(permit.digest(domain, nonce, &self.deployment));
        let opening = Setup::OpenWithPermit(OpenWithPermit { node, permit });
        Ok(Way::WithPermit(opening.calldata(owner, &self.deployment).1))
    }

    /// An opening with a permit has failed because the token did not move: from now on this token is asked for approvals.
    pub(super) fn learn(&self, call: &Call, outcome: &TxOutcome) {
        let Call::Channel(channel::Call::Open { token, .. }) = call else { return };
        if let TxOutcome::Included { result: Err(Revert::Channel(channel::Revert::TransferFailed)), .. } =
            outcome
        {
            self.domains().insert(*token, None);
        }
    }

    async fn allowance(&self, token: Address) -> Result<Amount, ChainError> {
        let who = self.key.address();
        Ok(self.ask(&token::Query::Allowance { token, who }.into()).await?.amount())
    }

    /// Under what the token takes permits, if it does. One that does not answer is asked again the next time.
    async fn domain(&self, token: Address) -> Option<B256> {
        if let Some(known) = self.domains().get(&token) {
            return *known;
        }
        let who = self.key.address();
        let answer = self.call(token, token::ask_domain().into()).await.ok()?;
        let domain = B256::try_from(answer.as_ref()).ok()?;
        self.ask(&token::Query::Permits { token, who }.into()).await.ok()?;
        self.domains().insert(token, Some(domain));
        Some(domain)
    }
}
