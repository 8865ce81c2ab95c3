//! What a step costs, and what a channel weighs, in a node with a thousand channels and with a million.
//!
//! `cargo bench --package decdn-engine --bench channels`. One step in six is a request on a random channel, then come
//! its signature, a sent range, a voucher, its commit, the end of the stream; the digest is folded after each.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use decdn_engine::{
    chain::{Block, ChainEvent, channel::EventKind},
    crypto::Signature,
    ids::{ChannelId, ConnId, NodeId, SignTicket, StreamId},
    io::{Effect, Input, Outputs},
    limits::{GROUP, Limits},
    money::{Amount, Nonce, Rate},
    record::PersistSeq,
    roles::{Role, node::Node},
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::{Auth, ClientMessage, Message, Protocol, StreamRequest, Voucher},
};
use decdn_testkit::{
    Trusting,
    fixtures::{CLIENT, HASH, OPERATOR, START, TOKEN, news, node_config},
};

const NOW: Now = Now { mono: Time(1), wall: WallTime(START * 1_000_000) };
const CONN: ConnId = ConnId(0);

/// Every signature is the client's: curves are not what is measured.
const TRUSTING: Trusting = Trusting(&[CLIENT]);

/// Not the test kit's: that looks at the whole state after each step, which is not what is measured either.
struct Bench {
    node: Node,
    out: Outputs,
    steps: u64,
}

impl Bench {
    fn step(&mut self, input: Input) {
        self.out.drain();
        self.node.step(NOW, input, &TRUSTING, &mut self.out);
        std::hint::black_box(self.node.digest());
        self.steps += 1;
    }

    fn ticket(&self) -> SignTicket {
        let mut effects = self.out.as_slice().iter().map(|output| &output.effect);
        effects
            .find_map(|e| if let Effect::Sign { ticket, .. } = e { Some(*ticket) } else { None })
            .expect("asked")
    }

    fn writes(&self) -> impl Iterator<Item = PersistSeq> {
        self.out.as_slice().iter().filter_map(|output| match output.effect {
            Effect::Persist { seq, .. } => Some(seq),
            _ => None,
        })
    }

    fn persisted(&self) -> PersistSeq {
        self.writes().next().expect("stored")
    }
}

fn channel_id(i: u64) -> ChannelId {
    ChannelId(*blake3::hash(&i.to_le_bytes()).as_bytes())
}

fn with_channels(count: u64) -> Bench {
    let mut config = node_config(Rate(10_000));
    config.limits = Limits { channels: 1 << 21, ..Limits::standard() };
    let mut bench = Bench { node: Node::new(config), out: Outputs::new(), steps: 0 };
    let head = Block { number: 10, time: ChainTime(START) };
    for first in (0..count).step_by(4_000) {
        let events = (first..count.min(first + 4_000)).map(|i| {
            let kind = EventKind::Opened {
                client: CLIENT,
                node: OPERATOR,
                token: TOKEN,
                deposit: Amount(1 << 60),
                window_secs: 172_800,
            };
            ChainEvent::of_channel(head, channel_id(i), kind)
        });
        bench.step(Input::Chain(news(head, 10, events.collect())));
        let stored: Vec<PersistSeq> = bench.writes().collect();
        for seq in stored {
            bench.step(Input::Persisted { seq });
        }
    }
    bench.step(Input::BlobReady { hash: HASH, bytes: 1 << 40 });
    bench.step(Input::Connected {
        conn: CONN,
        peer: NodeId([2; 32]),
        protocol: Protocol::Client,
        rtt: Span(1_000),
    });
    bench
}

/// One stream on a channel, from request to end: six steps.
fn serve(bench: &mut Bench, index: u32, channel: ChannelId, nonce: u64) {
    let stream = StreamId { conn: CONN, index };
    let signature = Signature([1; 65]);
    let request = StreamRequest {
        hash: HASH,
        channel,
        token: TOKEN,
        offset_bytes: 0,
        len_bytes: 4 * GROUP,
        cadence_bytes: 4 * GROUP,
        max_rate: Rate(10_000),
        requester: CLIENT,
        timestamp: NOW.wall,
        quote: None,
        auth: (index == 0).then_some(Auth { address: CLIENT, signature }),
        newest: None,
    };
    bench.step(Input::Message { stream, message: Message::Client(ClientMessage::StreamRequest(request)) });
    let ticket = bench.ticket();
    bench.step(Input::Signed { ticket, signature: Some(signature) });
    bench.step(Input::RangeSent { stream });
    let voucher = Voucher { amount: Amount(u128::from(nonce) * 625), nonce: Nonce(nonce), signature };
    bench.step(Input::Message { stream, message: Message::Client(ClientMessage::Voucher(voucher)) });
    let seq = bench.persisted();
    bench.step(Input::Persisted { seq });
    bench.step(Input::Message { stream, message: Message::Client(ClientMessage::StreamEnd) });
}

fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split_whitespace().nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4_096
}

/// Nanoseconds per step over `streams` streams on channels drawn by a small generator, best of three rounds.
fn measure(bench: &mut Bench, count: u64, streams: u64) -> u64 {
    let mut nonces = vec![0_u64; usize::try_from(count).expect("fits")];
    let mut draw = 0x9e37_79b9_7f4a_7c15_u64;
    let mut index = 0;
    let mut best = u64::MAX;
    for _ in 0..3 {
        let (started, before) = (Instant::now(), bench.steps);
        for _ in 0..streams {
            draw ^= draw << 13;
            draw ^= draw >> 7;
            draw ^= draw << 17;
            let place = draw % count;
            let nonce = &mut nonces[usize::try_from(place).expect("fits")];
            *nonce += 1;
            serve(bench, index, channel_id(place), *nonce);
            index += 1;
        }
        let took = u64::try_from(started.elapsed().as_nanos()).expect("short");
        best = best.min(took / (bench.steps - before));
    }
    best
}

fn main() {
    let empty = resident_bytes();
    let mut large = with_channels(1_000_000);
    let weight = (resident_bytes() - empty) / 1_000_000;
    let at_large = measure(&mut large, 1_000_000, 200_000);
    large.node.check().unwrap_or_else(|broken| panic!("check: {broken}"));
    drop(large);
    let at_small = measure(&mut with_channels(1_000), 1_000, 200_000);
    println!("channels    ns/step");
    println!("    1,000  {at_small:>8}");
    println!(
        "1,000,000  {at_large:>8}   {:+} ns (at most 1,000)",
        at_large.cast_signed() - at_small.cast_signed()
    );
    println!(
        "memory per open channel: {weight} bytes resident, {} counted (at most 512)",
        Node::bytes_per_channel()
    );
}
