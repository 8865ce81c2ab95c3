//! Replays every committed input through its target, and tries some that nobody committed.

use std::{fs, path::Path};

use decdn_fuzz::{TARGETS, Target};
use proptest::{collection::vec, prelude::*};

fn target(name: &str) -> Target {
    TARGETS.iter().find(|(target, _)| *target == name).expect("a target by that name").1
}

/// The committed inputs of a target.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    decdn_fuzz::corpus(name).unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
}

#[test]
fn every_committed_input_is_answered_rightly() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for (path, input) in inputs {
            println!("{path}");
            target(&input);
        }
    }
}

#[test]
fn every_folder_of_the_corpus_has_a_target() {
    for folder in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")).expect("a corpus") {
        let name = folder.expect("a readable folder").file_name();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "{} is nobody's", name.display());
    }
}

/// A committed input with some bytes changed, or any bytes.
fn input(name: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let inputs: Vec<_> = corpus(name).into_iter().map(|(_, input)| input).collect();
    let changed = (prop::sample::select(inputs), vec((any::<prop::sample::Index>(), any::<u8>()), 0..6))
        .prop_map(|(mut input, changes)| {
            for (at, byte) in changes {
                let at = at.index(input.len() + 1);
                match input.get_mut(at) {
                    Some(place) => *place = byte,
                    None => input.push(byte),
                }
            }
            input
        });
    prop_oneof![3 => changed, 1 => vec(any::<u8>(), 0..300)]
}

proptest! {
    #[test]
    fn client(input in input("client")) {
        target("client")(&input);
    }

    #[test]
    fn node(input in input("node")) {
        target("node")(&input);
    }

    #[test]
    fn recording(input in input("recording")) {
        target("recording")(&input);
    }

    #[test]
    fn trace(input in input("trace")) {
        target("trace")(&input);
    }

    #[test]
    fn wire(input in input("wire")) {
        target("wire")(&input);
    }

    #[test]
    fn verifier(input in input("verifier")) {
        target("verifier")(&input);
    }
}
