//! Lanes: effects in order, and nothing past a barrier.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use decdn_engine::io::{Effect, Lane};

/// Effects that wait, per lane. `C` is the credit of the input that caused an effect.
pub(crate) struct Lanes<C> {
    queues: BTreeMap<Lane, Queue<C>>,
    /// Lanes that have something to start and no barrier before it.
    ready: BTreeSet<Lane>,
    len: usize,
}

struct Queue<C> {
    waiting: VecDeque<(Effect, Option<Arc<C>>)>,
    /// A write set of this lane is not durable yet.
    held: bool,
}

impl<C> Lanes<C> {
    pub(crate) fn new() -> Self {
        Self { queues: BTreeMap::new(), ready: BTreeSet::new(), len: 0 }
    }

    /// How many effects wait, over all lanes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn push(&mut self, lane: Lane, effect: Effect, credit: Option<Arc<C>>) {
        let queue =
            self.queues.entry(lane).or_insert_with(|| Queue { waiting: VecDeque::new(), held: false });
        queue.waiting.push_back((effect, credit));
        self.len += 1;
        if !queue.held {
            self.ready.insert(lane);
        }
    }

    /// The next effect that may start, and the credit to keep until it has. A `Persist` holds its lane until
    /// [`release`](Self::release).
    pub(crate) fn next(&mut self) -> Option<(Lane, Effect, Option<Arc<C>>)> {
        let lane = self.ready.first().copied()?;
        let queue = self.queues.get_mut(&lane).expect("a ready lane has a queue");
        let (effect, credit) = queue.waiting.pop_front().expect("a ready lane has something to start");
        self.len -= 1;
        queue.held = matches!(effect, Effect::Persist { .. });
        if queue.held {
            self.ready.remove(&lane);
        } else if queue.waiting.is_empty() {
            self.ready.remove(&lane);
            self.queues.remove(&lane);
        }
        Some((lane, effect, credit))
    }

    /// The lane's write set is durable.
    pub(crate) fn release(&mut self, lane: Lane) {
        let queue = self.queues.get_mut(&lane).expect("a held lane has a queue");
        assert!(queue.held, "a lane is released once per write set");
        queue.held = false;
        if queue.waiting.is_empty() {
            self.queues.remove(&lane);
        } else {
            self.ready.insert(lane);
        }
    }
}
