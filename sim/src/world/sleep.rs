//! Machines that are suspended: nothing happens on them until they go on, and then all that has come meanwhile.

use decdn_engine::time::Span;

use super::{Event, World, slot::Suspended};
use crate::{
    actor::ActorId,
    net::{Due, EndState},
    seen::Seen,
};

/// For how long a peer waits for a word before it takes a connection for lost (W3).
const IDLE: Span = Span::from_secs(30);

impl World {
    /// The machine is suspended. A process that is gone just then starts when the machine goes on.
    pub(super) fn suspend(&mut self, id: ActorId, lasts: Span, stands: bool) {
        let now = self.queue.now();
        let slot = self.slot(id);
        if slot.suspended.is_some() {
            return;
        }
        slot.suspended = Some(Suspended { since: now, stands, waiting: Vec::new() });
        self.suspended += 1;
        self.queue.push(now + lasts, Event::Resume(id));
        self.watch.see(now, &Seen::Suspended { actor: id, lasts });
        if lasts <= IDLE {
            return;
        }
        let is_its = |end: &crate::net::End| end.actor == id && end.state != EndState::Gone;
        let links: Vec<_> =
            self.net.live().filter(|(_, link)| link.ends.iter().any(is_its)).map(|(link, _)| link).collect();
        for link in links {
            self.queue.push(now + IDLE, Event::Die(link));
        }
    }

    /// The machine goes on: its wall clock is right at once, its monotonic clock may have stood still.
    pub(super) fn resume(&mut self, id: ActorId) {
        let now = self.queue.now();
        let slot = self.slot(id);
        let Some(Suspended { since, stands, waiting }) = slot.suspended.take() else { return };
        if stands {
            slot.mono = slot.mono.saturating_sub_unsigned(now.since(since).0);
        }
        // Its own alarms are looked at anew.
        slot.armed = None;
        self.suspended -= 1;
        for event in waiting {
            self.happen(event);
        }
        self.arm(id);
    }

    /// Whose suspension holds this up, if anybody's does.
    pub(super) fn is_suspended_from(&mut self, event: &Event) -> Option<ActorId> {
        if self.suspended == 0 {
            return None;
        }
        let actor = match *event {
            Event::Wake(id) | Event::Restart(id) | Event::Durable(id, ..) => id,
            Event::Answer(id, _) => id,
            Event::Net(Due::Arrive(slot)) => {
                let flying = self.net.flying(slot)?;
                let (link, end) = (flying.link, 1 - flying.end);
                self.net.link(link).ends[usize::from(end)].actor
            }
            Event::Net(Due::LineFree(link, end) | Due::RangeSent(link, end, _))
            | Event::Unlink(link, end, _) => self.net.link(link).ends[usize::from(end)].actor,
            Event::Dialled(link) => self.net.link(link).ends[0].actor,
            Event::Feed(slot) => self.feeds[slot as usize].as_ref()?.actor,
            Event::Polled(poll) => self.polls.get(poll)?.actor,
            Event::Order(job) => self.jobs[job as usize].actor,
            Event::Resume(_) | Event::Die(_) | Event::Chain | Event::Timed(_) | Event::Calm => return None,
        };
        self.actors[usize::from(actor.0)].suspended.as_ref().map(|_| actor)
    }

    /// Whether somebody can be reached: the process is there, and its machine goes.
    pub(super) fn is_there(&self, id: ActorId) -> bool {
        let slot = &self.actors[usize::from(id.0)];
        slot.up && slot.suspended.is_none()
    }
}
