//! O11: every bound of the tiny profile is reached, answered with a fault that names it, and nothing breaks.

use decdn_engine::{
    chain::{
        Block, ChainEvent,
        channel::{Ending, EventKind},
    },
    crypto::Signature,
    fault::{Fault, LimitHit},
    ids::{BlobHash, ChannelId, ConnId, NodeId, StreamId},
    io::{Effect, FetchFailure, Input, Notice},
    limits::{GROUP, Limits, SEND_RANGES},
    money::{Amount, Rate},
    order::Candidate,
    roles::{Role, client::Client, node::Node},
    time::{ChainTime, Span},
    wire::{Auth, ClientMessage, Code, Message, Protocol, StreamRequest},
};
use decdn_testkit::{
    Bench, Trusting,
    fixtures::{self, CLIENT, HASH, OPERATOR, START, TOKEN, client_config, news, node_config},
};

/// Every signature is the client's.
fn bench<R: Role + Clone>(role: R) -> Bench<R, Trusting> {
    Bench::new(role, Trusting(&[CLIENT]))
}

fn step<R: Role + Clone>(bench: &mut Bench<R, Trusting>, input: Input) -> Vec<Effect> {
    bench.step(input).into_iter().map(|output| output.effect).collect()
}

fn hits(effects: &[Effect]) -> Vec<LimitHit> {
    let faults = effects.iter().filter_map(|effect| match effect {
        Effect::Fault(Fault::Limit { limit, .. }) => Some(*limit),
        _ => None,
    });
    faults.collect()
}

fn tiny_node(soft_cap: Amount) -> Bench<Node, Trusting> {
    let mut config = node_config(Rate(1_000));
    config.limits = Limits::tiny();
    config.tokens[0].soft_cap = soft_cap;
    bench(Node::new(config))
}

fn opened(channels: std::ops::Range<u8>, safe: u64) -> Input {
    let head = Block { number: 5, time: ChainTime(START) };
    let kind = EventKind::Opened {
        client: CLIENT,
        node: OPERATOR,
        token: TOKEN,
        deposit: Amount(1_000_000),
        window_secs: 172_800,
    };
    let events = channels.map(|i| ChainEvent::of_channel(head, ChannelId([i; 32]), kind)).collect();
    Input::Chain(news(head, safe, events))
}

fn connected(conn: u64) -> Input {
    Input::Connected {
        conn: ConnId(conn),
        peer: NodeId([conn as u8 + 10; 32]),
        protocol: Protocol::Client,
        rtt: Span(1),
    }
}

fn request(index: u32, channel: u8) -> Input {
    let request = StreamRequest {
        hash: HASH,
        channel: ChannelId([channel; 32]),
        token: TOKEN,
        offset_bytes: 0,
        len_bytes: 0,
        cadence_bytes: 64 * GROUP,
        max_rate: Rate(1_000),
        requester: CLIENT,
        timestamp: ChainTime(START).wall(),
        quote: None,
        auth: (index == 0).then_some(Auth { address: CLIENT, signature: Signature([1; 65]) }),
        newest: None,
    };
    Input::Message {
        stream: StreamId { conn: ConnId(0), index },
        message: Message::Client(ClientMessage::StreamRequest(request)),
    }
}

/// The signature that the step asked for, given.
fn sign(node: &mut Bench<Node, Trusting>, effects: &[Effect]) -> Vec<Effect> {
    let ticket =
        effects.iter().find_map(|e| if let Effect::Sign { ticket, .. } = e { Some(*ticket) } else { None });
    step(
        node,
        Input::Signed { ticket: ticket.expect("an answer is signed"), signature: Some(Signature([2; 65])) },
    )
}

#[test]
fn o11_channels_beyond_the_table_are_not_taken() {
    let mut node = tiny_node(Amount::MAX);
    step(&mut node, opened(0..2, 5));
    assert_eq!(hits(&step(&mut node, opened(2..4, 5))), [LimitHit::Channels, LimitHit::Channels]);
    assert_eq!(node.role.channel_count(), 2);
}

#[test]
fn o11_events_beyond_one_update_are_read_again() {
    let mut node = tiny_node(Amount::MAX);
    assert_eq!(hits(&step(&mut node, opened(0..3, 5))), [LimitHit::ChainEvents]);
    let mut later = node.clone();
    later.pass(Span::from_secs(60));
    let said = step(&mut later, Input::Tick);
    let polls = said.iter().any(|effect| matches!(effect, Effect::Poll { from_block: 5, .. }));
    assert!(polls, "the block that did not fit is asked for again: {said:?}");
    step(&mut node, opened(0..3, 5));
    let request_on_third = {
        step(&mut node, Input::BlobReady { hash: HASH, bytes: 1 << 20 });
        step(&mut node, connected(0));
        step(&mut node, request(0, 1))
    };
    assert!(request_on_third.iter().any(|effect| matches!(effect, Effect::Sign { .. })));
    let kind = EventKind::Settled {
        ending: Ending::Consent,
        amount: Amount(0),
        paid: Amount(0),
        refunded: Amount(0),
    };
    let head = Block { number: 6, time: ChainTime(START) };
    let settled = |i| ChainEvent::of_channel(head, ChannelId([i; 32]), kind);
    let events: Vec<_> = [9, 8, 0, 1].map(settled).into();
    let update = |events: &[ChainEvent]| Input::Chain(news(head, 5, events.to_vec()));
    step(&mut node, update(&events));
    assert_eq!(node.role.channel_count(), 2, "the first two events of the block are of other channels");
    step(&mut node, update(&events));
    assert_eq!(node.role.channel_count(), 0, "read again, the block goes on where it was cut");
}

#[test]
fn o11_connections_beyond_the_table_are_refused() {
    let mut node = tiny_node(Amount::MAX);
    step(&mut node, connected(0));
    step(&mut node, connected(1));
    let effects = step(&mut node, connected(2));
    assert_eq!(hits(&effects), [LimitHit::Conns]);
    assert!(effects.contains(&Effect::Disconnect { conn: ConnId(2), code: Code::NotNow }));
}

#[test]
fn w3_streams_beyond_a_connections_share_are_refused() {
    let mut node = tiny_node(Amount::MAX);
    step(&mut node, opened(0..1, 5));
    step(&mut node, Input::BlobReady { hash: HASH, bytes: 1 << 20 });
    step(&mut node, connected(0));
    step(&mut node, request(0, 0));
    step(&mut node, request(1, 0));
    let effects = step(&mut node, request(2, 0));
    assert_eq!(hits(&effects), [LimitHit::StreamsPerConn]);
    let stream = StreamId { conn: ConnId(0), index: 2 };
    assert!(effects.contains(&Effect::Reset { stream, code: Code::NotNow }));
}

#[test]
fn o11_blobs_beyond_the_table_are_not_listed() {
    let mut node = tiny_node(Amount::MAX);
    for i in 0..2 {
        assert_eq!(hits(&step(&mut node, Input::BlobReady { hash: BlobHash([i; 32]), bytes: 1 })), []);
    }
    let again = Input::BlobReady { hash: BlobHash([1; 32]), bytes: 1 };
    assert_eq!(hits(&step(&mut node, again)), [], "a listed blob takes no further place");
    let third = Input::BlobReady { hash: BlobHash([2; 32]), bytes: 1 };
    assert_eq!(hits(&step(&mut node, third)), [LimitHit::Blobs]);
}

#[test]
fn v6_unsafe_openings_beyond_the_soft_cap_wait() {
    let mut node = tiny_node(Amount(1_500_000));
    step(&mut node, opened(0..2, 4));
    step(&mut node, Input::BlobReady { hash: HASH, bytes: 1 << 20 });
    step(&mut node, connected(0));
    assert_eq!(hits(&step(&mut node, request(0, 0))), []);
    let effects = step(&mut node, request(1, 1));
    assert_eq!(hits(&effects), [LimitHit::SoftCap]);
    let stream = StreamId { conn: ConnId(0), index: 1 };
    assert!(effects.contains(&Effect::Reset { stream, code: Code::ChannelPending }));
    step(&mut node, opened(0..0, 5));
    assert_eq!(hits(&step(&mut node, request(2, 1))), [], "the safe head has it now");
}

#[test]
fn back_pressure_at_most_send_ranges_are_unanswered() {
    let mut node = tiny_node(Amount::MAX);
    step(&mut node, opened(0..1, 5));
    step(&mut node, Input::BlobReady { hash: HASH, bytes: 1 << 20 });
    step(&mut node, connected(0));
    let asked = step(&mut node, request(0, 0));
    let effects = sign(&mut node, &asked);
    let sent =
        effects.iter().filter(|e| matches!(e, Effect::SendRange { bytes, .. } if *bytes == GROUP)).count();
    assert_eq!(sent, usize::from(SEND_RANGES), "one group each in the tiny profile");
    let stream = StreamId { conn: ConnId(0), index: 0 };
    let effects = step(&mut node, Input::RangeSent { stream });
    let sent = effects.iter().filter(|effect| matches!(effect, Effect::SendRange { .. })).count();
    assert_eq!(sent, 1, "one answer, one more range");
}

fn order(id: u64, candidates: usize) -> Input {
    let candidate = Candidate { node: NodeId([1; 32]), operator: OPERATOR };
    Input::Fetch(fixtures::order(id, HASH, vec![candidate; candidates]))
}

fn failed(effects: &[Effect]) -> Option<FetchFailure> {
    effects.iter().find_map(|effect| match effect {
        Effect::Notice(Notice::FetchFailed { why, .. }) => Some(*why),
        _ => None,
    })
}

#[test]
fn o11_downloads_and_candidates_beyond_the_tables_are_refused() {
    let mut config = client_config();
    config.limits = Limits::tiny();
    let mut client = bench(Client::new(config));
    let effects = step(&mut client, order(0, 3));
    assert_eq!((hits(&effects), failed(&effects)), (vec![LimitHit::Candidates], Some(FetchFailure::TooMany)));
    assert_eq!(failed(&step(&mut client, order(0, 0))), Some(FetchFailure::BadOrder));
    assert_eq!(failed(&step(&mut client, order(0, 1))), None);
    assert_eq!(step(&mut client, order(0, 1)), [], "the same order again is being carried out");
    assert_eq!(failed(&step(&mut client, order(1, 1))), None);
    let effects = step(&mut client, order(2, 1));
    assert_eq!((hits(&effects), failed(&effects)), (vec![LimitHit::Fetches], Some(FetchFailure::TooMany)));
}

#[test]
fn w4_what_a_decoder_refuses_is_refused_with_its_code() {
    for code in [Code::TooLarge, Code::Malformed] {
        let mut node = tiny_node(Amount(0));
        step(&mut node, connected(0));
        let stream = StreamId { conn: ConnId(0), index: 0 };
        let effects = step(&mut node, Input::Malformed { stream, code });
        assert!(effects.contains(&Effect::Reset { stream, code }), "{effects:?}");
    }
}
