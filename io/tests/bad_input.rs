//! Bad input to the real binary: one sentence that says what, where and what to do, the right exit code, and no money
//! moved.

mod world;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, Output, Stdio},
};

use alloy_primitives::{Address, B256, keccak256};
use decdn_engine::wire::Protocol;
use decdn_io::keys::Keys;
use serde_json::json;
use world::{World, content, decdn, one_sentence, price, refused};

/// A world with a node that sells 1 MB, and a client that has 10 USDC.
struct Scene {
    world: World,
    _node: world::Running,
    peer: String,
    hash: String,
}

impl Scene {
    fn new() -> Self {
        let world = World::new();
        let (node, peer, hash) = world.node("node", &content(1 << 20));
        world.client_key("client.key", "10");
        Self { world, _node: node, peer, hash }
    }

    fn fetch(&self, more: &[&str]) -> Output {
        self.world.fetch(&self.hash, &self.peer, more).output().expect("runs")
    }

    /// The client's account, as a question about it at the chain's head.
    fn account(&self) -> serde_json::Value {
        json!([self.world.ok(&["key", "show", "client.key", "--account"]), "latest"])
    }

    #[track_caller]
    fn nothing_moved(&self) {
        assert_eq!(self.world.balance("client.key"), 10_000_000);
    }
}

/// An endpoint that says the same to everything, and it is no JSON-RPC.
fn parrot() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    #[expect(clippy::disallowed_methods, reason = "a server beside the test")]
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ =
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello");
        }
    });
    url
}

#[test]
fn a_command_that_waits_for_an_endpoint_can_be_interrupted() {
    let scene = Scene::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = format!("http://{}", listener.local_addr().expect("bound"));
    let mut fetch = world::Running::start(scene.world.fetch(&scene.hash, &scene.peer, &["--rpc", &silent]));
    let (_asking, _) = listener.accept().expect("it asks");
    fetch.signal("INT");
    assert_eq!(fetch.end(), Some(130));
    let mut node = scene.world.command(&["node", "run", "--key-file", "client.key", "--rpc", &silent]);
    node.env_remove("DECDN_RPC");
    let mut node = world::Running::start(node);
    let (_asking, _) = listener.accept().expect("it asks");
    node.signal("TERM");
    assert_eq!(node.end(), Some(130));
    scene.nothing_moved();
}

/// The program under a limit for the size of files: what it meets is a disk that takes no more.
fn with_little_disk(command: &Command, kib: u64) -> Command {
    let mut limited = Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\"");
    limited.arg("-c").arg(script).arg(command.get_program()).args(command.get_args());
    limited.current_dir(command.get_current_dir().expect("set")).env_clear();
    limited.envs(command.get_envs().filter_map(|(key, value)| Some((key, value?))));
    limited
}

#[test]
fn a_wrong_chain_contract_or_endpoint_is_named() {
    let scene = Scene::new();
    let world = &scene.world;
    refused(&scene.fetch(&["--chain-id", "1"]), 2, &["31337", "chain 1 ", "--chain-id"]);
    let nowhere = "0x0000000000000000000000000000000000000123";
    refused(&scene.fetch(&["--contract", nowhere]), 2, &["no contract", nowhere, "--contract"]);
    refused(
        &scene.fetch(&["--contract", &world.token]),
        2,
        &["no PaymentChannel of version 1", "--contract"],
    );
    refused(
        &scene.fetch(&["--rpc", "http://127.0.0.1:1"]),
        75,
        &["http://127.0.0.1:1", "--rpc", "try again"],
    );
    refused(&scene.fetch(&["--rpc", "ftp://x"]), 2, &["ftp://x", "http://127.0.0.1:8545"]);
    refused(&scene.fetch(&["--payment-token", "DOGE"]), 2, &["DOGE", "[tokens]"]);
    refused(
        &scene.fetch(&["--payment-token", &world.contract]),
        2,
        &["no ERC-20 token", "correct the address"],
    );
    let parrot = parrot();
    refused(&scene.fetch(&["--rpc", &parrot]), 75, &[&parrot, "no JSON-RPC", "--rpc"]);
    let mut bare = decdn(world.dir());
    bare.args(["client", "fetch", "--hash", &scene.hash, "--peer", &scene.peer, "--key-file", "client.key"]);
    refused(&bare.output().expect("runs"), 2, &["no RPC endpoint", "--rpc"]);
    bare.args(["--rpc", &world.rpc]);
    refused(&bare.output().expect("runs"), 2, &["no payment channel contract", "--contract"]);
    scene.nothing_moved();

    // An endpoint that is dead does no harm beside one that answers.
    let both = format!("http://127.0.0.1:1,{}", world.rpc);
    assert!(scene.fetch(&["--rpc", &both, "-o", "got"]).status.success());
    assert!(world.read("got") == content(1 << 20));
}

#[test]
fn i3_a_peer_that_is_away_or_somebody_else_costs_nothing() {
    let scene = Scene::new();
    let world = &scene.world;
    let (id, addr) = scene.peer.split_once('@').expect("a peer");
    let away = format!("{id}@127.0.0.1:9");
    let fetch = |peer: &str| world.fetch(&scene.hash, peer, &[]).output().expect("runs");
    refused(&fetch(&away), 75, &[id, "127.0.0.1:9", "no money has moved"]);
    // Listed, but not who answers there.
    world.ok(&["key", "new", "second.key"]);
    world.ok(&["devnet", "list", "second.key"]);
    let second = world.ok(&["key", "show", "second.key", "--node"]);
    refused(&fetch(&format!("{second}@{addr}")), 2, &[addr, &second, "--peer"]);
    // Not listed at all.
    world.ok(&["key", "new", "third.key"]);
    let third = world.ok(&["key", "show", "third.key", "--node"]);
    refused(&fetch(&format!("{third}@{addr}")), 2, &[&third, "not in the registry"]);
    for bad in ["", "x", id, &format!("{id}@somewhere"), &format!("{id}@127.0.0.1"), "12@127.0.0.1:9"] {
        let output = fetch(bad);
        refused(&output, 2, &["--peer"]);
    }
    scene.nothing_moved();
    // Nor does a node run that nobody may open a channel with.
    let run =
        ["node", "run", "--key-file", "third.key", "--state-dir", "third.state", "--listen", "127.0.0.1:0"];
    refused(&world.run(&run), 2, &[&third, "decdn devnet list"]);
}

#[test]
fn a_wrong_hash_is_told_and_the_deposit_comes_back() {
    let scene = Scene::new();
    let wrong = "0".repeat(64);
    let output = scene.world.fetch(&wrong, &scene.peer, &[]).output().expect("runs");
    refused(&output, 75, &["does not have this blob", "--hash"]);
    scene.nothing_moved();
    assert!(!scene.world.path(&wrong).exists());
    let short = scene.world.fetch("12", &scene.peer, &[]).output().expect("runs");
    refused(&short, 2, &["64 hex digits"]);
}

#[test]
fn d4_bytes_that_are_not_the_content_are_not_paid_for_and_nothing_before_them_is_lost() {
    let world = World::new();
    let bytes = content(3 << 20);
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let stored = format!("node.state/blobs/{hash}.content");
    let mut bad = bytes.clone();
    bad[2 << 20] ^= 1;
    world.write(&stored, &bad);
    let fetch = || world.fetch(&hash, &peer, &["-o", "got"]).output().expect("runs");
    refused(&fetch(), 1, &[&peer[..64], "don't match the hash", "not paid for"]);
    assert_eq!(10_000_000 - world.balance("client.key"), price(2 << 20));
    // The node repairs its disk; only what is missing is bought.
    world.write(&stored, &bytes);
    assert!(fetch().status.success());
    assert!(world.read("got") == bytes);
    assert_eq!(10_000_000 - world.balance("client.key"), price(bytes.len()));
}

#[test]
fn a_blob_above_the_nodes_limit_is_refused_by_name() {
    let world = World::new();
    let (node, _, hash) = world.node("node", &content(1 << 20));
    drop(node);
    world.client_key("client.key", "10");
    world.write(
        "node.toml",
        b"state_dir = \"node.state\"\nkey_file = \"node.key\"\n[node]\nmax_blob_size = 1000000\n",
    );
    let run = ["node", "run", "--config", "node.toml", "--listen", "127.0.0.1:0", "--json"];
    let node = world::Running::start(world.command(&run));
    let peer = node.event("ready")["peer"].as_str().expect("text").to_owned();
    refused(&world.fetch(&hash, &peer, &[]).output().expect("runs"), 75, &["does not sell it"]);
    assert_eq!(world.balance("client.key"), 10_000_000, "no deposit was made");
}

#[test]
fn amounts_that_make_no_sense_are_refused() {
    let scene = Scene::new();
    refused(&scene.fetch(&["--voucher-cadence-mb", "0"]), 2, &["--voucher-cadence-mb", "1 to 1024 MB"]);
    refused(&scene.fetch(&["--voucher-cadence-mb", "10240"]), 2, &["1 to 1024 MB"]);
    refused(&scene.fetch(&["--deposit", "0"]), 2, &["deposit of 0"]);
    refused(&scene.fetch(&["--deposit", "0.0001"]), 2, &["0.0001 USDC", "16 KiB", "0.000157 USDC"]);
    refused(&scene.fetch(&["--deposit", "10.000001"]), 2, &["10.000001 USDC", "10 USDC", "--deposit"]);
    refused(&scene.fetch(&["--deposit", "0.0000001"]), 2, &["6 decimals"]);
    refused(&scene.fetch(&["--deposit", "much"]), 2, &["--deposit", "0.25"]);
    refused(&scene.fetch(&["--max-spend", "0"]), 2, &["--max-spend"]);
    refused(&scene.fetch(&["--max-rate", "0"]), 2, &["--max-rate"]);
    scene.nothing_moved();
}

#[test]
fn d1_a_price_above_the_ceiling_is_shown_and_no_transaction_is_made() {
    let scene = Scene::new();
    let (world, height) = (&scene.world, scene.world.ask("eth_getTransactionCount", scene.account()));
    let dear = scene.fetch(&["--max-rate", "0.0009", "--json"]);
    refused(&dear, 1, &["asks for more than --max-rate"]);
    let told = String::from_utf8(dear.stdout).expect("text");
    let quote = told.lines().find(|line| line.contains("\"quote\"")).expect("shown");
    assert!(quote.contains("\"rate_per_mb\":1000") && quote.contains("\"deposit\":null"), "{quote}");
    assert_eq!(world.ask("eth_getTransactionCount", scene.account()), height);
    scene.nothing_moved();
}

#[test]
fn d1_a_node_that_knows_no_probes_is_paid_nothing() {
    let scene = Scene::new();
    let world = &scene.world;
    world.node_key("old.key");
    let secret = Keys::load(&world.path("old.key")).expect("a key file").network();
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let old = runtime.block_on(async {
        let builder = iroh::Endpoint::builder(iroh::endpoint::presets::Minimal).clear_ip_transports();
        let builder = builder.bind_addr((std::net::Ipv4Addr::LOCALHOST, 0)).expect("an address");
        let builder =
            builder.relay_mode(iroh::RelayMode::Disabled).secret_key(iroh::SecretKey::from_bytes(&secret));
        builder.alpns(vec![Protocol::Client.alpn().to_vec()]).bind().await.expect("loopback")
    });
    let listening = old.clone();
    runtime.spawn(async move {
        while let Some(incoming) = listening.accept().await {
            if let Ok(connection) = incoming.await {
                connection.closed().await;
            }
        }
    });
    let peer = format!("{}@{}", world.ok(&["key", "show", "old.key", "--node"]), old.bound_sockets()[0]);
    let output = world.fetch(&scene.hash, &peer, &[]).output().expect("runs");
    refused(&output, 75, &["fell silent or would not serve"]);
    assert_eq!(world.ask("eth_getTransactionCount", scene.account()), "0x0");
    scene.nothing_moved();
}

#[test]
fn a_channel_that_can_not_be_approved_is_not_opened() {
    let scene = Scene::new();
    scene.world.ok(&["devnet", "stop"]);
    refused(&scene.fetch(&[]), 75, &["no channel could be opened", "sequencer is down"]);
    scene.world.ok(&["devnet", "start"]);
    scene.world.ok(&["devnet", "base-fee", "900000000000"]);
    refused(&scene.fetch(&[]), 75, &["no channel could be opened", "base fee"]);
    scene.nothing_moved();
    scene.world.ok(&["devnet", "base-fee", "10000000"]);
    assert!(scene.fetch(&["-o", "got"]).status.success());
}

#[test]
fn a_missing_allowance_is_named_and_costs_no_deposit() {
    let world = World::on_anvil();
    let (_node, peer, hash) = world.node("node", &content(1 << 20));
    world.client_key("client.key", "10");
    // From here on blocks come when the test wants them, and in each of them the allowance is gone again, and the permit used up.
    world.ask("evm_setIntervalMining", json!([0]));
    world.ask("evm_setAutomine", json!([false]));
    let words = |a: &str, b: B256| {
        let a: Address = a.parse().expect("an address");
        keccak256([a.into_word().as_slice(), b.as_slice()].concat())
    };
    // OpenZeppelin keeps allowance[owner][spender] in slot 1, and how many permits of an owner were taken in slot 7.
    let owner = world.ok(&["key", "show", "client.key", "--account"]);
    let slot = words(&world.contract, words(&owner, B256::with_last_byte(1)));
    let permits = words(&owner, B256::with_last_byte(7));
    let mut taken = 0_u8;
    let mut fetch = world::Running::start(world.fetch(&hash, &peer, &["-o", "got"]));
    let code = loop {
        taken = taken.wrapping_add(1);
        world.ask("anvil_setStorageAt", json!([world.token, slot, B256::ZERO]));
        world.ask("anvil_setStorageAt", json!([world.token, permits, B256::with_last_byte(taken)]));
        world.ask("evm_mine", json!([]));
        if let Some(code) = fetch.ends_within(std::time::Duration::from_millis(50)) {
            break code;
        }
    };
    assert_eq!(code, Some(75));
    let names = ["no channel could be opened", "its allowance for the payment channel", "USDC", "try again"];
    one_sentence(&fetch.said(), &names);
    assert_eq!(world.balance("client.key"), 10_000_000);
    world.ask("evm_setAutomine", json!([true]));
    world.ask("evm_setIntervalMining", json!([1]));
    assert!(world.fetch(&hash, &peer, &["-o", "got"]).output().expect("runs").status.success());
    assert_eq!(world.balance("client.key"), 10_000_000 - price(1 << 20));
}

#[test]
fn key_files_have_to_be_there_whole_and_secret() {
    let scene = Scene::new();
    let world = &scene.world;
    let with = |key: &str| {
        let args = ["client", "fetch", "--hash", &scene.hash, "--peer", &scene.peer, "--key-file", key];
        world.run(&args)
    };
    refused(&with("none.key"), 2, &["none.key does not exist", "decdn key new"]);
    let secret = "5e".repeat(20);
    world.write("bad.key", format!("network = \"{secret}\"\n").as_bytes());
    refused(&with("bad.key"), 2, &["bad.key may be read by others", "chmod 600"]);
    fs::set_permissions(world.path("bad.key"), fs::Permissions::from_mode(0o600)).expect("ours");
    let output = with("bad.key");
    refused(&output, 2, &["bad.key is malformed", "decdn key new"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains(&secret[..8]), "no secret in an error");
    refused(&world.run(&["key", "new", "client.key"]), 2, &["client.key exists already"]);
    let mode = fs::metadata(world.path("client.key")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    scene.nothing_moved();
}

#[test]
fn a_port_or_an_address_in_use_is_named() {
    let scene = Scene::new();
    let world = &scene.world;
    let port = world.rpc.rsplit_once(':').expect("a port").1;
    refused(&world.run(&["devnet", "--port", port]), 1, &[port, "--port"]);
    let addr = scene.peer.split_once('@').expect("a peer").1;
    world.ok(&["key", "new", "second.key"]);
    world.ok(&["devnet", "list", "second.key"]);
    let run = ["node", "run", "--key-file", "second.key", "--state-dir", "second.state", "--listen", addr];
    refused(&world.run(&run), 1, &[addr, "choose another"]);
}

#[test]
fn i5_a_state_directory_in_use_or_newer_is_left_alone() {
    let scene = Scene::new();
    let world = &scene.world;
    world.write("more", b"more");
    let add = ["node", "add", "more", "--state-dir", "node.state"];
    refused(&world.run(&add), 75, &["node.state", "in use"]);
    let second =
        ["node", "run", "--key-file", "node.key", "--state-dir", "node.state", "--listen", "127.0.0.1:0"];
    refused(&world.run(&second), 75, &["node.state", "in use"]);
    fs::create_dir(world.path("client.state")).expect("fresh");
    world.write("client.state/version", b"3\n");
    refused(&scene.fetch(&[]), 2, &["client.state", "version 3", "newer decdn"]);
    world.write("client.state/version", b"");
    refused(&scene.fetch(&[]), 2, &["client.state", "no version"]);
    scene.nothing_moved();
}

#[test]
fn files_that_can_not_be_sold_or_written_are_named() {
    let scene = Scene::new();
    let world = &scene.world;
    world.write("empty", b"");
    refused(&world.run(&["node", "add", "empty", "--state-dir", "x"]), 2, &["empty is empty"]);
    refused(&world.run(&["node", "add", "none", "--state-dir", "x"]), 2, &["none does not exist"]);
    refused(&world.run(&["hash", "none"]), 2, &["none does not exist"]);
    refused(&world.run(&["hash", "."]), 2, &[". is a directory"]);
    world.write("there", b"mine");
    refused(&scene.fetch(&["-o", "there"]), 2, &["there exists already"]);
    refused(&scene.fetch(&["-o", "no/where"]), 2, &["no is no directory"]);
    assert_eq!(world.read("there"), b"mine");
    scene.nothing_moved();
}

#[test]
fn a_configuration_that_is_wrong_or_half_written_is_shown_with_line_and_column() {
    let scene = Scene::new();
    let world = &scene.world;
    let with = |text: &str| {
        world.write("c.toml", text.as_bytes());
        let check = world.run(&["config", "validate", "c.toml"]);
        let fetch = scene.fetch(&["--config", "c.toml"]);
        assert_eq!(check.stderr, fetch.stderr, "both say the same");
        fetch
    };
    refused(&with("[client]\ncadence = 1\n"), 2, &["c.toml:2:1", "unknown field `cadence`"]);
    refused(&with("[chain]\nrpc = [\"http://127"), 2, &["c.toml:2:"]);
    refused(&with("[client]\nvoucher_cadence_mb = 0\n"), 2, &["c.toml:2:22", "1 to 1024"]);
    refused(&with("[client]\ndeposit = 0.5\n"), 2, &["c.toml:2:11", "\"0.25\""]);
    refused(&scene.fetch(&["--config", "none.toml"]), 2, &["none.toml", "decdn config init"]);
    world.ok(&["config", "init", "new.toml"]);
    refused(&world.run(&["config", "init", "new.toml"]), 2, &["new.toml exists already"]);
    scene.nothing_moved();
}

#[test]
fn a_full_disk_stops_clearly_and_what_was_bought_is_kept() {
    let scene = Scene::new();
    let world = &scene.world;
    world.write("big", &content(9 << 20));
    let add = world.command(&["node", "add", "big", "--state-dir", "other.state"]);
    let output = with_little_disk(&add, 4_096).output().expect("runs");
    refused(&output, 1, &["nothing was stored in other.state", "--state-dir"]);
    // It leaves nothing behind, so that it works once there is room.
    world.ok(&["node", "add", "big", "--state-dir", "other.state"]);

    // Standard output that takes nothing: paid, kept, and delivered by the next run for no more money.
    let full = fs::File::options().write(true).open("/dev/full").expect("Linux has one");
    let mut fetch = world.fetch(&scene.hash, &scene.peer, &["-o", "-"]);
    let output =
        fetch.stdout(full).stderr(Stdio::piped()).spawn().expect("runs").wait_with_output().expect("ends");
    refused(&output, 1, &["standard output can't be written", "--output"]);
    let output = scene.fetch(&["-o", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout == content(1 << 20));
    assert_eq!(world.balance("client.key"), 10_000_000 - price(1 << 20), "paid once");
}

#[test]
fn o12_a_disk_that_fills_during_a_fetch_loses_nothing() {
    let world = World::new();
    let bytes = content(24 << 20);
    let (_node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "10");
    let fetch = world.fetch(&hash, &peer, &["-o", "got"]);
    let output = with_little_disk(&fetch, 12_288).output().expect("runs");
    refused(&output, 1, &["client.state", "make room"]);
    let again = world.fetch(&hash, &peer, &["-o", "got"]).output().expect("runs");
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(world.read("got") == bytes);
    let paid = 10_000_000 - world.balance("client.key");
    assert!((price(bytes.len())..=price(bytes.len() + (2 << 20))).contains(&paid), "{paid}");
}

#[test]
fn what_the_command_line_does_not_know_is_refused() {
    let temp = tempfile::tempdir().expect("a temporary directory");
    for args in [&["serve"][..], &["node", "sell"], &["client", "fetch", "--free"], &["client", "fetch"]] {
        let output = decdn(temp.path()).args(args).output().expect("runs");
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = decdn(temp.path()).args(["completions", shell]).output().expect("runs");
        assert!(output.status.success() && output.stdout.len() > 1_000, "{shell}");
    }
}
