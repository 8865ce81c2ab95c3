//! A world that somebody drives step by step, and whose disks and signers answer when he wants: the driver contract's
//! suite does.

use decdn_engine::{
    io::Input,
    time::{Now, Span},
};

use super::{Event, Machine, World};
use crate::actor::ActorId;

/// A world with somebody's hands on it.
pub struct Hand {
    world: World,
}

impl Hand {
    /// Everybody's process begins.
    pub fn new(mut world: World) -> Self {
        world.start();
        Self { world }
    }

    /// What is to happen within this time happens, and then it has passed.
    pub fn pass(&mut self, span: Span) {
        let until = self.world.queue.now() + span;
        while let Some(event) = self.world.queue.pop(until, &mut self.world.decide) {
            self.world.happen(event);
        }
        self.world.queue.pass(until);
    }

    /// An actor's clocks.
    pub fn clock(&self, id: ActorId) -> Now {
        self.world.actors[usize::from(id.0)].now(self.world.queue.now())
    }

    /// An actor's monotonic clock shows zero.
    pub fn reset_clock(&mut self, id: ActorId) {
        self.world.slot(id).mono = 0;
        self.world.arm(id);
    }

    /// How an actor is treated from here on.
    pub fn machine(&mut self, id: ActorId) -> &mut Machine {
        &mut self.world.slot(id).machine
    }

    /// An actor is told something next.
    pub fn tell(&mut self, id: ActorId, input: Input) {
        self.world.feed_at(self.world.queue.now(), id, input);
    }

    /// The disk is done next with the oldest write set that it has. Whether it had one.
    pub fn end_write(&mut self, id: ActorId) -> bool {
        let slot = self.world.slot(id);
        let (epoch, oldest) = (slot.epoch, slot.edge.oldest());
        let Some(seq) = oldest else { return false };
        self.world.queue.push(self.world.queue.now(), Event::Durable(id, epoch, seq));
        true
    }

    /// The signer answers its oldest request next. Whether it had one.
    pub fn end_signature(&mut self, id: ActorId) -> bool {
        let ticket = |input: &Input| match input {
            Input::Signed { ticket, .. } => Some(*ticket),
            _ => None,
        };
        let feeds = self.world.feeds.iter().enumerate();
        let waiting = feeds.filter_map(|(slot, feed)| {
            let feed = feed.as_ref().filter(|feed| feed.actor == id)?;
            Some((ticket(&feed.input)?, slot))
        });
        let Some((_, slot)) = waiting.min() else { return false };
        let feed = self.world.feeds[slot].take().expect("found there");
        // Its own time will find the slot empty; until then nobody else may have it.
        self.tell(id, feed.input);
        true
    }

    /// Whether the disk has something to write.
    pub fn is_writing(&self, id: ActorId) -> bool {
        self.world.actors[usize::from(id.0)].edge.oldest().is_some()
    }

    /// The process dies and does not come back.
    pub fn kill(&mut self, id: ActorId) {
        self.world.crash(id, 0, Some(Span::from_hours(1_000_000)));
    }

    /// Whether the process lives.
    pub fn is_up(&self, id: ActorId) -> bool {
        self.world.actors[usize::from(id.0)].up
    }
}
