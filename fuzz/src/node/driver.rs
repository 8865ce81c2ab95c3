//! The edge of a node: it keeps the driver's contract while peers and the chain break theirs, and counts what goes out. What is about
//! its own purchases the market knows.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    chain::{
        Block, Call, ChainEvent, ChainUpdate, Revert, TxOutcome,
        channel::{self, Ending, EventKind},
    },
    crypto::Deployment,
    ids::{ChannelId, ConnId, NodeId, StreamId, TxTicket},
    io::{Effect, Fact, Gone, Input, Notice, Output},
    limits::{GROUP, Limits, OFFER_GROUPS_MIN, ORDERS, SEND_RANGES},
    money::{Amount, MB, Nonce, Rate},
    order::Order,
    record::{Key, Record},
    roles::{
        config::{NodeConfig, Policy, TokenTerms},
        node::Node,
    },
    state::ALARMS_SPARE,
    time::{ChainTime, Span, WallTime},
    wire::{ClientMessage, Code, Message},
    worth::GasPrice,
};
use decdn_testkit::signature;

use super::{BLOB, BLOB_BYTES, CHANNEL, DEPOSIT, PROBES, TOKEN, lies::lie, protocol};
use crate::{
    Bytes,
    harness::{Bench, CLIENT, OPERATOR, RIVAL, STRANGER, bench, check_tables, odd, rest},
    market::{Buyer, Market, Parties, Said, money_order},
};

/// From whom the node buys: two of them are its customers as well, and one has the account of the channel that it earns on.
const PARTIES: Parties = Parties {
    buyer: OPERATOR,
    sellers: [(NodeId([2; 32]), CLIENT, 0), (NodeId([0; 32]), RIVAL, 3), (NodeId([5; 32]), STRANGER, 2)],
    channels: 0x20,
};

/// Connections that peers make are numbered from here on.
const ACCEPTED: u64 = 1 << 63;

/// Everything small, so that a few steps reach it.
fn limits() -> Limits {
    Limits {
        channels: 4,
        conns: 3,
        streams_per_conn: 4,
        chain_events: 4,
        tails: 2,
        fetches: 3,
        candidates: 3,
        ..Limits::standard()
    }
}

pub(super) struct Driver {
    bench: Bench<Node>,
    config: NodeConfig,
    rate: Rate,
    /// Connections by the number that peers use here; the driver's own numbers never come again.
    conns: BTreeMap<ConnId, ConnId>,
    next_conn: u64,
    closed: BTreeSet<StreamId>,
    unanswered: BTreeMap<StreamId, u32>,
    txs: Vec<(TxTicket, Call)>,
    sent_bytes: u128,
    /// Groups of the blob that went out at least once.
    sent_groups: BTreeSet<u64>,
    /// The best durable voucher.
    paid: (Nonce, Amount),
    /// What it was when the record went.
    erased: (Nonce, Amount),
    crashes: u64,
    /// Settlements that the node has heard of and not stored yet: what is durable is about a channel that is over.
    settling: u32,
    market: Market,
    /// The first block whose events about purchases the node was not told of.
    unheard: u64,
    /// While everything is done that can be done the chain waits: it may be asked for ever for what it does not have.
    is_draining: bool,
}

impl Driver {
    /// A node that sells at `rate`, has the blob, knows a channel whose opening is safe, and asks its owner before it buys or
    /// doesn't; and minds what gas costs, claims soon and is patient for minutes, or isn't.
    pub(super) fn new(rate: Rate, asks: bool, is_thrifty: bool) -> Self {
        let mut config = NodeConfig::new(Deployment::default(), NodeId([1; 32]), OPERATOR);
        config.tokens = vec![TokenTerms::new(TOKEN, rate)];
        config.offer_ceiling = OFFER_GROUPS_MIN * GROUP;
        config.limits = limits();
        config.buying.asks = asks;
        if is_thrifty {
            let terms = &mut config.tokens[0];
            (terms.coin, terms.claim_above, terms.least_deposit) =
                (Some(Amount(1 << 60)), Amount(2), Amount(1));
            config.policy = Policy {
                idle: Span::from_secs(120),
                finish: Span::from_secs(30),
                forgo: Span::from_secs(60),
                forget: Span::from_secs(600),
            };
        }
        let mut driver = Self {
            bench: bench(Node::new(config.clone())),
            config,
            rate,
            conns: BTreeMap::new(),
            next_conn: 0,
            closed: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            txs: Vec::new(),
            sent_bytes: 0,
            sent_groups: BTreeSet::new(),
            paid: (Nonce::NONE, Amount::ZERO),
            erased: (Nonce::NONE, Amount::ZERO),
            crashes: 0,
            settling: 0,
            market: Market::new(&PARTIES, asks),
            unheard: 0,
            is_draining: false,
        };
        driver.start();
        driver
    }

    /// What a node hears when it starts: its blob, and its channel.
    fn start(&mut self) {
        self.feed(Input::BlobReady { hash: BLOB, bytes: BLOB_BYTES });
        self.update(vec![EventKind::Opened {
            client: CLIENT,
            node: OPERATOR,
            token: TOKEN,
            deposit: DEPOSIT,
            window_secs: 172_800,
        }]);
    }

    pub(super) fn end(mut self) {
        self.bench.check_digest();
    }

    pub(super) fn wall(&self) -> WallTime {
        self.bench.now.wall
    }

    /// What an honest payer would owe for everything that went out.
    pub(super) fn owed(&self) -> Amount {
        Amount((self.sent_bytes * u128::from(self.rate.0)).div_ceil(u128::from(MB)))
    }

    pub(super) fn connect(&mut self, name: ConnId, peer: NodeId) {
        self.lose_peer(name, Gone::Lost);
        // Those for probes come last where an input chooses a lane.
        let conn = ConnId(ACCEPTED | self.next_conn | if name == PROBES { PROBES.0 } else { 0 });
        self.next_conn += 1;
        self.conns.insert(name, conn);
        self.feed(Input::Connected { conn, peer, protocol: protocol(name), rtt: Span::from_millis(20) });
    }

    pub(super) fn lose_peer(&mut self, name: ConnId, why: Gone) {
        if let Some(conn) = self.conns.remove(&name) {
            self.feed(Input::Disconnected { conn, why });
        }
    }

    pub(super) fn hear_peer(&mut self, stream: StreamId, message: Message) {
        if let Some(stream) = self.live(stream) {
            self.feed(Input::Message { stream, message });
        }
    }

    pub(super) fn stumble(&mut self, stream: StreamId, code: Code) {
        if let Some(stream) = self.live(stream) {
            self.feed(Input::Malformed { stream, code });
        }
    }

    pub(super) fn close(&mut self, stream: StreamId, code: Option<Code>) {
        if let Some(stream) = self.live(stream) {
            self.closed.insert(stream);
            self.feed(Input::StreamClosed { stream, code });
        }
    }

    pub(super) fn wait(&mut self, span: Span) {
        if self.bench.pass(span) {
            let said = self.step(Input::Tick);
            self.after(&said);
        }
    }

    /// Tells the node something about its channels, true or not, or does to it what its owner may.
    pub(super) fn chain(&mut self, input: &mut Bytes<'_>) {
        let amount = Amount(u128::from(input.below(1 << 20)));
        let deadline = ChainTime(self.wall().secs() + 172_800);
        let how = input.byte();
        let events = match how % 8 {
            0 => vec![EventKind::Closing { by: CLIENT, amount, nonce: Nonce::NONE, deadline }],
            1 => vec![EventKind::Disputed { by: OPERATOR, amount, nonce: Nonce::NONE }],
            2 => vec![EventKind::Settled {
                ending: Ending::Window,
                amount,
                paid: amount,
                refunded: Amount::ZERO,
            }],
            3 if how & 8 == 0 => return self.lies(input),
            3 => return self.crash(),
            4 if how & 8 == 0 => return self.feed(Input::CloseChannel(CHANNEL)),
            4 => return self.wait(Span(odd(input))),
            5 if how & 8 == 0 => return self.answer_tx(input),
            5 => return self.wait(self.bench.until_due()),
            6 if how & 8 == 0 => return self.feed(Input::Order(money_order(how >> 4, CHANNEL))),
            _ => vec![],
        };
        self.update(events);
    }

    /// As [`chain`](Self::chain), about what the node buys.
    pub(super) fn chain_of_purchases(&mut self, how: usize, input: &mut Bytes<'_>) {
        match how {
            0..=3 => self.update(vec![]),
            4..=7 => self.stale_close(self.bench.now, input),
            _ => {
                let update = self.market.chain.lies(input, &self.known());
                self.feed(Input::Chain(update));
            }
        }
    }

    /// Anything that a chain can say.
    fn lies(&mut self, input: &mut Bytes<'_>) {
        let count = input.byte() % 6;
        let events = (0..count).map(|_| lie(input)).collect();
        let head = Block { number: odd(input), time: ChainTime(odd(input)) };
        let safe = odd(input);
        self.feed(Input::Chain(ChainUpdate {
            head: head.into(),
            forked_at: head.number.is_multiple_of(4).then_some(safe / 2 + head.time.0 % 3),
            safe,
            events,
            next: odd(input) % 64,
            forced_inclusion: Span(odd(input)),
            gas_price: GasPrice(odd(input)),
            endpoint: 0,
            quorum: None,
        }));
    }

    /// The process dies, and starts again from what is durable.
    fn crash(&mut self) {
        self.bench.reboot(|records| Node::recover(self.config.clone(), records));
        self.market.recovered(&self.bench.disk, self.bench.role.buyer());
        self.unheard = 0;
        self.crashes += 1;
        self.settling = 0;
        self.conns.clear();
        self.unanswered.clear();
        self.txs.clear();
        let held = self.bench.role.best_voucher(&CHANNEL);
        assert!(
            held.is_none_or(|held| held == self.paid),
            "O12: {held:?} was recovered, not {:?}",
            self.paid
        );
        self.start();
    }

    /// Carries out the next effect of a lane.
    pub(super) fn carry_out(&mut self, input: &mut Bytes<'_>) {
        let (choice, is_refused) = (usize::from(input.byte()), input.byte() % 8 == 1);
        self.carry_out_as(choice, is_refused);
    }

    /// A transaction is on its way: that it is, is all, or what becomes of it.
    fn submit(&mut self, ticket: TxTicket, call: Call, is_slow: bool, is_refused: bool) {
        if let Call::Channel(
            channel::Call::Finish { voucher: Some(voucher), .. }
            | channel::Call::Claim { voucher }
            | channel::Call::Dispute { voucher },
        ) = call
            && voucher.terms.channel == CHANNEL
        {
            let said = (voucher.terms.nonce, voucher.terms.amount);
            // It may have waited for the disk until its channel was over.
            let is_late = self.paid.0 == Nonce::NONE && said == self.erased;
            assert!(
                said == self.paid || is_late,
                "X1: {said:?}, not the best durable voucher {:?}",
                self.paid
            );
        } else {
            self.market.check_call(&self.bench.disk, &call);
        }
        if let Some(order) = ordered(&call) {
            let is_on_record = self.bench.disk.contains_key(&Key::Order(order));
            assert!(is_on_record, "C6: {call:?} leaves before it is on record");
        }
        if is_slow {
            return self.txs.push((ticket, call));
        }
        let outcome = if is_refused {
            TxOutcome::Lost
        } else {
            TxOutcome::Included { block: self.include(&call), result: Ok(()) }
        };
        self.feed(Input::Tx { ticket, outcome });
    }

    /// A call is in a block. What it does to a channel that the node pays on the chain tells later.
    fn include(&mut self, call: &Call) -> Block {
        let (now, chain) = (self.bench.now, &mut self.market.chain);
        if chain.is_purchase(call) { chain.include(now, call) } else { chain.block(now) }
    }

    fn durable(&mut self, writes: &[Record]) {
        for write in writes {
            match write {
                Record::Earning(earning) if earning.channel == CHANNEL => {
                    let best =
                        earning.best.map_or((Nonce::NONE, Amount::ZERO), |best| (best.nonce, best.amount));
                    let (nonce, amount) = self.paid;
                    assert!(
                        best == self.paid || (best.0 > nonce && best.1 > amount),
                        "O5: {best:?} is stored after {:?}",
                        self.paid
                    );
                    assert!(best.1 <= earning.deposit, "V1: above the deposit");
                    self.paid = best;
                }
                Record::Gone(Key::Earning(CHANNEL)) => {
                    if self.paid.0 != Nonce::NONE {
                        self.erased = core::mem::replace(&mut self.paid, (Nonce::NONE, Amount::ZERO));
                    }
                    // Or its opening was taken back for good: it has not settled, and is over all the same.
                    if self.settling == 0 {
                        self.sent_bytes = 0;
                        self.sent_groups.clear();
                    }
                    self.settling = self.settling.saturating_sub(1);
                }
                _ => {}
            }
        }
        self.market.durable(&self.bench.disk, writes);
    }

    pub(super) fn answer_tx(&mut self, input: &mut Bytes<'_>) {
        if self.txs.is_empty() {
            return;
        }
        let place = usize::from(input.byte()) % self.txs.len();
        let (ticket, call) = self.txs[place];
        let block = Block { number: odd(input), time: ChainTime(odd(input)) };
        let outcome = match input.byte() % 5 {
            0 if self.market.chain.is_purchase(&call) => {
                TxOutcome::Included { block: self.include(&call), result: Ok(()) }
            }
            0 => TxOutcome::Included { block, result: Ok(()) },
            1 => {
                TxOutcome::Included { block, result: Err(Revert::Channel(channel::Revert::AmountNotHigher)) }
            }
            2 => TxOutcome::Included { block, result: Err(Revert::Other) },
            3 => TxOutcome::Lost,
            _ => TxOutcome::Queued { at: block.time, forcible: ChainTime(odd(input)) },
        };
        if !matches!(outcome, TxOutcome::Queued { .. }) {
            self.txs.swap_remove(place);
        }
        self.feed(Input::Tx { ticket, outcome });
    }

    fn update(&mut self, kinds: Vec<EventKind>) {
        self.market.chain.pass();
        let mut update = self.market.chain.news(self.bench.now, self.unheard);
        self.unheard = update.next;
        let block = self.market.chain.block(self.bench.now);
        update.events.extend(kinds.into_iter().map(|kind| ChainEvent::of_channel(block, CHANNEL, kind)));
        self.feed(Input::Chain(update));
    }

    /// The stream's number on the connection that goes by this name now, if both are up.
    fn live(&self, named: StreamId) -> Option<StreamId> {
        let stream = StreamId { conn: *self.conns.get(&named.conn)?, index: named.index };
        (!self.closed.contains(&stream)).then_some(stream)
    }

    fn is_up(&self, stream: StreamId) -> bool {
        self.conns.values().any(|conn| *conn == stream.conn) && !self.closed.contains(&stream)
    }

    /// D8. What went out is paid, or within one offer, and at most twice again; and what went out for the first time was
    /// charged, so it is paid or within one offer exactly. A restart forgets one offer at most.
    fn check_loss(&self) {
        let rate = u128::from(self.rate.0);
        let offer = u128::from(self.config.offer_ceiling) * u128::from(self.crashes + 1);
        let paid = if self.settling > 0 { 0 } else { self.paid.1.0 };
        let covered = paid.saturating_mul(u128::from(MB)) + offer * rate;
        let sent = self.sent_bytes * rate;
        assert!(sent <= 3 * covered, "D8: {} bytes went out for {} base units", self.sent_bytes, self.paid.1);
        let last = (BLOB_BYTES - 1) / GROUP;
        let group_bytes = |group: &u64| u128::from(if *group == last { BLOB_BYTES % GROUP } else { GROUP });
        let first: u128 = self.sent_groups.iter().map(group_bytes).sum();
        assert!(
            first * rate <= covered,
            "D8: {first} different bytes went out for {} base units",
            self.paid.1
        );
        let deposit = DEPOSIT.0 * u128::from(MB) + offer * rate;
        assert!(first * rate <= deposit, "V4: {first} bytes are more than the deposit buys");
    }

    pub(super) fn check(&self) {
        let limits = &self.config.limits;
        let unsigned = self.bench.waiting(|effect| matches!(effect, Effect::Sign { .. }));
        let writing = self.bench.waiting(|effect| matches!(effect, Effect::Persist { .. }));
        let unanswered = self.bench.waiting(|effect| matches!(effect, Effect::Tx { .. })) + self.txs.len();
        let streams = limits.conns * limits.streams_per_conn as usize;
        let bought = self.bench.role.buyer().tables();
        let buying =
            |table: &str| bought.iter().find(|(name, _)| *name == table).map_or(0, |(_, held)| *held);
        // One for an opening, one per download, six per channel that it pays on: none where nothing is bought.
        let purchases = buying("openings").min(1) + buying("fetches") + 6 * buying("channels");
        // What a fork brings back comes on top.
        let live = 2 * limits.channels;
        let alarms = 2 * (1 + 2 * live + purchases) + ALARMS_SPARE;
        // Of both kinds of channel, live or retained.
        let openings = 4 * limits.channels;
        check_tables(
            &[
                ("channels", live),
                ("conns", limits.conns),
                ("probers", limits.conns),
                ("streams", streams),
                ("blobs", 1),
                ("signing", unsigned.min(SIGNING_MAX)),
                ("raising", writing),
                ("txs", unanswered),
                ("soft", live),
                ("disputes", live),
                ("retained", live),
                ("aside", limits.channels),
                ("forgone", 65_536),
                ("openings", openings),
                ("unseen", openings),
                ("tails", limits.tails),
                ("orders", ORDERS + live),
                ("alarms", alarms),
            ],
            &self.bench.role.tables(),
        );
        check_tables(&Market::bounds(limits, unsigned, unanswered, alarms, openings), &bought);
    }
}

impl Buyer for Driver {
    fn market(&mut self) -> &mut Market {
        &mut self.market
    }

    fn step(&mut self, input: Input) -> Said {
        let mut said = Said::default();
        let (unanswered, groups, sent) = (&mut self.unanswered, &mut self.sent_groups, &mut self.sent_bytes);
        let (settling, crashes, market) = (&mut self.settling, &mut self.crashes, &self.market);
        self.bench.feed(input, |output: &Output| {
            said.note(market, output);
            if let Effect::Notice(Notice::Settled { channel: CHANNEL, .. }) = output.effect {
                // It is over; the same id again is another channel.
                *settling += 1;
                (*sent, *crashes) = (0, 0);
                groups.clear();
            }
            if let Effect::Notice(Notice::TakenBack { channel: CHANNEL, what: Fact::Settlement }) =
                output.effect
            {
                // What was paid on it counts again.
                *settling = settling.saturating_sub(1);
            }
            let Effect::SendRange { stream, hash, offset, bytes } = output.effect else { return };
            assert_eq!(hash, BLOB);
            assert!(stream.conn.0 >= ACCEPTED, "content goes out where it is bought");
            assert!(bytes > 0 && offset + bytes <= BLOB_BYTES, "a range outside the blob");
            assert!(offset % GROUP == 0, "D5: not on a group");
            assert!(bytes % GROUP == 0 || offset + bytes == BLOB_BYTES, "D5: not whole groups");
            *sent += u128::from(bytes);
            groups.extend(offset / GROUP..(offset + bytes).div_ceil(GROUP));
            let unanswered = unanswered.entry(stream).or_default();
            *unanswered += 1;
            assert!(*unanswered <= u32::from(SEND_RANGES), "O11: too many unanswered ranges");
        });
        self.check_loss();
        said
    }

    fn take_for_probe(&mut self) -> Option<Effect> {
        self.bench.take_if(|effect| self.market.is_for_probe(effect))
    }

    fn known(&self) -> Vec<ChannelId> {
        self.bench.role.buyer().channels().map(|paying| paying.channel).collect()
    }

    fn carry_out_as(&mut self, choice: usize, is_refused: bool) -> bool {
        self.serve_probes();
        let Some((_, effect)) = self.bench.next(choice) else { return false };
        match effect {
            Effect::Persist { seq, writes } => {
                self.durable(&writes);
                self.feed(Input::Persisted { seq });
            }
            Effect::Sign { ticket, what } => {
                if !is_refused {
                    self.market.sign(&what);
                }
                let signature = (!is_refused).then_some(signature(1));
                self.feed(Input::Signed { ticket, signature });
            }
            Effect::Send { stream, message: Message::Client(ClientMessage::VoucherAck(nonce)) }
                if stream.conn.0 >= ACCEPTED =>
            {
                // Another channel's acks are for vouchers that nobody here signs.
                if nonce != Nonce::NONE && self.bench.disk.contains_key(&Key::Earning(CHANNEL)) {
                    assert!(
                        nonce <= self.paid.0,
                        "V3: {nonce:?} is acknowledged on {stream:?}, {:?} durable",
                        self.paid
                    );
                }
            }
            Effect::SendRange { stream, .. } => {
                *self.unanswered.entry(stream).or_default() -= 1;
                if self.is_up(stream) {
                    self.feed(if is_refused {
                        Input::RangeFailed { stream }
                    } else {
                        Input::RangeSent { stream }
                    });
                }
            }
            Effect::Tx { ticket, call, .. } => self.submit(ticket, call, choice & 0x40 != 0, is_refused),
            Effect::Poll { .. } if is_refused => self.feed(Input::ChainUnreachable),
            Effect::Poll { from_block, .. } => {
                self.unheard = from_block;
                if !self.is_draining {
                    self.update(vec![]);
                }
            }
            Effect::Finish { stream } | Effect::Reset { stream, .. } if stream.conn.0 >= ACCEPTED => {
                self.closed.insert(stream);
            }
            Effect::Disconnect { conn, code } if conn.0 >= ACCEPTED => {
                if let Some(name) = self.conns.iter().find_map(|(name, up)| (*up == conn).then_some(*name)) {
                    self.lose_peer(name, Gone::Closed(code));
                }
            }
            Effect::Send { stream, .. } if stream.conn.0 >= ACCEPTED => {}
            other => {
                if let Some(input) = self.market.carry_out(&self.bench.disk, other) {
                    self.feed(input);
                }
            }
        }
        true
    }

    fn drain(&mut self) {
        self.is_draining = true;
        rest(|| self.carry_out_as(0, false));
        self.is_draining = false;
    }

    fn hear_all(&mut self) {
        while !self.txs.is_empty() {
            self.answer_tx(&mut Bytes::new(&[]));
            self.drain();
        }
        self.update(vec![]);
    }
}

/// The order that a call carries out, where none but an owner's leads to it.
fn ordered(call: &Call) -> Option<Order> {
    match *call {
        Call::Channel(channel::Call::WithdrawCredit { token, .. }) => Some(Order::Withdraw { token }),
        Call::Channel(channel::Call::ForceClose { channel }) => Some(Order::ForceClose(channel)),
        Call::Channel(channel::Call::Claim { voucher }) => Some(Order::Claim(voucher.terms.channel)),
        _ => None,
    }
}

/// Signatures asked for at once: one per stream, one consent per channel, and those whose stream ended meanwhile.
const SIGNING_MAX: usize = 64;
