//! The command line: what may be asked for, and how the program ends.
//!
//! Exit codes: 0 done; 1 failed; 2 bad input, which has to be changed first; 75 not now, the same command may work
//! later; 130 interrupted.

mod client;
mod config;
mod demo;
mod desk;
mod devnet;
mod key;
mod node;
mod outcome;
mod owner;
mod receipt;
mod settings;
mod source;
mod statement;
mod talk;
mod terms;

use std::{io::Write, path::PathBuf, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt, util::SubscriberInitExt};

use self::outcome::{Failure, failed};

/// A decentralised CDN: paid, verified delivery over QUIC.
///
/// Ends with 0 if done, 1 if it failed, 2 on bad input, 75 if the same command may work later, 130 if interrupted.
#[derive(Debug, Parser)]
#[command(name = "decdn", version, arg_required_else_help = true)]
struct Cli {
    /// What to log to standard error: error, warn, info, debug, or targets like warn,decdn=debug.
    #[arg(long, global = true, env = "DECDN_LOG", value_name = "LEVEL")]
    log: Option<Targets>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Buy a file from a node, byte by byte, on an embedded chain, and see a dishonest close put right.
    Demo(DemoArgs),
    /// Run the embedded chain with its contracts behind JSON-RPC, or steer one that runs.
    Devnet(devnet::DevnetArgs),
    /// Make keys, or show what is public of them.
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Print a file's BLAKE3 hash, by which it is bought.
    Hash {
        /// Which file.
        file: PathBuf,
    },
    /// Sell bytes.
    #[command(subcommand)]
    Node(node::NodeCommand),
    /// Buy bytes.
    #[command(subcommand)]
    Client(client::ClientCommand),
    /// Check receipts.
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    /// Make or check configuration files.
    #[command(subcommand)]
    Config(config::ConfigCommand),
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

/// Reads the command line, does it, and says how it ended.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    start_log(&cli);
    match start(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // With nobody to read it, the code still tells.
            let _ = writeln!(std::io::stderr(), "{failure}");
            failure.code()
        }
    }
}

/// Logs go to standard error. A node says what it does; everything else only what worries it.
fn start_log(cli: &Cli) {
    let usual = match cli.command {
        Command::Node(_) | Command::Devnet(_) => "error,decdn_io=info",
        _ => "error",
    };
    let targets = cli.log.clone().unwrap_or_else(|| usual.parse().expect("written here"));
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    // An error says that a log is installed already.
    let _ = tracing_subscriber::registry().with(targets).with(layer).try_init();
}

fn start(command: Command) -> Result<(), Failure> {
    match command {
        Command::Demo(args) => demo_in_a_folder(args),
        Command::Devnet(args) => on_runtime(devnet::run(args)),
        Command::Key(command) => key::run(&command),
        Command::Hash { file } => key::hash(&file),
        Command::Node(command) => on_runtime(outcome::until_careful(node::run(command))),
        Command::Client(command) => on_runtime(outcome::until_careful(client::run(command))),
        Command::Receipt(command) => receipt::run(&command),
        Command::Config(command) => config::run(&command),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "decdn", &mut script);
            talk::data(&script)
        }
    }
}

fn on_runtime(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    // What still writes to the disk may finish.
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    result
}

/// The demo's folder outlives everything that writes into it, so that nothing of it stays behind, however it ends.
fn demo_in_a_folder(args: DemoArgs) -> Result<(), Failure> {
    let home = tempfile::Builder::new().prefix("decdn-demo-").tempdir()?;
    let demo = demo::run(args.file, args.json, home.path().to_path_buf());
    let result = on_runtime(outcome::unless_interrupted(demo));
    home.close().map_err(|error| failed(format!("the demo's folder can't be removed: {error}"))).and(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
