//! The program `decdn`.

fn main() -> std::process::ExitCode {
    decdn_io::cli::run()
}
