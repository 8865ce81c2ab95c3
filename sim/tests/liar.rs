//! Promise 3 of the chain view: one of three endpoints lies in every field for the whole run, and what everybody has at the end is as
//! without it (L4).

use decdn_sim::{decide::Decisions, run::run, rung::Rung, scenario};

const SEEDS: u64 = 24;

#[test]
fn l4_with_one_liar_among_three_endpoints_everybody_ends_with_what_it_has_without() {
    let all = scenario::all(&scenario::folder()).expect("the scenarios are well-formed");
    let lying = scenario::find(&all, "chain/lying-rpc").expect("it is there");
    let mut honest = lying.clone();
    for line in &mut honest.file.endpoints {
        line.wrong = scenario::file::Pin::Is(0);
    }
    let mut disputed_for_nothing = 0;
    for seed in 0..SEEDS {
        let [with, without] = [lying, &honest].map(|scenario| {
            let outcome = run(scenario, Rung::Ideal, Decisions::seeded(seed), None);
            assert_eq!(outcome.violations, [], "seed {seed}");
            outcome
        });
        assert_eq!(with.balances, without.balances, "seed {seed}");
        assert!(with.probes.contains_key("endpoint-wrong-while-open"), "seed {seed}: nobody lied");
        assert!(!without.probes.contains_key("endpoint-wrong-while-open"), "seed {seed}: somebody lied");
        disputed_for_nothing += u64::from(with.probes.contains_key("revert-NotClosing"));
    }
    assert!(
        disputed_for_nothing >= SEEDS / 3,
        "one suffices for a dispute, though it lies: {disputed_for_nothing}"
    );
}
