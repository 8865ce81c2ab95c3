//! The simulator's side of the driver contract in `decdn_engine::io`: lanes, barriers, write sets. One of the
//! drivers that the contract's test suite runs against.
//!
//! An edge holds back what stands behind a barrier and folds write sets into what is durable. It carries nothing
//! out itself: the world does, in the order in which the edge hands effects over.

use std::collections::VecDeque;

use decdn_engine::{
    io::{Effect, Lane},
    record::{PersistSeq, Record},
};

use crate::{
    decide::{Decisions, Label},
    seen::Durable,
};

/// An effect on its way to be carried out, with what an adversary has done to it.
#[derive(Clone, Debug)]
pub struct Order {
    /// The effect.
    pub effect: Effect,
    /// Its lane.
    pub lane: Lane,
    /// First byte of the group that goes out wrong, if it is a `SendRange`.
    pub corrupt: Option<u64>,
}

/// A write set that is on its way to the disk.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its number.
    pub seq: PersistSeq,
    /// Whose barrier it is.
    pub lane: Lane,
    /// What it holds.
    pub writes: Vec<Record>,
    /// The disk is done with it; an older write set of the same key is not there yet.
    pub is_held: bool,
}

/// One actor's lanes and its disk.
#[derive(Clone, Debug, Default)]
pub struct Edge {
    /// Lanes behind a barrier, with what waits in them. Only few are, at any time.
    blocked: Vec<(Lane, VecDeque<Order>)>,
    /// Write sets under way, oldest first; at most one per lane.
    writes: Vec<Write>,
    /// What is durable.
    pub durable: Durable,
    spare: Vec<VecDeque<Order>>,
}

impl Edge {
    /// Holds an effect back whose lane [is blocked](Self::is_blocked); any other is to be carried out at once.
    pub fn hold(&mut self, order: Order) {
        if let Some((_, waiting)) = self.blocked.iter_mut().find(|(lane, _)| *lane == order.lane) {
            waiting.push_back(order);
        }
    }

    /// A write set goes to the disk: from here on its lane is blocked.
    pub fn begin(&mut self, write: Write) {
        if !self.blocked.iter().any(|(lane, _)| *lane == write.lane) {
            let waiting = self.spare.pop().unwrap_or_default();
            self.blocked.push((write.lane, waiting));
        }
        self.writes.push(write);
    }

    /// Takes a write set that is durable now off the list; `None` if it died with its process, or if an older one
    /// that shares a key with it has to become durable first.
    pub fn complete(&mut self, seq: PersistSeq) -> Option<Write> {
        let at = self.writes.iter().position(|write| write.seq == seq)?;
        if self.is_behind(&self.writes[at]) {
            self.writes[at].is_held = true;
            return None;
        }
        Some(self.writes.remove(at))
    }

    /// A write set that waited for an older one, and need not any more.
    pub fn unheld(&mut self) -> Option<PersistSeq> {
        let free = |write: &Write| write.is_held && !self.is_behind(write);
        let at = self.writes.iter().position(free)?;
        self.writes[at].is_held = false;
        Some(self.writes[at].seq)
    }

    /// Whether a write set with a lower number that shares a key is not durable yet.
    fn is_behind(&self, write: &Write) -> bool {
        let older = |seq: PersistSeq, writes: &[Record]| seq < write.seq && shares_key(writes, &write.writes);
        let waiting = self.blocked.iter().flat_map(|(_, waiting)| waiting);
        self.writes.iter().any(|other| older(other.seq, &other.writes))
            || waiting.filter_map(write_set).any(|(seq, writes)| older(seq, writes))
    }

    /// The write set that the disk has had for longest and is not done with.
    pub fn oldest(&self) -> Option<PersistSeq> {
        self.writes.iter().find(|write| !write.is_held).map(|write| write.seq)
    }

    /// The next effect of a lane whose barrier has fallen. `None` ends the barrier: the lane is free.
    pub fn release(&mut self, lane: Lane) -> Option<Order> {
        let at = self.blocked.iter().position(|(blocked, _)| *blocked == lane)?;
        if let Some(order) = self.blocked[at].1.pop_front() {
            return Some(order);
        }
        let (_, spare) = self.blocked.swap_remove(at);
        self.spare.push(spare);
        None
    }

    /// Whether a lane stands behind a barrier.
    pub fn is_blocked(&self, lane: Lane) -> bool {
        self.blocked.iter().any(|(blocked, _)| *blocked == lane)
    }

    /// Effects that wait behind barriers.
    pub fn waiting(&self) -> usize {
        self.blocked.iter().map(|(_, waiting)| waiting.len()).sum()
    }

    /// The process dies. Each write set under way is on the disk whole or not at all, by decision, but none without
    /// the older ones that share a key with it; what waited is forgotten.
    pub fn crash(&mut self, decide: &mut Decisions) {
        let Self { blocked, writes, durable, .. } = self;
        writes.sort_unstable_by_key(|write| write.seq);
        let waiting = blocked.iter().flat_map(|(_, waiting)| waiting);
        let mut gone: Vec<(PersistSeq, &[Record])> = waiting.filter_map(write_set).collect();
        for Write { seq, writes, .. } in writes.iter() {
            let is_cut_off = gone.iter().any(|(older, lost)| older < seq && shares_key(lost, writes));
            if !is_cut_off && decide.below(Label::Torn, 2) == 1 {
                durable.apply(*seq, writes.clone());
            } else {
                gone.push((*seq, writes));
            }
        }
        durable.rebase();
        writes.clear();
        blocked.clear();
    }
}

fn write_set(order: &Order) -> Option<(PersistSeq, &[Record])> {
    match &order.effect {
        Effect::Persist { seq, writes } => Some((*seq, writes)),
        _ => None,
    }
}

fn shares_key(some: &[Record], others: &[Record]) -> bool {
    some.iter().any(|record| others.iter().any(|other| other.key() == record.key()))
}
