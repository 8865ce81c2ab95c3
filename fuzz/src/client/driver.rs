//! The edge of a client: it keeps the driver's contract, and hands the rest of the world to the input.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    blob::{Verdict, Verifier},
    chain::{Call, Revert, TxOutcome, channel},
    crypto::{Deployment, Typed},
    ids::{Address, ChannelId, ConnId, FetchId, NodeId, StreamId, TxTicket},
    io::{Effect, FetchFailure, Gone, Input, Notice, Output},
    limits::{GROUP, Limits},
    money::{Nonce, Rate},
    order::FetchOrder,
    roles::{client::Client, config::ClientConfig},
    state::ALARMS_SPARE,
    time::{ChainTime, Span},
    wire::{
        ClientMessage, Code, Message, ProbeMessage, ProbeRequest, ProbeResponse, Protocol, StreamRequest,
    },
};

use super::{
    BLOBS,
    book::{self, Book},
    chain::Chain,
    owner::Owner,
};
use crate::{
    Bytes,
    harness::{self, Bench, CLIENT, signature},
};

/// How many nodes there are.
const NODES: usize = 3;
/// Everything small, so that a few steps reach it.
fn limits() -> Limits {
    Limits { channels: 4, fetches: 3, candidates: 3, chain_events: 4, ..Limits::standard() }
}

/// A stream as the edge sees it.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    pub(super) node: NodeId,
    /// `None` for a close.
    pub(super) request: Option<StreamRequest>,
    /// The newest voucher that was sent here.
    pub(super) newest: Nonce,
    /// The rate of the last answer.
    rate: Rate,
    content: Option<Content>,
}

/// Content that the client waits for.
#[derive(Clone, Copy, Debug)]
struct Content {
    fetch: FetchId,
    serial: u64,
    size: u64,
    claimed: u64,
    next: u64,
    end: u64,
}

pub(super) struct Driver {
    bench: Bench<Client>,
    config: ClientConfig,
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
    txs: Vec<(TxTicket, Call)>,
    polls: Vec<u64>,
    chain: Chain,
    book: Book,
    owner: Owner,
    serial: u64,
}

impl Driver {
    pub(super) fn new() -> Self {
        let mut config = ClientConfig::new(Deployment::default(), NodeId([9; 32]), CLIENT);
        config.limits = limits();
        Self {
            bench: Bench::new(Client::new(config.clone())),
            config,
            conns: BTreeMap::new(),
            streams: BTreeMap::new(),
            probes: BTreeMap::new(),
            probed: BTreeSet::new(),
            mood: 0,
            quoted: BTreeSet::new(),
            txs: Vec::new(),
            polls: Vec::new(),
            chain: Chain::new(),
            book: Book::default(),
            owner: Owner::default(),
            serial: 0,
        }
    }

    pub(super) fn end(mut self) {
        self.bench.check_digest();
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    pub(super) fn order(&mut self, order: FetchOrder) {
        let id = order.id;
        if let Some(serial) = self.book.serial(id) {
            // It runs, or is kept: it goes on under these terms, or stays as it is (D17).
            let order = book::as_serial(order, serial);
            let said = self.step(Input::Fetch(order.clone()));
            if !said.is_refused {
                self.book.amended(order);
            }
            return self.after(&said);
        }
        self.book.ordered(order.clone());
        self.feed(Input::Fetch(order));
    }

    pub(super) fn cancel(&mut self, id: FetchId) {
        self.feed(Input::Cancel(id));
    }

    pub(super) fn close_channel(&mut self, choice: u8) {
        if let Some(id) = pick(self.known(), choice) {
            self.feed(Input::CloseChannel(id));
        }
    }

    /// A live stream.
    pub(super) fn stream(&self, choice: u8) -> Option<(StreamId, Wire)> {
        let id = pick(self.streams.keys().copied().collect(), choice)?;
        Some((id, self.streams[&id].clone()))
    }

    pub(super) fn hear(&mut self, stream: StreamId, message: ClientMessage) {
        if let (ClientMessage::StreamResponse(response), Some(wire)) =
            (&message, self.streams.get_mut(&stream))
            && wire.content.is_none()
        {
            wire.rate = response.rate;
        }
        self.feed(Input::Message { stream, message: message.into() });
    }

    pub(super) fn malformed(&mut self, choice: u8, code: Code) {
        if let Some((stream, _)) = self.stream(choice) {
            self.feed(Input::Malformed { stream, code });
        }
    }

    pub(super) fn close_stream(&mut self, choice: u8, code: Option<Code>) {
        if let Some((stream, _)) = self.stream(choice) {
            self.streams.remove(&stream);
            self.feed(Input::StreamClosed { stream, code });
        }
    }

    /// Content comes: good as far as the verifier could find it good, or bad.
    #[expect(clippy::disallowed_methods, reason = "restates what a verifier may find")]
    pub(super) fn content(&mut self, choice: u8, more_groups: u64, is_good: bool) {
        let Some((stream, wire)) = self.stream(choice) else { return };
        let Some(content) = wire.content else { return };
        let good = good_bytes(&content, (more_groups + 1) * GROUP);
        let verdict =
            if is_good && good > 0 { Verdict::good(content.next, good) } else { Verdict::bad(content.next) };
        let live = self.streams.get_mut(&stream).and_then(|wire| wire.content.as_mut()).expect("looked up");
        live.next += good;
        if matches!(verdict, Verdict::Bad { .. }) || live.next == live.end {
            self.streams.get_mut(&stream).expect("looked up").content = None;
        }
        let said = self.step(Input::Verdict { stream, verdict });
        if let (Verdict::Good { offset, bytes, .. }, Some(request)) = (verdict, wire.request)
            && said.progress == Some(content.fetch)
        {
            self.book.verified(request.channel, content.serial, (offset, bytes), wire.rate);
        }
        self.end_orders(&said);
    }

    pub(super) fn connected(&mut self, choice: u8, rtt: Span) {
        let waiting = self.conns.iter().filter(|(_, (_, is_up))| !is_up).map(|(conn, _)| *conn).collect();
        let Some(conn) = pick(waiting, choice) else { return };
        let entry = self.conns.get_mut(&conn).expect("picked from the table");
        entry.1 = true;
        let peer = entry.0;
        self.feed(Input::Connected { conn, peer, protocol: Protocol::Client, rtt });
    }

    pub(super) fn lose(&mut self, choice: u8, why: Gone) {
        let Some(conn) = pick(self.conns.keys().copied().collect(), choice) else { return };
        let (_, was_up) = self.conns.remove(&conn).expect("picked from the table");
        self.streams.retain(|id, _| id.conn != conn);
        let why = match (was_up, why) {
            (false, Gone::Lost) => Gone::Unreachable,
            (true, Gone::WrongPeer) => Gone::Lost,
            (_, why) => why,
        };
        self.feed(Input::Disconnected { conn, why });
    }

    pub(super) fn wait(&mut self, span: Span) {
        if self.bench.pass(span) {
            let said = self.step(Input::Tick);
            // What is answered at once may set a deadline for this very instant, and has had no tick yet.
            self.bench.check_no_spin();
            self.after(&said);
        }
    }

    pub(super) fn wait_until_due(&mut self) {
        self.wait(self.bench.until_due());
    }

    pub(super) fn hear_chain(&mut self, how: usize, input: &mut Bytes<'_>) {
        let poll = self.polls.pop();
        match how {
            0..=6 => {
                let from_block = poll.unwrap_or(u64::from(input.byte() % 16));
                let update = self.chain.news(self.bench.now, from_block);
                self.feed(Input::Chain(update));
            }
            7 => self.feed_if(poll.is_some(), Input::ChainUnreachable),
            8 | 9 => {
                if let Some(channel) = pick(self.known(), input.byte()) {
                    let amount = decdn_engine::money::Amount(u128::from(input.byte()));
                    self.chain.stale_close(self.bench.now, channel, amount);
                }
                self.polls.extend(poll);
            }
            _ => {
                let update = self.chain.lies(input, &self.known());
                self.feed(Input::Chain(update));
            }
        }
    }

    fn feed_if(&mut self, is_due: bool, input: Input) {
        if is_due {
            self.feed(input);
        }
    }

    /// One transaction's fate, in any order.
    pub(super) fn answer_tx(&mut self, input: &mut Bytes<'_>) {
        if self.txs.is_empty() {
            return;
        }
        let place = usize::from(input.byte()) % self.txs.len();
        let (ticket, call) = self.txs[place];
        let block = self.chain.block(self.bench.now);
        let outcome = match input.byte() % 10 {
            0..=4 => TxOutcome::Included { block: self.chain.include(self.bench.now, &call), result: Ok(()) },
            5 => TxOutcome::Included { block, result: Err(Revert::Channel(channel::Revert::NotOpen)) },
            6 => TxOutcome::Included { block, result: Err(Revert::Other) },
            7 => TxOutcome::Lost,
            8 => TxOutcome::Queued { at: block.time, forcible: ChainTime(harness::odd(input)) },
            _ => {
                let block = decdn_engine::chain::Block { number: harness::odd(input), ..block };
                TxOutcome::Included { block, result: Ok(()) }
            }
        };
        if !matches!(outcome, TxOutcome::Queued { .. }) {
            self.txs.swap_remove(place);
        }
        self.feed(Input::Tx { ticket, outcome });
    }

    /// The process dies, and starts again from what is durable.
    pub(super) fn crash(&mut self) {
        let client = Client::recover(self.config.clone(), self.bench.records());
        self.bench.reboot(client);
        self.book.crashed(&self.bench.store);
        self.probes.clear();
        self.probed.clear();
        self.quoted.clear();
        self.owner = Owner::default();
        self.conns.clear();
        self.streams.clear();
        self.txs.clear();
        self.polls.clear();
    }

    /// The same, and from now on it asks its owner, or no longer does.
    pub(super) fn crash_and_ask(&mut self) {
        self.config.asks = !self.config.asks;
        self.crash();
    }

    pub(super) fn answer_owner(&mut self, how: u8) {
        if let Some(answer) = self.owner.answer(how) {
            self.feed(answer);
        }
    }

    /// Carries out the next effect of a lane; false if there was none.
    pub(super) fn carry_out(&mut self, input: &mut Bytes<'_>) -> bool {
        let how = input.byte();
        self.carry_out_as(usize::from(how & 15), how >= 0xe0)
    }

    fn carry_out_as(&mut self, choice: usize, is_refused: bool) -> bool {
        self.serve_probes();
        let Some((_, effect)) = self.bench.next(choice) else { return false };
        match effect {
            Effect::Persist { seq, writes } => {
                self.book.durable(&self.bench.store, &writes);
                self.feed(Input::Persisted { seq });
            }
            Effect::Connect { conn, peer, .. } => {
                self.conns.insert(conn, (peer, false));
            }
            Effect::Disconnect { conn, code } => {
                self.conns.remove(&conn);
                self.streams.retain(|id, _| id.conn != conn);
                self.feed(Input::Disconnected { conn, why: Gone::Closed(code) });
            }
            Effect::Send { stream, message } => self.send(stream, message),
            Effect::Reset { stream, .. } => {
                self.streams.remove(&stream);
            }
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
            Effect::Sign { ticket, what } => {
                if !is_refused && let Typed::Voucher(terms) = &what {
                    self.book.sign(terms);
                }
                let signature = (!is_refused).then_some(signature(0));
                self.feed(Input::Signed { ticket, signature });
            }
            Effect::Tx { ticket, call, .. } => {
                self.book.check_spending(&call);
                if self.config.asks {
                    self.owner.check(&call);
                }
                if let Call::Channel(channel::Call::Open { node, .. }) = call {
                    assert!(
                        self.quoted.contains(&node),
                        "D1: money goes to a node that was not asked for its price"
                    );
                }
                if let Some(
                    channel::Call::Close { voucher: Some(voucher), .. }
                    | channel::Call::Dispute { voucher }
                    | channel::Call::CloseCooperatively { voucher: Some(voucher), .. },
                ) = call.as_channel()
                {
                    let terms = voucher.terms;
                    self.book.reveal(&self.bench.store, terms.channel, terms.nonce, terms.amount);
                }
                self.txs.push((ticket, call));
            }
            Effect::Poll { from_block, .. } => self.polls.push(from_block),
            Effect::SendRange { .. } => panic!("a client sells nothing"),
            Effect::Finish { .. } | Effect::ForceInclude { .. } | Effect::Fault(_) | Effect::Notice(_) => {}
        }
        true
    }

    fn send(&mut self, stream: StreamId, message: Message) {
        let Some(&(node, is_up)) = self.conns.get(&stream.conn) else { return };
        assert!(is_up, "spoken to before it is up");
        let store = &self.bench.store;
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
            other => panic!("a client does not say {other:?}"),
        }
    }

    /// A stretch in which everybody does what is expected: the way to states that chance rarely reaches.
    pub(super) fn good_day(&mut self, input: &mut Bytes<'_>) {
        let rounds = input.byte() % 8 + 1;
        for _ in 0..rounds {
            self.drain();
            while let Some(yes) = self.config.asks.then(|| self.owner.agree()).flatten() {
                self.feed(yes);
                self.drain();
            }
            for choice in 0..self.conns.len() {
                self.connected(choice as u8, Span::from_millis(20));
            }
            while !self.txs.is_empty() {
                self.answer_tx(&mut Bytes::new(&[]));
                self.drain();
            }
            while !self.polls.is_empty() {
                self.hear_chain(0, &mut Bytes::new(&[]));
            }
            self.drain();
            for (stream, wire) in self.streams.clone() {
                if wire.newest != Nonce::NONE {
                    self.hear(stream, ClientMessage::VoucherAck(wire.newest));
                } else if wire.rate == Rate(0) {
                    let response = super::message(&wire, &mut Bytes::new(&[]));
                    self.hear(stream, response);
                }
                self.drain();
            }
            for choice in 0..self.streams.len() {
                self.content(choice as u8, u64::from(rounds / 2), true);
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        harness::rest(|| self.carry_out_as(0, false));
    }

    fn known(&self) -> Vec<ChannelId> {
        self.bench.role.channels().map(|paying| paying.channel).collect()
    }

    fn feed(&mut self, input: Input) {
        let said = self.step(input);
        self.after(&said);
    }

    /// What an input's outputs bring about at once.
    fn after(&mut self, said: &Said) {
        self.end_orders(said);
        self.serve_probes();
    }

    pub(super) fn change_mood(&mut self, mood: u8) {
        self.mood = mood;
    }

    fn serve_probes(&mut self) {
        let is_probe = |probed: &BTreeSet<ConnId>, effect: &Effect| match effect {
            Effect::Connect { protocol, .. } => *protocol == Protocol::Probe,
            Effect::Disconnect { conn, .. } => probed.contains(conn),
            Effect::Send { stream, .. } => probed.contains(&stream.conn),
            _ => false,
        };
        while let Some(effect) = self.bench.take_if(|effect| is_probe(&self.probed, effect)) {
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
            if let Some(answer) = answer {
                if let Input::Disconnected { conn, .. } = answer {
                    self.probes.remove(&conn);
                }
                let said = self.step(answer);
                self.end_orders(&said);
            }
        }
    }

    /// What a node answers to a probe: right, but for its mood.
    fn answer(&mut self, stream: StreamId, request: ProbeRequest) -> Option<Input> {
        let node = *self.probes.get(&stream.conn)?;
        let size = BLOBS.iter().find(|(hash, _)| *hash == request.hash).map(|(_, size)| *size);
        let ceiling = self.book.ceiling(request.hash, request.token).unwrap_or(Rate(1));
        let mut response = ProbeResponse {
            has_blob: true,
            rate: ceiling,
            total_bytes: size,
            signature: signature(super::signer(node)),
        };
        match self.mood % 16 {
            2 => return None,
            3 => return Some(Input::StreamClosed { stream, code: Some(Code::NotNow) }),
            4 => return Some(Input::StreamClosed { stream, code: None }),
            5 => return Some(Input::Malformed { stream, code: Code::Malformed }),
            6 => return Some(Input::Message { stream, message: ClientMessage::StreamEnd.into() }),
            7 => return Some(Input::Disconnected { conn: stream.conn, why: Gone::Lost }),
            8 => response.signature = signature(super::signer(node) + 1),
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
            let operators = (0..3).map(super::candidate).find(|candidate| candidate.node == node);
            self.quoted.extend(operators.map(|candidate| candidate.operator));
            self.owner.quoted(node, response.rate);
        }
        Some(Input::Message { stream, message: ProbeMessage::Response(response).into() })
    }

    fn step(&mut self, input: Input) -> Said {
        let mut said = Said::default();
        let (owner, book) = (&mut self.owner, &self.book);
        self.bench.feed(input, |output: &Output| match &output.effect {
            Effect::Notice(notice @ Notice::Quoted { .. }) => owner.hear(notice),
            Effect::Notice(Notice::Progress { fetch, .. }) => said.progress = Some(*fetch),
            Effect::Notice(Notice::Fetched { fetch, bytes }) => said.over.push((*fetch, Some(*bytes))),
            // What has verified something is kept, unless its owner gave it up (D17).
            Effect::Notice(Notice::FetchFailed { fetch, why })
                if *why == FetchFailure::Cancelled || !book.has_some(*fetch) =>
            {
                said.over.push((*fetch, None));
            }
            Effect::Notice(Notice::Forgotten { fetch, .. }) => said.over.push((*fetch, None)),
            Effect::Notice(Notice::OrderRefused { .. }) => said.is_refused = true,
            _ => {}
        });
        said
    }

    fn end_orders(&mut self, said: &Said) {
        for (id, bytes) in &said.over {
            if let Some(bytes) = bytes {
                self.book.fetched(*id, *bytes);
            }
            self.book.over(*id);
        }
    }

    pub(super) fn check(&self) {
        let limits = &self.config.limits;
        let unsigned = self.bench.waiting(|effect| matches!(effect, Effect::Sign { .. }));
        let unanswered = self.bench.waiting(|effect| matches!(effect, Effect::Tx { .. })) + self.txs.len();
        self.bench.check_tables(
            &[
                ("channels", limits.channels),
                ("peers", NODES + 1),
                ("conns", NODES + 1),
                ("streams", limits.fetches + limits.channels),
                ("probes", NODES.min(limits.fetches)),
                ("fetches", limits.fetches),
                ("openings", limits.channels),
                ("signing", unsigned),
                ("txs", unanswered),
                ("retrying", limits.channels),
                ("greeted", limits.channels),
                ("alarms", 2 * (2 + limits.fetches + 6 * limits.channels) + ALARMS_SPARE),
            ],
            &self.bench.role.tables(),
        );
    }
}

/// What a step told the owner.
#[derive(Default)]
struct Said {
    progress: Option<FetchId>,
    /// Downloads that ended, with their bytes where they succeeded.
    over: Vec<(FetchId, Option<u64>)>,
    /// An order for a download that is there was refused.
    is_refused: bool,
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
