//! Hand-made stories for one oracle: who is there, a chain that says what it is told to say, and what happens.

use std::collections::BTreeMap;

use decdn_contracts::{Answer, Query, channel as channel_contract, token};
use decdn_engine::{
    blob::Verdict,
    chain::{
        Block, ChainEvent, Route, State, Subject,
        channel::{Call, Ending, EventKind, Revert},
    },
    crypto::{Signature, SignedVoucher, Typed, VoucherTerms},
    delivery::Meter,
    ids::{Address, BlobHash, ChannelId, ConnId, NodeId, StreamId},
    io::{Effect, Input, Lane, Output},
    limits::GROUP,
    money::{Amount, MB, Nonce, Rate},
    record::{Best, ChannelStatus, Earning, Paying, PersistSeq, Record},
    time::{ChainTime, Now, Time, WallTime},
    wire::{ClientMessage, Message, StreamRequest, StreamResponse, Voucher},
};
use decdn_sim::{
    actor::ActorId,
    cast::{Cast, Part, Person},
    check::{Briefing, Lifted, oracles},
    report::Report,
    scenario::Symbol,
    seen::{ChainView, Durable, Included, LinkId, OnChain, OnChainStatus, Oracle, Pipe, Seen},
};

pub const CLIENT: ActorId = ActorId(0);
pub const NODE: ActorId = ActorId(1);
pub const THIEF: ActorId = ActorId(2);
pub const LIAR: ActorId = ActorId(3);
/// A node that also buys.
pub const TRADER: ActorId = ActorId(4);

/// A base unit per byte: what costs n bytes costs n.
pub const RATE: Rate = Rate(MB);
/// What every node offers: four groups, the least there is (D6).
pub const OFFER: u64 = 4 * GROUP;
pub const DEPOSIT: u128 = 1_000_000;
pub const WALLET: u128 = 5_000_000;
/// W and F.
pub const WINDOW: u64 = 48 * 3_600;
pub const FORCED: u64 = 24 * 3_600;
/// The chain's clock at simulated time zero.
pub const EPOCH: u64 = 1_800_000_000;
pub const BLOB: BlobHash = BlobHash([7; 32]);
pub const ESCROW: Address = Address::repeat_byte(0xee);
const TOKEN: Address = Address::repeat_byte(0xcc);

pub fn account(id: ActorId) -> Address {
    Address::repeat_byte(id.0 as u8 + 1)
}

pub fn node_id(id: ActorId) -> NodeId {
    NodeId([id.0 as u8 + 1; 32])
}

/// The first channel of a pair.
pub fn channel(client: ActorId, node: ActorId) -> ChannelId {
    ChannelId([client.0 as u8 * 16 + node.0 as u8 + 1; 32])
}

/// A channel right after its opening.
pub fn opened(client: ActorId, node: ActorId) -> OnChain {
    OnChain {
        id: channel(client, node),
        client: account(client),
        node: account(node),
        token: TOKEN,
        deposit: Amount(DEPOSIT),
        amount: Amount::ZERO,
        claimed: Amount::ZERO,
        nonce: Nonce::NONE,
        deadline: ChainTime(0),
        window_secs: WINDOW,
        status: OnChainStatus::Open,
    }
}

pub fn terms(channel: ChannelId, nonce: u64, amount: u128) -> VoucherTerms {
    VoucherTerms { channel, amount: Amount(amount), nonce: Nonce(nonce), token: TOKEN }
}

pub fn voucher(channel: ChannelId, nonce: u64, amount: u128) -> SignedVoucher {
    SignedVoucher { terms: terms(channel, nonce, amount), signature: Signature([9; 65]) }
}

pub fn paid(nonce: u64, amount: u128) -> Message {
    Message::Client(ClientMessage::Voucher(Voucher {
        amount: Amount(amount),
        nonce: Nonce(nonce),
        signature: Signature([9; 65]),
    }))
}

/// What a node keeps about a channel.
pub fn earning(client: ActorId, node: ActorId, nonce: u64, amount: u128) -> Record {
    let OnChain { id: channel, client, token, deposit, .. } = opened(client, node);
    let best = Best {
        amount: Amount(amount),
        nonce: Nonce(nonce),
        signature: Signature([9; 65]),
        meter: Meter::default(),
    };
    let (opened_at_block, status) = (1, ChannelStatus::Open);
    let best = (nonce > 0).then_some(best);
    Record::Earning(Earning { channel, client, token, deposit, opened_at_block, status, best })
}

/// What a client keeps about a channel.
pub fn paying(client: ActorId, node: ActorId, nonce: u64, amount: u128) -> Record {
    let OnChain { id: channel, node: operator, token, deposit, .. } = opened(client, node);
    Record::Paying(Paying {
        channel,
        node: node_id(node),
        operator,
        token,
        deposit,
        opened_at_block: 1,
        status: ChannelStatus::Open,
        is_kept: false,
        nonce: Nonce(nonce),
        amount: Amount(amount),
        meter: Meter::default(),
    })
}

pub fn request(client: ActorId, node: ActorId) -> Message {
    Message::Client(ClientMessage::StreamRequest(StreamRequest {
        hash: BLOB,
        channel: channel(client, node),
        token: TOKEN,
        offset_bytes: 0,
        len_bytes: 0,
        cadence_bytes: OFFER,
        max_rate: RATE,
        requester: account(client),
        timestamp: WallTime(0),
        quote: None,
        auth: None,
        newest: None,
    }))
}

pub fn response() -> Message {
    Message::Client(ClientMessage::StreamResponse(StreamResponse {
        ok: true,
        rate: RATE,
        total_bytes: 1 << 30,
        max_bytes_per_voucher: OFFER,
        redirect: None,
        error: None,
        signature: Signature([9; 65]),
    }))
}

/// A stream of an actor's only connection.
pub fn stream(index: u32) -> StreamId {
    StreamId { conn: ConnId(0), index }
}

pub fn role(effect: Effect) -> Output {
    Output { lane: Lane::Role, effect }
}

/// A chain that has what a story gave it.
#[derive(Clone)]
pub struct Books {
    pub balances: BTreeMap<Address, u128>,
    channels: BTreeMap<ChannelId, OnChain>,
    ids: Vec<ChannelId>,
    holders: Vec<Address>,
    pub supply: u128,
}

impl ChainView for Books {
    fn ask(&self, query: &Query) -> Answer {
        match *query {
            Query::State(Subject::Channel(id)) => {
                Answer::State(self.channels.get(&id).copied().map(State::Channel))
            }
            Query::Token(token::Query::Balance { who, .. }) => {
                Answer::Amount(Amount(self.balances.get(&who).copied().unwrap_or(0)))
            }
            Query::Channel(channel_contract::Query::Credit { .. }) => Answer::Amount(Amount::ZERO),
            other => panic!("no oracle asks {other:?}"),
        }
    }
    fn supply(&self, _token: Address) -> Amount {
        Amount(self.supply)
    }
    fn tokens(&self) -> &[Address] {
        &[TOKEN]
    }
    fn holders(&self) -> &[Address] {
        &self.holders
    }
    fn channels(&self) -> &[ChannelId] {
        &self.ids
    }
    fn head(&self, now: Time) -> Block {
        Block { number: 1 + now.0 / 250_000, time: ChainTime(EPOCH + now.0 / 1_000_000) }
    }
}

/// What a transaction did, where it is not what it should.
#[derive(Clone, Copy, Default)]
pub struct Odd {
    pub result: Option<Revert>,
    pub predicted: Option<Result<Option<OnChain>, Revert>>,
}

/// One oracle and what it is shown.
pub struct Story {
    oracle: Box<dyn Oracle>,
    report: Report,
    pub books: Books,
    pub at: Time,
    seq: u64,
}

impl Story {
    /// For an oracle by its name, with everybody's wallet full and no channel.
    pub fn of(name: &str) -> Self {
        Self::told(name, "0", None)
    }

    /// The same, where the coalition is conceded something, and somebody is lifted.
    pub fn told(name: &str, profit: &str, lift: Option<Lifted>) -> Self {
        let symbols = [(Symbol::Window, WINDOW.into()), (Symbol::Forced, FORCED.into())].into();
        let lifts = lift.into_iter();
        let briefing = Briefing {
            symbols,
            lifts: lifts.collect(),
            profit: profit.to_owned(),
            must_end: true,
            asked: vec![CLIENT],
        };
        let oracle = oracles(&briefing).into_iter().find(|oracle| oracle.name() == name);
        let people = [CLIENT, NODE, THIEF, LIAR, TRADER];
        let holders: Vec<_> = people.map(account).into_iter().chain([ESCROW]).collect();
        let books = Books {
            balances: people.map(|id| (account(id), WALLET)).into(),
            channels: BTreeMap::new(),
            ids: Vec::new(),
            holders,
            supply: WALLET * people.len() as u128,
        };
        let mut story = Self {
            oracle: oracle.expect("there is such an oracle"),
            report: Report::default(),
            books,
            at: Time(0),
            seq: 0,
        };
        let person = |(id, name, parts, honest): (ActorId, &str, &[Part], bool)| Person {
            id,
            name: name.to_owned(),
            parts: parts.to_vec(),
            honest,
            account: account(id),
            node: node_id(id),
            offer_ceiling: 0,
        };
        let cast = [
            (CLIENT, "client", &[Part::Client][..], true),
            (NODE, "node", &[Part::Node], true),
            (THIEF, "thief", &[Part::Client], false),
            (LIAR, "liar", &[Part::Node], false),
            (TRADER, "trader", &[Part::Client, Part::Node], true),
        ];
        let cast = Cast { people: cast.map(person).into() };
        let books = story.books.clone();
        story.see(Seen::Start { cast: &cast, chain: &books });
        story
    }

    pub fn see(&mut self, seen: Seen<'_>) -> &mut Self {
        if self.oracle.kinds().contains(&seen.kind()) {
            self.oracle.see(self.at, &seen, &mut self.report);
        }
        self
    }

    pub fn wait(&mut self, secs: u64) -> &mut Self {
        self.at = Time(self.at.0 + secs * 1_000_000);
        self
    }

    /// A transaction is in a block, and leaves the channel like this.
    pub fn tx(&mut self, from: ActorId, call: Call, after: OnChain, odd: Odd) -> &mut Self {
        let before = self.books.channel(after.id);
        if self.books.channels.insert(after.id, after).is_none() {
            self.books.ids.push(after.id);
        }
        let was = before.map(|before| before.status);
        let event =
            (was != Some(OnChainStatus::Settled) && after.status == OnChainStatus::Settled).then(|| {
                let amount = after.amount.min(after.deposit);
                let (paid, refunded) =
                    (Amount(amount.0 - after.claimed.0), Amount(after.deposit.0 - amount.0));
                let ending = match call {
                    Call::CloseCooperatively { .. } => Ending::Consent,
                    Call::Finish { .. } => Ending::Finish,
                    _ => Ending::Window,
                };
                EventKind::Settled { ending, amount, paid, refunded }
            });
        let claimed =
            before.filter(|_| matches!(call, Call::Claim { .. })).map(|before| EventKind::Claimed {
                amount: after.amount,
                nonce: after.nonce,
                paid: Amount(after.claimed.0.saturating_sub(before.claimed.0)),
            });
        let event = event.or(claimed);
        let (books, call) = (self.books.clone(), call.into());
        let block = books.head(self.at);
        let event = event.map(|kind| ChainEvent::of_channel(block, after.id, kind));
        let tx = Included {
            from: Some(from),
            sender: account(from),
            call: &call,
            route: Route::Sequencer,
            block,
            submitted: self.at,
            result: odd.result.map_or(Ok(()), |why| Err(why.into())),
            is_out_of_gas: false,
            predicted: odd.predicted.map(|after| Ok(after?.map(State::Channel))),
            beside: None,
            gas: 1,
            events: event.as_slice(),
            before: before.map(State::Channel),
            after: Some(State::Channel(after)),
        };
        self.see(Seen::Included { tx: &tx, chain: &books })
    }

    /// Money moves as it should, or not.
    pub fn move_money(&mut self, from: Address, to: Address, amount: u128) -> &mut Self {
        *self.books.balances.entry(from).or_default() -= amount;
        *self.books.balances.entry(to).or_default() += amount;
        self
    }

    pub fn open(&mut self, client: ActorId, node: ActorId) -> &mut Self {
        let call = Call::Open { node: account(node), token: TOKEN, deposit: Amount(DEPOSIT) };
        self.move_money(account(client), ESCROW, DEPOSIT);
        self.tx(client, call, opened(client, node), Odd::default())
    }

    /// A close that records this.
    pub fn close(&mut self, by: ActorId, id: ChannelId, nonce: u64, amount: u128) -> &mut Self {
        let voucher = (nonce > 0).then(|| voucher(id, nonce, amount));
        let deadline = ChainTime(self.books.head(self.at).time.0 + WINDOW);
        let before = self.books.channel(id).expect("opened before");
        let status = OnChainStatus::Closing;
        let nonce = Nonce(nonce);
        let after = OnChain { amount: Amount(amount), nonce, deadline, status, ..before };
        self.tx(by, Call::Close { channel: id, voucher }, after, Odd::default())
    }

    pub fn dispute(&mut self, by: ActorId, id: ChannelId, nonce: u64, amount: u128) -> &mut Self {
        let before = self.books.channel(id).expect("opened before");
        let after = OnChain { amount: Amount(amount), nonce: Nonce(nonce), ..before };
        self.tx(by, Call::Dispute { voucher: voucher(id, nonce, amount) }, after, Odd::default())
    }

    /// A claim up to this amount, whose money goes where it should.
    pub fn claim(&mut self, by: ActorId, id: ChannelId, nonce: u64, amount: u128) -> &mut Self {
        let before = self.books.channel(id).expect("opened before");
        self.move_money(ESCROW, before.node, amount - before.claimed.0);
        let (nonce, amount) = (Nonce(nonce), Amount(amount));
        let after = OnChain { amount, claimed: amount, nonce, ..before };
        self.tx(by, Call::Claim { voucher: voucher(id, nonce.0, amount.0) }, after, Odd::default())
    }

    /// A finish at this amount, whose money goes where it should.
    pub fn finish(&mut self, by: ActorId, id: ChannelId, nonce: u64, amount: u128) -> &mut Self {
        let before = self.books.channel(id).expect("opened before");
        self.move_money(ESCROW, before.node, amount - before.claimed.0);
        self.move_money(ESCROW, before.client, DEPOSIT - amount);
        let voucher = (nonce > 0).then(|| voucher(id, nonce, amount));
        let (amount, status) = (Amount(amount), OnChainStatus::Settled);
        let after = OnChain { amount, nonce: before.nonce.max(Nonce(nonce)), status, ..before };
        self.tx(by, Call::Finish { channel: id, voucher }, after, Odd::default())
    }

    /// A settlement of what is recorded, whose money goes where it should.
    pub fn settle(&mut self, by: ActorId, id: ChannelId) -> &mut Self {
        let before = self.books.channel(id).expect("opened before");
        self.move_money(ESCROW, before.node, before.amount.0 - before.claimed.0);
        self.move_money(ESCROW, before.client, DEPOSIT - before.amount.0);
        let after = OnChain { status: OnChainStatus::Settled, ..before };
        self.tx(by, Call::Settle { channel: id }, after, Odd::default())
    }

    pub fn block(&mut self) -> &mut Self {
        let books = self.books.clone();
        self.see(Seen::Block { chain: &books })
    }

    pub fn signed(&mut self, actor: ActorId, terms: VoucherTerms) -> &mut Self {
        self.see(Seen::Signed { actor, what: &Typed::Voucher(terms), signature: &Signature([9; 65]) })
    }

    /// A write set is asked for.
    pub fn write(&mut self, actor: ActorId, record: Record) -> &mut Self {
        self.seq += 1;
        let effect = Effect::Persist { seq: PersistSeq(self.seq), writes: vec![record] };
        self.step(actor, &Input::Tick, &[role(effect)])
    }

    /// A write set is durable.
    pub fn durable(&mut self, actor: ActorId, record: Record) -> &mut Self {
        self.durable_at(actor, record, u64::MAX)
    }

    /// The same while the safe head is at this block.
    pub fn durable_at(&mut self, actor: ActorId, record: Record, safe: u64) -> &mut Self {
        self.seq += 1;
        self.see(Seen::Persisted { actor, seq: PersistSeq(self.seq), writes: &[record], safe })
    }

    pub fn step(&mut self, actor: ActorId, input: &Input, outputs: &[Output]) -> &mut Self {
        let now = Now { mono: self.at, wall: WallTime(0) };
        self.see(Seen::Step { actor, now, input, outputs })
    }

    /// A message that leaves and arrives, on stream `index` of the pair's only connection.
    pub fn says(&mut self, from: ActorId, to: ActorId, index: u32, message: Message) -> &mut Self {
        let pipe = pipe(from, to, index);
        self.see(Seen::Sent { from, to, pipe, message: &message });
        self.see(Seen::Delivered { from, to, pipe, message: &message })
    }

    /// A request and its answer.
    pub fn agree(&mut self, client: ActorId, node: ActorId, index: u32) -> &mut Self {
        self.says(client, node, index, request(client, node)).says(node, client, index, response())
    }

    /// Content leaves a node.
    pub fn sends(
        &mut self,
        (from, to): (ActorId, ActorId),
        index: u32,
        offset: u64,
        bytes: u64,
    ) -> &mut Self {
        let (pipe, channel) = (pipe(from, to, index), Some(channel(to, from)));
        self.see(Seen::SentContent { from, to, pipe, channel, hash: BLOB, offset, bytes })
    }

    /// Content is good at a client.
    pub fn gets(
        &mut self,
        (actor, from): (ActorId, ActorId),
        index: u32,
        offset: u64,
        bytes: u64,
    ) -> &mut Self {
        #[expect(clippy::disallowed_methods, reason = "a story's verdict comes from its author")]
        let verdict = Verdict::good(offset, bytes);
        let (pipe, channel) = (pipe(actor, from, index), Some(channel(actor, from)));
        self.see(Seen::Verified { actor, from, pipe, channel, hash: BLOB, verdict })
    }

    /// A crash that leaves these records.
    pub fn crash(&mut self, actor: ActorId, left: &[Record]) -> &mut Self {
        let mut durable = Durable::default();
        durable.apply(PersistSeq(0), left.to_vec());
        self.see(Seen::Crashed { actor, undone: 0, durable: &durable, is_wiped: false })
    }

    /// A crash after which the disk is empty.
    pub fn wipe(&mut self, actor: ActorId) -> &mut Self {
        self.see(Seen::Crashed { actor, undone: 0, durable: &Durable::default(), is_wiped: true })
    }

    pub fn end(&mut self) -> &mut Self {
        let books = self.books.clone();
        self.see(Seen::End { chain: &books, durable: &[], drained: true })
    }

    /// The oracle has nothing to say.
    #[track_caller]
    pub fn is_silent(&self) {
        assert_eq!(self.report.violations, [], "{} speaks", self.oracle.name());
    }

    /// The oracle names this rule.
    #[track_caller]
    pub fn names(&self, rule: &str) {
        let said = &self.report.violations;
        let is_named = said.iter().any(|said| said.oracle == self.oracle.name() && said.rule == rule);
        assert!(is_named, "{rule} is not among {said:#?}");
    }
}

/// The pair's only connection.
pub fn pipe(one: ActorId, other: ActorId, index: u32) -> Pipe {
    let (low, high) = (one.min(other), one.max(other));
    Pipe { link: LinkId(u32::from(low.0) * 4 + u32::from(high.0)), index }
}
