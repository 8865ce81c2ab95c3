//! Downloads against streams, probes, alarms and the channels that they use.

use crate::{
    machine::{
        AlarmKey,
        fetcher::{Fetch, Fetcher, Stage},
        links::{Links, Purpose},
        opener::{Opener, Opening},
        prober::Prober,
        wallet::Wallet,
    },
    record::Paying,
    state::{Alarms, Checked, Slot, holds},
};

pub(super) fn have_streams(fetcher: &Fetcher, links: &Links) -> Checked {
    for (id, fetch) in fetcher.fetches.iter() {
        let (stream, must_be_agreed) = match fetch.stage {
            Stage::Requested(stream) => (stream, false),
            Stage::Streaming(stream) => (stream, true),
            _ => continue,
        };
        let is_its = matches!(links.streams.get(&stream).map(|stream| &stream.purpose),
            Some(Purpose::Content { fetch, is_agreed, .. }) if fetch == id && *is_agreed == must_be_agreed);
        holds!(is_its, "{id:?}, {stream:?}");
    }
    Ok(())
}

/// Of a download that is being paid the last stream may still be there.
pub(super) fn are_streams_awaited(links: &Links, fetcher: &Fetcher) -> Checked {
    for (id, stream) in links.streams.iter() {
        let Purpose::Content { fetch, .. } = &stream.purpose else { continue };
        let stage = fetcher.fetches.get(fetch).map(|fetch| fetch.stage);
        let is_awaited = match stage {
            Some(Stage::Requested(of) | Stage::Streaming(of)) => of == *id,
            Some(Stage::Paying(slot)) => slot == stream.channel,
            _ => false,
        };
        holds!(is_awaited, "{id:?}, {fetch:?}: {stage:?}");
    }
    Ok(())
}

pub(super) fn are_streams_as_far(links: &Links, fetcher: &Fetcher) -> Checked {
    for (id, stream) in links.streams.iter() {
        let Purpose::Content { fetch, next, end, is_agreed, .. } = &stream.purpose else { continue };
        let Some(fetch) = fetcher.fetches.get(fetch) else { continue };
        let is_end = !*is_agreed || fetch.end() == Some(*end);
        holds!(fetch.position() == *next && is_end, "{id:?}: {next} of {end}, {}", fetch.position());
    }
    Ok(())
}

/// What was agreed on may go on under a lower maximum that allows it (D17).
pub(super) fn do_requests_ask_for_orders(links: &Links, fetcher: &Fetcher, wallet: &Wallet) -> Checked {
    for (id, stream) in links.streams.iter() {
        let Purpose::Content { fetch, request, is_agreed, .. } = &stream.purpose else { continue };
        let Some(order) = fetcher.fetches.get(fetch).map(|fetch| &fetch.record.order) else { continue };
        let is_asked = (request.hash, request.token) == (order.hash, order.token);
        let channel = wallet.channels.get(stream.channel).filter(|_| *is_agreed);
        let rate = channel.map_or(request.max_rate, |channel| channel.paying.meter.rate());
        holds!(is_asked && rate <= order.max_rate, "{id:?}, {fetch:?}: {rate:?}");
    }
    Ok(())
}

/// Once all is verified it does not matter who brought it.
pub(super) fn are_streams_with_candidates(links: &Links, fetcher: &Fetcher) -> Checked {
    for (id, fetch) in fetcher.fetches.iter() {
        let (Stage::Requested(stream) | Stage::Streaming(stream)) = fetch.stage else { continue };
        let node = links.streams.get(&stream).map(|stream| stream.node);
        holds!(node == Some(fetch.candidate().node), "{id:?}, {stream:?}: {node:?}");
    }
    Ok(())
}

/// No alarm, no stream, no probe.
pub(super) fn are_kept_left_alone(
    fetcher: &Fetcher,
    links: &Links,
    (prober, alarms): (&Prober, &Alarms<AlarmKey>),
) -> Checked {
    for (id, _) in fetcher.fetches.iter().filter(|(_, fetch)| fetch.stage == Stage::Kept) {
        let is_set = alarms.at(AlarmKey::Fetch(*id)).is_some();
        let has_stream = links.streams.values().any(|stream| stream.fetch() == Some(*id));
        let has_probe = prober.iter().any(|(_, probe)| probe.fetch == *id);
        holds!(!(is_set || has_stream || has_probe), "{id:?}: {is_set}, {has_stream}, {has_probe}");
    }
    Ok(())
}

pub(super) fn have_askers_probes(fetcher: &Fetcher, prober: &Prober) -> Checked {
    for (id, fetch) in fetcher.fetches.iter() {
        if let Stage::Probing(conn) = fetch.stage {
            holds!(prober.get(conn).is_some_and(|probe| probe.fetch == *id), "{id:?}, {conn:?}");
        }
    }
    Ok(())
}

pub(super) fn are_probes_awaited(prober: &Prober, fetcher: &Fetcher) -> Checked {
    for (conn, probe) in prober.iter() {
        let is_its =
            |fetch: &Fetch| fetch.stage == Stage::Probing(conn) && fetch.candidate().node == probe.node;
        holds!(fetcher.fetches.get(&probe.fetch).is_some_and(is_its), "{conn:?}, {:?}", probe.fetch);
    }
    Ok(())
}

/// A download that is just to be moved along waits for nothing that could be late.
pub(super) fn are_waits_timed(fetcher: &Fetcher, alarms: &Alarms<AlarmKey>) -> Checked {
    for (id, fetch) in fetcher.fetches.iter().filter(|(_, fetch)| fetch.stage != Stage::Kept) {
        let is_set = alarms.at(AlarmKey::Fetch(*id)).is_some();
        holds!(is_set == (fetch.stage != Stage::Waiting), "{id:?}: {:?}, set: {is_set}", fetch.stage);
    }
    Ok(())
}

pub(super) fn have_alarms_downloads(alarms: &Alarms<AlarmKey>, fetcher: &Fetcher) -> Checked {
    for key in alarms.keys() {
        if let AlarmKey::Fetch(id) = key {
            holds!(fetcher.fetches.contains_key(&id), "{id:?}");
        }
    }
    Ok(())
}

/// Once the chain is read and the account is proven, a download waits for an opening, the end of somebody's probe, a connection, or a
/// signature on a channel with its node.
pub(super) fn are_moved(
    fetcher: &Fetcher,
    (opener, prober): (&Opener, &Prober),
    (links, wallet, alarms): (&Links, &Wallet, &Alarms<AlarmKey>),
) -> Checked {
    for (id, fetch) in fetcher.fetches.iter().filter(|(_, fetch)| fetch.stage == Stage::Waiting) {
        let (node, token) = (fetch.candidate().node, fetch.record.order.token);
        let is_dialled = || links.conns().any(|(_, other)| other == node) && !links.is_up(node);
        let is_signing = |slot: &Slot| {
            wallet.channels[*slot].signing.is_some() || alarms.at(AlarmKey::Resend(*slot)).is_some()
        };
        let is_moved = opener.is_opening(node, token)
            || prober.is_asking(node)
            || is_dialled()
            || wallet.with(node).iter().any(is_signing);
        holds!(is_moved, "{id:?}, {node:?}");
    }
    Ok(())
}

/// Whether a download may use a channel, now or later.
fn may_use(fetch: &Fetch, paying: &Paying) -> bool {
    let is_candidate = || fetch.record.order.candidates.iter().any(|candidate| candidate.node == paying.node);
    fetch.stage != Stage::Kept && fetch.record.order.token == paying.token && is_candidate()
}

pub(super) fn are_sources_its_own(fetcher: &Fetcher, wallet: &Wallet) -> Checked {
    for (id, fetch) in fetcher.fetches.iter() {
        for (place, slot) in fetch.sources.iter().enumerate() {
            let is_its = wallet.channels.get(*slot).is_none_or(|channel| may_use(fetch, &channel.paying));
            holds!(is_its && !fetch.sources[..place].contains(slot), "{id:?}, {slot:?}");
        }
    }
    Ok(())
}

pub(super) fn are_lost_wanted(wallet: &Wallet, fetcher: &Fetcher) -> Checked {
    for (slot, channel) in wallet.channels.iter() {
        for (place, (id, at)) in channel.lost.iter().enumerate() {
            let can_ask = |fetch: &Fetch| may_use(fetch, &channel.paying) && *at <= fetch.position();
            let is_first = !channel.lost[..place].iter().any(|(other, _)| other == id);
            holds!(is_first && fetcher.fetches.get(id).is_some_and(can_ask), "{slot:?}, {id:?} from {at}");
        }
    }
    Ok(())
}

pub(super) fn are_unused_closed(wallet: &Wallet, fetcher: &Fetcher, is_read: bool) -> Checked {
    for (slot, channel) in wallet.channels.iter().filter(|_| is_read) {
        let is_used = || {
            channel.paying.is_kept || fetcher.fetches.values().any(|fetch| may_use(fetch, &channel.paying))
        };
        holds!(!channel.is_open() || is_used(), "{slot:?}");
    }
    Ok(())
}

pub(super) fn are_openings_timed(opener: &Opener, alarms: &Alarms<AlarmKey>) -> Checked {
    let is_sent = opener.first().is_some_and(Opening::is_sent);
    let is_set = alarms.at(AlarmKey::Opening).is_some();
    holds!(is_sent == is_set, "sent: {is_sent}, set: {is_set}");
    Ok(())
}

/// `asks`: whether the owner is asked.
pub(super) fn are_openings_agreed(opener: &Opener, asks: bool) -> Checked {
    let is_begun = |opening: &&Opening| opening.is_sent() || opening.included_in().is_some();
    let unagreed = opener.first().filter(is_begun).filter(|opening| asks && !opening.is_agreed());
    holds!(unagreed.is_none(), "{unagreed:?}");
    Ok(())
}

/// `asks`: whether the owner is asked. Nobody is asked, and no yes is kept, where an order is the yes.
pub(super) fn are_agreements_wanted(fetcher: &Fetcher, asks: bool) -> Checked {
    for (id, fetch) in fetcher.fetches.iter() {
        let is_asked = fetch.stage == Stage::Asking || fetch.agreements().next().is_some();
        holds!(asks || !is_asked, "{id:?}: {:?}", fetch.stage);
    }
    Ok(())
}
