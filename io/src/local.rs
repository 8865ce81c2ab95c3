//! The embedded L2 in this process: the compiled contracts under a sequencer, without JSON-RPC between.

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::mpsc::{self, SyncSender},
    thread,
};

use decdn_contracts::{
    Backend, Curves, Evm, Genesis, L2, Machine, Profile, Setup, Tx, backend,
    l2::{Queued, TxId},
};
use decdn_driver::{Chain, Clock};
use decdn_engine::{
    chain::{Block, Call, ChainUpdate, Revert, Route, TxOutcome},
    crypto::Deployment,
    ids::{Address, TxTicket},
    money::Amount,
    time::{Span, Time},
};
use futures::{Stream, StreamExt, stream};
use tokio::sync::oneshot;

use crate::clock::SystemClock;

/// Jobs that wait for the chain's thread.
const JOBS_MAX: usize = 256;
/// Events in one answer to a poll; the engine takes no more at once.
const EVENTS_MAX: usize = 4_096;
/// How often to look again where no block is due: a censored transaction, a sequencer that is down.
const LOOK_AGAIN: Span = Span::from_millis(250);

/// A transaction in a block, for a statement.
#[derive(Clone, Copy, Debug)]
pub struct Mined {
    /// Whose.
    pub from: Address,
    /// What it did.
    pub call: Call,
    /// Where it is.
    pub block: Block,
    /// Whether it succeeded, or why not.
    pub result: Result<(), Revert>,
    /// Gas used.
    pub gas: u64,
}

/// The chain, shared by everyone on it. The EVM lives on a thread of its own, because it can't change threads;
/// this is a handle to it.
#[derive(Clone, Debug)]
pub struct LocalChain {
    jobs: SyncSender<Job>,
    clock: SystemClock,
    deployment: Deployment,
}

type Job = Box<dyn FnOnce(&mut State) + Send>;

struct State {
    l2: L2<Evm>,
    curves: Curves,
    waiting: BTreeMap<TxId, (Address, Call)>,
    mined: BTreeMap<TxId, Mined>,
    /// Transactions that went into the delayed inbox.
    delayed: BTreeMap<(Address, TxTicket), TxId>,
}

impl State {
    /// Produces every block that is due.
    fn catch_up(&mut self, now: Time) {
        while self.l2.next_block_at(now).is_some_and(|due| due <= now) {
            for included in self.l2.produce(now, &self.curves, |_| 0) {
                let Some((from, call)) = self.waiting.remove(&included.id) else { continue };
                let (block, receipt) = (included.block, included.receipt);
                let mined = Mined { from, call, block, result: receipt.result, gas: receipt.gas };
                self.mined.insert(included.id, mined);
            }
        }
    }

    fn submit(&mut self, now: Time, from: Address, call: Call) -> TxId {
        let id = self.l2.submit(now, Tx { from, call: backend::Call::Role(call) });
        self.waiting.insert(id, (from, call));
        id
    }

    fn submit_delayed(&mut self, now: Time, from: Address, call: Call, ticket: TxTicket) -> Queued {
        let queued = self.l2.submit_inbox(now, Tx { from, call: backend::Call::Role(call) });
        self.waiting.insert(queued.id, (from, call));
        self.delayed.insert((from, ticket), queued.id);
        queued
    }

    /// The transaction if it is in a block; else when to look again.
    fn look(&mut self, now: Time, id: TxId) -> Result<Mined, Time> {
        self.catch_up(now);
        let again = now + LOOK_AGAIN;
        self.mined.get(&id).copied().ok_or_else(|| self.l2.next_block_at(now).unwrap_or(again).min(again))
    }
}

impl LocalChain {
    /// A chain whose blocks follow `clock`.
    ///
    /// # Errors
    /// If the machine has no thread left for it.
    pub fn new(genesis: &Genesis, clock: SystemClock) -> io::Result<Self> {
        let profile = Profile { genesis: clock.genesis(), ..Profile::arbitrum() };
        let (jobs, inbox) = mpsc::sync_channel::<Job>(JOBS_MAX);
        let deployment = genesis.deployment();
        let genesis = genesis.clone();
        thread::Builder::new().name("embedded-chain".to_owned()).spawn(move || {
            let mut state = State {
                l2: L2::new(Evm::new(&genesis), profile),
                curves: Curves::new(),
                waiting: BTreeMap::new(),
                mined: BTreeMap::new(),
                delayed: BTreeMap::new(),
            };
            for job in inbox {
                job(&mut state);
            }
        })?;
        Ok(Self { jobs, clock, deployment })
    }

    /// Runs something on the chain's thread.
    async fn ask<T: Send + 'static>(&self, job: impl FnOnce(&mut State) -> T + Send + 'static) -> T {
        let (tell, told) = oneshot::channel();
        let job = Box::new(move |state: &mut State| {
            // Whoever asked may have gone meanwhile.
            let _ = tell.send(job(state));
        });
        self.jobs.send(job).expect("the chain's thread ends after its last handle");
        told.await.expect("the chain's thread answers every job")
    }

    /// Where the contracts are.
    pub fn deployment(&self) -> Deployment {
        self.deployment
    }

    /// Sets the scene: executed at once, in the block that the chain begins with.
    ///
    /// # Errors
    /// If the contract refuses.
    pub async fn set_up(&self, from: Address, setup: Setup) -> Result<(), Revert> {
        let tx = Tx { from, call: backend::Call::Setup(setup) };
        self.ask(move |state| {
            let State { l2, curves, .. } = state;
            l2.machine_mut().execute(Block::default(), &tx, curves).result
        })
        .await
    }

    /// What an account holds of a token.
    pub async fn balance(&self, token: Address, who: Address) -> Amount {
        self.ask(move |state| state.l2.machine().balance(token, who)).await
    }

    /// Every transaction so far, oldest first.
    pub async fn mined(&self) -> Vec<Mined> {
        let now = self.clock.now().mono;
        self.ask(move |state| {
            state.catch_up(now);
            state.mined.values().copied().collect()
        })
        .await
    }

    /// This chain as one account uses it.
    pub fn account(&self, account: Address) -> LocalAccount {
        LocalAccount { chain: self.clone(), account }
    }

    /// Waits until a transaction is in a block.
    async fn included(&self, id: TxId) -> Mined {
        loop {
            let now = self.clock.now().mono;
            match self.ask(move |state| state.look(now, id)).await {
                Ok(mined) => return mined,
                Err(again) => self.clock.sleep_until(again).await,
            }
        }
    }
}

/// The chain port of one account.
#[derive(Clone, Debug)]
pub struct LocalAccount {
    chain: LocalChain,
    account: Address,
}

impl LocalAccount {
    /// Makes a transaction and waits for its block; for what no engine would do.
    pub async fn transact(&self, call: Call) -> Mined {
        let (now, from) = (self.chain.clock.now().mono, self.account);
        let id = self.chain.ask(move |state| state.submit(now, from, call)).await;
        self.chain.included(id).await
    }

    /// As [`transact`](Self::transact), through the delayed inbox; says first since when it waits there.
    fn transact_delayed(
        self,
        ticket: TxTicket,
        call: Call,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<> {
        let queue = async move {
            let (now, from) = (self.chain.clock.now().mono, self.account);
            let queued = self.chain.ask(move |state| state.submit_delayed(now, from, call, ticket)).await;
            let outcome = TxOutcome::Queued { at: queued.at, forcible: queued.forcible };
            let included = async move { outcome_of(self.chain.included(queued.id).await) };
            stream::once(std::future::ready(outcome)).chain(stream::once(included))
        };
        stream::once(queue).flatten()
    }
}

fn outcome_of(mined: Mined) -> TxOutcome {
    TxOutcome::Included { block: mined.block, result: mined.result }
}

impl Chain for LocalAccount {
    fn submit(
        &mut self,
        ticket: TxTicket,
        call: Call,
        route: Route,
    ) -> impl Stream<Item = TxOutcome> + Send + 'static + use<> {
        let account = self.clone();
        match route {
            Route::Sequencer => {
                let included = async move { outcome_of(account.transact(call).await) };
                stream::once(included).left_stream()
            }
            Route::DelayedInbox => account.transact_delayed(ticket, call).right_stream(),
        }
    }

    fn force_include(&mut self, ticket: TxTicket) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (chain, now, account) = (self.chain.clone(), self.chain.clock.now().mono, self.account);
        async move {
            chain
                .ask(move |state| {
                    if let Some(id) = state.delayed.get(&(account, ticket)) {
                        // Too early is no news: it stays in the inbox, and the engine asks again.
                        let _ = state.l2.force_include(now, *id);
                    }
                })
                .await;
        }
    }

    fn poll(
        &mut self,
        from_block: u64,
    ) -> impl Future<Output = Option<ChainUpdate>> + Send + 'static + use<> {
        let (chain, account) = (self.chain.clone(), self.account);
        async move {
            let now = chain.clock.now().mono;
            let update = chain.ask(move |state| {
                state.catch_up(now);
                state.l2.events_since(now, from_block, Some(account), EVENTS_MAX)
            });
            Some(update.await)
        }
    }
}
