//! Writing a run down.

use std::{any::Any, collections::BTreeMap, io::Write};

use decdn_engine::{
    io::{Effect, Input},
    state::Digest,
    time::Time,
};
use decdn_recording::Chained;
use serde::Serialize;
use serde_json::json;

use super::line::{Head, Tail, chained, choices_to_text};
use crate::{
    actor::ActorId,
    decide::Choice,
    run::Outcome,
    rung::Mix,
    seen::{Pipe, Seen},
    watch::Recorder,
};

/// A digest line comes after this many steps.
const DIGEST_STEPS: u64 = 256;
/// Choices are written when the text is this long.
const CHOICES_BYTES: usize = 4_096;

/// What an input answers: it was caused by the line that asked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asked {
    Sign(ActorId, u64),
    Tx(ActorId, u64),
    Persist(ActorId, u64),
}

/// Writes lines to wherever they go.
pub struct Scribe<W: Write> {
    to: W,
    chained: Chained,
    full: bool,
    names: Vec<String>,
    choices: String,
    mix: Mix,
    steps: u64,
    line: u64,
    sent: BTreeMap<(Pipe, ActorId), Vec<u64>>,
    asked: BTreeMap<Asked, u64>,
    delivered_by: Option<u64>,
    /// The first error of the writer: nothing is written after it.
    failed: Option<std::io::Error>,
}

impl<W: Write + 'static> Scribe<W> {
    /// Begins a trace.
    pub fn new(to: W, head: &Head) -> Self {
        let mut scribe = Self {
            to,
            chained: chained(),
            full: head.full,
            names: Vec::new(),
            choices: String::new(),
            mix: Mix::new(),
            steps: 0,
            line: 0,
            sent: BTreeMap::new(),
            asked: BTreeMap::new(),
            delivered_by: None,
            failed: None,
        };
        scribe.write(&json!({ "head": head }));
        scribe
    }

    fn write(&mut self, body: &impl Serialize) -> u64 {
        self.line += 1;
        if self.failed.is_none() {
            let text = serde_json::to_string(body).expect("plain data has a text");
            let line = self.chained.wrap(&text);
            if let Err(why) = self.to.write_all(line.as_bytes()) {
                self.failed = Some(why);
            }
        }
        self.line
    }

    fn flush_choices(&mut self) {
        if !self.choices.is_empty() {
            let text = std::mem::take(&mut self.choices);
            self.write(&json!({ "choices": text }));
        }
    }

    fn digest_line(&mut self) {
        let hash = hex(&self.mix.finish());
        self.write(&json!({ "digest": [self.steps, hash] }));
    }

    fn name(&self, id: ActorId) -> &str {
        self.names.get(usize::from(id.0)).map_or("?", String::as_str)
    }

    /// Ends the trace and gives the writer back.
    ///
    /// # Errors
    /// The first one of the writer.
    pub fn finish(mut self, outcome: &Outcome) -> std::io::Result<W> {
        self.flush_choices();
        self.digest_line();
        let tail = Tail {
            steps: outcome.ran.steps,
            micros: outcome.ran.time.0,
            digest: hex(&outcome.ran.digest),
            violations: outcome.violations.clone(),
            probes: outcome.probes.iter().map(|(name, count)| (name.clone(), *count)).collect(),
            bounds: outcome.bounds.clone(),
            ledger: outcome.balances.iter().map(|(name, sum)| (name.clone(), sum.to_string())).collect(),
        };
        self.write(&json!({ "tail": tail }));
        match self.failed {
            Some(why) => Err(why),
            None => Ok(self.to),
        }
    }

    fn cause(&mut self, actor: ActorId, input: &Input) -> Option<u64> {
        match input {
            Input::Message { .. } => self.delivered_by.take(),
            Input::Signed { ticket, .. } => self.asked.remove(&Asked::Sign(actor, ticket.0)),
            Input::Persisted { seq } => self.asked.remove(&Asked::Persist(actor, seq.0)),
            Input::Tx { ticket, .. } => self.asked.get(&Asked::Tx(actor, ticket.0)).copied(),
            _ => None,
        }
    }

    fn full_line(&mut self, at: Time, seen: &Seen<'_>, digest: Option<Digest>) {
        let at = at.0;
        match seen {
            Seen::Step { actor, input, outputs, .. } => {
                let cause = self.cause(*actor, input);
                let actor_name = self.name(*actor).to_owned();
                let digest = digest.map(|digest| hex(&digest.0[..8]));
                let body = json!({ "seen": { "at": at, "step": actor_name, "cause": cause, "input": input,
                    "outputs": outputs, "digest": digest } });
                let line = self.write(&body);
                for output in *outputs {
                    let key = match &output.effect {
                        Effect::Sign { ticket, .. } => Asked::Sign(*actor, ticket.0),
                        Effect::Tx { ticket, .. } => Asked::Tx(*actor, ticket.0),
                        Effect::Persist { seq, .. } => Asked::Persist(*actor, seq.0),
                        _ => continue,
                    };
                    self.asked.insert(key, line);
                }
            }
            Seen::Sent { from, to, pipe, .. } => {
                let body = json!({ "seen": { "at": at, "sent": [self.name(*from), self.name(*to)],
                    "pipe": [pipe.link.0, pipe.index] } });
                let line = self.write(&body);
                self.sent.entry((*pipe, *from)).or_default().push(line);
            }
            Seen::Delivered { from, pipe, .. } => {
                let waiting = self.sent.entry((*pipe, *from)).or_default();
                self.delivered_by =
                    if waiting.len() > 1 { Some(waiting.remove(0)) } else { waiting.first().copied() };
            }
            Seen::Lost { from, to, pipe, message } => {
                let lost = [self.name(*from), self.name(*to)];
                let body = json!({ "seen": { "at": at, "lost": lost, "pipe": [pipe.link.0, pipe.index],
                    "message": message } });
                self.write(&body);
            }
            Seen::Crashed { actor, undone, is_wiped, .. } => {
                let mut body =
                    json!({ "seen": { "at": at, "crashed": self.name(*actor), "undone": undone } });
                if *is_wiped {
                    body["seen"]["wiped"] = true.into();
                }
                self.write(&body);
            }
            Seen::Restarted { actor, digest, .. } => {
                let body = json!({ "seen": { "at": at, "restarted": self.name(*actor),
                    "digest": hex(&digest.0[..8]) } });
                self.write(&body);
            }
            Seen::Included { tx, .. } => {
                let from = tx.from.map(|id| self.name(id));
                let body = json!({ "seen": { "at": at, "included": from, "call": tx.call, "route": tx.route,
                    "block": tx.block, "result": tx.result, "events": tx.events.len() } });
                self.write(&body);
            }
            Seen::Undone { tx } => {
                let from = tx.from.map(|id| self.name(id));
                let body =
                    json!({ "seen": { "at": at, "undone": from, "call": tx.call, "block": tx.block } });
                self.write(&body);
            }
            Seen::Suspended { actor, lasts } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "suspended": name, "lasts": lasts.0 } }));
            }
            Seen::ClockSet { actor, ahead_us } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "clock": name, "ahead_us": ahead_us } }));
            }
            Seen::HeadOff { actor, ahead_us, blocks } => {
                let name = self.name(*actor);
                let body = json!({ "seen": { "at": at, "head_off": name, "ahead_us": ahead_us,
                    "blocks": blocks } });
                self.write(&body);
            }
            Seen::LogsMissed { actor, missed } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "logs_missed": name, "missed": missed } }));
            }
            Seen::EndpointWrong { actor, endpoint } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "endpoint_of": name, "wrong": endpoint } }));
            }
            Seen::Apart { actor } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "endpoints_apart": name } }));
            }
            Seen::TxLost { actor, route } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "lost_tx": name, "route": route } }));
            }
            Seen::EtherSet { actor, wei } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "ether": name, "wei": wei.to_string() } }));
            }
            Seen::Purse { actor, what } => {
                let name = self.name(*actor);
                self.write(&json!({ "seen": { "at": at, "purse": name, "what": format!("{what:?}") } }));
            }
            Seen::Sequencer { censored, up } => {
                let censored = censored.map(|id| self.name(id));
                let body = json!({ "seen": { "at": at, "sequencer": up, "censored": censored } });
                self.write(&body);
            }
            Seen::Calm { left } => {
                self.write(&json!({ "seen": { "at": at, "calm": left.0 } }));
            }
            Seen::Start { .. }
            | Seen::Started { .. }
            | Seen::Linked { .. }
            | Seen::Unlinked { .. }
            | Seen::StreamOver { .. }
            | Seen::Block { .. }
            | Seen::WindowSet { .. }
            | Seen::SentContent { .. }
            | Seen::Verified { .. }
            | Seen::Persisted { .. }
            | Seen::Signed { .. }
            | Seen::Submitted { .. }
            | Seen::End { .. } => {}
        }
    }
}

impl<W: Write + 'static> Recorder for Scribe<W> {
    fn record(&mut self, at: Time, seen: &Seen<'_>, digest: Option<Digest>) {
        if let Seen::Start { cast, .. } = seen {
            self.names = cast.people.iter().map(|person| person.name.clone()).collect();
        }
        if self.full {
            self.full_line(at, seen, digest);
        }
        if let Some(digest) = digest {
            self.steps += 1;
            self.mix.bytes(&digest.0);
            if self.steps.is_multiple_of(DIGEST_STEPS) {
                self.digest_line();
            }
        }
    }

    fn choices(&mut self, choices: &[Choice]) {
        choices_to_text(choices, &mut self.choices);
        if self.choices.len() >= CHOICES_BYTES {
            self.flush_choices();
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Lower-case hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
