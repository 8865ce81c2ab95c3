//! The L2 without any contract: when transactions are included, who can keep them out for how long, and what
//! readers see.

use std::collections::{BTreeMap, BTreeSet};

use decdn_contracts::{
    Curves, L2, Machine, Policy, Profile,
    backend::{Events, Sender},
    l2::{CantForce, TxId},
};
use decdn_engine::{
    chain::{Block, BlockRef, ChainEvent, Interest, channel::EventKind},
    crypto::Crypto,
    ids::{Address, ChannelId},
    money::Amount,
    time::{ChainTime, Span, Time},
};
use proptest::prelude::*;

const SLOT: u64 = 250_000;
const HOUR: Span = Span::from_hours(1);

/// Executes nothing and reports one opening per transaction.
#[derive(Clone, Default)]
struct Recorder {
    executed: Vec<(Block, u64)>,
}

#[derive(Clone, Copy)]
struct Note {
    from: Address,
    number: u64,
}

impl Sender for Note {
    fn sender(&self) -> Address {
        self.from
    }

    fn selector(&self) -> [u8; 4] {
        [self.number as u8; 4]
    }
}

struct Noted([ChainEvent; 1]);

impl Events for Noted {
    fn events(&self) -> &[ChainEvent] {
        &self.0
    }
}

impl Machine for Recorder {
    type Tx = Note;
    type Receipt = Noted;

    fn execute(&mut self, block: Block, tx: &Note, _: &dyn Crypto) -> Noted {
        self.executed.push((block, tx.number));
        let (client, node) = (tx.from, account(200));
        let kind = EventKind::Opened {
            client,
            node,
            token: Address::ZERO,
            deposit: Amount(1),
            window_secs: 172_800,
        };
        Noted([ChainEvent::of_channel(block, opened_by(tx.number), kind)])
    }
}

/// The channel of a transaction's opening.
fn opened_by(number: u64) -> ChannelId {
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_be_bytes());
    ChannelId(id)
}

fn account(n: u8) -> Address {
    Address::repeat_byte(n)
}

fn note(from: u8, number: u64) -> Note {
    Note { from: account(from), number }
}

fn chain() -> L2<Recorder> {
    L2::new(Recorder::default(), Profile::arbitrum())
}

/// Produces everything that is due until a time.
fn run_until(l2: &mut L2<Recorder>, from: Time, until: Time) -> Vec<(TxId, Time)> {
    let (mut now, mut included) = (from, Vec::new());
    while let Some(at) = l2.next_block_at(now).filter(|at| *at <= until) {
        now = at;
        let block = l2.produce(now, &Curves::new(), |_| 0);
        assert!(!block.is_empty(), "a block that is due holds something");
        included.extend(block.into_iter().map(|tx| (tx.id, now)));
    }
    included
}

#[test]
fn an_honest_sequencer_includes_in_the_next_slot() {
    let mut l2 = chain();
    for arrived in [0, 1, SLOT - 1, SLOT, 10 * SLOT + 7] {
        let id = l2.submit(Time(arrived), note(1, 0));
        let due = Time((arrived / SLOT + 1) * SLOT);
        assert_eq!(l2.next_block_at(Time(arrived)), Some(due));
        assert!(l2.produce(Time(due.0 - 1), &Curves::new(), |_| 0).is_empty());
        assert_eq!(run_until(&mut l2, Time(arrived), due), [(id, due)]);
        assert_eq!(l2.next_block_at(due), None);
    }
}

#[test]
fn the_tie_breaker_orders_a_block() {
    let mut l2 = chain();
    let ids: Vec<TxId> = (0..3).map(|n| l2.submit(Time(n), note(1, n))).collect();
    let mut asked = Vec::new();
    let block = l2.produce(Time(SLOT), &Curves::new(), |n| {
        asked.push(n);
        n - 1
    });
    assert_eq!(asked, [3, 2]);
    assert_eq!(block.iter().map(|tx| tx.id).collect::<Vec<_>>(), [ids[2], ids[1], ids[0]]);
}

#[test]
fn l2_an_honest_sequencer_takes_the_inbox_after_its_delay() {
    let mut l2 = chain();
    let queued = l2.submit_inbox(Time(5), note(1, 0));
    let due = Time((Profile::arbitrum().inbox_delay.0 + 5).next_multiple_of(SLOT));
    assert_eq!(run_until(&mut l2, Time(5), Time(0) + HOUR), [(queued.id, due)]);
    assert!(!l2.is_waiting(queued.id));
}

#[test]
fn l2_a_censored_account_gets_in_by_force_and_no_earlier() {
    for policy in [Policy::Censor(BTreeSet::from([account(1)])), Policy::Down] {
        let mut l2 = chain();
        l2.set_policy(Time(0), policy);
        let start = Time(0) + HOUR;
        let ignored = l2.submit(start, note(1, 0));
        let queued = l2.submit_inbox(start, note(1, 1));
        assert_eq!(queued.forcible.0, queued.at.0 + 24 * 3_600);
        let early = start + Span(24 * HOUR.0 - 1);
        assert_eq!(run_until(&mut l2, start, early), []);
        let too_early = Err(CantForce::TooEarly { forcible: queued.forcible });
        assert_eq!(l2.force_include(early, queued.id), too_early);
        let now = Time(early.0 + 1);
        assert_eq!(l2.l1_clock(now), queued.forcible);
        assert_eq!(l2.force_include(now, ignored), Err(CantForce::NotQueued));
        assert_eq!(l2.force_include(now, queued.id), Ok(()));
        assert_eq!(run_until(&mut l2, now, now + HOUR), [(queued.id, Time(now.0 + SLOT))]);
        assert!(l2.is_waiting(ignored), "what only the sequencer knows is not forced");
    }
}

#[test]
fn l2_the_inbox_keeps_its_order_even_behind_a_censored_message() {
    let mut l2 = chain();
    l2.set_policy(Time(0), Policy::Censor(BTreeSet::from([account(1)])));
    let first = l2.submit_inbox(Time(0), note(2, 0)).id;
    let censored = l2.submit_inbox(Time(1), note(1, 1)).id;
    let behind = l2.submit_inbox(Time(2), note(2, 2)).id;
    let included = run_until(&mut l2, Time(2), Time(0) + HOUR);
    assert_eq!(included.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first]);
    let now = Time(2) + Span::from_hours(25);
    assert_eq!(l2.force_include(now, censored), Ok(()));
    let included = run_until(&mut l2, now, now + HOUR);
    assert_eq!(included.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [censored, behind]);
}

#[test]
fn l2_what_another_l1_was_forced_to_take_is_in_the_next_block_behind_what_waits_here() {
    for policy in [Policy::Censor(BTreeSet::from([account(1)])), Policy::Down] {
        let mut l2 = chain();
        l2.set_policy(Time(0), policy);
        let older = l2.submit_inbox(Time(0), note(1, 0)).id;
        let forced = l2.submit_forced(Time(0), note(1, 1));
        assert_eq!(run_until(&mut l2, Time(0), Time(0) + HOUR), [older, forced].map(|id| (id, Time(SLOT))));
    }
}

#[test]
fn a_chain_that_is_down_stands_still_and_catches_up() {
    let mut l2 = chain();
    let hour = Time(0) + HOUR;
    let head = l2.head(hour);
    l2.set_policy(hour, Policy::Down);
    assert_eq!(l2.head(hour + HOUR), head);
    assert_eq!(l2.safe(hour + HOUR), head);
    l2.set_policy(hour + HOUR, Policy::Honest);
    assert!(l2.head(hour + HOUR).number > head.number);
}

#[test]
fn the_safe_head_lags() {
    let l2 = chain();
    let now = Time(0) + HOUR;
    let lag = Profile::arbitrum().safe_lag;
    assert_eq!(l2.safe(now).number, l2.head(now).number - lag.0 / SLOT);
    assert_eq!(l2.safe(Time(1)).number, 0);
}

/// What may happen to a chain, with the time that passes before it.
#[derive(Clone, Debug)]
enum Event {
    Submit(u8),
    Inbox(u8),
    ForceNewest,
    Policy(u8),
    Skew(i64),
    Produce,
    Poll,
}

/// Of one of three accounts, one of the first transactions, or all.
fn interest() -> impl Strategy<Value = Interest> {
    prop_oneof![
        2 => (1..4u8).prop_map(|n| Interest::ChannelsOf(account(n))),
        2 => (1..20u64).prop_map(|number| Interest::Channel(opened_by(number))),
        1 => Just(Interest::Channels),
    ]
}

fn event() -> impl Strategy<Value = (u64, Event)> {
    let wait = prop_oneof![Just(0), 1..SLOT, (0..8u64).prop_map(|n| n * SLOT), Just(13 * HOUR.0)];
    let what = prop_oneof![
        4 => (1..4u8).prop_map(Event::Submit),
        1 => (1..4u8).prop_map(Event::Inbox),
        1 => Just(Event::ForceNewest),
        1 => (0..3u8).prop_map(Event::Policy),
        1 => (-90_000..5_000i64).prop_map(Event::Skew),
        3 => Just(Event::Produce),
        4 => Just(Event::Poll),
    ];
    (wait, what)
}

proptest! {
    #[test]
    fn o8_polls_that_follow_each_other_miss_nothing_and_repeat_nothing(
        events in prop::collection::vec(event(), 1..80),
        cap in 1..4usize,
        interests in prop::collection::vec(interest(), 1..4),
    ) {
        let mut l2 = chain();
        let (mut now, mut number) = (Time(0), 0);
        let (mut next, mut heard) = (0, Vec::new());
        let mut newest = None;
        let mut sent = BTreeMap::new();
        let produce = |l2: &mut L2<Recorder>, now| {
            // Any due time up to now may come first: the driver may be late.
            l2.produce(now, &Curves::new(), |n| n / 2);
        };
        for (wait, event) in events {
            now = now + Span(wait);
            match event {
                Event::Submit(from) => {
                    number += 1;
                    sent.insert(number, account(from));
                    l2.submit(now, note(from, number));
                }
                Event::Inbox(from) => {
                    number += 1;
                    sent.insert(number, account(from));
                    newest = Some(l2.submit_inbox(now, note(from, number)).id);
                }
                Event::ForceNewest => drop(newest.map(|id| l2.force_include(now, id))),
                Event::Policy(0) => l2.set_policy(now, Policy::Honest),
                Event::Policy(1) => l2.set_policy(now, Policy::Censor(BTreeSet::from([account(1)]))),
                Event::Policy(_) => l2.set_policy(now, Policy::Down),
                Event::Skew(secs) => l2.set_skew(now, secs),
                Event::Produce => produce(&mut l2, now),
                Event::Poll => {
                    let update = l2.events_since(now, next, &interests, cap);
                    prop_assert!(update.next >= next && update.safe <= update.head.number);
                    prop_assert!(update.events.iter().all(|event| event.block.number <= update.head.number));
                    next = update.next;
                    heard.extend(update.events);
                }
            }
        }
        // The end: everything is produced and read.
        l2.set_policy(now, Policy::Honest);
        let end = now + Span::from_hours(30);
        run_until(&mut l2, now, end);
        loop {
            let update = l2.events_since(end, next, &interests, cap);
            let is_last = update.events.is_empty();
            next = update.next;
            heard.extend(update.events);
            if is_last { break }
        }
        let executed = &l2.machine().executed;
        prop_assert_eq!(executed.len(), sent.len(), "everything is included once");
        prop_assert!(executed.windows(2).all(|w| w[0].0.number <= w[1].0.number && w[0].0.time <= w[1].0.time));
        let expected: Vec<(Block, u64)> = executed
            .iter()
            .filter(|(_, number)| {
                interests.iter().any(|interest| match interest {
                    Interest::ChannelsOf(who) => sent[number] == *who,
                    Interest::Channel(id) => *id == opened_by(*number),
                    // Whatever else there may be to follow, these events are about channels.
                    other => *other == Interest::Channels,
                })
            })
            .copied()
            .collect();
        let heard: Vec<(Block, u64)> = heard
            .iter()
            .filter_map(|event| Some((event.block, event.as_channel()?.channel)))
            .map(|(block, channel)| (block, channel.0[..8].iter().fold(0, |n, byte| n << 8 | u64::from(*byte))))
            .collect();
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn l1_a_reader_that_goes_back_to_the_fork_hears_the_last_branch(
        steps in prop::collection::vec((0..12 * SLOT, 0..6u8, 1..9u64), 1..80),
        safe_lag in 0..9u64,
    ) {
        let mut l2 = L2::new(Recorder::default(), Profile { safe_lag: Span(safe_lag * SLOT), ..Profile::arbitrum() });
        l2.keep_soft();
        let (mut now, mut number) = (Time(0), 0);
        let (mut next, mut known, mut heard) = (0, 0, Vec::new());
        let mut gone = Vec::new();
        let mut names: BTreeMap<u64, BlockRef> = BTreeMap::new();
        for (wait, what, deep) in steps {
            now = now + Span(wait);
            match what {
                0 | 1 => {
                    number += 1;
                    l2.submit(now, note(1, number));
                }
                2 => drop(l2.produce(now, &Curves::new(), |n| n - 1)),
                3 => {
                    let (safe, before) = (l2.safe(now).number, l2.machine().executed.clone());
                    let from = l2.head(now).number.saturating_sub(deep);
                    let undone = l2.undo(now, from);
                    let kept = &l2.machine().executed;
                    prop_assert!(before.starts_with(kept), "the past is what it was");
                    prop_assert_eq!(before.len() - kept.len(), undone.len());
                    prop_assert!(before[kept.len()..].iter().all(|(block, _)| block.number > safe && block.number >= from));
                    if !undone.is_empty() {
                        let first = before[kept.len()].0.number;
                        for (number, was) in &names {
                            let is = l2.name(l2.block(*number));
                            let is_same = is.hash == was.hash;
                            prop_assert!(is_same || *number >= from, "block {} is another, from {}", number, from);
                            prop_assert!(!is_same || *number < first, "block {} is the same, from {}", number, first);
                        }
                        names.retain(|number, _| *number < from);
                    }
                    gone.extend(undone);
                }
                4 => for id in gone.drain(..) {
                    prop_assert!(l2.submit_again(now, id) && !l2.submit_again(now, id));
                },
                _ => {
                    if let Some(from) = l2.forked_since(known) {
                        next = next.min(from);
                        heard.retain(|event: &ChainEvent| event.block.number < from);
                    }
                    known = l2.forks();
                    let update = l2.events_since(now, next, &[Interest::Channels], 3);
                    names.insert(update.head.number, update.head);
                    next = update.next;
                    heard.extend(update.events);
                }
            }
        }
        for id in gone {
            l2.submit_again(now, id);
        }
        let end = now + HOUR;
        run_until(&mut l2, now, end);
        if let Some(from) = l2.forked_since(known) {
            next = next.min(from);
            heard.retain(|event| event.block.number < from);
        }
        heard.extend(l2.events_since(end, next, &[Interest::Channels], usize::MAX).events);
        let executed = &l2.machine().executed;
        prop_assert_eq!(executed.iter().map(|(_, number)| *number).collect::<BTreeSet<_>>(), (1..=number).collect());
        prop_assert_eq!(executed.len() as u64, number, "everything is included once");
        let heard: Vec<Block> = heard.iter().map(|event| event.block).collect();
        prop_assert_eq!(heard, executed.iter().map(|(block, _)| *block).collect::<Vec<_>>());
    }

    #[test]
    fn l1_timestamps_never_fall_and_keep_to_the_profile(
        skews in prop::collection::vec((0..3 * HOUR.0, -200_000..200_000i64), 1..20),
    ) {
        let mut l2 = chain();
        let (mut now, mut last) = (Time(0), ChainTime(0));
        for (wait, skew) in skews {
            now = now + Span(wait);
            l2.set_skew(now, skew);
            now = now + Span(SLOT);
            let (head, l1) = (l2.head(now), l2.l1_clock(now));
            prop_assert!(head.time >= last);
            prop_assert_eq!(l2.block(head.number), head);
            prop_assert!(head.time.0 <= l1.0 + 3_600 && head.time.0 + 24 * 3_600 + 1 >= l1.0);
            last = head.time;
        }
    }
}
