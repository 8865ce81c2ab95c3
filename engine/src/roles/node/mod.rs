//! The node: sells bytes, takes vouchers, defends what it earned; and buys what its owner orders, by a client that it owns (D12).
//!
//! `probe` answers what is asked before money moves, `request` stream requests, `sell` sends within the exposure window, `earn` takes vouchers and closes,
//! `order` carries out what its owner orders, `policy` what the node does with its channels by itself, `watch` follows the chain, `rewind` takes back what the chain takes back. This file holds the state and sends each input to its room.

mod check;
mod earn;
mod order;
mod policy;
mod probe;
mod request;
mod rewind;
mod sell;
mod state;
mod watch;

use alloc::{collections::BTreeMap, vec, vec::Vec};

use state::Signing;

use super::{
    client::Client,
    config::NodeConfig,
    role::{Reason, Role},
};
use crate::{
    chain::Interest,
    crypto::{Crypto, Deployment, Typed},
    delivery::Tail,
    fault::{Fault, Proof, Rule},
    ids::{ChannelId, ConnId, NodeId, SignTicket, StreamId},
    io::{Effect, Input, Lane, Outputs},
    machine::{
        AlarmKey, Cx,
        closings::{Closings, Settling},
        earnings::{Channel, Earnings},
        inbound::Inbound,
        quotes::Quotes,
        sending::Sending,
    },
    money::{Amount, Nonce},
    order::Order,
    record::{ChannelStatus, PersistSeq, Record},
    state::{Broken, Canon, Digest, Mark, Slot, Tally},
    time::{Now, Time},
    wire::{ClientMessage, Code, Message, ProbeMessage, Protocol},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Node {
    config: NodeConfig,
    earnings: Earnings,
    inbound: Inbound,
    quotes: Quotes,
    sending: Sending,
    signing: BTreeMap<SignTicket, Signing>,
    closings: Closings,
    /// What it buys itself; and with it what it knows of the chain, its alarms and its numbers, which both have in common.
    buyer: Client,
    /// The place of the channel that is looked at next.
    reviewed: u32,
    /// When the present step is: what credit depends on.
    now: Now,
    prints: Prints,
}

/// What the digest is made with, beside the tables' own shares: of the chain's view and the quotes, whether they may have changed.
#[derive(Clone, Debug)]
struct Prints {
    tally: Tally,
    is_chain_dirty: bool,
    chain: Mark,
    are_quotes_dirty: bool,
    quotes: Mark,
}

impl Default for Prints {
    fn default() -> Self {
        Self {
            tally: Tally::default(),
            is_chain_dirty: true,
            chain: Mark::default(),
            are_quotes_dirty: false,
            quotes: Mark::default(),
        }
    }
}

impl Node {
    /// A node that knows nothing yet. It reads the chain at the first tick, which is due at once.
    pub fn new(config: NodeConfig) -> Self {
        Self::recover(config, core::iter::empty())
    }

    /// A node from its durable records (O12): a fold, the last record of a key wins.
    pub fn recover(config: NodeConfig, records: impl Iterator<Item = Record>) -> Self {
        let interests = vec![Interest::ChannelsOf(config.account)];
        let buyer = Client::beside(config.as_client(), interests);
        // The client settles for its refund; the node only where it doesn't, and for what it gets.
        let settling = Settling { grace: config.monitor.settle_grace, for_nothing: false };
        let mut node = Self {
            config,
            earnings: Earnings::default(),
            inbound: Inbound::default(),
            quotes: Quotes::default(),
            sending: Sending::default(),
            signing: BTreeMap::new(),
            closings: Closings::new(settling),
            buyer,
            reviewed: 0,
            now: Now::default(),
            prints: Prints::default(),
        };
        let mut kept = BTreeMap::new();
        for record in records {
            kept.insert(record.key(), record);
        }
        for record in kept.into_values() {
            match record {
                Record::Earning(earning)
                    if matches!(earning.status, ChannelStatus::Idle | ChannelStatus::Forgone) =>
                {
                    node.earnings.aside.recover(earning);
                }
                Record::Earning(earning) => _ = node.earnings.adopt(earning),
                Record::Claimed(claimed) => node.earnings.claims.recover(claimed),
                Record::Forgone(forgone) => node.earnings.forgone.recover(forgone),
                // Channels come before their disputes.
                Record::Dispute(dispute) if node.earnings.slot(&dispute.channel).is_some() => {
                    node.closings.recover(dispute);
                }
                // So do they before the orders about them.
                Record::Order(order @ (Order::Close(channel) | Order::Claim(channel)))
                    if node.earnings.slot(&channel).is_some() =>
                {
                    node.buyer.orders.recover(order);
                }
                other => node.buyer.adopt(other),
            }
        }
        node.buyer.start();
        node.expect_facts();
        node
    }

    /// Channels that are not settled.
    pub fn channel_count(&self) -> usize {
        self.earnings.channels.len()
    }

    /// The best voucher of a channel: nonce, amount, and whether it is durable. For inspection.
    pub fn best_voucher(&self, channel: &ChannelId) -> Option<(Nonce, Amount)> {
        self.earnings.slot(channel).and_then(|slot| self.earnings.channels.get(slot)).map(Channel::best_pair)
    }

    /// What it buys itself. For inspection.
    pub fn buyer(&self) -> &Client {
        &self.buyer
    }

    /// Bytes of memory that an open, idle channel takes.
    pub const fn bytes_per_channel() -> usize {
        Earnings::bytes_per_channel()
    }

    /// How many entries each table holds. For inspection: all of them are bounded (O11).
    pub fn tables(&self) -> [(&'static str, usize); 18] {
        let (raising, soft, tails) = self.earnings.counts();
        [
            ("channels", self.earnings.channels.len()),
            ("conns", self.inbound.conns.len()),
            ("probers", self.quotes.len()),
            ("streams", self.sending.streams.len()),
            ("blobs", self.sending.blobs.len()),
            ("signing", self.signing.len()),
            ("raising", raising),
            ("txs", self.closings.txs.len()),
            ("soft", soft),
            ("disputes", self.closings.disputes().len()),
            ("retained", self.closings.retained.len()),
            ("aside", self.earnings.aside.len()),
            ("forgone", self.earnings.forgone.len()),
            ("openings", self.buyer.follower.openings.soft()),
            ("unseen", self.buyer.follower.openings.unseen()),
            ("tails", tails),
            ("orders", self.buyer.orders.len()),
            ("alarms", self.buyer.tools.alarms.len()),
        ]
    }

    /// Whether as many signatures are outstanding as all streams and channels can want at once: some are for peers that
    /// left, and a slow signer must not be asked for ever more of them (O11).
    fn is_signing_enough(&self) -> bool {
        let limits = &self.config.limits;
        self.signing.len() >= limits.conns * (1 + limits.streams_per_conn as usize) + limits.channels
    }

    fn sign(&mut self, lane: Lane, what: Typed, purpose: Signing, out: &mut Outputs) {
        let ticket = self.buyer.tools.sign(lane, what, out);
        let earlier = self.signing.insert(ticket, purpose);
        assert!(earlier.is_none(), "a ticket is given out once");
    }

    fn persist(&mut self, slot: Slot, out: &mut Outputs) -> PersistSeq {
        self.earnings.persist(slot, &mut Cx { now: self.now, tools: &mut self.buyer.tools, out })
    }

    fn deployment(&self) -> Deployment {
        self.config.deployment
    }

    fn refuse(&mut self, stream: StreamId, code: Code, out: &mut Outputs) {
        self.inbound.give_up(stream);
        out.reset(stream, code);
    }

    fn malformed(&mut self, stream: StreamId, rule: Rule, out: &mut Outputs) {
        self.misbehaved(stream, rule, Code::Malformed, out);
    }

    /// The peer did what no honest one does: the stream ends with this code (W4).
    fn misbehaved(&mut self, stream: StreamId, rule: Rule, code: Code, out: &mut Outputs) {
        // Its connection may have ended meanwhile.
        if let Some(conn) = self.inbound.get(stream.conn) {
            let fault = Fault::Peer { peer: conn.peer, rule, proof: Proof::Message(stream) };
            out.fault(fault);
        }
        let slot = self.end_stream(stream);
        self.refuse(stream, code, out);
        self.pump_after_end(slot, out);
    }

    fn on_connected(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol, out: &mut Outputs) {
        // One connection per peer and protocol (W3): a peer that comes again has lost the old one.
        if let Some(old) = self.inbound.older(peer, protocol) {
            self.on_disconnected(old, out);
            out.disconnect(old, Code::NotNow);
        }
        let cx = &mut Cx { now: self.now, tools: &mut self.buyer.tools, out };
        self.inbound.on_up(conn, peer, protocol, self.config.limits.conns, cx);
    }

    fn on_disconnected(&mut self, conn: ConnId, out: &mut Outputs) {
        if !self.inbound.on_gone(conn) {
            return;
        }
        let ids: Vec<StreamId> = self.sending.on_conn(conn).collect();
        for id in ids {
            let slot = self.end_stream(id);
            self.pump_after_end(slot, out);
        }
        assert!(self.sending.on_conn(conn).next().is_none(), "no stream outlives its connection (W3)");
    }

    /// Forgets a stream; what it sent last stays with the channel while something is unpaid (D8).
    fn end_stream(&mut self, id: StreamId) -> Option<Slot> {
        let stream = self.sending.streams.remove(&id)?;
        self.inbound.end_stream(id.conn);
        // A stream carries one request (W3): what its answer waits for must not be taken for another's.
        self.inbound.give_up(id);
        let channel = self.earnings.channels.get_mut(stream.channel).expect("a channel outlives its streams");
        channel.end_stream(id, stream.tail, self.config.limits.tails);
        Some(stream.channel)
    }

    /// The end of a stream may widen the window of the others: the smallest offer is among those that are left.
    fn pump_after_end(&mut self, slot: Option<Slot>, out: &mut Outputs) {
        if let Some(slot) = slot {
            self.pump(slot, out);
        }
    }

    fn on_message<C: Crypto>(
        &mut self,
        now: Now,
        stream: StreamId,
        message: Message,
        crypto: &C,
        out: &mut Outputs,
    ) {
        // Late: its connection has ended.
        let Some(conn) = self.inbound.get(stream.conn) else { return };
        // Late: it is over, or being reset.
        if self.inbound.has_given_up(stream) {
            return;
        }
        if message.protocol() != conn.protocol {
            return self.malformed(stream, Rule::W2, out);
        }
        match message {
            Message::Client(message) => self.on_client_message(now, stream, message, crypto, out),
            Message::Probe(ProbeMessage::Request(request)) => self.on_probe(now, stream, request, out),
            Message::Probe(ProbeMessage::Response(_)) => self.malformed(stream, Rule::W2, out),
        }
    }

    fn on_client_message<C: Crypto>(
        &mut self,
        now: Now,
        stream: StreamId,
        message: ClientMessage,
        crypto: &C,
        out: &mut Outputs,
    ) {
        match message {
            ClientMessage::StreamRequest(request) => self.on_request(now, stream, request, crypto, out),
            ClientMessage::Voucher(voucher) => self.on_voucher_message(stream, voucher, crypto, out),
            ClientMessage::StreamEnd => self.on_stream_end(stream, out),
            ClientMessage::CloseRequest(request) => self.on_close_request(now, stream, request, crypto, out),
            ClientMessage::StreamResponse(_)
            | ClientMessage::VoucherAck(_)
            | ClientMessage::VoucherReject(_)
            | ClientMessage::StreamAbort(_)
            | ClientMessage::CloseConsent(_) => self.malformed(stream, Rule::W2, out),
        }
    }

    /// The payer has paid what it verified: nothing was lost on this stream.
    fn on_stream_end(&mut self, id: StreamId, out: &mut Outputs) {
        // A peer may end what it never asked for.
        if let Some(stream) = self.sending.streams.get_mut(&id) {
            stream.tail = Tail::new(stream.tail.hash);
        }
        let slot = self.end_stream(id);
        out.push(Lane::Stream(id), Effect::Finish { stream: id });
        self.pump_after_end(slot, out);
    }

    fn on_signed(
        &mut self,
        ticket: SignTicket,
        signature: Option<crate::crypto::Signature>,
        out: &mut Outputs,
    ) {
        let purpose = self.signing.remove(&ticket).expect("what was not asked for here is for the buyer");
        // Its channel may have settled meanwhile.
        if let Signing::Consent { channel, .. } = purpose
            && let Some(channel) = self.earnings.channels.get_mut(channel)
        {
            let was_consenting = core::mem::replace(&mut channel.is_consenting, false);
            assert!(was_consenting, "a channel knows that its consent is being signed (V7)");
        }
        match (purpose, signature) {
            (Signing::Probe { stream, rate, total_bytes, least_deposit }, signature) => {
                self.on_probe_signed(stream, (rate, total_bytes, least_deposit), signature, out);
            }
            (Signing::Response(stream), Some(signature)) => self.on_response_signed(stream, signature, out),
            (Signing::Consent { channel, stream }, Some(signature)) => {
                let lane = Lane::Channel(channel.index);
                out.send(lane, stream, ClientMessage::CloseConsent(signature));
                out.push(lane, Effect::Finish { stream });
            }
            (Signing::Response(stream) | Signing::Consent { stream, .. }, None) => {
                self.end_stream(stream);
                self.refuse(stream, Code::NotNow, out);
            }
        }
    }

    /// Whether a channel is one that it earns on.
    fn earns_on(&self, slot: Slot) -> bool {
        !self.buyer.pays_on(slot)
    }

    /// The most alarms that can be set: one of the role, three per channel that it earns on, and the buyer's.
    fn alarms_max(&self) -> usize {
        1 + self.buyer.purchase_alarms_max() + 3 * self.earnings.channels.len()
    }

    fn on_tick(&mut self, now: Now, out: &mut Outputs) {
        while let Some(key) = self.buyer.tools.alarms.due(now.mono) {
            match key {
                AlarmKey::Poll => self.poll(now, out),
                AlarmKey::Dispute(slot) | AlarmKey::Force(slot) if self.earns_on(slot) => {
                    self.defend(now, slot, out);
                }
                AlarmKey::Settle(slot) if self.earns_on(slot) => self.on_settle_due(now, slot, out),
                _ => {
                    self.prints.is_chain_dirty = true;
                    self.buyer.on_due(now, key, out);
                    self.buyer.catch_up(now, out);
                }
            }
        }
    }
}

impl Node {
    /// What only the buyer hears: what came on connections that it dialled, answers to what it asked for, its owner's orders.
    fn is_for_buyer(&self, input: &Input) -> bool {
        match input {
            Input::Connected { conn, .. } | Input::Disconnected { conn, .. } => self.buyer.has_dialled(*conn),
            Input::Message { stream, .. }
            | Input::StreamClosed { stream, .. }
            | Input::Malformed { stream, .. }
            | Input::Verdict { stream, .. } => self.buyer.has_dialled(stream.conn),
            Input::Signed { ticket, .. } => !self.signing.contains_key(ticket),
            Input::Tx { ticket, .. } => !self.closings.txs.contains_key(ticket),
            Input::CloseChannel(channel) | Input::Order(Order::Close(channel) | Order::Claim(channel)) => {
                !self.has_earned_on(channel)
            }
            Input::Order(_) => true,
            Input::Fetch(_) | Input::Cancel(_) | Input::Agreed { .. } | Input::Declined { .. } => true,
            _ => false,
        }
    }

    fn tidy(&mut self) {
        let most = self.alarms_max();
        self.buyer.tools.alarms.tidy(most);
    }
}

impl Role for Node {
    fn step<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs) {
        self.now = now;
        if self.is_for_buyer(&input) {
            self.prints.is_chain_dirty = true;
            self.buyer.hear(now, input, crypto, out);
            return self.tidy();
        }
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Connected { conn, peer, protocol, .. } => self.on_connected(conn, peer, protocol, out),
            Input::Disconnected { conn, .. } => self.on_disconnected(conn, out),
            Input::Message { stream, message } => self.on_message(now, stream, message, crypto, out),
            Input::StreamClosed { stream, .. } => {
                let slot = self.end_stream(stream);
                self.pump_after_end(slot, out);
            }
            // What comes on a stream that is being reset is late.
            Input::Malformed { stream, .. } if self.inbound.has_given_up(stream) => {}
            Input::Malformed { stream, code } => self.misbehaved(stream, Rule::W1, code, out),
            Input::RangeSent { stream } => self.on_range(stream, true, out),
            Input::RangeFailed { stream } => self.on_range(stream, false, out),
            Input::BlobReady { hash, bytes } => {
                let cx = &mut Cx { now, tools: &mut self.buyer.tools, out };
                self.sending.on_blob_ready(hash, bytes, self.config.limits.blobs, cx);
            }
            Input::BlobGone { hash } => _ = self.sending.blobs.remove(&hash),
            Input::Persisted { seq } => self.on_persisted(now, seq, out),
            Input::Signed { ticket, signature } => self.on_signed(ticket, signature, out),
            Input::Chain(update) => self.on_chain(now, update, out),
            Input::ChainUnreachable => self.on_chain_unreachable(now, out),
            Input::Tx { ticket, outcome } => self.on_tx(now, ticket, outcome, out),
            Input::CloseChannel(channel) => self.on_earned_order(now, Order::Close(channel), channel, out),
            Input::Order(order @ (Order::Close(channel) | Order::Claim(channel))) => {
                self.on_earned_order(now, order, channel, out);
            }
            // All else is for the buyer, which says what is for nobody here.
            input => self.buyer.hear(now, input, crypto, out),
        }
        self.tidy();
    }

    fn next_deadline(&self) -> Option<(Time, Reason)> {
        self.buyer.tools.alarms.next().map(|(at, key)| (at, self.buyer.reason(key)))
    }

    fn digest(&mut self) -> Digest {
        let Self { prints, closings, earnings, sending, inbound, .. } = self;
        let Prints { tally, is_chain_dirty, chain, are_quotes_dirty, quotes } = prints;
        let channels =
            earnings.channels.fold(tally, |slot, channel, out| (channel, closings.get(slot)).canon(out));
        let streams = sending.streams.fold(tally, |id, stream, out| (*id, stream).canon(out));
        let conns = inbound.conns.fold(tally, |id, conn, out| (*id, conn).canon(out));
        let blobs = sending.blobs.fold(tally, |hash, bytes, out| (*hash, *bytes).canon(out));
        if core::mem::take(are_quotes_dirty) {
            tally.fold(quotes, &self.quotes);
        }
        if core::mem::take(is_chain_dirty) {
            tally.fold(chain, &(&self.buyer.follower, &*earnings));
        }
        let sold = tally.digest([channels, streams, conns, blobs]);
        // As long as it has bought nothing its digest is that of what it sells.
        if self.buyer.is_idle() { sold } else { sold.and(&self.buyer.digest()) }
    }

    fn check(&self) -> Result<(), Broken> {
        self.check_all()
    }
}
