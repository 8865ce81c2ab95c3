//! Frames, error numbers and rule numbers as `fixtures/wire.txt` pins them (W6).

use std::collections::BTreeMap;

use alloy_primitives::hex;
use decdn_engine::{
    crypto::{Quote, Signature, SignedVoucher, StreamError, VoucherTerms},
    ids::{Address, BlobHash, ChannelId, NodeId},
    money::{Amount, Nonce, Rate},
    time::WallTime,
    wire::{
        Auth, ClientMessage, CloseRequest, Code, Message, ProbeMessage, ProbeRequest, ProbeResponse,
        RejectReason, StreamRequest, StreamResponse, Voucher, VoucherReject, frame::encode_chunk_header,
    },
};

use super::{ERRORS, Found, decode, decoder_for, frame, one_by};

const TIMESTAMP: u64 = 1_700_000_000_000_000;

fn fixtures() -> BTreeMap<&'static str, Vec<u8>> {
    let mut frames = BTreeMap::new();
    let mut name = "";
    for line in include_str!("../fixtures/wire.txt").lines() {
        let code = line.split_once('#').map_or(line, |(code, _)| code).trim();
        if let Some(title) = code.strip_prefix('[') {
            name = title.trim_end_matches(']');
            assert!(frames.insert(name, Vec::new()).is_none(), "{name} is there twice");
        } else if !code.is_empty() {
            let bytes: &mut Vec<u8> = frames.get_mut(name).expect("a name comes first");
            bytes.extend(hex::decode(code).expect("the fixture is hex"));
        }
    }
    frames
}

fn signature(byte: u8) -> Signature {
    Signature([byte; 65])
}

fn request() -> StreamRequest {
    StreamRequest {
        hash: BlobHash([0x11; 32]),
        channel: ChannelId([0x22; 32]),
        token: Address::repeat_byte(0x33),
        offset_bytes: 65_536,
        len_bytes: 300,
        cadence_bytes: 1 << 20,
        max_rate: Rate(1_000_000_000_000),
        requester: Address::repeat_byte(0x44),
        timestamp: WallTime(TIMESTAMP),
        quote: None,
        auth: None,
        newest: None,
    }
}

fn refusal() -> StreamResponse {
    StreamResponse {
        ok: false,
        rate: Rate(0),
        total_bytes: 0,
        max_bytes_per_voucher: 0,
        redirect: None,
        error: None,
        signature: signature(0xaa),
    }
}

fn messages() -> Vec<(&'static str, Message)> {
    let quote = Quote { rate: Rate(7), timestamp: WallTime(TIMESTAMP - 1_000), signature: signature(0x55) };
    let auth = Auth { address: Address::repeat_byte(0x66), signature: signature(0x77) };
    let newest = Voucher { amount: Amount(10_u128.pow(30)), nonce: Nonce(5), signature: signature(0x88) };
    let channel = ChannelId([0x22; 32]);
    let terms =
        VoucherTerms { channel, amount: Amount(5), nonce: Nonce(1), token: Address::repeat_byte(0x33) };
    vec![
        ("stream_request", Message::Client(ClientMessage::StreamRequest(request()))),
        (
            "stream_request_with_everything",
            Message::Client(ClientMessage::StreamRequest(StreamRequest {
                quote: Some(quote),
                auth: Some(auth),
                newest: Some(newest),
                ..request()
            })),
        ),
        (
            "stream_response",
            Message::Client(ClientMessage::StreamResponse(StreamResponse {
                ok: true,
                rate: Rate(7_000),
                total_bytes: 1 << 60,
                max_bytes_per_voucher: 16 << 20,
                ..refusal()
            })),
        ),
        (
            "stream_response_refusal",
            Message::Client(ClientMessage::StreamResponse(StreamResponse {
                error: Some(StreamError::Unavailable),
                ..refusal()
            })),
        ),
        (
            "stream_response_redirect",
            Message::Client(ClientMessage::StreamResponse(StreamResponse {
                redirect: Some(NodeId([0x99; 32])),
                ..refusal()
            })),
        ),
        (
            "voucher",
            Message::Client(ClientMessage::Voucher(Voucher {
                amount: Amount::MAX,
                nonce: Nonce(u64::MAX),
                signature: signature(0xbb),
            })),
        ),
        ("voucher_ack", Message::Client(ClientMessage::VoucherAck(Nonce(129)))),
        (
            "voucher_reject",
            Message::Client(ClientMessage::VoucherReject(VoucherReject {
                reason: RejectReason::V1,
                error: Some(StreamError::ChannelInsufficient),
                best_nonce: Nonce(128),
                best_amount: Amount(1_000_000),
            })),
        ),
        ("stream_abort", Message::Client(ClientMessage::StreamAbort(StreamError::Blacklisted))),
        ("stream_end", Message::Client(ClientMessage::StreamEnd)),
        (
            "close_request",
            Message::Client(ClientMessage::CloseRequest(CloseRequest {
                channel,
                voucher: Some(SignedVoucher { terms, signature: signature(0xbb) }),
                auth: Some(auth),
            })),
        ),
        (
            "close_request_of_an_unused_channel",
            Message::Client(ClientMessage::CloseRequest(CloseRequest { channel, voucher: None, auth: None })),
        ),
        ("close_consent", Message::Client(ClientMessage::CloseConsent(signature(0xdd)))),
        (
            "probe_request",
            Message::Probe(ProbeMessage::Request(ProbeRequest {
                hash: BlobHash([0x11; 32]),
                token: Address::repeat_byte(0x33),
                requester: Address::repeat_byte(0x44),
                timestamp: WallTime(TIMESTAMP),
            })),
        ),
        (
            "probe_response",
            Message::Probe(ProbeMessage::Response(ProbeResponse {
                has_blob: true,
                rate: Rate(7_000),
                total_bytes: Some(1 << 60),
                signature: signature(0xee),
                least_deposit: Amount(0),
            })),
        ),
        (
            "probe_response_of_who_wants_a_deposit",
            Message::Probe(ProbeMessage::Response(ProbeResponse {
                has_blob: true,
                rate: Rate(7_000),
                total_bytes: Some(1 << 60),
                signature: signature(0xee),
                least_deposit: Amount(1_000_000),
            })),
        ),
        (
            "probe_response_without",
            Message::Probe(ProbeMessage::Response(ProbeResponse {
                has_blob: false,
                rate: Rate(0),
                total_bytes: None,
                signature: signature(0xee),
                least_deposit: Amount(0),
            })),
        ),
    ]
}

#[test]
fn w6_every_message_has_the_pinned_frame() {
    let mut pinned = fixtures();
    for (name, message) in messages() {
        let frame = frame(&message);
        let expected = pinned.remove(name).expect("every message is pinned");
        assert_eq!(hex::encode(&frame), hex::encode(&expected), "{name}");
        assert_eq!(one_by(decoder_for(&message), &expected), Some(message), "{name}");
        assert_eq!(message.wire_len(), expected.len(), "{name}");
    }
    let chunk = pinned.remove("chunk").expect("a chunk is pinned");
    let mut frame = Vec::new();
    encode_chunk_header(200, &mut frame);
    frame.extend([0xcc; 200]);
    assert_eq!(hex::encode(&frame), hex::encode(&chunk));
    assert_eq!(decode(&chunk, &[]), (vec![Found::Content(vec![0xcc; 200])], Ok(true)));
    assert!(pinned.is_empty(), "a fixture that nothing looks at: {:?}", pinned.keys());
}

#[test]
fn w2_the_numbers_of_errors_and_reasons_never_change() {
    for (number, error) in (0..).zip(ERRORS) {
        assert_eq!(frame(&Message::Client(ClientMessage::StreamAbort(error))), [2, 6, number]);
        assert_eq!(error.code(), number + 1, "D1: in the signed set 0 means none");
    }
    for (number, reason) in [13, 14, 16, 18].into_iter().zip(RejectReason::ALL) {
        let reject =
            VoucherReject { reason, error: None, best_nonce: Nonce::NONE, best_amount: Amount::ZERO };
        assert_eq!(frame(&Message::Client(ClientMessage::VoucherReject(reject)))[2], number, "{reason}");
    }
}

#[test]
fn w4_refusal_codes_are_the_specified_numbers() {
    for (code, number) in [
        (Code::Unsupported, 0x01),
        (Code::TooLarge, 0x02),
        (Code::Malformed, 0x03),
        (Code::NotNow, 0x10),
        (Code::ChannelPending, 0x11),
        (Code::Other(0x12), 0x12),
    ] {
        assert_eq!((code.to_wire(), Code::from_wire(number)), (number, code));
    }
}
