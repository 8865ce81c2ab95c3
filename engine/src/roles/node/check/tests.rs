//! Each invariant between machines is broken once, in a node that is at work, and is the one that is named.

use alloc::{vec, vec::Vec};

use super::{
    super::{Node, NodeConfig},
    INVARIANTS,
};
use crate::{
    chain::{Block, ChainEvent, ChainUpdate, TxOutcome, channel::EventKind},
    crypto::{Crypto, Deployment, Signature, SignedVoucher, Typed, VoucherTerms},
    delivery::Meter,
    ids::{Address, BlobHash, ChannelId, ConnId, NodeId, StreamId, TxTicket},
    io::{Effect, Input, Outputs},
    limits::GROUP,
    machine::{
        AlarmKey, Cx, Tools,
        closings::{Kept, Why},
        earnings::Channel,
        sending::Stream,
    },
    money::{Amount, Nonce, Rate},
    order::Order,
    record::{ChannelStatus, Dispute, Key, PersistSeq, Record},
    roles::{Role, config::TokenTerms},
    state::{Case, Slab, Slot, each_fails},
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::{Auth, ClientMessage, CloseRequest, ProbeMessage, ProbeRequest, Protocol, StreamRequest, Voucher},
};

const TOKEN: Address = Address::repeat_byte(0x70);
const CLIENT: Address = Address::repeat_byte(0xc1);
const HASH: BlobHash = BlobHash([7; 32]);
const RATE: Rate = Rate(1 << 20);
const CHANNEL: ChannelId = ChannelId([0xc0; 32]);
const PEER: NodeId = NodeId([9; 32]);
const CONN: ConnId = ConnId(0);
const PROBES: ConnId = ConnId(1);
const WALL: u64 = 1_700_000_000_000_000;

/// Whatever is signed is the client's.
struct Trusting;

impl Crypto for Trusting {
    fn recover(&self, _: &Deployment, _: &Typed, _: &Signature) -> Option<Address> {
        Some(CLIENT)
    }
}

/// A node, and what it said last.
struct Bench {
    node: Node,
    now: Now,
    said: Vec<Effect>,
}

impl Bench {
    fn feed(&mut self, input: Input) {
        let mut out = Outputs::new();
        self.node.step(self.now, input, &Trusting, &mut out);
        assert_eq!(self.node.check(), Ok(()));
        self.said = out.drain().map(|output| output.effect).collect();
    }

    fn said<T>(&self, of: impl Fn(&Effect) -> Option<T>) -> T {
        self.said.iter().find_map(of).expect("it was said in this step")
    }

    fn hear(&mut self, number: u64, kind: EventKind) {
        let head = Block { number, time: ChainTime(self.now.wall.0 / 1_000_000) };
        let events = vec![ChainEvent::of_channel(head, CHANNEL, kind)];
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

    fn sign(&mut self) {
        let ticket = self.said(|effect| match effect {
            Effect::Sign { ticket, .. } => Some(*ticket),
            _ => None,
        });
        self.feed(Input::Signed { ticket, signature: Some(Signature([1; 65])) });
    }

    fn request(&mut self, index: u32) {
        let request = StreamRequest {
            hash: HASH,
            channel: CHANNEL,
            token: TOKEN,
            offset_bytes: 0,
            len_bytes: 0,
            cadence_bytes: 16 * GROUP,
            max_rate: RATE,
            requester: CLIENT,
            timestamp: self.now.wall,
            quote: None,
            auth: Some(Auth { address: CLIENT, signature: Signature([1; 65]) }),
            newest: None,
        };
        let stream = StreamId { conn: CONN, index };
        self.feed(Input::Message { stream, message: ClientMessage::StreamRequest(request).into() });
    }
}

/// A peer is connected, and a soft channel with it is open.
fn idle() -> Bench {
    let mut config = NodeConfig::new(Deployment::default(), NodeId([1; 32]), Address::repeat_byte(0x0e));
    config.tokens.push(TokenTerms::new(TOKEN, RATE));
    let now = Now { mono: Time(0), wall: WallTime(WALL) };
    let mut bench = Bench { node: Node::new(config), now, said: vec![] };
    bench.feed(Input::Tick);
    let deposit = Amount(40_000_000);
    let node = bench.node.config.account;
    bench.hear(10, EventKind::Opened { client: CLIENT, node, token: TOKEN, deposit, window_secs: 172_800 });
    bench.feed(Input::BlobReady { hash: HASH, bytes: 64 * GROUP });
    bench.feed(Input::Connected { conn: CONN, peer: PEER, protocol: Protocol::Client, rtt: Span(1) });
    bench
}

/// A probe is being answered.
fn probing() -> Bench {
    let mut bench = idle();
    bench.feed(Input::Connected { conn: PROBES, peer: PEER, protocol: Protocol::Probe, rtt: Span(1) });
    let request = ProbeRequest { hash: HASH, token: TOKEN, requester: CLIENT, timestamp: bench.now.wall };
    let stream = StreamId { conn: PROBES, index: 0 };
    bench.feed(Input::Message { stream, message: ProbeMessage::Request(request).into() });
    bench
}

/// An answer is being signed.
fn answering() -> Bench {
    let mut bench = idle();
    bench.request(0);
    bench
}

/// Content goes out.
fn sending() -> Bench {
    let mut bench = answering();
    bench.sign();
    bench
}

/// A voucher for all of it was taken, and is not durable yet.
fn taking() -> Bench {
    let mut bench = sending();
    let stream = StreamId { conn: CONN, index: 0 };
    let voucher =
        Voucher { amount: Amount(16 * u128::from(GROUP)), nonce: Nonce(1), signature: Signature([1; 65]) };
    bench.feed(Input::Message { stream, message: ClientMessage::Voucher(voucher).into() });
    bench
}

/// The voucher is durable.
fn paid() -> Bench {
    let mut bench = taking();
    let seq = bench.said(|effect| match effect {
        Effect::Persist { seq, .. } => Some(*seq),
        _ => None,
    });
    bench.feed(Input::Persisted { seq });
    bench
}

/// A consent is being signed.
fn consenting() -> Bench {
    let mut bench = paid();
    let (nonce, amount) = bench.node.best_voucher(&CHANNEL).expect("a voucher");
    let terms = VoucherTerms { channel: CHANNEL, amount, nonce, token: TOKEN };
    let voucher = Some(SignedVoucher { terms, signature: Signature([1; 65]) });
    let request = CloseRequest { channel: CHANNEL, voucher, auth: None };
    let stream = StreamId { conn: CONN, index: 1 };
    bench.feed(Input::Message { stream, message: ClientMessage::CloseRequest(request).into() });
    assert!(bench.node.earnings.channels[slot(&bench.node)].is_consenting);
    bench
}

/// A stream ended unpaid.
fn lossy() -> Bench {
    let mut bench = sending();
    bench.feed(Input::StreamClosed { stream: StreamId { conn: CONN, index: 0 }, code: None });
    bench
}

/// A close with less than the voucher is being disputed.
fn disputing() -> Bench {
    let mut bench = paid();
    let deadline = ChainTime(WALL / 1_000_000 + 48 * 3_600);
    bench.hear(20, EventKind::Closing { by: CLIENT, amount: Amount(1), nonce: Nonce::NONE, deadline });
    assert!(!bench.node.closings.txs.is_empty());
    bench
}

/// Its owner has the channel closed.
fn ordered() -> Bench {
    let mut bench = paid();
    bench.feed(Input::Order(Order::Close(CHANNEL)));
    assert!(!bench.node.closings.txs.is_empty());
    bench
}

/// The dispute was lost on its way to the sequencer.
fn lost() -> Bench {
    let mut bench = disputing();
    let ticket = bench.said(|effect| match effect {
        Effect::Tx { ticket, .. } => Some(*ticket),
        _ => None,
    });
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Lost });
    bench
}

/// The sequencer kept silent, and the delayed inbox has the dispute.
fn queued() -> Bench {
    let mut bench = disputing();
    let span = Span::from_hours(21);
    bench.now = Now { mono: bench.now.mono + span, wall: bench.now.wall + span };
    bench.feed(Input::Tick);
    let ticket = bench.said(|effect| match effect {
        Effect::Tx { ticket, .. } => Some(*ticket),
        _ => None,
    });
    let at = ChainTime(bench.now.wall.0 / 1_000_000);
    let forcible = ChainTime(at.0 + 3_600);
    bench.feed(Input::Tx { ticket, outcome: TxOutcome::Queued { at, forcible } });
    bench
}

fn slot(node: &Node) -> Slot {
    node.earnings.slot(&CHANNEL).expect("the channel")
}

/// A slot that nothing has.
fn nowhere() -> Slot {
    let mut slab = Slab::default();
    (0..9).map(|n| slab.insert(n)).last().expect("nine of them")
}

fn channel(node: &mut Node) -> &mut Channel {
    let slot = slot(node);
    &mut node.earnings.channels[slot]
}

fn stream(node: &mut Node) -> &mut Stream {
    node.sending.streams.values_mut(|_| true).next().expect("a stream")
}

fn cancel(node: &mut Node, key: AlarmKey) {
    assert!(node.buyer.tools.alarms.at(key).is_some(), "{key:?} is not set");
    node.buyer.tools.alarms.cancel(key);
}

macro_rules! of {
    ($state:ident) => {
        || $state().node
    };
}

const BROKEN: &[Case<Node>] = &[
    ("a connection counts its streams", of!(sending), |n| n.inbound.begin_stream(CONN)),
    ("a connection for probes counts what is being signed", of!(probing), |n| n.signing.clear()),
    ("no more streams on a connection than allowed", of!(sending), |n| n.config.limits.streams_per_conn = 0),
    ("no more connections than allowed", of!(idle), |n| n.config.limits.conns = 0),
    ("a stream runs on a connection for streams", of!(sending), |n| _ = n.inbound.on_gone(CONN)),
    ("a stream is listed with its channel", of!(sending), |n| channel(n).streams.clear()),
    ("a channel lists streams on it, each once", of!(sending), |n| {
        let id = channel(n).streams[0];
        channel(n).streams.push(id);
    }),
    ("a stream serves who pays on its channel", of!(sending), |n| channel(n).client = TOKEN),
    ("a stream is metered at the rate that was agreed on", of!(sending), |n| stream(n).terms.rate = Rate(1)),
    ("an answer that is missing is being signed", of!(answering), |n| n.signing.clear()),
    ("exposure is within the largest offer", of!(sending), |n| channel(n).meter.add(16 << 20)),
    ("no more tails are kept than allowed", of!(lossy), |n| n.config.limits.tails = 0),
    ("what raises a limit was given to the disk", of!(taking), |n| n.buyer.tools = Tools::default()),
    ("a consent is being signed where one was asked for", of!(consenting), |n| n.signing.clear()),
    ("a channel knows that its consent is being signed", of!(consenting), |n| {
        channel(n).is_consenting = false;
    }),
    ("no channel is soft that the safe head has", of!(sending), |n| {
        let (now, mut out) = (n.now, Outputs::new());
        let head = Block { number: 500, time: ChainTime(now.wall.secs()) };
        let update = ChainUpdate { head: head.into(), safe: 500, ..ChainUpdate::default() };
        let cx = &mut Cx { now, tools: &mut n.buyer.tools, out: &mut out };
        n.buyer.follower.on_heads(&update, cx);
    }),
    ("soft deposits are within their token's cap", of!(sending), |n| n.config.tokens[0].soft_cap = Amount(1)),
    ("a channel that is closing on chain says so", of!(disputing), |n| {
        channel(n).status = ChannelStatus::Final;
    }),
    ("a dispute has its transaction", of!(disputing), |n| n.closings.txs.clear()),
    ("a close holds the durable cursor back", of!(disputing), |n| {
        let (slot, watch) = n.closings.iter().next().expect("a closing channel");
        n.buyer.follower.checkpoint.settled(watch.closed_in, n.earnings.channels[slot].id);
    }),
    ("nothing else holds the durable cursor back", of!(disputing), |n| {
        n.buyer.follower.checkpoint.closes(9, CHANNEL);
    }),
    ("what is retained of a channel is not in the table", of!(disputing), |n| {
        let (slot, watch) = n.closings.iter().next().expect("a closing channel");
        let (id, watch) = (n.earnings.channels[slot].id, watch.clone());
        let record = Record::Gone(Key::Cursor);
        let kept = Kept { why: Why::Settled, block: 9, held_from: 9, record, watch: Some(watch) };
        n.buyer.follower.checkpoint.closes(9, id);
        n.closings.retained.keep(id, kept);
    }),
    ("an opening that has to be seen again is of no known block", of!(disputing), |n| {
        let (slot, _) = n.closings.iter().next().expect("a closing channel");
        n.buyer.follower.openings.expect(5, n.earnings.channels[slot].id);
    }),
    ("a dispute in the inbox is forced when it is time", of!(queued), |n| {
        let slot = slot(n);
        cancel(n, AlarmKey::Force(slot));
    }),
    ("a dispute that is wanted is on its way or tried again", of!(lost), |n| {
        let slot = slot(n);
        cancel(n, AlarmKey::Dispute(slot));
    }),
    ("a dispute on record is about a channel that is known", of!(queued), |n| {
        let voucher = channel(n).best_voucher().expect("it holds one");
        n.closings.recover(Dispute { channel: ChannelId([0x99; 32]), voucher, queued: None });
    }),
    ("what was claimed is about a channel that is known", of!(sending), |n| {
        n.earnings.claims.note(ChannelId([0x99; 32]), 9, Amount(1));
    }),
    ("a close that was ordered is of a channel that serves no more", of!(ordered), |n| {
        let slot = slot(n);
        n.earnings.channels[slot].status = ChannelStatus::Open;
    }),
    ("a close that was sent has its transaction", of!(ordered), |n| n.closings.txs.clear()),
    ("a closing channel is settled when it is time", of!(disputing), |n| {
        let slot = slot(n);
        cancel(n, AlarmKey::Settle(slot));
    }),
    ("an alarm about a close is about a closing channel", of!(idle), |n| {
        let slot = slot(n);
        n.buyer.tools.alarms.arm(AlarmKey::Force(slot), Time(1));
    }),
    ("an alarm about paying is about a channel that is paid on", of!(idle), |n| {
        n.buyer.tools.alarms.arm(AlarmKey::Ask(nowhere()), Time(1));
    }),
    ("the chain is read again", of!(idle), |n| cancel(n, AlarmKey::Poll)),
    ("what an event did was given to the disk", of!(idle), |n| {
        n.buyer.follower.checkpoint.writes(PersistSeq(99));
    }),
    ("alarms are in proportion to what they are about", of!(idle), |n| {
        (0..100).for_each(|at| n.buyer.tools.alarms.arm(AlarmKey::Poll, Time(100 - at)));
    }),
    ("a ticket was given out", of!(idle), |n| _ = n.closings.txs.insert(TxTicket(99), nowhere())),
    ("a ticket is a signature's or a transaction's", of!(answering), |n| {
        let ticket = n.signing.keys().next().expect("a signature").0;
        n.closings.txs.insert(TxTicket(ticket), nowhere());
    }),
];

#[test]
fn each_invariant_of_a_node_can_fail() {
    each_fails(INVARIANTS, BROKEN, |node| assert!(node.check().is_err()));
}

#[test]
fn a_node_asks_each_of_its_machines() {
    let damages: [fn(&mut Node); 3] = [
        |n| channel(n).meter = Meter::new(),
        |n| n.sending.streams.values_mut(|_| true).for_each(|stream| stream.end = 0),
        |n| {
            let slot = slot(n);
            n.earnings.channels.remove(slot);
        },
    ];
    for damage in damages {
        let mut node = taking().node;
        damage(&mut node);
        assert!(node.check().is_err());
    }
}
