//! Actors that are not honest, one file each. They speak the wire like anybody else: each wears an honest role and
//! bends what goes in or comes out (`mask`); payers that steal share `payer` and leave by `exit`.

mod after_final;
mod bad_byte;
mod bait;
mod borrower;
mod cadence_hop;
mod calls;
mod equal_nonce;
mod exit;
mod extra;
mod fast_stop;
mod forged_consent;
mod forger;
mod lowballer;
mod mask;
mod nonce_jump;
mod over_claimer;
mod over_spender;
mod payer;
mod stale_closer;
mod stranger;
mod vanisher;

use std::collections::BTreeMap;

use decdn_engine::roles::config::{ClientConfig, NodeConfig};

use self::{
    mask::Masked,
    payer::{Payer, Ploy},
};
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
    ("after-final", "a client that goes on asking after the consent to a close"),
    ("bad-byte", "a node that flips a byte of a group"),
    ("bait", "a node that quotes less than it charges"),
    ("borrower", "a client that asks for bytes on somebody else's channel"),
    ("cadence-hop", "a client that never pays and hops from stream to stream"),
    ("equal-nonce", "a client that signs a nonce twice"),
    ("fast-stop", "a client that never pays"),
    ("forged-consent", "a client that settles at zero with a consent of its own making"),
    ("forger", "a client whose vouchers are not what it signed"),
    ("lowballer", "a node that closes at zero"),
    ("nonce-jump", "a client that skips to the last nonce"),
    ("over-claimer", "a node that claims the deposit with vouchers that nobody signed"),
    ("over-spender", "a client whose vouchers repeat, fall or exceed the deposit"),
    ("stale-closer", "a client that pays, then closes at zero"),
    ("stranger", "somebody who tries all calls on other people's channels"),
    ("vanisher", "a node that stops for good"),
];

/// What a scenario may say under `with` to a kind.
pub fn options(kind: &str) -> &'static [&'static str] {
    match kind {
        "bad-byte" | "vanisher" => &["groups"],
        "bait" => &["part"],
        "borrower" => &["bends"],
        "lowballer" => &["close_at_secs"],
        "over-claimer" => &[],
        "stranger" => &["tries"],
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
    let account = match &role {
        RoleConfig::Client(config) => config.account,
        RoleConfig::Node(config) => config.account,
    };
    Some(match kind {
        "after-final" => steal(role, after_final::AfterFinal::default(), &with),
        "bait" => Box::new(Masked::new(role, bait::Bait::new(&with))),
        "borrower" => Box::new(Masked::new(role, borrower::Borrower::new(&with))),
        "bad-byte" => Box::new(Masked::new(role, bad_byte::BadByte::new(&with))),
        "cadence-hop" => steal(role, cadence_hop::CadenceHop::default(), &with),
        "equal-nonce" => steal(role, equal_nonce::EqualNonce, &with),
        "fast-stop" => steal(role, fast_stop::FastStop, &with),
        "forged-consent" => steal(role, forged_consent::ForgedConsent::default(), &with),
        "forger" => steal(role, forger::Forger, &with),
        "lowballer" => Box::new(Masked::new(role, lowballer::Lowballer::new(&with))),
        "nonce-jump" => steal(role, nonce_jump::NonceJump::default(), &with),
        "over-claimer" => Box::new(Masked::new(role, over_claimer::OverClaimer::new())),
        "over-spender" => steal(role, over_spender::OverSpender, &with),
        "stale-closer" => steal(role, stale_closer::StaleCloser, &with),
        "stranger" => Box::new(Masked::new(role, stranger::Stranger::new(account, &with))),
        "vanisher" => Box::new(Masked::new(role, vanisher::Vanisher::new(&with))),
        _ => return None,
    })
}

fn steal(role: RoleConfig, ploy: impl Ploy + 'static, with: &With) -> Box<dyn Actor> {
    Box::new(Masked::new(role, Payer::new(ploy, with)))
}
