//! The edge of a node: it keeps the driver's contract while peers and the chain break theirs, and counts what goes out.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    chain::{
        Block, Call, ChainEvent, ChainUpdate, Revert, TxOutcome,
        channel::{self, EventKind},
    },
    crypto::Deployment,
    ids::{ChannelId, ConnId, NodeId, StreamId, TxTicket},
    io::{Effect, Gone, Input, Notice, Output},
    limits::{GROUP, Limits, OFFER_GROUPS_MIN, SEND_RANGES},
    money::{Amount, MB, Nonce, Rate},
    record::{Key, Record},
    roles::{config::NodeConfig, node::Node},
    state::ALARMS_SPARE,
    time::{ChainTime, Span, WallTime},
    wire::{ClientMessage, Code, Message},
};

use super::{BLOB, BLOB_BYTES, CHANNEL, DEPOSIT, PROBES, TOKEN, protocol};
use crate::{
    Bytes,
    harness::{Bench, CLIENT, OPERATOR, STRANGER, odd, signature},
};

/// Everything small, so that a few steps reach it.
fn limits() -> Limits {
    Limits { channels: 4, conns: 3, streams_per_conn: 4, chain_events: 4, tails: 2, ..Limits::standard() }
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
    crashes: u64,
    /// Settlements that the node has heard of and not stored yet: what is durable is about a channel that is over.
    settling: u32,
    block: u64,
}

impl Driver {
    /// A node that sells at `rate`, has the blob, and knows a channel whose opening is safe.
    pub(super) fn new(rate: Rate) -> Self {
        let mut config = NodeConfig::new(Deployment::default(), NodeId([1; 32]), OPERATOR);
        config.rates = vec![(TOKEN, rate)];
        config.offer_ceiling = OFFER_GROUPS_MIN * GROUP;
        config.limits = limits();
        let mut driver = Self {
            bench: Bench::new(Node::new(config.clone())),
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
            crashes: 0,
            settling: 0,
            block: 10,
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
        self.lose(name, Gone::Lost);
        // Those for probes come last where an input chooses a lane.
        let conn = ConnId(self.next_conn + if name == PROBES { PROBES.0 } else { 0 });
        self.next_conn += 1;
        self.conns.insert(name, conn);
        self.feed(Input::Connected { conn, peer, protocol: protocol(name), rtt: Span::from_millis(20) });
    }

    pub(super) fn lose(&mut self, name: ConnId, why: Gone) {
        if let Some(conn) = self.conns.remove(&name) {
            self.feed(Input::Disconnected { conn, why });
        }
    }

    pub(super) fn hear(&mut self, stream: StreamId, message: Message) {
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
            self.feed(Input::Tick);
            self.bench.check_no_spin();
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
            2 => vec![EventKind::Settled { paid: amount, refunded: Amount::ZERO, cooperative: false }],
            3 if how & 8 == 0 => return self.lies(input),
            3 => return self.crash(),
            4 if how & 8 == 0 => return self.feed(Input::CloseChannel(CHANNEL)),
            4 => return self.wait(Span(odd(input))),
            5 if how & 8 == 0 => return self.answer_tx(input),
            5 => return self.wait(self.bench.until_due()),
            _ => vec![],
        };
        self.update(events);
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
        }));
    }

    /// The process dies, and starts again from what is durable.
    fn crash(&mut self) {
        let node = Node::recover(self.config.clone(), self.bench.records());
        self.bench.reboot(node);
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
        let Some((_, effect)) = self.bench.next(choice) else { return };
        match effect {
            Effect::Persist { seq, writes } => {
                self.durable(&writes);
                self.feed(Input::Persisted { seq });
            }
            Effect::Sign { ticket, .. } => {
                let signature = (!is_refused).then_some(signature(1));
                self.feed(Input::Signed { ticket, signature });
            }
            Effect::Send { stream, message: Message::Client(ClientMessage::VoucherAck(nonce)) } => {
                // Another channel's acks are for vouchers that nobody here signs.
                if nonce != Nonce::NONE && self.bench.store.contains_key(&Key::Earning(CHANNEL)) {
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
            Effect::Tx { ticket, call, .. } => {
                if let Call::Channel(
                    channel::Call::Close { voucher: Some(voucher), .. } | channel::Call::Dispute { voucher },
                ) = call
                    && voucher.terms.channel == CHANNEL
                {
                    let said = (voucher.terms.nonce, voucher.terms.amount);
                    assert_eq!(said, self.paid, "X1: not the best durable voucher");
                }
                let block = Block { number: self.block, time: ChainTime(self.wall().secs()) };
                if choice & 0x40 != 0 {
                    return self.txs.push((ticket, call));
                }
                let outcome =
                    if is_refused { TxOutcome::Lost } else { TxOutcome::Included { block, result: Ok(()) } };
                self.feed(Input::Tx { ticket, outcome });
            }
            Effect::Poll { .. } if is_refused => self.feed(Input::ChainUnreachable),
            Effect::Poll { .. } => self.update(vec![]),
            Effect::Finish { stream } | Effect::Reset { stream, .. } => {
                self.closed.insert(stream);
            }
            Effect::Disconnect { conn, code } => {
                if let Some(name) = self.conns.iter().find_map(|(name, up)| (*up == conn).then_some(*name)) {
                    self.lose(name, Gone::Closed(code));
                }
            }
            Effect::Connect { .. } | Effect::Receive { .. } => panic!("a node buys nothing"),
            Effect::Send { .. } | Effect::ForceInclude { .. } | Effect::Fault(_) | Effect::Notice(_) => {}
        }
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
                    self.paid = (Nonce::NONE, Amount::ZERO);
                    self.settling -= 1;
                }
                _ => {}
            }
        }
    }

    fn answer_tx(&mut self, input: &mut Bytes<'_>) {
        if self.txs.is_empty() {
            return;
        }
        let place = usize::from(input.byte()) % self.txs.len();
        let (ticket, _) = self.txs[place];
        let block = Block { number: odd(input), time: ChainTime(odd(input)) };
        let outcome = match input.byte() % 5 {
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
        self.block += 1;
        let block = Block { number: self.block, time: ChainTime(self.wall().secs()) };
        self.feed(Input::Chain(ChainUpdate {
            head: block.into(),
            forked_at: None,
            safe: block.number,
            events: kinds.into_iter().map(|kind| ChainEvent::of_channel(block, CHANNEL, kind)).collect(),
            next: block.number + 1,
            forced_inclusion: Span::from_hours(24),
        }));
    }

    /// The stream's number on the connection that goes by this name now, if both are up.
    fn live(&self, named: StreamId) -> Option<StreamId> {
        let stream = StreamId { conn: *self.conns.get(&named.conn)?, index: named.index };
        (!self.closed.contains(&stream)).then_some(stream)
    }

    fn is_up(&self, stream: StreamId) -> bool {
        self.conns.values().any(|conn| *conn == stream.conn) && !self.closed.contains(&stream)
    }

    fn feed(&mut self, input: Input) {
        let (unanswered, groups, sent) = (&mut self.unanswered, &mut self.sent_groups, &mut self.sent_bytes);
        let (settling, crashes) = (&mut self.settling, &mut self.crashes);
        self.bench.feed(input, |output: &Output| {
            if let Effect::Notice(Notice::Settled { channel: CHANNEL, .. }) = output.effect {
                // It is over; the same id again is another channel.
                *settling += 1;
                (*sent, *crashes) = (0, 0);
                groups.clear();
            }
            let Effect::SendRange { stream, hash, offset, bytes } = output.effect else { return };
            assert_eq!(hash, BLOB);
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
        self.bench.check_tables(
            &[
                ("channels", limits.channels),
                ("conns", limits.conns),
                ("probers", limits.conns),
                ("streams", streams),
                ("blobs", 1),
                ("signing", unsigned.min(SIGNING_MAX)),
                ("raising", writing),
                ("txs", unanswered),
                ("soft", limits.channels),
                ("retrying", limits.channels),
                ("tails", limits.tails),
                ("alarms", 2 * (1 + 2 * limits.channels) + ALARMS_SPARE),
            ],
            &self.bench.role.tables(),
        );
    }
}

/// Signatures asked for at once: one per stream, one consent per channel, and those whose stream ended meanwhile.
const SIGNING_MAX: usize = 64;

fn lie(input: &mut Bytes<'_>) -> ChainEvent {
    let how = input.byte();
    let channel = if how & 0x30 == 0 { CHANNEL } else { ChannelId([0xf0 | how >> 4; 32]) };
    let block = Block { number: odd(input), time: ChainTime(odd(input)) };
    let amount = Amount(if how & 0x80 == 0 { u128::from(odd(input)) } else { u128::MAX });
    let nonce = Nonce(odd(input));
    let kind = match how % 6 {
        // The real channel's terms are what the contract has; others are anybody's.
        0 | 1 if channel == CHANNEL => {
            EventKind::Opened { client: CLIENT, node: OPERATOR, token: TOKEN, deposit: DEPOSIT }
        }
        0 | 1 => EventKind::Opened {
            client: if how.is_multiple_of(6) { CLIENT } else { STRANGER },
            node: if how & 8 == 0 { OPERATOR } else { STRANGER },
            token: TOKEN,
            deposit: amount,
        },
        2 | 3 => EventKind::Closing { by: CLIENT, amount, nonce, deadline: ChainTime(odd(input)) },
        4 => EventKind::Disputed { by: STRANGER, amount, nonce },
        _ => EventKind::Settled { paid: amount, refunded: Amount::ZERO, cooperative: how & 8 == 0 },
    };
    ChainEvent::of_channel(block, channel, kind)
}
