//! What is kept of channels that are over for now: a settlement or a missing opening that only the soft head knows may be taken
//! back, and the best voucher is worth something again then (V6, L1).

use alloc::{
    collections::{BTreeMap, BTreeSet},
    vec::Vec,
};

use crate::{
    dispute::Watch,
    ids::ChannelId,
    record::Record,
    state::{Checked, holds},
};

/// Why a channel is not among those that are there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It has settled.
    Settled,
    /// Its opening is not on the chain any more.
    Vanished,
}

/// What is kept of a channel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Why.
    pub why: Why,
    /// The block that says so: once the safe head has it nothing is kept any more.
    pub block: u64,
    /// The block that a restart has to read from to learn the same.
    pub held_from: u64,
    /// What the disk has.
    pub record: Record,
    /// What was known of its close.
    pub watch: Option<Watch>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Retained {
    all: BTreeMap<ChannelId, Kept>,
    by_block: BTreeSet<(u64, ChannelId)>,
}

impl Retained {
    /// Keeps a channel.
    pub fn keep(&mut self, channel: ChannelId, kept: Kept) {
        self.by_block.insert((kept.block, channel));
        let before = self.all.insert(channel, kept);
        assert!(before.is_none(), "a channel is over once");
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&ChannelId, &Kept)> {
        self.all.iter()
    }

    /// Whether this one is kept.
    pub fn contains(&self, channel: &ChannelId) -> bool {
        self.all.contains_key(channel)
    }

    /// Whether it is kept because it has settled.
    pub fn has_settled(&self, channel: &ChannelId) -> bool {
        self.all.get(channel).is_some_and(|kept| kept.why == Why::Settled)
    }

    /// How many are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn take(&mut self, channel: ChannelId) -> Option<Kept> {
        let kept = self.all.remove(&channel)?;
        let was_listed = self.by_block.remove(&(kept.block, channel));
        assert!(was_listed, "what is kept is listed by its block");
        Some(kept)
    }

    /// Its opening is on the chain again.
    pub fn take_vanished(&mut self, channel: ChannelId) -> Option<Kept> {
        self.all.get(&channel).filter(|kept| kept.why == Why::Vanished)?;
        self.take(channel)
    }

    /// Blocks from this one on are others now: whose settlement was in them. That an opening is missing is only as safe as the
    /// new head.
    pub fn rewind(&mut self, forked_at: u64, head: u64) -> Vec<(ChannelId, Kept)> {
        let undone = self.by_block.split_off(&(forked_at, ChannelId([0; 32])));
        let mut settled = Vec::new();
        for (_, channel) in undone {
            let kept = self.all.get_mut(&channel).expect("what is listed by block is kept");
            if kept.why == Why::Vanished {
                kept.block = head;
                self.by_block.insert((head, channel));
                continue;
            }
            settled.push((channel, self.all.remove(&channel).expect("looked up above")));
        }
        settled
    }

    /// What nothing brings back any more, so many at once: what the safe head has; and of what is missing only what was missing when the
    /// blocks before `confirmed` were read a second time, for an endpoint may have left it out.
    pub fn take_safe(&mut self, safe: u64, confirmed: u64, most: usize) -> Vec<(ChannelId, Kept)> {
        let is_sure = |block: &u64, channel: &ChannelId| {
            let is_there = self.all.get(channel).is_some_and(|kept| kept.why == Why::Settled);
            is_there || *block < confirmed
        };
        let due: Vec<ChannelId> = self
            .by_block
            .iter()
            .take_while(|(block, _)| *block <= safe)
            .filter(|(block, channel)| is_sure(block, channel))
            .map(|(_, channel)| *channel)
            .take(most)
            .collect();
        let mut take = |channel| self.take(channel).expect("what is listed by block is kept");
        due.into_iter().map(|channel| (channel, take(channel))).collect()
    }

    /// Each is listed by its block, and nothing else is.
    pub(super) fn is_listed(&self) -> Checked {
        for (channel, kept) in &self.all {
            holds!(self.by_block.contains(&(kept.block, *channel)), "{channel:?}, block {}", kept.block);
        }
        let (listed, kept) = (self.by_block.len(), self.all.len());
        holds!(listed == kept, "{listed} are listed, {kept} kept");
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn unlist(&mut self) {
        self.by_block.clear();
    }
}
