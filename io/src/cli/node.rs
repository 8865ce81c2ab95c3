//! `decdn node`: put files up, and sell them.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use decdn_engine::{
    chain::channel::Ending,
    fault::Fault,
    ids::ChannelId,
    io::{Fact, Input, Notice},
    money::{Amount, MB},
    record::Record,
    roles::{Config, config::NodeConfig},
    time::ChainTime,
};
use futures::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    Failure,
    desk::Desk,
    failed,
    outcome::{carefully, input, started, surveyed, unless_interrupted},
    owner,
    settings::{ChainArgs, Place, Recording, readable, shown},
    talk::{self, Ear},
    terms::terms,
};
use crate::{
    chain::inbox::Funds,
    config::{self, Tokens},
    control::{BindError, Control},
    party::{News, Parts, Party},
    signer::KeySigner,
    store::{BlobStore, StateDir},
};

#[derive(Debug, Subcommand)]
pub(super) enum NodeCommand {
    /// Copy a file into the node's store, and print its hash. The node must not be running.
    Add {
        /// Which.
        file: PathBuf,
        #[command(flatten)]
        place: Place,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Serve what is in the store.
    Run(Box<RunArgs>),
    /// List the channels that the node earns on and that are not settled.
    Channels(owner::ChannelsArgs),
    /// Close a channel at the best voucher that the running node holds. It settles at once.
    Close(owner::ChannelArgs),
    /// Have what the running node has earned on a channel paid out, and go on with it.
    Claim(owner::ChannelArgs),
    /// Draw what a refusing token has left for the running node's account.
    Withdraw(owner::WithdrawArgs),
}

#[derive(Debug, Args)]
pub(super) struct RunArgs {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    chain: ChainArgs,
    /// Where clients reach the node.
    #[arg(long, env = "DECDN_LISTEN", value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// What a MB costs in which token, as USDC=0.001; several, separated by commas.
    #[arg(long, env = "DECDN_RATE", value_name = "SYM=TOKENS", value_delimiter = ',', value_parser = rate)]
    rate: Vec<(String, Tokens)>,
    #[command(flatten)]
    recording: Recording,
    /// Print one JSON object per line instead of text.
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<(String, Tokens), String> {
    let (symbol, tokens) = text.split_once('=').ok_or("a rate looks like USDC=0.001")?;
    Ok((symbol.to_owned(), tokens.parse()?))
}

pub(super) async fn run(command: NodeCommand) -> Result<(), Failure> {
    match command {
        NodeCommand::Add { file, place, json } => unless_interrupted(add(file, place, json)).await,
        NodeCommand::Run(args) => serve(*args).await,
        NodeCommand::Channels(args) => owner::channels(args).await,
        NodeCommand::Close(args) => owner::close(args).await,
        NodeCommand::Claim(args) => owner::claim(args).await,
        NodeCommand::Withdraw(args) => owner::withdraw(args).await,
    }
}

async fn add(path: PathBuf, place: Place, json: bool) -> Result<(), Failure> {
    let shown = path.display().to_string();
    let content = readable(&path)?;
    let bytes = content.metadata()?.len();
    if bytes == 0 {
        return Err(input(format!("{shown} is empty, so there is nothing to sell; name another file")));
    }
    let dir = place.state_dir(&place.file()?);
    let home = StateDir::open(&dir).map_err(|error| started(error.into()))?;
    let store = BlobStore::open(home.path()).map_err(|error| unstored(&dir, &error))?;
    let ear = Ear::of(json, false);
    let bar = ear.bar("import").bar;
    bar.set_length(bytes);
    let watched: ProgressBar = bar.clone();
    let imported =
        tokio::task::spawn_blocking(move || store.import(content, |bytes| watched.set_position(bytes)));
    let (hash, bytes) = imported.await?.map_err(|error| unstored(&dir, &error))?;
    bar.set_style(ProgressStyle::default_bar());
    bar.finish_and_clear();
    drop(home);
    if json {
        talk::line(json!({ "event": "added", "file": shown, "hash": hash.to_string(), "bytes": bytes }))
    } else {
        ear.say(format_args!("{shown}: {bytes} bytes in {}", dir.display()));
        talk::line(hash)
    }
}

fn unstored(dir: &std::path::Path, error: &std::io::Error) -> Failure {
    failed(format!(
        "nothing was stored in {}: {error}; check the disk, or choose another --state-dir",
        dir.display()
    ))
}

async fn serve(args: RunArgs) -> Result<(), Failure> {
    let file = args.place.file()?;
    let keys = args.place.keys(&file)?;
    let ear = Ear::of(args.json, false);
    let listen = args.listen.or(file.node.listen).unwrap_or(config::LISTEN);
    let chosen = args.chain.choose(&file, keys.account()).await?;
    let deployment = chosen.survey.deployment;
    let mut config = NodeConfig::new(deployment, keys.node(), keys.account());
    config.start_block = chosen.chain.start_block;
    config.monitor = chosen.monitor;
    if let Some(mb) = file.node.offer_ceiling_mb {
        config.offer_ceiling = mb * MB;
    }
    if let Some(bytes) = file.node.max_blob_size {
        config.max_blob_size = bytes;
    }
    let (mut prices, mut tokens) = (Vec::new(), Vec::new());
    for (terms, token) in terms(&file, args.rate, &chosen).await? {
        config.tokens.push(terms);
        prices.push(format!("{} per MB", shown(Amount(terms.rate.0.into()), &token)));
        tokens.push(token);
    }
    if !chosen.survey.is_listed(keys.account(), keys.node()).await.map_err(surveyed)? {
        return Err(input(format!(
            "node {} of account {} is not in the registry {}, so nobody can open a channel with it; have it listed, on a \
             devnet with `decdn devnet list KEYFILE`",
            keys.node(),
            keys.account(),
            deployment.registry
        )));
    }

    if chosen.is_at_its_mercy() {
        tracing::warn!(
            "disputes can't be forced without --l1-rpc, --inbox and --dispute-key-file: a sequencer that ignores this account for a \
             whole dispute window costs it what it earned on a channel that is closed below its voucher"
        );
    }
    let clock = chosen.clock().await?;
    let dir = args.place.state_dir(&file);
    let mut parts = Parts::open(&dir, keys.network(), listen).await.map_err(started)?;
    let blobs = parts.blobs.list().map_err(|error| unstored(&dir, &error))?;
    let records = parts.load().map_err(started)?;
    let has_channels = records.iter().any(|record| !matches!(record, Record::Cursor(_) | Record::Gone(_)));
    let last = async {
        chosen.check_funds(has_channels).await?;
        let control = Control::bind(&dir).map_err(|error| match error {
            BindError::Live(_) => Failure::Again(error.to_string()),
            BindError::Taken(_) | BindError::Io(..) => failed(error),
        })?;
        Ok((control, chosen.port(keys.eth())?))
    };
    let (control, chain) = match last.await {
        Ok(ready) => ready,
        Err(failure) => {
            parts.transport.endpoint().close().await;
            return Err(failure);
        }
    };
    let role = args.recording.begin(&mut parts, Config::Node(config), &records)?;
    drop(records);
    let mut desk = Desk::open(control, chain.clone(), tokens, file.tokens.clone());
    let signer = KeySigner::new(keys.eth().clone(), deployment);
    let mut party = Party::start(role, parts, clock, chain, signer);
    for (hash, bytes) in &blobs {
        party.order(Input::BlobReady { hash: *hash, bytes: *bytes }).await;
    }
    let addr = party.addrs.first().copied().unwrap_or(listen);
    ear.tell(&json!({
        "event": "ready", "node": keys.node().to_string(), "account": keys.account(), "listen": addr,
        "peer": format!("{}@{addr}", keys.node()), "blobs": blobs.len(),
    }));
    if !args.json {
        let text = format!(
            "node     {}\naccount  {}\npeer     {}@{addr}\nprice    {}\nblobs    {}",
            keys.node(),
            keys.account(),
            keys.node(),
            prices.join(", "),
            blobs.len()
        );
        talk::line(text)?;
    }
    let mut funds = chosen.funds();
    let interrupt = carefully();
    tokio::pin!(interrupt);
    let end = loop {
        tokio::select! {
            news = party.next() => match news {
                Ok(news) => {
                    desk.hear(&news);
                    report(ear, &news);
                }
                Err(why) => {
                    let dir = dir.display();
                    break failed(format!("the node has {why}; see to the disk of {dir}, then start it again"));
                }
            },
            Some(found) = funds.next() => tell_funds(ear, &found),
            errand = desk.next() => errand.run(&party).await,
            () = &mut interrupt => {
                let kept = "interrupted; vouchers and channels are kept, start the node again to defend them";
                break Failure::Interrupted(kept.to_owned());
            }
        }
    };
    drop(desk);
    if tokio::time::timeout(Duration::from_secs(5), party.stop()).await.is_err() {
        tracing::warn!("the node did not stop in time; what is durable is safe");
    }
    Err(end)
}

/// Whether a dispute can be paid for on the L1, as it was found just now (L2).
fn tell_funds(ear: Ear, found: &Funds) {
    match found {
        Funds::Enough => {
            tracing::info!("the dispute account can pay for a dispute on the L1");
            ear.tell(&json!({ "event": "funded" }));
        }
        Funds::Missing(why) => {
            tracing::error!(%why, "nothing can be forced until that is done");
            ear.tell(&json!({ "event": "unfunded", "why": why }));
        }
    }
}

/// What a node says of its business.
fn report(ear: Ear, news: &News) {
    match news {
        News::Notice(Notice::ChannelOpened { channel, deposit }) => {
            tracing::info!(%channel, %deposit, "channel opened");
            ear.tell(&json!({ "event": "channel_opened", "channel": channel.to_string(), "deposit": deposit.to_string() }));
        }
        News::Notice(Notice::Voucher { channel, amount, nonce }) => {
            tracing::debug!(%channel, %amount, nonce = nonce.0, "voucher taken");
            ear.tell(&json!({
                "event": "voucher", "channel": channel.to_string(), "amount": amount.to_string(), "nonce": nonce.0,
            }));
        }
        News::Notice(Notice::StaleClose { channel, recorded, held }) => {
            tracing::warn!(%channel, %recorded, %held, "closed below the voucher held: disputing");
            ear.tell(&json!({
                "event": "stale_close", "channel": channel.to_string(), "recorded": recorded.to_string(),
                "held": held.to_string(),
            }));
        }
        News::Notice(Notice::ForcingInclusion { channel }) => {
            tracing::warn!(%channel, "the dispute is not included: forcing it");
        }
        News::Notice(Notice::Disputed { channel, amount }) => {
            tracing::info!(%channel, %amount, "dispute recorded");
            ear.tell(
                &json!({ "event": "disputed", "channel": channel.to_string(), "amount": amount.to_string() }),
            );
        }
        News::Notice(Notice::Settled { channel, ending, paid, refunded }) => {
            settled(ear, *channel, *ending, *paid, *refunded);
        }
        News::Notice(Notice::Ordered { order, answer }) => {
            tracing::info!(?order, ?answer, "an order of the owner's");
            ear.tell(&owner::as_event(order, answer));
        }
        News::Notice(Notice::HeadConfirmed { block, time }) => head_confirmed(*block, *time),
        News::Notice(Notice::TakenBack { channel, what }) => taken_back(ear, *channel, *what),
        News::Notice(notice) => tracing::debug!(?notice, "notice"),
        News::Fault(fault) => log_fault(fault),
    }
}

/// A channel has settled; how: after its window, by consent, or because its node finished it.
pub(super) fn settled(ear: Ear, channel: ChannelId, ending: Ending, paid: Amount, refunded: Amount) {
    let ending = match ending {
        Ending::Window => "window",
        Ending::Consent => "consent",
        Ending::Finish => "finish",
    };
    tracing::info!(%channel, %paid, %refunded, ending, "channel settled");
    ear.tell(&json!({
        "event": "settled", "channel": channel.to_string(), "ending": ending, "paid": paid.to_string(),
        "refunded": refunded.to_string(), "cooperative": ending == "consent",
    }));
}

/// A head that was doubted counts from here on (L4).
pub(super) fn head_confirmed(block: u64, time: ChainTime) {
    tracing::warn!(block, time = time.0, "the chain's head is far from the last one, and was confirmed");
}

/// The chain took back what it had said (L1).
pub(super) fn taken_back(ear: Ear, channel: ChannelId, what: Fact) {
    let what = match what {
        Fact::Opening => "opening",
        Fact::Close => "close",
        Fact::Settlement => "settlement",
    };
    tracing::warn!(%channel, "the chain took the channel's {what} back; what is held of it is defended as before");
    ear.tell(&json!({ "event": "taken_back", "channel": channel.to_string(), "what": what }));
}

/// A fault with whom it concerns.
pub(super) fn log_fault(fault: &Fault) {
    match fault {
        Fault::Peer { peer, rule, .. } => tracing::warn!(%peer, %rule, "a peer broke a rule"),
        Fault::Unattributed { peer, rule } => tracing::info!(%peer, %rule, "nobody's provable doing"),
        Fault::Limit { rule, limit } => tracing::warn!(%rule, ?limit, "a limit was reached"),
        Fault::Chain { about, rule, surprise } => {
            tracing::warn!(?about, %rule, ?surprise, "the chain surprises")
        }
    }
}
