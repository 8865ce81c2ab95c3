//! Random programs on random hardware: whatever the outputs and whenever disk and signer answer, order and
//! barriers hold. The oracle reads the log only; it shares nothing with a driver.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use decdn_engine::{
    io::{Effect, Input, Lane},
    record::{Key, PersistSeq},
};

use super::{
    BESIDE, Bench, CONN, DIALLED, Log, Port, Script, Seen, asked, connected, heard, lane, record, say,
    sides::dial, sign, stream,
};

/// Of channels that are earned on, and as many of channels that are paid on.
const LANES: u64 = 2;
/// Those of the role's own, and as many of its peer's.
const STREAMS: u64 = 3;
const KEYS: u64 = 3;

/// Rules 1, 2, 3, 4 and 9 over many random programs.
///
/// # Panics
/// If a rule is broken; the message has the run's number.
pub fn random_programs_keep_every_rule<B: Bench>() {
    for run in 0..B::RANDOM_RUNS {
        one::<B>(run);
    }
}

/// SplitMix64: enough for test programs, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// A number below `below`.
    pub fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

type Put = Arc<Mutex<Vec<(Lane, Effect)>>>;

/// What a random role has put out, for the oracle to compare with what happened.
#[derive(Clone, Debug)]
pub struct RandomProgram {
    run: u64,
    put: Put,
}

impl RandomProgram {
    /// The role with this number. It dials back who dials it, and answers messages on either connection.
    pub fn new(run: u64, log: &Log) -> (Script, Self) {
        let put = Put::default();
        (program(run, log, put.clone()), Self { run, put })
    }

    /// Holds a whole run against rules 1, 2, 3 and 4: nothing may be under way any more.
    ///
    /// # Panics
    /// If a rule is broken; the message has the run's number.
    pub fn check(&self, log: &Log) {
        check(self.run, &self.put.lock().expect("no panic while it was held"), &log.all());
    }
}

fn one<B: Bench>(run: u64) {
    let log = Log::default();
    let (role, program) = RandomProgram::new(run, &log);
    let mut bench = B::start(role, log.clone());
    let mut dice = Dice(run ^ 0xdead);
    bench.arrive(connected(CONN));
    bench.settle();
    for n in 0..30 {
        match dice.roll(6) {
            0 => bench.hold(Port::Store, dice.roll(2) == 0),
            1 => bench.hold(Port::Signer, dice.roll(2) == 0),
            2 => drop(bench.release(Port::Store)),
            3 => drop(bench.release(Port::Signer)),
            _ => {
                let index = dice.roll(STREAMS) as u32;
                let on = if dice.roll(2) == 0 { stream(index) } else { asked(index) };
                bench.arrive(heard(on, n));
            }
        }
        if dice.roll(2) == 0 {
            bench.settle();
        }
    }
    bench.settle();
    bench.hold(Port::Store, false);
    bench.hold(Port::Signer, false);
    while bench.release(Port::Store) || bench.release(Port::Signer) {
        bench.settle();
    }
    bench.settle();
    program.check(&log);
}

/// Answers every message and some completions with random effects, each of which can be told from all others.
fn program(run: u64, log: &Log, put: Put) -> Script {
    let (mut dice, mut next, mut seq) = (Dice(run), 0, 0);
    Script::new(log, move |_, input, out| {
        let mut push = |lane: Lane, effect: Effect| {
            put.lock().expect("no panic while it was held").push((lane, effect.clone()));
            out.push(lane, effect);
        };
        match input {
            Input::Connected { conn: CONN, peer, .. } => push(Lane::Role, dial(DIALLED, *peer)),
            Input::Connected { conn: DIALLED, .. } => {
                (0..STREAMS as u32).for_each(|index| push(lane(BESIDE), say(asked(index), 0)));
            }
            _ => {}
        }
        let is_event = matches!(input, Input::Message { .. });
        let is_answer = matches!(input, Input::Persisted { .. } | Input::Signed { .. });
        if !(is_event || is_answer && next < 60) {
            return None;
        }
        for _ in 0..dice.roll(4) {
            next += 1;
            let effect = match dice.roll(5) {
                0 | 1 => {
                    let keys = 1 + dice.roll(2);
                    let writes = (0..keys).map(|_| record(dice.roll(KEYS) as u8, next)).collect();
                    let effect = Effect::Persist { seq: PersistSeq(seq), writes };
                    seq += 1;
                    effect
                }
                2 => sign(next),
                3 => say(stream(5), next),
                _ => say(asked(0), next),
            };
            let side = if dice.roll(2) == 0 { 0 } else { BESIDE };
            push(lane(side + dice.roll(LANES) as u32), effect);
        }
        None
    })
}

/// Replays the log against what was put out.
fn check(run: u64, put: &[(Lane, Effect)], log: &[Seen]) {
    let mut lanes: BTreeMap<Lane, VecDeque<&Effect>> = BTreeMap::new();
    let mut sets: BTreeMap<PersistSeq, Vec<Key>> = BTreeMap::new();
    for (lane, effect) in put {
        lanes.entry(*lane).or_default().push_back(effect);
        if let Effect::Persist { seq, writes } = effect {
            sets.insert(*seq, writes.iter().map(|record| record.key()).collect());
        }
    }
    let mut persisted = Vec::new();
    for seen in log {
        match seen {
            Seen::Started(effect) => {
                let lane = lane_of(put, effect);
                let first = lanes.get_mut(&lane).and_then(VecDeque::pop_front);
                assert_eq!(first, Some(effect), "run {run}: {lane:?} is out of order, or passed a barrier");
            }
            Seen::Durable(group) => {
                for writes in group {
                    let (lane, seq) = put
                        .iter()
                        .find_map(|(lane, effect)| match effect {
                            Effect::Persist { seq, writes: w } if w == writes && sets.contains_key(seq) => {
                                Some((*lane, *seq))
                            }
                            _ => None,
                        })
                        .expect("a write set that nobody put out, or twice");
                    let keys = sets.remove(&seq).expect("found just now");
                    let is_first =
                        sets.range(..seq).all(|(_, other)| !other.iter().any(|k| keys.contains(k)));
                    assert!(is_first, "run {run}: write set {seq:?} overtook one with a common key");
                    let first = lanes.get_mut(&lane).and_then(VecDeque::pop_front);
                    assert!(
                        matches!(first, Some(Effect::Persist { seq: s, .. }) if *s == seq),
                        "run {run}: {seq:?} is durable before what stands before it in {lane:?} has started"
                    );
                }
            }
            Seen::Fed(Input::Persisted { seq }) => {
                assert!(!sets.contains_key(seq), "run {run}: {seq:?} is not durable");
                assert!(!persisted.contains(seq), "run {run}: {seq:?} was said twice");
                persisted.push(*seq);
            }
            Seen::Fed(_) | Seen::Synced(..) => {}
        }
    }
    assert!(lanes.values().all(VecDeque::is_empty), "run {run}: something never started: {lanes:#?}");
    assert!(sets.is_empty(), "run {run}: something never became durable");
}

fn lane_of(put: &[(Lane, Effect)], effect: &Effect) -> Lane {
    put.iter().find(|(_, other)| other == effect).map(|(lane, _)| *lane).expect("started, but never put out")
}
