//! Opening channels: one at a time, because an allowance is one number. What the chain has opened beside them is closed:
//! of a channel without a record nobody knows which vouchers were signed on it, so none is signed any more (O5).

use alloc::vec;

use super::{Client, Fetch, Opening, OpeningStep, Stage, fetch::Failure};
use crate::{
    chain::{Call, Route, TxOutcome},
    delivery::Meter,
    fault::{Fault, LimitHit, Rule},
    ids::{Address, ChannelId, FetchId, NodeId, TxTicket},
    io::{FetchFailure, Lane, Notice, Outputs},
    machine::AlarmKey,
    money::{Amount, MB, Nonce},
    record::{ChannelStatus, Paying},
    state::Slot,
    time::Now,
};

impl Client {
    /// Wants a channel for a download's present candidate.
    pub(super) fn open_channel(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = &self.fetches[&id];
        let candidate = fetch.candidate();
        let token = fetch.order.token;
        let deposit = fetch.deposit();
        let keep = fetch.order.keep_channel;
        if self.wallet.channels.len() + self.openings.len() >= self.config.limits.channels {
            out.limit(Rule::O11, LimitHit::Channels);
            return self.fail_fetch(now, id, FetchFailure::TooMany, out);
        }
        self.is_rest_dirty = true;
        self.show_quote(id, Some(deposit), out);
        self.openings.push_back(Opening {
            node: candidate.node,
            operator: candidate.operator,
            token,
            deposit,
            keep,
            step: OpeningStep::Queued,
        });
        self.next_opening(now, out);
    }

    /// Whether a channel like this is on its way.
    pub(super) fn is_opening(&self, node: NodeId, token: Address) -> bool {
        self.openings.iter().any(|opening| opening.node == node && opening.token == token)
    }

    /// Begins the next opening, unless nobody has a young quote for it any more: whoever still wants it asks anew (D1).
    fn next_opening(&mut self, now: Now, out: &mut Outputs) {
        while let Some(opening) = self.openings.front().copied() {
            if opening.step != OpeningStep::Queued {
                return;
            }
            let is_for = |fetch: &Fetch| {
                (fetch.candidate().node, fetch.order.token) == (opening.node, opening.token)
                    && fetch.stage == Stage::Waiting
                    && fetch.is_quoted(now)
            };
            if !self.fetches.values().any(is_for) {
                self.is_rest_dirty = true;
                self.openings.pop_front();
                self.advance_peer(now, opening.node, out);
                continue;
            }
            let ticket = self.tools.tx_ticket();
            self.set_opening_step(now, OpeningStep::Approving(ticket));
            let call = Call::Approve { token: opening.token, amount: opening.deposit };
            return out.tx(Lane::Role, ticket, call, Route::Sequencer);
        }
    }

    /// The outcome of a transaction that belongs to an opening; true if it did.
    pub(super) fn on_opening_tx(
        &mut self,
        now: Now,
        ticket: TxTicket,
        outcome: TxOutcome,
        out: &mut Outputs,
    ) -> bool {
        let Some(opening) = self.openings.front().copied() else { return false };
        let is_approval = opening.step == OpeningStep::Approving(ticket);
        if !is_approval && opening.step != OpeningStep::Opening(ticket) {
            return false;
        }
        match outcome {
            TxOutcome::Queued { .. } => {}
            TxOutcome::Included { result: Ok(()), .. } if is_approval => {
                let ticket = self.tools.tx_ticket();
                self.set_opening_step(now, OpeningStep::Opening(ticket));
                let call =
                    Call::Open { node: opening.operator, token: opening.token, deposit: opening.deposit };
                out.tx(Lane::Role, ticket, call, Route::Sequencer);
            }
            TxOutcome::Included { result: Ok(()), block } => {
                self.set_opening_step(now, OpeningStep::Included(block.number));
                match self.sighted(&opening, block.number) {
                    Some(slot) => self.take_up(now, slot, out),
                    None => self.await_block(now, block.number, out),
                }
            }
            TxOutcome::Included { result: Err(_), .. } | TxOutcome::Lost => self.on_open_failed(now, out),
        }
        true
    }

    fn set_opening_step(&mut self, now: Now, step: OpeningStep) {
        self.is_rest_dirty = true;
        if let Some(opening) = self.openings.front_mut() {
            opening.step = step;
        }
        match step {
            OpeningStep::Approving(_) | OpeningStep::Opening(_) => {
                let at = now.mono + self.config.timeouts.inclusion;
                self.tools.alarms.arm(AlarmKey::Opening, at);
            }
            OpeningStep::Queued | OpeningStep::Included(_) => self.tools.alarms.cancel(AlarmKey::Opening),
        }
    }

    /// A sequencer that says nothing about a transaction must not hold a download up (O10). If the channel opens after
    /// all, it is taken up then.
    pub(super) fn on_opening_late(&mut self, now: Now, out: &mut Outputs) {
        self.on_open_failed(now, out);
    }

    /// An opening whose block was read to its end without its event is none that we can use: a token that takes a
    /// fee, a contract of another kind.
    pub(super) fn give_up_unseen_opening(&mut self, now: Now, out: &mut Outputs) {
        if let Some(Opening { step: OpeningStep::Included(block), .. }) = self.openings.front()
            && self.follower.has_read(*block)
        {
            self.on_open_failed(now, out);
        }
    }

    fn on_open_failed(&mut self, now: Now, out: &mut Outputs) {
        self.is_rest_dirty = true;
        let Some(failed) = self.openings.pop_front() else { return };
        self.tools.alarms.cancel(AlarmKey::Opening);
        let waiting: vec::Vec<FetchId> = self
            .fetches
            .iter()
            .filter(|(_, f)| {
                f.stage == super::Stage::Waiting
                    && f.candidate().node == failed.node
                    && f.order.token == failed.token
            })
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            if let Some(fetch) = self.fetches.get_mut(&id) {
                fetch.why = FetchFailure::OpenFailed;
            }
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
        if self.wallet.slot(&id).is_some() {
            return;
        }
        let is_like = |opening: &&Opening| opening.operator == operator && opening.token == token;
        let like = self.openings.front().filter(is_like).copied();
        let step = like.map(|opening| opening.step);
        let is_ours = step == Some(OpeningStep::Included(block));
        let may_be_ours = matches!(step, Some(OpeningStep::Opening(_)));
        // What we are about to open ourselves has its room already.
        let reserved = usize::from(is_ours || may_be_ours);
        if self.wallet.channels.len() + self.openings.len() - reserved >= self.config.limits.channels {
            let fault = Fault::Limit { rule: Rule::O11, limit: LimitHit::Channels };
            self.follower.checkpoint.refuses(block);
            return out.fault(fault);
        }
        let from_orders = || {
            let mut candidates = self.fetches.values().flat_map(|fetch| &fetch.order.candidates);
            candidates.find(|candidate| candidate.operator == operator).map(|candidate| candidate.node)
        };
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
        let Some(opening) = self.openings.pop_front() else { return };
        self.is_rest_dirty = true;
        self.tools.alarms.cancel(AlarmKey::Opening);
        let paying = &mut self.wallet.channels[slot].paying;
        paying.status = ChannelStatus::Open;
        paying.is_kept = opening.keep;
        let (channel, node, deposit) = (paying.channel, paying.node, paying.deposit);
        let seq = self.persist_paying(slot, out);
        self.follower.checkpoint.writes(seq);
        out.notice(Notice::ChannelOpened { channel, deposit });
        self.disown(now, out);
        self.next_opening(now, out);
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

impl super::Fetch {
    /// What goes into a channel with the present candidate: what was ordered, or what the rest costs at the price that it
    /// has quoted. As far as a node's claim about the size goes: it may double the deposit, no more (V4).
    pub(super) fn deposit(&self) -> Amount {
        let total = self.total.or(self.quoted().and_then(|quote| quote.total_bytes));
        let left = self.end_of(total).map_or(0, |end| end.saturating_sub(self.position()));
        let rate = u128::from(self.highest_rate().0);
        let rest = u128::from(left).saturating_mul(rate).div_ceil(u128::from(MB));
        let ordered = self.order.deposit;
        Amount(rest.min(ordered.0.saturating_mul(2))).max(ordered)
    }
}
