//! O3: a node's loss on a channel is at most one agreed cadence × rate, and one offer per crash of its own (D8).
//!
//! Counted here, beside the node: content that left it on a channel, at the agreed rate; content that goes out
//! again counts once more, unless D8 lets it go out for nothing. From that goes what the best voucher pays that is
//! on the node's disk. What is left, the exposure, is held against the smallest offer of the streams that are
//! active at that moment, whenever content leaves; and all content ever sent against the deposit (V4).

use decdn_engine::{
    ids::{BlobHash, ChannelId},
    record::Record,
    time::Time,
    wire::{ClientMessage, Message},
};

use super::{
    Briefing, Liftable, Losses,
    book::{Blobs, Channels, Deal, People, Pipes, UNIT, least_debt},
    o1_conservation::clock,
};
use crate::{
    actor::ActorId,
    report::{Quantity, Report},
    seen::{Durable, Kind, Oracle, Pipe, Seen},
};

/// How often a lost byte goes out again for nothing (D8).
const RESENDS: u8 = 2;
/// Trails that a channel's ended streams may leave: more than any node keeps.
const TRAILS: usize = 64;

/// What one stream sent last, and may send again for nothing.
#[derive(Clone, Debug)]
struct Trail {
    pipe: Pipe,
    blob: u32,
    /// In order, none further behind its newest byte than an offer; each with how often it went out again.
    runs: Vec<(u64, u64, u8)>,
}

/// A channel, as far as its node's risk goes.
#[derive(Clone, Debug, Default)]
struct Risk {
    /// Content that counts, bytes × rate.
    sent: u128,
    /// What the best durable voucher pays.
    paid: u128,
    /// Exposure that crashes made the node forget, bytes × rate, as far as no voucher paid it later.
    forgotten: u128,
    crashes: u32,
    /// Active streams: offer and rate.
    active: Vec<(Pipe, u64, u64)>,
    trails: Vec<Trail>,
    largest_offer: u64,
    rate: u64,
    /// The node consented to a close: it sends no more (V7).
    is_final: bool,
}

impl Risk {
    fn exposure(&self) -> u128 {
        self.sent.saturating_sub(self.paid.saturating_mul(UNIT))
    }

    /// Whether some byte may not have arrived, by all that the payer has signed.
    fn may_have_lost(&self) -> bool {
        self.sent > least_debt(self.paid)
    }

    /// A better voucher is on the disk.
    fn pay(&mut self, amount: u128) {
        self.paid = self.paid.max(amount);
        let least = least_debt(amount);
        if self.sent < least {
            // It pays for content that a crash made the node forget.
            self.forgotten = self.forgotten.saturating_sub(least - self.sent);
            self.sent = least;
        }
        if !self.may_have_lost() {
            let active = &self.active;
            self.trails.retain(|trail| active.iter().any(|(pipe, ..)| *pipe == trail.pipe));
        }
    }

    /// Notes that `[start, end)` of a blob went out; says how many bytes of it count.
    fn send(&mut self, pipe: Pipe, blob: u32, (start, end): (u64, u64), reach: u64) -> u64 {
        let own = match self.trails.iter().position(|trail| trail.pipe == pipe) {
            Some(own) => own,
            None => {
                if self.trails.len() >= TRAILS {
                    self.trails.remove(0);
                }
                self.trails.push(Trail { pipe, blob, runs: Vec::new() });
                self.trails.len() - 1
            }
        };
        let keep_from = end.saturating_sub(reach);
        let is_new = self
            .trails
            .iter()
            .all(|trail| trail.blob != blob || trail.runs.last().is_none_or(|run| run.1 <= start));
        if is_new {
            let runs = &mut self.trails[own].runs;
            match runs.last_mut() {
                Some(last) if last.1 == start && last.2 == 0 => last.1 = end,
                _ => runs.push((start, end, 0)),
            }
            trim(runs, keep_from);
            return end - start;
        }
        let again = self.take_again(blob, (start, end));
        let free: u64 = again.iter().map(|run| run.1 - run.0).sum();
        let runs = &mut self.trails[own].runs;
        let mut at = start;
        for run in again {
            if at < run.0 {
                runs.push((at, run.0, 0));
            }
            at = run.1;
            runs.push(run);
        }
        if at < end {
            runs.push((at, end, 0));
        }
        runs.sort_unstable();
        trim(runs, keep_from);
        end - start - free
    }

    /// Takes `[start, end)` out of every trail of a blob: what of it may go out again for nothing, in order.
    fn take_again(&mut self, blob: u32, (start, end): (u64, u64)) -> Vec<(u64, u64, u8)> {
        let is_free = self.may_have_lost();
        let mut again: Vec<(u64, u64, u8)> = Vec::new();
        for trail in self.trails.iter_mut().filter(|trail| trail.blob == blob) {
            let mut left = Vec::with_capacity(trail.runs.len() + 1);
            for &(from, to, times) in &trail.runs {
                let (low, high) = (from.max(start), to.min(end));
                if low >= high {
                    left.push((from, to, times));
                    continue;
                }
                if from < low {
                    left.push((from, low, times));
                }
                if high < to {
                    left.push((high, to, times));
                }
                if is_free && times < RESENDS {
                    again.push((low, high, times + 1));
                }
            }
            trail.runs = left;
        }
        again.sort_unstable();
        // The same byte may lie in two trails: it goes out once.
        let mut at = start;
        again.retain_mut(|run| {
            run.0 = run.0.max(at);
            at = at.max(run.1);
            run.0 < run.1
        });
        again
    }
}

fn trim(runs: &mut Vec<(u64, u64, u8)>, keep_from: u64) {
    if runs.first().is_some_and(|run| run.0 < keep_from) {
        runs.retain(|run| run.1 > keep_from);
        if let Some(first) = runs.first_mut() {
            first.0 = first.0.max(keep_from);
        }
    }
}

/// What a stream was asked for and agreed to.
#[derive(Clone, Copy, Debug, Default)]
struct Asked {
    /// The channel's number, one up; 0 where there is none.
    channel: u32,
    blob: u32,
    rate: u64,
    offer: u64,
}

/// See the module.
#[derive(Default)]
pub struct NodeLoss {
    lifts: Losses,
    people: People,
    channels: Channels<Risk>,
    pipes: Pipes<Asked>,
    blobs: Blobs,
    /// Channels by who is paid.
    by_payee: Vec<Vec<u32>>,
    most_exposed: u64,
}

impl NodeLoss {
    /// With the lifts that concern it.
    pub fn new(briefing: &Briefing) -> Self {
        Self { lifts: briefing.lifted(Liftable::O3), ..Self::default() }
    }

    fn on_content(
        &mut self,
        at: Time,
        (from, to): (ActorId, ActorId),
        pipe: Pipe,
        range: (u64, u64),
        report: &mut Report,
    ) {
        let asked = self.pipes.get(pipe).copied().unwrap_or_default();
        let Some(number) = asked.channel.checked_sub(1) else {
            return report.violation("O3", "V1", || {
                format!("{}: {} sends content for no channel", clock(at), self.people.name(from))
            });
        };
        let (deal, risk) = self.channels.at(number);
        if deal.payer != Some(to) || deal.payee != Some(from) || asked.rate == 0 || risk.is_final {
            let rule = if risk.is_final { "V7" } else { "I3" };
            return report.violation("O3", rule, || {
                let (from, to) = (self.people.name(from), self.people.name(to));
                format!("{}: {from} sends content to {to} that nobody has agreed to pay", clock(at))
            });
        }
        let units = UNIT.div_ceil(u128::from(asked.rate)) as u64;
        let counts = risk.send(pipe, asked.blob, range, asked.offer.saturating_add(units));
        if counts == 0 {
            return;
        }
        risk.sent = risk.sent.saturating_add(u128::from(counts) * u128::from(asked.rate));
        let offer = risk.active.iter().map(|(_, offer, _)| *offer).min().unwrap_or(0);
        let exposure = risk.exposure();
        if exposure > 0 {
            let bytes = u64::try_from(exposure / u128::from(asked.rate)).unwrap_or(u64::MAX);
            self.most_exposed = self.most_exposed.max(bytes);
        }
        if exposure > u128::from(offer) * u128::from(asked.rate) {
            let paid = risk.paid;
            report.violation("O3", "D8", || {
                let bytes = exposure / u128::from(asked.rate);
                format!(
                    "{}: {} has {bytes} bytes out on channel {} that its durable voucher over {paid} doesn't pay; \
                     the smallest offer is {offer}",
                    clock(at),
                    self.people.name(from),
                    deal.id
                )
            });
        }
        if risk.sent > deal.deposit.saturating_mul(UNIT) {
            report.violation("O3", "V4", || {
                format!(
                    "{}: {} sends more on channel {} than its deposit of {} pays",
                    clock(at),
                    self.people.name(from),
                    deal.id,
                    deal.deposit
                )
            });
        }
    }

    fn on_response(&mut self, from: ActorId, pipe: Pipe, rate: u64, offer: u64) {
        let asked = self.pipes.entry(pipe);
        (asked.rate, asked.offer) = (rate, offer);
        if let Some(risk) = self.sold(from, pipe) {
            risk.active.push((pipe, offer, rate));
            risk.largest_offer = risk.largest_offer.max(offer);
            risk.rate = rate;
        }
    }

    /// The channel that pays somebody for a stream: none where it is the one who pays.
    fn sold(&mut self, payee: ActorId, pipe: Pipe) -> Option<&mut Risk> {
        let number = self.pipes.get(pipe)?.channel.checked_sub(1)?;
        let (deal, risk) = self.channels.at(number);
        (deal.payee == Some(payee)).then_some(risk)
    }

    /// Who is paid for a stream is done with it.
    fn on_over(&mut self, payee: ActorId, pipe: Pipe, is_paid: bool) {
        let Some(risk) = self.sold(payee, pipe) else { return };
        risk.active.retain(|(active, ..)| *active != pipe);
        if is_paid || !risk.may_have_lost() {
            risk.trails.retain(|trail| trail.pipe != pipe);
        }
    }

    fn on_crash(&mut self, actor: ActorId, durable: &Durable) {
        for number in self.by_payee.get(usize::from(actor.0)).into_iter().flatten() {
            let (deal, risk) = self.channels.at(*number);
            let key = decdn_engine::record::Key::Earning(deal.id);
            if let Some(Record::Earning(earning)) = durable.get(&key) {
                risk.pay(earning.best.map_or(0, |best| best.amount.0));
            }
            risk.forgotten = risk.forgotten.saturating_add(risk.exposure());
            risk.sent = risk.sent.min(least_debt(risk.paid));
            risk.crashes += 1;
            risk.active.clear();
            risk.trails.clear();
        }
    }

    fn on_request(&mut self, to: ActorId, pipe: Pipe, channel: &ChannelId, hash: &BlobHash) {
        if !self.people.is_honest(to) {
            return;
        }
        let blob = self.blobs.number(hash);
        let channel = self.channels.number(channel).map_or(0, |number| number + 1);
        let asked = self.pipes.entry(pipe);
        if asked.rate == 0 {
            *asked = Asked { channel, blob, ..Asked::default() };
        }
    }

    fn on_message(
        &mut self,
        at: Time,
        (from, to): (ActorId, ActorId),
        pipe: Pipe,
        message: &Message,
        report: &mut Report,
    ) {
        if !self.people.is_honest(from) {
            return;
        }
        let Message::Client(message) = message else { return };
        match message {
            ClientMessage::StreamResponse(response) if response.ok => {
                self.on_response(from, pipe, response.rate.0, response.max_bytes_per_voucher);
            }
            ClientMessage::StreamAbort(_) => self.on_over(from, pipe, false),
            ClientMessage::CloseConsent(_) => {
                if let Some(number) = self.pipes.get(pipe).and_then(|asked| asked.channel.checked_sub(1)) {
                    let (deal, risk) = self.channels.at(number);
                    risk.is_final = true;
                    if deal.payer != Some(to) {
                        let id = deal.id;
                        report.violation("O3", "I3", || {
                            let (from, to) = (self.people.name(from), self.people.name(to));
                            format!("{}: {from} lets {to} end channel {id}, which isn't its own", clock(at))
                        });
                    }
                }
            }
            _ => {}
        }
    }

    fn on_end(&mut self, at: Time, report: &mut Report) {
        for (deal, risk) in self.channels.iter_mut() {
            let Some(node) = deal.payee.filter(|payee| self.people.is_honest(*payee)) else { continue };
            // What settles below its best voucher is another oracle's business (O8).
            let owed = risk.sent.saturating_add(risk.forgotten);
            let loss = owed.saturating_sub(risk.paid.saturating_mul(UNIT)).div_ceil(UNIT);
            let cadence = u128::from(risk.largest_offer) * u128::from(risk.rate);
            let limit = (cadence * (1 + u128::from(risk.crashes))).div_ceil(UNIT);
            let name = self.people.name(node);
            if loss > self.lifts.of(node).unwrap_or(limit) {
                let id = deal.id;
                report.violation("O3", "D9", || {
                    format!("{}: {name} lost {loss} on channel {id}, where {limit} is one cadence", clock(at))
                });
            }
        }
        report.observe(Quantity::ExposureBytes, self.most_exposed);
    }

    fn learn(&mut self, tx: &crate::seen::Included<'_>) {
        let known = self.channels.len();
        self.channels.learn(tx, &self.people);
        if self.channels.len() > known {
            let (Deal { payee: Some(payee), .. }, _) = self.channels.at(known as u32) else { return };
            self.by_payee[usize::from(payee.0)].push(known as u32);
        }
    }
}

impl Oracle for NodeLoss {
    fn name(&self) -> &'static str {
        "O3"
    }

    fn kinds(&self) -> &'static [Kind] {
        &[
            Kind::Start,
            Kind::Included,
            Kind::Sent,
            Kind::Delivered,
            Kind::SentContent,
            Kind::Persisted,
            Kind::StreamOver,
            Kind::Unlinked,
            Kind::Crashed,
            Kind::End,
        ]
    }

    fn see(&mut self, at: Time, seen: &Seen<'_>, report: &mut Report) {
        match *seen {
            Seen::SentContent { from, to, pipe, offset, bytes, .. } if self.people.is_honest(from) => {
                self.on_content(at, (from, to), pipe, (offset, offset + bytes), report);
            }
            Seen::Sent { from, to, pipe, message } => self.on_message(at, (from, to), pipe, message, report),
            Seen::Delivered { to, pipe, message: Message::Client(message), .. } => match message {
                ClientMessage::StreamRequest(request) => {
                    self.on_request(to, pipe, &request.channel, &request.hash)
                }
                ClientMessage::CloseRequest(request) => {
                    self.on_request(to, pipe, &request.channel, &BlobHash::default());
                }
                ClientMessage::StreamEnd if self.people.is_honest(to) => self.on_over(to, pipe, true),
                _ => {}
            },
            Seen::Persisted { actor, writes, .. } if self.people.is_honest(actor) => {
                for record in writes {
                    if let Record::Earning(earning) = record
                        && let Some((deal, risk)) = self.channels.get(&earning.channel)
                        && deal.payee == Some(actor)
                    {
                        risk.pay(earning.best.map_or(0, |best| best.amount.0));
                    }
                }
            }
            Seen::StreamOver { actor, pipe } if self.people.is_honest(actor) => {
                self.on_over(actor, pipe, false);
            }
            Seen::Unlinked { link, actor, .. } if self.people.is_honest(actor) => {
                for index in 0..self.pipes.on_link(link).len() as u32 {
                    self.on_over(actor, Pipe { link, index }, false);
                }
            }
            Seen::Crashed { actor, durable, .. } if self.people.is_honest(actor) => {
                self.on_crash(actor, durable);
            }
            Seen::Included { tx, .. } => self.learn(tx),
            Seen::Start { cast, chain } => {
                self.people = People::new(cast);
                self.channels.learn_all(chain, &self.people);
                self.by_payee = vec![Vec::new(); cast.people.len()];
            }
            Seen::End { .. } => self.on_end(at, report),
            _ => {}
        }
    }
}
