//! D8: bytes that were lost on their way count at the node until they are asked for again. Where nobody will ask, the
//! channel ends, even one that is to be kept.

use decdn_engine::{
    ids::{FetchId, StreamId},
    io::Input,
    limits::GROUP,
    time::Span,
    wire::Code,
};

use crate::bench::{BLOB, Bench};

/// A download from the first node that has got four of the sixteen groups that the node may have sent.
fn begun(nodes: &[u8]) -> (Bench, StreamId) {
    let mut bench = Bench::new(nodes.len() as u8);
    bench.order(1, nodes, true);
    let asked = bench.asked().expect("asked");
    bench.agree(1, asked);
    bench.content(asked.0, 0, 4 * GROUP);
    (bench, asked.0)
}

#[test]
fn d8_a_download_given_up_in_the_middle_ends_its_channel() {
    let (mut bench, _) = begun(&[1]);
    bench.feed(Input::Cancel(FetchId(1)));
    let (_, request) = bench.close_asked().expect("closed, though it was to be kept");
    let paid = request.voucher.expect("for what came").terms.amount;
    assert_eq!(u128::from(4 * GROUP), paid.0, "at one unit per byte");
}

#[test]
fn d8_a_download_given_up_after_a_crash_ends_the_channels_it_may_have_used() {
    let (mut bench, stream) = begun(&[1]);
    bench.reset(stream, Code::NotNow);
    let records = bench.fold(&vec![true; bench.writes.len()]).into_values().collect();
    let mut again = Bench::recover(bench.config(), records);
    assert_eq!(again.close_asked(), None, "the download goes on");
    again.feed(Input::Cancel(FetchId(1)));
    assert!(again.close_asked().is_some());
}

#[test]
fn d8_lost_bytes_that_were_asked_for_again_keep_their_channel() {
    let (mut bench, stream) = begun(&[1]);
    bench.reset(stream, Code::Other(0));
    bench.pass(Span::from_secs(1));
    let asked = bench.asked().expect("asked again");
    assert_eq!(asked.1.offset_bytes, 4 * GROUP);
    bench.agree(1, asked);
    let mut at = 4 * GROUP;
    while at < BLOB {
        bench.content(asked.0, at, 4 * GROUP);
        at += 4 * GROUP;
    }
    bench.ack_on(asked.0, 1);
    assert_eq!(bench.table("fetches"), 0, "done");
    assert_eq!(bench.close_asked(), None, "nothing is lost, so the channel is kept");
}

#[test]
fn d8_a_download_that_ended_elsewhere_leaves_no_lost_bytes_behind() {
    let (mut bench, stream) = begun(&[1, 2]);
    bench.reset(stream, Code::Malformed);
    bench.pass(Span::from_secs(1));
    let asked = bench.asked().expect("the other node");
    bench.agree(2, asked);
    let mut at = 4 * GROUP;
    while at < BLOB {
        bench.content(asked.0, at, 4 * GROUP);
        at += 4 * GROUP;
    }
    assert_eq!(bench.close_asked(), None);
    bench.ack_on(asked.0, 2);
    assert_eq!(bench.table("fetches"), 0, "done");
    let (_, request) = bench.close_asked().expect("the first channel ends");
    assert_eq!(request.channel, crate::bench::channel(1));
    assert_eq!(bench.close_asked(), None, "the second is kept");
}
