use decdn_sim::{decide::Decisions, run, rung::Rung, scenario};
use std::collections::BTreeMap;
struct P;
impl decdn_sim::watch::Recorder for P {
    fn record(
        &mut self,
        at: decdn_engine::time::Time,
        seen: &decdn_sim::seen::Seen<'_>,
        _d: Option<decdn_engine::roles::Digest>,
    ) {
        use decdn_sim::seen::Seen::*;
        match seen {
            Step { actor, input, outputs, .. } => {
                println!("{:>12} {:?} <- {:.300?}", at.0, actor.0, input);
                for o in *outputs {
                    println!("{:>20} {:?} {:.300?}", "->", o.lane, o.effect);
                }
            }
            Included { tx, .. } => {
                println!("{:>12} INCLUDED {:.100?} {:?} {:?}", at.0, tx.call, tx.result, tx.predicted)
            }
            Lost { .. } | Crashed { .. } => println!("{:>12} {:?}", at.0, seen.kind()),
            _ => {}
        }
    }
    fn choices(&mut self, _: &[decdn_sim::decide::Choice]) {}
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let all = match scenario::all(&scenario::folder()) {
        Ok(a) => a,
        Err(e) => {
            println!("{e}");
            return;
        }
    };
    let first: u64 = a[2].parse().unwrap();
    let seeds: u64 = a[3].parse().unwrap();
    let names: Vec<&scenario::Scenario> =
        all.iter().filter(|s| a[1] == "all" || s.name.contains(&a[1])).collect();
    for s in names {
        let mut steps = 0;
        let t = std::time::Instant::now();
        let mut probes: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut bounds: BTreeMap<String, (u64, u64, u64)> = BTreeMap::new();
        let mut viol: BTreeMap<String, (u64, Vec<u64>, String)> = BTreeMap::new();
        let mut rules: BTreeMap<String, u64> = BTreeMap::new();
        let mut longest = (0, 0);
        for seed in first..first + seeds {
            let rec: Option<Box<dyn decdn_sim::watch::Recorder>> =
                if a.len() > 4 { Some(Box::new(P)) } else { None };
            let o = run::run(s, Rung::Ideal, Decisions::seeded(seed), rec);
            steps += o.ran.steps;
            for (k, v) in &o.probes {
                let e = probes.entry(k.clone()).or_default();
                e.0 += v;
                e.1 += 1;
            }
            for b in &o.bounds {
                let e = bounds.entry(b.name.clone()).or_default();
                if b.observed >= e.0 {
                    e.0 = b.observed;
                    e.1 = b.limit;
                    e.2 = seed;
                }
            }
            for (k, v) in &o.ran.rules {
                if std::env::var("RULE").is_ok_and(|r| r == format!("{k}")) {
                    println!("rule {k} seed {seed}");
                }
                *rules.entry(format!("{k}")).or_default() += v;
            }
            for v in &o.violations {
                let e = viol.entry(format!("{}/{}", v.oracle, v.rule)).or_default();
                e.0 += 1;
                if e.1.last() != Some(&seed) && e.1.len() < 12 {
                    e.1.push(seed);
                }
                if e.2.is_empty() {
                    e.2 = v.text.clone();
                }
            }
            if o.ran.time.0 > longest.0 {
                longest = (o.ran.time.0, seed);
            }
            if a.len() > 4 {
                println!("{:?}", o.ran.balances);
                println!("{:?}", o.bounds);
            }
        }
        println!(
            "== {} {} runs {} steps {:?} longest {} s (seed {})",
            s.name,
            seeds,
            steps,
            t.elapsed(),
            longest.0 / 1000000,
            longest.1
        );
        for p in &s.file.probes {
            if !probes.contains_key(p) {
                println!("   MISSING PROBE {p}");
            }
        }
        println!(
            "   probes {:?}",
            probes.iter().map(|(k, v)| format!("{k}:{}/{}", v.0, v.1)).collect::<Vec<_>>().join(" ")
        );
        println!("   rules {rules:?} bounds {:?}", bounds);
        for (k, v) in &viol {
            println!("   VIOLATION {k} x{} seeds {:?}: {}", v.0, v.1, v.2);
        }
    }
}
