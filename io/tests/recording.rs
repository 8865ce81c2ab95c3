//! What a node and a client recorded is told to the engine again, to the same states.

mod world;

use std::path::Path;

use decdn_engine::{
    io::{Effect, Input},
    wire::{ClientMessage, Message},
};
use decdn_sim::trace::{self, Ending};
use world::{Running, World, content, price};

/// Inputs of a recording that reached the same states, what kind of end it has, and the amounts that were signed for.
fn told(path: &Path) -> (u64, Ending, Vec<u128>) {
    let mut amounts = Vec::new();
    let incident = trace::retell(path, |fed, outputs| {
        if let Input::Message { message: Message::Client(ClientMessage::Voucher(voucher)), .. } = &fed.input {
            amounts.push(voucher.amount.0);
        }
        for output in outputs {
            if let Effect::Send { message: Message::Client(ClientMessage::Voucher(voucher)), .. } =
                &output.effect
            {
                amounts.push(voucher.amount.0);
            }
        }
    })
    .unwrap_or_else(|wrong| panic!("{wrong}"));
    assert_eq!(incident.panicked, None);
    (incident.inputs, incident.ending, amounts)
}

#[test]
fn o13_what_both_sides_recorded_leads_to_the_same_states_again() {
    let world = World::new();
    let bytes = content((3 << 20) + 777);
    let (mut node, _, hash) = world.node("node", &bytes);
    node.signal("INT");
    assert_eq!(node.end(), Some(130));
    let recorded =
        ["node", "run", "--state-dir", "node.state", "--key-file", "node.key", "--listen", "127.0.0.1:0"];
    let mut command = world.command(&recorded);
    command.args(["--json", "--record", "node.recording"]);
    let mut node = Running::start(command);
    let peer = node.event("ready")["peer"].as_str().expect("text").to_owned();
    world.client_key("client.key", "10");
    let fetched =
        world.fetch(&hash, &peer, &["-o", "got", "--record", "client.recording"]).output().expect("runs");
    assert!(fetched.status.success(), "{}", String::from_utf8_lossy(&fetched.stderr));
    assert!(world.read("got") == bytes);
    node.signal("KILL");
    node.end();

    let (inputs, ending, sent) = told(&world.path("client.recording"));
    assert!(inputs > 10, "{inputs} inputs");
    assert_eq!(ending, Ending::Stopped);
    assert_eq!(sent.last(), Some(&price(bytes.len())), "the last voucher pays for everything");
    let (inputs, ending, taken) = told(&world.path("node.recording"));
    assert!(inputs > 10, "{inputs} inputs");
    assert_ne!(ending, Ending::Stopped, "it was killed");
    assert_eq!(taken.last(), sent.last());

    // No secret is in it: nothing of the key file but the NodeId, which is no secret.
    let keys = String::from_utf8(world.read("client.key")).expect("text");
    let node = world.ok(&["key", "show", "client.key", "--node"]);
    let secrets: Vec<&str> = keys
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == 64 && **word != *node)
        .collect();
    assert_eq!(secrets.len(), 2, "the key file holds two secrets in hex");
    let recording = String::from_utf8(world.read("client.recording")).expect("text");
    assert!(secrets.iter().all(|secret| !recording.contains(secret)), "a secret is in the recording");
    let again =
        world.fetch(&hash, &peer, &["-o", "other", "--record", "client.recording"]).output().expect("runs");
    assert!(!again.status.success());
}
