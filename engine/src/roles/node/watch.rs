//! Following the chain: openings, closes, disputes, settlements (X1, X2, V1, V6, L3).

use alloc::{collections::BTreeSet, vec, vec::Vec};
use core::cmp::Reverse;

use super::Node;
use crate::{
    chain::{
        Block, ChainUpdate, Subject, TxOutcome,
        channel::{self, Ending, EventKind},
    },
    fault::{Fault, LimitHit, Rule, Surprise},
    ids::{Address, ChannelId, TxTicket},
    io::{Lane, Notice, Outputs},
    machine::{
        Cx,
        closings::{Defence, Outcome, Why},
        earnings::Channel,
    },
    money::Amount,
    order::Order,
    record::{ChannelStatus, Earning},
    state::Slot,
    time::Now,
};

impl Node {
    /// What both digests have of the chain may have changed.
    fn is_chain_news(&mut self) {
        self.prints.is_chain_dirty = true;
        self.buyer.prints.is_rest_dirty = true;
    }

    /// Asks for news, unless an answer is on its way.
    pub(super) fn poll(&mut self, now: Now, out: &mut Outputs) {
        self.is_chain_news();
        self.buyer.follower.poll(&mut Cx { now, tools: &mut self.buyer.tools, out });
    }

    pub(super) fn on_chain_unreachable(&mut self, now: Now, out: &mut Outputs) {
        self.is_chain_news();
        self.buyer.follower.on_unreachable(&mut Cx { now, tools: &mut self.buyer.tools, out });
        self.arm_closings(now, out);
        self.buyer.arm_closings(now, out);
    }

    /// X2: no alarm about a close is set for good.
    fn arm_closings(&mut self, now: Now, out: &mut Outputs) {
        let outlook = self.buyer.follower.outlook();
        self.closings.arm_all(&outlook, &mut Cx { now, tools: &mut self.buyer.tools, out });
    }

    /// V1 and L3: whether the chain is in sight, and its clock near ours.
    pub(super) fn may_extend_credit(&self, now: Now) -> bool {
        self.buyer.follower.may_extend_credit(now, self.config.head_age_max)
    }

    /// L3: with the chain's clock off, and not only once, a window may be shorter than it looks, so channels that have earned
    /// something are closed while there is time. So many with each news; those whose close failed come again.
    fn close_for_clock(&mut self, now: Now, out: &mut Outputs) {
        let under_way: BTreeSet<Slot> = self.closings.txs.values().copied().collect();
        let is_due = |(slot, channel): &(Slot, &Channel)| {
            channel.status != ChannelStatus::Closing
                && self.pays_to_finish(*slot)
                && !under_way.contains(slot)
        };
        let closes = self.config.limits.closes;
        let mut due: alloc::vec::Vec<ChannelId> = self
            .earnings
            .channels
            .iter()
            .filter(is_due)
            .map(|(_, channel)| channel.id)
            .take(closes + 1)
            .collect();
        if due.len() > closes {
            due.truncate(closes);
            self.buyer.follower.look_again(&mut Cx { now, tools: &mut self.buyer.tools, out });
        }
        for id in due {
            self.close(id, out);
        }
    }

    pub(super) fn on_chain(&mut self, now: Now, update: ChainUpdate, out: &mut Outputs) {
        self.is_chain_news();
        let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
        let forked_at = self.buyer.follower.on_fork(&update, cx);
        self.buyer.follower.on_heads(&update, &mut Cx { now, tools: &mut self.buyer.tools, out });
        if let Some(forked_at) = forked_at {
            self.rewind(now, forked_at, out);
        }
        self.earnings.release_soft(self.buyer.follower.safe());
        let cap = self.config.limits.chain_events;
        let taken =
            self.buyer.follower.take(&update, cap, &mut Cx { now, tools: &mut self.buyer.tools, out });
        let mut stale = Vec::new();
        for event in taken.into_iter().map(|place| &update.events[place]) {
            if let Some(happened) = event.as_channel() {
                if self.comes_back(event.block.number, happened, out) {
                    stale.extend(self.on_event(now, event.block, happened, out));
                }
                self.buyer.on_event(now, event.block, happened, out);
            }
        }
        // What has just come back is not over.
        self.erase_safe(out);
        self.defend_all(now, stale, out);
        self.on_doubted(now, &update, out);
        if self.buyer.follower.is_caught_up() {
            self.on_caught_up(now, out);
        }
        self.arm_closings(now, out);
        self.buyer.after_events(now, out);
        self.buyer.follower.read_on(&mut Cx { now, tools: &mut self.buyer.tools, out });
        if self.buyer.follower.is_clock_off() {
            self.close_for_clock(now, out);
        }
        self.buyer.follower.store(&mut Cx { now, tools: &mut self.buyer.tools, out });
        let is_reached = self.buyer.follower.on_reached();
        self.buyer.after_reading(now, is_reached, out);
        self.buyer.catch_up(now, out);
    }

    /// L4: to dispute one endpoint suffices. Where no two deny the close, there is no new credit either.
    fn on_doubted(&mut self, now: Now, update: &ChainUpdate, out: &mut Outputs) {
        for (event, is_denied) in update.doubted() {
            let Some(event_of) = event.as_channel() else { continue };
            let EventKind::Closing { amount, deadline, .. } = event_of.kind else { continue };
            let Some(slot) = self.earnings.slot(&event_of.channel) else { continue };
            let close = ((event.block, amount, deadline), self.stake(slot));
            if self.closings.rumour(slot, event_of.channel, close, is_denied, now) {
                self.defend(now, slot, out);
            }
            if self.closings.is_doubtful(slot) {
                self.stop_streams(slot, out);
            }
        }
        self.buyer.on_doubted(now, update, out);
    }

    /// Which channel is to be defended then.
    fn on_event(
        &mut self,
        now: Now,
        block: Block,
        event: &channel::Event,
        out: &mut Outputs,
    ) -> Option<Slot> {
        match event.kind {
            EventKind::Opened { client, node, token, deposit, .. } => {
                // The contract knows no channel with oneself.
                if node == self.config.account && client != node {
                    self.on_opened(event.channel, block.number, (client, token, deposit), out);
                }
            }
            EventKind::Closing { by, amount, deadline, .. } => {
                let slot = self.earnings.slot(&event.channel)?;
                let stake = self.stake(slot);
                if !self.closings.begin(slot, event.channel, (block, amount, deadline), stake) {
                    return None;
                }
                self.note_close_done(slot, block.number, out);
                if by == self.config.account {
                    self.closings.is_own_close(slot);
                }
                self.buyer.follower.checkpoint.closes(block.number, event.channel);
                if self.earnings.channels[slot].status != ChannelStatus::Closing {
                    self.earnings.channels[slot].status = ChannelStatus::Closing;
                    let seq = self.persist(slot, out);
                    self.buyer.follower.checkpoint.writes(seq);
                    self.stop_streams(slot, out);
                }
                self.earnings.channels.touch(slot);
                return Some(slot);
            }
            EventKind::Disputed { amount, .. } => {
                let slot = self.earnings.slot(&event.channel)?;
                let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
                self.closings.on_disputed(slot, event.channel, (block.number, amount), cx);
                return Some(slot);
            }
            EventKind::Claimed { amount, .. } => self.on_claimed(event.channel, block.number, amount, out),
            EventKind::Settled { ending, amount, refunded, .. } => {
                self.on_settled(now, event.channel, block.number, (ending, amount, refunded), out);
            }
        }
        None
    }

    /// The most that is missing first: what the sequencer takes last may come too late (X2).
    fn defend_all(&mut self, now: Now, mut slots: Vec<Slot>, out: &mut Outputs) {
        slots.extend(self.closings.paying_again(&self.buyer.follower.outlook()));
        slots.sort_unstable();
        slots.dedup();
        let missing = |slot: &Slot| {
            let held = self.earnings.channels.get(*slot)?.held().worth();
            Some(held.saturating_sub(self.closings.get(*slot)?.recorded()))
        };
        // What has settled since is not there any more.
        let mut stale: Vec<(Amount, Slot)> =
            slots.iter().filter_map(|slot| Some((missing(slot)?, *slot))).collect();
        stale.sort_by_key(|(missing, _)| Reverse(*missing));
        stale.into_iter().for_each(|(_, slot)| self.defend(now, slot, out));
    }

    fn on_claimed(&mut self, id: ChannelId, block: u64, amount: Amount, out: &mut Outputs) {
        if !self.has_earned_on(&id) {
            return;
        }
        if let Some(record) = self.earnings.claims.note(id, block, amount) {
            let seq = self.buyer.tools.persist(Lane::Role, vec![record], out);
            self.buyer.follower.checkpoint.writes(seq);
        }
        self.note_done(Order::Claim(id), block, out);
    }

    fn on_settled(
        &mut self,
        now: Now,
        id: ChannelId,
        block: u64,
        (ending, paid, refunded): (Ending, Amount, Amount),
        out: &mut Outputs,
    ) {
        let Some(slot) = self.earnings.slot(&id) else { return };
        let (nonce, held) = self.earnings.channels[slot].best_pair();
        let held = held.min(self.earnings.channels[slot].deposit);
        if paid < held {
            let surprise = Surprise::SettledLow { paid, held, nonce };
            out.fault(Fault::Chain { about: Subject::Channel(id), rule: Rule::X1, surprise });
            // What a node's own finish leaves behind nobody has kept from it.
            let kept = if ending == Ending::Window { held.saturating_sub(paid) } else { Amount::ZERO };
            let writes = self.keeps(slot, kept);
            if !writes.is_empty() {
                let seq = self.buyer.tools.persist(Lane::Role, writes, out);
                self.buyer.follower.checkpoint.writes(seq);
            }
        }
        self.stop_streams(slot, out);
        if self.closings.get(slot).is_none() {
            self.note_close_done(slot, block, out);
        }
        if block <= self.buyer.follower.safe() {
            let gone = self.erase(id);
            let seq = self.buyer.tools.persist(Lane::Channel(slot.index), gone, out);
            self.buyer.follower.checkpoint.writes(seq);
            let watch = self.forget(now, slot, out);
            if let Some(watch) = watch {
                self.buyer.follower.checkpoint.settled(watch.closed_in, id);
            }
        } else {
            self.retain(now, slot, Why::Settled, (block, block), out);
        }
        out.notice(Notice::Settled { channel: id, ending, paid, refunded });
    }

    /// The chain has an opening of ours: a new one, or one that it had taken back.
    fn on_opened(
        &mut self,
        id: ChannelId,
        block: u64,
        (client, token, deposit): (Address, Address, Amount),
        out: &mut Outputs,
    ) {
        let was_unseen = self.buyer.follower.openings.is_unseen(id);
        match self.earnings.slot(&id) {
            Some(slot) if was_unseen => return self.on_opened_again(slot, id, block, deposit, out),
            Some(_) => return,
            None => {}
        }
        if let Some(kept) = self.closings.retained.take_vanished(id) {
            self.buyer.follower.checkpoint.settled(kept.held_from, id);
            let slot = self.take_up(kept.record);
            // What closed it on another branch may come on this one, or not.
            if self.earnings.channels[slot].status == ChannelStatus::Closing {
                self.closings.expect(slot);
            }
            return self.on_opened_again(slot, id, block, deposit, out);
        }
        if self.closings.retained.contains(&id) {
            return;
        }
        if !self.has_room() {
            self.buyer.follower.checkpoint.refuses(block);
            return out.limit(Rule::O11, LimitHit::Channels);
        }
        self.buyer.follower.openings.see(block, id, self.buyer.follower.safe());
        let slot = self.earnings.adopt(Earning {
            channel: id,
            client,
            token,
            deposit,
            opened_at_block: block,
            status: ChannelStatus::Open,
            best: None,
        });
        let count = self.earnings.channels.len();
        assert!(count <= self.config.limits.channels, "openings beyond the table are not taken up (O11)");
        let seq = self.persist(slot, out);
        self.buyer.follower.checkpoint.writes(seq);
        out.notice(Notice::ChannelOpened { channel: id, deposit });
    }

    /// X1, X2: what the best durable voucher asks for on a closing channel. It is signed.
    pub(super) fn defend(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let held = self.earnings.channels.get(slot).map(Channel::held).expect("what is defended is there");
        // As long as it is not closing, what is held is enough.
        if !self.closings.is_defended(slot) {
            return;
        }
        let outlook = self.buyer.follower.outlook();
        let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
        let defence = self.closings.defend(slot, &held, &outlook, cx);
        assert_eq!(defence, Defence::Nothing, "what a node holds is signed");
        self.earnings.channels.touch(slot);
    }

    pub(super) fn on_settle_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let id = self.earnings.channels.get(slot).expect("what is closing is there").id;
        let outlook = self.buyer.follower.outlook();
        let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
        if self.closings.is_settleable(slot, &outlook, cx) {
            let ticket = cx.tools.tx_ticket();
            self.closings.settle(slot, id, ticket, cx.out);
            self.earnings.channels.touch(slot);
        }
        self.poll(now, out);
    }

    pub(super) fn on_tx(&mut self, now: Now, ticket: TxTicket, outcome: TxOutcome, out: &mut Outputs) {
        let slot = self.closings.take_tx(ticket, &outcome).expect("what was not sent here is for the buyer");
        // It may have settled meanwhile.
        let Some(channel) = self.earnings.channels.get_mut(slot) else { return };
        let id = channel.id;
        let outlook = self.buyer.follower.outlook();
        let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
        let heard = self.closings.on_tx(slot, id, ticket, &outcome, &outlook, cx);
        self.earnings.channels.touch(slot);
        self.on_order_tx(now, id, ticket, &outcome);
        if heard != Some(Outcome::Nothing) {
            // The events say what it did; until they come, nothing is assumed.
            self.poll(now, out);
        }
    }
}
