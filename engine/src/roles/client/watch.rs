//! Following the chain: what became of our channels, and disputing a close below our newest voucher (X1, X2).

use alloc::vec;

use super::{Client, Next};
use crate::{
    chain::{
        Block, ChainUpdate, TxOutcome,
        channel::{self, EventKind},
    },
    ids::{StreamId, TxTicket},
    io::{Lane, Notice, Outputs},
    machine::{
        AlarmKey, Cx,
        closings::{Defence, Outcome, Why},
        fetcher::Failure,
        wallet::Channel,
    },
    record::{ChannelStatus, Key},
    state::Slot,
    time::Now,
    worth::Stake,
};

impl Client {
    pub(super) fn poll(&mut self, now: Now, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        self.follower.poll(&mut Cx { now, tools: &mut self.tools, out });
    }

    /// A transaction of ours is in this block: read it.
    pub(super) fn await_block(&mut self, now: Now, block: u64, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        self.follower.await_block(block, &mut Cx { now, tools: &mut self.tools, out });
    }

    pub(super) fn on_chain_unreachable(&mut self, now: Now, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        self.follower.on_unreachable(&mut Cx { now, tools: &mut self.tools, out });
        self.arm_closings(now, out);
    }

    /// X2: no alarm about a close is set for good.
    pub(in crate::roles) fn arm_closings(&mut self, now: Now, out: &mut Outputs) {
        let outlook = self.follower.outlook();
        self.closings.arm_all(&outlook, &mut Cx { now, tools: &mut self.tools, out });
    }

    pub(super) fn on_chain(&mut self, now: Now, update: ChainUpdate, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        let forked_at = self.follower.on_fork(&update, &mut Cx { now, tools: &mut self.tools, out });
        self.follower.on_heads(&update, &mut Cx { now, tools: &mut self.tools, out });
        if let Some(forked_at) = forked_at {
            self.rewind(now, forked_at, out);
        }
        let cap = self.config.limits.chain_events;
        let taken = self.follower.take(&update, cap, &mut Cx { now, tools: &mut self.tools, out });
        for event in taken.into_iter().map(|place| &update.events[place]) {
            if let Some(happened) = event.as_channel() {
                self.on_event(now, event.block, happened, out);
            }
        }
        // What has just come back is not over.
        self.erase_safe(out);
        self.on_doubted(now, &update, out);
        self.after_events(now, out);
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        self.follower.read_on(cx);
        self.follower.store(cx);
        let is_reached = self.follower.on_reached();
        if is_reached {
            out.notice(Notice::ChainRead { block: self.follower.head() });
        }
        self.after_reading(now, is_reached, out);
    }

    /// Every event of an update was taken.
    pub(in crate::roles) fn after_events(&mut self, now: Now, out: &mut Outputs) {
        if self.follower.is_caught_up() {
            self.on_caught_up(now, out);
        }
        self.give_up_unseen_opening(now, out);
        if self.opener.next().is_some() {
            self.next_opening(now, out);
        }
        self.send_orders(now, out);
        self.arm_closings(now, out);
    }

    /// An update was taken to its end; `is_reached`: and with it the past, for the first time since the start. Nothing is bought
    /// before: a channel of the past may be settled.
    pub(in crate::roles) fn after_reading(&mut self, now: Now, is_reached: bool, out: &mut Outputs) {
        if is_reached {
            self.resume(now, out);
        } else if !self.identity.is_proven() && !self.identity.is_asked() {
            // The signer would not, the last time.
            self.advance_all(now, out);
        }
    }

    /// The first news after a start: downloads go on, and channels that nothing uses are closed.
    fn resume(&mut self, now: Now, out: &mut Outputs) {
        let half_closed: vec::Vec<Slot> = self
            .wallet
            .channels
            .iter()
            .filter(|(_, channel)| channel.paying.status == ChannelStatus::Final)
            .map(|(slot, _)| slot)
            .collect();
        for slot in half_closed {
            self.begin_close(now, slot, out);
        }
        self.close_unused(now, out);
        self.advance_all(now, out);
    }

    pub(in crate::roles) fn on_event(
        &mut self,
        now: Now,
        block: Block,
        event: &channel::Event,
        out: &mut Outputs,
    ) {
        let slot = self.wallet.slot(&event.channel);
        match (event.kind, slot) {
            (EventKind::Opened { client, node, token, deposit, .. }, _)
                if client == self.config.account && node != client =>
            {
                self.on_opened(now, event.channel, block.number, (node, token, deposit), out);
            }
            (EventKind::Closing { amount, deadline, .. }, Some(slot)) => {
                if self.closings.begin(slot, event.channel, (block, amount, deadline), Stake::default()) {
                    self.follower.checkpoint.closes(block.number, event.channel);
                    self.on_closing(now, slot, out);
                }
            }
            (EventKind::Disputed { amount, .. }, Some(slot)) => {
                let cx = &mut Cx { now, tools: &mut self.tools, out };
                self.closings.on_disputed(slot, event.channel, (block.number, amount), cx);
                self.wallet.channels.touch(slot);
                self.defend(now, slot, out);
            }
            (EventKind::Settled { ending, amount: paid, refunded, .. }, Some(slot)) => {
                out.notice(Notice::Settled { channel: event.channel, ending, paid, refunded });
                self.on_settled(now, slot, block.number, out);
            }
            (EventKind::Opened { .. } | EventKind::Claimed { .. }, _) | (_, None) => {}
        }
    }

    /// L4: to dispute one endpoint suffices.
    pub(in crate::roles) fn on_doubted(&mut self, now: Now, update: &ChainUpdate, out: &mut Outputs) {
        for (event, is_denied) in update.doubted() {
            let Some(event_of) = event.as_channel() else { continue };
            let EventKind::Closing { amount, deadline, .. } = event_of.kind else { continue };
            let Some(slot) = self.wallet.slot(&event_of.channel) else { continue };
            let close = ((event.block, amount, deadline), Stake::default());
            if self.closings.rumour(slot, event_of.channel, close, is_denied, now) {
                self.defend(now, slot, out);
            }
        }
    }

    fn on_closing(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let was_closing = self.stop(now, slot, out);
        self.tools.alarms.cancel(AlarmKey::Consent(slot));
        if !was_closing {
            let seq = self.persist_paying(slot, out);
            self.follower.checkpoint.writes(seq);
        }
        self.wallet.channels.touch(slot);
        self.defend(now, slot, out);
    }

    /// The channel is over: what was being bought on it goes on with another one.
    pub(super) fn end_streams(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let ids: vec::Vec<StreamId> = self
            .links
            .streams
            .iter()
            .filter(|(_, stream)| stream.channel == slot)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let fetch = self.fetch_of(&id);
            self.drop_stream(now, id, out);
            if let Some(fetch) = fetch.filter(|fetch| !self.fetcher.is_paying(*fetch)) {
                self.todo.push_back(Next::Failed(fetch, Failure::NeedsChannel));
            }
        }
    }

    /// The chain ends the channel. Its status says so before its streams end: a download that ends with them would else
    /// have the channel closed once more.
    pub(super) fn stop(&mut self, now: Now, slot: Slot, out: &mut Outputs) -> bool {
        let status = &mut self.wallet.channels[slot].paying.status;
        let before = core::mem::replace(status, ChannelStatus::Closing);
        self.end_streams(now, slot, out);
        before == ChannelStatus::Closing
    }

    fn on_settled(&mut self, now: Now, slot: Slot, block: u64, out: &mut Outputs) {
        let id = self.wallet.channels[slot].paying.channel;
        self.stop(now, slot, out);
        if block <= self.follower.safe() {
            self.save_progress(slot, out);
            let gone = self.closings.erase(id, Key::Paying).collect();
            let seq = self.persist(Lane::Channel(slot.index), gone, out);
            self.follower.checkpoint.writes(seq);
            if let Some(watch) = self.forget(now, slot, out) {
                self.follower.checkpoint.settled(watch.closed_in, id);
            }
        } else {
            self.retain(now, slot, Why::Settled, (block, block), out);
        }
        self.leave_idle_peers(now, out);
    }

    /// X1, X2: what our newest voucher asks for on a closing channel, whoever gains by it.
    pub(super) fn defend(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let held = self.wallet.channels.get(slot).map(Channel::held).expect("what is defended is there");
        // As long as it is not closing, nothing is told to the chain.
        if !self.closings.is_defended(slot) {
            return;
        }
        let outlook = self.follower.outlook();
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        if self.closings.defend(slot, &held, &outlook, cx) == Defence::Signature {
            self.sign_newest(now, slot, out);
        }
        self.wallet.channels.touch(slot);
    }

    pub(super) fn on_settle_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let id = self.wallet.channels.get(slot).expect("what is closing is there").paying.channel;
        let outlook = self.follower.outlook();
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        if !self.closings.is_settleable(slot, &outlook, cx) {
            return self.poll(now, out);
        }
        let ticket = self.tools.tx_ticket();
        self.closings.settle(slot, id, ticket, out);
        self.wallet.channels.touch(slot);
    }

    pub(super) fn on_tx(&mut self, now: Now, ticket: TxTicket, outcome: TxOutcome, out: &mut Outputs) {
        if self.on_opening_tx(now, ticket, &outcome, out) || self.on_order_tx(now, ticket, &outcome, out) {
            return;
        }
        // Of an opening that was given up.
        let Some(slot) = self.closings.take_tx(ticket, &outcome) else { return };
        // Its channel may have settled meanwhile.
        if self.wallet.channels.get(slot).is_none() || self.on_close_tx(now, slot, ticket, &outcome, out) {
            return;
        }
        let id = self.wallet.channels[slot].paying.channel;
        self.wallet.channels.touch(slot);
        let outlook = self.follower.outlook();
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        match self.closings.on_tx(slot, id, ticket, &outcome, &outlook, cx) {
            None | Some(Outcome::Nothing) => {}
            Some(Outcome::Landed(block)) => self.await_block(now, block.number, out),
            Some(Outcome::Failed) => self.poll(now, out),
        }
    }
}
