//! What the chain brings.

use decdn_engine::{
    chain::ChainUpdate,
    ids::BlockHash,
    io::Input,
    state::Slot as Place,
    time::{ChainTime, Time},
};

use super::{Event, Poll, World};
use crate::{actor::ActorId, chain::News, seen::Seen};

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
            News::Included { done, route, submitted, from } => {
                if let Some(seen) = done.seen(Some(from), route, submitted) {
                    self.watch.see(now, &Seen::Included { tx: &seen, chain: &self.chain });
                }
            }
            News::Undone { done, route, submitted, from } => {
                if let Some(seen) = done.seen(Some(from), route, submitted) {
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
            News::Purse { actor, what } => self.watch.see(now, &Seen::Purse { actor, what }),
            News::Sealed => self.watch.see(now, &Seen::Block { chain: &self.chain }),
            News::Sequencer { censored, up } => {
                let censored = censored.and_then(|account| self.cast.by_account(account)).map(|who| who.id);
                self.watch.see(now, &Seen::Sequencer { censored, up });
            }
        }
    }

    /// What an endpoint makes of an answer.
    fn through_endpoint(&mut self, id: ActorId, mut update: ChainUpdate) -> ChainUpdate {
        let now = self.queue.now();
        let (lag, until) = self.slot(id).logs_behind;
        if now < until {
            let behind = update.head.number.saturating_sub(self.chain.blocks_in(lag));
            let told = update.events.len();
            update.events.retain(|event| event.block.number <= behind);
            let missed = told - update.events.len();
            if missed > 0 {
                self.watch.see(now, &Seen::LogsMissed { actor: id, missed });
            }
        }
        let (off, blocks) = std::mem::take(&mut self.slot(id).glitch);
        if (off, blocks) != (0, 0) {
            let head = &mut update.head;
            head.time = ChainTime(head.time.0.saturating_add_signed(off / 1_000_000));
            if blocks > 0 {
                head.number = head.number.saturating_add(blocks);
                head.hash = BlockHash([0x0f; 32]);
                (update.next, update.safe) = (head.number.saturating_add(1), head.number);
            }
            self.watch.see(now, &Seen::HeadOff { actor: id, ahead_us: off, blocks });
        }
        update
    }

    pub(super) fn on_polled(&mut self, poll: Place) {
        let Some(Poll { actor: id, epoch, from_block, interests }) = self.polls.remove(poll) else { return };
        if !self.lives(id, epoch) {
            return;
        }
        if self.endpoints.contains_key(&id) {
            let input = self.ask_endpoints(id, from_block, &interests);
            self.step(id, input);
            return self.look_for_end();
        }
        let forks = self.chain.forks();
        let forks = std::mem::replace(&mut self.slot(id).forks, forks);
        let input = match self.chain.poll(self.queue.now(), from_block, &interests, forks) {
            Some(update) => Input::Chain(self.through_endpoint(id, update)),
            None => Input::ChainUnreachable,
        };
        self.step(id, input);
        self.look_for_end();
    }

    fn look_for_end(&mut self) {
        // Nobody else keeps the world going for ever: actors that read the chain do.
        if !self.goes_on {
            self.goes_on = !self.is_over();
            self.halted |= !self.goes_on;
        }
    }
}
