//! `decdn key` and `decdn hash`.

use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::{Failure, outcome::keyed, settings::readable, talk};
use crate::keys::Keys;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key file: a network key and an Ethereum key, readable by its owner only.
    New {
        /// Where to put it; nothing is ever overwritten.
        file: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
    /// Show what is public of a key file.
    Show {
        /// Which.
        file: PathBuf,
        /// Print one JSON object instead of text.
        #[arg(long, conflicts_with_all = ["node", "account"])]
        json: bool,
        /// Print the NodeId and nothing else.
        #[arg(long, conflicts_with = "account")]
        node: bool,
        /// Print the account's address and nothing else.
        #[arg(long)]
        account: bool,
    },
}

pub(super) fn run(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::New { file, json } => show(&Keys::create(file).map_err(keyed)?, *json),
        KeyCommand::Show { file, json, node, account } => {
            let keys = Keys::load(file).map_err(keyed)?;
            if *node {
                talk::line(keys.node())
            } else if *account {
                talk::line(keys.account())
            } else {
                show(&keys, *json)
            }
        }
    }
}

fn show(keys: &Keys, json: bool) -> Result<(), Failure> {
    let (node, account) = (keys.node().to_string(), keys.account());
    if json {
        talk::line(json!({ "node": node, "account": account }))
    } else {
        talk::line(format_args!("node     {node}\naccount  {account}"))
    }
}

/// Prints what a file's content is called.
pub(super) fn hash(path: &Path) -> Result<(), Failure> {
    let file = readable(path)?;
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file).map_err(|error| {
        Failure::Failed(format!("{} can't be read: {error}; check the disk", path.display()))
    })?;
    talk::line(hasher.finalize().to_hex())
}
