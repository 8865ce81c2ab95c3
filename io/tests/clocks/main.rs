//! X2: the program goes by the clocks that the machine has now, not by those that it had when it started. The real program runs under
//! a library that shifts what `clock_gettime` says.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

#[path = "../world/mod.rs"]
mod world;

use std::{fs::OpenOptions, os::unix::fs::FileExt, path::PathBuf, process::Command, time::Duration};

use decdn_engine::time::Now;
use decdn_recording::Line;
use world::{Running, World};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// The library, built with the C compiler that the README asks for.
fn shim(world: &World) -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clocks/shim.c");
    let library = world.path("shim.so");
    let mut command = Command::new("cc");
    command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).args([source, "-ldl"]);
    assert!(command.status().expect("a C compiler").success(), "the library is built");
    library
}

/// What the clocks are shifted by: realtime, monotonic, since boot.
fn shift(world: &World, shifts: [i64; 3]) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(world.path("shifts"))
        .expect("writable");
    let bytes: Vec<u8> = shifts.iter().flat_map(|micros| micros.to_le_bytes()).collect();
    file.write_all_at(&bytes, 0).expect("writable");
}

/// The clocks that the node was shown with its newest input.
fn newest(world: &World) -> Option<Now> {
    let text = String::from_utf8(world.read("node.rec")).ok()?;
    text.lines().rev().find_map(|line| {
        let body = line.get(decdn_recording::BODY_AT..)?;
        // Behind it the line's frame is closed.
        match serde_json::Deserializer::from_str(body).into_iter().next()?.ok()? {
            Line::Fed(fed) => Some(fed.at),
            _ => None,
        }
    })
}

/// Waits for an input that comes with clocks like these.
fn until(world: &World, what: &str, is_it: impl Fn(Now) -> bool) -> Now {
    for _ in 0..600 {
        if let Some(now) = newest(world).filter(|now| is_it(*now)) {
            return now;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} never came: {:?}", newest(world))
}

#[test]
fn x2_a_node_goes_by_the_clocks_that_the_machine_has_now() {
    let world = World::new();
    let library = shim(&world);
    shift(&world, [0, 0, 0]);
    world.node_key("node.key");
    let mut command = world.node_command("node", "127.0.0.1:0");
    command
        .args(["--record", "node.rec"])
        .env("LD_PRELOAD", &library)
        .env("CLOCK_SHIFTS", world.path("shifts"));
    let node = Running::start(command);
    node.event("ready");
    let first = until(&world, "the first input", |_| true);

    // A wall clock that is set back by six hours, and a minute later the chain is read again.
    shift(&world, [-6 * HOUR, MINUTE, MINUTE]);
    let behind = until(&world, "the next poll", |now| now.mono.0 >= first.mono.0 + MINUTE as u64);
    assert!(behind.wall.0 < first.wall.0 - 5 * HOUR as u64, "{first:?}, {behind:?}");

    // It is set right; the machine was suspended for an hour, for which its monotonic clock stood still: what was due meanwhile is
    // done.
    shift(&world, [0, MINUTE, HOUR]);
    let right = until(&world, "what was due", |now| now.mono.0 >= first.mono.0 + HOUR as u64);
    assert!(
        right.wall.0 >= first.wall.0 && right.wall.0 < first.wall.0 + 10 * MINUTE as u64,
        "{first:?}, {right:?}"
    );
}
