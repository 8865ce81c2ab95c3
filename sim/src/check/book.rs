//! Where oracles write down who is who, which channel is which, and what each stream was agreed to be. Nothing in
//! here judges.

use std::collections::BTreeMap;

use decdn_engine::{
    ids::{Address, BlobHash, ChannelId, NodeId},
    money::MB,
};

use crate::{
    actor::ActorId,
    cast::Cast,
    seen::{ChainView, Included, OnChain, OnChainStatus, Pipe},
};

/// A base unit, in the unrounded units that bytes × rate is counted in.
pub const UNIT: u128 = MB as u128;

/// The least unrounded debt for which an amount is the right one to sign: anything above the unit before it.
pub const fn least_debt(amount: u128) -> u128 {
    match amount {
        0 => 0,
        _ => (amount - 1).saturating_mul(UNIT).saturating_add(1),
    }
}

/// Who is who, as oracles ask. What somebody plays is not among it: who pays and who is paid is a matter of each channel.
#[derive(Clone, Debug, Default)]
pub struct People {
    names: Vec<String>,
    honest: Vec<bool>,
    accounts: BTreeMap<Address, ActorId>,
    nodes: BTreeMap<NodeId, ActorId>,
}

impl People {
    /// From the cast.
    pub fn new(cast: &Cast) -> Self {
        Self {
            names: cast.people.iter().map(|person| person.name.clone()).collect(),
            honest: cast.people.iter().map(|person| person.honest).collect(),
            accounts: cast.people.iter().map(|person| (person.account, person.id)).collect(),
            nodes: cast.people.iter().map(|person| (person.node, person.id)).collect(),
        }
    }

    /// Its name in the scenario.
    pub fn name(&self, id: ActorId) -> &str {
        self.names.get(usize::from(id.0)).map_or("somebody", String::as_str)
    }

    /// Whether it is an engine role as it is.
    pub fn is_honest(&self, id: ActorId) -> bool {
        self.honest.get(usize::from(id.0)).copied().unwrap_or(false)
    }

    /// Whose account this is.
    pub fn of(&self, account: Address) -> Option<ActorId> {
        self.accounts.get(&account).copied()
    }

    /// Whose network key this is.
    pub fn by_node(&self, node: NodeId) -> Option<ActorId> {
        self.nodes.get(&node).copied()
    }

    /// Somebody's network key.
    pub fn node_of(&self, id: ActorId) -> Option<NodeId> {
        self.nodes.iter().find(|(_, who)| **who == id).map(|(node, _)| *node)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether nobody takes part.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Everybody.
    pub fn ids(&self) -> impl Iterator<Item = ActorId> + use<> {
        (0..self.names.len() as u16).map(ActorId)
    }
}

/// Channels by a small number, in the order in which they were opened, each with what an oracle keeps about it.
#[derive(Clone, Debug)]
pub struct Channels<T> {
    by_id: BTreeMap<ChannelId, u32>,
    all: Vec<(Deal, T)>,
}

impl<T> Default for Channels<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), all: Vec::new() }
    }
}

/// A channel's unchanging terms.
#[derive(Clone, Copy, Debug)]
pub struct Deal {
    /// Which.
    pub id: ChannelId,
    /// Whose account pays, if it is anybody's of the cast.
    pub payer: Option<ActorId>,
    /// Whose account is paid, if it is anybody's of the cast.
    pub payee: Option<ActorId>,
    /// In what.
    pub token: Address,
    /// What was paid in.
    pub deposit: u128,
}

impl<T: Default> Channels<T> {
    /// Takes a channel up if this transaction opened it.
    pub fn learn(&mut self, tx: &Included<'_>, people: &People) {
        if let (None, Ok(()), Some(after)) = (tx.before, tx.result, tx.channel_after())
            && after.status == OnChainStatus::Open
        {
            self.add(after, people);
        }
    }

    /// Takes up every channel that is there already.
    pub fn learn_all(&mut self, chain: &dyn ChainView, people: &People) {
        for id in chain.channels() {
            if let Some(channel) = chain.channel(*id) {
                self.add(&channel, people);
            }
        }
    }

    fn add(&mut self, channel: &OnChain, people: &People) {
        if self.by_id.contains_key(&channel.id) {
            return;
        }
        self.by_id.insert(channel.id, self.all.len() as u32);
        let deal = Deal {
            id: channel.id,
            payer: people.of(channel.client),
            payee: people.of(channel.node),
            token: channel.token,
            deposit: channel.deposit.0,
        };
        self.all.push((deal, T::default()));
    }
}

impl<T> Channels<T> {
    /// A channel's number.
    pub fn number(&self, id: &ChannelId) -> Option<u32> {
        self.by_id.get(id).copied()
    }

    /// By its number.
    pub fn at(&mut self, number: u32) -> (&Deal, &mut T) {
        let (deal, kept) = &mut self.all[number as usize];
        (deal, kept)
    }

    /// By its id.
    pub fn get(&mut self, id: &ChannelId) -> Option<(&Deal, &mut T)> {
        let number = self.number(id)?;
        Some(self.at(number))
    }

    /// All of them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut (Deal, T)> {
        self.all.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

/// What an oracle keeps about each stream.
#[derive(Clone, Debug)]
pub struct Pipes<T> {
    links: Vec<Vec<T>>,
}

impl<T> Default for Pipes<T> {
    fn default() -> Self {
        Self { links: Vec::new() }
    }
}

impl<T: Clone + Default> Pipes<T> {
    /// What is kept about a stream, if anything was.
    pub fn get(&mut self, pipe: Pipe) -> Option<&mut T> {
        self.links.get_mut(pipe.link.0 as usize)?.get_mut(pipe.index as usize)
    }

    /// What is kept about a stream, from now on.
    pub fn entry(&mut self, pipe: Pipe) -> &mut T {
        let (link, index) = (pipe.link.0 as usize, pipe.index as usize);
        if self.links.len() <= link {
            self.links.resize_with(link + 1, Vec::new);
        }
        let streams = &mut self.links[link];
        if streams.len() <= index {
            streams.resize_with(index + 1, T::default);
        }
        &mut streams[index]
    }

    /// Everything on a connection.
    pub fn on_link(&mut self, link: crate::seen::LinkId) -> &mut [T] {
        self.links.get_mut(link.0 as usize).map_or(&mut [], Vec::as_mut_slice)
    }

    /// Everything.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.links.iter_mut().flatten()
    }
}

/// Blobs by a small number.
#[derive(Clone, Debug, Default)]
pub struct Blobs(BTreeMap<BlobHash, u32>);

impl Blobs {
    /// A blob's number.
    pub fn number(&mut self, hash: &BlobHash) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(*hash).or_insert(next)
    }
}

/// Byte ranges, none of them touching another.
#[derive(Clone, Debug, Default)]
pub struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds `[start, end)`; says how many of its bytes are new.
    pub fn add(&mut self, start: u64, end: u64) -> u64 {
        if start >= end {
            return 0;
        }
        if let Some(last) = self.0.last_mut()
            && last.1 == start
        {
            last.1 = end;
            return end - start;
        }
        let first = self.0.partition_point(|range| range.1 < start);
        let after = self.0.partition_point(|range| range.0 <= end);
        let known: u64 = self.0[first..after]
            .iter()
            .map(|range| range.1.min(end).saturating_sub(range.0.max(start)))
            .sum();
        let low = self.0.get(first).filter(|_| first < after).map_or(start, |range| range.0.min(start));
        let high = self.0[first..after].last().map_or(end, |range| range.1.max(end));
        self.0.splice(first..after, [(low, high)]);
        end - start - known
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}
