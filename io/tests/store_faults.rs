//! Disks that fail under the real program, at any of the moments at which it uses them: it stops with a sentence, nothing
//! that it said is lost, and once the fault is gone it goes on with exact money.

mod world;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

use serde_json::Value;
use world::{Running, World, content, one_sentence, price, refused};

const BYTES: usize = 6 << 20;
/// The offer of a fetch here: what may be lost in transit at each stop (D8).
const OFFER: usize = 1 << 20;
/// What a client starts with.
const PURSE: u128 = 100_000_000;
/// Errors of a disk: it fails; it is read-only.
const EIO: i32 = 5;
const EROFS: i32 = 30;
/// More of these operations than a run has.
const MOMENTS_MAX: usize = 2_000;

/// The library that stands between the program and its disk.
fn shim() -> &'static Path {
    static SHIM: OnceLock<PathBuf> = OnceLock::new();
    SHIM.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/shim.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{}.so", std::process::id()));
        let built =
            Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).args([&library, &source]).status();
        assert!(built.expect("a C compiler, as in the README").success());
        library
    })
}

/// A disk of which an operation fails from some moment on, for files with this in their path.
#[derive(Clone, Copy)]
struct Fault {
    op: &'static str,
    file: &'static str,
    errno: i32,
    /// How many operations from one moment that is tried to the next.
    step: usize,
}

impl Fault {
    /// A command on such a disk.
    fn under(self, mut command: Command, spared: usize) -> Command {
        println!("{} of {} fails after {spared}", self.op, self.file);
        let fault = format!("{} {} {spared} {}", self.op, self.file, self.errno);
        command.env("LD_PRELOAD", shim()).env("DECDN_FAULT", fault);
        command
    }

    fn moments(self) -> impl Iterator<Item = usize> {
        (0..MOMENTS_MAX).step_by(self.step)
    }
}

fn fetch(world: &World, hash: &str, peer: &str) -> Command {
    world.fetch(hash, peer, &["--voucher-cadence-mb", "1", "--json", "-o", "got", "--log", "error"])
}

fn amount(value: &Value) -> u128 {
    value.as_str().expect("text").parse().expect("a number")
}

/// The highest voucher per channel that somebody told of.
#[derive(Default)]
struct Told(BTreeMap<String, u128>);

impl Told {
    fn note(&mut self, party: &Running) {
        for event in party.events().iter().filter(|event| event["event"] == "voucher") {
            let channel = event["channel"].as_str().expect("text").to_owned();
            let highest = self.0.entry(channel).or_default();
            *highest = amount(&event["amount"]).max(*highest);
        }
    }

    /// Vouchers that the node has are on the client's record (V3), unless their channels have settled.
    fn are_recorded(&self, world: &World) {
        let listed = world.ok(&["client", "channels", "--state-dir", "client.state", "--json"]);
        for channel in listed.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
            let told = self.0.get(channel["channel"].as_str().expect("text")).copied().unwrap_or_default();
            let recorded = amount(&channel["latest_voucher"]["amount"]);
            assert!(recorded >= told, "a voucher over {told} is with the node, {recorded} is on record");
        }
    }
}

/// The file is there, every channel settles, and what it cost is what it should, give or take what stops have lost.
fn is_bought(world: &World, bytes: &[u8], stops: usize, told: &Told) {
    assert!(world.read("got") == bytes);
    world.settle();
    let (left, earned) = (world.balance("client.key"), world.balance("node.key"));
    assert_eq!(left + earned, PURSE, "not a base unit is missing");
    assert!(earned >= told.0.values().sum(), "what was acknowledged is paid");
    let most = price(bytes.len()) + stops as u128 * (price(OFFER) + 1) + 1;
    assert!((price(bytes.len())..=most).contains(&earned), "{earned} for what costs {}", price(bytes.len()));
}

/// One purchase by a client whose disk fails at one moment after another, until none is left.
fn client_under(fault: Fault, code: Option<i32>) {
    let world = World::new();
    let bytes = content(BYTES);
    let (node, peer, hash) = world.node("node", &bytes);
    world.client_key("client.key", "100");
    let mut told = Told::default();
    for (stops, spared) in fault.moments().enumerate() {
        let output = fault.under(fetch(&world, &hash, &peer), spared).output().expect("runs");
        if output.status.success() {
            assert!(stops > 2, "it did fail at first");
            told.note(&node);
            return is_bought(&world, &bytes, stops, &told);
        }
        match code {
            Some(code) => {
                println!("{}", String::from_utf8_lossy(&output.stderr));
                refused(&output, code, &["client.state"]);
            }
            None => assert_eq!(output.status.code(), None, "killed by the fault"),
        }
        if world.path("got").exists() {
            // It failed after the delivery.
            told.note(&node);
            return is_bought(&world, &bytes, stops, &told);
        }
        told.note(&node);
        if world.path("client.state/version").exists() {
            told.are_recorded(&world);
        }
    }
    panic!("it never ended well");
}

/// One purchase from a node whose disk fails at one moment after another, until none is left.
fn node_under(fault: Fault, code: Option<i32>) {
    let world = World::new();
    let bytes = content(BYTES);
    let (mut node, peer, hash) = world.node("node", &bytes);
    let addr = peer.split_once('@').expect("a peer").1.to_owned();
    node.signal("INT");
    assert_eq!(node.end(), Some(130));
    world.client_key("client.key", "100");
    let mut told = Told::default();
    for (stops, spared) in fault.moments().enumerate() {
        let mut node = Running::start(fault.under(world.node_command("node", &addr), spared));
        let mut client = None;
        let ended = loop {
            if let Some(code) = node.ends_within(Duration::from_millis(5)) {
                break code;
            }
            let fetch = client.get_or_insert_with(|| Running::start(fetch(&world, &hash, &peer)));
            if let Some(code) = fetch.ends_within(Duration::from_millis(5)) {
                if world.path("got").exists() {
                    assert!(stops > 2, "it did fail at first");
                    told.note(&node);
                    return is_bought(&world, &bytes, stops, &told);
                }
                assert_eq!(code, Some(75), "the node was not there yet, or no more");
                client = None;
            }
        };
        assert_eq!(ended, code);
        told.note(&node);
        if code.is_some() {
            one_sentence(&node.said(), &["node.state"]);
        }
        if let Some(mut client) = client {
            client.signal("INT");
            assert!(matches!(client.end(), None | Some(0 | 75 | 130)), "whenever the signal came");
        }
        if world.path("got").exists() {
            let _node = world.node_again("node", &addr);
            return is_bought(&world, &bytes, stops + 1, &told);
        }
    }
    panic!("it never ended well");
}

#[test]
fn v3_a_client_whose_syncs_fail_stops_and_goes_on_later() {
    client_under(Fault { op: "sync", file: "client.state", errno: EIO, step: 4 }, Some(1));
}

#[test]
fn v3_a_client_whose_writes_fail_stops_and_goes_on_later() {
    client_under(Fault { op: "write", file: "client.state", errno: EIO, step: 43 }, Some(1));
}

#[test]
fn o12_a_client_that_dies_in_the_middle_of_a_write_goes_on() {
    client_under(Fault { op: "tear", file: "client.state/records", errno: EIO, step: 17 }, None);
}

#[test]
fn a_client_on_a_read_only_disk_says_so_and_buys_nothing_that_it_can_not_keep() {
    client_under(Fault { op: "open", file: "client.state", errno: EROFS, step: 1 }, Some(1));
}

#[test]
fn v3_a_node_whose_syncs_fail_stops_and_goes_on_later() {
    node_under(Fault { op: "sync", file: "node.state", errno: EIO, step: 4 }, Some(1));
}

#[test]
fn v3_a_node_whose_writes_fail_stops_and_goes_on_later() {
    node_under(Fault { op: "write", file: "node.state", errno: EIO, step: 11 }, Some(1));
}

#[test]
fn o12_a_node_that_dies_in_the_middle_of_a_write_goes_on() {
    node_under(Fault { op: "tear", file: "node.state/records", errno: EIO, step: 11 }, None);
}

#[test]
fn a_node_on_a_read_only_disk_says_so_and_does_not_run() {
    node_under(Fault { op: "open", file: "node.state", errno: EROFS, step: 1 }, Some(1));
}
