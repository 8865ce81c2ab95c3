//! `cargo sim`: see `decdn_sim::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    decdn_sim::cli::main()
}
