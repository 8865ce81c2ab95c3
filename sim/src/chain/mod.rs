//! The chain in the world: what actors send travels to the sequencer or the L1's inbox of [`L2`], under the policy
//! of the scenario; what happens there is read back by polls, oracles and the engine's own prediction.

mod asked;
mod court;
mod purse;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use decdn_contracts::{
    Backend, Call, Evm, Genesis, L2, Machine, Model, Policy, Profile, Setup, Tx, channel,
    l2::{Censored, Included, TxId},
    registry, token,
};
use decdn_engine::{
    chain::{self, ChainEvent, ChainUpdate, Interest, Route, TxOutcome, channel::EventKind},
    crypto::Deployment,
    ids::{Address, ChannelId, NodeId, TxTicket},
    money::Amount,
    time::{Span, Time},
};

use self::{
    court::Court,
    purse::{Purses, Wish},
};
pub use self::{
    court::Done,
    purse::{Ether, LowEstimates, PurseNews},
};
use crate::{
    actor::ActorId,
    decide::{Decisions, Label},
    rung::SimCrypto,
    scenario::Stretch,
    seen::{ChainView, OnChainStatus},
};

/// The most events in one answer to a poll.
const POLL_EVENTS: usize = 256;
/// How long the L1 takes to take a transaction: one to five of its blocks, in seconds.
const L1_SECS: (u64, u64) = (12, 60);
/// After how long somebody hears that the chain took nothing of his: an endpoint's error at once, or its silence.
const LOST_MICROS: (u64, u64) = (1_000, 60_000_000);
/// Of a million transactions that a fork undid, how many come back.
const COMES_BACK: u32 = 750_000;

/// Whose transaction it is: the actor, its life, its ticket.
pub type Owner = (ActorId, u32, TxTicket);

/// What happened on the chain.
#[derive(Clone, Debug)]
pub enum News {
    /// A transaction is in a block.
    Included {
        /// What it did.
        done: Done,
        /// How it got there.
        route: Route,
        /// When it was sent.
        submitted: Time,
        /// By whom.
        from: ActorId,
    },
    /// An actor's transaction has news, which reach it at a time.
    Outcome {
        /// Whose.
        to: Owner,
        /// When it hears.
        at: Time,
        /// What.
        outcome: TxOutcome,
    },
    /// A transaction was lost on its way.
    Lost {
        /// Whose.
        owner: Owner,
        /// On which way.
        route: Route,
    },
    /// A transaction is in its block no more.
    Undone {
        /// What it had done.
        done: Done,
        /// How it had got there.
        route: Route,
        /// When it was sent.
        submitted: Time,
        /// By whom.
        from: ActorId,
    },
    /// A purse has done something about a transaction, or could not.
    Purse {
        /// Whose.
        actor: ActorId,
        /// What.
        what: PurseNews,
    },
    /// All transactions of a block have been told, or all that a fork undid.
    Sealed,
    /// The sequencer's policy changed.
    Sequencer {
        /// Whose transactions it drops.
        censored: Option<Address>,
        /// Whether it works.
        up: bool,
    },
}

/// What travels to the chain.
#[derive(Clone, Copy, Debug)]
struct Travelling {
    arrives: Time,
    owner: Owner,
    submitted: Time,
    what: Parcel,
}

#[derive(Clone, Copy, Debug)]
#[expect(clippy::large_enum_variant, reason = "transactions are rare")]
enum Parcel {
    Tx {
        from: Address,
        call: chain::Call,
        route: Route,
    },
    Force,
    /// One that a fork undid, from whoever still has it.
    Again(TxId),
}

/// A transaction in a block that a fork may undo.
#[derive(Clone, Debug)]
struct Undoable {
    id: TxId,
    owner: Owner,
    done: Done,
    route: Route,
    submitted: Time,
}

/// See the module.
pub struct Chain {
    l2: L2<Court>,
    tokens: Vec<Address>,
    holders: Vec<Address>,
    channels: Vec<ChannelId>,
    minted: Amount,
    /// Who may set what is governed.
    owner: Address,
    travelling: Vec<Travelling>,
    owners: BTreeMap<TxId, (Owner, Route, Time)>,
    stretches: Vec<Stretch>,
    /// When the sequencer's policy may change next.
    changes: BTreeSet<Time>,
    /// Whose transactions are lost on their way to the sequencer, of those who were told of last.
    losing: Option<Address>,
    endpoint: Span,
    news: VecDeque<News>,
    /// Where the chain is to fork: what can be undone, in its order.
    undoable: Option<Vec<Undoable>>,
    /// Whose outcome was told: after a fork nobody is told once more.
    told: BTreeSet<TxId>,
    /// Where it keeps accounts: what is in the purses.
    purses: Option<Purses>,
}

impl Chain {
    /// The contracts with everybody's money in place.
    pub fn new(
        genesis: &Genesis,
        backends: (Box<dyn Backend>, Option<Box<dyn Backend>>),
        people: &[(Address, Option<NodeId>, Amount)],
        timing: (Span, Span),
        stretches: Vec<Stretch>,
    ) -> Self {
        let (forced_inclusion, endpoint) = timing;
        let profile = Profile { forced_inclusion, ..Profile::arbitrum() };
        let mut l2 = L2::new(Court::new(genesis, backends.0, backends.1), profile);
        let tokens: Vec<Address> = genesis.token_addresses().collect();
        let (mut minted, block) = (Amount::ZERO, l2.head(Time(0)));
        let mut set_up = |setup: Setup| {
            let tx = Tx { from: genesis.owner, call: Call::Setup(setup) };
            let done = l2.machine_mut().execute(block, &tx, &SimCrypto::Ideal);
            assert!(done.receipt.result.is_ok(), "the first state can be set up");
        };
        for &(account, node, wallet) in people {
            for &token in &tokens {
                set_up(token::Setup::Mint { token, to: account, amount: wallet }.into());
            }
            minted = Amount(minted.0 + wallet.0);
            if let Some(node) = node {
                set_up(registry::Setup::SetNode { operator: account, node, active: true }.into());
            }
        }
        let mut holders: Vec<Address> = people.iter().map(|(account, _, _)| *account).collect();
        holders.push(genesis.deployment().payment_channel);
        let changes = stretches.iter().flat_map(|stretch| [stretch.from, stretch.until]).collect();
        Self {
            l2,
            tokens,
            holders,
            channels: Vec::new(),
            minted,
            owner: genesis.owner,
            travelling: Vec::new(),
            owners: BTreeMap::new(),
            stretches,
            changes,
            losing: None,
            endpoint,
            news: VecDeque::new(),
            undoable: None,
            told: BTreeSet::new(),
            purses: None,
        }
    }

    /// The chain is to fork some time.
    pub fn keep_soft(&mut self) {
        self.l2.keep_soft();
        self.undoable = Some(Vec::new());
    }

    /// The sequencer takes back its word about the blocks of so long a time, as far as they are not safe. Whoever has one of
    /// their transactions brings it again, or nobody does.
    pub fn fork(&mut self, now: Time, back: Span, decide: &mut Decisions) {
        let from = now.0.saturating_sub(back.0) / self.l2.profile().slot.0;
        let known = self.l2.forks();
        let undone = self.l2.undo(now, from);
        let (Some(from), Some(undoable)) = (self.l2.forked_since(known), &mut self.undoable) else { return };
        let first = undoable.partition_point(|tx| tx.done.block.number < from);
        for tx in undoable.split_off(first).into_iter().rev() {
            let Undoable { id, owner, done, route, submitted } = tx;
            self.news.push_back(News::Undone { done, route, submitted, from: owner.0 });
            self.told.insert(id);
            // Whatever else was undone with it had set the scene.
            if undone.contains(&id) && decide.chance(Label::Chain, COMES_BACK) {
                let arrives = now + Span(decide.between(Label::Chain, 1_000, 60_000_000));
                self.owners.insert(id, (owner, route, submitted));
                self.travelling.push(Travelling { arrives, owner, submitted, what: Parcel::Again(id) });
            }
        }
        self.news.push_back(News::Sealed);
    }

    /// The safe head's number.
    pub fn safe(&self, now: Time) -> u64 {
        self.l2.safe(now).number
    }

    /// How many blocks there are in so long a time.
    pub fn blocks_in(&self, span: Span) -> u64 {
        span.0 / self.l2.profile().slot.0
    }

    /// How often the chain has forked.
    pub fn forks(&self) -> usize {
        self.l2.forks()
    }

    /// From now on the chain's clock is so many seconds ahead of L1's, or behind it.
    pub fn drift(&mut self, now: Time, secs: i64) {
        self.l2.set_skew(now, secs);
    }

    /// From now on blocks are posted to L1, or not.
    pub fn set_posting(&mut self, now: Time, is_posting: bool) {
        self.l2.set_posting(now, is_posting);
    }

    /// The model alone: the ideal rung.
    pub fn model(genesis: &Genesis) -> (Box<dyn Backend>, Option<Box<dyn Backend>>) {
        (Box::new(Model::new(genesis)), None)
    }

    /// The bytecode, with the model beside it: the real rung (O9).
    pub fn bytecode(genesis: &Genesis) -> (Box<dyn Backend>, Option<Box<dyn Backend>>) {
        (Box::new(Evm::new(genesis)), Some(Box::new(Model::new(genesis))))
    }

    /// Where the contracts are.
    pub fn deployment(&self) -> Deployment {
        self.l2.machine().deployment()
    }

    /// How long an endpoint takes to answer this time.
    pub fn endpoint_delay(&self, decide: &mut Decisions) -> Span {
        Span(decide.between(Label::Chain, 1_000, self.endpoint.0.max(1_000)))
    }

    /// The sequencer takes a bribe: it drops an account's transactions for a while.
    pub fn bribe(&mut self, now: Time, account: Address, until: Time) {
        let censored = vec![account];
        self.stretches.push(Stretch { from: now, until, censored, ..Stretch::default() });
        self.changes.extend([now, until]);
    }

    /// The owner sets the window of closes from now on (C9).
    pub fn set_window(&mut self, now: Time, secs: u64) {
        let tx = Tx { from: self.owner, call: Call::Setup(channel::Setup::SetWindow { secs }.into()) };
        let block = self.l2.head(now);
        let done = self.l2.machine_mut().execute(block, &tx, &SimCrypto::Ideal);
        assert!(done.receipt.result.is_ok(), "a scenario's windows are checked when it is read");
    }

    /// Takes a transaction from an actor.
    pub fn submit(
        &mut self,
        now: Time,
        owner: Owner,
        from: Address,
        call: chain::Call,
        route: Route,
        decide: &mut Decisions,
    ) {
        let takes = match route {
            Route::Sequencer => self.endpoint_delay(decide),
            Route::DelayedInbox => l1_delay(decide),
            Route::QueuedBefore => self.endpoint_delay(decide),
        };
        let what = Parcel::Tx { from, call, route };
        self.travelling.push(Travelling { arrives: now + takes, owner, submitted: now, what });
    }

    /// Takes an order to force the inbox up to an actor's transaction.
    pub fn force(&mut self, now: Time, owner: Owner, decide: &mut Decisions) {
        let arrives = now + l1_delay(decide);
        self.travelling.push(Travelling { arrives, owner, submitted: now, what: Parcel::Force });
    }

    /// When the chain next has something to do.
    pub fn next_work(&self, now: Time) -> Option<Time> {
        if !self.news.is_empty() {
            return Some(now);
        }
        let arrival = self.travelling.iter().map(|parcel| parcel.arrives).min();
        let change = self.changes.first().copied();
        [arrival, change, self.purse_due(), self.l2.next_block_at(now)].into_iter().flatten().min()
    }

    /// Does what is due, one piece of news at a time.
    pub fn work(&mut self, now: Time, crypto: &SimCrypto, decide: &mut Decisions) -> Option<News> {
        while self.news.is_empty() {
            if self.changes.first().is_some_and(|at| *at <= now) {
                self.changes.pop_first();
                self.change_policy(now);
            } else if let Some(index) = self.travelling.iter().position(|parcel| parcel.arrives <= now) {
                let parcel = self.travelling.remove(index);
                self.arrive(now, parcel, crypto, decide);
            } else if self.purse_due().is_some_and(|at| at <= now) {
                self.work_purses(now, decide);
            } else if self.l2.next_block_at(now).is_some_and(|at| at <= now) {
                let pick = |options: usize| decide.below(Label::Tie, options as u64) as usize;
                let block = self.l2.produce(now, crypto, pick);
                let is_empty = block.is_empty();
                for included in block {
                    self.include(now, included, decide);
                }
                if !is_empty {
                    self.news.push_back(News::Sealed);
                }
                self.tell_dropped(now);
            } else {
                return None;
            }
        }
        self.news.pop_front()
    }

    /// What is not the weather of every day at this time.
    fn active(&self, now: Time) -> impl Iterator<Item = &Stretch> {
        self.stretches.iter().filter(move |stretch| stretch.from <= now && now < stretch.until)
    }

    /// Whether a transaction gets lost on its way.
    fn is_lost(&self, now: Time, from: Address, route: Route) -> bool {
        self.active(now).any(|stretch| match route {
            Route::Sequencer => stretch.losing.contains(&from),
            Route::DelayedInbox | Route::QueuedBefore => stretch.is_inbox_down,
        })
    }

    fn arrive(&mut self, now: Time, parcel: Travelling, crypto: &SimCrypto, decide: &mut Decisions) {
        let Travelling { owner, submitted, what, .. } = parcel;
        match what {
            Parcel::Tx { from, route, .. } if self.is_lost(now, from, route) => {
                self.lose(now, owner, route, decide);
            }
            Parcel::Tx { from, call, route: Route::Sequencer } if self.purses.is_some() => {
                let tx = Tx { from, call: Call::Role(call) };
                self.bid(now, Wish { owner, submitted, tx }, crypto, decide);
            }
            Parcel::Tx { from, call, route: Route::Sequencer } => {
                let id = self.l2.submit(now, Tx { from, call: Call::Role(call) });
                self.owners.insert(id, (owner, Route::Sequencer, submitted));
            }
            Parcel::Tx { from, call, route: Route::DelayedInbox } => {
                let tx = Tx { from, call: Call::Role(call) };
                let queued = self.queue(now, Wish { owner, submitted, tx });
                self.owners.insert(queued.id, (owner, Route::DelayedInbox, submitted));
                let outcome = TxOutcome::Queued { at: queued.at, forcible: queued.forcible };
                self.news.push_back(News::Outcome { to: owner, at: now, outcome });
            }
            Parcel::Tx { from, call, route: Route::QueuedBefore } => {
                let found = self.l2.find_queued(|tx| Self::is_message(tx, from, &call));
                let outcome = found.map_or(TxOutcome::Absent, |queued| {
                    // What becomes of it is told to whoever looked for it, not to the life that sent it.
                    let first = self.owners.get(&queued.id).map_or(submitted, |(_, _, first)| *first);
                    self.owners.insert(queued.id, (owner, Route::DelayedInbox, first));
                    TxOutcome::Queued { at: queued.at, forcible: queued.forcible }
                });
                self.news.push_back(News::Outcome { to: owner, at: now, outcome });
            }
            Parcel::Again(id) => _ = self.l2.submit_again(now, id),
            Parcel::Force => {
                let named = |(_, (other, _, _)): &(&TxId, &(Owner, Route, Time))| *other == owner;
                let found = self.owners.iter().find(named).map(|(id, _)| *id);
                if let Some(id) = found {
                    // Too early, or included meanwhile: then nothing happens, as on L1.
                    let _ = self.l2.force_include(now, id);
                }
            }
        }
    }

    /// A transaction gets lost on its way, and its owner hears so some time.
    pub fn lose(&mut self, now: Time, owner: Owner, route: Route, decide: &mut Decisions) {
        let at = now + Span(decide.between(Label::Chain, LOST_MICROS.0, LOST_MICROS.1));
        self.news.push_back(News::Lost { owner, route });
        self.news.push_back(News::Outcome { to: owner, at, outcome: TxOutcome::Lost });
    }

    fn include(&mut self, now: Time, included: Included<Done>, decide: &mut Decisions) {
        let Some((owner, route, submitted)) = self.owners.remove(&included.id) else { return };
        let done = included.receipt;
        let account = (included.id, done.sender);
        let is_over = self.settle_sent(now, account, included.is_out_of_gas, decide);
        for event in done.receipt.events.iter().filter_map(ChainEvent::as_channel) {
            if let EventKind::Opened { .. } = event.kind
                && !self.channels.contains(&event.channel)
            {
                self.channels.push(event.channel);
            }
        }
        if let Some(undoable) = &mut self.undoable {
            let done = done.clone();
            undoable.push(Undoable { id: included.id, owner, done, route, submitted });
        }
        let outcome = TxOutcome::Included { block: included.block, result: done.receipt.result };
        let at = now + self.endpoint_delay(decide);
        self.news.push_back(News::Included { done, route, submitted, from: owner.0 });
        if !self.told.remove(&included.id) && is_over {
            self.news.push_back(News::Outcome { to: owner, at, outcome });
        }
    }

    fn change_policy(&mut self, now: Time) {
        let censored: BTreeSet<Address> =
            self.active(now).flat_map(|stretch| stretch.censored.iter().copied()).collect();
        let keeps = self.purses.is_some();
        let both = |account: &Address| {
            let [main, dispute] = Self::both(*account);
            [Some(main), keeps.then_some(dispute)].into_iter().flatten()
        };
        let losing = self.active(now).find_map(|stretch| stretch.losing.first().copied());
        let first = censored.first().copied().or(losing);
        let policy = if self.active(now).any(|stretch| stretch.down) {
            Policy::Down
        } else if self.active(now).any(|stretch| !stretch.calls.is_empty()) {
            let censored = |stretch: &Stretch| Censored {
                accounts: stretch.censored.iter().flat_map(both).collect(),
                calls: stretch.calls.iter().copied().collect(),
            };
            let active = self.active(now).filter(|stretch| !stretch.censored.is_empty());
            Policy::CensorCalls(active.map(censored).collect())
        } else if censored.is_empty() {
            Policy::Honest
        } else {
            Policy::Censor(censored.iter().flat_map(both).collect())
        };
        if policy != *self.l2.policy() || losing != self.losing {
            self.losing = losing;
            self.news.push_back(News::Sequencer { censored: first, up: policy != Policy::Down });
            self.l2.set_policy(now, policy);
        }
    }

    /// The answer to a poll of one who knows of so many forks; `None` where no endpoint answers.
    pub fn poll(
        &self,
        now: Time,
        from_block: u64,
        interests: &[Interest],
        forks: usize,
    ) -> Option<ChainUpdate> {
        let forked_at = self.l2.forked_since(forks);
        let from_block = from_block.min(forked_at.unwrap_or(u64::MAX));
        let update = self.l2.events_since(now, from_block, interests, POLL_EVENTS);
        Some(ChainUpdate { forked_at, ..update })
    }

    /// Whether nothing is under way, and every channel has settled, or is open where its
    /// client keeps it.
    pub fn is_quiet(&self, keeps: impl Fn(Address) -> bool) -> bool {
        self.travelling.is_empty()
            && self.news.is_empty()
            && self.owners.keys().all(|id| self.purses.is_some() && self.told.contains(id))
            && self.channels.iter().filter_map(|id| self.channel(*id)).all(|channel| match channel.status {
                OnChainStatus::Settled => true,
                OnChainStatus::Open => keeps(channel.client),
                OnChainStatus::Closing => false,
            })
    }
}

fn l1_delay(decide: &mut Decisions) -> Span {
    Span::from_secs(decide.between(Label::Chain, L1_SECS.0, L1_SECS.1))
}
