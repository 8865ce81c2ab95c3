//! A node with nobody around it: the test plays chain, disk and payer, and sees every effect.

use decdn_engine::{
    chain::{Block, BlockRef, Call, ChainEvent, ChainUpdate, channel},
    crypto::{Quote, Signature},
    ids::{Address, BlobHash, ChannelId, ConnId, NodeId, StreamId, TxTicket},
    io::{Effect, Input},
    limits::{GROUP, Limits},
    money::{Amount, Nonce, Rate},
    record::{Key, PersistSeq, Record},
    roles::{config::NodeConfig, node::Node},
    time::{ChainTime, Span},
    wire::{Auth, ClientMessage, Code, Message, Protocol, StreamRequest, Voucher},
};
pub use decdn_testkit::fixtures::{CLIENT, HASH, OPERATOR, TOKEN};
use decdn_testkit::{
    Trusting, disk,
    fixtures::{earning, news, node_config},
    named,
};

pub fn channel(n: u8) -> ChannelId {
    ChannelId([n; 32])
}

pub struct Bench {
    pub node: decdn_testkit::Bench<Node, Trusting>,
    pub config: NodeConfig,
    /// While the disk is stuck, write sets wait here.
    pub is_disk_stuck: bool,
    pub stuck: Vec<(PersistSeq, Vec<Record>)>,
    streams: u32,
    /// Who asks.
    pub requester: Address,
}

impl Bench {
    /// A node with channels that hold a voucher over these amounts, or none.
    pub fn new(limits: Limits, held: &[u128]) -> Self {
        let config = NodeConfig { limits, ..node_config(Rate(1_000)) };
        let disk = held.iter().enumerate().map(|(n, amount)| {
            let earning = earning(channel(n as u8), Amount(1_000_000), Amount(*amount), Nonce(1));
            (Key::Earning(earning.channel), Record::Earning(earning))
        });
        // A signature is the client's, unless it says whose it is.
        let believed = Trusting(&[CLIENT, OPERATOR]);
        let mut node = decdn_testkit::Bench::new(Node::new(config.clone()), believed).with_twin();
        node.disk = disk.collect();
        let mut bench =
            Self { node, config, is_disk_stuck: false, stuck: Vec::new(), streams: 0, requester: CLIENT };
        bench.restart();
        bench
    }

    /// Starts again from what is durable.
    pub fn restart(&mut self) {
        self.node.reboot(|records| Node::recover(self.config.clone(), records));
        self.streams = 0;
        self.feed(Input::BlobReady { hash: HASH, bytes: 64 * GROUP });
        self.feed(Input::Connected {
            conn: ConnId(0),
            peer: NodeId([9; 32]),
            protocol: Protocol::Client,
            rtt: Span(1),
        });
    }

    /// Feeds an input; what is to be stored is stored at once.
    pub fn feed(&mut self, input: Input) -> Vec<Effect> {
        let mut said = Vec::new();
        for output in self.node.step(input) {
            match output.effect {
                Effect::Persist { seq, writes } if self.is_disk_stuck => self.stuck.push((seq, writes)),
                Effect::Persist { seq, writes } => said.extend(self.store(seq, writes)),
                effect => said.push(effect),
            }
        }
        said
    }

    fn store(&mut self, seq: PersistSeq, writes: Vec<Record>) -> Vec<Effect> {
        disk::write(&mut self.node.disk, &writes);
        self.feed(Input::Persisted { seq })
    }

    /// The disk catches up.
    pub fn unstick(&mut self) {
        self.is_disk_stuck = false;
        for (seq, writes) in std::mem::take(&mut self.stuck) {
            self.store(seq, writes);
        }
    }

    /// Lets so many seconds pass on both clocks.
    pub fn pass(&mut self, secs: u64) {
        self.node.pass(Span::from_secs(secs));
    }

    /// A block whose timestamp is so many seconds from the wall clock.
    pub fn block(&self, number: u64, off_secs: i64) -> Block {
        Block { number, time: ChainTime(self.node.now.wall.secs().saturating_add_signed(off_secs)) }
    }

    /// News of a head, with these events.
    pub fn hear(&mut self, head: Block, safe: u64, events: Vec<ChainEvent>) -> Vec<Effect> {
        self.hear_from(None, head.into(), safe, events)
    }

    /// The same of a chain that is another one from a block on.
    pub fn hear_from(
        &mut self,
        forked_at: Option<u64>,
        head: BlockRef,
        safe: u64,
        events: Vec<ChainEvent>,
    ) -> Vec<Effect> {
        self.feed(Input::Chain(ChainUpdate { forked_at, ..news(head, safe, events) }))
    }

    /// Asks for the blob on a channel: `Ok` if it is being answered with a signature.
    pub fn request(&mut self, n: u8) -> Result<(), Code> {
        let said = self.ask(n, 4 * GROUP);
        let refused = said.iter().find_map(|effect| match effect {
            Effect::Reset { code, .. } => Some(*code),
            _ => None,
        });
        refused.map_or(Ok(()), Err)
    }

    /// Asks for the blob on a channel, at this cadence.
    pub fn ask(&mut self, n: u8, cadence_bytes: u64) -> Vec<Effect> {
        self.ask_with(n, cadence_bytes, None)
    }

    /// The same, with the newest voucher of a client that was there before.
    pub fn ask_with(&mut self, n: u8, cadence_bytes: u64, newest: Option<Voucher>) -> Vec<Effect> {
        let request = StreamRequest { newest, ..self.stream_request(n, cadence_bytes) };
        self.send(request)
    }

    /// Asks for the blob once more, on the stream that a request came on last.
    pub fn ask_there(&mut self, n: u8) -> Vec<Effect> {
        let request = self.stream_request(n, 4 * GROUP);
        let stream = StreamId { conn: ConnId(0), index: self.streams - 1 };
        self.feed(Input::Message { stream, message: Message::Client(ClientMessage::StreamRequest(request)) })
    }

    fn send(&mut self, request: StreamRequest) -> Vec<Effect> {
        let stream = StreamId { conn: ConnId(0), index: self.next_index() };
        self.feed(Input::Message { stream, message: Message::Client(ClientMessage::StreamRequest(request)) })
    }

    fn stream_request(&self, n: u8, cadence_bytes: u64) -> StreamRequest {
        StreamRequest {
            hash: HASH,
            channel: channel(n),
            token: TOKEN,
            offset_bytes: 0,
            len_bytes: 0,
            cadence_bytes,
            max_rate: Rate(1_000),
            requester: self.requester,
            timestamp: self.node.now.wall,
            quote: None,
            auth: Some(Auth { address: self.requester, signature: named(self.requester) }),
            newest: None,
        }
    }

    /// A number for a stream that was not used yet.
    pub fn next_index(&mut self) -> u32 {
        self.streams += 1;
        self.streams - 1
    }

    /// Asks for a blob on the first channel, on the strength of a quote.
    pub fn ask_quoting(&mut self, hash: BlobHash, quote: Option<Quote>, max_rate: u64) -> Vec<Effect> {
        let request =
            StreamRequest { hash, quote, max_rate: Rate(max_rate), ..self.stream_request(0, 4 * GROUP) };
        self.send(request)
    }

    /// Signs whatever was to be signed.
    pub fn sign(&mut self, said: &[Effect]) -> Vec<Effect> {
        let tickets: Vec<_> = said
            .iter()
            .filter_map(|effect| match effect {
                Effect::Sign { ticket, .. } => Some(*ticket),
                _ => None,
            })
            .collect();
        let signature = Some(Signature([1; 65]));
        tickets.into_iter().flat_map(|ticket| self.feed(Input::Signed { ticket, signature })).collect()
    }
}

/// The closes that were asked for.
pub fn closes(said: &[Effect]) -> Vec<(TxTicket, ChannelId)> {
    let found = said.iter().filter_map(|effect| match effect {
        Effect::Tx { ticket, call: Call::Channel(channel::Call::Finish { channel, .. }), .. } => {
            Some((*ticket, *channel))
        }
        _ => None,
    });
    found.collect()
}
