//! Purses: where a chain keeps accounts, each actor's transactions get nonce, gas limit and fees here, as the edge's purse gives them:
//! both by [`decdn_engine::bid`]. What waits for too long is raised, then given up; what ran out of gas goes out again with more.
//!
//! The main account's purse is its process's: with the process it forgets what it sent, and the next one replaces that. The dispute
//! account's is durable, and nothing but messages for the delayed inbox has a nonce of it.

use std::collections::BTreeMap;

use decdn_contracts::{
    Call, Tx,
    l2::{Queued, Refusal, Spike, Terms, TxId},
    token,
};
use decdn_engine::{
    bid::{Bid, Caps, Fees, Nonces, Place},
    chain::{self, Route, TxOutcome},
    ids::Address,
    money::Amount,
    time::{Span, Time},
};

use super::{Chain, News, Owner};
use crate::{actor::ActorId, decide::Decisions, rung::SimCrypto};

/// How long a transaction waits until it bids more, and until it is given up: the edge's figures.
const RAISE_AFTER: Span = Span::from_secs(30);
const PATIENCE: Span = Span::from_secs(120);
/// The most that is paid per unit of gas, in wei: the edge's figure.
const FEE_MOST: u128 = 100_000_000_000;
const CAPS: Caps = Caps { fee: FEE_MOST, cost: None };
/// What a message that is signed for the L2 may use and pay there (X2: 30 M from the start).
const MESSAGE_GAS: u64 = 30_000_000;

/// What happened to a transaction on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PurseNews {
    /// The account can't pay it: so much is missing, in wei.
    Unpaid {
        /// How much.
        missing: u128,
    },
    /// Its gas limit was not enough, in a block or for a node.
    OutOfGas {
        /// The limit.
        limit: u64,
    },
    /// It waits, and bids more now, in wei per unit of gas.
    Raised {
        /// How much.
        fee: u128,
    },
    /// It was waited for long enough.
    GivenUp,
}

/// A time in which endpoints say that a transaction takes less gas, or that gas is cheaper, than it is.
#[derive(Clone, Debug)]
pub struct LowEstimates {
    /// From when.
    pub from: Time,
    /// To when.
    pub until: Time,
    /// Who is told so.
    pub whom: Vec<Address>,
    /// What is told of gas, in percent of what is true.
    pub gas_percent: u64,
    /// What is told of fees.
    pub fee_percent: u64,
}

/// How accounts begin.
#[derive(Clone, Debug, Default)]
pub struct Ether {
    /// What each account has on the L2, in wei.
    pub accounts: Vec<(Address, u128)>,
    /// Whether messages for the delayed inbox are signed for the L2 and have nonces there, as on a chain without tickets.
    pub has_signed_messages: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Purses {
    of: BTreeMap<Address, Purse>,
    low: Vec<LowEstimates>,
    has_signed_messages: bool,
}

#[derive(Default)]
struct Purse {
    nonces: Nonces<chain::Call>,
    /// What is followed, or lies in the mempool since it was given up; by nonce.
    sent: BTreeMap<u64, Sent>,
}

#[derive(Clone, Copy)]
struct Sent {
    id: TxId,
    tx: Tx,
    bid: Bid,
    /// Whose it is, and when it was submitted; nobody's once it was given up.
    followed: Option<(Owner, Time)>,
    raise_at: Time,
    give_up_at: Time,
}

/// What is to be sent.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub(super) owner: Owner,
    pub(super) submitted: Time,
    pub(super) tx: Tx,
}

/// The account that sends an actor's messages for the delayed inbox, and nothing else (L2).
fn dispute_account(main: Address) -> Address {
    let mut bytes = main.0.0;
    bytes[0] ^= 0xff;
    Address::from(bytes)
}

impl Chain {
    /// From now on transactions have nonces, and accounts pay for them.
    pub fn keep_accounts(&mut self, ether: Ether) {
        self.l2.keep_accounts();
        for (account, wei) in ether.accounts {
            self.l2.set_ether(account, wei);
            // The dispute account is another matter: what it lacks its owner was told at the start.
            self.l2.set_ether(dispute_account(account), u128::MAX / 2);
        }
        let has_signed_messages = ether.has_signed_messages;
        self.purses = Some(Purses { has_signed_messages, ..Purses::default() });
    }

    /// When endpoints say that transactions take less gas than they do.
    pub fn set_low_estimates(&mut self, low: Vec<LowEstimates>) {
        if let Some(purses) = &mut self.purses {
            purses.low = low;
        }
    }

    /// When gas is dear.
    pub fn set_spikes(&mut self, spikes: Vec<Spike>) {
        self.changes.extend(spikes.iter().flat_map(|spike| [spike.from, spike.until]));
        self.l2.set_spikes(spikes);
    }

    /// What a unit of gas costs, in wei.
    pub fn base_fee(&self, now: Time) -> u128 {
        self.l2.base_fee(now)
    }

    /// What an account has to pay for gas, in wei; more than enough where the chain keeps no accounts.
    pub fn ether(&self, account: Address) -> u128 {
        self.l2.ether(account)
    }

    /// An account has this to pay for gas from now on, in wei.
    pub fn set_ether(&mut self, account: Address, wei: u128) {
        self.l2.set_ether(account, wei);
    }

    /// An actor's process died: nobody follows what it sent.
    pub fn forget_sent(&mut self, account: Address) {
        if let Some(purses) = &mut self.purses {
            purses.of.remove(&account);
        }
    }

    /// When a purse has something to do.
    pub(super) fn purse_due(&self) -> Option<Time> {
        let sent =
            self.purses.iter().flat_map(|purses| purses.of.values()).flat_map(|purse| purse.sent.values());
        sent.filter(|sent| sent.followed.is_some()).map(|sent| sent.raise_at.min(sent.give_up_at)).min()
    }

    /// What endpoints tell an account at this time of gas and of fees, in percent of what is true.
    fn percent(&self, now: Time, account: Address) -> (u64, u64) {
        let low = self.purses.iter().flat_map(|purses| &purses.low);
        let is_on = |low: &&LowEstimates| low.from <= now && now < low.until && low.whom.contains(&account);
        low.filter(is_on)
            .fold((100, 100), |(gas, fee), low| (gas.min(low.gas_percent), fee.min(low.fee_percent)))
    }

    /// Twice the base fee, as libraries bid.
    fn market(&self, now: Time, account: Address) -> Fees {
        let (_, percent) = self.percent(now, account);
        Fees { most: 2 * self.l2.base_fee(now) * u128::from(percent) / 100, tip: 0 }
    }

    fn purse(&mut self, account: Address) -> &mut Purse {
        let purses = self.purses.as_mut().expect("the chain keeps accounts");
        purses.of.entry(account).or_default()
    }

    fn tell_purse(&mut self, actor: ActorId, what: PurseNews) {
        self.news.push_back(News::Purse { actor, what });
    }

    /// Sends a transaction to the sequencer from its account.
    pub(super) fn bid(&mut self, now: Time, wish: Wish, crypto: &SimCrypto, decide: &mut Decisions) {
        let Tx { from, call: Call::Role(call) } = wish.tx else {
            unreachable!("actors make the calls of roles")
        };
        let used = self.l2.nonce(from);
        let estimate = self.told_estimate(now, &wish.tx, crypto);
        let market = self.market(now, from);
        let purse = self.purse(from);
        let Place { nonce, lies, is_same } = purse.nonces.take(used, call);
        if let Some(sent) = purse.sent.get_mut(&nonce).filter(|_| is_same) {
            // It lies where it was sent, and is followed again.
            sent.followed = Some((wish.owner, wish.submitted));
            (sent.raise_at, sent.give_up_at) = (now + RAISE_AFTER, now + PATIENCE);
            let id = sent.id;
            self.told.remove(&id);
            self.owners.insert(id, (wish.owner, Route::Sequencer, wish.submitted));
        } else {
            let bid = Bid::first(estimate, market, CAPS, lies);
            self.offer(now, wish, nonce, bid, decide);
        }
        self.clear_the_way(now, from);
    }

    fn told_estimate(&self, now: Time, tx: &Tx, crypto: &SimCrypto) -> u64 {
        let (percent, _) = self.percent(now, tx.from);
        self.l2.estimate(now, tx, crypto).saturating_mul(percent) / 100
    }

    /// What was given up and has something behind it makes way: a transaction to nobody's benefit takes its nonce.
    fn clear_the_way(&mut self, now: Time, account: Address) {
        let market = self.market(now, account);
        let way = self.purse(account).nonces.clear_the_way();
        for (nonce, lies) in way {
            let bid = Bid::first(0, market, CAPS, Some(lies));
            let token = self.tokens[0];
            let nothing = token::Setup::Transfer { token, to: account, amount: Amount::ZERO };
            let tx = Tx { from: account, call: Call::Setup(nothing.into()) };
            let terms = Terms { nonce, gas_limit: bid.gas_limit, max_fee: bid.fees.most };
            if self.l2.send(now, tx, terms).is_ok() {
                let purse = self.purse(account);
                purse.nonces.sent(nonce, bid);
                purse.sent.remove(&nonce);
            }
        }
    }

    /// Offers a transaction until a node has it: with more gas, or for more, where one of these is too little.
    fn offer(&mut self, now: Time, wish: Wish, nonce: u64, mut bid: Bid, decide: &mut Decisions) {
        let Wish { owner, submitted, tx } = wish;
        loop {
            let terms = Terms { nonce, gas_limit: bid.gas_limit, max_fee: bid.fees.most };
            let better = match self.l2.send(now, tx, terms) {
                Ok(id) => {
                    let (raise_at, give_up_at) = (now + RAISE_AFTER, now + PATIENCE);
                    let followed = Some((owner, submitted));
                    let sent = Sent { id, tx, bid, followed, raise_at, give_up_at };
                    let purse = self.purse(tx.from);
                    purse.nonces.sent(nonce, bid);
                    purse.sent.insert(nonce, sent);
                    self.owners.insert(id, (owner, Route::Sequencer, submitted));
                    return;
                }
                Err(Refusal::TooLittleGas { .. }) => {
                    self.tell_purse(owner.0, PurseNews::OutOfGas { limit: bid.gas_limit });
                    bid.with_more_gas()
                }
                Err(Refusal::Underpriced { least }) => bid.raised(Fees { most: least, tip: 0 }),
                Err(Refusal::Unaffordable { missing }) => {
                    self.tell_purse(owner.0, PurseNews::Unpaid { missing });
                    None
                }
                Err(Refusal::NonceUsed { .. }) => None,
            };
            let Some(better) = better else {
                self.purse(tx.from).nonces.free(nonce);
                let at = now + self.endpoint_delay(decide);
                self.news.push_back(News::Outcome { to: owner, at, outcome: TxOutcome::Lost });
                return;
            };
            bid = better;
        }
    }

    /// Raises what has waited for a while, and gives up what has waited for long.
    pub(super) fn work_purses(&mut self, now: Time, decide: &mut Decisions) {
        let purses = self.purses.iter().flat_map(|purses| &purses.of);
        let all = purses
            .flat_map(|(account, purse)| purse.sent.iter().map(|(nonce, sent)| (*account, *nonce, *sent)));
        let is_due = |sent: &Sent| sent.raise_at.min(sent.give_up_at) <= now && sent.followed.is_some();
        let due: Vec<_> = all.filter(|(_, _, sent)| is_due(sent)).collect();
        for (account, nonce, sent) in due {
            let Some((owner, submitted)) = sent.followed else { continue };
            if sent.give_up_at <= now {
                let purse = self.purse(account);
                purse.nonces.free(nonce);
                purse.sent.entry(nonce).and_modify(|sent| sent.followed = None);
                self.told.insert(sent.id);
                self.tell_purse(owner.0, PurseNews::GivenUp);
                let at = now + self.endpoint_delay(decide);
                self.news.push_back(News::Outcome { to: owner, at, outcome: TxOutcome::Lost });
                self.clear_the_way(now, account);
                continue;
            }
            let market = self.market(now, account);
            let raised = sent.bid.raised(market).and_then(|bid| {
                let terms = Terms { nonce, gas_limit: bid.gas_limit, max_fee: bid.fees.most };
                self.l2.send(now, sent.tx, terms).ok().map(|id| (id, bid))
            });
            let (id, bid) = raised.unwrap_or((sent.id, sent.bid));
            let next = Sent { id, bid, raise_at: now + RAISE_AFTER, ..sent };
            let purse = self.purse(account);
            purse.nonces.sent(nonce, bid);
            purse.sent.insert(nonce, next);
            if id != sent.id {
                self.owners.remove(&sent.id);
                self.owners.insert(id, (owner, Route::Sequencer, submitted));
                self.tell_purse(owner.0, PurseNews::Raised { fee: bid.fees.most });
            }
        }
    }

    /// A transaction is in a block: `true` where that was it, `false` where it goes out once more.
    pub(super) fn settle_sent(
        &mut self,
        now: Time,
        (id, account): (TxId, Address),
        is_out_of_gas: bool,
        decide: &mut Decisions,
    ) -> bool {
        let Some(purse) = self.purses.as_mut().and_then(|purses| purses.of.get_mut(&account)) else {
            return true;
        };
        let Some((nonce, sent)) = purse.sent.iter().find(|(_, sent)| sent.id == id) else { return true };
        let (nonce, sent) = (*nonce, *sent);
        purse.sent.remove(&nonce);
        purse.nonces.done(nonce);
        let Some((owner, submitted)) = sent.followed.filter(|_| is_out_of_gas) else { return true };
        self.tell_purse(owner.0, PurseNews::OutOfGas { limit: sent.bid.gas_limit });
        let Some(bid) = sent.bid.with_more_gas() else { return true };
        let used = self.l2.nonce(account);
        let Call::Role(call) = sent.tx.call else { unreachable!("actors make the calls of roles") };
        let Place { nonce, .. } = self.purse(account).nonces.take(used, call);
        self.offer(now, Wish { owner, submitted, tx: sent.tx }, nonce, bid, decide);
        false
    }

    /// Puts a message into the delayed inbox: as a ticket, which has no nonce on the L2 and is paid on the L1; or signed for the L2, from
    /// the dispute account, with the nonce after its last one (L2).
    pub(super) fn queue(&mut self, now: Time, wish: Wish) -> Queued {
        let tx = wish.tx;
        let is_signed = self.purses.as_ref().is_some_and(|purses| purses.has_signed_messages);
        if !is_signed {
            return self.l2.submit_inbox(now, tx);
        }
        let Call::Role(call) = tx.call else { unreachable!("actors make the calls of roles") };
        let from = dispute_account(tx.from);
        let used = self.l2.nonce(from);
        let Place { nonce, .. } = self.purse(from).nonces.take(used, call);
        let fees = self.market(now, from).capped(FEE_MOST);
        let terms = Terms { nonce, gas_limit: MESSAGE_GAS, max_fee: 100 * fees.most };
        self.l2.submit_inbox_signed(now, Tx { from, ..tx }, terms)
    }

    /// The accounts that a sequencer ignores who ignores this one: whoever knows it finds its dispute account too.
    pub(super) fn both(account: Address) -> [Address; 2] {
        [account, dispute_account(account)]
    }

    /// Whether a message in the delayed inbox is an account's, and makes this call.
    pub(super) fn is_message(tx: &Tx, from: Address, call: &chain::Call) -> bool {
        let is_theirs = tx.from == from || tx.from == dispute_account(from);
        is_theirs && matches!(&tx.call, Call::Role(other) if other == call)
    }

    /// What can come into no block any more, of what somebody waits for.
    pub(super) fn tell_dropped(&mut self, now: Time) {
        for id in self.l2.take_dropped() {
            let Some((owner, route, _)) = self.owners.get(&id).copied() else { continue };
            // What was replaced has another id by now.
            self.owners.remove(&id);
            if self.told.remove(&id) {
                continue;
            }
            self.news.push_back(News::Lost { owner, route });
            self.news.push_back(News::Outcome { to: owner, at: now, outcome: TxOutcome::Lost });
        }
    }
}
