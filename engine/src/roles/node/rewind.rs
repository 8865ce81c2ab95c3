//! Taking back what the chain takes back, and erasing what it can't take back any more (V6, L1, X1).

use alloc::vec::Vec;

use super::Node;
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
    order::Order,
    record::{ChannelStatus, Record},
    state::Slot,
    time::Now,
};

impl Node {
    /// After a start: what the records say of blocks that are still to be read has to be read again.
    pub(super) fn expect_facts(&mut self) {
        let next = self.buyer.follower.next_block();
        for (slot, channel) in self.earnings.channels.iter() {
            if channel.status == ChannelStatus::Closing {
                self.closings.expect(slot);
            }
            if channel.opened_at_block >= next.max(1) {
                let block = Some(channel.opened_at_block).filter(|block| *block != UNSEEN);
                self.buyer.follower.openings.expect(block.unwrap_or_default(), channel.id);
            }
        }
        let unseen: Vec<Slot> = {
            // What the buyer waits for is not among these channels.
            let ids = self.buyer.follower.openings.iter_unseen();
            ids.filter_map(|id| self.earnings.slot(id)).collect()
        };
        unseen.into_iter().for_each(|slot| self.earnings.unsee(slot));
    }

    /// Whether one more channel has room: those that are over count as well, as long as they may come back.
    pub(super) fn has_room(&self) -> bool {
        let (limit, live) = (self.config.limits.channels, self.earnings.channels.len());
        live < limit && live + self.closings.retained.len() < 2 * limit
    }

    /// Takes a channel up again from its record.
    pub(super) fn take_up(&mut self, record: Record) -> Slot {
        let Record::Earning(earning) = record else { unreachable!("a node retains what it earns") };
        self.earnings.adopt(earning)
    }

    /// Takes a channel out of the tables; what was known of its close comes back.
    pub(super) fn forget(&mut self, now: Now, slot: Slot, out: &mut Outputs) -> Option<Watch> {
        let gone = self.earnings.remove(slot);
        assert!(gone.streams.is_empty(), "no stream outlives its channel");
        if gone.opened_at_block == UNSEEN {
            self.buyer.follower.openings.forget(gone.id);
        }
        self.closings.remove(slot, &mut Cx { now, tools: &mut self.buyer.tools, out })
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
        let (id, record) = (self.earnings.channels[slot].id, self.earnings.channels[slot].record());
        let watch = self.forget(now, slot, out);
        self.buyer.orders.let_go(id);
        if let Some(watch) = &watch {
            self.buyer.follower.checkpoint.settled(watch.closed_in, id);
        }
        let held_from = watch.as_ref().map_or(happened_in, |watch| watch.closed_in);
        self.buyer.follower.checkpoint.closes(held_from, id);
        self.closings.retained.keep(id, Kept { why, block, held_from, record, watch });
    }

    /// What the safe head has can't be taken back: the records of channels that are over go, so many with each update.
    pub(super) fn erase_safe(&mut self, out: &mut Outputs) {
        self.buyer.erase_safe(out);
        let safe = self.buyer.follower.safe();
        let confirmed = self.buyer.follower.confirmed();
        let gone = self.closings.retained.take_safe(safe, confirmed, self.config.limits.chain_events);
        if gone.is_empty() {
            return;
        }
        for (id, kept) in &gone {
            self.buyer.follower.checkpoint.settled(kept.held_from, *id);
        }
        let writes = gone.into_iter().flat_map(|(id, _)| self.erase(id)).collect();
        let seq = self.buyer.tools.persist(Lane::Role, writes, out);
        self.buyer.follower.checkpoint.writes(seq);
    }

    /// L1: blocks from this one on are others now. What they said is undone; what the new ones say comes with the events.
    pub(super) fn rewind(&mut self, now: Now, forked_at: u64, out: &mut Outputs) {
        for (id, kept) in self.closings.retained.rewind(forked_at, self.buyer.follower.head()) {
            self.buyer.follower.checkpoint.settled(kept.held_from, id);
            out.notice(Notice::TakenBack { channel: id, what: Fact::Settlement });
            let slot = self.take_up(kept.record);
            self.earnings.channels[slot].status = match kept.watch {
                Some(watch) => {
                    self.buyer.follower.checkpoint.closes(watch.closed_in, id);
                    self.closings.restore(slot, id, watch);
                    ChannelStatus::Closing
                }
                None => {
                    self.closings.expect(slot);
                    ChannelStatus::Final
                }
            };
            let opened_in = self.earnings.channels[slot].opened_at_block;
            if opened_in >= forked_at {
                // Not seen on that branch either, or in a block that is gone with the settlement.
                let block = if opened_in == UNSEEN { forked_at } else { opened_in };
                self.buyer.follower.openings.expect(block, id);
                self.earnings.unsee(slot);
            }
        }
        let claims = self.earnings.claims.rewind(forked_at);
        if !claims.is_empty() {
            let seq = self.buyer.tools.persist(Lane::Role, claims, out);
            self.buyer.follower.checkpoint.writes(seq);
        }
        let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
        for (slot, closed_in) in self.closings.rewind(forked_at, cx) {
            let id = self.earnings.channels[slot].id;
            self.buyer.follower.checkpoint.settled(closed_in, id);
            cx.out.notice(Notice::TakenBack { channel: id, what: Fact::Close });
            self.earnings.channels.touch(slot);
        }
        self.closings.rewound().for_each(|slot| self.earnings.channels.touch(slot));
        self.buyer.rewind_closes(now, forked_at, out);
        for id in self.buyer.follower.openings.rewind(forked_at) {
            match self.earnings.slot(&id) {
                Some(slot) => self.earnings.unsee(slot),
                None => self.buyer.unsee(id),
            }
        }
    }

    /// The chain is read up to its head: what was taken back and has not come again is not there, and what is held of the
    /// others is defended as if it were new (X1).
    pub(super) fn on_caught_up(&mut self, now: Now, out: &mut Outputs) {
        let next = self.buyer.follower.next_block();
        for (id, block) in self.buyer.follower.openings.take_vanished(next) {
            self.on_vanished(now, id, block, out);
        }
        for (slot, is_ours) in self.closings.take_unclosed() {
            self.on_unclosed(slot, is_ours, out);
        }
        for slot in self.closings.take_rewound(next) {
            self.defend(now, slot, out);
        }
        self.send_orders(now, out);
        self.review(now, out);
    }

    /// The opening is not on the chain any more. Nothing is served on it; its voucher is worth something if it comes back.
    fn on_vanished(&mut self, now: Now, id: ChannelId, was_in: u64, out: &mut Outputs) {
        let Some(slot) = self.earnings.slot(&id) else { return self.buyer.on_vanished(now, id, was_in, out) };
        self.stop_streams(slot, out);
        out.notice(Notice::TakenBack { channel: id, what: Fact::Opening });
        self.retain(now, slot, Why::Vanished, (self.buyer.follower.head(), was_in), out);
    }

    /// The opening is on the chain again, maybe elsewhere and with another deposit.
    pub(super) fn on_opened_again(
        &mut self,
        slot: Slot,
        id: ChannelId,
        block: u64,
        deposit: Amount,
        out: &mut Outputs,
    ) {
        let is_as_before = self.buyer.follower.openings.see(block, id, self.buyer.follower.safe());
        let is_other = self.earnings.see_again(slot, block, deposit);
        // The safe head may have it already, and has come with the same update.
        self.earnings.release_soft(self.buyer.follower.safe());
        if is_other {
            self.stop_streams(slot, out);
            // What is held asks for more than there is now: nothing can be served any more (V4).
            let channel = &mut self.earnings.channels[slot];
            if channel.status == ChannelStatus::Open && channel.meter.owed() > deposit {
                channel.status = ChannelStatus::Final;
            }
        }
        if is_other || !is_as_before {
            let seq = self.persist(slot, out);
            self.buyer.follower.checkpoint.writes(seq);
        }
    }

    /// The channel is not closing any more, or not yet again. Whoever closed it has had enough of it: nothing new is served;
    /// what was this node's own doing is done again.
    fn on_unclosed(&mut self, slot: Slot, is_ours: bool, out: &mut Outputs) {
        let channel = self.earnings.channels.get_mut(slot).expect("what was closing is there");
        let id = channel.id;
        let is_ordered = self.buyer.orders.has(&Order::Close(id));
        channel.status = if is_ordered { ChannelStatus::Ending } else { ChannelStatus::Final };
        let seq = self.persist(slot, out);
        self.buyer.follower.checkpoint.writes(seq);
        if is_ours || is_ordered {
            self.submit_close(slot, out);
        }
    }
}
