//! Each invariant between machines is broken once, in a client that is at work, and is the one that is named.

use alloc::{vec, vec::Vec};

use super::{
    super::{Client, ClientConfig, Next},
    ALONE, CHANNELS, DOWNLOADS, MONEY,
};
use crate::{
    blob::Verdict,
    chain::{Block, ChainEvent, ChainUpdate, TxOutcome, channel::EventKind},
    crypto::{Crypto, Deployment, Signature, SignedVoucher, Typed, VoucherTerms},
    delivery::Meter,
    ids::{Address, BlobHash, ChannelId, ConnId, FetchId, NodeId, StreamId, TxTicket},
    io::{Effect, Input, Outputs},
    limits::GROUP,
    machine::{
        AlarmKey, Cx,
        closings::{Kept, Why},
        fetcher::{Fetch, Stage},
        links::{Purpose, Stream},
        opener::Opening,
        wallet::{Channel, Closing},
    },
    money::{Amount, Nonce, Rate},
    order::{Candidate, FetchOrder},
    record::{ChannelStatus, Dispute, Key, Paying, PersistSeq, Record},
    roles::Role,
    state::{Case, Slab, Slot, each_fails},
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::{ClientMessage, Code, Message, ProbeMessage, ProbeResponse, StreamRequest, StreamResponse},
};

const TOKEN: Address = Address::repeat_byte(0x70);
const RATE: Rate = Rate(1 << 20);
const BLOB: u64 = 64 * GROUP;
const WALL: u64 = 1_700_000_000_000_000;

/// A signature names its signer.
struct Named;

impl Crypto for Named {
    fn recover(&self, _: &Deployment, _: &Typed, signature: &Signature) -> Option<Address> {
        Some(Address::from_slice(&signature.0[..20]))
    }
}

fn signed_by(who: Address) -> Signature {
    let mut bytes = [0; 65];
    bytes[..20].copy_from_slice(who.as_slice());
    Signature(bytes)
}

fn candidate(n: u8) -> Candidate {
    Candidate { node: NodeId([n; 32]), operator: Address::repeat_byte(n) }
}

fn channel_id(n: u8) -> ChannelId {
    ChannelId([0xc0 + n; 32])
}

/// A client, and what it said last.
struct Bench {
    client: Client,
    now: Now,
    said: Vec<Effect>,
}

impl Bench {
    /// A client that has read the chain, with a channel with each of two nodes, to be kept.
    fn new() -> Self {
        let config = ClientConfig::new(Deployment::default(), NodeId([99; 32]), Address::repeat_byte(0xc1));
        let records = [1, 2].map(|n| {
            Record::Paying(Paying {
                channel: channel_id(n),
                node: candidate(n).node,
                operator: candidate(n).operator,
                token: TOKEN,
                deposit: Amount(1 << 40),
                opened_at_block: 0,
                status: ChannelStatus::Open,
                is_kept: true,
                nonce: Nonce::NONE,
                amount: Amount::ZERO,
                meter: Meter::new(),
            })
        });
        let client = Client::recover(config, records.into_iter());
        let mut bench = Self { client, now: Now { mono: Time(0), wall: WallTime(WALL) }, said: vec![] };
        bench.feed(Input::Tick);
        bench.hear(10, vec![]);
        bench
    }

    fn feed(&mut self, input: Input) {
        let mut out = Outputs::new();
        self.client.step(self.now, input, &Named, &mut out);
        assert_eq!(self.client.check(), Ok(()));
        self.said = out.drain().map(|output| output.effect).collect();
    }

    fn said<T>(&self, of: impl Fn(&Effect) -> Option<T>) -> T {
        self.said.iter().find_map(of).expect("it was said in this step")
    }

    fn hear(&mut self, number: u64, events: Vec<ChainEvent>) {
        let head = Block { number, time: ChainTime(self.now.wall.0 / 1_000_000) };
        let forced_inclusion = Span::from_hours(24);
        self.feed(Input::Chain(ChainUpdate {
            head: head.into(),
            forked_at: None,
            safe: 0,
            events,
            next: number + 1,
            forced_inclusion,
            ..ChainUpdate::default()
        }));
    }

    fn pass(&mut self, span: Span) {
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
        self.feed(Input::Tick);
    }

    fn sign(&mut self) {
        let ticket = self.said(|effect| match effect {
            Effect::Sign { ticket, .. } => Some(*ticket),
            _ => None,
        });
        let signature = Some(signed_by(self.client.config.account));
        self.feed(Input::Signed { ticket, signature });
    }

    fn connect(&mut self) {
        let (conn, peer, protocol) = self.said(|effect| match effect {
            Effect::Connect { conn, peer, protocol } => Some((*conn, *peer, *protocol)),
            _ => None,
        });
        self.feed(Input::Connected { conn, peer, protocol, rtt: Span(1_000) });
    }

    fn order(&mut self, id: u64, n: u8) {
        self.feed(Input::Fetch(FetchOrder {
            id: FetchId(id),
            hash: BlobHash([7; 32]),
            offset_bytes: 0,
            len_bytes: 0,
            candidates: vec![candidate(n)],
            token: TOKEN,
            deposit: Amount(1 << 30),
            cadence_bytes: 16 * GROUP,
            max_rate: RATE,
            keep_channel: true,
        }));
    }

    fn agree(&mut self, n: u8) -> StreamId {
        let stream = self.said(|effect| match effect {
            Effect::Send { stream, message: Message::Client(ClientMessage::StreamRequest(_)) } => {
                Some(*stream)
            }
            _ => None,
        });
        let response = StreamResponse {
            ok: true,
            rate: RATE,
            total_bytes: BLOB,
            max_bytes_per_voucher: 16 * GROUP,
            redirect: None,
            error: None,
            signature: signed_by(candidate(n).operator),
        };
        self.feed(Input::Message { stream, message: ClientMessage::StreamResponse(response).into() });
        stream
    }

    fn quote(&mut self, n: u8) {
        let stream = self.said(|effect| match effect {
            Effect::Send { stream, message: Message::Probe(ProbeMessage::Request(_)) } => Some(*stream),
            _ => None,
        });
        let signature = signed_by(candidate(n).operator);
        let response = ProbeResponse {
            has_blob: true,
            rate: RATE,
            total_bytes: Some(BLOB),
            signature,
            least_deposit: Amount(0),
        };
        self.feed(Input::Message { stream, message: ProbeMessage::Response(response).into() });
    }

    fn content(&mut self, stream: StreamId, offset: u64, bytes: u64) {
        self.feed(Input::Verdict { stream, verdict: Verdict::Good { offset, bytes } });
    }

    fn tx(&self) -> TxTicket {
        self.said(|effect| match effect {
            Effect::Tx { ticket, .. } => Some(*ticket),
            _ => None,
        })
    }

    fn closing(&mut self, n: u8) {
        let block = Block { number: 20, time: ChainTime(self.now.wall.0 / 1_000_000) };
        let kind = EventKind::Closing {
            by: candidate(n).operator,
            amount: Amount::ZERO,
            nonce: Nonce::NONE,
            deadline: ChainTime(block.time.0 + 48 * 3_600),
        };
        self.hear(20, vec![ChainEvent::of_channel(block, channel_id(n), kind)]);
    }
}

/// Nothing runs.
fn idle() -> Bench {
    Bench::new()
}

/// A download from the first node has verified a group, and the channel has been asked about nothing else.
fn streaming() -> Bench {
    let mut bench = idle();
    bench.order(1, 1);
    bench.connect();
    bench.sign();
    let stream = bench.agree(1);
    bench.content(stream, 0, GROUP);
    bench
}

/// A download has failed with a group verified.
fn kept() -> Bench {
    let mut bench = streaming();
    let stream = stream_of(&bench.client);
    bench.feed(Input::StreamClosed { stream, code: Some(Code::Malformed) });
    bench
}

/// The voucher of a full window is on its way.
fn unacknowledged() -> Bench {
    let mut bench = signing();
    bench.sign();
    bench
}

/// The window is full, and its voucher is being signed.
fn signing() -> Bench {
    let mut bench = streaming();
    bench.content(stream_of(&bench.client), GROUP, 15 * GROUP);
    bench
}

/// The first voucher has left.
fn paid() -> Bench {
    let mut bench = signing();
    bench.sign();
    bench
}

/// A second download, from a third node, asks for a price.
fn probing() -> Bench {
    let mut bench = streaming();
    bench.order(2, 3);
    bench.connect();
    bench
}

/// It has its price, and the channel is being opened.
fn opening() -> Bench {
    let mut bench = probing();
    bench.quote(3);
    assert_eq!(bench.client.opener.len(), 1);
    bench
}

/// The same, and its owner is asked whether to pay the price.
fn asking() -> Bench {
    let mut bench = idle();
    bench.client.config.asks = true;
    bench.order(2, 3);
    bench.connect();
    bench.quote(3);
    assert_eq!((fetch(&mut bench.client, 2).stage, bench.client.opener.len()), (Stage::Asking, 0));
    bench
}

/// The owner has said yes, and the channel is being opened.
fn agreed() -> Bench {
    let mut bench = asking();
    let deposit = Amount(1 << 40);
    bench.feed(Input::Agreed { fetch: FetchId(2), node: candidate(3).node, rate: RATE, deposit });
    assert_eq!(bench.client.opener.len(), 1);
    bench
}

/// A second download waits for a connection.
fn dialling() -> Bench {
    let mut bench = streaming();
    bench.order(2, 2);
    bench
}

/// The owner wants the second channel closed, and its node is being dialled.
fn wanted() -> Bench {
    let mut bench = streaming();
    bench.feed(Input::CloseChannel(channel_id(2)));
    bench
}

/// The first node is asked for its consent, with a voucher.
fn asked() -> Bench {
    let mut bench = paid();
    bench.feed(Input::Cancel(FetchId(1)));
    bench.feed(Input::CloseChannel(channel_id(1)));
    assert!(matches!(bench.client.wallet.channels[slot(&bench.client)].closing, Closing::Asked(_)));
    bench
}

/// It said "not now".
fn put_off() -> Bench {
    let mut bench = asked();
    let Closing::Asked(stream) = bench.client.wallet.channels[slot(&bench.client)].closing else {
        panic!("asked")
    };
    bench.feed(Input::StreamClosed { stream, code: Some(Code::NotNow) });
    bench
}

/// The first channel is closing on chain below its voucher, and that is being disputed.
fn disputing() -> Bench {
    let mut bench = paid();
    bench.closing(1);
    assert!(!bench.client.closings.txs.is_empty());
    bench
}

/// The dispute was lost on its way to the sequencer.
fn lost() -> Bench {
    let mut bench = disputing();
    let ticket = bench.tx();
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Lost });
    bench
}

/// The sequencer kept silent, and the delayed inbox has the dispute.
fn queued() -> Bench {
    let mut bench = disputing();
    bench.pass(Span::from_hours(21));
    let ticket = bench.tx();
    let forcible = ChainTime(bench.now.wall.0 / 1_000_000 + 3_600);
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Queued { at: forcible, forcible } });
    bench
}

fn slot(client: &Client) -> Slot {
    client.wallet.slot(&channel_id(1)).expect("the first channel")
}

/// A voucher that is looked at by nobody.
fn voucher() -> SignedVoucher {
    let terms = VoucherTerms {
        channel: channel_id(9),
        amount: Amount(1),
        nonce: Nonce(1),
        token: Default::default(),
    };
    SignedVoucher { terms, signature: Signature([0; 65]) }
}

/// A slot that nothing has.
fn nowhere() -> Slot {
    let mut slab = Slab::default();
    (0..9).map(|n| slab.insert(n)).last().expect("nine of them")
}

fn channel(client: &mut Client) -> &mut Channel {
    let slot = slot(client);
    &mut client.wallet.channels[slot]
}

fn fetch(client: &mut Client, id: u64) -> &mut Fetch {
    client.fetcher.fetches.get_mut(&FetchId(id)).expect("the download")
}

fn stream_of(client: &Client) -> StreamId {
    *client.links.streams.keys().next().expect("a stream")
}

/// The only stream.
fn stream(client: &mut Client) -> &mut Stream {
    let id = stream_of(client);
    client.links.streams.get_mut(&id).expect("the stream")
}

/// What was asked for on it, and what pays for it.
fn content(client: &mut Client) -> (&mut StreamRequest, &mut Option<Nonce>) {
    match &mut stream(client).purpose {
        Purpose::Content { request, paid_by, .. } => (request, paid_by),
        Purpose::Close => panic!("a stream for a close"),
    }
}

/// The channel with the second node.
fn second(client: &Client) -> Slot {
    client.wallet.slot(&channel_id(2)).expect("the second channel")
}

fn cancel(client: &mut Client, key: AlarmKey) {
    assert!(client.tools.alarms.at(key).is_some(), "{key:?} is not set");
    client.tools.alarms.cancel(key);
}

fn arm(client: &mut Client, key: AlarmKey) {
    client.tools.alarms.arm(key, Time(u64::MAX));
}

/// The same, of the first channel's alarms.
fn cancel_of(client: &mut Client, key: fn(Slot) -> AlarmKey) {
    let slot = slot(client);
    cancel(client, key(slot));
}

fn arm_of(client: &mut Client, key: fn(Slot) -> AlarmKey) {
    let slot = slot(client);
    arm(client, key(slot));
}

macro_rules! of {
    ($state:ident) => {
        || $state().client
    };
}

const BROKEN_CHANNELS: &[Case<Client>] = &[
    ("a connection was dialled, for one purpose", of!(probing), |c| {
        c.links.on_gone(ConnId(0));
        let mut tools = c.tools.clone();
        let cx = &mut Cx { now: Now::default(), tools: &mut tools, out: &mut Outputs::new() };
        c.links.connect(candidate(1).node, 9, cx);
    }),
    ("a connection is wanted by a channel, a stream or a download", of!(probing), |c| {
        let cx = &mut Cx { now: Now::default(), tools: &mut c.tools, out: &mut Outputs::new() };
        c.links.connect(candidate(9).node, 9, cx);
    }),
    ("no more connections than allowed", of!(streaming), |c| c.config.limits.conns = 0),
    ("a node was greeted with its own channels", of!(streaming), |c| {
        let slot = second(c);
        c.links.greet(candidate(1).node, slot);
    }),
    ("a stream's channel is there, with the same node", of!(streaming), |c| {
        stream(c).channel = second(c);
    }),
    ("a stream that was agreed on is listed with its channel", of!(streaming), |c| {
        channel(c).streams.clear();
    }),
    ("a channel lists streams that were agreed on, each once", of!(streaming), |c| {
        let id = stream_of(c);
        channel(c).streams.push(id);
    }),
    ("a stream for a close is what its channel asked on", of!(asked), |c| {
        channel(c).closing = Closing::Wanted;
    }),
    ("who was asked for consent has a stream to answer on", of!(asked), |c| {
        let id = stream_of(c);
        c.links.streams.remove(&id);
    }),
    ("a request names its channel", of!(streaming), |c| content(c).0.channel = channel_id(2)),
    ("a stream costs no more than its request allows", of!(streaming), |c| content(c).0.max_rate = Rate(1)),
    ("a stream is paid by a voucher that there is", of!(streaming), |c| *content(c).1 = Some(Nonce(9))),
];

const BROKEN_MONEY: &[Case<Client>] = &[
    ("a ticket was given out", of!(idle), |c| _ = c.closings.txs.insert(TxTicket(99), nowhere())),
    ("a ticket is a signature's or a transaction's", of!(signing), |c| {
        let ticket = c.wallet.tickets().next().expect("a signature").0;
        c.closings.txs.insert(TxTicket(ticket), nowhere());
    }),
    ("an unacknowledged voucher goes out again", of!(unacknowledged), |c| cancel_of(c, AlarmKey::Resend)),
    ("a consent is late only where one is wanted", of!(idle), |c| arm_of(c, AlarmKey::Consent)),
    ("a consent that was asked for is late some time", of!(asked), |c| cancel_of(c, AlarmKey::Consent)),
    ("a close that is wanted goes on", of!(wanted), |c| {
        let slot = second(c);
        cancel(c, AlarmKey::Consent(slot));
    }),
    ("a close that was put off is asked for again", of!(put_off), |c| cancel_of(c, AlarmKey::Ask)),
    ("a channel's alarm has its channel", of!(idle), |c| arm(c, AlarmKey::Quiet(nowhere()))),
    ("a channel on the chain that may not be paid on is closed", of!(idle), |c| {
        channel(c).paying.status = ChannelStatus::Final;
    }),
    ("a channel that is closing on chain says so", of!(disputing), |c| {
        channel(c).paying.status = ChannelStatus::Open;
    }),
    ("a dispute has its transaction", of!(disputing), |c| c.closings.txs.clear()),
    ("a close holds the durable cursor back", of!(disputing), |c| {
        let (slot, watch) = c.closings.iter().next().expect("a closing channel");
        c.follower.checkpoint.settled(watch.closed_in, c.wallet.channels[slot].paying.channel);
    }),
    ("what is retained of a channel is not in the table", of!(disputing), |c| {
        let (slot, watch) = c.closings.iter().next().expect("a closing channel");
        let (id, watch) = (c.wallet.channels[slot].paying.channel, watch.clone());
        let record = Record::Gone(Key::Cursor);
        let kept = Kept { why: Why::Settled, block: 9, held_from: 9, record, watch: Some(watch) };
        c.follower.checkpoint.closes(9, id);
        c.closings.retained.keep(id, kept);
    }),
    ("an opening that has to be seen again is of no known block", of!(disputing), |c| {
        let (slot, _) = c.closings.iter().next().expect("a closing channel");
        c.follower.openings.expect(5, c.wallet.channels[slot].paying.channel);
    }),
    ("a dispute in the inbox is forced when it is time", of!(queued), |c| cancel_of(c, AlarmKey::Force)),
    ("a dispute that is wanted is on its way or tried again", of!(lost), |c| cancel_of(c, AlarmKey::Dispute)),
    ("a dispute on record is about a channel that is known", of!(queued), |c| {
        c.closings.recover(Dispute { channel: channel_id(9), voucher: voucher(), queued: None });
    }),
    ("a closing channel is settled when it is time", of!(disputing), |c| cancel_of(c, AlarmKey::Settle)),
    ("an alarm about a close is about a closing channel", of!(idle), |c| arm_of(c, AlarmKey::Settle)),
    ("the chain is read again", of!(idle), |c| cancel(c, AlarmKey::Poll)),
    ("what an event did was given to the disk", of!(idle), |c| {
        c.follower.checkpoint.writes(PersistSeq(99));
    }),
    ("nothing that has come up is left to do", of!(idle), |c| {
        c.todo.push_back(Next::Freed(NodeId([1; 32])));
    }),
];

const BROKEN_ALONE: &[Case<Client>] = &[
    ("alarms are in proportion to what they are about", of!(idle), |c| {
        (0..100).for_each(|n| c.tools.alarms.arm(AlarmKey::Poll, Time(100 - n)));
    }),
    ("nothing else holds the durable cursor back", of!(disputing), |c| {
        c.follower.checkpoint.closes(9, ChannelId([9; 32]));
    }),
];

const BROKEN_DOWNLOADS: &[Case<Client>] = &[
    ("a download's stream serves it", of!(streaming), |c| {
        fetch(c, 1).stage = Stage::Requested(stream_of(c));
    }),
    ("a stream's download waits for it", of!(streaming), |c| fetch(c, 1).stage = Stage::BackingOff),
    ("a stream is as far as its download", of!(streaming), |c| fetch(c, 1).record.verified_bytes = 0),
    ("a request asks for what was ordered", of!(streaming), |c| {
        fetch(c, 1).record.order.hash = BlobHash([8; 32]);
    }),
    ("a download's stream is with the candidate that it tries", of!(streaming), |c| {
        fetch(c, 1).record.order.candidates[0] = candidate(2);
    }),
    ("a kept download is left alone", of!(kept), |c| arm(c, AlarmKey::Fetch(FetchId(1)))),
    ("a download that asks for a price has its probe", of!(probing), |c| {
        let cx = &mut Cx { now: Now::default(), tools: &mut c.tools, out: &mut Outputs::new() };
        c.prober.end(ConnId(1), cx);
    }),
    ("a probe's download waits for it", of!(probing), |c| fetch(c, 2).stage = Stage::BackingOff),
    ("whatever a download waits for is late some time", of!(streaming), |c| {
        cancel(c, AlarmKey::Fetch(FetchId(1)));
    }),
    ("a download's alarm has its download", of!(idle), |c| arm(c, AlarmKey::Fetch(FetchId(9)))),
    ("something moves each download that waits", of!(dialling), |c| _ = c.links.on_up(ConnId(1), Span(1))),
    ("what a download got came on channels that it may use", of!(streaming), |c| {
        let slot = second(c);
        fetch(c, 1).sources.push(slot);
    }),
    ("lost bytes are of a download that can ask for them again", of!(streaming), |c| {
        channel(c).lost.push((FetchId(9), 0));
    }),
    ("a channel that nothing uses is closed", of!(idle), |c| channel(c).paying.is_kept = false),
    ("an opening's transaction is late some time", of!(opening), |c| cancel(c, AlarmKey::Opening)),
    ("nothing is opened that the owner did not agree to", of!(agreed), |c| {
        let cx = &mut Cx { now: Now::default(), tools: &mut c.tools, out: &mut Outputs::new() };
        let opening = c.opener.take(cx);
        let Opening { node, operator, token, deposit, keep, .. } = opening;
        c.opener.want(Opening::new(node, operator, token, deposit, keep));
        c.opener.begin(None, Span(1), cx);
    }),
    ("the owner agrees to nothing without being asked", of!(asking), |c| c.config.asks = false),
    ("an opening has room for its channel", of!(opening), |c| c.config.limits.channels = 0),
];

#[test]
fn each_invariant_of_a_client_can_fail() {
    let tables = [
        (CHANNELS, BROKEN_CHANNELS),
        (MONEY, BROKEN_MONEY),
        (DOWNLOADS, BROKEN_DOWNLOADS),
        (ALONE, BROKEN_ALONE),
    ];
    for (all, cases) in tables {
        each_fails(all, cases, |client| assert!(client.check().is_err()));
    }
}

#[test]
fn a_client_asks_each_of_its_machines() {
    let damages: [fn(&mut Client); 3] = [
        |c| fetch(c, 1).record.verified_bytes = 2 * BLOB,
        |c| channel(c).acked = Nonce(9),
        |c| _ = c.links.on_gone(ConnId(0)),
    ];
    for damage in damages {
        let mut client = streaming().client;
        damage(&mut client);
        assert!(client.check().is_err());
    }
}
