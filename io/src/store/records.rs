//! The engine's records as the driver commits them: [`RecordDb`] on threads that may wait for a disk.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use decdn_driver::Store;
use decdn_engine::record::Record;
use decdn_store::{Age, RecordDb, StoreError};

use super::StateDir;
use crate::party::StartError;

/// Durable records of one role.
#[derive(Clone, Debug)]
pub struct Records {
    db: Arc<RecordDb>,
}

impl Records {
    /// Opens or makes the database of a directory. One of an earlier version is sealed, and the directory is of this
    /// version from then on.
    ///
    /// # Errors
    /// If the disk refuses, or the database is not as its last commit left it.
    pub fn open(dir: &mut StateDir) -> Result<Self, StartError> {
        let age = if dir.is_older() { Age::Unsealed } else { Age::Sealing };
        let [db, _] = Self::paths(dir.path());
        let records = Self::over(RecordDb::open_at(&db, age)?);
        dir.upgrade()?;
        Ok(records)
    }

    /// The database in a state directory, and its mark.
    pub fn paths(dir: &Path) -> [PathBuf; 2] {
        ["records.redb", "records.mark"].map(|name| dir.join(name))
    }

    /// The records of a database that is open.
    pub fn over(db: RecordDb) -> Self {
        Self { db: Arc::new(db) }
    }

    /// Everything that is durable, for recovery.
    ///
    /// # Errors
    /// If the database can't be read, or holds what this program did not write.
    pub fn load(&self) -> Result<Vec<Record>, StoreError> {
        self.db.load()
    }

    /// Makes write sets durable: all of them or none. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// If the disk refuses; what is durable then is known only after opening again.
    pub fn write(&self, sets: &[Vec<Record>]) -> Result<(), StoreError> {
        self.db.write(sets)
    }

    /// Ends once nobody else holds the database: commits that a dropped driver left under way are done, and the
    /// file can be opened again.
    pub async fn close(self) {
        while Arc::strong_count(&self.db) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Store for Records {
    type Error = StoreError;

    fn commit(
        &mut self,
        sets: Vec<Vec<Record>>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send + 'static + use<> {
        let records = self.clone();
        let writing = tokio::task::spawn_blocking(move || records.write(&sets));
        async { writing.await.unwrap_or(Err(StoreError::Cut)) }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use decdn_driver::suite::record;
    use decdn_engine::record::Key;

    use super::*;

    #[test]
    fn o12_recovery_reads_the_last_value_of_each_key_and_nothing_that_is_gone() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mut dir = StateDir::open(temp.path()).expect("fresh");
        let records = Records::open(&mut dir).expect("fresh");
        records.write(&[vec![record(1, 1), record(2, 1)], vec![record(1, 2)]]).expect("durable");
        let Key::Earning(gone) = record(2, 0).key() else {
            panic!("the suite's records are earning channels")
        };
        records.write(&[vec![Record::Gone(Key::Earning(gone)), Record::Cursor(9)]]).expect("durable");
        drop(records);
        let mut found = Records::open(&mut dir).expect("still there").load().expect("readable");
        found.sort_by_key(Record::key);
        assert_eq!(found, [record(1, 2), Record::Cursor(9)]);
    }

    #[test]
    fn a_directory_of_the_first_version_is_taken_over_once() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let mut dir = StateDir::open(temp.path()).expect("fresh");
        Records::open(&mut dir).expect("fresh").write(&[vec![record(1, 1)]]).expect("durable");
        drop(dir);
        let mark = temp.path().join("records.mark");
        fs::remove_file(&mark).expect("there");
        let said = {
            let mut dir = StateDir::open(temp.path()).expect("free");
            Records::open(&mut dir).expect_err("no mark").to_string()
        };
        assert!(said.contains("records.mark"), "{said}");
        // The first version had no marks.
        fs::remove_file(&mark).expect("made by the look for it");
        fs::write(temp.path().join("version"), "1\n").expect("writable");
        let mut dir = StateDir::open(temp.path()).expect("known");
        assert_eq!(Records::open(&mut dir).expect("old").load().expect("readable"), [record(1, 1)]);
        assert_eq!(fs::read_to_string(temp.path().join("version")).expect("there"), "2\n");
        assert!(!dir.is_older() && mark.exists());
    }
}
