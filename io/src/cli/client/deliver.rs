//! From a whole download to where its buyer wants it, with a receipt.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use decdn_engine::{
    ids::{BlobHash, ChannelId, FetchId},
    record::Paying,
};

use super::{
    super::{Failure, failed, outcome::input, talk},
    hear::Heard,
};
use crate::{
    chain::Token,
    receipt::{Hex, Paid, Receipt, Sold, VERSION},
    store::BlobStore,
    transport::Evidence,
};

/// Where content goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Output {
    Stdout,
    File(PathBuf),
}

impl Output {
    /// Checks, before anything is bought, that the content can go there.
    pub(super) fn choose(named: Option<PathBuf>, hash: BlobHash) -> Result<Self, Failure> {
        let path = match named {
            Some(path) if path == Path::new("-") => return Ok(Self::Stdout),
            Some(path) => path,
            None => PathBuf::from(hash.to_string()),
        };
        let shown = path.display();
        if path.exists() {
            return Err(input(format!("{shown} exists already and is left as it is; name another --output")));
        }
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !dir.is_dir() {
            let dir = dir.display();
            return Err(input(format!(
                "{dir} is no directory, so {shown} can't be made; make it, or name another --output"
            )));
        }
        Ok(Self::File(path))
    }

    /// Puts a whole download there.
    pub(super) fn deliver(&self, blobs: &BlobStore, fetch: FetchId) -> Result<(), Failure> {
        match self {
            Self::File(path) => blobs.finish(fetch, path).map_err(|error| {
                let kept = blobs.download_path(fetch);
                failed(format!(
                    "{} can't be written: {error}; the content is paid for and kept in {}: make room and run it again",
                    path.display(),
                    kept.display()
                ))
            }),
            Self::Stdout => {
                let path = blobs.close(fetch)?;
                let mut out = io::stdout().lock();
                io::copy(&mut fs::File::open(&path)?, &mut out).map_err(talk::unwritable)?;
                out.flush().map_err(talk::unwritable)?;
                fs::remove_file(path)?;
                Ok(())
            }
        }
    }
}

/// Whether a download that an earlier run left is whole: then nothing has to be bought.
pub(super) fn is_whole(blobs: &BlobStore, fetch: FetchId, hash: BlobHash) -> bool {
    let mut hasher = blake3::Hasher::new();
    let read =
        fs::File::open(blobs.download_path(fetch)).and_then(|file| hasher.update_reader(file).map(|_| ()));
    read.is_ok() && *hasher.finalize().as_bytes() == hash.0
}

/// The receipt of a purchase; `None` where nothing was bought in this run.
pub(super) fn receipt(
    hash: BlobHash,
    at: decdn_engine::crypto::Deployment,
    client: alloy_primitives::Address,
    token: &Token,
    heard: &Heard,
    evidence: &Evidence,
    channels: &[Paying],
) -> Option<Receipt> {
    let operator =
        |channel: ChannelId| channels.iter().find(|paying| paying.channel == channel).map(|p| p.operator);
    let mut agreements = Vec::new();
    let mut bytes = 0;
    for agreement in &evidence.agreements {
        let terms = &agreement.terms;
        if terms.hash != hash || !heard.used.contains(&terms.channel) {
            continue;
        }
        bytes = terms.total_bytes;
        agreements.push(Sold {
            node: Hex(terms.node.0),
            operator: operator(terms.channel)?,
            channel: Hex(terms.channel.0),
            offset_bytes: agreement.offset_bytes,
            rate_per_mb: terms.rate.0,
            max_rate_per_mb: terms.max_rate.0,
            timestamp_us: terms.timestamp.0,
            signature: Hex(agreement.signature.0),
        });
    }
    let mut payments = Vec::new();
    for (channel, voucher) in &evidence.vouchers {
        if !heard.used.contains(channel) {
            continue;
        }
        payments.push(Paid {
            channel: Hex(channel.0),
            operator: operator(*channel)?,
            amount_before: heard.before(*channel).0,
            amount: voucher.amount.0,
            nonce: voucher.nonce.0,
            signature: Hex(voucher.signature.0),
            consent: evidence.consents.get(channel).map(|consent| Hex(consent.0)),
        });
    }
    let paid = payments.iter().map(|paid| paid.amount.saturating_sub(paid.amount_before)).sum();
    let receipt = Receipt {
        version: VERSION,
        hash: Hex(hash.0),
        bytes,
        chain_id: at.chain_id,
        contract: at.payment_channel,
        judge: at.judge,
        client,
        token: token.address,
        symbol: token.symbol.clone(),
        decimals: token.decimals,
        paid,
        agreements,
        payments,
    };
    (!receipt.agreements.is_empty() && !receipt.payments.is_empty()).then_some(receipt)
}

/// Stores a receipt where it stays: in the state directory, one file per purchase.
pub(super) fn keep(receipt: &Receipt, dir: &Path) -> io::Result<PathBuf> {
    let dir = dir.join("receipts");
    fs::create_dir_all(&dir)?;
    let hash = alloy_primitives::hex::encode(receipt.hash.0);
    let nonce = receipt.payments.iter().map(|paid| paid.nonce).max().unwrap_or_default();
    let channel = receipt.payments.first().map(|paid| alloy_primitives::hex::encode(&paid.channel.0[..4]));
    let path = dir.join(format!("{hash}-{}-{nonce}.json", channel.unwrap_or_default()));
    let mut file = tempfile::NamedTempFile::new_in(&dir)?;
    serde_json::to_writer_pretty(&mut file, receipt).map_err(io::Error::other)?;
    writeln!(file)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    fs::File::open(&dir)?.sync_all()?;
    Ok(path)
}
