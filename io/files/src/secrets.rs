//! What is in a key file: a network key and an Ethereum key, as two lines of text.

use alloy_primitives::hex;
use decdn_contracts::EthKey;
use serde::{Deserialize, Deserializer};

/// Both secrets of a party (I1). They have no `Debug`.
#[derive(Clone)]
pub struct Secrets {
    /// The Ed25519 seed.
    pub network: [u8; 32],
    /// The secp256k1 key.
    pub account: [u8; 32],
    key: EthKey,
}

/// 32 bytes as hex. They are never printed, not even where they don't parse.
struct Secret([u8; 32]);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        match hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(&text), &mut bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(_) => Err(serde::de::Error::custom("64 hex digits are wanted")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    network: Secret,
    account: Secret,
}

impl Secrets {
    /// A party's secrets; `None` for an account that is no key of the curve.
    pub fn new(network: [u8; 32], account: [u8; 32]) -> Option<Self> {
        EthKey::from_secret(account).map(|key| Self { network, account, key })
    }

    /// Reads a key file's text.
    ///
    /// # Errors
    /// What is wrong with it, which never repeats any of it.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        // The parser's own words would quote the line, and the line is the secret.
        let KeyFile { network, account } = toml::from_str(text)
            .map_err(|_| "it wants `network` and `account`, each with 64 hex digits, and nothing else")?;
        Self::new(network.0, account.0).ok_or("`account` is outside the curve's range")
    }

    /// The two lines of a key file.
    pub fn lines(&self) -> String {
        format!("network = \"{}\"\naccount = \"{}\"\n", hex::encode(self.network), hex::encode(self.account))
    }

    /// The Ethereum key.
    pub fn eth(&self) -> &EthKey {
        &self.key
    }
}
