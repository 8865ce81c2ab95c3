//! What can be typed.

use std::path::PathBuf;

use clap::{
    Parser, Subcommand, ValueEnum,
    error::{ContextKind, ErrorKind},
};
use clap_complete::Shell;

use crate::rung::Rung;

/// The deterministic simulator. Without a command: every scenario on the real rung, then a short ideal sweep of each.
#[derive(Debug, Parser)]
#[command(name = "cargo sim", bin_name = "cargo sim", disable_help_subcommand = true)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Name every scenario and say what it shows
    List {
        /// One JSON object per scenario
        #[arg(long)]
        json: bool,
    },
    /// Make one run
    Run(RunArgs),
    /// Make many runs
    Sweep(SweepArgs),
    /// Find the value at which an oracle begins to speak: 0 found, 1 no border there, 2 bad input
    Border(BorderArgs),
    /// Make a traced run again and compare every line; or tell a recorded client or node again what it was told
    Replay {
        /// The trace, or the recording
        file: PathBuf,
        /// Write the full trace of the run here
        #[arg(long, value_name = "FILE")]
        trace: Option<PathBuf>,
        /// One line per transition
        #[arg(short, long)]
        verbose: bool,
    },
    /// Find the first difference between two traces, or two recordings
    Diff {
        /// One of them
        a: PathBuf,
        /// The other
        b: PathBuf,
    },
    /// Measure the kernel beside madsim and turmoil
    Bench(BenchArgs),
    /// Write completions for a shell to stdout
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// What differs from the scenario's file.
#[derive(Debug, clap::Args)]
pub(super) struct Changes {
    /// Set a value, as the scenario's file would: `chain.window_hours=24`, `actors.node.poll_secs=5`, `events.0.at_ms=0`,
    /// `money.rate={min=1,max=9}`. Actors go by name, what has none by its number from 0. May be given again
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Run every combination of these values, and show a row for each. May be given again
    #[arg(long, value_name = "KEY=A,B,C")]
    pub(super) grid: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The scenario: theme/name, or the path of a file that ends in .toml
    pub(super) name: String,
    /// What the run's choices are drawn from
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Symbols, or curves and bytecode
    #[arg(long, value_enum, default_value_t = RungName::Real)]
    pub(super) rung: RungName,
    #[command(flatten)]
    pub(super) changes: Changes,
    /// Write the full trace here
    #[arg(long, value_name = "FILE", conflicts_with = "grid")]
    pub(super) trace: Option<PathBuf>,
    /// One JSON object, with what was drawn and who holds what at the end
    #[arg(long)]
    pub(super) json: bool,
    /// Comma-separated values: a row per run, or per combination of a grid
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
    /// What decided about money, and who lost what, why
    #[arg(long, conflicts_with_all = ["json", "csv", "verbose", "grid"])]
    pub(super) story: bool,
    /// One line per transition
    #[arg(short, long, conflicts_with_all = ["csv", "grid"])]
    pub(super) verbose: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SweepArgs {
    /// The scenarios: theme/name, or paths of files that end in .toml; all without
    pub(super) names: Vec<String>,
    /// How many runs of each
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub(super) seeds: u64,
    /// On how many threads; one per core without
    #[arg(long, value_parser = parse_jobs)]
    pub(super) jobs: Option<usize>,
    /// Begin no run after so many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) seconds: Option<u64>,
    /// Symbols, or curves and bytecode
    #[arg(long, value_enum, default_value_t = RungName::Ideal)]
    pub(super) rung: RungName,
    #[command(flatten)]
    pub(super) changes: Changes,
    /// One JSON object per run
    #[arg(long)]
    pub(super) json: bool,
    /// Comma-separated values: a row per run, or per combination of a grid
    #[arg(long, conflicts_with = "json")]
    pub(super) csv: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct BorderArgs {
    /// The scenario: theme/name, or the path of a file that ends in .toml
    pub(super) name: String,
    /// What is varied: a key as in `--set`
    pub(super) key: String,
    /// The two values to search between: an oracle has to speak at one and be silent at the other
    #[arg(long, num_args = 2, required = true, value_names = ["A", "B"])]
    pub(super) between: Vec<u64>,
    /// Listen to this oracle alone
    #[arg(long, value_name = "ORACLE")]
    pub(super) oracle: Option<String>,
    /// How many runs say that a value is silent
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(super) seeds: u64,
    /// On how many threads; one per core without
    #[arg(long, value_parser = parse_jobs)]
    pub(super) jobs: Option<usize>,
    /// Symbols, or curves and bytecode
    #[arg(long, value_enum, default_value_t = RungName::Ideal)]
    pub(super) rung: RungName,
    /// Set another value, as in `run`
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// One JSON object
    #[arg(long)]
    pub(super) json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct BenchArgs {
    /// How often each is measured; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub(super) rounds: u32,
    /// One JSON object per simulator
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=256) => Ok(jobs),
        _ => Err("give a number from 1 to 256".to_owned()),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RungName {
    /// Symbols
    Ideal,
    /// Curves, bytes and bytecode
    Real,
}

impl From<RungName> for Rung {
    fn from(name: RungName) -> Self {
        match name {
            RungName::Ideal => Self::Ideal,
            RungName::Real => Self::Real,
        }
    }
}

/// What clap found wrong, in one sentence.
pub(super) fn sentence(error: &clap::Error) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let argument = context(ContextKind::InvalidArg).unwrap_or_else(|| "an argument".to_owned());
    let value = context(ContextKind::InvalidValue).unwrap_or_default();
    let help = "`cargo sim --help` shows what there is";
    match error.kind() {
        ErrorKind::UnknownArgument => format!("there is no {argument} here; {help}."),
        ErrorKind::InvalidSubcommand => {
            let command = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("there is no command {command:?}; {help}.")
        }
        ErrorKind::InvalidValue if value.is_empty() => format!("{argument} needs a value; {help}."),
        ErrorKind::InvalidValue => {
            let options = context(ContextKind::ValidValue).unwrap_or_default();
            format!("{argument} can't be {value:?}; give one of {options}.")
        }
        ErrorKind::ValueValidation => {
            let why = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
            format!("{argument} can't be {value:?} ({why}); give a number in range.")
        }
        ErrorKind::MissingRequiredArgument => format!("{argument} is missing; {help}."),
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            format!("{}; {help}.", first.trim_start_matches("error: "))
        }
    }
}
