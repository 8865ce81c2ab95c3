//! What a client may sign and has to keep, said again without its own predicates: verified bytes at agreed rates.

use std::collections::{BTreeMap, BTreeSet};

use decdn_engine::{
    chain::{Call, channel, token},
    crypto::{SignedVoucher, VoucherTerms},
    ids::{Address, BlobHash, ChannelId, FetchId},
    limits::GROUP,
    money::{Amount, MB, Nonce, Rate},
    order::FetchOrder,
    record::{Key, Record},
};

use super::BLOBS;

/// A channel as the world has seen it.
#[derive(Debug, Default)]
struct Account {
    token: Address,
    deposit: Amount,
    /// Verified bytes × rate.
    raw: u128,
    /// Of that, what the durable record counts.
    durable_raw: u128,
    signed: Option<(Nonce, Amount)>,
    /// The nonce that a close request named: nothing is signed after it (V7).
    last: Option<Nonce>,
}

/// A download by its serial number.
#[derive(Debug)]
struct Bought {
    /// The newest terms.
    order: FetchOrder,
    /// What it may put into a channel with whom by the terms that it had before.
    earlier: Vec<FetchOrder>,
    /// Runs of verified bytes with their rate, from the order's offset on.
    runs: Vec<(u64, Rate)>,
}

impl Bought {
    fn bytes(&self) -> u64 {
        self.runs.iter().map(|(bytes, _)| bytes).sum()
    }

    fn cost_of(&self, mut bytes: u64) -> u128 {
        let mut cost = 0;
        for (run, rate) in &self.runs {
            let taken = bytes.min(*run);
            cost += u128::from(taken) * u128::from(rate.0);
            bytes -= taken;
        }
        cost
    }

    fn truncate(&mut self, mut bytes: u64) {
        for (run, _) in &mut self.runs {
            *run = bytes.min(*run);
            bytes -= *run;
        }
        assert_eq!(bytes, 0, "D14: more is durable than was verified");
        self.runs.retain(|(run, _)| *run > 0);
    }
}

#[derive(Debug, Default)]
pub(super) struct Book {
    accounts: BTreeMap<ChannelId, Account>,
    /// Channels that the disk has forgotten.
    gone: BTreeSet<ChannelId>,
    /// Counted durably on channels that are gone.
    gone_raw: u128,
    bought: BTreeMap<u64, Bought>,
    /// The serial number that an id stands for now.
    serials: BTreeMap<FetchId, u64>,
}

fn serial_of(order: &FetchOrder) -> u64 {
    order.cadence_bytes % GROUP
}

/// The order as one for a download that has this serial number.
pub(super) fn as_serial(order: FetchOrder, serial: u64) -> FetchOrder {
    FetchOrder { cadence_bytes: order.cadence_bytes - serial_of(&order) + serial, ..order }
}

impl Book {
    pub(super) fn ordered(&mut self, order: FetchOrder) {
        self.serials.insert(order.id, serial_of(&order));
        self.bought.insert(serial_of(&order), Bought { order, earlier: Vec::new(), runs: Vec::new() });
    }

    /// A download that is there has other terms from now on.
    pub(super) fn amended(&mut self, order: FetchOrder) {
        let bought = self.bought.get_mut(&serial_of(&order)).expect("it is there");
        bought.earlier.push(std::mem::replace(&mut bought.order, order));
    }

    /// Whether anything of a download is verified.
    pub(super) fn has_some(&self, id: FetchId) -> bool {
        self.serials.get(&id).and_then(|serial| self.bought.get(serial)).is_some_and(|it| it.bytes() > 0)
    }

    pub(super) fn serial(&self, id: FetchId) -> Option<u64> {
        self.serials.get(&id).copied()
    }

    /// The most that every order for this pays.
    pub(super) fn ceiling(&self, hash: BlobHash, token: Address) -> Option<Rate> {
        let orders = self.serials.values().filter_map(|serial| self.bought.get(serial));
        let like =
            orders.map(|bought| &bought.order).filter(|order| (order.hash, order.token) == (hash, token));
        like.map(|order| order.max_rate).min()
    }

    /// A download ended, however it did, and nothing is kept of it.
    pub(super) fn over(&mut self, id: FetchId) {
        self.serials.remove(&id);
    }

    /// The client took these bytes for good.
    pub(super) fn verified(
        &mut self,
        channel: ChannelId,
        serial: u64,
        (offset, bytes): (u64, u64),
        rate: Rate,
    ) {
        let account = self.accounts.get_mut(&channel).expect("content comes on a channel");
        account.raw += u128::from(bytes) * u128::from(rate.0);
        let bought = self.bought.get_mut(&serial).expect("content is for an order");
        let next = bought.order.offset_bytes + bought.bytes();
        assert_eq!(offset, next, "D14: bytes are taken twice, or some are left out");
        bought.runs.push((bytes, rate));
    }

    /// A download is said to be whole.
    pub(super) fn fetched(&self, id: FetchId, bytes: u64) {
        let bought = &self.bought[&self.serials[&id]];
        let order = &bought.order;
        let size = BLOBS.iter().find(|(hash, _)| *hash == order.hash).map_or(0, |(_, size)| *size);
        let end = match order.len_bytes {
            0 => size,
            len => (order.offset_bytes + len).next_multiple_of(GROUP).min(size),
        };
        assert_eq!(bytes, bought.bytes(), "other bytes were verified");
        assert_eq!(order.offset_bytes + bytes, end, "D4: not the whole range");
    }

    pub(super) fn sign(&mut self, terms: &VoucherTerms) {
        let Some(account) = self.accounts.get_mut(&terms.channel) else {
            // It was asked for before the disk forgot the channel, in another lane.
            return assert!(
                self.gone.contains(&terms.channel),
                "{terms:?}: signed for a channel that is not ours"
            );
        };
        let owed = Amount(account.raw.div_ceil(u128::from(MB)));
        // After a fork its opening may be there with a smaller deposit: what was signed is signed again, with the same terms.
        let is_again = account.signed == Some((terms.nonce, terms.amount));
        let is_within = is_again || terms.amount <= account.deposit;
        assert!(is_within, "V1: {terms:?} is above the deposit {}", account.deposit);
        assert!(terms.amount <= owed, "D5: {terms:?} pays more than {owed} for what was verified");
        assert_eq!(terms.token, account.token, "V1: another token");
        if let Some(signed) = account.signed {
            let new = (terms.nonce, terms.amount);
            let is_better = new.0 > signed.0 && new.1 > signed.1;
            assert!(is_better || new == signed, "V1: {new:?} was signed after {signed:?}");
        }
        if let Some(last) = account.last {
            assert!(terms.nonce <= last, "V7: {terms:?} was signed after a close request over {last:?}");
        }
        account.signed = Some((terms.nonce, terms.amount));
    }

    /// A signature leaves the process.
    pub(super) fn reveal(
        &self,
        store: &BTreeMap<Key, Record>,
        channel: ChannelId,
        nonce: Nonce,
        amount: Amount,
    ) {
        let Some(Record::Paying(paying)) = store.get(&Key::Paying(channel)) else {
            panic!("V3: a voucher leaves, and its channel is not stored");
        };
        assert!(
            paying.nonce >= nonce && paying.amount >= amount,
            "V3: ({nonce:?}, {amount:?}) leaves before it is durable: {paying:?}"
        );
    }

    pub(super) fn close_asked(&mut self, channel: ChannelId, voucher: Option<SignedVoucher>) {
        if let Some(account) = self.accounts.get_mut(&channel) {
            account.last = Some(voucher.map_or(Nonce::NONE, |voucher| voucher.terms.nonce));
        }
    }

    /// Deposits stay within twice what an order names, with a candidate of that order.
    pub(super) fn check_spending(&self, call: &Call) {
        let is_allowed = |to: Option<Address>, asked: Address, amount: Amount| {
            self.bought.values().flat_map(|bought| bought.earlier.iter().chain([&bought.order])).any(
                |order| {
                    let is_candidate =
                        |who| order.candidates.iter().any(|candidate| candidate.operator == who);
                    order.token == asked
                        && amount.0 <= order.deposit.0.saturating_mul(2)
                        && to.is_none_or(is_candidate)
                },
            )
        };
        match *call {
            Call::Token(token::Call::Approve { token, amount }) => {
                assert!(is_allowed(None, token, amount), "{call:?}")
            }
            Call::Channel(channel::Call::Open { node, token, deposit }) => {
                assert!(is_allowed(Some(node), token, deposit), "{call:?}")
            }
            _ => {}
        }
    }

    /// A write set is durable. No byte counts on a channel that its download's record does not have, or it would be
    /// bought again after a crash (D14).
    pub(super) fn durable(&mut self, store: &BTreeMap<Key, Record>, writes: &[Record]) {
        for write in writes {
            match write {
                Record::Paying(paying) => {
                    let account = self.accounts.entry(paying.channel).or_default();
                    if paying.deposit > account.deposit {
                        // After a fork its opening may be there with a larger one: what no deposit covered is paid after all.
                        account.last = None;
                    }
                    (account.token, account.deposit) = (paying.token, paying.deposit);
                    let raw = paying.meter.owed_raw();
                    assert!(raw <= account.raw, "D5: {raw} counted, {} verified", account.raw);
                    assert!(raw >= account.durable_raw, "V3: the durable record falls");
                    account.durable_raw = raw;
                }
                Record::Gone(Key::Paying(channel)) => {
                    let gone = self.accounts.remove(channel).unwrap_or_default();
                    self.gone.insert(*channel);
                    self.gone_raw += gone.durable_raw;
                }
                _ => {}
            }
        }
        let counted = self.accounts.values().map(|account| account.durable_raw).sum::<u128>() + self.gone_raw;
        let mut stored = BTreeMap::new();
        for record in store.values() {
            if let Some(fetch) = record.as_fetch() {
                stored.insert(serial_of(&fetch.order), fetch.verified_bytes);
            }
        }
        let kept: u128 = self
            .bought
            .iter()
            .map(|(serial, bought)| bought.cost_of(stored.get(serial).copied().unwrap_or(u64::MAX)))
            .sum();
        assert!(counted <= kept, "D14: after a crash {counted} would be counted for {kept}");
    }

    /// What was not durable is not there any more.
    pub(super) fn crashed(&mut self, store: &BTreeMap<Key, Record>) {
        self.serials.clear();
        for account in self.accounts.values_mut() {
            account.raw = account.durable_raw;
        }
        for record in store.values() {
            if let Some(fetch) = record.as_fetch() {
                let serial = serial_of(&fetch.order);
                let bought = self.bought.get_mut(&serial).expect("only orders are stored");
                bought.truncate(fetch.verified_bytes);
                self.serials.insert(fetch.order.id, serial);
            }
        }
    }
}
