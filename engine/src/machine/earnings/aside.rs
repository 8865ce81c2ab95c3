//! Channels that are put aside: open ones on which nothing was asked for for long and that have earned less than a transaction costs, and
//! closes whose settlement pays nothing (X2). They have no place in the table, and nothing of the chain is read again for them.

use alloc::{collections::BTreeMap, vec::Vec};

use super::Channel;
use crate::{
    ids::ChannelId,
    record::{ChannelStatus, Earning},
    state::{Canonical, Checked, holds},
    time::{ChainTime, Span},
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Aside {
    all: BTreeMap<ChannelId, (Channel, Option<ChainTime>)>,
}

impl Aside {
    /// Puts one aside: at this time of the chain, where it is to be forgotten one day.
    pub(super) fn put(&mut self, channel: Channel, since: Option<ChainTime>) {
        let other = self.all.insert(channel.id, (channel, since));
        assert!(other.is_none(), "a channel is put aside once");
    }

    /// After a start: it was put aside, as the disk says.
    pub fn recover(&mut self, earning: Earning) {
        self.put(Channel::new(earning), None);
    }

    pub(super) fn take(&mut self, id: &ChannelId) -> Option<Channel> {
        self.all.remove(id).map(|(channel, _)| channel)
    }

    /// One that is put aside.
    pub fn get(&self, id: &ChannelId) -> Option<&Channel> {
        self.all.get(id).map(|(channel, _)| channel)
    }

    /// How many are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The chain's clock shows this: which closes were put aside so long ago, so many at once. They are forgotten.
    pub fn take_old(&mut self, now: ChainTime, age: Span, most: usize) -> Vec<ChannelId> {
        let mut old = Vec::new();
        for (id, (channel, since)) in &mut self.all {
            if channel.status == ChannelStatus::Forgone
                && now.since(*since.get_or_insert(now)) >= age
                && old.len() < most
            {
                old.push(*id);
            }
        }
        old.iter().for_each(|id| _ = self.all.remove(id));
        old
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for (id, (channel, _)) in &self.all {
            out.tag(channel.status as u8);
            out.bytes(&id.0);
        }
    }

    /// What is here has a status that says so, and nothing goes on on it.
    pub(super) fn is_quiet(&self) -> Checked {
        for (id, (channel, _)) in &self.all {
            let is_aside = matches!(channel.status, ChannelStatus::Idle | ChannelStatus::Forgone);
            holds!(is_aside && channel.streams.is_empty(), "{id:?}: {:?}", channel.status);
        }
        Ok(())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = &ChannelId> {
        self.all.keys()
    }

    #[cfg(test)]
    pub(super) fn open(&mut self) {
        self.all.values_mut().for_each(|(channel, _)| channel.status = ChannelStatus::Open);
    }
}
