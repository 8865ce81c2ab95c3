//! The half of the driver that every role needs: lanes, barriers, durable records, twins, clocks. It keeps the contract of
//! `engine::io`, so whatever goes wrong is the engine's doing; the peers and the chain are each target's own.

use std::collections::{BTreeMap, VecDeque};

use decdn_engine::{
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
    io::{Effect, Input, Lane, Output, Outputs},
    record::{Key, PersistSeq, Record},
    roles::Role,
    time::{ChainTime, Now, Span, Time},
};

use crate::{Bytes, tell::tell};

/// The most that one step may ask for, with the limits of these targets.
const OUTPUTS_MAX: usize = 192;
/// Far more effects than any of these worlds needs to come to rest at one instant.
const REST_MAX: usize = 40_000;

pub(crate) const CLIENT: Address = Address::repeat_byte(4);
pub(crate) const OPERATOR: Address = Address::repeat_byte(5);
pub(crate) const RIVAL: Address = Address::repeat_byte(6);
pub(crate) const STRANGER: Address = Address::repeat_byte(0xee);

/// Signatures as symbols: the first byte says whose it is, whatever was signed.
pub(crate) struct Symbols;

impl Crypto for Symbols {
    fn recover(&self, _: &Deployment, _: &Typed, signature: &Signature) -> Option<Address> {
        match signature.0[0] % 5 {
            0 => Some(CLIENT),
            1 => Some(OPERATOR),
            2 => Some(STRANGER),
            3 => Some(RIVAL),
            _ => None,
        }
    }
}

/// A role with its twin, what it asked for and was not done yet, and what of it is durable.
pub(crate) struct Bench<R> {
    pub(crate) role: R,
    /// Hears the same, and is asked for its digest only now and then.
    quiet: R,
    pub(crate) now: Now,
    lanes: BTreeMap<Lane, VecDeque<Effect>>,
    pub(crate) store: BTreeMap<Key, Record>,
}

impl<R: Role + Clone> Bench<R> {
    pub(crate) fn new(role: R) -> Self {
        let now = Now { mono: Time(0), wall: ChainTime(1_700_000_000).wall() };
        Self { quiet: role.clone(), role, now, lanes: BTreeMap::new(), store: BTreeMap::new() }
    }

    /// One step of both twins; what follows waits in its lane, and is shown to `see` first.
    pub(crate) fn feed(&mut self, input: Input, mut see: impl FnMut(&Output)) {
        tell(|| format!("{:?} < {input:?}", self.now.mono));
        let mut out = Outputs::new();
        self.quiet.step(self.now, input.clone(), &Symbols, &mut out);
        let quiet: Vec<_> = out.drain().collect();
        self.role.step(self.now, input, &Symbols, &mut out);
        if let Err(broken) = self.role.check() {
            panic!("check: {broken}");
        }
        assert_eq!(out.as_slice(), quiet, "O13: the same decisions, other outputs");
        assert!(quiet.len() <= OUTPUTS_MAX, "O11: one input, {} outputs", quiet.len());
        for output in out.drain() {
            tell(|| format!("    > {:?}: {:?}", output.lane, output.effect));
            see(&output);
            self.lanes.entry(output.lane).or_default().push_back(output.effect);
        }
        self.role.digest();
    }

    /// Takes the next effect of a lane that may start. A write set is durable from here on.
    pub(crate) fn next(&mut self, choice: usize) -> Option<(Lane, Effect)> {
        let ready: Vec<Lane> = self.lanes.keys().copied().filter(|lane| self.may_start(*lane)).collect();
        let lane = *ready.get(choice % ready.len().max(1))?;
        let queue = self.lanes.get_mut(&lane).expect("the lane has effects");
        let effect = queue.pop_front().expect("no lane is kept empty");
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        if let Effect::Persist { seq, writes } = &effect {
            tell(|| format!("  durable {seq:?}"));
            for write in writes {
                match write {
                    Record::Gone(key) => self.store.remove(key),
                    kept => self.store.insert(kept.key(), kept.clone()),
                };
            }
        }
        Some((lane, effect))
    }

    /// Takes an effect out of turn that is at the head of its lane.
    pub(crate) fn take_if(&mut self, is_meant: impl Fn(&Effect) -> bool) -> Option<Effect> {
        let (lane, queue) = self.lanes.iter_mut().find(|(_, queue)| queue.front().is_some_and(&is_meant))?;
        let (lane, effect) = (*lane, queue.pop_front()?);
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        Some(effect)
    }

    /// Write sets that share a key become durable in the order of their numbers.
    fn may_start(&self, lane: Lane) -> bool {
        let Some(Effect::Persist { seq, writes }) = self.lanes[&lane].front() else { return true };
        let is_before = |other: &PersistSeq, others: &[Record]| {
            other < seq && others.iter().any(|a| writes.iter().any(|b| a.key() == b.key()))
        };
        !self
            .lanes
            .values()
            .flatten()
            .any(|effect| matches!(effect, Effect::Persist { seq, writes } if is_before(seq, writes)))
    }

    /// Lets time pass; the caller ticks if something is due.
    pub(crate) fn pass(&mut self, span: Span) -> bool {
        // The end of time is no place to be: sums saturate there.
        let left = (u64::MAX / 2).saturating_sub(self.now.mono.0.max(self.now.wall.0));
        let span = Span(span.0.min(left));
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
        self.role.next_deadline().is_some_and(|(at, _)| at <= self.now.mono)
    }

    /// How long until the next deadline.
    pub(crate) fn until_due(&self) -> Span {
        self.role.next_deadline().map_or(Span(0), |(at, _)| at.since(self.now.mono))
    }

    /// After a tick nothing may be due at the same instant, or a driver would spin.
    pub(crate) fn check_no_spin(&self) {
        let due = self.role.next_deadline();
        assert!(due.is_none_or(|(at, _)| at > self.now.mono), "a deadline that is past stays: {due:?}");
    }

    /// A clone's digest, and that of a twin which was asked seldom, are the same.
    pub(crate) fn check_digest(&mut self) {
        let digest = self.role.digest();
        assert_eq!(digest, self.quiet.clone().digest(), "O13: a digest depends on when it is asked for");
        assert_eq!(digest, self.role.clone().digest(), "O13: a clone is another");
    }

    /// How many effects of a kind were not carried out yet.
    pub(crate) fn waiting(&self, is_meant: impl Fn(&Effect) -> bool) -> usize {
        self.lanes.values().flatten().filter(|effect| is_meant(effect)).count()
    }

    /// Every table of a role is within its limit; both lists name the same tables.
    pub(crate) fn check_tables(&self, limits: &[(&str, usize)], tables: &[(&str, usize)]) {
        for ((name, held), (limited, limit)) in tables.iter().zip(limits) {
            assert_eq!(name, limited);
            assert!(held <= limit, "O11: {held} {name}, at most {limit}");
        }
        assert_eq!(tables.len(), limits.len());
    }

    /// The process died and started again with what is durable.
    pub(crate) fn reboot(&mut self, mut role: R) {
        self.quiet = role.clone();
        assert_eq!(role.digest(), self.quiet.clone().digest());
        assert_eq!(role.check(), Ok(()), "check: after a start from what is durable");
        self.role = role;
        self.lanes.clear();
        tell(|| "crash".to_owned());
    }

    /// Durable records in the order of their keys.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> {
        self.store.values().cloned()
    }
}

/// Counts what is done until nothing is left to do.
pub(crate) fn rest(mut carry_out_one: impl FnMut() -> bool) {
    let count = (0..REST_MAX).take_while(|_| carry_out_one()).count();
    assert!(count < REST_MAX, "no rest: effects lead to effects for ever");
}

/// A signature of somebody.
pub(crate) fn signature(whose: u8) -> Signature {
    Signature([whose; 65])
}

/// A number that the input chooses: small, or one of those that overflow.
pub(crate) fn odd(input: &mut Bytes<'_>) -> u64 {
    match input.byte() {
        0 => 0,
        1 => u64::MAX,
        2 => u64::MAX / 2,
        3 => 1 << 60,
        4 => u64::MAX / 1_000_000,
        5 => 1,
        6 => u64::MAX - (1 << 14),
        small => u64::from(small) << (input.byte() % 40),
    }
}
