//! A transaction's way to the chain, by the sequencer or by the delayed inbox, and what becomes of it.

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, Bytes};
use alloy_provider::{Provider, transport::TransportError};
use alloy_rpc_types_eth::{BlockOverrides, TransactionReceipt, TransactionRequest};
use decdn_contracts::bindings;
use decdn_engine::{
    chain::{Block, BlockRef, Call, Revert, Route, TxOutcome, channel},
    ids::{ChannelId, TxTicket},
    money::Amount,
    time::{ChainTime, Span},
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Duration, Instant, sleep, timeout};

use super::{
    ChainError, allowance,
    alloy::{Shared, endpoint},
    bidding::{Fate, UnderWay},
    inbox::{DelayedInbox, Message, Wait},
};

/// How long the L2 may take for a message that a batch has, until it is taken to have done nothing.
const EXECUTION: Duration = Duration::from_secs(15 * 60);
/// How often in a row the L1 has to be without a message before that is believed.
const MISSES: u32 = 4;
/// By how much the time from which on a message can be forced has to change before anybody hears of it, in seconds.
const SOONER_SECS: u64 = 60;
const LATER_SECS: u64 = 600;
/// How long a poll waits for the L1 to say how long its inbox takes, and how long that answer is used.
const DELAY_PATIENCE: Duration = Duration::from_secs(5);
const DELAY_FRESH: Duration = Duration::from_secs(60);

/// The way around the sequencer.
pub(super) enum Way {
    /// There is none.
    None,
    /// The devnet's methods.
    Devnet,
    /// An Arbitrum chain's inbox on its L1.
    Arbitrum(DelayedInbox),
}

/// What the delayed inbox was given.
#[derive(Clone, Copy, Debug)]
pub(super) enum Delayed {
    /// The transaction's hash.
    Devnet(B256),
    /// The message.
    Arbitrum(Message),
}

/// Where following a transaction stands.
pub(super) enum Following {
    /// It is to be sent, or looked for.
    Unsent { ticket: TxTicket, call: Call, route: Route },
    /// It is on its way.
    Sent(UnderWay),
    /// It waits in an Arbitrum chain's inbox.
    Waiting(Box<Waiting>),
    /// All is told.
    Done,
}

/// A dispute that waits in an Arbitrum chain's inbox.
pub(super) struct Waiting {
    ticket: TxTicket,
    to: Address,
    input: Bytes,
    claim: Claim,
    message: Message,
    /// From when on it can be forced, as was told last.
    forcible: ChainTime,
    /// Since when a batch has it.
    read_at: Option<Instant>,
    /// How often in a row the L1 was without it.
    misses: u32,
}

/// What a dispute is to make the contract record.
#[derive(Clone, Copy, Debug)]
struct Claim {
    channel: ChannelId,
    amount: Amount,
}

impl Claim {
    /// Nothing but disputes goes into an Arbitrum chain's inbox: of nothing else it could be seen that it has come.
    fn of(call: &Call) -> Result<Self, ChainError> {
        let Call::Channel(channel::Call::Dispute { voucher }) = call else { return Err(ChainError::NoInbox) };
        Ok(Self { channel: voucher.terms.channel, amount: voucher.terms.amount })
    }
}

/// How long the inbox takes, as the L1 said last.
#[derive(Debug, Default)]
pub(super) struct LastDelay {
    asked_at: Option<Instant>,
    delay: Option<Span>,
}

#[derive(Debug, Deserialize)]
struct SentToInbox {
    at: u64,
    forcible: u64,
}

#[derive(Debug, Deserialize)]
struct FoundInInbox {
    hash: B256,
    nonce: u64,
    at: u64,
    forcible: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    forced_inclusion_secs: u64,
}

type Told = (TxOutcome, Following);

impl Shared {
    /// The next outcome of a transaction.
    pub(super) async fn follow(&self, following: Following) -> Option<Told> {
        match following {
            Following::Done => None,
            Following::Sent(under_way) => Some((self.outcome(&under_way).await, Following::Done)),
            Following::Waiting(waiting) => Some(self.watch(waiting).await),
            Following::Unsent { ticket, call, route } => {
                Some(self.begin(ticket, &call, route).await.unwrap_or_else(|why| {
                    self.remember(&why);
                    (TxOutcome::Lost, Following::Done)
                }))
            }
        }
    }

    async fn begin(&self, ticket: TxTicket, call: &Call, route: Route) -> Result<Told, ChainError> {
        let token = self.token_of(call).await?;
        let (to, input) = bindings::calldata(call, &self.deployment, token);
        match (route, &self.way) {
            (Route::Sequencer, _) => Ok((self.straight(call, to, input).await?, Following::Done)),
            (Route::DelayedInbox, Way::None) => Err(ChainError::NoInbox),
            (Route::QueuedBefore, Way::None) => Ok((TxOutcome::Absent, Following::Done)),
            (Route::DelayedInbox, Way::Devnet) => self.queue_on_devnet(ticket, call, to, input).await,
            (Route::QueuedBefore, Way::Devnet) => self.find_on_devnet(ticket, call, to, input).await,
            (Route::DelayedInbox, Way::Arbitrum(inbox)) => {
                let claim = Claim::of(call)?;
                let message = self.queue(inbox, to, &input).await?;
                Ok(self.waiting(inbox, ticket, claim, (to, input), message).await)
            }
            (Route::QueuedBefore, Way::Arbitrum(inbox)) => {
                let claim = Claim::of(call)?;
                match inbox.find(to, &input).await? {
                    Some(message) => Ok(self.waiting(inbox, ticket, claim, (to, input), message).await),
                    None => Ok((TxOutcome::Absent, Following::Done)),
                }
            }
        }
    }

    /// What becomes of a call by the sequencer, and of what a deposit needs beside it.
    async fn straight(&self, call: &Call, to: Address, input: Bytes) -> Result<TxOutcome, ChainError> {
        let input = match self.way_of(call).await? {
            allowance::Way::Done(block) => return Ok(TxOutcome::Included { block, result: Ok(()) }),
            allowance::Way::WithPermit(opening) => opening,
            allowance::Way::AsItIs => input,
            allowance::Way::ZeroFirst(nothing) => {
                let under_way = self.send(call, to, nothing).await?;
                let outcome = self.outcome(&under_way).await;
                let TxOutcome::Included { result: Ok(()), .. } = outcome else { return Ok(outcome) };
                input
            }
        };
        let under_way = self.send(call, to, input).await?;
        let outcome = self.outcome(&under_way).await;
        self.learn(call, &outcome);
        Ok(outcome)
    }

    async fn queue_on_devnet(
        &self,
        ticket: TxTicket,
        call: &Call,
        to: Address,
        input: Bytes,
    ) -> Result<Told, ChainError> {
        let _one_at_a_time = self.sending.lock().await;
        // What the sequencer holds back must not hold back what goes around it.
        let count = self.provider.get_transaction_count(self.key.address()).latest().await;
        let nonce = count.map_err(endpoint)?;
        let fees = self.market().await?.capped(self.config.max_fee_per_gas);
        let (hash, raw) = self.signed(nonce, self.config.gas_limit, fees, &(to, input.clone()));
        let queued: SentToInbox =
            self.provider.raw_request("decdn_sendInbox".into(), (raw,)).await.map_err(endpoint)?;
        self.delayed().insert(ticket, Delayed::Devnet(hash));
        let (at, forcible) = (ChainTime(queued.at), ChainTime(queued.forcible));
        let under_way = UnderWay { what: call.purpose(), hashes: vec![hash], nonce, to, input, bid: None };
        Ok((TxOutcome::Queued { at, forcible }, Following::Sent(under_way)))
    }

    /// What the devnet's inbox has of ours with this call, and no block has yet.
    async fn find_on_devnet(
        &self,
        ticket: TxTicket,
        call: &Call,
        to: Address,
        input: Bytes,
    ) -> Result<Told, ChainError> {
        let about = (self.key.address(), to, &input);
        let found: Option<FoundInInbox> =
            self.provider.raw_request("decdn_findInbox".into(), about).await.map_err(endpoint)?;
        let Some(FoundInInbox { hash, nonce, at, forcible }) = found else {
            return Ok((TxOutcome::Absent, Following::Done));
        };
        self.delayed().insert(ticket, Delayed::Devnet(hash));
        let under_way = UnderWay { what: call.purpose(), hashes: vec![hash], nonce, to, input, bid: None };
        let (at, forcible) = (ChainTime(at), ChainTime(forcible));
        Ok((TxOutcome::Queued { at, forcible }, Following::Sent(under_way)))
    }

    /// Puts a call into an Arbitrum chain's inbox, unless it is there already: an endpoint may have said of the last message that it came to
    /// nothing. One that can't be asked keeps no dispute back.
    async fn queue(&self, inbox: &DelayedInbox, to: Address, input: &Bytes) -> Result<Message, ChainError> {
        match inbox.find(to, input).await {
            Ok(Some(message)) => return Ok(message),
            Ok(None) => {}
            Err(why) => self.remember(&why),
        }
        let fees = self.provider.estimate_eip1559_fees().await.map_err(endpoint)?;
        let fee = fees.max_fee_per_gas.min(self.config.max_fee_per_gas);
        inbox.queue(to, input, fee, self.key.address()).await
    }

    /// A message is in an Arbitrum chain's inbox.
    async fn waiting(
        &self,
        inbox: &DelayedInbox,
        ticket: TxTicket,
        claim: Claim,
        (to, input): (Address, Bytes),
        message: Message,
    ) -> Told {
        // A question that fails now is asked again; the message is there all the same.
        let forcible = match inbox.wait(&message).await {
            Ok(Wait { forcible, .. }) => forcible,
            Err(why) => {
                self.remember(&why);
                ChainTime(message.at.saturating_add(self.config.forced_inclusion.0.div_ceil(1_000_000)))
            }
        };
        self.delayed().insert(ticket, Delayed::Arbitrum(message));
        let (read_at, misses) = (None, 0);
        Waiting { ticket, to, input, claim, message, forcible, read_at, misses }.told()
    }

    /// Waits until what a message was to do is done, be it by this message or not, or something about its wait changes.
    async fn watch(&self, mut waiting: Box<Waiting>) -> Told {
        let Way::Arbitrum(inbox) = &self.way else {
            unreachable!("only an Arbitrum chain's inbox is watched")
        };
        loop {
            sleep(inbox.pace().watch).await;
            let news = match self.recorded(&waiting).await {
                Ok(Some(block)) => Ok(Some(TxOutcome::Included { block, result: Ok(()) })),
                Ok(None) => waiting.look(inbox).await,
                Err(why) => Err(why),
            };
            match news {
                Ok(None) => {}
                Err(why) => self.remember(&why),
                Ok(Some(TxOutcome::Queued { .. })) => {
                    self.delayed().insert(waiting.ticket, Delayed::Arbitrum(waiting.message));
                    return waiting.told();
                }
                Ok(Some(outcome)) => {
                    self.delayed().remove(&waiting.ticket);
                    return (outcome, Following::Done);
                }
            }
        }
    }

    /// A block in which the contract records what a dispute claims, or more.
    async fn recorded(&self, waiting: &Waiting) -> Result<Option<Block>, ChainError> {
        let Claim { channel, amount } = waiting.claim;
        let Some(channel) = self.channel(channel).await? else { return Ok(None) };
        if channel.amount < amount.min(channel.deposit) {
            return Ok(None);
        }
        let BlockRef { number, time, .. } = self.block(BlockNumberOrTag::Latest).await?;
        Ok(Some(Block { number, time }))
    }

    /// The channel's token, where the empty voucher has to name it.
    async fn token_of(&self, call: &Call) -> Result<Address, ChainError> {
        let Some(channel) = bindings::wants_token_of(call) else { return Ok(Address::ZERO) };
        Ok(self.channel(channel).await?.map_or(Address::ZERO, |channel| channel.token))
    }

    pub(super) async fn included(
        &self,
        tx: &UnderWay,
        receipt: &TransactionReceipt,
    ) -> Result<Fate, ChainError> {
        let number = receipt.block_number.ok_or(ChainError::Nonsense("a receipt without a block"))?;
        let BlockRef { number, time, .. } = self.block(BlockNumberOrTag::Number(number)).await?;
        let block = Block { number, time };
        let result = if receipt.status() {
            Ok(())
        } else {
            let why = self.reason(tx, block).await;
            let limit = tx.bid.map_or(u64::MAX, |(bid, _)| bid.gas_limit);
            // A call gets 63 of 64 parts of what is left: whoever has that little left had not enough.
            if why == Revert::Other && receipt.gas_used >= limit / 64 * 63 {
                return Ok(Fate::OutOfGas);
            }
            self.remember(&ChainError::Reverted { what: tx.what, why });
            Err(why)
        };
        Ok(Fate::Told(TxOutcome::Included { block, result }))
    }

    /// Why a transaction failed, by calling again where it stood: on the state before its block, at its
    /// block's time. That misses what the same block held before it; then the reason is [`Revert::Other`].
    async fn reason(&self, tx: &UnderWay, block: Block) -> Revert {
        let request =
            TransactionRequest::default().from(self.key.address()).to(tx.to).input(tx.input.clone().into());
        let overrides = BlockOverrides::default().with_time(block.time.0);
        let call = self
            .provider
            .call(request)
            .number(block.number.saturating_sub(1))
            .with_block_overrides(overrides)
            .await;
        let data = call.as_ref().err().and_then(TransportError::as_error_resp);
        let data = data.and_then(|payload| payload.as_revert_data());
        data.map_or(Revert::Other, |data| bindings::revert(&self.deployment, tx.to, &data))
    }

    /// Forces what the delayed inbox was given.
    pub(super) async fn force(&self, ticket: TxTicket) {
        let delayed = self.delayed().get(&ticket).copied();
        match (delayed, &self.way) {
            (Some(Delayed::Devnet(hash)), _) => {
                // Too early, or in already: the transaction's own outcome tells.
                let _: Result<bool, _> =
                    self.provider.raw_request("decdn_forceInclude".into(), (hash,)).await;
            }
            (Some(Delayed::Arbitrum(message)), Way::Arbitrum(inbox)) => {
                if let Err(why) = inbox.force(&message).await {
                    self.remember(&why);
                }
            }
            (Some(Delayed::Arbitrum(_)) | None, _) => {}
        }
    }

    /// How long the delayed inbox takes, as it says itself. That the L1 is away keeps no news of the L2 back.
    pub(super) async fn forced_inclusion(&self) -> Result<Span, ChainError> {
        match &self.way {
            Way::None => Ok(self.config.forced_inclusion),
            Way::Devnet => {
                let status: Status =
                    self.provider.raw_request("decdn_status".into(), json!([])).await.map_err(endpoint)?;
                Ok(Span(status.forced_inclusion_secs.saturating_mul(1_000_000)))
            }
            Way::Arbitrum(inbox) => {
                let mut last = self.delay.lock().await;
                if last.asked_at.is_none_or(|asked_at| asked_at.elapsed() >= DELAY_FRESH) {
                    last.asked_at = Some(Instant::now());
                    match timeout(DELAY_PATIENCE, inbox.delay()).await {
                        Ok(Ok(delay)) => last.delay = Some(delay),
                        Ok(Err(why)) => self.remember(&why),
                        Err(_) => self.remember(&ChainError::Endpoint("L1: no answer in time".to_owned())),
                    }
                }
                Ok(last.delay.unwrap_or(self.config.forced_inclusion))
            }
        }
    }
}

impl Waiting {
    /// What is known of its wait, and that it goes on.
    fn told(self) -> Told {
        let (at, forcible) = (ChainTime(self.message.at), self.forcible);
        (TxOutcome::Queued { at, forcible }, Following::Waiting(Box::new(self)))
    }

    /// Whether something about its wait has changed.
    async fn look(&mut self, inbox: &DelayedInbox) -> Result<Option<TxOutcome>, ChainError> {
        if inbox.is_read(&self.message).await? {
            let read_at = *self.read_at.get_or_insert_with(Instant::now);
            return Ok((read_at.elapsed() >= EXECUTION).then_some(TxOutcome::Lost));
        }
        self.read_at = None;
        let is_gone = !inbox.holds(&self.message).await?;
        if is_gone {
            self.misses += 1;
            if self.misses < MISSES {
                return Ok(None);
            }
            // The L1 has another branch now, which may have it in another block.
            let Some(message) = inbox.find(self.to, &self.input).await? else {
                return Ok(Some(TxOutcome::Lost));
            };
            self.message = message;
        }
        self.misses = 0;
        let wait = inbox.wait(&self.message).await?;
        // Once it can be forced, that is so from the time on that was told, or from now on.
        let forcible = if wait.is_over() { wait.forcible.min(self.forcible) } else { wait.forcible };
        let is_news = is_gone || changes(self.forcible, forcible);
        if is_news {
            self.forcible = forcible;
        }
        let (at, forcible) = (ChainTime(self.message.at), self.forcible);
        Ok(is_news.then_some(TxOutcome::Queued { at, forcible }))
    }
}

/// Whether a wait's end is news: its delay can become shorter while it waits, and blocks come late.
fn changes(told: ChainTime, now: ChainTime) -> bool {
    now.0.saturating_add(SOONER_SECS) < told.0 || now.0 > told.0.saturating_add(LATER_SECS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l2_a_wait_that_shrinks_is_news_at_once_and_one_that_grows_a_little_is_none() {
        let told = ChainTime(100_000);
        for (now, is_news) in
            [(100_000, false), (99_950, false), (99_939, true), (100_600, false), (100_601, true), (0, true)]
        {
            assert_eq!(changes(told, ChainTime(now)), is_news, "{now}");
        }
    }
}
