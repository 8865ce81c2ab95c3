//! Who paid delivery is measured against: a bare iroh stream, and iroh-blobs from disk to disk and from memory to
//! memory.

use std::{
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::FileExt,
    path::Path,
    sync::Arc,
};

use decdn_io::stage::CADENCE;
use iroh::{Endpoint, EndpointAddr, RelayMode, TransportAddr, endpoint::presets, protocol::Router};
use iroh_blobs::{
    BlobsProtocol, Hash, HashAndFormat,
    api::Store,
    store::{fs::FsStore, mem::MemStore},
};

use crate::{
    Trouble,
    table::{Run, Watch},
};

const ALPN: &[u8] = b"decdn/bench/stream";
/// How much the bare stream reads and writes at once.
const PIECE_BYTES: usize = 1 << 20;
/// The least that the bare stream writes at once, but for the end.
const WRITE_BYTES: usize = 256 << 10;

async fn endpoint(alpns: Vec<Vec<u8>>) -> Result<Endpoint, Trouble> {
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let builder = Endpoint::builder(presets::Minimal).alpns(alpns).relay_mode(RelayMode::Disabled);
    Ok(builder.clear_ip_transports().bind_addr(at)?.bind().await?)
}

fn addr_of(endpoint: &Endpoint) -> EndpointAddr {
    EndpointAddr::from_parts(endpoint.id(), endpoint.bound_sockets().into_iter().map(TransportAddr::Ip))
}

/// A file over one stream into a file, durable every cadence: what paid delivery does, without paying and proving.
pub(super) async fn bare_stream(from: &Path, to: &Path) -> Result<Run, Trouble> {
    let (sender, receiver) = (endpoint(vec![ALPN.to_vec()]).await?, endpoint(Vec::new()).await?);
    let address = addr_of(&sender);
    let file = File::open(from)?;
    let serving = sender.clone();
    let sending = tokio::spawn(async move {
        let incoming = serving.accept().await.ok_or("no connection came")?;
        let connection = incoming.accept()?.await?;
        let (mut send, mut recv) = connection.accept_bi().await?;
        recv.read_exact(&mut [0]).await?;
        let file = Arc::new(file);
        let total = file.metadata()?.len();
        let mut offset = 0;
        while offset < total {
            let bytes = usize::try_from(total - offset).unwrap_or(usize::MAX).min(PIECE_BYTES);
            let file = file.clone();
            let piece = tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; bytes];
                file.read_exact_at(&mut piece, offset).map(|()| piece)
            });
            send.write_chunk(piece.await??.into()).await?;
            offset += bytes as u64;
        }
        send.finish()?;
        connection.closed().await;
        Ok::<(), Trouble>(())
    });
    let connection = receiver.connect(address, ALPN).await?;
    let (mut send, mut recv) = connection.open_bi().await?;
    let file = Arc::new(File::create(to)?);
    let watch = Watch::start();
    send.write_all(&[1]).await?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut offset = 0;
    let mut synced = 0;
    let mut syncing: Option<tokio::task::JoinHandle<std::io::Result<()>>> = None;
    let mut held = 0;
    loop {
        let read = recv.read(&mut piece[held..]).await?;
        held += read.unwrap_or(0);
        // Large writes: what is on its way waits for more, so that the system is asked less often.
        if held < WRITE_BYTES && read.is_some() {
            continue;
        }
        file.write_all_at(&piece[..held], offset)?;
        offset += held as u64;
        held = 0;
        if read.is_none() {
            break;
        }
        if offset - synced >= CADENCE {
            synced = offset;
            if let Some(before) = syncing.take() {
                before.await??;
            }
            let file = file.clone();
            syncing = Some(tokio::task::spawn_blocking(move || file.sync_data()));
        }
    }
    if let Some(before) = syncing {
        before.await??;
    }
    file.sync_data()?;
    let run = watch.stop();
    connection.close(0u32.into(), b"");
    sending.await??;
    receiver.close().await;
    sender.close().await;
    std::fs::remove_file(to)?;
    Ok(run)
}

/// iroh-blobs from one memory store into another.
pub(super) async fn blobs_in_memory(from: &Path) -> Result<Run, Trouble> {
    let store = MemStore::new();
    let tag = store.add_bytes(std::fs::read(from)?).await?;
    let pair = Pair::connect(&store, MemStore::new().into()).await?;
    let watch = Watch::start();
    pair.fetch(tag.hash).await?;
    let run = watch.stop();
    pair.close().await?;
    Ok(run)
}

/// iroh-blobs from one disk store into another. It makes less durable than paid delivery does: nothing of the content
/// is synced when the fetch returns.
pub(super) async fn blobs_on_disk(from: &Path) -> Result<Run, Trouble> {
    let homes = (tempfile::tempdir()?, tempfile::tempdir()?);
    let store = FsStore::load(homes.0.path()).await?;
    let tag = store.add_path(std::path::absolute(from)?).await?;
    let pair = Pair::connect(&store, FsStore::load(homes.1.path()).await?.into()).await?;
    let watch = Watch::start();
    pair.fetch(tag.hash).await?;
    let run = watch.stop();
    pair.close().await?;
    Ok(run)
}

/// Small blobs one after the other over one connection, disk to disk: the time of each.
pub(super) async fn small_blobs_on_disk(contents: &[Vec<u8>]) -> Result<Vec<Run>, Trouble> {
    let homes = (tempfile::tempdir()?, tempfile::tempdir()?);
    let store = FsStore::load(homes.0.path()).await?;
    let mut hashes = Vec::new();
    for content in contents {
        hashes.push(store.add_bytes(content.clone()).await?.hash);
    }
    let pair = Pair::connect(&store, FsStore::load(homes.1.path()).await?.into()).await?;
    let mut runs = Vec::new();
    for hash in hashes {
        let watch = Watch::start();
        pair.fetch(hash).await?;
        runs.push(watch.stop());
    }
    pair.close().await?;
    Ok(runs)
}

/// A server and a client of iroh-blobs, connected.
struct Pair {
    router: Router,
    client: Endpoint,
    connection: iroh::endpoint::Connection,
    into: Store,
}

impl Pair {
    async fn connect(from: &Store, into: Store) -> Result<Self, Trouble> {
        let (server, client) = (endpoint(Vec::new()).await?, endpoint(Vec::new()).await?);
        let protocol = BlobsProtocol::new(from, None);
        let router = Router::builder(server.clone()).accept(iroh_blobs::ALPN, protocol).spawn();
        let connection = client.connect(addr_of(&server), iroh_blobs::ALPN).await?;
        Ok(Self { router, client, connection, into })
    }

    async fn fetch(&self, hash: Hash) -> Result<(), Trouble> {
        self.into.remote().fetch(self.connection.clone(), HashAndFormat::raw(hash)).await?;
        Ok(())
    }

    async fn close(self) -> Result<(), Trouble> {
        self.client.close().await;
        self.router.shutdown().await?;
        self.into.shutdown().await?;
        Ok(())
    }
}
