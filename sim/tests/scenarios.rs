//! The catalogue holds together, and no scenario changes what it does unseen: with seed 1, both rungs give the outcome
//! that `scenarios/snapshots` has on record. Accept a wanted change with `INSTA_UPDATE=always`, and read its diff.

use std::{collections::BTreeSet, fmt::Write as _, fs};

use decdn_sim::{adversary, decide::Decisions, run::run, rung::Rung, scenario, scenario::Scenario};

/// What no other scenario may take the place of.
const SPINE: &[&str] = &[
    "chain/censored-dispute",
    "chain/honest-sequencer",
    "delivery/crash-and-resume",
    "delivery/fast-stop",
    "delivery/honest-fetch",
    "delivery/long-fat-link",
    "delivery/lost-in-transit",
    "delivery/odd-offers",
    "delivery/one-bad-byte",
    "delivery/vanishing-node",
    "dispute/honest-close",
    "dispute/monitor-restart",
    "dispute/stale-close",
    "voucher/cadence-hop",
    "voucher/equal-nonce",
    "voucher/honest-payments",
    "voucher/nonce-jump",
    "voucher/shuffled-vouchers",
    "voucher/sign-then-crash",
];

fn all() -> Vec<Scenario> {
    scenario::all(&scenario::folder()).expect("the scenarios are well-formed")
}

#[test]
fn every_scenario_of_the_spine_is_there() {
    let all = all();
    for name in SPINE {
        assert!(all.iter().any(|scenario| scenario.name == *name), "{name}");
    }
}

#[test]
fn every_theme_has_a_baseline_without_adversary_or_fault() {
    let all = all();
    let is_calm = |scenario: &&Scenario| {
        let file = &scenario.file;
        let people = file.actors.iter().all(|actor| actor.plays.is_none() && actor.crash == 0);
        let links = file.links.iter().map(|pair| &pair.link).chain([&file.link]);
        let quiet =
            |link: &scenario::file::Link| link.life_ms.most() + u64::from(link.duplicate + link.delay) == 0;
        people && links.into_iter().all(quiet) && file.events.is_empty() && file.chain.sequencer.is_empty()
    };
    let themes: BTreeSet<&str> = all.iter().map(Scenario::theme).collect();
    let calm: BTreeSet<&str> = all.iter().filter(is_calm).map(Scenario::theme).collect();
    assert_eq!(themes, calm);
}

#[test]
fn every_scenario_says_what_it_shows_what_it_must_reach_and_why_its_bounds_hold() {
    for Scenario { name, file, .. } in all() {
        assert!(file.shows.ends_with('.') && file.shows.len() > 20, "{name}");
        assert!(!file.probes.is_empty() && !file.bounds.is_empty(), "{name}");
        for bound in &file.bounds {
            let says_who = bound.because.contains("exceed") || bound.because.contains("is lost");
            assert!(says_who, "{name}/{}", bound.name.name());
        }
        for lift in &file.lifts {
            assert!(!lift.because.is_empty(), "{name}");
        }
    }
}

#[test]
fn every_adversary_plays_somewhere() {
    let all = all();
    let playing: BTreeSet<&str> = all
        .iter()
        .flat_map(|scenario| &scenario.file.actors)
        .filter_map(|actor| actor.plays.map(|kind| kind.name))
        .collect();
    let known: BTreeSet<&str> = adversary::KINDS.iter().map(|kind| kind.name).collect();
    assert_eq!(playing, known);
}

#[test]
fn the_guide_lists_every_scenario() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../TESTING.md");
    let guide = fs::read_to_string(guide).expect("the guide is beside the crates");
    let rows = guide.lines().filter_map(|line| line.strip_prefix("| `"));
    let listed: BTreeSet<&str> = rows
        .filter_map(|row| row.split_once('`'))
        .map(|(name, _)| name)
        .filter(|name| name.contains('/'))
        .collect();
    let all = all();
    let there: BTreeSet<&str> = all.iter().map(|scenario| scenario.name.as_str()).collect();
    assert_eq!(listed, there);
}

/// What a reviewer sees of a run, equal on both rungs: gas, digests and times are not in it.
fn outcome(scenario: &Scenario, rung: Rung) -> String {
    let outcome = run(scenario, rung, Decisions::seeded(1), None);
    let mut text = String::new();
    let mut line = |args: std::fmt::Arguments<'_>| writeln!(text, "{args}").expect("a string takes all");
    for violation in &outcome.violations {
        line(format_args!("VIOLATION {} {}: {}", violation.oracle, violation.rule, violation.text));
    }
    for (who, amount) in &outcome.balances {
        line(format_args!("balance {who} {amount}"));
    }
    for (rule, count) in &outcome.ran.rules {
        line(format_args!("rule {rule} {count}"));
    }
    for (probe, count) in &outcome.probes {
        line(format_args!("probe {probe} {count}"));
    }
    for bound in &outcome.bounds {
        line(format_args!("bound {} {} of {}", bound.name, bound.observed, bound.limit));
    }
    text
}

/// Each scenario of a theme, on both rungs, against what is on record.
fn hold(theme: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../scenarios/snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for scenario in all().iter().filter(|scenario| scenario.theme() == theme) {
        let ideal = outcome(scenario, Rung::Ideal);
        assert_eq!(ideal, outcome(scenario, Rung::Real), "{}: the rungs differ", scenario.name);
        settings.set_description(&scenario.file.shows);
        settings.bind(|| insta::assert_snapshot!(scenario.name.replace('/', "-"), ideal));
    }
}

#[test]
fn delivery_does_what_it_did_on_both_rungs() {
    hold("delivery");
}

#[test]
fn voucher_does_what_it_did_on_both_rungs() {
    hold("voucher");
}

#[test]
fn weather_does_what_it_did_on_both_rungs() {
    hold("weather");
}

#[test]
fn dispute_does_what_it_did_on_both_rungs() {
    hold("dispute");
}

#[test]
fn chain_does_what_it_did_on_both_rungs() {
    hold("chain");
}
