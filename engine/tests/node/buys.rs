//! D12: a node that buys keeps what it buys apart from what it sells.

use decdn_engine::{
    blob::Verdict,
    chain::{
        Call, ChainEvent, TxOutcome,
        channel::{self, Ending, EventKind},
    },
    ids::{BlobHash, ChannelId, ConnId, FetchId, NodeId, StreamId, TxTicket},
    io::{Effect, Input, Notice},
    limits::{GROUP, Limits},
    money::{Amount, Nonce},
    order::{Candidate, FetchOrder},
    record::{Key, Record},
    roles::Role,
    time::{ChainTime, Span},
    wire::{ClientMessage, Message, ProbeMessage, ProbeResponse, Protocol, StreamRequest, StreamResponse},
};
use decdn_testkit::{
    fixtures::{self, RATE},
    named,
};

use crate::bench::{Bench, CLIENT, OPERATOR, TOKEN, channel};

/// From whom it buys.
const SELLER: NodeId = NodeId([5; 32]);
const BOUGHT: BlobHash = BlobHash([8; 32]);
/// What it buys on.
const PAID_ON: u8 = 0xb0;
const BLOB: u64 = 16 * GROUP;

fn order() -> Input {
    let candidates = vec![Candidate { node: SELLER, operator: CLIENT }];
    let order = fixtures::order(1, BOUGHT, candidates);
    Input::Fetch(FetchOrder { cadence_bytes: 4 * GROUP, keep_channel: true, ..order })
}

fn dialled(said: &[Effect], wanted: Protocol) -> ConnId {
    let found = said.iter().find_map(|effect| match effect {
        Effect::Connect { conn, peer, protocol } if (*peer, *protocol) == (SELLER, wanted) => Some(*conn),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("{wanted:?}: {said:?}"))
}

fn call(said: &[Effect]) -> (TxTicket, Call) {
    let found = said.iter().find_map(|effect| match effect {
        Effect::Tx { ticket, call, .. } => Some((*ticket, *call)),
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no call: {said:?}"))
}

fn requested(said: &[Effect]) -> (StreamId, StreamRequest) {
    let found = said.iter().find_map(|effect| match effect {
        Effect::Send { stream, message: Message::Client(ClientMessage::StreamRequest(request)) } => {
            Some((*stream, *request))
        }
        _ => None,
    });
    found.unwrap_or_else(|| panic!("no request: {said:?}"))
}

fn connect(bench: &mut Bench, said: &[Effect], protocol: Protocol) -> Vec<Effect> {
    let conn = dialled(said, protocol);
    bench.feed(Input::Connected { conn, peer: SELLER, protocol, rtt: Span(1) })
}

/// The seller names its price.
fn quote(bench: &mut Bench, said: &[Effect]) -> Vec<Effect> {
    let said = connect(bench, said, Protocol::Probe);
    let stream = said.iter().find_map(|effect| match effect {
        Effect::Send { stream, message: Message::Probe(ProbeMessage::Request(_)) } => Some(*stream),
        _ => None,
    });
    let signature = named(CLIENT);
    let response = ProbeResponse {
        has_blob: true,
        rate: RATE,
        total_bytes: Some(BLOB),
        signature,
        least_deposit: Amount(0),
    };
    let message = Message::Probe(ProbeMessage::Response(response));
    bench.feed(Input::Message { stream: stream.expect("asked"), message })
}

fn include(bench: &mut Bench, said: &[Effect], block: u64) -> Vec<Effect> {
    let (ticket, _) = call(said);
    let block = bench.block(block, 0);
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Included { block, result: Ok(()) } })
}

fn happened(bench: &mut Bench, number: u64, events: &[(ChannelId, EventKind)]) -> Vec<Effect> {
    let block = bench.block(number, 0);
    let of = |(id, kind): &(ChannelId, EventKind)| ChainEvent::of_channel(block, *id, *kind);
    bench.hear(block, number, events.iter().map(of).collect())
}

#[expect(clippy::disallowed_methods, reason = "the test stands in for the verifier")]
fn verified(bench: &mut Bench, stream: StreamId, offset: u64, bytes: u64) -> Vec<Effect> {
    bench.feed(Input::Verdict { stream, verdict: Verdict::good(offset, bytes) })
}

/// A node that earns on one channel, and pays on another one on which it has got a window full.
fn trading() -> Bench {
    let mut bench = Bench::new(Limits::standard(), &[5_000]);
    happened(&mut bench, 1, &[]);
    let said = bench.feed(order());
    let said = quote(&mut bench, &said);
    let said = include(&mut bench, &said, 2);
    assert!(matches!(call(&said).1, Call::Channel(channel::Call::Open { node: CLIENT, .. })), "{said:?}");
    include(&mut bench, &said, 3);
    let opened = EventKind::Opened {
        client: OPERATOR,
        node: CLIENT,
        token: TOKEN,
        deposit: Amount(1 << 40),
        window_secs: 172_800,
    };
    let said = happened(&mut bench, 3, &[(channel(PAID_ON), opened)]);
    let said = connect(&mut bench, &said, Protocol::Client);
    let said = bench.sign(&said);
    let (stream, _) = requested(&said);
    let response = StreamResponse {
        ok: true,
        rate: RATE,
        total_bytes: BLOB,
        max_bytes_per_voucher: 4 * GROUP,
        redirect: None,
        error: None,
        signature: named(CLIENT),
    };
    let message = Message::Client(ClientMessage::StreamResponse(response));
    bench.feed(Input::Message { stream, message });
    let said = verified(&mut bench, stream, 0, 4 * GROUP);
    let said = bench.sign(&said);
    let is_paid = |effect: &Effect| {
        matches!(effect, Effect::Send { message: Message::Client(ClientMessage::Voucher(voucher)), .. }
            if voucher.amount == Amount(u128::from(4 * GROUP)))
    };
    assert!(said.iter().any(is_paid), "{said:?}");
    bench
}

#[test]
fn d12_a_node_buys_what_its_owner_orders() {
    let bench = trading();
    assert_eq!(bench.node.role.channel_count(), 1, "it earns on one");
    let paid: Vec<_> = bench.node.role.buyer().channels().map(|paying| paying.channel).collect();
    assert_eq!(paid, [channel(PAID_ON)], "and pays on the other");
}

#[test]
fn d12_a_node_that_comes_back_goes_on_with_both() {
    let mut bench = trading();
    let keys = [Key::Earning(channel(0)), Key::Paying(channel(PAID_ON)), Key::Fetch(FetchId(1))];
    assert!(keys.iter().all(|key| bench.node.disk.contains_key(key)), "{:?}", bench.node.disk.keys());
    // Too long ago for the next life to read it again.
    bench.node.disk.values_mut().for_each(|record| match record {
        Record::Earning(earning) => earning.opened_at_block = 0,
        Record::Paying(paying) => paying.opened_at_block = 0,
        _ => {}
    });
    bench.restart();
    assert_eq!(bench.node.role.best_voucher(&channel(0)).map(|(_, amount)| amount), Some(Amount(5_000)));
    let said = happened(&mut bench, 4, &[]);
    // Its price was forgotten; the next request begins where the last voucher ended.
    let asked = quote(&mut bench, &said);
    let said = connect(&mut bench, &asked, Protocol::Client);
    // The proof of its account, then the newest voucher.
    let said = bench.sign(&said);
    let said = bench.sign(&said);
    assert_eq!(requested(&said).1.offset_bytes, 4 * GROUP);
}

/// Both channels are closed too low at once: each is disputed by what is held of it, and settled.
#[test]
fn d12_disputes_about_both_kinds_of_channel_stay_apart() {
    let mut bench = trading();
    let deadline = ChainTime(bench.block(4, 48 * 3_600).time.0);
    let low = EventKind::Closing { by: CLIENT, amount: Amount(1), nonce: Nonce(1), deadline };
    let said = happened(&mut bench, 4, &[(channel(0), low), (channel(PAID_ON), low)]);
    let mut disputes: Vec<_> = said
        .iter()
        .filter_map(|effect| match effect {
            Effect::Tx { call: Call::Channel(channel::Call::Dispute { voucher }), .. } => {
                Some((voucher.terms.channel, voucher.terms.amount.0))
            }
            _ => None,
        })
        .collect();
    disputes.sort_unstable();
    assert_eq!(disputes, [(channel(0), 5_000), (channel(PAID_ON), u128::from(4 * GROUP))]);
    let settled = |paid| EventKind::Settled {
        ending: Ending::Window,
        amount: Amount(paid),
        paid: Amount(paid),
        refunded: Amount(0),
    };
    let both = [(channel(0), settled(5_000)), (channel(PAID_ON), settled(u128::from(4 * GROUP)))];
    let said = happened(&mut bench, 5, &both);
    let told = said.iter().filter(|effect| matches!(effect, Effect::Notice(Notice::Settled { .. }))).count();
    assert_eq!(
        (told, bench.node.role.channel_count(), bench.node.role.buyer().channels().count()),
        (2, 0, 0)
    );
}

/// What strangers send on connections of their own is never taken for an answer to a purchase.
#[test]
fn d12_only_what_came_on_its_own_connections_is_for_what_it_buys() {
    let mut bench = trading();
    let before = bench.node.role.digest();
    let stream = StreamId { conn: ConnId(1 << 63), index: 0 };
    verified(&mut bench, stream, 4 * GROUP, GROUP);
    assert_eq!(bench.node.role.digest(), before);
}
