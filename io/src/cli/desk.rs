//! The node's end of its control socket: hears what owners ask, hands orders to the node, tells what becomes of them.

use std::{collections::BTreeMap, str::FromStr, time::Duration};

use alloy_primitives::Address;
use decdn_contracts::channel::Query;
use decdn_engine::{
    chain::{Revert, channel::Status},
    ids::ChannelId,
    io::{Answer, Input, Notice, Refusal},
    money::Amount,
    order::Order,
    record::Record,
};
use serde_json::json;
use tokio::{
    sync::{broadcast, mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};

use super::{
    owner::{as_json, earning},
    settings::channel_id,
};
use crate::{
    chain::{AlloyChain, ChainError, Token},
    config,
    control::{Control, Request, Talk},
    party::{News, Party},
};

/// How long the driver may take to hear an order.
const HANDING: Duration = Duration::from_secs(1);
/// How long an order may take to be on record.
const TAKING: Duration = Duration::from_secs(10);
/// How long what was ordered may take to be in a block.
const DOING: Duration = Duration::from_secs(60);
/// Answers that a slow listener may be behind.
const BEHIND: usize = 256;

/// What the node's own loop is asked for.
enum Asked {
    Order(Order),
    Load(oneshot::Sender<Result<Vec<Record>, String>>),
}

/// The node's end: its loop hears what owners ask for, and tells what becomes of orders.
pub(super) struct Desk {
    asked: mpsc::Receiver<Asked>,
    answers: broadcast::Sender<(Order, Answer)>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Desk {
    /// Answers on a socket from now on.
    pub(super) fn open(
        control: Control,
        chain: AlloyChain,
        tokens: Vec<Token>,
        others: BTreeMap<String, Address>,
    ) -> Self {
        let (ask, asked) = mpsc::channel(16);
        let (answers, _) = broadcast::channel(BEHIND);
        let clerk = Clerk { ask, answers: answers.clone(), chain, tokens, others };
        let serving = tokio::spawn(control.serve(move |request, talk| {
            let clerk = clerk.clone();
            async move { clerk.answer(request, talk).await }
        }));
        Self { asked, answers, serving }
    }

    /// The next thing that is asked for; for ever, where nothing is.
    pub(super) async fn next(&mut self) -> Errand {
        match self.asked.recv().await {
            Some(asked) => Errand(asked),
            None => std::future::pending().await,
        }
    }

    /// Listens to what the node tells.
    pub(super) fn hear(&self, news: &News) {
        if let News::Notice(Notice::Ordered { order, answer }) = news {
            // Where nobody waits nobody is told.
            let _ = self.answers.send((*order, *answer));
        }
    }
}

/// Something that is asked for.
pub(super) struct Errand(Asked);

impl Errand {
    /// Hands it on. The node's loop waits for neither a slow disk nor a driver that takes no orders for long.
    pub(super) async fn run(self, party: &Party) {
        match self.0 {
            Asked::Order(order) => {
                // What was not taken in time its owner hears of.
                let _ = timeout(HANDING, party.order(Input::Order(order))).await;
            }
            Asked::Load(to) => {
                let load = party.load();
                // Who asked may have gone.
                tokio::spawn(async move { to.send(load.await.map_err(|error| error.to_string())) });
            }
        }
    }
}

/// Answers one owner.
#[derive(Clone)]
struct Clerk {
    ask: mpsc::Sender<Asked>,
    answers: broadcast::Sender<(Order, Answer)>,
    chain: AlloyChain,
    /// What the node sells for.
    tokens: Vec<Token>,
    /// What else its configuration names.
    others: BTreeMap<String, Address>,
}

/// A sentence and the code that the command is to end with.
type No = (String, u8);

impl Clerk {
    async fn answer(self, request: Request, mut talk: Talk) {
        let done = match request {
            Request::Channels {} => self.channels(&mut talk).await,
            Request::Close { channel } => self.close(&channel, &mut talk).await,
            Request::Claim { channel } => self.claim(&channel, &mut talk).await,
            Request::Withdraw { token } => self.withdraw(token.as_deref(), &mut talk).await,
        };
        // Who does not listen any more misses nothing.
        let _ = match done {
            Ok(()) => talk.tell(&json!({ "event": "end" })).await,
            Err((sentence, code)) => return talk.refuse(&sentence, code).await,
        };
    }

    async fn records(&self) -> Result<Vec<Record>, No> {
        let (to, from) = oneshot::channel();
        self.ask.send(Asked::Load(to)).await.map_err(|_| stopping())?;
        from.await.map_err(|_| stopping())?.map_err(|why| (format!("the records can't be read: {why}"), 1))
    }

    async fn channels(&self, talk: &mut Talk) -> Result<(), No> {
        for earning in earning(&self.records().await?) {
            talk.tell(&as_json(earning)).await.map_err(|error| (error.to_string(), 1))?;
        }
        Ok(())
    }

    async fn close(&self, name: &str, talk: &mut Talk) -> Result<(), No> {
        let id = self.find(name).await?;
        let block = self.carry_out(Order::Close(id), id, "close", talk).await?;
        self.tell_closing(id, block, talk).await
    }

    async fn claim(&self, name: &str, talk: &mut Talk) -> Result<(), No> {
        let id = self.find(name).await?;
        let held =
            earning(&self.records().await?).find(|earning| earning.channel == id).and_then(|it| it.best);
        if let (Some(held), Ok(Some(channel))) = (held, self.chain.channel(id).await)
            && channel.status == Status::Open
            && channel.amount >= held.amount.min(channel.deposit)
        {
            let paid = channel.claimed;
            return Err((
                format!("channel {id} has earned nothing new: {paid} base units were claimed already"),
                75,
            ));
        }
        let block = self.carry_out(Order::Claim(id), id, "claim on", talk).await?;
        let Ok(Some(state)) = self.chain.channel(id).await else {
            return Err((
                format!(
                    "channel {id} was claimed on in block {block}, and the chain does not answer any more"
                ),
                75,
            ));
        };
        let line = json!({
            "event": "claimed", "channel": id.to_string(), "block": block, "claimed": state.claimed.to_string(),
            "deposit": state.deposit.to_string(),
        });
        let _ = talk.tell(&line).await;
        Ok(())
    }

    /// Has an order about a channel carried out; in which block that was.
    async fn carry_out(&self, order: Order, id: ChannelId, what: &str, talk: &mut Talk) -> Result<u64, No> {
        let mut answers = self.answers.subscribe();
        let would_not = |reason| unwilling(&format!("{what} channel {id}"), reason);
        match self.order(order, &mut answers).await? {
            Answer::Taken => {}
            Answer::Refused(refusal) => return Err(self.explain(id, what, refusal).await),
            Answer::Done { block } => return Ok(block),
            Answer::Reverted(reason) => return Err(would_not(reason)),
        }
        // Who has gone meanwhile has ordered all the same.
        let _ = talk.tell(&json!({ "event": "taken", "channel": id.to_string() })).await;
        match wait(order, &mut answers, DOING).await {
            Some(Answer::Done { block }) => Ok(block),
            Some(Answer::Reverted(reason)) => Err(would_not(reason)),
            _ => Err(self.waiting(&format!("what was ordered of channel {id}"))),
        }
    }

    /// The channel that is called so; an id that is not this node's is left to the engine.
    async fn find(&self, name: &str) -> Result<ChannelId, No> {
        let records = self.records().await?;
        let shown: String = name.chars().filter(char::is_ascii_graphic).take(66).collect();
        let name = name.strip_prefix("0x").unwrap_or(name).to_ascii_lowercase();
        let mut found = earning(&records).filter(|earning| earning.channel.to_string().starts_with(&name));
        match (found.next(), found.next(), channel_id(&name)) {
            (Some(earning), None, _) => Ok(earning.channel),
            (Some(_), Some(_), _) => {
                Err((format!("several channels begin with {shown}; write more of the id"), 2))
            }
            (None, _, Ok(id)) => Ok(id),
            (None, _, Err(_)) => {
                Err((format!("no unsettled channel is called {shown}; `decdn node channels` lists them"), 2))
            }
        }
    }

    /// Gives an order; the first that is heard of it.
    async fn order(
        &self,
        order: Order,
        answers: &mut broadcast::Receiver<(Order, Answer)>,
    ) -> Result<Answer, No> {
        self.ask.send(Asked::Order(order)).await.map_err(|_| stopping())?;
        let answer = wait(order, answers, TAKING).await;
        answer.ok_or_else(|| {
            ("the node does not take the order: its disk is slow or gone; see to it".to_owned(), 75)
        })
    }

    /// Why an order about a channel is not taken, with what the chain says of it.
    async fn explain(&self, id: ChannelId, what: &str, refusal: Refusal) -> No {
        match refusal {
            Refusal::Closing => {
                return (
                    format!(
                        "channel {id} is closing already; the node defends it, and settles it after its window"
                    ),
                    2,
                );
            }
            Refusal::TooMany => return (too_many(), 75),
            Refusal::NothingEarned => {
                return (format!("channel {id} has earned nothing yet: the node holds no voucher of it"), 75);
            }
            Refusal::NotNode => {
                let pays = "this node pays on it; what was not spent comes back when it is closed";
                return (format!("channel {id} can't be claimed on: {pays}"), 2);
            }
            Refusal::Settled | Refusal::Unknown => {}
        }
        match self.chain.channel(id).await {
            Err(error) => {
                (format!("this node knows no channel {id}, and the chain does not answer: {error}"), 75)
            }
            Ok(None) => (format!("there is no channel {id}; `decdn node channels` lists this node's"), 2),
            Ok(Some(channel)) if channel.node != self.chain.account() => (
                format!(
                    "channel {id} is between client {} and node {}, so this node can't {what} it",
                    channel.client, channel.node
                ),
                2,
            ),
            Ok(Some(channel)) if channel.status == Status::Settled => {
                (format!("channel {id} has settled; nothing is left to {what}"), 2)
            }
            Ok(Some(_)) => (format!("the node has not read of channel {id} yet; try again in a minute"), 75),
        }
    }

    /// What the chain has of a channel that was closed.
    async fn tell_closing(&self, id: ChannelId, block: u64, talk: &mut Talk) -> Result<(), No> {
        let state = self.chain.channel(id).await;
        let Ok(Some(state)) = state else {
            return Err((
                format!("channel {id} was closed in block {block}, and the chain does not answer any more"),
                75,
            ));
        };
        let event = if state.status == Status::Settled { "settled" } else { "closing" };
        let line = json!({
            "event": event, "channel": id.to_string(), "block": block, "amount": state.amount.to_string(),
            "deadline": state.deadline.0,
        });
        let _ = talk.tell(&line).await;
        Ok(())
    }

    async fn withdraw(&self, name: Option<&str>, talk: &mut Talk) -> Result<(), No> {
        let tokens = match name {
            None => self.tokens.iter().map(|token| token.address).collect(),
            Some(name) => vec![self.token(name)?],
        };
        let mut answers = self.answers.subscribe();
        let mut drawn = 0_u32;
        for token in tokens {
            let credit = credit(&self.chain, token).await.map_err(|error| {
                (format!("the chain does not say what it holds for this account: {error}; try again"), 75)
            })?;
            if credit == Amount::ZERO {
                continue;
            }
            let order = Order::Withdraw { token };
            let first = self.order(order, &mut answers).await?;
            let last =
                if first == Answer::Taken { wait(order, &mut answers, DOING).await } else { Some(first) };
            match last {
                Some(Answer::Done { block }) => {
                    drawn += 1;
                    let shown = self.shown(credit, token);
                    let line = json!({
                        "event": "withdrawn", "token": token, "amount": credit.to_string(), "block": block, "shown": shown,
                    });
                    let _ = talk.tell(&line).await;
                }
                Some(Answer::Reverted(reason)) => return Err(unwilling(&format!("pay out {token}"), reason)),
                Some(Answer::Refused(_)) => return Err((too_many(), 75)),
                Some(Answer::Taken) | None => return Err(self.waiting(&format!("the withdrawal of {token}"))),
            }
        }
        if drawn == 0 { Err((nothing(self.chain.account()), 75)) } else { Ok(()) }
    }

    fn token(&self, name: &str) -> Result<Address, No> {
        let sold = || self.tokens.iter().find(|token| token.symbol == name).map(|token| token.address);
        let named = Address::from_str(name).ok().or_else(sold).or_else(|| self.others.get(name).copied());
        let shown: String = name.chars().filter(char::is_ascii_graphic).take(42).collect();
        named.ok_or_else(|| (format!("token {shown} is not known to the node; give its address"), 2))
    }

    fn shown(&self, amount: Amount, token: Address) -> String {
        match self.tokens.iter().find(|known| known.address == token) {
            Some(known) => format!("{} {}", config::in_tokens(amount, known.decimals), known.symbol),
            None => format!("{amount} base units of {token}"),
        }
    }

    /// It was taken, and is not done yet.
    fn waiting(&self, what: &str) -> No {
        let why = self.chain.trouble().unwrap_or_else(|| "nothing was heard of it from the chain".to_owned());
        (format!("{what} is on record and not in a block yet: {why}; the node goes on trying"), 75)
    }
}

/// What refusing tokens left for the account.
pub(super) async fn credit(chain: &AlloyChain, token: Address) -> Result<Amount, ChainError> {
    Ok(chain.ask(&Query::Credit { payee: chain.account(), token }.into()).await?.amount())
}

/// The contract holds nothing for this account.
pub(super) fn nothing(account: Address) -> String {
    format!(
        "there is nothing to draw: the contract holds no credit for {account}, as every payout has reached it"
    )
}

fn too_many() -> String {
    "the node has more orders than it keeps at once; try again when the chain has done some".to_owned()
}

fn stopping() -> No {
    ("the node is stopping; start it again, then say this again".to_owned(), 75)
}

fn unwilling(what: &str, reason: Revert) -> No {
    (format!("the contract would not {what}: {reason:?}; look at the channel on the chain, then decide"), 1)
}

/// What becomes of an order within this time, next.
async fn wait(
    order: Order,
    answers: &mut broadcast::Receiver<(Order, Answer)>,
    time: Duration,
) -> Option<Answer> {
    let until = Instant::now() + time;
    loop {
        match timeout_at(until, answers.recv()).await {
            Ok(Ok((other, answer))) if other == order => return Some(answer),
            Ok(Ok(_) | Err(broadcast::error::RecvError::Lagged(_))) => {}
            Ok(Err(broadcast::error::RecvError::Closed)) | Err(_) => return None,
        }
    }
}
