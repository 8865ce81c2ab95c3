//! Devnet, node and client as programs that run apart from each other: the real binary, in processes.

mod world;

use std::{fs, process::Output};

use decdn_sim::trace;
use serde_json::{Value, json};
use world::{Running, World, content, decdn, price};

fn events(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect()
}

fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}

#[track_caller]
fn good(output: Output) -> Output {
    assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    output
}

/// Tells a recording again, to the same states. How many inputs there were.
fn replayed(world: &World, name: &str) -> u64 {
    trace::retell(&world.path(name), |_, _| {}).unwrap_or_else(|wrong| panic!("{wrong}")).inputs
}

#[test]
fn d5_a_fetch_between_processes_is_whole_exact_and_receipted() {
    let world = World::new();
    let bytes = content((5 << 20) + 12_345);
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let output = good(world.fetch(&hash, &peer, &["--json", "-o", "got"]).output().expect("runs"));
    assert!(world.read("got") == bytes, "every byte is the one that was asked for");
    assert_eq!(world.balance("client.key"), 10_000_000 - price(bytes.len()));
    assert_eq!(world.balance("node.key"), price(bytes.len()));

    let events = events(&output);
    // Price and deposit come before the channel that takes the money.
    let place = |name: &str| events.iter().position(|event| event["event"] == name).expect(name);
    assert!(place("terms") < place("quote") && place("quote") < place("channel_opened"));
    let [quote] = named(&events, "quote")[..] else { panic!("one quote is wanted") };
    assert_eq!(
        (quote["rate_per_mb"].as_u64(), quote["total_bytes"].as_u64()),
        (Some(1_000), Some(bytes.len() as u64))
    );
    assert_eq!(
        (&quote["expected_cost"], &quote["deposit"]),
        (&json!(price(bytes.len()).to_string()), &json!("1000000"))
    );
    assert_eq!(named(&events, "terms")[0]["deposit"], "1000000");
    assert!(!named(&events, "progress").is_empty());
    assert_eq!(named(&events, "settled")[0]["cooperative"], true);
    let [done] = named(&events, "done")[..] else { panic!("one end is wanted") };
    assert_eq!(done["paid"], price(bytes.len()).to_string());

    // The receipt holds by itself, belongs to this content, and shows any change.
    let receipt = done["receipt"].as_str().expect("a path").to_owned();
    let mut offline = decdn(world.dir());
    let verified =
        good(offline.args(["receipt", "verify", &receipt, "--content", "got"]).output().expect("runs"));
    assert!(String::from_utf8_lossy(&verified.stdout).contains("final, signed by both"));
    let text = fs::read_to_string(world.path(&receipt)).expect("kept");
    let changed = text.replacen("\"rate_per_mb\": 1000", "\"rate_per_mb\": 1001", 1);
    assert_ne!(text, changed);
    world.write("changed.json", changed.as_bytes());
    world::refused(&world.run(&["receipt", "verify", "changed.json"]), 1, &["changed.json", "agreement 0"]);
    world::refused(&world.run(&["receipt", "verify", "got"]), 2, &["got:1:", "no receipt"]);
    world.write("other", b"something else");
    let other = world.run(&["receipt", "verify", &receipt, "--content", "other"]);
    world::refused(&other, 1, &["other is not the content"]);
}

#[test]
fn nothing_but_data_is_on_stdout_and_a_kept_channel_is_used_again_and_closed() {
    let world = World::new();
    let bytes = content((2 << 20) + 1);
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    for n in 1..=2 {
        let output = good(world.fetch(&hash, &peer, &["--keep-channel", "-o", "-"]).output().expect("runs"));
        assert!(output.stdout == bytes, "purchase {n}: standard output is the content and nothing else");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("at most 0.01 USDC per MB"), "{said}");
        // A channel that was kept takes no deposit: nobody is asked for a quote.
        let (asks, agrees) =
            ("  quote     0.001 USDC per MB, about 0.0020", "  price     0.001 USDC per MB, about 0.0020");
        assert_eq!((said.contains(asks), said.contains(agrees)), (n == 1, n == 2), "{said}");
        assert_eq!(said.contains("deposit   1 USDC into a channel"), n == 1, "{said}");
    }
    let list = ["client", "channels", "--state-dir", "client.state", "--json"];
    let channels = world.ok(&list);
    let [channel] = channels.lines().collect::<Vec<_>>()[..] else {
        panic!("one channel is wanted: {channels}")
    };
    let channel: Value = serde_json::from_str(channel).expect("JSON");
    let paid = (2 * bytes.len() as u128 * 1_000).div_ceil(1 << 20);
    assert_eq!(channel["latest_voucher"]["amount"], paid.to_string());
    assert_eq!(channel["deposit"], "1000000");
    assert_eq!(channel["kept"], true);
    assert!(channel["opened_at_block"].as_u64().is_some_and(|block| block > 0));
    assert_eq!(world.balance("client.key"), 9_000_000, "one deposit serves both");

    // The second receipt counts what the second fetch paid, not what the channel has paid in all.
    let mut receipts: Vec<Value> = fs::read_dir(world.path("client.state/receipts"))
        .expect("kept")
        .map(|entry| {
            serde_json::from_slice(&fs::read(entry.expect("there").path()).expect("readable")).expect("JSON")
        })
        .collect();
    receipts.sort_by_key(|receipt| receipt["payments"][0]["nonce"].as_u64());
    assert_eq!(receipts.len(), 2);
    assert_eq!(receipts[1]["payments"][0]["amount_before"], receipts[0]["payments"][0]["amount"]);

    let id = &channel["channel"].as_str().expect("an id")[..10];
    let close = ["client", "close", id, "--state-dir", "client.state", "--key-file", "client.key"];
    world.ok(&close);
    assert_eq!(world.balance("client.key"), 10_000_000 - paid);
    // It has settled, and the chain may yet take that back: its record stays until it can't (L1).
    let settled: Value = serde_json::from_str(&world.ok(&list)).expect("one line of JSON");
    assert_eq!((&settled["channel"], &settled["status"]), (&channel["channel"], &Value::from("ending")));
    world.warp(2 * 3_600);
    world.ok(&["client", "monitor", "--state-dir", "client.state", "--key-file", "client.key"]);
    assert_eq!(world.ok(&list), "", "nothing is left to watch over");
    world::refused(&world.run(&close), 2, &[id, "decdn client channels"]);
}

#[test]
fn d14_an_interrupted_fetch_goes_on_where_it_was() {
    let world = World::new();
    let bytes = content(48 << 20);
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let mut fetch = Running::start(world.fetch(&hash, &peer, &["--json", "-o", "got", "--record", "1.rec"]));
    fetch.event("voucher");
    fetch.signal("INT");
    assert_eq!(fetch.end(), Some(130));
    assert!(!world.path("got").exists());
    let again = ["--json", "-o", "got", "--record", "2.rec"];
    let output = good(world.fetch(&hash, &peer, &again).output().expect("runs"));
    // Both runs can be told again, to the same states.
    assert!(replayed(&world, "1.rec") > 20 && replayed(&world, "2.rec") > 20);
    world::refused(
        &world.fetch(&hash, &peer, &["--record", "1.rec"]).output().expect("runs"),
        2,
        &["1.rec exists"],
    );
    assert!(world.read("got") == bytes);
    // What was on its way at the stop may be charged again, one offer of 1 MB at most (D8).
    let paid = world.balance("node.key");
    assert!((price(bytes.len())..=price(bytes.len() + (1 << 20))).contains(&paid), "{paid}");
    assert_eq!(world.balance("client.key"), 10_000_000 - paid);
    let events = events(&output);
    assert!(named(&events, "channel_opened").is_empty(), "the channel is the one from before");
    // One receipt covers both runs.
    let done = named(&events, "done")[0];
    assert_eq!(done["paid"], paid.to_string());
    let receipt = done["receipt"].as_str().expect("a path");
    let told: Value =
        serde_json::from_str(&world.ok(&["receipt", "verify", receipt, "--json"])).expect("JSON");
    assert!(told["agreements"].as_u64() >= Some(2) && told["payments"] == 1, "{told}");
}

#[test]
fn d10_a_node_that_is_gone_costs_no_money_and_its_return_ends_the_fetch() {
    let world = World::new();
    let bytes = content(32 << 20);
    let (mut node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let mut fetch = Running::start(world.fetch(&hash, &peer, &["--json", "-o", "got", "--keep-channel"]));
    fetch.event("voucher");
    node.signal("KILL");
    node.end();
    assert_eq!(fetch.end(), Some(75), "later it may work");
    let bought = world.ok(&["client", "channels", "--state-dir", "client.state", "--json"]);
    let addr = peer.split_once('@').expect("a peer").1;
    let (_node, peer) = world.node_again("node", addr);
    good(world.fetch(&hash, &peer, &["-o", "got"]).output().expect("runs"));
    assert!(world.read("got") == bytes);
    // The first channel may have lost bytes on their way, which nobody asks for any more: then it was closed alone (D8), and
    // settles when its window ends.
    let mine = ["--state-dir", "client.state", "--key-file", "client.key"];
    let close = world.run(&[&["client", "close"], &mine[..]].concat());
    if !close.status.success() {
        world::refused(&close, 75, &["without the node's consent", "decdn client monitor"]);
        let monitor = [&["client", "monitor", "--json"], &mine[..]].concat();
        let mut monitor = Running::start(world.command(&monitor));
        monitor.event("watching");
        world.ok(&["devnet", "warp", "176400"]);
        monitor.event("settled");
        assert_eq!(monitor.end(), Some(0));
    }
    // Once the settlements are safe nothing is left (L1).
    world.warp(2 * 3_600);
    world.ok(&[&["client", "monitor"], &mine[..]].concat());
    let left = world.ok(&["client", "channels", "--state-dir", "client.state", "--json"]);
    assert_eq!(left, "", "{bought}");
    let paid = world.balance("node.key");
    assert!(
        (price(bytes.len())..=price(bytes.len() + (2 << 20))).contains(&paid),
        "nothing is bought twice: {paid}"
    );
}

#[test]
fn c1_a_channel_whose_node_is_gone_is_closed_alone_and_settles_after_the_window() {
    let world = World::new();
    let bytes = content(1 << 20);
    let (mut node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    good(world.fetch(&hash, &peer, &["--keep-channel", "-o", "got"]).output().expect("runs"));
    node.signal("KILL");
    node.end();
    let mine = ["--state-dir", "client.state", "--key-file", "client.key"];
    let close = world.run(&[&["client", "close"], &mine[..]].concat());
    world::refused(&close, 75, &["without the node's consent", "decdn client monitor"]);
    let monitor = [&["client", "monitor", "--json"], &mine[..]].concat();
    let mut monitor = Running::start(world.command(&monitor));
    monitor.event("watching");
    // The monitor follows the devnet's clock, so the window ends for it as well.
    world.ok(&["devnet", "warp", "176400"]);
    assert_eq!(monitor.event("settled")["paid"], price(bytes.len()).to_string());
    assert_eq!(monitor.end(), Some(0));
    assert_eq!(world.balance("client.key"), 10_000_000 - price(bytes.len()));
    assert_eq!(world.balance("node.key"), price(bytes.len()));
}

#[test]
fn a_second_node_stands_in_for_the_first() {
    let world = World::new();
    let bytes = content(2 << 20);
    let (_first, other, _) = world.node("other", &content(100));
    let (_second, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let peers = format!("{other},{peer}");
    let output = good(world.fetch(&hash, &peers, &["--json", "-o", "got"]).output().expect("runs"));
    assert!(world.read("got") == bytes);
    let events = events(&output);
    assert_eq!(named(&events, "failed_over").len(), 1);
    assert_eq!(named(&events, "terms")[0]["max_spend"], "2000000", "a deposit for each node");
    assert_eq!(world.balance("client.key"), 10_000_000 - price(bytes.len()), "the first deposit came back");
}

#[test]
fn the_spending_cap_holds_and_raising_it_goes_on() {
    let world = World::new();
    let bytes = content(8 << 20);
    fs::write(world.path("decdn.toml"), "[node.tokens.USDC]\nleast_deposit = \"0.001\"\n").expect("written");
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    // Room for three of eight MB.
    let capped = world.fetch(&hash, &peer, &["--max-spend", "0.003", "-o", "got"]).output().expect("runs");
    world::refused(&capped, 1, &["spending cap of 0.003 USDC", "--max-spend"]);
    let spent = 10_000_000 - world.balance("client.key");
    assert!(spent <= 3_000, "{spent}");
    good(world.fetch(&hash, &peer, &["-o", "got"]).output().expect("runs"));
    assert!(world.read("got") == bytes);
    let paid = 10_000_000 - world.balance("client.key");
    assert!((price(bytes.len())..=price(bytes.len()) + 2).contains(&paid), "nothing is bought twice: {paid}");
}

#[test]
fn a_demo_that_is_interrupted_leaves_nothing() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let mut command = decdn(temp.path());
    command.args(["demo", "--json"]).env("TMPDIR", temp.path());
    let mut demo = Running::start(command);
    let is_there = || fs::read_dir(temp.path()).expect("there").next().is_some();
    while !is_there() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    std::thread::sleep(std::time::Duration::from_millis(700));
    demo.signal("INT");
    assert_eq!(demo.end(), Some(130));
    assert!(!is_there(), "the demo's folder is gone");
}

#[test]
fn configuration_comes_from_command_line_environment_file_and_defaults_in_this_order() {
    let world = World::new();
    let bytes = content(1 << 20);
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    world.ok(&["config", "init", "c.toml"]);
    world.ok(&["config", "validate", "c.toml"]);
    let file =
        String::from_utf8(world.read("c.toml")).expect("text").replace("deposit = \"1\"", "deposit = \"2\"");
    let file = file.replace("decdn.key", "client.key");
    world.write("c.toml", file.as_bytes());
    let terms = |more: &[&str], env: Option<&str>| {
        let mut args =
            vec!["client", "fetch", "--hash", &hash, "--peer", &peer, "--config", "c.toml", "--json"];
        let output = format!("got{}", more.len() * 2 + usize::from(env.is_some()));
        args.extend(["-o", &output]);
        args.extend(more);
        let mut command = world.command(&args);
        if let Some(env) = env {
            command.env("DECDN_DEPOSIT", env);
        }
        let output = good(command.output().expect("runs"));
        named(&events(&output), "terms")[0]["deposit"].as_str().expect("text").to_owned()
    };
    assert_eq!(terms(&[], None), "2000000");
    assert_eq!(terms(&[], Some("3")), "3000000");
    assert_eq!(terms(&["--deposit", "4"], Some("3")), "4000000");
    assert!(world.path("decdn-state").is_dir(), "paths in the file start at the file");
}
