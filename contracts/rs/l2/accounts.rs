//! Accounts: nonces, the mempool in front of the sequencer, what gas costs, and the ether that it is paid from. Kept only where a chain
//! is told to; without them a transaction that is handed over is taken as it comes and costs nobody anything.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use decdn_engine::{chain::Block, crypto::Crypto, ids::Address, time::Time};

use super::{L2, Profile, TxId, inbox, inbox::Queued};
use crate::backend::{Machine, Metered, Sender};

/// Gas that L1 takes for a byte of data.
const DATA_GAS: u128 = 16;
/// Bytes that a transaction has beside its calldata: signature, fees, addresses.
const ENVELOPE: u64 = 110;
/// What a replacement bids in percent of what it replaces, at least.
const REPLACES_PERCENT: u128 = 110;

/// Where a transaction stands in its account, and what it may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Its place.
    pub nonce: u64,
    /// The most gas that it may use.
    pub gas_limit: u64,
    /// The most that it pays per unit of gas, in wei. The sequencer takes the base fee, and no tip.
    pub max_fee: u128,
}

/// Why a node refuses a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The account has used its nonce.
    NonceUsed {
        /// The next one.
        next: u64,
    },
    /// Another one with its nonce bids as much.
    Underpriced {
        /// What it would have to bid at least, in wei per unit of gas.
        least: u128,
    },
    /// Its gas limit does not cover even its data.
    TooLittleGas {
        /// What would.
        least: u64,
    },
    /// The account can't pay it.
    Unaffordable {
        /// What is missing, in wei.
        missing: u128,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NonceUsed { next } => write!(f, "nonce too low: the next one is {next}"),
            Self::Underpriced { least } => {
                write!(f, "replacement transaction underpriced: bid {least} wei per gas at least")
            }
            Self::TooLittleGas { least } => {
                write!(f, "intrinsic gas too low: a limit of {least} covers its data")
            }
            Self::Unaffordable { missing } => write!(f, "insufficient funds: {missing} wei are missing"),
        }
    }
}

impl std::error::Error for Refusal {}

/// A time in which gas is dear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Spike {
    /// From when.
    pub from: Time,
    /// To when.
    pub until: Time,
    /// By how much the base fee is multiplied.
    pub times: u64,
}

/// The base fee of every time, in wei per unit of gas: the profile's, times the highest spike there is.
pub(super) fn base_fee(profile: &Profile, spikes: &[Spike], now: Time) -> u128 {
    let is_on = |spike: &&Spike| spike.from <= now && now < spike.until;
    let times = spikes.iter().filter(is_on).map(|spike| spike.times).max().unwrap_or(1);
    u128::from(profile.base_fee) * u128::from(times.max(1))
}

/// What the L2 takes for a transaction's data on L1, in its own gas: cheaper in units where its own gas is dear.
pub(super) fn data_gas(profile: &Profile, bytes: u64, base_fee: u128) -> u64 {
    let wei = u128::from(bytes + ENVELOPE) * DATA_GAS * u128::from(profile.l1_fee);
    u64::try_from(wei.div_ceil(base_fee.max(1))).unwrap_or(u64::MAX)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Account {
    nonce: u64,
    /// In wei.
    ether: u128,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Accounts<M: Machine> {
    accounts: BTreeMap<Address, Account>,
    terms: BTreeMap<TxId, Terms>,
    /// Before each block that may be undone.
    history: VecDeque<(u64, BTreeMap<Address, Account>)>,
    /// Transactions that can come into no block any more.
    dropped: Vec<TxId>,
    meter: Meter<M>,
}

struct Meter<M: Machine> {
    data_bytes: fn(&M::Tx) -> u64,
    gas: fn(&M, Block, &M::Tx, &dyn Crypto) -> u64,
    run_out: fn(&mut M, Block, &M::Tx, u64) -> M::Receipt,
}

impl<M: Machine> Clone for Meter<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M: Machine> Copy for Meter<M> {}

impl<M: Machine> fmt::Debug for Meter<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meter")
    }
}

/// What came of a transaction that pays for its gas.
pub(super) struct Paid<R> {
    pub(super) receipt: R,
    pub(super) is_out_of_gas: bool,
}

impl<M: Machine> Accounts<M> {
    pub(super) fn new() -> Self
    where
        M: Metered,
    {
        let meter = Meter { data_bytes: M::data_bytes, gas: M::gas, run_out: M::run_out };
        let (accounts, terms) = (BTreeMap::new(), BTreeMap::new());
        Self { accounts, terms, history: VecDeque::new(), dropped: Vec::new(), meter }
    }

    fn of(&self, account: Address) -> Account {
        self.accounts.get(&account).copied().unwrap_or_default()
    }

    pub(super) fn nonce(&self, account: Address) -> u64 {
        self.of(account).nonce
    }

    pub(super) fn ether(&self, account: Address) -> u128 {
        self.of(account).ether
    }

    pub(super) fn set_ether(&mut self, account: Address, wei: u128) {
        self.accounts.entry(account).or_default().ether = wei;
    }

    pub(super) fn terms(&self, id: TxId) -> Option<Terms> {
        self.terms.get(&id).copied()
    }

    pub(super) fn note(&mut self, id: TxId, terms: Terms) {
        self.terms.insert(id, terms);
    }

    pub(super) fn data_gas(&self, profile: &Profile, tx: &M::Tx, base_fee: u128) -> u64 {
        data_gas(profile, (self.meter.data_bytes)(tx), base_fee)
    }

    /// What a transaction takes in a block.
    pub(super) fn gas(
        &self,
        machine: &M,
        (block, tx): (Block, &M::Tx),
        crypto: &dyn Crypto,
        (profile, base_fee): (&Profile, u128),
    ) -> u64 {
        let gas = (self.meter.gas)(machine, block, tx, crypto);
        gas.saturating_add(self.data_gas(profile, tx, base_fee))
    }

    /// Whether a node takes this beside what it has under the same nonce.
    pub(super) fn check(
        &self,
        (tx, terms): (&M::Tx, Terms),
        lies: Option<TxId>,
        (profile, base_fee): (&Profile, u128),
    ) -> Result<(), Refusal> {
        let account = self.of(tx.sender());
        if terms.nonce < account.nonce {
            return Err(Refusal::NonceUsed { next: account.nonce });
        }
        if let Some(lies) = lies.and_then(|id| self.terms(id)) {
            let least = lies.max_fee.saturating_mul(REPLACES_PERCENT).div_ceil(100);
            if terms.max_fee < least {
                return Err(Refusal::Underpriced { least });
            }
        }
        let least = self.data_gas(profile, tx, base_fee);
        if terms.gas_limit < least {
            return Err(Refusal::TooLittleGas { least });
        }
        let needs = terms.max_fee.saturating_mul(terms.gas_limit.into());
        if needs > account.ether {
            return Err(Refusal::Unaffordable { missing: needs - account.ether });
        }
        Ok(())
    }

    /// Whether a transaction that waits is its account's next one, and pays what the block asks.
    pub(super) fn is_next(&self, id: TxId, sender: Address, base_fee: u128) -> bool {
        let Some(terms) = self.terms(id) else { return true };
        let account = self.of(sender);
        let needs = terms.max_fee.saturating_mul(terms.gas_limit.into());
        terms.nonce == account.nonce && terms.max_fee >= base_fee && needs <= account.ether
    }

    /// A block takes it: its nonce is used, and what it may cost is put aside.
    pub(super) fn pick(&mut self, id: TxId, sender: Address) {
        let Some(terms) = self.terms(id) else { return };
        let account = self.accounts.entry(sender).or_default();
        account.nonce = terms.nonce + 1;
        account.ether -= terms.max_fee * u128::from(terms.gas_limit);
    }

    /// Executes what was picked, and gives back what it did not use.
    pub(super) fn execute(
        &mut self,
        machine: &mut M,
        (id, tx): (TxId, &M::Tx),
        block: Block,
        crypto: &dyn Crypto,
        (profile, base_fee): (&Profile, u128),
    ) -> Paid<M::Receipt> {
        let Some(terms) = self.terms(id) else {
            return Paid { receipt: machine.execute(block, tx, crypto), is_out_of_gas: false };
        };
        let gas = self.gas(machine, (block, tx), crypto, (profile, base_fee));
        let is_out_of_gas = gas > terms.gas_limit;
        let receipt = if is_out_of_gas {
            (self.meter.run_out)(machine, block, tx, terms.gas_limit)
        } else {
            machine.execute(block, tx, crypto)
        };
        let put_aside = terms.max_fee * u128::from(terms.gas_limit);
        let cost = u128::from(gas.min(terms.gas_limit)) * base_fee;
        self.accounts.entry(tx.sender()).or_default().ether += put_aside - cost;
        Paid { receipt, is_out_of_gas }
    }

    /// A block is about to be made; what is safe is not undone any more.
    pub(super) fn begin(&mut self, number: u64, safe: u64) {
        while self.history.front().is_some_and(|(before, _)| *before <= safe) {
            self.history.pop_front();
        }
        self.history.push_back((number, self.accounts.clone()));
    }

    /// Blocks from this one on are undone.
    pub(super) fn undo(&mut self, from: u64) {
        let at = self.history.partition_point(|(number, _)| *number < from);
        if let Some((_, before)) = self.history.split_off(at).pop_front() {
            self.accounts = before;
        }
    }

    /// It can come into no block any more.
    pub(super) fn drop_tx(&mut self, id: TxId) {
        self.terms.remove(&id);
        self.dropped.push(id);
    }

    pub(super) fn take_dropped(&mut self) -> Vec<TxId> {
        std::mem::take(&mut self.dropped)
    }
}

impl<M: Machine> L2<M> {
    /// From now on transactions have nonces and pay for their gas.
    pub fn keep_accounts(&mut self)
    where
        M: Metered,
    {
        self.accounts = Some(Accounts::new());
    }

    /// When gas is dear.
    pub fn set_spikes(&mut self, spikes: Vec<Spike>) {
        self.spikes = spikes;
    }

    /// What a unit of gas costs, in wei.
    pub fn base_fee(&self, now: Time) -> u128 {
        base_fee(&self.profile, &self.spikes, now)
    }

    /// The nonce of an account's next transaction in a block.
    pub fn nonce(&self, account: Address) -> u64 {
        self.accounts.as_ref().map_or(0, |accounts| accounts.nonce(account))
    }

    /// What an account has to pay for gas, in wei.
    pub fn ether(&self, account: Address) -> u128 {
        self.accounts.as_ref().map_or(u128::MAX, |accounts| accounts.ether(account))
    }

    /// An account has this to pay for gas from now on, in wei.
    pub fn set_ether(&mut self, account: Address, wei: u128) {
        if let Some(accounts) = &mut self.accounts {
            accounts.set_ether(account, wei);
        }
    }

    /// The gas limit that would do for a transaction at this time: its execution and its data.
    pub fn estimate(&self, now: Time, tx: &M::Tx, crypto: &dyn Crypto) -> u64 {
        let Some(accounts) = &self.accounts else { return 0 };
        let fee = self.base_fee(now);
        accounts.gas(&self.machine, (self.head(now), tx), crypto, (&self.profile, fee))
    }

    /// Hands a transaction to the sequencer under terms. It waits for those of its account before it, and takes the place of the one
    /// that has its nonce already.
    ///
    /// # Errors
    /// It is refused, and nobody has it.
    ///
    /// # Panics
    /// The chain keeps no accounts.
    pub fn send(&mut self, now: Time, tx: M::Tx, terms: Terms) -> Result<TxId, Refusal> {
        let accounts = self.accounts.as_ref().expect("terms are for a chain that keeps accounts");
        let is_it = |(id, (_, other)): &(&TxId, &(Time, M::Tx))| {
            other.sender() == tx.sender()
                && accounts.terms(**id).is_some_and(|lies| lies.nonce == terms.nonce)
        };
        let lies = self.pending.iter().find(is_it).map(|(id, _)| *id);
        accounts.check((&tx, terms), lies, (&self.profile, self.base_fee(now)))?;
        let id = self.fresh_id();
        if let Some(lies) = lies {
            self.pending.remove(&lies);
            self.give_up(lies);
        }
        self.pending.insert(id, (now, tx));
        self.accounts.as_mut().expect("it was there").note(id, terms);
        Ok(id)
    }

    /// Puts a transaction that is signed for the L2 into the L1's delayed inbox: it counts if its nonce is its account's next one when
    /// its turn has come, and does nothing otherwise.
    ///
    /// # Panics
    /// The chain keeps no accounts.
    pub fn submit_inbox_signed(&mut self, now: Time, tx: M::Tx, terms: Terms) -> Queued {
        let queued = self.submit_inbox(now, tx);
        self.accounts.as_mut().expect("terms are for a chain that keeps accounts").note(queued.id, terms);
        Queued { forcible: inbox::forcible(queued.at, self.profile.forced_inclusion), ..queued }
    }

    /// The transactions that can come into no block any more, since this was asked last: replaced, or their nonce is used.
    pub fn take_dropped(&mut self) -> Vec<TxId> {
        self.accounts.as_mut().map_or_else(Vec::new, Accounts::take_dropped)
    }

    /// A block is about to be made.
    pub(super) fn begin_accounts(&mut self, now: Time) {
        let (number, safe) = (self.clock.clone().produce(now).number, self.safe(now).number);
        let is_soft = self.soft.is_some();
        if let Some(accounts) = self.accounts.as_mut().filter(|_| is_soft) {
            accounts.begin(number, safe);
        }
    }

    /// Whether a transaction comes into the block: its nonce is used from here on. One that can't is over.
    pub(super) fn admit(&mut self, now: Time, id: TxId, tx: &M::Tx) -> bool {
        let fee = self.base_fee(now);
        let Some(accounts) = &mut self.accounts else { return true };
        let is_next = accounts.is_next(id, tx.sender(), fee);
        if is_next {
            accounts.pick(id, tx.sender());
        } else {
            self.give_up(id);
        }
        is_next
    }

    /// What an account has waiting under its next nonce, if a block takes it now. What has a nonce that is used is over.
    pub(super) fn next_of(&mut self, now: Time, sender: Address, ready: &[TxId]) -> Option<TxId> {
        let accounts = self.accounts.as_ref()?;
        let nonce = accounts.nonce(sender);
        let is_over = |(id, (_, tx)): &(&TxId, &(Time, M::Tx))| {
            tx.sender() == sender && accounts.terms(**id).is_some_and(|terms| terms.nonce < nonce)
        };
        let over: Vec<TxId> = self.pending.iter().filter(is_over).map(|(id, _)| *id).collect();
        let is_ready = |(id, arrived): &(TxId, Time)| {
            self.pending[id].1.sender() == sender
                && self.clock.collected(*arrived) <= now
                && !ready.contains(id)
        };
        let next = self.takeable(now).find(is_ready).map(|(id, _)| id);
        for id in over.into_iter().filter(|id| !ready.contains(id)) {
            self.pending.remove(&id);
            self.give_up(id);
        }
        next
    }

    fn give_up(&mut self, id: TxId) {
        if let Some(accounts) = &mut self.accounts {
            accounts.drop_tx(id);
        }
    }

    /// Executes what was admitted.
    pub(super) fn execute(
        &mut self,
        (now, block): (Time, Block),
        id: TxId,
        tx: &M::Tx,
        crypto: &dyn Crypto,
    ) -> (M::Receipt, bool) {
        let fee = self.base_fee(now);
        let Some(accounts) = &mut self.accounts else {
            return (self.machine.execute(block, tx, crypto), false);
        };
        let paid = accounts.execute(&mut self.machine, (id, tx), block, crypto, (&self.profile, fee));
        (paid.receipt, paid.is_out_of_gas)
    }
}
