//! Act four: the node's owner draws what a channel has earned so far, goes on selling on it, and then has it finished: said to the
//! running node over its control socket, as `decdn node claim` and `decdn node close` do.

use decdn_engine::order::FetchOrder;
use serde_json::Value;

use super::{Before, ENCORE_BYTES, Heard, buy, import, patiently, say, statement};
use crate::{
    chain::Token,
    cli::{
        Failure,
        desk::Desk,
        failed,
        source::Source,
        statement::{Close, Statement, usdc},
    },
    control::{self, Control, Request},
    stage::Stage,
};

pub(super) async fn claimed(stage: &mut Stage, json: bool) -> Result<Statement, Failure> {
    stage.restart_client().await.map_err(failed)?;
    let before = Before::note(stage);
    let source = Source::generated("finale", ENCORE_BYTES);
    let blob = import(stage, &source, json).await?;
    let (hash, bytes) = blob;
    let whole = stage.order(4, hash, bytes, true);
    let half = bytes / 2;
    let first = buy(stage, FetchOrder { len_bytes: half, ..whole.clone() }, half, false, json).await?;
    let channel = first.channel.ok_or_else(|| failed("no channel was opened"))?.to_string();

    let token = Token { address: stage.token, symbol: "USDC".to_owned(), decimals: 6 };
    let control = Control::bind(&stage.node_dir()).map_err(failed)?;
    let mut desk = Desk::open(control, stage.node_account().map_err(failed)?, vec![token], [].into());
    let claim = Request::Claim { channel: channel.clone() };
    let line = ask(stage, &mut desk, &claim).await?;
    let claimed: u64 = line["claimed"].as_str().and_then(|amount| amount.parse().ok()).unwrap_or_default();
    say(
        json,
        format_args!("the node claims {} in block {}; the channel stays open", usdc(claimed), line["block"]),
    );

    let rest = FetchOrder { id: decdn_engine::ids::FetchId(5), offset_bytes: half, ..whole };
    let second = buy(stage, rest, bytes - half, false, json).await?;
    let line = ask(stage, &mut desk, &Request::Close { channel }).await?;
    say(
        json,
        format_args!("the node finishes the channel in block {}: no window to wait for", line["block"]),
    );
    let mut heard = Heard {
        channel: first.channel,
        deposit: first.deposit,
        client_vouchers: first.client_vouchers + second.client_vouchers,
        node_vouchers: first.node_vouchers + second.node_vouchers,
        started: first.started,
        fetched: second.fetched,
        settled: None,
    };
    while heard.settled.is_none() {
        let news = patiently(stage.client.next()).await?.map_err(failed)?;
        let now = decdn_driver::Clock::now(&stage.clock).mono;
        heard.take(true, &news, now, &indicatif::ProgressBar::hidden())?;
    }
    let act = "Act 4: a claim, and the node's own ending";
    statement(stage, act, &source, &[4, 5], blob, &heard, &before, Close::Finished { claimed }).await
}

/// The owner asks the running node; the last that it answers.
async fn ask(stage: &mut Stage, desk: &mut Desk, request: &Request) -> Result<Value, Failure> {
    let dir = stage.node_dir();
    let answer = async {
        let mut answers = control::ask(&dir, request).await.map_err(|_| failed("the node can't be asked"))?;
        let mut last = Value::Null;
        while let Some(line) = answers.next().await.map_err(failed)? {
            match line["event"].as_str() {
                Some("end") => return Ok(last),
                Some("error") => return Err(failed(line["error"].as_str().unwrap_or("nothing is said"))),
                _ => last = line,
            }
        }
        Err(failed("the node hung up before it had answered"))
    };
    tokio::pin!(answer);
    patiently(async {
        loop {
            tokio::select! {
                answer = &mut answer => return answer,
                errand = desk.next() => errand.run(&stage.node).await,
                news = stage.node.next() => desk.hear(&news.map_err(failed)?),
            }
        }
    })
    .await?
}
