//! The thinnest thread: an honest download on the ideal rung.

use decdn_sim::{decide::Decisions, run::run, rung::Rung, scenario, sweep::unequal};

#[test]
fn d5_an_honest_download_is_paid_to_the_base_unit_and_settles() {
    let all = scenario::all(&scenario::folder()).expect("the scenarios are well-formed");
    let honest = scenario::find(&all, "delivery/honest-fetch").expect("the baseline exists");
    for seed in 0..50 {
        let outcome = run(honest, Rung::Ideal, Decisions::seeded(seed), None);
        assert_eq!(outcome.violations, [], "seed {seed}");
        assert!(outcome.ran.rules.is_empty(), "seed {seed}: {:?}", outcome.ran.rules);
    }
}

#[test]
fn o13_the_same_decisions_give_the_same_run() {
    let all = scenario::all(&scenario::folder()).expect("the scenarios are well-formed");
    for scenario in &all {
        let mut decide = Decisions::seeded(7);
        decide.keep_log();
        let first = run(scenario, Rung::Ideal, decide, None);
        let again = run(scenario, Rung::Ideal, Decisions::recorded(first.decisions.log().to_vec()), None);
        assert_eq!(first.ran.digest, again.ran.digest, "{}", scenario.name);
        assert!(!again.decisions.is_off_script(), "{}", scenario.name);
    }
}

#[test]
fn both_rungs_end_the_same_for_every_scenario() {
    let all = scenario::all(&scenario::folder()).expect("the scenarios are well-formed");
    for scenario in &all {
        for seed in 0..3 {
            let ideal = run(scenario, Rung::Ideal, Decisions::seeded(seed), None);
            let real = run(scenario, Rung::Real, Decisions::seeded(seed), None);
            let name = format!("{} seed {seed}", scenario.name);
            assert_eq!(unequal(&ideal, &real), None, "{name}");
            assert_eq!(ideal.ran.steps, real.ran.steps, "{name}");
            assert_eq!(real.violations, [], "{name}");
        }
    }
}

#[test]
fn any_byte_string_is_a_run() {
    let all = scenario::all(&scenario::folder()).expect("the scenarios are well-formed");
    for scenario in &all {
        for bytes in [vec![], vec![0xff; 64], (0..=255).cycle().take(4_096).collect::<Vec<u8>>()] {
            let first = run(scenario, Rung::Ideal, Decisions::bytes(bytes.clone()), None);
            let again = run(scenario, Rung::Ideal, Decisions::bytes(bytes), None);
            assert_eq!(first.ran.digest, again.ran.digest, "{}", scenario.name);
        }
    }
}
