//! The way into an Arbitrum chain past its sequencer (L2): the delayed inbox on the L1, with an endpoint and an account of its own.
//!
//! A dispute goes there as a retryable ticket. It binds no nonce of the L2 and takes no gas from an account there: both would be
//! in the hands of whoever else uses that account, for a day. What the ticket's execution may cost is paid on the L1 with the message, and
//! what is left of it comes back to the main account on the L2. The caller that the L2 sees is the dispute account's
//! *alias*, an address that nobody has a key for; the payment channel takes a dispute from anybody (C2). Should gas on the L2 cost more
//! at that moment than the ticket offers, the ticket stays there for a week, and anybody can have it executed.
//!
//! A message can be forced once it has waited for so many blocks of the L1 that the sequencer inbox says, which may become fewer
//! meanwhile. Forcing it forces every message before it too, whoever's they are, and everybody may.

mod abi;
mod check;
mod funds;
mod message;
mod sender;

use std::{fmt, sync::Arc};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, Bytes, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_types_eth::{Filter, Log, TransactionReceipt, TransactionRequest};
use alloy_sol_types::SolCall;
use decdn_engine::time::{ChainTime, Span};
use tokio::sync::Mutex;

pub(super) use self::check::ether;
use self::{
    abi::{Inbox, SequencerInbox},
    message::Retryable,
    sender::{Letter, Sender, away, is},
};
pub use self::{check::Settings, funds::Funds, message::Message, sender::Pace};
use super::ChainError;

/// Between two blocks of the L1.
const SLOT_SECS: u64 = 12;
/// Gas that putting a message into the inbox may use: more than twice what it takes. Nobody is asked for an estimate: a lie would keep a
/// dispute back.
pub const QUEUE_GAS: u64 = 300_000;
/// Gas that forcing a message may use, alike.
pub const FORCE_GAS: u64 = 400_000;
/// Gas of the ticket's execution on the L2. It is paid beforehand, and what is not used comes back.
const TICKET_GAS: u64 = 1_000_000;
/// The least that a ticket offers per unit of it, in wei, and how many times what it costs when the message leaves: it is executed a day
/// later.
const TICKET_FEE_MIN: u128 = 1_000_000_000;
const TICKET_FEE_TIMES: u128 = 10;
/// Blocks in one request for logs.
const PAGE: u64 = 2_000;
/// Pages that are searched for a message of ours: five days of blocks.
const PAGES_MAX: u64 = 18;

/// Where the contracts are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Places {
    inbox: Address,
    bridge: Address,
    sequencer_inbox: Address,
}

/// How far a message's wait is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wait {
    /// From when on it can be forced, as far as blocks come when they should.
    pub forcible: ChainTime,
    /// The last block in which it can't.
    pub deadline: u64,
    /// The newest block.
    pub head: u64,
}

impl Wait {
    /// Whether a transaction in the next block can force it.
    pub fn is_over(&self) -> bool {
        self.head >= self.deadline
    }
}

/// See the module. Clones share everything.
#[derive(Clone)]
pub struct DelayedInbox {
    shared: Arc<Shared>,
}

struct Shared {
    sender: Sender,
    at: Places,
    /// Held while the inbox is forced: what is asked for meanwhile may come with it.
    forcing: Mutex<()>,
}

impl fmt::Debug for DelayedInbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DelayedInbox").field("at", &self.shared.at).field("account", &self.account()).finish()
    }
}

impl DelayedInbox {
    /// The dispute account.
    pub fn account(&self) -> Address {
        self.shared.sender.key.address()
    }

    /// How it is used.
    pub fn pace(&self) -> Pace {
        self.shared.sender.pace
    }

    /// Puts a call into the inbox. `l2_fee` is what a unit of gas costs on the L2 now; what is left of the ticket's gas
    /// goes to `refund` there.
    ///
    /// # Errors
    /// The endpoint failed; the account can't pay; the inbox refused it.
    pub async fn queue(
        &self,
        to: Address,
        input: &Bytes,
        l2_fee: u128,
        refund: Address,
    ) -> Result<Message, ChainError> {
        let fee = l2_fee.saturating_mul(TICKET_FEE_TIMES).max(TICKET_FEE_MIN);
        let receipt = self.shared.sender.send(|l1_fee| self.letter(to, input, fee, l1_fee, refund)).await?;
        if !receipt.status() {
            return Err(away(
                "the inbox refused a message; perhaps it is paused, or takes them from a list of accounts alone",
            ));
        }
        let message = self.delivered(&receipt)?;
        tracing::info!(
            number = message.number,
            block = message.block,
            "a dispute waits in the delayed inbox"
        );
        Ok(message)
    }

    async fn letter(
        &self,
        to: Address,
        input: &Bytes,
        fee: u128,
        l1_fee: u128,
        refund: Address,
    ) -> Result<Letter, ChainError> {
        let submission = self.submission_cost(input.len(), l1_fee).await?;
        let value = submission.saturating_add(U256::from(TICKET_GAS) * U256::from(fee));
        let call = Inbox::createRetryableTicketCall {
            to,
            l2CallValue: U256::ZERO,
            maxSubmissionCost: submission,
            excessFeeRefundAddress: refund,
            callValueRefundAddress: refund,
            gasLimit: U256::from(TICKET_GAS),
            maxFeePerGas: U256::from(fee),
            data: input.clone(),
        };
        let needs = value.saturating_add(U256::from(QUEUE_GAS) * U256::from(l1_fee));
        self.afford(needs).await?;
        let input = call.abi_encode().into();
        Ok(Letter { to: self.shared.at.inbox, value, input, gas_limit: QUEUE_GAS })
    }

    /// What the L2 takes for keeping a ticket, for so many bytes, at most at this fee of the L1.
    async fn submission_cost(&self, bytes: usize, l1_fee: u128) -> Result<U256, ChainError> {
        let (length, fee) = (U256::from(bytes), U256::from(l1_fee));
        let call = Inbox::calculateRetryableSubmissionFeeCall { dataLength: length, baseFee: fee };
        self.ask(self.shared.at.inbox, &call).await
    }

    async fn afford(&self, needs: U256) -> Result<(), ChainError> {
        let has = self.shared.sender.provider.get_balance(self.account()).await.map_err(away)?;
        if has >= needs {
            return Ok(());
        }
        Err(ChainError::Unfunded { account: self.account(), has, needs })
    }

    /// The message that a transaction put there.
    fn delivered(&self, receipt: &TransactionReceipt) -> Result<Message, ChainError> {
        let messages = receipt.logs().iter().filter_map(|log| Message::read(log, self.shared.at.bridge));
        let mut own = messages.filter(|message| message.is_ticket_of(self.account()));
        own.next().ok_or(ChainError::Nonsense("an L1 receipt without the message that was sent"))
    }

    /// The oldest message of ours with this call that no batch has yet.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn find(&self, to: Address, input: &[u8]) -> Result<Option<Message>, ChainError> {
        let provider = &self.shared.sender.provider;
        let head = provider.get_block_number().await.map_err(away)?;
        let read = self.read().await?;
        let mut found = None;
        let mut last = head;
        for _ in 0..PAGES_MAX {
            let first = last.saturating_sub(PAGE - 1);
            let messages = self.messages(first, last).await?;
            for message in messages.iter().rev().filter(|message| message.number >= read) {
                if message.is_ticket_of(self.account()) && self.carries(message, to, input).await? {
                    found = Some(*message);
                }
            }
            // What is older was read.
            if first == 0 || messages.iter().any(|message| message.number < read) {
                break;
            }
            last = first - 1;
        }
        Ok(found)
    }

    /// The messages of a range of blocks, oldest first.
    async fn messages(&self, first: u64, last: u64) -> Result<Vec<Message>, ChainError> {
        let filter = message::of_bridge(self.shared.at.bridge).from_block(first).to_block(last);
        let logs = self.logs(&filter, first, last).await?;
        let mut messages: Vec<_> =
            logs.iter().filter_map(|log| Message::read(log, self.shared.at.bridge)).collect();
        messages.sort_by_key(|message| message.number);
        Ok(messages)
    }

    /// Whether a message is a ticket with this call.
    async fn carries(&self, message: &Message, to: Address, input: &[u8]) -> Result<bool, ChainError> {
        let filter = message.content(self.shared.at.inbox);
        let logs = self.logs(&filter, message.block, message.block).await?;
        let retryable = logs.iter().find_map(|log| message.retryable(log));
        Ok(retryable.is_some_and(|Retryable { to: goes_to, data }| goes_to == to && data == input))
    }

    async fn logs(&self, filter: &Filter, first: u64, last: u64) -> Result<Vec<Log>, ChainError> {
        let logs = self.shared.sender.provider.get_logs(filter).await.map_err(away)?;
        let is_asked = |log: &Log| log.block_number.is_some_and(|number| (first..=last).contains(&number));
        if logs.iter().all(is_asked) {
            Ok(logs)
        } else {
            Err(ChainError::Nonsense("L1 logs of other blocks"))
        }
    }

    /// Whether the L1 still has a message where it was.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn holds(&self, message: &Message) -> Result<bool, ChainError> {
        Ok(self.messages(message.block, message.block).await?.contains(message))
    }

    /// How many messages batches have taken: those with lower numbers.
    async fn read(&self) -> Result<u64, ChainError> {
        let read = self
            .ask(self.shared.at.sequencer_inbox, &SequencerInbox::totalDelayedMessagesReadCall {})
            .await?;
        read.try_into().map_err(|_| ChainError::Nonsense("a number of L1 messages above 64 bits"))
    }

    /// Whether a batch has a message: then the L2 executes it.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn is_read(&self, message: &Message) -> Result<bool, ChainError> {
        Ok(self.read().await? > message.number)
    }

    /// How long a message still has to wait.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn wait(&self, message: &Message) -> Result<Wait, ChainError> {
        let (head, now) = self.head().await?;
        let deadline = self.deadline(message.block).await?;
        let blocks = deadline.saturating_sub(head);
        let forcible = ChainTime(now.saturating_add(blocks.saturating_mul(SLOT_SECS)));
        Ok(Wait { forcible, deadline, head })
    }

    /// How long a message that is put there now has to wait.
    ///
    /// # Errors
    /// The endpoint failed or lied.
    pub async fn delay(&self) -> Result<Span, ChainError> {
        let (head, _) = self.head().await?;
        let blocks = self.deadline(head).await?.saturating_sub(head);
        Ok(Span(blocks.saturating_mul(SLOT_SECS).saturating_mul(1_000_000)))
    }

    /// The newest block's number and time.
    async fn head(&self) -> Result<(u64, u64), ChainError> {
        let block = self.shared.sender.provider.get_block_by_number(BlockNumberOrTag::Latest).await;
        let header = block.map_err(away)?.ok_or(ChainError::Nonsense("no newest block on the L1"))?.header;
        Ok((header.number, header.timestamp))
    }

    async fn deadline(&self, block: u64) -> Result<u64, ChainError> {
        let call = SequencerInbox::forceInclusionDeadlineCall { blockNumber: block };
        self.ask(self.shared.at.sequencer_inbox, &call).await
    }

    /// Forces a message, by forcing the newest one that can be; every one before it comes with it. `false` if it is too early, if a batch
    /// has it, or while another is forced.
    ///
    /// # Errors
    /// The endpoint failed or lied; the account can't pay; somebody was faster.
    pub async fn force(&self, message: &Message) -> Result<bool, ChainError> {
        let Ok(_alone) = self.shared.forcing.try_lock() else { return Ok(false) };
        let wait = self.wait(message).await?;
        if !wait.is_over() || self.is_read(message).await? {
            return Ok(false);
        }
        let last = self.newest_forcible(message, &wait).await?;
        let input: Bytes = last.forcing().abi_encode().into();
        let letter = |l1_fee: u128| {
            let letter = Letter {
                to: self.shared.at.sequencer_inbox,
                value: U256::ZERO,
                input: input.clone(),
                gas_limit: FORCE_GAS,
            };
            async move {
                self.afford(U256::from(FORCE_GAS) * U256::from(l1_fee)).await?;
                Ok(letter)
            }
        };
        if !self.shared.sender.send(letter).await?.status() {
            return Err(away("forcing the inbox was reverted; perhaps somebody was faster"));
        }
        tracing::info!(number = last.number, "the delayed inbox was forced");
        Ok(true)
    }

    /// The last message that has waited as long as this one has to, or this one.
    async fn newest_forcible(&self, message: &Message, wait: &Wait) -> Result<Message, ChainError> {
        let delay = wait.deadline.saturating_sub(message.block);
        let last =
            wait.head.saturating_sub(delay).clamp(message.block, message.block.saturating_add(PAGE - 1));
        let messages = self.messages(message.block, last).await?;
        if !messages.contains(message) {
            return Err(ChainError::Nonsense("an L1 without the message that waits there"));
        }
        Ok(messages.last().copied().unwrap_or(*message))
    }

    async fn ask<C: SolCall>(&self, at: Address, call: &C) -> Result<C::Return, ChainError> {
        ask(&self.shared.sender.provider, at, call).await
    }
}

/// A contract's answer on the L1.
async fn ask<C: SolCall>(provider: &RootProvider, at: Address, call: &C) -> Result<C::Return, ChainError> {
    let request = TransactionRequest::default().to(at).input(call.abi_encode().into());
    let other = ChainError::Nonsense("what no contract of Arbitrum's says");
    match provider.call(request).await {
        Ok(output) => C::abi_decode_returns(&output).map_err(|_| other),
        Err(error) if is(&error, "revert") => Err(other),
        Err(error) => Err(away(error)),
    }
}
