//! A client and a node, wired to each other without a world between them: messages are queues, the disk is at once,
//! the chain answers at once, time jumps. What the properties are proven on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use decdn_engine::{
    blob::Verdict,
    chain::{
        Block, Call, ChainEvent, TxOutcome,
        channel::{self, Ending, EventKind},
    },
    ids::{BlobHash, ChannelId, ConnId, FetchId, StreamId},
    io::{Effect, Gone, Input, Notice},
    money::{Amount, Rate},
    order::{Candidate, FetchOrder},
    record::Record,
    roles::{
        Role,
        client::Client,
        config::{ClientConfig, NodeConfig},
        node::Node,
    },
    time::{ChainTime, Span, Time},
    wire::{ClientMessage, Message, Protocol},
};
use decdn_testkit::{
    Bench, Symbols, disk,
    fixtures::{self, CLIENT, OPERATOR, client_config, news, node_config},
    sign,
};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    Client,
    Node,
}

pub struct Pair {
    pub client: Bench<Client, Symbols>,
    pub node: Bench<Node, Symbols>,
    node_config: NodeConfig,
    client_config: ClientConfig,
    /// Inputs on their way, oldest first.
    queue: VecDeque<(Side, Input)>,
    events: Vec<ChainEvent>,
    conn: ConnId,
    is_connected: bool,
    dead: BTreeSet<ConnId>,
    /// Connections are numbered by the client, anew after each restart; the node's numbers go on.
    epoch: u64,
    /// Distinct content bytes that went out per fetch's stream range: (stream offset) sets would be large, so groups.
    sent: BTreeSet<(BlobHash, u64)>,
    pub sent_bytes: u64,
    pub durable: Amount,
    /// The best durable voucher of each channel.
    best: BTreeMap<ChannelId, Amount>,
    pub offers: BTreeMap<StreamId, u64>,
    pub most_exposed: u64,
    /// The largest offer of all.
    largest: u64,
    /// Whether an order gets other terms: then streams have other offers than those before them, and channels follow each other.
    pub has_other_terms: bool,
    pub vouchers: u64,
    pub done: BTreeMap<FetchId, Result<u64, ()>>,
    /// Downloads that were ordered.
    ordered: usize,
    opened: usize,
    /// What each settled channel paid.
    paid: BTreeMap<ChannelId, Amount>,
    /// Messages until the connection dies, then again.
    pub deaths: VecDeque<usize>,
    pub node_restarts: VecDeque<usize>,
    pub client_restarts: VecDeque<usize>,
    /// Inputs from outside, each at its step, or as soon as nothing else is left to do.
    pub script: VecDeque<(usize, Side, Input)>,
    /// Orders for a download as long as it is not done, each at its step.
    pub late: VecDeque<(usize, FetchOrder)>,
    /// Downloads that failed, each time.
    pub failed: usize,
    /// How far each download was when its owner heard of it last, or what the client found after a restart.
    told: BTreeMap<FetchId, u64>,
    pub rate: Rate,
    /// Ask for the digests after every step, instead of only at the end.
    pub is_watched: bool,
    restarts: u128,
    blob: (BlobHash, u64),
    /// One block per transaction.
    height: u64,
    steps: usize,
}

pub fn order(id: u64, hash: BlobHash, range: (u64, u64), cadence: u64, deposit: Amount) -> FetchOrder {
    let candidates = vec![Candidate { node: node_config(Rate(0)).node, operator: OPERATOR }];
    FetchOrder {
        offset_bytes: range.0,
        len_bytes: range.1,
        deposit,
        cadence_bytes: cadence,
        max_rate: Rate(1_000_000_000_000),
        ..fixtures::order(id, hash, candidates)
    }
}

impl Pair {
    pub fn new(rate: Rate, offer_ceiling: u64, send_range_bytes: u64) -> Self {
        let mut node_config = node_config(rate);
        node_config.offer_ceiling = offer_ceiling;
        node_config.tokens[0].soft_cap = Amount::MAX;
        node_config.limits.send_range_bytes = send_range_bytes;
        let client_config = client_config();
        Self {
            client: Bench::new(Client::new(client_config.clone()), Symbols),
            node: Bench::new(Node::new(node_config.clone()), Symbols),
            node_config,
            client_config,
            queue: VecDeque::new(),
            events: Vec::new(),
            conn: ConnId(0),
            is_connected: false,
            dead: BTreeSet::new(),
            epoch: 0,
            sent: BTreeSet::new(),
            sent_bytes: 0,
            durable: Amount::ZERO,
            best: BTreeMap::new(),
            offers: BTreeMap::new(),
            most_exposed: 0,
            largest: 0,
            has_other_terms: false,
            vouchers: 0,
            done: BTreeMap::new(),
            ordered: 0,
            opened: 0,
            paid: BTreeMap::new(),
            deaths: VecDeque::new(),
            node_restarts: VecDeque::new(),
            client_restarts: VecDeque::new(),
            script: VecDeque::new(),
            late: VecDeque::new(),
            failed: 0,
            told: BTreeMap::new(),
            rate,
            is_watched: false,
            restarts: 0,
            blob: (BlobHash([7; 32]), 0),
            height: 1,
            steps: 0,
        }
    }

    pub fn add_blob(&mut self, hash: BlobHash, bytes: u64) {
        self.blob = (hash, bytes);
        self.queue.push_back((Side::Node, Input::BlobReady { hash, bytes }));
    }

    pub fn fetch(&mut self, id: u64, hash: BlobHash, range: (u64, u64), cadence: u64, deposit: Amount) {
        let order = order(id, hash, range, cadence, deposit);
        self.ordered += 1;
        self.queue.push_back((Side::Client, Input::Fetch(order)));
    }

    /// What was paid in all, once every channel is settled. A client that starts again before it has noted that a channel
    /// is open closes it and opens another.
    pub fn settled(&self) -> Option<Amount> {
        let paid = self.paid.values().map(|paid| paid.0).sum();
        (self.opened > 0 && self.paid.len() == self.opened).then_some(Amount(paid))
    }

    /// The next of the script. What is ordered again is not done.
    fn go_on(&mut self) {
        let Some((_, side, input)) = self.script.pop_front() else { return };
        if let Input::Fetch(order) = &input {
            self.done.remove(&order.id);
        }
        self.queue.push_back((side, input));
    }

    /// Runs until nothing is left to do: true if it came to rest within `steps_max` steps and a day.
    pub fn run(&mut self, steps_max: usize) -> bool {
        while self.steps < steps_max && self.client.now.mono < Time(4 * 86_400 * 1_000_000) {
            if self.late.front().is_some_and(|(at, _)| *at <= self.steps)
                && let Some((_, order)) = self.late.pop_front()
                && !self.done.contains_key(&order.id)
            {
                self.step(Side::Client, Input::Fetch(order));
            }
            let is_due = self.script.front().is_some_and(|(at, ..)| *at <= self.steps);
            if is_due {
                self.go_on();
            }
            let Some((side, input)) = self.queue.pop_front() else {
                let is_at_rest = self.settled().is_some() && self.done.len() == self.ordered;
                if is_at_rest && !self.script.is_empty() {
                    self.go_on();
                    continue;
                }
                if is_at_rest {
                    return true;
                }
                let due = [self.client.role.next_deadline(), self.node.role.next_deadline()];
                let Some((at, _)) = due.into_iter().flatten().min() else { return false };
                let span = at.since(self.client.now.mono);
                self.client.pass(span);
                self.node.pass(span);
                self.queue.push_back((Side::Client, Input::Tick));
                self.queue.push_back((Side::Node, Input::Tick));
                continue;
            };
            self.steps += 1;
            self.step(side, input);
            if due_now(&mut self.deaths, self.steps) {
                self.kill_connection();
            }
            if due_now(&mut self.node_restarts, self.steps) {
                self.kill_connection();
                self.restart_node();
            }
            if due_now(&mut self.client_restarts, self.steps) {
                self.kill_connection();
                self.restart_client();
            }
        }
        false
    }

    fn step(&mut self, side: Side, input: Input) {
        if let (Side::Node, Input::Disconnected { conn, .. }) = (side, &input) {
            self.offers.retain(|stream, _| stream.conn != *conn);
        }
        let said = match side {
            Side::Client => self.client.step(input),
            Side::Node => self.node.step(input),
        };
        if self.is_watched {
            self.client.role.digest();
            self.node.role.digest();
        }
        for output in said {
            self.carry_out(side, output.effect);
        }
    }

    fn to(&mut self, side: Side, input: Input) {
        self.queue.push_back((side, input));
    }

    fn on_node(&self, from: Side, stream: StreamId) -> StreamId {
        let epoch = if from == Side::Client { self.epoch } else { 0 };
        StreamId { conn: ConnId(stream.conn.0 + epoch), ..stream }
    }

    /// A stream as the other side numbers it, if its connection lives.
    fn across(&self, from: Side, stream: StreamId) -> Option<StreamId> {
        let conn = match from {
            Side::Client => stream.conn.0 + self.epoch,
            Side::Node => stream.conn.0.checked_sub(self.epoch)?,
        };
        let theirs = StreamId { conn: ConnId(conn), ..stream };
        let on_node = if from == Side::Client { theirs } else { stream };
        (!self.dead.contains(&on_node.conn)).then_some(theirs)
    }

    fn carry_out(&mut self, side: Side, effect: Effect) {
        let other = if side == Side::Client { Side::Node } else { Side::Client };
        match effect {
            Effect::Persist { seq, writes } => {
                for record in &writes {
                    if let Record::Earning(earning) = record
                        && let Some(best) = earning.best
                    {
                        let of_channel = self.best.entry(earning.channel).or_default();
                        *of_channel = best.amount.max(*of_channel);
                        self.durable = Amount(self.best.values().map(|amount| amount.0).sum());
                    }
                }
                let of_side = if side == Side::Client { &mut self.client.disk } else { &mut self.node.disk };
                disk::write(of_side, &writes);
                self.to(side, Input::Persisted { seq });
            }
            Effect::Connect { conn, protocol, .. } => {
                // Those of probes don't die.
                if protocol == Protocol::Client {
                    self.conn = conn;
                    self.is_connected = true;
                }
                let rtt = Span::from_millis(1);
                let theirs = ConnId(conn.0 + self.epoch);
                let (peer, client) = (self.node_config.node, self.client_config.node);
                self.to(Side::Node, Input::Connected { conn: theirs, peer: client, protocol, rtt });
                self.to(Side::Client, Input::Connected { conn, peer, protocol, rtt });
            }
            Effect::Send { stream, message } => {
                if let Message::Client(ClientMessage::StreamResponse(response)) = &message {
                    self.offers.insert(stream, response.max_bytes_per_voucher);
                    self.largest = self.largest.max(response.max_bytes_per_voucher);
                }
                if let Message::Client(ClientMessage::Voucher(_)) = &message {
                    self.vouchers += 1;
                }
                if let Some(stream) = self.across(side, stream) {
                    self.to(other, Input::Message { stream, message });
                }
            }
            Effect::Finish { stream } => {
                self.offers.remove(&self.on_node(side, stream));
                if let Some(stream) = self.across(side, stream) {
                    self.to(other, Input::StreamClosed { stream, code: None });
                }
            }
            Effect::Reset { stream, code } => {
                self.offers.remove(&self.on_node(side, stream));
                if let Some(stream) = self.across(side, stream) {
                    self.to(other, Input::StreamClosed { stream, code: Some(code) });
                }
            }
            Effect::SendRange { stream, hash, offset, bytes } => self.content(stream, hash, offset, bytes),
            Effect::Sign { ticket, what } => {
                let signer = if side == Side::Client { CLIENT } else { OPERATOR };
                let signature = Some(sign(signer, &what));
                self.to(side, Input::Signed { ticket, signature });
            }
            Effect::Tx { ticket, call, .. } => {
                let event = self.execute(side, call);
                self.events.extend(event);
                let block = self.block();
                self.to(side, Input::Tx { ticket, outcome: TxOutcome::Included { block, result: Ok(()) } });
            }
            Effect::Poll { from_block, .. } => {
                let events = self.events.iter().filter(|e| e.block.number >= from_block).copied().collect();
                let update = news(self.block(), 0, events);
                self.to(side, Input::Chain(update));
            }
            Effect::Notice(Notice::Progress { fetch, verified_bytes }) => {
                let before = self.told.insert(fetch, verified_bytes).unwrap_or(0);
                assert!(
                    verified_bytes > before,
                    "what was verified is bought again: {verified_bytes}, {before}"
                );
            }
            Effect::Notice(Notice::Fetched { fetch, bytes }) => {
                self.done.insert(fetch, Ok(bytes));
            }
            Effect::Notice(Notice::FetchFailed { fetch, .. }) => {
                self.failed += 1;
                self.done.insert(fetch, Err(()));
            }
            Effect::Notice(_) | Effect::Receive { .. } | Effect::ForceInclude { .. } => {}
            Effect::Disconnect { conn, .. } => {
                if side == Side::Node && conn.0 == self.conn.0 + self.epoch {
                    self.kill_connection();
                }
            }
            Effect::Fault(fault) => assert!(
                !matches!(fault, decdn_engine::fault::Fault::Peer { .. }),
                "honest sides blame each other: {fault:?}"
            ),
        }
    }

    /// One comes with each transaction, and one a minute: without a newer block nobody hears of a later time (X2).
    fn block(&self) -> Block {
        self.client.block(self.height + self.client.now.mono.0 / 60_000_000)
    }

    /// The restated window: distinct bytes out, less what the best durable voucher pays.
    #[expect(clippy::disallowed_methods, reason = "the pair stands in for the verifier")]
    fn content(&mut self, stream: StreamId, hash: BlobHash, offset: u64, bytes: u64) {
        let mut place = offset;
        while place < offset + bytes {
            let group = (offset + bytes - place).min(16_384);
            if self.sent.insert((hash, place)) {
                self.sent_bytes += group;
            }
            place += group;
        }
        let paid = u128::from(self.sent_bytes) * u128::from(self.rate.0);
        let unpaid = paid.saturating_sub(self.durable.0 << 20);
        self.most_exposed = self.most_exposed.max((unpaid / u128::from(self.rate.0)) as u64);
        let smallest = match self.has_other_terms {
            true => self.largest * self.opened as u64,
            false => self.offers.values().copied().min().unwrap_or(0),
        };
        // A node may forget one offer with each restart, and the rounding of its best voucher (D8).
        let forgotten = (u128::from(smallest) * u128::from(self.rate.0) + (1 << 20)) * self.restarts;
        let allowed = u128::from(smallest) * u128::from(self.rate.0) + forgotten;
        assert!(unpaid <= allowed, "exposure {unpaid} over {allowed}");
        self.to(Side::Node, Input::RangeSent { stream });
        if let Some(stream) = self.across(Side::Node, stream) {
            self.to(Side::Client, Input::Verdict { stream, verdict: Verdict::good(offset, bytes) });
        }
    }

    fn execute(&mut self, side: Side, call: Call) -> Option<ChainEvent> {
        self.height += 1;
        let block = self.block();
        let by = if side == Side::Client { CLIENT } else { OPERATOR };
        let Call::Channel(call) = call else { return None };
        let (channel, kind) = match call {
            channel::Call::Open { node, token, deposit } => {
                self.opened += 1;
                let channel = ChannelId([u8::try_from(self.opened).expect("few channels"); 32]);
                (channel, EventKind::Opened { client: CLIENT, node, token, deposit, window_secs: 172_800 })
            }
            channel::Call::Close { channel, voucher } => {
                let amount = voucher.map_or(Amount::ZERO, |v| v.terms.amount);
                let nonce = voucher.map_or(decdn_engine::money::Nonce::NONE, |v| v.terms.nonce);
                let deadline = ChainTime(block.time.0 + 48 * 3600);
                (channel, EventKind::Closing { by, amount, nonce, deadline })
            }
            channel::Call::CloseCooperatively { channel, voucher, .. } => {
                let paid = voucher.map_or(Amount::ZERO, |v| v.terms.amount);
                self.paid.insert(channel, paid);
                (
                    channel,
                    EventKind::Settled {
                        ending: Ending::Consent,
                        amount: paid,
                        paid,
                        refunded: Amount::ZERO,
                    },
                )
            }
            channel::Call::Settle { channel } => {
                let events = self.events.iter().rev().filter_map(ChainEvent::as_channel);
                let of_channel = events.filter(|event| event.channel == channel);
                let mut recorded = of_channel.filter_map(|event| match event.kind {
                    EventKind::Closing { amount, .. } | EventKind::Disputed { amount, .. } => Some(amount),
                    _ => None,
                });
                let paid = recorded.next().unwrap_or_default();
                self.paid.insert(channel, paid);
                (
                    channel,
                    EventKind::Settled { ending: Ending::Window, amount: paid, paid, refunded: Amount::ZERO },
                )
            }
            channel::Call::Dispute { voucher } => {
                let (amount, nonce) = (voucher.terms.amount, voucher.terms.nonce);
                (voucher.terms.channel, EventKind::Disputed { by, amount, nonce })
            }
            channel::Call::WithdrawCredit { .. }
            | channel::Call::ForceClose { .. }
            | channel::Call::Claim { .. }
            | channel::Call::Finish { .. } => return None,
        };
        Some(ChainEvent::of_channel(block, channel, kind))
    }

    /// The connection dies with everything in flight on it.
    fn kill_connection(&mut self) {
        if !std::mem::take(&mut self.is_connected) {
            return;
        }
        let conn = self.conn;
        let theirs = ConnId(conn.0 + self.epoch);
        self.dead.insert(theirs);
        self.queue.retain(|(_, input)| {
            !matches!(
                input,
                Input::Connected { .. }
                    | Input::Message { .. }
                    | Input::Verdict { .. }
                    | Input::StreamClosed { .. }
            )
        });
        self.to(Side::Node, Input::Disconnected { conn: theirs, why: Gone::Lost });
        self.to(Side::Client, Input::Disconnected { conn, why: Gone::Lost });
    }

    /// What is on its way to a side dies with it; what others have in hand does not.
    fn forget_inputs(&mut self, side: Side) {
        self.queue
            .retain(|(to, input)| *to != side || matches!(input, Input::Fetch(_) | Input::BlobReady { .. }));
    }

    fn restart_node(&mut self) {
        self.offers.clear();
        self.restarts += 1;
        self.forget_inputs(Side::Node);
        self.node.reboot(|records| Node::recover(self.node_config.clone(), records));
        let (hash, bytes) = self.blob;
        self.queue.push_front((Side::Node, Input::BlobReady { hash, bytes }));
    }

    fn restart_client(&mut self) {
        self.forget_inputs(Side::Client);
        self.epoch += 1_000;
        let durable = self.client.disk.values().filter_map(Record::as_fetch);
        self.told = durable.map(|fetch| (fetch.order.id, fetch.verified_bytes)).collect();
        self.client.reboot(|records| Client::recover(self.client_config.clone(), records));
    }
}

fn due_now(when: &mut VecDeque<usize>, step: usize) -> bool {
    let is_due = when.front().is_some_and(|at| *at <= step);
    if is_due {
        when.pop_front();
    }
    is_due
}
