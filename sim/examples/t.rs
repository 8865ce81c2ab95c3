use decdn_sim::{decide::Decisions, run, rung::Rung, scenario};
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
                println!("{:>12} {:?} <- {:.150?}", at.0, actor.0, input);
                for o in *outputs {
                    println!("{:>20} {:?} {:.150?}", "->", o.lane, o.effect);
                }
            }
            Included { tx, .. } => {
                println!("{:>12} INCLUDED {:.100?} {:?} {:?}", at.0, tx.call, tx.result, tx.predicted)
            }
            Lost { .. } | Crashed { .. } => println!("{:>12} {:?}", at.0, seen.kind()),
            _ => {}
        }
    }
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let all = scenario::all(&scenario::folder()).unwrap();
    let s = scenario::find(&all, &a[1]).unwrap();
    let seeds: u64 = a[3].parse().unwrap();
    let first: u64 = a[2].parse().unwrap();
    let mut steps = 0;
    let t = std::time::Instant::now();
    for seed in first..first + seeds {
        let rec: Option<Box<dyn decdn_sim::watch::Recorder>> =
            if a.len() > 4 { Some(Box::new(P)) } else { None };
        let o = run::run(s, Rung::Ideal, Decisions::seeded(seed), rec);
        steps += o.ran.steps;
        if seeds < 20 || !o.is_ok() || a.len() > 4 {
            println!(
                "{seed} steps {} time {} ok {} {:?} {:?} {:?} {:?}",
                o.ran.steps,
                o.ran.time.0 / 1000000,
                o.is_ok(),
                o.violations,
                o.probes,
                o.ran.rules,
                o.balances
            );
        }
    }
    println!("{steps} steps {:?}", t.elapsed());
}
