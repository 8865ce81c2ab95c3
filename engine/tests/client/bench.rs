//! A client with nobody around it: the test plays nodes, chain, disk and signer, and sees every effect.

use std::collections::BTreeMap;

use decdn_engine::{
    blob::Verdict,
    chain::{Block, Call, ChainEvent, ChainUpdate, TxOutcome, channel::EventKind, quorum::Quorum},
    crypto::{ProbeResponseTerms, Signature, StreamError, StreamResponseTerms, Typed},
    ids::{Address, ChannelId, ConnId, NodeId, SignTicket, StreamId, TxTicket},
    io::{Effect, Input, Lane},
    limits::GROUP,
    money::{Amount, Rate},
    order::{Candidate, FetchOrder},
    record::Record,
    roles::{client::Client, config::ClientConfig},
    time::{ChainTime, Span},
    wire::{
        ClientMessage, CloseRequest, Code, Message, ProbeMessage, ProbeRequest, ProbeResponse, Protocol,
        StreamRequest, StreamResponse,
    },
};
pub use decdn_testkit::fixtures::{CLIENT, HASH, RATE, TOKEN};
use decdn_testkit::{
    Symbols,
    disk::{self, Disk},
    fixtures::{self, client_config, news},
    sign,
};

pub const BLOB: u64 = 64 * GROUP;

/// The nth node: its key and its account.
pub fn candidate(n: u8) -> Candidate {
    Candidate { node: NodeId([n; 32]), operator: Address::repeat_byte(n) }
}

/// The channel with the nth node.
pub fn channel(n: u8) -> ChannelId {
    ChannelId([0xc0 + n; 32])
}

/// An order of the whole blob, whose channel is not to be kept.
pub fn order(id: u64, nodes: &[u8]) -> FetchOrder {
    fixtures::order(id, HASH, nodes.iter().map(|n| candidate(*n)).collect())
}

pub struct Bench {
    pub client: decdn_testkit::Bench<Client, Symbols>,
    config: ClientConfig,
    /// Write sets in the order of their numbers.
    pub writes: Vec<(Lane, Vec<Record>)>,
    pub events: Vec<ChainEvent>,
    /// Effects that nobody answered yet.
    pub said: Vec<Effect>,
    /// Whether a signer answers at once; else its tickets wait here.
    pub is_signer_up: bool,
    /// What nodes answer to probes, or nothing: the rate, and whether they have the blob.
    pub quotes: Option<(Rate, bool)>,
    /// What a node wants in a channel at least.
    pub least_deposit: Amount,
    /// Of several endpoints no two agree.
    pub is_apart: bool,
    pub unsigned: Vec<(SignTicket, Typed)>,
    pub height: u64,
    /// The safe head's number.
    pub safe: u64,
    /// Where the chain has forked, until that is told.
    forked_at: Option<u64>,
    pub dialled: BTreeMap<ConnId, (NodeId, Protocol)>,
}

impl Bench {
    /// A client that has read the chain, with an open channel with each of the first `channels` nodes.
    pub fn new(channels: u8) -> Self {
        let mut config = client_config();
        config.timeouts.quiet_min = Span::from_secs(3_600);
        let paying = |n| fixtures::paying(channel(n), candidate(n), 0, Amount::ZERO);
        let records = (1..=channels).map(|n| Record::Paying(paying(n)));
        Self::recover(config, records.collect())
    }

    pub fn recover(config: ClientConfig, records: Vec<Record>) -> Self {
        let mut bench = Self::silent(config, records);
        bench.feed(Input::Tick);
        bench
    }

    /// A client that has not been told anything yet.
    pub fn silent(config: ClientConfig, records: Vec<Record>) -> Self {
        let client = Client::recover(config.clone(), records.clone().into_iter());
        let mut client = decdn_testkit::Bench::new(client, Symbols).with_twin();
        client.disk = disk::fold([&records[..]]);
        Self {
            client,
            config,
            writes: vec![(Lane::Role, records)],
            events: Vec::new(),
            said: Vec::new(),
            is_signer_up: true,
            quotes: Some((RATE, true)),
            unsigned: Vec::new(),
            height: 10,
            safe: 0,
            forked_at: None,
            least_deposit: Amount(0),
            is_apart: false,
            dialled: BTreeMap::new(),
        }
    }

    pub fn config(&self) -> ClientConfig {
        self.config.clone()
    }

    /// Feeds an input, and whatever disk, signer, network and chain endpoint answer at once.
    pub fn feed(&mut self, input: Input) {
        let mut inputs = std::collections::VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            for output in self.client.step(input) {
                match output.effect {
                    Effect::Persist { seq, writes } => {
                        disk::write(&mut self.client.disk, &writes);
                        self.writes.push((output.lane, writes));
                        inputs.push_back(Input::Persisted { seq });
                    }
                    Effect::Sign { ticket, what } if self.is_signer_up => {
                        let signature = Some(sign(CLIENT, &what));
                        inputs.push_back(Input::Signed { ticket, signature });
                    }
                    Effect::Sign { ticket, what } => self.unsigned.push((ticket, what)),
                    Effect::Poll { from_block, .. } => inputs.push_back(Input::Chain(self.news(from_block))),
                    Effect::Connect { conn, peer, protocol } => {
                        self.dialled.insert(conn, (peer, protocol));
                        let rtt = Span::from_millis(1);
                        inputs.push_back(Input::Connected { conn, peer, protocol, rtt });
                    }
                    Effect::Send { stream, message: Message::Probe(ProbeMessage::Request(request)) }
                        if self.quotes.is_some() =>
                    {
                        inputs.push_back(self.quote(stream, request));
                    }
                    effect => self.said.push(effect),
                }
            }
        }
    }

    /// What a node answers to a probe.
    pub fn quote(&self, stream: StreamId, asked: ProbeRequest) -> Input {
        let (rate, has_blob) = self.quotes.expect("somebody answers");
        let (node, _) = self.dialled[&stream.conn];
        let ProbeRequest { hash, token, requester, timestamp } = asked;
        let terms = ProbeResponseTerms { node, hash, has_blob, token, rate, requester, timestamp };
        let signature = sign(Address::repeat_byte(node.0[0]), &Typed::ProbeResponse(terms));
        let response = ProbeResponse {
            has_blob,
            rate,
            total_bytes: has_blob.then_some(BLOB),
            signature,
            least_deposit: self.least_deposit,
        };
        Input::Message { stream, message: Message::Probe(ProbeMessage::Response(response)) }
    }

    fn news(&mut self, from_block: u64) -> ChainUpdate {
        let forked_at = self.forked_at.take();
        let from_block = forked_at.map_or(from_block, |at| at.min(from_block));
        let events = self.events.iter().filter(|event| event.block.number >= from_block).copied().collect();
        let quorum = self.is_apart.then(|| Quorum { is_agreed: false, doubted: Vec::new() });
        ChainUpdate { forked_at, quorum, ..news(self.head(), self.safe, events) }
    }

    /// Blocks from this one on are others now: what was in them did not happen.
    pub fn fork(&mut self, at: u64) {
        self.events.retain(|event| event.block.number < at);
        self.forked_at = Some(self.forked_at.map_or(at, |before| before.min(at)));
    }

    fn head(&self) -> Block {
        self.client.block(self.height)
    }

    /// Lets the signer answer what it was asked.
    pub fn sign_all(&mut self) {
        for (ticket, what) in std::mem::take(&mut self.unsigned) {
            self.feed(Input::Signed { ticket, signature: Some(sign(CLIENT, &what)) });
        }
    }

    /// Lets time pass, deadline by deadline.
    pub fn pass(&mut self, span: Span) {
        let until = self.client.now.mono + span;
        while self.client.pass_until(until) {
            self.feed(Input::Tick);
        }
    }

    pub fn order(&mut self, id: u64, nodes: &[u8], keep: bool) {
        self.order_with(id, nodes, keep, Amount(1 << 40));
    }

    pub fn order_with(&mut self, id: u64, nodes: &[u8], keep: bool, deposit: Amount) {
        self.feed(Input::Fetch(FetchOrder { deposit, keep_channel: keep, ..order(id, nodes) }));
    }

    /// Takes the newest stream request that nobody has answered.
    pub fn asked(&mut self) -> Option<(StreamId, StreamRequest)> {
        self.take(|effect| match effect {
            Effect::Send { stream, message: Message::Client(ClientMessage::StreamRequest(request)) } => {
                Some((*stream, *request))
            }
            _ => None,
        })
    }

    pub fn close_asked(&mut self) -> Option<(StreamId, CloseRequest)> {
        self.take(|effect| match effect {
            Effect::Send { stream, message: Message::Client(ClientMessage::CloseRequest(request)) } => {
                Some((*stream, *request))
            }
            _ => None,
        })
    }

    /// Takes a transaction that nobody has answered.
    pub fn tx(&mut self) -> Option<(TxTicket, Call)> {
        self.take(|effect| match effect {
            Effect::Tx { ticket, call, .. } => Some((*ticket, *call)),
            _ => None,
        })
    }

    /// Takes the newest effect that `of` wants.
    pub fn take<T>(&mut self, of: impl Fn(&Effect) -> Option<T>) -> Option<T> {
        let place = self.said.iter().rposition(|effect| of(effect).is_some())?;
        of(&self.said.remove(place))
    }

    /// The node agrees to the request.
    pub fn agree(&mut self, node: u8, asked: (StreamId, StreamRequest)) {
        self.agree_at(RATE, node, asked);
    }

    /// The node agrees to the request, at some rate.
    pub fn agree_at(&mut self, rate: Rate, node: u8, (stream, request): (StreamId, StreamRequest)) {
        let terms = StreamResponseTerms {
            node: candidate(node).node,
            hash: request.hash,
            ok: true,
            token: request.token,
            rate,
            max_rate: request.max_rate,
            total_bytes: BLOB,
            channel: request.channel,
            redirect: NodeId::default(),
            error: None,
            requester: request.requester,
            timestamp: request.timestamp,
            quote: StreamResponseTerms::quote_of(candidate(node).node, &request),
        };
        let response = StreamResponse {
            ok: true,
            rate,
            total_bytes: BLOB,
            max_bytes_per_voucher: 16 * GROUP,
            redirect: None,
            error: None,
            signature: sign(candidate(node).operator, &Typed::StreamResponse(terms)),
        };
        self.feed(Input::Message {
            stream,
            message: Message::Client(ClientMessage::StreamResponse(response)),
        });
    }

    /// The node refuses the request, signed.
    pub fn refuse(&mut self, node: u8, (stream, request): (StreamId, StreamRequest), error: StreamError) {
        let mut response = StreamResponse {
            ok: false,
            rate: Rate(0),
            total_bytes: 0,
            max_bytes_per_voucher: 0,
            redirect: None,
            error: Some(error),
            signature: Signature([0; 65]),
        };
        let terms = StreamResponseTerms::of(candidate(node).node, &request, &response);
        response.signature = sign(candidate(node).operator, &Typed::StreamResponse(terms));
        self.feed(Input::Message {
            stream,
            message: Message::Client(ClientMessage::StreamResponse(response)),
        });
    }

    #[expect(clippy::disallowed_methods, reason = "the bench stands in for the verifier")]
    pub fn content(&mut self, stream: StreamId, offset: u64, bytes: u64) {
        self.feed(Input::Verdict { stream, verdict: Verdict::good(offset, bytes) });
    }

    /// The node resets a stream.
    pub fn reset(&mut self, stream: StreamId, code: Code) {
        self.feed(Input::StreamClosed { stream, code: Some(code) });
    }

    pub fn consent(&mut self, node: u8, (stream, request): (StreamId, CloseRequest)) {
        let voucher = request.voucher.map(|voucher| voucher.terms);
        let terms = voucher.unwrap_or(decdn_engine::crypto::VoucherTerms {
            channel: request.channel,
            amount: Amount::ZERO,
            nonce: decdn_engine::money::Nonce::NONE,
            token: TOKEN,
        });
        let signature = sign(candidate(node).operator, &Typed::CooperativeClose(terms));
        self.feed(Input::Message {
            stream,
            message: Message::Client(ClientMessage::CloseConsent(signature)),
        });
    }

    /// A block with these events, and the transaction's outcome.
    pub fn include(&mut self, ticket: TxTicket, events: &[(ChannelId, EventKind)]) {
        self.height += 1;
        let block = self.head();
        self.events
            .extend(events.iter().map(|&(channel, kind)| ChainEvent::of_channel(block, channel, kind)));
        self.feed(Input::Tx { ticket, outcome: TxOutcome::Included { block, result: Ok(()) } });
    }

    /// Events in a block that the client hears of when it asks.
    pub fn happened(&mut self, number: u64, events: &[(ChannelId, EventKind)]) -> Block {
        self.height = self.height.max(number);
        let block = self.client.block(number);
        self.events
            .extend(events.iter().map(|&(channel, kind)| ChainEvent::of_channel(block, channel, kind)));
        block
    }

    /// The chain's clock in so many seconds.
    pub fn clock_in(&self, secs: u64) -> ChainTime {
        ChainTime(self.client.now.wall.secs() + secs)
    }

    /// The records that are durable when only these write sets are.
    pub fn fold(&self, is_durable: &[bool]) -> Disk {
        let durable = self.writes.iter().zip(is_durable).filter(|(_, durable)| **durable);
        disk::fold(durable.map(|((_, writes), _)| &writes[..]))
    }

    /// The client dies, and starts again with all that it wrote; the rest of the world goes on.
    pub fn restart(&mut self) {
        self.client.reboot(|records| Client::recover(self.config.clone(), records));
        self.writes = vec![(Lane::Role, self.client.records())];
        self.said.clear();
        self.unsigned.clear();
        self.dialled.clear();
        self.feed(Input::Tick);
    }

    /// An ack of the newest voucher of a node's channel.
    pub fn ack_on(&mut self, stream: StreamId, node: u8) {
        let newest = self.client.role.channels().find(|paying| paying.channel == channel(node));
        if let Some(nonce) = newest.map(|paying| paying.nonce) {
            self.feed(Input::Message { stream, message: Message::Client(ClientMessage::VoucherAck(nonce)) });
        }
    }

    pub fn table(&self, name: &str) -> usize {
        self.client.role.tables().iter().find(|(table, _)| *table == name).expect("a table").1
    }

    pub fn connection(&self) -> ConnId {
        ConnId(0)
    }
}
