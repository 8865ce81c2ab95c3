//! Actors that are not honest, one file each. They speak the wire like anybody else: each wears an honest role and
//! bends what goes in or comes out (`mask`); payers that steal leave by `exit`.

mod bad_byte;
mod cadence_hop;
mod equal_nonce;
mod exit;
mod extra;
mod fast_stop;
mod forger;
mod lowballer;
mod mask;
mod nonce_jump;
mod over_spender;
mod stale_closer;
mod vanisher;

use std::collections::BTreeMap;

use decdn_engine::roles::config::{ClientConfig, NodeConfig};

use self::mask::Masked;
use crate::actor::Actor;

/// What an adversary may start from.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The configuration of the role that it is, or pretends to be.
    pub role: RoleConfig,
    /// What the scenario says under `with`, drawn for this run.
    pub with: BTreeMap<String, u64>,
}

/// An honest role's configuration.
#[derive(Clone, Debug)]
pub enum RoleConfig {
    /// Of a client.
    Client(ClientConfig),
    /// Of a node.
    Node(NodeConfig),
}

/// What a scenario says under `with`.
#[derive(Clone, Debug, Default)]
pub struct With(BTreeMap<String, u64>);

impl With {
    /// A number of the scenario's, or what it is where the scenario is silent.
    pub fn or(&self, name: &str, default: u64) -> u64 {
        self.0.get(name).copied().unwrap_or(default)
    }
}

/// The kinds there are, with what each does in one clause.
pub const KINDS: &[(&str, &str)] = &[
    ("bad-byte", "a node that flips a byte of a group"),
    ("cadence-hop", "a client that never pays and hops from stream to stream"),
    ("equal-nonce", "a client that signs a nonce twice"),
    ("fast-stop", "a client that never pays"),
    ("forger", "a client whose vouchers are not what it signed"),
    ("lowballer", "a node that closes at zero"),
    ("nonce-jump", "a client that skips to the last nonce"),
    ("over-spender", "a client whose vouchers repeat, fall or exceed the deposit"),
    ("stale-closer", "a client that pays, then closes at zero"),
    ("vanisher", "a node that stops for good"),
];

/// What a scenario may say under `with` to a kind.
pub fn options(kind: &str) -> &'static [&'static str] {
    match kind {
        "bad-byte" | "vanisher" => &["groups"],
        "lowballer" => &["close_at_secs"],
        _ => &["close_at_secs", "early_settles", "belittles"],
    }
}

/// An adversary of a kind; `None` where there is no such kind.
pub fn build(kind: &str, setup: Setup) -> Option<Box<dyn Actor>> {
    let (mut role, with) = (setup.role, With(setup.with));
    if let RoleConfig::Client(config) = &mut role {
        // Its own monitor would put right what it does wrong.
        config.monitor.enabled = false;
    }
    Some(match kind {
        "bad-byte" => Box::new(Masked::new(role, bad_byte::BadByte::new(&with))),
        "cadence-hop" => Box::new(Masked::new(role, cadence_hop::CadenceHop::new(&with))),
        "equal-nonce" => Box::new(Masked::new(role, equal_nonce::EqualNonce::new(&with))),
        "fast-stop" => Box::new(Masked::new(role, fast_stop::FastStop::new(&with))),
        "forger" => Box::new(Masked::new(role, forger::Forger::new(&with))),
        "lowballer" => Box::new(Masked::new(role, lowballer::Lowballer::new(&with))),
        "nonce-jump" => Box::new(Masked::new(role, nonce_jump::NonceJump::new(&with))),
        "over-spender" => Box::new(Masked::new(role, over_spender::OverSpender::new(&with))),
        "stale-closer" => Box::new(Masked::new(role, stale_closer::StaleCloser::new(&with))),
        "vanisher" => Box::new(Masked::new(role, vanisher::Vanisher::new(&with))),
        _ => return None,
    })
}
