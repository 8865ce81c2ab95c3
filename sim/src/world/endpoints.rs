//! What the chain is through an actor's endpoints (L4): each answers for itself, and the engine's own quorum puts that together.

use decdn_engine::{
    chain::{ChainUpdate, Interest, Route},
    ids::TxTicket,
    io::Input,
};

use super::World;
use crate::{
    actor::ActorId,
    chain::Owner,
    endpoints::{About, Answer, Endpoint, together},
    seen::{ChainView, Seen},
};

impl World {
    /// The answer to a poll of somebody with endpoints of its own.
    pub(super) fn ask_endpoints(&mut self, id: ActorId, from_block: u64, interests: &[Interest]) -> Input {
        let now = self.queue.now();
        let forks = self.slot(id).forks;
        let forked_at = self.chain.forked_since(forks);
        let from_block = from_block.min(forked_at.unwrap_or(u64::MAX));
        let endpoints = self.endpoints[&id].clone();
        let about = self.about(id);
        let answers: Vec<Option<Answer>> = endpoints
            .iter()
            .enumerate()
            .map(|(place, endpoint)| {
                let lag = endpoint.lag_blocks(now);
                let truth = self.chain.seen_behind(now, lag, from_block, interests);
                let told = (truth.head, truth.safe, truth.events.len());
                let answer = endpoint.answer(now, truth, &about, &mut self.decide);
                self.note_answer(id, place, (endpoint, lag), told, answer.as_ref());
                answer
            })
            .collect();
        let update = match answers.as_slice() {
            [one] => one.as_ref().map(|answer| answer.view.clone()),
            several => together(from_block, several, |number| self.chain.named(number)),
        };
        let Some(update) = update else { return Input::ChainUnreachable };
        if !update.is_agreed() {
            self.watch.see(now, &Seen::Apart { actor: id });
            return Input::Chain(update);
        }
        self.slot(id).forks = self.chain.forks();
        Input::Chain(ChainUpdate { forked_at, ..update })
    }

    fn about(&self, id: ActorId) -> About {
        let account = self.cast.get(id).account;
        let is_its = |channel: &&decdn_engine::ids::ChannelId| {
            let state = self.chain.channel(**channel);
            state.is_some_and(|state| [state.client, state.node].contains(&account))
        };
        let channels = self.chain.channels().iter().filter(is_its).copied().collect();
        About { account, channels, window: self.window }
    }

    fn note_answer(
        &mut self,
        id: ActorId,
        place: usize,
        (endpoint, lag): (&Endpoint, u64),
        told: (decdn_engine::chain::BlockRef, u64, usize),
        answer: Option<&Answer>,
    ) {
        let now = self.queue.now();
        let is_same = answer.is_some_and(|answer| {
            lag == 0 && told == (answer.view.head, answer.view.safe, answer.view.events.len())
        });
        if !endpoint.is_right(now) && !is_same {
            self.watch.see(now, &Seen::EndpointWrong { actor: id, endpoint: place });
        }
    }

    /// Whether every endpoint of its takes a transaction and forgets it: each is handed to all of them.
    pub(super) fn is_forgotten(&mut self, owner: Owner, route: Route) -> bool {
        let (now, (id, _, _)) = (self.queue.now(), owner);
        let Self { endpoints, decide, .. } = self;
        let Some(endpoints) = endpoints.get(&id).filter(|_| route == Route::Sequencer) else { return false };
        // Each is asked, whatever the others do.
        endpoints.iter().filter(|endpoint| endpoint.loses(now, decide)).count() == endpoints.len()
    }

    pub(super) fn owner(&mut self, id: ActorId, ticket: TxTicket) -> Owner {
        (id, self.slot(id).epoch, ticket)
    }
}
