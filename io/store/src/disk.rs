//! A disk in memory, for tests: it keeps what was written apart from what was synced, fails on request, and its power can
//! be cut.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use redb::StorageBackend;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// No file of a test is larger: what asks for more has believed damaged bytes.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What can be made to fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Op {
    /// Writes, and changes of a file's length.
    Write,
    /// Syncs.
    Sync,
}

/// Some files by name. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct Disk(Arc<Mutex<Platter>>);

#[derive(Clone, Debug, Default)]
struct Platter {
    files: BTreeMap<String, Image>,
    /// What fails, after how many more that don't, and with what.
    failing: BTreeMap<Op, (u64, io::ErrorKind)>,
    /// The power goes in the middle of a write, after this many more.
    tearing: Option<u64>,
    is_off: bool,
    /// How often the power was cut: a handle from before is dead.
    cuts: u64,
    writes: u64,
    syncs: u64,
}

#[derive(Clone, Debug, Default)]
struct Image {
    /// What a reader sees.
    now: Vec<u8>,
    /// What survives.
    durable: Vec<u8>,
    /// What may or may not.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Len(usize),
    Write(usize, Vec<u8>),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Self::Len(len) => to.resize(*len, 0),
            Self::Write(at, data) => {
                to.resize(to.len().max(at + data.len()), 0);
                to[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

impl Disk {
    /// A file, new or as it is.
    pub fn file(&self, name: &str) -> DiskFile {
        let mut platter = self.lock();
        platter.files.entry(name.to_owned()).or_default();
        DiskFile { disk: self.clone(), name: name.to_owned(), cuts: platter.cuts }
    }

    /// What a file has in it.
    pub fn read(&self, name: &str) -> Vec<u8> {
        self.lock().files.get(name).map(|image| image.now.clone()).unwrap_or_default()
    }

    /// Puts something else into a file, durably and past any failure.
    pub fn overwrite(&self, name: &str, content: Vec<u8>) {
        let image = Image { durable: content.clone(), now: content, unsynced: Vec::new() };
        self.lock().files.insert(name.to_owned(), image);
    }

    /// This kind of operation fails from now on, after as many more as `spared`.
    pub fn fail(&self, op: Op, spared: u64, how: io::ErrorKind) {
        self.lock().failing.insert(op, (spared, how));
    }

    /// After as many more writes as `spared` the power goes, in the middle of one.
    pub fn tear(&self, spared: u64) {
        self.lock().tearing = Some(spared);
    }

    /// Whether something that was asked for with [`fail`](Self::fail) or [`tear`](Self::tear) has happened.
    pub fn has_failed(&self) -> bool {
        let platter = self.lock();
        platter.is_off || platter.failing.values().any(|(spared, _)| *spared == 0)
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        let mut platter = self.lock();
        platter.failing.clear();
        platter.tearing = None;
    }

    /// How many writes and syncs there were.
    pub fn work(&self) -> (u64, u64) {
        let platter = self.lock();
        (platter.writes, platter.syncs)
    }

    /// Cuts the power: handles are dead, and of what was not synced each sector is there or not, as `choose` says, which
    /// is given a bound. Nothing fails afterwards.
    pub fn cut_power(&self, mut choose: impl FnMut(u64) -> u64) {
        let mut platter = self.lock();
        for image in platter.files.values_mut() {
            for change in std::mem::take(&mut image.unsynced) {
                match change {
                    Change::Len(_) if choose(2) == 1 => change.apply(&mut image.durable),
                    Change::Len(_) => {}
                    Change::Write(at, data) => {
                        let mut done = 0;
                        while done < data.len() {
                            let bytes = (SECTOR_BYTES - (at + done) % SECTOR_BYTES).min(data.len() - done);
                            if choose(2) == 1 {
                                Change::Write(at + done, data[done..done + bytes].to_vec())
                                    .apply(&mut image.durable);
                            }
                            done += bytes;
                        }
                    }
                }
            }
            image.now = image.durable.clone();
        }
        platter.cuts += 1;
        platter.is_off = false;
        platter.failing.clear();
        platter.tearing = None;
    }

    /// A disk with a copy of what is here; of what is not synced too, as after the end of a process.
    pub fn copy(&self) -> Self {
        let mut platter = self.lock().clone();
        (platter.is_off, platter.tearing) = (false, None);
        platter.failing.clear();
        Self(Arc::new(Mutex::new(platter)))
    }

    /// A disk with a copy of what would be here for certain if the power went now.
    pub fn durable(&self) -> Self {
        let copy = self.copy();
        copy.cut_power(|_| 0);
        copy
    }

    fn lock(&self) -> MutexGuard<'_, Platter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file of a [`Disk`].
#[derive(Debug)]
pub struct DiskFile {
    disk: Disk,
    name: String,
    cuts: u64,
}

impl DiskFile {
    fn with<T>(&self, f: impl FnOnce(&mut Platter) -> io::Result<T>) -> io::Result<T> {
        let mut platter = self.disk.lock();
        if platter.is_off || platter.cuts != self.cuts {
            return Err(io::Error::other("the disk has no power"));
        }
        f(&mut platter)
    }

    fn change(&self, change: Change) -> io::Result<()> {
        self.with(|platter| {
            platter.attempt(Op::Write)?;
            platter.writes += 1;
            let is_torn = match &mut platter.tearing {
                Some(0) => true,
                Some(spared) => {
                    *spared -= 1;
                    false
                }
                None => false,
            };
            let image = platter.image(&self.name);
            change.apply(&mut image.now);
            image.unsynced.push(change);
            if is_torn {
                platter.is_off = true;
                return Err(io::Error::other("the power went"));
            }
            Ok(())
        })
    }
}

impl Platter {
    fn attempt(&mut self, op: Op) -> io::Result<()> {
        match self.failing.get_mut(&op) {
            Some((0, how)) => Err((*how).into()),
            Some((spared, _)) => {
                *spared -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn image(&mut self, name: &str) -> &mut Image {
        self.files.get_mut(name).expect("a handle has made its file")
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|platter| Ok(platter.image(&self.name).now.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.with(|platter| {
            let now = &platter.image(&self.name).now;
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let from = start.checked_add(out.len()).and_then(|end| now.get(start..end));
            out.copy_from_slice(from.ok_or(io::ErrorKind::UnexpectedEof)?);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.change(Change::Len(len as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.with(|platter| {
            platter.attempt(Op::Sync)?;
            platter.syncs += 1;
            let image = platter.image(&self.name);
            for change in image.unsynced.drain(..) {
                change.apply(&mut image.durable);
            }
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        if offset.saturating_add(data.len() as u64) > FILE_BYTES_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.change(Change::Write(offset as usize, data.to_vec()))
    }
}
