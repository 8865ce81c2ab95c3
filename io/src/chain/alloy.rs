//! The driver's chain over alloy's JSON-RPC provider.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes};
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_types_eth::TransactionRequest;
use decdn_contracts::{
    Answer, EthKey, Query,
    bindings::{self, Wanted},
    token,
};
use decdn_driver::Chain;
use decdn_engine::{
    chain::{BlockRef, Call, ChainUpdate, Interest, Route, Subject, TxOutcome, channel},
    crypto::Deployment,
    ids::{BlockHash, ChannelId, TxTicket},
    money::Amount,
    time::ChainTime,
    worth::GasPrice,
};
use futures::{Stream, stream};
use tokio::sync::Mutex;

use super::{
    ChainError, Config, Inbox,
    inbox::DelayedInbox,
    logs::{self, Found},
    submit::{Delayed, Following, LastDelay, Way},
    told::Told,
};

/// Requests for logs in one poll: at [`Config::log_blocks`] each, a week of blocks.
const PAGES_MAX: u32 = 256;

/// One account's view of the chain, and its hand in it. Clones share everything.
#[derive(Clone)]
pub struct AlloyChain {
    shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) provider: RootProvider,
    pub(super) deployment: Deployment,
    pub(super) key: EthKey,
    pub(super) config: Config,
    /// The way around the sequencer.
    pub(super) way: Way,
    /// How long that takes.
    pub(super) delay: Mutex<LastDelay>,
    /// What polls told of the chain.
    told: StdMutex<Told>,
    /// Held from choosing a nonce until the transaction is sent, so that no two choose the same.
    pub(super) sending: Mutex<()>,
    /// Why the last request that failed did.
    trouble: StdMutex<Option<String>>,
    /// What the delayed inbox was given.
    delayed: StdMutex<BTreeMap<TxTicket, Delayed>>,
}

impl AlloyChain {
    /// The chain behind an endpoint, for the account of a key.
    ///
    /// # Errors
    /// `url` is no URL.
    pub fn new(url: &str, deployment: Deployment, key: EthKey, config: Config) -> Result<Self, ChainError> {
        Self::over(&[url.to_owned()], deployment, key, config)
    }

    /// The chain behind several endpoints: one is asked until it fails, then the next.
    ///
    /// # Errors
    /// One of them is no URL.
    pub fn over(
        urls: &[String],
        deployment: Deployment,
        key: EthKey,
        config: Config,
    ) -> Result<Self, ChainError> {
        let way = match config.inbox {
            Inbox::None => Way::None,
            Inbox::Devnet => Way::Devnet,
        };
        Self::by(urls, deployment, key, config, way)
    }

    /// As [`over`](Self::over), with a delayed inbox on an L1 as the way around the sequencer.
    ///
    /// # Errors
    /// One of them is no URL.
    pub fn with_inbox(
        urls: &[String],
        deployment: Deployment,
        key: EthKey,
        config: Config,
        inbox: DelayedInbox,
    ) -> Result<Self, ChainError> {
        Self::by(urls, deployment, key, config, Way::Arbitrum(inbox))
    }

    fn by(
        urls: &[String],
        deployment: Deployment,
        key: EthKey,
        config: Config,
        way: Way,
    ) -> Result<Self, ChainError> {
        let provider = super::endpoint::provider(urls)?;
        let shared = Shared {
            provider,
            deployment,
            key,
            config,
            way,
            delay: Mutex::default(),
            told: StdMutex::default(),
            sending: Mutex::new(()),
            trouble: StdMutex::default(),
            delayed: StdMutex::default(),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// The account.
    pub fn account(&self) -> Address {
        self.shared.key.address()
    }

    /// Why the last poll or transaction that failed did, if one has.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Checks that the endpoint serves the deployment's chain, with a contract where the payment channel
    /// should be.
    ///
    /// # Errors
    /// It does not, or does not answer.
    pub async fn check(&self) -> Result<(), ChainError> {
        let shared = &self.shared;
        if shared.provider.get_chain_id().await.map_err(endpoint)? != shared.deployment.chain_id {
            return Err(ChainError::Nonsense("another chain id than the configured one"));
        }
        let code = shared.provider.get_code_at(shared.deployment.payment_channel).await.map_err(endpoint)?;
        if code.is_empty() {
            return Err(ChainError::Nonsense("no code at the configured payment channel"));
        }
        Ok(())
    }

    /// What a contract answers to a question, at the soft head.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn ask(&self, query: &Query) -> Result<Answer, ChainError> {
        self.shared.ask(query).await
    }

    /// A channel as the contract has it.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn channel(&self, id: ChannelId) -> Result<Option<channel::State>, ChainError> {
        self.shared.channel(id).await
    }

    /// What an account holds of a token.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn balance(&self, token: Address, who: Address) -> Result<Amount, ChainError> {
        Ok(self.ask(&token::Query::Balance { token, who }.into()).await?.amount())
    }

    /// Reads the account's channels from a block on; see [`Chain::poll`]. It says nothing of forks, and no poll hears less of
    /// them for it.
    ///
    /// # Errors
    /// The endpoint failed or lied; nothing of its answer counts.
    pub async fn read(&self, from_block: u64) -> Result<ChainUpdate, ChainError> {
        let head = self.shared.block(BlockNumberOrTag::Latest).await?;
        self.shared.read(head, from_block, &[Interest::ChannelsOf(self.account())]).await
    }
}

impl Chain for AlloyChain {
    fn submit(
        &mut self,
        ticket: TxTicket,
        call: Call,
        route: Route,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        stream::unfold(Following::Unsent { ticket, call, route }, move |following| {
            let shared = Arc::clone(&shared);
            async move { shared.follow(following).await }
        })
    }

    fn force_include(&mut self, ticket: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.force(ticket).await }
    }

    fn poll(
        &mut self,
        from_block: u64,
        interests: Vec<Interest>,
    ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<> {
        let shared = Arc::clone(&self.shared);
        async move { shared.news(from_block, &interests).await.map_err(|why| shared.remember(&why)).ok() }
    }
}

impl Shared {
    pub(super) fn delayed(&self) -> std::sync::MutexGuard<'_, BTreeMap<TxTicket, Delayed>> {
        self.delayed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, why: &ChainError) {
        tracing::warn!(%why, "the chain");
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }

    async fn ask(&self, query: &Query) -> Result<Answer, ChainError> {
        let (to, data) = query.calldata(&self.deployment);
        Ok(query.answer(&self.call(to, data).await?)?)
    }

    pub(super) async fn channel(&self, id: ChannelId) -> Result<Option<channel::State>, ChainError> {
        Ok(self.ask(&Query::State(Subject::Channel(id))).await?.channel())
    }

    async fn call(&self, to: Address, data: Bytes) -> Result<Bytes, ChainError> {
        let request = TransactionRequest::default().to(to).input(data.into());
        self.provider.call(request).await.map_err(endpoint)
    }

    pub(super) async fn block(&self, tag: BlockNumberOrTag) -> Result<BlockRef, ChainError> {
        self.priced(tag).await.map(|(block, _)| block)
    }

    /// A block, and what gas cost in it (X2).
    async fn priced(&self, tag: BlockNumberOrTag) -> Result<(BlockRef, GasPrice), ChainError> {
        let block = self.provider.get_block_by_number(tag).await.map_err(endpoint)?;
        let header = block.ok_or(ChainError::Nonsense("a block that is not there"))?.header;
        if let BlockNumberOrTag::Number(number) = tag
            && number != header.number
        {
            return Err(ChainError::Nonsense("another block than asked for"));
        }
        let (hash, time) = (BlockHash(header.hash.0), ChainTime(header.timestamp));
        let price = GasPrice(header.base_fee_per_gas.unwrap_or_default());
        Ok((BlockRef { number: header.number, hash, time }, price))
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer to a poll, and whether the chain is another one than the last one told of (L1).
    async fn news(&self, from_block: u64, interests: &[Interest]) -> Result<ChainUpdate, ChainError> {
        let (head, gas_price) = self.priced(BlockNumberOrTag::Latest).await?;
        let forked_at = self.forked_at(head).await?;
        let from_block = from_block.min(forked_at.unwrap_or(u64::MAX));
        let update = self.read(head, from_block, interests).await;
        if let Ok(update) = &update {
            self.told().tell((head.number, B256::from(head.hash.0)), update.safe);
        } else if let Some(forked_at) = forked_at {
            // Nobody was told: the next poll has to say it.
            self.told().owe(forked_at);
        }
        Ok(ChainUpdate { forked_at, gas_price, ..update? })
    }

    /// Where the branch of this head parts from what was told before, if it does: found by halves, because from there on
    /// every block has another hash.
    async fn forked_at(&self, head: BlockRef) -> Result<Option<u64>, ChainError> {
        let (known, owed) = {
            let told = self.told();
            (told.up_to(head.number), told.owed())
        };
        let (mut same, mut other) = (0, known.len());
        let mut next = known.len().saturating_sub(1);
        while same < other {
            let (number, hash) = known[next];
            let is_same = self.block(BlockNumberOrTag::Number(number)).await?.hash.0 == hash.0;
            (same, other) = if is_same { (next + 1, other) } else { (same, next) };
            next = same + (other - same) / 2;
        }
        let forked_at = (same < known.len()).then(|| self.told().fork(same));
        Ok(forked_at.into_iter().chain(owed).min())
    }

    async fn read(
        &self,
        head: BlockRef,
        from_block: u64,
        interests: &[Interest],
    ) -> Result<ChainUpdate, ChainError> {
        let safe = self.block(BlockNumberOrTag::Safe).await?.number.min(head.number);
        let forced_inclusion = self.forced_inclusion().await?;
        let wanted: Vec<Wanted> =
            interests.iter().flat_map(|interest| bindings::wanted(interest, &self.deployment)).collect();
        let mut pages = PAGES_MAX;
        let (mut found, mut next) = (Vec::new(), from_block);
        while next <= head.number && found.len() <= self.config.events_max {
            let Some(left) = pages.checked_sub(1) else { break };
            pages = left;
            let last = next.saturating_add(self.config.log_blocks.max(1) - 1).min(head.number);
            for wanted in &wanted {
                found.extend(self.logs(wanted, &(next..=last)).await?);
            }
            next = last.saturating_add(1);
        }
        let mut found = logs::in_order(found)?;
        let next = logs::cut(&mut found, self.config.events_max).unwrap_or(next);
        let mut times = BTreeMap::new();
        for number in logs::untimed(&found) {
            times.insert(number, self.block(BlockNumberOrTag::Number(number)).await?.time);
        }
        let events = logs::events(&found, &times)?;
        let gas_price = GasPrice::default();
        Ok(ChainUpdate {
            head,
            safe,
            forked_at: None,
            events,
            next,
            forced_inclusion,
            gas_price,
            endpoint: 0,
            quorum: None,
        })
    }

    async fn logs(&self, wanted: &Wanted, blocks: &RangeInclusive<u64>) -> Result<Vec<Found>, ChainError> {
        let filter = logs::filter(wanted, blocks);
        let logs = self.provider.get_logs(&filter).await.map_err(endpoint)?;
        logs.iter().map(|log| logs::check(log, wanted, &self.deployment, blocks)).collect()
    }
}

pub(super) fn endpoint(why: impl std::fmt::Display) -> ChainError {
    ChainError::Endpoint(why.to_string())
}
