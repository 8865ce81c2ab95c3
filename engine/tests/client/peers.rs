//! O11: what a client knows of nodes goes with its last use for them, and connections are bounded.

use decdn_engine::{
    chain::channel::{Ending, EventKind},
    fault::{Fault, LimitHit},
    ids::FetchId,
    io::{Effect, Gone, Input},
    limits::Limits,
    money::Amount,
    time::Span,
};

use crate::bench::{Bench, channel};

fn hung_up(bench: &mut Bench) -> bool {
    bench.take(|effect| matches!(effect, Effect::Disconnect { .. }).then_some(())).is_some()
}

#[test]
fn o11_a_node_without_channel_stream_or_download_is_left() {
    let mut bench = Bench::new(1);
    bench.order(1, &[1], true);
    bench.asked().expect("asked");
    bench.feed(Input::Cancel(FetchId(1)));
    assert!(!hung_up(&mut bench), "its channel is kept");
    bench.feed(Input::CloseChannel(channel(1)));
    let asked = bench.close_asked().expect("asked");
    bench.consent(1, asked);
    let (ticket, _) = bench.tx().expect("the close");
    let settled = EventKind::Settled {
        ending: Ending::Consent,
        amount: Amount(0),
        paid: Amount(0),
        refunded: Amount(1 << 40),
    };
    bench.include(ticket, &[(channel(1), settled)]);
    assert!(hung_up(&mut bench));
    assert_eq!((bench.table("peers"), bench.table("conns")), (0, 0));
}

#[test]
fn o11_a_connection_that_ends_takes_its_peer_along_unless_there_is_a_channel() {
    let mut bench = Bench::new(1);
    bench.order(1, &[1], true);
    bench.feed(Input::Disconnected { conn: bench.connection(), why: Gone::Lost });
    assert_eq!(bench.table("peers"), 1, "its channel is there");
    bench.feed(Input::Cancel(FetchId(1)));
    assert_eq!(bench.table("peers"), 1);
}

#[test]
fn o11_connections_beyond_the_table_wait() {
    let mut config = Bench::new(0).config();
    config.limits = Limits { conns: 1, fetches: 4, ..Limits::standard() };
    let records = Bench::new(2).fold(&[true]).into_values().collect();
    let mut bench = Bench::recover(config, records);
    bench.order(1, &[1], true);
    let first = bench.asked().expect("asked");
    bench.order(2, &[2], true);
    let hit = bench.take(|effect| match effect {
        Effect::Fault(Fault::Limit { limit, .. }) => Some(*limit),
        _ => None,
    });
    assert_eq!(hit, Some(LimitHit::Conns));
    assert_eq!(bench.asked(), None);
    assert_eq!(bench.table("conns"), 1);
    bench.feed(Input::Disconnected { conn: first.0.conn, why: Gone::Lost });
    bench.feed(Input::Cancel(FetchId(1)));
    bench.pass(Span::from_secs(10));
    let (_, request) = bench.asked().expect("its turn");
    assert_eq!(request.channel, channel(2));
}
