//! Scenarios: files that say who takes part, what may go wrong, what is downloaded, and what must hold.

mod check;
pub mod event;
pub mod file;
mod formula;
mod load;
mod plan;

pub use formula::{Symbol, Symbols, evaluate};
pub use load::{BadScenario, all, find, folder, parse};
pub use plan::{Plan, PlannedActor, PlannedBlob, PlannedFetch, Stretch};

use self::file::File;

/// A scenario with its name.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `theme/name`, as on the command line.
    pub name: String,
    /// What the file says.
    pub file: File,
    /// BLAKE3 of the file's text, in hex.
    pub hash: String,
}

impl Scenario {
    /// What comes before the slash.
    pub fn theme(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}
