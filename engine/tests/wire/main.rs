//! `cdn/client/v1` and `cdn/probe/v1` on the wire (W1, W2, W6): pinned frames, and what a decoder does with anything else.

mod extension;
mod fixtures;
mod frames;
mod protocols;

use decdn_engine::{
    crypto::{Quote, Signature, SignedVoucher, StreamError, VoucherTerms},
    ids::{Address, BlobHash, ChannelId, NodeId},
    money::{Amount, Nonce, Rate},
    time::WallTime,
    wire::{
        Auth, ClientMessage, CloseRequest, Message, ProbeMessage, ProbeRequest, ProbeResponse, Protocol,
        RejectReason, StreamRequest, StreamResponse, Voucher, VoucherReject,
        frame::{Decoder, FrameFault, Piece, encode},
    },
};
use proptest::{array::uniform32, collection::vec, option, prelude::*};

const ERRORS: [StreamError; 5] = [
    StreamError::BlobTooLarge,
    StreamError::RateExceeded,
    StreamError::ChannelInsufficient,
    StreamError::Blacklisted,
    StreamError::Unavailable,
];

/// The most that a decoder of `cdn/client/v1` holds.
const MESSAGE_BYTES: usize = Protocol::Client.message_bytes();

fn frame(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes
}

/// A piece that owns its content.
#[expect(clippy::large_enum_variant, reason = "a test holds few of them")]
#[derive(Clone, PartialEq, Eq, Debug)]
enum Found {
    Message(Message),
    Content(Vec<u8>),
}

/// Decodes `bytes` cut at `cuts`; content of one chunk is put together again.
fn decode(bytes: &[u8], cuts: &[usize]) -> (Vec<Found>, Result<bool, FrameFault>) {
    decode_by(Decoder::new(Protocol::Client), bytes, cuts)
}

fn decode_by(mut decoder: Decoder, bytes: &[u8], cuts: &[usize]) -> (Vec<Found>, Result<bool, FrameFault>) {
    let mut found = Vec::new();
    let mut content = Vec::new();
    let mut from = 0;
    for &to in cuts.iter().chain([&bytes.len()]) {
        let mut input = &bytes[from..to];
        from = to;
        loop {
            match decoder.next(&mut input) {
                Err(fault) => return (found, Err(fault)),
                Ok(None) => break,
                Ok(Some(Piece::Message(message))) => found.push(Found::Message(message)),
                Ok(Some(Piece::Chunk { bytes, last })) => {
                    assert!(!bytes.is_empty(), "pieces of chunks are never empty");
                    content.extend_from_slice(bytes);
                    if last {
                        found.push(Found::Content(std::mem::take(&mut content)));
                    }
                }
            }
        }
        assert!(input.is_empty(), "a decoder takes all there is");
    }
    (found, Ok(decoder.is_between_frames()))
}

/// A decoder of the protocol that a message belongs to.
fn decoder_for(message: &Message) -> Decoder {
    Decoder::new(message.protocol())
}

/// Decodes exactly one message.
fn decode_one(bytes: &[u8]) -> Option<Message> {
    one_by(Decoder::new(Protocol::Client), bytes)
}

fn one_by(decoder: Decoder, bytes: &[u8]) -> Option<Message> {
    match decode_by(decoder, bytes, &[]) {
        (found, Ok(true)) => match found[..] {
            [Found::Message(message)] => Some(message),
            _ => None,
        },
        _ => None,
    }
}

fn signature() -> impl Strategy<Value = Signature> {
    vec(any::<u8>(), 65).prop_map(|bytes| Signature(bytes.try_into().expect("65 bytes")))
}

fn address() -> impl Strategy<Value = Address> {
    any::<[u8; 20]>().prop_map(Address::new)
}

fn amount() -> impl Strategy<Value = Amount> {
    prop_oneof![any::<u128>(), 0..1000_u128, Just(u128::MAX)].prop_map(Amount)
}

fn error() -> impl Strategy<Value = StreamError> {
    prop::sample::select(&ERRORS[..])
}

fn voucher() -> impl Strategy<Value = Voucher> {
    (amount(), any::<u64>(), signature()).prop_map(|(amount, nonce, signature)| Voucher {
        amount,
        nonce: Nonce(nonce),
        signature,
    })
}

fn auth() -> impl Strategy<Value = Auth> {
    (address(), signature()).prop_map(|(address, signature)| Auth { address, signature })
}

fn request() -> impl Strategy<Value = StreamRequest> {
    let quote = (any::<u64>(), any::<u64>(), signature()).prop_map(|(rate, timestamp, signature)| Quote {
        rate: Rate(rate),
        timestamp: WallTime(timestamp),
        signature,
    });
    (
        (uniform32(any::<u8>()), uniform32(any::<u8>()), address(), address()),
        any::<[u64; 5]>(),
        (option::of(quote), option::of(auth()), option::of(voucher())),
    )
        .prop_map(|((hash, channel, token, requester), numbers, (quote, auth, newest))| {
            let [offset_bytes, len_bytes, cadence_bytes, max_rate, timestamp] = numbers;
            StreamRequest {
                hash: BlobHash(hash),
                channel: ChannelId(channel),
                token,
                offset_bytes,
                len_bytes,
                cadence_bytes,
                max_rate: Rate(max_rate),
                requester,
                timestamp: WallTime(timestamp),
                quote,
                auth,
                newest,
            }
        })
}

fn response() -> impl Strategy<Value = StreamResponse> {
    (any::<bool>(), any::<[u64; 3]>(), option::of(uniform32(any::<u8>())), option::of(error()), signature())
        .prop_map(|(ok, [rate, total_bytes, offer], redirect, error, signature)| StreamResponse {
            ok,
            rate: Rate(rate),
            total_bytes,
            max_bytes_per_voucher: offer,
            redirect: redirect.map(NodeId),
            error,
            signature,
        })
}

fn close() -> impl Strategy<Value = CloseRequest> {
    let signed = (uniform32(any::<u8>()), amount(), any::<u64>(), address(), signature()).prop_map(
        |(channel, amount, nonce, token, signature)| SignedVoucher {
            terms: VoucherTerms { channel: ChannelId(channel), amount, nonce: Nonce(nonce), token },
            signature,
        },
    );
    (uniform32(any::<u8>()), option::of(signed), option::of(auth()))
        .prop_map(|(channel, voucher, auth)| CloseRequest { channel: ChannelId(channel), voucher, auth })
}

fn reject() -> impl Strategy<Value = VoucherReject> {
    (prop::sample::select(&RejectReason::ALL[..]), option::of(error()), any::<u64>(), amount()).prop_map(
        |(reason, error, best_nonce, best_amount)| VoucherReject {
            reason,
            error,
            best_nonce: Nonce(best_nonce),
            best_amount,
        },
    )
}

fn probe() -> impl Strategy<Value = Message> {
    let asks = (uniform32(any::<u8>()), address(), address(), any::<u64>()).prop_map(
        |(hash, token, requester, timestamp)| {
            let timestamp = WallTime(timestamp);
            ProbeMessage::Request(ProbeRequest { hash: BlobHash(hash), token, requester, timestamp })
        },
    );
    let answers = (any::<bool>(), any::<u64>(), option::of(any::<u64>()), signature(), any::<u128>())
        .prop_map(|(has_blob, rate, total_bytes, signature, least)| {
            let (rate, least_deposit) = (Rate(rate), Amount(least));
            ProbeMessage::Response(ProbeResponse { has_blob, rate, total_bytes, signature, least_deposit })
        });
    prop_oneof![asks, answers].prop_map(Message::Probe)
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        request().prop_map(ClientMessage::StreamRequest),
        response().prop_map(ClientMessage::StreamResponse),
        voucher().prop_map(ClientMessage::Voucher),
        any::<u64>().prop_map(|nonce| ClientMessage::VoucherAck(Nonce(nonce))),
        reject().prop_map(ClientMessage::VoucherReject),
        error().prop_map(ClientMessage::StreamAbort),
        Just(ClientMessage::StreamEnd),
        close().prop_map(ClientMessage::CloseRequest),
        signature().prop_map(ClientMessage::CloseConsent),
    ]
    .prop_map(Message::Client)
}
