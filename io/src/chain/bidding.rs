//! A transaction's way through the sequencer: nonce, gas and fees as [`decdn_engine::bid`] has them. What waits bids more, what nobody
//! takes is given up and makes way, what ran out of gas goes out again with twice as much (L2).

use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::{Provider, transport::TransportError};
use alloy_rpc_types_eth::TransactionRequest;
use decdn_engine::{
    bid::{Bid, Caps, Fees, Nonces, Place},
    chain::{Call, Revert, TxOutcome},
};
use tokio::time::{Duration, Instant, sleep};

use super::{
    ChainError,
    account::{self, Terms},
    alloy::{Shared, endpoint},
};

/// What a transaction does: whom it calls, and with what.
pub(super) type Letter = (Address, Bytes);

/// Which nonces of the account are taken. A process that starts knows of none: what an earlier one left waiting is replaced.
pub(super) type Places = Nonces<Letter>;

/// A transaction on its way.
#[derive(Clone)]
pub(super) struct UnderWay {
    pub(super) what: &'static str,
    /// One for each bid, the newest last.
    pub(super) hashes: Vec<B256>,
    pub(super) nonce: u64,
    pub(super) to: Address,
    pub(super) input: Bytes,
    /// What it bids, and when it is given up; nothing for what the inbox holds.
    pub(super) bid: Option<(Bid, Instant)>,
}

/// What a receipt says.
pub(super) enum Fate {
    /// This.
    Told(TxOutcome),
    /// Its gas was not enough.
    OutOfGas,
}

/// Why an endpoint took no transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    /// It has this very one already, or one in its place: which one, its receipt tells.
    Known,
    /// What has its nonce bids as much.
    Underpriced,
    /// Its gas limit is too low.
    Gas,
    /// Something else.
    Other,
}

impl Refusal {
    fn of(error: &TransportError) -> Self {
        let Some(refusal) = error.as_error_resp() else { return Self::Other };
        let words = refusal.message.to_ascii_lowercase();
        let says = |any: &[&str]| any.iter().any(|some| words.contains(some));
        if says(&["already known", "nonce too low"]) {
            Self::Known
        } else if says(&["underpriced"]) {
            Self::Underpriced
        } else if says(&["intrinsic gas", "out of gas", "gas limit too low", "gas too low"]) {
            Self::Gas
        } else {
            Self::Other
        }
    }
}

impl Shared {
    fn caps(&self) -> Caps {
        Caps { fee: self.config.max_fee_per_gas, cost: self.config.max_cost }
    }

    pub(super) async fn market(&self) -> Result<Fees, ChainError> {
        let fees = self.provider.estimate_eip1559_fees().await.map_err(endpoint)?;
        Ok(Fees { most: fees.max_fee_per_gas, tip: fees.max_priority_fee_per_gas })
    }

    /// The chain's own estimate; where it has none, as for a call that would revert now, the configured limit.
    async fn estimate(&self, (to, input): &Letter) -> u64 {
        let request =
            TransactionRequest::default().from(self.key.address()).to(*to).input(input.clone().into());
        self.provider.estimate_gas(request).await.unwrap_or(self.config.gas_limit)
    }

    /// Hands a transaction to the sequencer.
    pub(super) async fn send(&self, call: &Call, to: Address, input: Bytes) -> Result<UnderWay, ChainError> {
        let letter = (to, input);
        let estimate = self.estimate(&letter).await;
        self.send_with(call.purpose(), letter, |market, caps, lies| Bid::first(estimate, market, caps, lies))
            .await
    }

    async fn send_with(
        &self,
        what: &'static str,
        letter: Letter,
        first: impl FnOnce(Fees, Caps, Option<Bid>) -> Bid,
    ) -> Result<UnderWay, ChainError> {
        let mut places = self.sending.lock().await;
        let market = self.market().await?;
        let used = self.provider.get_transaction_count(self.key.address()).latest().await;
        let Place { nonce, lies, is_same } = places.take(used.map_err(endpoint)?, letter.clone());
        let bid = match lies {
            // It lies where it was sent, if anybody still has it.
            Some(lies) if is_same => lies,
            lies => first(market, self.caps(), lies),
        };
        let offered = self.offer(nonce, &letter, bid, market).await;
        let (bid, hash) = match offered {
            Ok(taken) => taken,
            Err(why) => {
                places.free(nonce);
                return Err(why);
            }
        };
        places.sent(nonce, bid);
        self.clear_the_way(&mut places, market).await;
        let bid = Some((bid, Instant::now() + self.config.patience));
        let (to, input) = letter;
        Ok(UnderWay { what, hashes: vec![hash], nonce, to, input, bid })
    }

    /// Offers a transaction until an endpoint has it: with more gas, or for more, where one of these is too little.
    async fn offer(
        &self,
        nonce: u64,
        letter: &Letter,
        mut bid: Bid,
        market: Fees,
    ) -> Result<(Bid, B256), ChainError> {
        loop {
            let (hash, raw) = self.signed(nonce, bid.gas_limit, bid.fees, letter);
            // Followed by its receipt, not by the provider's own watcher, which needs the endpoint's filters.
            let Err(error) = self.provider.send_raw_transaction(&raw).await.map(drop) else {
                return Ok((bid, hash));
            };
            let better = match Refusal::of(&error) {
                // An endpoint that did not answer in time may have taken it nevertheless.
                Refusal::Known => return Ok((bid, hash)),
                Refusal::Underpriced => bid.raised(market),
                Refusal::Gas => bid.with_more_gas(),
                Refusal::Other => None,
            };
            bid = better.ok_or_else(|| endpoint(error))?;
        }
    }

    /// A transaction of the account: its hash, its bytes.
    pub(super) fn signed(
        &self,
        nonce: u64,
        gas_limit: u64,
        fees: Fees,
        (to, input): &Letter,
    ) -> (B256, Bytes) {
        let terms = Terms {
            chain_id: self.deployment.chain_id,
            nonce,
            gas_limit,
            max_fee_per_gas: fees.most,
            max_priority_fee_per_gas: fees.tip,
            value: U256::ZERO,
        };
        account::signed(&self.key, terms, *to, input.clone())
    }

    /// What was given up and has something behind it makes way: the account sends itself nothing in its place.
    async fn clear_the_way(&self, places: &mut Places, market: Fees) {
        let nothing = (self.key.address(), Bytes::new());
        for (nonce, lies) in places.clear_the_way() {
            let bid = Bid::first(0, market, self.caps(), Some(lies));
            match self.offer(nonce, &nothing, bid, market).await {
                Ok((bid, _)) => places.sent(nonce, bid),
                Err(why) => self.remember(&why),
            }
        }
    }

    /// What becomes of a transaction: its receipt says, or the certainty or the assumption that there will be none.
    pub(super) async fn outcome(&self, under_way: &UnderWay) -> TxOutcome {
        let mut tx = under_way.clone();
        let mut raise_at = Instant::now() + self.config.raise_after;
        loop {
            sleep(self.config.receipt_poll).await;
            match self.fate(&tx).await {
                Some(Fate::Told(outcome)) => {
                    self.done(&tx).await;
                    return outcome;
                }
                Some(Fate::OutOfGas) => {
                    self.done(&tx).await;
                    match self.send_again(&tx).await {
                        Ok(again) => tx = again,
                        Err(why) => {
                            self.remember(&why);
                            return TxOutcome::Lost;
                        }
                    }
                    raise_at = Instant::now() + self.config.raise_after;
                }
                None => {}
            }
            let Some((_, until)) = tx.bid else { continue };
            if Instant::now() >= until {
                self.end(&tx).await;
                return TxOutcome::Lost;
            }
            if Instant::now() >= raise_at {
                raise_at = Instant::now() + self.config.raise_after;
                self.raise(&mut tx).await;
            }
        }
    }

    /// A transaction's receipt, under any of its hashes.
    async fn fate(&self, tx: &UnderWay) -> Option<Fate> {
        // The count is read first: where it has passed the nonce, a missing receipt is final.
        let used = self.provider.get_transaction_count(self.key.address()).latest().await;
        let mut is_known = true;
        for hash in tx.hashes.iter().rev() {
            match self.provider.get_transaction_receipt(*hash).await {
                Ok(Some(receipt)) => return self.included(tx, &receipt).await.ok(),
                Ok(None) => {}
                Err(_) => is_known = false,
            }
        }
        let is_lost = is_known && used.is_ok_and(|used| used > tx.nonce);
        is_lost.then_some(Fate::Told(TxOutcome::Lost))
    }

    /// Its nonce is used.
    async fn done(&self, tx: &UnderWay) {
        if tx.bid.is_some() {
            self.sending.lock().await.done(tx.nonce);
        }
    }

    /// Nobody follows it any more.
    async fn end(&self, tx: &UnderWay) {
        if tx.bid.is_some() {
            let mut places = self.sending.lock().await;
            places.free(tx.nonce);
            if let Ok(market) = self.market().await {
                self.clear_the_way(&mut places, market).await;
            }
        }
    }

    async fn send_again(&self, tx: &UnderWay) -> Result<UnderWay, ChainError> {
        let more = tx.bid.and_then(|(bid, _)| bid.with_more_gas());
        let more = more.ok_or(ChainError::Reverted { what: tx.what, why: Revert::Other })?;
        self.send_with(tx.what, (tx.to, tx.input.clone()), |_, _, _| more).await
    }

    /// It bids more, if it may.
    async fn raise(&self, tx: &mut UnderWay) {
        let Some((bid, until)) = tx.bid else { return };
        let mut places = self.sending.lock().await;
        let Ok(market) = self.market().await else { return };
        let Some(raised) = bid.raised(market) else { return };
        let letter = (tx.to, tx.input.clone());
        match self.offer(tx.nonce, &letter, raised, market).await {
            Ok((bid, hash)) => {
                places.sent(tx.nonce, bid);
                tx.bid = Some((bid, until));
                if !tx.hashes.contains(&hash) {
                    tx.hashes.push(hash);
                }
            }
            // What was offered before may still be taken.
            Err(why) => self.remember(&why),
        }
    }
}

/// How long the edge waits until it bids more.
pub(super) const RAISE_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use alloy_json_rpc::{ErrorPayload, RpcError};

    use super::*;

    #[test]
    fn l2_what_an_endpoint_says_of_a_transaction_is_told_apart() {
        let says = |message: &'static str| {
            let payload = ErrorPayload { code: -32_000, message: message.into(), data: None };
            Refusal::of(&RpcError::ErrorResp(payload))
        };
        assert_eq!(says("already known"), Refusal::Known);
        assert_eq!(says("nonce too low: next nonce 5, tx nonce 4"), Refusal::Known);
        assert_eq!(says("replacement transaction underpriced"), Refusal::Underpriced);
        assert_eq!(says("Intrinsic gas too low"), Refusal::Gas);
        assert_eq!(says("insufficient funds for gas * price + value"), Refusal::Other);
        assert_eq!(Refusal::of(&RpcError::NullResp), Refusal::Other);
    }
}
