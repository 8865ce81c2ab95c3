//! X1 to X3: a stale close is disputed at once, and through the delayed inbox when the sequencer has had its time.

use decdn_engine::{
    chain::{
        Block, Call, ChainEvent, ChainUpdate, Revert, Route, TxOutcome,
        channel::{self, EventKind},
    },
    ids::{Address, ChannelId, TxTicket},
    io::{Effect, Input, Notice},
    money::{Amount, Nonce, Rate},
    record::Record,
    roles::node::Node,
    time::{ChainTime, Time},
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

#[test]
fn x1_a_stale_close_is_disputed_at_once_from_durable_state() {
    let effects = Bench::new().close(10, 48);
    let stale = Notice::StaleClose { channel: CHANNEL, recorded: Amount(0), held: Amount(700) };
    assert!(effects.contains(&Effect::Notice(stale)));
    assert_eq!(disputes(&effects).iter().map(|(_, route)| *route).collect::<Vec<_>>(), [Route::Sequencer]);
}

#[test]
fn x1_a_forced_close_counts_as_a_close_at_zero() {
    // C5: a stranger forces it, once the token is delisted; the event is a close's.
    let effects = Bench::new().close_by(Address::repeat_byte(0x57), 10, 48);
    let stale = Notice::StaleClose { channel: CHANNEL, recorded: Amount(0), held: Amount(700) };
    assert!(effects.contains(&Effect::Notice(stale)));
    assert_eq!(disputes(&effects).iter().map(|(_, route)| *route).collect::<Vec<_>>(), [Route::Sequencer]);
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
        let mut bench = Bench::new();
        bench.close(10, window_hours);
        let routes: Vec<_> =
            disputes(&bench.at(10, Input::Tick)).into_iter().map(|(_, route)| route).collect();
        assert_eq!(routes, [Route::DelayedInbox], "{window_hours} h");
    }
}

#[test]
fn x1_a_dispute_that_lands_is_not_repeated_and_one_that_fails_is() {
    let mut bench = Bench::new();
    let [(ticket, _)] = disputes(&bench.close(10, 48))[..] else { panic!("disputed") };
    let block = Block { number: 101, time: ChainTime(START + 11) };
    let reverted = TxOutcome::Included { block, result: Err(Revert::Other) };
    bench.at(11, Input::Tx { ticket, outcome: reverted });
    let nothing_new = |number| {
        let head = Block { number, time: ChainTime(START + 12) };
        Input::Chain(ChainUpdate {
            head: head.into(),
            forked_at: None,
            safe: 90,
            next: number + 1,
            ..ChainUpdate::default()
        })
    };
    let [(again, Route::Sequencer)] = disputes(&bench.at(12, nothing_new(102)))[..] else {
        panic!("tried again")
    };
    bench.at(13, Input::Tx { ticket: again, outcome: TxOutcome::Included { block, result: Ok(()) } });
    let kind = EventKind::Disputed { by: OPERATOR, amount: Amount(700), nonce: Nonce(3) };
    let events = vec![ChainEvent::of_channel(block, CHANNEL, kind)];
    let update = ChainUpdate { next: 104, ..news(block, 90, events) };
    assert_eq!(disputes(&bench.at(14, Input::Chain(update))), []);
    assert_eq!(disputes(&bench.at(10 + 21 * HOUR, Input::Tick)), [], "nothing is left to force");
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

#[test]
fn x2_a_dispute_lost_late_does_not_go_back_to_the_sequencer() {
    let mut bench = Bench::new();
    bench.close(10, 48);
    let force = 10 + 21 * HOUR;
    let [(ticket, _)] = disputes(&bench.at(force, Input::Tick))[..] else { panic!("through the inbox") };
    bench.at(force + 1, Input::Tx { ticket, outcome: TxOutcome::Lost });
    let head = Block { number: 500, time: ChainTime(START + force + 2) };
    let effects = bench.at(force + 2, Input::Chain(news(head, 90, vec![])));
    assert!(matches!(disputes(&effects)[..], [(_, Route::DelayedInbox)]), "{effects:?}");
}

proptest! {
    #[test]
    fn x3_whoever_is_back_at_any_time_within_the_window_disputes(
        (window_hours, late_secs) in (12_u64..=72).prop_flat_map(|hours| (Just(hours), 0..hours * HOUR)),
    ) {
        let effects = Bench::new().close_seen(CLIENT, 10, window_hours, late_secs);
        prop_assert_eq!(disputes(&effects).len(), 1, "{} s into {} h", late_secs, window_hours);
    }
}

#[test]
fn x1_nothing_is_disputed_once_the_window_is_over() {
    let mut bench = Bench::new();
    let [(ticket, _)] = disputes(&bench.close(10, 12))[..] else { panic!("disputed") };
    let over = 10 + 12 * HOUR;
    let head = Block { number: 500, time: ChainTime(START + over) };
    bench.at(over, Input::Tx { ticket, outcome: TxOutcome::Lost });
    assert_eq!(disputes(&bench.at(over, Input::Chain(news(head, 90, vec![])))), []);
}
