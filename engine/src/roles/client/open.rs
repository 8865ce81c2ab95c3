//! Opening channels: one at a time, because an allowance is one number. What the chain has opened beside them is closed:
//! of a channel without a record nobody knows which vouchers were signed on it, so none is signed any more (O5).

use alloc::vec;

use super::{Client, Next};
use crate::{
    chain::TxOutcome,
    crypto::StreamError,
    delivery::Meter,
    fault::{Fault, LimitHit, Rule},
    ids::{Address, ChannelId, FetchId, TxTicket},
    io::{FetchFailure, Notice, Outputs},
    machine::{
        Cx,
        fetcher::{Failure, Fetch},
        opener::{Opening, Progress},
    },
    money::{Amount, Nonce},
    record::{ChannelStatus, Paying},
    state::Slot,
    time::Now,
};

impl Client {
    /// Wants a channel for a download's present candidate.
    pub(super) fn open_channel(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = &self.fetcher.fetches[&id];
        let candidate = fetch.candidate();
        let token = fetch.record.order.token;
        let Some(deposit) = fetch.deposit() else {
            // It serves on no channel that the owner would pay for (V4): nothing is spent.
            out.notice(Notice::Refused {
                fetch: id,
                node: candidate.node,
                error: StreamError::ChannelInsufficient,
            });
            return self.fail_attempt(now, id, Failure::Ban, out);
        };
        let keep = fetch.record.order.keep_channel;
        let is_agreed = fetch.is_agreed(deposit);
        assert!(fetch.is_quoted(now), "a channel is opened on a young quote alone (D1)");
        if !self.has_room(0) {
            out.limit(Rule::O11, LimitHit::Channels);
            return self.fail_fetch(now, id, FetchFailure::TooMany, out);
        }
        if !self.follower.may_spend() {
            // It is tried again in a while, so often (L4, D11).
            let fetch = self.fetcher.fetches.get_mut(&id).expect("looked up above");
            fetch.why = FetchFailure::OpenFailed;
            return self.fail_attempt(now, id, Failure::NotNow, out);
        }
        match (self.config.asks, is_agreed) {
            (true, false) => return self.ask_owner(now, id, deposit, out),
            (true, true) => {}
            (false, _) => self.show_quote(id, Some(deposit), out),
        }
        self.prints.is_rest_dirty = true;
        self.opener.want(Opening::new(candidate.node, candidate.operator, token, deposit, keep));
        self.next_opening(now, out);
    }

    /// Begins the next opening, unless nobody has a young quote for it any more, or the owner's yes: whoever still wants it asks
    /// anew (D1, D16). While no two endpoints agree nothing is begun (L4).
    pub(super) fn next_opening(&mut self, now: Now, out: &mut Outputs) {
        let asks = self.config.asks;
        let may_spend = self.follower.may_spend();
        while let Some(opening) = self.opener.next().copied() {
            let is_for = |fetch: &Fetch| {
                may_spend
                    && fetch.is_waiting_for(opening.node)
                    && fetch.record.order.token == opening.token
                    && fetch.is_quoted(now)
                    && fetch.may_deposit(opening.deposit)
                    && (!asks || fetch.is_agreed(opening.deposit))
            };
            self.prints.is_rest_dirty = true;
            let wanted = self.fetcher.fetches.iter().find(|(_, fetch)| is_for(fetch)).map(|(id, _)| *id);
            let cx = &mut Cx { now, tools: &mut self.tools, out };
            if let Some(id) = wanted {
                let agreed = if asks { self.fetcher.take_agreement(id) } else { None };
                return self.opener.begin(agreed, self.config.timeouts.inclusion, cx);
            }
            self.opener.take(cx);
            self.todo.push_back(Next::Freed(opening.node));
        }
    }

    /// The outcome of a transaction that belongs to an opening; true if it did.
    pub(super) fn on_opening_tx(
        &mut self,
        now: Now,
        ticket: TxTicket,
        outcome: &TxOutcome,
        out: &mut Outputs,
    ) -> bool {
        let inclusion = self.config.timeouts.inclusion;
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let Some(progress) = self.opener.on_tx(ticket, outcome, inclusion, cx) else { return false };
        self.prints.is_rest_dirty = true;
        match progress {
            Progress::Nothing => {}
            Progress::Included(opening, block) => match self.sighted(&opening, block) {
                Some(slot) => self.take_up(now, slot, out),
                None => self.await_block(now, block, out),
            },
            Progress::Failed => self.on_open_failed(now, out),
        }
        true
    }

    /// A sequencer that says nothing about a transaction must not hold a download up (O10). If the channel opens after
    /// all, it is taken up then.
    pub(super) fn on_opening_late(&mut self, now: Now, out: &mut Outputs) {
        self.on_open_failed(now, out);
    }

    /// An opening whose block was read to its end without its event is none that we can use: a token that takes a
    /// fee, a contract of another kind.
    pub(super) fn give_up_unseen_opening(&mut self, now: Now, out: &mut Outputs) {
        let block = self.opener.first().and_then(Opening::included_in);
        if block.is_some_and(|block| self.follower.has_read(block)) {
            self.on_open_failed(now, out);
        }
    }

    fn on_open_failed(&mut self, now: Now, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        let failed = self.opener.take(&mut Cx { now, tools: &mut self.tools, out });
        let waits =
            |fetch: &Fetch| fetch.is_waiting_for(failed.node) && fetch.record.order.token == failed.token;
        let waiting = self.fetcher.ids(waits);
        for id in waiting {
            let fetch = self.fetcher.fetches.get_mut(&id).expect("one download's end is not another's");
            fetch.why = FetchFailure::OpenFailed;
            self.fail_attempt(now, id, Failure::Refused, out);
        }
        self.disown(now, out);
        self.next_opening(now, out);
    }

    /// The chain says that a channel of ours is open. It is the one that we wait for if it is in the block of our own
    /// transaction. As long as that block isn't known it is kept apart; any other is none that we have a record of.
    pub(super) fn on_opened(
        &mut self,
        now: Now,
        id: ChannelId,
        block: u64,
        (operator, token, deposit): (Address, Address, Amount),
        out: &mut Outputs,
    ) {
        if self.is_known_opening(now, id, block, deposit, out) {
            return;
        }
        let is_like = |opening: &&Opening| opening.operator == operator && opening.token == token;
        let like = self.opener.first().filter(is_like).copied();
        let is_ours = like.is_some_and(|opening| opening.included_in() == Some(block));
        let may_be_ours = like.is_some_and(|opening| opening.is_under_way());
        // What we are about to open ourselves has its room already.
        let reserved = usize::from(is_ours || may_be_ours);
        if !self.has_room(reserved) {
            let fault = Fault::Limit { rule: Rule::O11, limit: LimitHit::Channels };
            self.follower.checkpoint.refuses(block);
            return out.fault(fault);
        }
        let from_orders = || {
            let mut candidates =
                self.fetcher.fetches.values().flat_map(|fetch| &fetch.record.order.candidates);
            candidates.find(|candidate| candidate.operator == operator).map(|candidate| candidate.node)
        };
        self.follower.openings.see(block, id, self.follower.safe());
        let slot = self.wallet.adopt(Paying {
            channel: id,
            node: like.map(|opening| opening.node).or_else(from_orders).unwrap_or_default(),
            operator,
            token,
            deposit,
            opened_at_block: block,
            // Durable at once: after a crash a record must not make it one that may be paid on.
            status: ChannelStatus::Final,
            is_kept: false,
            nonce: Nonce::NONE,
            amount: Amount::ZERO,
            meter: Meter::new(),
        });
        let used = self.wallet.channels.len() + self.opener.len();
        assert!(used <= self.config.limits.channels + 1, "openings beyond the table are not taken up (O11)");
        if is_ours {
            return self.take_up(now, slot, out);
        }
        let seq = self.persist_paying(slot, out);
        self.follower.checkpoint.writes(seq);
        if !may_be_ours {
            self.close_found(now, slot, out);
        }
    }

    /// The channel that was kept apart because it might be the one that this opening makes.
    fn sighted(&self, opening: &Opening, block: u64) -> Option<Slot> {
        let is_it = |paying: &Paying| {
            (paying.operator, paying.token, paying.opened_at_block)
                == (opening.operator, opening.token, block)
        };
        let mut apart = self.wallet.channels.iter().filter(|(_, channel)| channel.is_apart());
        apart.find(|(_, channel)| is_it(&channel.paying)).map(|(slot, _)| slot)
    }

    /// The channel that we wait for is open: from here on it may be paid on.
    fn take_up(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let opening = self.opener.take(&mut Cx { now, tools: &mut self.tools, out });
        self.prints.is_rest_dirty = true;
        let paying = &mut self.wallet.channels[slot].paying;
        paying.status = ChannelStatus::Open;
        paying.is_kept = opening.keep;
        let (channel, node, token, deposit) = (paying.channel, paying.node, paying.token, paying.deposit);
        let seq = self.persist_paying(slot, out);
        self.follower.checkpoint.writes(seq);
        out.notice(Notice::ChannelOpened { channel, deposit });
        self.disown(now, out);
        self.next_opening(now, out);
        self.stop_asking(now, node, token, out);
        self.advance_peer(now, node, out);
        // The download that wanted it may have failed meanwhile.
        self.close_unused(now, out);
    }

    /// Closes what was kept apart for an opening that is over: it came from elsewhere, or too late.
    fn disown(&mut self, now: Now, out: &mut Outputs) {
        let apart: vec::Vec<Slot> = self
            .wallet
            .channels
            .iter()
            .filter(|(_, channel)| channel.is_apart())
            .map(|(slot, _)| slot)
            .collect();
        for slot in apart {
            self.close_found(now, slot, out);
        }
    }

    /// A channel that no record of ours speaks of: it is watched and closed, and paid on no more. Before the chain was
    /// read its close may be among what comes next.
    fn close_found(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let Paying { channel, deposit, .. } = self.wallet.channels[slot].paying;
        out.notice(Notice::ChannelFound { channel, deposit });
        if self.follower.is_read() {
            self.begin_close(now, slot, out);
        }
    }
}
