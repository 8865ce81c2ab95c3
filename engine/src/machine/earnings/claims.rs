//! What claims have paid out, by channel (C12).

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    ids::ChannelId,
    money::Amount,
    record::{Claimed, Key, Record},
    state::Canonical,
};

/// Of one channel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Paid {
    amount: Amount,
    /// The newest claim's block, and what was claimed before: a fork may take it back.
    newest: Option<(u64, Amount)>,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    all: BTreeMap<ChannelId, Paid>,
}

impl Claims {
    /// What was paid out of a channel.
    pub fn of(&self, channel: &ChannelId) -> Amount {
        self.all.get(channel).map_or(Amount::ZERO, |paid| paid.amount)
    }

    /// After a start: what the disk says.
    pub fn recover(&mut self, Claimed { channel, amount }: Claimed) {
        self.all.insert(channel, Paid { amount, newest: None });
    }

    /// A claim in this block has brought it to so much. What is to be stored, if that is news.
    pub fn note(&mut self, channel: ChannelId, block: u64, amount: Amount) -> Option<Record> {
        let before = self.of(&channel);
        if amount <= before {
            return None;
        }
        self.all.insert(channel, Paid { amount, newest: Some((block, before)) });
        Some(Record::Claimed(Claimed { channel, amount }))
    }

    /// Blocks from this one on are others now: what was claimed there was not. What is to be stored.
    pub fn rewind(&mut self, forked_at: u64) -> Vec<Record> {
        let mut changed = Vec::new();
        for (channel, paid) in &mut self.all {
            if let Some((_, before)) = paid.newest.filter(|(block, _)| *block >= forked_at) {
                *paid = Paid { amount: before, newest: None };
                changed.push(Record::Claimed(Claimed { channel: *channel, amount: before }));
            }
        }
        changed
    }

    /// The disk is to forget a channel: what it says of its claims goes with it.
    pub fn erase(&mut self, channel: ChannelId) -> Option<Record> {
        self.all.remove(&channel).map(|_| Record::Gone(Key::Claimed(channel)))
    }

    /// Channels that were claimed on.
    pub fn channels(&self) -> impl Iterator<Item = &ChannelId> {
        self.all.keys()
    }

    /// Its share of the digest.
    pub fn canon(&self, out: &mut Canonical) {
        for (channel, paid) in &self.all {
            out.tag(b'k');
            out.bytes(&channel.0);
            out.large(paid.amount.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNEL: ChannelId = ChannelId([1; 32]);

    fn stored(amount: u128) -> Record {
        Record::Claimed(Claimed { channel: CHANNEL, amount: Amount(amount) })
    }

    #[test]
    fn c12_a_claim_that_a_fork_takes_back_was_none() {
        let mut claims = Claims::default();
        assert_eq!(claims.note(CHANNEL, 5, Amount(10)), Some(stored(10)));
        assert_eq!(claims.note(CHANNEL, 5, Amount(10)), None, "heard twice");
        assert_eq!(claims.note(CHANNEL, 9, Amount(25)), Some(stored(25)));
        assert_eq!(claims.rewind(10), []);
        assert_eq!(claims.rewind(9), [stored(10)]);
        assert_eq!(claims.of(&CHANNEL), Amount(10));
        assert_eq!(claims.note(CHANNEL, 11, Amount(25)), Some(stored(25)));
    }
}
