//! A driver that keeps its contract with the node while peers break theirs, and counts what the node sends.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use decdn_engine::{
    chain::{Block, ChainEvent, ChainUpdate, EventKind, TxOutcome},
    crypto::{Deployment, Signature},
    ids::{ConnId, NodeId, StreamId},
    io::{Effect, Gone, Input, Lane, Outputs},
    limits::{GROUP, OFFER_GROUPS_MIN, SEND_RANGES},
    money::{Amount, MB, Rate},
    record::Record,
    roles::{Role, config::NodeConfig, node::Node},
    time::{ChainTime, Now, Span, Time, WallTime},
    wire::{Code, Message},
};

use super::{BLOB, BLOB_BYTES, CHANNEL, CLIENT, DEPOSIT, OPERATOR, Symbols, TOKEN};
use crate::Bytes;

const START_SECS: u64 = 1_700_000_000;

pub(super) struct Driver {
    node: Node,
    /// Hears the same, and is asked for its digest only at the end.
    quiet: Node,
    now: Now,
    rate: Rate,
    lanes: BTreeMap<Lane, VecDeque<Effect>>,
    /// Connections by the number that peers use here; the driver's own numbers never come again.
    conns: BTreeMap<ConnId, ConnId>,
    next_conn: u64,
    closed: BTreeSet<StreamId>,
    unanswered: BTreeMap<StreamId, u32>,
    sent_bytes: u128,
    /// The best durable voucher's amount.
    paid: Amount,
    block: u64,
    largest_offer: u64,
}

impl Driver {
    /// A node that sells at `rate`, has the blob, and knows a channel whose opening is safe.
    pub(super) fn new(rate: Rate) -> Self {
        let mut config = NodeConfig::new(Deployment::default(), NodeId([1; 32]), OPERATOR);
        config.rates = vec![(TOKEN, rate)];
        config.offer_ceiling = OFFER_GROUPS_MIN * GROUP;
        let node = Node::new(config.clone());
        let now = Now { mono: Time(0), wall: ChainTime(START_SECS).wall() };
        let mut driver = Self {
            quiet: node.clone(),
            node,
            now,
            rate,
            lanes: BTreeMap::new(),
            conns: BTreeMap::new(),
            next_conn: 0,
            closed: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            sent_bytes: 0,
            paid: Amount::ZERO,
            block: 10,
            largest_offer: config.offer_ceiling,
        };
        driver.feed(Input::BlobReady { hash: BLOB, bytes: BLOB_BYTES });
        let opened = EventKind::Opened { client: CLIENT, node: OPERATOR, token: TOKEN, deposit: DEPOSIT };
        driver.update(vec![opened]);
        driver
    }

    pub(super) fn wall(&self) -> WallTime {
        self.now.wall
    }

    /// What an honest payer would owe for everything that went out.
    pub(super) fn owed(&self) -> Amount {
        Amount((self.sent_bytes * u128::from(self.rate.0)).div_ceil(u128::from(MB)))
    }

    pub(super) fn connect(&mut self, name: ConnId, peer: NodeId) {
        self.lose(name, Gone::Lost);
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        self.conns.insert(name, conn);
        self.feed(Input::Connected { conn, peer, rtt: Span::from_millis(20) });
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

    pub(super) fn stumble(&mut self, stream: StreamId, input: Input) {
        if let Some(live) = self.live(stream) {
            let Input::Malformed { code, .. } = input else { unreachable!("only malformed bytes stumble") };
            self.feed(Input::Malformed { stream: live, code });
        }
    }

    pub(super) fn close(&mut self, stream: StreamId, code: Option<Code>) {
        if let Some(stream) = self.live(stream) {
            self.closed.insert(stream);
            self.feed(Input::StreamClosed { stream, code });
        }
    }

    pub(super) fn wait(&mut self, span: Span) {
        self.now = Now { mono: self.now.mono + span, wall: self.now.wall + span };
        if self.node.next_deadline().is_some_and(|(at, _)| at <= self.now.mono) {
            self.feed(Input::Tick);
            assert!(
                self.node.next_deadline().is_none_or(|(at, _)| at > self.now.mono),
                "a deadline that is past stays"
            );
        }
    }

    /// Tells the node something about its channel, or only that time goes on.
    pub(super) fn chain(&mut self, input: &mut Bytes<'_>) {
        let amount = Amount(u128::from(input.below(1 << 20)));
        let deadline = ChainTime(self.now.wall.secs() + 172_800);
        let events = match input.byte() % 8 {
            0 => vec![EventKind::Closing { by: CLIENT, amount, nonce: Default::default(), deadline }],
            1 => vec![EventKind::Disputed { by: OPERATOR, amount, nonce: Default::default() }],
            2 => vec![EventKind::Settled { paid: amount, refunded: Amount::ZERO, cooperative: false }],
            _ => vec![],
        };
        self.update(events);
    }

    /// Carries out the next effect of a lane.
    pub(super) fn carry_out(&mut self, input: &mut Bytes<'_>) {
        let (choice, is_refused) = (usize::from(input.byte()), input.byte() % 8 == 1);
        let waiting: Vec<Lane> = self.lanes.keys().copied().collect();
        if waiting.is_empty() {
            return;
        }
        let lane = waiting[choice % waiting.len()];
        let queue = self.lanes.get_mut(&lane).expect("the lane has effects");
        let effect = queue.pop_front().expect("no lane is kept empty");
        if queue.is_empty() {
            self.lanes.remove(&lane);
        }
        match effect {
            Effect::Persist { seq, writes } => {
                for write in writes {
                    if let Record::Earning(earning) = write {
                        let amount = earning.best.map_or(Amount::ZERO, |best| best.amount);
                        assert!(amount >= self.paid, "O5: the best amount fell");
                        assert!(amount <= DEPOSIT, "V1: above the deposit");
                        self.paid = amount;
                    }
                }
                self.feed(Input::Persisted { seq });
            }
            Effect::Sign { ticket, .. } => {
                let signature = (!is_refused).then_some(Signature([1; 65]));
                self.feed(Input::Signed { ticket, signature });
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
            Effect::Tx { ticket, .. } => {
                let block = Block { number: self.block, time: ChainTime(self.now.wall.secs()) };
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

    fn update(&mut self, kinds: Vec<EventKind>) {
        self.block += 1;
        let block = Block { number: self.block, time: ChainTime(self.now.wall.secs()) };
        self.feed(Input::Chain(ChainUpdate {
            head: block,
            safe: block.number,
            events: kinds.into_iter().map(|kind| ChainEvent { block, channel: CHANNEL, kind }).collect(),
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
        let mut out = Outputs::new();
        self.quiet.step(self.now, input.clone(), &Symbols, &mut out);
        let quiet: Vec<_> = out.drain().collect();
        self.node.step(self.now, input, &Symbols, &mut out);
        assert_eq!(out.as_slice(), quiet, "O13: the same decisions, other outputs");
        for output in out.drain() {
            if let Effect::SendRange { stream, hash, offset, bytes } = output.effect {
                assert_eq!(hash, BLOB);
                assert!(bytes > 0 && offset + bytes <= BLOB_BYTES, "a range outside the blob");
                self.sent_bytes += u128::from(bytes);
                let unanswered = self.unanswered.entry(stream).or_default();
                *unanswered += 1;
                assert!(*unanswered <= u32::from(SEND_RANGES), "O11: too many unanswered ranges");
            }
            self.lanes.entry(output.lane).or_default().push_back(output.effect);
        }
        self.check_loss();
        self.node.digest();
    }

    /// D8, with room to spare: what went out is paid, or within one offer, and at most twice again.
    fn check_loss(&self) {
        let sent = self.sent_bytes * u128::from(self.rate.0);
        let covered = self.paid.0 * u128::from(MB) + u128::from(self.largest_offer) * u128::from(self.rate.0);
        assert!(sent <= 3 * covered, "D8: {} bytes went out for {} base units", self.sent_bytes, self.paid);
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(
                self.node.digest(),
                self.quiet.digest(),
                "O13: a digest depends on when it is asked for"
            );
        }
    }
}
