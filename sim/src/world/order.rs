//! What owners order; and that they order it again where a process died before it had taken note.

use decdn_engine::{
    ids::{Address, ChannelId, FetchId},
    io::{Answer, Input},
    order::{self, FetchOrder},
    record::{Key, Record},
    time::Time,
};

use super::{Event, Timed, TimedFault, World};
use crate::{
    actor::ActorId,
    report::Probe,
    seen::{ChainView, OnChainStatus},
};

/// What an owner can order.
#[derive(Clone, Debug)]
pub enum Order {
    /// A download.
    Fetch(FetchOrder),
    /// To give a download up.
    Cancel(FetchId),
    /// To close every channel with this one that is open when it is ordered.
    Close {
        /// The other party.
        with: ActorId,
    },
    /// To claim on every channel with this one that is open when it is ordered.
    Claim {
        /// The other party.
        with: ActorId,
    },
    /// To draw what a refusing token left for it.
    Withdraw {
        /// In which token.
        token: Address,
    },
}

impl Order {
    /// What it says of a channel, where it is one about channels.
    fn about(&self, id: ChannelId) -> order::Order {
        match self {
            Self::Claim { .. } => order::Order::Claim(id),
            _ => order::Order::Close(id),
        }
    }
}

/// An order at its time.
#[derive(Clone, Debug)]
pub struct Job {
    /// Whose owner orders.
    pub actor: ActorId,
    /// When.
    pub at: Time,
    /// What.
    pub order: Order,
    /// The owner heard that the download or the withdrawal is over.
    is_over: bool,
    /// The channels to be closed or claimed on, once that was ordered.
    channels: Option<Vec<ChannelId>>,
    /// Those about which the owner heard how that ended.
    answered: Vec<ChannelId>,
    /// What the owner heard was taken: it need not order that again.
    taken: Vec<order::Order>,
}

impl Job {
    /// An order at a time.
    pub fn new(actor: ActorId, at: Time, order: Order) -> Self {
        Self { actor, at, order, is_over: false, channels: None, answered: Vec::new(), taken: Vec::new() }
    }

    /// Whether it is an order of this download.
    fn fetches(&self, actor: ActorId, fetch: FetchId) -> bool {
        self.actor == actor && matches!(&self.order, Order::Fetch(order) if order.id == fetch)
    }

    /// Whether it is the order to give this download up.
    fn cancels(&self, fetch: FetchId) -> bool {
        matches!(self.order, Order::Cancel(other) if other == fetch)
    }
}

impl World {
    /// Whether nothing is left that anybody waits for: every order is carried out, every channel has come to its end.
    pub(super) fn is_over(&self) -> bool {
        let keeps = |client| {
            let person = self.cast.by_account(client).map(|person| person.id);
            let keeps = |job: &Job| matches!(&job.order, Order::Fetch(order) if order.keep_channel);
            !self.kept_channels_end && self.jobs.iter().any(|job| keeps(job) && Some(job.actor) == person)
        };
        // What is settled may yet come back.
        let forks = |timed: &Timed| matches!(timed.what, TimedFault::Fork(_)) && timed.at > self.queue.now();
        self.jobs.iter().all(|job| self.is_done(job))
            && self.chain.is_quiet(keeps)
            && !self.timed.iter().any(forks)
    }

    fn is_done(&self, job: &Job) -> bool {
        match &job.order {
            Order::Fetch(_) | Order::Withdraw { .. } => job.is_over,
            Order::Cancel(fetch) => {
                self.jobs.iter().any(|other| other.is_over && other.fetches(job.actor, *fetch))
            }
            Order::Close { .. } => {
                job.channels.as_ref().is_some_and(|ids| ids.iter().all(|id| !self.is_open(*id)))
            }
            Order::Claim { .. } => {
                let has_claimed = |id| self.chain.channel(id).is_some_and(|channel| channel.claimed.0 > 0);
                let is_done =
                    |id: &ChannelId| job.answered.contains(id) || has_claimed(*id) || !self.is_open(*id);
                job.channels.as_ref().is_some_and(|ids| ids.iter().all(is_done))
            }
        }
    }

    fn is_open(&self, id: ChannelId) -> bool {
        self.chain.channel(id).is_some_and(|channel| channel.status == OnChainStatus::Open)
    }

    /// The owner hears that a download is over: all that was ordered of it is carried out. If it is whole, nothing is ordered of
    /// it any more.
    pub(super) fn job_done(&mut self, actor: ActorId, fetch: FetchId, is_whole: bool) {
        let now = self.queue.now();
        self.goes_on = false;
        for job in &mut self.jobs {
            job.is_over |= job.fetches(actor, fetch) && (is_whole || job.at <= now);
        }
    }

    /// The owner hears what became of an order about money.
    pub(super) fn job_answered(&mut self, actor: ActorId, order: order::Order, answer: Answer) {
        let now = self.queue.now();
        self.goes_on = false;
        for job in self.jobs.iter_mut().filter(|job| job.actor == actor && job.at <= now) {
            if answer == Answer::Taken {
                job.taken.push(order);
            } else if let (Order::Claim { .. }, order::Order::Claim(channel)) = (&job.order, order) {
                job.answered.push(channel);
            } else if let (Order::Withdraw { token }, order::Order::Withdraw { token: other }) =
                (&job.order, order)
            {
                job.is_over |= *token == other;
            }
        }
    }

    /// With its records an actor has lost what it had taken.
    pub(super) fn forget_taken(&mut self, actor: ActorId) {
        self.jobs.iter_mut().filter(|job| job.actor == actor).for_each(|job| job.taken.clear());
    }

    fn is_taken(job: &Job) -> bool {
        let is_taken = |id: &ChannelId| {
            let is_it = |order: &order::Order| *order == job.order.about(*id);
            job.answered.contains(id) || job.taken.iter().any(is_it)
        };
        job.channels.as_ref().is_some_and(|ids| ids.iter().all(is_taken))
    }

    pub(super) fn on_order(&mut self, index: usize) {
        let job = &self.jobs[index];
        let actor = job.actor;
        // While the process is away its owner can't order; `order_again` does when it is back.
        if !self.actors[usize::from(actor.0)].up || self.is_done(job) {
            return;
        }
        match &job.order {
            Order::Fetch(order) => {
                let order = order.clone();
                self.step(actor, Input::Fetch(order));
            }
            Order::Cancel(fetch) => {
                let fetch = *fetch;
                self.step(actor, Input::Cancel(fetch));
            }
            Order::Close { with } | Order::Claim { with } => {
                let with = *with;
                self.order_all(index, with);
            }
            Order::Withdraw { token } => {
                let token = *token;
                self.step(actor, Input::Order(order::Order::Withdraw { token }));
            }
        }
    }

    fn order_all(&mut self, index: usize, with: ActorId) {
        let actor = self.jobs[index].actor;
        let parties = [actor, with].map(|id| self.cast.get(id).account);
        let is_theirs = |id: &&ChannelId| {
            self.chain.channel(**id).is_some_and(|channel| {
                let ends = [channel.client, channel.node];
                channel.status == OnChainStatus::Open && parties.iter().all(|party| ends.contains(party))
            })
        };
        let known = self.jobs[index].channels.clone();
        let ids = known.unwrap_or_else(|| self.chain.channels().iter().filter(is_theirs).copied().collect());
        self.jobs[index].channels = Some(ids.clone());
        self.goes_on = false;
        let epoch = self.slot(actor).epoch;
        for id in ids {
            if self.lives(actor, epoch) {
                let order = self.jobs[index].order.about(id);
                self.step(actor, Input::Order(order));
            }
        }
    }

    /// The owner orders again what was ordered before and is neither done nor on record.
    pub(super) fn order_again(&mut self, id: ActorId) {
        let now = self.queue.now();
        let durable = &self.actors[usize::from(id.0)].edge.durable;
        let is_left = |record: &Record| match record {
            Record::Order(order::Order::Close(channel)) => self.is_open(*channel),
            record => matches!(record, Record::Order(_)),
        };
        if self.cast.get(id).honest && durable.iter().any(is_left) {
            self.watch.report.probe(Probe::RestartedWithOrder);
        }
        let (mut again, mut dropped) = (Vec::new(), Vec::new());
        let due = |job: &Job| job.actor == id && job.at <= now;
        // Of several orders of a download the last one counts.
        let is_newest = |index: usize, fetch: FetchId| {
            let mut others =
                self.jobs.iter().enumerate().filter(|(_, job)| due(job) && job.fetches(id, fetch));
            others.all(|(other, job)| (job.at, other) <= (self.jobs[index].at, index))
        };
        let is_on_record = |order: &FetchOrder| matches!(durable.get(&Key::Fetch(order.id)), Some(Record::Fetch(fetch)) if fetch.order == *order);
        for (index, job) in self.jobs.iter().enumerate().filter(|(_, job)| due(job) && !self.is_done(job)) {
            match &job.order {
                Order::Fetch(order) if is_on_record(order) || !is_newest(index, order.id) => {}
                // Who has given a download up does not order it once more.
                Order::Fetch(order) if self.jobs.iter().any(|job| due(job) && job.cancels(order.id)) => {
                    dropped.push(order.id);
                }
                Order::Cancel(fetch) if durable.get(&Key::Fetch(*fetch)).is_none() => {}
                // What was taken is on record, whatever became of the process since.
                Order::Close { .. } | Order::Claim { .. } if Self::is_taken(job) => {}
                Order::Withdraw { token }
                    if job.taken.contains(&order::Order::Withdraw { token: *token }) => {}
                Order::Fetch(_)
                | Order::Cancel(_)
                | Order::Close { .. }
                | Order::Claim { .. }
                | Order::Withdraw { .. } => again.push(index as u32),
            }
        }
        for fetch in dropped {
            self.job_done(id, fetch, true);
        }
        for index in again {
            self.queue.push(now, Event::Order(index));
        }
    }
}
