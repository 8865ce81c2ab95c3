//! Everybody who looks on: the oracles, each asked only about what it reads, and the trace.

use decdn_engine::{state::Digest, time::Time};

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
        let reading = |kind: Kind| {
            let numbers = (0..oracles.len() as u8)
                .filter(|number| oracles[usize::from(*number)].kinds().contains(&kind));
            numbers.collect()
        };
        let readers = Kind::ALL.iter().map(|kind| reading(*kind)).collect();
        Self { readers, oracles, report: Report::default(), recorder: None }
    }

    /// Shows something to everybody who reads its kind.
    pub fn see(&mut self, at: Time, seen: &Seen<'_>) {
        self.show(at, seen, None);
    }

    /// Shows a step.
    pub fn step(&mut self, at: Time, digest: Digest, seen: &Seen<'_>) {
        self.show(at, seen, Some(digest));
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

    /// Whether somebody reads steps: then their inputs have to be kept.
    pub fn shows_steps(&self) -> bool {
        self.recorder.is_some() || self.readers.get(Kind::Step as usize).is_some_and(|who| !who.is_empty())
    }
}
