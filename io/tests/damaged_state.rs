//! State directories that were damaged while nobody used them: the program refuses them by name, signs and pays nothing, and
//! goes on with exact money once they are whole again.

mod world;

use std::fs;

use world::{Running, World, content, price, refused};

const BYTES: usize = 8 << 20;
/// What may be lost in transit when somebody is killed (D8).
const OFFER: usize = 1 << 20;
const PURSE: u128 = 10_000_000;

/// A purchase whose parties were both killed when some of it was paid for.
struct Scene {
    world: World,
    bytes: Vec<u8>,
    hash: String,
    peer: String,
}

impl Scene {
    fn killed() -> Self {
        let world = World::new();
        let bytes = content(BYTES);
        let (mut node, peer, hash) = world.node("node", &bytes);
        world.client_key("client.key", "10");
        let scene = Self { world, bytes, hash, peer };
        let mut fetch = Running::start(scene.fetch());
        fetch.event("voucher");
        fetch.event("voucher");
        fetch.signal("KILL");
        fetch.end();
        node.event("voucher");
        node.signal("KILL");
        node.end();
        scene
    }

    fn fetch(&self) -> std::process::Command {
        let more = ["--voucher-cadence-mb", "1", "--json", "-o", "got", "--log", "error"];
        self.world.fetch(&self.hash, &self.peer, &more)
    }

    fn addr(&self) -> &str {
        self.peer.split_once('@').expect("a peer").1
    }

    /// The purchase ends well, with nothing bought twice but what was in transit.
    fn goes_on(&self) {
        let world = &self.world;
        let _node = world.node_again("node", self.addr());
        let output = self.fetch().output().expect("runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(world.read("got") == self.bytes);
        world.settle();
        let (left, earned) = (world.balance("client.key"), world.balance("node.key"));
        assert_eq!(left + earned, PURSE, "not a base unit is missing");
        assert!((price(BYTES)..=price(BYTES + OFFER) + 2).contains(&earned), "{earned}");
    }
}

/// What may have become of a file, and what the refusal says.
type Damage = (&'static str, fn(&mut Vec<u8>), &'static [&'static str]);

const DAMAGES: &[Damage] = &[
    ("records.redb", |file| file[3] ^= 1, &["records.redb is damaged", "put back"]),
    // Where redb keeps its two last commits.
    ("records.redb", |file| file[64..320].fill(0), &["records.redb is damaged"]),
    ("records.redb", |file| file[4_096..].iter_mut().for_each(|byte| *byte ^= 0x40), &["records.redb"]),
    ("records.redb", |file| file.truncate(file.len() / 2), &["records.redb is damaged"]),
    ("records.redb", |file| file.truncate(100), &["records.redb"]),
    ("records.redb", Vec::clear, &["records.redb is empty, and there were"]),
    ("records.mark", Vec::clear, &["records.mark is missing or damaged", "newest"]),
    ("records.mark", |file| file.fill(7), &["records.mark is missing or damaged"]),
];

/// Every damage to the records in `dir`, each followed by `start`, which has to refuse it. Leaves them whole.
fn damage(world: &World, dir: &str, mut start: impl FnMut() -> std::process::Output) {
    for (name, change, names) in DAMAGES {
        let path = format!("{dir}/{name}");
        let whole = ["redb", "mark"].map(|part| (part, world.read(&format!("{dir}/records.{part}"))));
        let mut bad = world.read(&path);
        change(&mut bad);
        world.write(&path, &bad);
        refused(&start(), 1, &[&[dir][..], names].concat());
        for (part, whole) in whole {
            world.write(&format!("{dir}/records.{part}"), &whole);
        }
    }
}

#[test]
fn v3_a_client_with_damaged_records_signs_nothing() {
    let scene = Scene::killed();
    let world = &scene.world;
    let node = world.node_again("node", scene.addr()).0;
    let before = world.balance("client.key");
    damage(world, "client.state", || scene.fetch().output().expect("runs"));
    damage(world, "client.state", || world.run(&["client", "channels", "--state-dir", "client.state"]));
    // An older copy: its vouchers are with the node already.
    let copy = world.read("client.state/records.redb");
    let mut fetch = Running::start(scene.fetch());
    fetch.event("voucher");
    fetch.signal("KILL");
    fetch.end();
    let newest = world.read("client.state/records.redb");
    world.write("client.state/records.redb", &copy);
    let old = scene.fetch().output().expect("runs");
    refused(&old, 1, &["client.state/records.redb is damaged or an old copy", "was there already"]);
    world.write("client.state/records.redb", &newest);
    assert_eq!(world.balance("client.key"), before, "nothing moved on chain");
    drop(node);
    scene.goes_on();
}

#[test]
fn x1_a_client_that_starts_over_closes_what_it_finds_and_loses_nothing_but_what_it_owes() {
    let scene = Scene::killed();
    let world = &scene.world;
    let node = world.node_again("node", scene.addr()).0;
    world.write("client.state/records.redb", b"");
    refused(
        &scene.fetch().output().expect("runs"),
        1,
        &["start over in another one", "decdn client monitor"],
    );
    // It knows no voucher, so it closes at zero; the node knows better.
    let monitor = Running::start(world.monitor("new.state"));
    monitor.event("watching");
    monitor.event("channel_found");
    world.warp(120);
    let disputed = node.event("disputed");
    world.end_settled(monitor);
    let owed: u128 = disputed["amount"].as_str().expect("text").parse().expect("a number");
    assert!(owed > 0, "a voucher was with it");
    assert_eq!((world.balance("client.key"), world.balance("node.key")), (PURSE - owed, owed));
}

#[test]
fn x1_a_monitor_ends_once_the_chain_was_read_and_holds_no_channel() {
    let world = World::new();
    world.client_key("client.key", "1");
    let mut monitor = Running::start(world.monitor("new.state"));
    monitor.event("watching");
    assert_eq!(monitor.event("done")["settled"], 0);
    assert_eq!(monitor.end(), Some(0));
}

#[test]
fn v3_a_node_with_damaged_records_serves_nothing() {
    let scene = Scene::killed();
    let world = &scene.world;
    let run = || world.node_command("node", scene.addr()).output().expect("runs");
    damage(world, "node.state", run);
    // An older copy: what it lacks was acknowledged, and is worth money.
    let copy = world.read("node.state/records.redb");
    let mut node = world.node_again("node", scene.addr()).0;
    let mut fetch = Running::start(scene.fetch());
    node.event("voucher");
    for party in [&mut node, &mut fetch] {
        party.signal("KILL");
        party.end();
    }
    let newest = world.read("node.state/records.redb");
    world.write("node.state/records.redb", &copy);
    refused(&run(), 1, &["node.state/records.redb is damaged or an old copy", "was there already"]);
    world.write("node.state/records.redb", &newest);
    scene.goes_on();
}

#[test]
fn d14_content_that_was_damaged_after_it_was_bought_is_not_delivered() {
    let scene = Scene::killed();
    let world = &scene.world;
    let node = world.node_again("node", scene.addr()).0;
    let kept = fs::read_dir(world.path("client.state/downloads"))
        .expect("there")
        .next()
        .expect("one")
        .expect("ours");
    let mut bad = fs::read(kept.path()).expect("there");
    bad[5] ^= 1;
    fs::write(kept.path(), bad).expect("writable");
    let output = scene.fetch().output().expect("runs");
    refused(&output, 1, &["client.state/downloads/", "damaged on the disk", "buy the content anew"]);
    assert!(!world.path("got").exists());
    let output = scene.fetch().output().expect("runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(world.read("got") == scene.bytes);
    drop(node);
}
