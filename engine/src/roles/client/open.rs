//! Opening channels: one at a time, because an allowance is one number.

use alloc::vec;

use super::{AlarmKey, Client, Opening, OpeningStep, fetch::Failure};
use crate::{
    chain::{Call, Route, TxOutcome},
    delivery::Meter,
    fault::{Fault, LimitHit, Rule},
    ids::{Address, ChannelId, FetchId, TxTicket},
    io::{Effect, FetchFailure, Lane, Notice, Outputs},
    money::{Amount, MB, Nonce},
    record::{ChannelStatus, Paying, Record},
    time::Now,
};

impl Client {
    /// Wants a channel for a download's present candidate.
    pub(super) fn open_channel(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = &self.fetches[&id];
        let candidate = fetch.candidate();
        let token = fetch.order.token;
        // What is left to buy, as far as a node's claim about the size goes: it may double the deposit, no more.
        let left = fetch.end().map_or(0, |end| end - fetch.position());
        let worst =
            u128::from(left).saturating_mul(u128::from(fetch.order.max_rate.0)).div_ceil(u128::from(MB));
        let ordered = fetch.order.deposit;
        let deposit = Amount(worst.min(ordered.0.saturating_mul(2))).max(ordered);
        let keep = fetch.order.keep_channel;
        let is_wanted = |opening: &Opening| opening.node == candidate.node && opening.token == token;
        if self.openings.iter().any(is_wanted) {
            return;
        }
        if self.channels.len() + self.openings.len() >= self.config.limits.channels {
            out.push(Lane::Role, Effect::Fault(Fault::Limit { rule: Rule::O11, limit: LimitHit::Channels }));
            return self.fail_fetch(now, id, FetchFailure::TooMany, out);
        }
        self.is_rest_dirty = true;
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

    fn next_opening(&mut self, now: Now, out: &mut Outputs) {
        let Some(opening) = self.openings.front().copied() else { return };
        if opening.step == OpeningStep::Queued {
            let ticket = TxTicket(self.ticket());
            self.set_opening_step(now, OpeningStep::Approving(ticket));
            let call = Call::Approve { token: opening.token, amount: opening.deposit };
            out.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
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
                let ticket = TxTicket(self.ticket());
                self.set_opening_step(now, OpeningStep::Opening(ticket));
                let call =
                    Call::Open { node: opening.operator, token: opening.token, deposit: opening.deposit };
                out.push(Lane::Role, Effect::Tx { ticket, call, route: Route::Sequencer });
            }
            TxOutcome::Included { result: Ok(()), block } => {
                self.set_opening_step(now, OpeningStep::Included(block.number));
                self.await_block(now, block.number, out);
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
                self.alarms.arm(&mut self.opening_late, at, AlarmKey::Opening);
            }
            OpeningStep::Queued | OpeningStep::Included(_) => self.opening_late.cancel(),
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
            && self.chain.cursor.next_block > *block
        {
            self.on_open_failed(now, out);
        }
    }

    fn on_open_failed(&mut self, now: Now, out: &mut Outputs) {
        self.is_rest_dirty = true;
        let Some(failed) = self.openings.pop_front() else { return };
        self.opening_late.cancel();
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
        self.next_opening(now, out);
    }

    /// The chain says that a channel of ours is open: the one we wait for, or one from before a crash.
    pub(super) fn on_opened(
        &mut self,
        now: Now,
        id: ChannelId,
        block: u64,
        (operator, token, deposit): (Address, Address, Amount),
        out: &mut Outputs,
    ) {
        if self.by_id.get(&id).is_some() {
            return;
        }
        let is_ours = |opening: &&Opening| opening.operator == operator && opening.token == token;
        let ours = self.openings.front().filter(is_ours).copied();
        // What we are about to open ourselves has its room already.
        if ours.is_none() && self.channels.len() + self.openings.len() >= self.config.limits.channels {
            let fault = Fault::Limit { rule: Rule::O11, limit: LimitHit::Channels };
            self.chain.checkpoint.refuses(block);
            return out.push(Lane::Role, Effect::Fault(fault));
        }
        let from_orders = || {
            let mut candidates = self.fetches.values().flat_map(|fetch| &fetch.order.candidates);
            candidates.find(|candidate| candidate.operator == operator).map(|candidate| candidate.node)
        };
        let node = ours.map(|opening| opening.node).or_else(from_orders).unwrap_or_default();
        let paying = Paying {
            channel: id,
            node,
            operator,
            token,
            deposit,
            opened_at_block: block,
            status: ChannelStatus::Open,
            is_kept: ours.is_some_and(|opening| opening.keep),
            nonce: Nonce::NONE,
            amount: Amount::ZERO,
            meter: Meter::new(),
        };
        let slot = self.adopt(paying);
        let seq = self.persist(Lane::Channel(slot.index), vec![Record::Paying(paying)], out);
        self.chain.checkpoint.writes(seq);
        out.push(Lane::Role, Effect::Notice(Notice::ChannelOpened { channel: id, deposit }));
        if ours.is_some() {
            self.is_rest_dirty = true;
            self.openings.pop_front();
            self.opening_late.cancel();
            self.next_opening(now, out);
        }
        self.advance_peer(now, node, out);
        // The download that wanted it may have failed meanwhile.
        if self.chain.is_known {
            self.close_unused(now, out);
        }
    }
}
