//! The same purchases on our devnet and on Foundry's anvil, by the real program, with several RPC endpoints of which one is
//! good.

mod world;

use std::{pin::pin, time::Duration};

use alloy_primitives::B256;
use decdn_contracts::Genesis;
use decdn_driver::Chain;
use decdn_engine::{
    chain::{Route, TxOutcome, channel},
    crypto::Deployment,
    ids::{ChannelId, TxTicket},
};
use decdn_io::{
    chain::{AlloyChain, Config},
    keys::Keys,
};
use futures::StreamExt;
use world::{Running, World, content, endpoints, endpoints::Mortal, price, refused};

const BYTES: usize = (3 << 20) + 12_345;
const PURSE: u128 = 10_000_000;

/// Endpoints of which only the last two are any good, which agree (L4).
fn several(world: &World) -> String {
    let other = Mortal::before(&world.rpc).url;
    [endpoints::broken(), endpoints::refusing(), endpoints::hanging(), other, world.rpc.clone()].join(",")
}

fn buys_closes_and_disputes(world: &World) {
    let bytes = content(BYTES);
    let (mut node, _, hash) = world.node("node", &bytes);
    node.signal("INT");
    assert_eq!(node.end(), Some(130));
    world.client_key("client.key", "10");
    let balances = || (world.balance("client.key"), world.balance("node.key"));
    assert_eq!(balances(), (PURSE, 0));

    // A purchase, and both sides close.
    let rpc = several(world);
    let mut command = world.node_command("node", "127.0.0.1:0");
    command.env("DECDN_RPC", &rpc);
    let node = Running::start(command);
    let peer = node.event("ready")["peer"].as_str().expect("text").to_owned();
    let fetch = |rpc: &str, more: &[&str]| {
        let mut command = world.fetch(&hash, &peer, more);
        command.env("DECDN_RPC", rpc);
        command
    };
    let buy = |rpc: &str, more: &[&str], output: &str, once_open: &dyn Fn()| {
        let seen = world.path("client.state/records.redb").exists();
        let mut purchase = Running::start(fetch(rpc, &[more, &["--json", "-o", output]].concat()));
        let mut opened = purchase.event("channel_opened")["channel"].clone();
        once_open();
        if let Some(newer) = purchase.until_end("channel_opened").pop() {
            // Who starts again hears of settled channels first.
            assert!(seen);
            opened = newer["channel"].clone();
        }
        assert_eq!(purchase.end(), Some(0), "{}", purchase.said());
        assert!(world.read(output) == bytes);
        opened.as_str().expect("text").parse::<B256>().expect("an id")
    };
    let cost = |purchases: u128| (PURSE - purchases * price(BYTES), purchases * price(BYTES));
    buy(&rpc, &[], "first", &|| {});
    assert_eq!(balances(), cost(1), "settled to the unit");

    // Another, one of whose endpoints dies in the middle: two are left that agree.
    let mortal = Mortal::before(&world.rpc);
    let three = [mortal.url.clone(), Mortal::before(&world.rpc).url, world.rpc.clone()].join(",");
    buy(&three, &[], "second", &|| mortal.die());
    assert_eq!(balances(), cost(2), "settled to the unit");

    // A third, whose channel stays open.
    let channel = buy(&world.rpc, &["--keep-channel"], "third", &|| {});
    assert_eq!(balances(), (cost(2).0 - 1_000_000, cost(2).1), "the deposit is in the channel");

    // The client closes it at zero, past any engine; the node disputes, and gets what it is owed.
    stale_close(world, channel);
    // Nobody waits for the node's next look.
    world.warp(120);
    assert_eq!(node.event("disputed")["amount"], price(BYTES).to_string());
    world.settle();
    assert_eq!(balances(), cost(3), "settled to the unit");
}

/// Closes a channel with no voucher, from the client's account.
fn stale_close(world: &World, channel: B256) {
    let keys = Keys::load(&world.path("client.key")).expect("the client's");
    let payment_channel = world.contract.parse().expect("an address");
    let deployment = Deployment { payment_channel, ..Genesis::standard().deployment() };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(async {
        let config = Config { receipt_poll: Duration::from_millis(20), ..Config::default() };
        let mut chain = AlloyChain::new(&world.rpc, deployment, keys.eth().clone(), config).expect("a URL");
        let call = channel::Call::Close { channel: ChannelId(channel.0), voucher: None }.into();
        pin!(chain.submit(TxTicket(0), call, Route::Sequencer)).next().await
    });
    assert!(matches!(outcome, Some(TxOutcome::Included { result: Ok(()), .. })), "{outcome:?}");
}

/// The node is gone: the client closes alone, and the rest of its deposit comes back after the window.
fn closes_alone(world: &World) {
    let bytes = content(BYTES);
    let (mut node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let output = world.fetch(&hash, &peer, &["--keep-channel", "-o", "got"]).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    node.signal("KILL");
    node.end();
    let mine = ["--state-dir", "client.state", "--key-file", "client.key"];
    let close = world.run(&[&["client", "close"], &mine[..]].concat());
    refused(&close, 75, &["without the node's consent", "decdn client monitor"]);
    world.settle();
    assert_eq!(world.balance("client.key"), PURSE - price(BYTES));
    assert_eq!(world.balance("node.key"), price(BYTES));
}

#[test]
fn x1_purchases_and_disputes_settle_to_the_unit_on_the_devnet_over_endpoints_that_fail() {
    buys_closes_and_disputes(&World::new());
}

#[test]
fn x1_purchases_and_disputes_settle_to_the_unit_on_anvil_over_endpoints_that_fail() {
    buys_closes_and_disputes(&World::on_anvil());
}

#[test]
fn c1_a_client_alone_settles_to_the_unit_on_the_devnet() {
    closes_alone(&World::new());
}

#[test]
fn c1_a_client_alone_settles_to_the_unit_on_anvil() {
    closes_alone(&World::on_anvil());
}

#[test]
fn l4_endpoints_of_two_chains_and_one_that_is_named_twice_are_refused_in_one_sentence() {
    let world = World::new();
    world.client_key("client.key", "10");
    let mine = ["client", "close", "--state-dir", "client.state", "--key-file", "client.key"];
    let close = |rpc: &[String]| {
        let mut command = world.command(&mine);
        command.env("DECDN_RPC", rpc.join(","));
        command.output().expect("runs")
    };
    let two = close(&[world.rpc.clone(), endpoints::of_another_chain()]);
    refused(&two, 2, &["serves chain 1", "--rpc"]);
    refused(&close(&[world.rpc.clone(), world.rpc.clone()]), 2, &["named twice", "--rpc"]);
    let many: Vec<String> = (1..7).map(|port| format!("http://127.0.0.1:{port}")).collect();
    refused(&close(&many), 2, &["6 RPC endpoints", "--rpc"]);
}
