//! The edge of a client: it keeps the driver's contract, and hands the rest of the world to the input.

use decdn_engine::{
    chain::{Call, Revert, TxOutcome, channel},
    crypto::Deployment,
    ids::{ChannelId, NodeId, TxTicket},
    io::{Effect, Input},
    limits::Limits,
    roles::{client::Client, config::ClientConfig},
    state::ALARMS_SPARE,
    time::{ChainTime, Span},
};
use decdn_testkit::signature;

use crate::{
    Bytes,
    harness::{Bench, CLIENT, OPERATOR, RIVAL, STRANGER, bench, check_tables, odd},
    market::{Buyer, Market, Parties, Said},
};

const PARTIES: Parties = Parties {
    buyer: CLIENT,
    sellers: [(NodeId([1; 32]), OPERATOR, 1), (NodeId([2; 32]), RIVAL, 3), (NodeId([3; 32]), STRANGER, 2)],
    channels: 0,
};

/// Everything small, so that a few steps reach it.
fn limits() -> Limits {
    Limits { channels: 4, fetches: 3, candidates: 3, chain_events: 4, ..Limits::standard() }
}

pub(super) struct Driver {
    bench: Bench<Client>,
    config: ClientConfig,
    market: Market,
    txs: Vec<(TxTicket, Call)>,
    polls: Vec<u64>,
}

impl Driver {
    pub(super) fn new() -> Self {
        let mut config = ClientConfig::new(Deployment::default(), NodeId([9; 32]), CLIENT);
        config.limits = limits();
        Self {
            bench: bench(Client::new(config.clone())),
            config,
            market: Market::new(&PARTIES, false),
            txs: Vec::new(),
            polls: Vec::new(),
        }
    }

    pub(super) fn end(mut self) {
        self.bench.check_digest();
    }

    pub(super) fn wait(&mut self, span: Span) {
        if self.bench.pass(span) {
            let said = self.step(Input::Tick);
            self.after(&said);
        }
    }

    pub(super) fn wait_until_due(&mut self) {
        self.wait(self.bench.until_due());
    }

    pub(super) fn hear_chain(&mut self, how: usize, input: &mut Bytes<'_>) {
        let poll = self.polls.pop();
        match how {
            0..=6 => {
                let from_block = poll.unwrap_or(u64::from(input.byte() % 16));
                let update = self.market.chain.news(self.bench.now, from_block);
                self.feed(Input::Chain(update));
            }
            7 => self.feed_if(poll.is_some(), Input::ChainUnreachable),
            8 | 9 => {
                self.stale_close(self.bench.now, input);
                self.polls.extend(poll);
            }
            _ => {
                let update = self.market.chain.lies(input, &self.known());
                self.feed(Input::Chain(update));
            }
        }
    }

    fn feed_if(&mut self, is_due: bool, input: Input) {
        if is_due {
            self.feed(input);
        }
    }

    /// One transaction's fate, in any order.
    pub(super) fn answer_tx(&mut self, input: &mut Bytes<'_>) {
        if self.txs.is_empty() {
            return;
        }
        let place = usize::from(input.byte()) % self.txs.len();
        let (ticket, call) = self.txs[place];
        let (now, chain) = (self.bench.now, &mut self.market.chain);
        let block = chain.block(now);
        let outcome = match input.byte() % 10 {
            0..=4 => TxOutcome::Included { block: chain.include(now, &call), result: Ok(()) },
            5 => TxOutcome::Included { block, result: Err(Revert::Channel(channel::Revert::NotOpen)) },
            6 => TxOutcome::Included { block, result: Err(Revert::Other) },
            7 => TxOutcome::Lost,
            8 => TxOutcome::Queued { at: block.time, forcible: ChainTime(odd(input)) },
            _ => {
                let block = decdn_engine::chain::Block { number: odd(input), ..block };
                TxOutcome::Included { block, result: Ok(()) }
            }
        };
        if !matches!(outcome, TxOutcome::Queued { .. }) {
            self.txs.swap_remove(place);
        }
        self.feed(Input::Tx { ticket, outcome });
    }

    /// The process dies, and starts again from what is durable.
    pub(super) fn crash(&mut self) {
        self.bench.reboot(|records| Client::recover(self.config.clone(), records));
        self.market.recovered(&self.bench.disk, &self.bench.role);
        self.txs.clear();
        self.polls.clear();
    }

    /// The same, and from now on it asks its owner, or no longer does.
    pub(super) fn crash_and_ask(&mut self) {
        self.config.asks = !self.config.asks;
        self.market.asks = self.config.asks;
        self.crash();
    }

    /// Carries out the next effect of a lane; false if there was none.
    pub(super) fn carry_out(&mut self, input: &mut Bytes<'_>) -> bool {
        let how = input.byte();
        self.carry_out_as(usize::from(how & 15), how >= 0xe0)
    }

    pub(super) fn check(&self) {
        let limits = &self.config.limits;
        let unsigned = self.bench.waiting(|effect| matches!(effect, Effect::Sign { .. }));
        let unanswered = self.bench.waiting(|effect| matches!(effect, Effect::Tx { .. })) + self.txs.len();
        let alarms = 2 * (2 + limits.fetches + 12 * limits.channels) + ALARMS_SPARE;
        let bounds = Market::bounds(limits, unsigned, unanswered, alarms, 2 * limits.channels);
        check_tables(&bounds, &self.bench.role.tables());
    }
}

impl Buyer for Driver {
    fn market(&mut self) -> &mut Market {
        &mut self.market
    }

    fn step(&mut self, input: Input) -> Said {
        let mut said = Said::default();
        let market = &self.market;
        self.bench.feed(input, |output| said.note(market, output));
        said
    }

    fn take_for_probe(&mut self) -> Option<Effect> {
        self.bench.take_if(|effect| self.market.is_for_probe(effect))
    }

    fn known(&self) -> Vec<ChannelId> {
        self.bench.role.channels().map(|paying| paying.channel).collect()
    }

    fn carry_out_as(&mut self, choice: usize, is_refused: bool) -> bool {
        self.serve_probes();
        let Some((_, effect)) = self.bench.next(choice) else { return false };
        match effect {
            Effect::Persist { seq, writes } => {
                self.market.durable(&self.bench.disk, &writes);
                self.feed(Input::Persisted { seq });
            }
            Effect::Sign { ticket, what } => {
                if !is_refused {
                    self.market.sign(&what);
                }
                let signature = (!is_refused).then_some(signature(0));
                self.feed(Input::Signed { ticket, signature });
            }
            Effect::Tx { ticket, call, .. } => {
                self.market.check_call(&self.bench.disk, &call);
                self.txs.push((ticket, call));
            }
            Effect::Poll { from_block, .. } => self.polls.push(from_block),
            other => {
                if let Some(input) = self.market.carry_out(&self.bench.disk, other) {
                    self.feed(input);
                }
            }
        }
        true
    }

    fn hear_all(&mut self) {
        while !self.txs.is_empty() {
            self.answer_tx(&mut Bytes::new(&[]));
            self.drain();
        }
        while !self.polls.is_empty() {
            self.hear_chain(0, &mut Bytes::new(&[]));
        }
    }
}
