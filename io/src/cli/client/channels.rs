//! `decdn client channels`, `close` and `monitor`: what becomes of channels that are not settled.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use clap::Args;
use decdn_engine::{
    ids::ChannelId,
    io::{Input, Notice},
    money::Amount,
    record::{ChannelStatus, Paying},
};
use serde_json::json;

use super::{
    super::{
        Failure, failed,
        node::{log_fault, settled},
        outcome::{carefully, input, started},
        settings::{ChainArgs, Chosen, Peer, Place, Recording},
        talk::{self, Ear},
    },
    buyer::{Book, Buyer, as_json, is_ending, local_for, opened_at, paying, status},
};
use crate::{
    config::File,
    keys::Keys,
    party::{News, Parts},
    store::{Records, StateDir},
};

/// How long closes may take to be on chain.
const CLOSING: Duration = Duration::from_secs(60);
/// How often to look.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    place: Place,
    /// Print one JSON object per line instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CloseArgs {
    /// Which channels, by their ids or the beginnings of them; all if nothing is said.
    channel: Vec<String>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    place: Place,
    /// Where a node is now, as NODEID@ADDRESS:PORT.
    #[arg(long, env = "DECDN_PEER", value_name = "ID@ADDR", value_delimiter = ',')]
    peer: Vec<Peer>,
    #[command(flatten)]
    recording: Recording,
    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct MonitorArgs {
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

pub(super) fn list(args: ListArgs) -> Result<(), Failure> {
    let dir = args.place.state_dir(&args.place.file()?);
    let channels = match Records::paths(&dir).iter().any(|path| path.exists()) {
        false => Vec::new(),
        true => {
            let mut home = StateDir::open(&dir).map_err(|error| started(error.into()))?;
            paying(&Records::open(&mut home).map_err(started)?.load()?)
        }
    };
    if args.json {
        return channels.iter().try_for_each(|channel| talk::line(as_json(channel)));
    }
    if channels.is_empty() {
        return talk::line(format_args!("no channel in {} is unsettled", dir.display()));
    }
    channels.iter().try_for_each(|channel| {
        talk::line(format_args!(
            "channel       {}\n  node        {}\n  counterparty {}\n  token       {}\n  deposit     {}\n  opened at   block \
             {}\n  voucher     {} (nonce {})\n  status      {}{}",
            channel.channel,
            channel.node,
            channel.operator,
            channel.token,
            channel.deposit,
            opened_at(channel).map_or_else(|| "not read yet".to_owned(), |block| block.to_string()),
            channel.amount,
            channel.nonce.0,
            status(channel),
            if channel.is_kept { ", kept" } else { "" },
        ))
    })
}

/// Starts a client that buys nothing. Downloads that wait are left for another day.
async fn without_downloads(
    place: &Place,
    chain: &ChainArgs,
    peers: &[Peer],
    recording: &Recording,
    ear: Ear,
) -> Result<(Buyer, Vec<Paying>), Failure> {
    let file = place.file()?;
    let keys = place.keys(&file)?;
    let chosen = chain.choose(&file, keys.account()).await?;
    chosen.tell_risk(ear);
    start_on((place, &file), &keys, &chosen, peers, recording).await
}

/// The same on a chain that was looked at.
pub(super) async fn start_on(
    (place, file): (&Place, &File),
    keys: &Keys,
    chosen: &Chosen,
    peers: &[Peer],
    recording: &Recording,
) -> Result<(Buyer, Vec<Paying>), Failure> {
    let dir = place.state_dir(file);
    let parts = Parts::open(&dir, keys.network(), local(&dir, peers)).await.map_err(started)?;
    let records = parts.load().map_err(started)?;
    let channels = paying(&records);
    // Closing goes on whatever it is that can't be forced.
    chosen.check_funds(true).await?;
    let mut book = Book::read(&dir);
    peers.iter().for_each(|peer| book.note(peer));
    let buyer =
        Buyer::start(chosen, keys, parts, records, &book, (Amount::ZERO, Amount::ZERO, &[]), recording)
            .await?;
    Ok((buyer, channels))
}

fn local(dir: &Path, peers: &[Peer]) -> std::net::SocketAddr {
    local_for(peers.first().map(|peer| peer.addr).or_else(|| Book::read(dir).any()))
}

pub(super) async fn close(args: CloseArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    let (mut buyer, channels) =
        without_downloads(&args.place, &args.chain, &args.peer, &args.recording, ear).await?;
    let chosen = match choose(&channels, &args.channel) {
        Ok(chosen) => chosen,
        Err(failure) => {
            buyer.stop().await;
            return Err(failure);
        }
    };
    for channel in &chosen {
        buyer.party.order(Input::CloseChannel(*channel)).await;
    }
    let mut settled = BTreeMap::new();
    let work = async {
        loop {
            while let Ok(news) = buyer.party.news.try_recv() {
                note(ear, &news, &mut settled);
            }
            let left = buyer.channels().await?;
            let is_chosen = |paying: &&Paying| chosen.contains(&paying.channel);
            // One that was kept is open until the order to close it has been stored.
            let is_open = |paying: &Paying| is_ending(paying) || paying.status == ChannelStatus::Open;
            if !left.iter().filter(is_chosen).any(is_open) {
                return Ok::<_, Failure>(left.iter().filter(is_chosen).count());
            }
            let news = buyer.hear(LOOK).await.map_err(|why| {
                failed(format!("the client has {why}; see to the disk, then run it again to go on closing"))
            })?;
            news.iter().for_each(|news| note(ear, news, &mut settled));
        }
    };
    let end = tokio::select! {
        waited = tokio::time::timeout(CLOSING, work) => match waited {
            Ok(Ok(0)) => Ok(()),
            Ok(Ok(waiting)) => Err(Failure::Again(format!(
                "{waiting} of {} channels were closed without the node's consent and settle when their dispute windows \
                 end; run `decdn client monitor` until then", chosen.len()
            ))),
            Ok(Err(failure)) => Err(failure),
            Err(_) => {
                let why = buyer.chain.trouble().unwrap_or_else(|| "nothing was heard from node or chain".to_owned());
                Err(Failure::Again(format!("the channels are not closed yet: {why}; run it again")))
            }
        },
        () = carefully() => Err(Failure::Interrupted("interrupted; run it again to go on closing".to_owned())),
    };
    while let Ok(news) = buyer.party.news.try_recv() {
        note(ear, &news, &mut settled);
    }
    buyer.stop().await;
    if end.is_ok() {
        ear.say(format_args!("{} channels closed", chosen.len()));
    }
    end
}

/// The channels that were named, or all.
fn choose(channels: &[Paying], named: &[String]) -> Result<Vec<ChannelId>, Failure> {
    if named.is_empty() {
        return Ok(channels.iter().map(|paying| paying.channel).collect());
    }
    let find = |name: &String| {
        let name = name.strip_prefix("0x").unwrap_or(name).to_ascii_lowercase();
        let mut found = channels.iter().filter(|paying| paying.channel.to_string().starts_with(&name));
        match (found.next(), found.next()) {
            (Some(paying), None) => Ok(paying.channel),
            (Some(_), Some(_)) => {
                Err(input(format!("several channels begin with {name}; write more of the id")))
            }
            (None, _) => Err(input(format!(
                "no unsettled channel is called {name}; `decdn client channels` lists them"
            ))),
        }
    };
    named.iter().map(find).collect()
}

pub(super) async fn monitor(args: MonitorArgs) -> Result<(), Failure> {
    let ear = Ear::of(args.json, false);
    let (mut buyer, channels) =
        without_downloads(&args.place, &args.chain, &[], &args.recording, ear).await?;
    ear.say(format_args!("watching {} channels; Ctrl-C ends it", channels.len()));
    ear.tell(&json!({ "event": "watching", "channels": channels.len() }));
    let interrupt = carefully();
    tokio::pin!(interrupt);
    let mut settled = BTreeMap::new();
    let mut sight = Sight::default();
    let mut look = tokio::time::interval(LOOK);
    let end = loop {
        tokio::select! {
            biased;
            news = buyer.party.next() => match news {
                Ok(news) => {
                    sight.take(&news);
                    note(ear, &news, &mut settled);
                }
                Err(why) => break Err(failed(format!("the monitor has {why}; see to the disk, then start it again"))),
            },
            _ = look.tick() => {
                if sight.is_whole() && buyer.channels().await?.is_empty() {
                    break Ok(());
                }
            }
            () = &mut interrupt => {
                break Err(Failure::Interrupted("interrupted; nobody watches the channels now".to_owned()));
            }
        }
    };
    while let Ok(news) = buyer.party.news.try_recv() {
        note(ear, &news, &mut settled);
    }
    buyer.stop().await;
    if end.is_ok() {
        ear.say("every channel has settled");
        ear.tell(&json!({ "event": "done", "settled": settled.len() }));
    }
    end
}

/// What a monitor has seen: nothing is over before the chain was read, as there may be channels that no record knows of.
#[derive(Default)]
struct Sight {
    is_read: bool,
    /// Channels found on the chain: their records may come a moment later than the word of them.
    found: BTreeSet<ChannelId>,
}

impl Sight {
    fn take(&mut self, news: &News) {
        match news {
            News::Notice(Notice::ChainRead { .. }) => self.is_read = true,
            News::Notice(Notice::ChannelFound { channel, .. }) => _ = self.found.insert(*channel),
            News::Notice(Notice::Settled { channel, .. }) => _ = self.found.remove(channel),
            News::Notice(_) | News::Fault(_) => {}
        }
    }

    /// Whether whatever is not settled is on record.
    fn is_whole(&self) -> bool {
        self.is_read && self.found.is_empty()
    }
}

fn note(ear: Ear, news: &News, ends: &mut BTreeMap<ChannelId, Amount>) {
    match news {
        News::Notice(Notice::Settled { channel, ending, paid, refunded }) => {
            ends.insert(*channel, *paid);
            ear.say(format_args!(
                "channel {channel} settled: {paid} paid, {refunded} refunded, in base units"
            ));
            settled(ear, *channel, *ending, *paid, *refunded);
        }
        News::Notice(Notice::ChannelFound { channel, deposit }) => {
            ear.say(format_args!(
                "channel {channel} was found on the chain, and no record speaks of it: closing it; {deposit} base units are in it"
            ));
            ear.tell(&json!({
                "event": "channel_found", "channel": channel.to_string(), "deposit": deposit.to_string(),
            }));
        }
        News::Notice(Notice::StaleClose { channel, recorded, held }) => {
            ear.say(format_args!(
                "channel {channel} is closing at {recorded}, below the {held} held: disputing"
            ));
        }
        News::Notice(notice) => tracing::debug!(?notice, "notice"),
        News::Fault(fault) => log_fault(fault),
    }
}
