//! The simulator's edge against the driver contract: the world of every scenario, with a script for a role, a puppet
//! for a peer, and the suite's hands on disk and signer.
//!
//! Four rules ask for what the simulator has no part of, and are not in the list below:
//! - `one_commit_takes_all_lanes`: its disk takes write sets one by one, each with a time of its own. Every grouping
//!   of a real store is one of the orders that this allows;
//! - `verified_content_is_durable_before_its_record`: its content is durable when it is verified;
//! - `answers_that_nobody_asked_for_are_not_fed`: it makes each answer out of the request itself;
//! - `a_stream_is_not_read_while_its_effects_wait`: its streams are read as they come, and memory is no object.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

use decdn_contracts::Genesis;
use decdn_driver::{
    ACCEPTED, contract_suite,
    suite::{Bench, CONN, Hands, Log, Port, Script, Seen as Happened, blob, content},
};
use decdn_engine::{
    chain::TxOutcome,
    ids::{Address, BlobHash, ConnId, NodeId, StreamId},
    io::{Effect, Input, Lane},
    money::Amount,
    record::Record,
    roles::Role,
    state::Digest,
    time::{Span, Time},
    wire::Code,
};
use decdn_sim::{
    actor::{Actor, ActorId, Turn},
    cast::{Cast, Part, Person},
    chain::Chain,
    content::Library,
    decide::Decisions,
    net::Path,
    report::Report,
    rung::SimCrypto,
    seen::{Kind, Oracle, Seen},
    watch::Watch,
    world::{Hand, Machine, Parts, World},
};

const ROLE: ActorId = ActorId(0);
const PEER: ActorId = ActorId(1);
const ROLE_NODE: NodeId = NodeId([1; 32]);
/// What the peer can send where nobody expects content.
const BLOB: BlobHash = BlobHash([2; 32]);

/// Long enough for anything that nobody holds back, but a transaction.
const REST: Span = Span::from_millis(50);
/// Never, for any test.
const HELD: (Span, Span) = (Span::from_hours(1_000_000), Span::from_hours(1_000_000));
/// Write sets overtake each other.
const DISK: (Span, Span) = (Span(50), Span::from_millis(3));
const SIGNER: (Span, Span) = (Span(10), Span::from_millis(2));

/// A world with a script and a puppet in it.
#[derive(Clone)]
struct Simulated(Rc<RefCell<Inner>>);

struct Inner {
    hand: Hand,
    orders: Orders,
    log: Log,
    /// Streams that the peer has finished.
    finished: Vec<StreamId>,
    store_fails: bool,
}

type Orders = Rc<RefCell<VecDeque<Effect>>>;

/// The role under test.
struct Scripted(Script);

impl Actor for Scripted {
    fn step(&mut self, input: &Input, turn: Turn<'_>) {
        // What it has is between suite and role.
        if !matches!(input, Input::BlobReady { .. }) {
            self.0.step(turn.now, input.clone(), turn.crypto, turn.out);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        self.0.next_deadline().map(|(at, _)| at)
    }

    fn digest(&mut self) -> Digest {
        self.0.digest()
    }

    fn restart(&mut self, _: &mut dyn Iterator<Item = Record>) {
        unreachable!("who is killed here stays dead")
    }
}

/// Does what it is ordered, one connection after the other: the driver numbers them as they come.
struct Puppet {
    orders: Orders,
    dials: bool,
}

impl Actor for Puppet {
    fn step(&mut self, input: &Input, turn: Turn<'_>) {
        if let Input::Connected { conn, .. } | Input::Disconnected { conn, .. } = input {
            self.dials &= conn.0 & ACCEPTED != 0;
        }
        while !self.dials
            && let Some(order) = self.orders.borrow_mut().pop_front()
        {
            self.dials = matches!(order, Effect::Connect { .. });
            turn.out.push(Lane::Role, order);
        }
    }

    fn next_deadline(&self) -> Option<Time> {
        None
    }

    fn digest(&mut self) -> Digest {
        Digest::default()
    }

    fn restart(&mut self, _: &mut dyn Iterator<Item = Record>) {}
}

/// Writes into the suite's log what becomes of the role's effects.
struct Notes(Log);

impl Oracle for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[Kind::Started, Kind::Persisted]
    }

    fn see(&mut self, _: Time, seen: &Seen<'_>, _: &mut Report) {
        match seen {
            Seen::Started { actor: ROLE, effect } => self.0.push(Happened::Started((*effect).clone())),
            Seen::Persisted { actor: ROLE, writes, .. } => {
                self.0.push(Happened::Durable(vec![writes.to_vec()]));
            }
            _ => {}
        }
    }
}

fn world(role: Script, log: Log, orders: Orders, seed: u64) -> World {
    let person = |id: ActorId, part, node| Person {
        id,
        name: format!("{id:?}"),
        parts: vec![part],
        honest: false,
        account: Address::repeat_byte(10 + id.0 as u8),
        node,
        offer_ceiling: 0,
    };
    let people = vec![person(ROLE, Part::Node, ROLE_NODE), person(PEER, Part::Client, Simulated::REACHABLE)];
    let genesis = Genesis::standard();
    let accounts: Vec<_> = people.iter().map(|person| (person.account, None, Amount(1))).collect();
    let timing = (Span::from_hours(24), Span::from_millis(5));
    let chain = Chain::new(&genesis, Chain::model(&genesis), &accounts, timing, Vec::new());
    let machine = Machine {
        disk: DISK,
        slow_disk: (0, Span(0)),
        signer: SIGNER,
        crash: 0,
        crashes: 0,
        restart: HELD,
        skew: 0,
    };
    let parts = Parts {
        cast: Cast { people },
        actors: vec![
            (Box::new(Scripted(role)), machine),
            (Box::new(Puppet { orders, dials: false }), machine),
        ],
        blobs: vec![
            (PEER, BLOB, 1),
            (PEER, blob(), content().len() as u64),
            (ROLE, blob(), content().len() as u64),
        ],
        paths: Default::default(),
        path: Path::NEAR,
        chain,
        library: Library::default(),
        jobs: Vec::new(),
        owners: Default::default(),
        endpoints: Default::default(),
        window: Span(0),
        timed: Vec::new(),
        calm_at: None,
        kept_channels_end: false,
        until: Time(u64::MAX),
        steps_max: u64::MAX,
    };
    let watch = Watch::new(vec![Box::new(Notes(log))]);
    World::new(parts, SimCrypto::Ideal, Decisions::seeded(seed), watch)
}

impl Bench for Simulated {
    const INPUTS_PER_STREAM: Option<usize> = None;
    const SETTLE: Span = Span::from_millis(100);
    const RANDOM_RUNS: u64 = 50;

    fn start(role: Script, log: Log) -> Self {
        let orders = Orders::default();
        let seed = SEED.replace(SEED.get() + 1);
        let mut hand = Hand::new(world(role, log.clone(), orders.clone(), seed));
        hand.reset_clock(ROLE);
        let inner = Inner { hand, orders, log, finished: Vec::new(), store_fails: false };
        Self(Rc::new(RefCell::new(inner)))
    }

    fn arrive(&mut self, input: Input) {
        // Each side dials with the numbers that the other one's driver counts up to.
        let theirs = |conn: ConnId| {
            if conn.0 & ACCEPTED == 0 { ConnId(CONN.0 + conn.0) } else { ConnId(conn.0 - CONN.0) }
        };
        let on = |stream: StreamId| StreamId { conn: theirs(stream.conn), index: stream.index };
        let order = match input {
            Input::Connected { conn, protocol, .. } => {
                Effect::Connect { conn: theirs(conn), peer: ROLE_NODE, protocol }
            }
            Input::Verdict { stream, .. } => {
                let bytes = content().len() as u64;
                Effect::SendRange { stream: on(stream), hash: blob(), offset: 0, bytes }
            }
            Input::Message { stream, message } => Effect::Send { stream: on(stream), message },
            Input::StreamClosed { stream, .. } => {
                let finished = &mut self.0.borrow_mut().finished;
                if finished.contains(&stream) {
                    Effect::Reset { stream: on(stream), code: Code::NotNow }
                } else {
                    finished.push(stream);
                    Effect::Finish { stream: on(stream) }
                }
            }
            Input::Malformed { stream, .. } => {
                Effect::SendRange { stream: on(stream), hash: BLOB, offset: 0, bytes: 1 }
            }
            Input::Disconnected { conn, .. } => {
                // A close overtakes what is under way; what was said before it is heard here.
                self.settle();
                Effect::Disconnect { conn: theirs(conn), code: Code::NotNow }
            }
            other => panic!("{other:?} does not come from a peer"),
        };
        let mut inner = self.0.borrow_mut();
        inner.orders.borrow_mut().push_back(order);
        // Any input will do: the puppet looks at its orders.
        inner.hand.tell(PEER, Input::BlobGone { hash: BLOB });
    }

    fn settle(&mut self) {
        let inner = &mut *self.0.borrow_mut();
        inner.hand.pass(REST);
        if inner.store_fails && inner.hand.is_writing(ROLE) {
            inner.hand.kill(ROLE);
        }
        // A transaction takes the time that it takes.
        while inner.is_waiting_for_the_chain() {
            inner.hand.pass(Span::from_hours(1));
        }
    }

    fn hands(&self) -> impl Hands {
        self.clone()
    }

    fn now(&mut self) -> Time {
        self.0.borrow().hand.clock(ROLE).mono
    }

    fn advance(&mut self, span: Span) {
        self.0.borrow_mut().hand.pass(span);
    }
}

impl Inner {
    fn is_waiting_for_the_chain(&self) -> bool {
        let asked = |seen: &Happened| matches!(seen, Happened::Started(Effect::Tx { .. }));
        let told = |seen: &Happened| match seen {
            Happened::Fed(Input::Tx { outcome, .. }) => !matches!(outcome, TxOutcome::Queued { .. }),
            _ => false,
        };
        self.hand.is_up(ROLE) && self.log.count(asked) > self.log.count(told)
    }
}

impl Hands for Simulated {
    fn hold(&self, port: Port, is_held: bool) {
        let mut inner = self.0.borrow_mut();
        let machine = inner.hand.machine(ROLE);
        match port {
            Port::Store => machine.disk = if is_held { HELD } else { DISK },
            Port::Signer => machine.signer = if is_held { HELD } else { SIGNER },
            Port::Blobs => panic!("the simulator has no content to sync"),
        }
    }

    fn release(&self, port: Port) -> bool {
        let mut inner = self.0.borrow_mut();
        match port {
            Port::Store => inner.hand.end_write(ROLE),
            Port::Signer => inner.hand.end_signature(ROLE),
            Port::Blobs => panic!("the simulator has no content to sync"),
        }
    }

    fn fail_store(&self) {
        // To the simulator a disk that fails is a process that dies while it writes.
        self.hold(Port::Store, true);
        self.0.borrow_mut().store_fails = true;
    }

    fn is_stopped(&self) -> bool {
        !self.0.borrow().hand.is_up(ROLE)
    }
}

thread_local! {
    /// Of the next world on this thread; each test has one of its own.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Other seeds, other orders of what happens at once and other times of disk and signer.
fn on_many_seeds(rule: fn()) {
    for _ in 0..20 {
        rule();
    }
}

contract_suite!(Simulated, on_many_seeds:
    effects_of_a_lane_start_in_order,
    a_barrier_holds_its_lane_and_no_other,
    a_barrier_holds_effects_of_later_steps,
    what_waited_starts_before_persisted_is_fed,
    write_sets_with_a_common_key_keep_their_order,
    a_failing_store_stops_the_driver_behind_the_barrier,
    a_crash_at_any_point_loses_nothing_that_was_revealed,
    every_request_is_answered_once,
    a_connection_is_silent_after_its_end,
    a_stream_is_silent_after_its_end,
    what_the_engine_ended_is_silent,
    an_unanswered_dial_is_answered_when_it_is_given_up,
    a_tick_comes_at_the_deadline_and_not_before,
    what_comes_on_a_dialled_connection_is_told_from_an_accepted_one,
    a_lost_connection_takes_none_of_the_other_kind_along,
    a_barrier_of_one_side_holds_nothing_of_the_other,
    content_comes_on_one_side_while_it_goes_out_on_the_other,
    random_programs_keep_every_rule,
);
