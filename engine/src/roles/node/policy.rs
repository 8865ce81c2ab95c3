//! What a node does by itself with the channels that it earns on: claims and finishes what pays, puts aside what does not, and forgets
//! what never will (V1, L3, C4, C12, X2).

use alloc::{vec, vec::Vec};

use super::Node;
use crate::{
    chain::channel::{self, EventKind},
    dispute::Watch,
    fault::{LimitHit, Rule},
    ids::{Address, ChannelId},
    io::{Lane, Outputs},
    machine::{Cx, earnings::Channel},
    money::Amount,
    order::Order,
    record::{ChannelStatus, Record},
    state::Slot,
    time::Now,
    worth::{CLAIM_GAS, FINISH_GAS, Market, Stake},
};

/// So many channels are looked at with each news, one after another.
const REVIEWED: usize = 4_096;

/// What is to become of a channel that nothing else is done about.
enum Plan {
    Claim,
    Finish,
    PutAside,
}

impl Node {
    /// What gas costs, by the newest news.
    fn market(&self) -> Market {
        self.buyer.follower.outlook().market
    }

    /// What the transactions of a channel's close are measured by.
    pub(super) fn stake(&self, slot: Slot) -> Stake {
        let channel = &self.earnings.channels[slot];
        Stake { claimed: self.earnings.claims.of(&channel.id), coin: self.coin(channel.token) }
    }

    fn coin(&self, token: Address) -> Option<Amount> {
        self.config.terms(token).and_then(|terms| terms.coin)
    }

    /// Whether finishing a channel brings more than it costs (X2).
    pub(super) fn pays_to_finish(&self, slot: Slot) -> bool {
        let coin = self.coin(self.earnings.channels[slot].token);
        self.market().pays(self.earnings.unclaimed(slot), FINISH_GAS, coin)
    }

    /// X2: whoever kept more than one least deposit from this node is served no more.
    pub(super) fn has_kept_too_much(&self, client: Address, token: Address) -> bool {
        let most = self.config.terms(token).map_or(Amount::ZERO, |terms| terms.least_deposit);
        self.earnings.forgone.of(client, token) > most
    }

    /// The chain is read up to its head: the next channels are looked at, some of which are old enough for something, and so are
    /// closes that pay nothing.
    pub(super) fn review(&mut self, now: Now, out: &mut Outputs) {
        let (next, slots) = self.earnings.channels.places(self.reviewed, REVIEWED);
        self.reviewed = next;
        let mut left = self.config.limits.closes;
        for slot in slots {
            let Some(plan) = self.plan(now, slot) else { continue };
            if left == 0 {
                // It is looked at again in its turn.
                break;
            }
            left -= 1;
            match plan {
                Plan::Claim => self.order_by_itself(now, Order::Claim, slot, out),
                Plan::Finish => self.order_by_itself(now, Order::Close, slot, out),
                Plan::PutAside => self.put_aside(now, slot, out),
            }
        }
        self.forgo(now, out);
    }

    fn plan(&mut self, now: Now, slot: Slot) -> Option<Plan> {
        let channel = self.earnings.channels.quiet_mut(slot).expect("it is in its place");
        if !channel.streams.is_empty() {
            channel.quiet_since = None;
        } else {
            channel.quiet_since.get_or_insert(now.mono);
        }
        let channel = &self.earnings.channels[slot];
        let is_ordered = |order| self.buyer.orders.has(&order);
        let is_busy = channel.is_consenting
            || channel.is_left_alone
            || channel.status == ChannelStatus::Closing
            || self.closings.is_doubtful(slot)
            || is_ordered(Order::Close(channel.id))
            || is_ordered(Order::Claim(channel.id));
        if is_busy {
            return None;
        }
        let is_open = channel.status == ChannelStatus::Open;
        let policy = &self.config.policy;
        let quiet = channel.quiet_since.map(|since| now.mono.since(since)).unwrap_or_default();
        let patience = if is_open { policy.idle } else { policy.finish };
        let plan = if quiet >= patience && self.pays_to_finish(slot) {
            Plan::Finish
        } else if quiet >= policy.idle && self.may_put_aside(slot, channel) {
            Plan::PutAside
        } else if is_open && self.is_claim_due(slot) {
            Plan::Claim
        } else {
            return None;
        };
        (!self.has_transaction(slot)).then_some(plan)
    }

    /// C12: it has earned more than the cap beyond what was claimed, and a claim pays.
    fn is_claim_due(&self, slot: Slot) -> bool {
        let Some(terms) = self.config.terms(self.earnings.channels[slot].token) else { return false };
        let earned = self.earnings.unclaimed(slot);
        earned > terms.claim_above && self.market().pays(earned, CLAIM_GAS, terms.coin)
    }

    /// A voucher has become durable: the channel may have passed its cap.
    pub(super) fn claim_if_due(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        if self.earnings.channels.get(slot).is_some() && matches!(self.plan(now, slot), Some(Plan::Claim)) {
            self.order_by_itself(now, Order::Claim, slot, out);
        }
    }

    fn order_by_itself(&mut self, now: Now, order: fn(ChannelId) -> Order, slot: Slot, out: &mut Outputs) {
        let order = order(self.earnings.channels[slot].id);
        self.take_order(now, order, slot, out);
    }

    /// What a fork may yet take back is not put aside: nobody would hear of it.
    fn may_put_aside(&self, slot: Slot, channel: &Channel) -> bool {
        let is_durable = channel.best_pair().1 == channel.durable && !self.earnings.is_raising(slot);
        let has_room = self.earnings.aside.len() < self.config.limits.channels;
        is_durable && has_room && channel.opened_at_block <= self.buyer.follower.safe()
    }

    fn put_aside(&mut self, now: Now, slot: Slot, out: &mut Outputs) {
        let watch = self.closings.remove(slot, &mut Cx { now, tools: &mut self.buyer.tools, out });
        assert!(watch.is_none(), "what is closing is forgone, not put aside");
        let record = self.earnings.put_aside(slot, ChannelStatus::Idle, None);
        self.buyer.tools.persist(Lane::Role, vec![record], out);
    }

    /// L3: long after their windows, by the chain's clock and ours, closes that pay nothing are put aside, and after longer still
    /// forgotten. One clock alone may be wrong, and what is given up is disputed no more (X2).
    fn forgo(&mut self, now: Now, out: &mut Outputs) {
        let outlook = self.buyer.follower.outlook();
        let (head, safe) = (outlook.head_time, self.buyer.follower.safe());
        let is_due = |(slot, watch): &(Slot, &Watch)| {
            let at = watch.deadline.after(self.config.policy.forgo);
            head >= at
                && now.wall >= at.wall()
                && watch.closed_in <= safe
                && !watch.is_worth_settling(&outlook)
                && !watch.is_unsure()
                && !self.closings.is_rewound(*slot)
                && !self.has_transaction(*slot)
        };
        let may = |slot: &Slot| self.may_put_aside(*slot, &self.earnings.channels[*slot]);
        let most = self.config.limits.closes;
        let due: Vec<Slot> =
            self.closings.iter().filter(is_due).map(|(slot, _)| slot).filter(may).take(most).collect();
        for slot in due {
            let watch = self.closings.remove(slot, &mut Cx { now, tools: &mut self.buyer.tools, out });
            let watch = watch.expect("it was closing");
            let held = self.earnings.channels[slot].held();
            self.buyer.follower.checkpoint.settled(watch.closed_in, held.channel);
            let mut writes = self.keeps(slot, held.worth().saturating_sub(watch.recorded()));
            writes.push(self.earnings.put_aside(slot, ChannelStatus::Forgone, Some(head)));
            self.buyer.tools.persist(Lane::Role, writes, out);
        }
        let old = self.earnings.aside.take_old(head, self.config.policy.forget, most);
        if !old.is_empty() {
            let writes = old.into_iter().flat_map(|id| self.erase(id)).collect();
            self.buyer.tools.persist(Lane::Role, writes, out);
        }
    }

    /// A channel's client keeps so much of what was earned. What is to be stored.
    pub(super) fn keeps(&mut self, slot: Slot, amount: Amount) -> Vec<Record> {
        let channel = &self.earnings.channels[slot];
        if amount == Amount::ZERO || channel.is_forgone {
            return Vec::new();
        }
        self.earnings.forgone.add(channel.client, channel.token, amount).collect()
    }

    /// Something happened to a channel that is put aside: it has its place again, unless that changes nothing, or there is none. Whether
    /// the event is to be taken.
    pub(super) fn comes_back(&mut self, block: u64, event: &channel::Event, out: &mut Outputs) -> bool {
        if self.earnings.aside.get(&event.channel).is_none() {
            return true;
        }
        match event.kind {
            EventKind::Opened { .. } | EventKind::Disputed { .. } => false,
            EventKind::Claimed { .. } => true,
            EventKind::Closing { .. } if !self.has_room() => {
                self.buyer.follower.checkpoint.refuses(block);
                out.limit(Rule::O11, LimitHit::Channels);
                false
            }
            EventKind::Closing { .. } | EventKind::Settled { .. } => {
                // Nothing is served on it: what has happened says the rest.
                self.earnings.take_back(&event.channel, ChannelStatus::Final).is_some()
            }
        }
    }

    /// The channel of an id, which has its place again if it was put aside and is open, where its client asks for something on it, or
    /// the owner does.
    pub(super) fn open_slot(
        &mut self,
        id: &ChannelId,
        client: Option<Address>,
        out: &mut Outputs,
    ) -> Option<Slot> {
        let is_wanted = |channel: &Channel| {
            channel.status == ChannelStatus::Idle && client.is_none_or(|client| client == channel.client)
        };
        if self.earnings.aside.get(id).is_some_and(is_wanted) && self.has_room() {
            let slot = self.earnings.take_back(id, ChannelStatus::Open)?;
            self.persist(slot, out);
        }
        self.earnings.slot(id)
    }
}
