//! How fast the simulator is: engine steps per second on one core, digests and oracles on, and 48 hours with a
//! dispute. `cargo bench -p decdn-sim --bench kernel`
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]

use std::time::Instant;

use decdn_sim::{
    decide::Decisions,
    run::run,
    rung::Rung,
    scenario::{self, parse},
};

/// One client, one node, a gigabyte in vouchers of a megabyte.
const DOWNLOAD: &str = r#"
shows = "A large download."
[money]
rate = 1000
cadence_bytes = 1048576
offer_ceiling_bytes = 1048576
[[actors]]
name = "client"
part = "client"
[[actors]]
name = "node"
part = "node"
[[fetches]]
client = "client"
from = ["node"]
blob_bytes = 4294967296
"#;

fn main() {
    let download = parse("bench/download", "bench", DOWNLOAD).expect("well-formed");
    for round in 0..5 {
        let start = Instant::now();
        let outcome = run(&download, Rung::Ideal, Decisions::seeded(round), None);
        let wall = start.elapsed();
        let per_second = u128::from(outcome.ran.steps) * 1_000_000_000 / wall.as_nanos().max(1);
        println!("download: {} steps in {wall:?}, {per_second} steps/s", outcome.ran.steps);
        assert!(outcome.is_ok(), "{:?}", outcome.violations);
    }
    let all = scenario::all(&scenario::folder()).expect("the scenarios are well-formed");
    if let Ok(stale) = scenario::find(&all, "dispute/stale-close") {
        for seed in 0..5 {
            let start = Instant::now();
            let outcome = run(stale, Rung::Ideal, Decisions::seeded(seed), None);
            let hours = outcome.ran.time.0 / 3_600_000_000;
            println!("dispute: {hours} h, {} steps in {:?}", outcome.ran.steps, start.elapsed());
        }
    }
}
