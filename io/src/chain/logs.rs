//! Reading a poll's events from logs that nobody vouches for.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use alloy_rpc_types_eth::{Filter, Log};
use decdn_contracts::bindings::{self, Wanted};
use decdn_engine::{
    chain::{Block, ChainEvent, Event},
    crypto::Deployment,
    time::ChainTime,
};

use super::ChainError;

/// A log that passed every check.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    index: u64,
    time: Option<u64>,
    event: Event,
}

pub(super) fn filter(wanted: &Wanted, blocks: &RangeInclusive<u64>) -> Filter {
    let [signature, first, second, third] = wanted.topics.clone();
    Filter::new()
        .address(wanted.address)
        .event_signature(signature)
        .topic1(first)
        .topic2(second)
        .topic3(third)
        .from_block(*blocks.start())
        .to_block(*blocks.end())
}

/// Checks that a log is what was asked for.
pub(super) fn check(
    log: &Log,
    wanted: &Wanted,
    at: &Deployment,
    blocks: &RangeInclusive<u64>,
) -> Result<Found, ChainError> {
    let (Some(number), Some(index)) = (log.block_number, log.log_index) else {
        return Err(ChainError::Nonsense("a log without its place"));
    };
    if !wanted.has(log.address(), log.topics()) || log.removed || !blocks.contains(&number) {
        return Err(ChainError::Nonsense("a log that was not asked for"));
    }
    let event = bindings::event(at, log.address(), log.topics(), &log.data().data)?
        .ok_or(ChainError::Nonsense("a log of another kind than asked for"))?;
    Ok(Found { number, index, time: log.block_timestamp, event })
}

/// Puts what was found in order, each once; `Err` where two logs claim one place.
pub(super) fn in_order(mut found: Vec<Found>) -> Result<Vec<Found>, ChainError> {
    found.sort_by_key(|found| (found.number, found.index));
    found.dedup_by(|a, b| (a.number, a.index, a.event) == (b.number, b.index, b.event));
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
            Ok(ChainEvent { block, event: found.event })
        })
        .collect()
}
