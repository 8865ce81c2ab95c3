//! Downloads: how far each is, whom it asks, how often an attempt failed, and what is tried next (D10, D11, D14, D17).

mod again;
mod agreement;
mod check;

use alloc::{vec, vec::Vec};

pub use again::Amended;

use super::{AlarmKey, Cx, Timeouts};
use crate::{
    crypto::{Quote, Signature},
    ids::{Address, ConnId, FetchId, NodeId, StreamId},
    io::{FetchFailure, Notice},
    limits::{GROUP, PROBE_WINDOW},
    money::{Amount, MB, Rate},
    order::{Agreement, Candidate},
    record::{FetchRecord, Record},
    state::{Canon, Canonical, Slot, TrackedMap},
    time::{Now, Span, WallTime},
};

/// Unsigned refusals in a row that a candidate may give before they count as an attempt.
const REFUSALS_MAX: u8 = 64;
/// An attempt count that is never tried again.
const BANNED: u8 = u8::MAX;

/// What ended an attempt, and so what comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
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

/// Where a download stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// To be moved along: waits for a channel, a connection, a signature or the chain.
    Waiting,
    /// The node is asked for its price.
    Probing(ConnId),
    /// The node was asked.
    Requested(StreamId),
    /// Content is coming.
    Streaming(StreamId),
    /// Everything is verified; the last voucher has no ack yet.
    Paying(Slot),
    /// Waits before the next attempt.
    BackingOff,
    /// The owner is asked whether to pay the price, and the deposit (D16).
    Asking,
    /// It has failed, or was left by an earlier run: nothing moves it before its owner orders it again (D17).
    Kept,
}

/// What a download knows of a candidate's price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Price {
    /// To be asked for before a channel is opened.
    Unasked,
    /// To be asked for before anything else: it has moved (D11), or was forgotten in a restart.
    Due,
    /// What the candidate has quoted, however long ago.
    Quoted(Quoted),
}

/// What a node said that it would charge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quoted {
    /// Per MB, at most.
    pub rate: Rate,
    /// When it was asked for it.
    pub timestamp: WallTime,
    /// Its signature.
    pub signature: Signature,
    /// The blob's size: unsigned, and only good for an estimate.
    pub total_bytes: Option<u64>,
    /// What a channel has to hold at least that it serves on: unsigned (V4).
    pub least_deposit: Amount,
}

impl Quoted {
    /// Whether a request with this timestamp may present it.
    fn is_young(&self, now: Now) -> bool {
        self.timestamp <= now.wall && now.wall.since(self.timestamp) < PROBE_WINDOW
    }

    /// In the form in which a request presents it, while it may.
    pub fn presented(&self, now: Now) -> Option<Quote> {
        let quote = Quote { rate: self.rate, timestamp: self.timestamp, signature: self.signature };
        self.is_young(now).then_some(quote)
    }
}

/// A download.
#[derive(Clone, Debug)]
pub struct Fetch {
    /// What was ordered, how much of it is verified, and the blob's size once a node has said it.
    pub record: FetchRecord,
    /// Which candidate is being tried.
    current: usize,
    /// Attempts without progress, per candidate.
    tries: Vec<u8>,
    /// Unsigned refusals in a row: they say "later", not "no".
    refusals: u8,
    /// What is known of each candidate's price.
    prices: Vec<Price>,
    /// What the owner has agreed to with each candidate, until an opening uses it up.
    agreed: Vec<Option<Agreement>>,
    /// Whether it was ordered with other terms than those that it began with here: then the digest covers them.
    is_amended: bool,
    /// See [`Stage`].
    pub stage: Stage,
    /// Why it will have failed if no candidate is left.
    pub why: FetchFailure,
    /// Channels whose content it got and whose record does not say so yet: written together with theirs (D14).
    pub sources: Vec<Slot>,
}

impl Fetch {
    fn new(record: FetchRecord, price: Price, stage: Stage) -> Self {
        let candidates = record.order.candidates.len();
        Self {
            record,
            current: 0,
            tries: vec![0; candidates],
            refusals: 0,
            prices: vec![price; candidates],
            agreed: vec![None; candidates],
            is_amended: false,
            stage,
            why: FetchFailure::NoCandidateLeft,
            sources: Vec::new(),
        }
    }

    /// As it is stored.
    pub fn stored(&self) -> Record {
        match self.stage {
            Stage::Kept => Record::Kept(self.record.clone()),
            _ => Record::Fetch(self.record.clone()),
        }
    }

    /// The candidate that is tried now.
    pub fn candidate(&self) -> Candidate {
        self.record.order.candidates[self.current]
    }

    /// First byte still missing, as a position in the blob.
    pub fn position(&self) -> u64 {
        self.record.order.offset_bytes + self.record.verified_bytes
    }

    /// The end of the range, widened to whole groups (D5); unknown until the size is.
    pub fn end(&self) -> Option<u64> {
        self.end_of(self.record.total_bytes)
    }

    /// The same, of a blob of this size.
    fn end_of(&self, total: Option<u64>) -> Option<u64> {
        let (total, order) = (total?, &self.record.order);
        if order.len_bytes == 0 {
            return Some(total);
        }
        Some((order.offset_bytes + order.len_bytes).next_multiple_of(GROUP).min(total))
    }

    /// How much comes next at most: a group, or what is left of the range.
    pub fn next_group(&self) -> u64 {
        self.end().map_or(GROUP, |end| GROUP.min(end.saturating_sub(self.position())))
    }

    /// Whether every byte is verified.
    pub fn is_complete(&self) -> bool {
        self.end().is_some_and(|end| self.position() >= end)
    }

    /// Whether it waits for this candidate: to be connected, for its price, for a channel with it.
    pub fn is_waiting_for(&self, node: NodeId) -> bool {
        self.stage == Stage::Waiting && self.candidate().node == node
    }

    /// These bytes came from this channel, and match.
    pub fn on_verified(&mut self, bytes: u64, source: Slot) {
        self.record.verified_bytes += bytes;
        assert!(
            self.end().is_none_or(|end| self.position() <= end),
            "a download goes no further than its end"
        );
        if !self.sources.contains(&source) {
            self.sources.push(source);
        }
        self.tries[self.current] = 0;
        self.refusals = 0;
    }

    /// What the present candidate has quoted, however long ago.
    pub fn quoted(&self) -> Option<Quoted> {
        match self.prices[self.current] {
            Price::Quoted(quote) => Some(quote),
            Price::Unasked | Price::Due => None,
        }
    }

    /// Notes what is known of the present candidate's price.
    pub fn set_price(&mut self, price: Price) {
        self.prices[self.current] = price;
    }

    /// Whether its price has to be asked for before anything else.
    pub fn is_price_due(&self) -> bool {
        self.prices[self.current] == Price::Due
    }

    /// Whether money may go into a channel with the present candidate.
    pub fn is_quoted(&self, now: Now) -> bool {
        self.quoted().is_some_and(|quote| quote.is_young(now))
    }

    /// The most to pay the present candidate.
    pub fn highest_rate(&self) -> Rate {
        let most = self.record.order.max_rate;
        self.quoted().map_or(most, |quote| quote.rate.min(most))
    }

    /// What goes into a channel with the present candidate: what was ordered, or what the rest costs at the price that it
    /// has quoted, or the least that the candidate serves on. A node's word may double the deposit, no more (V4): `None` where it
    /// wants more than that.
    pub fn deposit(&self) -> Option<Amount> {
        let total = self.record.total_bytes.or(self.quoted().and_then(|quote| quote.total_bytes));
        let left = self.end_of(total).map_or(0, |end| end.saturating_sub(self.position()));
        let rate = u128::from(self.highest_rate().0);
        let rest = u128::from(left).saturating_mul(rate).div_ceil(u128::from(MB));
        let ordered = self.record.order.deposit;
        let most = Amount(ordered.0.saturating_mul(2));
        let least = self.quoted().map_or(Amount::ZERO, |quote| quote.least_deposit);
        (least <= most).then(|| Amount(rest).min(most).max(ordered).max(least))
    }

    /// Counts a failure against the present candidate. Whether that one is tried again.
    fn count(&mut self, failure: Failure, attempts: u8) -> bool {
        let tries = &mut self.tries[self.current];
        match failure {
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
                self.refusals = self.refusals.saturating_add(1);
                if self.refusals > REFUSALS_MAX {
                    self.refusals = 0;
                    *tries = tries.saturating_add(1);
                }
                failure == Failure::Pending && *tries < attempts
            }
        }
    }

    /// The next candidate that has attempts left, the present one last.
    fn next_candidate(&self, attempts: u8) -> Option<usize> {
        let count = self.tries.len();
        (1..=count).map(|step| (self.current + step) % count).find(|&i| self.tries[i] < attempts)
    }

    /// In which round of waiting it is: none before the first retry.
    fn round(&self) -> u32 {
        let round = u32::from(self.tries[self.current]).saturating_add(u32::from(self.refusals));
        if round == 1 && self.refusals == 0 { 0 } else { round }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// Whose jitter it is.
    account: Address,
    attempts: u8,
    timeouts: Timeouts,
    /// Downloads under way.
    pub fetches: TrackedMap<FetchId, Fetch>,
}

impl Fetcher {
    /// Without a download.
    pub fn new(account: Address, attempts: u8, timeouts: Timeouts) -> Self {
        Self { account, attempts, timeouts, fetches: TrackedMap::default() }
    }

    /// Takes up a download.
    pub fn adopt(&mut self, record: FetchRecord, price: Price) {
        assert!(!self.fetches.contains_key(&record.order.id), "a download is taken up once");
        self.fetches.insert(record.order.id, Fetch::new(record, price, Stage::Waiting));
    }

    /// A download has ended.
    pub fn remove(&mut self, id: FetchId, cx: &mut Cx<'_>) -> Fetch {
        cx.tools.alarms.forget(AlarmKey::Fetch(id));
        self.fetches.remove(&id).expect("only a download that is there ends")
    }

    /// Those that `wanted` says, in the order of their names.
    pub fn ids(&self, wanted: impl Fn(&Fetch) -> bool) -> Vec<FetchId> {
        self.fetches.iter().filter(|(_, fetch)| wanted(fetch)).map(|(id, _)| *id).collect()
    }

    /// Whether a download has all its bytes already, or is over.
    pub fn is_paying(&self, id: FetchId) -> bool {
        self.fetches.get(&id).is_none_or(|fetch| matches!(fetch.stage, Stage::Paying(_)))
    }

    /// Sets a download's stage and how long it may stay there (D10).
    pub fn set_stage(&mut self, id: FetchId, stage: Stage, cx: &mut Cx<'_>) {
        let fetch = self.fetches.get_mut(&id).expect("a stage is a download's");
        let is_paying = matches!(stage, Stage::Paying(_));
        assert!(!is_paying || fetch.is_complete(), "a download that is being paid is whole");
        fetch.stage = stage;
        let wait = match stage {
            Stage::Probing(_) | Stage::Requested(_) => Some(self.timeouts.first_chunk),
            Stage::Streaming(_) | Stage::Paying(_) => Some(self.timeouts.silence),
            Stage::Asking => Some(self.timeouts.agreement),
            Stage::Waiting | Stage::BackingOff | Stage::Kept => None,
        };
        match wait {
            Some(wait) => cx.tools.alarms.arm(AlarmKey::Fetch(id), cx.now.mono + wait),
            None => cx.tools.alarms.cancel(AlarmKey::Fetch(id)),
        }
    }

    /// An attempt is over: the download backs off, and goes on with the same candidate or the next. `Some` if none is
    /// left: it has failed, for this reason.
    pub fn on_failure(&mut self, id: FetchId, failure: Failure, cx: &mut Cx<'_>) -> Option<FetchFailure> {
        // Its attempt may have been over when it failed.
        let fetch = self.fetches.get_mut(&id).filter(|fetch| !fetch.is_kept())?;
        let from = fetch.candidate().node;
        if !fetch.count(failure, self.attempts) {
            let Some(next) = fetch.next_candidate(self.attempts) else { return Some(fetch.why) };
            if next != fetch.current {
                fetch.current = next;
                cx.out.notice(Notice::FailedOver { fetch: id, from });
            }
        }
        fetch.stage = Stage::BackingOff;
        let wait = match fetch.round() {
            0 => Span(0),
            round => self.jittered(&id.0.to_le_bytes(), round),
        };
        cx.tools.alarms.arm(AlarmKey::Fetch(id), cx.now.mono + wait);
        None
    }

    /// A wait that grows with the round, with jitter (D11). The engine has no randomness: the jitter is a hash of who
    /// waits for what for the how-many-th time, so that clients that were refused together do not come back together.
    pub fn jittered(&self, what: &[u8], round: u32) -> Span {
        let base = self.timeouts.backoff.0 << round.saturating_sub(1).min(5);
        let mut seed = vec![];
        seed.extend_from_slice(self.account.as_slice());
        seed.extend_from_slice(what);
        seed.extend_from_slice(&round.to_le_bytes());
        let jitter = u64::from(blake3::hash(&seed).as_bytes()[0]);
        Span(base + base * jitter / 1024)
    }
}

impl Canon for Fetch {
    fn canon(&self, out: &mut Canonical) {
        out.tag(b'F');
        let stage = match self.stage {
            Stage::Waiting => 0,
            Stage::Requested(_) => 1,
            Stage::Streaming(_) => 2,
            Stage::Paying(_) => 3,
            Stage::BackingOff => 4,
            Stage::Probing(_) => 5,
            Stage::Asking => 6,
            Stage::Kept => 7,
        };
        out.tag(stage);
        if self.is_amended {
            self.canon_terms(out);
        }
        for price in &self.prices {
            match price {
                Price::Unasked => out.tag(0),
                Price::Due => out.tag(1),
                Price::Quoted(quote) => {
                    out.tag(2);
                    out.number(quote.rate.0);
                    out.number(quote.timestamp.0);
                }
            }
        }
        out.tag(self.refusals);
        let FetchRecord { order, verified_bytes, total_bytes } = &self.record;
        for number in
            [order.id.0, *verified_bytes, total_bytes.map_or(0, |total| total + 1), self.current as u64]
        {
            out.number(number);
        }
        out.bytes(&self.tries);
        for (place, agreed) in self.agreed.iter().enumerate() {
            if let Some(Agreement { rate, deposit }) = agreed {
                out.number(place as u64);
                out.number(rate.0);
                out.large(deposit.0);
            }
        }
    }
}
