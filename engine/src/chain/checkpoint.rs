//! Where a restart reads the chain on from. The durable cursor may only cover events whose effects are durable.

use alloc::collections::BTreeSet;

use crate::{ids::ChannelId, limits::CURSOR_BLOCKS, record::PersistSeq};

/// What holds the durable cursor back.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Checkpoint {
    /// The durable cursor.
    block: u64,
    /// Write sets with the effects of events, on their way to the disk.
    writing: BTreeSet<PersistSeq>,
    /// Closes under way and settlements that are not safe, by their block: what is known of them is read again after a
    /// restart.
    closing: BTreeSet<(u64, ChannelId)>,
    /// The first block with an event that there was no room for.
    refused: Option<u64>,
}

impl Checkpoint {
    /// After a start from this block.
    pub fn at(block: u64) -> Self {
        Self { block, ..Self::default() }
    }

    /// The durable cursor, or where the start was.
    pub fn block(&self) -> u64 {
        self.block
    }

    /// This write set holds what an event did.
    pub fn writes(&mut self, seq: PersistSeq) {
        self.writing.insert(seq);
    }

    /// A write set is durable.
    pub fn on_persisted(&mut self, seq: PersistSeq) {
        self.writing.remove(&seq);
    }

    /// A channel began to close in this block.
    pub fn closes(&mut self, block: u64, channel: ChannelId) {
        self.closing.insert((block, channel));
    }

    /// A channel that began to close in this block is gone, or closes no more.
    pub fn settled(&mut self, block: u64, channel: ChannelId) {
        self.closing.remove(&(block, channel));
    }

    /// The durable cursor was wrong: it is here from now on.
    pub fn fall_back(&mut self, block: u64) {
        self.block = block;
    }

    /// Write sets with the effects of events that are not durable yet.
    pub fn writing(&self) -> impl Iterator<Item = PersistSeq> {
        self.writing.iter().copied()
    }

    /// How many closes and settlements hold it back.
    pub fn closing(&self) -> usize {
        self.closing.len()
    }

    /// Whether the close of this channel in this block does.
    pub fn is_held_by(&self, block: u64, channel: ChannelId) -> bool {
        self.closing.contains(&(block, channel))
    }

    /// There was no room for an event of this block: after a restart there may be.
    pub fn refuses(&mut self, block: u64) {
        self.refused.get_or_insert(block);
    }

    /// After an update was taken: the cursor to store now, if it is worth a write. It stays behind the safe head, because what is in
    /// front of it may yet be undone (L1), and behind what was read twice (L4).
    pub fn advance(&mut self, confirmed: u64, safe: u64) -> Option<u64> {
        let read = confirmed.min(safe.saturating_add(1));
        let closing = self.closing.first().map_or(u64::MAX, |(block, _)| *block);
        let covered = read.min(closing).min(self.refused.unwrap_or(u64::MAX));
        if !self.writing.is_empty() || covered < self.block.saturating_add(CURSOR_BLOCKS) {
            return None;
        }
        self.block = covered;
        Some(covered)
    }
}
