//! Openings that the chain may yet take back, and those that it has taken back (V6, L1).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::ids::ChannelId;

/// The block of an opening that is not on the chain as far as anybody knows: no safe head reaches it.
pub const UNSEEN: u64 = u64::MAX;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Openings {
    /// Not safe yet, by their block.
    soft: BTreeSet<(u64, ChannelId)>,
    /// To be seen again, each by when this block is read: where it used to be.
    unseen: BTreeMap<ChannelId, u64>,
}

impl Openings {
    /// The chain has this opening, in this block. Whether that is where it used to be, if it had taken it back or may have.
    pub fn see(&mut self, block: u64, channel: ChannelId, safe: u64) -> bool {
        if block > safe {
            self.soft.insert((block, channel));
        }
        self.unseen.remove(&channel) == Some(block)
    }

    /// A record speaks of this opening, and the chain is read from before it: it has to be seen again.
    pub fn expect(&mut self, block: u64, channel: ChannelId) {
        self.unseen.insert(channel, block);
    }

    /// Nothing waits for this opening any more.
    pub fn forget(&mut self, channel: ChannelId) {
        self.unseen.remove(&channel);
    }

    /// Blocks from this one on are others now: which openings were in them. Each has to be seen again.
    pub fn rewind(&mut self, forked_at: u64) -> Vec<ChannelId> {
        let undone = self.soft.split_off(&(forked_at, ChannelId([0; 32])));
        self.unseen.extend(undone.iter().map(|(block, channel)| (*channel, *block)));
        undone.into_iter().map(|(_, channel)| channel).collect()
    }

    /// The safe head has moved: nothing takes back what it has.
    pub fn release(&mut self, safe: u64) {
        if self.soft.first().is_some_and(|(block, _)| *block <= safe) {
            self.soft = self.soft.split_off(&(safe.saturating_add(1), ChannelId([0; 32])));
        }
    }

    /// The chain was read up to before `next_block`: which openings are not on it any more, with the blocks where they used
    /// to be.
    pub fn take_vanished(&mut self, next_block: u64) -> Vec<(ChannelId, u64)> {
        self.unseen.extract_if(.., |_, block| *block < next_block).collect()
    }

    /// How many wait to be seen again.
    pub fn unseen(&self) -> usize {
        self.unseen.len()
    }

    /// Those that wait to be seen again.
    pub fn iter_unseen(&self) -> impl Iterator<Item = &ChannelId> {
        self.unseen.keys()
    }

    /// Whether this one waits to be seen again.
    pub fn is_unseen(&self, channel: ChannelId) -> bool {
        self.unseen.contains_key(&channel)
    }

    /// How many are not safe yet.
    pub fn soft(&self) -> usize {
        self.soft.len()
    }
}
