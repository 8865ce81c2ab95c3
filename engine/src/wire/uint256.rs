//! An amount on the wire: 32 bytes, big-endian, refused where it does not fit in 128 bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::money::Amount;

pub(super) fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
    let mut bytes = [0; 32];
    bytes[16..].copy_from_slice(&amount.0.to_be_bytes());
    bytes.serialize(serializer)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    let bytes = <[u8; 32]>::deserialize(deserializer)?;
    let (high, low) = bytes.split_at(16);
    if high.iter().any(|&byte| byte != 0) {
        return Err(de::Error::custom("amount above 128 bits"));
    }
    Ok(Amount(low.iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte))))
}
