//! One run: the same transactions into both backends, and the comparison after each.

use std::collections::BTreeMap;

use alloy_primitives::{U256, address};
use decdn_engine::{
    chain::{
        self, Before, Block, ChainEvent, Revert, Subject,
        channel::{self, EventKind, State, Status, predict::Wallets},
        predict, token,
    },
    crypto::{Crypto, Deployment, Signature, SignedVoucher, Typed, VoucherTerms},
    ids::{Address, ChannelId, NodeId},
    money::{Amount, Nonce},
    time::ChainTime,
    voucher::{Ruling, rule},
};

use super::step::{By, Consent, Content, Ink, Owner, PARTIES, Paper, Step, Sum, TOKENS, Terms};
use crate::{
    Answer, Backend, Call, Curves, EthKey, Evm, Genesis, Machine, Model, Query, Tx,
    bindings::{self, Scene},
    channel::{self as channels, Setup as ChannelSetup},
    genesis::TokenSpec,
    registry, token as test_token, wallet,
};

/// An allow-listed address without code.
const NO_TOKEN: Address = address!("00000000000000000000000000000000000000ff");

/// The curve's order.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
    0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// The kind of call and what came of it; `None` where a step is no transaction.
pub type Taken = Option<(&'static str, Result<(), Revert>)>;

/// Three opinions of one chain. Each method panics where they part.
#[derive(Clone, Debug)]
pub struct Run {
    model: Model,
    evm: Evm,
    curves: Curves,
    deployment: Deployment,
    owner: Address,
    keys: Vec<EthKey>,
    tokens: [Address; TOKENS],
    channels: Vec<ChannelId>,
    /// What the payees took, in order.
    held: BTreeMap<ChannelId, Vec<SignedVoucher>>,
    block: Block,
    bytecode_says: Vec<Answer>,
    /// Calls that succeeded with a signature that a wallet takes.
    pub taken_by_wallets: u64,
}

impl Default for Run {
    fn default() -> Self {
        Self::new()
    }
}

impl Run {
    /// Everybody has money, of one token more than a channel may hold, and has approved half of it; two parties are nodes; one
    /// allowed token is none.
    pub fn new() -> Self {
        let genesis = Genesis {
            tokens: vec![
                TokenSpec { symbol: "USDC", decimals: 6 },
                TokenSpec { symbol: "DAI", decimals: 18 },
            ],
            ..Genesis::standard()
        };
        let token = |index| genesis.token(index).expect("two tokens");
        let key = |n: u8| EthKey::from_secret([n; 32]).expect("in range");
        let mut run = Self {
            model: Model::new(&genesis),
            evm: Evm::new(&genesis),
            curves: Curves::new(),
            deployment: genesis.deployment(),
            owner: genesis.owner,
            keys: (1..).take(PARTIES).map(key).collect(),
            tokens: [token(0), token(1), NO_TOKEN],
            channels: Vec::new(),
            held: BTreeMap::new(),
            block: Block { number: 1, time: ChainTime(1_800_000_000) },
            bytecode_says: Vec::new(),
            taken_by_wallets: 0,
        };
        let mut scene = vec![Step::AllowToken { by: Owner::Real, token: 2, allowed: true }];
        for who in 0..PARTIES {
            scene.push(Step::Mint { token: 0, to: who, amount: 10_000 });
            // More than a channel may hold.
            scene.push(Step::Mint { token: 1, to: who, amount: 1 << 125 });
            scene.push(Step::Approve { by: who, token: 0, amount: 5_000 });
            scene.push(Step::Approve { by: who, token: 1, amount: 1 << 124 });
            scene.push(Step::SetNode { by: Owner::Real, who, active: who % 2 == 1 });
        }
        for (by, node) in [(0, 1), (2, 3), (0, 3)] {
            scene.push(Step::Open { by, node, token: 0, deposit: 1_000 });
        }
        for step in scene {
            let taken = run.take(&step);
            assert!(matches!(taken, Some((_, Ok(())))), "the scene can be set: {step:?}");
        }
        run
    }

    /// Vouchers that payees took.
    pub fn vouchers_held(&self) -> usize {
        self.held.values().map(Vec::len).sum()
    }

    /// Takes a step on both sides.
    ///
    /// # Panics
    /// If the model, the bytecode and the engine's prediction don't agree on what came of it.
    pub fn take(&mut self, step: &Step) -> Taken {
        let (kind, tx) = self.transaction(step)?;
        Some((kind, self.execute(&tx)))
    }

    /// A transaction of anybody's on both sides.
    ///
    /// # Panics
    /// As [`take`](Self::take).
    pub fn execute(&mut self, tx: &Tx) -> Result<(), Revert> {
        let mut wallets = Wallets::default();
        let foretold = match &tx.call {
            // An allow-listed address that is no token fails before the transfer; the engine does not look
            // that far.
            Call::Role(chain::Call::Channel(channel::Call::Open { token, .. })) if *token == NO_TOKEN => None,
            Call::Role(call) => {
                let before = bindings::before(&self.model, self.block, tx.from, call, &self.curves);
                let evm = bindings::before(&self.evm, self.block, tx.from, call, &self.curves);
                assert_eq!(before, evm);
                if let Before::Channel(before) = &before {
                    wallets = before.wallets;
                }
                Some(predict(call, &before, &self.deployment, &self.curves))
            }
            Call::Setup(_) => None,
        };
        let model = self.model.execute(self.block, tx, &self.curves);
        let evm = self.evm.execute(self.block, tx, &self.curves);
        assert_eq!(model.result, evm.result, "{:?} at {:?}", tx, self.block);
        assert_eq!(&model.events, &evm.events, "{:?}", tx);
        for event in model.events.iter().filter_map(ChainEvent::as_channel) {
            if matches!(event.kind, EventKind::Opened { .. }) {
                self.channels.push(event.channel);
            }
        }
        if let Some(foretold) = foretold {
            assert_eq!(foretold.map(drop), evm.result, "foretold of {:?}", tx);
            if let Ok(Some(after)) = foretold {
                let found = self.evm.ask(&Query::State(after.subject()));
                assert_eq!(Answer::State(Some(after)), found, "foretold of {:?}", tx);
            }
        }
        if model.result.is_ok() && wallets != Wallets::default() {
            self.taken_by_wallets += 1;
        }
        self.compare(model.result.is_ok());
        // Each transaction has a block of its own, and its time: what should not depend on when it was set shows if it does.
        self.block.number += 1;
        self.block.time.0 += 1;
        model.result
    }

    /// Steps as one batch of one account, on the bytecode (C8): it does what they do there one after the other, and tells of those
    /// that revert.
    ///
    /// # Panics
    /// If it doesn't, or a step is no call of the payment channel's that roles make.
    pub fn batch(&mut self, by: usize, steps: &[Step]) -> Vec<Result<(), Revert>> {
        let from = self.party(by);
        let calls: Vec<_> =
            steps.iter().filter_map(|step| self.transaction(step)).map(|(_, tx)| tx.call).collect();
        let mut alone = self.evm.clone();
        let one = |call: &Call| alone.execute(self.block, &Tx { from, call: *call }, &self.curves).result;
        let results: Vec<_> = calls.iter().map(one).collect();
        let told: Vec<_> =
            (0..).zip(&results).filter_map(|(index, result)| Some((index, result.err()?))).collect();
        let skipped = self.evm.batch(self.block, from, &calls);
        assert_eq!(skipped, told, "C8: which items of {calls:?} were skipped");
        // The model knows no batches: it makes the same calls.
        for call in &calls {
            let tx = Tx { from, call: *call };
            let opened = self.model.execute(self.block, &tx, &self.curves).events;
            for event in opened.iter().filter_map(ChainEvent::as_channel) {
                if matches!(event.kind, EventKind::Opened { .. }) {
                    self.channels.push(event.channel);
                }
            }
        }
        self.compare(true);
        self.block.number += 1;
        self.block.time.0 += 1;
        results
    }

    /// Compares all that can be read. A call that reverted leaves the bytecode's state as it was, so the model's has to be what
    /// the bytecode's was then; asking the bytecode again is what costs most here.
    fn compare(&mut self, is_changed: bool) {
        let questions = self.questions();
        if is_changed {
            self.bytecode_says = questions.iter().map(|query| self.evm.ask(query)).collect();
        }
        assert_eq!(
            questions.len(),
            self.bytecode_says.len(),
            "a call that reverts leaves nothing new to ask for"
        );
        for (query, bytecode) in questions.iter().zip(&self.bytecode_says) {
            assert_eq!(self.model.ask(query), *bytecode, "the model (left) and the bytecode: {query:?}");
        }
    }

    fn questions(&self) -> Vec<Query> {
        let parties = self.keys.iter().map(EthKey::address);
        let accounts: Vec<Address> = parties.chain([self.deployment.payment_channel]).collect();
        let subjects: Vec<Subject> =
            self.channels.iter().copied().chain([lost()]).map(Subject::Channel).collect();
        bindings::questions(&Scene { accounts: &accounts, tokens: &self.tokens, subjects: &subjects })
    }

    /// The payee's ruling, as the engine's (V1): by the best it holds, and by recovery alone (V8). What it takes is money: until
    /// the deadline it can close with it or dispute, and gets it recorded.
    fn pay(&mut self, paper: &Paper) {
        let Some(voucher) = self.written(paper) else { return };
        let SignedVoucher { terms, signature } = voucher;
        let Some(c) = self.model.channel(terms.channel) else { return };
        let held = self.held.get(&terms.channel).and_then(|held| held.last());
        let best = held.map_or((Nonce::NONE, Amount::ZERO), |best| (best.terms.nonce, best.terms.amount));
        let is_better = rule(best, c.deposit, terms.nonce, terms.amount) == Ruling::Better;
        let is_signed = terms.token == c.token
            && self.curves.verify(&self.deployment, &Typed::Voucher(terms), &signature, c.client);
        if !is_better || !is_signed {
            return;
        }
        assert!(terms.nonce > best.0 && terms.amount > best.1, "V1: {terms:?} is not better than {best:?}");
        self.held.entry(terms.channel).or_default().push(voucher);
        let is_in_time = match c.status {
            Status::Open => terms.amount > c.amount,
            Status::Closing => self.block.time < c.deadline && terms.amount > c.amount,
            Status::Settled => false,
        };
        if is_in_time {
            let mut cashed = self.clone();
            let call = channel::Call::Close { channel: terms.channel, voucher: Some(voucher) };
            let result = cashed.execute(&Tx { from: c.node, call: Call::Role(call.into()) });
            assert_eq!(result, Ok(()), "the engine takes {voucher:?}, the contract does not: {c:?}");
            let recorded = cashed.evm.channel(terms.channel).map(|c| c.amount);
            assert_eq!(recorded, Some(terms.amount), "{voucher:?}");
        }
    }

    fn transaction(&mut self, step: &Step) -> Option<(&'static str, Tx)> {
        let amount = Amount;
        let (kind, from, call) = match step {
            Step::Wait { secs } => {
                self.block.time.0 += secs;
                return None;
            }
            Step::WaitForDeadline { channel, off_secs } => {
                let deadline = self.model.channel(self.channel(*channel)).map_or(0, |c| c.deadline.0);
                self.block.time.0 = self.block.time.0.max(deadline.saturating_add_signed(*off_secs));
                return None;
            }
            Step::Pay { voucher } => {
                self.pay(voucher);
                return None;
            }
            Step::Approve { by, token, amount: sum } => {
                let call = token::Call::Approve { token: self.tokens[*token], amount: amount(*sum) };
                ("approve", self.party(*by), Call::Role(call.into()))
            }
            Step::Open { by, node, token, deposit } => {
                let (node, token) = (self.party(*node), self.tokens[*token]);
                let call = channel::Call::Open { node, token, deposit: amount(*deposit) };
                ("open", self.party(*by), Call::Role(call.into()))
            }
            Step::OpenWithPermit { by, node, token, deposit, off_secs, permit } => {
                let (owner, node, token) = (self.party(*by), self.party(*node), self.tokens[*token]);
                let deadline = ChainTime(self.block.time.0.saturating_add_signed(*off_secs));
                let (amount, signature) = (amount(*deposit), Signature([0; 65]));
                let unsigned = test_token::Permit { token, owner, amount, deadline, signature };
                let permit = self.permit(unsigned, *permit);
                ("permit", owner, Call::Setup(channels::OpenWithPermit { node, permit }.into()))
            }
            Step::Close { by, voucher } => {
                let (channel, voucher, from) =
                    (self.named(voucher), self.written(voucher), self.by(*by, voucher.channel));
                ("close", from, Call::Role(channel::Call::Close { channel, voucher }.into()))
            }
            Step::Dispute { by, voucher } => {
                let from = self.by(*by, voucher.channel);
                (
                    "dispute",
                    from,
                    Call::Role(channel::Call::Dispute { voucher: self.written(voucher)? }.into()),
                )
            }
            Step::Settle { by, channel } => {
                let id = if *channel % 32 == 0 { lost() } else { self.channel(*channel) };
                ("settle", self.by(*by, *channel), Call::Role(channel::Call::Settle { channel: id }.into()))
            }
            Step::CloseCooperatively { by, voucher, consent } => {
                let (channel, from) = (self.named(voucher), self.by(*by, voucher.channel));
                let node_signature = self.consent(voucher, *consent);
                let voucher = self.written(voucher);
                let call = channel::Call::CloseCooperatively { channel, voucher, node_signature };
                ("cooperative", from, Call::Role(call.into()))
            }
            Step::Claim { by, voucher } => {
                let from = self.by(*by, voucher.channel);
                let voucher = self.written(voucher)?;
                ("claim", from, Call::Role(channel::Call::Claim { voucher }.into()))
            }
            Step::Finish { by, voucher } => {
                let (channel, voucher, from) =
                    (self.named(voucher), self.written(voucher), self.by(*by, voucher.channel));
                ("finish", from, Call::Role(channel::Call::Finish { channel, voucher }.into()))
            }
            Step::Withdraw { by, token, to } => {
                // Beyond the parties and nobody it is the contract itself.
                let to = if *to > PARTIES { self.deployment.payment_channel } else { self.account(*to) };
                let call = channel::Call::WithdrawCredit { token: self.tokens[*token], to };
                ("withdraw", self.party(*by), Call::Role(call.into()))
            }
            Step::ForceClose { by, channel } => {
                let id = if *channel % 32 == 0 { lost() } else { self.channel(*channel) };
                let call = channel::Call::ForceClose { channel: id };
                ("force", self.by(*by, *channel), Call::Role(call.into()))
            }
            Step::Delegate { by, trusted } => {
                let trusted = self.account(*trusted);
                ("delegate", self.party(*by), Call::Setup(wallet::Setup::Delegate { trusted }.into()))
            }
            Step::Mint { token, to, amount: sum } => {
                let setup = test_token::Setup::Mint {
                    token: self.tokens[*token],
                    to: self.account(*to),
                    amount: amount(*sum),
                };
                ("setup", self.party(0), Call::Setup(setup.into()))
            }
            Step::Transfer { by, token, to, amount: sum } => {
                let (token, to) = (self.tokens[*token], self.account(*to));
                (
                    "setup",
                    self.party(*by),
                    Call::Setup(test_token::Setup::Transfer { token, to, amount: amount(*sum) }.into()),
                )
            }
            Step::SetNode { by, who, active } => {
                let (operator, node) = (self.account(*who), NodeId([9; 32]));
                (
                    "setup",
                    self.owner(*by),
                    Call::Setup(registry::Setup::SetNode { operator, node, active: *active }.into()),
                )
            }
            Step::AllowToken { by, token, allowed } => {
                let setup = ChannelSetup::AllowToken { token: self.tokens[*token], allowed: *allowed };
                ("setup", self.owner(*by), Call::Setup(setup.into()))
            }
            Step::SetWindow { by, secs } => {
                ("setup", self.owner(*by), Call::Setup(ChannelSetup::SetWindow { secs: *secs }.into()))
            }
            Step::Pause { by, paused } => {
                ("setup", self.owner(*by), Call::Setup(ChannelSetup::Pause(*paused).into()))
            }
        };
        Some((kind, Tx { from, call }))
    }

    fn party(&self, place: usize) -> Address {
        self.keys[place % PARTIES].address()
    }

    /// A party, or nobody.
    fn account(&self, place: usize) -> Address {
        self.keys.get(place).map_or(Address::ZERO, EthKey::address)
    }

    fn owner(&self, by: Owner) -> Address {
        match by {
            Owner::Real => self.owner,
            Owner::Pretender(place) => self.party(place),
        }
    }

    fn channel(&self, place: usize) -> ChannelId {
        self.channels.get(place % self.channels.len().max(1)).copied().unwrap_or(lost())
    }

    fn view(&self, place: usize) -> Option<State> {
        self.model.channel(self.channel(place))
    }

    fn by(&self, by: By, channel: usize) -> Address {
        match (by, self.view(channel)) {
            (By::Client, Some(c)) => c.client,
            (By::Node, Some(c)) => c.node,
            (By::Party(place), _) => self.party(place),
            (_, None) => self.party(0),
        }
    }

    fn named(&self, paper: &Paper) -> ChannelId {
        if paper.is_lost { lost() } else { self.channel(paper.channel) }
    }

    fn written(&self, paper: &Paper) -> Option<SignedVoucher> {
        match &paper.content {
            Content::Empty => None,
            Content::Written(wanted) => {
                let terms = self.terms(paper, wanted);
                let client = self.view(paper.channel).map_or(self.party(0), |c| c.client);
                let signature = self.signed(Typed::Voucher, terms, client, wanted.signature);
                Some(SignedVoucher { terms, signature })
            }
            Content::Held(place) => {
                let held = self.held.get(&self.named(paper))?;
                held.get(place % held.len()).copied()
            }
        }
    }

    fn terms(&self, paper: &Paper, wanted: &Terms) -> VoucherTerms {
        let view = self.view(paper.channel);
        let (deposit, recorded) = view.map_or((0, 0), |c| (c.deposit.0, c.amount.0));
        let amount = match wanted.amount {
            Sum::Part(part) => deposit / 256 * u128::from(part) + deposit % 256 * u128::from(part) / 256,
            Sum::Recorded(off) => recorded.saturating_add_signed(off.into()),
            Sum::Deposit(off) => deposit.saturating_add_signed(off.into()),
            Sum::Any(amount) => amount,
        };
        let own = view.map_or(self.tokens[0], |c| c.token);
        let token = wanted.token.map_or(own, |place| self.tokens[place]);
        VoucherTerms { channel: self.named(paper), amount: Amount(amount), nonce: Nonce(wanted.nonce), token }
    }

    fn consent(&self, paper: &Paper, consent: Consent) -> Signature {
        let view = self.view(paper.channel);
        let (node, token, deposit) =
            view.map_or((self.party(0), self.tokens[0], Amount::ZERO), |c| (c.node, c.token, c.deposit));
        let empty =
            VoucherTerms { channel: self.named(paper), amount: Amount::ZERO, nonce: Nonce::NONE, token };
        let terms = match &paper.content {
            Content::Written(wanted) => self.terms(paper, wanted),
            Content::Empty | Content::Held(_) => self.written(paper).map_or(empty, |voucher| voucher.terms),
        };
        match consent {
            Consent::Same(ink) => self.signed(Typed::CooperativeClose, terms, node, ink),
            Consent::Capped => {
                let terms = VoucherTerms { amount: terms.amount.min(deposit), ..terms };
                self.signed(Typed::CooperativeClose, terms, node, Ink::Right)
            }
            Consent::AsVoucher => self.signed(Typed::Voucher, terms, node, Ink::Right),
        }
    }

    fn signed(
        &self,
        kind: fn(VoucherTerms) -> Typed,
        terms: VoucherTerms,
        signer: Address,
        ink: Ink,
    ) -> Signature {
        let key = |who| {
            self.keys.iter().find(|key| key.address() == who).expect("channels are between the parties")
        };
        if let Ink::OtherAmount = ink {
            let other = VoucherTerms { amount: Amount(terms.amount.0 ^ 1), ..terms };
            return key(signer).sign(&kind(other), &self.deployment);
        }
        let sign = |who| key(who).sign(&kind(terms), &self.deployment);
        bent(ink, sign(signer), |place| sign(self.party(place)))
    }

    /// A permit with its owner's signature, or nearly.
    fn permit(&self, permit: test_token::Permit, ink: Ink) -> test_token::Permit {
        let test_token::Permit { token, owner, .. } = permit;
        let symbol = if token == self.tokens[0] { "USDC" } else { "DAI" };
        let domain = test_token::domain(symbol, token, self.deployment.chain_id);
        let nonce = self.model.ask(&test_token::Query::Permits { token, who: owner }.into()).number();
        let mut said = permit;
        if let Ink::OtherAmount = ink {
            said.amount.0 ^= 1;
        }
        let digest = said.digest(domain, nonce, &self.deployment);
        let key = |who| self.keys.iter().find(|key| key.address() == who).expect("a party");
        let by = |place| key(self.party(place)).sign_digest(digest);
        test_token::Permit { signature: bent(ink, key(owner).sign_digest(digest), by), ..permit }
    }
}

/// What becomes of the right signature, or another party's. Where the terms are other ones, the caller saw to it.
fn bent(ink: Ink, right: Signature, by: impl FnOnce(usize) -> Signature) -> Signature {
    let mut bent = right;
    match ink {
        Ink::Right | Ink::OtherAmount => {}
        Ink::By(place) => bent = by(place),
        Ink::HighS => {
            let s = U256::from_be_bytes(ORDER) - U256::from_be_slice(&right.0[32..64]);
            bent.0[32..64].copy_from_slice(&s.to_be_bytes::<32>());
            bent.0[64] = 55 - right.0[64];
        }
        Ink::V(v) => bent.0[64] = v,
        Ink::Noise(byte) => bent.0[usize::from(byte) % 65] ^= byte | 1,
    }
    bent
}

fn lost() -> ChannelId {
    ChannelId([0xee; 32])
}
