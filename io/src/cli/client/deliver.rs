//! From a whole download to where its buyer wants it, with a receipt.

use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use decdn_engine::{
    crypto::Deployment,
    ids::{BlobHash, ChannelId, FetchId},
    money::Amount,
    record::Paying,
};
use serde::{Deserialize, Serialize};

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

/// What earlier runs of a fetch have agreed on and paid: a receipt is for the whole purchase, however often it was
/// interrupted.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Earlier {
    agreements: Vec<Sold>,
    payments: Vec<Paid>,
    /// What channels had paid before the purchase began.
    before: Vec<(Hex<32>, String)>,
}

impl Earlier {
    fn path(dir: &Path, hash: BlobHash) -> PathBuf {
        dir.join("receipts").join(format!("{hash}.unfinished"))
    }

    /// Of a fetch that is not new. What can't be read is not there: the receipt then covers less.
    pub(super) fn read(dir: &Path, hash: BlobHash) -> Self {
        let text = fs::read(Self::path(dir, hash)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    pub(super) fn before(&self) -> impl Iterator<Item = (ChannelId, Amount)> + '_ {
        self.before
            .iter()
            .filter_map(|(channel, amount)| Some((ChannelId(channel.0), Amount(amount.parse().ok()?))))
    }

    pub(super) fn channels(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.agreements.iter().map(|sold| ChannelId(sold.channel.0))
    }

    /// With what was seen in this run.
    pub(super) fn and(mut self, hash: BlobHash, heard: &Heard, seen: &Evidence, channels: &[Paying]) -> Self {
        let of =
            |channel: ChannelId| channels.iter().find(|paying| paying.channel == channel).map(|p| p.operator);
        let earlier: Vec<Sold> = self.agreements.clone();
        let of_earlier =
            |channel: ChannelId| earlier.iter().find(|sold| sold.channel.0 == channel.0).map(|s| s.operator);
        for agreement in &seen.agreements {
            let terms = &agreement.terms;
            let Some(operator) = of(terms.channel).or_else(|| of_earlier(terms.channel)) else { continue };
            if terms.hash == hash && heard.used.contains(&terms.channel) {
                self.agreements.push(Sold {
                    node: Hex(terms.node.0),
                    operator,
                    channel: Hex(terms.channel.0),
                    offset_bytes: agreement.offset_bytes,
                    total_bytes: terms.total_bytes,
                    rate_per_mb: terms.rate.0,
                    max_rate_per_mb: terms.max_rate.0,
                    timestamp_us: terms.timestamp.0,
                    quote: (terms.quote != [0; 32]).then_some(Hex(terms.quote)),
                    signature: Hex(agreement.signature.0),
                });
            }
        }
        for (channel, voucher) in &seen.vouchers {
            let Some(operator) = of(*channel).or_else(|| of_earlier(*channel)) else { continue };
            if !heard.used.contains(channel) || voucher.amount <= heard.before(*channel) {
                continue;
            }
            let consent = seen.consents.get(channel).map(|consent| Hex(consent.0));
            self.payments.retain(|paid| paid.channel.0 != channel.0);
            self.payments.push(Paid {
                channel: Hex(channel.0),
                operator,
                amount_before: heard.before(*channel).0,
                amount: voucher.amount.0,
                nonce: voucher.nonce.0,
                signature: Hex(voucher.signature.0),
                consent,
            });
        }
        self.before =
            heard.used.iter().map(|used| (Hex(used.0), heard.before(*used).0.to_string())).collect();
        self
    }

    /// For the next run.
    pub(super) fn write(&self, dir: &Path, hash: BlobHash) -> io::Result<()> {
        let path = Self::path(dir, hash);
        let mut file = tempfile::NamedTempFile::new_in(receipts(dir)?)?;
        file.write_all(&serde_json::to_vec(self).map_err(io::Error::other)?)?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        Ok(())
    }

    /// The receipt of the whole purchase; `None` where nothing was bought.
    pub(super) fn receipt(
        &self,
        hash: BlobHash,
        at: Deployment,
        client: Address,
        token: &Token,
    ) -> Option<Receipt> {
        // An agreement on which nothing was paid is none that a receipt is about.
        let is_paid = |sold: &&Sold| self.payments.iter().any(|paid| paid.channel == sold.channel);
        let agreements: Vec<Sold> = self.agreements.iter().filter(is_paid).cloned().collect();
        let bytes = agreements.last()?.total_bytes;
        let paid = self.payments.iter().map(|paid| paid.amount.saturating_sub(paid.amount_before)).sum();
        Some(Receipt {
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
            payments: self.payments.clone(),
        })
    }
}

fn receipts(dir: &Path) -> io::Result<PathBuf> {
    let dir = dir.join("receipts");
    fs::create_dir_all(&dir)?;
    Ok(dir)
}

/// Stores a receipt where it stays: in the state directory, one file per purchase.
pub(super) fn keep(receipt: &Receipt, dir: &Path) -> io::Result<PathBuf> {
    let state = dir;
    let dir = receipts(state)?;
    let hash = alloy_primitives::hex::encode(receipt.hash.0);
    let nonce = receipt.payments.iter().map(|paid| paid.nonce).max().unwrap_or_default();
    let channel = receipt.payments.first().map(|paid| alloy_primitives::hex::encode(&paid.channel.0[..4]));
    let path = dir.join(format!("{hash}-{}-{nonce}.json", channel.unwrap_or_default()));
    let mut file = tempfile::NamedTempFile::new_in(&dir)?;
    let mut text = serde_json::to_vec_pretty(receipt).map_err(io::Error::other)?;
    text.push(b'\n');
    file.write_all(&text)?;
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    fs::File::open(&dir)?.sync_all()?;
    let _ = fs::remove_file(Earlier::path(state, BlobHash(receipt.hash.0)));
    Ok(path)
}
