//! What a stream sent last: the bytes that may have been lost in transit and go out again for nothing (D8).

use alloc::vec::Vec;

use crate::{
    ids::BlobHash,
    limits::{RESENDS, TAIL_RUNS},
    state::Canonical,
};

/// A run of bytes that went out, and how often again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Run {
    start: u64,
    end: u64,
    resent: u8,
}

/// The last offer that a stream sent, in order, as runs of equal history. Offsets are positions in the blob.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tail {
    /// Of which blob.
    pub hash: BlobHash,
    runs: Vec<Run>,
}

impl Tail {
    /// A stream that sent nothing yet.
    pub fn new(hash: BlobHash) -> Self {
        Self { hash, runs: Vec::new() }
    }

    /// Whether a request from `offset` asks for bytes that this tail holds.
    pub fn covers(&self, hash: BlobHash, offset: u64) -> bool {
        self.hash == hash
            && self.runs.first().is_some_and(|run| run.start <= offset)
            && self.runs.last().is_some_and(|run| offset < run.end)
    }

    /// From `at` on: where the run ends whose bytes may go out again, if they may.
    pub fn resendable(&self, at: u64) -> Option<u64> {
        self.runs
            .iter()
            .find(|run| run.start <= at && at < run.end && run.resent < RESENDS)
            .map(|run| run.end)
    }

    /// Notes that `[start, end)` went out, charged or again, and keeps the last `offer` bytes before `end` and
    /// whatever lies behind `end`.
    pub fn sent(&mut self, start: u64, end: u64, offer: u64) {
        assert!(start <= end, "a stream sends forwards");
        let keep_from = end.saturating_sub(offer);
        if let [run] = self.runs.as_mut_slice()
            && run.end == start
            && run.resent == 0
        {
            *run = Run { start: run.start.max(keep_from), end, resent: 0 };
            return;
        }
        let mut next = Vec::with_capacity(self.runs.len() + 2);
        let mut covered = start;
        for run in &self.runs {
            let (from, to) = (run.start.max(start), run.end.min(end));
            if run.start < start {
                next.push(Run { end: run.end.min(start), ..*run });
            }
            if from < to {
                next.push(Run { start: from, end: to, resent: run.resent.saturating_add(1) });
                covered = to;
            }
            if run.end > end {
                if covered < end {
                    next.push(Run { start: covered, end, resent: 0 });
                    covered = end;
                }
                next.push(Run { start: run.start.max(end), ..*run });
            }
        }
        if covered < end {
            next.push(Run { start: covered, end, resent: 0 });
        }
        self.runs.clear();
        for run in next.into_iter().filter(|run| run.end > keep_from) {
            let run = Run { start: run.start.max(keep_from), ..run };
            match self.runs.last_mut() {
                Some(last) if last.end == run.start && last.resent == run.resent => last.end = run.end,
                _ => self.runs.push(run),
            }
        }
        self.merge_oldest();
    }

    /// Keeps the number of runs bounded: the oldest two become one that went out as often as either of them. So nothing
    /// goes out for nothing more than twice; what could have gone out once more can't. A stream sends on from where it
    /// is, so runs follow each other without a gap.
    fn merge_oldest(&mut self) {
        while self.runs.len() > TAIL_RUNS {
            let oldest = self.runs.remove(0);
            self.runs[0].start = oldest.start;
            self.runs[0].resent = self.runs[0].resent.max(oldest.resent);
        }
        assert!(self.runs.len() <= TAIL_RUNS, "runs are few (O11)");
    }

    /// How many runs it remembers: at most [`TAIL_RUNS`].
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The held range, for the digest.
    pub fn canon(&self, out: &mut Canonical) {
        // Eight bytes tell blobs apart well enough for a fingerprint.
        out.bytes(&self.hash.0[..8]);
        out.number(self.runs.len() as u64);
        for run in &self.runs {
            out.number(run.start);
            out.number(run.end);
            out.tag(run.resent);
        }
    }
}
