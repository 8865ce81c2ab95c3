//! A database file that is never believed to have been closed well.
//!
//! redb keeps two flags in the tenth byte of its file: whether recovery is needed, and whether the last commit was made in
//! two phases, as a clean close does. Where they say "closed well", it loads pages without a look at their checksums:
//! damage then comes back as records, as a wrong list of free pages, or as a panic. So whoever reads that byte reads
//! "recovery needed, one phase", and redb walks all its trees, compares every checksum, and makes the list anew.

use std::{io, ops::Bound};

use redb::{BackendError, StorageBackend};

/// Where the flags are: after the magic number. redb's file format 3, which this workspace's exact version of redb writes.
const FLAGS_AT: u64 = 9;
const RECOVERY_REQUIRED: u8 = 2;
const TWO_PHASE_COMMIT: u8 = 4;

#[derive(Debug)]
pub(crate) struct Doubted<B>(pub(crate) B);

impl<B: StorageBackend> StorageBackend for Doubted<B> {
    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)?;
        let flags = FLAGS_AT.checked_sub(offset).and_then(|at| usize::try_from(at).ok());
        if let Some(flags) = flags.and_then(|at| out.get_mut(at)) {
            *flags = (*flags | RECOVERY_REQUIRED) & !TWO_PHASE_COMMIT;
        }
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
