//! `decdn client withdraw` and `force-close`: what a client orders of money beside downloads and closes (C5, C6).

use std::time::Duration;

use clap::Args;
use decdn_contracts::channel::Query;
use decdn_engine::{
    chain::channel::Status,
    ids::ChannelId,
    io::{Answer, Input, Notice, Refusal},
    money::Amount,
    order::Order,
};
use serde_json::json;

use super::{
    super::{
        Failure,
        desk::{credit, nothing},
        failed,
        node::log_fault,
        outcome::{carefully, input},
        settings::{ChainArgs, Place, Recording, channel_id},
        talk::Ear,
    },
    buyer::Buyer,
    channels::start_on,
};
use crate::{chain::ChainError, config, party::News};

/// How long the chain may take.
const DOING: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct WithdrawArgs {
    /// Which token, by its symbol or address; the one that is paid in if nothing is said.
    token: Option<String>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    recording: Recording,
    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ForceCloseArgs {
    /// Which channel, by its whole id.
    #[arg(value_parser = channel_id)]
    channel: ChannelId,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    recording: Recording,
    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,
}

fn away(error: ChainError) -> Failure {
    Failure::Again(format!("the chain does not answer: {error}; check --rpc, then try again"))
}

pub(super) async fn withdraw(args: WithdrawArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    let file = args.place.file()?;
    let keys = args.place.keys(&file)?;
    let chosen = args.chain.choose(&file, keys.account()).await?;
    let name = args.token.as_deref().or(file.client.payment_token.as_deref()).unwrap_or(config::TOKEN);
    let token = chosen.token_address(&file, name)?;
    let (mut buyer, _) = start_on((&args.place, &file), &keys, &chosen, &[], &args.recording).await?;
    let work = async {
        let due = credit(&buyer.chain, token).await.map_err(away)?;
        if due == Amount::ZERO {
            return Err(Failure::Again(nothing(buyer.chain.account())));
        }
        let block = carry_out(&mut buyer, Order::Withdraw { token }).await?;
        ear.say(format_args!("{due} base units of {token} were drawn, in block {block}"));
        ear.tell(&json!({ "event": "withdrawn", "token": token, "amount": due.to_string(), "block": block }));
        Ok(())
    };
    let end = until_interrupted(work).await;
    buyer.stop().await;
    end
}

pub(super) async fn force_close(args: ForceCloseArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    let file = args.place.file()?;
    let keys = args.place.keys(&file)?;
    let chosen = args.chain.choose(&file, keys.account()).await?;
    let contract = chosen.survey.deployment.payment_channel;
    let (mut buyer, _) = start_on((&args.place, &file), &keys, &chosen, &[], &args.recording).await?;
    let id = args.channel;
    let work = async {
        let channel = buyer.chain.channel(id).await.map_err(away)?.ok_or_else(|| {
            input(format!("there is no channel {id} in {contract}; `decdn client channels` lists those of this directory"))
        })?;
        match channel.status {
            Status::Settled => {
                return Err(input(format!("channel {id} has settled; nothing is left to close")));
            }
            Status::Closing => return Err(closing(id)),
            Status::Open => {}
        }
        let allowed = buyer.chain.ask(&Query::IsTokenAllowed(channel.token).into()).await.map_err(away)?;
        if allowed == decdn_contracts::Answer::Flag(true) {
            return Err(input(format!(
                "channel {id} is in {}, which channels may use, so only its parties close it; its client by `decdn client close`, \
                 its node by `decdn node close`",
                channel.token
            )));
        }
        let block = carry_out(&mut buyer, Order::ForceClose(id)).await?;
        ear.say(format_args!(
            "channel {id} is closing at nothing, in block {block}; whoever holds a voucher of it shows it within the dispute \
             window: run `decdn client monitor` if it is yours"
        ));
        ear.tell(&json!({ "event": "closing", "channel": id.to_string(), "block": block }));
        Ok(())
    };
    let end = until_interrupted(work).await;
    buyer.stop().await;
    end
}

fn closing(id: ChannelId) -> Failure {
    input(format!("channel {id} is closing already; `decdn client monitor` watches it if it is yours"))
}

/// Gives an order, and waits for its end; the block that it is in.
async fn carry_out(buyer: &mut Buyer, order: Order) -> Result<u64, Failure> {
    buyer.party.order(Input::Order(order)).await;
    let work = async {
        loop {
            let news = buyer.party.next().await.map_err(|why| {
                failed(format!(
                    "the client has {why}; see to the disk, then run it again: what was on record goes on"
                ))
            })?;
            match news {
                News::Notice(Notice::Ordered { order: other, answer }) if other == order => match answer {
                    Answer::Taken => {}
                    Answer::Done { block } => return Ok(block),
                    Answer::Reverted(reason) => {
                        return Err(failed(format!(
                            "the contract would not: {reason:?}; look at the chain, then decide"
                        )));
                    }
                    Answer::Refused(Refusal::TooMany) => {
                        return Err(Failure::Again(
                            "too many orders wait for the chain; try again when it has done some".to_owned(),
                        ));
                    }
                    Answer::Refused(_) => return Err(input("the channel is closing or settled already")),
                },
                News::Notice(notice) => tracing::debug!(?notice, "notice"),
                News::Fault(fault) => log_fault(&fault),
            }
        }
    };
    match tokio::time::timeout(DOING, work).await {
        Ok(end) => end,
        Err(_) => {
            let why = buyer.chain.trouble().unwrap_or_else(|| "nothing was heard from the chain".to_owned());
            Err(Failure::Again(format!(
                "the order is on record and not in a block yet: {why}; the next client command goes on"
            )))
        }
    }
}

async fn until_interrupted(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::select! {
        end = work => end,
        () = carefully() => {
            Err(Failure::Interrupted("interrupted; what is on record goes on with the next client command".to_owned()))
        }
    }
}
