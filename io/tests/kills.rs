//! Node and client killed at any moment of a running download, again and again: the file arrives intact, no acknowledged
//! voucher is lost, and money ends where it should.
//!
//! `DECDN_KILLS` says how often; the full form is 200 (docs/reliability.md has its result).

mod world;

use std::{collections::BTreeMap, fs, time::Duration};

use alloy_primitives::Bytes;
use alloy_sol_types::SolCall;
use decdn_contracts::{bindings::sol::PaymentChannel, channel::bindings::state};
use decdn_engine::{chain::channel::Status, ids::ChannelId};
use serde_json::{Value, json};
use world::{Running, World, content, price};

const BYTES: usize = 160 << 20;
/// The offer that client and node agree on: what may be lost in transit at a kill and charged again (D8).
const OFFER: usize = 1 << 20;
const PURSE: u128 = 1_000_000_000;

/// Moments that are spread out and the same in every run; what happens at them is the machine's.
struct Moments(u64);

impl Moments {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// The highest amount per channel that voucher events told of.
fn note(best: &mut BTreeMap<String, u128>, events: &[Value]) {
    for event in events.iter().filter(|event| event["event"] == "voucher") {
        let amount: u128 = event["amount"].as_str().expect("text").parse().expect("a number");
        let channel = event["channel"].as_str().expect("text").to_owned();
        let highest = best.entry(channel).or_default();
        *highest = amount.max(*highest);
    }
}

/// Whether the file is there; if so it is whole, and taken away for the next purchase.
fn is_delivered(world: &World, bytes: &[u8]) -> bool {
    let path = world.path("got");
    if !path.exists() {
        return false;
    }
    assert!(fs::read(&path).expect("there") == bytes, "every byte is the one that was asked for");
    fs::remove_file(path).expect("there");
    true
}

fn is_settled(world: &World, channel: &str) -> bool {
    let id = channel.parse().expect("an id");
    let data = Bytes::from(PaymentChannel::channelCall { channelId: id }.abi_encode());
    let output = world.ask("eth_call", json!([{ "to": world.contract, "data": data }, "latest"]));
    let output: Bytes = serde_json::from_value(output).expect("bytes");
    let view = state(ChannelId::default(), &output).expect("what the contract says").expect("a channel");
    view.status == Status::Settled
}

#[test]
fn o12_whoever_is_killed_whenever_nothing_is_lost_and_nothing_paid_twice() {
    let kills: u64 = std::env::var("DECDN_KILLS").map_or(12, |text| text.parse().expect("a number"));
    let world = World::new();
    let bytes = content(BYTES);
    let (mut node, peer, hash) = world.node("node", &bytes);
    let addr = peer.split_once('@').expect("a peer").1.to_owned();
    world.client_key("client.key", "1000");
    let mut moments = Moments(2026);
    let (mut taken, mut signed) = (BTreeMap::new(), BTreeMap::new());
    let (mut killed_nodes, mut killed_clients, mut purchases) = (0, 0, 0u128);
    let mut fetch: Option<Running> = None;
    loop {
        let is_over = killed_nodes + killed_clients >= kills;
        let run = fetch.get_or_insert_with(|| {
            Running::start(world.fetch(&hash, &peer, &["--json", "-o", "got", "--log", "error"]))
        });
        let time = if is_over { Duration::from_secs(120) } else { Duration::from_millis(moments.next(900)) };
        if let Some(code) = run.ends_within(time) {
            note(&mut signed, &run.events());
            fetch = None;
            match code {
                Some(0) => {
                    assert!(is_delivered(&world, &bytes));
                    purchases += 1;
                    if is_over {
                        break;
                    }
                }
                // The node was away for longer than the client is patient.
                code => assert_eq!(code, Some(75)),
            }
        } else if is_over {
            panic!("the last download does not end");
        } else if moments.next(3) == 0 {
            node.signal("KILL");
            node.end();
            note(&mut taken, &node.events());
            node = world.node_again("node", &addr).0;
            killed_nodes += 1;
        } else {
            run.signal("KILL");
            run.end();
            note(&mut signed, &run.events());
            fetch = None;
            killed_clients += 1;
            // It may have had the file already, and been about to close its channel.
            purchases += u128::from(is_delivered(&world, &bytes));
            // What the client has told of is durable: a voucher that may be with the node is never signed again with
            // another amount (V3). A channel that has settled may be heard of anew while a restart reads the chain;
            // nothing can be signed on it that anybody would take.
            let left = world.ok(&["client", "channels", "--state-dir", "client.state", "--json"]);
            for channel in left.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
                let durable: u128 =
                    channel["latest_voucher"]["amount"].as_str().expect("text").parse().expect("a number");
                let id = channel["channel"].as_str().expect("text");
                let told = signed.get(id).copied().unwrap_or_default();
                let is_known = durable >= told || is_settled(&world, id);
                assert!(is_known, "a voucher over {told} was signed, {durable} is on record");
            }
        }
    }
    // What a killed node left to be closed alone settles when its window ends.
    let monitor = ["client", "monitor", "--state-dir", "client.state", "--key-file", "client.key", "--json"];
    let mut monitor = Running::start(world.command(&monitor));
    if monitor.ends_within(Duration::from_secs(2)).is_none() {
        world.ok(&["devnet", "warp", "180000"]);
        assert_eq!(monitor.end(), Some(0));
    }
    std::thread::sleep(Duration::from_millis(500));
    note(&mut taken, &node.events());

    let (left, earned) = (world.balance("client.key"), world.balance("node.key"));
    assert_eq!(left + earned, PURSE, "not a base unit is missing");
    let acknowledged: u128 = taken.values().sum();
    assert!(earned >= acknowledged, "{acknowledged} was acknowledged, {earned} was paid");
    let least = purchases * price(BYTES);
    // Each kill may lose one offer in transit, and a channel rounds up once.
    let most = least + u128::from(kills) * (price(OFFER) + 1) + purchases;
    assert!((least..=most).contains(&earned), "{earned} was paid for {purchases} files worth {least}");
    println!(
        "{killed_nodes} kills of the node, {killed_clients} of the client, {purchases} files bought, {earned} paid \
         for {least}"
    );
}
