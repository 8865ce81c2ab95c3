//! D14: wherever a client crashes, what is durable of downloads is exactly what the durable meters count.

use std::collections::BTreeSet;

use decdn_engine::{
    ids::StreamId,
    io::Lane,
    limits::GROUP,
    record::{Key, Record},
    time::Span,
    wire::Code,
};
use proptest::{prelude::*, sample::Index};

use crate::bench::{BLOB, Bench};

#[derive(Clone, Debug)]
enum Deed {
    /// The node of a stream agrees, or this many groups come.
    Content(Index, u64),
    /// A stream is reset.
    Reset(Index, bool),
    /// The newest voucher is acknowledged.
    Ack(Index),
    /// The signer stops answering, or catches up.
    Signer(bool),
    Pass(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let deed = prop_oneof![
        6 => (any::<Index>(), 1..12_u64).prop_map(|(which, groups)| Deed::Content(which, groups)),
        2 => (any::<Index>(), any::<bool>()).prop_map(|(which, is_ban)| Deed::Reset(which, is_ban)),
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

fn play(deeds: &[Deed]) -> Bench {
    let mut bench = Bench::new(2);
    bench.order(1, &[1, 2], true);
    bench.order(2, &[2, 1], true);
    let mut live: Vec<Live> = Vec::new();
    for deed in deeds {
        while let Some((stream, request)) = bench.asked() {
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
            Deed::Reset(which, is_ban) => {
                let Live { stream, .. } = live.remove(which.index(live.len()));
                bench.reset(stream, if *is_ban { Code::Other(1) } else { Code::NotNow });
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
        let disk = bench.fold(&left_by_crash(&bench, &cuts));
        let mut counted = 0;
        let mut verified = 0;
        let mut over = BTreeSet::from([1, 2]);
        for record in disk.values() {
            match record {
                // One unit per byte.
                Record::Paying(paying) => counted += paying.meter.owed().0,
                Record::Fetch(fetch) => {
                    over.remove(&fetch.order.id.0);
                    verified += u128::from(fetch.verified_bytes);
                }
                _ => {}
            }
        }
        // A download whose record is gone was whole, unless its order was not durable yet.
        let is_ordered = |id: &u64| disk_ever(&bench, *id, &left_by_crash(&bench, &cuts));
        verified += over.iter().filter(|id| is_ordered(id)).count() as u128 * u128::from(BLOB);
        prop_assert_eq!(counted, verified);
    }
}

/// Whether a download's record was ever durable.
fn disk_ever(bench: &Bench, id: u64, left: &[bool]) -> bool {
    let durable = bench.writes.iter().zip(left).filter(|(_, left)| **left);
    durable
        .flat_map(|((_, writes), _)| writes)
        .any(|write| matches!(write, Record::Fetch(fetch) if fetch.order.id.0 == id))
}
