//! Whether the artifacts that this program carries were compiled from the sources beside it.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use alloy_primitives::hex;
use sha2::{Digest, Sha256};

/// What `tools/artifacts.mjs` wrote beside the artifacts when it compiled them.
const SOURCES: &str = include_str!("../artifacts/SOURCES.json");

/// The embedded artifacts can't be trusted to be the contracts in `contracts/src`.
#[derive(Debug)]
pub enum Stale {
    /// The sources changed since the artifacts were built.
    Differ {
        /// The folder that was compared.
        sources: PathBuf,
    },
    /// The sources can't be read.
    Unreadable {
        /// What could not be read.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Differ { sources } => write!(
                f,
                "the contract artifacts built into this program differ from the sources in {}; run `node \
                 contracts/tools/artifacts.mjs build`, then run this again.",
                sources.display()
            ),
            Self::Unreadable { path, why } => write!(
                f,
                "the contract sources can't be compared with their artifacts because {} can't be read ({why}); run \
                 this from a complete checkout.",
                path.display()
            ),
        }
    }
}

impl std::error::Error for Stale {}

/// Compares `contracts_dir`/src with the artifacts in this program, by the hash that `tools/artifacts.mjs`
/// defines.
pub fn check_sources(contracts_dir: &Path) -> Result<(), Stale> {
    let sources = contracts_dir.join("src");
    if source_hash(&sources)? == recorded_hash() { Ok(()) } else { Err(Stale::Differ { sources }) }
}

/// SHA-256 over path, zero byte, the file's SHA-256 in hex and a line feed, for each source in byte order of
/// its path.
fn source_hash(sources: &Path) -> Result<String, Stale> {
    let mut files = Vec::new();
    collect(sources, "src", &mut files)?;
    files.sort();
    let mut all = Sha256::new();
    for (name, path) in files {
        let text = fs::read(&path).map_err(|why| Stale::Unreadable { path, why })?;
        all.update(format!("{name}\0{}\n", hex::encode(Sha256::digest(&text))));
    }
    Ok(hex::encode(all.finalize()))
}

/// Every `.sol` file below `folder`, as its name relative to `contracts/` with `/`, and its path.
fn collect(folder: &Path, name: &str, files: &mut Vec<(String, PathBuf)>) -> Result<(), Stale> {
    let unreadable = |why| Stale::Unreadable { path: folder.to_owned(), why };
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let child = format!("{name}/{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(unreadable)?.is_dir() {
            collect(&entry.path(), &child, files)?;
        } else if child.ends_with(".sol") {
            files.push((child, entry.path()));
        }
    }
    Ok(())
}

/// The hash of the sources that the embedded artifacts were compiled from, in hex.
pub fn recorded_hash() -> &'static str {
    SOURCES
        .split_once("\"sourceHash\": \"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(hash, _)| hash)
        .expect("a test reads the hash from the embedded file")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn here() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
    }

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("decdn-artifacts-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("src/deeper")).expect("a temporary folder");
        folder
    }

    #[test]
    fn the_embedded_artifacts_are_compiled_from_src() {
        check_sources(here()).expect("artifacts match; else run tools/artifacts.mjs build");
    }

    #[test]
    fn one_changed_byte_makes_them_stale_and_the_sentence_says_what_to_run() {
        let folder = scratch("changed");
        for entry in fs::read_dir(here().join("src")).expect("sources") {
            let path = entry.expect("an entry").path();
            fs::copy(&path, folder.join("src").join(path.file_name().expect("a name"))).expect("a copy");
        }
        check_sources(&folder).expect("a copy matches");
        let target = folder.join("src/NodeList.sol");
        let mut text = fs::read(&target).expect("a source");
        text.push(b'\n');
        fs::write(&target, text).expect("a write");
        let stale = check_sources(&folder).expect_err("a changed source").to_string();
        assert!(stale.contains("artifacts.mjs build") && stale.contains("src"), "{stale}");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_missing_folder_is_named() {
        let folder = scratch("missing").join("nowhere");
        let stale = check_sources(&folder).expect_err("nothing there").to_string();
        assert!(stale.contains("nowhere"), "{stale}");
    }
}
