//! The driver's chain over alloy's JSON-RPC provider.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes};
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_types_eth::TransactionRequest;
use decdn_contracts::{Answer, EthKey, Query, token};
use decdn_driver::Chain;
use decdn_engine::{
    chain::{BlockRef, Call, ChainUpdate, Interest, Route, Subject, TxOutcome, channel},
    crypto::Deployment,
    ids::{ChannelId, TxTicket},
    money::Amount,
};
use futures::{Stream, stream};
use tokio::sync::Mutex;

use super::{
    ChainError, Config, Inbox,
    allowance::Domains,
    bidding::Places,
    inbox::DelayedInbox,
    reader::{self, Reader},
    submit::{Delayed, Following, LastDelay, Way},
    told::Told,
};

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
    /// Whoever is asked for news: each endpoint by itself.
    pub(super) readers: Vec<Reader>,
    /// What polls told of the chain.
    told: StdMutex<Told>,
    /// Which tokens take permits.
    domains: StdMutex<Domains>,
    /// Held from choosing a nonce until the transaction is sent, so that no two choose the same.
    pub(super) sending: Mutex<Places>,
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

    /// The chain behind several endpoints. What is read counts where two of them agree (L4); what is sent goes to all of them; of all
    /// else one is asked until it fails, then the next.
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
        let reader = |url: &String| {
            let provider = super::endpoint::provider(std::slice::from_ref(url))?;
            Ok(Reader::new(url.clone(), provider, deployment, config.clone()))
        };
        let readers = urls.iter().map(reader).collect::<Result<_, ChainError>>()?;
        let shared = Shared {
            provider,
            deployment,
            key,
            config,
            way,
            delay: Mutex::default(),
            readers,
            told: StdMutex::default(),
            domains: StdMutex::default(),
            sending: Mutex::default(),
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
        let forced_inclusion = self.shared.forced_inclusion().await?;
        let interests = [Interest::ChannelsOf(self.account())];
        let shared = &self.shared;
        let (provider, config) = (shared.provider.clone(), shared.config.clone());
        let reader = Reader::new(String::new(), provider, shared.deployment, config);
        reader.read(head, head.number, from_block, &interests, forced_inclusion).await
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

    pub(super) fn domains(&self) -> std::sync::MutexGuard<'_, Domains> {
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn remember(&self, why: &ChainError) {
        tracing::warn!(%why, "the chain");
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }

    pub(super) async fn ask(&self, query: &Query) -> Result<Answer, ChainError> {
        let (to, data) = query.calldata(&self.deployment);
        Ok(query.answer(&self.call(to, data).await?)?)
    }

    pub(super) async fn channel(&self, id: ChannelId) -> Result<Option<channel::State>, ChainError> {
        Ok(self.ask(&Query::State(Subject::Channel(id))).await?.channel())
    }

    pub(super) async fn call(&self, to: Address, data: Bytes) -> Result<Bytes, ChainError> {
        let request = TransactionRequest::default().to(to).input(data.into());
        self.provider.call(request).await.map_err(endpoint)
    }

    pub(super) async fn block(&self, tag: BlockNumberOrTag) -> Result<BlockRef, ChainError> {
        reader::block(&self.provider, tag).await
    }

    pub(super) fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer to a poll, and whether the chain is another one than the last one told of (L1).
    async fn news(&self, from_block: u64, interests: &[Interest]) -> Result<ChainUpdate, ChainError> {
        let forced_inclusion = self.forced_inclusion().await?;
        let [reader] = self.readers.as_slice() else {
            return self.news_of_all(from_block, interests, forced_inclusion).await;
        };
        let head = reader.block(BlockNumberOrTag::Latest).await?;
        let forked_at = self.forked_at(head, &[0]).await?;
        let from_block = from_block.min(forked_at.unwrap_or(u64::MAX));
        let update = reader.read(head, head.number, from_block, interests, forced_inclusion).await;
        self.note_told(update.as_ref().ok(), forked_at);
        Ok(ChainUpdate { forked_at, ..update? })
    }

    /// What the next poll has to know of this one.
    pub(super) fn note_told(&self, update: Option<&ChainUpdate>, forked_at: Option<u64>) {
        if let Some(update) = update {
            self.told().tell((update.head.number, B256::from(update.head.hash.0)), update.safe);
        } else if let Some(forked_at) = forked_at {
            // Nobody was told: the next poll has to say it.
            self.told().owe(forked_at);
        }
    }

    /// Where the branch of this head parts from what was told before, if it does: found by halves, because from there on
    /// every block has another hash.
    pub(super) async fn forked_at(&self, head: BlockRef, who: &[usize]) -> Result<Option<u64>, ChainError> {
        let (known, owed) = {
            let told = self.told();
            (told.up_to(head.number), told.owed())
        };
        let (mut same, mut other) = (0, known.len());
        let mut next = known.len().saturating_sub(1);
        while same < other {
            let (number, hash) = known[next];
            let is_same = self.agreed_hash(number, who).await?.0 == hash.0;
            (same, other) = if is_same { (next + 1, other) } else { (same, next) };
            next = same + (other - same) / 2;
        }
        let forked_at = (same < known.len()).then(|| self.told().fork(same));
        Ok(forked_at.into_iter().chain(owed).min())
    }
}

pub(super) fn endpoint(why: impl std::fmt::Display) -> ChainError {
    ChainError::Endpoint(why.to_string())
}
