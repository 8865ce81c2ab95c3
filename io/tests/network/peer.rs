//! A peer that does what a bench says, over an iroh endpoint of its own.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

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

/// What the peer is told to do, on connections and streams by the numbers that the driver gives them.
#[derive(Debug)]
pub enum Order {
    /// Connect.
    Dial(ConnId),
    /// Send a message.
    Say(StreamId, Box<Message>),
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
    /// By the driver's numbers: those follow from the order in which streams are opened.
    streams: Vec<SendStream>,
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
        tokio::spawn(accept(endpoint.clone(), tally));
        tokio::spawn(obey(endpoint.clone(), driver, orders, heard.clone()));
        Self { endpoint, heard }
    }
}

/// Lets the driver connect, and stays connected until it hangs up.
async fn accept(endpoint: Endpoint, tally: Tally) {
    while let Some(incoming) = endpoint.accept().await {
        let tally = tally.clone();
        tokio::spawn(async move {
            if let Ok(connection) = incoming.await {
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
    heard: Heard,
) {
    let mut conns: BTreeMap<ConnId, Conn> = BTreeMap::new();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Dial(conn) => {
                let connection = endpoint.connect(driver.clone(), Protocol::Client.alpn()).await;
                let connection = connection.expect("the driver listens");
                conns.insert(conn, Conn { connection, streams: Vec::new() });
            }
            Order::HangUp(conn) => {
                if let Some(gone) = conns.remove(&conn) {
                    gone.connection.close(VarInt::from_u32(Code::NotNow.to_wire()), b"");
                }
            }
            Order::Say(stream, message) => {
                let mut bytes = Vec::new();
                frame::encode(&message, &mut bytes);
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
async fn write(conns: &mut BTreeMap<ConnId, Conn>, stream: StreamId, bytes: &[u8], heard: &Heard) {
    if let Some(send) = open(conns, stream, heard).await {
        let _ = send.write_all(bytes).await;
    }
}

/// Streams are opened in order, up to the one that is wanted.
async fn open<'a>(
    conns: &'a mut BTreeMap<ConnId, Conn>,
    stream: StreamId,
    heard: &Heard,
) -> Option<&'a mut SendStream> {
    let conn = conns.get_mut(&stream.conn)?;
    while conn.streams.len() <= stream.index as usize {
        let index = conn.streams.len() as u32;
        let (send, recv) = conn.connection.open_bi().await.ok()?;
        conn.streams.push(send);
        tokio::spawn(listen(StreamId { conn: stream.conn, index }, recv, heard.clone()));
    }
    conn.streams.get_mut(stream.index as usize)
}

async fn listen(stream: StreamId, mut recv: RecvStream, heard: Heard) {
    let mut decoder = Decoder::new(Protocol::Client);
    let mut buffer = vec![0; 4 * 1024];
    while let Ok(Some(bytes)) = recv.read(&mut buffer).await {
        let mut rest = &buffer[..bytes];
        while let Some(piece) = decoder.next(&mut rest).expect("the driver sends frames") {
            match piece {
                Piece::Message(message) => {
                    heard.lock().expect("no panic while it was held").push((stream, message))
                }
                Piece::Chunk { .. } => panic!("the suite has no content"),
            }
        }
    }
}
