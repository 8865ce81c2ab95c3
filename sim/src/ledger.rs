//! Who has what, and who gained by whom: double entry for every actor in every token, with gas and bytes beside it.
//!
//! Every entry takes from one account what it gives to another. Money moves as the contract's rules say, restated
//! here; what the chain says it did is held against it (O1, O2). Service is booked too: content that a payer
//! verified is worth its agreed price from that moment, whether it is ever paid or not, so that what is left
//! over at the end is a profit or a loss.

use decdn_engine::{chain::channel, ids::Address, money::Amount, time::Time};

use crate::{
    actor::ActorId,
    check::book::{People, UNIT},
    seen::{ChainView, Included, OnChainStatus},
};

/// An account of the ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Account {
    /// An actor's wallet, and what the contract keeps for it to withdraw (C6).
    Of(ActorId),
    /// Deposits of channels that have not settled.
    Escrow,
    /// Everybody outside the cast.
    World,
}

/// One posting: `amount` of a token from one account to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When.
    pub at: Time,
    /// The token, by its place among the chain's tokens.
    pub token: usize,
    /// Who gives.
    pub from: Account,
    /// Who gets.
    pub to: Account,
    /// How much.
    pub amount: Amount,
}

/// One actor's page.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// What it started with, by token.
    start: Vec<i128>,
    /// What it has now, by token.
    now: Vec<i128>,
    /// Content it verified, less content that others verified from it: bytes × rate, by token.
    service: Vec<i128>,
    /// Gas of its transactions.
    pub gas: u64,
    /// Its transactions in blocks.
    pub txs: u32,
    /// Content bytes that left it.
    pub sent_bytes: u64,
    /// Content bytes that it verified.
    pub verified_bytes: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    tokens: Vec<Address>,
    pages: Vec<Page>,
    escrow: Vec<i128>,
    world: Vec<i128>,
}

impl Ledger {
    /// Opening balances, as the chain has them.
    pub fn open(people: &People, accounts: &[Address], chain: &dyn ChainView) -> Self {
        let tokens = chain.tokens().to_vec();
        let count = tokens.len();
        let mut ledger = Self {
            pages: vec![Page::default(); people.len()],
            escrow: vec![0; count],
            world: vec![0; count],
            tokens,
        };
        for (page, account) in ledger.pages.iter_mut().zip(accounts) {
            page.start = ledger.tokens.iter().map(|token| own(chain, *token, *account)).collect();
            page.now = page.start.clone();
            page.service = vec![0; count];
        }
        ledger
    }

    /// The place of a token.
    pub fn token(&self, token: Address) -> Option<usize> {
        self.tokens.iter().position(|known| *known == token)
    }

    /// Posts what a transaction moves by the contract's rules, given where its channel stood before and after:
    /// an opening pays the deposit in, a claim pays the node what it claims (C12), a settlement pays out what is left, once, and
    /// nothing else moves anything.
    pub fn post(&mut self, at: Time, tx: &Included<'_>, people: &People) {
        self.book(at, tx, people, false);
    }

    /// Takes back what a transaction moved: a fork undid it. So it did its gas.
    pub fn unpost(&mut self, at: Time, tx: &Included<'_>, people: &People) {
        self.book(at, tx, people, true);
    }

    fn book(&mut self, at: Time, tx: &Included<'_>, people: &People, is_undone: bool) {
        if let Some(from) = tx.from {
            let page = &mut self.pages[usize::from(from.0)];
            if is_undone {
                page.gas = page.gas.saturating_sub(tx.gas);
                page.txs = page.txs.saturating_sub(1);
            } else {
                page.gas += tx.gas;
                page.txs += 1;
            }
        }
        let Some(after) = tx.channel_after() else { return };
        let Some(token) = self.token(after.token) else { return };
        let account = |address| people.of(address).map_or(Account::World, Account::Of);
        let (client, node) = (account(after.client), account(after.node));
        let is_live = |status| matches!(status, OnChainStatus::Open | OnChainStatus::Closing);
        let mut post = |from, to, amount| {
            let (from, to) = if is_undone { (to, from) } else { (from, to) };
            self.enter(Entry { at, token, from, to, amount });
        };
        if tx.channel_before().is_none() && is_live(after.status) {
            post(client, Account::Escrow, after.deposit);
        }
        let Some(before) = tx.channel_before().filter(|before| is_live(before.status)) else { return };
        let is_claim = matches!(tx.channel_call(), Some(channel::Call::Claim { .. }));
        if is_claim && before.status == OnChainStatus::Open && after.status == OnChainStatus::Open {
            post(Account::Escrow, node, after.amount.saturating_sub(before.amount));
        }
        if after.status == OnChainStatus::Settled {
            let earned = after.amount.min(after.deposit);
            post(Account::Escrow, node, earned.saturating_sub(before.claimed));
            post(Account::Escrow, client, after.deposit.saturating_sub(earned));
        }
    }

    /// One entry: what one account loses another one gains.
    pub fn enter(&mut self, entry: Entry) {
        let amount = i128::try_from(entry.amount.0).unwrap_or(i128::MAX);
        *self.balance_mut(entry.from, entry.token) -= amount;
        *self.balance_mut(entry.to, entry.token) += amount;
    }

    fn balance_mut(&mut self, account: Account, token: usize) -> &mut i128 {
        match account {
            Account::Of(actor) => &mut self.pages[usize::from(actor.0)].now[token],
            Account::Escrow => &mut self.escrow[token],
            Account::World => &mut self.world[token],
        }
    }

    /// What an account should have of a token.
    pub fn balance(&self, account: Account, token: usize) -> i128 {
        match account {
            Account::Of(actor) => self.pages[usize::from(actor.0)].now[token],
            Account::Escrow => self.escrow[token],
            Account::World => self.world[token],
        }
    }

    /// Content went from one to another and was verified: worth `bytes` × `rate`.
    pub fn serve(&mut self, token: usize, from: ActorId, to: ActorId, bytes: u64, rate: u64) {
        let worth = i128::from(bytes) * i128::from(rate);
        self.pages[usize::from(from.0)].service[token] -= worth;
        let page = &mut self.pages[usize::from(to.0)];
        page.service[token] += worth;
        page.verified_bytes += bytes;
    }

    /// An actor's page.
    pub fn page(&self, actor: ActorId) -> &Page {
        &self.pages[usize::from(actor.0)]
    }

    /// An actor's page, to count bytes on.
    pub fn page_mut(&mut self, actor: ActorId) -> &mut Page {
        &mut self.pages[usize::from(actor.0)]
    }

    /// What an actor gained, in base units of a token, rounded towards nothing: money that came in, and service that
    /// it got; less money and service that it gave.
    pub fn profit(&self, actor: ActorId, token: usize) -> i128 {
        let page = self.page(actor);
        page.now[token] - page.start[token] + page.service[token] / UNIT as i128
    }

    /// How many tokens there are.
    pub fn token_count(&self) -> usize {
        self.tokens.len()
    }

    /// A token.
    pub fn token_at(&self, place: usize) -> Address {
        self.tokens[place]
    }
}

/// What an account has of a token: in its wallet, and kept for it by the contract.
pub fn own(chain: &dyn ChainView, token: Address, account: Address) -> i128 {
    let sum = chain.balance(token, account).0.saturating_add(chain.credit(token, account).0);
    i128::try_from(sum).unwrap_or(i128::MAX)
}
