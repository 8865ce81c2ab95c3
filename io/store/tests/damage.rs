//! Damage to a database's files, and ends of the power: some hundred seeded cases, and those that have a name.

use std::{io, path::Path};

use decdn_engine::record::Record;
use decdn_store::{
    Age, Disk, Op, RecordDb, StoreError,
    ordeal::{self, FILES, load, open, record},
};
use redb::{Builder, TableDefinition, WriteTransaction};

const DB: &str = FILES[0];
const MARK: &str = FILES[1];

/// Bytes that are the same in every run.
fn bytes(seed: u64) -> Vec<u8> {
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    let mut bytes = vec![0; 400];
    reader.fill(&mut bytes);
    bytes
}

/// `DECDN_CASES` asks for more than an ordinary run has.
fn cases() -> u64 {
    std::env::var("DECDN_CASES").map_or(300, |text| text.parse().expect("a number"))
}

#[test]
fn o12_damage_is_refused_or_changes_nothing() {
    ordeal::damaged(&[]);
    for seed in 0..cases() {
        println!("seed {seed}");
        ordeal::damaged(&bytes(seed));
    }
}

#[test]
fn o12_a_crash_loses_nothing_that_was_acknowledged() {
    ordeal::power_cut(&[]);
    for seed in 0..cases() {
        println!("seed {seed}");
        ordeal::power_cut(&bytes(seed));
    }
}

/// A disk with a database whose last commit says 9, as a killed process leaves it.
fn killed() -> Disk {
    let disk = Disk::default();
    let db = open(&disk).expect("fresh");
    for n in 1..10 {
        db.write(&[vec![record(1, n), record(2, n)], vec![Record::Cursor(n)]]).expect("durable");
    }
    disk.copy()
}

#[track_caller]
fn refusal(disk: &Disk) -> String {
    open(disk).expect_err("damaged").to_string()
}

#[test]
fn o12_a_file_that_was_cut_off_anywhere_is_refused() {
    let disk = killed();
    let whole = disk.read(DB);
    for bytes in (0..whole.len()).step_by(4_001) {
        disk.overwrite(DB, whole[..bytes].to_vec());
        let said = refusal(&disk);
        assert!(said.contains(DB) && said.contains("put back"), "{bytes}: {said}");
    }
    disk.overwrite(DB, whole);
    open(&disk).expect("whole again");
}

#[test]
fn v3_an_older_database_is_refused() {
    let disk = Disk::default();
    let db = open(&disk).expect("fresh");
    db.write(&[vec![record(1, 1)]]).expect("durable");
    let older = disk.copy().read(DB);
    db.write(&[vec![record(1, 2)]]).expect("durable");
    drop(db);
    disk.overwrite(DB, older);
    let said = refusal(&disk);
    assert!(said.contains("ends with commit 1, and commit 2 was there"), "{said}");
    disk.overwrite(DB, Vec::new());
    let said = refusal(&disk);
    assert!(said.contains("is empty, and there were 2 commits"), "{said}");
}

#[test]
fn v3_a_last_commit_that_was_damaged_is_not_taken_for_one_that_was_not_finished() {
    let disk = killed();
    let whole = disk.read(DB);
    // Whichever slot of redb's header has the last commit: without the mark, redb would go back to the other one.
    let mut refused = 0;
    for slot in [64, 192] {
        let mut bad = whole.clone();
        bad[slot + 100] ^= 1;
        disk.overwrite(DB, bad);
        match open(&disk) {
            Err(error @ StoreError::Older { .. }) => {
                assert!(error.to_string().contains("ends with commit 8, and commit 9"), "{error}");
                refused += 1;
            }
            other => assert_eq!(load(&other.expect("the other slot")).expect("whole").len(), 3),
        }
    }
    assert_eq!(refused, 1);
}

#[test]
fn v3_without_its_mark_a_database_is_refused() {
    let disk = killed();
    for mark in [Vec::new(), vec![0; 8_192], vec![1; 8_192]] {
        disk.overwrite(MARK, mark);
        let said = refusal(&disk);
        assert!(said.contains(MARK) && said.contains("newest"), "{said}");
    }
}

/// Changes the database as another program would, with checksums that fit.
fn meddle(disk: &Disk, change: impl FnOnce(&WriteTransaction) -> Result<(), redb::Error>) {
    let db = Builder::new().create_with_backend(disk.file(DB)).expect("a database");
    let write = db.begin_write().expect("free");
    change(&write).expect("possible");
    write.commit().expect("durable");
}

const RECORDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("records");
const SEAL: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("seal");

#[test]
fn o12_a_record_that_was_changed_or_removed_past_the_seal_is_refused() {
    for is_removed in [true, false] {
        let disk = killed();
        meddle(&disk, |write| {
            let mut table = write.open_table(RECORDS)?;
            let (key, value) =
                table.pop_first()?.map(|(k, v)| (k.value().to_vec(), v.value().to_vec())).expect("some");
            if !is_removed {
                let mut value = value;
                *value.last_mut().expect("some") ^= 1;
                table.insert(key.as_slice(), value.as_slice())?;
            }
            Ok(())
        });
        let said = refusal(&disk);
        assert!(said.contains("not the ones of its seal"), "{said}");
    }
    let disk = killed();
    meddle(&disk, |write| {
        write.delete_table(SEAL)?;
        Ok(())
    });
    let said = refusal(&disk);
    assert!(said.contains("no seal"), "{said}");
}

#[test]
fn a_database_from_before_seals_gets_one_and_values_of_other_versions_are_refused() {
    let disk = Disk::default();
    let opened = |age| {
        let [db, mark] = FILES.map(|name| disk.file(name));
        RecordDb::open(db, mark, Path::new(DB), age)
    };
    let old = |value: &[u8]| {
        meddle(&disk, |write| {
            write.open_table(RECORDS)?.insert([3].as_slice(), value)?;
            Ok(())
        });
    };
    // A cursor at block 7, as the version before wrote it.
    old(&[1, 3, 7]);
    assert!(
        matches!(opened(Age::Sealing), Err(StoreError::Unmarked { .. })),
        "whose mark may have been lost"
    );
    let db = opened(Age::Unsealed).expect("sealed now");
    assert_eq!(db.load().expect("readable"), [Record::Cursor(7)]);
    drop(db);
    assert_eq!(opened(Age::Sealing).expect("sealed").load().expect("readable"), [Record::Cursor(7)]);

    let disk = Disk::default();
    let [db, mark] = FILES.map(|name| disk.file(name));
    meddle(&disk, |write| {
        write.open_table(RECORDS)?.insert([3].as_slice(), [9, 9].as_slice())?;
        Ok(())
    });
    let said = RecordDb::open(db, mark, Path::new(DB), Age::Unsealed).expect_err("foreign").to_string();
    assert!(said.contains("another version"), "{said}");
}

#[test]
fn o12_a_sync_that_fails_is_told_and_nothing_is_acknowledged_after_it() {
    let disk = Disk::default();
    let db = open(&disk).expect("fresh");
    db.write(&[vec![record(1, 1)]]).expect("durable");
    disk.fail(Op::Sync, 0, io::ErrorKind::Other);
    let said = db.write(&[vec![record(1, 2)]]).expect_err("not durable").to_string();
    assert!(said.contains(DB) && said.contains("can't be used"), "{said}");
    disk.heal();
    db.write(&[vec![record(1, 3)]]).expect_err("nobody knows what is durable");
    drop(db);
    let found = load(&open(&disk.durable()).expect("whole")).expect("readable");
    assert_eq!(found.into_values().collect::<Vec<_>>(), [record(1, 1)]);
}
