//! A node that its owner lives off: it closes channels and draws money from a node that runs, as programs that run apart.

mod world;

use std::{fs, io::Write, os::unix::fs::PermissionsExt, os::unix::net::UnixStream};

use serde_json::Value;
use world::{Running, World, content, price, refused};

const STRANGE: &str = "00000000000000000000000000000000000000000000000000000000000000f0";

/// A node with one customer, who has bought this much and keeps its channel; the channel's id.
fn sold(world: &World, bytes: usize) -> (Running, String, String) {
    let content = content(bytes);
    let (node, peer, hash) = world.node("node", &content);
    world.client_key("client.key", "10");
    let output = world.fetch(&hash, &peer, &["--keep-channel", "-o", "got"]).output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = world.ok(&["node", "channels", "--state-dir", "node.state", "--json"]);
    let channel: Value = serde_json::from_str(&listed).expect("one line of JSON");
    assert_eq!(channel["best_voucher"]["amount"], price(bytes).to_string());
    assert_eq!((&channel["status"], &channel["deposit"]), (&"open".into(), &"1000000".into()));
    let id = channel["channel"].as_str().expect("an id").to_owned();
    (node, id, peer)
}

fn close<'a>(id: &'a str, state: &'a str) -> [&'a str; 6] {
    ["node", "close", id, "--state-dir", state, "--json"]
}

#[test]
fn v7_an_owner_claims_on_a_channel_of_a_node_that_runs_and_closes_it() {
    let world = World::new();
    let bytes = 2 << 20;
    let (mut node, id, peer) = sold(&world, bytes);
    let mode = fs::metadata(world.path("node.state/control")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the socket is for its owner alone");

    // Whoever else gets there says what he likes.
    let mut hostile = UnixStream::connect(world.path("node.state/control")).expect("it listens");
    hostile.write_all(&[0xff; 4_096]).expect("taken");

    // What can't be closed costs a sentence and nothing else.
    let (_other, _, _) = world.node("other", &content(100));
    refused(&world.run(&close(&id, "other.state")), 2, &[&id, "is between client"]);
    refused(&world.run(&close(STRANGE, "node.state")), 2, &["there is no channel", STRANGE]);
    refused(&world.run(&close("zz", "node.state")), 2, &["is called zz", "decdn node channels"]);

    let events = |said: String| -> Vec<Value> {
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let named = |events: &[Value], names: &[&str]| {
        let said: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).collect();
        assert_eq!(said, names);
    };
    let claim = |id| ["node", "claim", id, "--state-dir", "node.state", "--json"];
    let said = events(world.ok(&claim(&id[..8])));
    named(&said, &["taken", "claimed"]);
    assert_eq!(said[1]["claimed"], price(bytes).to_string());
    assert_eq!(world.balance("node.key"), price(bytes), "the channel is open, and the money is there");
    refused(&world.run(&claim(&id)), 75, &[&id, "has earned nothing new"]);
    refused(&world.run(&claim(STRANGE)), 2, &["there is no channel", STRANGE]);

    let said = events(world.ok(&close(&id[..8], "node.state")));
    named(&said, &["taken", "settled"]);
    assert_eq!(said[1]["amount"], price(bytes).to_string());
    // Two were about the channel that there is not.
    for answer in ["refused", "taken", "done", "refused", "taken", "done"] {
        assert_eq!(node.event("order")["answer"], answer);
    }
    let settled = node.event("settled");
    assert_eq!((&settled["ending"], &settled["paid"]), (&"finish".into(), &price(bytes).to_string().into()));
    assert_eq!(world.balance("node.key"), price(bytes), "nothing is paid twice");
    assert_eq!(world.balance("client.key"), 10_000_000 - price(bytes));
    refused(&world.run(&close(&id, "node.state")), 2, &[&id, "has settled"]);
    refused(&world.run(&["node", "withdraw", "--state-dir", "node.state"]), 75, &["nothing to draw"]);
    refused(&world.run(&["node", "withdraw", "XYZ", "--state-dir", "node.state"]), 2, &["token XYZ"]);

    // Without the node there is nobody to order from; what it earns on can be read all the same.
    node.signal("KILL");
    node.end();
    refused(&world.run(&close(&id, "node.state")), 75, &["no node runs", "node.state", "decdn node run"]);
    refused(&world.run(&["node", "withdraw", "--state-dir", "node.state"]), 75, &["no node runs"]);
    world.ok(&["node", "channels", "--state-dir", "node.state", "--json"]);
    assert!(world.path("node.state/control").exists(), "a dead process has left its socket");
    let addr = peer.split_once('@').expect("a peer").1;
    let (mut node, _) = world.node_again("node", addr);
    world.ok(&["node", "channels", "--state-dir", "node.state", "--json"]);
    node.signal("INT");
    assert_eq!(node.end(), Some(130));
    assert!(!world.path("node.state/control").exists(), "it goes with the node");
}

#[test]
fn v7_a_close_that_was_taken_is_made_by_the_process_that_comes_next() {
    let world = World::new();
    let (mut node, id, peer) = sold(&world, 1 << 20);
    world.ok(&["devnet", "stop"]);
    let order = Running::start(world.command(&close(&id, "node.state")));
    order.event("taken");
    node.signal("KILL");
    node.end();
    drop(order);
    world.ok(&["devnet", "start"]);
    let addr = peer.split_once('@').expect("a peer").1;
    let (node, _) = world.node_again("node", addr);
    let told = node.event("order");
    assert_eq!((&told["answer"], &told["channel"]), (&"done".into(), &id.into()));
}

#[test]
fn c5_c6_a_client_is_told_that_there_is_nothing_to_draw_and_nothing_to_force() {
    let world = World::new();
    let (_node, id, _) = sold(&world, 1 << 20);
    let mine = ["--state-dir", "client.state", "--key-file", "client.key"];
    let run = |args: &[&str]| world.run(&[args, &mine[..]].concat());
    refused(&run(&["client", "withdraw"]), 75, &["nothing to draw"]);
    refused(&run(&["client", "withdraw", "XYZ"]), 2, &["token XYZ"]);
    refused(&run(&["client", "force-close", &id]), 2, &[&id, "channels may use", "decdn client close"]);
    refused(&run(&["client", "force-close", STRANGE]), 2, &["there is no channel", STRANGE]);
}
