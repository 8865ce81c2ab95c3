//! Times, CPU and how they are printed.

use std::time::{Duration, Instant};

use serde::Serialize;

/// One measured run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) time: Duration,
    pub(super) cpu_ms: Option<u64>,
}

/// Takes the time and the CPU of a run.
pub(super) struct Watch {
    from: Instant,
    cpu: Option<u64>,
}

impl Watch {
    pub(super) fn start() -> Self {
        Self { from: Instant::now(), cpu: cpu_ms() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.from.elapsed()
    }

    pub(super) fn stop(self) -> Run {
        let time = self.elapsed();
        Run { time, cpu_ms: cpu_ms().zip(self.cpu).map(|(now, then)| now - then) }
    }
}

/// CPU time of this process in ms, where the system says.
fn cpu_ms() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    // Linux counts in hundredths of a second, whatever the kernel's own tick.
    Some((user + system) * 10)
}

/// One line of the throughput table.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    what: &'static str,
    mib_per_second: f64,
    /// CPU of the whole process, both ends, per GiB.
    cpu_ms_per_gib: Option<u64>,
    /// The first row's rate over this one's.
    ratio: f64,
    runs_ms: Vec<u128>,
}

/// Medians of `runs` of `bytes` each, beside those of the first row.
pub(super) fn row(what: &'static str, bytes: u64, first: &[Run], runs: &[Run]) -> Row {
    let time = median(runs.iter().map(|run| run.time));
    let cpu = median(runs.iter().map(|run| run.cpu_ms.unwrap_or(0)));
    Row {
        what,
        mib_per_second: mib_per_second(bytes, time),
        cpu_ms_per_gib: runs.iter().all(|run| run.cpu_ms.is_some()).then(|| (cpu << 30) / bytes.max(1)),
        ratio: time.as_secs_f64() / median(first.iter().map(|run| run.time)).as_secs_f64(),
        runs_ms: runs.iter().map(|run| run.time.as_millis()).collect(),
    }
}

pub(super) fn mib_per_second(bytes: u64, time: Duration) -> f64 {
    bytes as f64 / f64::from(1 << 20) / time.as_secs_f64()
}

/// The middle one; `values` is not empty.
pub(super) fn median<T: Ord>(values: impl Iterator<Item = T>) -> T {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.swap_remove(values.len() / 2)
}

impl Row {
    pub(super) const HEAD: &str =
        "                                       MiB/s      CPU ms/GiB      first ÷ this";
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cpu = self.cpu_ms_per_gib.map_or("–".to_owned(), |ms| ms.to_string());
        write!(f, "  {:<34}{:>8.0}{cpu:>16}{:>17.2}", self.what, self.mib_per_second, self.ratio)
    }
}
