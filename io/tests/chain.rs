//! The chain adapter against the devnet: what roles do on chain, over JSON-RPC, with real signatures.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use alloy_sol_types::SolCall;
use decdn_contracts::{
    Backend, EthKey, Genesis, Policy, Profile, Setup,
    bindings::sol::{PaymentChannel, TestToken},
    registry, token as test_token,
};
use decdn_driver::Chain;
use decdn_engine::{
    chain::{
        Block, Call, ChainEvent, Interest, Revert, Route, TxOutcome,
        channel::{self, Ending, EventKind},
        token,
    },
    crypto::{SignedVoucher, Typed, VoucherTerms},
    ids::{Address, ChannelId, NodeId, TxTicket},
    money::{Amount, Nonce},
    time::{Span, Time},
};
use decdn_io::{
    chain::{AlloyChain, Config, Inbox},
    devnet::Devnet,
};
use futures::{SinkExt, StreamExt};

const DEPOSIT: Amount = Amount(1_000_000);
const WINDOW: Span = Span::from_hours(48);

/// A devnet whose time only moves when a test moves it, one client and one node.
struct Bench {
    devnet: Devnet,
    mono: Arc<AtomicU64>,
    client: EthKey,
    node: EthKey,
    token: Address,
}

impl Bench {
    async fn new() -> Self {
        let genesis = Genesis::standard();
        let token = genesis.token(0).expect("the standard chain has a token");
        let mono = Arc::new(AtomicU64::new(0));
        // Time goes on by a block whenever somebody looks, so that waiting for a block never takes real time.
        let clock = Arc::clone(&mono);
        let clock = Arc::new(move || Time(clock.fetch_add(250_000, Ordering::Relaxed)));
        let devnet = Devnet::start(genesis, Profile::arbitrum(), clock, 0).await.expect("a free port");
        let key = |n| EthKey::from_secret([n; 32]).expect("in range");
        let bench = Self { devnet, mono, client: key(1), node: key(2), token };
        let (operator, to) = (bench.node.address(), bench.client.address());
        let setups = [
            Setup::from(registry::Setup::SetNode { operator, node: NodeId([7; 32]), active: true }),
            test_token::Setup::Mint { token, to, amount: Amount(10_000_000) }.into(),
        ];
        for setup in setups {
            bench.devnet.setup(&setup).expect("the owner may");
        }
        bench
    }

    fn chain(&self, key: &EthKey) -> AlloyChain {
        let config =
            Config { receipt_poll: Duration::from_millis(1), inbox: Inbox::Devnet, ..Config::default() };
        let (url, deployment) = (self.devnet.url(), self.devnet.deployment());
        AlloyChain::new(&url, deployment, key.clone(), config).expect("a URL")
    }

    fn voucher(&self, channel: ChannelId, amount: u128) -> SignedVoucher {
        let terms = VoucherTerms { channel, amount: Amount(amount), nonce: Nonce(1), token: self.token };
        SignedVoucher {
            terms,
            signature: self.client.sign(&Typed::Voucher(terms), &self.devnet.deployment()),
        }
    }

    /// Which functions the client has called, in order.
    fn calls(&self) -> Vec<[u8; 4]> {
        self.devnet.transactions_of(self.client.address()).iter().map(|tx| tx.selector).collect()
    }

    /// What the client lets the payment channel take.
    fn allowed(&self) -> Amount {
        let query = test_token::Query::Allowance { token: self.token, who: self.client.address() };
        self.devnet.read(|evm| evm.ask(&query.into()).amount())
    }

    fn pass(&self, span: Span) {
        self.mono.fetch_add(span.0, Ordering::Relaxed);
    }

    async fn open(&self, client: &mut AlloyChain) -> ChannelId {
        let (token, node) = (self.token, self.node.address());
        included(client, token::Call::Approve { token, amount: DEPOSIT }).await.1.expect("approves");
        let (block, result) = included(client, channel::Call::Open { node, token, deposit: DEPOSIT }).await;
        result.expect("opens");
        let update = client.read(block.number).await.expect("reads");
        let mut events = update.events.iter().filter_map(ChainEvent::as_channel);
        events.rfind(|event| matches!(event.kind, EventKind::Opened { .. })).expect("opened").channel
    }
}

/// Makes a transaction and follows it to the end.
async fn outcomes(chain: &mut AlloyChain, call: impl Into<Call>, route: Route) -> Vec<TxOutcome> {
    let following = chain.submit(TxTicket(1), call.into(), route).collect();
    tokio::time::timeout(Duration::from_secs(30), following).await.expect("ends")
}

async fn included(chain: &mut AlloyChain, call: impl Into<Call>) -> (Block, Result<(), Revert>) {
    let call = call.into();
    match outcomes(chain, call, Route::Sequencer).await[..] {
        [TxOutcome::Included { block, result }] => (block, result),
        ref other => panic!("{call:?} ended as {other:?}"),
    }
}

fn kinds(events: &[ChainEvent]) -> Vec<EventKind> {
    events.iter().filter_map(ChainEvent::as_channel).map(|event| event.kind).collect()
}

#[tokio::test]
async fn a_stale_close_is_disputed_and_settles_right() {
    let bench = Bench::new().await;
    let (mut client, mut node) = (bench.chain(&bench.client), bench.chain(&bench.node));
    client.check().await.expect("the devnet is the deployment's chain");
    let id = bench.open(&mut client).await;
    let (by, token) = (bench.client.address(), bench.token);

    let (_, result) = included(&mut client, channel::Call::Close { channel: id, voucher: None }).await;
    assert_eq!(result, Ok(()));
    let (_, result) = included(&mut node, channel::Call::Settle { channel: id }).await;
    assert_eq!(result, Err(channel::Revert::WindowOpen.into()));
    let (_, result) =
        included(&mut node, channel::Call::Dispute { voucher: bench.voucher(id, 700_000) }).await;
    assert_eq!(result, Ok(()));
    let (_, result) =
        included(&mut node, channel::Call::Dispute { voucher: bench.voucher(id, 700_000) }).await;
    assert_eq!(result, Err(channel::Revert::AmountNotHigher.into()));
    bench.pass(WINDOW);
    let (_, result) =
        included(&mut node, channel::Call::Dispute { voucher: bench.voucher(id, 800_000) }).await;
    assert_eq!(result, Err(channel::Revert::WindowOver.into()));
    let (block, result) = included(&mut client, channel::Call::Settle { channel: id }).await;
    assert_eq!(result, Ok(()));

    let update = node.poll(0, vec![Interest::ChannelsOf(node.account())]).await.expect("answers");
    assert!(update.head.number >= block.number && update.next == update.head.number + 1);
    assert!(update.safe <= update.head.number);
    assert_eq!(update.forced_inclusion, Span::from_hours(24));
    let [opened, closing, disputed, settled] = kinds(&update.events)[..] else { panic!("{update:?}") };
    assert_eq!(
        opened,
        EventKind::Opened { client: by, node: node.account(), token, deposit: DEPOSIT, window_secs: 172_800 }
    );
    assert!(
        matches!(closing, EventKind::Closing { by: b, amount: Amount(0), nonce: Nonce(0), .. } if b == by)
    );
    let expected = EventKind::Disputed { by: node.account(), amount: Amount(700_000), nonce: Nonce(1) };
    assert_eq!(disputed, expected);
    let expected = EventKind::Settled {
        ending: Ending::Window,
        amount: Amount(700_000),
        paid: Amount(700_000),
        refunded: Amount(300_000),
    };
    assert_eq!(settled, expected);
    assert_eq!(update.events[3].block, block);

    assert_eq!(node.balance(token, node.account()).await.expect("reads"), Amount(700_000));
    let (model_like, read) =
        (bench.devnet.read(|evm| evm.channel(id)), node.channel(id).await.expect("reads"));
    assert_eq!(read, model_like);
    let strangers =
        bench.chain(&EthKey::from_secret([9; 32]).expect("in range")).read(0).await.expect("reads");
    assert_eq!(strangers.events, [], "only the account's own channels are watched");
    let mut watcher = bench.chain(&EthKey::from_secret([9; 32]).expect("in range"));
    let other = ChannelId([5; 32]);
    for (interests, expected) in [
        (vec![Interest::Channel(id)], 4),
        (vec![Interest::Channel(other)], 0),
        (vec![Interest::Channels], 4),
        (vec![Interest::ChannelsOf(by), Interest::Channel(id), Interest::Channels], 4),
        (vec![Interest::ChannelsOf(watcher.account()), Interest::Channel(other)], 0),
    ] {
        let heard = watcher.poll(0, interests.clone()).await.expect("answers").events;
        assert_eq!(heard, update.events[..expected], "{interests:?}");
    }
}

#[tokio::test]
async fn c4_an_unused_channel_closes_cooperatively_with_the_empty_voucher() {
    let bench = Bench::new().await;
    let mut client = bench.chain(&bench.client);
    let id = bench.open(&mut client).await;
    let terms = VoucherTerms { channel: id, amount: Amount::ZERO, nonce: Nonce::NONE, token: bench.token };
    let node_signature = bench.node.sign(&Typed::CooperativeClose(terms), &bench.devnet.deployment());
    let call = channel::Call::CloseCooperatively { channel: id, voucher: None, node_signature };
    assert_eq!(included(&mut client, call).await.1, Ok(()));
    assert_eq!(included(&mut client, call).await.1, Err(channel::Revert::NotOpen.into()));
    let refunded = client.balance(bench.token, client.account()).await.expect("reads");
    assert_eq!(refunded, Amount(10_000_000));
}

#[tokio::test]
async fn l2_a_censored_dispute_gets_in_by_force() {
    for policy in [Policy::Censor(BTreeSet::new()), Policy::Down] {
        let bench = Bench::new().await;
        let (mut client, mut node) = (bench.chain(&bench.client), bench.chain(&bench.node));
        let id = bench.open(&mut client).await;
        included(&mut client, channel::Call::Close { channel: id, voucher: None }).await.1.expect("closes");
        match policy {
            Policy::Down => bench.devnet.set_policy(Policy::Down),
            _ => bench.devnet.censor(BTreeSet::from([bench.node.address()])),
        }
        let call = channel::Call::Dispute { voucher: bench.voucher(id, 5) };
        let mut following = Box::pin(node.submit(TxTicket(4), call.into(), Route::DelayedInbox));
        let Some(TxOutcome::Queued { at, forcible }) = following.next().await else { panic!("queued") };
        assert_eq!(forcible.0 - at.0, 24 * 3_600);
        node.force_include(TxTicket(4)).await;
        bench.pass(Span::from_hours(12));
        // Its process starts again: the message is found, and has waited since it was sent (X1).
        let mut node = bench.chain(&bench.node);
        let mut following = Box::pin(node.submit(TxTicket(4), call.into(), Route::QueuedBefore));
        assert_eq!(following.next().await, Some(TxOutcome::Queued { at, forcible }));
        let other = channel::Call::Dispute { voucher: bench.voucher(id, 6) };
        assert_eq!(outcomes(&mut node, other, Route::QueuedBefore).await, [TxOutcome::Absent]);
        assert!(bench.devnet.read(|evm| evm.channel(id)).is_some_and(|c| c.amount == Amount(0)), "too early");
        bench.pass(Span::from_hours(12));
        node.force_include(TxTicket(4)).await;
        let outcome = following.next().await;
        assert!(matches!(outcome, Some(TxOutcome::Included { result: Ok(()), .. })), "{outcome:?}");
        assert_eq!(following.next().await, None);
        assert!(bench.devnet.read(|evm| evm.channel(id)).is_some_and(|c| c.amount == Amount(5)));
    }
}

#[tokio::test]
async fn c13_an_opening_takes_its_permit_along() {
    let bench = Bench::new().await;
    let mut client = bench.chain(&bench.client);
    for times in 1..=2 {
        let id = bench.open(&mut client).await;
        assert_eq!(client.channel(id).await.expect("reads").map(|c| c.deposit), Some(DEPOSIT));
        assert_eq!(bench.calls(), vec![PaymentChannel::openWithPermitCall::SELECTOR; times]);
        assert_eq!(bench.allowed(), Amount::ZERO, "nothing is left of it");
    }
}

#[tokio::test]
async fn c13_where_a_permit_has_failed_approvals_go_out_and_what_is_allowed_is_used() {
    let bench = Bench::new().await;
    let mut client = bench.chain(&bench.client);
    let (token, node) = (bench.token, bench.node.address());
    let approve = |amount| token::Call::Approve { token, amount };
    let open = |deposit| channel::Call::Open { node, token, deposit };
    let (permit, opened) =
        (PaymentChannel::openWithPermitCall::SELECTOR, PaymentChannel::openChannelCall::SELECTOR);
    let approved = TestToken::approveCall::SELECTOR;

    // More than there is: the token does not move, whatever it is shown.
    let result = included(&mut client, open(Amount(1 << 60))).await.1;
    assert_eq!(result, Err(channel::Revert::TransferFailed.into()));
    let mut calls = vec![permit];
    assert_eq!(bench.calls(), calls);

    // From now on it is approved; less than the deposit stands in the way of it, as with USDT.
    for (amount, sent) in [(Amount(7), vec![approved]), (DEPOSIT, vec![approved; 2]), (DEPOSIT, vec![])] {
        assert_eq!(included(&mut client, approve(amount)).await.1, Ok(()));
        calls.extend(sent);
        assert_eq!((bench.calls(), bench.allowed()), (calls.clone(), amount));
    }
    assert_eq!(included(&mut client, open(DEPOSIT)).await.1, Ok(()));
    calls.push(opened);
    assert_eq!((bench.calls(), bench.allowed()), (calls, Amount::ZERO));
}

#[tokio::test]
async fn a_sequencer_that_is_down_loses_what_it_is_given() {
    let bench = Bench::new().await;
    let mut client = bench.chain(&bench.client);
    bench.devnet.set_policy(Policy::Down);
    let call = channel::Call::Settle { channel: ChannelId([5; 32]) };
    assert_eq!(outcomes(&mut client, call, Route::Sequencer).await, [TxOutcome::Lost]);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_answers_no_poll() {
    let bench = Bench::new().await;
    let mut client = bench.chain(&bench.client);
    drop(bench);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(client.poll(0, vec![Interest::ChannelsOf(client.account())]).await, None);
}

#[tokio::test]
async fn polls_that_follow_each_other_tell_everything_once() {
    let bench = Bench::new().await;
    let mut client = bench.chain(&bench.client);
    let mut tiny = {
        let config = Config { log_blocks: 100, events_max: 1, inbox: Inbox::Devnet, ..Config::default() };
        let (url, deployment) = (bench.devnet.url(), bench.devnet.deployment());
        AlloyChain::new(&url, deployment, bench.client.clone(), config).expect("a URL")
    };
    let mut heard = Vec::new();
    let mut next = 0;
    for _ in 0..3 {
        let id = bench.open(&mut client).await;
        included(&mut client, channel::Call::Close { channel: id, voucher: None }).await.1.expect("closes");
        let update = tiny.poll(next, vec![Interest::ChannelsOf(client.account())]).await.expect("answers");
        assert!(update.next > next);
        next = update.next;
        heard.extend(update.events);
    }
    loop {
        let update = tiny.poll(next, vec![Interest::ChannelsOf(client.account())]).await.expect("answers");
        next = update.next;
        if update.events.is_empty() {
            break;
        }
        heard.extend(update.events);
    }
    let all = client.read(0).await.expect("reads").events;
    assert_eq!(all.len(), 6);
    assert_eq!(heard, all);

    // After a restart the adapter asks from a later block on, and still follows what was opened before it.
    let last = all[5].block.number;
    let restarted = bench.chain(&bench.client).read(last).await.expect("reads").events;
    assert_eq!(restarted, all[5..]);
}

/// A server that answers every request with this, word for word.
async fn parrot(answer: String) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = answer.clone();
            tokio::spawn(async move {
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    url
}

#[tokio::test]
async fn l4_an_endpoint_that_fails_or_sends_elsewhere_is_passed_over() {
    let bench = Bench::new().await;
    let elsewhere =
        format!("HTTP/1.1 307 Go\r\nLocation: {}/\r\nContent-Length: 0\r\n\r\n", bench.devnet.url());
    let over = |urls: &[String]| {
        let config = Config { inbox: Inbox::Devnet, ..Config::default() };
        AlloyChain::over(urls, bench.devnet.deployment(), bench.client.clone(), config).expect("URLs")
    };
    let bad = [
        "http://127.0.0.1:1".to_owned(),
        parrot(elsewhere).await,
        parrot("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy".to_owned()).await,
        parrot("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".to_owned()).await,
    ];
    for bad in &bad {
        let alone = over(std::slice::from_ref(bad));
        alone.check().await.expect_err("nobody answers, and a redirect is not followed");
        let both = over(&[bad.clone(), bench.devnet.url()]);
        both.check().await.expect("the other one answers");
        assert_eq!(both.read(0).await.expect("reads").events, []);
    }
    assert!(
        AlloyChain::over(&[], bench.devnet.deployment(), bench.client.clone(), Config::default()).is_err()
    );
}

#[tokio::test]
async fn the_devnet_speaks_json_rpc_over_websocket_and_tells_of_heads_and_logs() {
    let bench = Bench::new().await;
    let url = bench.devnet.url().replace("http", "ws");
    let connect = || async {
        tokio_websockets::ClientBuilder::new().uri(&url).expect("a URI").connect().await.expect("connects").0
    };
    let mut socket = connect().await;
    let mut ask = async |method: &str, params: serde_json::Value| {
        let call = serde_json::json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
        socket.send(tokio_websockets::Message::text(call.to_string())).await.expect("sent");
    };
    ask("eth_chainId", serde_json::json!([])).await;
    ask("eth_subscribe", serde_json::json!(["newHeads"])).await;
    let address = bench.devnet.deployment().payment_channel;
    ask("eth_subscribe", serde_json::json!(["logs", { "address": address }])).await;
    ask("eth_subscribe", serde_json::json!(["weather"])).await;
    let mut client = bench.chain(&bench.client);
    let channel = bench.open(&mut client).await;
    let (mut answers, mut heads, mut opened) = (Vec::new(), 0, None);
    let listen = async {
        while heads == 0 || opened.is_none() {
            let message = socket.next().await.expect("open").expect("whole");
            let said: serde_json::Value =
                serde_json::from_str(message.as_text().expect("text")).expect("JSON");
            match said["params"]["subscription"].as_str() {
                Some("0x1") => {
                    assert!(said["params"]["result"]["number"].is_string(), "{said}");
                    heads += 1;
                }
                Some("0x2") => opened = Some(said["params"]["result"]["topics"][1].clone()),
                _ => answers.push(said),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), listen).await.expect("news come");
    assert_eq!(opened, Some(serde_json::json!(format!("0x{channel}"))));
    assert_eq!(answers[0]["result"], "0x7a69");
    assert_eq!((&answers[1]["result"], &answers[2]["result"]), (&"0x1".into(), &"0x2".into()));
    assert!(answers[3]["error"]["message"].as_str().is_some_and(|why| why.contains("newHeads")));

    // A page in a browser may open a WebSocket to loopback; it says who it is, and is not served.
    let origin = ("origin", "https://example.org");
    let header = |text: &str| text.parse().expect("a header");
    let page = tokio_websockets::ClientBuilder::new().uri(&url).expect("a URI");
    let page = page.add_header(origin.0.parse().expect("a name"), header(origin.1)).expect("allowed");
    if let Ok((mut socket, _)) = page.connect().await {
        let call = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
        let _ = socket.send(tokio_websockets::Message::text(call.to_string())).await;
        assert!(!matches!(socket.next().await, Some(Ok(message)) if message.is_text()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_devnet_is_good_enough_for_cast() {
    let cast = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../contracts/node_modules/.bin/cast");
    let is_required = std::env::var_os("DECDN_REQUIRE_CAST").is_some();
    assert!(cast.exists() || !is_required, "{} is missing: run `npm ci` in contracts/", cast.display());
    if !cast.exists() {
        return;
    }
    let owner = EthKey::from_secret([5; 32]).expect("in range");
    let started = std::sync::Mutex::new(0);
    let clock = Arc::new(move || {
        let mut time = started.lock().expect("one at a time");
        *time += 250_000;
        Time(*time)
    });
    let genesis = Genesis::standard();
    let devnet = Devnet::start_owned(genesis.clone(), owner.clone(), Profile::arbitrum(), clock, 0)
        .await
        .expect("a free port");
    let (token, url) = (genesis.token(0).expect("a token").to_string(), devnet.url());
    let key = format!("0x{}", "05".repeat(32));
    let run = |args: &[&str]| {
        let output = std::process::Command::new(&cast)
            .args(args)
            .args(["--rpc-url", &url])
            .output()
            .expect("cast runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "cast {args:?}: {said}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    let account = owner.address().to_string();
    assert_eq!(run(&["chain-id"]), "31337");
    assert_ne!(run(&["balance", &account]), "0");
    assert_eq!(run(&["call", &token, "decimals()(uint8)"]), "6");
    assert!(run(&["gas-price"]).parse::<u64>().is_ok_and(|price| price > 0));
    assert!(
        run(&["estimate", &token, "mint(address,uint256)", &account, "5", "--from", &account])
            .parse::<u64>()
            .is_ok_and(|gas| gas > 21_000)
    );
    // The owner has made a transaction while the contracts were deployed.
    let nonce: u64 = run(&["nonce", &account]).parse().expect("a number");
    // Estimated, priced, signed, sent and awaited by cast.
    let send = ["send", &token, "mint(address,uint256)", &account, "1234", "--private-key", &key, "--json"];
    let receipt: serde_json::Value = serde_json::from_str(&run(&send)).expect("a receipt");
    assert_eq!(receipt["status"], "0x1");
    let hash = receipt["transactionHash"].as_str().expect("text");
    assert_eq!(run(&["call", &token, "balanceOf(address)(uint256)", &account]), "1234");
    assert_eq!(run(&["nonce", &account]), (nonce + 1).to_string());
    assert!(run(&["tx", hash]).contains(hash));
    assert!(run(&["receipt", hash]).contains("success"));
    assert!(run(&["logs", "--address", &token, "--from-block", "0"]).contains(hash));
    let block = receipt["blockNumber"].as_str().expect("text");
    assert!(run(&["block", block]).contains(hash));
    assert!(run(&["code", &token]).len() > 1_000);
    assert!(run(&["rpc", "decdn_setBaseFee", "0x5f5e100"]).contains("100000000"));
    run(&["rpc", "decdn_mine"]);
    assert_eq!(run(&["base-fee"]), "100000000");
    // Over WebSocket as well.
    let ws = url.replace("http", "ws");
    let output =
        std::process::Command::new(&cast).args(["block-number", "--rpc-url", &ws]).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
