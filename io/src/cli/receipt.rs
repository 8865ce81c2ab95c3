//! `decdn receipt`.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use decdn_engine::money::Amount;
use serde_json::json;

use super::{Failure, outcome::input, settings::readable, talk};
use crate::{config::in_tokens, receipt::Receipt};

/// The largest receipt that is read.
const FILE_BYTES_MAX: u64 = 16 << 20;

#[derive(Debug, Subcommand)]
pub(super) enum ReceiptCommand {
    /// Check a receipt's signatures and sums, without a network.
    Verify {
        /// Which.
        file: PathBuf,
        /// Also check that this is the content it is about.
        #[arg(long)]
        content: Option<PathBuf>,
        /// Print one JSON object instead of text.
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn run(command: &ReceiptCommand) -> Result<(), Failure> {
    let ReceiptCommand::Verify { file, content, json } = command;
    let receipt = read(file)?;
    let shown = file.display();
    receipt.verify().map_err(|flaw| {
        Failure::Failed(format!("receipt {shown} proves nothing: {flaw}; ask for the original"))
    })?;
    if let Some(path) = content {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(readable(path)?)?;
        if *hasher.finalize().as_bytes() != receipt.hash.0 {
            let content = path.display();
            return Err(Failure::Failed(format!(
                "{content} is not the content that receipt {shown} is about"
            )));
        }
    }
    let hash = alloy_primitives::hex::encode(receipt.hash.0);
    let paid = in_tokens(Amount(receipt.paid), receipt.decimals);
    if *json {
        return talk::line(json!({
            "ok": true, "hash": hash, "bytes": receipt.bytes, "paid": receipt.paid.to_string(),
            "symbol": receipt.symbol, "client": receipt.client, "agreements": receipt.agreements.len(),
            "payments": receipt.payments.len(),
        }));
    }
    let mut text = format!(
        "{shown}: good\n  {} bytes with hash {hash}\n  {paid} {} paid by {} on chain {}",
        receipt.bytes, receipt.symbol, receipt.client, receipt.chain_id
    );
    for paid in &receipt.payments {
        let node = receipt.agreements.iter().find(|sold| sold.channel == paid.channel);
        let node = node.map(|sold| alloy_primitives::hex::encode(sold.node.0)).unwrap_or_default();
        let part = in_tokens(Amount(paid.amount.saturating_sub(paid.amount_before)), receipt.decimals);
        let end = if paid.consent.is_some() { "final, signed by both" } else { "signed by the client" };
        text += &format!("\n  {part} to {} (node {node}): {end}", paid.operator);
    }
    talk::line(text)
}

fn read(path: &Path) -> Result<Receipt, Failure> {
    let shown = path.display();
    let file = readable(path)?;
    if file.metadata()?.len() > FILE_BYTES_MAX {
        return Err(input(format!("{shown} is above 16 MiB, so it is no receipt; name another file")));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text)?;
    Receipt::parse(&shown.to_string(), &text).map_err(input)
}
