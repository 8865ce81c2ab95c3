//! A state directory: one process per key (I5), and a version that says who may read it.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// What this program writes. Version 1, whose records had no seal, is read and taken over.
pub const VERSION: u32 = 2;

/// Why a state directory can't be used.
#[derive(Debug)]
pub enum DirError {
    /// Another process has it.
    Locked(PathBuf),
    /// A newer program has written it.
    Newer {
        /// The directory.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// Its version file says something else.
    BadVersion(PathBuf),
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl std::fmt::Display for DirError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Locked(path) => write!(
                f,
                "state directory {} is in use by another process; stop that one, or choose another directory",
                path.display()
            ),
            Self::Newer { path, found } => write!(
                f,
                "state directory {} has version {found}, this program knows up to {VERSION}; use a newer decdn",
                path.display()
            ),
            Self::BadVersion(path) => write!(
                f,
                "{} is no version of a state directory; restore it from a backup, or choose another directory",
                path.display()
            ),
            Self::Io(path, error) => {
                write!(f, "can't use {}: {error}; check path and permissions", path.display())
            }
        }
    }
}

impl std::error::Error for DirError {}

/// A locked state directory. The lock ends with the value, or with the process.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    version: u32,
    _lock: File,
}

impl StateDir {
    /// Opens or makes a directory and locks it.
    ///
    /// # Errors
    /// See [`DirError`]; nothing was changed then, but that the directory may have been made.
    pub fn open(path: &Path) -> Result<Self, DirError> {
        let io = |at: &Path| {
            let at = at.to_path_buf();
            move |error| DirError::Io(at, error)
        };
        fs::create_dir_all(path).map_err(io(path))?;
        let lock_path = path.join("lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(io(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => DirError::Locked(path.to_path_buf()),
            TryLockError::Error(error) => DirError::Io(lock_path.clone(), error),
        })?;
        let version_path = path.join("version");
        let version = match fs::read_to_string(&version_path) {
            Ok(text) => match text.trim().parse() {
                Ok(known @ 1..=VERSION) => known,
                Ok(found) if found > VERSION => {
                    return Err(DirError::Newer { path: path.to_path_buf(), found });
                }
                _ => return Err(DirError::BadVersion(version_path)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_version(path).map_err(io(&version_path))?;
                VERSION
            }
            Err(error) => return Err(DirError::Io(version_path, error)),
        };
        Ok(Self { path: path.to_path_buf(), version, _lock: lock })
    }

    /// Whether an earlier version of the program has made it.
    pub fn is_older(&self) -> bool {
        self.version < VERSION
    }

    /// What is in it is as this version has it.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn upgrade(&mut self) -> Result<(), DirError> {
        if self.is_older() {
            write_version(&self.path).map_err(|error| DirError::Io(self.path.join("version"), error))?;
            self.version = VERSION;
        }
        Ok(())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// The version, durably, and whole at any moment: half of one would lock its owner out.
fn write_version(dir: &Path) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    writeln!(file, "{VERSION}")?;
    file.as_file().sync_all()?;
    file.persist(dir.join("version")).map_err(|error| error.error)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i5_a_directory_has_one_user_at_a_time() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let first = StateDir::open(temp.path()).expect("fresh");
        assert!(matches!(StateDir::open(temp.path()), Err(DirError::Locked(_))));
        drop(first);
        StateDir::open(temp.path()).expect("free again");
    }

    #[test]
    fn i5_a_newer_or_foreign_version_is_refused_by_name() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        drop(StateDir::open(temp.path()).expect("fresh"));
        fs::write(temp.path().join("version"), "3\n").expect("writable");
        let newer = StateDir::open(temp.path()).expect_err("newer");
        assert!(newer.to_string().contains("version 3"), "{newer}");
        fs::write(temp.path().join("version"), "one").expect("writable");
        assert!(matches!(StateDir::open(temp.path()), Err(DirError::BadVersion(_))));
    }
}
