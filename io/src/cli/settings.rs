//! What several commands are told alike: where state and keys are, which chain, which token.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use alloy_primitives::{Address, hex};
use clap::Args;
use decdn_contracts::{EthKey, Genesis};
use decdn_engine::{
    chain::quorum::ENDPOINTS,
    dispute::Monitor,
    ids::{BlobHash, ChannelId, NodeId},
    money::Amount,
    record::Record,
    roles::{AnyRole, Config, Role as _},
    time::Span,
};
use futures::{StreamExt, stream, stream::BoxStream};
use serde_json::json;

use super::{
    Failure, failed,
    outcome::{configured, input, keyed, surveyed},
    talk::Ear,
};
use crate::{
    chain::{
        self, AlloyChain, Inbox, Survey, Token,
        inbox::{self, DelayedInbox, Funds, Pace},
    },
    clock::SystemClock,
    config::{self, File, Tokens},
    keys::{KeyError, Keys},
    party::Parts,
};

/// The files of a party.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The configuration; without it decdn.toml here, if there is one.
    #[arg(long, env = "DECDN_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where records, blobs and downloads are: one process at a time.
    #[arg(long, env = "DECDN_STATE_DIR", value_name = "DIR")]
    state_dir: Option<PathBuf>,
    /// The key file: `decdn key new` makes one.
    #[arg(long, env = "DECDN_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// What is written down for `cargo sim replay`.
#[derive(Debug, Args)]
pub(super) struct Recording {
    /// Record everything that is decided from here on, in a new file that `cargo sim replay` reads.
    #[arg(long = "record", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Recording {
    /// The role that these records make; from here on it is recorded, where that is wanted.
    pub(super) fn begin(
        &self,
        parts: &mut Parts,
        config: Config,
        records: &[Record],
    ) -> Result<AnyRole, Failure> {
        let mut role = AnyRole::recover(config.clone(), records.iter().cloned());
        let Some(file) = &self.file else { return Ok(role) };
        let shown = file.display();
        parts.record(file, config, records, role.digest()).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                input(format!("{shown} exists already and is left as it is; name another file to --record"))
            }
            _ => failed(format!("{shown} can't be recorded to: {error}; check path, permissions and disk")),
        })?;
        Ok(role)
    }
}

impl Place {
    pub(super) fn file(&self) -> Result<File, Failure> {
        File::find(self.config.as_deref()).map_err(configured)
    }

    pub(super) fn state_dir(&self, file: &File) -> PathBuf {
        let chosen = self.state_dir.clone().or_else(|| file.state_dir.clone());
        chosen.unwrap_or_else(|| PathBuf::from("decdn-state"))
    }

    pub(super) fn keys(&self, file: &File) -> Result<Keys, Failure> {
        let chosen = self.key_file.clone().or_else(|| file.key_file.clone());
        Keys::load(&chosen.unwrap_or_else(|| PathBuf::from("decdn.key"))).map_err(keyed)
    }
}

/// The chain.
#[derive(Debug, Args)]
pub(super) struct ChainArgs {
    /// An RPC endpoint; several, separated by commas, stand in for each other.
    #[arg(long, env = "DECDN_RPC", value_name = "URL", value_delimiter = ',')]
    rpc: Vec<String>,
    /// The payment channel contract.
    #[arg(long, env = "DECDN_CONTRACT", value_name = "ADDRESS", value_parser = address)]
    contract: Option<Address>,
    /// The chain id that the endpoint has to have.
    #[arg(long, env = "DECDN_CHAIN_ID", value_name = "ID")]
    chain_id: Option<u64>,
    /// The slashing judge, whose address both sides have to configure alike.
    #[arg(long, env = "DECDN_JUDGE", value_name = "ADDRESS", value_parser = address)]
    judge: Option<Address>,
    /// An RPC endpoint of the L1, where disputes are forced; several, separated by commas, stand in for each other.
    #[arg(long, env = "DECDN_L1_RPC", value_name = "URL", value_delimiter = ',')]
    l1_rpc: Vec<String>,
    /// The chain id that the L1's endpoint has to have.
    #[arg(long, env = "DECDN_L1_CHAIN_ID", value_name = "ID")]
    l1_chain_id: Option<u64>,
    /// The chain's delayed inbox on the L1.
    #[arg(long, env = "DECDN_INBOX", value_name = "ADDRESS", value_parser = address)]
    inbox: Option<Address>,
    /// The key file of the account on the L1 that disputes are forced with: `decdn key new` makes one.
    #[arg(long, env = "DECDN_DISPUTE_KEY_FILE", value_name = "FILE")]
    dispute_key_file: Option<PathBuf>,
}

/// A chain that was looked at, and how to use it.
pub(super) struct Chosen {
    pub(super) survey: Survey,
    pub(super) urls: Vec<String>,
    pub(super) chain: chain::Config,
    pub(super) monitor: Monitor,
    /// The way around the sequencer, where one is configured.
    forced: Option<DelayedInbox>,
}

impl ChainArgs {
    /// Looks at the chain that is configured, for this account.
    pub(super) async fn choose(&self, file: &File, account: Address) -> Result<Chosen, Failure> {
        let urls = if self.rpc.is_empty() { file.chain.rpc.clone() } else { self.rpc.clone() };
        if urls.is_empty() {
            return Err(input("no RPC endpoint is named; give --rpc URL, or set DECDN_RPC or chain.rpc"));
        }
        let distinct: BTreeSet<&String> = urls.iter().collect();
        if distinct.len() < urls.len() {
            return Err(input(
                "an RPC endpoint is named twice; it would agree with itself, so name each once with --rpc",
            ));
        }
        if urls.len() > ENDPOINTS {
            return Err(input(format!(
                "{} RPC endpoints are named; name {ENDPOINTS} at most with --rpc",
                urls.len()
            )));
        }
        let contract = self.contract.or(file.chain.contract).ok_or_else(|| {
            input("no payment channel contract is named; give --contract ADDRESS, or set DECDN_CONTRACT or chain.contract")
        })?;
        let chain_id = self.chain_id.or(file.chain.chain_id);
        let judge = self.judge.or(file.chain.judge).unwrap_or_else(|| Genesis::standard().deployment().judge);
        let survey = Survey::look(&urls, contract, chain_id, judge).await.map_err(surveyed)?;
        let monitor = Monitor {
            enabled: file.dispute_monitor.enabled,
            poll: Span::from_secs(file.dispute_monitor.poll_interval_seconds),
            ..Monitor::default()
        };
        let urls = survey.answering.clone();
        if urls.len() == 1 && !survey.is_devnet {
            tracing::warn!(
                "one RPC endpoint is asked, and what it says of the chain is believed; with a second and a third --rpc two have \
                 to agree before money moves"
            );
        }
        // A window that forced inclusion does not fit into protects nobody (G3).
        if survey.window.0 < monitor.forced_inclusion.0 + monitor.margin.0 {
            let hours = survey.window.0 / Span::from_hours(1).0;
            tracing::warn!(
                hours,
                "the dispute window is shorter than forced inclusion takes: a censored dispute is lost"
            );
        }
        let forced = self.forced(file, account, survey.deployment.chain_id).await?;
        let inbox = if survey.is_devnet { Inbox::Devnet } else { Inbox::None };
        let start_block = file.chain.start_block.unwrap_or_default();
        Ok(Chosen {
            survey,
            urls,
            chain: chain::Config { inbox, start_block, ..chain::Config::default() },
            monitor,
            forced,
        })
    }

    /// The way around the sequencer: configured as a whole, or not at all (L2).
    async fn forced(&self, file: &File, account: Address, l2: u64) -> Result<Option<DelayedInbox>, Failure> {
        let urls = if self.l1_rpc.is_empty() { &file.chain.l1_rpc } else { &self.l1_rpc };
        let inbox = self.inbox.or(file.chain.inbox);
        let key_file = self.dispute_key_file.as_ref().or(file.dispute_key_file.as_ref());
        let (inbox, key_file) = match (urls.is_empty(), inbox, key_file) {
            (true, None, None) => return Ok(None),
            (false, Some(inbox), Some(key_file)) => (inbox, key_file),
            (no_urls, inbox, key_file) => {
                let missing = [
                    no_urls.then_some("--l1-rpc URL"),
                    inbox.is_none().then_some("--inbox ADDRESS"),
                    key_file.is_none().then_some("--dispute-key-file FILE"),
                ];
                let missing = missing.into_iter().flatten().collect::<Vec<_>>().join(" and ");
                return Err(input(format!(
                    "disputes can be forced only with an L1 endpoint, the inbox there and a dispute key: give {missing} too, or \
                     none of them"
                )));
            }
        };
        let keys = Keys::load(key_file).map_err(|error| disputes(key_file, error))?;
        if keys.account() == account {
            return Err(input(format!(
                "the dispute key file {} holds the main account {account}, whose transactions would get in the way of forced \
                 disputes; make another key with `decdn key new` for --dispute-key-file",
                key_file.display()
            )));
        }
        let pace = Pace::default();
        let settings = inbox::Settings {
            urls: urls.clone(),
            inbox,
            chain_id: self.l1_chain_id.or(file.chain.l1_chain_id),
            pace,
        };
        let forced = DelayedInbox::look(&settings, l2, keys.eth().clone()).await.map_err(surveyed)?;
        Ok(Some(forced))
    }
}

/// A dispute key file that can't be used is told by the flag that it is for.
fn disputes(path: &Path, error: KeyError) -> Failure {
    match error {
        KeyError::Missing(_) => input(format!(
            "dispute key file {0} does not exist; make one with `decdn key new {0}` and send its account ether on the L1, or \
             name another with --dispute-key-file",
            path.display()
        )),
        other => keyed(other),
    }
}

impl Chosen {
    /// The chain for this account.
    pub(super) fn port(&self, key: &EthKey) -> Result<AlloyChain, Failure> {
        let (deployment, key, config) = (self.survey.deployment, key.clone(), self.chain.clone());
        Ok(match &self.forced {
            Some(forced) => AlloyChain::with_inbox(&self.urls, deployment, key, config, forced.clone())?,
            None => AlloyChain::over(&self.urls, deployment, key, config)?,
        })
    }

    /// Whether there is no way around the sequencer.
    pub(super) fn is_at_its_mercy(&self) -> bool {
        self.forced.is_none() && !self.survey.is_devnet
    }

    /// Tells a client what is at risk where disputes can't be forced.
    pub(super) fn tell_risk(&self, ear: Ear) {
        if self.is_at_its_mercy() {
            ear.say(
                "disputes can't be forced without --l1-rpc, --inbox and --dispute-key-file: while a sequencer ignores this account, a \
                 close below what it signed stands, and its node is paid less than it earned",
            );
            ear.tell(&json!({ "event": "no_forced_path" }));
        }
    }

    /// Checks that a dispute can be paid for on the L1. Who has something to defend goes on without, and is told.
    pub(super) async fn check_funds(&self, has_channels: bool) -> Result<(), Failure> {
        let Some(forced) = &self.forced else { return Ok(()) };
        match forced.check_funds().await {
            Err(why) if has_channels => tracing::error!(%why, "nothing can be forced until that is done"),
            other => other.map_err(surveyed)?,
        }
        Ok(())
    }

    /// Whether a dispute can be paid for on the L1, from now on; nothing where nothing is forced there.
    pub(super) fn funds(&self) -> BoxStream<'static, Funds> {
        self.forced.as_ref().map_or_else(|| stream::empty().boxed(), |forced| forced.funds().boxed())
    }

    /// A token by its symbol or address, that channels may use.
    pub(super) async fn token(&self, file: &File, name: &str) -> Result<Token, Failure> {
        self.survey.token(self.token_address(file, name)?).await.map_err(surveyed)
    }

    /// The address of a token by its symbol or address, whether or not channels may use it.
    pub(super) fn token_address(&self, file: &File, name: &str) -> Result<Address, Failure> {
        let genesis = Genesis::standard();
        let of_devnet = || {
            let index = genesis.tokens.iter().position(|token| token.symbol == name)?;
            genesis.token(index).filter(|_| self.survey.is_devnet)
        };
        let named =
            Address::from_str(name).ok().or_else(|| file.tokens.get(name).copied()).or_else(of_devnet);
        named.ok_or_else(|| {
            input(format!("token {name} is not known; add {name} = \"0x…\" to [tokens] in the configuration, or give its address"))
        })
    }

    /// The machine's clock; with a devnet, moved as its own is, now and from now on.
    pub(super) async fn clock(&self) -> Result<SystemClock, Failure> {
        let clock = SystemClock::new();
        if !self.survey.is_devnet {
            return Ok(clock);
        }
        let mut warped = self.survey.warped().await.map_err(surveyed)?;
        clock.warp(warped);
        let (survey, follower) = (self.survey.clone(), clock.clone());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                if let Ok(now) = survey.warped().await
                    && now > warped
                {
                    follower.warp(Span(now.0 - warped.0));
                    warped = now;
                }
            }
        });
        Ok(clock)
    }
}

/// An amount in base units; `what` names it.
pub(super) fn units(what: &str, tokens: &Tokens, token: &Token) -> Result<Amount, Failure> {
    tokens.in_units(token.decimals).ok_or_else(|| {
        let (symbol, decimals) = (&token.symbol, token.decimals);
        input(format!(
            "{what} {tokens} is no amount of {symbol}, which has {decimals} decimals; write fewer digits"
        ))
    })
}

/// An amount for people.
pub(super) fn shown(amount: Amount, token: &Token) -> String {
    format!("{} {}", config::in_tokens(amount, token.decimals), token.symbol)
}

/// A file that can be read.
pub(super) fn readable(path: &Path) -> Result<fs::File, Failure> {
    let shown = path.display();
    let file = fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => input(format!("{shown} does not exist; name another file")),
        _ => input(format!("{shown} can't be read ({error}); check its permissions, or name another file")),
    })?;
    if file.metadata()?.is_dir() {
        return Err(input(format!("{shown} is a directory; name a file in it")));
    }
    Ok(file)
}

pub(super) fn address(text: &str) -> Result<Address, String> {
    text.parse().map_err(|_| "an address is 0x and 40 hex digits".to_owned())
}

fn id32(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes).ok()?;
    Some(bytes)
}

pub(super) fn blob_hash(text: &str) -> Result<BlobHash, String> {
    id32(text)
        .map(BlobHash)
        .ok_or_else(|| "a hash is 64 hex digits, as `decdn hash FILE` prints them".to_owned())
}

pub(super) fn channel_id(text: &str) -> Result<ChannelId, String> {
    id32(text)
        .map(ChannelId)
        .ok_or_else(|| "a channel id is 64 hex digits, as `decdn client channels` prints them".to_owned())
}

pub(super) fn node_id(text: &str) -> Result<NodeId, String> {
    id32(text)
        .map(NodeId)
        .ok_or_else(|| "a NodeId is 64 hex digits, as `decdn key show FILE --node` prints them".to_owned())
}

/// A node and where it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Peer {
    pub(super) node: NodeId,
    pub(super) addr: SocketAddr,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "a peer is NODEID@ADDRESS:PORT, as `decdn node run` prints it".to_owned();
        let (node, addr) = text.split_once('@').ok_or_else(wanted)?;
        Ok(Self { node: node_id(node)?, addr: addr.parse().map_err(|_| wanted())? })
    }
}

/// A cadence in MB.
pub(super) fn cadence(text: &str) -> Result<u64, String> {
    let max = config::CADENCE_MB_MAX;
    text.parse().ok().filter(|mb| (1..=max).contains(mb)).ok_or_else(|| format!("a cadence is 1 to {max} MB"))
}
