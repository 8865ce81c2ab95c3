//! Following the chain: heads, how far it was read, and when it is read again (V1, X1, L1, L3).

mod heads;
mod prices;
mod reading;

use alloc::{vec, vec::Vec};

use heads::{Heads, Judged};
use prices::Prices;
use reading::Reading;

use super::{AlarmKey, Cx};
use crate::{
    chain::{ChainUpdate, Checkpoint, Interest, Openings},
    dispute::{Monitor, Outlook},
    fault::{LimitHit, Rule},
    io::{Effect, Lane, Notice},
    record::Record,
    state::{Broken, Canon, Canonical, Checked, Invariant, holds},
    time::{Now, Span, Time},
    worth::Market,
};

/// Chain and wall clock further apart than this: no credit (L3).
const CLOCK_DRIFT_MAX: Span = Span::from_hours(1);

/// Two answers about the chain count as two if they are so far apart (L3, L4).
const APART: Span = Span::from_secs(30);

/// So many times as many events as an update may bring are remembered, for reading their blocks twice.
const REMEMBERED: usize = 4;

/// How soon to read on where an update did not reach the head, or a block that is known to exist.
const LOOK_AGAIN: Span = Span::from_millis(500);

/// What a role has heard of the chain.
#[derive(Clone, Debug)]
pub struct Follower {
    monitor: Monitor,
    /// Where reading begins where nobody knows better: nothing of interest is before it.
    start_block: u64,
    /// What is read.
    interests: Vec<Interest>,
    heads: Heads,
    /// Whether the head of the update that is being taken counts (L4).
    counts: bool,
    /// Of several endpoints no two agreed when they were last asked (L4).
    is_alone: bool,
    /// Since when they don't agree about all that happened below their head.
    contested_since: Option<Time>,
    /// Nor would they sooner for being asked at once.
    is_contested: bool,
    is_clock_sane: bool,
    /// The first of the heads in a row that are off, with when it was heard.
    off_since: Option<(u64, Time)>,
    is_off: bool,
    reading: Reading,
    /// What holds the durable cursor back.
    pub checkpoint: Checkpoint,
    /// Openings that are not safe.
    pub openings: Openings,
    /// From where the answer on its way tells; what is not asked for may be about anything.
    asked_from: u64,
    /// A block whose events are still to be read.
    awaited: u64,
    forced_inclusion: Span,
    prices: Prices,
    is_polling: bool,
    /// Whether the head was reached once since the start.
    is_read: bool,
}

impl Follower {
    /// Reads what these are about, from this block on.
    pub fn new(start_block: u64, monitor: Monitor, interests: Vec<Interest>) -> Self {
        Self {
            monitor,
            start_block,
            interests,
            heads: Heads::default(),
            counts: false,
            is_alone: false,
            contested_since: None,
            is_contested: false,
            is_clock_sane: true,
            off_since: None,
            is_off: false,
            reading: Reading::at(start_block),
            checkpoint: Checkpoint::at(start_block),
            openings: Openings::default(),
            asked_from: 0,
            awaited: 0,
            forced_inclusion: monitor.forced_inclusion,
            prices: Prices::default(),
            is_polling: false,
            is_read: false,
        }
    }

    /// The durable cursor, where a start goes on (O12).
    pub fn recover(&mut self, block: u64) {
        assert!(!self.is_polling && self.heads.at().is_none(), "a start comes before all news");
        let block = block.max(self.reading.next_block());
        self.reading = Reading::at(block);
        self.checkpoint = Checkpoint::at(block);
    }

    /// Whether the head was reached once since the start: whatever is older was told.
    pub fn is_read(&self) -> bool {
        self.is_read
    }

    /// The safe head's number (L1).
    pub fn safe(&self) -> u64 {
        self.heads.safe()
    }

    /// The first block that was not read twice (L4).
    pub fn confirmed(&self) -> u64 {
        self.reading.confirmed()
    }

    /// Whether two heads, different ones some time apart, were off (L3): one may be a slip, and one that is heard again is only old.
    pub fn is_clock_off(&self) -> bool {
        self.is_off
    }

    /// The first block that is not read to its end.
    pub fn next_block(&self) -> u64 {
        self.reading.next_block()
    }

    /// The newest head's number.
    pub fn head(&self) -> u64 {
        self.heads.head().number
    }

    /// Whether everything up to the newest head was taken.
    pub fn is_caught_up(&self) -> bool {
        self.has_read(self.head())
    }

    /// Whether this block's events were taken to the last.
    pub fn has_read(&self, block: u64) -> bool {
        self.reading.next_block() > block
    }

    /// What disputes go by.
    pub fn outlook(&self) -> Outlook {
        Outlook {
            monitor: self.monitor,
            head_time: self.heads.head().time,
            head_at: self.heads.at().unwrap_or_default(),
            forced_inclusion: self.forced_inclusion,
            market: Market { gas_price: self.prices.lowest(), factor: self.monitor.factor },
        }
    }

    /// L4: whether what costs money may be begun: two endpoints agreed when they were last asked, or there is but one.
    pub fn may_spend(&self) -> bool {
        !self.is_alone
    }

    /// V1 and L3: the newest head is young, and its clock is near ours. By its timestamp, or an endpoint that lags would
    /// be believed; and by when it was heard, because the chain's clock may run ahead and ours be set back. Of several endpoints two have
    /// to have it (L4): where only one answers, this ends with that age.
    pub fn may_extend_credit(&self, now: Now, age_max: Span) -> bool {
        let is_heard = self.heads.at().is_some_and(|at| now.mono.since(at) < age_max);
        let is_young = now.wall.since(self.heads.head().time.wall()) < age_max;
        let is_clear = self.contested_since.is_none_or(|since| now.mono.since(since) < age_max);
        is_heard && is_young && is_clear && self.is_clock_sane
    }

    /// Asks for news, unless an answer is on its way.
    pub fn poll(&mut self, cx: &mut Cx<'_>) {
        if !self.is_polling {
            self.is_polling = true;
            self.asked_from = self.reading.from();
            let (from_block, interests) = (self.asked_from, self.interests.clone());
            cx.out.push(Lane::Role, Effect::Poll { from_block, interests });
        }
        self.rest(cx);
    }

    /// A transaction of ours is in this block: read it.
    pub fn await_block(&mut self, block: u64, cx: &mut Cx<'_>) {
        self.awaited = self.awaited.max(block);
        self.poll(cx);
    }

    /// No endpoint answers: try again when it is time.
    pub fn on_unreachable(&mut self, cx: &mut Cx<'_>) {
        self.is_polling = false;
        self.rest(cx);
    }

    fn rest(&self, cx: &mut Cx<'_>) {
        cx.tools.alarms.arm(AlarmKey::Poll, cx.now.mono + self.monitor.poll);
    }

    /// Reads on soon, whatever the interval.
    pub fn look_again(&self, cx: &mut Cx<'_>) {
        cx.tools.alarms.arm_by(AlarmKey::Poll, cx.now.mono + LOOK_AGAIN);
    }

    /// First of an update: what it takes back. From which block on what was heard is undone, to be heard again. Nothing is
    /// that the safe head has, whoever says so. A head that is another block than before is a fork even if nobody says so.
    pub fn on_fork(&mut self, update: &ChainUpdate, cx: &mut Cx<'_>) -> Option<u64> {
        if !update.is_agreed() {
            return None;
        }
        let (head, safe) = (self.heads.head(), self.safe());
        let is_other = update.head.number == head.number && update.head.hash != head.hash;
        let silent = (is_other && self.heads.at().is_some()).then(|| safe.saturating_add(1));
        let forked_at = update.forked_at.or(silent)?;
        if update.forked_at.is_none() {
            // It does not begin where it would have to.
            self.asked_from = u64::MAX;
        }
        if forked_at <= safe {
            cx.out.limit(Rule::L1, LimitHit::SafeBlocks);
        }
        let first = forked_at.max(safe.saturating_add(1));
        self.reading.rewind(first);
        assert!(self.reading.next_block() <= first, "what was taken back is read again (L1)");
        self.awaited = self.awaited.min(first);
        if first <= head.number {
            self.heads.forget();
        }
        Some(first)
    }

    /// Then its heads.
    pub fn on_heads(&mut self, update: &ChainUpdate, cx: &mut Cx<'_>) {
        self.is_polling = false;
        self.is_alone = !update.is_agreed();
        self.note_contest(update, cx.now);
        self.counts = !self.is_alone;
        if self.is_alone {
            return;
        }
        let judged = self.heads.hear(cx.now, update);
        self.counts = judged != Judged::Suspect;
        let head = self.heads.head();
        match judged {
            Judged::Suspect => {
                // It is confirmed, or not, as soon as that can be.
                cx.tools.alarms.arm_by(AlarmKey::Poll, cx.now.mono + APART);
                return cx.out.limit(Rule::L4, LimitHit::FarHead);
            }
            Judged::Confirmed => cx.out.notice(Notice::HeadConfirmed { block: head.number, time: head.time }),
            Judged::FellBack => {
                // What was read behind it was another chain's, or nobody's.
                self.reading.rewind(self.checkpoint.block());
                self.awaited = 0;
                cx.out.notice(Notice::HeadConfirmed { block: head.number, time: head.time });
            }
            Judged::Newest | Judged::Known => {}
        }
        if judged != Judged::Known && self.reading.from() > head.number.saturating_add(1) {
            self.reading.rewind(self.start_block);
            self.checkpoint.fall_back(self.start_block);
            cx.tools.persist(Lane::Role, vec![Record::Cursor(self.start_block)], cx.out);
        }
        if judged != Judged::Known {
            self.is_clock_sane = head.time.wall().distance(cx.now.wall) <= CLOCK_DRIFT_MAX;
            self.note_drift(cx.now);
        }
        self.forced_inclusion = update.forced_inclusion;
        self.prices.hear(cx.now, update.endpoint, update.gas_price);
    }

    fn note_contest(&mut self, update: &ChainUpdate, now: Now) {
        let is_short = update.quorum.is_some() && update.next <= update.head.number;
        self.is_contested = is_short && update.next <= self.next_block();
        if !is_short {
            self.contested_since = None;
        } else if self.is_contested {
            self.contested_since.get_or_insert(now.mono);
        }
    }

    fn note_drift(&mut self, now: Now) {
        if self.is_clock_sane {
            (self.off_since, self.is_off) = (None, false);
            return;
        }
        let head = self.head();
        let (number, since) = *self.off_since.get_or_insert((head, now.mono));
        self.is_off = number != head && now.mono.since(since) >= APART;
    }

    /// Then its events: which of them are taken now, by their places. None, if it does not begin where they are to be read again.
    pub fn take(&mut self, update: &ChainUpdate, cap: usize, cx: &mut Cx<'_>) -> Vec<usize> {
        if self.is_alone {
            return Vec::new();
        }
        let begins = core::mem::take(&mut self.asked_from).min(update.forked_at.unwrap_or(u64::MAX));
        if begins > self.reading.next_block() {
            return Vec::new();
        }
        let took = self.reading.take(cx.now.mono, update, self.counts, (cap, cap.saturating_mul(REMEMBERED)));
        assert!(took.events.len() <= cap, "the rest waits for the next answer (O11)");
        if took.is_cut || took.is_overrun {
            cx.out.limit(Rule::O11, LimitHit::ChainEvents);
        }
        took.events
    }

    /// After the events: is there more to read?
    pub fn read_on(&self, cx: &mut Cx<'_>) {
        let is_apart = self.is_alone || self.is_contested;
        if !is_apart && self.heads.at().is_some() && self.next_block() <= self.awaited.max(self.head()) {
            self.look_again(cx);
        }
    }

    /// At last: the cursor to the disk, if it is worth a write.
    pub fn store(&mut self, cx: &mut Cx<'_>) {
        let before = self.checkpoint.block();
        if !self.counts {
            return;
        }
        if let Some(block) = self.checkpoint.advance(self.reading.confirmed(), self.safe()) {
            assert!(block >= before, "the durable cursor never goes back (O12)");
            assert!(block <= self.next_block(), "the durable cursor is not ahead of what was read (O12)");
            cx.tools.persist(Lane::Role, vec![Record::Cursor(block)], cx.out);
        }
    }

    /// Whether this update reached the head for the first time since the start.
    pub fn on_reached(&mut self) -> bool {
        let is_reached = self.counts && self.is_caught_up();
        is_reached && !core::mem::replace(&mut self.is_read, true)
    }

    /// What holds of what was heard.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::of("who has read the chain has heard of a head", Self::has_head),
        Invariant::tie("a clock that is off was off before, and is not sane", Self::is_drift_shown),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn has_head(&self) -> Checked {
        let (is_known, next) = (self.heads.is_known(), self.next_block());
        holds!(!self.is_read || is_known, "none at block {next}");
        Ok(())
    }

    fn is_drift_shown(&self) -> Checked {
        let is_shown = self.off_since.is_some() && !self.is_clock_sane;
        holds!(!self.is_off || is_shown, "since {:?}", self.off_since);
        Ok(())
    }

    /// Where nobody says what gas costs nothing depends on it.
    fn canon_gas(&self, out: &mut Canonical) {
        let price = self.prices.lowest();
        if !price.is_unknown() {
            out.tag(b'g');
            out.number(price.0);
        }
    }

    /// How a buying role's digest has it.
    pub fn canon_for_client(&self, has_proof: bool, out: &mut Canonical) {
        out.tag(u8::from(has_proof) | u8::from(self.is_read) << 1 | u8::from(self.is_polling) << 2);
        let read = [self.next_block(), self.reading.confirmed(), self.checkpoint.block(), self.awaited];
        for number in read.into_iter().chain([self.heads.head().time.0, self.forced_inclusion.0]) {
            out.number(number);
        }
        self.canon_gas(out);
        self.heads.canon(out);
    }
}

impl Canon for Follower {
    fn canon(&self, out: &mut Canonical) {
        out.tag(b'h');
        out.tag(
            u8::from(self.is_polling)
                | u8::from(self.is_clock_sane) << 1
                | u8::from(self.heads.at().is_some()) << 2
                | u8::from(self.is_off) << 3,
        );
        let numbers = [
            self.head(),
            self.heads.head().time.0,
            self.safe(),
            self.next_block(),
            self.reading.confirmed(),
            self.checkpoint.block(),
            self.forced_inclusion.0,
        ];
        for number in numbers {
            out.number(number);
        }
        self.canon_gas(out);
        self.heads.canon(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Case, each_fails};

    fn fresh() -> Follower {
        Follower::new(5, Monitor::default(), Vec::new())
    }

    #[test]
    fn each_invariant_of_following_can_fail() {
        let cases: [Case<Follower>; 2] = [
            ("who has read the chain has heard of a head", fresh, |it| it.is_read = true),
            ("a clock that is off was off before, and is not sane", fresh, |it| it.is_off = true),
        ];
        each_fails(Follower::INVARIANTS, &cases, |follower| assert!(follower.check().is_err()));
    }
}
