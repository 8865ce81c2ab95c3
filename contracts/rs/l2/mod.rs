//! The L2 under a sequencer, and the L1 inbox behind it: in virtual time, driven by whoever holds the clock.
//!
//! Blocks come every [`Profile::slot`]. Block `n` collects what arrived before `n` slots and becomes visible
//! when it is produced; a block without transactions is only a number. The sequencer follows a [`Policy`].
//! What it ignores can be put into the L1's delayed inbox, and forced from there once it has waited for
//! [`Profile::forced_inclusion`] (L2). It can take back what is not posted to L1 yet ([`L2::undo`]).
//!
//! Nothing here asks a clock or draws a number: the caller passes the time, and picks among transactions of
//! one block.

mod accounts;
mod branch;
mod clock;
mod inbox;
mod log;
mod profile;

use std::collections::{BTreeMap, VecDeque};

use decdn_engine::{
    chain::{Block, BlockRef, ChainUpdate, Interest},
    crypto::Crypto,
    time::{ChainTime, Span, Time},
    worth::GasPrice,
};

use self::{
    accounts::Accounts,
    branch::{Names, Soft},
    clock::Clock,
    inbox::Inbox,
    log::Log,
};
pub use self::{
    accounts::{Refusal, Spike, Terms},
    inbox::{CantForce, Queued},
    profile::{Censored, Policy, Profile},
};
use crate::backend::{Events, Machine, Sender};

/// Names a transaction that was handed to the L2, by either route. Later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct TxId(pub u64);

/// A transaction in a block.
#[derive(Clone, Debug)]
pub struct Included<R> {
    /// Which.
    pub id: TxId,
    /// In which block.
    pub block: Block,
    /// What came of it.
    pub receipt: R,
    /// Whether it did nothing because its gas was not enough.
    pub is_out_of_gas: bool,
}

/// The chain that the roles talk to.
#[derive(Clone, Debug)]
pub struct L2<M: Machine> {
    machine: M,
    clock: Clock,
    profile: Profile,
    policy: Policy,
    next_id: u64,
    /// What waits for the sequencer, with the time of arrival.
    pending: BTreeMap<TxId, (Time, M::Tx)>,
    inbox: Inbox<M::Tx>,
    log: Log,
    names: Names,
    /// Where it is to fork: what can be undone.
    soft: Option<Soft<M>>,
    /// Transactions that were undone and are not waiting again.
    undone: BTreeMap<TxId, M::Tx>,
    /// The first block that each fork replaced, in the order of the forks.
    forks: Vec<u64>,
    /// While nothing is posted to L1: the safe head.
    posted: Option<u64>,
    /// Who pays for gas, where anybody does.
    accounts: Option<Accounts<M>>,
    /// When gas is dear.
    spikes: Vec<Spike>,
}

impl<M: Machine> L2<M> {
    /// A chain at time zero whose sequencer is honest.
    pub fn new(machine: M, profile: Profile) -> Self {
        Self {
            machine,
            clock: Clock::new(&profile),
            policy: Policy::Honest,
            next_id: 0,
            pending: BTreeMap::new(),
            inbox: Inbox::new(),
            log: Log::default(),
            names: Names::default(),
            soft: None,
            undone: BTreeMap::new(),
            forks: Vec::new(),
            posted: None,
            accounts: None,
            spikes: Vec::new(),
            profile,
        }
    }

    /// The contracts.
    pub fn machine(&self) -> &M {
        &self.machine
    }

    /// The contracts, for setting the scene before time begins. What is set later stays: no fork goes back before it.
    pub fn machine_mut(&mut self) -> &mut M {
        if let Some(soft) = &mut self.soft {
            soft.clear();
        }
        &mut self.machine
    }

    /// From now on blocks can be undone until the safe head has them; this costs a copy of the contracts for each.
    pub fn keep_soft(&mut self)
    where
        M: Clone,
        M::Tx: Clone,
    {
        self.soft = Some(Soft::new());
    }

    /// The sequencer takes its word back (L1): blocks from this one on, as far as the safe head does not have them, are others,
    /// without transactions. Returns those that were in them, in their order; [`submit_again`](Self::submit_again) brings
    /// them back. Nothing happens where there is none.
    pub fn undo(&mut self, now: Time, from: u64) -> Vec<TxId> {
        let from = from.max(self.safe(now).number + 1);
        let Some(soft) = &mut self.soft else { return Vec::new() };
        let from = from.max(soft.first().unwrap_or(u64::MAX));
        let Some((machine, txs)) = soft.undo(from) else { return Vec::new() };
        self.machine = machine;
        if let Some(accounts) = &mut self.accounts {
            accounts.undo(from);
        }
        self.log.truncate(from);
        self.names.fork(from);
        self.forks.push(from);
        let ids = txs.iter().map(|(id, _)| *id).collect();
        self.undone.extend(txs);
        ids
    }

    /// A transaction that was undone waits for the sequencer again. `false` where none by this id was.
    pub fn submit_again(&mut self, now: Time, id: TxId) -> bool {
        let Some(tx) = self.undone.remove(&id) else { return false };
        self.pending.insert(id, (now, tx));
        true
    }

    /// How often the chain has forked.
    pub fn forks(&self) -> usize {
        self.forks.len()
    }

    /// The first block that is another one for whoever knew of so many forks.
    pub fn forked_since(&self, known: usize) -> Option<u64> {
        self.forks.get(known..)?.iter().min().copied()
    }

    /// Whether blocks are posted to L1. While they aren't, the safe head stands still.
    pub fn set_posting(&mut self, now: Time, is_posting: bool) {
        self.posted = (!is_posting).then(|| self.safe(now).number);
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What the sequencer does at the moment.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Hands a transaction to the sequencer. It is included in the next block that the policy allows; until
    /// then it waits, and [`forget`](Self::forget) drops it.
    pub fn submit(&mut self, now: Time, tx: M::Tx) -> TxId {
        let id = self.fresh_id();
        self.pending.insert(id, (now, tx));
        id
    }

    /// Puts a transaction into the L1's delayed inbox. A willing sequencer takes it after
    /// [`Profile::inbox_delay`].
    pub fn submit_inbox(&mut self, now: Time, tx: M::Tx) -> Queued {
        let id = self.fresh_id();
        let at = self.clock.l1(now);
        self.inbox.push(id, now, at, tx);
        Queued { id, at, forcible: inbox::forcible(at, self.profile.forced_inclusion) }
    }

    /// Brings a transaction into the next block, whatever the sequencer wants: an L1 elsewhere was forced to take it. What waits in the
    /// inbox here is older, and comes with it.
    pub fn submit_forced(&mut self, now: Time, tx: M::Tx) -> TxId {
        let (id, at) = (self.fresh_id(), self.clock.l1(now));
        self.inbox.push(id, now, at, tx);
        self.inbox.force(id, now, at, Span(0)).expect("it is there, and has waited for nothing");
        id
    }

    /// What the delayed inbox has of this kind and no block has yet; the oldest.
    pub fn find_queued(&self, is_it: impl Fn(&M::Tx) -> bool) -> Option<Queued> {
        self.inbox.find(self.profile.forced_inclusion, is_it)
    }

    /// Forces the delayed inbox up to and including a transaction into the next block, whatever the sequencer
    /// wants (L2). Anyone may; it takes effect for all messages before it as well.
    pub fn force_include(&mut self, now: Time, id: TxId) -> Result<(), CantForce> {
        self.inbox.force(id, now, self.clock.l1(now), self.profile.forced_inclusion)
    }

    /// Drops a transaction that waits for the sequencer: lost, or replaced. `false` where none waits by this
    /// id.
    pub fn forget(&mut self, id: TxId) -> bool {
        self.pending.remove(&id).is_some()
    }

    /// Puts another transaction in the place of one that waits for the sequencer. `false` where none waits by this id.
    pub fn replace(&mut self, now: Time, id: TxId, tx: M::Tx) -> bool {
        let waits = self.pending.contains_key(&id);
        if waits {
            self.pending.insert(id, (now, tx));
        }
        waits
    }

    /// Whether a transaction waits, on either route.
    pub fn is_waiting(&self, id: TxId) -> bool {
        self.pending.contains_key(&id) || self.inbox.holds(id)
    }

    /// Changes what the sequencer does from now on.
    pub fn set_policy(&mut self, now: Time, policy: Policy) {
        self.clock.set_down(now, policy == Policy::Down);
        self.policy = policy;
    }

    /// Changes how far `block.timestamp` is ahead of L1, in seconds; within what the profile allows. It never
    /// makes a timestamp go back: a chain that is put back stands still.
    pub fn set_skew(&mut self, now: Time, secs: i64) {
        self.clock.set_skew(now, secs.clamp(-self.profile.skew_back_secs, self.profile.skew_ahead_secs));
    }

    /// Changes the forced-inclusion delay, for what waits already as well (L2: it is read live).
    pub fn set_forced_inclusion(&mut self, delay: Span) {
        self.profile.forced_inclusion = delay;
    }

    /// When the next block with a transaction is due, now or later; `None` while there is nothing that would
    /// be included. Every other call may change the answer.
    pub fn next_block_at(&self, now: Time) -> Option<Time> {
        let sequenced = self.takeable(now).next().map(|(_, arrived)| self.clock.collected(arrived));
        let delayed = self.inbox.due(self.profile.inbox_delay, |tx| self.policy.takes(tx));
        let delayed = delayed.map(|due| self.clock.rounded_up(due));
        let forced = self.inbox.forced_at().map(|at| self.clock.collected(at));
        sequenced.into_iter().chain(delayed).chain(forced).min().map(|due| due.max(now))
    }

    /// Produces the block that is due: nothing where [`next_block_at`](Self::next_block_at) is later.
    /// `pick(n)` chooses which of `n` transactions comes next, below `n`; it is asked only where there is a
    /// choice. What was forced comes first, and the inbox keeps its own order.
    pub fn produce(
        &mut self,
        now: Time,
        crypto: &dyn Crypto,
        mut pick: impl FnMut(usize) -> usize,
    ) -> Vec<Included<M::Receipt>> {
        let clock = self.clock.clone();
        let mut order = Vec::new();
        self.begin_accounts(now);
        while let Some((id, tx)) = self.inbox.pop_forced(|at| clock.collected(at) <= now) {
            if self.admit(now, id, &tx) {
                order.push((id, tx));
            }
        }
        let mut delayed = VecDeque::new();
        let (policy, delay) = (&self.policy, self.profile.inbox_delay);
        while let Some(message) =
            self.inbox.pop_due(delay, |tx| policy.takes(tx), |due| clock.rounded_up(due) <= now)
        {
            delayed.push_back(message);
        }
        let ripe = self.takeable(now).filter(|(_, arrived)| clock.collected(*arrived) <= now);
        let mut ready: Vec<TxId> = ripe.map(|(id, _)| id).collect();
        loop {
            let choices = ready.len() + usize::from(!delayed.is_empty());
            let chosen = match choices {
                0 => break,
                1 => 0,
                _ => pick(choices),
            };
            assert!(chosen < choices, "a tie-breaker picks one of what there is");
            let (id, tx) = if chosen == ready.len() {
                delayed.pop_front().expect("it was chosen")
            } else {
                let id = ready.remove(chosen);
                let (_, tx) = self.pending.remove(&id).expect("what is ready is pending");
                (id, tx)
            };
            if self.admit(now, id, &tx) {
                ready.extend(self.next_of(now, tx.sender(), &ready));
                order.push((id, tx));
            }
        }
        if order.is_empty() {
            return Vec::new();
        }
        let block = self.clock.produce(now);
        let safe = self.safe(now).number;
        if let Some(soft) = &mut self.soft {
            soft.begin(block.number, &self.machine, &order, safe);
        }
        self.names.append(block.number, order.iter().map(|(id, _)| *id));
        order.into_iter().map(|(id, tx)| self.include((now, block), id, &tx, crypto)).collect()
    }

    fn include(
        &mut self,
        (now, block): (Time, Block),
        id: TxId,
        tx: &M::Tx,
        crypto: &dyn Crypto,
    ) -> Included<M::Receipt> {
        let (receipt, is_out_of_gas) = self.execute((now, block), id, tx, crypto);
        self.log.append(receipt.events());
        Included { id, block, receipt, is_out_of_gas }
    }

    /// The soft head (L1): the newest block that readers see.
    pub fn head(&self, now: Time) -> Block {
        self.clock.head(now)
    }

    /// The safe head: the newest block that is posted to L1.
    pub fn safe(&self, now: Time) -> Block {
        let posted = self.posted.map(|number| self.clock.block(number));
        posted.unwrap_or_else(|| self.clock.head_before(now, self.profile.safe_lag))
    }

    /// What a block is called.
    pub fn name(&self, block: Block) -> BlockRef {
        BlockRef::new(block, self.names.of(block))
    }

    /// A block by its number: that of a transaction, or an empty one.
    pub fn block(&self, number: u64) -> Block {
        self.clock.block(number)
    }

    /// What a poll answers: the events from a block on that one of the interests covers, up to about `cap`. Blocks are never cut in two: only where the first block alone holds more are more than `cap`
    /// returned.
    pub fn events_since(
        &self,
        now: Time,
        from_block: u64,
        interests: &[Interest],
        cap: usize,
    ) -> ChainUpdate {
        let head = self.head(now);
        let (events, next) = self.log.since(from_block, interests, cap);
        // Where nobody pays for gas it has no price.
        let base_fee = self.accounts.as_ref().map_or(0, |_| self.base_fee(now));
        ChainUpdate {
            head: self.name(head),
            forked_at: None,
            safe: self.posted.unwrap_or_else(|| self.clock.number_before(now, self.profile.safe_lag, &head)),
            events,
            next: next.unwrap_or((head.number + 1).max(from_block)),
            forced_inclusion: self.profile.forced_inclusion,
            gas_price: GasPrice(u64::try_from(base_fee).unwrap_or(u64::MAX)),
            endpoint: 0,
            quorum: None,
        }
    }

    /// The L1's clock at a time, in seconds: what the delayed inbox goes by.
    pub fn l1_clock(&self, now: Time) -> ChainTime {
        self.clock.l1(now)
    }

    /// What the sequencer would take, oldest first, with its arrival.
    fn takeable(&self, now: Time) -> impl Iterator<Item = (TxId, Time)> + '_ {
        let up = self.policy != Policy::Down;
        let fee = self.base_fee(now);
        let is_next = move |id, tx: &M::Tx| {
            self.accounts.as_ref().is_none_or(|accounts| accounts.is_next(id, tx.sender(), fee))
        };
        self.pending
            .iter()
            .take_while(move |_| up)
            .filter(move |(id, (_, tx))| self.policy.takes(tx) && is_next(**id, tx))
            .map(|(id, (arrived, _))| (*id, *arrived))
    }

    fn fresh_id(&mut self) -> TxId {
        self.next_id += 1;
        TxId(self.next_id)
    }
}
