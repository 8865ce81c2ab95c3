//! One run of a scenario: everything that the file leaves open is drawn.

use std::collections::BTreeMap;

use decdn_contracts::Genesis;
use decdn_engine::{
    crypto::Deployment,
    dispute::Monitor,
    ids::{Address, BlobHash, FetchId},
    limits::GROUP,
    money::{Amount, DECIMALS, MB, Rate, rate_max},
    order::{Candidate, FetchOrder},
    roles::{
        Config,
        config::{ClientConfig, NodeConfig},
    },
    time::{Span, Time},
};

use super::{
    Scenario, Symbol, Symbols,
    accounts::PlannedAccounts,
    endpoint,
    event::{Happening, Monotonic, Service},
    file::{self, Actor, File, Link, Mode, Placed},
    path::path,
    tokens::{self, TokenName},
};
use crate::{
    actor::ActorId,
    adversary::Adversary,
    cast::{Cast, Part, Person, keys},
    decide::{Decisions, Label},
    endpoints::Endpoint,
    net::Path,
    world::{Job, Machine, Order, Owner, Timed, TimedFault},
};

/// Somebody in a run.
#[derive(Clone, Debug)]
pub struct PlannedActor {
    /// Which adversary it is, if it is one.
    pub plays: Option<&'static Adversary>,
    /// What the adversary is told.
    pub with: BTreeMap<String, u64>,
    /// The role's configuration.
    pub role: Config,
    /// Its machine.
    pub machine: Machine,
    /// Who is asked before it opens a channel, if anybody is.
    pub owner: Option<Owner>,
}

/// A blob of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlannedBlob {
    /// Its size.
    pub bytes: u64,
    /// Its place among the run's blobs: what its content follows from.
    pub number: u32,
}

/// A download of a run.
#[derive(Clone, Debug)]
pub struct PlannedFetch {
    /// Its name in the file.
    pub name: Option<String>,
    /// Who downloads.
    pub actor: ActorId,
    /// When.
    pub at: Time,
    /// Of which blob: an index.
    pub blob: usize,
    /// From whom.
    pub from: Vec<ActorId>,
    /// The order, with the hash yet to be filled in.
    pub order: FetchOrder,
}

/// A time in which the ways to the chain are not what they are to be.
#[derive(Clone, Debug, Default)]
pub struct Stretch {
    /// From when.
    pub from: Time,
    /// To when.
    pub until: Time,
    /// Whose transactions it drops.
    pub censored: Vec<Address>,
    /// Which of their calls, by selector; all where there is none.
    pub calls: Vec<[u8; 4]>,
    /// Whether it does nothing at all.
    pub down: bool,
    /// Whose transactions are lost on their way to it.
    pub losing: Vec<Address>,
    /// Whether the delayed inbox takes nothing.
    pub is_inbox_down: bool,
}

/// Everything that a run is told before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who is who.
    pub cast: Cast,
    /// Who is meant by a name in the file.
    pub named: BTreeMap<String, Vec<ActorId>>,
    /// The actors, by [`ActorId`].
    pub actors: Vec<PlannedActor>,
    /// What each actor's wallet holds.
    pub wallet: Amount,
    /// The blobs there are.
    pub blobs: Vec<PlannedBlob>,
    /// The downloads.
    pub fetches: Vec<PlannedFetch>,
    /// Those of them that are ordered again, with the terms of then.
    pub again: Vec<PlannedFetch>,
    /// What else owners order.
    pub orders: Vec<Job>,
    /// How each ordered pair is connected.
    pub paths: BTreeMap<(ActorId, ActorId), Path>,
    /// W.
    pub window: Span,
    /// F.
    pub forced: Span,
    /// How long an endpoint takes to answer, at most.
    pub endpoint: Span,
    /// When the sequencer is not honest.
    pub sequencer: Vec<Stretch>,
    /// Nonces, gas and ether, where there are any.
    pub accounts: Option<PlannedAccounts>,
    /// Faults with a time of their own.
    pub timed: Vec<Timed>,
    /// The endpoints of whoever has others than one that is right.
    pub endpoints: BTreeMap<ActorId, Vec<Endpoint>>,
    /// When faults end.
    pub calm_at: Option<Time>,
    /// Whether channels that clients keep have to end too.
    pub kept_channels_end: bool,
    /// When the run ends at the latest.
    pub until: Time,
    /// What formulas may name.
    pub symbols: Symbols,
}

struct Drawing<'a> {
    file: &'a File,
    decide: &'a mut Decisions,
    /// Ids by the name in the file.
    ids: BTreeMap<&'a str, Vec<ActorId>>,
    deployment: Deployment,
    token: Address,
    genesis: &'a Genesis,
}

impl Plan {
    /// A run of a scenario, on a chain that begins like this, with its tokens ([`tokens::genesis`]).
    pub fn draw(scenario: &Scenario, genesis: &Genesis, decide: &mut Decisions) -> Self {
        let file = &scenario.file;
        let (deployment, token) = (genesis.deployment(), tokens::address(genesis, file, None));
        let mut drawing = Drawing { file, decide, ids: BTreeMap::new(), deployment, token, genesis };
        let (window, forced) = drawing.windows();
        let rate = Rate(file.money.rate.draw(drawing.decide));
        let ceiling = file.money.offer_ceiling_bytes.draw(drawing.decide) / GROUP * GROUP;
        let cadence = file.money.cadence_bytes.draw(drawing.decide);
        let (cast, actors) = drawing.actors(rate, ceiling, forced);
        let (paths, rtt, narrowest) = drawing.paths(actors.len());
        let (blobs, fetches) = drawing.fetches(&actors, cadence);
        let mut sequencer = drawing.sequencer(&cast);
        let (mut timed, stretches, orders) = drawing.events(&cast, &fetches);
        let again = drawing.again(&fetches);
        sequencer.extend(stretches);
        let calm = file.calm_secs.draw(drawing.decide);
        let hours = file.limit_hours.draw(drawing.decide);
        let endpoint = Span::from_millis(file.chain.endpoint_ms.draw(drawing.decide));
        let wallet = Amount(file.money.wallet.draw(drawing.decide).into());
        let accounts = file.chain.accounts.as_ref().map(|accounts| {
            let meant = |name: &str| &drawing.ids[name][..];
            let (accounts, changes) = accounts.draw(&cast, meant, drawing.decide);
            timed.extend(changes);
            accounts
        });

        let endpoints = endpoint::endpoints(&file.endpoints, &drawing.ids, drawing.decide);

        let nodes = || {
            actors.iter().filter_map(|actor| match &actor.role {
                Config::Node(config) => Some(config),
                Config::Client(_) => None,
            })
        };
        let rates = nodes().flat_map(|node| &node.tokens).map(|terms| terms.rate.0).max().unwrap_or(rate.0);
        let offers = fetches.iter().flat_map(|fetch| {
            let cadence = fetch.order.cadence_bytes;
            nodes().map(move |node| node.offer_for(cadence))
        });
        let disk = actors.iter().map(|actor| actor.machine.disk.1.0).max().unwrap_or(0);
        let signer = actors.iter().map(|actor| actor.machine.signer.1.0).max().unwrap_or(0);
        let bytes: u64 = fetches.iter().map(|fetch| wanted(&fetch.order, blobs[fetch.blob].bytes)).sum();
        let deposit = fetches.iter().map(|fetch| fetch.order.deposit.0).max().unwrap_or(0);
        let named = drawing.ids.into_iter().map(|(name, ids)| (name.to_owned(), ids)).collect();
        let symbols = [
            (Symbol::Rate, rates.into()),
            (Symbol::Cadence, offers.max().unwrap_or(0).into()),
            (Symbol::Window, (window.0 / 1_000_000).into()),
            (Symbol::Forced, (forced.0 / 1_000_000).into()),
            (Symbol::Megabyte, MB.into()),
            (Symbol::Group, GROUP.into()),
            (Symbol::Deposit, deposit),
            (Symbol::Bytes, bytes.into()),
            (Symbol::Downloads, fetches.len() as u128),
            (Symbol::RoundTrip, rtt.into()),
            (Symbol::Bandwidth, narrowest.into()),
            (Symbol::Disk, disk.into()),
            (Symbol::Signer, signer.into()),
        ];
        Self {
            cast,
            named,
            actors,
            wallet,
            blobs,
            fetches,
            again,
            orders,
            paths,
            window,
            forced,
            endpoint,
            sequencer,
            accounts,
            timed,
            kept_channels_end: file.kept_channels_end,
            endpoints,
            calm_at: (file.mode == Mode::Liveness).then_some(Time(calm * 1_000_000)),
            until: Time(Span::from_hours(hours).0),
            symbols: symbols.into(),
        }
    }

    /// Everybody who is meant by a name in the file.
    pub fn named(&self, name: &str) -> &[ActorId] {
        self.named.get(name).map_or(&[], Vec::as_slice)
    }
}

/// How many bytes an order is charged for at least, widened to whole groups (D5).
fn wanted(order: &FetchOrder, blob: u64) -> u64 {
    let end = match order.len_bytes {
        0 => blob,
        len => order.offset_bytes.saturating_add(len).next_multiple_of(GROUP).min(blob),
    };
    end.saturating_sub(order.offset_bytes)
}

impl<'a> Drawing<'a> {
    fn windows(&mut self) -> (Span, Span) {
        let chain = &self.file.chain;
        let window = Span::from_hours(chain.window_hours.draw(self.decide));
        (window, Span::from_hours(chain.forced_hours.draw(self.decide)))
    }

    fn actors(&mut self, rate: Rate, ceiling: u64, forced: Span) -> (Cast, Vec<PlannedActor>) {
        let (mut cast, mut actors) = (Cast::default(), Vec::new());
        for actor in &self.file.actors {
            let count = actor.count.draw(self.decide).max(1);
            for number in 1..=count {
                let id = ActorId(actors.len() as u16);
                let name =
                    if count == 1 { actor.name.to_string() } else { format!("{}-{number}", &*actor.name) };
                self.ids.entry(&actor.name).or_default().push(id);
                let planned = self.actor(actor, id, rate, ceiling, forced);
                let (key, node) = keys(id);
                let offer_ceiling = match &planned.role {
                    Config::Node(config) => config.offer_ceiling,
                    Config::Client(_) => 0,
                };
                cast.people.push(Person {
                    id,
                    name,
                    parts: self.parts(actor),
                    honest: actor.plays.is_none(),
                    account: key.address(),
                    node,
                    offer_ceiling,
                });
                actors.push(planned);
            }
        }
        (cast, actors)
    }

    /// What somebody plays: a node that something is bought for is a client as well.
    fn parts(&self, actor: &Actor) -> Vec<Part> {
        let buys = self.file.fetches.iter().any(|fetch| fetch.client == actor.name);
        match actor.part {
            Part::Node if buys => vec![Part::Node, Part::Client],
            part => vec![part],
        }
    }

    fn actor(&mut self, actor: &Actor, id: ActorId, rate: Rate, ceiling: u64, forced: Span) -> PlannedActor {
        let (key, node) = keys(id);
        let decide = &mut *self.decide;
        let rate = actor.rate.as_ref().map_or(rate, |pin| Rate(pin.draw(decide)));
        let ceiling =
            actor.offer_ceiling_bytes.as_ref().map_or(ceiling, |pin| pin.draw(decide) / GROUP * GROUP);
        let defaults = Monitor::default();
        let monitor = Monitor {
            enabled: actor.monitor,
            poll: actor.poll_secs.as_ref().map_or(defaults.poll, |pin| Span::from_secs(pin.draw(decide))),
            margin: actor
                .margin_hours
                .as_ref()
                .map_or(defaults.margin, |pin| Span::from_hours(pin.draw(decide))),
            forced_inclusion: forced,
            ..defaults
        };
        let role = match actor.part {
            Part::Client => {
                let mut config = ClientConfig::new(self.deployment, node, key.address());
                config.monitor = monitor;
                config.asks = actor.owner.is_some();
                config.decimals = tokens::decimals(self.genesis, self.file);
                Config::Client(config)
            }
            Part::Node => {
                let mut config = NodeConfig::new(self.deployment, node, key.address());
                config.monitor = monitor;
                config.buying.asks = actor.owner.is_some();
                let (terms, policy) = actor.terms.draw(decide, self.token, rate);
                config.tokens.push(terms);
                config.tokens.extend(tokens::more_terms(self.genesis, self.file, decide));
                config.policy = policy;
                config.offer_ceiling = ceiling;
                Config::Node(config)
            }
        };
        let micros = |pin: &file::Pin| (Span(pin.least()), Span(pin.most()));
        let skew = decide.between(Label::Clock, 0, 2 * actor.skew_ms * 1_000);
        let (least, most) = (actor.restart_ms.least(), actor.restart_ms.most());
        let machine = Machine {
            disk: micros(&actor.disk_us),
            slow_disk: (actor.slow_disk, Span::from_millis(actor.slow_disk_ms)),
            signer: micros(&actor.signer_us),
            crash: actor.crash,
            crashes: actor.crashes,
            restart: (Span::from_millis(least), Span::from_millis(most)),
            skew: skew as i64 - (actor.skew_ms * 1_000) as i64,
        };
        let with = actor.with.iter().map(|(name, pin)| (name.to_string(), pin.draw(decide))).collect();
        let owner = actor.owner.as_ref().map(|owner| Owner {
            thinks: (Span::from_millis(owner.thinks_ms.least()), Span::from_millis(owner.thinks_ms.most())),
            declines: owner.declines,
            ignores: owner.ignores,
            halves: owner.halves,
            repents: owner.repents,
        });
        PlannedActor { plays: actor.plays, with, role, machine, owner }
    }

    /// Each pair's path, the longest round trip, and the narrowest link.
    fn paths(&mut self, actors: usize) -> (BTreeMap<(ActorId, ActorId), Path>, u64, u64) {
        let mut paths = BTreeMap::new();
        let (mut rtt, mut narrowest) = (0, u64::MAX);
        for one in 0..actors as u16 {
            for other in one + 1..actors as u16 {
                let pair = (ActorId(one), ActorId(other));
                let path = path(self.link_of(pair), self.decide);
                rtt = rtt.max(2 * path.latency.1.0);
                narrowest = narrowest.min(path.bandwidth.unwrap_or(u64::MAX));
                paths.insert(pair, path);
                paths.insert((pair.1, pair.0), path);
            }
        }
        (paths, rtt, if narrowest == u64::MAX { 0 } else { narrowest })
    }

    fn link_of(&self, pair: (ActorId, ActorId)) -> &'a Link {
        let is = |name: &str, id| self.ids.get(name).is_some_and(|ids| ids.contains(&id));
        let named = self.file.links.iter().find(|link| {
            (is(&link.from, pair.0) && is(&link.to, pair.1))
                || (is(&link.from, pair.1) && is(&link.to, pair.0))
        });
        named.map_or(&self.file.link, |named| &named.link)
    }

    fn fetches(&mut self, actors: &[PlannedActor], cadence: u64) -> (Vec<PlannedBlob>, Vec<PlannedFetch>) {
        let (mut blobs, mut fetches) = (Vec::new(), Vec::new());
        let money = &self.file.money;
        for fetch in &self.file.fetches {
            let clients = self.ids[&*fetch.client].clone();
            let count = fetch.count.draw(self.decide);
            for client in clients {
                for _ in 0..count {
                    let decide = &mut *self.decide;
                    let blob =
                        PlannedBlob { bytes: fetch.blob_bytes.draw(decide), number: blobs.len() as u32 };
                    let groups = blob.bytes.div_ceil(GROUP).saturating_sub(1);
                    let offset_bytes = fetch.offset_groups.draw(decide).min(groups) * GROUP;
                    let from: Vec<ActorId> =
                        fetch.from.iter().flat_map(|name| self.ids[&**name].iter().copied()).collect();
                    let mut order = FetchOrder {
                        id: FetchId(fetches.len() as u64 + 1),
                        hash: BlobHash::default(),
                        offset_bytes,
                        len_bytes: fetch.len_bytes.draw(decide),
                        candidates: candidates(&from),
                        token: tokens::address(self.genesis, self.file, fetch.token),
                        deposit: Amount::ZERO,
                        cadence_bytes: fetch.cadence_bytes.as_ref().map_or(cadence, |pin| pin.draw(decide)),
                        max_rate: rate_max(fetch.token.map_or(DECIMALS, TokenName::decimals)),
                        keep_channel: fetch.keep_channel.draw(decide) > 0,
                    };
                    let deposit = fetch.deposit.as_ref().unwrap_or(&money.deposit).draw(decide);
                    order.deposit = Amount(match deposit {
                        0 => tokens::ample(actors, &from, order.token, wanted(&order, blob.bytes)),
                        deposit => deposit.into(),
                    });
                    let at = Time(fetch.at_ms.draw(decide) * 1_000);
                    let name = fetch.name.as_deref().map(str::to_owned);
                    fetches.push(PlannedFetch { name, actor: client, at, blob: blobs.len(), from, order });
                    blobs.push(blob);
                }
            }
        }
        (blobs, fetches)
    }

    fn sequencer(&mut self, cast: &Cast) -> Vec<Stretch> {
        let rules = &self.file.chain.sequencer;
        rules
            .iter()
            .map(|rule| {
                let from = Time(rule.from_secs.draw(self.decide) * 1_000_000);
                let until = from + Span::from_secs(rule.for_secs.draw(self.decide));
                let censored = self.accounts(cast, &rule.censors);
                let calls = rule.calls.iter().map(|call| call.selector()).collect();
                Stretch { from, until, censored, calls, down: rule.down, ..Stretch::default() }
            })
            .collect()
    }

    /// What happens at a time of its own: faults, times in which the sequencer is not honest, orders.
    fn events(&mut self, cast: &Cast, fetches: &[PlannedFetch]) -> (Vec<Timed>, Vec<Stretch>, Vec<Job>) {
        let (mut timed, mut stretches, mut jobs) = (Vec::new(), Vec::new(), Vec::new());
        for event in &self.file.events {
            let at = Time(event.at_ms.draw(self.decide) * 1_000);
            let mut add = |what| timed.push(Timed { at, what });
            match &event.what {
                Happening::Crash { who, for_ms } => {
                    let lasts = Span::from_millis(for_ms.draw(self.decide));
                    self.ids[&**who].iter().for_each(|id| add(TimedFault::Crash(*id, lasts)));
                }
                Happening::Wipe { who, for_ms } => {
                    let lasts = Span::from_millis(for_ms.draw(self.decide));
                    self.ids[&**who].iter().for_each(|id| add(TimedFault::Wipe(*id, lasts)));
                }
                Happening::Suspend { who, for_ms, monotonic } => {
                    let lasts = Span::from_millis(for_ms.draw(self.decide));
                    let stands = match monotonic {
                        Some(monotonic) => *monotonic == Monotonic::Stands,
                        None => self.decide.below(Label::Clock, 2) == 0,
                    };
                    self.ids[&**who].iter().for_each(|id| add(TimedFault::Suspend(*id, lasts, stands)));
                }
                Happening::Silence { from, to, for_ms } => {
                    let lasts = Span::from_millis(for_ms.draw(self.decide));
                    for (from, to) in self.pairs(from, to) {
                        add(TimedFault::Partition { from, to, lasts });
                    }
                }
                Happening::Window { hours } => {
                    let window = Span::from_hours(hours.draw(self.decide));
                    add(TimedFault::Window(window.0 / 1_000_000));
                }
                Happening::Clock { who, by_ms, is_ahead } => {
                    let by = self.off_by(by_ms, *is_ahead);
                    self.ids[&**who].iter().for_each(|id| add(TimedFault::Clock(*id, by)));
                }
                Happening::Glitch { who, by_ms, by_blocks, is_ahead } => {
                    let by = self.off_by(by_ms, *is_ahead);
                    let blocks = by_blocks.as_ref().map_or(0, |pin| pin.draw(self.decide));
                    self.ids[&**who].iter().for_each(|id| add(TimedFault::Glitch(*id, by, blocks)));
                }
                Happening::LogsBehind { who, by_ms, for_ms } => {
                    let by = Span::from_millis(by_ms.draw(self.decide));
                    let until = at + Span::from_millis(for_ms.draw(self.decide));
                    self.ids[&**who].iter().for_each(|id| add(TimedFault::LogsBehind(*id, by, until)));
                }
                Happening::Censorship { whom, for_ms } => {
                    let until = at + Span::from_millis(for_ms.draw(self.decide));
                    let censored = self.accounts(cast, whom);
                    stretches.push(Stretch { from: at, until, censored, ..Stretch::default() });
                }
                Happening::Loss { whom, for_ms } => {
                    let until = at + Span::from_millis(for_ms.draw(self.decide));
                    let losing = self.accounts(cast, whom);
                    stretches.push(Stretch { from: at, until, losing, ..Stretch::default() });
                }
                Happening::Down { what: Service::Sequencer, for_ms } => {
                    let until = at + Span::from_millis(for_ms.draw(self.decide));
                    stretches.push(Stretch { from: at, until, down: true, ..Stretch::default() });
                }
                Happening::Down { what: Service::Inbox, for_ms } => {
                    let until = at + Span::from_millis(for_ms.draw(self.decide));
                    stretches.push(Stretch { from: at, until, is_inbox_down: true, ..Stretch::default() });
                }
                Happening::Down { what: Service::Poster, for_ms } => {
                    let until = at + Span::from_millis(for_ms.draw(self.decide));
                    timed.push(Timed { at, what: TimedFault::Posting(false) });
                    timed.push(Timed { at: until, what: TimedFault::Posting(true) });
                }
                Happening::Fork { back_ms } => {
                    add(TimedFault::Fork(Span::from_millis(back_ms.draw(self.decide))));
                }
                Happening::Drift { off_ms, is_ahead } => {
                    add(TimedFault::Drift(self.off_by(off_ms, *is_ahead) / 1_000_000));
                }
                // See `again`.
                Happening::Order { .. } => {}
                Happening::Cancel { fetch } => {
                    let meant = fetches.iter().filter(|planned| planned.name.as_deref() == Some(&**fetch));
                    jobs.extend(meant.map(|fetch| Job::new(fetch.actor, at, Order::Cancel(fetch.order.id))));
                }
                Happening::Close { who, with } => {
                    let pairs = self.pairs(who, with);
                    jobs.extend(pairs.map(|(who, with)| Job::new(who, at, Order::Close { with })));
                }
                Happening::Claim { who, with } => {
                    let pairs = self.pairs(who, with);
                    jobs.extend(pairs.map(|(who, with)| Job::new(who, at, Order::Claim { with })));
                }
                Happening::Withdraw { who } => {
                    let token = self.token;
                    let job = |id: &ActorId| Job::new(*id, at, Order::Withdraw { token });
                    jobs.extend(self.ids[&**who].iter().map(job));
                }
            }
        }
        (timed, stretches, jobs)
    }

    /// How far something is off, in microseconds ahead of what is right.
    fn off_by(&mut self, by_ms: &file::Pin, is_ahead: bool) -> i64 {
        let by = by_ms.draw(self.decide).saturating_mul(1_000);
        let by = i64::try_from(by).unwrap_or(i64::MAX);
        if is_ahead { by } else { -by }
    }

    /// Downloads that are ordered again.
    fn again(&mut self, fetches: &[PlannedFetch]) -> Vec<PlannedFetch> {
        let mut again = Vec::new();
        for event in &self.file.events {
            let Happening::Order { fetch, from, max_rate, deposit } = &event.what else { continue };
            for meant in fetches.iter().filter(|planned| planned.name.as_deref() == Some(&**fetch)) {
                let mut planned = meant.clone();
                planned.at = Time(event.at_ms.draw(self.decide) * 1_000);
                if let Some(from) = from {
                    planned.from = from.iter().flat_map(|name| self.ids[&**name].iter().copied()).collect();
                    planned.order.candidates = candidates(&planned.from);
                }
                if let Some(max_rate) = max_rate {
                    planned.order.max_rate = Rate(max_rate.draw(self.decide));
                }
                if let Some(deposit) = deposit {
                    planned.order.deposit = Amount(deposit.draw(self.decide).into());
                }
                again.push(planned);
            }
        }
        again
    }

    /// Each of the one with each of the other.
    fn pairs(&self, one: &str, other: &str) -> impl Iterator<Item = (ActorId, ActorId)> + use<'_> {
        let others = &self.ids[other];
        self.ids[one].iter().flat_map(|one| others.iter().map(|other| (*one, *other)))
    }

    fn accounts(&self, cast: &Cast, names: &[Placed]) -> Vec<Address> {
        let ids = names.iter().flat_map(|name| &self.ids[&**name]);
        ids.map(|id| cast.get(*id).account).collect()
    }
}

fn candidates(from: &[ActorId]) -> Vec<Candidate> {
    let candidate = |id: &ActorId| {
        let (key, node) = keys(*id);
        Candidate { node, operator: key.address() }
    };
    from.iter().map(candidate).collect()
}
