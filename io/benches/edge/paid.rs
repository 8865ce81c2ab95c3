//! Paid delivery: from a node's files into a client's, every voucher durable before it is signed and every byte
//! verified.

use std::{
    io::Read,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use decdn_engine::{
    ids::{BlobHash, FetchId},
    io::{Input, Notice},
    money::{Amount, MB},
    order::FetchOrder,
};
use decdn_io::{
    party::{News, Party},
    stage::Stage,
};

use crate::{
    Trouble,
    table::{Run, Watch},
};

const PATIENCE: Duration = Duration::from_secs(600);
/// Streams of one client: somewhat less than the 100 that a connection may carry, because QUIC gives the credit of a
/// stream that has ended back in batches.
const STREAMS_PER_CLIENT: u32 = 90;

/// The client's next notice; the node's news are taken and dropped.
async fn next(client: &mut Party, node: &mut Party) -> Result<Notice, Trouble> {
    let hear = async {
        loop {
            tokio::select! {
                news = client.next() => match news? {
                    News::Notice(Notice::FetchFailed { why, .. }) => return Err(format!("a download failed: {why:?}").into()),
                    News::Notice(notice) => return Ok(notice),
                    News::Fault(_) => {}
                },
                news = node.next() => { news?; }
            }
        }
    };
    tokio::time::timeout(PATIENCE, hear).await?
}

/// From the node's signed answer to the last acknowledged voucher: opening and closing the channel is the chain's
/// time, not the delivery's.
pub(super) async fn delivery(
    stage: &mut Stage,
    round: u64,
    (hash, bytes): (BlobHash, u64),
) -> Result<Run, Trouble> {
    stage.client.order(Input::Fetch(stage.order(round, hash, bytes, false))).await;
    let (mut watch, mut run) = (None, None);
    loop {
        match next(&mut stage.client, &mut stage.node).await? {
            Notice::StreamStarted { .. } => watch = Some(Watch::start()),
            Notice::Fetched { .. } => run = watch.take().map(Watch::stop),
            Notice::Settled { .. } => break,
            _ => {}
        }
    }
    let path = stage.delivered(round);
    stage.client.blobs.finish(FetchId(round), &path)?;
    std::fs::remove_file(path)?;
    run.ok_or_else(|| "the stream never started".into())
}

/// How long a small blob took from its order.
pub(super) struct Small {
    pub(super) first_byte: Duration,
    pub(super) paid_for: Duration,
}

/// Small blobs one after the other on one channel. None of them was read before.
pub(super) async fn small_blobs(contents: &[Vec<u8>]) -> Result<Vec<Small>, Trouble> {
    let mut stage = Stage::set().await?;
    let mut smalls = Vec::new();
    for (n, content) in contents.iter().enumerate() {
        let (hash, bytes) = stage.import(std::io::Cursor::new(content.clone()), |_| {}).await?;
        let order = FetchOrder {
            deposit: Amount(1_000_000_000),
            ..stage.order(u64::try_from(n)?, hash, bytes, true)
        };
        let watch = Watch::start();
        stage.client.order(Input::Fetch(order)).await;
        let mut first_byte = None;
        loop {
            match next(&mut stage.client, &mut stage.node).await? {
                Notice::Progress { .. } => first_byte = first_byte.or(Some(watch.elapsed())),
                Notice::Fetched { .. } => break,
                _ => {}
            }
        }
        let first_byte = first_byte.ok_or("a download ended without a byte")?;
        // The first one also opens the channel.
        if n > 0 || contents.len() == 1 {
            smalls.push(Small { first_byte, paid_for: watch.elapsed() });
        }
    }
    stage.client.stop().await;
    stage.node.stop().await;
    Ok(smalls)
}

/// What became of many streams at once.
pub(super) struct Crowd {
    pub(super) clients: u32,
    pub(super) failed: usize,
    /// From the order of all to the end of the last.
    pub(super) time: Duration,
    /// When each had its first verified byte, from the order of all.
    pub(super) first_bytes: Vec<Duration>,
    /// When each was paid for.
    pub(super) ends: Vec<Duration>,
    /// Bytes that each got while all of them ran, and for how long they did; `None` if they never all ran at once.
    pub(super) shares: Option<(Vec<u64>, Duration)>,
}

/// How far every stream is, and how far it was when the last one had begun and when the first one ended.
struct Standings {
    watch: Watch,
    verified: Vec<u64>,
    first_bytes: Vec<Duration>,
    ends: Vec<Duration>,
    all_began: Option<(Duration, Vec<u64>)>,
    one_ended: Option<Vec<u64>>,
}

impl Standings {
    fn at(&mut self, stream: usize, verified: u64) {
        if self.verified[stream] == 0 {
            self.first_bytes.push(self.watch.elapsed());
        }
        self.verified[stream] = verified;
        if self.first_bytes.len() == self.verified.len() && self.all_began.is_none() {
            self.all_began = Some((self.watch.elapsed(), self.verified.clone()));
        }
    }

    fn ended(&mut self) {
        self.ends.push(self.watch.elapsed());
        self.one_ended.get_or_insert_with(|| self.verified.clone());
    }

    fn shares(&self) -> Option<(Vec<u64>, Duration)> {
        let ((from, before), after) = (self.all_began.as_ref()?, self.one_ended.as_ref()?);
        let time = self.ends.first()?.checked_sub(*from)?;
        Some((after.iter().zip(before).map(|(after, before)| after - before).collect(), time))
    }
}

/// So many downloads of one blob at once, at the protocol's own cadence (D6). Every client has its channel and its connection before the watch starts.
pub(super) async fn crowd(streams: u32, content: impl Read + Send + 'static) -> Result<Crowd, Trouble> {
    let mut stage = Stage::set().await?;
    let (hash, bytes) = stage.import(content, |_| {}).await?;
    let (opener, opener_bytes) = stage.import(std::io::Cursor::new(vec![7; 1_024]), |_| {}).await?;
    let mut clients = Vec::new();
    let count = streams.div_ceil(STREAMS_PER_CLIENT);
    for n in 0..count {
        let mut client = stage.newcomer(u8::try_from(n + 2)?).await?;
        let deposit = Amount(10_000_000_000);
        let order = FetchOrder { deposit, ..stage.order(0, opener, opener_bytes, true) };
        client.order(Input::Fetch(order)).await;
        while !matches!(next(&mut client, &mut stage.node).await?, Notice::Fetched { .. }) {}
        clients.push(client);
    }
    let standings = Arc::new(Mutex::new(Standings {
        watch: Watch::start(),
        verified: vec![0; streams as usize],
        first_bytes: Vec::new(),
        ends: Vec::new(),
        all_began: None,
        one_ended: None,
    }));
    let mut buyers = Vec::new();
    for (client, n) in clients.into_iter().zip(0..count) {
        // As many for each, to within one: what a client has is shared by its streams.
        let streams = n * streams / count..(n + 1) * streams / count;
        // A download's number is its stream's, from 1: the opener had 0.
        let order = |n| FetchOrder { cadence_bytes: MB, ..stage.order(u64::from(n) + 1, hash, bytes, true) };
        let orders = streams.map(order).collect();
        buyers.push(tokio::spawn(buy(client, orders, standings.clone())));
    }
    let all = futures::future::try_join_all(buyers);
    tokio::pin!(all);
    let failures = loop {
        tokio::select! {
            failures = &mut all => break failures?,
            news = stage.node.next() => { news?; }
        }
    };
    let failed = failures.into_iter().sum::<Result<usize, Trouble>>()?;
    stage.client.stop().await;
    stage.node.stop().await;
    let standings = standings.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(Crowd {
        clients: count,
        failed,
        time: standings.ends.last().copied().unwrap_or_default(),
        first_bytes: standings.first_bytes.clone(),
        ends: standings.ends.clone(),
        shares: standings.shares(),
    })
}

/// Orders all of it at once and waits for all of it; how many failed.
async fn buy(
    mut client: Party,
    orders: Vec<FetchOrder>,
    standings: Arc<Mutex<Standings>>,
) -> Result<usize, Trouble> {
    let standings = || standings.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = orders.len();
    for order in orders {
        client.order(Input::Fetch(order)).await;
    }
    let mut failed = 0;
    while left > 0 {
        match client.next().await? {
            News::Notice(Notice::Progress { fetch, verified_bytes }) => {
                standings().at(usize::try_from(fetch.0 - 1)?, verified_bytes);
            }
            News::Notice(Notice::Fetched { .. }) => {
                standings().ended();
                left -= 1;
            }
            News::Notice(Notice::FetchFailed { .. }) => {
                failed += 1;
                left -= 1;
            }
            _ => {}
        }
    }
    client.stop().await;
    Ok(failed)
}
