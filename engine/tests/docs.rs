//! Documents that list things list all of them: rules, scenarios.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Entries of a folder; none where there is no folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.map(|entry| entry.expect("a readable folder").path()).collect()
}

/// The variants of `fault::Rule`, read from its source: an enum can't be iterated.
fn rules() -> Vec<String> {
    let source = text("engine/src/fault.rs");
    let (_, body) = source.split_once("pub enum Rule {").expect("the enum of rules");
    let (body, _) = body.split_once("\n}").expect("its end");
    let variants = body.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    variants.map(|line| line.trim_end_matches(',').to_owned()).collect()
}

#[test]
fn every_rule_of_the_engine_is_stated_in_the_protocol() {
    let protocol = text("docs/protocol.md");
    let rules = rules();
    assert!(rules.len() > 20, "the enum was not read: {rules:?}");
    for rule in rules {
        // A rule is stated where its id is bold, in one place, and says behind it how far the code is.
        assert_eq!(protocol.matches(&format!("**{rule}**")).count(), 1, "{rule} is stated once");
        assert!(
            ["(built)", "(differs: ", "(not yet"]
                .iter()
                .any(|state| protocol.contains(&format!("**{rule}** {state}"))),
            "docs/protocol.md does not say how far {rule} is built"
        );
    }
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries(folder).into_iter().flat_map(below).collect()
}

#[test]
fn every_rule_of_the_engine_is_applied_somewhere() {
    let sources =
        files(&root().join("engine/src")).into_iter().map(|file| fs::read_to_string(file).expect("a source"));
    let code: String = sources.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    for rule in rules() {
        // A voucher's rules are applied as what a node may say about it.
        let applied = [format!("Rule::{rule}"), format!("RejectReason::{rule}")];
        let is_applied = |name: &String| {
            let ends =
                |(at, _): (usize, &str)| !code[at + name.len()..].starts_with(|c: char| c.is_ascii_digit());
            code.match_indices(name.as_str()).any(ends)
        };
        assert!(applied.iter().any(is_applied), "nothing in the engine applies {rule}");
    }
}

#[test]
fn every_scenario_is_listed_in_testing() {
    let mut there = BTreeSet::new();
    for theme in entries(&root().join("scenarios")) {
        for file in entries(&theme).iter().filter(|file| file.extension().is_some_and(|kind| kind == "toml"))
        {
            let name = file.with_extension("");
            let part = |path: &Path| path.file_name().map(|part| part.to_string_lossy().into_owned());
            let (theme, name) = (part(&theme).expect("a name"), part(&name).expect("a name"));
            there.insert(format!("{theme}/{name}"));
        }
    }
    let testing = text("TESTING.md");
    let (_, table) = testing.split_once("| scenario | shows |").expect("the table of scenarios");
    let rows = table.lines().filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(listed, there, "the table at the end of TESTING.md lists what is there, and nothing else");
}
