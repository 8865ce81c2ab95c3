//! Scenarios: files that say who takes part, what may go wrong, what is downloaded, and what must hold.

pub mod accounts;
mod check;
mod drawn;
pub mod endpoint;
mod event;
pub mod file;
mod formula;
mod keep;
mod load;
mod path;
mod plan;
mod set;
mod terms;
pub mod tokens;

pub use drawn::drawn;
pub use formula::{Symbol, Symbols, evaluate};
pub use load::{BadScenario, all, find, folder, load, parse};
pub use plan::{Plan, PlannedActor, PlannedBlob, PlannedFetch, Stretch};
pub use set::{Setting, parse_list, with};

use self::file::File;

/// A scenario with its name.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// `theme/name`, as on the command line.
    pub name: String,
    /// What the file says.
    pub file: File,
    /// BLAKE3 of the file's text, and of what was set, in hex.
    pub hash: String,
    /// The file's text.
    pub text: String,
    /// What was set beside it, as `KEY=VALUE`: see [`with`].
    pub set: Vec<String>,
}

impl Scenario {
    /// What comes before the slash.
    pub fn theme(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}
