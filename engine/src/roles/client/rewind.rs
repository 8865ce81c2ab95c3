//! Taking back what the chain takes back, and erasing what it can't take back any more (V6, L1, X1).

use alloc::vec::Vec;

use super::{Client, Next};
use crate::{
    chain::UNSEEN,
    dispute::Watch,
    ids::ChannelId,
    io::{Fact, Lane, Notice, Outputs},
    machine::{
        Cx,
        closings::{Kept, Why},
    },
    money::Amount,
    record::{ChannelStatus, Key, Record},
    state::Slot,
    time::Now,
};

impl Client {
    /// After a start: what the records say of blocks that are still to be read has to be read again.
    pub(super) fn expect_facts(&mut self) {
        let next = self.follower.next_block();
        let mut unseen = Vec::new();
        for (slot, channel) in self.wallet.channels.iter() {
            let (id, block) = (channel.paying.channel, channel.paying.opened_at_block);
            if channel.paying.status == ChannelStatus::Closing {
                self.closings.expect(slot);
            }
            if block >= next.max(1) {
                unseen.push(slot);
                self.follower.openings.expect(if block == UNSEEN { 0 } else { block }, id);
            }
        }
        for slot in unseen {
            self.wallet.channels[slot].paying.opened_at_block = UNSEEN;
        }
    }

    /// Closes under way, and channels that are retained: what holds the durable cursor back.
    pub(in crate::roles) fn closings_known(&self) -> usize {
        self.closings.known()
    }

    /// Whether one more channel has room, beside openings under way less so many: those that are over count as well, as long
    /// as they may come back.
    pub(super) fn has_room(&self, reserved: usize) -> bool {
        let limit = self.config.limits.channels;
        let live = self.wallet.channels.len() + self.opener.len() - reserved;
        live < limit && live + self.closings.retained.len() < 2 * limit
    }

    /// Takes a channel up again as it was. The disk may not know yet that it was over.
    fn take_up_again(&mut self, record: Record, out: &mut Outputs) -> Slot {
        let Record::Paying(paying) = record else { unreachable!("a client retains what it pays on") };
        let slot = self.wallet.adopt(paying);
        let seq = self.persist_paying(slot, out);
        self.follower.checkpoint.writes(seq);
        slot
    }

    /// Takes a channel out of the tables; what was known of its close comes back.
    pub(super) fn forget(&mut self, now: Now, slot: Slot, out: &mut Outputs) -> Option<Watch> {
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let gone = self.wallet.remove(slot, cx).expect("only a channel that is there is forgotten");
        assert!(gone.streams.is_empty(), "no stream outlives its channel");
        self.follower.openings.forget(gone.paying.channel);
        let watch = self.closings.remove(slot, cx);
        self.links.forget_channel(gone.paying.node, slot);
        // Whoever waited for a signature on it waits for nothing now.
        self.todo.push_back(Next::Freed(gone.paying.node));
        watch
    }

    /// A channel is about to leave the tables: what it brought goes to the disk with its meter, as long as the two can be
    /// told together (D14).
    pub(super) fn save_progress(&mut self, slot: Slot, out: &mut Outputs) {
        if self.fetcher.fetches.values().any(|fetch| fetch.sources.contains(&slot)) {
            let seq = self.persist_paying(slot, out);
            self.follower.checkpoint.writes(seq);
        }
    }

    /// Takes a channel out of the tables and keeps its record, until the safe head has the block that says so.
    pub(super) fn retain(
        &mut self,
        now: Now,
        slot: Slot,
        why: Why,
        (block, happened_in): (u64, u64),
        out: &mut Outputs,
    ) {
        self.save_progress(slot, out);
        let record = Record::Paying(self.wallet.channels[slot].paying);
        let id = self.wallet.channels[slot].paying.channel;
        let watch = self.forget(now, slot, out);
        if let Some(watch) = &watch {
            self.follower.checkpoint.settled(watch.closed_in, id);
        }
        let held_from = watch.as_ref().map_or(happened_in, |watch| watch.closed_in);
        self.follower.checkpoint.closes(held_from, id);
        self.closings.retained.keep(id, Kept { why, block, held_from, record, watch });
    }

    /// What the safe head has can't be taken back: the records of channels that are over go, so many with each update.
    pub(in crate::roles) fn erase_safe(&mut self, out: &mut Outputs) {
        let safe = self.follower.safe();
        self.follower.openings.release(safe);
        let confirmed = self.follower.confirmed();
        let gone = self.closings.retained.take_safe(safe, confirmed, self.config.limits.chain_events);
        if gone.is_empty() {
            return;
        }
        for (id, kept) in &gone {
            self.follower.checkpoint.settled(kept.held_from, *id);
        }
        let writes = gone.into_iter().flat_map(|(id, _)| self.closings.erase(id, Key::Paying)).collect();
        let seq = self.persist(Lane::Role, writes, out);
        self.follower.checkpoint.writes(seq);
    }

    /// L1: blocks from this one on are others now. What they said is undone; what the new ones say comes with the events.
    pub(super) fn rewind(&mut self, now: Now, forked_at: u64, out: &mut Outputs) {
        self.rewind_closes(now, forked_at, out);
        for id in self.follower.openings.rewind(forked_at) {
            self.unsee(id);
        }
    }

    /// First settlements, closes and disputes.
    pub(in crate::roles) fn rewind_closes(&mut self, now: Now, forked_at: u64, out: &mut Outputs) {
        for (id, kept) in self.closings.retained.rewind(forked_at, self.follower.head()) {
            self.follower.checkpoint.settled(kept.held_from, id);
            out.notice(Notice::TakenBack { channel: id, what: Fact::Settlement });
            let slot = self.take_up_again(kept.record, out);
            match kept.watch {
                Some(watch) => {
                    self.follower.checkpoint.closes(watch.closed_in, id);
                    self.closings.restore(slot, id, watch);
                }
                None => self.closings.expect(slot),
            }
            let paying = &mut self.wallet.channels[slot].paying;
            paying.status = ChannelStatus::Closing;
            if paying.opened_at_block >= forked_at {
                // Not seen on that branch either, or in a block that is gone with the settlement.
                let block = if paying.opened_at_block == UNSEEN { forked_at } else { paying.opened_at_block };
                self.follower.openings.expect(block, id);
                paying.opened_at_block = UNSEEN;
            }
        }
        self.rewind_orders(forked_at, out);
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        for (slot, closed_in) in self.closings.rewind(forked_at, cx) {
            let id = self.wallet.channels[slot].paying.channel;
            self.follower.checkpoint.settled(closed_in, id);
            cx.out.notice(Notice::TakenBack { channel: id, what: Fact::Close });
            self.wallet.channels.touch(slot);
        }
        self.closings.rewound().for_each(|slot| self.wallet.channels.touch(slot));
    }

    /// Then openings: each has to be seen again.
    pub(in crate::roles) fn unsee(&mut self, id: ChannelId) {
        match self.wallet.slot(&id) {
            Some(slot) => self.wallet.channels[slot].paying.opened_at_block = UNSEEN,
            None => self.follower.openings.forget(id),
        }
    }

    /// The chain is read up to its head: what was taken back and has not come again is not there, and what is held of the
    /// others is defended as if it were new (X1).
    pub(super) fn on_caught_up(&mut self, now: Now, out: &mut Outputs) {
        let next = self.follower.next_block();
        for (id, block) in self.follower.openings.take_vanished(next) {
            self.on_vanished(now, id, block, out);
        }
        for slot in self.take_unclosed(next) {
            self.close_again(now, slot, out);
        }
        for slot in self.closings.take_rewound(next) {
            self.defend(now, slot, out);
        }
    }

    /// Channels that are not closing, though a transaction of ours or the chain itself had said so.
    fn take_unclosed(&mut self, next: u64) -> Vec<Slot> {
        let mut unclosed: Vec<Slot> =
            self.closings.take_unclosed().into_iter().map(|(slot, _)| slot).collect();
        let said = self.wallet.channels.iter();
        let said: Vec<Slot> = said
            .filter(|(_, channel)| channel.closed_in.is_some_and(|block| block < next))
            .map(|(slot, _)| slot)
            .collect();
        for slot in said {
            self.wallet.channels[slot].closed_in = None;
            if self.closings.get(slot).is_none() && !unclosed.contains(&slot) {
                unclosed.push(slot);
            }
        }
        unclosed
    }

    /// The channel is not closing, or not yet again. It was to be closed, by whomever.
    fn close_again(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        assert!(self.wallet.channels.get(slot).is_some(), "what was to be closed is there");
        self.wallet.on_close_undone(slot);
        let seq = self.persist_paying(slot, out);
        self.follower.checkpoint.writes(seq);
        // Before the first news are read to their end, nothing is closed: then all that is to be closed is.
        if self.follower.is_read() {
            self.begin_close(now, slot, out);
        }
    }

    /// The opening is not on the chain any more: what was being bought goes on with another channel.
    pub(in crate::roles) fn on_vanished(&mut self, now: Now, id: ChannelId, was_in: u64, out: &mut Outputs) {
        let Some(slot) = self.wallet.slot(&id) else { return };
        out.notice(Notice::TakenBack { channel: id, what: Fact::Opening });
        self.stop(now, slot, out);
        self.wallet.channels[slot].paying.status = ChannelStatus::Final;
        self.retain(now, slot, Why::Vanished, (self.follower.head(), was_in), out);
        self.leave_idle_peers(now, out);
    }

    /// Whether an opening is of a channel that is known: one that was taken back may be there again, maybe elsewhere and with
    /// another deposit.
    pub(super) fn is_known_opening(
        &mut self,
        now: Now,
        id: ChannelId,
        block: u64,
        deposit: Amount,
        out: &mut Outputs,
    ) -> bool {
        let was_unseen = self.follower.openings.is_unseen(id);
        let is_late = match self.wallet.slot(&id) {
            Some(_) if was_unseen => false,
            Some(_) => return true,
            None => match self.closings.retained.take_vanished(id) {
                Some(kept) => {
                    self.follower.checkpoint.settled(kept.held_from, id);
                    let slot = self.take_up_again(kept.record, out);
                    // What closed it on another branch may come on this one, or not.
                    if self.wallet.channels[slot].paying.status == ChannelStatus::Closing {
                        self.closings.expect(slot);
                    }
                    true
                }
                None => return self.closings.retained.contains(&id),
            },
        };
        let is_as_before = self.follower.openings.see(block, id, self.follower.safe());
        let slot = self.wallet.slot(&id).expect("it was there, or is again");
        let paying = &mut self.wallet.channels[slot].paying;
        paying.opened_at_block = block;
        let is_other = core::mem::replace(&mut paying.deposit, deposit) != deposit;
        if (is_late || is_other) && paying.status == ChannelStatus::Open {
            paying.status = ChannelStatus::Final;
        }
        if is_other || !is_as_before {
            let seq = self.persist_paying(slot, out);
            self.follower.checkpoint.writes(seq);
        }
        // What was being bought goes on elsewhere, or was to have another deposit.
        if (is_late || is_other) && self.follower.is_read() {
            self.begin_close(now, slot, out);
        }
        true
    }
}
