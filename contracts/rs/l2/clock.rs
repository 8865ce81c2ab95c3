//! Block numbers and timestamps: numbers follow the given time, timestamps follow the L1's clock with a skew.

use decdn_engine::{
    chain::Block,
    time::{ChainTime, Span, Time, WallTime},
};

use super::Profile;

/// Time in slots. Block `n` is due at `n` slots and visible once it is produced; without transactions, just
/// after.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    slot: Span,
    genesis: WallTime,
    /// The last block with a transaction.
    last: u64,
    /// While the sequencer is down: the head when it went down.
    down_at: Option<u64>,
    /// Which skew held from which block on; never empty, rising.
    skews: Vec<Skew>,
}

#[derive(Clone, Copy, Debug)]
struct Skew {
    from: u64,
    /// Seconds that `block.timestamp` is ahead of L1.
    secs: i64,
    /// No block of this skew has an earlier timestamp: it is the one before it.
    floor: ChainTime,
}

impl Clock {
    pub(super) fn new(profile: &Profile) -> Self {
        assert!(profile.slot.0 > 0, "a block takes time");
        let skew = Skew { from: 0, secs: 0, floor: ChainTime(0) };
        Self { slot: profile.slot, genesis: profile.genesis, last: 0, down_at: None, skews: vec![skew] }
    }

    /// The L1's clock.
    pub(super) fn l1(&self, now: Time) -> ChainTime {
        ChainTime((self.genesis + Span(now.0)).secs())
    }

    /// The newest block that readers see.
    pub(super) fn head(&self, now: Time) -> Block {
        self.block(self.down_at.unwrap_or_else(|| self.passed(now)).max(self.last))
    }

    /// The newest block that readers saw a while ago.
    pub(super) fn head_before(&self, now: Time, lag: Span) -> Block {
        self.block(self.number_before(now, lag, &self.head(now)))
    }

    /// That block's number, given the newest one.
    pub(super) fn number_before(&self, now: Time, lag: Span, head: &Block) -> u64 {
        self.passed(Time(now.0.saturating_sub(lag.0))).min(head.number)
    }

    /// A block by its number.
    pub(super) fn block(&self, number: u64) -> Block {
        let skew =
            self.skews.iter().rev().find(|skew| skew.from <= number).expect("the first holds from block 0");
        let l1 = self.l1(self.start_of(number));
        let time = ChainTime(l1.0.saturating_add_signed(skew.secs)).max(skew.floor);
        Block { number, time }
    }

    /// Makes the block that collects what is due now. Later than its slot's start it takes the number of the
    /// next slot, because readers were shown this one without transactions.
    pub(super) fn produce(&mut self, now: Time) -> Block {
        self.last = now.0.div_ceil(self.slot.0).max(self.last + 1);
        self.block(self.last)
    }

    pub(super) fn set_skew(&mut self, now: Time, secs: i64) {
        let head = self.head(now);
        self.skews.retain(|skew| skew.from <= head.number);
        self.skews.push(Skew { from: head.number + 1, secs, floor: head.time });
    }

    pub(super) fn set_down(&mut self, now: Time, down: bool) {
        self.down_at = down.then(|| self.head(now).number);
    }

    /// When a block collects what arrived at this time: the next slot's start.
    pub(super) fn collected(&self, arrived: Time) -> Time {
        self.start_of(arrived.0 / self.slot.0 + 1)
    }

    /// The first slot's start that is not before this time.
    pub(super) fn rounded_up(&self, due: Time) -> Time {
        self.start_of(due.0.div_ceil(self.slot.0))
    }

    fn start_of(&self, slot: u64) -> Time {
        Time(slot.saturating_mul(self.slot.0))
    }

    /// The newest slot that has wholly passed into view without a block.
    fn passed(&self, now: Time) -> u64 {
        now.0.div_ceil(self.slot.0).saturating_sub(1)
    }
}
