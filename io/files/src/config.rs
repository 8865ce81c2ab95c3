//! The configuration file: what may be in it, and what is there where nothing is said.
//!
//! Every value may come from four places: the command line wins over the environment, that over the file, that
//! over the default. The first two are clap's; this is the file and the defaults.

use std::{
    collections::BTreeMap,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use alloy_primitives::Address;
use decdn_engine::{
    limits::{BLOB_BYTES_MAX, OFFER_GROUPS_MIN},
    money::{Amount, MB},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::plain;

/// The largest cadence that may be configured, in MB: it is what a vanishing counterparty may cost.
pub const CADENCE_MB_MAX: u64 = 1_024;
/// Read where no other file is named and this one is there.
pub const FILE_NAME: &str = "decdn.toml";
/// The largest configuration.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a new configuration file holds: every key with its default or an example.
pub const TEMPLATE: &str = include_str!("decdn.toml");

/// A configuration that can't be used: one sentence, with line and column where there is one.
#[derive(Debug)]
pub struct BadConfig(pub String);

impl fmt::Display for BadConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadConfig {}

/// A number of whole tokens, "1.5", exact: no float ever holds money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokens(String);

impl Tokens {
    /// In base units of a token with so many decimals; `None` where it has more decimals than the token, or does
    /// not fit.
    pub fn in_units(&self, decimals: u8) -> Option<Amount> {
        let (whole, part) = self.0.split_once('.').unwrap_or((&self.0, ""));
        let missing = usize::from(decimals).checked_sub(part.len())?;
        let digits = format!("{whole}{part}{}", "0".repeat(missing));
        digits.parse().ok().map(Amount)
    }
}

impl fmt::Display for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Tokens {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number(whole) && is_number(part) && text.len() <= 60 {
            Ok(Self(text.to_owned()))
        } else {
            Err("an amount looks like 12 or 0.25".to_owned())
        }
    }
}

impl<'de> Deserialize<'de> for Tokens {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Whole(u64),
            Text(String),
        }
        let wanted = || serde::de::Error::custom("an amount is a whole number, or text like \"0.25\"");
        match Written::deserialize(deserializer).map_err(|_| wanted())? {
            Written::Whole(whole) => Ok(Self(whole.to_string())),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

impl Serialize for Tokens {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// A base-unit amount as whole tokens, without trailing zeros.
pub fn in_tokens(amount: Amount, decimals: u8) -> String {
    let digits = format!("{:0>width$}", amount.0, width = usize::from(decimals) + 1);
    let (whole, part) = digits.split_at(digits.len() - usize::from(decimals));
    match part.trim_end_matches('0') {
        "" => whole.to_owned(),
        part => format!("{whole}.{part}"),
    }
}

/// The file. Keys that it does not know are refused.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Records, blobs, downloads, receipts.
    pub state_dir: Option<PathBuf>,
    /// See [`Secrets`](crate::secrets::Secrets).
    pub key_file: Option<PathBuf>,
    /// As `key_file`, for the account on the L1 that disputes are forced with.
    pub dispute_key_file: Option<PathBuf>,
    /// See [`ChainFile`].
    pub chain: ChainFile,
    /// Tokens by symbol.
    pub tokens: BTreeMap<String, Address>,
    /// See [`ClientFile`].
    pub client: ClientFile,
    /// See [`NodeFile`].
    pub node: NodeFile,
    /// See [`MonitorFile`].
    pub dispute_monitor: MonitorFile,
}

/// How to reach the chain, and what is on it.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChainFile {
    /// Endpoints; the first that answers is used until it fails.
    pub rpc: Vec<String>,
    /// `PaymentChannel`.
    pub contract: Option<Address>,
    /// What the endpoints have to answer.
    pub chain_id: Option<u64>,
    /// `SlashingJudge`; until there is one, any address that both sides agree on.
    pub judge: Option<Address>,
    /// The first block that may hold a channel of ours.
    pub start_block: Option<u64>,
    /// Endpoints of the L1; the first that answers is used until it fails.
    pub l1_rpc: Vec<String>,
    /// What they have to answer.
    pub l1_chain_id: Option<u64>,
    /// The L2's delayed inbox on the L1.
    pub inbox: Option<Address>,
}

/// What a client pays.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientFile {
    /// Symbol or address.
    pub payment_token: Option<String>,
    /// Deposit of a new channel.
    pub deposit: Option<Tokens>,
    /// The most that one fetch may put into channels.
    pub max_spend: Option<Tokens>,
    /// The most to pay per MB.
    pub max_rate: Option<Tokens>,
    /// A voucher for so many MB at least.
    #[serde(deserialize_with = "cadence")]
    pub voucher_cadence_mb: Option<u64>,
}

/// What a node sells.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeFile {
    /// Where clients reach it.
    pub listen: Option<SocketAddr>,
    /// What it sells for, by symbol.
    pub tokens: BTreeMap<String, TokenFile>,
    /// The largest offer in MB: what one client may owe.
    #[serde(deserialize_with = "cadence")]
    pub offer_ceiling_mb: Option<u64>,
    /// The largest blob it serves.
    pub max_blob_size: Option<u64>,
}

/// On which terms a node sells for a token, all in whole tokens.
#[derive(Clone, Default, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenFile {
    /// What a MB costs.
    pub rate: Option<Tokens>,
    /// What a channel holds at least.
    pub least_deposit: Option<Tokens>,
    /// Deposits that it serves on before their opening is safe.
    pub soft_cap: Option<Tokens>,
    /// It claims what a channel has earned beyond this.
    pub claim_above: Option<Tokens>,
    /// What a native coin is worth.
    pub coin: Option<Tokens>,
}

/// How channels are watched.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct MonitorFile {
    /// Whether stale closes are disputed.
    pub enabled: bool,
    /// How often the chain is read.
    #[serde(deserialize_with = "interval")]
    pub poll_interval_seconds: u64,
}

impl Default for MonitorFile {
    fn default() -> Self {
        Self { enabled: true, poll_interval_seconds: 60 }
    }
}

fn cadence<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let mb = u64::deserialize(deserializer)?;
    if (1..=CADENCE_MB_MAX).contains(&mb) {
        return Ok(Some(mb));
    }
    Err(serde::de::Error::custom(format!("it is 1 to {CADENCE_MB_MAX} MB, not {mb}")))
}

fn interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let seconds = u64::deserialize(deserializer)?;
    if (1..=3_600).contains(&seconds) {
        return Ok(seconds);
    }
    Err(serde::de::Error::custom(format!("it is 1 to 3600 seconds, not {seconds}")))
}

impl File {
    /// The file that is named, or `decdn.toml` where it is there, or nothing but defaults.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub fn find(named: Option<&Path>) -> Result<Self, BadConfig> {
        match named {
            Some(path) => Self::read(path),
            None if Path::new(FILE_NAME).exists() => Self::read(Path::new(FILE_NAME)),
            None => Ok(Self::default()),
        }
    }

    /// Reads a file. Relative paths in it start where it is.
    ///
    /// # Errors
    /// If it can't be read, or is wrong: line, column, and what is wrong there.
    pub fn read(path: &Path) -> Result<Self, BadConfig> {
        let shown = path.display();
        let text = match std::fs::metadata(path) {
            Ok(meta) if meta.len() > FILE_BYTES_MAX => {
                return Err(BadConfig(format!(
                    "{shown} is above 1 MiB, so it is no configuration; name another file"
                )));
            }
            _ => std::fs::read_to_string(path).map_err(|error| {
                let advice = "`decdn config init` makes one";
                BadConfig(format!(
                    "configuration {shown} can't be read: {error}; check the path, or {advice}"
                ))
            })?,
        };
        let mut file = Self::parse(&shown.to_string(), &text)?;
        let base = path.parent().unwrap_or(Path::new(""));
        let paths = [&mut file.state_dir, &mut file.key_file, &mut file.dispute_key_file];
        for relative in paths.into_iter().flatten() {
            *relative = base.join(&*relative);
        }
        Ok(file)
    }

    /// A configuration from its text; `place` is where the text is from.
    ///
    /// # Errors
    /// With line and column.
    pub fn parse(place: &str, text: &str) -> Result<Self, BadConfig> {
        toml::from_str(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start.min(text.len()));
            let before = &text.as_bytes()[..at];
            let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
            let column = 1 + before.iter().rev().take_while(|&&byte| byte != b'\n').count();
            let what = plain(&error.message().trim().replace('\n', ", "));
            let advice = "correct it there; `decdn config init -` shows every key";
            BadConfig(format!("{place}:{line}:{column}: {what}; {advice}"))
        })
    }
}

/// Where a node listens, and no other machine reaches it.
pub const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 4433);
/// A channel's deposit in tokens.
pub const DEPOSIT: &str = "1";
/// The most that a client pays per MB, in tokens.
pub const MAX_RATE: &str = "0.01";
/// What a node asks per MB, in tokens.
pub const RATE: &str = "0.001";
/// The least that a channel holds, in USDC.
pub const LEAST_DEPOSIT: &str = "1";
/// What is served on before it is safe, in USDC.
pub const SOFT_CAP: &str = "50";
/// What is left unclaimed on a channel, in USDC.
pub const CLAIM_ABOVE: &str = "10";
/// What is paid in.
pub const TOKEN: &str = "USDC";
/// D6.
pub const CADENCE_MB: u64 = 1;

const _: () = assert!(OFFER_GROUPS_MIN * decdn_engine::limits::GROUP <= MB);
const _: () = assert!(CADENCE_MB_MAX * MB < BLOB_BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_the_defaults() {
        let file = File::parse("template", TEMPLATE).expect("it is a configuration");
        assert_eq!(file.client.deposit, Some(DEPOSIT.parse().expect("a number")));
        assert_eq!(file.client.max_rate, Some(MAX_RATE.parse().expect("a number")));
        assert_eq!(file.client.voucher_cadence_mb, Some(CADENCE_MB));
        assert_eq!(file.client.payment_token.as_deref(), Some(TOKEN));
        assert_eq!(file.node.listen, Some(LISTEN));
        let number = |text: &str| Some(text.parse::<Tokens>().expect("a number"));
        let usdc = TokenFile {
            rate: number(RATE),
            least_deposit: number(LEAST_DEPOSIT),
            soft_cap: number(SOFT_CAP),
            claim_above: number(CLAIM_ABOVE),
            coin: None,
        };
        assert_eq!(file.node.tokens.get(TOKEN), Some(&usdc));
        assert_eq!(file.dispute_monitor, MonitorFile::default());
        let node = decdn_engine::roles::config::NodeConfig::new(
            Default::default(),
            Default::default(),
            Default::default(),
        );
        assert_eq!(file.node.offer_ceiling_mb.map(|mb| mb * MB), Some(node.offer_ceiling));
        assert_eq!(file.node.max_blob_size, Some(node.max_blob_size));
    }

    #[test]
    fn what_is_wrong_is_named_with_line_and_column() {
        let refused = |text: &str| File::parse("x.toml", text).expect_err("wrong").0;
        assert!(refused("\n[client]\ncadense = 1\n").starts_with("x.toml:3:1: unknown field `cadense`"));
        assert!(refused("[client]\nvoucher_cadence_mb = 0\n").starts_with("x.toml:2:22: it is 1 to 1024 MB"));
        assert!(refused("[client]\nvoucher_cadence_mb = 10240\n").contains("not 10240"));
        assert!(refused("[client]\ndeposit = 1.5\n").starts_with("x.toml:2:11: an amount"));
        // Written halfway.
        assert!(refused("[client]\ndeposit = \"1").starts_with("x.toml:2:"));
        let coloured = refused("\"a\\u001b[31m\\n\" = 1");
        assert!(coloured.contains("`a\\u{1b}[31m, `") && !coloured.contains('\u{1b}'), "{coloured}");
        assert!(refused("[dispute_monitor]\npoll_interval_seconds = 0\n").contains("1 to 3600"));
    }

    #[test]
    fn tokens_are_exact() {
        let units = |text: &str, decimals| text.parse::<Tokens>().expect(text).in_units(decimals);
        assert_eq!(units("1.5", 6), Some(Amount(1_500_000)));
        assert_eq!(units("0.000001", 6), Some(Amount(1)));
        assert_eq!(units("0.0000001", 6), None);
        assert_eq!(units("12", 0), Some(Amount(12)));
        assert_eq!(units("999999999999999999999999999999999999999999", 18), None);
        for bad in ["", ".", "1.", ".5", "-1", "1e3", "1,5", " 1"] {
            assert!(bad.parse::<Tokens>().is_err(), "{bad:?}");
        }
        assert_eq!(in_tokens(Amount(1_500_000), 6), "1.5");
        assert_eq!(in_tokens(Amount(1), 6), "0.000001");
        assert_eq!(in_tokens(Amount(7), 0), "7");
        assert_eq!(in_tokens(Amount(0), 6), "0");
    }
}
