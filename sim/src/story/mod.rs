//! What decided about money in a run, for people: `cargo sim run … --story`. An onlooker that judges nothing. It writes down
//! what happens to channels and what keeps their parties from acting; `page` is what it keeps about a channel, `told` how
//! all of it is put on a screen.

mod page;
mod told;

use std::collections::BTreeMap;

use decdn_engine::{
    blob::Verdict,
    chain::{Block, Call, Revert, Route, channel},
    fault::Fault,
    ids::{Address, ChannelId},
    io::{Effect, Notice},
    record::Record,
    state::Digest,
    time::Time,
    wire::{ClientMessage, Message},
};

pub use self::told::told;
use self::{
    page::{Pages, Ruling},
    told::{clock, span},
};
use crate::{
    actor::ActorId,
    cast::Cast,
    check::book::People,
    decide::Choice,
    ledger::own,
    scenario::Stretch,
    seen::{ChainView, Included, OnChainStatus, Pipe, Seen},
    text::grouped,
    watch::Recorder,
};

/// What a line is about. Where there is no room for all, those that come first here are the first to be drawn together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum About {
    Agreement,
    Vouchers,
    Opening,
    Blame,
    Submission,
    Refused,
    Honest,
    Crash,
    Clock,
    Revert,
    Failure,
    Stale,
    Forcing,
    Window,
    Sequencer,
    Fork,
    Dispute,
    Close,
    Settlement,
}

/// Something that happened, and how often it did.
#[derive(Clone, Debug)]
struct Line {
    at: Time,
    about: About,
    text: String,
    /// How often more, and when last.
    more: u64,
    until: Time,
}

/// What somebody has of a token, at the start and at the end.
#[derive(Clone, Copy, Debug, Default)]
struct Purse {
    start: i128,
    end: i128,
}

/// See the module.
#[derive(Default)]
pub struct Story {
    people: People,
    accounts: Vec<Address>,
    purses: Vec<Purse>,
    token: Option<Address>,
    lines: Vec<Line>,
    pages: Pages,
    /// Which channel pays for a stream, and at which rate.
    streams: BTreeMap<Pipe, (ChannelId, u64)>,
    /// Who is down since when.
    down: BTreeMap<ActorId, (Time, bool)>,
    stretches: Vec<Stretch>,
    /// How many seconds the chain's clock was ahead in the last block with a transaction.
    drift: i64,
    /// Seconds of the chain's clock at simulated time zero.
    epoch_secs: u64,
}

impl Story {
    /// A story of a run in which the sequencer is not honest at these times.
    pub fn new(stretches: &[Stretch]) -> Self {
        Self { stretches: stretches.to_vec(), ..Self::default() }
    }

    fn say(&mut self, at: Time, about: About, text: String) {
        /// How far back the same is looked for.
        const BACK: usize = 64;
        let same =
            self.lines.iter_mut().rev().take(BACK).find(|line| line.about == about && line.text == text);
        match same {
            Some(line) => {
                line.more += 1;
                line.until = at;
            }
            None => self.lines.push(Line { at, about, text, more: 0, until: at }),
        }
    }

    fn name(&self, id: Option<ActorId>) -> &str {
        id.map_or("somebody", |id| self.people.name(id))
    }

    /// A time of the chain's clock, as simulated time.
    fn chain_time(&self, secs: u64) -> Time {
        Time(secs.saturating_sub(self.epoch_secs).saturating_mul(1_000_000))
    }

    fn begin(&mut self, at: Time, cast: &Cast, chain: &dyn ChainView) {
        self.people = People::new(cast);
        self.accounts = cast.people.iter().map(|person| person.account).collect();
        self.token = chain.tokens().first().copied();
        self.epoch_secs = chain.head(at).time.0.saturating_sub(at.0 / 1_000_000);
        self.purses = self.read_purses(chain).into_iter().map(|start| Purse { start, end: start }).collect();
        for id in chain.channels() {
            if let Some(channel) = chain.channel(*id) {
                self.pages.open(&channel, &self.people);
            }
        }
    }

    fn read_purses(&self, chain: &dyn ChainView) -> Vec<i128> {
        let token = self.token;
        let held = |account: &Address| token.map_or(0, |token| own(chain, token, *account));
        self.accounts.iter().map(held).collect()
    }

    fn end(&mut self, chain: &dyn ChainView) {
        let held = self.read_purses(chain);
        for (purse, end) in self.purses.iter_mut().zip(held) {
            purse.end = end;
        }
    }

    /// A clock that is off from here on.
    fn off(&mut self, at: Time, whose: &str, ahead_us: i64) {
        let far = span(ahead_us.unsigned_abs() / 1_000_000);
        let which = if ahead_us < 0 { "behind" } else { "ahead" };
        self.say(at, About::Clock, format!("{whose} is {far} {which} (L3)"));
    }

    fn notice(&mut self, at: Time, actor: ActorId, notice: &Notice) {
        let who = self.people.name(actor);
        let (about, text) = match notice {
            Notice::StaleClose { channel, recorded, held } => {
                let page = self.pages.get_mut(channel);
                let label = page.map_or("a channel", |page| {
                    page.seen.get_or_insert(at);
                    &page.label
                });
                let (recorded, held) = (grouped(recorded.0), grouped(held.0));
                (
                    About::Stale,
                    format!("{who} sees it: {label} is closing at {recorded}, it holds {held} (X1)"),
                )
            }
            Notice::ForcingInclusion { channel } => {
                let label = self.pages.label(channel);
                (About::Forcing, format!("{who} turns to the delayed inbox for {label} (X2)"))
            }
            Notice::FetchFailed { why, .. } => {
                (About::Failure, format!("{who} gives a download up: {why:?} (D10)"))
            }
            Notice::ChannelFound { deposit, .. } => {
                let deposit = grouped(deposit.0);
                (About::Failure, format!("{who} finds a channel it has no record of, deposit {deposit}"))
            }
            _ => return,
        };
        self.say(at, about, text);
    }

    fn fault(&mut self, at: Time, actor: ActorId, fault: &Fault) {
        let Fault::Peer { peer, rule, .. } = fault else { return };
        let whom = self.name(self.people.by_node(*peer));
        let text = format!("{} blames {whom} ({rule})", self.people.name(actor));
        self.say(at, About::Blame, text);
    }

    fn sent(&mut self, at: Time, from: ActorId, pipe: Pipe, message: &ClientMessage) {
        match message {
            ClientMessage::StreamRequest(request) => {
                self.streams.insert(pipe, (request.channel, 0));
            }
            ClientMessage::StreamResponse(response) if response.ok => {
                let Some((channel, rate)) = self.streams.get_mut(&pipe) else { return };
                *rate = response.rate.0;
                let label = self.pages.label(channel);
                let (rate, offer) = (grouped(response.rate.0.into()), response.max_bytes_per_voucher);
                let text = format!(
                    "{} agrees on {label}: {rate} per MB, offer {} bytes (D6)",
                    self.people.name(from),
                    grouped(offer.into())
                );
                self.say(at, About::Agreement, text);
            }
            _ => {}
        }
    }

    fn kept(&mut self, at: Time, actor: ActorId, record: &Record) {
        let Record::Earning(earning) = record else { return };
        let (Some(page), Some(best)) = (self.pages.get_mut(&earning.channel), earning.best) else { return };
        if page.node == Some(actor) {
            page.hold(at, best.amount.0);
        }
    }

    fn came_back(&mut self, at: Time, actor: ActorId) {
        let Some((since, is_wiped)) = self.down.remove(&actor) else { return };
        let what = if is_wiped { "and its disk is lost" } else { "its disk is whole" };
        let away = span(at.since(since).0 / 1_000_000);
        self.say(since, About::Crash, format!("{} is down for {away}; {what}", self.people.name(actor)));
    }

    fn submitted(&mut self, at: Time, actor: ActorId, call: &Call, route: Route) {
        let Some(channel::Call::Dispute { voucher }) = call.as_channel() else { return };
        let Some(page) = self.pages.get_mut(&voucher.terms.channel) else { return };
        page.handed_in.get_or_insert(at);
        let rule = if route == Route::Sequencer { "X1" } else { "X2" };
        if route == Route::QueuedBefore {
            let text = format!(
                "{} looks for its dispute of {} in the inbox (X2)",
                self.people.name(actor),
                page.label
            );
            return self.say(at, About::Submission, text);
        }
        let way = told::place(route);
        let amount = grouped(voucher.terms.amount.0);
        let text = format!(
            "{} hands {way} a dispute of {} at {amount} ({rule})",
            self.people.name(actor),
            page.label
        );
        self.say(at, About::Submission, text);
    }

    /// The chain's clock against L1's.
    fn look_at_clock(&mut self, at: Time, block: Block) {
        /// Less is how long a block may take.
        const LEAST: u64 = 60;
        let secs = self.epoch_secs + at.0 / 1_000_000;
        let drift = block.time.0.cast_signed() - secs.cast_signed();
        if drift.abs_diff(self.drift) >= LEAST {
            self.drift = drift;
            self.off(at, "the chain's clock", drift * 1_000_000);
        }
    }

    fn included(&mut self, at: Time, tx: &Included<'_>) {
        self.look_at_clock(at, tx.block);
        let who = self.name(tx.from).to_owned();
        if let Err(revert) = tx.result {
            self.reverted(at, &who, tx, revert);
            return;
        }
        let Some(after) = tx.channel_after() else { return };
        if tx.before.is_none() {
            let label = self.pages.open(after, &self.people);
            let deposit = grouped(after.deposit.0);
            self.say(at, About::Opening, format!("{who} opens {label}, deposit {deposit}"));
            return;
        }
        let deadline = self.chain_time(after.deadline.0);
        let Some(page) = self.pages.get_mut(&after.id) else { return };
        let label = page.label.clone();
        let amount = grouped(after.amount.0);
        let was = tx.channel_before().map(|before| before.status);
        match (was, after.status) {
            (Some(OnChainStatus::Open), OnChainStatus::Closing) => {
                (page.status, page.deadline) = (Some(after.status), Some(deadline));
                let until = clock(deadline);
                let text = format!("{who} closes {label} at {amount}; disputes until {until} (C1)");
                self.say(at, About::Close, text);
            }
            (Some(OnChainStatus::Open), OnChainStatus::Open) => {
                let text = format!("{who} claims on {label}: {amount} paid so far (C12)");
                self.say(at, About::Settlement, text);
            }
            (Some(OnChainStatus::Closing), OnChainStatus::Closing) => {
                page.rulings.push(Ruling { at, amount: Some(after.amount.0) });
                let how = told::way(tx, at);
                self.say(
                    at,
                    About::Dispute,
                    format!("{who}'s dispute of {label} counts: {amount}, {how} (C2)"),
                );
            }
            (Some(OnChainStatus::Open | OnChainStatus::Closing), OnChainStatus::Settled) => {
                page.status = Some(after.status);
                page.settle(after.amount.0.min(after.deposit.0));
                let back = grouped(after.deposit.0.saturating_sub(after.amount.0));
                let rule = match tx.channel_call() {
                    Some(channel::Call::CloseCooperatively { .. }) => "by consent, C4",
                    Some(channel::Call::Finish { .. }) => "finished by its node, C11",
                    _ => "C3",
                };
                let text = format!("{label} settles: {amount} paid, {back} back ({rule})");
                self.say(at, About::Settlement, text);
            }
            _ => {}
        }
    }

    fn reverted(&mut self, at: Time, who: &str, tx: &Included<'_>, revert: Revert) {
        let Some(call) = tx.channel_call() else { return };
        let channel = call.channel();
        let label = channel.map_or_else(|| "a channel".to_owned(), |id| self.pages.label(&id).to_owned());
        let is_dispute = matches!(call, channel::Call::Dispute { .. });
        if let Some(page) = channel.and_then(|id| self.pages.get_mut(&id))
            && is_dispute
            && tx.from == page.node
        {
            page.rulings.push(Ruling { at, amount: None });
        }
        let name = format!("{call:?}");
        let name = name.split([' ', '{', '(']).next().unwrap_or_default().to_lowercase();
        let why = told::revert(revert);
        let way = if is_dispute { format!(", {}", told::way(tx, at)) } else { String::new() };
        let about = if is_dispute { About::Refused } else { About::Revert };
        self.say(at, about, format!("{who}'s {name} of {label} fails{way}: {why}"));
    }

    fn undone(&mut self, at: Time, tx: &Included<'_>) {
        let (Some(after), Ok(())) = (tx.channel_after(), tx.result) else { return };
        let before = tx.channel_before();
        let Some(page) = self.pages.get_mut(&after.id) else { return };
        page.take_back(before.map(|before| before.status), after.status);
        let what = match (before, after.status) {
            (None, _) => "opening",
            (_, OnChainStatus::Settled) => "settlement",
            (Some(before), _) if before.status == after.status => "dispute",
            _ => "close",
        };
        let text = format!("a fork takes back the {what} of {} (L1)", page.label);
        self.say(at, About::Fork, text);
    }

    fn sequencer(&mut self, at: Time, censored: Option<ActorId>, up: bool) {
        let active: Vec<&Stretch> =
            self.stretches.iter().filter(|one| one.from <= at && at < one.until).collect();
        let named = |accounts: Vec<&Address>| {
            let mut whom: Vec<ActorId> =
                accounts.into_iter().filter_map(|account| self.people.of(*account)).collect();
            whom.sort_unstable();
            whom.dedup();
            whom.iter().map(|id| self.people.name(*id)).collect::<Vec<_>>().join(", ")
        };
        let dropped = named(active.iter().flat_map(|one| &one.censored).collect());
        let lost = named(active.iter().flat_map(|one| &one.losing).collect());
        let what = if active.iter().all(|one| one.calls.is_empty()) { "everything" } else { "some calls" };
        let text = match (up, &*dropped, &*lost) {
            (false, ..) => "the sequencer is down (L2)".to_owned(),
            (true, "", "") => match censored {
                Some(id) => format!("the sequencer drops everything from {} (L2)", self.people.name(id)),
                None => "the sequencer is honest again".to_owned(),
            },
            (true, "", lost) => format!("everything from {lost} is lost on its way to the sequencer (L2)"),
            (true, names, _) => format!("the sequencer drops {what} from {names} (L2)"),
        };
        let about = if text.ends_with("again") { About::Honest } else { About::Sequencer };
        self.say(at, about, text);
    }
}

impl Recorder for Story {
    fn record(&mut self, at: Time, seen: &Seen<'_>, _digest: Option<Digest>) {
        match *seen {
            Seen::Start { cast, chain } => self.begin(at, cast, chain),
            Seen::Started { actor, effect: Effect::Notice(notice) } => self.notice(at, actor, notice),
            Seen::Started { actor, effect: Effect::Fault(fault) } => self.fault(at, actor, fault),
            Seen::Sent { from, pipe, message: Message::Client(message), .. } => {
                self.sent(at, from, pipe, message);
            }
            Seen::Verified {
                pipe,
                channel: Some(_),
                hash,
                verdict: Verdict::Good { offset, bytes, .. },
                ..
            } => {
                let Some((channel, rate)) = self.streams.get(&pipe) else { return };
                if let Some(page) = self.pages.get_mut(channel) {
                    page.deliver(hash, (offset, bytes), *rate);
                }
            }
            Seen::Persisted { actor, writes, .. } => writes.iter().for_each(|one| self.kept(at, actor, one)),
            Seen::Crashed { actor, is_wiped, .. } => {
                self.down.insert(actor, (at, is_wiped));
                if is_wiped {
                    self.pages.forget(actor);
                }
            }
            Seen::Restarted { actor, .. } => self.came_back(at, actor),
            Seen::Suspended { actor, lasts } => {
                let lasts = span(lasts.0 / 1_000_000);
                let text = format!("{} is suspended for {lasts}", self.people.name(actor));
                self.say(at, About::Crash, text);
            }
            Seen::ClockSet { actor, ahead_us } => {
                let whose = format!("{}'s clock", self.people.name(actor));
                self.off(at, &whose, ahead_us);
            }
            Seen::HeadOff { actor, ahead_us, blocks } => {
                let whose = format!(
                    "the head that {} is told of, {blocks} blocks too high,",
                    self.people.name(actor)
                );
                self.off(at, &whose, ahead_us);
            }
            Seen::LogsMissed { actor, missed } => {
                let text =
                    format!("{} is told a head without {missed} of its events (L4)", self.people.name(actor));
                self.say(at, About::Clock, text);
            }
            Seen::TxLost { actor, route } => {
                let text = format!("what {} sent to {} is lost", self.people.name(actor), told::place(route));
                self.say(at, About::Submission, text);
            }
            Seen::EtherSet { actor, wei } => {
                let text = format!("{} has {wei} wei for gas from here on", self.people.name(actor));
                self.say(at, About::Submission, text);
            }
            Seen::Purse { actor, what } => {
                let text = told::purse(self.people.name(actor), what);
                self.say(at, About::Submission, text);
            }
            Seen::Submitted { actor, call, route } => self.submitted(at, actor, call, route),
            Seen::Included { tx, .. } => self.included(at, tx),
            Seen::Undone { tx } => self.undone(at, tx),
            Seen::WindowSet { secs } => {
                self.say(
                    at,
                    About::Window,
                    format!("closes from here on have a window of {} (C9)", span(secs)),
                );
            }
            Seen::Sequencer { censored, up } => self.sequencer(at, censored, up),
            Seen::End { chain, .. } => self.end(chain),
            _ => {}
        }
    }

    fn choices(&mut self, _choices: &[Choice]) {}

    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}
