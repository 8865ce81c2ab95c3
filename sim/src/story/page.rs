//! What a story keeps about a channel.

use std::collections::BTreeMap;

use decdn_engine::{
    ids::{BlobHash, ChannelId},
    time::Time,
};

use crate::{
    actor::ActorId,
    check::book::{People, Ranges, UNIT},
    seen::{OnChain, OnChainStatus},
};

/// A dispute by its node that is in a block: what is recorded since, or nothing where it failed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ruling {
    pub(super) at: Time,
    pub(super) amount: Option<u128>,
}

/// The vouchers that a node took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) first: (Time, u128),
    pub(super) last: (Time, u128),
    pub(super) count: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Page {
    pub(super) id: ChannelId,
    /// Who pays whom.
    pub(super) label: String,
    pub(super) client: Option<ActorId>,
    pub(super) node: Option<ActorId>,
    pub(super) deposit: u128,
    pub(super) taken: Option<Taken>,
    /// The best voucher on its node's disk.
    pub(super) held: u128,
    /// What the client verified, each byte once, in base units × MB.
    worth: u128,
    got: BTreeMap<BlobHash, Ranges>,
    pub(super) status: Option<OnChainStatus>,
    pub(super) deadline: Option<Time>,
    /// When its node saw that a close is stale.
    pub(super) seen: Option<Time>,
    /// When its node first handed a dispute in.
    pub(super) handed_in: Option<Time>,
    pub(super) rulings: Vec<Ruling>,
    /// What it settled at.
    pub(super) paid: Option<u128>,
}

impl Page {
    pub(super) fn hold(&mut self, at: Time, amount: u128) {
        let now = (at, amount);
        match &mut self.taken {
            Some(taken) if amount > taken.last.1 => {
                taken.last = now;
                taken.count += 1;
            }
            Some(_) => {}
            None => self.taken = Some(Taken { first: now, last: now, count: 1 }),
        }
        self.held = self.held.max(amount.min(self.deposit));
    }

    pub(super) fn deliver(&mut self, hash: BlobHash, (offset, bytes): (u64, u64), rate: u64) {
        let fresh = self.got.entry(hash).or_default().add(offset, offset.saturating_add(bytes));
        self.worth += u128::from(fresh) * u128::from(rate);
    }

    pub(super) fn settle(&mut self, amount: u128) {
        self.paid = Some(amount);
    }

    /// A fork undid the last step.
    pub(super) fn take_back(&mut self, before: Option<OnChainStatus>, after: OnChainStatus) {
        if before == Some(after) {
            self.rulings.pop();
        }
        if after == OnChainStatus::Settled {
            self.paid = None;
        }
        self.status = before;
        if before != Some(OnChainStatus::Closing) {
            self.deadline = None;
        }
    }

    /// What was delivered is worth this, rounded down and up.
    pub(super) fn worth(&self) -> (u128, u128) {
        (self.worth / UNIT, self.worth.div_ceil(UNIT))
    }

    /// What its node lost: what it held a voucher for, or delivered, and was not paid.
    pub(super) fn node_lost(&self) -> u128 {
        self.paid.map_or(0, |paid| self.held.max(self.worth().0.min(self.deposit)).saturating_sub(paid))
    }

    /// What its client paid for nothing.
    pub(super) fn client_lost(&self) -> u128 {
        self.paid.map_or(0, |paid| paid.saturating_sub(self.worth().1))
    }
}

/// The channels of a run, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    numbers: BTreeMap<ChannelId, usize>,
    all: Vec<Page>,
}

impl Pages {
    /// A new channel, and what it is called.
    pub(super) fn open(&mut self, channel: &OnChain, people: &People) -> String {
        if let Some(known) = self.get_mut(&channel.id) {
            return known.label.clone();
        }
        let (client, node) = (people.of(channel.client), people.of(channel.node));
        let name = |id: Option<ActorId>| id.map_or("somebody", |id| people.name(id));
        let among = self.all.iter().filter(|page| (page.client, page.node) == (client, node)).count();
        let number = if among == 0 { String::new() } else { format!(" #{}", among + 1) };
        let label = format!("{}→{}{number}", name(client), name(node));
        self.numbers.insert(channel.id, self.all.len());
        self.all.push(Page {
            id: channel.id,
            label: label.clone(),
            client,
            node,
            deposit: channel.deposit.0,
            taken: None,
            held: 0,
            worth: 0,
            got: BTreeMap::new(),
            status: Some(channel.status),
            deadline: None,
            seen: None,
            handed_in: None,
            rulings: Vec::new(),
            paid: None,
        });
        label
    }

    pub(super) fn get_mut(&mut self, id: &ChannelId) -> Option<&mut Page> {
        self.all.get_mut(*self.numbers.get(id)?)
    }

    pub(super) fn label(&self, id: &ChannelId) -> &str {
        let page = self.numbers.get(id).and_then(|number| self.all.get(*number));
        page.map_or("a channel", |page| &page.label)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Page> {
        self.all.iter()
    }

    /// Somebody's disk is lost, with the vouchers on it.
    pub(super) fn forget(&mut self, actor: ActorId) {
        self.all.iter_mut().filter(|page| page.node == Some(actor)).for_each(|page| page.held = 0);
    }
}
