//! Which branch the chain is on: what its blocks are called, and what it takes to leave it for another one (L1).

use std::collections::VecDeque;

use alloy_primitives::keccak256;
use decdn_engine::{chain::Block, ids::BlockHash};

use super::TxId;
use crate::backend::Machine;

/// The names of blocks. A block without transactions is only a number, so a name is made when it is asked for: of what all
/// blocks up to it hold, of how often the chain forked, of number and time.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    /// Blocks with transactions, rising, each with what it and all before it hold.
    contents: Vec<(u64, [u8; 32])>,
    /// From which block on which fork holds; rising.
    forks: Vec<(u64, u64)>,
    /// How often it forked.
    count: u64,
}

impl Names {
    pub(super) fn append(&mut self, number: u64, ids: impl Iterator<Item = TxId>) {
        let mut bytes = self.contents.last().map_or([0; 32], |(_, content)| *content).to_vec();
        bytes.extend(number.to_be_bytes());
        ids.for_each(|id| bytes.extend(id.0.to_be_bytes()));
        self.contents.push((number, keccak256(bytes).0));
    }

    /// From this block on others stand there.
    pub(super) fn fork(&mut self, from: u64) {
        self.count += 1;
        self.contents.truncate(self.contents.partition_point(|(number, _)| *number < from));
        self.forks.truncate(self.forks.partition_point(|(first, _)| *first < from));
        self.forks.push((from, self.count));
    }

    pub(super) fn of(&self, Block { number, time }: Block) -> BlockHash {
        let at = self.contents.partition_point(|(with, _)| *with <= number);
        let content = at.checked_sub(1).map_or([0; 32], |at| self.contents[at].1);
        let at = self.forks.partition_point(|(first, _)| *first <= number);
        let fork = at.checked_sub(1).map_or(0, |at| self.forks[at].1);
        // Side by side, not hashed once more: every poll asks for a name, and none needs more than to be no other block's.
        let mut name = [0; 32];
        name[..8].copy_from_slice(&content[..8]);
        name[8..16].copy_from_slice(&fork.to_be_bytes());
        name[16..24].copy_from_slice(&number.to_be_bytes());
        name[24..].copy_from_slice(&time.0.to_be_bytes());
        BlockHash(name)
    }
}

/// Blocks that may be undone, with the contracts as they were before each. Kept only where a chain is to fork.
#[derive(Clone, Debug)]
pub(super) struct Soft<M: Machine> {
    blocks: VecDeque<Undoable<M>>,
    copy: fn(&M) -> M,
    copy_tx: fn(&M::Tx) -> M::Tx,
}

/// Transactions by their names, in their order.
pub(super) type Named<M> = Vec<(TxId, <M as Machine>::Tx)>;

#[derive(Clone, Debug)]
struct Undoable<M: Machine> {
    number: u64,
    before: M,
    txs: Vec<(TxId, M::Tx)>,
}

impl<M: Machine + Clone> Soft<M>
where
    M::Tx: Clone,
{
    pub(super) fn new() -> Self {
        Self { blocks: VecDeque::new(), copy: M::clone, copy_tx: M::Tx::clone }
    }
}

impl<M: Machine> Soft<M> {
    /// A block is about to be executed. What the safe head has is not undone any more.
    pub(super) fn begin(&mut self, number: u64, machine: &M, txs: &[(TxId, M::Tx)], safe: u64) {
        while self.blocks.front().is_some_and(|block| block.number <= safe) {
            self.blocks.pop_front();
        }
        let txs = txs.iter().map(|(id, tx)| (*id, (self.copy_tx)(tx))).collect();
        self.blocks.push_back(Undoable { number, before: (self.copy)(machine), txs });
    }

    /// What was set up beside the blocks can't be undone, and nothing before it.
    pub(super) fn clear(&mut self) {
        self.blocks.clear();
    }

    /// The oldest block that can be undone.
    pub(super) fn first(&self) -> Option<u64> {
        self.blocks.front().map(|block| block.number)
    }

    /// Undoes blocks from this one on: the contracts before them, and their transactions in the order of their blocks.
    pub(super) fn undo(&mut self, from: u64) -> Option<(M, Named<M>)> {
        let at = self.blocks.partition_point(|block| block.number < from);
        let mut undone = self.blocks.split_off(at).into_iter();
        let Undoable { before, mut txs, .. } = undone.next()?;
        undone.for_each(|block| txs.extend(block.txs));
        Some((before, txs))
    }
}
