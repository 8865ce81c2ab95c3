//! A client that runs, and where it has met its nodes.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy_primitives::Address;
use decdn_engine::{
    chain::UNSEEN,
    ids::NodeId,
    money::Amount,
    record::{ChannelStatus, Paying, Record},
    roles::{Config, config::ClientConfig},
};
use serde::{Deserialize, Serialize};

use super::super::{
    Failure,
    outcome::started,
    settings::{Chosen, Peer, Recording},
};
use crate::{
    chain::{AlloyChain, Purse, Spending},
    keys::Keys,
    party::{News, Parts, Party},
    signer::KeySigner,
    transport::{Evidence, Witness},
};

/// Names of the file in the state directory that says where nodes are.
const BOOK: &str = "peers.json";
/// How long a party may take to stop.
const STOP: Duration = Duration::from_secs(5);

/// Where nodes are, who they are. Only a convenience: without it a node can't be asked to close a channel, and the
/// channel is closed alone.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Book(BTreeMap<String, Vec<SocketAddr>>);

impl Book {
    pub(super) fn read(dir: &Path) -> Self {
        let text = fs::read(dir.join(BOOK)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn note(&mut self, peer: &Peer) {
        self.0.insert(peer.node.to_string(), vec![peer.addr]);
    }

    pub(super) fn write(&self, dir: &Path) -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(&serde_json::to_vec(self).map_err(std::io::Error::other)?)?;
        file.persist(dir.join(BOOK)).map_err(|error| error.error)?;
        Ok(())
    }

    /// Some address that is known.
    pub(super) fn any(&self) -> Option<SocketAddr> {
        self.0.values().flatten().next().copied()
    }

    fn entries(&self) -> impl Iterator<Item = (NodeId, Vec<SocketAddr>)> + '_ {
        self.0
            .iter()
            .filter_map(|(node, addrs)| Some((super::super::settings::node_id(node).ok()?, addrs.clone())))
    }
}

/// An address of ours from which that one can be reached.
pub(super) fn local_for(peer: Option<SocketAddr>) -> SocketAddr {
    let ip: IpAddr = match peer.map(|peer| peer.ip()) {
        Some(IpAddr::V4(ip)) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        Some(IpAddr::V6(ip)) if ip.is_loopback() => Ipv6Addr::LOCALHOST.into(),
        Some(IpAddr::V6(_)) => Ipv6Addr::UNSPECIFIED.into(),
        Some(IpAddr::V4(_)) | None => Ipv4Addr::UNSPECIFIED.into(),
    };
    SocketAddr::new(ip, 0)
}

/// A running client.
pub(super) struct Buyer {
    pub(super) party: Party,
    pub(super) chain: AlloyChain,
    pub(super) spending: Spending,
    seen: Arc<Mutex<Evidence>>,
}

impl Buyer {
    /// Starts a client on its parts with these records.
    pub(super) async fn start(
        chosen: &Chosen,
        keys: &Keys,
        mut parts: Parts,
        records: Vec<Record>,
        book: &Book,
        (cap, least, decimals): (Amount, Amount, &[(Address, u8)]),
        recording: &Recording,
    ) -> Result<Self, Failure> {
        for (node, addrs) in book.entries() {
            parts.transport.learn(node, addrs);
        }
        let deployment = chosen.survey.deployment;
        let mut config = ClientConfig::new(deployment, keys.node(), keys.account());
        config.start_block = chosen.chain.start_block;
        config.decimals = decimals.to_vec();
        config.monitor = chosen.monitor;
        // What the command line allows is the yes, and it is said where the price is shown.
        config.asks = true;
        // Only what was asked for now goes on, with the terms that were given now (D17).
        config.resumes = false;
        let clock = chosen.clock().await?;
        let role = recording.begin(&mut parts, Config::Client(config), &records)?;
        let chain = chosen.port(keys.eth())?;
        let purse = Purse::new(chain.clone(), cap, least);
        let spending = purse.spending();
        let signer = KeySigner::new(keys.eth().clone(), deployment);
        let seen: Arc<Mutex<Evidence>> = Arc::default();
        let sees = seen.clone();
        let party =
            Party::start_over(role, parts, clock, purse, signer, |transport| Witness::new(transport, sees));
        Ok(Self { party, chain, spending, seen })
    }

    /// What was signed so far.
    pub(super) fn evidence(&self) -> Evidence {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The channels that are not settled.
    pub(super) async fn channels(&self) -> Result<Vec<Paying>, Failure> {
        let mut left = paying(&self.party.load().await.map_err(started)?);
        left.retain(|paying| !self.party.has_settled(&paying.channel));
        Ok(left)
    }

    /// What the client tells within this time, if anything.
    ///
    /// # Errors
    /// Why it has stopped.
    pub(super) async fn hear(&mut self, time: Duration) -> Result<Option<News>, String> {
        match tokio::time::timeout(time, self.party.next()).await {
            Ok(news) => news.map(Some),
            Err(_) => Ok(None),
        }
    }

    pub(super) async fn stop(mut self) {
        if tokio::time::timeout(STOP, self.party.stop()).await.is_err() {
            tracing::warn!("the client did not stop in time; what is durable is safe");
        }
    }
}

/// The paying channels among records.
pub(super) fn paying(records: &[Record]) -> Vec<Paying> {
    let only = records.iter().filter_map(|record| match record {
        Record::Paying(paying) => Some(*paying),
        _ => None,
    });
    only.collect()
}

/// Whether a channel is on its way to its end but not on chain as closing yet.
pub(super) fn is_ending(paying: &Paying) -> bool {
    match paying.status {
        ChannelStatus::Open => !paying.is_kept,
        ChannelStatus::Final | ChannelStatus::Ending => true,
        ChannelStatus::Closing | ChannelStatus::Idle | ChannelStatus::Forgone => false,
    }
}

/// The block of its opening, if that was read since the chain last took something back.
pub(super) fn opened_at(paying: &Paying) -> Option<u64> {
    Some(paying.opened_at_block).filter(|block| *block != UNSEEN)
}

/// A channel for programs.
pub(super) fn as_json(paying: &Paying) -> serde_json::Value {
    serde_json::json!({
        "channel": paying.channel.to_string(),
        "node": paying.node.to_string(),
        "counterparty": paying.operator,
        "token": paying.token,
        "deposit": paying.deposit.to_string(),
        "opened_at_block": opened_at(paying),
        "latest_voucher": { "amount": paying.amount.to_string(), "nonce": paying.nonce.0 },
        "status": status(paying),
        "kept": paying.is_kept,
    })
}

pub(super) fn status(paying: &Paying) -> &'static str {
    match paying.status {
        ChannelStatus::Open => "open",
        ChannelStatus::Idle => "idle",
        ChannelStatus::Final | ChannelStatus::Ending => "ending",
        ChannelStatus::Closing => "closing",
        ChannelStatus::Forgone => "forgone",
    }
}

/// Channels with this token and node that more can be bought on.
pub(super) fn usable(channels: &[Paying], token: Address, nodes: &[NodeId]) -> bool {
    channels.iter().any(|paying| {
        paying.status == ChannelStatus::Open
            && paying.token == token
            && nodes.contains(&paying.node)
            && paying.amount < paying.deposit
    })
}
