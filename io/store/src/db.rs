//! The records in redb: a key's last value, committed in groups, each group whole or not at all.

use std::{fs::File, io, path::Path};

use decdn_engine::record::{Key, Record};
use redb::{
    Builder, Database, ReadTransaction, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction, backends::FileBackend,
};

use crate::{
    doubted::Doubted,
    error::{StoreError, Trouble},
    mark::{Mark, Marked},
    seal::Seal,
};

/// Postcard key → a version byte and a postcard record.
const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
/// One entry: the seal of what is in `RECORDS`.
const SEAL: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("seal");
/// The version of values.
const VALUE_VERSION: u8 = 1;
/// Pages that redb keeps in memory, in bytes. Records are read once, when a role starts.
const CACHE_BYTES: usize = 64 << 20;

/// Which program made a state directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Age {
    /// One that seals and marks its commits: a database without is refused.
    Sealing,
    /// One from before that: a database without seal and mark gets them.
    Unsealed,
}

/// Durable records of one role, for the one process that has locked their directory.
#[derive(Debug)]
pub struct RecordDb {
    db: Database,
    mark: Mark,
    place: String,
}

impl RecordDb {
    /// Opens or makes the database in this file, and its mark beside it with the extension `mark`.
    ///
    /// # Errors
    /// If the disk refuses, or the files are not as the last commit left them.
    pub fn open_at(path: &Path, age: Age) -> Result<Self, StoreError> {
        let open = |path: &Path| {
            let file = || -> Result<_, Trouble> {
                let is_new = !path.exists();
                let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
                if is_new {
                    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
                    File::open(dir.unwrap_or(Path::new(".")))?.sync_all()?;
                }
                Ok(FileBackend::new(file)?)
            };
            file().map_err(|trouble| trouble.at(&path.display().to_string()))
        };
        let (db, mark) = (open(path)?, open(&path.with_extension("mark"))?);
        Self::open(db, mark, path, age)
    }

    /// Opens or makes a database over these files. `path` is what errors call it.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub fn open(
        db: impl StorageBackend,
        mark: impl StorageBackend,
        path: &Path,
        age: Age,
    ) -> Result<Self, StoreError> {
        let place = path.display().to_string();
        let mark = Mark::new(mark);
        let marked = match mark.read().and_then(|marked| Ok((marked, db.len()?))) {
            Err(error) => return Err(Trouble::from(error).at(&place)),
            Ok((Marked::Never, 0)) => {
                mark.begin().map_err(|error| Trouble::from(error).at(&place))?;
                Some(0)
            }
            Ok((Marked::Never, _)) if age == Age::Unsealed => None,
            Ok((Marked::Never | Marked::Damaged, _)) => {
                return Err(StoreError::Unmarked {
                    place: path.with_extension("mark").display().to_string(),
                });
            }
            Ok((Marked::At(marked), 0)) if marked > 0 => {
                return Err(StoreError::Older { place, found: None, marked });
            }
            Ok((Marked::At(marked), _)) => Some(marked),
        };
        let opened = || -> Result<_, Trouble> {
            // Nobody was told of any commit: making the database may have been cut off.
            if marked == Some(0) && !is_database(&db)? {
                db.set_len(0)?;
            }
            let db = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(Doubted(db))?;
            vouch(&db, &mark, marked)?;
            Ok(db)
        };
        match opened() {
            Ok(db) => Ok(Self { db, mark, place }),
            Err(trouble) => Err(trouble.at(&place)),
        }
    }

    /// Everything that is durable, for recovery.
    ///
    /// # Errors
    /// If the database can't be read, or holds what this program did not write.
    pub fn load(&self) -> Result<Vec<Record>, StoreError> {
        let load = || {
            let read = self.db.begin_read()?;
            let seal = find_seal(&read)?.ok_or(NO_SEAL)?;
            let mut records = Vec::new();
            visit(&read, seal, |key, value| {
                records.push(decode(key, value)?);
                Ok(())
            })?;
            Ok(records)
        };
        load().map_err(|trouble: Trouble| trouble.at(&self.place))
    }

    /// Makes write sets durable: all of them or none. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// If the disk refuses; what is durable then is known only after opening again.
    pub fn write(&self, sets: &[Vec<Record>]) -> Result<(), StoreError> {
        let write = || {
            let write = self.db.begin_write()?;
            let seal = put(&write, sets)?;
            write.commit()?;
            Ok(self.mark.follow(seal.commit)?)
        };
        write().map_err(|trouble: Trouble| trouble.at(&self.place))
    }
}

const NO_SEAL: Trouble = Trouble::Damaged("it has no seal");

/// Compares what was found with its seal and the mark, and makes either where there was none.
fn vouch(db: &Database, mark: &Mark, marked: Option<u64>) -> Result<(), Trouble> {
    let read = db.begin_read()?;
    let seal = match (find_seal(&read)?, marked) {
        (Some(seal), Some(marked)) if seal.commit < marked => {
            return Err(Trouble::Older { found: seal.commit, marked });
        }
        (Some(seal), _) => {
            visit(&read, seal, |_, _| Ok(()))?;
            seal
        }
        (None, None | Some(0)) => seal_all(db)?,
        (None, Some(_)) => return Err(NO_SEAL),
    };
    if marked.is_none() {
        mark.begin()?;
    }
    mark.set(seal.commit)?;
    Ok(mark.sync()?)
}

/// Seals a database that is new, or from before there were seals.
fn seal_all(db: &Database) -> Result<Seal, Trouble> {
    let mut seal = Seal::default();
    let write = db.begin_write()?;
    for entry in write.open_table(RECORDS)?.iter()? {
        let (key, value) = entry?;
        decode(key.value(), value.value())?;
        seal.add(key.value(), value.value());
    }
    write.open_table(SEAL)?.insert(0, seal.to_bytes().as_slice())?;
    write.commit()?;
    Ok(seal)
}

/// Puts write sets and the seal that fits them into a transaction.
fn put(write: &WriteTransaction, sets: &[Vec<Record>]) -> Result<Seal, Trouble> {
    let mut seals = write.open_table(SEAL)?;
    let found = seals.get(0)?.and_then(|bytes| Seal::from_bytes(bytes.value()));
    let mut seal = found.ok_or(NO_SEAL)?;
    let mut table = write.open_table(RECORDS)?;
    for record in sets.iter().flatten() {
        let key = key_bytes(&record.key());
        let before = if let Record::Gone(_) = record {
            table.remove(key.as_slice())?
        } else {
            let value = postcard::to_extend(record, vec![VALUE_VERSION]);
            let value = value.expect("plain data into memory can't fail");
            seal.add(&key, &value);
            table.insert(key.as_slice(), value.as_slice())?
        };
        if let Some(before) = before {
            seal.remove(&key, before.value());
        }
    }
    seal.commit += 1;
    seals.insert(0, seal.to_bytes().as_slice())?;
    Ok(seal)
}

/// The seal; `None` where there is none, an error where it is broken.
fn find_seal(read: &ReadTransaction) -> Result<Option<Seal>, Trouble> {
    let table = match read.open_table(SEAL) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    let Some(bytes) = table.get(0)? else { return Ok(None) };
    Seal::from_bytes(bytes.value()).map(Some).ok_or(Trouble::Damaged("its seal is broken"))
}

/// Shows every record, and compares what was shown with the seal.
fn visit(
    read: &ReadTransaction,
    seal: Seal,
    mut show: impl FnMut(&[u8], &[u8]) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    let mut seen = Seal::of_nothing(seal.commit);
    for entry in read.open_table(RECORDS)?.iter()? {
        let (key, value) = entry?;
        seen.add(key.value(), value.value());
        show(key.value(), value.value())?;
    }
    if seen == seal { Ok(()) } else { Err(Trouble::Damaged("its records are not the ones of its seal")) }
}

fn decode(key: &[u8], value: &[u8]) -> Result<Record, Trouble> {
    let Some((&VALUE_VERSION, body)) = value.split_first() else { return Err(Trouble::Foreign) };
    let record: Record = postcard::from_bytes(body).map_err(|_| Trouble::Foreign)?;
    if key_bytes(&record.key()) != key {
        return Err(Trouble::Damaged("a record has another record's key"));
    }
    Ok(record)
}

fn key_bytes(key: &Key) -> Vec<u8> {
    postcard::to_allocvec(key).expect("plain data into memory can't fail")
}

/// Whether redb has finished making this file: it writes its name into it last.
fn is_database(file: &impl StorageBackend) -> io::Result<bool> {
    let mut name = [0; 4];
    if file.len()? < name.len() as u64 {
        return Ok(false);
    }
    file.read(0, &mut name)?;
    Ok(name == *b"redb")
}
