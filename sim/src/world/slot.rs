//! What an actor has of its own: its process, its machine and what is under way for it.

use std::collections::BTreeMap;

use decdn_engine::{
    ids::{BlobHash, ConnId},
    time::{Now, Span, Time, WallTime},
};

use super::{EPOCH, Event, Machine};
use crate::{actor::Actor, edge::Edge, seen::LinkId};

/// An actor with everything that is its own.
pub(crate) struct Slot {
    pub(super) actor: Box<dyn Actor>,
    /// Its life: rises with each crash.
    pub(super) epoch: u32,
    pub(super) up: bool,
    pub(super) edge: Edge,
    pub(super) machine: Machine,
    /// Added to simulated time: this process's monotonic clock.
    pub(super) mono: i64,
    /// While its machine is suspended: what waits for it.
    pub(super) suspended: Option<Suspended>,
    /// When it is due by its own clock, as it said after its last step.
    pub(super) due: Option<Time>,
    /// The earliest wake-up under way.
    pub(super) armed: Option<Time>,
    /// Outputs until it dies, if it is to.
    pub(super) outputs_left: Option<u64>,
    pub(super) conns: BTreeMap<ConnId, (LinkId, u8)>,
    pub(super) accepted: u64,
    /// How many forks of the chain this life was told of.
    pub(super) forks: usize,
    /// How far the next head's time is off, in microseconds, and how much too high it is.
    pub(super) glitch: (i64, u64),
    /// How far logs are behind heads, and until when.
    pub(super) logs_behind: (Span, Time),
    /// In the order in which the scenario names them: a hash decides nothing.
    pub(super) blobs: Vec<(BlobHash, u64)>,
}

/// What waits for a suspended machine.
#[derive(Debug)]
pub(super) struct Suspended {
    pub(super) since: Time,
    /// Its monotonic clock stands still.
    pub(super) stands: bool,
    /// What has come for it meanwhile, in that order.
    pub(super) waiting: Vec<Event>,
}

impl Slot {
    /// One that has not started yet.
    pub(super) fn new(actor: Box<dyn Actor>, machine: Machine) -> Self {
        Self {
            actor,
            epoch: 0,
            up: false,
            edge: Edge::default(),
            machine,
            mono: 0,
            suspended: None,
            due: None,
            armed: None,
            outputs_left: None,
            conns: BTreeMap::new(),
            accepted: 0,
            forks: 0,
            glitch: (0, 0),
            logs_behind: (Span(0), Time(0)),
            blobs: Vec::new(),
        }
    }

    /// What its clocks show.
    pub(super) fn now(&self, at: Time) -> Now {
        Now {
            mono: Time(at.0.saturating_add_signed(self.mono)),
            wall: WallTime((EPOCH.0 + at.0).saturating_add_signed(self.machine.skew)),
        }
    }

    /// Whether it is due by its own clock.
    pub(super) fn is_due(&self, at: Time) -> bool {
        self.due.is_some_and(|due| due <= self.now(at).mono)
    }
}
