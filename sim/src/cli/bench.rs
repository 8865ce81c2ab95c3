//! `cargo sim bench`: the kernel's ping-pong beside madsim's and turmoil's. The rivals are programs of their own, built
//! on first use: madsim's simulation replaces the runtime of a whole build.
#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::float_arithmetic, reason = "figures to print")]

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{Bad, BenchArgs, Verdict, out::say, out::tell};
use crate::pingpong;

/// Hosts, two a pair.
const HOSTS: u8 = 100;
/// Messages of each pair: so many that each simulator works for a second or more.
const MESSAGES: [(Who, u64); 3] = [(Who::Kernel, 100_000), (Who::Madsim, 40_000), (Who::Turmoil, 400)];

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Who {
    Kernel,
    Madsim,
    Turmoil,
}

impl Who {
    fn name(self) -> &'static str {
        match self {
            Self::Kernel => "this simulator",
            Self::Madsim => "madsim",
            Self::Turmoil => "turmoil",
        }
    }
}

/// What a rival prints.
#[derive(Deserialize)]
struct Told {
    nanos: u64,
}

#[derive(Serialize)]
struct Line {
    simulator: Who,
    messages: u64,
    messages_per_second: u64,
    /// The kernel's rate over this one's.
    kernel_over_this: f64,
}

pub(super) fn bench(args: &BenchArgs) -> Result<Verdict, Bad> {
    let rivals = Rivals::build()?;
    let pairs = HOSTS / 2;
    let mut rates: [Vec<u64>; 3] = Default::default();
    for round in 0..args.rounds {
        tell!("round {} of {}", round + 1, args.rounds);
        for ((who, messages), rates) in MESSAGES.iter().zip(&mut rates) {
            let seed = u64::from(round);
            let nanos = match who {
                Who::Kernel => {
                    let start = Instant::now();
                    pingpong::play(pairs, *messages, seed);
                    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
                }
                Who::Madsim => play(&rivals.madsim, pairs, *messages, seed)?,
                Who::Turmoil => play(&rivals.turmoil, pairs, *messages, seed)?,
            };
            let played = u128::from(*messages) * u128::from(pairs);
            rates.push(u64::try_from(played * 1_000_000_000 / u128::from(nanos.max(1))).unwrap_or(u64::MAX));
        }
    }
    let medians = rates.map(|mut rates| {
        rates.sort_unstable();
        rates[rates.len() / 2].max(1)
    });
    let lines = MESSAGES.iter().zip(medians).map(|(&(simulator, each), messages_per_second)| Line {
        simulator,
        messages: each * u64::from(pairs),
        messages_per_second,
        kernel_over_this: medians[0] as f64 / messages_per_second as f64,
    });
    if args.json {
        for line in lines {
            say!("{}", serde_json::to_string(&line)?);
        }
        return Ok(Verdict::Held);
    }
    let rounds = args.rounds;
    say!("{HOSTS} hosts in pairs, one message to and fro in each, 1 to 10 ms one way; medians of {rounds}");
    say!("{:<18}{:>14}{:>22}", "", "messages/s", "this simulator ÷ it");
    for line in lines {
        let ratio = line.kernel_over_this;
        say!("{:<18}{:>14}{ratio:>22.1}", line.simulator.name(), line.messages_per_second);
    }
    Ok(Verdict::Held)
}

/// The rivals' programs.
struct Rivals {
    madsim: PathBuf,
    turmoil: PathBuf,
}

impl Rivals {
    fn build() -> Result<Self, Bad> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        if !root.join("sim/rivals/Cargo.toml").is_file() {
            let root = root.display();
            return Err(Bad(format!(
                "the rivals' sources are not in {root}; run this from a complete checkout."
            )));
        }
        // Where cargo is told to build from anywhere, it is told here as well.
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) => std::path::absolute(PathBuf::from(target))?,
            None => root.join("target"),
        };
        tell!("building the rivals; the first time takes a minute or two");
        Ok(Self {
            turmoil: build(&root, "turmoil", &target, None)?,
            madsim: build(&root, "madsim", &target.join("madsim"), Some("--cfg madsim"))?,
        })
    }
}

fn build(root: &Path, name: &str, target: &Path, flags: Option<&str>) -> Result<PathBuf, Bad> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--package", "decdn-sim-rivals", "--bin", name]);
    command.current_dir(root).arg("--target-dir").arg(target);
    if let Some(flags) = flags {
        command.env("RUSTFLAGS", flags);
    }
    let status = command.status().map_err(|why| {
        Bad(format!("cargo can't be started ({why}); `cargo sim bench` builds its rivals with it."))
    })?;
    if !status.success() {
        return Err(Bad(format!("{name}'s ping-pong can't be built; what cargo says is above.")));
    }
    Ok(target.join("release").join(name))
}

/// Lets a rival play; how long it took.
fn play(program: &Path, pairs: u8, messages: u64, seed: u64) -> Result<u64, Bad> {
    let name = program.display();
    let mut command = Command::new(program);
    for (flag, value) in [("--pairs", u64::from(pairs)), ("--messages", messages), ("--seed", seed)] {
        command.arg(flag).arg(value.to_string());
    }
    let output = command.output().map_err(|why| {
        Bad(format!("{name} can't be started ({why}); remove it, and it will be built again."))
    })?;
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        let last = error.lines().last().unwrap_or_default();
        return Err(Bad(format!("{name} ended with {}: {last}.", output.status)));
    }
    let told: Told = serde_json::from_slice(&output.stdout)?;
    Ok(told.nanos)
}
