//! Both roles over real QUIC on disks in memory, which fail or lose power and forget what was not synced: whatever leaves
//! a role rests on what its disk has kept, and the purchase ends with exact money.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use decdn_contracts::{EthKey, Genesis, Profile, Setup, registry, token};
use decdn_driver::{Clock, Incoming, Outgoing, Transport, suite::Dice};
use decdn_engine::{
    ids::{Address, BlobHash, ChannelId, ConnId, FetchId, NodeId, StreamId},
    io::{Input, Lane, Notice},
    money::{Amount, MB, Nonce},
    order::{Candidate, FetchOrder},
    record::{ChannelStatus, Key, Record},
    roles::{
        client::Client,
        config::{ClientConfig, NodeConfig, TokenTerms},
        node::Node,
    },
    time::Span,
    wire::{ClientMessage, Code, Message, Protocol},
};
use decdn_io::{
    chain::{AlloyChain, Config},
    clock::SystemClock,
    devnet::Devnet,
    party::{News, Parts, Party},
    signer::KeySigner,
    stage::{RATE, price},
    store::{Records, StateDir},
    transport::IrohTransport,
};
use decdn_store::{Disk, Op, ordeal};
use tempfile::TempDir;

const BYTES: usize = 5 << 20;
const CADENCE: u64 = MB / 4;
const PURSE: Amount = Amount(1_000_000_000);
const FETCH: FetchId = FetchId(1);
const NODE: [u8; 32] = [21; 32];
const CLIENT: [u8; 32] = [22; 32];

/// What left both roles in all of their lives.
#[derive(Default)]
struct Said {
    vouchers: BTreeMap<(ChannelId, Nonce), Amount>,
    checked: usize,
    wrong: Vec<String>,
}

/// A transport that compares what goes out with what the disk would have if the power went now.
struct Guard {
    transport: IrohTransport,
    disk: Disk,
    said: Arc<Mutex<Said>>,
    channels: BTreeMap<StreamId, ChannelId>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guard {
    fn looks_at(&mut self, stream: StreamId, message: &Message) {
        let Message::Client(client) = message else { return };
        match client {
            ClientMessage::StreamRequest(request) => {
                self.channels.insert(stream, request.channel);
                if let Some(voucher) = request.newest {
                    self.pays(request.channel, voucher.nonce, voucher.amount);
                }
            }
            ClientMessage::Voucher(voucher) => {
                let channel = self.channels[&stream];
                self.pays(channel, voucher.nonce, voucher.amount);
            }
            ClientMessage::CloseRequest(close) => {
                self.channels.insert(stream, close.channel);
                if let Some(voucher) = close.voucher {
                    self.pays(close.channel, voucher.terms.nonce, voucher.terms.amount);
                }
            }
            ClientMessage::VoucherAck(nonce) => {
                let channel = self.channels[&stream];
                self.rests_on(Key::Earning(channel), message, |record| {
                    matches!(record, Record::Earning(earning)
                        if earning.best.is_some_and(|best| best.nonce >= *nonce))
                });
            }
            ClientMessage::CloseConsent(_) => {
                let channel = self.channels[&stream];
                self.rests_on(Key::Earning(channel), message, |record| {
                    matches!(record, Record::Earning(earning) if earning.status != ChannelStatus::Open)
                });
            }
            _ => {}
        }
    }

    /// V3: stored before it is sent, and one amount for a nonce for ever.
    fn pays(&self, channel: ChannelId, nonce: Nonce, amount: Amount) {
        let first = *lock(&self.said).vouchers.entry((channel, nonce)).or_insert(amount);
        if first != amount {
            lock(&self.said).wrong.push(format!("{nonce:?} over {first}, and over {amount}"));
        }
        self.rests_on(Key::Paying(channel), &(nonce, amount), |record| {
            matches!(record, Record::Paying(paying) if paying.nonce >= nonce && paying.amount >= amount)
        });
    }

    fn rests_on(&self, key: Key, what: &impl std::fmt::Debug, holds: impl Fn(&Record) -> bool) {
        let kept = ordeal::open(&self.disk.durable()).and_then(|db| ordeal::load(&db));
        let mut said = lock(&self.said);
        said.checked += 1;
        match kept {
            Ok(kept) if kept.get(&key).is_some_and(holds) => {}
            kept => {
                said.wrong.push(format!(
                    "{what:?} left, and {:?} is kept",
                    kept.map(|kept| kept.get(&key).cloned())
                ));
            }
        }
    }
}

impl Transport for Guard {
    type Credit = <IrohTransport as Transport>::Credit;

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(Input, Self::Credit)> {
        let event = self.transport.poll_event(cx);
        if let Poll::Ready((Input::Message { stream, message }, _)) = &event {
            match message {
                Message::Client(ClientMessage::StreamRequest(request)) => {
                    self.channels.insert(*stream, request.channel)
                }
                Message::Client(ClientMessage::CloseRequest(close)) => {
                    self.channels.insert(*stream, close.channel)
                }
                _ => None,
            };
        }
        event
    }

    fn connect(&mut self, conn: ConnId, peer: NodeId, protocol: Protocol) {
        self.transport.connect(conn, peer, protocol);
    }

    fn disconnect(&mut self, conn: ConnId, code: Code) {
        self.transport.disconnect(conn, code);
    }

    fn send(&mut self, lane: Lane, stream: StreamId, message: Message) {
        self.looks_at(stream, &message);
        self.transport.send(lane, stream, message);
    }

    fn finish(&mut self, lane: Lane, stream: StreamId) {
        self.transport.finish(lane, stream);
    }

    fn reset(&mut self, stream: StreamId, code: Code) {
        self.transport.reset(stream, code);
    }

    fn receive(&mut self, stream: StreamId, what: Incoming) {
        self.transport.receive(stream, what);
    }

    fn send_range(&mut self, stream: StreamId, what: Outgoing) {
        self.transport.send_range(stream, what);
    }
}

/// A chain, and both parties' keys, folders and disks.
struct Scene {
    home: TempDir,
    clock: SystemClock,
    chain: Devnet,
    token: Address,
    keys: [EthKey; 2],
    disks: [Disk; 2],
    said: Arc<Mutex<Said>>,
    content: Vec<u8>,
}

impl Scene {
    async fn new() -> Self {
        let (clock, genesis) = (SystemClock::new(), Genesis::standard());
        let profile = Profile { genesis: clock.genesis(), ..Profile::arbitrum() };
        let ticks = clock.clone();
        let chain = Devnet::start(genesis.clone(), profile, Arc::new(move || ticks.now().mono), 0);
        let chain = chain.await.expect("a free port");
        let token = genesis.token(0).expect("the standard chain has one");
        let keys = [1, 2].map(|n| EthKey::from_secret([n; 32]).expect("in range"));
        Self {
            home: tempfile::tempdir().expect("a temporary directory"),
            clock,
            chain,
            token,
            keys,
            disks: [Disk::default(), Disk::default()],
            said: Arc::default(),
            content: (0..BYTES).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect(),
        }
    }

    /// A party's parts, over its disk.
    async fn parts(&self, who: usize, key: [u8; 32], at: SocketAddr) -> Parts {
        for _ in 0..500 {
            let dir = StateDir::open(&self.home.path().join(who.to_string())).expect("free");
            let records = Records::over(ordeal::open(&self.disks[who]).expect("a crash is no damage"));
            match Parts::with(dir, records, key, at).await {
                Ok(parts) => return parts,
                // A socket goes a moment after the party that had it.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("{at} is never free again");
    }

    fn start<R: decdn_engine::roles::Role + Send + 'static>(
        &self,
        who: usize,
        role: R,
        parts: Parts,
    ) -> Party {
        let key = self.keys[who].clone();
        let config = Config { receipt_poll: Duration::from_millis(20), ..Config::default() };
        let deployment = self.chain.deployment();
        let chain = AlloyChain::new(&self.chain.url(), deployment, key.clone(), config).expect("a URL");
        let (disk, said) = (self.disks[who].clone(), self.said.clone());
        Party::start_over(
            role,
            parts,
            self.clock.clone(),
            chain,
            KeySigner::new(key, deployment),
            |transport| Guard { transport, disk, said, channels: BTreeMap::new() },
        )
    }

    async fn node(&self, at: SocketAddr) -> Party {
        let parts = self.parts(1, NODE, at).await;
        let mut config =
            NodeConfig::new(self.chain.deployment(), parts.transport.id(), self.keys[1].address());
        config.tokens = vec![TokenTerms { soft_cap: PURSE, ..TokenTerms::new(self.token, RATE) }];
        config.monitor.poll = Span::from_millis(100);
        let role = Node::recover(config, parts.load().expect("readable").into_iter());
        let node = self.start(1, role, parts);
        for (hash, bytes) in node.blobs.list().expect("readable") {
            node.order(Input::BlobReady { hash, bytes }).await;
        }
        node
    }

    async fn client(&self, node: (NodeId, SocketAddr)) -> Party {
        let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0);
        let mut parts = self.parts(0, CLIENT, at).await;
        parts.transport.learn(node.0, vec![node.1]);
        let mut config =
            ClientConfig::new(self.chain.deployment(), parts.transport.id(), self.keys[0].address());
        config.monitor.poll = Span::from_millis(100);
        let role = Client::recover(config, parts.load().expect("readable").into_iter());
        self.start(0, role, parts)
    }

    fn order(&self, hash: BlobHash, node: NodeId) -> Input {
        Input::Fetch(FetchOrder {
            id: FETCH,
            hash,
            offset_bytes: 0,
            len_bytes: 0,
            candidates: vec![Candidate { node, operator: self.keys[1].address() }],
            token: self.token,
            deposit: Amount(2 * price(BYTES as u64).0),
            cadence_bytes: CADENCE,
            max_rate: RATE,
            keep_channel: false,
        })
    }

    fn balance(&self, who: usize) -> Amount {
        self.chain.balance(self.token, self.keys[who].address())
    }
}

/// What a disk does to whom.
#[derive(Clone, Copy)]
enum Spoil {
    Fail(Op, io::ErrorKind),
    Tear,
}

/// One purchase; the disk of `who` fails at one moment after another, and then the power goes and comes back.
async fn purchase(who: usize, spoil: Spoil, step: usize) {
    let scene = Scene::new().await;
    let mut dice = Dice(step as u64);
    let mut node = scene.node(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)).await;
    let operator = scene.keys[1].address();
    for setup in [
        Setup::from(token::Setup::Mint { token: scene.token, to: scene.keys[0].address(), amount: PURSE }),
        registry::Setup::SetNode { operator, node: node.node, active: true }.into(),
    ] {
        scene.chain.setup(&setup).expect("the owner may");
    }
    let (hash, bytes) = node.blobs.import(scene.content.as_slice(), |_| {}).expect("room");
    node.order(Input::BlobReady { hash, bytes }).await;
    let at = (node.node, node.addrs[0]);
    let mut client = scene.client(at).await;
    client.order(scene.order(hash, at.0)).await;

    let disk = &scene.disks[who];
    let (mut stops, mut is_fetched) = (0, false);
    // Every channel is settled at the end, those too whose opening the client forgot: then there is nothing left to spoil.
    let is_back = || scene.balance(0).checked_add(scene.balance(1)) == Some(PURSE);
    'settled: for spared in (0..).step_by(step) {
        match spoil {
            Spoil::Fail(op, how) => disk.fail(op, spared, how),
            Spoil::Tear => disk.tear(spared),
        }
        let why = loop {
            tokio::select! {
                news = client.next() => match news {
                    Ok(News::Notice(Notice::Fetched { .. })) => is_fetched = true,
                    Ok(News::Notice(Notice::Settled { .. })) if is_fetched && is_back() => break 'settled,
                    Ok(News::Notice(Notice::FetchFailed { .. })) => client.order(scene.order(hash, at.0)).await,
                    Ok(_) => {}
                    Err(why) => break why,
                },
                news = node.next() => if let Err(why) = news {
                    break why;
                },
                () = tokio::time::sleep(Duration::from_secs(60)) => panic!("neither goes on nor stops"),
            }
        };
        assert!(why.contains("records can't be stored: records.redb"), "{why}");
        stops += 1;
        if who == 0 {
            client.stop().await;
            drop(client);
            disk.cut_power(|bound| dice.roll(bound));
            client = scene.client(at).await;
            if !is_fetched {
                client.order(scene.order(hash, at.0)).await;
            }
        } else {
            node.stop().await;
            // With it goes its socket, which the next one needs.
            drop(node);
            disk.cut_power(|bound| dice.roll(bound));
            node = scene.node(at.1).await;
        }
    }
    assert!(stops > 2, "the disk did fail");
    let to = scene.home.path().join("got");
    client.blobs.finish(FETCH, &to).expect("whole");
    assert!(fs::read(to).expect("there") == scene.content);
    let (left, earned) = (scene.balance(0), scene.balance(1));
    assert_eq!(left.checked_add(earned), Some(PURSE), "not a base unit is missing");
    // What was in transit at a stop is bought again (D8).
    let most = price(bytes).0 + stops * (price(CADENCE).0 + 1);
    assert!((price(bytes).0..=most).contains(&earned.0), "{earned} after {stops} stops");
    let said = lock(&scene.said);
    assert!(said.wrong.is_empty(), "{:?}", said.wrong);
    println!("{stops} stops, {} vouchers, {} messages rest on the disk", said.vouchers.len(), said.checked);
    assert!(said.checked > 20);
}

macro_rules! purchases {
    ($($name:ident: $who:literal, $spoil:expr, $step:literal;)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            purchase($who, $spoil, $step).await;
        }
    )*};
}

const FAILS: io::ErrorKind = io::ErrorKind::Other;
const READ_ONLY: io::ErrorKind = io::ErrorKind::ReadOnlyFilesystem;

purchases! {
    v3_a_client_signs_only_what_is_synced_before: 0, Spoil::Fail(Op::Sync, FAILS), 4;
    v3_a_client_signs_only_what_is_written_before: 0, Spoil::Fail(Op::Write, FAILS), 17;
    v3_a_client_signs_nothing_on_a_disk_that_turned_read_only: 0, Spoil::Fail(Op::Write, READ_ONLY), 23;
    o12_a_client_whose_power_goes_signs_no_nonce_twice: 0, Spoil::Tear, 13;
    v3_a_node_acknowledges_only_what_is_synced_before: 1, Spoil::Fail(Op::Sync, FAILS), 4;
    v3_a_node_acknowledges_only_what_is_written_before: 1, Spoil::Fail(Op::Write, FAILS), 17;
    v3_a_node_acknowledges_nothing_on_a_disk_that_turned_read_only: 1, Spoil::Fail(Op::Write, READ_ONLY), 23;
    o12_a_node_whose_power_goes_forgets_nothing_that_it_acknowledged: 1, Spoil::Tear, 13;
}
