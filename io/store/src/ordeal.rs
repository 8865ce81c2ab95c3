//! What bytes can ask of the record database: any history of commits, then any damage, or any end of the power.

use std::{collections::BTreeMap, io, path::Path};

use alloy_primitives::Address;
use decdn_engine::{
    crypto::Signature,
    delivery::Meter,
    ids::ChannelId,
    money::{Amount, Nonce},
    record::{Best, ChannelStatus, Earning, Key, Record},
};

use crate::{Age, Disk, Op, RecordDb, StoreError};

/// The two files of a database on a [`Disk`].
pub const FILES: [&str; 2] = ["records.redb", "records.mark"];
/// The longest history.
const COMMITS_MAX: u64 = 12;
/// Keys of a history: few, so that most commits replace something.
const KEYS: u64 = 5;
/// Changes to the files of one case.
const DAMAGES_MAX: u64 = 4;
/// How often the power goes in one case.
const CUTS_MAX: u64 = 3;

/// Damage goes where there is anything but zeros, by blocks of this size.
const BLOCK_BYTES: usize = 64;

/// What a database holds.
pub type State = BTreeMap<Key, Record>;

/// Opens the database of a disk.
///
/// # Errors
/// As [`RecordDb::open_at`].
pub fn open(disk: &Disk) -> Result<RecordDb, StoreError> {
    let [db, mark] = FILES.map(|name| disk.file(name));
    RecordDb::open(db, mark, Path::new(FILES[0]), Age::Sealing)
}

/// What is in a database.
///
/// # Errors
/// As [`RecordDb::load`].
pub fn load(db: &RecordDb) -> Result<State, StoreError> {
    Ok(db.load()?.into_iter().map(|record| (record.key(), record)).collect())
}

/// Any history, then any damage to its files: they are refused with a sentence, or hold exactly what was written last, and
/// then more can be written. Only where both files were damaged may it be an earlier state, and it is one that was
/// there, never a mixture.
///
/// # Panics
/// If that is not so.
pub fn damaged(input: &[u8]) {
    let mut bytes = Bytes(input);
    let disk = Disk::default();
    let db = open(&disk).expect("a new disk");
    let mut states = vec![State::new()];
    for _ in 0..=bytes.below(COMMITS_MAX) {
        let sets = bytes.sets();
        db.write(&sets).expect("a disk without faults");
        states.push(after(states.last().expect("it begins empty"), &sets));
    }
    // Killed, or closed well.
    let killed = disk.copy();
    drop(db);
    let disk = if bytes.below(2) == 0 { killed } else { disk.copy() };

    let before = FILES.map(|name| disk.read(name));
    for _ in 0..=bytes.below(DAMAGES_MAX) {
        let name = FILES[usize::from(bytes.below(4) == 0)];
        disk.overwrite(name, bytes.damage(disk.read(name)));
    }
    let is_changed = [0, 1].map(|n| before[n] != disk.read(FILES[n]));

    let db = match open(&disk).and_then(|db| load(&db).map(|found| (db, found))) {
        Err(error) => {
            assert_ne!(is_changed, [false, false], "refused without a reason: {error}");
            let sentence = error.to_string();
            assert!(sentence.contains("records.") && !sentence.contains('\n'), "{sentence:?}");
            return;
        }
        Ok((db, found)) => {
            let last = states.last().expect("it begins empty");
            let is_right = match is_changed {
                [true, true] => states.contains(&found),
                _ => found == *last,
            };
            assert!(is_right, "damage {is_changed:?} made {found:?} of {last:?}");
            states = vec![found];
            db
        }
    };
    let sets = bytes.sets();
    db.write(&sets).expect("what was opened can be written");
    let expected = after(&states[0], &sets);
    assert_eq!(load(&db).expect("and read"), expected);
    drop(db);
    let again = open(&disk).and_then(|db| load(&db)).expect("and opened again");
    assert_eq!(again, expected);
}

/// Any history on a disk whose writes or syncs fail at any moment, or whose power goes: afterwards the database opens, with
/// everything that was acknowledged, and of the commit that failed all or nothing.
///
/// # Panics
/// If that is not so.
pub fn power_cut(input: &[u8]) {
    let mut bytes = Bytes(input);
    let disk = Disk::default();
    let mut acknowledged = State::new();
    for _ in 0..=bytes.below(CUTS_MAX) {
        let spared = bytes.below(80);
        match bytes.below(4) {
            0 => disk.fail(Op::Write, spared, io::ErrorKind::StorageFull),
            1 => disk.fail(Op::Sync, spared / 8, io::ErrorKind::Other),
            _ => disk.tear(spared),
        }
        let mut failed = acknowledged.clone();
        if let Ok(db) = open(&disk) {
            let found = load(&db);
            if let Ok(found) = &found {
                assert_eq!(*found, acknowledged, "what a failed commit left was settled when it was opened");
            }
            for _ in 0..=bytes.below(COMMITS_MAX) {
                let sets = bytes.sets();
                failed = after(&acknowledged, &sets);
                if db.write(&sets).is_err() {
                    break;
                }
                acknowledged = failed.clone();
            }
        }
        if bytes.below(3) == 0 {
            // The fault goes away, and the process is started again.
            let copy = disk.copy();
            for name in FILES {
                disk.overwrite(name, copy.read(name));
            }
            disk.cut_power(|_| 1);
        } else {
            disk.cut_power(|bound| bytes.below(bound));
        }
        let found = open(&disk).and_then(|db| load(&db)).expect("a crash is no damage");
        assert!(
            found == acknowledged || found == failed,
            "{acknowledged:?} or {failed:?} should be there, not {found:?}"
        );
        acknowledged = found;
    }
}

/// A record of channel `key` that says `n`.
pub fn record(key: u8, n: u64) -> Record {
    let best = Best {
        amount: Amount(u128::from(n)),
        nonce: Nonce(n),
        signature: Signature([n as u8; 65]),
        meter: Meter::default(),
    };
    Record::Earning(Earning {
        channel: ChannelId([key; 32]),
        client: Address::ZERO,
        token: Address::ZERO,
        deposit: Amount(1_000_000),
        opened_at_block: u64::from(key),
        status: ChannelStatus::Open,
        best: (n > 0).then_some(best),
    })
}

/// A state with these write sets folded into it.
pub fn after(state: &State, sets: &[Vec<Record>]) -> State {
    let mut state = state.clone();
    for record in sets.iter().flatten() {
        match record {
            Record::Gone(key) => state.remove(key),
            record => state.insert(record.key(), record.clone()),
        };
    }
    state
}

/// Decisions from a fuzzer's bytes. When none are left, every decision is the smallest one.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, bound: u64) -> u64 {
        if bound <= 256 {
            return u64::from(self.byte()) % bound;
        }
        let bytes = [self.byte(), self.byte(), self.byte(), 0];
        u64::from(u32::from_le_bytes(bytes)) % bound
    }

    fn sets(&mut self) -> Vec<Vec<Record>> {
        let mut sets = vec![Vec::new()];
        for _ in 0..=self.below(4) {
            let key = self.byte();
            let record = match key % 8 {
                0 => Record::Cursor(self.below(1 << 20)),
                1 => Record::Gone(Key::Earning(ChannelId([key / 8 % KEYS as u8; 32]))),
                _ => record(key / 8 % KEYS as u8, self.below(1 << 20)),
            };
            if self.below(2) == 0 {
                sets.push(Vec::new());
            }
            sets.last_mut().expect("one is there").push(record);
        }
        sets
    }

    /// A place in a file: in redb's header, or where there is anything.
    fn place(&mut self, file: &[u8]) -> usize {
        if self.below(4) == 0 {
            return self.below(320) as usize;
        }
        let is_used = |(_, block): &(usize, &[u8])| **block != [0; BLOCK_BYTES][..block.len()];
        let used: Vec<_> = file.chunks(BLOCK_BYTES).enumerate().filter(is_used).map(|(n, _)| n).collect();
        match used.len() as u64 {
            0 => 0,
            blocks => {
                used[self.below(blocks) as usize] * BLOCK_BYTES + self.below(BLOCK_BYTES as u64) as usize
            }
        }
    }

    fn damage(&mut self, mut file: Vec<u8>) -> Vec<u8> {
        let at = self.place(&file);
        match self.below(8) {
            0 => file.truncate(self.below(file.len() as u64 + 1) as usize),
            1 => file.resize(file.len() + self.below(20_000) as usize, self.byte()),
            2 => {
                let bytes = 1 + self.below(9_000) as usize;
                file.iter_mut().skip(at).take(bytes).for_each(|byte| *byte = 0);
            }
            3 => {
                // A page of another time or place, checksums and all.
                let (from, to) = (at / 4_096 * 4_096, self.place(&file) / 4_096 * 4_096);
                let page = file.get(from..from + 4_096).map(<[u8]>::to_vec);
                if let (Some(page), Some(to)) = (page, file.get_mut(to..to + 4_096)) {
                    to.copy_from_slice(&page);
                }
            }
            4 => {
                // Bytes of the fuzzer's own.
                let own = self.0.split_off(..self.0.len().min(64)).unwrap_or_default();
                file.iter_mut().skip(at).zip(own).for_each(|(byte, own)| *byte = *own);
            }
            _ => {
                if let Some(byte) = file.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
        file
    }
}
