//! The node: sells bytes, takes vouchers, defends what it earned.
//!
//! `probe` answers what is asked before money moves, `request` stream requests, `sell` sends within the exposure window, `earn` takes vouchers and closes,
//! `watch` follows the chain. This file holds the state and sends each input to its room.

mod earn;
mod probe;
mod request;
mod sell;
mod state;
mod watch;

use alloc::{collections::BTreeMap, vec, vec::Vec};

use state::{Channel, Conn, Signing, Stream, StreamState};

use super::{
    config::NodeConfig,
    role::{Reason, Role},
};
use crate::{
    chain::Interest,
    crypto::{Crypto, Deployment, Typed},
    delivery::{Meter, Tail},
    dispute::Cue,
    fault::{Fault, LimitHit, Proof, Rule},
    ids::{BlobHash, ChannelId, ConnId, NodeId, SignTicket, StreamId, TxTicket},
    io::{Effect, Input, Lane, Outputs},
    machine::{AlarmKey, Tools, closings::Closings, follower::Follower},
    money::{Amount, Nonce},
    record::{Earning, PersistSeq, Record},
    state::{Canon, Digest, IdMap, Mark, Slot, Tally, TrackedMap, TrackedSlab},
    time::{Now, Time},
    wire::{ClientMessage, Code, Message, ProbeMessage, Protocol},
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Node {
    config: NodeConfig,
    channels: TrackedSlab<Channel>,
    by_id: IdMap<Slot>,
    conns: TrackedMap<ConnId, Conn>,
    by_peer: BTreeMap<(NodeId, Protocol), ConnId>,
    desk: probe::Desk,
    streams: TrackedMap<StreamId, Stream>,
    blobs: TrackedMap<BlobHash, u64>,
    signing: BTreeMap<SignTicket, Signing>,
    /// Write sets on their way that raise a channel's sending limit.
    raising: BTreeMap<PersistSeq, (Slot, Amount)>,
    txs: BTreeMap<TxTicket, Slot>,
    /// Channels served before their opening was safe, with the block (V6).
    soft: Vec<(u64, Slot)>,
    closings: Closings,
    follower: Follower,
    tools: Tools,
    /// When the present step is: what credit depends on.
    now: Now,
    tally: Tally,
    is_chain_dirty: bool,
    chain: Mark,
}

impl Node {
    /// A node that knows nothing yet. It reads the chain at the first tick, which is due at once.
    pub fn new(config: NodeConfig) -> Self {
        Self::recover(config, core::iter::empty())
    }

    /// A node from its durable records (O12): a fold, the last record of a key wins.
    pub fn recover(config: NodeConfig, records: impl Iterator<Item = Record>) -> Self {
        let interests = vec![Interest::ChannelsOf(config.account)];
        let follower = Follower::new(config.start_block, config.monitor, interests);
        let mut node = Self {
            config,
            channels: TrackedSlab::default(),
            by_id: IdMap::default(),
            conns: TrackedMap::default(),
            by_peer: BTreeMap::new(),
            desk: probe::Desk::default(),
            streams: TrackedMap::default(),
            blobs: TrackedMap::default(),
            signing: BTreeMap::new(),
            raising: BTreeMap::new(),
            txs: BTreeMap::new(),
            soft: Vec::new(),
            closings: Closings::default(),
            follower,
            tools: Tools::default(),
            now: Now::default(),
            tally: Tally::default(),
            is_chain_dirty: true,
            chain: Mark::default(),
        };
        let mut kept = BTreeMap::new();
        for record in records {
            kept.insert(record.key(), record);
        }
        for record in kept.into_values() {
            match record {
                Record::Earning(earning) => {
                    node.adopt(earning);
                }
                Record::Cursor(block) => node.follower.recover(block),
                Record::Paying(_) | Record::Fetch(_) | Record::Gone(_) => {}
            }
        }
        node.tools.alarms.arm(AlarmKey::Poll, Time(0));
        node
    }

    /// Takes up a channel. What it sent beyond its best voucher is forgotten: the fewest bytes count (D8).
    fn adopt(&mut self, earning: Earning) -> Slot {
        let (meter, durable) = match earning.best {
            None => (Meter::new(), Amount::ZERO),
            Some(best) => {
                let mut meter = best.meter;
                meter.lower_to(best.amount);
                (meter, best.amount)
            }
        };
        let slot = self.channels.insert(Channel {
            id: earning.channel,
            client: earning.client,
            token: earning.token,
            deposit: earning.deposit,
            opened_at_block: earning.opened_at_block,
            status: earning.status,
            best: earning.best,
            durable,
            meter,
            streams: Vec::new(),
            turn: 0,
            tails: Vec::new(),
            is_consenting: false,
            is_soft: false,
        });
        self.by_id.insert(earning.channel, slot);
        slot
    }

    /// Channels that are not settled.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// The best voucher of a channel: nonce, amount, and whether it is durable. For inspection.
    pub fn best_voucher(&self, channel: &ChannelId) -> Option<(Nonce, Amount)> {
        self.by_id.get(channel).and_then(|slot| self.channels.get(slot)).map(Channel::best_pair)
    }

    /// Bytes of memory that an open, idle channel takes.
    pub const fn bytes_per_channel() -> usize {
        TrackedSlab::<Channel>::bytes_per_entry() + 32 + size_of::<Slot>() + 1
    }

    /// How many entries each table holds. For inspection: all of them are bounded (O11).
    pub fn tables(&self) -> [(&'static str, usize); 12] {
        [
            ("channels", self.channels.len()),
            ("conns", self.conns.len()),
            ("probers", self.desk.len()),
            ("streams", self.streams.len()),
            ("blobs", self.blobs.len()),
            ("signing", self.signing.len()),
            ("raising", self.raising.len()),
            ("txs", self.txs.len()),
            ("soft", self.soft.len()),
            ("retrying", self.closings.retrying()),
            ("tails", self.channels.iter().map(|(_, channel)| channel.tails.len()).max().unwrap_or(0)),
            ("alarms", self.tools.alarms.len()),
        ]
    }

    /// Whether as many signatures are outstanding as all streams and channels can want at once: some are for peers that
    /// left, and a slow signer must not be asked for ever more of them (O11).
    fn is_signing_enough(&self) -> bool {
        let limits = &self.config.limits;
        self.signing.len() >= limits.conns * (1 + limits.streams_per_conn as usize) + limits.channels
    }

    fn sign(&mut self, lane: Lane, what: Typed, purpose: Signing, out: &mut Outputs) {
        let ticket = self.tools.sign(lane, what, out);
        self.signing.insert(ticket, purpose);
    }

    fn persist(&mut self, slot: Slot, writes: Vec<Record>, out: &mut Outputs) -> PersistSeq {
        self.tools.persist(Lane::Channel(slot.index), writes, out)
    }

    fn deployment(&self) -> Deployment {
        self.config.deployment
    }

    fn refuse(&mut self, stream: StreamId, code: Code, out: &mut Outputs) {
        out.reset(stream, code);
    }

    fn malformed(&mut self, stream: StreamId, rule: Rule, out: &mut Outputs) {
        self.misbehaved(stream, rule, Code::Malformed, out);
    }

    /// The peer did what no honest one does: the stream ends with this code (W4).
    fn misbehaved(&mut self, stream: StreamId, rule: Rule, code: Code, out: &mut Outputs) {
        if let Some(conn) = self.conns.get(&stream.conn) {
            let fault = Fault::Peer { peer: conn.peer, rule, proof: Proof::Message(stream) };
            out.fault(fault);
        }
        let slot = self.end_stream(stream);
        self.refuse(stream, code, out);
        self.pump_after_end(slot, out);
    }

    fn on_connected(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol, out: &mut Outputs) {
        // One connection per peer and protocol (W3): a peer that comes again has lost the old one.
        let by = (peer, protocol);
        if let Some(old) = self.by_peer.get(&by).copied() {
            self.on_disconnected(old, out);
            out.disconnect(old, Code::NotNow);
        }
        if self.conns.len() >= self.config.limits.conns {
            out.limit(Rule::W3, LimitHit::Conns);
            out.disconnect(conn, Code::NotNow);
            return;
        }
        self.by_peer.insert(by, conn);
        self.conns.insert(conn, Conn { peer, protocol, account: None, streams: 0 });
    }

    fn on_disconnected(&mut self, conn: ConnId, out: &mut Outputs) {
        let Some(gone) = self.conns.remove(&conn) else { return };
        let by = (gone.peer, gone.protocol);
        if self.by_peer.get(&by) == Some(&conn) {
            self.by_peer.remove(&by);
        }
        let first = StreamId { conn, index: 0 };
        let last = StreamId { conn, index: u32::MAX };
        let ids: Vec<StreamId> = self.streams.range(first..=last).map(|(id, _)| *id).collect();
        for id in ids {
            let slot = self.end_stream(id);
            self.pump_after_end(slot, out);
        }
    }

    /// Forgets a stream; what it sent last stays with the channel while something is unpaid (D8).
    fn end_stream(&mut self, id: StreamId) -> Option<Slot> {
        let stream = self.streams.remove(&id)?;
        if let Some(conn) = self.conns.get_mut(&id.conn) {
            conn.streams -= 1;
        }
        let tails_max = self.config.limits.tails;
        if let Some(channel) = self.channels.get_mut(stream.channel) {
            channel.streams.retain(|other| *other != id);
            if channel.may_have_lost() && !stream.tail.is_empty() {
                if channel.tails.len() >= tails_max {
                    channel.tails.remove(0);
                }
                channel.tails.push(stream.tail);
            }
        }
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
        let Some(conn) = self.conns.get(&stream.conn) else { return };
        if message.protocol() != conn.protocol {
            return self.malformed(stream, Rule::W1, out);
        }
        match message {
            Message::Client(message) => self.on_client_message(now, stream, message, crypto, out),
            Message::Probe(ProbeMessage::Request(request)) => self.on_probe(now, stream, request, out),
            Message::Probe(ProbeMessage::Response(_)) => self.malformed(stream, Rule::W1, out),
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
            | ClientMessage::CloseConsent(_) => self.malformed(stream, Rule::W1, out),
        }
    }

    /// The payer has paid what it verified: nothing was lost on this stream.
    fn on_stream_end(&mut self, id: StreamId, out: &mut Outputs) {
        if let Some(stream) = self.streams.get_mut(&id) {
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
        let purpose = self.signing.remove(&ticket);
        if let Some(Signing::Consent { channel, .. }) = purpose
            && let Some(channel) = self.channels.get_mut(channel)
        {
            channel.is_consenting = false;
        }
        match (purpose, signature) {
            (Some(Signing::Probe { stream, rate, total_bytes }), signature) => {
                self.on_probe_signed(stream, (rate, total_bytes), signature, out);
            }
            (Some(Signing::Response(stream)), Some(signature)) => {
                self.on_response_signed(stream, signature, out)
            }
            (Some(Signing::Consent { channel, stream }), Some(signature)) => {
                let lane = Lane::Channel(channel.index);
                out.send(lane, stream, ClientMessage::CloseConsent(signature));
                out.push(lane, Effect::Finish { stream });
            }
            (Some(Signing::Response(stream) | Signing::Consent { stream, .. }), None) => {
                self.end_stream(stream);
                self.refuse(stream, Code::NotNow, out);
            }
            (None, _) => {}
        }
    }

    fn on_tick(&mut self, now: Now, out: &mut Outputs) {
        while let Some(key) = self.tools.alarms.due(now.mono) {
            match key {
                AlarmKey::Poll => self.poll(now, out),
                AlarmKey::Force(slot) => self.defend(now, slot, Cue::Due, out),
                AlarmKey::Settle(slot) => self.on_settle_due(now, slot, out),
                _ => unreachable!("a node sets no other alarm"),
            }
        }
    }
}

impl Role for Node {
    fn step<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs) {
        self.now = now;
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Connected { conn, peer, protocol, .. } => self.on_connected(conn, peer, protocol, out),
            Input::Disconnected { conn, .. } => self.on_disconnected(conn, out),
            Input::Message { stream, message } => self.on_message(now, stream, message, crypto, out),
            Input::StreamClosed { stream, .. } => {
                let slot = self.end_stream(stream);
                self.pump_after_end(slot, out);
            }
            Input::Malformed { stream, code } => self.misbehaved(stream, Rule::W1, code, out),
            Input::RangeSent { stream } => self.on_range_sent(stream, out),
            Input::RangeFailed { stream } => self.on_range_failed(stream, out),
            Input::BlobReady { hash, bytes } => self.on_blob_ready(hash, bytes, out),
            Input::BlobGone { hash } => self.forget_blob(hash),
            Input::Persisted { seq } => self.on_persisted(now, seq, out),
            Input::Signed { ticket, signature } => self.on_signed(ticket, signature, out),
            Input::Chain(update) => self.on_chain(now, update, out),
            Input::ChainUnreachable => self.on_chain_unreachable(now, out),
            Input::Tx { ticket, outcome } => self.on_tx(now, ticket, outcome, out),
            Input::CloseChannel(channel) => self.on_close_order(channel, out),
            // A node buys nothing yet: content and downloads are not for it.
            Input::Verdict { .. } | Input::Fetch(_) | Input::Cancel(_) => {}
        }
        // At most the role's alarm and two per channel are set.
        self.tools.alarms.tidy(1 + 2 * self.channels.len());
    }

    fn next_deadline(&self) -> Option<(Time, Reason)> {
        self.tools.alarms.next().map(|(at, key)| {
            let reason = match key {
                AlarmKey::Poll => Reason::Poll,
                AlarmKey::Force(_) => Reason::Force,
                _ => Reason::Settle,
            };
            (at, reason)
        })
    }

    fn digest(&mut self) -> Digest {
        let Self { tally, closings, .. } = self;
        let channels =
            self.channels.fold(tally, |slot, channel, out| (channel, closings.get(slot)).canon(out));
        let streams = self.streams.fold(tally, |id, stream, out| (*id, stream).canon(out));
        let conns = self.conns.fold(tally, |id, conn, out| (*id, conn).canon(out));
        let blobs = self.blobs.fold(tally, |hash, bytes, out| (*hash, *bytes).canon(out));
        if core::mem::take(&mut self.desk.is_dirty) {
            let mut mark = self.desk.mark;
            self.tally.fold(&mut mark, &self.desk);
            self.desk.mark = mark;
        }
        if core::mem::take(&mut self.is_chain_dirty) {
            self.tally.fold(&mut self.chain, &self.follower);
        }
        self.tally.digest([channels, streams, conns, blobs])
    }
}
