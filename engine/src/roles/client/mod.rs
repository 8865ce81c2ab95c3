//! The client: buys bytes from one candidate after the other, pays for what it verified, defends what it paid.
//!
//! `fetch` moves a download along, `again` takes orders for one that is there, `probe` asks a node for its price, `agree` the owner
//! whether to pay it, `stream` talks to the node, `pay` signs vouchers, `open` and `close` begin and end channels, `watch` follows the
//! chain, `rewind` takes back what the chain takes back. This file holds the state and sends each input to its room.

mod again;
mod agree;
mod canon;
mod check;
mod close;
mod fetch;
mod open;
mod order;
mod pay;
mod probe;
mod rewind;
mod stream;
mod watch;

use alloc::{
    collections::{BTreeMap, VecDeque},
    vec,
    vec::Vec,
};

use canon::Prints;

use super::{
    config::ClientConfig,
    role::{Reason, Role},
};
use crate::{
    chain::Interest,
    crypto::{Crypto, Signature},
    fault::Rule,
    ids::{ConnId, FetchId, NodeId, SignTicket, StreamId},
    io::{FetchFailure, Gone, Input, Lane, Outputs},
    machine::{
        AlarmKey, Cx, Tools,
        closings::{Closings, Settling},
        fetcher::{Failure, Fetcher, Price, Stage},
        follower::Follower,
        identity::Identity,
        links::{Ended, Links},
        opener::Opener,
        orders::Orders,
        prober::Prober,
        wallet::Wallet,
    },
    order::{Agreement, Order},
    record::{Paying, PersistSeq, Record},
    state::{Broken, Digest, Slot},
    time::{Now, Span, Time},
    wire::{ClientMessage, Message, ProbeMessage},
};

/// What follows elsewhere from what a method did. It waits until that method is done: it may be in the middle of a channel or a
/// download that the consequences change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Next {
    /// An attempt of this download is over.
    Failed(FetchId, Failure),
    /// Something that only one can have at a time is free again: whoever waits for this node goes on.
    Freed(NodeId),
}

/// The first place of the channels that a node pays on: those that it earns on have their places below. Lanes and alarms go by places.
const BESIDE: u32 = 1 << 31;

/// See the module.
#[derive(Clone, Debug)]
pub struct Client {
    config: ClientConfig,
    wallet: Wallet,
    links: Links,
    identity: Identity,
    prober: Prober,
    fetcher: Fetcher,
    opener: Opener,
    closings: Closings,
    /// Of a node these are its own as well.
    pub(super) orders: Orders,
    pub(super) follower: Follower,
    pub(super) tools: Tools,
    /// First in, first out; empty between two steps.
    todo: VecDeque<Next>,
    pub(super) prints: Prints,
}

/// A client settles for its refund.
const SETTLING: Settling = Settling { grace: Span::from_secs(1), for_nothing: true };

impl Client {
    /// A client that knows nothing yet. It reads the chain at the first tick, which is due at once.
    pub fn new(config: ClientConfig) -> Self {
        Self::recover(config, core::iter::empty())
    }

    /// A client from its durable records (O12): a fold, the last record of a key wins. Downloads go on at their
    /// last durable byte (D14), channels that nothing uses are closed.
    pub fn recover(config: ClientConfig, records: impl Iterator<Item = Record>) -> Self {
        let interests = vec![Interest::ChannelsOf(config.account)];
        let mut client = Self::with(config, Wallet::default(), interests);
        let mut kept = BTreeMap::new();
        for record in records {
            kept.insert(record.key(), record);
        }
        kept.into_values().for_each(|record| client.adopt(record));
        client.start();
        client
    }

    /// The client in a node that buys: it has no record yet, and reads of the chain for both.
    pub(super) fn beside(config: ClientConfig, interests: Vec<Interest>) -> Self {
        Self::with(config, Wallet::numbered_from(BESIDE), interests)
    }

    fn with(config: ClientConfig, wallet: Wallet, interests: Vec<Interest>) -> Self {
        let follower = Follower::new(config.start_block, config.monitor, interests);
        let fetcher = Fetcher::new(config.account, config.attempts, config.timeouts);
        let identity = Identity::new(config.node, config.account);
        Self {
            config,
            wallet,
            links: Links::default(),
            identity,
            prober: Prober::default(),
            fetcher,
            opener: Opener::default(),
            closings: Closings::new(SETTLING),
            orders: Orders::default(),
            follower,
            tools: Tools::default(),
            todo: VecDeque::new(),
            prints: Prints::default(),
        }
    }

    /// Takes up what a record says; each key once.
    pub(super) fn adopt(&mut self, record: Record) {
        match record {
            Record::Paying(paying) => _ = self.wallet.adopt(paying),
            Record::Fetch(fetch) if self.config.resumes => self.fetcher.adopt(fetch, Price::Due),
            Record::Fetch(fetch) | Record::Kept(fetch) => self.fetcher.adopt_kept(fetch),
            Record::Cursor(block) => self.follower.recover(block),
            // Behind those of channels: what is sold on has no dispute of the buyer's.
            Record::Dispute(dispute) => self.closings.recover(dispute),
            // What a client closes is on record with its channel.
            Record::Order(order) if order.is_call() => self.orders.recover(order),
            Record::Earning(_)
            | Record::Gone(_)
            | Record::Order(_)
            | Record::Claimed(_)
            | Record::Forgone(_) => {}
        }
    }

    /// All records are taken up.
    pub(super) fn start(&mut self) {
        self.note_lost();
        self.expect_facts();
        self.tools.alarms.arm(AlarmKey::Poll, Time(0));
    }

    /// Whether a channel is one that is paid on here, in a node that also earns on channels.
    pub(super) fn pays_on(&self, slot: Slot) -> bool {
        self.wallet.channels.numbers(slot)
    }

    /// Whether a connection was dialled, or a stream opened, from here.
    pub(super) fn has_dialled(&self, conn: ConnId) -> bool {
        self.tools.has_dialled(conn)
    }

    /// Whether it has nothing to do, and nothing to lose.
    pub(super) fn is_idle(&self) -> bool {
        let (conns, _) = self.links.counts();
        conns == 0
            && self.wallet.channels.is_empty()
            && self.fetcher.fetches.is_empty()
            && self.opener.is_empty()
            && self.prober.is_empty()
            && self.wallet.signing() == 0
            && self.orders.is_empty()
            && !self.identity.is_asked()
    }

    /// After a crash nobody knows which streams ran: each download may have lost bytes on each channel that was used.
    fn note_lost(&mut self) {
        for id in self.fetcher.ids(|fetch| !fetch.is_kept()) {
            self.note_lost_of(id);
        }
    }

    /// The same of one download.
    fn note_lost_of(&mut self, id: FetchId) {
        let fetch = self.fetcher.fetches.get(&id).expect("what lost bytes is there");
        let order = &fetch.record.order;
        for candidate in &order.candidates {
            for slot in self.wallet.with(candidate.node).to_vec() {
                let Paying { meter, token, .. } = self.wallet.channels[slot].paying;
                if meter.owed_raw() > 0 && token == order.token {
                    self.wallet.channels[slot].note_lost(id, fetch.position());
                }
            }
        }
    }

    /// Downloads under way, and those that are kept.
    pub fn fetch_count(&self) -> usize {
        self.fetcher.fetches.len()
    }

    /// Channels that are not settled, with their durable state. For inspection.
    pub fn channels(&self) -> impl Iterator<Item = &Paying> {
        self.wallet.channels.iter().map(|(_, channel)| &channel.paying)
    }

    /// How many entries each table holds. For inspection: all of them are bounded (O11).
    pub fn tables(&self) -> [(&'static str, usize); 16] {
        let (conns, greeted) = self.links.counts();
        [
            ("channels", self.wallet.channels.len()),
            ("peers", self.wallet.nodes().count()),
            ("conns", conns),
            ("streams", self.links.streams.len()),
            ("probes", self.prober.len()),
            ("fetches", self.fetcher.fetches.len()),
            ("openings", self.opener.len()),
            ("signing", self.wallet.signing() + usize::from(self.identity.is_asked())),
            ("txs", self.closings.txs.len()),
            ("disputes", self.closings.disputes().len()),
            ("retained", self.closings.retained.len()),
            ("openings", self.follower.openings.soft()),
            ("unseen", self.follower.openings.unseen()),
            ("greeted", greeted),
            ("orders", self.orders.len()),
            ("alarms", self.tools.alarms.len()),
        ]
    }

    fn persist(&mut self, lane: Lane, writes: Vec<Record>, out: &mut Outputs) -> PersistSeq {
        self.tools.persist(lane, writes, out)
    }

    /// Connects to a node unless that has been done; false if there are too many connections.
    fn connect(&mut self, now: Now, node: NodeId, out: &mut Outputs) -> bool {
        let most = self.config.limits.conns;
        self.links.connect(node, most, &mut Cx { now, tools: &mut self.tools, out })
    }

    /// Hangs up on nodes that no channel, stream or download is left for. Called where one of these ends.
    fn leave_idle_peers(&mut self, now: Now, out: &mut Outputs) {
        let Self { wallet, fetcher, .. } = self;
        let is_listed = |node: &NodeId| fetcher.fetches.values().any(|fetch| fetch.lists(*node));
        let is_wanted = |node: &NodeId| !wallet.with(*node).is_empty() || is_listed(node);
        self.links.leave(is_wanted, &mut Cx { now, tools: &mut self.tools, out });
    }

    fn on_connected(&mut self, now: Now, conn: ConnId, rtt: Span, out: &mut Outputs) {
        if self.prober.get(conn).is_some() {
            return self.on_probe_connected(now, conn, out);
        }
        // It may have been hung up on meanwhile.
        let Some(node) = self.links.on_up(conn, rtt) else { return };
        self.advance_peer(now, node, out);
    }

    fn on_disconnected(&mut self, now: Now, conn: ConnId, why: Gone, out: &mut Outputs) {
        if self.prober.get(conn).is_some() {
            return self.on_probe_lost(now, conn, why, out);
        }
        // It may have been hung up on meanwhile.
        let Some(Ended { node, was_up, streams }) = self.links.on_gone(conn) else { return };
        for id in streams {
            self.on_stream_lost(now, id, out);
        }
        if !was_up {
            if why == Gone::WrongPeer {
                out.unattributed(node, Rule::I3);
            }
            return self.on_unreachable(now, node, out);
        }
        self.advance_closings(now, node, out);
    }

    /// Everything that may have waited for this node: its downloads, then its closes.
    fn advance_peer(&mut self, now: Now, node: NodeId, out: &mut Outputs) {
        let waiting = self.fetcher.ids(|fetch| fetch.is_waiting_for(node));
        for id in waiting {
            self.advance(now, id, out);
        }
        self.advance_closings(now, node, out);
    }

    /// Everything that may have waited for the chain or the proof of identity.
    fn advance_all(&mut self, now: Now, out: &mut Outputs) {
        let waiting = self.fetcher.ids(|fetch| fetch.stage == Stage::Waiting);
        for id in waiting {
            self.advance(now, id, out);
        }
        let nodes: Vec<NodeId> = self.wallet.nodes().collect();
        for node in nodes {
            self.advance_closings(now, node, out);
        }
    }

    fn on_signed(&mut self, now: Now, ticket: SignTicket, signature: Option<Signature>, out: &mut Outputs) {
        match self.identity.on_signed(ticket, signature) {
            None => self.on_voucher_signed(now, ticket, signature, out),
            Some(is_proven) => {
                self.prints.is_rest_dirty = true;
                if is_proven {
                    self.advance_all(now, out);
                }
            }
        }
    }

    fn on_message<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        message: Message,
        crypto: &C,
        out: &mut Outputs,
    ) {
        if self.prober.get(id.conn).is_some() {
            return match message {
                Message::Probe(ProbeMessage::Response(response)) => {
                    self.on_probe_response(now, id, response, crypto, out);
                }
                _ => self.on_probe_breach(now, id, Rule::W2, out),
            };
        }
        // Late: the stream has ended.
        if !self.links.streams.contains_key(&id) {
            return;
        }
        self.links.on_answer(id);
        let Message::Client(message) = message else {
            return self.on_breach(now, id, Rule::W2, out);
        };
        match message {
            ClientMessage::StreamResponse(response) => self.on_response(now, id, response, crypto, out),
            ClientMessage::VoucherAck(nonce) => self.on_ack(now, id, nonce, out),
            ClientMessage::VoucherReject(reject) => self.on_reject(now, id, reject, out),
            ClientMessage::StreamAbort(error) => self.on_abort(now, id, error, out),
            ClientMessage::CloseConsent(signature) => self.on_consent(now, id, signature, crypto, out),
            ClientMessage::StreamRequest(_)
            | ClientMessage::Voucher(_)
            | ClientMessage::StreamEnd
            | ClientMessage::CloseRequest(_) => self.on_breach(now, id, Rule::W2, out),
        }
    }

    fn on_tick(&mut self, now: Now, out: &mut Outputs) {
        while let Some(key) = self.tools.alarms.due(now.mono) {
            self.on_due(now, key, out);
            self.catch_up(now, out);
        }
    }

    /// Does what has come up, and what comes up by that.
    pub(super) fn catch_up(&mut self, now: Now, out: &mut Outputs) {
        while let Some(next) = self.todo.pop_front() {
            match next {
                Next::Failed(id, failure) => self.fail_attempt(now, id, failure, out),
                Next::Freed(node) => self.advance_peer(now, node, out),
            }
        }
    }

    /// The most alarms that can be set: two of the role, one per download, seven per channel.
    fn alarms_max(&self) -> usize {
        2 + self.fetcher.fetches.len() + 7 * self.wallet.channels.len()
    }

    /// The same in a node, which reads the chain anyway: none as long as nothing is bought.
    pub(super) fn purchase_alarms_max(&self) -> usize {
        let opening = usize::from(!self.opener.is_empty());
        opening + self.fetcher.fetches.len() + 7 * self.wallet.channels.len()
    }

    pub(super) fn on_due(&mut self, now: Now, key: AlarmKey, out: &mut Outputs) {
        match key {
            AlarmKey::Poll => self.poll(now, out),
            AlarmKey::Opening => self.on_opening_late(now, out),
            AlarmKey::Fetch(id) => self.on_fetch_due(now, id, out),
            AlarmKey::Quiet(slot) => self.pay(now, slot, true, out),
            AlarmKey::Resend(slot) => self.on_resend_due(now, slot, out),
            AlarmKey::Consent(slot) => self.on_consent_due(now, slot, out),
            AlarmKey::Ask(slot) => self.on_ask_due(now, slot, out),
            AlarmKey::Dispute(slot) | AlarmKey::Force(slot) => self.defend(now, slot, out),
            AlarmKey::Settle(slot) => self.on_settle_due(now, slot, out),
        }
    }
}

impl Client {
    /// A step but for its end, which is the role's.
    pub(super) fn hear<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs) {
        match input {
            Input::Tick => self.on_tick(now, out),
            Input::Connected { conn, rtt, .. } => self.on_connected(now, conn, rtt, out),
            Input::Disconnected { conn, why } => self.on_disconnected(now, conn, why, out),
            Input::Message { stream, message } => self.on_message(now, stream, message, crypto, out),
            Input::StreamClosed { stream, code } => self.on_stream_closed(now, stream, code, out),
            Input::Malformed { stream, .. } => self.on_breach(now, stream, Rule::W1, out),
            Input::Verdict { stream, verdict } => self.on_verdict(now, stream, verdict, out),
            Input::Persisted { seq } => self.follower.checkpoint.on_persisted(seq),
            Input::Signed { ticket, signature } => self.on_signed(now, ticket, signature, out),
            Input::Chain(update) => self.on_chain(now, update, out),
            Input::ChainUnreachable => self.on_chain_unreachable(now, out),
            Input::Tx { ticket, outcome } => self.on_tx(now, ticket, outcome, out),
            Input::Fetch(order) => self.on_order(now, order, out),
            Input::Cancel(id) => self.fail_fetch(now, id, FetchFailure::Cancelled, out),
            Input::CloseChannel(channel) => self.on_money_order(now, Order::Close(channel), out),
            Input::Order(order) => self.on_money_order(now, order, out),
            Input::Agreed { fetch, node, rate, deposit } => {
                self.on_agreed(now, fetch, node, Agreement { rate, deposit }, out);
            }
            Input::Declined { fetch, node } => self.on_declined(now, fetch, node, out),
            // A client sells nothing.
            Input::RangeSent { .. }
            | Input::RangeFailed { .. }
            | Input::BlobReady { .. }
            | Input::BlobGone { .. } => {}
        }
        self.catch_up(now, out);
    }

    /// Why an alarm is set.
    pub(super) fn reason(&self, key: AlarmKey) -> Reason {
        match key {
            AlarmKey::Poll => Reason::Poll,
            AlarmKey::Opening => Reason::Inclusion,
            AlarmKey::Fetch(id) => match self.fetcher.fetches.get(&id).map(|fetch| fetch.stage) {
                Some(Stage::BackingOff) => Reason::Retry,
                Some(Stage::Asking) => Reason::Agreement,
                _ => Reason::Silence,
            },
            AlarmKey::Quiet(_) => Reason::Quiet,
            AlarmKey::Resend(_) => Reason::Resend,
            AlarmKey::Consent(_) => Reason::Consent,
            AlarmKey::Ask(_) => Reason::Retry,
            AlarmKey::Dispute(_) => Reason::Retry,
            AlarmKey::Force(_) => Reason::Force,
            AlarmKey::Settle(_) => Reason::Settle,
        }
    }
}

impl Role for Client {
    fn step<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs) {
        self.hear(now, input, crypto, out);
        self.tools.alarms.tidy(self.alarms_max());
    }

    fn next_deadline(&self) -> Option<(Time, Reason)> {
        self.tools.alarms.next().map(|(at, key)| (at, self.reason(key)))
    }

    fn digest(&mut self) -> Digest {
        self.fold()
    }

    fn check(&self) -> Result<(), Broken> {
        self.check_all()
    }
}
