//! D8: bytes that were lost on their way count at the node until they are asked for again. Where nobody will ask, the
//! channel ends, even one that is to be kept.

use decdn_engine::{
    ids::{FetchId, StreamId},
    io::{Effect, Input},
    limits::GROUP,
    time::Span,
    wire::{ClientMessage, Code, Message, Voucher},
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
    let records = bench.client.records();
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

/// The newest voucher that was sent, and on which stream.
fn voucher(bench: &mut Bench) -> Option<(StreamId, Voucher)> {
    bench.take(|effect| match effect {
        Effect::Send { stream, message: Message::Client(ClientMessage::Voucher(voucher)) } => {
            Some((*stream, *voucher))
        }
        _ => None,
    })
}

/// Two downloads share a channel. The first one's stream ends before the second's begins, so its last voucher has none to go out on.
#[test]
fn v3_a_voucher_that_was_signed_without_a_stream_goes_out_on_the_next() {
    let (mut bench, first) = begun(&[1]);
    bench.order(2, &[1], true);
    let second = bench.asked().expect("asked, on the same channel");
    assert_eq!(second.1.newest, None, "nothing is signed yet");
    bench.reset(first, Code::NotNow);
    assert_eq!(voucher(&mut bench), None, "there is no stream");
    let stream = second.0;
    bench.agree(1, second);
    let (on, sent) = voucher(&mut bench).expect("on the new stream");
    assert_eq!((on, sent.amount.0), (stream, u128::from(4 * GROUP)), "at one unit per byte");
    bench.pass(Span::from_secs(4));
    assert_eq!(voucher(&mut bench), Some((stream, sent)), "no ack came, so it goes out again");
}
