//! The command line: what may be asked for, and how the program ends.
//!
//! Exit codes: 0 done, 1 failed, 2 bad input.

mod bench;
mod demo;
mod source;
mod statement;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};

/// A decentralised CDN: paid, verified delivery over QUIC.
#[derive(Debug, Parser)]
#[command(name = "decdn", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Buy a file from a node, byte by byte, on an embedded chain, and see a dishonest close put right.
    Demo(DemoArgs),
    /// Measure.
    #[command(subcommand)]
    Bench(Bench),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct DemoArgs {
    /// The file to deliver; without it 256 MiB are generated, always the same.
    file: Option<PathBuf>,
    /// Print one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Paid delivery beside a bare iroh stream and iroh-blobs, in turns, over loopback.
    Delivery(BenchArgs),
}

#[derive(Debug, clap::Args)]
struct BenchArgs {
    /// Size of the delivered content.
    #[arg(long, default_value_t = 1_024, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    mib: u64,
    /// How often each is measured; the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=99))]
    rounds: u32,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// Why a command ended early.
#[derive(Debug)]
enum Failure {
    /// Bad input: one sentence that says what, where, and what to do.
    Input(String),
    /// Anything else.
    Failed(String),
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.to_string())
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::Failed(error.to_string())
}

/// Reads the command line, does it, and says how it ended.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Input(sentence)) => {
            eprintln!("error: {sentence}");
            ExitCode::from(2)
        }
        Err(Failure::Failed(sentence)) => {
            eprintln!("error: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<(), Failure> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match command {
        Command::Demo(args) => runtime()?.block_on(demo::run(args.file, args.json)),
        Command::Bench(Bench::Delivery(args)) => {
            runtime()?.block_on(bench::delivery(args.mib, args.rounds, args.json))
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "decdn", &mut std::io::stdout());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
