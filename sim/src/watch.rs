//! Everybody who looks on: the oracles, each asked only about what it reads, and the trace.

use decdn_engine::{
    io::{Effect, Input},
    state::Digest,
    time::Time,
};

use crate::{
    decide::Choice,
    report::Report,
    seen::{Kind, Oracle, Seen},
};

/// The onlookers of a run and what they found.
#[derive(Default)]
pub struct Watch {
    oracles: Vec<Box<dyn Oracle>>,
    /// By kind: which oracles read it.
    readers: Vec<Vec<u8>>,
    /// Those that count idle steps as well.
    counting: Vec<u8>,
    /// What they found.
    pub report: Report,
    /// Who writes everything down.
    pub recorder: Option<Box<dyn Recorder>>,
}

/// Writes a run down.
pub trait Recorder {
    /// Something happened; for a step, with the digest after it.
    fn record(&mut self, at: Time, seen: &Seen<'_>, digest: Option<Digest>);
    /// These choices were made since it was last asked.
    fn choices(&mut self, choices: &[Choice]);
    /// The recorder itself, to take out what it wrote.
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any>;
}

impl Watch {
    /// Onlookers.
    pub fn new(oracles: Vec<Box<dyn Oracle>>) -> Self {
        assert!(oracles.len() <= usize::from(u8::MAX), "too many oracles for their numbers");
        let those = |which: &dyn Fn(&dyn Oracle) -> bool| {
            let numbers = (0..oracles.len() as u8).filter(|number| which(&*oracles[usize::from(*number)]));
            numbers.collect::<Vec<u8>>()
        };
        let readers = Kind::ALL.iter().map(|kind| those(&|oracle| oracle.kinds().contains(kind))).collect();
        let counting = those(&|oracle| oracle.kinds().contains(&Kind::Step) && oracle.counts_idle_steps());
        Self { readers, counting, oracles, report: Report::default(), recorder: None }
    }

    /// Shows something to everybody who reads its kind.
    pub fn see(&mut self, at: Time, seen: &Seen<'_>) {
        self.show(at, seen, None);
    }

    /// Shows a step. Most steps of a long run only read the chain, and find nothing new: oracles are not asked about those
    /// unless they count them.
    pub fn step(&mut self, at: Time, digest: Digest, seen: &Seen<'_>) {
        if !is_idle(seen) {
            return self.show(at, seen, Some(digest));
        }
        if let Some(recorder) = &mut self.recorder {
            recorder.record(at, seen, Some(digest));
        }
        for &reader in &self.counting {
            self.oracles[usize::from(reader)].see(at, seen, &mut self.report);
        }
    }

    fn show(&mut self, at: Time, seen: &Seen<'_>, digest: Option<Digest>) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(at, seen, digest);
        }
        if let Some(readers) = self.readers.get(seen.kind() as usize) {
            for &reader in readers {
                self.oracles[usize::from(reader)].see(at, seen, &mut self.report);
            }
        }
    }
}

/// Whether a step only asks for news from the chain, or hears that there is none but a new head.
fn is_idle(seen: &Seen<'_>) -> bool {
    let Seen::Step { input, outputs, .. } = seen else { return false };
    let is_nothing_new = match input {
        Input::Tick => true,
        Input::Chain(update) => update.events.is_empty() && update.forked_at.is_none(),
        _ => false,
    };
    is_nothing_new && outputs.iter().all(|output| matches!(output.effect, Effect::Poll { .. }))
}
