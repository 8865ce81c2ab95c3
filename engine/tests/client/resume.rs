//! D14, D17: wherever a client crashes, and whatever its owner orders again, what is durable of downloads is exactly what the
//! durable meters count, and nothing that the owner was told of is asked for again.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    ids::StreamId,
    io::{Effect, Input, Lane, Notice},
    limits::GROUP,
    money::{Amount, Rate},
    order::FetchOrder,
    record::{Key, Record},
    time::Span,
    wire::Code,
};
use proptest::{prelude::*, sample::Index};

use crate::bench::{BLOB, Bench, RATE, order};

#[derive(Clone, Debug)]
enum Deed {
    /// The node of a stream agrees, or this many groups come.
    Content(Index, u64),
    /// A stream is reset, with one of these codes.
    Reset(Index, Index),
    /// A download is ordered (again): the first or the second, with one of these terms.
    Order(bool, Index),
    /// The newest voucher is acknowledged.
    Ack(Index),
    /// The signer stops answering, or catches up.
    Signer(bool),
    Pass(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (any::<Index>(), 1..12_u64).prop_map(|(which, groups)| Deed::Content(which, groups)),
        2 => (any::<Index>(), any::<Index>()).prop_map(|(which, code)| Deed::Reset(which, code)),
        2 => (any::<bool>(), any::<Index>()).prop_map(|(second, terms)| Deed::Order(second, terms)),
        2 => any::<Index>().prop_map(Deed::Ack),
        1 => any::<bool>().prop_map(Deed::Signer),
        1 => (1..3_000_u64).prop_map(Deed::Pass),
    ];
    prop::collection::vec(deed, 1..40)
}

/// A stream as the node sees it: which node, and where it is.
struct Live {
    stream: StreamId,
    node: u8,
    next: u64,
}

const CODES: [Code; 3] = [Code::NotNow, Code::Other(1), Code::Malformed];

/// One of the orders for a download; its cadence tells which it is.
fn terms(id: u64, which: &Index) -> FetchOrder {
    let low = Rate(RATE.0 - 1);
    let (nodes, max_rate, deposit) = [
        (&[1, 2][..], RATE, 1 << 40),
        (&[2, 1], RATE, 1 << 40),
        (&[1], RATE, 1 << 40),
        (&[2], RATE, 1 << 39),
        (&[2, 1], low, 1 << 40),
        (&[1, 1, 2], RATE, 1),
    ][which.index(6)];
    let cadence_bytes = (15 + id) * GROUP;
    FetchOrder { max_rate, deposit: Amount(deposit), cadence_bytes, keep_channel: true, ..order(id, nodes) }
}

/// How far downloads are, as the owner was told.
fn hear(bench: &mut Bench, told: &mut BTreeMap<u64, u64>) {
    for effect in &bench.said {
        match effect {
            Effect::Notice(Notice::Progress { fetch, verified_bytes }) => {
                told.insert(fetch.0, *verified_bytes);
            }
            Effect::Notice(Notice::Fetched { fetch, .. }) => _ = told.remove(&fetch.0),
            _ => {}
        }
    }
    bench.said.retain(|effect| !matches!(effect, Effect::Notice(_)));
}

fn play(deeds: &[Deed]) -> Bench {
    let mut bench = Bench::new(2);
    for (id, nodes) in [(1, [1, 2]), (2, [2, 1])] {
        let cadence_bytes = (15 + id) * GROUP;
        bench.feed(Input::Fetch(FetchOrder { cadence_bytes, keep_channel: true, ..order(id, &nodes) }));
    }
    let mut live: Vec<Live> = Vec::new();
    let mut told = BTreeMap::new();
    for deed in deeds {
        hear(&mut bench, &mut told);
        while let Some((stream, request)) = bench.asked() {
            let id = request.cadence_bytes / GROUP - 15;
            assert_eq!(request.offset_bytes, told.get(&id).copied().unwrap_or(0), "of download {id}");
            let node = request.channel.0[0] - 0xc0;
            bench.agree(node, (stream, request));
            live.push(Live { stream, node, next: request.offset_bytes });
        }
        match deed {
            Deed::Signer(is_up) => {
                bench.is_signer_up = *is_up;
                if *is_up {
                    bench.sign_all();
                }
            }
            Deed::Pass(millis) => bench.pass(Span::from_millis(*millis)),
            Deed::Order(second, which) => bench.feed(Input::Fetch(terms(1 + u64::from(*second), which))),
            Deed::Content(..) | Deed::Reset(..) | Deed::Ack(_) if live.is_empty() => {}
            Deed::Content(which, groups) => {
                let place = which.index(live.len());
                let Live { stream, next, .. } = live[place];
                let bytes = (groups * GROUP).min(BLOB - next);
                live[place].next += bytes;
                if bytes > 0 {
                    bench.content(stream, next, bytes);
                }
            }
            Deed::Reset(which, code) => {
                let Live { stream, .. } = live.remove(which.index(live.len()));
                bench.reset(stream, CODES[code.index(CODES.len())]);
            }
            Deed::Ack(which) => {
                let Live { stream, node, .. } = live[which.index(live.len())];
                bench.ack_on(stream, node);
            }
        }
    }
    bench
}

/// Which write sets a crash may leave: each lane's up to some place, and none before another that it shares a key with.
fn left_by_crash(bench: &Bench, cuts: &[u8]) -> Vec<bool> {
    let mut stuck_lanes: BTreeSet<Lane> = BTreeSet::new();
    let mut stuck_keys: BTreeSet<Key> = BTreeSet::new();
    let mut left = Vec::new();
    for (place, (lane, writes)) in bench.writes.iter().enumerate() {
        let is_cut = place > 0 && cuts[place % cuts.len()] < 20;
        let is_stuck =
            stuck_lanes.contains(lane) || writes.iter().any(|write| stuck_keys.contains(&write.key()));
        if is_cut || is_stuck {
            stuck_lanes.insert(*lane);
            stuck_keys.extend(writes.iter().map(Record::key));
        }
        left.push(!(is_cut || is_stuck));
    }
    left
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn d14_after_any_crash_meters_and_downloads_tell_of_the_same_bytes(
        deeds in deeds(),
        cuts in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let bench = play(&deeds);
        let left = left_by_crash(&bench, &cuts);
        // One unit per byte.
        let counted: u128 = bench.fold(&left).values().map(|record| match record {
            Record::Paying(paying) => paying.meter.owed().0,
            _ => 0,
        }).sum();
        prop_assert_eq!(counted, u128::from(verified(&bench, &left)));
    }
}

/// All that downloads have verified, by the write sets that are durable: those that are gone had what they had when they went.
fn verified(bench: &Bench, left: &[bool]) -> u64 {
    let (mut of, mut gone) = (BTreeMap::new(), 0);
    let durable = bench.writes.iter().zip(left).filter(|(_, left)| **left);
    for record in durable.flat_map(|((_, writes), _)| writes) {
        if let Record::Gone(key @ Key::Fetch(_)) = record {
            gone += of.remove(key).unwrap_or(0);
        }
        if let Some(fetch) = record.as_fetch() {
            of.insert(record.key(), fetch.verified_bytes);
        }
    }
    gone + of.values().sum::<u64>()
}
