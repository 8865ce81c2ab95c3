//! What the chain brings.

use decdn_engine::{
    io::Input,
    state::Slot as Place,
    time::{ChainTime, Time},
};

use super::{Event, Poll, World};
use crate::{chain::News, seen::Seen};

impl World {
    /// Lets the chain work when it next has something to do.
    pub(super) fn arm_chain(&mut self) {
        self.goes_on = false;
        let Some(at) = self.chain.next_work(self.queue.now()) else { return };
        let at = at.max(self.queue.now());
        if self.chain_armed.is_none_or(|armed| at < armed) {
            self.chain_armed = Some(at);
            self.queue.push(at, Event::Chain);
        }
    }

    pub(super) fn on_chain_work(&mut self) {
        let now = self.queue.now();
        if self.chain_armed == Some(now) {
            self.chain_armed = None;
        }
        while let Some(news) = self.chain.work(now, &self.crypto, &mut self.decide) {
            self.tell(now, news);
        }
        self.arm_chain();
    }

    fn tell(&mut self, now: Time, news: News) {
        match news {
            News::Included { done, route, submitted } => {
                let from = self.cast.by_account(done.sender).map(|person| person.id);
                if let Some(seen) = done.seen(from, route, submitted) {
                    self.watch.see(now, &Seen::Included { tx: &seen, chain: &self.chain });
                }
            }
            News::Undone { done, route, submitted } => {
                let from = self.cast.by_account(done.sender).map(|person| person.id);
                if let Some(seen) = done.seen(from, route, submitted) {
                    self.watch.see(now, &Seen::Undone { tx: &seen });
                }
            }
            News::Lost { owner: (actor, ..), route } => {
                self.watch.see(now, &Seen::TxLost { actor, route });
            }
            News::Outcome { to: (actor, epoch, ticket), at, outcome } => {
                if self.lives(actor, epoch) {
                    self.feed_at(at, actor, Input::Tx { ticket, outcome });
                }
            }
            News::Sealed => self.watch.see(now, &Seen::Block { chain: &self.chain }),
            News::Sequencer { censored, up } => {
                let censored = censored.and_then(|account| self.cast.by_account(account)).map(|who| who.id);
                self.watch.see(now, &Seen::Sequencer { censored, up });
            }
        }
    }

    pub(super) fn on_polled(&mut self, poll: Place) {
        let Some(Poll { actor: id, epoch, from_block, interests }) = self.polls.remove(poll) else { return };
        if !self.lives(id, epoch) {
            return;
        }
        let forks = self.chain.forks();
        let forks = std::mem::replace(&mut self.slot(id).forks, forks);
        let input = match self.chain.poll(self.queue.now(), from_block, &interests, forks) {
            Some(mut update) => {
                let off = std::mem::take(&mut self.slot(id).glitch);
                if off != 0 {
                    let time = &mut update.head.time;
                    *time = ChainTime(time.0.saturating_add_signed(off / 1_000_000));
                    self.watch.see(self.queue.now(), &Seen::HeadOff { actor: id, ahead_us: off });
                }
                Input::Chain(update)
            }
            None => Input::ChainUnreachable,
        };
        self.step(id, input);
        // Nobody else keeps the world going for ever: actors that read the chain do.
        if !self.goes_on {
            self.goes_on = !self.is_over();
            self.halted |= !self.goes_on;
        }
    }
}
