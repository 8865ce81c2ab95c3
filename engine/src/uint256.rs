//! An amount on the wire: 32 bytes, big-endian, refused where it does not fit in 128 bits. In texts that people
//! read it is a number.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::money::Amount;

pub(crate) fn serialize<S: Serializer>(amount: &Amount, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return amount.serialize(serializer);
    }
    let mut bytes = [0; 32];
    bytes[16..].copy_from_slice(&amount.0.to_be_bytes());
    bytes.serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
    if deserializer.is_human_readable() {
        return Amount::deserialize(deserializer);
    }
    let bytes = <[u8; 32]>::deserialize(deserializer)?;
    let (high, low) = bytes.split_at(16);
    if high.iter().any(|&byte| byte != 0) {
        return Err(de::Error::custom("amount above 128 bits"));
    }
    Ok(Amount(low.iter().fold(0, |sum, &byte| sum << 8 | u128::from(byte))))
}
