//! The engine's records in redb: a key's last value, committed in groups, each group whole or not at all.

use std::{future::Future, path::Path, sync::Arc, time::Duration};

use decdn_driver::Store;
use decdn_engine::record::Record;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

/// Postcard key → a version byte and a postcard record.
const RECORDS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("records");
/// The version of values.
const VALUE_VERSION: u8 = 1;

/// Why records can't be stored or read.
#[derive(Debug)]
pub enum RecordError {
    /// The database refused.
    Database(Box<redb::Error>),
    /// A value is none that this program wrote.
    Foreign,
    /// The commit's thread has died.
    Gone,
}

impl std::fmt::Display for RecordError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Database(error) => write!(f, "the record database failed: {error}"),
            Self::Foreign => f.write_str(
                "the record database holds a value of another version; use the decdn that wrote it",
            ),
            Self::Gone => f.write_str("a commit was cut off"),
        }
    }
}

impl std::error::Error for RecordError {}

impl<E: Into<redb::Error>> From<E> for RecordError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}

/// Durable records of one role.
#[derive(Clone, Debug)]
pub struct Records {
    db: Arc<Database>,
}

impl Records {
    /// Opens or makes the database. It belongs into a [`StateDir`](super::StateDir), whose lock it relies on.
    ///
    /// # Errors
    /// If it can't be opened: a disk that fails, a file that is no database.
    pub fn open(file: &Path) -> Result<Self, RecordError> {
        let db = Database::create(file)?;
        let write = db.begin_write()?;
        write.open_table(RECORDS)?;
        write.commit()?;
        Ok(Self { db: Arc::new(db) })
    }

    /// Everything that is durable, for recovery.
    ///
    /// # Errors
    /// If the database can't be read, or holds what this program did not write.
    pub fn load(&self) -> Result<Vec<Record>, RecordError> {
        let read = self.db.begin_read()?;
        let table = read.open_table(RECORDS)?;
        table
            .iter()?
            .map(|entry| {
                let (_, value) = entry?;
                match value.value().split_first() {
                    Some((&VALUE_VERSION, body)) => {
                        postcard::from_bytes(body).map_err(|_| RecordError::Foreign)
                    }
                    _ => Err(RecordError::Foreign),
                }
            })
            .collect()
    }

    /// Makes write sets durable: all of them or none. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// If the disk refuses; what is durable then is known only after opening again.
    pub fn write(&self, sets: &[Vec<Record>]) -> Result<(), RecordError> {
        let write = self.db.begin_write()?;
        {
            let mut table = write.open_table(RECORDS)?;
            for record in sets.iter().flatten() {
                let key = postcard::to_allocvec(&record.key()).expect("plain data into memory can't fail");
                if let Record::Gone(_) = record {
                    table.remove(key.as_slice())?;
                } else {
                    let value = postcard::to_extend(record, vec![VALUE_VERSION]);
                    table.insert(
                        key.as_slice(),
                        value.expect("plain data into memory can't fail").as_slice(),
                    )?;
                }
            }
        }
        write.commit()?;
        Ok(())
    }
}

impl Records {
    /// Ends once nobody else holds the database: commits that a dropped driver left under way are done, and the
    /// file can be opened again.
    pub async fn close(self) {
        while Arc::strong_count(&self.db) > 1 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

impl Store for Records {
    type Error = RecordError;

    fn commit(
        &mut self,
        sets: Vec<Vec<Record>>,
    ) -> impl Future<Output = Result<(), RecordError>> + Send + 'static + use<> {
        let records = self.clone();
        let writing = tokio::task::spawn_blocking(move || records.write(&sets));
        async { writing.await.unwrap_or(Err(RecordError::Gone)) }
    }
}

#[cfg(test)]
mod tests {
    use decdn_driver::suite::record;
    use decdn_engine::record::Key;

    use super::*;

    #[test]
    fn o12_recovery_reads_the_last_value_of_each_key_and_nothing_that_is_gone() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let file = temp.path().join("records.redb");
        let records = Records::open(&file).expect("fresh");
        records.write(&[vec![record(1, 1), record(2, 1)], vec![record(1, 2)]]).expect("durable");
        let Key::Earning(gone) = record(2, 0).key() else {
            panic!("the suite's records are earning channels")
        };
        records.write(&[vec![Record::Gone(Key::Earning(gone)), Record::Cursor(9)]]).expect("durable");
        drop(records);
        let mut found = Records::open(&file).expect("still there").load().expect("readable");
        found.sort_by_key(Record::key);
        assert_eq!(found, [record(1, 2), Record::Cursor(9)]);
    }

    #[test]
    fn a_value_of_another_version_is_refused() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let records = Records::open(&temp.path().join("records.redb")).expect("fresh");
        let write = records.db.begin_write().expect("free");
        write.open_table(RECORDS).expect("there").insert([0].as_slice(), [9, 9].as_slice()).expect("room");
        write.commit().expect("durable");
        assert!(matches!(records.load(), Err(RecordError::Foreign)));
    }
}
