//! X1 to X3: a stale close is disputed at once, and through the delayed inbox when the sequencer has had its time.

use decdn_engine::{
    chain::{
        Block, Call, ChainEvent, ChainUpdate, Revert, Route, TxOutcome,
        channel::{self, Ending, EventKind},
    },
    ids::{Address, ChannelId, TxTicket},
    io::{Effect, Input, Notice},
    money::{Amount, Nonce, Rate},
    record::{Dispute, Queued, Record},
    roles::node::Node,
    time::{ChainTime, Now, Time, WallTime},
};
use decdn_testkit::{
    Trusting,
    fixtures::{CLIENT, OPERATOR, START, earning, news, node_config},
};
use proptest::prelude::*;

const CHANNEL: ChannelId = ChannelId([9; 32]);
const HOUR: u64 = 3_600;

struct Bench {
    node: decdn_testkit::Bench<Node, Trusting>,
}

impl Bench {
    /// A node that starts with a durable voucher over 700.
    fn new() -> Self {
        let earning = earning(CHANNEL, Amount(1_000), Amount(700), Nonce(3));
        let node = Node::recover(node_config(Rate(0)), [Record::Earning(earning)].into_iter());
        Self { node: decdn_testkit::Bench::new(node, Trusting(&[])) }
    }

    /// Takes an input so many seconds after the start.
    fn at(&mut self, secs: u64, input: Input) -> Vec<Effect> {
        self.node.pass(Time(secs * 1_000_000).since(self.node.now.mono));
        self.node.step(input).into_iter().map(|output| output.effect).collect()
    }

    /// A close at zero, with this window, seen at once.
    fn close(&mut self, secs: u64, window_hours: u64) -> Vec<Effect> {
        self.close_by(CLIENT, secs, window_hours)
    }

    fn close_by(&mut self, by: Address, secs: u64, window_hours: u64) -> Vec<Effect> {
        self.close_seen(by, secs, window_hours, 0)
    }

    /// The same, seen so many seconds later.
    fn close_seen(&mut self, by: Address, secs: u64, window_hours: u64, late_secs: u64) -> Vec<Effect> {
        let block = Block { number: 100, time: ChainTime(START + secs) };
        let head = Block { number: 100 + late_secs, time: ChainTime(START + secs + late_secs) };
        let deadline = ChainTime(START + secs + window_hours * HOUR);
        let kind = EventKind::Closing { by, amount: Amount(0), nonce: Nonce::NONE, deadline };
        let events = vec![ChainEvent::of_channel(block, CHANNEL, kind)];
        self.at(secs + late_secs, Input::Chain(news(head, 90, events)))
    }
}

fn disputes(effects: &[Effect]) -> Vec<(TxTicket, Route)> {
    let found = effects.iter().filter_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Dispute { voucher }), route } => {
            assert_eq!((voucher.terms.amount, voucher.terms.nonce), (Amount(700), Nonce(3)));
            Some((*ticket, *route))
        }
        _ => None,
    });
    found.collect()
}

fn routes(effects: &[Effect]) -> Vec<Route> {
    disputes(effects).into_iter().map(|(_, route)| route).collect()
}

#[test]
fn x1_a_stale_close_is_disputed_at_once_from_durable_state() {
    let effects = Bench::new().close(10, 48);
    let stale = Notice::StaleClose { channel: CHANNEL, recorded: Amount(0), held: Amount(700) };
    assert!(effects.contains(&Effect::Notice(stale)));
    assert_eq!(routes(&effects), [Route::Sequencer]);
}

#[test]
fn x1_a_forced_close_counts_as_a_close_at_zero() {
    // C5: a stranger forces it, once the token is delisted; the event is a close's.
    let effects = Bench::new().close_by(Address::repeat_byte(0x57), 10, 48);
    let stale = Notice::StaleClose { channel: CHANNEL, recorded: Amount(0), held: Amount(700) };
    assert!(effects.contains(&Effect::Notice(stale)));
    assert_eq!(routes(&effects), [Route::Sequencer]);
}

#[test]
fn x2_the_inbox_is_taken_at_close_plus_window_less_forced_inclusion_less_three_hours() {
    let mut bench = Bench::new();
    bench.close(10, 48);
    // 48 − 24 − 3 = 21 hours after the close.
    let force = 10 + 21 * HOUR;
    assert_eq!(disputes(&bench.at(force - 1, Input::Tick)), [], "the sequencer still has time");
    let effects = bench.at(force, Input::Tick);
    let [(ticket, Route::DelayedInbox)] = disputes(&effects)[..] else { panic!("{effects:?}") };
    assert!(effects.contains(&Effect::Notice(Notice::ForcingInclusion { channel: CHANNEL })));
    let forcible = ChainTime(START + force + 24 * HOUR);
    let queued = TxOutcome::Queued { at: ChainTime(START + force), forcible };
    bench.at(force, Input::Tx { ticket, outcome: queued });
    let due = force + 24 * HOUR;
    assert!(!bench.at(due - 1, Input::Tick).contains(&Effect::ForceInclude { ticket }));
    assert!(bench.at(due, Input::Tick).contains(&Effect::ForceInclude { ticket }));
}

#[test]
fn x2_a_window_shorter_than_forced_inclusion_and_margin_takes_the_inbox_at_once() {
    for window_hours in [12, 24, 25, 27] {
        let routes = routes(&Bench::new().close(10, window_hours));
        assert_eq!(routes, [Route::Sequencer, Route::DelayedInbox], "{window_hours} h");
    }
}

#[test]
fn x1_a_dispute_that_lands_is_not_repeated_and_one_that_fails_is() {
    let mut bench = Bench::new();
    let [(ticket, _)] = disputes(&bench.close(10, 48))[..] else { panic!("disputed") };
    let block = Block { number: 101, time: ChainTime(START + 11) };
    let reverted = TxOutcome::Included { block, result: Err(Revert::Other) };
    bench.at(11, Input::Tx { ticket, outcome: reverted });
    let [(again, Route::Sequencer)] = disputes(&bench.at(12, Input::Tick))[..] else { panic!("tried again") };
    bench.at(13, Input::Tx { ticket: again, outcome: TxOutcome::Included { block, result: Ok(()) } });
    let kind = EventKind::Disputed { by: OPERATOR, amount: Amount(700), nonce: Nonce(3) };
    let events = vec![ChainEvent::of_channel(block, CHANNEL, kind)];
    let update = ChainUpdate { next: 104, ..news(block, 90, events) };
    assert_eq!(disputes(&bench.at(14, Input::Chain(update))), []);
    assert_eq!(disputes(&bench.at(10 + 21 * HOUR, Input::Tick)), [], "nothing is left to force");
}

#[test]
fn x2_failed_tries_back_off_from_a_second_to_five_minutes() {
    let mut bench = Bench::new();
    let [(mut ticket, _)] = disputes(&bench.close(10, 48))[..] else { panic!("disputed") };
    let mut now = 10;
    // So many that twice as long would be more than a number holds.
    for wait in [1, 2, 4, 8, 16, 32, 64, 128, 256].into_iter().chain([300; 70]) {
        bench.at(now, Input::Tx { ticket, outcome: TxOutcome::Lost });
        assert_eq!(disputes(&bench.at(now + wait - 1, Input::Tick)), [], "{wait} s");
        now += wait;
        let [(again, Route::Sequencer)] = disputes(&bench.at(now, Input::Tick))[..] else {
            panic!("{wait} s")
        };
        ticket = again;
    }
}

#[test]
fn x2_forcing_is_asked_for_until_the_transaction_is_in_a_block() {
    let mut bench = Bench::new();
    bench.close(10, 48);
    let force = 10 + 21 * HOUR;
    let [(ticket, _)] = disputes(&bench.at(force, Input::Tick))[..] else { panic!("through the inbox") };
    let forcible = ChainTime(START + force + 24 * HOUR);
    bench.at(
        force,
        Input::Tx { ticket, outcome: TxOutcome::Queued { at: ChainTime(START + force), forcible } },
    );
    let due = force + 24 * HOUR;
    for again in 0..3 {
        let effects = bench.at(due + again * 60, Input::Tick);
        assert!(effects.contains(&Effect::ForceInclude { ticket }), "too early by L1's clock, so once more");
    }
    let block = Block { number: 900, time: ChainTime(START + due + 200) };
    bench.at(due + 200, Input::Tx { ticket, outcome: TxOutcome::Included { block, result: Ok(()) } });
    assert!(!bench.at(due + 300, Input::Tick).contains(&Effect::ForceInclude { ticket }));
}

/// A dispute that is late is tried both ways: neither stands in for the other.
#[test]
fn x2_from_the_force_time_on_both_routes_are_tried_whatever_becomes_of_the_other() {
    let mut bench = Bench::new();
    let [(sequenced, Route::Sequencer)] = disputes(&bench.close(10, 48))[..] else { panic!("disputed") };
    let force = 10 + 21 * HOUR;
    let [(ticket, Route::DelayedInbox)] = disputes(&bench.at(force, Input::Tick))[..] else {
        panic!("through the inbox")
    };
    bench.at(force + 1, Input::Tx { ticket, outcome: TxOutcome::Lost });
    assert!(matches!(disputes(&bench.at(force + 2, Input::Tick))[..], [(_, Route::DelayedInbox)]));
    bench.at(force + 3, Input::Tx { ticket: sequenced, outcome: TxOutcome::Lost });
    assert!(matches!(disputes(&bench.at(force + 4, Input::Tick))[..], [(_, Route::Sequencer)]));
}

/// The chain's clock and ours may both be wrong: whichever says first that it is time is believed, at each update anew.
#[test]
fn x2_the_inbox_is_taken_when_either_clock_says_so() {
    let force = 21 * HOUR;
    for (mono, wall, head) in [(60, force, 60), (60, 60, force)] {
        let mut bench = Bench::new();
        bench.node.now.wall = WallTime((START + 10) * 1_000_000);
        bench.close(10, 48);
        bench.node.now =
            Now { mono: Time((10 + mono) * 1_000_000), wall: WallTime((START + 10 + wall) * 1_000_000) };
        let head = Block { number: 500, time: ChainTime(START + 10 + head) };
        bench.node.step(Input::Chain(news(head, 90, vec![])));
        let heard = bench.node.step(Input::Chain(ChainUpdate { endpoint: 1, ..news(head, 90, vec![]) }));
        let ticked = bench.node.step(Input::Tick);
        let effects: Vec<_> = heard.into_iter().chain(ticked).map(|output| output.effect).collect();
        assert!(matches!(disputes(&effects)[..], [(_, Route::DelayedInbox)]), "{mono} {wall}: {effects:?}");
    }
}

/// What is in the inbox is on the disk before it leaves, and what L1 said of it too; after a start it is asked for at once.
#[test]
fn x1_what_waits_in_the_inbox_survives_a_restart() {
    let mut bench = Bench::new();
    bench.close(10, 48);
    let force = 10 + 21 * HOUR;
    let effects = bench.at(force, Input::Tick);
    let place = |is_it: &dyn Fn(&Effect) -> bool| effects.iter().position(is_it).expect("it is there");
    let recorded = |effect: &Effect| match effect {
        Effect::Persist { writes, .. } => writes.iter().find_map(|record| match record {
            Record::Dispute(dispute) => Some(*dispute),
            _ => None,
        }),
        _ => None,
    };
    let written = place(&|effect| recorded(effect).is_some_and(|dispute| dispute.queued.is_none()));
    let sent = place(&|effect| matches!(effect, Effect::Tx { route: Route::DelayedInbox, .. }));
    assert!(written < sent, "it goes on record first: {effects:?}");
    let (ticket, _) = disputes(&effects)[0];
    let (at, forcible) = (ChainTime(START + force), ChainTime(START + force + 24 * HOUR));
    let effects = bench.at(force + 60, Input::Tx { ticket, outcome: TxOutcome::Queued { at, forcible } });
    let dispute = effects.iter().find_map(recorded).expect("what L1 said of it goes on record");
    assert_eq!(dispute.queued, Some(Queued { at, forcible }));

    let earning = earning(CHANNEL, Amount(1_000), Amount(700), Nonce(3));
    let records = [Record::Earning(earning), Record::Dispute(dispute)];
    let node = Node::recover(node_config(Rate(0)), records.into_iter());
    let mut bench = Bench { node: decdn_testkit::Bench::new(node, Trusting(&[])) };
    let effects = bench.close_seen(CLIENT, 10, 48, 12 * HOUR);
    assert_eq!(routes(&effects), [Route::Sequencer, Route::QueuedBefore], "it is looked for at once");
    assert!(!effects.iter().any(|effect| recorded(effect).is_some()), "the disk knows it");
    let (ticket, _) = disputes(&effects)[1];
    bench.at(10 + 13 * HOUR, Input::Tx { ticket, outcome: TxOutcome::Queued { at, forcible } });
    let due = force + 24 * HOUR;
    assert!(!bench.at(due - 1, Input::Tick).contains(&Effect::ForceInclude { ticket }));
    assert!(bench.at(due, Input::Tick).contains(&Effect::ForceInclude { ticket }));
}

proptest! {
    #[test]
    fn x3_whoever_is_back_at_any_time_within_the_window_disputes(
        (window_hours, late_secs) in (12_u64..=72).prop_flat_map(|hours| (Just(hours), 0..hours * HOUR)),
    ) {
        let effects = Bench::new().close_seen(CLIENT, 10, window_hours, late_secs);
        let is_forced = late_secs + 27 * HOUR >= window_hours * HOUR;
        let both = [Route::Sequencer, Route::DelayedInbox];
        prop_assert_eq!(routes(&effects), &both[..=usize::from(is_forced)], "{} s of {} h", late_secs, window_hours);
    }
}

/// As long as nobody can look, nobody knows what the inbox has; once it has nothing, the dispute goes there when it is time.
#[test]
fn x1_what_could_not_be_looked_for_is_looked_for_again() {
    let held = earning(CHANNEL, Amount(1_000), Amount(700), Nonce(3));
    let voucher = Bench::new().close(10, 12).iter().find_map(|effect| match effect {
        Effect::Tx { call: Call::Channel(channel::Call::Dispute { voucher }), .. } => Some(*voucher),
        _ => None,
    });
    let dispute = Dispute { channel: CHANNEL, voucher: voucher.expect("disputed"), queued: None };
    let records = [Record::Earning(held), Record::Dispute(dispute)];
    let node = Node::recover(node_config(Rate(0)), records.into_iter());
    let mut bench = Bench { node: decdn_testkit::Bench::new(node, Trusting(&[])) };
    let late = 22 * HOUR;
    let [_, (ticket, Route::QueuedBefore)] = disputes(&bench.close_seen(CLIENT, 10, 48, late))[..] else {
        panic!("looked for")
    };
    let now = 10 + late;
    bench.at(now, Input::Tx { ticket, outcome: TxOutcome::Lost });
    let [(ticket, Route::QueuedBefore)] = disputes(&bench.at(now + 1, Input::Tick))[..] else {
        panic!("looked for again")
    };
    bench.at(now + 1, Input::Tx { ticket, outcome: TxOutcome::Absent });
    assert_eq!(routes(&bench.at(now + 1, Input::Tick)), [Route::DelayedInbox]);
}

/// A head may lie about the time: only a settlement ends it.
#[test]
fn x2_a_dispute_is_tried_until_a_settlement_is_seen_whatever_a_head_says_the_time_is() {
    let mut bench = Bench::new();
    let [(ticket, _)] = disputes(&bench.close(10, 48))[..] else { panic!("disputed") };
    let lie = Block { number: 500, time: ChainTime(START + 1_000 * HOUR) };
    // So far ahead it takes two endpoints (L4).
    bench.at(20, Input::Chain(news(lie, 90, vec![])));
    bench.at(20, Input::Chain(ChainUpdate { endpoint: 1, ..news(lie, 90, vec![]) }));
    assert_eq!(routes(&bench.at(20, Input::Tick)), [Route::DelayedInbox]);
    bench.at(20, Input::Tx { ticket, outcome: TxOutcome::Lost });
    let [(ticket, Route::Sequencer)] = disputes(&bench.at(21, Input::Tick))[..] else {
        panic!("tried again")
    };
    bench.at(22, Input::Tx { ticket, outcome: TxOutcome::Lost });
    let kind = EventKind::Settled {
        ending: Ending::Window,
        amount: Amount(0),
        paid: Amount(0),
        refunded: Amount(1_000),
    };
    let block = Block { number: 501, time: ChainTime(START + 23) };
    let settled =
        ChainUpdate { next: 502, ..news(block, 90, vec![ChainEvent::of_channel(block, CHANNEL, kind)]) };
    bench.at(23, Input::Chain(settled));
    assert_eq!(disputes(&bench.at(1_000, Input::Tick)), [], "it is over");
}
