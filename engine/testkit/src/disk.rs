//! A disk: what write sets leave behind.

use std::collections::BTreeMap;

use decdn_engine::record::{Key, Record};

/// Durable records. The last one of a key is the truth.
pub type Disk = BTreeMap<Key, Record>;

/// A write set becomes durable.
pub fn write(disk: &mut Disk, writes: &[Record]) {
    for record in writes {
        match record {
            Record::Gone(key) => disk.remove(key),
            kept => disk.insert(kept.key(), kept.clone()),
        };
    }
}

/// The records that are durable when just these write sets are: all of them, or those that a crash has left.
pub fn fold<'a>(sets: impl IntoIterator<Item = &'a [Record]>) -> Disk {
    let mut disk = Disk::new();
    sets.into_iter().for_each(|writes| write(&mut disk, writes));
    disk
}
