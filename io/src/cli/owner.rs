//! `decdn node channels`, `close`, `claim` and `withdraw`: what an owner asks of the node that runs in a state directory.

use clap::Args;
use decdn_engine::{
    chain::UNSEEN,
    io::Answer,
    money::Amount,
    order::Order,
    record::{ChannelStatus, Earning, Record},
};
use serde_json::{Value, json};

use super::{
    Failure, failed,
    outcome::{carefully, started},
    settings::Place,
    talk::{self, Ear},
};
use crate::{
    control::{self, AskError, Request},
    store::{DirError, Records, StateDir},
};

#[derive(Debug, Args)]
pub(super) struct ChannelsArgs {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object per line instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct ChannelArgs {
    /// Which channel, by its id or the beginning of it.
    channel: String,
    #[command(flatten)]
    place: Place,
    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct WithdrawArgs {
    /// Which token, by its symbol or address; all that the node sells for if nothing is said.
    token: Option<String>,
    #[command(flatten)]
    place: Place,
    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,
}

/// Asks the node that runs; each line of its answer goes to `each`.
async fn ask(
    place: &Place,
    request: &Request,
    mut each: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let dir = place.state_dir(&place.file()?);
    let shown = dir.display();
    let mut answers = control::ask(&dir, request).await.map_err(|error| match error {
        AskError::NotRunning => Failure::Again(format!(
            "no node runs with state directory {shown}; start it with `decdn node run`, then say this again"
        )),
        AskError::Io(error) => failed(format!(
            "the node in {shown} can't be asked: {error}; check who owns the directory, and that the node is well"
        )),
    })?;
    let interrupt = carefully();
    tokio::pin!(interrupt);
    loop {
        let line = tokio::select! {
            line = answers.next() => line,
            () = &mut interrupt => {
                let kept = "interrupted; what the node has taken it carries out all the same";
                return Err(Failure::Interrupted(kept.to_owned()));
            }
        };
        let line = line.map_err(|error| {
            Failure::Again(format!(
                "the node in {shown} does not answer: {error}; see to it, then say this again"
            ))
        })?;
        let Some(line) = line else {
            return Err(Failure::Again(format!(
                "the node in {shown} ended before it had answered; what it had taken it carries out once it runs again"
            )));
        };
        let sentence = || line["error"].as_str().unwrap_or("the node says nothing").to_owned();
        match (line["event"].as_str(), line["code"].as_u64()) {
            (Some("end"), _) => return Ok(()),
            (Some("error"), Some(2)) => return Err(Failure::Input(sentence())),
            (Some("error"), Some(75)) => return Err(Failure::Again(sentence())),
            (Some("error"), _) => return Err(Failure::Failed(sentence())),
            _ => each(&line)?,
        }
    }
}

/// A text in a line of an answer.
fn text<'a>(line: &'a Value, name: &str) -> &'a str {
    line[name].as_str().unwrap_or_default()
}

/// Lists what a node earns on: asks it if it runs, and reads its records if not.
pub(super) async fn channels(args: ChannelsArgs) -> Result<(), Failure> {
    let dir = args.place.state_dir(&args.place.file()?);
    let mut count = 0;
    let mut show = |line: &Value| {
        count += 1;
        if args.json {
            return talk::line(line);
        }
        talk::line(format_args!(
            "channel       {}\n  client      {}\n  token       {}\n  deposit     {}\n  opened at   block {}\n  voucher     {} (nonce {})\
             \n  status      {}",
            text(line, "channel"),
            text(line, "client"),
            text(line, "token"),
            text(line, "deposit"),
            line["opened_at_block"]
                .as_u64()
                .map_or_else(|| "not read yet".to_owned(), |block| block.to_string()),
            text(&line["best_voucher"], "amount"),
            line["best_voucher"]["nonce"],
            text(line, "status"),
        ))
    };
    let is_there = Records::paths(&dir).iter().any(|path| path.exists());
    let home = if is_there { StateDir::open(&dir).map(Some) } else { Ok(None) };
    let running = match home {
        Ok(None) => false,
        Ok(Some(mut home)) => {
            let records = Records::open(&mut home).map_err(started)?.load();
            let records = records.map_err(|error| started(error.into()))?;
            earning(&records).try_for_each(|earning| show(&as_json(earning)))?;
            false
        }
        Err(DirError::Locked(_)) => true,
        Err(error) => return Err(started(error.into())),
    };
    if running {
        ask(&args.place, &Request::Channels {}, &mut show).await?;
    }
    if count == 0 && !args.json {
        return talk::line(format_args!("no channel in {} is unsettled", dir.display()));
    }
    Ok(())
}

pub(super) async fn close(args: ChannelArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    let request = Request::Close { channel: args.channel };
    ask(&args.place, &request, |line| {
        let channel = text(line, "channel");
        match text(line, "event") {
            "closing" => ear.say(format_args!(
                "channel {channel} is closing at {} base units, in block {}; its dispute window ends at {} (chain time), \
                 and then the node settles it",
                text(line, "amount"),
                line["block"],
                line["deadline"],
            )),
            "settled" => ear.say(format_args!("channel {channel} has settled at {} base units", text(line, "amount"))),
            _ => ear.say(format_args!("channel {channel}: the node has taken the order, and serves nothing on it any more")),
        }
        ear.tell(line);
        Ok(())
    })
    .await
}

pub(super) async fn claim(args: ChannelArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    ask(&args.place, &Request::Claim { channel: args.channel }, |line| {
        let channel = text(line, "channel");
        match text(line, "event") {
            "claimed" => ear.say(format_args!(
                "channel {channel}: {} base units were paid out so far, the last of them in block {}; it stays open",
                text(line, "claimed"),
                line["block"],
            )),
            _ => ear.say(format_args!("channel {channel}: the node has taken the order")),
        }
        ear.tell(line);
        Ok(())
    })
    .await
}

pub(super) async fn withdraw(args: WithdrawArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    ask(&args.place, &Request::Withdraw { token: args.token }, |line| {
        if text(line, "event") == "withdrawn" {
            ear.say(format_args!("{} were drawn, in block {}", text(line, "shown"), line["block"]));
        }
        ear.tell(line);
        Ok(())
    })
    .await
}

pub(super) fn earning(records: &[Record]) -> impl Iterator<Item = &Earning> {
    records.iter().filter_map(|record| match record {
        Record::Earning(earning) => Some(earning),
        _ => None,
    })
}

/// A channel for programs.
pub(super) fn as_json(earning: &Earning) -> Value {
    let (amount, nonce) = earning.best.map_or((Amount::ZERO, 0), |best| (best.amount, best.nonce.0));
    json!({
        "channel": earning.channel.to_string(),
        "client": earning.client,
        "token": earning.token,
        "deposit": earning.deposit.to_string(),
        "opened_at_block": Some(earning.opened_at_block).filter(|block| *block != UNSEEN),
        "best_voucher": { "amount": amount.to_string(), "nonce": nonce },
        "status": match earning.status {
            ChannelStatus::Open => "open",
            ChannelStatus::Final | ChannelStatus::Ending => "ending",
            ChannelStatus::Closing => "closing",
            ChannelStatus::Idle => "idle",
            ChannelStatus::Forgone => "forgone",
        },
    })
}

/// What became of an order, for whoever reads what the node says.
pub(super) fn as_event(order: &Order, answer: &Answer) -> Value {
    let (what, channel, token) = match order {
        Order::Close(channel) => ("close", Some(channel.to_string()), None),
        Order::ForceClose(channel) => ("force_close", Some(channel.to_string()), None),
        Order::Withdraw { token } => ("withdraw", None, Some(token)),
        Order::Claim(channel) => ("claim", Some(channel.to_string()), None),
    };
    let (answer, block, why) = match answer {
        Answer::Taken => ("taken", None, None),
        Answer::Refused(refusal) => ("refused", None, Some(format!("{refusal:?}"))),
        Answer::Done { block } => ("done", Some(block), None),
        Answer::Reverted(reason) => ("reverted", None, Some(format!("{reason:?}"))),
    };
    json!({
        "event": "order", "order": what, "channel": channel, "token": token, "answer": answer, "block": block, "why": why,
    })
}
