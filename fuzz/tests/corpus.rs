//! Replays every committed input through its target, and tries some that nobody committed. This needs no fuzzer.

use std::{collections::BTreeSet, fs, path::Path};

use decdn_fuzz::TARGETS;
use proptest::{collection::vec, prelude::*, sample, test_runner::TestRunner};

/// Changed inputs that are tried per target: libFuzzer does this better, this is for those who have only cargo.
const CHANGED: u32 = 40;
/// What a target's committed inputs may come to, so that replaying them stays a matter of seconds.
const FILES_MAX: usize = 500;
const BYTES_MAX: usize = 500_000;

/// The committed inputs of a target.
fn corpus(name: &str) -> Vec<(String, Vec<u8>)> {
    decdn_fuzz::corpus(name).unwrap_or_else(|error| panic!("corpus/{name}: {error}"))
}

/// The names in a folder of this crate, without an extension.
fn names(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).expect("there");
    let name = |path: &Path| path.file_stem().expect("a name").to_str().expect("plain").to_owned();
    files.map(|file| name(&file.expect("readable").path())).collect()
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
fn corpora_are_small() {
    for (name, _) in TARGETS {
        let inputs = corpus(name);
        let bytes: usize = inputs.iter().map(|(_, input)| input.len()).sum();
        assert!(
            inputs.len() <= FILES_MAX && bytes <= BYTES_MAX,
            "{name}: {} files, {bytes} bytes",
            inputs.len()
        );
    }
}

#[test]
fn every_target_has_a_fuzzer_and_a_corpus_and_there_are_no_others() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("fuzz_targets"), targets);
    let manifest = include_str!("../Cargo.toml");
    for name in targets {
        let fuzzer = fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets").join(format!("{name}.rs")),
        );
        assert!(fuzzer.expect("readable").contains(&format!("decdn_fuzz::{name}(input)")), "{name}");
        let bin = format!("[[bin]]\nname = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"\n");
        assert!(manifest.contains(&bin), "{name}");
    }
}

/// A committed input with some bytes changed, or any bytes.
fn near(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = vec((any::<sample::Index>(), any::<u8>()), 0..6);
    let changed = (sample::select(inputs), changes).prop_map(|(mut input, changes)| {
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

#[test]
fn what_is_near_a_committed_input_is_answered_rightly() {
    for (name, target) in TARGETS {
        let inputs = corpus(name).into_iter().map(|(_, input)| input).collect();
        let mut runner = TestRunner::new(ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::with_cases(CHANGED)
        });
        let outcome = runner.run(&near(inputs), |input| {
            target(&input);
            Ok(())
        });
        if let Err(why) = outcome {
            panic!("{name}: {why}");
        }
    }
}
