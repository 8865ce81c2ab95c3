//! Rules that broke once, each with the smallest scenario that shows it.

use decdn_engine::fault::Rule;
use decdn_sim::{decide::Decisions, run::run, rung::Rung, scenario::parse};

/// Several downloads at once over links whose streams overtake each other.
const AT_ONCE: &str = r#"
shows = "Several downloads begin at once on one connection."
[link]
latency_us = 20000
jitter_us = 40000
[[actors]]
name = "client"
part = "client"
[[actors]]
name = "node"
part = "node"
[[fetches]]
client = "client"
from = ["node"]
count = 4
blob_bytes = { min = 1, max = 1000000 }
"#;

#[test]
fn i3_the_request_that_arrives_first_proves_the_account_whatever_was_sent_first() {
    let scenario = parse("test/at-once", "test", AT_ONCE).expect("well-formed");
    for seed in 0..40 {
        let outcome = run(&scenario, Rung::Ideal, Decisions::seeded(seed), None);
        assert_eq!(outcome.ran.rules.get(&Rule::I3), None, "seed {seed}");
    }
}
