//! The forced path against Arbitrum's own contracts: an anvil is the L1, and the devnet is its L2, whose sequencer censors the node. It is
//! the real program that disputes.

mod world;

use std::{pin::pin, process::Command, time::Duration};

use alloy_primitives::{Address, B256, Bytes};
use decdn_contracts::{EthKey, Genesis};
use decdn_driver::Chain;
use decdn_engine::{
    chain::{Route, TxOutcome, channel},
    crypto::Deployment,
    ids::{ChannelId, TxTicket},
    time::Span,
};
use decdn_io::{
    chain::{
        AlloyChain, Config,
        inbox::{DelayedInbox, FORCE_GAS, Pace, QUEUE_GAS, Settings},
    },
    keys::Keys,
};
use futures::StreamExt;
use serde_json::json;
use world::{
    Running, World, content,
    l1::{DELAY_BLOCKS, L1, SLOT},
    price, refused,
};

const BYTES: usize = (1 << 20) + 4_321;
const PURSE: u128 = 10_000_000;
const DEVNET: u32 = 31_337;
const HOUR: u64 = 3_600;
const ETHER: u128 = 1_000_000_000_000_000_000;
/// From when on a stale close is answered through the inbox: what is left of 48 h is the two that a message waits, and the margin (X2).
const FORCED_AFTER: u64 = 43;

/// A devnet with an L1, a node with an account there, and a client.
struct Scene {
    world: World,
    l1: L1,
    /// The first message that the devnet has not executed.
    next: std::cell::Cell<u64>,
}

impl Scene {
    fn new() -> Self {
        let (world, l1) = (World::new(), L1::of(DEVNET));
        world.write("decdn.toml", b"[dispute_monitor]\npoll_interval_seconds = 1\n");
        world.ok(&["key", "new", "dispute.key"]);
        let scene = Self { world, l1, next: std::cell::Cell::new(0) };
        scene.l1.fund(&scene.account("dispute.key"), ETHER);
        scene
    }

    fn account(&self, key: &str) -> String {
        self.world.ok(&["key", "show", key, "--account"])
    }

    /// A command, told of the L1.
    fn with_l1(&self, mut command: Command) -> Command {
        command.env("DECDN_L1_RPC", &self.l1.rpc).env("DECDN_INBOX", self.l1.inbox.to_string());
        command.env("DECDN_DISPUTE_KEY_FILE", "dispute.key");
        command
    }

    fn node(&self) -> (Running, String) {
        let node = Running::start(self.with_l1(self.world.node_command("node", "127.0.0.1:0")));
        let peer = node.event("ready")["peer"].as_str().expect("text").to_owned();
        (node, peer)
    }

    /// The node sells to a client, who then closes with nothing; the sequencer takes nothing of the node's from here on.
    fn cheated(&self) -> (Running, ChannelId) {
        let bytes = content(BYTES);
        let (node, _, hash) = self.world.node("node", &bytes);
        drop(node);
        self.world.client_key("client.key", "10");
        let (node, peer) = self.node();
        let mut fetch =
            Running::start(self.world.fetch(&hash, &peer, &["--keep-channel", "--json", "-o", "got"]));
        let opened = fetch.event("channel_opened")["channel"].as_str().expect("text").to_owned();
        assert_eq!(fetch.end(), Some(0), "{}", fetch.said());
        self.world.ok(&["devnet", "censor", &self.account("node.key")]);
        let channel = ChannelId(opened.parse::<B256>().expect("an id").0);
        self.close_at_nothing(channel);
        node.event("stale_close");
        (node, channel)
    }

    fn close_at_nothing(&self, channel: ChannelId) {
        let keys = Keys::load(&self.world.path("client.key")).expect("the client's");
        let payment_channel = self.world.contract.parse().expect("an address");
        let deployment = Deployment { payment_channel, ..Genesis::standard().deployment() };
        let outcome = tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
            let config = Config { receipt_poll: Duration::from_millis(20), ..Config::default() };
            let mut chain =
                AlloyChain::new(&self.world.rpc, deployment, keys.eth().clone(), config).expect("a URL");
            let call = channel::Call::Close { channel, voucher: None }.into();
            pin!(chain.submit(TxTicket(0), call, Route::Sequencer)).next().await
        });
        assert!(matches!(outcome, Some(TxOutcome::Included { result: Ok(()), .. })), "{outcome:?}");
    }

    /// So many hours go by, on both chains, the L1 making one block.
    fn pass(&self, hours: u64) {
        self.l1.pass(hours * HOUR);
        self.world.warp(hours * HOUR);
    }

    /// So many blocks of the L1 go by, each when it should.
    fn mine(&self, blocks: u64) {
        self.l1.mine(blocks);
        self.world.warp(blocks * SLOT);
    }

    /// The devnet executes what batches have taken.
    fn follow(&self) {
        self.next.set(self.l1.follow(&self.world.rpc, self.next.get()));
    }

    /// Waits for something of the L1's.
    #[track_caller]
    fn until(&self, what: &str, is_so: impl Fn(&L1) -> bool) {
        for _ in 0..600 {
            if is_so(&self.l1) {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("{what} never came");
    }

    /// The dispute has landed: the window goes by, and everybody has what is theirs.
    fn settles(&self, node: &Running) {
        assert_eq!(node.event("disputed")["amount"], price(BYTES).to_string());
        self.pass(30);
        assert_eq!(self.censored(), json!([]), "nobody is censored while it settles");
        self.world.settle();
        assert_eq!(self.world.balance("node.key"), price(BYTES), "settled to the unit");
        assert_eq!(self.world.balance("client.key"), PURSE - price(BYTES));
    }

    fn censored(&self) -> serde_json::Value {
        self.world.ask("decdn_censor", json!([[]]))["censored"].clone()
    }
}

#[test]
fn l2_a_censored_dispute_is_forced_through_arbitrums_contracts() {
    let scene = Scene::new();
    let (node, _) = scene.cheated();
    let dispute = scene.account("dispute.key");

    // A stranger's message is before it.
    let strangers = scene.l1.strange_message();
    scene.mine(DELAY_BLOCKS * 2 / 3);
    assert_eq!(scene.l1.messages().len(), 1, "it is the sequencer's turn");
    scene.pass(FORCED_AFTER - 1);
    scene.until("the message", |l1| l1.messages().len() == 2);

    // Nonces are used up while it waits: the main account's on the L2, and the dispute account's on the L1.
    let main = scene.account("node.key");
    let count = || scene.world.ask("eth_getTransactionCount", json!([main, "latest"]));
    let before = count();
    let used = json!(["0xffffff", main, main, Bytes::new(), "0x186a0"]);
    assert!(scene.world.ask("decdn_fromL1", used).is_string());
    scene.world.ok(&["devnet", "mine"]);
    assert_ne!(count(), before, "the nonce is used up");
    scene.l1.use_nonce(&dispute);

    // The node dies and comes back: the message is found, and no other is sent.
    node.signal("KILL");
    drop(node);
    scene.mine(DELAY_BLOCKS / 2);
    let (node, _) = scene.node();

    // A stranger forces what was there before it, as soon as that is possible.
    scene.l1.strange_force(strangers);
    assert_eq!(scene.l1.read(), 1);
    scene.follow();

    // Its own wait is over: it is forced.
    scene.mine(DELAY_BLOCKS / 2 + 10);
    scene.until("forced inclusion", |l1| l1.read() == 2);
    assert_eq!(scene.l1.messages().len(), 2, "one message was enough");
    scene.follow();
    scene.settles(&node);
}

#[test]
fn l2_what_a_stranger_forces_with_a_later_message_is_not_forced_again() {
    let scene = Scene::new();
    let (node, _) = scene.cheated();
    scene.pass(FORCED_AFTER);
    scene.until("the message", |l1| l1.messages().len() == 1);
    let later = scene.l1.strange_message();
    let nonce = scene.l1.nonce(&scene.account("dispute.key"));
    // The node's own clock stands still, so that the stranger is first.
    scene.l1.mine(DELAY_BLOCKS + 10);
    scene.l1.strange_force(later);
    scene.follow();
    assert_eq!(node.event("disputed")["amount"], price(BYTES).to_string());
    scene.world.warp(2 * HOUR);
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(scene.l1.nonce(&scene.account("dispute.key")), nonce, "nothing more was sent");
}

#[test]
fn l2_a_forced_path_that_can_not_be_used_is_refused_in_one_sentence() {
    let scene = Scene::new();
    scene.world.node_key("node.key");
    let run = |change: &dyn Fn(&mut Command)| {
        let mut command = scene.with_l1(scene.world.node_command("node", "127.0.0.1:0"));
        change(&mut command);
        let mut node = Running::start(command);
        (node.end(), node.said())
    };
    let is_refused = |code: i32, change: &dyn Fn(&mut Command), names: &[&str]| {
        let (ended, said) = run(change);
        assert_eq!(ended, Some(code), "{said}");
        world::one_sentence(&said, names);
    };
    // Half a way is none.
    is_refused(2, &|node| _ = node.env_remove("DECDN_INBOX"), &["--inbox ADDRESS", "none of them"]);
    let only_inbox = |node: &mut Command| {
        node.env_remove("DECDN_L1_RPC").env_remove("DECDN_DISPUTE_KEY_FILE");
    };
    is_refused(2, &only_inbox, &["--l1-rpc URL and --dispute-key-file FILE"]);
    // The key.
    let key = |name: &'static str| move |node: &mut Command| _ = node.env("DECDN_DISPUTE_KEY_FILE", name);
    is_refused(
        2,
        &key("nowhere.key"),
        &["nowhere.key does not exist", "decdn key new", "--dispute-key-file"],
    );
    is_refused(2, &key("node.key"), &["node.key", "main account", "make another key"]);
    scene.world.write("broken.key", b"network = 1");
    is_refused(2, &key("broken.key"), &["broken.key"]);
    scene.world.ok(&["key", "new", "poor.key"]);
    is_refused(2, &key("poor.key"), &[&scene.account("poor.key"), "ether", "send it"]);
    // The L1.
    let rpc = |url: String| move |node: &mut Command| _ = node.env("DECDN_L1_RPC", &url);
    is_refused(75, &rpc(world::endpoints::dead()), &["L1 endpoint can't be used", "--l1-rpc"]);
    is_refused(2, &rpc("nonsense".to_owned()), &["nonsense", "is no URL"]);
    is_refused(2, &rpc(scene.world.rpc.clone()), &["chain 31337", "the L2 itself", "--l1-rpc"]);
    let other_chain = |node: &mut Command| _ = node.env("DECDN_L1_CHAIN_ID", "1");
    is_refused(2, &other_chain, &["chain 1337", "chain 1 is configured", "--l1-chain-id"]);
    // The inbox.
    let inbox = |address: String| move |node: &mut Command| _ = node.env("DECDN_INBOX", &address);
    is_refused(2, &inbox("0x12".to_owned()), &["0x12"]);
    is_refused(2, &inbox(format!("0x{}", "ab".repeat(20))), &["no contract at", "--inbox"]);
    is_refused(2, &inbox(format!("0x{}", "77".repeat(20))), &["no delayed inbox", "--inbox"]);
    let others = L1::of(42_161);
    let of_another = |node: &mut Command| {
        node.env("DECDN_L1_RPC", &others.rpc).env("DECDN_INBOX", others.inbox.to_string());
    };
    is_refused(2, &of_another, &["chain 42161", "chain 31337", "--inbox"]);

    // A client is refused before money moves.
    scene.world.client_key("client.key", "10");
    let nobody = format!("{}@127.0.0.1:9", "ab".repeat(32));
    let mut fetch = scene.with_l1(scene.world.fetch(&"cd".repeat(32), &nobody, &[]));
    fetch.env("DECDN_DISPUTE_KEY_FILE", "poor.key");
    refused(&fetch.output().expect("runs"), 2, &["send it"]);
    assert_eq!(scene.world.balance("client.key"), PURSE);
}

/// The inbox, used with a key of its own that has ether.
async fn inbox(l1: &L1, pace: Pace) -> DelayedInbox {
    let key = EthKey::from_secret([9; 32]).expect("in range");
    l1.fund(&key.address().to_string(), ETHER);
    let settings = Settings { urls: vec![l1.rpc.clone()], inbox: l1.inbox, chain_id: Some(1_337), pace };
    DelayedInbox::look(&settings, DEVNET.into(), key).await.expect("it is the devnet's")
}

fn quick() -> Pace {
    let soon = Duration::from_millis(20);
    Pace { receipt_poll: soon, raise_after: Duration::from_millis(400), watch: soon, ..Pace::default() }
}

const TO: Address = Address::repeat_byte(0x11);
const REFUND: Address = Address::repeat_byte(0x22);

#[tokio::test]
async fn l2_how_long_a_message_waits_is_read_live_and_can_shrink() {
    let l1 = L1::of(DEVNET);
    let inbox = inbox(&l1, quick()).await;
    let nonce = || l1.nonce(&inbox.account().to_string());
    let usual = Span::from_secs(DELAY_BLOCKS * SLOT);
    assert_eq!(inbox.delay().await.expect("answers"), usual);
    let strangers = l1.strange_message();
    l1.mine(DELAY_BLOCKS * 7 / 8);
    let input = Bytes::from(vec![5; 300]);
    let message = inbox.queue(TO, &input, 0, REFUND).await.expect("is taken");
    assert_eq!(message.number, strangers + 1);
    assert!(l1.gas(message.block) < QUEUE_GAS / 2, "{}", l1.gas(message.block));
    assert_eq!(inbox.find(TO, &input).await.expect("answers"), Some(message), "found by its call alone");
    assert_eq!(inbox.find(TO, &[5; 299]).await.expect("answers"), None);
    assert_eq!(inbox.find(REFUND, &input).await.expect("answers"), None);
    let wait = inbox.wait(&message).await.expect("answers");
    assert_eq!(wait.deadline, message.block + DELAY_BLOCKS);
    assert_eq!(wait.forcible.0, message.at + DELAY_BLOCKS * SLOT);

    // The sequencer was late with the stranger's message, and may not be so late with this one.
    l1.mine(DELAY_BLOCKS / 7);
    let before = nonce();
    assert!(!inbox.force(&message).await.expect("answers"), "too early");
    assert_eq!(nonce(), before, "nothing was sent");
    l1.strange_force(strangers);
    let wait = inbox.wait(&message).await.expect("answers");
    assert!(wait.deadline < message.block + DELAY_BLOCKS / 4, "{wait:?}");
    assert!(inbox.delay().await.expect("answers") < usual);
    l1.mine(wait.deadline - wait.head);
    assert!(inbox.force(&message).await.expect("is forced"));
    assert!(l1.gas(l1.head()) < FORCE_GAS / 2, "{}", l1.gas(l1.head()));
    assert!(inbox.is_read(&message).await.expect("answers"));
    assert_eq!(l1.read(), 2);
    assert_eq!(inbox.find(TO, &input).await.expect("answers"), None, "what was taken does not wait");
    assert!(!inbox.force(&message).await.expect("answers"), "it is in already");
    assert_eq!(nonce(), before + 1);
}

#[tokio::test]
async fn l2_forcing_takes_along_whatever_has_waited_for_long_enough() {
    let l1 = L1::of(DEVNET);
    let inbox = inbox(&l1, quick()).await;
    let message = inbox.queue(TO, &Bytes::from(vec![5; 300]), 0, REFUND).await.expect("is taken");
    l1.mine(100);
    let later = l1.strange_message();
    l1.mine(DELAY_BLOCKS);
    let latest = l1.strange_message();
    assert!(inbox.force(&message).await.expect("is forced"));
    assert_eq!((l1.read(), latest), (later + 1, later + 1), "all but the one that came last");
}

#[tokio::test(flavor = "multi_thread")]
async fn l2_an_l1_that_takes_nothing_is_offered_more_and_an_inbox_that_refuses_is_told() {
    let l1 = L1::of(DEVNET);
    let inbox = inbox(&l1, quick()).await;
    l1.ask("evm_setAutomine", json!([false]));
    let sending = {
        let inbox = inbox.clone();
        tokio::spawn(async move { inbox.queue(TO, &Bytes::from(vec![5; 300]), 0, REFUND).await })
    };
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    l1.ask("evm_setAutomine", json!([true]));
    l1.ask("evm_mine", json!([]));
    sending.await.expect("no panic").expect("is taken");
    assert_eq!(l1.messages().len(), 1, "each offer replaces the last one");
    assert_eq!(l1.nonce(&inbox.account().to_string()), 1);

    // Its owner makes a transaction by hand, and it goes on with the next nonce.
    l1.use_nonce(&inbox.account().to_string());
    inbox.queue(TO, &Bytes::from(vec![6; 300]), 0, REFUND).await.expect("is taken");
    assert_eq!(l1.nonce(&inbox.account().to_string()), 3);

    l1.pause();
    let error = inbox.queue(TO, &Bytes::from(vec![7; 300]), 0, REFUND).await.expect_err("it is paused");
    assert!(error.to_string().contains("paused"), "{error}");
    l1.fund(&inbox.account().to_string(), 1_000);
    let error = inbox.queue(TO, &Bytes::from(vec![8; 300]), 0, REFUND).await.expect_err("nothing is left");
    assert!(error.to_string().contains("send it"), "{error}");
    let nobody = EthKey::from_secret([8; 32]).expect("in range");
    let settings = Settings { urls: vec![l1.rpc.clone()], inbox: l1.inbox, chain_id: None, pace: quick() };
    let poor = DelayedInbox::look(&settings, DEVNET.into(), nobody).await.expect("it is the devnet's");
    poor.check_funds().await.expect_err("it has nothing");
}
