//! The chain that the devnet serves: the L2 model around the bytecode, and what was said to it so far.

use std::collections::BTreeMap;

use alloy_consensus::{
    SignableTransaction as _, Transaction as _, TxEnvelope, TxLegacy, transaction::Recovered,
};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{Address, B256, Bytes, Signature, TxKind, U256, keccak256};
use decdn_contracts::{
    Curves, EthKey, Evm, Genesis, L2, Policy, Profile, Setup, bindings,
    evm::{Called, RawEvm, RawReceipt, RawTx},
    l2::{CantForce, Queued, TxId},
};
use decdn_engine::{
    chain::{Block, Revert},
    crypto::{self, Deployment},
    time::{Span, Time},
};

use super::{Clock, Traffic};
use crate::chain::account::{self, Terms};

/// The largest raw transaction.
const TX_BYTES_MAX: usize = 128 << 10;
/// Gas of a block, and the most that one transaction may ask for.
pub(super) const BLOCK_GAS: u64 = 32_000_000;
/// Transactions that may wait.
const WAITING_MAX: usize = 4_096;
/// What a unit of gas is said to cost, in wei, until somebody changes it. Nobody is charged.
const BASE_FEE: u64 = 10_000_000;

pub(super) struct Chain {
    l2: L2<RawEvm>,
    clock: Clock,
    warped: Span,
    /// Up to when blocks were produced.
    produced: Time,
    curves: Curves,
    deployment: Deployment,
    /// Whose transactions list nodes and mint, where that is asked for.
    owner: Option<EthKey>,
    /// The base fee from a block on.
    base_fees: BTreeMap<u64, u64>,
    /// Everything that was ever sent, by hash.
    sent: BTreeMap<B256, Sent>,
    hashes: BTreeMap<TxId, B256>,
    /// The transactions of each block that has any.
    blocks: BTreeMap<u64, Vec<B256>>,
    /// What was asked over HTTP.
    pub(super) traffic: Traffic,
}

/// A transaction that somebody sent.
pub(super) struct Sent {
    pub(super) tx: Recovered<TxEnvelope>,
    pub(super) mined: Option<Mined>,
    is_delayed: bool,
    id: TxId,
}

/// Where it ended up.
pub(super) struct Mined {
    pub(super) block: Block,
    pub(super) index: u64,
    /// The place of its first log in the block.
    pub(super) first_log: u64,
    pub(super) receipt: RawReceipt,
}

/// Why a transaction is not taken.
pub(super) enum Refused {
    TooLarge,
    Undecodable,
    UnsupportedType,
    WrongChain,
    BadSignature,
    Known,
    GasLimit,
    NonceTooLow,
    NonceTooHigh,
    Full,
    Down,
    Underpriced,
    CheapReplacement,
}

impl Chain {
    pub(super) fn new(genesis: &Genesis, owner: Option<EthKey>, profile: Profile, clock: Clock) -> Self {
        Self {
            l2: L2::new(RawEvm::new(Evm::new(genesis)), profile),
            clock,
            warped: Span(0),
            produced: Time(0),
            curves: Curves::new(),
            owner,
            base_fees: BTreeMap::from([(0, BASE_FEE)]),
            deployment: genesis.deployment(),
            sent: BTreeMap::new(),
            hashes: BTreeMap::new(),
            blocks: BTreeMap::new(),
            traffic: Traffic::default(),
        }
    }

    /// The chain's time, with every block produced that was due before it.
    pub(super) fn now(&mut self) -> Time {
        let now = ((self.clock)() + self.warped).max(self.produced);
        self.produce_until(now);
        self.produced = now;
        now
    }

    fn produce_until(&mut self, now: Time) {
        while let Some(due) = self.l2.next_block_at(self.produced).filter(|due| *due <= now) {
            self.produced = due;
            for included in self.l2.produce(due, &self.curves, |_| 0) {
                let Some(hash) = self.hashes.remove(&included.id) else { continue };
                if !included.receipt.is_valid {
                    self.sent.remove(&hash);
                    continue;
                }
                let hashes = self.blocks.entry(included.block.number).or_default();
                let index = hashes.len() as u64;
                let earlier = hashes.iter().filter_map(|hash| self.sent.get(hash)?.mined.as_ref());
                let first_log = earlier.map(|mined| mined.receipt.logs.len() as u64).sum();
                hashes.push(hash);
                if let Some(sent) = self.sent.get_mut(&hash) {
                    let (block, receipt) = (included.block, included.receipt);
                    sent.mined = Some(Mined { block, index, first_log, receipt });
                }
            }
        }
    }

    pub(super) fn chain_id(&self) -> u64 {
        self.deployment.chain_id
    }

    pub(super) fn deployment(&self) -> Deployment {
        self.deployment
    }

    /// The base fee of a block, or of the next one.
    pub(super) fn base_fee(&self, number: u64) -> u64 {
        self.base_fees.range(..=number).next_back().map_or(BASE_FEE, |(_, fee)| *fee)
    }

    /// Changes the base fee from the next block on. Transactions that offer less are not taken.
    pub(super) fn set_base_fee(&mut self, wei: u64) {
        let next = self.head().number + 1;
        self.base_fees.insert(next, wei);
    }

    pub(super) fn l2(&self) -> &L2<RawEvm> {
        &self.l2
    }

    pub(super) fn contracts(&mut self) -> &Evm {
        self.now();
        self.l2.machine().evm()
    }

    pub(super) fn head(&mut self) -> Block {
        let now = self.now();
        self.l2.head(now)
    }

    pub(super) fn safe(&mut self) -> Block {
        let now = self.now();
        self.l2.safe(now)
    }

    pub(super) fn warp(&mut self, span: Span) {
        self.now();
        self.warped = Span(self.warped.0.saturating_add(span.0));
        self.now();
    }

    /// How far warps have moved the chain's time ahead of its clock's.
    pub(super) fn warped(&self) -> Span {
        self.warped
    }

    /// Warps to the next block that holds something, if one is due at all.
    pub(super) fn mine(&mut self) -> Block {
        let now = self.now();
        let due = self.l2.next_block_at(now).unwrap_or(now + self.l2.profile().slot);
        self.warp(due.since(now));
        self.head()
    }

    pub(super) fn set_policy(&mut self, policy: Policy) {
        let now = self.now();
        self.l2.set_policy(now, policy);
    }

    /// Executes a setting by itself, between blocks.
    pub(super) fn setup(&mut self, owner: Address, setup: &Setup) -> Result<(), Revert> {
        let now = self.now();
        let (to, data) = setup.calldata(owner, &self.deployment);
        let (hash, gas_limit) = (B256::ZERO, BLOCK_GAS);
        let tx = RawTx { hash, from: owner, to: Some(to), data, value: U256::ZERO, nonce: None, gas_limit };
        let block = self.l2.head(now);
        let receipt = decdn_contracts::Machine::execute(self.l2.machine_mut(), block, &tx, &self.curves);
        if receipt.success { Ok(()) } else { Err(bindings::revert(&self.deployment, to, &receipt.output)) }
    }

    /// Makes a setting as a transaction of the contracts' owner, so that its events are there to read.
    /// `None` where the owner's key is not at hand.
    pub(super) fn send_setup(&mut self, setup: &Setup) -> Option<Result<B256, Refused>> {
        let owner = self.owner.clone()?;
        let next = self.head().number + 1;
        let (to, data) = setup.calldata(owner.address(), &self.deployment);
        let terms = Terms {
            chain_id: self.deployment.chain_id,
            nonce: self.next_nonce(owner.address()),
            gas_limit: 1_000_000,
            max_fee_per_gas: self.base_fee(next).into(),
            max_priority_fee_per_gas: 0,
            value: U256::ZERO,
        };
        let (_, raw) = account::signed(&owner, terms, to, data);
        Some(self.send(&raw))
    }

    /// Takes a signed transaction for the sequencer.
    pub(super) fn send(&mut self, raw: &[u8]) -> Result<B256, Refused> {
        let now = self.now();
        if self.l2.policy() == &Policy::Down {
            return Err(Refused::Down);
        }
        let (tx, raw_tx) = self.checked(raw)?;
        if tx.max_fee_per_gas() < u128::from(self.base_fee(u64::MAX)) {
            return Err(Refused::Underpriced);
        }
        if let Some((id, replaced)) = self.waiting(tx.signer(), tx.nonce()) {
            let least = self.sent[&replaced].tx.max_fee_per_gas().saturating_mul(110).div_ceil(100);
            if tx.max_fee_per_gas() < least {
                return Err(Refused::CheapReplacement);
            }
            let hash = raw_tx.hash;
            if !self.l2.replace(now, id, raw_tx) {
                return Err(Refused::NonceTooLow);
            }
            self.sent.remove(&replaced);
            self.keep(hash, id, tx, false);
            return Ok(hash);
        }
        match tx.nonce().cmp(&self.next_nonce(tx.signer())) {
            std::cmp::Ordering::Less => return Err(Refused::NonceTooLow),
            std::cmp::Ordering::Greater => return Err(Refused::NonceTooHigh),
            std::cmp::Ordering::Equal => {}
        }
        let hash = raw_tx.hash;
        let id = self.l2.submit(now, raw_tx);
        self.keep(hash, id, tx, false);
        Ok(hash)
    }

    /// Takes a signed transaction into the L1's delayed inbox. Its nonce is looked at when it is included.
    pub(super) fn send_inbox(&mut self, raw: &[u8]) -> Result<(B256, Queued), Refused> {
        let now = self.now();
        let (tx, raw_tx) = self.checked(raw)?;
        let hash = raw_tx.hash;
        let queued = self.l2.submit_inbox(now, raw_tx);
        self.keep(hash, queued.id, tx, true);
        Ok((hash, queued))
    }

    /// Executes in the next block what message `number` of an L1 asks for, whatever the sequencer wants. Nobody signed it, and it binds
    /// no nonce. Each is taken once.
    pub(super) fn send_from_l1(
        &mut self,
        number: u64,
        from: Address,
        to: Address,
        data: Bytes,
        gas_limit: u64,
    ) -> Result<B256, Refused> {
        let now = self.now();
        if data.len() > TX_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        let tx = TxLegacy {
            chain_id: Some(self.deployment.chain_id),
            nonce: number,
            gas_price: 0,
            gas_limit: gas_limit.min(BLOCK_GAS),
            to: TxKind::Call(to),
            value: U256::ZERO,
            input: data.clone(),
        };
        // It has to have a signature here, and is whose the L1 says it is.
        let tx = TxEnvelope::from(tx.into_signed(Signature::new(U256::ONE, U256::ONE, false)));
        let hash = *tx.tx_hash();
        if self.sent.contains_key(&hash) {
            return Err(Refused::Known);
        }
        let (to, value, gas_limit) = (Some(to), U256::ZERO, tx.gas_limit());
        let raw = RawTx { hash, from, to, data, value, nonce: None, gas_limit };
        let id = self.l2.submit_forced(now, raw);
        self.keep(hash, id, Recovered::new_unchecked(tx, from), true);
        Ok(hash)
    }

    /// What the delayed inbox has from an account with this call, and no block has yet: its hash, its nonce, and since when.
    pub(super) fn find_inbox(&self, from: Address, to: Address, input: &[u8]) -> Option<(B256, u64, Queued)> {
        let is_it = |sent: &Sent| {
            sent.tx.signer() == from && sent.tx.to() == Some(to) && sent.tx.input()[..] == *input
        };
        let queued = self.l2.find_queued(|raw| self.sent.get(&raw.hash).is_some_and(is_it))?;
        let hash = *self.hashes.get(&queued.id)?;
        Some((hash, self.sent.get(&hash)?.tx.nonce(), queued))
    }

    pub(super) fn force_include(&mut self, hash: B256) -> Result<(), CantForce> {
        let now = self.now();
        let id = self.sent.get(&hash).map(|sent| sent.id).ok_or(CantForce::NotQueued)?;
        self.l2.force_include(now, id)
    }

    fn keep(&mut self, hash: B256, id: TxId, tx: Recovered<TxEnvelope>, is_delayed: bool) {
        self.hashes.insert(id, hash);
        self.sent.insert(hash, Sent { tx, mined: None, is_delayed, id });
    }

    fn checked(&self, raw: &[u8]) -> Result<(Recovered<TxEnvelope>, RawTx), Refused> {
        if raw.len() > TX_BYTES_MAX {
            return Err(Refused::TooLarge);
        }
        let tx = TxEnvelope::decode_2718_exact(raw).map_err(|_| Refused::Undecodable)?;
        if !matches!(tx, TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_) | TxEnvelope::Eip1559(_)) {
            return Err(Refused::UnsupportedType);
        }
        if tx.chain_id() != Some(self.deployment.chain_id) {
            return Err(Refused::WrongChain);
        }
        let signature = crypto::Signature(tx.signature().as_bytes());
        let digest = tx.signature_hash().0;
        let from = self.curves.recover_digest(digest, &signature).ok_or(Refused::BadSignature)?;
        let hash = *tx.tx_hash();
        if self.sent.contains_key(&hash) {
            return Err(Refused::Known);
        }
        if tx.gas_limit() > BLOCK_GAS {
            return Err(Refused::GasLimit);
        }
        if self.hashes.len() >= WAITING_MAX {
            return Err(Refused::Full);
        }
        let raw_tx = RawTx {
            hash,
            from,
            to: tx.to(),
            data: tx.input().clone(),
            value: tx.value(),
            nonce: Some(tx.nonce()),
            gas_limit: tx.gas_limit(),
        };
        Ok((Recovered::new_unchecked(tx, from), raw_tx))
    }

    /// What waits for the sequencer under this nonce of an account.
    fn waiting(&self, account: Address, nonce: u64) -> Option<(TxId, B256)> {
        let is_it = |hash: &B256| {
            let sent = self.sent.get(hash)?;
            (!sent.is_delayed && sent.tx.signer() == account && sent.tx.nonce() == nonce).then_some(())
        };
        self.hashes.iter().find(|(_, hash)| is_it(hash).is_some()).map(|(id, hash)| (*id, *hash))
    }

    /// The nonce that the sequencer expects next from an account.
    pub(super) fn next_nonce(&self, account: Address) -> u64 {
        let waiting = self.hashes.values().filter_map(|hash| self.sent.get(hash));
        let waiting = waiting.filter(|sent| !sent.is_delayed && sent.tx.signer() == account).count();
        self.l2.machine().nonce_of(account) + waiting as u64
    }

    pub(super) fn sent(&mut self, hash: B256) -> Option<&Sent> {
        self.now();
        self.sent.get(&hash)
    }

    /// As [`sent`](Self::sent), as far as blocks were produced.
    pub(super) fn sent_before(&self, hash: B256) -> Option<&Sent> {
        self.sent.get(&hash)
    }

    /// The transactions of a block.
    pub(super) fn transactions(&self, number: u64) -> &[B256] {
        self.blocks.get(&number).map_or(&[], Vec::as_slice)
    }

    /// What the blocks of a range hold, oldest first.
    pub(super) fn mined(&self, from: u64, to: u64) -> impl Iterator<Item = (B256, &Mined)> {
        let hashes = self.blocks.range(from..=to.max(from)).flat_map(|(_, hashes)| hashes);
        hashes.filter_map(|hash| Some((*hash, self.sent.get(hash)?.mined.as_ref()?)))
    }

    /// Calls on the state after a block; `None` where that is not kept.
    pub(super) fn call(&self, on: u64, block: Block, tx: &RawTx) -> Option<Called> {
        self.l2.machine().call(on, block, tx)
    }

    pub(super) fn forced_inclusion(&self) -> Span {
        self.l2.profile().forced_inclusion
    }
}

/// A block's hash: no header has it as its own, but every reader sees the same, and it tells the number.
pub(super) fn block_hash(number: u64) -> B256 {
    let mut seed = *b"decdn devnet block ________";
    seed[19..].copy_from_slice(&number.to_be_bytes());
    let mut hash = keccak256(seed);
    hash[24..].copy_from_slice(&number.to_be_bytes());
    hash
}

/// The block with this hash, if that is one.
pub(super) fn block_of(hash: B256) -> Option<u64> {
    let number = u64::from_be_bytes(*hash.last_chunk()?);
    (block_hash(number) == hash).then_some(number)
}

/// A call's environment as a request gives it.
pub(super) fn unsigned(
    from: Address,
    to: Option<Address>,
    data: Bytes,
    value: U256,
    gas: Option<u64>,
) -> RawTx {
    let gas_limit = gas.unwrap_or(BLOCK_GAS).min(BLOCK_GAS);
    RawTx { hash: B256::ZERO, from, to, data, value, nonce: None, gas_limit }
}
