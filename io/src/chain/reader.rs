//! What is read through one endpoint: blocks, and the events of a poll's interests.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use alloy_eips::BlockNumberOrTag;
use alloy_provider::{Provider, RootProvider};
use decdn_contracts::bindings::{self, Wanted};
use decdn_engine::{
    chain::{BlockRef, ChainUpdate, Interest},
    crypto::Deployment,
    ids::BlockHash,
    time::{ChainTime, Span},
    worth::GasPrice,
};

use super::{
    ChainError, Config,
    alloy::endpoint,
    logs::{self, Found},
};

/// Requests for logs in one poll: at [`Config::log_blocks`] each, a week of blocks.
const PAGES_MAX: u32 = 256;

/// See the module.
pub(super) struct Reader {
    url: String,
    /// It took too long the last time.
    pub(super) is_slow: AtomicBool,
    provider: RootProvider,
    deployment: Deployment,
    config: Config,
    /// What gas cost in its newest block, in wei (X2).
    price: AtomicU64,
}

/// A block of an endpoint's.
pub(super) async fn block(provider: &RootProvider, tag: BlockNumberOrTag) -> Result<BlockRef, ChainError> {
    priced(provider, tag).await.map(|(block, _)| block)
}

/// The same, and what gas cost in it.
async fn priced(
    provider: &RootProvider,
    tag: BlockNumberOrTag,
) -> Result<(BlockRef, Option<u64>), ChainError> {
    let block = provider.get_block_by_number(tag).await.map_err(endpoint)?;
    let header = block.ok_or(ChainError::Nonsense("a block that is not there"))?.header;
    if let BlockNumberOrTag::Number(number) = tag
        && number != header.number
    {
        return Err(ChainError::Nonsense("another block than asked for"));
    }
    let (hash, time) = (BlockHash(header.hash.0), ChainTime(header.timestamp));
    Ok((BlockRef { number: header.number, hash, time }, header.base_fee_per_gas))
}

impl Reader {
    pub(super) fn new(url: String, provider: RootProvider, deployment: Deployment, config: Config) -> Self {
        Self { url, is_slow: AtomicBool::new(false), provider, deployment, config, price: AtomicU64::new(0) }
    }

    /// As logs and errors may show it.
    pub(super) fn shown(&self) -> String {
        self.url.parse().as_ref().map(super::endpoint::shown).unwrap_or_default()
    }

    pub(super) async fn block(&self, tag: BlockNumberOrTag) -> Result<BlockRef, ChainError> {
        let (block, price) = priced(&self.provider, tag).await?;
        if tag == BlockNumberOrTag::Latest {
            self.price.store(price.unwrap_or_default(), Ordering::Relaxed);
        }
        Ok(block)
    }

    /// The answer to a poll, with events of blocks up to the last one.
    pub(super) async fn read(
        &self,
        head: BlockRef,
        last: u64,
        from_block: u64,
        interests: &[Interest],
        forced_inclusion: Span,
    ) -> Result<ChainUpdate, ChainError> {
        let last = last.min(head.number);
        let safe = self.block(BlockNumberOrTag::Safe).await?.number.min(head.number);
        let wanted: Vec<Wanted> =
            interests.iter().flat_map(|interest| bindings::wanted(interest, &self.deployment)).collect();
        let (mut found, mut next) = (Vec::new(), from_block);
        for _ in 0..PAGES_MAX {
            if next > last || found.len() > self.config.events_max {
                break;
            }
            let end = next.saturating_add(self.config.log_blocks.max(1) - 1).min(last);
            for wanted in &wanted {
                found.extend(self.logs(wanted, &(next..=end)).await?);
            }
            next = end.saturating_add(1);
        }
        let mut found = logs::in_order(found)?;
        let next = logs::cut(&mut found, self.config.events_max).unwrap_or(next);
        let mut times = BTreeMap::new();
        for number in logs::untimed(&found) {
            times.insert(number, self.block(BlockNumberOrTag::Number(number)).await?.time);
        }
        let events = logs::events(&found, &times)?;
        let gas_price = GasPrice(self.price.load(Ordering::Relaxed));
        Ok(ChainUpdate { head, safe, events, next, forced_inclusion, gas_price, ..ChainUpdate::default() })
    }

    async fn logs(&self, wanted: &Wanted, blocks: &RangeInclusive<u64>) -> Result<Vec<Found>, ChainError> {
        let filter = logs::filter(wanted, blocks);
        let logs = self.provider.get_logs(&filter).await.map_err(endpoint)?;
        logs.iter().map(|log| logs::check(log, wanted, &self.deployment, blocks)).collect()
    }
}
