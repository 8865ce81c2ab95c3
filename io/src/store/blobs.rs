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

use alloy_primitives::hex;
use decdn_driver::Blobs;
use decdn_engine::{
    blob::{Outboard, OutboardBuilder},
    ids::{BlobHash, FetchId},
};
use tokio::sync::watch;

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
    /// Fills `content` with the content bytes from `offset`.
    ///
    /// # Errors
    /// If the file is shorter by now, or can't be read.
    pub fn read(&self, offset: u64, content: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(content, offset)
    }
}

/// A download's file.
#[derive(Debug)]
pub struct Download {
    file: File,
    /// A write failed: nothing of it may be called durable any more.
    is_broken: AtomicBool,
    trouble: Arc<watch::Sender<Option<String>>>,
}

impl Download {
    /// Puts verified content in its place.
    ///
    /// # Errors
    /// If the disk refuses; the download can't be made durable from then on.
    pub fn write(&self, offset: u64, content: &[u8]) -> io::Result<()> {
        let written = self.file.write_all_at(content, offset);
        if let Err(error) = &written {
            self.is_broken.store(true, Ordering::Release);
            self.trouble.send_replace(Some(error.to_string()));
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
    /// Why content could not be written, once it could not.
    trouble: Arc<watch::Sender<Option<String>>>,
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
        let (open, downloads) = (Mutex::default(), Mutex::default());
        let trouble = Arc::new(watch::Sender::new(None));
        let inner = Inner { dir: dir.to_path_buf(), open, downloads, trouble };
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
        let open = || {
            let path = self.download_path(fetch);
            let file = File::options().create(true).truncate(false).write(true).open(path)?;
            File::open(self.inner.dir.join("downloads"))?.sync_all()?;
            Ok(file)
        };
        let file = open().inspect_err(|error: &io::Error| {
            self.inner.trouble.send_replace(Some(error.to_string()));
        })?;
        let download = Arc::new(Download {
            file,
            is_broken: AtomicBool::new(false),
            trouble: self.inner.trouble.clone(),
        });
        downloads.insert(fetch, download.clone());
        Ok(download)
    }

    /// Where a download's content is while it grows.
    pub fn download_path(&self, fetch: FetchId) -> PathBuf {
        self.inner.dir.join("downloads").join(fetch.0.to_string())
    }

    /// Ends once a download's content could not be written, with the reason. To the engine it looks as if the content
    /// had been lost on its way, so whoever ordered the download has to hear of it here.
    pub async fn trouble(&self) -> String {
        let mut trouble = self.inner.trouble.subscribe();
        loop {
            if let Some(why) = trouble.borrow_and_update().clone() {
                return why;
            }
            // `inner` holds the sender, so `changed` never fails.
            let _ = trouble.changed().await;
        }
    }

    /// Every complete blob, with its size.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub fn list(&self) -> io::Result<Vec<(BlobHash, u64)>> {
        let mut blobs = Vec::new();
        for entry in fs::read_dir(self.inner.dir.join("blobs"))? {
            let entry = entry?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".content"));
            let mut hash = [0; 32];
            if stem.is_some_and(|stem| hex::decode_to_slice(stem, &mut hash).is_ok())
                && self.path(BlobHash(hash), "outboard").exists()
            {
                blobs.push((BlobHash(hash), entry.metadata()?.len()));
            }
        }
        blobs.sort_unstable();
        Ok(blobs)
    }

    /// Closes a download's file and makes it durable; where it is.
    ///
    /// # Errors
    /// If it can't be made durable.
    pub fn close(&self, fetch: FetchId) -> io::Result<PathBuf> {
        if let Some(download) = lock(&self.inner.downloads).remove(&fetch) {
            download.sync()?;
        }
        Ok(self.download_path(fetch))
    }

    /// Moves a whole download to where its owner wants it: by an atomic rename within one file system, by a copy
    /// that appears whole or not at all between two.
    ///
    /// # Errors
    /// If it can't be made durable or moved; then it is still where it was.
    pub fn finish(&self, fetch: FetchId, to: &Path) -> io::Result<()> {
        let from = self.close(fetch)?;
        match fs::rename(&from, to) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let dir = to.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
                let mut copy = tempfile::Builder::new().prefix(".decdn-").tempfile_in(dir)?;
                io::copy(&mut File::open(&from)?, copy.as_file_mut())?;
                copy.as_file().sync_all()?;
                copy.persist(to).map_err(|error| error.error)?;
                fs::remove_file(&from)
            }
            moved => moved,
        }
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
        assert_eq!(BlobStore::open(temp.path()).expect("again").list().expect("readable"), [(hash, total)]);
        let blob = BlobStore::open(temp.path()).expect("again").get(hash).expect("still there");
        assert_eq!(blob.outboard, Outboard::of(&content));
        let mut read = vec![0; 34_464];
        blob.read(65_536, &mut read).expect("readable");
        assert_eq!(read, content[65_536..]);
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
