//! A download from candidate to candidate until every byte is verified and paid for (D10, D11, D14).

use alloc::vec;

use super::Client;
use crate::{
    fault::{LimitHit, Rule},
    ids::{FetchId, NodeId, StreamId},
    io::{FetchFailure, Lane, Notice, Outputs},
    limits::{BLOB_BYTES_MAX, GROUP},
    machine::{
        Cx,
        fetcher::{Failure, Fetch, Price, Stage},
        links::Stream,
        wallet::{Channel, Closing},
    },
    order::{Candidate, FetchOrder},
    record::{ChannelStatus, FetchRecord, Key, Paying, Record},
    state::Slot,
    time::Now,
};

impl Client {
    pub(super) fn on_order(&mut self, now: Now, order: FetchOrder, out: &mut Outputs) {
        let id = order.id;
        let is_known = self.fetcher.fetches.contains_key(&id);
        if let Some(why) = self.refusal(now, &order, out) {
            return out.notice(match is_known {
                true => Notice::OrderRefused { fetch: id, why },
                false => Notice::FetchFailed { fetch: id, why },
            });
        }
        if is_known {
            return self.on_order_again(now, order, out);
        }
        let record = FetchRecord { order, verified_bytes: 0, total_bytes: None };
        self.persist(Lane::Role, vec![Record::Fetch(record.clone())], out);
        self.fetcher.adopt(record, Price::Unasked);
        self.advance(now, id, out);
    }

    /// Why an order can't be carried out, if so. Where there is no room for a new download, what a failed one has verified makes
    /// room (D17).
    fn refusal(&mut self, now: Now, order: &FetchOrder, out: &mut Outputs) -> Option<FetchFailure> {
        let known = self.fetcher.fetches.get(&order.id);
        let is_bad = order.candidates.is_empty()
            || !order.offset_bytes.is_multiple_of(GROUP)
            || order.offset_bytes.saturating_add(order.len_bytes) > BLOB_BYTES_MAX
            || !order.max_rate.is_sane(self.config.rate_max(order.token))
            || known.is_some_and(|fetch| !fetch.gets(order));
        let limits = &self.config.limits;
        let is_full = known.is_none() && self.fetcher.fetches.len() >= limits.fetches;
        let limit = if is_bad {
            return Some(FetchFailure::BadOrder);
        } else if order.candidates.len() > limits.candidates {
            LimitHit::Candidates
        } else if is_full && !self.make_room(now, out) {
            LimitHit::Fetches
        } else {
            return None;
        };
        out.limit(Rule::O11, limit);
        Some(FetchFailure::TooMany)
    }

    /// Moves a waiting download as far as it gets: a channel, a connection, a proof, the request.
    pub(super) fn advance(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        // It may have ended while others were moved along.
        let Some(fetch) = self.fetcher.fetches.get(&id) else { return };
        if fetch.stage != Stage::Waiting || !self.follower.is_read() {
            return;
        }
        if fetch.is_complete() {
            return self.complete(now, id, out);
        }
        let candidate = fetch.candidate();
        let (token, is_quoted, is_quote_due) =
            (fetch.record.order.token, fetch.is_quoted(now), fetch.is_price_due());
        let usable = self.usable_channel(now, id, out);
        if usable.is_none() && self.opener.is_opening(candidate.node, token) {
            return;
        }
        if is_quote_due || usable.is_none() && !is_quoted {
            return self.probe(now, id, out);
        }
        let Some(slot) = usable else { return self.open_channel(now, id, out) };
        if !self.connect(now, candidate.node, out) {
            // Later, when other connections have ended.
            return self.fail_attempt(now, id, Failure::NotNow, out);
        }
        if !self.links.is_up(candidate.node) {
            return;
        }
        if !self.identity.is_proven() {
            return self.identity.ask(&mut Cx { now, tools: &mut self.tools, out });
        }
        let channel = &self.wallet.channels[slot];
        if !self.is_greeted(candidate.node, slot) && channel.needs_signature() {
            return self.sign_newest(now, slot, out);
        }
        self.request(now, id, slot, out);
    }

    /// An open channel with this candidate whose deposit covers the next group; used-up ones are closed.
    pub(super) fn usable_channel(&mut self, now: Now, id: FetchId, out: &mut Outputs) -> Option<Slot> {
        let fetch = &self.fetcher.fetches[&id];
        let (node, token) = (fetch.candidate().node, fetch.record.order.token);
        let next_group = fetch.next_group();
        let slots = self.wallet.with(node).to_vec();
        let mut usable = None;
        let mut used_up = vec![];
        for slot in slots {
            let channel = &self.wallet.channels[slot];
            if channel.paying.token != token || !channel.is_open() {
                continue;
            }
            if channel.paying.meter.owed_with(next_group) > channel.paying.deposit {
                used_up.push(slot);
            } else if usable.is_none() {
                usable = Some(slot);
            }
        }
        for slot in used_up {
            self.retire(now, slot, out);
        }
        usable
    }

    /// Whether the node has acknowledged the newest voucher, on this connection (V3).
    fn is_greeted(&self, node: NodeId, slot: Slot) -> bool {
        let channel = &self.wallet.channels[slot];
        channel.acked == channel.paying.nonce && self.links.is_greeted(node, slot)
    }

    /// An attempt is over; what comes next depends on why.
    pub(super) fn fail_attempt(&mut self, now: Now, id: FetchId, failure: Failure, out: &mut Outputs) {
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        if let Some(why) = self.fetcher.on_failure(id, failure, cx) {
            self.fail_fetch(now, id, why, out);
        }
    }

    pub(super) fn on_fetch_due(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = self.fetcher.fetches.get_mut(&id).expect("a download's alarm has its download");
        match fetch.stage {
            Stage::BackingOff => {
                fetch.stage = Stage::Waiting;
                self.advance(now, id, out);
            }
            Stage::Probing(conn) => self.on_probe_late(now, conn, out),
            Stage::Requested(stream) | Stage::Streaming(stream) => self.on_silence(now, id, stream, out),
            // Everything is verified and signed for; an ack is a courtesy.
            Stage::Paying(_) => {
                let of_it = |stream: &Stream| stream.fetch() == Some(id);
                let stream = self.links.streams.iter().find(|(_, stream)| of_it(stream)).map(|(id, _)| *id);
                if let Some(stream) = stream {
                    self.drop_stream(now, stream, out);
                }
                self.complete(now, id, out);
            }
            Stage::Asking => self.on_not_agreed(now, id, out),
            Stage::Waiting | Stage::Kept => unreachable!("what waits for nothing has no alarm"),
        }
    }

    /// Connecting failed: whoever waits for this node tries the next candidate.
    pub(super) fn on_unreachable(&mut self, now: Now, node: NodeId, out: &mut Outputs) {
        out.unattributed(node, Rule::D10);
        let waiting = self.fetcher.ids(|fetch| fetch.is_waiting_for(node));
        for id in waiting {
            self.fail_attempt(now, id, Failure::Refused, out);
        }
        // Nor can it be asked for its consent.
        for slot in self.wallet.with(node).to_vec() {
            self.close_alone(now, slot, out);
        }
    }

    /// Everything is verified and paid for.
    pub(super) fn complete(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = self.fetcher.fetches.get(&id).expect("only a download that is there is completed");
        assert!(fetch.is_complete(), "a download is over when every byte is verified");
        let bytes = fetch.record.verified_bytes;
        self.end_fetch(now, id, Notice::Fetched { fetch: id, bytes }, false, out);
    }

    pub(super) fn fail_fetch(&mut self, now: Now, id: FetchId, why: FetchFailure, out: &mut Outputs) {
        // Its owner may cancel what is over.
        let Some(fetch) = self.fetcher.fetches.get(&id) else { return };
        let keeps = why != FetchFailure::Cancelled && fetch.record.verified_bytes > 0;
        self.end_fetch(now, id, Notice::FetchFailed { fetch: id, why }, keeps, out);
    }

    /// A download is over, and so are its streams: what still comes on them must not count for a later download by
    /// the same name. What it got is stored with its channels first, or it could be counted there and bought again
    /// after a crash (D14). And the owner is told before the record changes: after a crash in between it is told again. The
    /// other way round it would never be. `keeps`: the owner may order it again, and then it goes on where it is (D17).
    fn end_fetch(&mut self, now: Now, id: FetchId, last_words: Notice, keeps: bool, out: &mut Outputs) {
        let of_fetch = |stream: &&StreamId| self.fetch_of(stream) == Some(id);
        let streams: alloc::vec::Vec<StreamId> =
            self.links.streams.keys().filter(of_fetch).copied().collect();
        for stream in streams {
            self.drop_stream(now, stream, out);
        }
        if let Some(slot) = self.source_of(id) {
            // And with it all the others.
            self.persist_paying(slot, out);
        }
        out.notice(last_words);
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let gone = if keeps { self.fetcher.keep(id, cx) } else { self.fetcher.remove(id, cx) };
        let kept = self.fetcher.fetches.get(&id).map(Fetch::stored);
        let record = kept.unwrap_or(Record::Gone(Key::Fetch(id)));
        self.persist(Lane::Role, vec![record], out);
        self.retire_lossy(now, &gone.record.order, out);
        if let Stage::Probing(conn) = gone.stage {
            self.drop_probe(now, conn, out);
        }
        self.close_unused(now, out);
        self.leave_idle_peers(now, out);
    }

    /// A channel that brought bytes for a download, of which no record says so yet.
    pub(super) fn source_of(&self, id: FetchId) -> Option<Slot> {
        let is_live = |slot: &&Slot| self.wallet.channels.get(**slot).is_some();
        let fetch = self.fetcher.fetches.get(&id).expect("asked of a download that is there");
        // Those that have settled meanwhile have no record any more.
        fetch.sources.iter().find(is_live).copied()
    }

    /// Nobody will ask for the bytes any more that a download by this order has lost, as far as it may not use their channels
    /// now: the node would count them as exposure for ever, so these end (D8).
    pub(super) fn retire_lossy(&mut self, now: Now, order: &FetchOrder, out: &mut Outputs) {
        let with = |candidate: &Candidate| self.wallet.with(candidate.node).to_vec();
        let slots: alloc::vec::Vec<Slot> = order.candidates.iter().flat_map(with).collect();
        for slot in slots {
            let channel = self.wallet.channels.get_mut(slot).expect("listed with its node");
            let Paying { node, token, .. } = channel.paying;
            if self.fetcher.fetches.get(&order.id).is_some_and(|fetch| fetch.wants(node, token)) {
                continue;
            }
            let before = channel.lost.len();
            channel.lost.retain(|(of, _)| *of != order.id);
            if channel.lost.len() < before {
                self.retire(now, slot, out);
            }
        }
    }

    /// Closes every open channel that no download may still use and nobody asked to keep.
    pub(super) fn close_unused(&mut self, now: Now, out: &mut Outputs) {
        let is_used = |channel: &Channel| {
            let Paying { node, token, .. } = channel.paying;
            self.fetcher.fetches.values().any(|fetch| fetch.wants(node, token))
        };
        let unused: alloc::vec::Vec<Slot> = self
            .wallet
            .channels
            .iter()
            .filter(|(_, channel)| {
                channel.closing == Closing::No
                    && channel.paying.status != ChannelStatus::Closing
                    && !channel.paying.is_kept
                    && !is_used(channel)
            })
            .map(|(slot, _)| slot)
            .collect();
        for slot in unused {
            self.begin_close(now, slot, out);
        }
    }

    /// Asks for the newest voucher's signature again: after a restart it is not at hand.
    pub(super) fn sign_newest(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        self.wallet.sign(slot, &mut Cx { now, tools: &mut self.tools, out });
    }
}
