//! The transport of production: iroh.
//!
//! One connection per peer and protocol, one bidirectional stream per request (W3). Handshakes are complete before anything is
//! read or written, and a stream that carries early data is refused: 0-RTT is never accepted (W5).

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use ::iroh::{
    Endpoint, EndpointAddr, PublicKey, RelayMode, SecretKey, TransportAddr,
    endpoint::{
        Builder, ConnectError, ConnectingError, Connection, ConnectionError, PathId, QuicTransportConfig,
        RecvStream, SendStream, VarInt, presets,
    },
};
use decdn_driver::{ACCEPTED, Incoming, Outgoing, Transport};
use decdn_engine::{
    ids::{ConnId, NodeId, StreamId},
    io::{Gone, Input, Lane},
    time::Span,
    wire::{Code, Message, Protocol},
};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
};

use super::{
    reader::Reader,
    writer::{ITEMS_MAX, Item, MESSAGES_MAX, Writer},
};
use crate::store::BlobStore;

/// Bounds of a transport (W3).
#[derive(Clone, Copy, Debug)]
pub struct TransportLimits {
    /// Connections that peers may have with us, all together.
    pub conns: usize,
    /// Of these, from one NodeId by one protocol: the one in use and the one that replaces it.
    pub conns_per_peer: usize,
    /// Streams that a peer may have open on a connection of any protocol; the engine knows of fewer for some (W3).
    pub streams_per_conn: u32,
    /// Events that wait for the driver.
    pub events: usize,
    /// A connection on which nothing moves is gone after this.
    pub idle: Duration,
}

impl Default for TransportLimits {
    fn default() -> Self {
        let idle = Duration::from_secs(30);
        Self { conns: 4_096, conns_per_peer: 2, streams_per_conn: 100, events: 1_024, idle }
    }
}

/// How long reaching a peer may take: as long as it may be silent (D10).
const REACH: Duration = Duration::from_secs(10);

/// Why no endpoint could be bound.
#[derive(Debug)]
pub struct BindError(String, String);

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "can't bind a QUIC endpoint to {}: {}; choose another address", self.0, self.1)
    }
}

impl std::error::Error for BindError {}

/// Goes with every event; what a reader gets back when the driver is done with it.
#[derive(Debug)]
pub enum Credit {
    /// Of a stream.
    Stream(OwnedSemaphorePermit),
    /// Of something that needs no bound of its own.
    None,
}

pub(super) type Events = mpsc::Sender<(Input, Credit)>;

#[derive(Debug)]
struct StreamHandle {
    urgent: mpsc::Sender<Message>,
    items: mpsc::Sender<Item>,
    incoming: mpsc::Sender<Incoming>,
    reset: mpsc::Sender<Code>,
}

#[derive(Debug)]
struct ConnHandle {
    peer: NodeId,
    protocol: Protocol,
    /// None while it is being dialled.
    connection: Option<Connection>,
    streams: BTreeMap<u32, StreamHandle>,
    /// Streams that we opened have lower indexes; none is opened twice.
    next: u32,
}

impl ConnHandle {
    fn new(peer: NodeId, protocol: Protocol, connection: Option<Connection>) -> Self {
        Self { peer, protocol, connection, streams: BTreeMap::new(), next: 0 }
    }
}

#[derive(Debug)]
struct Shared {
    events: Events,
    limits: TransportLimits,
    blobs: BlobStore,
    conns: Mutex<BTreeMap<ConnId, ConnHandle>>,
}

/// See the module.
#[derive(Debug)]
pub struct IrohTransport {
    endpoint: Endpoint,
    shared: Arc<Shared>,
    inbox: mpsc::Receiver<(Input, Credit)>,
    /// Where peers are, by NodeId.
    book: BTreeMap<NodeId, Vec<TransportAddr>>,
    accepting: JoinHandle<()>,
}

impl Drop for IrohTransport {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl IrohTransport {
    /// Binds an endpoint to an address of this machine and starts to accept peers.
    ///
    /// # Errors
    /// If the address can't be bound.
    pub async fn bind(
        key: [u8; 32],
        at: SocketAddr,
        blobs: BlobStore,
        limits: TransportLimits,
    ) -> Result<Self, BindError> {
        let over = Endpoint::builder(presets::Minimal).clear_ip_transports().bind_addr(at);
        let over = over.map_err(|error| BindError(at.to_string(), error.to_string()))?;
        let bound = Self::bind_over(over, key, blobs, limits).await;
        bound.map_err(|BindError(_, why)| BindError(at.to_string(), why))
    }

    /// Binds an endpoint over the networks that a builder was given, without relays or address lookup, and starts to
    /// accept peers.
    ///
    /// # Errors
    /// If the network can't be bound.
    pub async fn bind_over(
        over: Builder,
        key: [u8; 32],
        blobs: BlobStore,
        limits: TransportLimits,
    ) -> Result<Self, BindError> {
        let config = QuicTransportConfig::builder()
            .max_concurrent_bidi_streams(VarInt::from_u32(limits.streams_per_conn))
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .max_idle_timeout(limits.idle.try_into().ok())
            .build();
        let endpoint = over
            .secret_key(SecretKey::from_bytes(&key))
            .alpns(Protocol::ALL.iter().map(|protocol| protocol.alpn().to_vec()).collect())
            .relay_mode(RelayMode::Disabled)
            .transport_config(config)
            .bind()
            .await
            .map_err(|error| BindError("its network".to_owned(), error.to_string()))?;
        let (events, inbox) = mpsc::channel(limits.events);
        let shared = Arc::new(Shared { events, limits, blobs, conns: Mutex::default() });
        let accepting = tokio::spawn(accept(endpoint.clone(), shared.clone()));
        Ok(Self { endpoint, shared, inbox, book: BTreeMap::new(), accepting })
    }

    /// Our own NodeId.
    pub fn id(&self) -> NodeId {
        NodeId(*self.endpoint.id().as_bytes())
    }

    /// Where peers reach us.
    pub fn addrs(&self) -> Vec<SocketAddr> {
        self.endpoint.bound_sockets()
    }

    /// Takes down where a peer is.
    pub fn learn(&mut self, peer: NodeId, addrs: Vec<SocketAddr>) {
        self.learn_at(peer, addrs.into_iter().map(TransportAddr::Ip).collect());
    }

    /// Takes down where a peer is, on whatever network.
    pub fn learn_at(&mut self, peer: NodeId, places: Vec<TransportAddr>) {
        self.book.insert(peer, places);
    }

    /// Whether a peer can be reached, and is who it should be: one handshake, and nothing said.
    ///
    /// # Errors
    /// `Unreachable` or `WrongPeer`.
    pub async fn reach(&self, peer: NodeId, addrs: Vec<SocketAddr>) -> Result<(), Gone> {
        let places = addrs.into_iter().map(TransportAddr::Ip).collect();
        let connection = dial(&self.endpoint, peer, places, Protocol::Client).await?;
        connection.close(VarInt::from_u32(0), b"");
        Ok(())
    }

    /// The endpoint, to close it at the end.
    pub fn endpoint(&self) -> Endpoint {
        self.endpoint.clone()
    }
}

impl Shared {
    fn conns(&self) -> MutexGuard<'_, BTreeMap<ConnId, ConnHandle>> {
        self.conns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the tasks of a stream; `halves` is what opens or has it.
    fn start_stream<F>(self: &Arc<Self>, stream: StreamId, protocol: Protocol, halves: F) -> StreamHandle
    where
        F: Future<Output = Option<(SendStream, RecvStream)>> + Send + 'static,
    {
        let (urgent, urgent_out) = mpsc::channel(MESSAGES_MAX);
        let (items, items_out) = mpsc::channel(ITEMS_MAX);
        let (incoming, incoming_out) = mpsc::channel(1);
        let (reset, mut reset_out) = mpsc::channel::<Code>(1);
        let shared = self.clone();
        let items_in = items.clone();
        tokio::spawn(async move {
            let Some((send, recv)) = halves.await else { return };
            let events = shared.events.clone();
            let blobs = shared.blobs.clone();
            let mut reader =
                Reader { stream, protocol, recv, events: events.clone(), incoming: incoming_out, blobs };
            let blobs = shared.blobs.clone();
            let mut writer = Writer { stream, send, events, urgent: urgent_out, items: items_out, blobs };
            let hear = async {
                if reader.run().await {
                    // The peer is done and the engine knows: what is queued still goes out, then it ends.
                    let _ = items_in.send(Item::Finish).await;
                }
            };
            let both = async { tokio::join!(hear, writer.run()) };
            let code = tokio::select! {
                biased;
                code = reset_out.recv() => code,
                // Whoever resets lets go of the stream, which ends both halves: the code may have come just before.
                _ = both => reset_out.try_recv().ok(),
            };
            if let Some(code) = code {
                let code = VarInt::from_u32(code.to_wire());
                // One that has ended already needs no reset.
                let _ = writer.send.reset(code);
                let _ = reader.recv.stop(code);
            }
            if let Some(conn) = shared.conns().get_mut(&stream.conn) {
                conn.streams.remove(&stream.index);
            }
        });
        StreamHandle { urgent, items, incoming, reset }
    }

    /// Feeds what happens to a connection that is up, until it is gone.
    async fn follow(self: Arc<Self>, id: ConnId, protocol: Protocol, connection: Connection) {
        let peer = NodeId(*connection.remote_id().as_bytes());
        let rtt = connection.rtt(PathId::ZERO).unwrap_or_default();
        let rtt = Span::from_micros(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX));
        let up = Input::Connected { conn: id, peer, protocol, rtt };
        if self.events.send((up, Credit::None)).await.is_err() {
            return;
        }
        let mut next = 0;
        let why = loop {
            match connection.accept_bi().await {
                // A peer that we dialled opens no streams; early data is never taken (W5).
                Ok((mut send, mut recv)) if id.0 & ACCEPTED == 0 || recv.is_0rtt() => {
                    let code = VarInt::from_u32(Code::Unsupported.to_wire());
                    let _ = send.reset(code);
                    let _ = recv.stop(code);
                }
                Ok(halves) => {
                    let stream = StreamId { conn: id, index: next };
                    next += 1;
                    if let Some(conn) = self.conns().get_mut(&id) {
                        let handle = self.start_stream(stream, protocol, async { Some(halves) });
                        conn.streams.insert(stream.index, handle);
                    }
                }
                Err(error) => break error,
            }
        };
        self.conns().remove(&id);
        let why = match why {
            ConnectionError::ApplicationClosed(close) => Gone::Closed(Code::from_wire(
                u32::try_from(close.error_code.into_inner()).unwrap_or(u32::MAX),
            )),
            _ => Gone::Lost,
        };
        let _ = self.events.send((Input::Disconnected { conn: id, why }, Credit::None)).await;
    }

    /// W3, W4: refuses by code what is above the caps, before anything else.
    fn admit(&self, id: ConnId, protocol: Protocol, connection: &Connection) -> bool {
        let peer = NodeId(*connection.remote_id().as_bytes());
        let mut conns = self.conns();
        let accepted = || conns.range(ConnId(ACCEPTED)..).map(|(_, conn)| conn);
        let of_peer = accepted().filter(|conn| conn.peer == peer && conn.protocol == protocol).count();
        if accepted().count() >= self.limits.conns || of_peer >= self.limits.conns_per_peer {
            connection.close(VarInt::from_u32(Code::NotNow.to_wire()), b"");
            return false;
        }
        conns.insert(id, ConnHandle::new(peer, protocol, Some(connection.clone())));
        true
    }
}

async fn dial(
    endpoint: &Endpoint,
    peer: NodeId,
    places: Vec<TransportAddr>,
    protocol: Protocol,
) -> Result<Connection, Gone> {
    let key = PublicKey::from_bytes(&peer.0).map_err(|_| Gone::WrongPeer)?;
    if places.is_empty() {
        return Err(Gone::Unreachable);
    }
    let at = EndpointAddr::from_parts(key, places);
    // QUIC itself would try for as long as a connection may be idle.
    let dialled = tokio::time::timeout(REACH, endpoint.connect(at, protocol.alpn())).await;
    dialled.map_err(|_| Gone::Unreachable)?.map_err(|error| match &error {
        _ if is_stranger(&error) => Gone::WrongPeer,
        _ => Gone::Unreachable,
    })
}

/// Whether a handshake failed because whoever answered has another key than the one that was asked for.
fn is_stranger(error: &ConnectError) -> bool {
    let source = match error {
        ConnectError::Connection { source, .. } => source,
        ConnectError::Connecting { source: ConnectingError::ConnectionError { source, .. }, .. } => source,
        ConnectError::Connecting { source: ConnectingError::HandshakeFailure { .. }, .. } => return true,
        _ => return false,
    };
    // A TLS alert of our own making; 0x178 is the missing protocol of somebody who speaks another one.
    matches!(source, ConnectionError::TransportError(error)
        if (0x100..0x200).contains(&u64::from(error.code)) && u64::from(error.code) != 0x178)
}

async fn accept(endpoint: Endpoint, shared: Arc<Shared>) {
    let mut next = ACCEPTED;
    while let Some(incoming) = endpoint.accept().await {
        next += 1;
        let id = ConnId(next);
        let shared = shared.clone();
        tokio::spawn(async move {
            let Ok(accepting) = incoming.accept() else { return };
            // The whole handshake: no early data (W5).
            let Ok(connection) = accepting.await else { return };
            // The handshake agrees on no other.
            let Some(protocol) = Protocol::from_alpn(connection.alpn()) else { return };
            if shared.admit(id, protocol, &connection) {
                shared.follow(id, protocol, connection).await;
            }
        });
    }
}

impl Transport for IrohTransport {
    type Credit = Credit;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, Credit)> {
        // The sender lives in `shared`, so the channel never ends.
        self.inbox.poll_recv(cx).map(|event| event.expect("the transport holds a sender itself"))
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol) {
        let (endpoint, shared) = (self.endpoint.clone(), self.shared.clone());
        let places = self.book.get(&peer).cloned().unwrap_or_default();
        shared.conns().insert(conn, ConnHandle::new(peer, protocol, None));
        tokio::spawn(async move {
            let connection = match dial(&endpoint, peer, places, protocol).await {
                Ok(connection) => connection,
                Err(why) => {
                    shared.conns().remove(&conn);
                    let unreachable = Input::Disconnected { conn, why };
                    let _ = shared.events.send((unreachable, Credit::None)).await;
                    return;
                }
            };
            // Given up meanwhile?
            let is_wanted = match shared.conns().get_mut(&conn) {
                Some(handle) => {
                    handle.connection = Some(connection.clone());
                    true
                }
                None => false,
            };
            if is_wanted {
                shared.follow(conn, protocol, connection).await;
            } else {
                connection.close(VarInt::from_u32(Code::NotNow.to_wire()), b"");
            }
        });
    }

    fn disconnect(&mut self, conn: ConnId, code: Code) {
        if let Some(ConnHandle { connection: Some(connection), .. }) = self.shared.conns().remove(&conn) {
            connection.close(VarInt::from_u32(code.to_wire()), b"");
        }
    }

    fn send(&mut self, lane: Lane, stream: StreamId, message: Message) {
        self.with_stream(stream, |handle| match lane {
            Lane::Channel(_) => handle.urgent.try_send(message).is_ok(),
            Lane::Role | Lane::Stream(_) => handle.items.try_send(Item::Message(message)).is_ok(),
        });
    }

    fn finish(&mut self, _: Lane, stream: StreamId) {
        // The writer sends what is urgent before it finishes.
        self.with_stream(stream, |handle| handle.items.try_send(Item::Finish).is_ok());
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        let mut conns = self.shared.conns();
        let handle = conns.get_mut(&stream.conn).and_then(|conn| conn.streams.remove(&stream.index));
        if let Some(handle) = handle {
            // Full only where it was reset already.
            let _ = handle.reset.try_send(code);
        }
    }

    fn receive(&mut self, stream: StreamId, what: Incoming) {
        self.with_stream(stream, |handle| handle.incoming.try_send(what).is_ok());
    }

    fn send_range(&mut self, stream: StreamId, what: Outgoing) {
        self.with_stream(stream, |handle| handle.items.try_send(Item::Range(what)).is_ok());
    }
}

impl IrohTransport {
    /// Hands something to a stream's tasks, opening the stream where we are the one who dialled. A stream whose
    /// peer takes nothing any more is reset once its queue is full.
    fn with_stream(&mut self, stream: StreamId, hand_over: impl FnOnce(&StreamHandle) -> bool) {
        let mut conns = self.shared.conns();
        let Some(conn) = conns.get_mut(&stream.conn) else { return };
        let Some(connection) = conn.connection.clone() else { return };
        let is_dialled = stream.conn.0 & ACCEPTED == 0;
        if is_dialled && stream.index >= conn.next {
            conn.next = stream.index + 1;
            let open = async move { connection.open_bi().await.ok() };
            conn.streams.insert(stream.index, self.shared.start_stream(stream, conn.protocol, open));
        }
        let Some(handle) = conn.streams.get(&stream.index) else { return };
        if !hand_over(handle) {
            let _ = handle.reset.try_send(Code::NotNow);
        }
    }
}
