//! Blobs on disk: content and outboard by hash for what a node sells, one growing file per download for what a
//! client buys.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    future::Future,
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use decdn_driver::Blobs;
use decdn_engine::{
    blob::{Outboard, OutboardBuilder},
    ids::{BlobHash, FetchId},
};

/// Blobs that are kept open at once; opening one again costs reading its outboard.
const OPEN_BLOBS_MAX: usize = 64;
/// How much of a file is in memory while it is imported.
const IMPORT_BYTES: usize = 1 << 20;

/// A complete blob: its content in a file, its outboard in memory.
#[derive(Debug)]
pub struct Blob {
    /// The content.
    pub file: File,
    /// Its proofs.
    pub outboard: Outboard,
}

impl Blob {
    /// Content bytes from `offset`.
    ///
    /// # Errors
    /// If the file is shorter by now, or can't be read.
    pub fn read(&self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let mut content = vec![0; bytes];
        self.file.read_exact_at(&mut content, offset)?;
        Ok(content)
    }
}

/// A download's file.
#[derive(Debug)]
pub struct Download {
    file: File,
    /// A write failed: nothing of it may be called durable any more.
    is_broken: AtomicBool,
}

impl Download {
    /// Puts verified content in its place.
    ///
    /// # Errors
    /// If the disk refuses; the download can't be made durable from then on.
    pub fn write(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(content, offset);
        if written.is_err() {
            self.is_broken.store(true, Ordering::Release);
        }
        written
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.is_broken.load(Ordering::Acquire) {
            return Err(io::Error::other("content could not be written"));
        }
        Ok(())
    }
}

/// Blobs and downloads under one directory.
#[derive(Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    open: Mutex<BTreeMap<BlobHash, Arc<Blob>>>,
    downloads: Mutex<BTreeMap<FetchId, Arc<Download>>>,
}

impl fmt::Debug for BlobStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlobStore").field("dir", &self.inner.dir).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BlobStore {
    /// Opens or makes the store. What an import left unfinished is thrown away.
    ///
    /// # Errors
    /// If the directory can't be made or read.
    pub fn open(dir: &Path) -> io::Result<Self> {
        for part in ["blobs", "downloads"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let import = dir.join("import");
        if import.exists() {
            fs::remove_dir_all(&import)?;
        }
        fs::create_dir(&import)?;
        let inner = Inner { dir: dir.to_path_buf(), open: Mutex::default(), downloads: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Copies content into the store while it is hashed, tells `progress` how many bytes there are so far, and
    /// says what it is called and how large it is. Content and outboard are durable, and both are there or none.
    ///
    /// # Errors
    /// If `content` can't be read or the disk refuses.
    pub fn import(
        &self,
        mut content: impl Read,
        mut progress: impl FnMut(u64),
    ) -> io::Result<(BlobHash, u64)> {
        let mut temp = tempfile::NamedTempFile::new_in(self.inner.dir.join("import"))?;
        let mut builder = OutboardBuilder::new();
        let mut piece = vec![0; IMPORT_BYTES];
        let mut so_far = 0;
        loop {
            let bytes = match content.read(&mut piece) {
                Ok(0) => break,
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            builder.push(&piece[..bytes]);
            temp.write_all(&piece[..bytes])?;
            so_far += bytes as u64;
            progress(so_far);
        }
        let outboard = builder.finish();
        let (hash, total) = (outboard.root(), outboard.total_bytes());
        let mut proofs = tempfile::NamedTempFile::new_in(self.inner.dir.join("import"))?;
        proofs.write_all(outboard.as_bytes())?;
        proofs.as_file().sync_all()?;
        temp.as_file().sync_all()?;
        // The outboard first: content without one would look complete.
        proofs.persist(self.path(hash, "outboard")).map_err(|error| error.error)?;
        temp.persist(self.path(hash, "content")).map_err(|error| error.error)?;
        File::open(self.inner.dir.join("blobs"))?.sync_all()?;
        Ok((hash, total))
    }

    fn path(&self, hash: BlobHash, part: &str) -> PathBuf {
        self.inner.dir.join("blobs").join(format!("{hash}.{part}"))
    }

    /// A complete blob.
    ///
    /// # Errors
    /// If it is not there, or its files don't belong together.
    pub fn get(&self, hash: BlobHash) -> io::Result<Arc<Blob>> {
        if let Some(blob) = lock(&self.inner.open).get(&hash) {
            return Ok(blob.clone());
        }
        let file = File::open(self.path(hash, "content"))?;
        let total = file.metadata()?.len();
        let proofs = fs::read(self.path(hash, "outboard"))?;
        let outboard = Outboard::from_bytes(hash, total, proofs)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "outboard and content differ in size"))?;
        let blob = Arc::new(Blob { file, outboard });
        let mut open = lock(&self.inner.open);
        if open.len() >= OPEN_BLOBS_MAX {
            open.pop_first();
        }
        open.insert(hash, blob.clone());
        Ok(blob)
    }

    /// The file of a download, new or as a former process left it.
    ///
    /// # Errors
    /// If it can't be opened.
    pub fn download(&self, fetch: FetchId) -> io::Result<Arc<Download>> {
        let mut downloads = lock(&self.inner.downloads);
        if let Some(download) = downloads.get(&fetch) {
            return Ok(download.clone());
        }
        let file =
            File::options().create(true).truncate(false).write(true).open(self.download_path(fetch))?;
        File::open(self.inner.dir.join("downloads"))?.sync_all()?;
        let download = Arc::new(Download { file, is_broken: AtomicBool::new(false) });
        downloads.insert(fetch, download.clone());
        Ok(download)
    }

    /// Where a download's content is while it grows.
    pub fn download_path(&self, fetch: FetchId) -> PathBuf {
        self.inner.dir.join("downloads").join(fetch.0.to_string())
    }

    /// Moves a whole download to where its owner wants it, by an atomic rename within one file system.
    ///
    /// # Errors
    /// If it can't be made durable or moved.
    pub fn finish(&self, fetch: FetchId, to: &Path) -> io::Result<()> {
        if let Some(download) = lock(&self.inner.downloads).remove(&fetch) {
            download.sync()?;
        }
        fs::rename(self.download_path(fetch), to)
    }
}

impl Blobs for BlobStore {
    type Error = io::Error;

    fn sync(
        &mut self,
        fetch: FetchId,
        _: u64,
    ) -> impl Future<Output = io::Result<()>> + Send + 'static + use<> {
        let store = self.clone();
        let syncing = tokio::task::spawn_blocking(move || store.download(fetch)?.sync());
        async { syncing.await.unwrap_or_else(|_| Err(io::Error::other("a sync was cut off"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imported_blob_is_found_again_with_its_proofs() {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let content: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
        let (hash, total) = {
            let store = BlobStore::open(temp.path()).expect("fresh");
            store.import(content.as_slice(), |_| {}).expect("imported")
        };
        assert_eq!(total, 100_000);
        let blob = BlobStore::open(temp.path()).expect("again").get(hash).expect("still there");
        assert_eq!(blob.outboard, Outboard::of(&content));
        assert_eq!(blob.read(65_536, 34_464).expect("readable"), content[65_536..]);
    }

    #[test]
    fn an_import_that_breaks_off_leaves_nothing() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("gone"))
            }
        }
        let temp = tempfile::tempdir().expect("a temporary directory");
        let store = BlobStore::open(temp.path()).expect("fresh");
        assert!(store.import([1, 2, 3].as_slice().chain(Broken), |_| {}).is_err());
        for part in ["blobs", "import"] {
            assert_eq!(fs::read_dir(temp.path().join(part)).expect("there").count(), 0, "{part}");
        }
    }
}
