//! The number of the last commit, in a file of its own: it tells the newest database from an older one.
//!
//! After a crash redb takes a damaged commit for one that was never finished and goes back to the one before, which is right
//! only if nobody was told of it. The mark is written after a commit is durable and before anybody hears of it, and
//! it is not synced, so it costs a write into the page cache. A killed process can't take it back; where the power fails
//! it may lag behind, never run ahead: a mark is no reason to refuse a database that lost nothing.

use std::{fmt, io};

use redb::StorageBackend;

use crate::seal::checksum;

/// Commits write their number into the slots in turn, so that one that is torn leaves the other.
const SLOTS: u64 = 2;
/// Slots are in blocks of their own.
const SLOT_BYTES: u64 = 4_096;
/// A number and its checksum.
const BYTES: usize = 8 + 32;

pub(crate) struct Mark(Box<dyn StorageBackend>);

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Mark").finish()
    }
}

/// What a mark says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Marked {
    /// No commit was ever marked.
    Never,
    /// It was, but can't be read.
    Damaged,
    /// The number of the last commit that was told of, or a little less.
    At(u64),
}

impl Mark {
    pub(crate) fn new(file: impl StorageBackend) -> Self {
        Self(Box::new(file))
    }

    pub(crate) fn read(&self) -> io::Result<Marked> {
        let len = self.0.len()?.min(SLOTS * SLOT_BYTES);
        let mut file = vec![0; len as usize];
        self.0.read(0, &mut file)?;
        let slots = file.chunks(SLOT_BYTES as usize).filter_map(|slot| slot.get(..BYTES));
        let whole = slots.filter_map(|slot| {
            let (number, check) = slot.split_first_chunk()?;
            (check == checksum("decdn mark v1", number)).then_some(u64::from_le_bytes(*number))
        });
        Ok(match whole.max() {
            Some(number) => Marked::At(number),
            // Making it may have been cut off in its first slot; the first commit is in the second one, synced.
            None if file.iter().skip(BYTES).all(|byte| *byte == 0) => Marked::Never,
            None => Marked::Damaged,
        })
    }

    /// Begins a mark, durably: a database that is made after it can be told from one that lost it.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.0.set_len(SLOTS * SLOT_BYTES)?;
        self.set(0)?;
        self.sync()
    }

    /// A commit is durable. The first one syncs the mark, so that a mark at 0 says for certain that nobody was told anything.
    pub(crate) fn follow(&self, commit: u64) -> io::Result<()> {
        self.set(commit)?;
        if commit == 1 { self.sync() } else { Ok(()) }
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    pub(crate) fn set(&self, commit: u64) -> io::Result<()> {
        let mut slot = [0; BYTES];
        let number = commit.to_le_bytes();
        slot[..8].copy_from_slice(&number);
        slot[8..].copy_from_slice(&checksum("decdn mark v1", &number));
        self.0.write(commit % SLOTS * SLOT_BYTES, &slot)
    }
}
