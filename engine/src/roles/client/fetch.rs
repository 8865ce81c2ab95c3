//! A download from candidate to candidate until every byte is verified and paid for (D10, D11, D14).

use alloc::vec;

use super::{Client, Fetch, Stage, probe::Price};
use crate::{
    fault::{LimitHit, Rule},
    ids::{FetchId, NodeId, StreamId},
    io::{FetchFailure, Lane, Notice, Outputs},
    limits::{BLOB_BYTES_MAX, GROUP},
    machine::{
        AlarmKey, Cx,
        links::Stream,
        wallet::{Channel, Closing},
    },
    order::{Candidate, FetchOrder},
    record::{ChannelStatus, FetchRecord, Key, Record},
    state::Slot,
    time::{Now, Span},
};

/// Unsigned refusals in a row that a candidate may give before they count as an attempt.
const REFUSALS_MAX: u8 = 64;
/// An attempt count that is never tried again.
const BANNED: u8 = u8::MAX;

/// What ended an attempt, and so what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Failure {
    /// The connection or stream is gone: the same candidate has the lost bytes (D8).
    Lost,
    /// No answer, no content, or a refusal: the next candidate.
    Refused,
    /// "Not now": back off, next candidate.
    NotNow,
    /// The opening is not final enough: back off, same candidate (V6).
    Pending,
    /// The channel is gone, or never had room: another one with the same candidate.
    NeedsChannel,
    /// The channel is used up, by this download or by others: another one with the same candidate, who did nothing
    /// wrong (V4).
    UsedUp,
    /// Never this candidate for this blob again.
    Ban,
}

impl Fetch {
    pub(super) fn candidate(&self) -> Candidate {
        self.order.candidates[self.current]
    }

    /// First byte still missing, as a position in the blob.
    pub(super) fn position(&self) -> u64 {
        self.order.offset_bytes + self.verified
    }

    /// The end of the range, widened to whole groups (D5); unknown until the size is.
    pub(super) fn end(&self) -> Option<u64> {
        self.end_of(self.total)
    }

    /// The same, of a blob of this size.
    pub(super) fn end_of(&self, total: Option<u64>) -> Option<u64> {
        let total = total?;
        if self.order.len_bytes == 0 {
            return Some(total);
        }
        Some((self.order.offset_bytes + self.order.len_bytes).next_multiple_of(GROUP).min(total))
    }

    pub(super) fn is_complete(&self) -> bool {
        self.end().is_some_and(|end| self.position() >= end)
    }
}

impl Client {
    pub(super) fn on_order(&mut self, now: Now, order: FetchOrder, out: &mut Outputs) {
        let id = order.id;
        let limits = &self.config.limits;
        if self.fetches.contains_key(&id) {
            // The same order again: it is being carried out.
            return;
        }
        let is_bad = order.candidates.is_empty()
            || !order.offset_bytes.is_multiple_of(GROUP)
            || order.offset_bytes.saturating_add(order.len_bytes) > BLOB_BYTES_MAX
            || !order.max_rate.is_sane();
        let limit = if order.candidates.len() > limits.candidates {
            Some(LimitHit::Candidates)
        } else {
            (self.fetches.len() >= limits.fetches).then_some(LimitHit::Fetches)
        };
        let why = match limit {
            _ if is_bad => Some(FetchFailure::BadOrder),
            Some(limit) => {
                out.limit(Rule::O11, limit);
                Some(FetchFailure::TooMany)
            }
            None => None,
        };
        if let Some(why) = why {
            return out.notice(Notice::FetchFailed { fetch: id, why });
        }
        let record = FetchRecord { order, verified_bytes: 0, total_bytes: None };
        self.persist(Lane::Role, vec![Record::Fetch(record.clone())], out);
        self.adopt_fetch(record, Price::Unasked);
        self.advance(now, id, out);
    }

    /// Moves a waiting download as far as it gets: a channel, a connection, a proof, the request.
    pub(super) fn advance(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let Some(fetch) = self.fetches.get(&id) else { return };
        if fetch.stage != Stage::Waiting || !self.follower.is_read() {
            return;
        }
        if fetch.is_complete() {
            return self.complete(now, id, out);
        }
        let candidate = fetch.candidate();
        let (token, is_quoted, is_quote_due) =
            (fetch.order.token, fetch.is_quoted(now), fetch.is_price_due());
        let usable = self.usable_channel(now, id, out);
        if usable.is_none() && self.is_opening(candidate.node, token) {
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
        let fetch = &self.fetches[&id];
        let (node, token) = (fetch.candidate().node, fetch.order.token);
        let next_group = fetch.end().map_or(GROUP, |end| GROUP.min(end - fetch.position()));
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
        let attempts = self.config.attempts;
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
        let from = fetch.candidate().node;
        let tries = &mut fetch.tries[fetch.current];
        let stays = match failure {
            Failure::Lost | Failure::NeedsChannel => {
                *tries = tries.saturating_add(1);
                *tries < attempts
            }
            Failure::UsedUp => true,
            Failure::Refused => {
                *tries = tries.saturating_add(1);
                false
            }
            Failure::Ban => {
                *tries = BANNED;
                false
            }
            Failure::Pending | Failure::NotNow => {
                fetch.refusals = fetch.refusals.saturating_add(1);
                if fetch.refusals > REFUSALS_MAX {
                    fetch.refusals = 0;
                    *tries = tries.saturating_add(1);
                }
                failure == Failure::Pending && *tries < attempts
            }
        };
        if !stays {
            let count = fetch.order.candidates.len();
            let next =
                (1..=count).map(|step| (fetch.current + step) % count).find(|&i| fetch.tries[i] < attempts);
            let Some(next) = next else {
                let why = fetch.why;
                return self.fail_fetch(now, id, why, out);
            };
            if next != fetch.current {
                fetch.current = next;
                out.notice(Notice::FailedOver { fetch: id, from });
            }
        }
        let wait = self.backoff(id);
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
        fetch.stage = Stage::BackingOff;
        self.tools.alarms.arm(AlarmKey::Fetch(id), now.mono + wait);
    }

    fn backoff(&self, id: FetchId) -> Span {
        let fetch = &self.fetches[&id];
        let tries = fetch.tries[fetch.current];
        let round = u32::from(tries).saturating_add(u32::from(fetch.refusals));
        if round == 0 || (round == 1 && fetch.refusals == 0) {
            return Span(0);
        }
        self.jittered(&id.0.to_le_bytes(), round)
    }

    /// A wait that grows with the round, with jitter (D11). The engine has no randomness: the jitter is a hash of who
    /// waits for what for the how-many-th time, so that clients that were refused together do not come back together.
    pub(super) fn jittered(&self, what: &[u8], round: u32) -> Span {
        let base = self.config.timeouts.backoff.0 << round.saturating_sub(1).min(5);
        let mut seed = vec![];
        seed.extend_from_slice(self.config.account.as_slice());
        seed.extend_from_slice(what);
        seed.extend_from_slice(&round.to_le_bytes());
        let jitter = u64::from(blake3::hash(&seed).as_bytes()[0]);
        Span(base + base * jitter / 1024)
    }

    pub(super) fn on_fetch_due(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let Some(fetch) = self.fetches.get_mut(&id) else { return };
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
            Stage::Waiting => {}
        }
    }

    /// Connecting failed: whoever waits for this node tries the next candidate.
    pub(super) fn on_unreachable(&mut self, now: Now, node: NodeId, out: &mut Outputs) {
        out.unattributed(node, Rule::D10);
        let waiting: alloc::vec::Vec<FetchId> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.stage == Stage::Waiting && fetch.candidate().node == node)
            .map(|(id, _)| *id)
            .collect();
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
        let Some(fetch) = self.fetches.get(&id) else { return };
        let bytes = fetch.verified;
        self.forget_fetch(now, id, Notice::Fetched { fetch: id, bytes }, out);
        self.close_unused(now, out);
        self.leave_idle_peers(now, out);
    }

    pub(super) fn fail_fetch(&mut self, now: Now, id: FetchId, why: FetchFailure, out: &mut Outputs) {
        if !self.fetches.contains_key(&id) {
            return;
        }
        self.forget_fetch(now, id, Notice::FetchFailed { fetch: id, why }, out);
        self.close_unused(now, out);
        self.leave_idle_peers(now, out);
    }

    /// A download is over, and so are its streams: what still comes on them must not count for a later download by
    /// the same name. What it got is stored with its channels first, or it could be counted there and bought again
    /// after a crash (D14). And the owner is told before the record goes: after a crash in between it is told again. The
    /// other way round it would never be, and order everything a second time.
    fn forget_fetch(&mut self, now: Now, id: FetchId, last_words: Notice, out: &mut Outputs) {
        let of_fetch = |stream: &&StreamId| self.fetch_of(stream) == Some(id);
        let streams: alloc::vec::Vec<StreamId> =
            self.links.streams.keys().filter(of_fetch).copied().collect();
        for stream in streams {
            self.drop_stream(now, stream, out);
        }
        let is_live = |slot: &&Slot| self.wallet.channels.get(**slot).is_some();
        let source = self.fetches.get(&id).and_then(|fetch| fetch.sources.iter().find(is_live).copied());
        if let Some(slot) = source {
            // And with it all the others.
            self.persist_paying(slot, out);
        }
        out.notice(last_words);
        if let Some(gone) = self.fetches.remove(&id) {
            self.tools.alarms.forget(AlarmKey::Fetch(id));
            self.persist(Lane::Role, vec![Record::Gone(Key::Fetch(id))], out);
            self.retire_lossy(now, &gone, out);
            if let Stage::Probing(conn) = gone.stage {
                self.drop_probe(now, conn, out);
            }
        }
    }

    /// Nobody will ask for a download's lost bytes any more: the node would count them as exposure for ever, so
    /// their channels end (D8).
    fn retire_lossy(&mut self, now: Now, gone: &Fetch, out: &mut Outputs) {
        let with = |candidate: &Candidate| self.wallet.with(candidate.node).to_vec();
        let slots: alloc::vec::Vec<Slot> = gone.order.candidates.iter().flat_map(with).collect();
        for slot in slots {
            let Some(channel) = self.wallet.channels.get_mut(slot) else { continue };
            let before = channel.lost.len();
            channel.lost.retain(|(of, _)| *of != gone.order.id);
            if channel.lost.len() < before {
                self.retire(now, slot, out);
            }
        }
    }

    /// Closes every open channel that no download may still use and nobody asked to keep.
    pub(super) fn close_unused(&mut self, now: Now, out: &mut Outputs) {
        let is_used = |channel: &Channel| {
            self.fetches.values().any(|fetch| {
                fetch.order.token == channel.paying.token
                    && fetch.order.candidates.iter().any(|candidate| candidate.node == channel.paying.node)
            })
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
