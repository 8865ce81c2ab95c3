//! What a command says while it works: text and a progress bar for people, one JSON object per line for programs.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::Value;

use super::{Failure, failed};

/// How often a program hears of progress.
const EVERY_BYTES: u64 = 1 << 20;

/// Whom a command talks to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ear {
    /// People, on standard error: standard output may carry data.
    People,
    /// Programs, on standard output.
    Programs,
    /// Programs, on standard error, because standard output carries data.
    ProgramsBeside,
}

impl Ear {
    pub(super) fn of(json: bool, data_on_stdout: bool) -> Self {
        match (json, data_on_stdout) {
            (false, _) => Self::People,
            (true, false) => Self::Programs,
            (true, true) => Self::ProgramsBeside,
        }
    }

    /// A line for people.
    pub(super) fn say(self, text: impl std::fmt::Display) {
        if self == Self::People {
            // Nobody listens: nobody misses it.
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }

    /// A line for programs.
    pub(super) fn tell(self, event: &Value) {
        let _ = match self {
            Self::People => Ok(()),
            Self::Programs => writeln!(std::io::stdout(), "{event}"),
            Self::ProgramsBeside => writeln!(std::io::stderr(), "{event}"),
        };
    }

    /// A bar, where somebody looks at one.
    pub(super) fn bar(self, what: &'static str) -> Bar {
        let is_seen = self == Self::People && std::io::stderr().is_terminal();
        let target = if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(
            "  {prefix} [{bar:14}] {bytes}/{total_bytes} {binary_bytes_per_sec} eta {eta}  {msg}",
        )
        .expect("the template is written here")
        .progress_chars("=> ");
        Bar {
            ear: self,
            bar: ProgressBar::with_draw_target(Some(0), target).with_style(style).with_prefix(what),
            told: 0,
        }
    }
}

/// Progress of one download.
#[derive(Debug)]
pub(super) struct Bar {
    ear: Ear,
    pub(super) bar: ProgressBar,
    told: u64,
}

impl Bar {
    /// How far it is; programs hear of whole MiB.
    pub(super) fn at(&mut self, bytes: u64, total: Option<u64>) {
        self.bar.set_position(bytes);
        if bytes / EVERY_BYTES != self.told / EVERY_BYTES || Some(bytes) == total {
            self.ear.tell(&serde_json::json!({ "event": "progress", "bytes": bytes, "total_bytes": total }));
        }
        self.told = bytes;
    }
}

/// Puts data on standard output.
pub(super) fn data(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes).and_then(|()| out.flush()).map_err(unwritable)
}

/// Standard output takes no more.
pub(super) fn unwritable(error: std::io::Error) -> Failure {
    failed(format!("standard output can't be written: {error}; make room, or write to a file with --output"))
}

/// A line of result on standard output.
pub(super) fn line(text: impl std::fmt::Display) -> Result<(), Failure> {
    data(format!("{text}\n").as_bytes())
}
