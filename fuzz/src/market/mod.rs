//! Where a role buys, whichever it is: nodes that do what the input says, a chain of their channels, and a book of what may be
//! paid. A target's edge asks it what an effect leads to, and tells it what the input wants.

mod book;
mod buyer;
mod chain;
mod owner;
mod say;

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    blob::{Verdict, Verifier},
    chain::{Call, channel},
    crypto::Typed,
    ids::{Address, BlobHash, ChannelId, ConnId, FetchId, NodeId, StreamId},
    io::{Effect, FetchFailure, Gone, Input, Notice, Output},
    limits::{GROUP, Limits, ORDERS},
    money::{Amount, Nonce, Rate},
    order::Candidate,
    record::{Key, Paying, Record},
    roles::client::Client,
    time::Span,
    wire::{
        ClientMessage, Code, Message, ProbeMessage, ProbeRequest, ProbeResponse, Protocol, StreamRequest,
    },
};

use self::{book::Book, owner::Owner};
pub(crate) use self::{buyer::Buyer, chain::Chain, owner::money_order, say::CODES};
use decdn_testkit::signature;

/// How many nodes sell.
const NODES: usize = 3;
const TOKENS: [Address; 2] = [Address::repeat_byte(3), Address::repeat_byte(13)];
/// Blobs with their real sizes; the last one's hash is that of nothing.
const BLOBS: [(BlobHash, u64); 3] =
    [(BlobHash([7; 32]), 12 * GROUP + 99), (BlobHash([8; 32]), 6 * GROUP), (BlobHash(EMPTY), 0)];
const EMPTY: [u8; 32] = [
    0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b,
    0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
];

/// Who buys from whom.
#[derive(Debug)]
pub(crate) struct Parties {
    /// The buyer's account.
    pub(crate) buyer: Address,
    /// The nodes, their operators, and the number by which signatures are known as theirs.
    pub(crate) sellers: [(NodeId, Address, u8); NODES],
    /// The chain numbers the channels that the buyer opens from here on.
    pub(crate) channels: u8,
}

/// A stream as the edge sees it.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    node: NodeId,
    /// `None` for a close.
    request: Option<StreamRequest>,
    /// The newest voucher that was sent here.
    newest: Nonce,
    /// The rate of the last answer.
    rate: Rate,
    content: Option<Content>,
}

/// Content that the buyer waits for.
#[derive(Clone, Copy, Debug)]
struct Content {
    fetch: FetchId,
    serial: u64,
    size: u64,
    claimed: u64,
    next: u64,
    end: u64,
}

/// What a verifier found, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    stream: StreamId,
    verdict: Verdict,
    fetch: FetchId,
    serial: u64,
    /// On which channel, at which rate.
    paid: Option<(ChannelId, Rate)>,
}

/// What a step told the owner.
#[derive(Default, Debug)]
pub(crate) struct Said {
    progress: Option<FetchId>,
    /// Downloads that ended, with their bytes where they succeeded.
    over: Vec<(FetchId, Option<u64>)>,
    /// Transactions that were asked for.
    calls: Vec<Call>,
    /// Prices that the owner was asked about, or told.
    quoted: Vec<Notice>,
    /// An order for a download that is there was refused.
    is_refused: bool,
}

impl Said {
    pub(crate) fn note(&mut self, market: &Market, output: &Output) {
        match &output.effect {
            Effect::Notice(Notice::Progress { fetch, .. }) => self.progress = Some(*fetch),
            Effect::Notice(Notice::Fetched { fetch, bytes }) => self.over.push((*fetch, Some(*bytes))),
            // What has verified something is kept, unless its owner gave it up (D17).
            Effect::Notice(Notice::FetchFailed { fetch, why })
                if *why == FetchFailure::Cancelled || !market.book.has_some(*fetch) =>
            {
                self.over.push((*fetch, None));
            }
            Effect::Notice(Notice::Forgotten { fetch, .. }) => self.over.push((*fetch, None)),
            Effect::Notice(Notice::OrderRefused { .. }) => self.is_refused = true,
            Effect::Notice(notice @ Notice::Quoted { .. }) => self.quoted.push(*notice),
            Effect::Tx { call, .. } => self.calls.push(*call),
            _ => {}
        }
    }
}

pub(crate) struct Market {
    parties: &'static Parties,
    /// Dialled connections, and whether they are up.
    conns: BTreeMap<ConnId, (NodeId, bool)>,
    streams: BTreeMap<StreamId, Wire>,
    /// Probes under way. They are answered as soon as they are asked, which keeps an input's meaning where it has no part in
    /// them.
    probes: BTreeMap<ConnId, NodeId>,
    /// Connections of probes, those that are over among them.
    probed: BTreeSet<ConnId>,
    /// How nodes answer them.
    mood: u8,
    /// Who has quoted a price since the start.
    quoted: BTreeSet<Address>,
    owner: Owner,
    /// Whether the owner is asked before money goes into a channel (D16).
    pub(crate) asks: bool,
    pub(crate) chain: Chain,
    book: Book,
    serial: u64,
}

impl Market {
    pub(crate) fn new(parties: &'static Parties, asks: bool) -> Self {
        Self {
            parties,
            conns: BTreeMap::new(),
            streams: BTreeMap::new(),
            probes: BTreeMap::new(),
            probed: BTreeSet::new(),
            mood: 0,
            quoted: BTreeSet::new(),
            owner: Owner::default(),
            asks,
            chain: Chain::new(parties),
            book: Book::default(),
            serial: 0,
        }
    }

    /// Nodes by number from 0, each with its own operator.
    fn candidate(&self, number: u8) -> Candidate {
        let (node, operator, _) = self.parties.sellers[usize::from(number) % NODES];
        Candidate { node, operator }
    }

    fn operator(&self, node: NodeId) -> Address {
        let seller = self.parties.sellers.iter().find(|(id, ..)| *id == node);
        seller.map(|(_, operator, _)| *operator).expect("only sellers are asked for a price")
    }

    /// The number by which signatures are known as a node's operator's.
    fn signer(&self, node: NodeId) -> u8 {
        let seller = self.parties.sellers.iter().find(|(id, ..)| *id == node);
        seller.map(|(.., signer)| *signer).expect("only sellers are dialled")
    }

    /// The process died and started again with what is durable.
    pub(crate) fn recovered(&mut self, store: &BTreeMap<Key, Record>, client: &Client) {
        self.book.crashed(store);
        self.probes.clear();
        self.probed.clear();
        self.quoted.clear();
        self.owner = Owner::default();
        self.conns.clear();
        self.streams.clear();
        // Where a channel was opened the chain has to say again.
        let state = |paying: &Paying| Paying { opened_at_block: 0, ..*paying };
        let mut found: Vec<Paying> = client.channels().map(state).collect();
        found.sort_by_key(|paying| paying.channel);
        let kept = store.values().filter_map(|record| match record {
            Record::Paying(paying) => Some(state(paying)),
            _ => None,
        });
        assert_eq!(found, kept.collect::<Vec<_>>(), "O12: what is paid on is recovered");
        let stored = store.values().filter(|record| record.as_fetch().is_some()).count();
        assert_eq!(client.fetch_count(), stored, "O12: downloads are recovered");
    }

    /// A live stream.
    pub(crate) fn stream(&self, choice: u8) -> Option<(StreamId, Wire)> {
        let id = pick(self.streams.keys().copied().collect(), choice)?;
        Some((id, self.streams[&id].clone()))
    }

    fn hear(&mut self, stream: StreamId, message: ClientMessage) -> Input {
        if let (ClientMessage::StreamResponse(response), Some(wire)) =
            (&message, self.streams.get_mut(&stream))
            && wire.content.is_none()
        {
            wire.rate = response.rate;
        }
        Input::Message { stream, message: message.into() }
    }

    /// Content comes: good as far as the verifier could find it good, or bad.
    #[expect(clippy::disallowed_methods, reason = "restates what a verifier may find")]
    fn content(&mut self, choice: u8, more_groups: u64, is_good: bool) -> Option<Found> {
        let (stream, wire) = self.stream(choice)?;
        let content = wire.content?;
        let good = good_bytes(&content, (more_groups + 1) * GROUP);
        let verdict =
            if is_good && good > 0 { Verdict::good(content.next, good) } else { Verdict::bad(content.next) };
        let live = self.streams.get_mut(&stream).and_then(|wire| wire.content.as_mut()).expect("looked up");
        live.next += good;
        if matches!(verdict, Verdict::Bad { .. }) || live.next == live.end {
            self.streams.get_mut(&stream).expect("looked up").content = None;
        }
        let paid = wire.request.map(|request| (request.channel, wire.rate));
        Some(Found { stream, verdict, fetch: content.fetch, serial: content.serial, paid })
    }

    /// What was found was told, and taken or not.
    fn told(&mut self, found: Found, said: &Said) {
        if let (Verdict::Good { offset, bytes, .. }, Some((channel, rate))) = (found.verdict, found.paid)
            && said.progress == Some(found.fetch)
        {
            self.book.verified(channel, found.serial, (offset, bytes), rate);
        }
    }

    fn end_orders(&mut self, said: &Said) {
        said.quoted.iter().for_each(|notice| self.owner.hear(notice));
        // When it is asked for, not when it leaves: an owner that changes his mind in between does so too late.
        if self.asks {
            said.calls.iter().for_each(|call| self.owner.check(self.parties, call));
        }
        for (id, bytes) in &said.over {
            if let Some(bytes) = bytes {
                self.book.fetched(*id, *bytes);
            }
            self.book.over(*id);
        }
    }

    /// A write set is durable.
    pub(crate) fn durable(&mut self, store: &BTreeMap<Key, Record>, writes: &[Record]) {
        self.book.durable(store, writes);
    }

    pub(crate) fn sign(&mut self, what: &Typed) {
        if let Typed::Voucher(terms) = what {
            self.book.sign(terms);
        }
    }

    /// The buyer makes a transaction.
    pub(crate) fn check_call(&mut self, store: &BTreeMap<Key, Record>, call: &Call) {
        self.book.check_spending(call);
        if let Call::Channel(channel::Call::Open { node, .. }) = call {
            assert!(self.quoted.contains(node), "D1: money goes to a node that was not asked for its price");
        }
        if let Some(
            channel::Call::Close { voucher: Some(voucher), .. }
            | channel::Call::Dispute { voucher }
            | channel::Call::CloseCooperatively { voucher: Some(voucher), .. },
        ) = call.as_channel()
        {
            let terms = voucher.terms;
            self.book.reveal(store, terms.channel, terms.nonce, terms.amount);
        }
    }

    /// Carries out what is about a connection that the buyer has dialled; what it is told of it.
    pub(crate) fn carry_out(&mut self, store: &BTreeMap<Key, Record>, effect: Effect) -> Option<Input> {
        match effect {
            Effect::Connect { conn, peer, .. } => _ = self.conns.insert(conn, (peer, false)),
            Effect::Disconnect { conn, code } => {
                self.conns.remove(&conn);
                self.streams.retain(|id, _| id.conn != conn);
                return Some(Input::Disconnected { conn, why: Gone::Closed(code) });
            }
            Effect::Send { stream, message } => self.send(store, stream, message),
            Effect::Reset { stream, .. } => _ = self.streams.remove(&stream),
            Effect::Receive { stream, fetch, hash, total_bytes, offset, bytes } => {
                let size = BLOBS.iter().find(|(blob, _)| *blob == hash).map_or(0, |(_, size)| *size);
                if let (Some(wire), Some(serial)) = (self.streams.get_mut(&stream), self.book.serial(fetch)) {
                    // What can't be verified at all is bad at once; an empty range has nothing to say.
                    let is_range = Verifier::new(hash, total_bytes, offset, bytes).is_ok();
                    let (next, end) = (offset, if is_range { offset + bytes } else { offset });
                    let content = Content { fetch, serial, size, claimed: total_bytes, next, end };
                    wire.content = (bytes > 0).then_some(content);
                }
            }
            Effect::SendRange { .. } => panic!("who buys sends no content"),
            _ => {}
        }
        None
    }

    fn send(&mut self, store: &BTreeMap<Key, Record>, stream: StreamId, message: Message) {
        let Some(&(node, is_up)) = self.conns.get(&stream.conn) else { return };
        assert!(is_up, "spoken to before it is up");
        let Message::Client(message) = message else { panic!("{message:?} does not belong here") };
        match message {
            ClientMessage::StreamRequest(request) => {
                let newest = request.newest.map_or(Nonce::NONE, |voucher| voucher.nonce);
                let is_held = request.quote.is_none_or(|quote| quote.rate == request.max_rate);
                assert!(is_held, "D1: {request:?} would pay more than it was quoted");
                if let Some(voucher) = request.newest {
                    self.book.reveal(store, request.channel, voucher.nonce, voucher.amount);
                }
                let wire = Wire { node, request: Some(request), newest, rate: Rate(0), content: None };
                assert!(self.streams.insert(stream, wire).is_none(), "W3: one stream, one request");
            }
            ClientMessage::CloseRequest(request) => {
                if let Some(voucher) = request.voucher {
                    self.book.reveal(store, request.channel, voucher.terms.nonce, voucher.terms.amount);
                }
                self.book.close_asked(request.channel, request.voucher);
                let wire = Wire { node, request: None, newest: Nonce::NONE, rate: Rate(0), content: None };
                assert!(self.streams.insert(stream, wire).is_none(), "W3: one stream, one request");
            }
            ClientMessage::Voucher(voucher) => {
                let Some(wire) = self.streams.get_mut(&stream) else { return };
                let request = wire.request.expect("vouchers go with content");
                wire.newest = voucher.nonce;
                self.book.reveal(store, request.channel, voucher.nonce, voucher.amount);
            }
            ClientMessage::StreamEnd => {}
            other => panic!("who buys does not say {other:?}"),
        }
    }

    /// Whether an effect is about a probe.
    pub(crate) fn is_for_probe(&self, effect: &Effect) -> bool {
        match effect {
            Effect::Connect { protocol, .. } => *protocol == Protocol::Probe,
            Effect::Disconnect { conn, .. } => self.probed.contains(conn),
            Effect::Send { stream, .. } => self.probed.contains(&stream.conn),
            _ => false,
        }
    }

    /// Carries such an effect out; what the buyer is told.
    fn serve_probe(&mut self, effect: Effect) -> Option<Input> {
        let answer = match effect {
            Effect::Connect { conn, peer, protocol } => {
                self.probed.insert(conn);
                assert!(!self.probes.values().any(|node| *node == peer), "W3: a peer is probed twice");
                self.probes.insert(conn, peer);
                let why = Gone::Unreachable;
                Some(match self.mood % 16 {
                    1 => Input::Disconnected { conn, why },
                    _ => Input::Connected { conn, peer, protocol, rtt: Span::from_millis(20) },
                })
            }
            Effect::Send { stream, message: Message::Probe(ProbeMessage::Request(request)) } => {
                self.answer(stream, request)
            }
            Effect::Disconnect { conn, .. } => {
                self.probes.remove(&conn);
                None
            }
            other => panic!("nothing for a probe: {other:?}"),
        };
        if let Some(Input::Disconnected { conn, .. }) = answer {
            self.probes.remove(&conn);
        }
        answer
    }

    /// What a node answers to a probe: right, but for its mood.
    fn answer(&mut self, stream: StreamId, request: ProbeRequest) -> Option<Input> {
        let node = *self.probes.get(&stream.conn)?;
        let size = BLOBS.iter().find(|(hash, _)| *hash == request.hash).map(|(_, size)| *size);
        let ceiling = self.book.ceiling(request.hash, request.token).unwrap_or(Rate(1));
        let signer = self.signer(node);
        let least_deposit =
            [Amount::ZERO, Amount(1), Amount(1 << 20), Amount::MAX][usize::from(self.mood / 16 % 4)];
        let mut response = ProbeResponse {
            has_blob: true,
            rate: ceiling,
            total_bytes: size,
            signature: signature(signer),
            least_deposit,
        };
        match self.mood % 16 {
            2 => return None,
            3 => return Some(Input::StreamClosed { stream, code: Some(Code::NotNow) }),
            4 => return Some(Input::StreamClosed { stream, code: None }),
            5 => return Some(Input::Malformed { stream, code: Code::Malformed }),
            6 => return Some(Input::Message { stream, message: ClientMessage::StreamEnd.into() }),
            7 => return Some(Input::Disconnected { conn: stream.conn, why: Gone::Lost }),
            8 => response.signature = signature(signer + 1),
            9 => (response.has_blob, response.rate, response.total_bytes) = (false, Rate(0), None),
            10 => response.rate = Rate(0),
            11 => response.rate = Rate(u64::MAX),
            12 => response.rate = Rate((ceiling.0 / 2).max(1)),
            13 => response.total_bytes = Some(u64::MAX),
            14 => response.total_bytes = Some(0),
            15 => response.rate = Rate(ceiling.0.saturating_add(1)),
            _ => {}
        }
        if !matches!(self.mood % 16, 8..=11 | 13) {
            self.quoted.insert(self.operator(node));
            self.owner.quoted(node, response.rate);
        }
        Some(Input::Message { stream, message: ProbeMessage::Response(response).into() })
    }

    /// How much a buyer's tables may hold. What is about openings it shares with what it sells, if it does.
    pub(crate) fn bounds(
        limits: &Limits,
        unsigned: usize,
        unanswered: usize,
        alarms: usize,
        openings: usize,
    ) -> [(&'static str, usize); 16] {
        // What a fork brings back comes on top.
        let live = 2 * limits.channels;
        [
            ("channels", live),
            ("peers", NODES + 1),
            ("conns", NODES + 1),
            ("streams", limits.fetches + live),
            ("probes", NODES.min(limits.fetches)),
            ("fetches", limits.fetches),
            ("openings", limits.channels),
            ("signing", unsigned),
            ("txs", unanswered),
            ("disputes", live),
            ("retained", live),
            ("openings", openings),
            ("unseen", openings),
            ("greeted", live),
            // A node's closes are counted here as well.
            ("orders", ORDERS + live),
            ("alarms", alarms),
        ]
    }
}

/// As many bytes from the next one on as a verifier may call good: whole groups that the blob has, and the last group only
/// where the size is right.
fn good_bytes(content: &Content, at_most: u64) -> u64 {
    let end = content.end.min(content.next.saturating_add(at_most)).min(content.size);
    if content.claimed == content.size {
        return end.saturating_sub(content.next);
    }
    let last_group = content.claimed.min(content.size).saturating_sub(1) / GROUP * GROUP;
    (end.min(last_group) / GROUP * GROUP).saturating_sub(content.next)
}

fn pick<T>(mut from: Vec<T>, choice: u8) -> Option<T> {
    let place = usize::from(choice).checked_rem(from.len())?;
    Some(from.swap_remove(place))
}
