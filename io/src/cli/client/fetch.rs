//! `decdn client fetch`: look before money moves, buy, deliver, close.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use alloy_primitives::U256;
use clap::Args;
use decdn_engine::{
    ids::{BlobHash, FetchId},
    io::{Gone, Input, Notice},
    limits::GROUP,
    money::{Amount, MB, Rate, rate_max},
    order::{Candidate, FetchOrder},
    record::Record,
};
use serde_json::json;

use super::{
    super::{
        Failure, failed,
        outcome::{carefully, input, started, surveyed},
        settings::{ChainArgs, Chosen, Peer, Place, Recording, blob_hash, cadence, shown, units},
        talk::Ear,
    },
    buyer::{Book, Buyer, is_ending, local_for, paying, usable},
    deliver::{self, Earlier, Output},
    hear::{Heard, unreached},
};
use crate::{
    chain::Token,
    config::{self, Tokens},
    keys::Keys,
    party::{News, Parts},
    store::DirError,
};

/// How long channels may take to be closed once everything is there.
const CLOSING: Duration = Duration::from_secs(60);
/// How often to look whether they are.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// The content's BLAKE3 hash.
    #[arg(long, value_parser = blob_hash)]
    hash: BlobHash,
    /// A node that has it, as NODEID@ADDRESS:PORT; several stand in for each other.
    #[arg(long, required = true, env = "DECDN_PEER", value_name = "ID@ADDR", value_delimiter = ',')]
    peer: Vec<Peer>,
    #[command(flatten)]
    chain: ChainArgs,
    #[command(flatten)]
    place: Place,
    /// Deposit of a new channel, in tokens: what is not spent comes back when it closes.
    #[arg(long, env = "DECDN_DEPOSIT", value_name = "TOKENS")]
    deposit: Option<Tokens>,
    /// The most that this fetch may put into channels, in tokens; a deposit per peer if nothing is said.
    #[arg(long, env = "DECDN_MAX_SPEND", value_name = "TOKENS")]
    max_spend: Option<Tokens>,
    /// The most to pay per MB, in tokens.
    #[arg(long, env = "DECDN_MAX_RATE", value_name = "TOKENS")]
    max_rate: Option<Tokens>,
    /// Sign a voucher per so many MB: about what a node that vanishes may cost.
    #[arg(long, env = "DECDN_VOUCHER_CADENCE_MB", value_name = "MB", value_parser = cadence)]
    voucher_cadence_mb: Option<u64>,
    /// What to pay in: a symbol or an address.
    #[arg(long, env = "DECDN_PAYMENT_TOKEN", value_name = "SYM")]
    payment_token: Option<String>,
    /// Where the content goes, - for standard output; the hash here if nothing is said.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Leave the channel open for the next fetch.
    #[arg(long)]
    keep_channel: bool,
    #[command(flatten)]
    recording: Recording,
    /// Print one JSON object per line instead of a progress bar.
    #[arg(long)]
    json: bool,
}

/// What is offered for the content.
struct Offer {
    token: Token,
    deposit: Amount,
    cap: Amount,
    max_rate: Rate,
    cadence_bytes: u64,
}

/// The number of the download of a hash: the same in every run, so that one goes on where another stopped.
fn fetch_id(hash: BlobHash) -> FetchId {
    let (first, _) = hash.0.split_at(8);
    FetchId(u64::from_le_bytes(first.try_into().expect("eight bytes")))
}

pub(super) async fn run(args: FetchArgs) -> Result<(), Failure> {
    let file = args.place.file()?;
    let output = Output::choose(args.output.clone(), args.hash)?;
    let ear = Ear::of(args.json, output == Output::Stdout);
    let keys = args.place.keys(&file)?;
    if args.peer.len() > 64 {
        return Err(input(format!("{} peers are named, at most 64 can be; name fewer", args.peer.len())));
    }
    let chosen = args.chain.choose(&file, keys.account()).await?;
    chosen.check_funds(false).await?;
    chosen.tell_risk(ear);
    let name = args.payment_token.as_ref().or(file.client.payment_token.as_ref());
    let token = chosen.token(&file, name.map_or(config::TOKEN, String::as_str)).await?;
    let offer = args.offer(&file, token)?;

    let dir = args.place.state_dir(&file);
    let local = local_for(args.peer.first().map(|peer| peer.addr));
    let parts = Parts::open(&dir, keys.network(), local).await.map_err(started)?;
    let endpoint = parts.transport.endpoint();
    let end = args.buy(parts, &chosen, &keys, &offer, &output, ear, &dir).await;
    // Whatever was said last still goes out; a buyer that has run has closed it already.
    endpoint.close().await;
    end
}

impl FetchArgs {
    /// Finds who is to be paid, shows the terms, buys, and delivers.
    #[expect(clippy::too_many_arguments, reason = "what was read and chosen before anything began")]
    async fn buy(
        &self,
        mut parts: Parts,
        chosen: &Chosen,
        keys: &Keys,
        offer: &Offer,
        output: &Output,
        ear: Ear,
        dir: &Path,
    ) -> Result<(), Failure> {
        // Who is to be paid, and is anybody there? All of it before any money moves.
        let id = fetch_id(self.hash);
        let records = parts.load().map_err(started)?;
        let resumed = records.iter().filter_map(Record::as_fetch).find(|fetch| fetch.order.id == id);
        let resumed = resumed.map(|fetch| (fetch.verified_bytes, fetch.total_bytes));
        let mut candidates = Vec::new();
        let mut book = Book::read(dir);
        let mut trouble = None;
        for peer in &self.peer {
            let start_block = chosen.chain.start_block;
            let Some(operator) = chosen.survey.operator_of(peer.node, start_block).await.map_err(surveyed)?
            else {
                trouble.get_or_insert(input(format!(
                    "node {} is not in the registry {}, so it can't be paid; check the NodeId in --peer, or name another node",
                    peer.node, chosen.survey.deployment.registry
                )));
                continue;
            };
            match parts.transport.reach(peer.node, vec![peer.addr]).await {
                Ok(()) => {
                    // One that is named with several addresses is still one.
                    if candidates.iter().all(|known: &Candidate| known.node != peer.node) {
                        candidates.push(Candidate { node: peer.node, operator });
                    }
                    book.note(peer);
                }
                Err(gone) => {
                    trouble.get_or_insert(unreached(peer, gone == Gone::WrongPeer));
                }
            }
        }
        let is_bought = resumed.is_none() && deliver::is_whole(&parts.blobs, id, self.hash);
        if candidates.is_empty() && !is_bought {
            return Err(trouble.unwrap_or_else(|| failed("no node is left to buy from")));
        }
        book.write(dir).map_err(|error| started(DirError::Io(dir.to_path_buf(), error).into()))?;
        let channels = paying(&records);
        let nodes: Vec<_> = candidates.iter().map(|candidate| candidate.node).collect();
        if !is_bought {
            if !usable(&channels, offer.token.address, &nodes) {
                self.afford(chosen, keys, offer).await?;
            }
            self.announce(ear, offer, &candidates, &chosen.survey.deployment.payment_channel.to_string());
        }

        let order = FetchOrder {
            id,
            hash: self.hash,
            offset_bytes: 0,
            len_bytes: 0,
            candidates,
            token: offer.token.address,
            deposit: offer.deposit,
            cadence_bytes: offer.cadence_bytes,
            max_rate: offer.max_rate,
            keep_channel: self.keep_channel,
        };
        let earlier = Earlier::read(dir, self.hash);
        let mut before: BTreeMap<_, _> =
            channels.iter().map(|paying| (paying.channel, paying.amount)).collect();
        before.extend(earlier.before());
        let mut heard = Heard::new(id, ear, offer.token.clone(), (offer.cap, offer.max_rate), before);
        heard.used.extend(earlier.channels());
        (heard.verified_bytes, heard.total_bytes) = resumed.unwrap_or_default();
        heard.is_resumed = resumed.is_some();
        let rate = Amount(offer.max_rate.0.into());
        if is_bought {
            heard.fetched = true;
        } else {
            // What has happened to its channels since is heard after it: until then they are kept for it.
            parts.order(Input::Fetch(order));
        }
        let decimals = [(offer.token.address, offer.token.decimals)];
        let mut buyer =
            Buyer::start(chosen, keys, parts, records, &book, (offer.cap, rate, &decimals), &self.recording)
                .await?;
        let end = self.see_through(&mut buyer, &mut heard, earlier, output, offer, keys, chosen, dir).await;
        buyer.stop().await;
        end
    }

    /// What is offered: amounts that make sense, in base units.
    fn offer(&self, file: &config::File, token: Token) -> Result<Offer, Failure> {
        let usual = |text: &str| text.parse::<Tokens>().map_err(failed);
        let chosen = |args: &Option<Tokens>, file: &Option<Tokens>| args.clone().or_else(|| file.clone());
        let deposit = match chosen(&self.deposit, &file.client.deposit) {
            Some(deposit) => deposit,
            None => usual(config::DEPOSIT)?,
        };
        let deposit = units("deposit", &deposit, &token)?;
        if deposit == Amount::ZERO {
            return Err(input("a deposit of 0 buys nothing; give a --deposit above 0"));
        }
        let cap = match chosen(&self.max_spend, &file.client.max_spend) {
            Some(cap) => units("max-spend", &cap, &token)?,
            None => Amount(deposit.0.saturating_mul(self.peer.len() as u128)),
        };
        if cap == Amount::ZERO {
            return Err(input("with a --max-spend of 0 nothing can be bought; give one above 0"));
        }
        let max_rate = match chosen(&self.max_rate, &file.client.max_rate) {
            Some(rate) => rate,
            None => usual(config::MAX_RATE)?,
        };
        let units = units("max-rate", &max_rate, &token)?;
        let sane =
            u64::try_from(units.0).ok().map(Rate).filter(|rate| rate.is_sane(rate_max(token.decimals)));
        let max_rate = sane.ok_or_else(|| {
            input(format!(
                "a --max-rate of {max_rate} is none: it has to be above 0 and at most {} base units",
                rate_max(token.decimals).0
            ))
        })?;
        // Less would not pay for the smallest piece that is sold.
        let least = Amount((u128::from(max_rate.0) * u128::from(GROUP)).div_ceil(u128::from(MB)));
        if deposit.min(cap) < least {
            return Err(input(format!(
                "a deposit of {} does not pay for 16 KiB at --max-rate, the least that is sold; raise --deposit and \
                 --max-spend to {} or more",
                shown(deposit.min(cap), &token),
                shown(least, &token)
            )));
        }
        let mb = self.voucher_cadence_mb.or(file.client.voucher_cadence_mb).unwrap_or(config::CADENCE_MB);
        Ok(Offer { token, deposit: deposit.min(cap), cap, max_rate, cadence_bytes: mb * MB })
    }

    /// Whether the account can pay the deposit and the gas.
    async fn afford(&self, chosen: &Chosen, keys: &Keys, offer: &Offer) -> Result<(), Failure> {
        let account = keys.account();
        let balance = chosen.survey.balance(offer.token.address, account).await.map_err(surveyed)?;
        if balance < offer.deposit {
            return Err(input(format!(
                "the deposit of {} is above the {} that account {account} has; give a smaller --deposit, or fund the \
                 account",
                shown(offer.deposit, &offer.token),
                shown(balance, &offer.token)
            )));
        }
        if chosen.survey.ether(account).await.map_err(surveyed)? == U256::ZERO {
            return Err(input(format!("account {account} has no ether to pay gas with; send it some first")));
        }
        Ok(())
    }

    /// What it may cost at most, before anybody was asked what it does cost.
    fn announce(&self, ear: Ear, offer: &Offer, candidates: &[Candidate], contract: &str) {
        let token = &offer.token;
        let rate = Amount(offer.max_rate.0.into());
        ear.say(format_args!(
            "  limits    at most {} per MB, at most {} into {contract}\n  from      {} node{}, a voucher per {} MB",
            shown(rate, token),
            shown(offer.cap, token),
            candidates.len(),
            if candidates.len() == 1 { "" } else { "s" },
            offer.cadence_bytes / MB,
        ));
        ear.tell(&json!({
            "event": "terms", "hash": self.hash.to_string(), "token": token.address, "symbol": token.symbol,
            "decimals": token.decimals, "max_rate_per_mb": offer.max_rate.0, "deposit": offer.deposit.to_string(),
            "max_spend": offer.cap.to_string(), "cadence_bytes": offer.cadence_bytes,
            "nodes": candidates.iter().map(|candidate| candidate.node.to_string()).collect::<Vec<_>>(),
        }));
    }

    /// Until the content is where it should be and the channels are closed.
    #[expect(clippy::too_many_arguments, reason = "everything comes together here")]
    async fn see_through(
        &self,
        buyer: &mut Buyer,
        heard: &mut Heard,
        earlier: Earlier,
        output: &Output,
        offer: &Offer,
        keys: &Keys,
        chosen: &Chosen,
        dir: &std::path::Path,
    ) -> Result<(), Failure> {
        let interrupt = carefully();
        tokio::pin!(interrupt);
        let blobs = buyer.party.blobs.clone();
        let trouble = blobs.trouble();
        tokio::pin!(trouble);
        let advice =
            format!("make room on the disk of {} or repair it, then run it again to go on", dir.display());
        let mut known = buyer.channels().await?;
        let mut end = Ok(());
        while end.is_ok() && !heard.fetched && heard.failed.is_none() {
            let mut is_agreed = false;
            end = tokio::select! {
                biased;
                why = &mut trouble => Err(failed(format!("content can't be stored: {why}; {advice}"))),
                news = buyer.party.next() => match news {
                    Ok(news) => {
                        if let Some(answer) = heard.take(&news, &buyer.spending) {
                            buyer.party.order(answer).await;
                        }
                        is_agreed = matches!(news, News::Notice(Notice::StreamStarted { .. }));
                        Ok(())
                    }
                    Err(why) => Err(failed(format!("the client has {why}; {advice}"))),
                },
                () = &mut interrupt => Err(Failure::Interrupted(
                    "interrupted; what was bought is kept, the same command goes on from there".to_owned()
                )),
            };
            if is_agreed || end.is_err() || heard.fetched || heard.failed.is_some() {
                // For the receipt, should this run not be the one that finishes the purchase.
                known.extend(buyer.channels().await.unwrap_or_default());
                let so_far = earlier.clone().and(self.hash, heard, &buyer.evidence(), &known);
                end = end.and(
                    so_far
                        .write(dir, self.hash)
                        .map_err(|why| failed(format!("the purchase can't be noted: {why}; {advice}"))),
                );
            }
        }
        end?;
        let id = fetch_id(self.hash);
        // The content first: whatever happens to the channel, it is paid for. If it can't be put where it should be,
        // the channel is closed and the receipt kept all the same.
        let blobs = &buyer.party.blobs;
        let delivered = if !heard.fetched {
            Ok(())
        } else if heard.is_resumed && !deliver::is_whole(blobs, id, self.hash) {
            // What this run has heard was verified as it came; what an earlier one left has been on a disk since.
            Err(failed(format!(
                "the content in {} was verified and paid for, and has been damaged on the disk since then; see to that disk, \
                 then run it again to buy the content anew",
                blobs.download_path(id).display()
            )))
        } else {
            output.deliver(blobs, id)
        };
        // While the channel closes, the final voucher and the node's consent come in.
        let closing = tokio::time::timeout(CLOSING, self.close(buyer, heard, &mut known));
        let is_closed = tokio::select! {
            closed = closing => closed.unwrap_or(Ok(false)),
            () = &mut interrupt => return Err(Failure::Interrupted(
                "interrupted while the channel closes; `decdn client monitor` sees it through".to_owned()
            )),
        };
        if let Some(why) = heard.failed {
            return Err(heard.verdict(why, &self.peer, buyer.spending.is_refused(), buyer.chain.trouble()));
        }
        let evidence = buyer.evidence();
        let at = chosen.survey.deployment;
        let bought = earlier.and(self.hash, heard, &evidence, &known);
        let receipt = bought.receipt(self.hash, at, keys.account(), &offer.token);
        let paid = receipt.as_ref().map_or(heard.spent(), |receipt| Amount(receipt.paid));
        let receipt = receipt.map(|receipt| deliver::keep(&receipt, dir)).transpose();
        delivered?;
        let is_closed = is_closed?;
        let receipt = receipt.map_err(|why| {
            failed(format!(
                "the content is paid for and delivered, but its receipt can't be kept in {}: {why}; see to that disk before \
                 the next fetch",
                dir.display()
            ))
        })?;
        let place = match output {
            Output::Stdout => "standard output".to_owned(),
            Output::File(path) => path.display().to_string(),
        };
        heard.ear.say(format_args!("  content   {place}\n  paid      {}", shown(paid, &offer.token)));
        if let Some(path) = &receipt {
            heard.ear.say(format_args!("  receipt   {}", path.display()));
        }
        if !is_closed {
            heard.ear.say("  channel   not settled yet: `decdn client monitor` sees it through");
        }
        heard.ear.tell(&json!({
            "event": "done", "hash": self.hash.to_string(), "output": place, "paid": paid.to_string(),
            "receipt": receipt.as_ref().map(|path| path.display().to_string()), "settled": is_closed,
        }));
        Ok(())
    }

    /// Whether every channel that should close has settled; `false` where one waits for its window.
    async fn close(
        &self,
        buyer: &mut Buyer,
        heard: &mut Heard,
        known: &mut Vec<decdn_engine::record::Paying>,
    ) -> Result<bool, Failure> {
        loop {
            while let Ok(news) = buyer.party.news.try_recv() {
                // Nothing is bought any more: there is nothing to agree to.
                _ = heard.take(&news, &buyer.spending);
            }
            let channels = buyer.channels().await?;
            known.extend(channels.iter().copied());
            if !channels.iter().any(is_ending) {
                let is_waiting = |paying: &decdn_engine::record::Paying| {
                    paying.status == decdn_engine::record::ChannelStatus::Closing
                };
                return Ok(!channels.iter().any(is_waiting));
            }
            let news = buyer.hear(LOOK).await.map_err(|why| {
                failed(format!(
                    "the content is delivered, but the client has {why} before its channel was closed; see to the disk, then run \
                     `decdn client monitor`"
                ))
            })?;
            news.iter().for_each(|news| _ = heard.take(news, &buyer.spending));
        }
    }
}
