//! A transport that keeps what was signed on it: the material of receipts.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use decdn_driver::{Incoming, Outgoing, Transport};
use decdn_engine::{
    crypto::{Signature, StreamResponseTerms},
    ids::{ChannelId, ConnId, NodeId, StreamId},
    io::{Input, Lane},
    wire::{ClientMessage, Code, Message, Protocol, StreamRequest, StreamResponse, Voucher},
};

/// Agreements that are kept; a download makes one per stream.
const AGREEMENTS_MAX: usize = 4_096;

/// What a node agreed to, with its signature (D1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Agreement {
    /// What the node signed.
    pub terms: StreamResponseTerms,
    /// From which byte on.
    pub offset_bytes: u64,
    /// The node's signature. Whoever shows it has to check it: here it is as it came.
    pub signature: Signature,
}

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    requests: BTreeMap<StreamId, (NodeId, StreamRequest)>,
    closes: BTreeMap<StreamId, ChannelId>,
    /// Signed answers that agreed to stream, in order.
    pub agreements: Vec<Agreement>,
    /// The newest voucher of each channel.
    pub vouchers: BTreeMap<ChannelId, Voucher>,
    /// A node's consent to close.
    pub consents: BTreeMap<ChannelId, Signature>,
}

impl Evidence {
    fn sent(&mut self, peer: Option<NodeId>, stream: StreamId, message: &Message) {
        let Message::Client(message) = message else { return };
        match message {
            ClientMessage::StreamRequest(request) => {
                if let Some(peer) = peer {
                    self.requests.insert(stream, (peer, *request));
                }
                if let Some(voucher) = request.newest {
                    self.paid(request.channel, voucher);
                }
            }
            ClientMessage::Voucher(voucher) => {
                if let Some(channel) = self.requests.get(&stream).map(|(_, request)| request.channel) {
                    self.paid(channel, *voucher);
                }
            }
            ClientMessage::CloseRequest(close) => {
                self.closes.insert(stream, close.channel);
                if let Some(voucher) = close.voucher {
                    let terms = voucher.terms;
                    let voucher =
                        Voucher { amount: terms.amount, nonce: terms.nonce, signature: voucher.signature };
                    self.paid(close.channel, voucher);
                }
            }
            _ => {}
        }
    }

    fn paid(&mut self, channel: ChannelId, voucher: Voucher) {
        let newest = self.vouchers.entry(channel).or_insert(voucher);
        if newest.nonce < voucher.nonce {
            *newest = voucher;
        }
    }

    fn heard(&mut self, stream: StreamId, message: &Message) {
        let Message::Client(message) = message else { return };
        match message {
            ClientMessage::StreamResponse(response) if response.ok => {
                let Some((node, request)) = self.requests.get(&stream) else { return };
                if self.agreements.len() < AGREEMENTS_MAX {
                    self.agreements.push(agreement(*node, request, response));
                }
            }
            ClientMessage::CloseConsent(signature) => {
                if let Some(channel) = self.closes.get(&stream) {
                    self.consents.insert(*channel, *signature);
                }
            }
            _ => {}
        }
    }

    fn ended(&mut self, stream: StreamId) {
        self.requests.remove(&stream);
        self.closes.remove(&stream);
    }
}

fn agreement(node: NodeId, request: &StreamRequest, response: &StreamResponse) -> Agreement {
    let terms = StreamResponseTerms::of(node, request, response);
    Agreement { terms, offset_bytes: request.offset_bytes, signature: response.signature }
}

/// See the module.
#[derive(Debug)]
pub struct Witness<T> {
    transport: T,
    peers: BTreeMap<ConnId, NodeId>,
    seen: Arc<Mutex<Evidence>>,
}

impl<T> Witness<T> {
    /// Keeps what goes over a transport, in `seen`.
    pub fn new(transport: T, seen: Arc<Mutex<Evidence>>) -> Self {
        Self { transport, peers: BTreeMap::new(), seen }
    }

    fn seen(&self) -> MutexGuard<'_, Evidence> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Transport> Transport for Witness<T> {
    type Credit = T::Credit;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, T::Credit)> {
        let event = self.transport.poll_event(cx);
        match &event {
            Poll::Ready((Input::Message { stream, message }, _)) => self.seen().heard(*stream, message),
            Poll::Ready((Input::StreamClosed { stream, .. }, _)) => self.seen().ended(*stream),
            Poll::Ready((Input::Disconnected { conn, .. }, _)) => {
                self.peers.remove(conn);
            }
            _ => {}
        }
        event
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol) {
        self.peers.insert(conn, peer);
        self.transport.connect(conn, peer, protocol);
    }

    fn disconnect(&mut self, conn: ConnId, code: Code) {
        self.peers.remove(&conn);
        self.transport.disconnect(conn, code);
    }

    fn send(&mut self, lane: Lane, stream: StreamId, message: Message) {
        let peer = self.peers.get(&stream.conn).copied();
        self.seen().sent(peer, stream, &message);
        self.transport.send(lane, stream, message);
    }

    fn finish(&mut self, lane: Lane, stream: StreamId) {
        self.transport.finish(lane, stream);
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        self.seen().ended(stream);
        self.transport.reset(stream, code);
    }

    fn receive(&mut self, stream: StreamId, what: Incoming) {
        self.transport.receive(stream, what);
    }

    fn send_range(&mut self, stream: StreamId, what: Outgoing) {
        self.transport.send_range(stream, what);
    }
}
