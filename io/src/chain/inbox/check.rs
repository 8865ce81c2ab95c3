//! A look at the L1 before anything hangs on it: is it the right one, are the contracts there and this L2's, can the account pay.

use std::sync::Arc;

use alloy_primitives::{Address, U256, utils::format_ether};
use alloy_provider::Provider;
use decdn_contracts::EthKey;
use tokio::sync::Mutex;

use super::{
    DelayedInbox, FORCE_GAS, Places, QUEUE_GAS, Shared, TICKET_FEE_MIN, TICKET_GAS,
    abi::{Bridge, Inbox, Rollup},
    ask,
    sender::{Pace, Sender},
};
use crate::chain::{ChainError, SurveyError, endpoint};

/// Bytes of a dispute's calldata, and some more.
const DISPUTE_BYTES: usize = 512;

/// The delayed inbox, as its owner describes it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Endpoints of the L1: one is asked until it fails.
    pub urls: Vec<String>,
    /// The L2's inbox contract.
    pub inbox: Address,
    /// What the L1's endpoints have to answer, where that is configured.
    pub chain_id: Option<u64>,
    /// How the L1 is used.
    pub pace: Pace,
}

fn away(error: impl std::fmt::Display) -> SurveyError {
    SurveyError::Away(format!(
        "the L1 endpoint can't be used: {error}; check --l1-rpc and that it runs, then try again"
    ))
}

impl DelayedInbox {
    /// Looks at an L2's delayed inbox, to be used with this account.
    ///
    /// # Errors
    /// No endpoint answers; another chain; no contract at the address, or another L2's. Each is a sentence.
    pub async fn look(settings: &Settings, l2: u64, key: EthKey) -> Result<Self, SurveyError> {
        let provider = endpoint::provider(&settings.urls).map_err(|error| match error {
            ChainError::Url(_) => SurveyError::Wrong(error.to_string()),
            other => away(other),
        })?;
        let chain_id = provider.get_chain_id().await.map_err(away)?;
        let wrong = |why: String| Err(SurveyError::Wrong(why));
        if let Some(wanted) = settings.chain_id.filter(|wanted| *wanted != chain_id) {
            return wrong(format!(
                "the L1 endpoint serves chain {chain_id}, but chain {wanted} is configured; correct --l1-rpc or --l1-chain-id"
            ));
        }
        if chain_id == l2 {
            return wrong(format!(
                "the L1 endpoint serves chain {l2}, which is the L2 itself; give an endpoint of its L1 to --l1-rpc"
            ));
        }
        let inbox = settings.inbox;
        if provider.get_code_at(inbox).await.map_err(away)?.is_empty() {
            return wrong(format!(
                "there is no contract at {inbox} on the L1, chain {chain_id}; correct --inbox or --l1-rpc"
            ));
        }
        let other = |error: ChainError| match error {
            ChainError::Nonsense(_) => SurveyError::Wrong(format!(
                "the contract at {inbox} on the L1, chain {chain_id}, is no delayed inbox that this program knows; correct --inbox"
            )),
            error => away(error),
        };
        let bridge = ask(&provider, inbox, &Inbox::bridgeCall {}).await.map_err(other)?;
        let sequencer_inbox = ask(&provider, inbox, &Inbox::sequencerInboxCall {}).await.map_err(other)?;
        let rollup = ask(&provider, bridge, &Bridge::rollupCall {}).await.map_err(other)?;
        let serves = ask(&provider, rollup, &Rollup::chainIdCall {}).await.map_err(other)?;
        if serves != U256::from(l2) {
            return wrong(format!(
                "the inbox {inbox} is the way into chain {serves}, but the L2's endpoint serves chain {l2}; correct --inbox or --rpc"
            ));
        }
        let sender = Sender::new(provider, key, chain_id, settings.pace);
        let at = Places { inbox, bridge, sequencer_inbox };
        let found = Self { shared: Arc::new(Shared { sender, at, forcing: Mutex::new(()) }) };
        // An older sequencer inbox can't say how long a message waits.
        found.delay().await.map_err(other)?;
        Ok(found)
    }

    /// What one dispute takes at the fees of this moment: a message, what goes with it, and forcing it.
    ///
    /// # Errors
    /// The endpoint failed.
    pub async fn cost(&self) -> Result<U256, ChainError> {
        let fee = self.shared.sender.fees().await?.most;
        let ticket = U256::from(TICKET_GAS) * U256::from(TICKET_FEE_MIN);
        let gas = U256::from(QUEUE_GAS + FORCE_GAS) * U256::from(fee);
        Ok(self.submission_cost(DISPUTE_BYTES, fee).await?.saturating_add(ticket).saturating_add(gas))
    }

    /// Checks that the account can pay one dispute.
    ///
    /// # Errors
    /// It can't: how much is missing, and where to send it. Or the endpoint failed.
    pub async fn check_funds(&self) -> Result<(), SurveyError> {
        let needs = self.cost().await.map_err(away)?;
        match self.afford(needs).await {
            Err(error @ ChainError::Unfunded { .. }) => Err(SurveyError::Wrong(error.to_string())),
            other => other.map_err(away),
        }
    }
}

/// Wei as ether, rounded up to a millionth, which is as exact as anybody sends it.
pub(in crate::chain) fn ether(wei: U256) -> String {
    let unit = U256::from(1_000_000_000_000_u64);
    let rounded = wei.div_ceil(unit).saturating_mul(unit);
    let text = format_ether(rounded);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ether_is_rounded_up_so_that_what_is_sent_suffices() {
        let wei = |wei: u128| ether(U256::from(wei));
        assert_eq!(wei(0), "0");
        assert_eq!(wei(1), "0.000001");
        assert_eq!(wei(1_000_000_000_000), "0.000001");
        assert_eq!(wei(2_500_000_000_000_000_001), "2.500001");
        assert_eq!(wei(10_000_000_000_000_000_000), "10");
    }
}
