//! Closes that one of several endpoints alone tells of (L4). For disputing one suffices: they are disputed, and nothing else follows
//! from them. A dispute that the contract will not have ends a rumour, and the next one about the channel is not heard for a while:
//! an endpoint that makes them up costs gas once in so long.

use alloc::{collections::BTreeMap, vec::Vec};

use crate::{
    chain::Block,
    dispute::Watch,
    money::Amount,
    state::Slot,
    time::{ChainTime, Span, Time},
};

/// For so long nothing is heard about a channel whose last rumour was none.
const DEAF: Span = Span::from_hours(2);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Rumours {
    heard: BTreeMap<Slot, Rumour>,
    /// Channels whose last rumour the contract denied, and until when they are not listened to.
    refuted: BTreeMap<Slot, Time>,
}

#[derive(Clone, Debug)]
struct Rumour {
    close: (Block, Amount, ChainTime),
    watch: Watch,
    is_denied: bool,
}

impl Rumours {
    /// Whether there is something to do about it: it is new, or still there. The first about a channel counts until it is over.
    pub(super) fn hear(
        &mut self,
        slot: Slot,
        (close, watch): ((Block, Amount, ChainTime), Watch),
        is_denied: bool,
        now: Time,
    ) -> bool {
        if let Some(rumour) = self.heard.get_mut(&slot) {
            if rumour.close == close {
                rumour.is_denied = is_denied;
            }
            return false;
        }
        if self.refuted.get(&slot).is_some_and(|until| now < *until) {
            return false;
        }
        self.heard.insert(slot, Rumour { close, watch, is_denied });
        true
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Watch> {
        self.heard.get(&slot).map(|rumour| &rumour.watch)
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Watch> {
        self.heard.get_mut(&slot).map(|rumour| &mut rumour.watch)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.heard.keys().copied()
    }

    pub(super) fn is_doubtful(&self, slot: Slot) -> bool {
        self.heard.get(&slot).is_some_and(|rumour| !rumour.is_denied)
    }

    /// The channel is closing: what was done about this very close, if it was rumoured.
    pub(super) fn come_true(&mut self, slot: Slot, close: (Block, Amount, ChainTime)) -> Option<Watch> {
        self.refuted.remove(&slot);
        self.heard.remove(&slot).filter(|rumour| rumour.close == close).map(|rumour| rumour.watch)
    }

    /// The contract has no such close.
    pub(super) fn refute(&mut self, slot: Slot, now: Time) {
        if self.heard.remove(&slot).is_some() {
            self.refuted.insert(slot, now + DEAF);
        }
    }

    /// The channel is over.
    pub(super) fn remove(&mut self, slot: Slot) {
        self.heard.remove(&slot);
        self.refuted.remove(&slot);
    }

    /// Blocks from this one on are others now. Of which channels something was rumoured of them.
    pub(super) fn rewind(&mut self, forked_at: u64) -> Vec<Slot> {
        let is_gone = |rumour: &Rumour| rumour.watch.closed_in >= forked_at;
        let gone: Vec<Slot> =
            self.heard.iter().filter(|(_, rumour)| is_gone(rumour)).map(|(slot, _)| *slot).collect();
        gone.iter().for_each(|slot| _ = self.heard.remove(slot));
        gone
    }
}
