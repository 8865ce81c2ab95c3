//! The dispute account on the L1: transactions with its nonces, which cost more the longer nobody takes them.

use std::time::Duration;

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::{Provider, RootProvider, transport::TransportError};
use alloy_rpc_types_eth::TransactionReceipt;
use decdn_contracts::EthKey;
use decdn_engine::bid::Fees;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use crate::chain::{
    ChainError,
    account::{self, Terms},
};

/// How often one transaction is offered, each time for half as much again.
const OFFERS: u32 = 12;

/// How the L1 is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How often to look for a receipt.
    pub receipt_poll: Duration,
    /// How long to wait for one before more is offered.
    pub raise_after: Duration,
    /// How often to look at a message that waits in the inbox.
    pub watch: Duration,
    /// The most to pay per unit of gas, in wei.
    pub max_fee_per_gas: u128,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            receipt_poll: Duration::from_secs(2),
            raise_after: Duration::from_secs(60),
            watch: Duration::from_secs(60),
            max_fee_per_gas: 1_000_000_000_000,
        }
    }
}

/// What a transaction does, made anew for each fee that is offered.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) to: Address,
    pub(super) value: U256,
    pub(super) input: Bytes,
    pub(super) gas_limit: u64,
}

/// The dispute account. It has its nonces to itself, but for what its owner does by hand.
pub(super) struct Sender {
    pub(super) provider: RootProvider,
    pub(super) key: EthKey,
    pub(super) chain_id: u64,
    pub(super) pace: Pace,
    /// Held from choosing a nonce until the transaction is in a block: one is under way at a time, and none leaves a gap.
    sending: Mutex<()>,
}

impl Sender {
    pub(super) fn new(provider: RootProvider, key: EthKey, chain_id: u64, pace: Pace) -> Self {
        Self { provider, key, chain_id, pace, sending: Mutex::new(()) }
    }

    /// What is offered for gas at first.
    pub(super) async fn fees(&self) -> Result<Fees, ChainError> {
        let fees = self.provider.estimate_eip1559_fees().await.map_err(away)?;
        let fees = Fees { most: fees.max_fee_per_gas, tip: fees.max_priority_fee_per_gas };
        Ok(fees.capped(self.pace.max_fee_per_gas))
    }

    /// Makes a transaction and follows it into a block; what it does may depend on the fee that is offered.
    ///
    /// Its nonce is the one after the last that is in a block: what an earlier process left waiting is replaced, and so nothing is sent
    /// twice.
    pub(super) async fn send<F>(
        &self,
        letter: impl Fn(u128) -> F + Send,
    ) -> Result<TransactionReceipt, ChainError>
    where
        F: Future<Output = Result<Letter, ChainError>> + Send,
    {
        let _one_at_a_time = self.sending.lock().await;
        let mut fees = self.fees().await?;
        let mut offered = Vec::new();
        let nonce = self.provider.get_transaction_count(self.key.address()).latest().await.map_err(away)?;
        for _ in 0..OFFERS {
            match letter(fees.most).await {
                Ok(letter) => self.offer(letter, nonce, fees, &mut offered).await?,
                Err(why) if offered.is_empty() => return Err(why),
                // What was offered before may still be taken.
                Err(why) => tracing::warn!(%why, "no more can be offered on the L1"),
            }
            if !offered.is_empty()
                && let Some(receipt) = self.receipt(&offered, nonce).await?
            {
                return Ok(receipt);
            }
            fees = fees.raised(self.pace.max_fee_per_gas);
        }
        Err(ChainError::Endpoint(format!("the L1 took no transaction for {} wei per gas", fees.most)))
    }

    async fn offer(
        &self,
        letter: Letter,
        nonce: u64,
        fees: Fees,
        offered: &mut Vec<B256>,
    ) -> Result<(), ChainError> {
        let terms = Terms {
            chain_id: self.chain_id,
            nonce,
            gas_limit: letter.gas_limit,
            max_fee_per_gas: fees.most,
            max_priority_fee_per_gas: fees.tip,
            value: letter.value,
        };
        let (hash, raw) = account::signed(&self.key, terms, letter.to, letter.input);
        match self.provider.send_raw_transaction(&raw).await {
            Ok(_watcher) => offered.push(hash),
            Err(error) if is(&error, "already known") => offered.push(hash),
            // Something else waits with this nonce, and offers as much.
            Err(error) if is(&error, "underpriced") => {}
            Err(error) if offered.is_empty() => return Err(away(error)),
            // One that was offered before may be in a block by now; its receipt tells.
            Err(error) => tracing::warn!(%error, "the L1"),
        }
        Ok(())
    }

    /// The receipt of one of these, if there is one in time.
    async fn receipt(&self, offered: &[B256], nonce: u64) -> Result<Option<TransactionReceipt>, ChainError> {
        let until = Instant::now() + self.pace.raise_after;
        while Instant::now() < until {
            // The count is read first: where it has passed the nonce, a missing receipt is final.
            let used = self.provider.get_transaction_count(self.key.address()).latest().await;
            let mut is_known = true;
            for hash in offered.iter().rev() {
                match self.provider.get_transaction_receipt(*hash).await {
                    Ok(Some(receipt)) => return Ok(Some(receipt)),
                    Ok(None) => {}
                    Err(_) => is_known = false,
                }
            }
            if is_known && used.is_ok_and(|used| used > nonce) {
                return Err(ChainError::Nonsense("another L1 transaction with the dispute account's nonce"));
            }
            sleep(self.pace.receipt_poll).await;
        }
        Ok(None)
    }
}

pub(super) fn away(why: impl std::fmt::Display) -> ChainError {
    ChainError::Endpoint(format!("L1: {why}"))
}

pub(super) fn is(error: &TransportError, words: &str) -> bool {
    error.as_error_resp().is_some_and(|refusal| refusal.message.to_ascii_lowercase().contains(words))
}
