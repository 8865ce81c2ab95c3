//! `decdn demo`: a file bought byte by byte, dishonest closes put right, and a node that draws what it has earned. The later acts
//! are in files of their own.

mod claim;
mod stale;

use std::{
    io::{Seek, SeekFrom},
    path::PathBuf,
    time::Duration,
};

use decdn_driver::Clock;
use decdn_engine::{
    ids::{Address, BlobHash, ChannelId, FetchId},
    io::{Input, Notice},
    money::Amount,
    order::FetchOrder,
    time::{Span, Time},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    Failure, failed,
    source::{GENERATED_BYTES, Source},
    statement::{Close, PartyStatement, Statement, units, usdc},
    talk::{self, Ear},
};
use crate::{
    party::{News, Party},
    stage::{RATE, Stage, price},
};

/// Nothing has happened for this long: something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// What the later acts deliver.
const ENCORE_BYTES: u64 = 8 << 20;

pub(super) async fn run(file: Option<PathBuf>, json: bool, home: PathBuf) -> Result<(), Failure> {
    let source = match file {
        Some(path) => Source::file(&path)?,
        None => Source::generated("demo", GENERATED_BYTES),
    };
    let mut stage = Stage::set_in(&home).await.map_err(failed)?;
    let mut acts = Vec::new();
    for act in 1..=4 {
        let act = match act {
            1 => honest(&mut stage, &source, json).await?,
            2 => stale::disputed(&mut stage, json).await?,
            3 => stale::forced(&mut stage, json).await?,
            _ => claim::claimed(&mut stage, json).await?,
        };
        if !json {
            talk::data(act.text().as_bytes())?;
        }
        acts.push(act);
    }
    stage.client.stop().await;
    stage.node.stop().await;
    let is_good = acts.iter().all(Statement::is_good);
    if json {
        talk::line(serde_json::json!({ "ok": is_good, "acts": acts }))?;
    }
    if is_good { Ok(()) } else { Err(failed("the statement does not add up")) }
}

/// What happens, for people.
fn say(json: bool, text: impl std::fmt::Display) {
    if !json {
        Ear::People.say(format_args!("  {text}"));
    }
}

/// What was heard of one purchase.
#[derive(Default)]
struct Heard {
    channel: Option<ChannelId>,
    deposit: Amount,
    client_vouchers: u64,
    node_vouchers: u64,
    started: Option<Time>,
    fetched: Option<Time>,
    settled: Option<(Amount, Amount)>,
}

/// What a purchase began with.
struct Before {
    client_signed: u64,
    node_signed: u64,
    client_balance: Amount,
    node_balance: Amount,
    client_transactions: usize,
    node_transactions: usize,
}

impl Before {
    fn note(stage: &Stage) -> Self {
        Self {
            client_signed: stage.client.signer.signed(),
            node_signed: stage.node.signer.signed(),
            client_balance: stage.chain.balance(stage.token, stage.client.signer.address()),
            node_balance: stage.chain.balance(stage.token, stage.node.signer.address()),
            client_transactions: stage.chain.transactions_of(stage.client.signer.address()).len(),
            node_transactions: stage.chain.transactions_of(stage.node.signer.address()).len(),
        }
    }
}

fn bar(bytes: u64, json: bool, what: &'static str) -> ProgressBar {
    let target = if json { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let style = ProgressStyle::with_template(
        "  {prefix:<10} [{bar:32}] {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta} {msg}",
    )
    .expect("the template is written here")
    .progress_chars("=> ");
    ProgressBar::with_draw_target(Some(bytes), target).with_style(style).with_prefix(what)
}

/// Waits for news of either party.
async fn next(client: &mut Party, node: &mut Party) -> Result<(bool, News), Failure> {
    let news = async {
        tokio::select! {
            news = client.next() => (true, news),
            news = node.next() => (false, news),
        }
    };
    let (is_client, news) = patiently(news).await?;
    let who = if is_client { "client" } else { "node" };
    Ok((is_client, news.map_err(|why| failed(format!("the {who} has {why}")))?))
}

async fn patiently<T>(what: impl Future<Output = T>) -> Result<T, Failure> {
    tokio::time::timeout(PATIENCE, what)
        .await
        .map_err(|_| failed("nothing has happened for two minutes; run it again, and report it if it stays"))
}

impl Heard {
    fn take(&mut self, is_client: bool, news: &News, now: Time, bar: &ProgressBar) -> Result<(), Failure> {
        let News::Notice(notice) = news else { return Ok(()) };
        match (notice, is_client) {
            (Notice::ChannelOpened { channel, deposit }, true) => {
                (self.channel, self.deposit) = (Some(*channel), *deposit);
            }
            (Notice::StreamStarted { .. }, true) => {
                self.started.get_or_insert(now);
                bar.reset();
            }
            (Notice::Progress { verified_bytes, .. }, true) => bar.set_position(*verified_bytes),
            (Notice::Voucher { amount, .. }, true) => {
                self.client_vouchers += 1;
                bar.set_message(usdc(units(*amount)));
            }
            (Notice::Voucher { .. }, false) => self.node_vouchers += 1,
            (Notice::Fetched { .. }, true) => {
                self.fetched = Some(now);
                bar.finish();
            }
            (Notice::FetchFailed { why, .. }, true) => {
                return Err(failed(format!("the download was given up: {why:?}")));
            }
            (Notice::Settled { paid, refunded, .. }, _) => self.settled = Some((*paid, *refunded)),
            _ => {}
        }
        Ok(())
    }
}

async fn import(stage: &Stage, source: &Source, json: bool) -> Result<(BlobHash, u64), Failure> {
    let bar = bar(source.bytes(), json, "import");
    let shown = bar.clone();
    let imported = stage.import(source.open()?, move |bytes| shown.set_position(bytes)).await;
    let imported = imported.map_err(|error| {
        failed(format!("{} can't be imported: {error}; check the file and the disk", source.name()))
    })?;
    bar.finish();
    Ok(imported)
}

/// Orders content and hears until it is whole and paid, and settled where that is wanted.
async fn buy(
    stage: &mut Stage,
    order: FetchOrder,
    bytes: u64,
    until_settled: bool,
    json: bool,
) -> Result<Heard, Failure> {
    let bar = bar(bytes, json, "download");
    let mut heard = Heard::default();
    stage.client.order(Input::Fetch(order)).await;
    while heard.fetched.is_none() || (until_settled && heard.settled.is_none()) {
        let (is_client, news) = next(&mut stage.client, &mut stage.node).await?;
        heard.take(is_client, &news, stage.clock.now().mono, &bar)?;
    }
    Ok(heard)
}

/// Act one: buy, close together, settled at once.
async fn honest(stage: &mut Stage, source: &Source, json: bool) -> Result<Statement, Failure> {
    let before = Before::note(stage);
    let blob = import(stage, source, json).await?;
    let order = stage.order(1, blob.0, blob.1, false);
    let mut heard = buy(stage, order, blob.1, true, json).await?;
    // The node reads the settlement a moment later.
    while let Ok(news) = stage.node.news.try_recv() {
        heard.take(false, &news, stage.clock.now().mono, &ProgressBar::hidden())?;
    }
    statement(
        stage,
        "Act 1: a download, closed together",
        source,
        &[1],
        blob,
        &heard,
        &before,
        Close::Cooperative,
    )
    .await
}

#[expect(clippy::too_many_arguments, reason = "a statement brings everything together")]
async fn statement(
    stage: &Stage,
    act: &'static str,
    source: &Source,
    downloads: &[u64],
    (hash, bytes): (BlobHash, u64),
    heard: &Heard,
    before: &Before,
    close: Close,
) -> Result<Statement, Failure> {
    let parts: Vec<PathBuf> = downloads.iter().map(|id| stage.delivered(*id)).collect();
    for (id, to) in downloads.iter().zip(&parts) {
        stage.client.blobs.finish(FetchId(*id), to)?;
    }
    let delivered = tokio::task::spawn_blocking(move || -> std::io::Result<_> {
        let mut hasher = blake3::Hasher::new();
        for part in parts {
            // Each lies where it has its place in the whole.
            let mut part = std::fs::File::open(part)?;
            part.seek(SeekFrom::Start(hasher.count()))?;
            hasher.update_reader(part)?;
        }
        Ok(BlobHash(*hasher.finalize().as_bytes()))
    })
    .await??;
    let (paid, refunded) = heard.settled.unwrap_or_default();
    let took = match (heard.started, heard.fetched) {
        (Some(from), Some(to)) => to.since(from),
        _ => Span::default(),
    };
    let party = |address: Address, vouchers, signatures, had: Amount, earlier: usize| {
        let units = |amount: Amount| i128::try_from(amount.0).unwrap_or(i128::MAX);
        let balance_change = units(stage.chain.balance(stage.token, address)) - units(had);
        let mut party = PartyStatement { vouchers, signatures, balance_change, ..PartyStatement::default() };
        let transactions = stage.chain.transactions_of(address);
        party.take_transactions(transactions.get(earlier..).unwrap_or_default());
        party
    };
    let (client, node) = (&stage.client.signer, &stage.node.signer);
    let client_signatures = client.signed() - before.client_signed;
    let node_signatures = node.signed() - before.node_signed;
    let (client, node) = (client.address(), node.address());
    let had = before.client_balance;
    let client = party(client, heard.client_vouchers, client_signatures, had, before.client_transactions);
    let had = before.node_balance;
    let node = party(node, heard.node_vouchers, node_signatures, had, before.node_transactions);
    let is_whole = paid.checked_add(refunded) == Some(heard.deposit);
    let is_there = i128::try_from(paid.0) == Ok(node.balance_change)
        && i128::try_from(paid.0) == Ok(-client.balance_change);
    Ok(Statement {
        act,
        content: source.name(),
        hash: hash.to_string(),
        bytes,
        hash_ok: delivered == hash,
        delivery_ms: took.0 / 1_000,
        rate_per_mb: RATE.0,
        price: units(price(bytes)),
        deposit: units(heard.deposit),
        paid: units(paid),
        refunded: units(refunded),
        money_exact: paid == price(bytes) && is_whole && is_there,
        close,
        client,
        node,
    })
}
