//! Connections against what wants them, streams against channels.

use crate::{
    machine::{
        Tools,
        fetcher::{Fetcher, Stage},
        links::{Links, Purpose, Stream},
        prober::Prober,
        wallet::{Closing, Wallet},
    },
    record::ChannelStatus,
    state::{Checked, holds},
};

pub(super) fn were_connections_dialled(tools: &Tools, links: &Links, prober: &Prober) -> Checked {
    for (conn, node) in links.conns() {
        holds!(tools.has_dialled(conn) && prober.get(conn).is_none(), "{conn:?}, {node:?}");
    }
    for (conn, probe) in prober.iter() {
        holds!(tools.has_dialled(conn), "{conn:?}, {:?}", probe.node);
    }
    Ok(())
}

pub(super) fn are_connections_wanted(links: &Links, wallet: &Wallet, fetcher: &Fetcher) -> Checked {
    for (conn, node) in links.conns() {
        let is_candidate = || {
            let moving = fetcher.fetches.values().filter(|fetch| fetch.stage != Stage::Kept);
            let mut candidates = moving.flat_map(|fetch| &fetch.record.order.candidates);
            candidates.any(|candidate| candidate.node == node)
        };
        let has_streams = || links.streams.values().any(|stream| stream.node == node);
        let is_wanted = !wallet.with(node).is_empty() || is_candidate() || has_streams();
        holds!(is_wanted, "{conn:?}, {node:?}");
    }
    Ok(())
}

pub(super) fn are_greeted_its_own(links: &Links, wallet: &Wallet) -> Checked {
    for (node, slot) in links.greeted() {
        holds!(wallet.with(node).contains(&slot), "{node:?}, {slot:?}");
    }
    Ok(())
}

pub(super) fn have_streams_channels(links: &Links, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter() {
        let node = wallet.channels.get(stream.channel).map(|channel| channel.paying.node);
        holds!(node == Some(stream.node), "{id:?}, {:?} with {node:?}", stream.channel);
    }
    Ok(())
}

fn is_agreed(stream: &Stream) -> bool {
    matches!(stream.purpose, Purpose::Content { is_agreed: true, .. })
}

pub(super) fn are_agreed_listed(links: &Links, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter().filter(|(_, stream)| is_agreed(stream)) {
        let channel = wallet.channels.get(stream.channel);
        holds!(channel.is_some_and(|channel| channel.streams.contains(id)), "{id:?}");
    }
    Ok(())
}

pub(super) fn are_listed_agreed(wallet: &Wallet, links: &Links) -> Checked {
    for (slot, channel) in wallet.channels.iter() {
        for (place, id) in channel.streams.iter().enumerate() {
            let is_its = |stream: &Stream| stream.channel == slot && is_agreed(stream);
            let is_first = !channel.streams[..place].contains(id);
            holds!(is_first && links.streams.get(id).is_some_and(is_its), "{slot:?}, {id:?}");
        }
    }
    Ok(())
}

pub(super) fn are_closes_asked_for(links: &Links, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter() {
        if matches!(stream.purpose, Purpose::Close) {
            let closing = wallet.channels.get(stream.channel).map(|channel| channel.closing);
            holds!(closing == Some(Closing::Asked(*id)), "{id:?}: {closing:?}");
        }
    }
    Ok(())
}

/// Once the chain says that it is closing, nobody waits for a consent.
pub(super) fn can_consent_come(wallet: &Wallet, links: &Links) -> Checked {
    for (slot, channel) in wallet.channels.iter() {
        if let Closing::Asked(id) = channel.closing
            && channel.paying.status != ChannelStatus::Closing
        {
            let is_it = |stream: &Stream| stream.channel == slot && matches!(stream.purpose, Purpose::Close);
            holds!(links.streams.get(&id).is_some_and(is_it), "{slot:?}, {id:?}");
        }
    }
    Ok(())
}

pub(super) fn do_requests_name_channels(links: &Links, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter() {
        if let Purpose::Content { request, .. } = &stream.purpose {
            let paying = wallet.channels.get(stream.channel).map(|channel| &channel.paying);
            let is_it = paying.is_some_and(|p| (p.channel, p.token) == (request.channel, request.token));
            holds!(is_it, "{id:?}, {:?}", stream.channel);
        }
    }
    Ok(())
}

pub(super) fn are_rates_allowed(links: &Links, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter() {
        if let Purpose::Content { request, is_agreed: true, .. } = &stream.purpose {
            let rate = wallet.channels.get(stream.channel).map(|channel| channel.paying.meter.rate());
            holds!(rate.is_none_or(|rate| rate <= request.max_rate), "{id:?}: {rate:?}");
        }
    }
    Ok(())
}

pub(super) fn are_payments_there(links: &Links, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter() {
        if let Purpose::Content { paid_by: Some(nonce), .. } = &stream.purpose {
            let newest = wallet.channels.get(stream.channel).map(|channel| channel.paying.nonce);
            holds!(newest.is_none_or(|newest| *nonce <= newest), "{id:?}: {nonce:?} of {newest:?}");
        }
    }
    Ok(())
}

pub(super) fn are_few(count: usize, limit: usize) -> Checked {
    holds!(count <= limit, "{count}, at most {limit}");
    Ok(())
}
