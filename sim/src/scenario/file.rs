//! A scenario file as it is written: TOML, unknown keys refused. What it leaves out is drawn from a wide range.

use std::{cmp::Ordering, collections::BTreeMap, ops::Deref};

use decdn_contracts::bindings::selectors;
use serde::Deserialize;

use super::{accounts::Accounts, endpoint::Endpoints, event::Event, terms::Terms, tokens::TokenName};
use crate::{
    adversary::{self, Adversary},
    cast::Part,
    check::Liftable,
    decide::{Decisions, Label},
    names::names,
    report::{Probe, Quantity},
};

/// A word or formula of the file, and where it stands: what it names is looked up when the whole file is there.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "toml::Spanned<String>")]
pub struct Placed {
    text: String,
    /// Its first byte in the file.
    pub at: usize,
}

impl From<toml::Spanned<String>> for Placed {
    fn from(spanned: toml::Spanned<String>) -> Self {
        Self { at: spanned.span().start, text: spanned.into_inner() }
    }
}

impl Deref for Placed {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}
impl Eq for Placed {}
impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Placed {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

/// A number that a scenario pins, or leaves to each run within limits.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged, expecting = "a number, `{ min = …, max = … }`, or `{ any = […] }`")]
pub enum Pin {
    /// This, always.
    Is(u64),
    /// Anything between, both included.
    Between(Between),
    /// One of these.
    Any(Any),
    /// What was set for a run, in place of what the file says.
    #[serde(skip)]
    Set(Box<Set>),
}

/// See [`Pin::Set`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Set {
    /// What it is.
    pub to: Pin,
    /// What the file says: a run draws as often as it would for that, so that all else stays as it was.
    pub was: Pin,
}

/// See [`Pin::Between`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// The least.
    pub min: u64,
    /// The most.
    pub max: u64,
}

/// See [`Pin::Any`].
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Any {
    /// The options.
    pub any: Vec<u64>,
}

impl Pin {
    /// Between two numbers.
    pub const fn between(min: u64, max: u64) -> Self {
        Self::Between(Between { min, max })
    }

    /// This run's number.
    pub fn draw(&self, decide: &mut Decisions) -> u64 {
        let Self::Set(set) = self else { return self.draw_by(Label::Scenario, decide) };
        if set.was.is_open() && !set.to.is_open() {
            set.was.draw(decide);
        }
        let label = if set.was.is_open() { Label::Scenario } else { Label::Set };
        set.to.draw_by(label, decide)
    }

    fn draw_by(&self, label: Label, decide: &mut Decisions) -> u64 {
        match self {
            Self::Is(number) => *number,
            Self::Between(Between { min, max }) => decide.between(label, *min, *max),
            Self::Any(Any { any }) => {
                let at = decide.below(label, any.len() as u64) as usize;
                any.get(at).copied().unwrap_or(0)
            }
            Self::Set(set) => set.to.draw_by(label, decide),
        }
    }

    /// Whether a run has a choice.
    pub fn is_open(&self) -> bool {
        match self {
            Self::Any(Any { any }) => any.len() > 1,
            _ => self.least() < self.most(),
        }
    }

    /// The least it can be.
    pub fn least(&self) -> u64 {
        match self {
            Self::Is(number) => *number,
            Self::Between(Between { min, .. }) => *min,
            Self::Any(Any { any }) => any.iter().copied().min().unwrap_or(0),
            Self::Set(set) => set.to.least(),
        }
    }

    /// The most it can be.
    pub fn most(&self) -> u64 {
        match self {
            Self::Is(number) => *number,
            Self::Between(Between { max, .. }) => *max,
            Self::Any(Any { any }) => any.iter().copied().max().unwrap_or(0),
            Self::Set(set) => set.to.most(),
        }
    }
}

/// Whether faults go on for ever, or stop so that what is left must come to an end (O10).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Faults go on.
    Safety,
    /// Faults stop at `calm_secs`; then everything must end.
    #[default]
    Liveness,
}

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// What it shows, in one sentence.
    pub shows: String,
    /// See [`Mode`].
    #[serde(default)]
    pub mode: Mode,
    /// Simulated time at most.
    #[serde(default = "hours")]
    pub limit_hours: Pin,
    /// When faults stop.
    #[serde(default = "calm")]
    pub calm_secs: Pin,
    /// Whether channels that clients keep come to their end too, before a run is over: their nodes see to that (L3).
    #[serde(default)]
    pub kept_channels_end: bool,
    /// The most engine steps of a run.
    #[serde(default = "steps")]
    pub steps_max: u64,
    /// See [`Money`].
    #[serde(default)]
    pub money: Money,
    /// See [`Chain`].
    #[serde(default)]
    pub chain: Chain,
    /// Who takes part.
    pub actors: Vec<Actor>,
    /// How everybody is connected.
    #[serde(default)]
    pub link: Link,
    /// Pairs that are connected in another way.
    #[serde(default)]
    pub links: Vec<PairLink>,
    /// What is downloaded.
    pub fetches: Vec<Fetch>,
    /// What happens at a time of its own.
    #[serde(default)]
    pub events: Vec<Event>,
    /// Through which endpoints who reads the chain; one that is right where nothing is said.
    #[serde(default)]
    pub endpoints: Vec<Endpoints>,
    /// What must not be exceeded.
    #[serde(default)]
    pub bounds: Vec<BoundLine>,
    /// What everybody who is not honest may gain together (O14); a scenario with an adversary says it.
    #[serde(default)]
    pub profit: Option<ProfitLine>,
    /// Why honest parties' transactions may take more gas than everybody else's (O14): a scenario in which they do says it.
    #[serde(default)]
    pub griefing: Option<String>,
    /// What a sweep must reach: in at least one of its runs.
    #[serde(default)]
    pub probes: Vec<Probe>,
    /// See [`Lift`].
    #[serde(default)]
    pub lifts: Vec<Lift>,
}

fn hours() -> Pin {
    Pin::Is(24 * 14)
}
fn calm() -> Pin {
    Pin::Is(600)
}
/// Some ten times what the longest scenario takes: a run that spins ends within seconds.
fn steps() -> u64 {
    1_000_000
}

/// Prices and deposits, in base units of the test token.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Money {
    /// R: what nodes charge per MB.
    pub rate: Pin,
    /// The cadence that clients configure and propose, in bytes (D6).
    pub cadence_bytes: Pin,
    /// The largest offer that nodes make, in bytes (D6).
    pub offer_ceiling_bytes: Pin,
    /// The deposit of a channel; 0 lets each download's deposit cover its whole price one and a half times.
    pub deposit: Pin,
    /// What each client's wallet holds at the start, of each token.
    pub wallet: Pin,
    /// What nodes sell for beside the first test token, which has six decimals.
    pub more_tokens: Vec<TokenName>,
}

impl Default for Money {
    fn default() -> Self {
        Self {
            rate: Pin::between(1, 2_000_000),
            cadence_bytes: Pin::between(1, 20 << 20),
            offer_ceiling_bytes: Pin::between(64 << 10, 16 << 20),
            deposit: Pin::Is(0),
            wallet: Pin::Is(1_000_000_000_000),
            more_tokens: Vec::new(),
        }
    }
}

/// The chain's profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// W.
    pub window_hours: Pin,
    /// F.
    pub forced_hours: Pin,
    /// How long an endpoint takes to answer.
    pub endpoint_ms: Pin,
    /// What the sequencer does when; honest where nothing is said.
    pub sequencer: Vec<Sequencer>,
    /// Nonces, gas and ether; free and endless where nothing is said.
    pub accounts: Option<Accounts>,
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            window_hours: Pin::Is(48),
            forced_hours: Pin::Is(24),
            endpoint_ms: Pin::between(1, 400),
            sequencer: Vec::new(),
            accounts: None,
        }
    }
}

/// A time in which the sequencer is not honest.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequencer {
    /// From when.
    pub from_secs: Pin,
    /// How long.
    pub for_secs: Pin,
    /// Whose transactions it drops; nobody's where it is down.
    #[serde(default)]
    pub censors: Vec<Placed>,
    /// Which of their calls; all where nothing is said.
    #[serde(default)]
    pub calls: Vec<CallName>,
    /// Whether it works at all.
    #[serde(default)]
    pub down: bool,
}

names! {
    /// A call that can be censored.
    CallName, "call" {
        /// `openChannel`.
        Open = "open",
        /// `closeChannel`.
        Close = "close",
        /// `disputeChannel`.
        Dispute = "dispute",
        /// `settleChannel`.
        Settle = "settle",
    }
}

impl CallName {
    /// What its calldata begins with.
    pub fn selector(self) -> [u8; 4] {
        match self {
            Self::Open => selectors::OPEN,
            Self::Close => selectors::CLOSE,
            Self::Dispute => selectors::DISPUTE,
            Self::Settle => selectors::SETTLE,
        }
    }
}

/// Somebody, or several of a kind.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Its name; several are called `name-1`, `name-2`, ….
    pub name: Placed,
    /// What it plays.
    pub part: Part,
    /// Which adversary it is; an honest role without.
    #[serde(default, deserialize_with = "adversary::by_name")]
    pub plays: Option<&'static Adversary>,
    /// What the adversary is told, by its own names.
    #[serde(default)]
    pub with: BTreeMap<Placed, Pin>,
    /// How many there are.
    #[serde(default = "one")]
    pub count: Pin,
    /// Where it differs from `money`.
    #[serde(default)]
    pub rate: Option<Pin>,
    /// Where it differs from `money`.
    #[serde(default)]
    pub offer_ceiling_bytes: Option<Pin>,
    /// A node's terms.
    #[serde(default)]
    pub terms: Terms,
    /// Whether it watches its channels (X1).
    #[serde(default = "yes")]
    pub monitor: bool,
    /// How often it reads the chain.
    #[serde(default)]
    pub poll_secs: Option<Pin>,
    /// When it forces inclusion, beyond F, before the window ends (X2).
    #[serde(default)]
    pub margin_hours: Option<Pin>,
    /// The longest and shortest durable write, in microseconds.
    #[serde(default = "disk")]
    pub disk_us: Pin,
    /// Of a million writes, how many are slow.
    #[serde(default)]
    pub slow_disk: u32,
    /// How slow, at most, in milliseconds.
    #[serde(default = "slow")]
    pub slow_disk_ms: u64,
    /// How long a signature takes, in microseconds.
    #[serde(default = "signer")]
    pub signer_us: Pin,
    /// Of a million outputs, after how many the process dies.
    #[serde(default)]
    pub crash: u32,
    /// The most crashes of this kind.
    #[serde(default = "crashes")]
    pub crashes: u32,
    /// How long it is gone after one, in milliseconds.
    #[serde(default = "restart")]
    pub restart_ms: Pin,
    /// How far its wall clock is off at most, in milliseconds, either way.
    #[serde(default)]
    pub skew_ms: u64,
    /// The owner of somebody who buys: asked before a channel is opened (D16); without, an order is the yes.
    #[serde(default)]
    pub owner: Option<Owner>,
}

/// How an owner answers. Of a million questions some are declined, some never answered, some get a yes to less, and some a yes
/// that is taken back.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Owner {
    /// How long it thinks.
    pub thinks_ms: Pin,
    /// How many it says no to.
    #[serde(default)]
    pub declines: u32,
    /// How many it never answers.
    #[serde(default)]
    pub ignores: u32,
    /// How many it agrees to at half the deposit.
    #[serde(default)]
    pub halves: u32,
    /// How often it thinks on after a yes, and then says no.
    #[serde(default)]
    pub repents: u32,
}

fn one() -> Pin {
    Pin::Is(1)
}
fn yes() -> bool {
    true
}
fn disk() -> Pin {
    Pin::between(100, 3_000)
}
fn slow() -> u64 {
    2_000
}
fn signer() -> Pin {
    Pin::between(20, 500)
}
fn crashes() -> u32 {
    3
}
fn restart() -> Pin {
    Pin::between(100, 20_000)
}

/// How two actors are connected.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Link {
    /// One way, drawn once per run and pair.
    pub latency_us: Pin,
    /// How much a packet may take beyond that.
    pub jitter_us: Pin,
    /// In each direction; 0 for no limit.
    pub mbit: Pin,
    /// Mean life of a connection while faults go on; 0 for ever.
    pub life_ms: Pin,
    /// Of a million control messages, how many come twice.
    pub duplicate: u32,
    /// Of a million control messages, how many come up to 3 s late.
    pub delay: u32,
}

impl Default for Link {
    fn default() -> Self {
        Self {
            latency_us: Pin::between(100, 80_000),
            jitter_us: Pin::between(0, 5_000),
            mbit: Pin::between(10, 2_000),
            life_ms: Pin::Is(0),
            duplicate: 0,
            delay: 0,
        }
    }
}

/// How one pair is connected, both ways.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairLink {
    /// The one.
    pub from: Placed,
    /// The other.
    pub to: Placed,
    /// How.
    #[serde(default)]
    pub link: Link,
}

/// A download.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    /// Its name, for events that are about it.
    #[serde(default)]
    pub name: Option<Placed>,
    /// Who downloads; each of them where there are several.
    pub client: Placed,
    /// From whom, in this order: names of actors, each of them where there are several.
    pub from: Vec<Placed>,
    /// How large the blob is.
    #[serde(default = "blob")]
    pub blob_bytes: Pin,
    /// Where the range starts, in groups.
    #[serde(default = "zero")]
    pub offset_groups: Pin,
    /// How long it is; 0 for the rest.
    #[serde(default = "zero")]
    pub len_bytes: Pin,
    /// When it is ordered.
    #[serde(default = "zero")]
    pub at_ms: Pin,
    /// How many of these there are, of a blob each.
    #[serde(default = "one")]
    pub count: Pin,
    /// Whether the channel stays open afterwards: 0 or 1.
    #[serde(default = "zero")]
    pub keep_channel: Pin,
    /// What it is paid in, if not in the first token.
    #[serde(default)]
    pub token: Option<TokenName>,
    /// Where it differs from `money`.
    #[serde(default)]
    pub cadence_bytes: Option<Pin>,
    /// Where it differs from `money`.
    #[serde(default)]
    pub deposit: Option<Pin>,
}

fn blob() -> Pin {
    Pin::between(1, 32 << 20)
}
pub(super) fn zero() -> Pin {
    Pin::Is(0)
}

/// A bound: derived from symbols before the first run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoundLine {
    /// What is observed.
    pub name: Quantity,
    /// What it may be at most: whole numbers, symbols, `+ - * / max min ( )`; `/` rounds up.
    pub limit: Placed,
    /// Why.
    pub because: String,
}

/// The most that a coalition may gain, in base units: derived like a bound.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfitLine {
    /// A formula as in a bound; it may name K, the channels between the coalition and honest parties.
    pub limit: Placed,
    /// Why.
    pub because: String,
}

/// An oracle lifted for one actor, with the formula in its place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lift {
    /// Which.
    pub oracle: Liftable,
    /// For whom; each of them where there are several.
    pub actor: Placed,
    /// What it may lose at most, in base units: a formula as in a bound.
    pub loss: Placed,
    /// Why.
    pub because: String,
}
