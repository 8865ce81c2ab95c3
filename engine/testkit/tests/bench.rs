//! The bench keeps the driver's contract, and notices a role that is wrong.

use decdn_engine::{
    crypto::{Crypto, Deployment, Typed, VoucherTerms},
    ids::{ChannelId, FetchId},
    io::{Effect, Input, Lane, Outputs},
    money::{Amount, Nonce},
    record::{Key, PersistSeq, Record},
    roles::{Reason, Role},
    state::{Broken, Digest},
    time::{Now, Span, Time},
};
use decdn_testkit::{
    Bench, FirstByte, Symbols, Trusting, disk,
    fixtures::{CLIENT, OPERATOR, TOKEN},
    named, sign, signature,
};

/// A role that asks for the same at each step.
#[derive(Clone, Default)]
struct Parrot {
    says: Vec<(Lane, Effect)>,
    due: Option<Time>,
    /// Asked for its digest, it says something else from then on.
    is_fickle: bool,
    is_broken: bool,
}

impl Role for Parrot {
    fn step<C: Crypto>(&mut self, _: Now, _: Input, _: &C, out: &mut Outputs) {
        self.says.iter().cloned().for_each(|(lane, effect)| out.push(lane, effect));
    }

    fn next_deadline(&self) -> Option<(Time, Reason)> {
        self.due.map(|at| (at, Reason::Poll))
    }

    fn digest(&mut self) -> Digest {
        if self.is_fickle {
            self.says.clear();
        }
        Digest::default()
    }

    fn check(&self) -> Result<(), Broken> {
        let broken = Broken { invariant: "whole", place: String::new() };
        if self.is_broken { Err(broken) } else { Ok(()) }
    }
}

fn persist(seq: u64, writes: &[Record]) -> Effect {
    Effect::Persist { seq: PersistSeq(seq), writes: writes.to_vec() }
}

fn is_persist(effect: &Effect) -> bool {
    matches!(effect, Effect::Persist { .. })
}

const FORCE: Effect = Effect::ForceInclude { ticket: decdn_engine::ids::TxTicket(1) };

fn bench(says: &[(Lane, Effect)]) -> Bench<Parrot, Symbols> {
    Bench::new(Parrot { says: says.to_vec(), ..Parrot::default() }, Symbols)
}

#[test]
fn write_sets_that_share_a_key_become_durable_in_the_order_of_their_numbers() {
    let gone = Record::Gone(Key::Fetch(FetchId(1)));
    let says = [
        (Lane::Channel(0), persist(2, &[Record::Cursor(7)])),
        (Lane::Channel(0), FORCE),
        (Lane::Channel(1), persist(1, &[Record::Cursor(6), gone.clone()])),
        (Lane::Channel(2), persist(3, &[gone])),
    ];
    for choice in 0..4 {
        let mut bench = bench(&says);
        bench.feed(Input::Tick, |_| {});
        assert_eq!((bench.waiting(is_persist), bench.waiting(|effect| *effect == FORCE)), (3, 1));
        let (lane, first) = bench.next(choice).expect("one may start");
        assert_eq!((lane, first), (Lane::Channel(1), says[2].1.clone()), "the others wait for it");
        assert_eq!(bench.records(), [Record::Cursor(6)]);
        let rest: Vec<_> = std::iter::from_fn(|| bench.next(choice)).collect();
        let in_lane: Vec<_> = rest.iter().filter(|(lane, _)| *lane == Lane::Channel(0)).collect();
        assert_eq!(in_lane, [&says[0], &says[1]], "in order");
        assert_eq!((rest.len(), bench.records()), (3, vec![Record::Cursor(7)]));
    }
}

#[test]
fn what_is_out_of_turn_is_taken_at_the_head_of_a_lane_only() {
    let mut bench = bench(&[
        (Lane::Role, persist(1, &[])),
        (Lane::Role, FORCE),
        (Lane::Channel(1), FORCE),
        (Lane::Channel(1), persist(2, &[])),
    ]);
    bench.feed(Input::Tick, |_| {});
    assert_eq!(bench.take_if(|effect| *effect == FORCE), Some(FORCE));
    assert_eq!(bench.take_if(|effect| *effect == FORCE), None, "the other one stands behind a barrier");
}

#[test]
fn a_start_forgets_what_waits_and_keeps_what_is_durable() {
    let mut bench = bench(&[(Lane::Role, persist(1, &[Record::Cursor(5)])), (Lane::Role, FORCE)]);
    bench.feed(Input::Tick, |_| {});
    bench.next(0);
    let mut found = Vec::new();
    bench.reboot(|records| {
        found.extend(records);
        Parrot::default()
    });
    assert_eq!((found, bench.next(0)), (vec![Record::Cursor(5)], None));
}

#[test]
fn a_disk_has_what_the_write_sets_left_that_became_durable() {
    let sets = [vec![Record::Cursor(1)], vec![Record::Cursor(2)], vec![Record::Gone(Key::Cursor)]];
    let fold = |count: usize| disk::fold(sets.iter().take(count).map(Vec::as_slice));
    let left = |count| fold(count).into_values().collect::<Vec<_>>();
    assert_eq!((left(1), left(2)), (vec![Record::Cursor(1)], vec![Record::Cursor(2)]));
    assert_eq!(left(3), []);
}

#[test]
fn clocks_go_together_and_stop_at_a_deadline() {
    let mut bench = bench(&[]);
    bench.role.due = Some(Time(5));
    let start = bench.now.wall;
    assert!(!bench.pass(Span(4)));
    assert_eq!(bench.until_due(), Span(1));
    assert!(bench.pass_until(Time(9)));
    assert_eq!((bench.now.mono, bench.now.wall), (Time(5), start + Span(5)));
    bench.role.due = Some(Time(10));
    assert!(!bench.pass_until(Time(9)));
    assert_eq!(bench.now.mono, Time(9));
    assert!(bench.pass(Span(u64::MAX)) && bench.now.wall < start + Span(u64::MAX));
}

#[test]
#[should_panic = "a deadline that is past stays"]
fn a_role_that_spins_is_noticed() {
    let mut bench = bench(&[]);
    bench.role.due = Some(Time(0));
    bench.step(Input::Tick);
}

#[test]
#[should_panic = "check: "]
fn a_broken_invariant_is_noticed() {
    let mut bench = bench(&[]);
    bench.role.is_broken = true;
    bench.step(Input::Tick);
}

#[test]
#[should_panic = "other outputs"]
fn a_digest_with_consequences_is_noticed() {
    let mut bench = bench(&[(Lane::Role, FORCE)]);
    bench.role.is_fickle = true;
    let mut bench = bench.with_twin();
    bench.step(Input::Tick);
    bench.step(Input::Tick);
}

#[test]
#[should_panic = "2 outputs"]
fn a_step_that_asks_for_too_much_is_noticed() {
    bench(&[(Lane::Role, FORCE), (Lane::Role, FORCE)]).with_outputs_max(1).step(Input::Tick);
}

#[test]
fn signatures_are_whose_they_say() {
    let terms = |amount| VoucherTerms {
        channel: ChannelId([1; 32]),
        amount: Amount(amount),
        nonce: Nonce(1),
        token: TOKEN,
    };
    let (what, other) = (Typed::Voucher(terms(1)), Typed::Voucher(terms(2)));
    let at = Deployment::default();
    assert_eq!(Symbols.recover(&at, &what, &sign(CLIENT, &what)), Some(CLIENT));
    assert_eq!(Symbols.recover(&at, &other, &sign(CLIENT, &what)), None);
    let first = FirstByte(&[CLIENT, OPERATOR]);
    let by_byte = [0, 1, 2, 3].map(|byte| first.recover(&at, &what, &signature(byte)));
    assert_eq!(by_byte, [Some(CLIENT), Some(OPERATOR), None, Some(CLIENT)]);
    let trusting = Trusting(&[CLIENT, OPERATOR]);
    assert_eq!(trusting.recover(&at, &what, &named(OPERATOR)), Some(OPERATOR));
    assert_eq!(trusting.recover(&at, &what, &named(TOKEN)), Some(CLIENT));
    assert_eq!(Trusting(&[]).recover(&at, &what, &named(CLIENT)), None);
}
