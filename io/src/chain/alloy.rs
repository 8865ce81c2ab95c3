//! The driver's chain over alloy's JSON-RPC provider.

use std::{
    collections::BTreeMap,
    ops::RangeInclusive,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes, U256};
use alloy_provider::{Provider, RootProvider, transport::TransportError};
use alloy_rpc_types_eth::{BlockOverrides, TransactionReceipt, TransactionRequest};
use decdn_contracts::{
    Answer, EthKey, Query,
    bindings::{self, Wanted},
    token,
};
use decdn_driver::Chain;
use decdn_engine::{
    chain::{Block, BlockRef, Call, ChainUpdate, Interest, Revert, Route, Subject, TxOutcome, channel},
    crypto::Deployment,
    ids::{BlockHash, ChannelId, TxTicket},
    money::Amount,
    time::{ChainTime, Span},
};
use futures::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::{
    sync::Mutex,
    time::{Instant, sleep},
};

use super::{
    ChainError, Config, Inbox,
    account::{self, Terms},
    logs::{self, Found, Watched},
    told::Told,
};

/// Requests for logs in one poll: at [`Config::log_blocks`] each, a week of blocks.
const PAGES_MAX: u32 = 256;

/// One account's view of the chain, and its hand in it. Clones share everything.
#[derive(Clone)]
pub struct AlloyChain {
    shared: Arc<Shared>,
}

struct Shared {
    provider: RootProvider,
    deployment: Deployment,
    key: EthKey,
    config: Config,
    /// The accounts whose channels were asked about.
    watched: Mutex<BTreeMap<Address, Watched>>,
    /// What polls told of the chain.
    told: StdMutex<Told>,
    /// Held from choosing a nonce until the transaction is sent, so that no two choose the same.
    sending: Mutex<()>,
    /// Why the last request that failed did.
    trouble: StdMutex<Option<String>>,
    /// What the delayed inbox was given.
    delayed: StdMutex<BTreeMap<TxTicket, B256>>,
}

/// A transaction on its way.
struct UnderWay {
    what: &'static str,
    hash: B256,
    nonce: u64,
    to: Address,
    input: Bytes,
    /// When to give up; never for what the inbox holds.
    until: Option<Instant>,
}

/// Where following a transaction stands.
enum Following {
    Unsent { ticket: TxTicket, call: Call, route: Route },
    Sent(UnderWay),
    Done,
}

#[derive(Debug, Deserialize)]
struct SentToInbox {
    at: u64,
    forcible: u64,
}

#[derive(Debug, Deserialize)]
struct FoundInInbox {
    hash: B256,
    nonce: u64,
    at: u64,
    forcible: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    forced_inclusion_secs: u64,
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
        let provider = super::endpoint::provider(urls)?;
        let shared = Shared {
            provider,
            deployment,
            key,
            config,
            watched: Mutex::default(),
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
        async move {
            let hash = shared.delayed().get(&ticket).copied();
            if let (Some(hash), Inbox::Devnet) = (hash, shared.config.inbox) {
                // Too early, or in already: the transaction's own outcome tells.
                let _: Result<bool, _> =
                    shared.provider.raw_request("decdn_forceInclude".into(), (hash,)).await;
            }
        }
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
    fn delayed(&self) -> std::sync::MutexGuard<'_, BTreeMap<TxTicket, B256>> {
        self.delayed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, why: &ChainError) {
        tracing::warn!(%why, "the chain");
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_string());
    }

    /// The next outcome of a transaction.
    async fn follow(&self, following: Following) -> Option<(TxOutcome, Following)> {
        let under_way = match following {
            Following::Done => return None,
            Following::Sent(under_way) => under_way,
            Following::Unsent { ticket, call, route: Route::QueuedBefore } => {
                return match self.find_queued(ticket, &call).await {
                    Err(why) => {
                        self.remember(&why);
                        Some((TxOutcome::Lost, Following::Done))
                    }
                    Ok(None) => Some((TxOutcome::Absent, Following::Done)),
                    Ok(Some((under_way, queued))) => Some((queued, Following::Sent(under_way))),
                };
            }
            Following::Unsent { ticket, call, route } => match self.send(ticket, &call, route).await {
                Err(why) => {
                    self.remember(&why);
                    return Some((TxOutcome::Lost, Following::Done));
                }
                Ok((under_way, Some(queued))) => return Some((queued, Following::Sent(under_way))),
                Ok((under_way, None)) => under_way,
            },
        };
        let outcome = self.outcome(&under_way).await;
        Some((outcome, Following::Done))
    }

    /// Sends a transaction; with what it is told by the inbox, if it goes there.
    async fn send(
        &self,
        ticket: TxTicket,
        call: &Call,
        route: Route,
    ) -> Result<(UnderWay, Option<TxOutcome>), ChainError> {
        let token = self.token_of(call).await?;
        let (to, input) = bindings::calldata(call, &self.deployment, token);
        let fees = self.provider.estimate_eip1559_fees().await.map_err(endpoint)?;
        let max_fee_per_gas = fees.max_fee_per_gas.min(self.config.max_fee_per_gas);

        let _one_at_a_time = self.sending.lock().await;
        let count = self.provider.get_transaction_count(self.key.address());
        // What the sequencer holds back must not hold back what goes around it.
        let nonce = match route {
            Route::Sequencer => count.pending().await,
            Route::DelayedInbox | Route::QueuedBefore => count.latest().await,
        };
        let terms = Terms {
            chain_id: self.deployment.chain_id,
            nonce: nonce.map_err(endpoint)?,
            gas_limit: self.config.gas_limit,
            max_fee_per_gas,
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas.min(max_fee_per_gas),
            value: U256::ZERO,
        };
        let (hash, raw) = account::signed(&self.key, terms, to, input.clone());
        let under_way = |until| UnderWay { what: call.purpose(), hash, nonce: terms.nonce, to, input, until };
        match route {
            Route::Sequencer => {
                // Followed by its receipt, not by the provider's own watcher, which needs the endpoint's
                // filters.
                match self.provider.send_raw_transaction(&raw).await {
                    Ok(_watcher) => {}
                    // An endpoint that did not answer in time may have taken it nevertheless.
                    Err(error) if is_known(&error) => {}
                    Err(error) => return Err(endpoint(error)),
                }
                Ok((under_way(Some(Instant::now() + self.config.patience)), None))
            }
            Route::DelayedInbox | Route::QueuedBefore => {
                if self.config.inbox == Inbox::None {
                    return Err(ChainError::NoInbox);
                }
                let queued: SentToInbox =
                    self.provider.raw_request("decdn_sendInbox".into(), (raw,)).await.map_err(endpoint)?;
                self.delayed().insert(ticket, hash);
                let (at, forcible) = (ChainTime(queued.at), ChainTime(queued.forcible));
                Ok((under_way(None), Some(TxOutcome::Queued { at, forcible })))
            }
        }
    }

    /// What the delayed inbox has of ours with this call, and no block has yet.
    async fn find_queued(
        &self,
        ticket: TxTicket,
        call: &Call,
    ) -> Result<Option<(UnderWay, TxOutcome)>, ChainError> {
        if self.config.inbox == Inbox::None {
            return Ok(None);
        }
        let (to, input) = bindings::calldata(call, &self.deployment, self.token_of(call).await?);
        let about = (self.key.address(), to, &input);
        let found: Option<FoundInInbox> =
            self.provider.raw_request("decdn_findInbox".into(), about).await.map_err(endpoint)?;
        Ok(found.map(|FoundInInbox { hash, nonce, at, forcible }| {
            self.delayed().insert(ticket, hash);
            let under_way = UnderWay { what: call.purpose(), hash, nonce, to, input, until: None };
            (under_way, TxOutcome::Queued { at: ChainTime(at), forcible: ChainTime(forcible) })
        }))
    }

    /// The channel's token, where the empty voucher has to name it.
    async fn token_of(&self, call: &Call) -> Result<Address, ChainError> {
        let Some(channel) = bindings::wants_token_of(call) else { return Ok(Address::ZERO) };
        Ok(self.channel(channel).await?.map_or(Address::ZERO, |channel| channel.token))
    }

    /// Waits for a receipt, or for the certainty or the assumption that there will be none.
    async fn outcome(&self, tx: &UnderWay) -> TxOutcome {
        loop {
            sleep(self.config.receipt_poll).await;
            // The count is read first: where it has passed the nonce, a missing receipt is final.
            let used = self.provider.get_transaction_count(self.key.address()).latest().await;
            match self.provider.get_transaction_receipt(tx.hash).await {
                Ok(Some(receipt)) => {
                    if let Ok(outcome) = self.included(tx, &receipt).await {
                        return outcome;
                    }
                }
                Ok(None) if used.is_ok_and(|used| used > tx.nonce) => return TxOutcome::Lost,
                Ok(None) | Err(_) => {}
            }
            if tx.until.is_some_and(|until| Instant::now() >= until) {
                return TxOutcome::Lost;
            }
        }
    }

    async fn included(&self, tx: &UnderWay, receipt: &TransactionReceipt) -> Result<TxOutcome, ChainError> {
        let number = receipt.block_number.ok_or(ChainError::Nonsense("a receipt without a block"))?;
        let BlockRef { number, time, .. } = self.block(BlockNumberOrTag::Number(number)).await?;
        let block = Block { number, time };
        let result = if receipt.status() {
            Ok(())
        } else {
            let why = self.reason(tx, block).await;
            self.remember(&ChainError::Reverted { what: tx.what, why });
            Err(why)
        };
        Ok(TxOutcome::Included { block, result })
    }

    /// Why a transaction failed, by calling again where it stood: on the state before its block, at its
    /// block's time. That misses what the same block held before it; then the reason is [`Revert::Other`].
    async fn reason(&self, tx: &UnderWay, block: Block) -> Revert {
        let request =
            TransactionRequest::default().from(self.key.address()).to(tx.to).input(tx.input.clone().into());
        let overrides = BlockOverrides::default().with_time(block.time.0);
        let call = self
            .provider
            .call(request)
            .number(block.number.saturating_sub(1))
            .with_block_overrides(overrides)
            .await;
        let data = call.as_ref().err().and_then(TransportError::as_error_resp);
        let data = data.and_then(|payload| payload.as_revert_data());
        data.map_or(Revert::Other, |data| bindings::revert(&self.deployment, tx.to, &data))
    }

    async fn ask(&self, query: &Query) -> Result<Answer, ChainError> {
        let (to, data) = query.calldata(&self.deployment);
        Ok(query.answer(&self.call(to, data).await?)?)
    }

    async fn channel(&self, id: ChannelId) -> Result<Option<channel::State>, ChainError> {
        Ok(self.ask(&Query::State(Subject::Channel(id))).await?.channel())
    }

    async fn call(&self, to: Address, data: Bytes) -> Result<Bytes, ChainError> {
        let request = TransactionRequest::default().to(to).input(data.into());
        self.provider.call(request).await.map_err(endpoint)
    }

    async fn block(&self, tag: BlockNumberOrTag) -> Result<BlockRef, ChainError> {
        let block = self.provider.get_block_by_number(tag).await.map_err(endpoint)?;
        let header = block.ok_or(ChainError::Nonsense("a block that is not there"))?.header;
        if let BlockNumberOrTag::Number(number) = tag
            && number != header.number
        {
            return Err(ChainError::Nonsense("another block than asked for"));
        }
        let (hash, time) = (BlockHash(header.hash.0), ChainTime(header.timestamp));
        Ok(BlockRef { number: header.number, hash, time })
    }

    fn told(&self) -> std::sync::MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer to a poll, and whether the chain is another one than the last one told of (L1).
    async fn news(&self, from_block: u64, interests: &[Interest]) -> Result<ChainUpdate, ChainError> {
        let head = self.block(BlockNumberOrTag::Latest).await?;
        let forked_at = self.forked_at(head).await?;
        if let Some(forked_at) = forked_at {
            for watched in self.watched.lock().await.values_mut() {
                watched.next = watched.next.min(forked_at);
            }
        }
        let from_block = from_block.min(forked_at.unwrap_or(u64::MAX));
        let update = self.read(head, from_block, interests).await;
        if let Ok(update) = &update {
            self.told().tell((head.number, B256::from(head.hash.0)), update.safe);
        } else if let Some(forked_at) = forked_at {
            // Nobody was told: the next poll has to say it.
            self.told().owe(forked_at);
        }
        Ok(ChainUpdate { forked_at, ..update? })
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
        let mut watched = self.watched.lock().await;
        let mut pages = PAGES_MAX;
        let mut page = |start: u64, last: u64| {
            pages = pages.checked_sub(1)?;
            Some(start..=start.saturating_add(self.config.log_blocks.max(1) - 1).min(last))
        };
        // Openings before the asked range: their channels are watched, their events are old news.
        let ahead = from_block.min(head.number.saturating_add(1));
        for account in interests.iter().filter_map(account) {
            let watched =
                watched.entry(account).or_insert_with(|| Watched::new(account, self.config.start_block));
            while watched.next < ahead {
                // The next poll goes on where this one stops.
                let blocks =
                    page(watched.next, ahead - 1).ok_or(ChainError::Behind { next: watched.next })?;
                self.openings(watched, &blocks).await?;
                watched.next = blocks.end() + 1;
            }
        }
        let (mut found, mut next) = (Vec::new(), from_block);
        while next <= head.number && found.len() <= self.config.events_max {
            let Some(blocks) = page(next, head.number) else { break };
            for interest in interests {
                found.extend(self.page(&mut watched, interest, &blocks).await?);
            }
            next = blocks.end().saturating_add(1);
        }
        for account in interests.iter().filter_map(account) {
            if let Some(watched) = watched.get_mut(&account) {
                watched.next = watched.next.max(next);
            }
        }
        let mut found = logs::in_order(found)?;
        let next = logs::cut(&mut found, self.config.events_max).unwrap_or(next);
        let mut times = BTreeMap::new();
        for number in logs::untimed(&found) {
            times.insert(number, self.block(BlockNumberOrTag::Number(number)).await?.time);
        }
        let events = logs::events(&found, &times)?;
        Ok(ChainUpdate { head, safe, forked_at: None, events, next, forced_inclusion, endpoint: 0 })
    }

    /// What these blocks hold of an interest.
    async fn page(
        &self,
        watched: &mut BTreeMap<Address, Watched>,
        interest: &Interest,
        blocks: &RangeInclusive<u64>,
    ) -> Result<Vec<Found>, ChainError> {
        if let Some(wanted) = bindings::wanted(interest, &self.deployment) {
            return self.logs(&wanted, blocks).await;
        }
        let Some(watched) = account(interest).and_then(|account| watched.get_mut(&account)) else {
            return Ok(Vec::new());
        };
        let mut found = self.openings(watched, blocks).await?;
        if let Some(wanted) = watched.changes(&self.deployment) {
            let changes = self.logs(&wanted, blocks).await?;
            found.extend(changes.into_iter().filter(|change| watched.takes(change)));
        }
        Ok(found)
    }

    async fn openings(
        &self,
        watched: &mut Watched,
        blocks: &RangeInclusive<u64>,
    ) -> Result<Vec<Found>, ChainError> {
        let mut found = Vec::new();
        for wanted in watched.openings(&self.deployment) {
            found.extend(self.logs(&wanted, blocks).await?);
        }
        found.retain(|opening| watched.takes(opening));
        Ok(found)
    }

    async fn logs(&self, wanted: &Wanted, blocks: &RangeInclusive<u64>) -> Result<Vec<Found>, ChainError> {
        let filter = logs::filter(wanted, blocks);
        let logs = self.provider.get_logs(&filter).await.map_err(endpoint)?;
        logs.iter().map(|log| logs::check(log, wanted, &self.deployment, blocks)).collect()
    }

    async fn forced_inclusion(&self) -> Result<Span, ChainError> {
        match self.config.inbox {
            Inbox::None => Ok(self.config.forced_inclusion),
            Inbox::Devnet => {
                let status: Status =
                    self.provider.raw_request("decdn_status".into(), json!([])).await.map_err(endpoint)?;
                Ok(Span(status.forced_inclusion_secs.saturating_mul(1_000_000)))
            }
        }
    }
}

/// Whether an endpoint says that it has this very transaction already, or one in its place: which one, its receipt tells.
fn is_known(error: &TransportError) -> bool {
    let says = |words| {
        move |refusal: &alloy_json_rpc::ErrorPayload| refusal.message.to_ascii_lowercase().contains(words)
    };
    let refusal = error.as_error_resp();
    refusal.is_some_and(says("already known")) || refusal.is_some_and(says("nonce too low"))
}

/// The account whose channels an interest is about.
fn account(interest: &Interest) -> Option<Address> {
    match interest {
        Interest::ChannelsOf(account) => Some(*account),
        _ => None,
    }
}

fn endpoint(why: impl std::fmt::Display) -> ChainError {
    ChainError::Endpoint(why.to_string())
}
