//! A peer that does what a bench says, over an iroh endpoint of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use decdn_driver::{ACCEPTED, suite::content};
use decdn_engine::{
    ids::{ConnId, StreamId},
    wire::{
        Code, Message, Protocol,
        frame::{self, Decoder, Piece},
    },
};
use iroh::{
    Endpoint, EndpointAddr, RelayMode, SecretKey,
    endpoint::{Builder, Connection, RecvStream, SendStream, VarInt},
};
use tokio::sync::mpsc;

use crate::tally::Tally;

/// What the peer is told to do, on connections and streams by the numbers that they have at the driver.
#[derive(Debug)]
pub enum Order {
    /// Connect.
    Dial(ConnId),
    /// Send a message.
    Say(StreamId, Box<Message>),
    /// Send the suite's content.
    Deliver(StreamId),
    /// Send bytes that are no message.
    Garble(StreamId),
    /// End our side.
    Finish(StreamId),
    /// Give up both sides.
    Break(StreamId),
    /// Close the connection.
    HangUp(ConnId),
}

/// See the module.
pub struct Peer {
    pub endpoint: Endpoint,
    pub heard: Heard,
}

/// What it has heard so far.
pub type Heard = Arc<Mutex<Vec<(StreamId, Message)>>>;

struct Conn {
    connection: Connection,
    /// Whether the streams on it are ours to open, or the driver's.
    is_ours: bool,
    /// By the driver's numbers: those follow from the order in which streams are opened.
    streams: Vec<SendStream>,
}

/// All that were made, by the driver's numbers.
struct Conns {
    up: BTreeMap<ConnId, Conn>,
    /// Those that the driver has dialled; it numbers them in the order in which it dials.
    accepted: mpsc::UnboundedReceiver<Connection>,
    met: u64,
}

impl Conns {
    async fn get(&mut self, id: ConnId) -> Option<&mut Conn> {
        while id.0 & ACCEPTED == 0 && self.met <= id.0 {
            let connection = self.accepted.recv().await?;
            let conn = Conn { connection, is_ours: false, streams: Vec::new() };
            self.up.insert(ConnId(self.met), conn);
            self.met += 1;
        }
        self.up.get_mut(&id)
    }
}

impl Peer {
    /// Binds its endpoint and goes on in tasks of its own.
    pub async fn start(
        over: Builder,
        key: [u8; 32],
        driver: EndpointAddr,
        tally: Tally,
        orders: mpsc::UnboundedReceiver<Order>,
    ) -> Self {
        let endpoint = over
            .secret_key(SecretKey::from_bytes(&key))
            .alpns(vec![Protocol::Client.alpn().to_vec()])
            .relay_mode(RelayMode::Disabled)
            .bind()
            .await
            .expect("the network is there");
        let heard = Heard::default();
        let (accepting, accepted) = mpsc::unbounded_channel();
        tokio::spawn(accept(endpoint.clone(), tally, accepting));
        let conns = Conns { up: BTreeMap::new(), accepted, met: 0 };
        tokio::spawn(obey(endpoint.clone(), driver, orders, conns, heard.clone()));
        Self { endpoint, heard }
    }
}

/// Lets the driver connect, and stays connected until it hangs up.
async fn accept(endpoint: Endpoint, tally: Tally, accepted: mpsc::UnboundedSender<Connection>) {
    while let Some(incoming) = endpoint.accept().await {
        let (tally, accepted) = (tally.clone(), accepted.clone());
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
                // Nobody is told any more when the bench goes.
                let _ = accepted.send(connection.clone());
                connection.closed().await;
            }
            tally.peer_saw_the_end();
        });
    }
}

async fn obey(
    endpoint: Endpoint,
    driver: EndpointAddr,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut conns: Conns,
    heard: Heard,
) {
    while let Some(order) = orders.recv().await {
        match order {
            Order::Dial(conn) => {
                let connection = endpoint.connect(driver.clone(), Protocol::Client.alpn()).await;
                let connection = connection.expect("the driver listens");
                conns.up.insert(conn, Conn { connection, is_ours: true, streams: Vec::new() });
            }
            Order::HangUp(conn) => {
                if let Some(gone) = conns.get(conn).await {
                    gone.connection.close(VarInt::from_u32(Code::NotNow.to_wire()), b"");
                }
            }
            Order::Say(stream, message) => {
                let mut bytes = Vec::new();
                frame::encode(&message, &mut bytes);
                write(&mut conns, stream, &bytes, &heard).await;
            }
            Order::Deliver(stream) => {
                let content = content();
                let mut bytes = Vec::new();
                frame::encode_chunk_header(content.len(), &mut bytes);
                // One group: its encoding is the content itself.
                bytes.extend_from_slice(&content);
                write(&mut conns, stream, &bytes, &heard).await;
            }
            Order::Garble(stream) => write(&mut conns, stream, &[3, 99, 0, 0], &heard).await,
            Order::Finish(stream) => {
                if let Some(send) = open(&mut conns, stream, &heard).await {
                    // Whatever ended it before has ended it.
                    let _ = send.finish();
                }
            }
            Order::Break(stream) => {
                if let Some(send) = open(&mut conns, stream, &heard).await {
                    let _ = send.reset(VarInt::from_u32(Code::NotNow.to_wire()));
                }
            }
        }
    }
}

/// A stream that the driver has given up, or a connection that it has closed, takes nothing.
async fn write(conns: &mut Conns, stream: StreamId, bytes: &[u8], heard: &Heard) {
    if let Some(send) = open(conns, stream, heard).await {
        let _ = send.write_all(bytes).await;
    }
}

/// Streams are opened in order, up to the one that is wanted, or waited for where the driver opens them.
async fn open<'a>(conns: &'a mut Conns, stream: StreamId, heard: &Heard) -> Option<&'a mut SendStream> {
    let conn = conns.get(stream.conn).await?;
    while conn.streams.len() <= stream.index as usize {
        let index = conn.streams.len() as u32;
        let opened =
            if conn.is_ours { conn.connection.open_bi().await } else { conn.connection.accept_bi().await };
        let (send, recv) = opened.ok()?;
        conn.streams.push(send);
        tokio::spawn(listen(StreamId { conn: stream.conn, index }, recv, heard.clone()));
    }
    conn.streams.get_mut(stream.index as usize)
}

async fn listen(stream: StreamId, mut recv: RecvStream, heard: Heard) {
    let mut decoder = Decoder::new(Protocol::Client);
    let mut buffer = vec![0; 4 * 1024];
    let mut delivered = 0;
    while let Ok(Some(bytes)) = recv.read(&mut buffer).await {
        let mut rest = &buffer[..bytes];
        while let Some(piece) = decoder.next(&mut rest).expect("the driver sends frames") {
            match piece {
                Piece::Message(message) => {
                    heard.lock().expect("no panic while it was held").push((stream, message))
                }
                Piece::Chunk { bytes, .. } => {
                    let all = content();
                    let is_right = bytes.iter().eq(all.iter().cycle().skip(delivered).take(bytes.len()));
                    assert!(is_right, "content that nobody has");
                    delivered = (delivered + bytes.len()) % all.len();
                }
            }
        }
    }
}
