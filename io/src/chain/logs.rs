//! Finding an account's channels, and reading their events from logs that nobody vouches for.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use alloy_primitives::{Address, B256};
use alloy_rpc_types_eth::{Filter, Log};
use alloy_sol_types::SolEvent;
use decdn_contracts::bindings::{self, sol::PaymentChannel};
use decdn_engine::{
    chain::{Block, ChainEvent, EventKind},
    ids::ChannelId,
    time::ChainTime,
};

use super::ChainError;

/// Channels named in one filter; beyond, everything is read and the rest dropped here.
const NAMED_MAX: usize = 512;

/// The channels of one account.
#[derive(Debug)]
pub(super) struct Watched {
    account: Address,
    channels: BTreeSet<ChannelId>,
    /// The first block whose openings are not known.
    pub(super) next: u64,
}

/// A log that passed every check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    index: u64,
    time: Option<u64>,
    channel: ChannelId,
    kind: EventKind,
}

impl Watched {
    pub(super) fn new(account: Address, start_block: u64) -> Self {
        Self { account, channels: BTreeSet::new(), next: start_block }
    }

    /// What to ask for to learn of the account's openings: it is the client, or the node.
    pub(super) fn openings(&self, escrow: Address, blocks: &RangeInclusive<u64>) -> [Filter; 2] {
        let opened = Filter::new()
            .address(escrow)
            .event_signature(PaymentChannel::ChannelOpened::SIGNATURE_HASH)
            .from_block(*blocks.start())
            .to_block(*blocks.end());
        [opened.clone().topic2(self.account.into_word()), opened.topic3(self.account.into_word())]
    }

    /// What to ask for to learn what became of the channels known so far.
    pub(super) fn changes(&self, escrow: Address, blocks: &RangeInclusive<u64>) -> Option<Filter> {
        if self.channels.is_empty() {
            return None;
        }
        let kinds = vec![
            PaymentChannel::ChannelClosing::SIGNATURE_HASH,
            PaymentChannel::ChannelDisputed::SIGNATURE_HASH,
            PaymentChannel::ChannelSettled::SIGNATURE_HASH,
        ];
        let all = Filter::new()
            .address(escrow)
            .event_signature(kinds)
            .from_block(*blocks.start())
            .to_block(*blocks.end());
        if self.channels.len() > NAMED_MAX {
            return Some(all);
        }
        Some(all.topic1(self.channels.iter().map(|id| B256::from(id.0)).collect::<Vec<_>>()))
    }

    /// Checks a log; `None` where it is about somebody else's channel. An opening is remembered.
    pub(super) fn take(
        &mut self,
        log: &Log,
        escrow: Address,
        blocks: &RangeInclusive<u64>,
    ) -> Result<Option<Found>, ChainError> {
        let (Some(number), Some(index)) = (log.block_number, log.log_index) else {
            return Err(ChainError::Nonsense("a log without its place"));
        };
        if log.address() != escrow || log.removed || !blocks.contains(&number) {
            return Err(ChainError::Nonsense("a log that was not asked for"));
        }
        let Some((channel, kind)) = bindings::event(log.topics(), &log.data().data)? else {
            return Err(ChainError::Nonsense("a log of another kind than asked for"));
        };
        match kind {
            EventKind::Opened { client, node, .. } if client == self.account || node == self.account => {
                self.channels.insert(channel);
            }
            _ if self.channels.contains(&channel) => {}
            _ => return Ok(None),
        }
        Ok(Some(Found { number, index, time: log.block_timestamp, channel, kind }))
    }
}

/// Puts what was found in order, each once; `Err` where two logs claim one place.
pub(super) fn in_order(mut found: Vec<Found>) -> Result<Vec<Found>, ChainError> {
    found.sort_by_key(|found| (found.number, found.index));
    found.dedup_by(|a, b| (a.number, a.index, a.channel, a.kind) == (b.number, b.index, b.channel, b.kind));
    if found.windows(2).any(|pair| (pair[0].number, pair[0].index) == (pair[1].number, pair[1].index)) {
        return Err(ChainError::Nonsense("two logs in one place"));
    }
    Ok(found)
}

/// Cuts after a whole block once `max` is passed; the first block always stays whole. Says which block was
/// cut, if one was.
pub(super) fn cut(found: &mut Vec<Found>, max: usize) -> Option<u64> {
    let first = found.first()?.number;
    let number = found.get(max).map(|found| found.number)?;
    let place = if number == first {
        found.iter().position(|found| found.number != first)?
    } else {
        found.iter().position(|found| found.number == number)?
    };
    let cut = found[place].number;
    found.truncate(place);
    Some(cut)
}

/// The blocks whose time no log told.
pub(super) fn untimed(found: &[Found]) -> BTreeSet<u64> {
    found.iter().filter(|found| found.time.is_none()).map(|found| found.number).collect()
}

pub(super) fn events(
    found: &[Found],
    times: &BTreeMap<u64, ChainTime>,
) -> Result<Vec<ChainEvent>, ChainError> {
    found
        .iter()
        .map(|found| {
            let told = found.time.map(ChainTime).or_else(|| times.get(&found.number).copied());
            let time = told.ok_or(ChainError::Nonsense("a log in a block that is not there"))?;
            let block = Block { number: found.number, time };
            Ok(ChainEvent { block, channel: found.channel, kind: found.kind })
        })
        .collect()
}
