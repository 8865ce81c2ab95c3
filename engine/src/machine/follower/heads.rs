//! Which heads are believed (L4). An endpoint may answer with another chain's head, or with nonsense: nothing that one of them says
//! once is for good.

use super::APART;
use crate::{
    chain::{BlockRef, ChainUpdate},
    state::Canonical,
    time::{ChainTime, Now, Span, Time},
};

/// So far above the newest head one may be at any time.
const SLACK_BLOCKS: u64 = 1_000;
/// And so much further for each second since that one's timestamp: four times as fast as the profile's blocks come (L1).
const BLOCKS_A_SECOND: u64 = 16;
/// So far ahead of the wall clock a head's time may be: the chain's clock may run an hour ahead, and ours differ by a minute.
const TIME_AHEAD: Span = Span::from_secs(3_660);
/// The first head of all has to be so near.
const FIRST_NEAR: Span = Span::from_secs(900);
/// So many polls in a row make up for a second endpoint.
const POLLS: u8 = 3;
/// So long one has to hear of lower heads before the higher one counts as wrong.
const BEHIND: Span = Span::from_secs(60);

/// What is made of a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Judged {
    /// It is the newest one from here on.
    Newest,
    /// Nothing new.
    Known,
    /// It is too far ahead of what is known, in number or time: what was read below it counts, it does not.
    Suspect,
    /// A suspect one that was confirmed.
    Confirmed,
    /// What was the newest one was wrong: this one is it.
    FellBack,
}

/// Heads that are not what was expected, in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Doubt {
    is_ahead: bool,
    number: u64,
    endpoint: u8,
    polls: u8,
    since: Time,
    last: Time,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    head: BlockRef,
    /// When it was heard of; `None` before the first one, and where a fork took it back.
    at: Option<Time>,
    /// What the next one is compared with, forks or not.
    last: Option<(u64, ChainTime)>,
    safe: u64,
    doubt: Option<Doubt>,
}

impl Heads {
    /// The newest head.
    pub fn head(&self) -> BlockRef {
        self.head
    }

    /// When it was heard of.
    pub fn at(&self) -> Option<Time> {
        self.at
    }

    /// The safe head's number.
    pub fn safe(&self) -> u64 {
        self.safe
    }

    /// Whether one ever counted, though a fork may have taken it back.
    pub fn is_known(&self) -> bool {
        self.last.is_some()
    }

    /// The newest head is not on the chain any more.
    pub fn forget(&mut self) {
        self.head = BlockRef::default();
        self.at = None;
    }

    /// What is made of an update's head. One that counts brings its safe head, which is never above it.
    pub fn hear(&mut self, now: Now, update: &ChainUpdate) -> Judged {
        let head = update.head;
        let judged = if self.is_too_far(now, head) {
            match self.is_confirmed(now, update, true) {
                true => Judged::Confirmed,
                false => Judged::Suspect,
            }
        } else if self.last.is_some_and(|(number, _)| head.number < number) && update.forked_at.is_none() {
            match self.is_confirmed(now, update, false) {
                true => Judged::FellBack,
                false => Judged::Known,
            }
        } else {
            self.doubt = None;
            let is_newer = head.number > self.head.number || self.at.is_none();
            if is_newer { Judged::Newest } else { Judged::Known }
        };
        match judged {
            Judged::Newest | Judged::Confirmed | Judged::FellBack => {
                self.head = head;
                self.at = Some(now.mono);
                self.last = Some((head.number, head.time));
                self.doubt = None;
            }
            Judged::Known | Judged::Suspect => {}
        }
        match judged {
            Judged::Suspect => {}
            Judged::FellBack => self.safe = update.safe.min(head.number),
            _ => self.safe = self.safe.max(update.safe.min(self.head.number)),
        }
        judged
    }

    fn is_too_far(&self, now: Now, head: BlockRef) -> bool {
        match self.last {
            None => head.time.wall().distance(now.wall) > FIRST_NEAR,
            Some((number, time)) => {
                let blocks = now.wall.since(time.wall()).0 / 1_000_000 * BLOCKS_A_SECOND;
                let most = number.saturating_add(SLACK_BLOCKS).saturating_add(blocks);
                // Where the chain's clock is ahead of ours, and that was confirmed, it goes on from there.
                let passed = self.at.map_or(Span(0), |at| now.mono.since(at));
                let leap = head.time.since(time).0.saturating_sub(passed.0);
                let is_early = head.time.wall().since(now.wall) > TIME_AHEAD && leap > TIME_AHEAD.0;
                head.number > most || is_early
            }
        }
    }

    /// Whether a head that is not what was expected has been said by two endpoints, or often enough by one; those in a row extend
    /// each other, or they are no row.
    fn is_confirmed(&mut self, now: Now, update: &ChainUpdate, is_ahead: bool) -> bool {
        let (number, endpoint) = (update.head.number, update.endpoint);
        if is_ahead && update.quorum.as_ref().is_some_and(|quorum| quorum.is_agreed) {
            return true;
        }
        let goes_on = |doubt: &&mut Doubt| {
            doubt.is_ahead == is_ahead && number >= doubt.number && update.forked_at.is_none()
        };
        let Some(doubt) = self.doubt.as_mut().filter(goes_on) else {
            let (since, last) = (now.mono, now.mono);
            self.doubt = Some(Doubt { is_ahead, number, endpoint, polls: 1, since, last });
            return false;
        };
        if now.mono.since(doubt.last) >= APART {
            doubt.polls = doubt.polls.saturating_add(1);
            doubt.last = now.mono;
        }
        doubt.number = number;
        let is_often = doubt.polls >= POLLS && (is_ahead || now.mono.since(doubt.since) >= BEHIND);
        is_often || doubt.endpoint != endpoint
    }

    /// Canonical bytes for the digest.
    pub fn canon(&self, out: &mut Canonical) {
        let doubt = self.doubt.map_or(0, |doubt| 1 + u64::from(doubt.polls) * 2 + u64::from(doubt.is_ahead));
        out.number(doubt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallTime;

    const START: u64 = 1_700_000_000;

    fn now(secs: u64) -> Now {
        Now { mono: Time(secs * 1_000_000), wall: WallTime((START + secs) * 1_000_000) }
    }

    fn update(number: u64, secs: u64, endpoint: u8) -> ChainUpdate {
        let head = BlockRef { number, time: ChainTime(START + secs), ..BlockRef::default() };
        ChainUpdate { head, safe: number, endpoint, ..ChainUpdate::default() }
    }

    fn heads() -> Heads {
        let mut heads = Heads::default();
        assert_eq!(heads.hear(now(0), &update(100, 0, 0)), Judged::Newest);
        heads
    }

    #[test]
    fn l4_a_head_too_far_ahead_in_number_or_time_counts_once_it_is_confirmed() {
        for (number, secs) in [(100 + 1_000 + 16 * 120 + 1, 60), (300_000_000, 60), (340, 120 + 3_661)] {
            let mut heads = heads();
            assert_eq!(heads.hear(now(60), &update(number, secs, 0)), Judged::Suspect, "{number}");
            assert_eq!((heads.head().number, heads.safe()), (100, 100), "nothing has moved");
            // Too soon; then the second and the third of a row.
            assert_eq!(heads.hear(now(70), &update(number, secs, 0)), Judged::Suspect);
            assert_eq!(heads.hear(now(90), &update(number, secs, 0)), Judged::Suspect);
            assert_eq!(heads.hear(now(120), &update(number, secs, 0)), Judged::Confirmed);
            assert_eq!(heads.head().number, number);
        }
    }

    #[test]
    fn l4_a_second_endpoint_confirms_at_once_and_a_right_head_ends_the_row() {
        let mut heads = heads();
        assert_eq!(heads.hear(now(60), &update(50_000, 60, 0)), Judged::Suspect);
        assert_eq!(heads.hear(now(61), &update(340, 60, 0)), Judged::Newest);
        assert_eq!(heads.hear(now(91), &update(50_000, 60, 0)), Judged::Suspect);
        assert_eq!(heads.hear(now(92), &update(50_001, 60, 1)), Judged::Confirmed);
    }

    /// A chain whose clock is ahead of ours is doubted once.
    #[test]
    fn l4_what_was_confirmed_goes_on_from_there() {
        let mut heads = heads();
        assert_eq!(heads.hear(now(60), &update(340, 90_000, 0)), Judged::Suspect);
        assert_eq!(heads.hear(now(61), &update(341, 90_000, 1)), Judged::Confirmed);
        assert_eq!(heads.hear(now(121), &update(581, 90_060, 1)), Judged::Newest);
        assert_eq!(heads.hear(now(181), &update(821, 180_000, 1)), Judged::Suspect, "but for another leap");
    }

    #[test]
    fn l4_within_the_limits_a_head_counts_at_once() {
        let mut heads = heads();
        assert_eq!(heads.hear(now(60), &update(100 + 1_000 + 16 * 60, 60 + 3_660, 0)), Judged::Newest);
    }

    #[test]
    fn l4_heads_behind_the_newest_one_for_a_minute_mean_that_it_was_wrong() {
        let mut heads = heads();
        let lower = |heads: &mut Heads, secs| heads.hear(now(secs), &update(90, secs, 0));
        assert_eq!([lower(&mut heads, 10), lower(&mut heads, 40)], [Judged::Known; 2]);
        assert_eq!(lower(&mut heads, 70), Judged::FellBack);
        assert_eq!((heads.head().number, heads.safe()), (90, 90));
        let mut heads = self::heads();
        assert_eq!(lower(&mut heads, 10), Judged::Known);
        assert_eq!(heads.hear(now(11), &update(90, 11, 1)), Judged::FellBack);
    }

    #[test]
    fn l4_the_first_head_is_near_the_wall_clock_or_is_confirmed() {
        for secs in [902, 20_000] {
            let mut heads = Heads::default();
            assert_eq!(heads.hear(now(0), &update(5, secs, 0)), Judged::Suspect);
            assert_eq!(heads.at(), None);
            assert_eq!(heads.hear(now(1), &update(6, secs, 1)), Judged::Confirmed);
        }
        assert_eq!(Heads::default().hear(now(0), &update(5, 900, 0)), Judged::Newest);
    }
}
