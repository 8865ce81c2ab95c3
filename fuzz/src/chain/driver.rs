//! The edge of a role that follows a chain: it keeps the driver's contract, has what the role sends carried out or not, and holds
//! against the true chain what the role does about its vouchers.

use std::collections::BTreeMap;

use decdn_engine::{
    chain::{Block, Call, ChainUpdate, Route, TxOutcome, channel},
    crypto::{SignedVoucher, VoucherTerms},
    ids::{BlobHash, ChannelId, ConnId, StreamId, TxTicket},
    io::{Effect, Gone, Input},
    limits::GROUP,
    money::{Amount, Nonce, Rate},
    order::Order,
    record::{Key, Record},
    time::{ChainTime, Span, WallTime},
    wire::{Auth, ClientMessage, Protocol, StreamRequest, Voucher},
};
use decdn_testkit::signature;

use super::{
    CHANNELS, DEPOSIT, PARTY, TOKEN,
    side::{Holding, PAYER, Side},
    truth::{FORCED_INCLUSION, Letter, Stands, Truth, UNSAFE_BLOCKS},
};
use crate::{
    harness::{Bench, STRANGER, bench, rest},
    market::money_order,
};

/// The chain is read, and a transaction in a block, within this time: what is promised holds for who has that much left.
const SOON: Span = Span::from_hours(3);
/// So much time passes at once where nothing is due.
const TICK: Span = Span::from_secs(600);

pub(super) struct Driver<R> {
    pub(super) bench: Bench<R>,
    pub(super) truth: Truth,
    /// From where an answer is waited for.
    pub(super) poll: Option<u64>,
    /// Transactions whose outcome the role has not heard.
    pub(super) txs: Vec<(TxTicket, Call, Route)>,
    /// Of an earlier life: they may be in a block yet.
    orphans: Vec<Call>,
    /// The best that was ever durable.
    best: BTreeMap<ChannelId, (Nonce, Amount)>,
    next_conn: u64,
    /// The role's wall clock against the true one.
    wall_ahead: i64,
}

impl<R: Side> Driver<R> {
    /// A role with a channel for each of these amounts, over which it holds a voucher. The chain's clock is so far ahead, in seconds.
    pub(super) fn new(amounts: [Amount; 2], skew: i64) -> Self {
        let records = CHANNELS.into_iter().zip(amounts).map(|(id, amount)| R::record(id, amount));
        let records: Vec<Record> = records.collect();
        let mut bench = bench(R::start(std::iter::empty()));
        bench.disk = records.iter().map(|record| (record.key(), record.clone())).collect();
        let time = ChainTime(bench.now.wall.secs().saturating_add_signed(skew));
        let mut driver = Self {
            bench,
            truth: Truth::new(&PARTY, &CHANNELS, time),
            poll: None,
            txs: Vec::new(),
            orphans: Vec::new(),
            best: BTreeMap::new(),
            next_conn: 1 << 63,
            wall_ahead: 0,
        };
        driver.crash();
        driver
    }

    pub(super) fn feed(&mut self, input: Input) {
        self.bench.feed(input, |_| {});
    }

    pub(super) fn pass(&mut self, span: Span) {
        self.truth.pass(span);
        if self.bench.pass(span) {
            self.feed(Input::Tick);
        }
    }

    /// The wall clock is so many seconds ahead of the true time from now on, or behind.
    pub(super) fn set_wall(&mut self, ahead: i64) {
        let right = self.bench.now.wall.0.saturating_add_signed(-self.wall_ahead * 1_000_000);
        self.wall_ahead = ahead;
        self.bench.now.wall = WallTime(right.saturating_add_signed(ahead * 1_000_000));
        self.feed(Input::Tick);
    }

    /// The process dies, and starts again from what is durable.
    pub(super) fn crash(&mut self) {
        self.bench.reboot(|records| R::start(records));
        self.orphans.extend(self.txs.drain(..).map(|(_, call, _)| call));
        self.poll = None;
        // The port told nothing in this life.
        self.truth.take_fork();
        self.note_best();
        self.feed(Input::Tick);
    }

    fn holding(&self, channel: ChannelId) -> Option<Holding> {
        self.bench.disk.get(&R::key(channel)).and_then(R::holding)
    }

    fn inboxed(&self, channel: ChannelId) -> Option<SignedVoucher> {
        match self.bench.disk.get(&Key::Dispute(channel)) {
            Some(Record::Dispute(dispute)) => Some(dispute.voucher),
            _ => None,
        }
    }

    /// What is durable only gets better, and stays as long as the chain may ask for it (O5, L1).
    fn note_best(&mut self) {
        for channel in CHANNELS {
            let Some(Holding { nonce, amount, .. }) = self.holding(channel) else {
                let stands = self.truth.state(channel).stands;
                let is_over = matches!(stands, Stands::Settled(block) if block <= self.truth.safe);
                assert!(is_over, "L1: {channel:?} is forgotten, and {stands:?}, safe {}", self.truth.safe);
                continue;
            };
            let best = self.best.entry(channel).or_insert((nonce, amount));
            assert!(nonce >= best.0 && amount >= best.1, "O5: {amount} is stored after {best:?}");
            *best = (nonce, amount);
            for letter in &self.truth.inbox {
                let is_ours = letter.voucher.terms.channel == channel && letter.is_told;
                let claims = self.inboxed(channel).map(|voucher| voucher.terms.amount);
                let is_known = claims.is_some_and(|amount| amount >= letter.voucher.terms.amount);
                assert!(!is_ours || is_known, "X1: the inbox has {letter:?}, on record is {claims:?}");
            }
        }
    }

    fn durable(&mut self, writes: &[Record]) {
        self.note_best();
        for write in writes {
            if let Record::Cursor(cursor) = *write {
                self.check_cursor(cursor);
            }
        }
    }

    /// O12: whatever is before the stored cursor is safe, and nothing that is to be known again after a start.
    fn check_cursor(&self, cursor: u64) {
        assert!(cursor <= self.truth.safe + 1, "O12: cursor {cursor}, safe head {}", self.truth.safe);
        for channel in CHANNELS {
            if let Stands::Closing(block, _) = self.truth.state(channel).stands {
                assert!(block >= cursor, "O12: cursor {cursor}, {channel:?} closes since {block}");
            }
        }
    }

    /// A transaction leaves: what it takes along is the best that is durable, or what is looked for in the inbox.
    fn check_call(&mut self, call: &Call, route: Route) {
        let Some(
            channel::Call::Finish { voucher: Some(voucher), .. }
            | channel::Call::Close { voucher: Some(voucher), .. }
            | channel::Call::Claim { voucher }
            | channel::Call::Dispute { voucher },
        ) = call.as_channel()
        else {
            return;
        };
        let VoucherTerms { channel, amount, nonce, token } = voucher.terms;
        assert_eq!(token, TOKEN, "X1: another token's voucher");
        if route == Route::QueuedBefore {
            return assert_eq!(Some(*voucher), self.inboxed(channel), "X1: looked for, and not on record");
        }
        // What has settled is of no use to anybody; its calls may have waited for the disk.
        let Some(held) = self.holding(channel) else { return };
        assert_eq!((nonce, amount), (held.nonce, held.amount), "X1: not the best durable voucher");
        let by = held.signature.unwrap_or(signature(R::SIGNER));
        assert_eq!(voucher.signature, by, "X1: not as it was signed");
        if route == Route::DelayedInbox {
            assert_eq!(Some(*voucher), self.inboxed(channel), "X1: it leaves before it is on record");
            let again = self.truth.inbox.iter().find(|letter| {
                letter.is_told && letter.is_waiting() && letter.voucher.terms == voucher.terms
            });
            assert_eq!(again.map(|letter| letter.at), None, "X1: what the inbox has is sent again");
        }
    }

    /// Carries out the next effect of a lane; false if there was none.
    pub(super) fn carry_out(&mut self, choice: usize, is_refused: bool) -> bool {
        let Some((_, effect)) = self.bench.next(choice) else { return false };
        match effect {
            Effect::Persist { seq, writes } => {
                self.durable(&writes);
                self.feed(Input::Persisted { seq });
            }
            Effect::Sign { ticket, .. } => {
                let signature = (!is_refused).then_some(signature(R::SIGNER));
                self.feed(Input::Signed { ticket, signature });
            }
            Effect::Tx { ticket, call, route } => {
                self.check_call(&call, route);
                self.txs.push((ticket, call, route));
            }
            Effect::ForceInclude { ticket } if !is_refused => {
                if let Some((block, result)) = self.truth.force(R::ACCOUNT, ticket) {
                    self.tell_outcome(ticket, TxOutcome::Included { block, result });
                }
            }
            Effect::Poll { from_block, .. } => self.poll = Some(from_block),
            Effect::Connect { conn, .. } => {
                self.feed(Input::Disconnected { conn, why: Gone::Unreachable });
            }
            _ => {}
        }
        true
    }

    /// What the role believes of a transaction from now on.
    pub(super) fn tell_outcome(&mut self, ticket: TxTicket, outcome: TxOutcome) {
        let is_told = matches!(outcome, TxOutcome::Queued { .. });
        if !is_told {
            self.txs.retain(|(other, ..)| *other != ticket);
        }
        for letter in self.truth.inbox.iter_mut().filter(|letter| letter.ticket == ticket) {
            letter.is_told = is_told;
        }
        self.feed(Input::Tx { ticket, outcome });
    }

    /// A transaction that waits is dealt with as it should be.
    pub(super) fn settle(&mut self, place: usize) {
        let (ticket, call, route) = self.txs[place];
        match route {
            Route::Sequencer => {
                let (block, result) = self.truth.execute(R::ACCOUNT, &call);
                self.tell_outcome(ticket, TxOutcome::Included { block, result });
            }
            Route::DelayedInbox => {
                self.txs.remove(place);
                let Some(channel::Call::Dispute { voucher }) = call.as_channel() else {
                    panic!("L2: {call:?} has no business in the inbox")
                };
                self.truth.post_letter(ticket, *voucher);
                let letter = self.truth.inbox.last().expect("posted");
                let (at, forcible) = (letter.at, letter.forcible());
                self.tell_outcome(ticket, TxOutcome::Queued { at, forcible });
            }
            Route::QueuedBefore => self.search(place),
        }
    }

    /// Is there a letter with this call from an earlier life?
    fn search(&mut self, place: usize) {
        let (ticket, call, _) = self.txs.remove(place);
        let Some(channel::Call::Dispute { voucher }) = call.as_channel() else {
            panic!("X1: {call:?} is looked for")
        };
        let found = |letter: &&mut Letter| letter.is_waiting() && letter.voucher == *voucher;
        let outcome = match self.truth.inbox.iter_mut().find(found) {
            None => TxOutcome::Absent,
            Some(letter) => {
                letter.ticket = ticket;
                TxOutcome::Queued { at: letter.at, forcible: letter.forcible() }
            }
        };
        self.tell_outcome(ticket, outcome);
    }

    /// Something of an earlier life lands after all.
    pub(super) fn land_orphan(&mut self, place: usize) {
        if !self.orphans.is_empty() {
            let call = self.orphans.remove(place % self.orphans.len());
            _ = self.truth.execute(R::ACCOUNT, &call);
        }
    }

    /// It lands, and nobody says so; or it never does, and somebody says it did.
    pub(super) fn mislead(&mut self, place: usize, how: u8, block: u64) {
        let (ticket, call, route) = self.txs[place];
        if how & 1 == 1 && route == Route::Sequencer {
            _ = self.truth.execute(R::ACCOUNT, &call);
        }
        if how & 1 == 1
            && route == Route::DelayedInbox
            && let Some(channel::Call::Dispute { voucher }) = call.as_channel()
        {
            self.truth.post_letter(ticket, *voucher);
        }
        if how & 2 == 2 && route != Route::QueuedBefore {
            let block = Block { number: block, time: self.truth.head().time };
            return self.tell_outcome(ticket, TxOutcome::Included { block, result: Ok(()) });
        }
        self.tell_outcome(ticket, TxOutcome::Lost);
    }

    /// The other side or a stranger closes, disputes or settles a channel.
    pub(super) fn others(&mut self, channel: ChannelId, how: u8, amount: Amount) {
        if !self.truth.has_room() {
            return;
        }
        let terms = VoucherTerms { channel, amount, nonce: Nonce(1), token: TOKEN };
        let voucher = SignedVoucher { terms, signature: signature(0) };
        let (by, call) = match how % 4 {
            0 => (R::OTHER, channel::Call::Close { channel, voucher: None }),
            1 => (R::OTHER, channel::Call::Close { channel, voucher: Some(voucher) }),
            2 => (STRANGER, channel::Call::Dispute { voucher }),
            _ => (R::OTHER, channel::Call::Settle { channel }),
        };
        _ = self.truth.execute(by, &call.into());
    }

    pub(super) fn order(&mut self, how: u8, channel: ChannelId) {
        self.feed(Input::Order(match how {
            0..=127 => money_order(how, channel),
            _ => Order::Claim(channel),
        }));
    }

    /// The client pays a node that much more.
    pub(super) fn pay(&mut self, channel: ChannelId, more: u64) {
        let Some(held) = self.holding(channel).filter(|_| R::IS_PAID) else { return };
        let amount = Amount((held.amount.0 + u128::from(more)).min(DEPOSIT.0));
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        let rtt = Span::from_millis(20);
        self.feed(Input::Connected { conn, peer: PAYER, protocol: Protocol::Client, rtt });
        let request = StreamRequest {
            hash: BlobHash([7; 32]),
            channel,
            token: TOKEN,
            offset_bytes: 0,
            len_bytes: 0,
            cadence_bytes: GROUP,
            max_rate: Rate(u64::MAX),
            requester: R::OTHER,
            timestamp: self.bench.now.wall,
            quote: None,
            auth: Some(Auth { address: R::OTHER, signature: signature(0) }),
            newest: Some(Voucher { amount, nonce: Nonce(held.nonce.0 + 1), signature: signature(0) }),
        };
        let stream = StreamId { conn, index: 0 };
        self.feed(Input::Message { stream, message: ClientMessage::StreamRequest(request).into() });
        self.feed(Input::Disconnected { conn, why: Gone::Lost });
    }

    /// An answer that is right in all things.
    pub(super) fn answer(&mut self) {
        let from = self.poll.take().unwrap_or(0);
        let forked_at = self.truth.take_fork();
        let head = self.truth.head();
        let begins = (from.min(forked_at.unwrap_or(u64::MAX)), head.number);
        let events = self.truth.tell(self.bench.now.mono, begins, || false);
        self.feed(Input::Chain(ChainUpdate {
            head,
            safe: self.truth.safe,
            forked_at,
            events,
            next: head.number + 1,
            forced_inclusion: FORCED_INCLUSION,
            endpoint: 0,
            ..ChainUpdate::default()
        }));
    }

    /// The lies are over, and whoever can land one transaction in time gets what it holds recorded (O8): by the sequencer, or where
    /// that takes nothing from the role, by the inbox.
    pub(super) fn end(mut self, is_censored: bool) {
        let promised: Vec<ChannelId> =
            CHANNELS.into_iter().filter(|channel| self.is_promised(*channel, is_censored)).collect();
        let last = self.truth.head().time.after(Span::from_hours(49));
        while self.truth.head().time < last {
            self.rest(is_censored);
            let is_open = |channel: &ChannelId| self.is_below(*channel);
            if !promised.iter().any(is_open) {
                break;
            }
            self.truth.post(UNSAFE_BLOCKS);
            let due = self.bench.until_due();
            self.pass(if due == Span(0) { TICK } else { due.min(TICK) });
            for channel in &promised {
                // Nobody waits for who is late.
                self.others(*channel, 3, Amount::ZERO);
            }
        }
        for channel in promised {
            let (state, held) = (self.truth.state(channel), self.holding(channel));
            assert!(!self.is_below(channel), "O8: {channel:?}: {state:?}, held {held:?}");
        }
        self.bench.check_digest();
    }

    /// The chain records less than is held.
    fn is_below(&self, channel: ChannelId) -> bool {
        let recorded = self.truth.state(channel).recorded;
        self.best.get(&channel).is_some_and(|best| recorded < best.1.min(DEPOSIT))
    }

    fn is_promised(&self, channel: ChannelId, is_censored: bool) -> bool {
        let Stands::Closing(_, deadline) = self.truth.state(channel).stands else { return false };
        let Some(held) = self.holding(channel).filter(|_| self.is_below(channel)) else { return false };
        let now = self.truth.head().time;
        let left = deadline.since(now);
        if !is_censored {
            return left >= SOON;
        }
        let is_enough = |letter: &Letter| {
            letter.is_told
                && letter.is_waiting()
                && letter.voucher.terms.channel == channel
                && letter.voucher.terms.amount >= held.worth()
                && letter.forcible().after(SOON) <= deadline
        };
        let soonest = Span(FORCED_INCLUSION.0 + SOON.0);
        left >= SOON && (left >= soonest || self.truth.inbox.iter().any(is_enough))
    }

    /// Everything is carried out, in the right way, until the role asks for no more.
    fn rest(&mut self, is_censored: bool) {
        rest(|| {
            if self.carry_out(0, false) {
                return true;
            }
            if self.poll.is_some() {
                self.answer();
                return true;
            }
            let is_taken =
                |(_, _, route): &(TxTicket, Call, Route)| !is_censored || *route != Route::Sequencer;
            match self.txs.iter().position(is_taken) {
                Some(place) => self.settle(place),
                None => return false,
            }
            true
        });
    }
}
