//! How processes start, crash and come back, and how faults end.

use decdn_engine::{
    io::Input,
    time::{Span, Time},
};

use super::{Event, TimedFault, World};
use crate::{actor::ActorId, decide::Label, net::EndState, seen::Seen};

impl World {
    /// A process begins: its clock starts somewhere, its store is listed.
    pub(super) fn begin(&mut self, id: ActorId) {
        let now = self.queue.now();
        let calm = self.calm;
        let mono = self.decide.below(Label::Clock, 1 << 40);
        let decide = &mut self.decide;
        let forks = self.chain.forks();
        let slot = &mut self.actors[usize::from(id.0)];
        slot.forks = forks;
        slot.up = true;
        slot.mono = mono as i64;
        slot.armed = None;
        let may_crash = slot.machine.crashes > slot.epoch && !calm;
        slot.outputs_left =
            if may_crash { decide.trials_until(Label::Crash, slot.machine.crash) } else { None };
        let blobs = slot.blobs.clone();
        for (hash, bytes) in blobs {
            self.feed_at(now, id, Input::BlobReady { hash, bytes });
        }
        self.arm(id);
    }

    /// Whether the next output is the one at which the process dies.
    pub(super) fn dies_now(&mut self, id: ActorId) -> bool {
        match &mut self.actors[usize::from(id.0)].outputs_left {
            None => false,
            Some(0) => !self.calm,
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// The process dies, with `undone` outputs of its last step. It comes back after `away`, or a drawn time.
    pub(super) fn crash(&mut self, id: ActorId, undone: u32, away: Option<Span>) {
        self.die(id, undone, away, false);
    }

    fn die(&mut self, id: ActorId, undone: u32, away: Option<Span>, is_wiped: bool) {
        let now = self.queue.now();
        let slot = &mut self.actors[usize::from(id.0)];
        // Nothing runs on a suspended machine that could die.
        if !slot.up || slot.suspended.is_some() {
            return;
        }
        slot.up = false;
        slot.epoch += 1;
        slot.outputs_left = None;
        let undone = undone + slot.edge.waiting() as u32;
        slot.edge.crash(&mut self.decide);
        self.chain.forget_sent(self.cast.get(id).account);
        if is_wiped {
            slot.edge.durable.wipe();
        }
        let conns = std::mem::take(&mut slot.conns);
        let mut conns: Vec<_> = conns.into_values().collect();
        // What each peer draws below depends on the order: that of the protocols, and of the numbers in each.
        conns.sort_by_key(|&(link, end)| (end, self.net.link(link).protocol));
        let (low, high) = slot.machine.restart;
        let seen = Seen::Crashed { actor: id, undone, durable: &slot.edge.durable, is_wiped };
        self.watch.see(now, &seen);
        for (link, end) in conns {
            self.net.link(link).ends[usize::from(end)].state = EndState::Gone;
            if self.net.link(link).ends[usize::from(1 - end)].state == EndState::Up {
                self.notice_later(link, 1 - end);
            }
        }
        let away = away.unwrap_or_else(|| Span(self.decide.between(Label::Crash, low.0, high.0)));
        if is_wiped {
            self.forget_taken(id);
        }
        self.queue.push(now + away, Event::Restart(id));
    }

    pub(super) fn restart(&mut self, id: ActorId) {
        let slot = &mut self.actors[usize::from(id.0)];
        if slot.up {
            return;
        }
        slot.actor.restart(&mut slot.edge.durable.iter().cloned());
        let digest = slot.actor.digest();
        let seen = Seen::Restarted { actor: id, durable: &slot.edge.durable, digest };
        self.watch.see(self.queue.now(), &seen);
        self.begin(id);
        self.check(id);
        self.order_again(id);
    }

    pub(super) fn on_timed(&mut self, index: usize) {
        let now = self.queue.now();
        match self.timed[index].what {
            TimedFault::Crash(id, away) => self.crash(id, 0, Some(away)),
            TimedFault::Wipe(id, away) => self.die(id, 0, Some(away), true),
            TimedFault::Suspend(id, lasts, stands) => self.suspend(id, lasts, stands),
            TimedFault::Partition { from, to, lasts } => self.partition(from, to, now + lasts),
            TimedFault::Window(secs) => {
                self.chain.set_window(now, secs);
                self.watch.see(now, &Seen::WindowSet { secs });
            }
            TimedFault::Fork(back) => {
                self.chain.fork(now, back, &mut self.decide);
                self.arm_chain();
            }
            TimedFault::Ether(id, wei) => {
                self.chain.set_ether(self.cast.get(id).account, wei);
                self.watch.see(now, &Seen::EtherSet { actor: id, wei });
                self.arm_chain();
            }
            TimedFault::Drift(secs) => self.chain.drift(now, secs),
            TimedFault::Posting(is_posting) => self.chain.set_posting(now, is_posting),
            TimedFault::Glitch(id, by, blocks) => self.slot(id).glitch = (by, blocks),
            TimedFault::LogsBehind(id, by, until) => self.slot(id).logs_behind = (by, until),
            TimedFault::Clock(id, skew) => {
                self.slot(id).machine.skew = skew;
                self.watch.see(now, &Seen::ClockSet { actor: id, ahead_us: skew });
            }
        }
    }

    /// One direction goes silent. What is sent meanwhile comes late; a connection that is silent for longer than
    /// its idle timeout dies.
    fn partition(&mut self, from: ActorId, to: ActorId, until: Time) {
        let now = self.queue.now();
        self.net.block(from, to, until);
        if until.since(now) > Span::from_secs(30) {
            let cut: Vec<_> = self
                .net
                .live()
                .filter(|(_, link)| {
                    let ends = [link.ends[0].actor, link.ends[1].actor];
                    ends == [from, to] || ends == [to, from]
                })
                .map(|(id, _)| id)
                .collect();
            for link in cut {
                self.queue.push(now + Span::from_secs(30), Event::Die(link));
            }
        }
    }

    /// From here on nothing goes wrong any more (O10).
    pub(super) fn on_calm(&mut self) {
        let now = self.queue.now();
        self.calm = true;
        self.net.calm = true;
        for (id, slot) in self.actors.iter_mut().enumerate() {
            slot.outputs_left = None;
            if slot.suspended.is_some() {
                self.queue.push(now, Event::Resume(ActorId(id as u16)));
            }
        }
        let left = Span(self.until.0.saturating_sub(now.0));
        self.watch.see(now, &Seen::Calm { left });
    }
}
