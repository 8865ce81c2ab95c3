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
mod riser;
mod stale_closer;
mod stranger;
mod vanisher;

use std::collections::BTreeMap;

use decdn_engine::roles::Config;
use serde::Deserializer;

use self::{
    mask::{Hand, Masked},
    payer::{Payer, Ploy},
};
use crate::{actor::Actor, cast::Part, names};

/// What a scenario says under `with`.
#[derive(Clone, Debug, Default)]
pub struct With(BTreeMap<String, u64>);

impl With {
    /// A number of the scenario's, or what it is where the scenario is silent.
    pub fn or(&self, name: &str, default: u64) -> u64 {
        self.0.get(name).copied().unwrap_or(default)
    }
}

/// A kind of adversary.
#[derive(Clone, Copy, Debug)]
pub struct Adversary {
    /// Its name in scenarios.
    pub name: &'static str,
    /// What it is, in one clause.
    pub does: &'static str,
    /// What it has to be, if not anything.
    pub part: Option<Part>,
    /// What a scenario may tell it under `with`.
    pub takes: &'static [&'static str],
    build: fn(Config, &With) -> Box<dyn Actor>,
}

/// What a payer that steals takes.
const EXIT: &[&str] = &["close_at_secs", "early_settles", "belittles"];

const fn kind(
    name: &'static str,
    does: &'static str,
    part: Option<Part>,
    takes: &'static [&'static str],
    build: fn(Config, &With) -> Box<dyn Actor>,
) -> Adversary {
    Adversary { name, does, part, takes, build }
}

const fn node(
    name: &'static str,
    does: &'static str,
    takes: &'static [&'static str],
    build: fn(Config, &With) -> Box<dyn Actor>,
) -> Adversary {
    kind(name, does, Some(Part::Node), takes, build)
}

const fn thief(
    name: &'static str,
    does: &'static str,
    build: fn(Config, &With) -> Box<dyn Actor>,
) -> Adversary {
    kind(name, does, Some(Part::Client), EXIT, build)
}

/// The kinds there are.
#[rustfmt::skip]
pub const KINDS: &[Adversary] = &[
    thief("after-final", "a client that goes on asking after the consent to a close",
        |role, with| steal(role, after_final::AfterFinal::default(), with)),
    node("bad-byte", "a node that flips a byte of a group", &["groups"],
        |role, with| mask(role, bad_byte::BadByte::new(with))),
    node("bait", "a node that quotes less than it charges", &["part"],
        |role, with| mask(role, bait::Bait::new(with))),
    kind("borrower", "a client that asks for bytes on somebody else's channel", Some(Part::Client), &["bends"],
        |role, with| mask(role, borrower::Borrower::new(with))),
    thief("cadence-hop", "a client that never pays and hops from stream to stream",
        |role, with| steal(role, cadence_hop::CadenceHop::default(), with)),
    thief("equal-nonce", "a client that signs a nonce twice",
        |role, with| steal(role, equal_nonce::EqualNonce, with)),
    thief("fast-stop", "a client that never pays",
        |role, with| steal(role, fast_stop::FastStop, with)),
    thief("forged-consent", "a client that settles at zero with a consent of its own making",
        |role, with| steal(role, forged_consent::ForgedConsent::default(), with)),
    thief("forger", "a client whose vouchers are not what it signed",
        |role, with| steal(role, forger::Forger, with)),
    node("lowballer", "a node that closes at zero", &["close_at_secs"],
        |role, with| mask(role, lowballer::Lowballer::new(with))),
    thief("nonce-jump", "a client that skips to the last nonce",
        |role, with| steal(role, nonce_jump::NonceJump::default(), with)),
    node("over-claimer", "a node that claims the deposit with vouchers that nobody signed", &[],
        |role, _| mask(role, over_claimer::OverClaimer::new())),
    thief("over-spender", "a client whose vouchers repeat, fall or exceed the deposit",
        |role, with| steal(role, over_spender::OverSpender, with)),
    node("riser", "a node that quotes more from a time on", &["from_secs", "percent"],
        |role, with| mask(role, riser::Riser::new(with))),
    thief("stale-closer", "a client that pays, then closes at zero",
        |role, with| steal(role, stale_closer::StaleCloser, with)),
    kind("stranger", "somebody who tries all calls on other people's channels", None, &["tries"],
        |role, with| { let account = role.account(); mask(role, stranger::Stranger::new(account, with)) }),
    node("vanisher", "a node that stops for good", &["groups"],
        |role, with| mask(role, vanisher::Vanisher::new(with))),
];

/// Reads a kind's name.
pub(crate) fn by_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'static Adversary>, D::Error> {
    names::one_of(deserializer, "adversary", KINDS, |kind| kind.name).map(Some)
}

/// Somebody of a kind, who is or pretends to be this role, and is told what the scenario says under `with`.
pub fn build(kind: &Adversary, mut role: Config, with: BTreeMap<String, u64>) -> Box<dyn Actor> {
    if let Config::Client(config) = &mut role {
        // Its own monitor would put right what it does wrong.
        config.monitor.enabled = false;
    }
    (kind.build)(role, &With(with))
}

fn mask(role: Config, hand: impl Hand + 'static) -> Box<dyn Actor> {
    Box::new(Masked::new(role, hand))
}

fn steal(role: Config, ploy: impl Ploy + 'static, with: &With) -> Box<dyn Actor> {
    mask(role, Payer::new(ploy, with))
}
