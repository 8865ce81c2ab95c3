//! `decdn bench delivery`: paid delivery beside a bare iroh stream and iroh-blobs, in turns, in one process.
//!
//! Paid delivery and the bare stream read the same kind of file and write the same kind of file, and make it durable
//! every 8 MiB. Paid delivery also verifies, signs, stores vouchers and acknowledges them. iroh-blobs verifies too,
//! but goes from memory to memory: its disk store would be a second database in this program.

use std::{
    fs::File,
    io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
    time::Duration,
};

use decdn_driver::Clock;
use decdn_engine::{
    io::{Input, Notice},
    time::Time,
};
use iroh::{Endpoint, EndpointAddr, RelayMode, TransportAddr, endpoint::presets, protocol::Router};
use iroh_blobs::{BlobsProtocol, HashAndFormat, store::mem::MemStore};
use serde::Serialize;

use super::{Failure, failed, source::Source, statement::mib_per_second, talk};
use crate::{
    clock::SystemClock,
    party::{News, Party},
    stage::{CADENCE, Stage},
};

const ALPN: &[u8] = b"decdn/bench/stream";
/// How much the bare stream reads and writes at once.
const PIECE_BYTES: usize = 1 << 20;
/// The least that the bare stream writes at once, but for the end.
const WRITE_BYTES: usize = 256 << 10;
const PATIENCE: Duration = Duration::from_secs(600);

/// One measured transfer.
#[derive(Clone, Copy, Debug)]
struct Run {
    ms: u64,
    cpu_ms: Option<u64>,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Row {
    what: &'static str,
    mib_per_second: f64,
    /// CPU of the whole process, both ends, per GiB.
    cpu_ms_per_gib: Option<u64>,
    ratio: f64,
    runs_ms: Vec<u64>,
}

pub(super) async fn delivery(mib: u64, rounds: u32, json: bool) -> Result<(), Failure> {
    let source = Source::generated("bench", mib << 20);
    let temp = tempfile::Builder::new().prefix("decdn-bench-").tempdir()?;
    let file = temp.path().join("content");
    io::copy(&mut source.open()?, &mut File::create(&file)?)?;
    let source = Source::file(&file)?;
    let mut stage = Stage::set().await.map_err(failed)?;
    let blob = stage.import(source.open()?, |_| {}).await.map_err(failed)?;

    let (mut paid, mut bare, mut blobs) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..rounds {
        if !json {
            talk::Ear::People.say(format_args!("  round {} of {rounds}", round + 1));
        }
        paid.push(paid_delivery(&mut stage, u64::from(round), blob).await?);
        bare.push(bare_stream(&file, &temp.path().join("bare")).await?);
        blobs.push(iroh_blobs(&file).await?);
    }
    stage.client.stop().await;
    stage.node.stop().await;

    let bytes = source.bytes();
    let base = median(&paid).ms;
    let rows = [
        row("paid delivery (disk to disk)", bytes, base, &paid),
        row("bare iroh stream (disk to disk)", bytes, base, &bare),
        row("iroh-blobs (memory to memory)", bytes, base, &blobs),
    ];
    if json {
        return talk::line(serde_json::json!({ "bytes": bytes, "rounds": rounds, "rows": rows }));
    }
    let mut text = format!("\n  {mib} MiB, median of {rounds}, both ends in one process\n");
    text += &format!("  {:<34}{:>10}{:>16}{:>18}", "", "MiB/s", "CPU ms/GiB", "paid ÷ this");
    for row in &rows {
        let cpu = row.cpu_ms_per_gib.map_or("–".to_owned(), |ms| ms.to_string());
        text += &format!("\n  {:<34}{:>10.0}{cpu:>16}{:>18.2}", row.what, row.mib_per_second, row.ratio);
    }
    talk::line(text)
}

fn median(runs: &[Run]) -> Run {
    let mut sorted = runs.to_vec();
    sorted.sort_by_key(|run| run.ms);
    sorted[sorted.len() / 2]
}

#[expect(clippy::float_arithmetic, reason = "figures to print")]
fn row(what: &'static str, bytes: u64, paid_ms: u64, runs: &[Run]) -> Row {
    let middle = median(runs);
    let mut cpu: Vec<u64> = runs.iter().filter_map(|run| run.cpu_ms).collect();
    cpu.sort_unstable();
    Row {
        what,
        mib_per_second: mib_per_second(bytes, middle.ms),
        cpu_ms_per_gib: cpu
            .get(cpu.len() / 2)
            .map(|ms| (u128::from(*ms) << 30) / u128::from(bytes))
            .map(clip),
        ratio: middle.ms as f64 / paid_ms.max(1) as f64,
        runs_ms: runs.iter().map(|run| run.ms).collect(),
    }
}

fn clip(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// CPU time of this process in ms, where the system says.
fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Linux counts in hundredths of a second, whatever the kernel's own tick.
    Some((user + system) * 10)
}

/// Takes the time and the CPU of a transfer.
struct Watch {
    clock: SystemClock,
    from: Time,
    cpu: Option<u64>,
}

impl Watch {
    fn start() -> Self {
        let clock = SystemClock::new();
        Self { from: clock.now().mono, cpu: cpu_ms(), clock }
    }

    fn stop(self) -> Run {
        let ms = self.clock.now().mono.since(self.from).0 / 1_000;
        Run { ms, cpu_ms: cpu_ms().zip(self.cpu).map(|(now, then)| now - then) }
    }
}

/// From the node's signed answer to the last acknowledged voucher: opening and closing the channel is the chain's
/// time, not the delivery's.
async fn paid_delivery(
    stage: &mut Stage,
    round: u64,
    (hash, bytes): (decdn_engine::ids::BlobHash, u64),
) -> Result<Run, Failure> {
    stage.client.order(Input::Fetch(stage.order(round, hash, bytes, false))).await;
    let mut watch = None;
    let mut run = None;
    loop {
        let news = tokio::time::timeout(PATIENCE, next(&mut stage.client, &mut stage.node)).await;
        match news.map_err(failed)?? {
            News::Notice(Notice::StreamStarted { .. }) => watch = Some(Watch::start()),
            News::Notice(Notice::Fetched { .. }) => run = watch.take().map(Watch::stop),
            News::Notice(Notice::FetchFailed { why, .. }) => return Err(failed(format!("{why:?}"))),
            News::Notice(Notice::Settled { .. }) => break,
            _ => {}
        }
    }
    let path = stage.delivered(round);
    stage.client.blobs.finish(decdn_engine::ids::FetchId(round), &path)?;
    std::fs::remove_file(path)?;
    run.ok_or_else(|| failed("the stream never started"))
}

/// The client's next news; the node's are taken and dropped.
async fn next(client: &mut Party, node: &mut Party) -> Result<News, Failure> {
    loop {
        tokio::select! {
            news = client.next() => return news.map_err(failed),
            news = node.next() => news.map(|_| ()).map_err(failed)?,
        }
    }
}

async fn endpoint(alpns: Vec<Vec<u8>>) -> Result<Endpoint, Failure> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let builder = Endpoint::builder(presets::Minimal).alpns(alpns).relay_mode(RelayMode::Disabled);
    builder.clear_ip_transports().bind_addr(at).map_err(failed)?.bind().await.map_err(failed)
}

fn addr_of(endpoint: &Endpoint) -> EndpointAddr {
    EndpointAddr::from_parts(endpoint.id(), endpoint.bound_sockets().into_iter().map(TransportAddr::Ip))
}

/// A file over one stream into a file, durable every cadence: what paid delivery does, without paying and proving.
async fn bare_stream(from: &Path, to: &Path) -> Result<Run, Failure> {
    let (sender, receiver) = (endpoint(vec![ALPN.to_vec()]).await?, endpoint(Vec::new()).await?);
    let address = addr_of(&sender);
    let file = File::open(from)?;
    let serving = sender.clone();
    let sending = tokio::spawn(async move {
        let incoming = serving.accept().await.ok_or_else(|| failed("no connection came"))?;
        let connection = incoming.accept()?.await?;
        let (mut send, mut recv) = connection.accept_bi().await?;
        recv.read_exact(&mut [0]).await?;
        let file = Arc::new(file);
        let total = file.metadata()?.len();
        let mut offset = 0;
        while offset < total {
            let bytes = usize::try_from(total - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let file = file.clone();
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; bytes];
                file.read_exact_at(&mut piece, offset).map(|()| piece)
            });
            send.write_chunk(piece.await??.into()).await?;
            offset += bytes as u64;
        }
        send.finish()?;
        connection.closed().await;
        Ok::<(), Failure>(())
    });
    let connection = receiver.connect(address, ALPN).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    let file = Arc::new(File::create(to)?);
    let watch = Watch::start();
    send.write_all(&[1]).await?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    let mut synced = 0;
    let mut syncing: Option<tokio::task::JoinHandle<io::Result<()>>> = None;
    let mut held = 0;
    loop {
        let read = recv.read(&mut piece[held..]).await?;
        held += read.unwrap_or(0);
        // Large writes: what is on its way waits for more, so that the system is asked less often.
        if held < WRITE_BYTES && read.is_some() {
            continue;
        }
        file.write_all_at(&piece[..held], offset)?;
        offset += held as u64;
        held = 0;
        if read.is_none() {
            break;
        }
        if offset - synced >= CADENCE {
            synced = offset;
            if let Some(before) = syncing.take() {
                before.await??;
            }
            let file = file.clone();
            syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
    }
    if let Some(before) = syncing {
        before.await??;
    }
    file.sync_data()?;
    let run = watch.stop();
    connection.close(0u32.into(), b"");
    sending.await??;
    receiver.close().await;
    sender.close().await;
    std::fs::remove_file(to)?;
    Ok(run)
}

/// iroh-blobs from one memory store into another.
async fn iroh_blobs(from: &Path) -> Result<Run, Failure> {
    let (server, client) = (endpoint(Vec::new()).await?, endpoint(Vec::new()).await?);
    let store = MemStore::new();
    let tag = store.add_bytes(std::fs::read(from)?).await.map_err(failed)?;
    let protocol = BlobsProtocol::new(&store, None);
    let router = Router::builder(server.clone()).accept(iroh_blobs::ALPN, protocol).spawn();
    let into = MemStore::new();
    let connection = client.connect(addr_of(&server), iroh_blobs::ALPN).await?;
    let watch = Watch::start();
    into.remote().fetch(connection, HashAndFormat::raw(tag.hash)).await.map_err(failed)?;
    let run = watch.stop();
    client.close().await;
    router.shutdown().await.map_err(failed)?;
    Ok(run)
}
