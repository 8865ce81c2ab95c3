//! The driver's half that every role needs: steps, lanes, barriers, durable records, clocks.

use std::{
    collections::{BTreeMap, VecDeque},
    vec,
};

use decdn_engine::{
    chain::Block,
    crypto::Crypto,
    io::{Effect, Input, Lane, Output, Outputs},
    record::{PersistSeq, Record},
    roles::Role,
    time::{ChainTime, Now, Span, Time},
};

use crate::{
    disk::{self, Disk},
    fixtures::START,
    tell,
};

/// A role, what it asked for and was not done yet, and what of it is durable.
#[derive(Clone, Debug)]
pub struct Bench<R, C> {
    /// The role itself.
    pub role: R,
    /// Its clocks. They stand still unless a test lets time pass.
    pub now: Now,
    /// What is durable of it.
    pub disk: Disk,
    crypto: C,
    /// Hears the same, and is asked for its digest only in the end.
    twin: Option<R>,
    outputs_max: usize,
    lanes: BTreeMap<Lane, VecDeque<Effect>>,
}

impl<R: Role + Clone, C: Crypto> Bench<R, C> {
    /// A role with an empty disk.
    pub fn new(role: R, crypto: C) -> Self {
        let now = Now { mono: Time(0), wall: ChainTime(START).wall() };
        let (disk, lanes) = (Disk::new(), BTreeMap::new());
        Self { role, now, disk, crypto, twin: None, outputs_max: usize::MAX, lanes }
    }

    /// With a twin that hears the same. It has to ask for the same, though only the role is asked for its digest after each step.
    #[must_use]
    pub fn with_twin(self) -> Self {
        Self { twin: Some(self.role.clone()), ..self }
    }

    /// One step may ask for this much.
    #[must_use]
    pub fn with_outputs_max(self, outputs_max: usize) -> Self {
        Self { outputs_max, ..self }
    }

    /// One step, and what it asks for: that is the caller's to carry out.
    ///
    /// # Panics
    /// If the role is left in a state that may not be, asks for too much or for something else than its twin, or, after a tick,
    /// still has something due: a driver would spin.
    pub fn step(&mut self, input: Input) -> Vec<Output> {
        tell(|| format!("{:?} < {input:?}", self.now.mono));
        let is_tick = input == Input::Tick;
        let mut out = Outputs::new();
        let twins: Option<Vec<Output>> = self.twin.as_mut().map(|twin| {
            twin.step(self.now, input.clone(), &self.crypto, &mut out);
            out.drain().collect()
        });
        self.role.step(self.now, input, &self.crypto, &mut out);
        if let Err(broken) = self.role.check() {
            panic!("check: {broken}");
        }
        let said: Vec<Output> = out.drain().collect();
        if let Some(twins) = twins {
            assert_eq!(said, twins, "O13: the same decisions, other outputs");
            self.role.digest();
        }
        assert!(said.len() <= self.outputs_max, "O11: one input, {} outputs", said.len());
        for output in &said {
            tell(|| format!("    > {:?}: {:?}", output.lane, output.effect));
        }
        let due = self.role.next_deadline();
        let is_spinning = is_tick && due.is_some_and(|(at, _)| at <= self.now.mono);
        assert!(!is_spinning, "a deadline that is past stays: {due:?}");
        said
    }

    /// One step; what follows waits in its lane, and is shown to `see` first.
    pub fn feed(&mut self, input: Input, mut see: impl FnMut(&Output)) {
        for output in self.step(input) {
            see(&output);
            self.lanes.entry(output.lane).or_default().push_back(output.effect);
        }
    }

    /// Takes the next effect of a lane that may start, if there is one: of which is the caller's choice. A write set is durable from
    /// here on.
    pub fn next(&mut self, choice: usize) -> Option<(Lane, Effect)> {
        let ready: Vec<Lane> = self.lanes.keys().copied().filter(|lane| self.may_start(*lane)).collect();
        let lane = *ready.get(choice % ready.len().max(1))?;
        let effect = self.pop(lane)?;
        if let Effect::Persist { seq, writes } = &effect {
            tell(|| format!("  durable {seq:?}"));
            disk::write(&mut self.disk, writes);
        }
        Some((lane, effect))
    }

    /// Takes an effect out of turn that is at the head of its lane. It is not for write sets.
    pub fn take_if(&mut self, is_meant: impl Fn(&Effect) -> bool) -> Option<Effect> {
        let is_first = |queue: &VecDeque<Effect>| queue.front().is_some_and(&is_meant);
        let lane = *self.lanes.iter().find(|(_, queue)| is_first(queue))?.0;
        self.pop(lane)
    }

    fn pop(&mut self, lane: Lane) -> Option<Effect> {
        let queue = self.lanes.get_mut(&lane)?;
        let effect = queue.pop_front();
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        effect
    }

    /// Write sets that share a key become durable in the order of their numbers.
    fn may_start(&self, lane: Lane) -> bool {
        let Some(Effect::Persist { seq, writes }) = self.lanes[&lane].front() else { return true };
        let is_before = |other: &PersistSeq, others: &[Record]| {
            other < seq && others.iter().any(|a| writes.iter().any(|b| a.key() == b.key()))
        };
        self.waiting(|effect| matches!(effect, Effect::Persist { seq, writes } if is_before(seq, writes)))
            == 0
    }

    /// How many effects of a kind wait in their lanes.
    pub fn waiting(&self, is_meant: impl Fn(&Effect) -> bool) -> usize {
        self.lanes.values().flatten().filter(|effect| is_meant(effect)).count()
    }

    /// Lets time pass; the caller ticks if something is due.
    pub fn pass(&mut self, span: Span) -> bool {
        // The end of time is no place to be: sums saturate there.
        let left = (u64::MAX / 2).saturating_sub(self.now.mono.0.max(self.now.wall.0));
        let span = Span(span.0.min(left));
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
        self.role.next_deadline().is_some_and(|(at, _)| at <= self.now.mono)
    }

    /// Lets time pass until then, or until the next deadline if that comes first. The caller ticks if so, and goes on.
    pub fn pass_until(&mut self, until: Time) -> bool {
        let due = self.role.next_deadline().map(|(at, _)| at).filter(|at| *at <= until);
        self.pass(due.unwrap_or(until).since(self.now.mono));
        due.is_some()
    }

    /// How long until the next deadline.
    pub fn until_due(&self) -> Span {
        self.role.next_deadline().map_or(Span(0), |(at, _)| at.since(self.now.mono))
    }

    /// A block of this very second.
    pub fn block(&self, number: u64) -> Block {
        Block { number, time: ChainTime(self.now.wall.secs()) }
    }

    /// Durable records in the order of their keys.
    pub fn records(&self) -> Vec<Record> {
        self.disk.values().cloned().collect()
    }

    /// The process dies and starts again with what is durable. What it asked for and was not done is forgotten.
    ///
    /// # Panics
    /// If it comes back in a state that may not be.
    pub fn reboot(&mut self, recover: impl FnOnce(vec::IntoIter<Record>) -> R) {
        self.role = recover(self.records().into_iter());
        assert_eq!(self.role.check(), Ok(()), "check: after a start from what is durable");
        if self.twin.is_some() {
            self.twin = Some(self.role.clone());
            self.check_digest();
        }
        self.lanes.clear();
        tell(|| "crash".to_owned());
    }

    /// The digest is that of a clone, and of a twin that was not asked before.
    ///
    /// # Panics
    /// If it isn't.
    pub fn check_digest(&mut self) {
        let digest = self.role.digest();
        if let Some(twin) = &self.twin {
            assert_eq!(digest, twin.clone().digest(), "O13: a digest depends on when it is asked for");
        }
        assert_eq!(digest, self.role.clone().digest(), "O13: a clone is another");
    }
}
