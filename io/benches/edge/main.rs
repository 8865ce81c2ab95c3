//! The edge over loopback, beside its rivals, in one process: `cargo bench -p decdn-io --bench edge -- WHAT`.
//!
//! - `delivery`: paid delivery, a bare iroh stream, iroh-blobs from disk to disk and from memory to memory, in turns.
//! - `first-byte`: a cold blob of 1 KiB on an open channel, beside iroh-blobs on an open connection.
//! - `streams`: 1,000 downloads at once from one node, over twelve clients.
//! - `idle`: what a node with 1,000 open channels asks of its endpoint in an hour in which nothing happens.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::float_arithmetic, reason = "figures to print")]

mod idle;
mod paid;
mod rivals;
mod table;

use std::{
    fs::File,
    io::{Read, Write},
};

use clap::{Parser, ValueEnum};
use decdn_io::stage::Stage;

use self::table::{Row, Run, mib_per_second, row};

/// What goes wrong in a benchmark ends it.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Parser)]
#[command(about = "The edge over loopback, beside its rivals.")]
struct Args {
    /// What to measure; all of it where nothing is named.
    what: Vec<What>,
    /// Size of the delivered content.
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    mib: u64,
    /// How often each transfer is measured; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// How many small blobs are bought one after the other.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    blobs: u32,
    /// How many streams there are at once; they are spread over clients of 90 each.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_700))]
    streams: u32,
    /// Bytes of each of these streams, in KiB.
    #[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    stream_kib: u32,
    /// How many channels an idle node has.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    channels: u64,
    /// Measure these sides of `delivery` alone: for a profiler.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Side>,
    /// Print one JSON object per measurement instead of tables.
    #[arg(long)]
    json: bool,
    /// What cargo says to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum What {
    Delivery,
    FirstByte,
    Streams,
    Idle,
}

/// Who delivers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Side {
    Paid,
    Bare,
    BlobsOnDisk,
    BlobsInMemory,
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Paid => "paid delivery, disk to disk",
            Self::Bare => "bare iroh stream, disk to disk",
            Self::BlobsOnDisk => "iroh-blobs, disk to disk",
            Self::BlobsInMemory => "iroh-blobs, memory to memory",
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Trouble> {
    let args = Args::parse();
    let is_wanted = |what| args.what.is_empty() || args.what.contains(&what);
    if is_wanted(What::Delivery) {
        delivery(&args).await?;
    }
    if is_wanted(What::FirstByte) {
        first_byte(&args).await?;
    }
    if is_wanted(What::Streams) {
        streams(&args).await?;
    }
    if is_wanted(What::Idle) {
        idle::idle(args.channels, args.json).await?;
    }
    Ok(())
}

fn say(text: impl std::fmt::Display) -> Result<(), Trouble> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Content that follows from its label and can't be compressed.
fn content(label: &str, bytes: u64) -> impl Read + Send + use<> {
    let mut hasher = blake3::Hasher::new_derive_key("deCDN benchmark content");
    hasher.update(label.as_bytes());
    hasher.finalize_xof().take(bytes)
}

async fn delivery(args: &Args) -> Result<(), Trouble> {
    let bytes = args.mib << 20;
    let temp = tempfile::Builder::new().prefix("decdn-bench-").tempdir()?;
    let file = temp.path().join("content");
    std::io::copy(&mut content("delivery", bytes), &mut File::create(&file)?)?;
    let mut stage = Stage::set().await?;
    let blob = stage.import(File::open(&file)?, |_| {}).await?;

    let is_wanted = |side: &Side| args.only.is_empty() || args.only.contains(side);
    let mut sides: Vec<(Side, Vec<Run>)> =
        Side::value_variants().iter().copied().filter(is_wanted).map(|side| (side, Vec::new())).collect();
    for round in 0..args.rounds {
        eprintln!("  round {} of {}", round + 1, args.rounds);
        for (side, runs) in &mut sides {
            runs.push(match side {
                Side::Paid => paid::delivery(&mut stage, u64::from(round), blob).await?,
                Side::Bare => rivals::bare_stream(&file, &temp.path().join("bare")).await?,
                Side::BlobsOnDisk => rivals::blobs_on_disk(&file).await?,
                Side::BlobsInMemory => rivals::blobs_in_memory(&file).await?,
            });
        }
    }
    stage.client.stop().await;
    stage.node.stop().await;

    let first = sides.first().map(|(_, runs)| runs.clone()).unwrap_or_default();
    let rows: Vec<Row> = sides.iter().map(|(side, runs)| row(side.name(), bytes, &first, runs)).collect();
    if args.json {
        let rounds = args.rounds;
        return say(
            serde_json::json!({ "what": "delivery", "bytes": bytes, "rounds": rounds, "rows": rows }),
        );
    }
    say(format_args!(
        "{} MiB, medians of {}, both ends in one process\n{}",
        args.mib,
        args.rounds,
        Row::HEAD
    ))?;
    rows.iter().try_for_each(say)
}

async fn first_byte(args: &Args) -> Result<(), Trouble> {
    let contents: Vec<Vec<u8>> = (0..args.blobs)
        .map(|n| {
            let mut bytes = Vec::new();
            content(&format!("small {n}"), 1_024).read_to_end(&mut bytes).map(|_| bytes)
        })
        .collect::<Result<_, _>>()?;
    let ours = paid::small_blobs(&contents).await?;
    let theirs = rivals::small_blobs_on_disk(&contents).await?;
    let first = table::median(ours.iter().map(|small| small.first_byte));
    let whole = table::median(ours.iter().map(|small| small.paid_for));
    let rival = table::median(theirs.iter().map(|run| run.time));
    if args.json {
        return say(serde_json::json!({
            "what": "first-byte", "blobs": args.blobs, "first_byte_us": first.as_micros(),
            "paid_for_us": whole.as_micros(), "iroh_blobs_us": rival.as_micros(),
        }));
    }
    say(format_args!("{} cold blobs of 1 KiB one after the other, medians", args.blobs))?;
    say(format_args!("  order to first verified byte   {first:>10.2?}"))?;
    say(format_args!("  order to paid for              {whole:>10.2?}"))?;
    say(format_args!("  iroh-blobs, disk to disk       {rival:>10.2?}"))
}

async fn streams(args: &Args) -> Result<(), Trouble> {
    let bytes = u64::from(args.stream_kib) << 10;
    let crowd = paid::crowd(args.streams, content("streams", bytes)).await?;
    let rate = mib_per_second(bytes * u64::from(args.streams), crowd.time);
    let shares = crowd.shares.map(|(mut shares, time)| {
        shares.sort_unstable();
        (shares, time)
    });
    if args.json {
        let least_and_most =
            shares.as_ref().map(|(shares, _)| [shares.first().copied(), shares.last().copied()]);
        return say(serde_json::json!({
            "what": "streams", "streams": args.streams, "bytes_each": bytes, "failed": crowd.failed,
            "mib_per_second": rate, "least_and_most_bytes_while_all_ran": least_and_most,
            "all_ran_ms": shares.as_ref().map(|(_, time)| time.as_millis()),
        }));
    }
    let clients = crowd.clients;
    say(format_args!(
        "{} streams of {} KiB at once, {clients} clients, one node",
        args.streams, args.stream_kib
    ))?;
    say(format_args!("  failed            {:>10}", crowd.failed))?;
    say(format_args!("  all of it         {rate:>10.0} MiB/s"))?;
    for (what, times) in [("first bytes after", &crowd.first_bytes), ("ends after", &crowd.ends)] {
        let at = |percent: usize| times.get((times.len().saturating_sub(1)) * percent / 100);
        let [first, middle, last] = [0, 50, 100].map(|percent| at(percent).copied().unwrap_or_default());
        say(format_args!(
            "  {what:<18}{first:>10.2?} the first, {middle:.2?} the median, {last:.2?} the last"
        ))?;
    }
    let Some((shares, time)) = shares else {
        return say("  they never all ran at once: give them more with --stream-kib");
    };
    let share = |permille: usize| shares[(shares.len() - 1) * permille / 1_000] >> 10;
    say(format_args!(
        "  while all ran     {time:>10.2?}: least, median, most {} {} {} KiB, most ÷ least {:.2}",
        share(0),
        share(500),
        share(1_000),
        share(1_000) as f64 / share(0).max(1) as f64
    ))
}
