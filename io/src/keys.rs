//! Key files: a network key and an Ethereum key, readable by their owner and nobody else.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use decdn_contracts::EthKey;
use decdn_engine::ids::{Address, NodeId};
use decdn_files::secrets::Secrets;
use iroh::SecretKey;

/// A key file is two lines of text; what is larger is something else.
const FILE_BYTES_MAX: u64 = 4_096;

/// Both secrets of a party (I1). Its `Debug` shows what is public.
#[derive(Clone)]
pub struct Keys(Secrets);

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("node", &self.node()).field("account", &self.account()).finish()
    }
}

/// Why a key file can't be made or used. What it says never repeats the file's content.
#[derive(Debug)]
pub enum KeyError {
    /// There is none.
    Missing(PathBuf),
    /// There is one already.
    Exists(PathBuf),
    /// Others may read it.
    Open(PathBuf, u32),
    /// It is no key file.
    Malformed(PathBuf, &'static str),
    /// The file system refused.
    Io(PathBuf, io::Error),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => {
                let path = path.display();
                write!(
                    f,
                    "key file {path} does not exist; make one with `decdn key new {path}`, or name another"
                )
            }
            Self::Exists(path) => write!(
                f,
                "{} exists already and is left as it is; name another file, since a key that is gone takes its money \
                 with it",
                path.display()
            ),
            Self::Open(path, mode) => write!(
                f,
                "key file {0} may be read by others (mode {mode:04o}); run `chmod 600 {0}`, and use a new key if \
                 somebody may have seen it",
                path.display()
            ),
            Self::Malformed(path, what) => write!(
                f,
                "key file {} is malformed: {what}; restore it from a backup, or make a new one with `decdn key new`",
                path.display()
            ),
            Self::Io(path, error) => {
                write!(f, "can't use key file {}: {error}; check path, permissions and disk", path.display())
            }
        }
    }
}

impl std::error::Error for KeyError {}

impl Keys {
    /// Makes a key file that only its owner may read. An existing file is never touched.
    ///
    /// # Errors
    /// If there is one already, or the file system refuses.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let refused = |error: io::Error| KeyError::Io(path.to_path_buf(), error);
        let mut account = [0; 32];
        let mut network = [0; 32];
        let keys = loop {
            getrandom::fill(&mut network).map_err(|error| refused(io::Error::other(error)))?;
            getrandom::fill(&mut account).map_err(|error| refused(io::Error::other(error)))?;
            // All but one in 2^128 draws are a key.
            if let Some(secrets) = Secrets::new(network, account) {
                break Self(secrets);
            }
        };
        let text = format!(
            "# deCDN keys. Whoever reads this file can spend the account's money: keep it, and keep it secret.\n\
             # node {}\n# account {}\n{}",
            keys.node(),
            keys.account(),
            keys.0.lines()
        );
        let opened = File::options().write(true).create_new(true).mode(0o600).open(path);
        let mut file = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyError::Exists(path.to_path_buf()),
            _ => refused(error),
        })?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // Half a key file is none.
            let _ = fs::remove_file(path);
            return Err(refused(error));
        }
        Ok(keys)
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let refused = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => KeyError::Missing(path.to_path_buf()),
            _ => KeyError::Io(path.to_path_buf(), error),
        };
        let malformed = |what| KeyError::Malformed(path.to_path_buf(), what);
        let file = File::open(path).map_err(refused)?;
        let meta = file.metadata().map_err(refused)?;
        if !meta.is_file() {
            return Err(malformed("it is no regular file"));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(KeyError::Open(path.to_path_buf(), meta.mode() & 0o7777));
        }
        if meta.len() > FILE_BYTES_MAX {
            return Err(malformed("it is too large for two keys"));
        }
        let text = io::read_to_string(file).map_err(refused)?;
        Secrets::parse(&text).map(Self).map_err(malformed)
    }

    /// The secret network key.
    pub fn network(&self) -> [u8; 32] {
        self.0.network
    }

    /// The Ethereum key.
    pub fn eth(&self) -> &EthKey {
        self.0.eth()
    }

    /// The public network key.
    pub fn node(&self) -> NodeId {
        NodeId(*SecretKey::from_bytes(&self.network()).public().as_bytes())
    }

    /// The account.
    pub fn account(&self) -> Address {
        self.eth().address()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn i1_a_key_file_is_read_as_it_was_made_and_by_its_owner_only() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join("key");
        let made = Keys::create(&path).expect("fresh");
        let read = Keys::load(&path).expect("there");
        assert_eq!((made.node(), made.account()), (read.node(), read.account()));
        assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
        assert!(matches!(Keys::create(&path), Err(KeyError::Exists(_))));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        assert!(matches!(Keys::load(&path), Err(KeyError::Open(_, 0o100640 | 0o640))));
    }

    #[test]
    fn a_secret_is_in_no_error_and_no_debug_output() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let path = temp.path().join("key");
        let secret = "ab".repeat(31);
        fs::write(&path, format!("network = \"{secret}\"\naccount = \"{secret}\"\n")).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("ours");
        let error = Keys::load(&path).expect_err("62 digits");
        assert!(!format!("{error} {error:?}").contains(&secret[..8]), "{error}");
        let keys = Keys::create(&temp.path().join("other")).expect("fresh");
        assert!(!format!("{keys:?}").contains(&alloy_primitives::hex::encode(keys.network())));
    }
}
