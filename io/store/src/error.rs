//! Why records can't be stored or read, in a sentence for whoever runs the program.

use std::{fmt, io};

/// See the module. `place` is the file.
#[derive(Debug)]
pub enum StoreError {
    /// The disk refused. What to do about it depends on who asked, so the sentence doesn't say.
    Disk {
        /// Which file.
        place: String,
        /// What it said.
        why: String,
    },
    /// Whoever wrote has died over it.
    Cut,
    /// The file is none that a database has left.
    Damaged {
        /// Which file.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The file is a database, and an older one than was there last.
    Older {
        /// Which file.
        place: String,
        /// The number of its last commit; `None` if it has nothing.
        found: Option<u64>,
        /// The number that it should have at least.
        marked: u64,
    },
    /// Nothing says whether the database is the newest.
    Unmarked {
        /// The file that should.
        place: String,
    },
    /// A value is none that this program writes.
    Foreign {
        /// Which file.
        place: String,
    },
}

/// What can be done about a file that is not the one that was written.
const ADVICE: &str = "put back the newest copy of the state directory, or start over in another one, after \
                      `decdn client monitor` there has closed what a client had open";

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk { place, why } => write!(f, "{place} can't be used: {why}"),
            Self::Cut => f.write_str("a commit was cut off"),
            Self::Damaged { place, why } => write!(f, "{place} is damaged ({why}); {ADVICE}"),
            Self::Older { place, found: Some(found), marked } => write!(
                f,
                "{place} is damaged or an old copy: it ends with commit {found}, and commit {marked} was there already; \
                 {ADVICE}"
            ),
            Self::Older { place, found: None, marked } => {
                write!(f, "{place} is empty, and there were {marked} commits in it; {ADVICE}")
            }
            Self::Unmarked { place } => write!(
                f,
                "{place} is missing or damaged, and without it nobody can tell whether the records are the newest; {ADVICE}"
            ),
            Self::Foreign { place } => {
                write!(f, "{place} holds a value of another version; use the decdn that wrote it")
            }
        }
    }
}

impl std::error::Error for StoreError {}

/// What can go wrong inside, before it is known which file it is about.
pub(crate) enum Trouble {
    Redb(redb::Error),
    Damaged(&'static str),
    Foreign,
    Older { found: u64, marked: u64 },
}

impl<E: Into<redb::Error>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Redb(error.into())
    }
}

impl Trouble {
    pub(crate) fn at(self, place: &str) -> StoreError {
        let place = place.to_owned();
        match self {
            Self::Damaged(why) => StoreError::Damaged { place, why: why.to_owned() },
            Self::Foreign => StoreError::Foreign { place },
            Self::Older { found, marked } => StoreError::Older { place, found: Some(found), marked },
            Self::Redb(redb::Error::Io(error))
                if !matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) =>
            {
                StoreError::Disk { place, why: error.to_string() }
            }
            Self::Redb(redb::Error::DatabaseAlreadyOpen) => {
                StoreError::Disk { place, why: "another process has it open".to_owned() }
            }
            Self::Redb(
                error
                @ (redb::Error::PreviousIo | redb::Error::LockPoisoned(_) | redb::Error::DatabaseClosed),
            ) => StoreError::Disk { place, why: error.to_string() },
            Self::Redb(error) => StoreError::Damaged { place, why: error.to_string() },
        }
    }
}
