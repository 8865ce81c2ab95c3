//! `decdn devnet`: the embedded chain as a program of its own, and the levers of one that runs.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use alloy_primitives::{Address, B256, U256, hex};
use alloy_rpc_client::{ClientBuilder, RpcClient};
use clap::{Args, Subcommand};
use decdn_contracts::{EthKey, Genesis, Profile, token};
use decdn_driver::Clock;
use decdn_engine::money::Amount;
use serde_json::{Value, json};

use super::{
    Failure, failed,
    outcome::{input, interrupted, keyed},
    settings::address,
    talk::{self, Ear},
};
use crate::{
    clock::SystemClock,
    config::{Tokens, in_tokens},
    devnet::Devnet,
    keys::Keys,
};

/// Accounts with money, for experiments with `cast`.
const ACCOUNTS: u8 = 3;
/// What each has, in tokens.
const PURSE: u128 = 1_000_000;
const DEFAULT_PORT: u16 = 8545;

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct DevnetArgs {
    #[command(flatten)]
    run: RunArgs,
    #[command(subcommand)]
    lever: Option<Lever>,
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Where to serve on loopback; 0 takes any port that is free.
    #[arg(long, default_value_t = DEFAULT_PORT, env = "DECDN_DEVNET_PORT")]
    port: u16,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct At {
    /// The devnet.
    #[arg(long, env = "DECDN_RPC", default_value_t = format!("http://127.0.0.1:{DEFAULT_PORT}"), value_name = "URL")]
    rpc: String,
}

#[derive(Debug, Subcommand)]
enum Lever {
    /// List a key file's node in the registry.
    List {
        /// Whose.
        key_file: PathBuf,
        #[command(flatten)]
        at: At,
    },
    /// Give an account, or a key file's, test USDC.
    Mint {
        /// An address or a key file.
        to: String,
        /// How many tokens.
        amount: Tokens,
        #[command(flatten)]
        at: At,
    },
    /// Let time jump ahead, for the chain and for everybody who follows its clock.
    Warp {
        /// How many seconds.
        seconds: u64,
        #[command(flatten)]
        at: At,
    },
    /// Make the next block now.
    Mine {
        #[command(flatten)]
        at: At,
    },
    /// Let the sequencer ignore these accounts; none to end it.
    Censor {
        /// Whom.
        #[arg(value_parser = address)]
        accounts: Vec<Address>,
        #[command(flatten)]
        at: At,
    },
    /// Force a transaction out of the delayed inbox.
    Force {
        /// Its hash.
        transaction: B256,
        #[command(flatten)]
        at: At,
    },
    /// Stop the sequencer.
    Stop {
        #[command(flatten)]
        at: At,
    },
    /// Start the sequencer again.
    Start {
        #[command(flatten)]
        at: At,
    },
    /// Set the base fee.
    BaseFee {
        /// In wei per unit of gas.
        wei: u64,
        #[command(flatten)]
        at: At,
    },
    /// Say how it stands.
    Status {
        #[command(flatten)]
        at: At,
    },
}

pub(super) async fn run(args: DevnetArgs) -> Result<(), Failure> {
    match args.lever {
        Some(lever) => super::outcome::unless_interrupted(pull(lever)).await,
        None => serve(&args.run).await,
    }
}

/// The key of a devnet's account: known to everybody, so worth nothing anywhere else.
fn key(n: u8) -> EthKey {
    let mut hasher = blake3::Hasher::new_derive_key("deCDN devnet account");
    hasher.update(&[n]);
    EthKey::from_secret(*hasher.finalize().as_bytes()).expect("a hash is a key but once in 2^128")
}

fn secret(n: u8) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("deCDN devnet account");
    hasher.update(&[n]);
    hex::encode_prefixed(hasher.finalize().as_bytes())
}

async fn serve(args: &RunArgs) -> Result<(), Failure> {
    let genesis = Genesis::standard();
    let clock = SystemClock::new();
    let profile = Profile { genesis: clock.genesis(), ..Profile::arbitrum() };
    let ticks = clock.clone();
    let ticks = Arc::new(move || ticks.now().mono);
    let port = args.port;
    let devnet =
        Devnet::start_owned(genesis.clone(), key(0), profile, ticks, port).await.map_err(|error| {
            failed(format!(
                "port {port} on loopback can't be used: {error}; choose another with --port, 0 for any"
            ))
        })?;
    let at = devnet.deployment();
    let tokens: Vec<(Address, &str, u8)> = genesis
        .token_addresses()
        .zip(&genesis.tokens)
        .map(|(address, t)| (address, t.symbol, t.decimals))
        .collect();
    for n in 0..ACCOUNTS {
        for (token, _, decimals) in &tokens {
            let amount = Amount(PURSE * 10u128.pow((*decimals).into()));
            let mint = token::Setup::Mint { token: *token, to: key(n).address(), amount }.into();
            devnet.setup(&mint).map_err(|why| failed(format!("the token would not mint: {why:?}")))?;
        }
    }
    if args.json {
        let accounts: Vec<Value> =
            (0..ACCOUNTS).map(|n| json!({ "address": key(n).address(), "secret": secret(n) })).collect();
        let tokens: Vec<Value> =
            tokens.iter().map(|(a, s, d)| json!({ "symbol": s, "address": a, "decimals": d })).collect();
        talk::line(json!({
            "event": "ready", "rpc": devnet.url(), "ws": devnet.url().replace("http", "ws"), "chain_id": at.chain_id,
            "contract": at.payment_channel, "registry": at.registry, "judge": at.judge, "tokens": tokens,
            "accounts": accounts,
        }))?;
    } else {
        let mut text = format!(
            "rpc       {0}  (WebSocket: {1})\nchain id  {2}\ncontract  {3}\nregistry  {4}\njudge     {5}",
            devnet.url(),
            devnet.url().replace("http", "ws"),
            at.chain_id,
            at.payment_channel,
            at.registry,
            at.judge
        );
        for (address, symbol, _) in &tokens {
            text += &format!("\ntoken     {address}  {symbol}");
        }
        for n in 0..ACCOUNTS {
            let owner = if n == 0 { "  (owns the contracts)" } else { "" };
            text += &format!("\naccount   {}  {}{owner}", key(n).address(), secret(n));
        }
        let symbols: Vec<&str> = tokens.iter().map(|(_, symbol, _)| *symbol).collect();
        text += &format!(
            "\nEach account has {PURSE} {} and ether. Everybody knows these keys, and nothing here is worth anything.",
            symbols.join(", ")
        );
        talk::line(text)?;
    }
    tracing::info!(rpc = devnet.url(), "the devnet serves");
    interrupted().await;
    Err(Failure::Interrupted("interrupted; the devnet and all its money are gone".to_owned()))
}

async fn pull(lever: Lever) -> Result<(), Failure> {
    let (at, method, params) = match lever {
        Lever::List { key_file, at } => {
            let keys = Keys::load(&key_file).map_err(keyed)?;
            (at, "decdn_setNode", json!([keys.account(), B256::from(keys.node().0)]))
        }
        Lever::Mint { to, amount, at } => {
            let account = match to.parse() {
                Ok(account) => account,
                Err(_) => Keys::load(to.as_ref()).map_err(keyed)?.account(),
            };
            let genesis = Genesis::standard();
            let spec = genesis.tokens.first().ok_or_else(|| failed("the devnet has no token"))?;
            let units = amount.in_units(spec.decimals).ok_or_else(|| {
                input(format!("{amount} has more than {} decimals; write fewer", spec.decimals))
            })?;
            Ear::People.say(format_args!(
                "{} {} for {account}",
                in_tokens(units, spec.decimals),
                spec.symbol
            ));
            (at, "decdn_mint", json!([genesis.token(0), account, U256::from(units.0)]))
        }
        Lever::Warp { seconds, at } => (at, "decdn_warp", json!([seconds])),
        Lever::Mine { at } => (at, "decdn_mine", json!([])),
        Lever::Censor { accounts, at } => {
            let accounts: BTreeSet<Address> = accounts.into_iter().collect();
            (at, "decdn_censor", json!([accounts]))
        }
        Lever::Force { transaction, at } => (at, "decdn_forceInclude", json!([transaction])),
        Lever::Stop { at } => (at, "decdn_sequencer", json!([false])),
        Lever::Start { at } => (at, "decdn_sequencer", json!([true])),
        Lever::BaseFee { wei, at } => (at, "decdn_setBaseFee", json!([format!("{wei:#x}")])),
        Lever::Status { at } => (at, "decdn_status", json!([])),
    };
    let client = client(&at.rpc)?;
    let answer: Value =
        client.request(method, params).await.map_err(|error| match error.as_error_resp() {
            Some(refusal) => {
                failed(format!("{} refused {method}: {}; is it a decdn devnet?", at.rpc, refusal.message))
            }
            None => Failure::Again(format!(
                "no devnet answers at {}; start one with `decdn devnet`, or name another with --rpc",
                at.rpc
            )),
        })?;
    // What a transaction was sent for has to be in a block before anybody relies on it.
    if let (true, Some(hash)) = (matches!(method, "decdn_setNode" | "decdn_mint"), answer.as_str()) {
        for _ in 0..100 {
            let receipt: Value =
                client.request("eth_getTransactionReceipt", (hash,)).await.map_err(failed)?;
            match receipt["status"].as_str() {
                Some("0x1") => return talk::line(format_args!("done, in transaction {hash}")),
                Some(_) => return Err(failed(format!("transaction {hash} was reverted"))),
                None => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
        return Err(Failure::Again(format!(
            "transaction {hash} is in no block yet; is the sequencer stopped?"
        )));
    }
    talk::line(answer)
}

fn client(url: &str) -> Result<RpcClient, Failure> {
    let url = url
        .parse()
        .map_err(|_| input(format!("{url:?} is no URL; a devnet's looks like http://127.0.0.1:8545")))?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    Ok(ClientBuilder::default().http(url))
}
