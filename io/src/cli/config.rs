//! `decdn config`.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use clap::Subcommand;

use super::{Failure, failed, outcome::configured, talk};
use crate::config::{FILE_NAME, File, TEMPLATE};

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Write a configuration with every key and its default.
    Init {
        /// Where to put it, - for standard output; nothing is ever overwritten.
        #[arg(default_value = FILE_NAME)]
        file: PathBuf,
    },
    /// Check a configuration.
    Validate {
        /// Which.
        #[arg(default_value = FILE_NAME)]
        file: PathBuf,
    },
}

pub(super) fn run(command: &ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Init { file } if file == Path::new("-") => talk::data(TEMPLATE.as_bytes()),
        ConfigCommand::Init { file } => {
            let shown = file.display();
            let made = std::fs::File::options().write(true).create_new(true).open(file);
            let mut made = made.map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => Failure::Input(format!(
                    "{shown} exists already and is left as it is; name another file, or check it with `decdn config \
                     validate {shown}`"
                )),
                _ => failed(format!("{shown} can't be written: {error}; check path and permissions")),
            })?;
            made.write_all(TEMPLATE.as_bytes()).and_then(|()| made.sync_all()).map_err(|error| {
                failed(format!("{shown} can't be written: {error}; make room on the disk"))
            })?;
            talk::line(format_args!("{shown}: written"))
        }
        ConfigCommand::Validate { file } => {
            File::read(file).map_err(configured)?;
            talk::line(format_args!("{}: good", file.display()))
        }
    }
}
