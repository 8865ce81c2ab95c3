//! What a peer may do to a node over a real connection, and with which code it is refused (W1, W3, W4).

use std::{net::Ipv4Addr, time::Duration};

use decdn_contracts::Curves;
use decdn_driver::Clock as _;
use decdn_engine::{
    crypto::{Crypto as _, ProbeResponseTerms, Typed},
    wire::{Message, ProbeMessage, ProbeRequest, Protocol, frame},
};
use decdn_io::stage::Stage;
use iroh::{
    Endpoint, EndpointAddr, PublicKey, RelayMode, TransportAddr,
    endpoint::{Connection, ConnectionError, ReadError, presets},
};

const CLIENT: &[u8] = Protocol::Client.alpn();
const PROBE: &[u8] = Protocol::Probe.alpn();

async fn peer() -> Endpoint {
    Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_ip_transports()
        .bind_addr((Ipv4Addr::LOCALHOST, 0))
        .expect("an address")
        .bind()
        .await
        .expect("loopback")
}

async fn connect(from: &Endpoint, stage: &Stage, alpn: &[u8]) -> Result<Connection, String> {
    let node = PublicKey::from_bytes(&stage.node.node.0).expect("a key");
    let at = EndpointAddr::from_parts(node, stage.node.addrs.iter().copied().map(TransportAddr::Ip));
    from.connect(at, alpn).await.map_err(|error| error.to_string())
}

/// Sends bytes on a new stream, ends it where asked to, and tells the code of the reset that comes back.
async fn code_for(bytes: &[u8], is_finished: bool) -> u64 {
    let stage = Stage::set().await.expect("a stage");
    let from = peer().await;
    let connection = connect(&from, &stage, CLIENT).await.expect("a node that listens");
    let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
    send.write_all(bytes).await.expect("a few bytes");
    if is_finished {
        send.finish().expect("open");
    }
    let answer = tokio::time::timeout(Duration::from_secs(20), recv.read_to_end(1_000)).await;
    match answer.expect("the node answers") {
        Err(iroh::endpoint::ReadToEndError::Read(ReadError::Reset(code))) => code.into_inner(),
        other => panic!("{other:?} is no reset"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_bytes_that_are_no_message_are_refused_as_malformed() {
    assert_eq!(code_for(&[3, 99, 0, 0], false).await, 0x03);
}

#[tokio::test(flavor = "multi_thread")]
async fn w1_a_frame_above_the_cap_is_refused_before_its_body_comes() {
    assert_eq!(code_for(&[0xff, 0xff, 0xff, 0xff, 0x0f], false).await, 0x02);
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_content_that_nobody_asked_for_is_malformed() {
    let mut bytes = Vec::new();
    frame::encode_chunk_header(4, &mut bytes);
    bytes.extend_from_slice(&[1, 2, 3, 4]);
    assert_eq!(code_for(&bytes, false).await, 0x03);
}

#[tokio::test(flavor = "multi_thread")]
async fn w4_a_stream_that_ends_inside_a_frame_is_malformed() {
    assert_eq!(code_for(&[9, 0], true).await, 0x03);
}

/// A refusal must not turn into an orderly end because the stream's tasks go at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn w4_no_refusal_gets_lost_however_many_there_are() {
    let stage = Stage::set().await.expect("a stage");
    let from = peer().await;
    let connection = connect(&from, &stage, CLIENT).await.expect("a node that listens");
    for n in 0..2_000 {
        let (mut send, mut recv) = connection.open_bi().await.expect("a stream");
        send.write_all(&[9, 0]).await.expect("a few bytes");
        send.finish().expect("open");
        let answer = tokio::time::timeout(Duration::from_secs(20), recv.read_to_end(1_000)).await;
        let answer = answer.expect("the node answers");
        assert!(
            matches!(&answer, Err(iroh::endpoint::ReadToEndError::Read(ReadError::Reset(code))) if code.into_inner() == 0x03),
            "stream {n}: {answer:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_peer_has_at_most_a_hundred_streams_open() {
    let stage = Stage::set().await.expect("a stage");
    let from = peer().await;
    let connection = connect(&from, &stage, CLIENT).await.expect("a node that listens");
    let mut open = Vec::new();
    for _ in 0..100 {
        let (mut send, recv) = connection.open_bi().await.expect("a stream");
        send.write_all(&[5]).await.expect("the beginning of a frame");
        open.push((send, recv));
    }
    let one_more = tokio::time::timeout(Duration::from_millis(300), connection.open_bi()).await;
    assert!(one_more.is_err(), "the hundred and first stream waits");
}

#[tokio::test(flavor = "multi_thread")]
async fn w3_a_new_connection_of_a_peer_takes_the_place_of_its_old_one() {
    let stage = Stage::set().await.expect("a stage");
    let from = peer().await;
    let old = connect(&from, &stage, CLIENT).await.expect("a node that listens");
    // Something has been said on it, so the node knows it before the new one comes.
    let (mut send, mut recv) = old.open_bi().await.expect("a stream");
    send.write_all(&[3, 99, 0, 0]).await.expect("a few bytes");
    recv.read_to_end(10).await.expect_err("malformed");
    let new = connect(&from, &stage, CLIENT).await.expect("a node that listens");
    let gone = tokio::time::timeout(Duration::from_secs(20), old.closed()).await.expect("it is closed");
    assert!(
        matches!(&gone, ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == 0x10),
        "{gone:?}"
    );
    assert!(new.close_reason().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn p1_a_probe_is_answered_over_a_connection_of_its_own() {
    let stage = Stage::set().await.expect("a stage");
    let (hash, bytes) = stage.import(std::io::Cursor::new(vec![7; 100_000]), |_| {}).await.expect("room");
    let from = peer().await;
    let streams = connect(&from, &stage, CLIENT).await.expect("a node that listens");
    let probes = connect(&from, &stage, PROBE).await.expect("a node that answers probes");
    let order = stage.order(1, hash, bytes, false);
    let asked = ProbeRequest {
        hash,
        token: order.token,
        requester: alloy_primitives::Address::repeat_byte(7),
        timestamp: stage.clock.now().wall,
    };
    let mut frame = Vec::new();
    frame::encode(&Message::Probe(ProbeMessage::Request(asked)), &mut frame);
    let (mut send, mut recv) = probes.open_bi().await.expect("a stream");
    send.write_all(&frame).await.expect("a few bytes");
    let answer = tokio::time::timeout(Duration::from_secs(20), recv.read_to_end(1_000)).await;
    let answer = answer.expect("the node answers").expect("orderly");
    let mut decoder = frame::Decoder::new(Protocol::Probe);
    let Ok(Some(frame::Piece::Message(Message::Probe(ProbeMessage::Response(response))))) =
        decoder.next(&mut &answer[..])
    else {
        panic!("an answer to a probe");
    };
    assert_eq!((response.has_blob, response.total_bytes), (true, Some(bytes)));
    let terms = ProbeResponseTerms {
        node: stage.node.node,
        hash,
        has_blob: true,
        token: asked.token,
        rate: response.rate,
        requester: asked.requester,
        timestamp: asked.timestamp,
    };
    let operator = order.candidates[0].operator;
    let deployment = stage.chain.deployment();
    assert!(Curves::new().verify(&deployment, &Typed::ProbeResponse(terms), &response.signature, operator));
    // What belongs on the other protocol is none here.
    let (mut send, mut recv) = probes.open_bi().await.expect("a stream");
    send.write_all(&[1, 7]).await.expect("a StreamEnd");
    let refused = recv.read_to_end(10).await;
    assert!(
        matches!(&refused, Err(iroh::endpoint::ReadToEndError::Read(ReadError::Reset(code))) if code.into_inner() == 0x03),
        "{refused:?}"
    );
    assert!(streams.close_reason().is_none(), "neither takes the other's place");
}

#[tokio::test(flavor = "multi_thread")]
async fn w2_another_alpn_is_not_served() {
    let stage = Stage::set().await.expect("a stage");
    let from = peer().await;
    assert!(connect(&from, &stage, b"cdn/client/v2").await.is_err());
}
