//! Why a voucher is refused, as it travels.

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The rule by which a node refuses a voucher. Each has its number on the wire (W2): new ones take numbers above 23, and
/// those in between mean nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum RejectReason {
    /// Not signed by the channel's client, or not for this channel.
    V1,
    /// Nonce and amount do not both rise.
    V2,
    /// The amount is above the deposit.
    V4,
    /// The channel is final.
    V7,
}

const NAMES: &[&str] = &["V1", "V2", "V4", "V7"];

impl RejectReason {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V4, Self::V7];

    /// The number on the wire.
    pub const fn to_wire(self) -> u32 {
        match self {
            Self::V1 => 13,
            Self::V2 => 14,
            Self::V4 => 16,
            Self::V7 => 18,
        }
    }

    fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In texts a name, on the wire a number.
impl Serialize for RejectReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit_variant("RejectReason", self.to_wire(), self.name())
    }
}

impl<'de> Deserialize<'de> for RejectReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_enum("RejectReason", NAMES, Reasons)
    }
}

struct Reasons;

impl<'de> de::Visitor<'de> for Reasons {
    type Value = RejectReason;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("why a voucher is refused")
    }

    fn visit_enum<A: de::EnumAccess<'de>>(self, data: A) -> Result<RejectReason, A::Error> {
        let (reason, variant) = data.variant::<RejectVariant>()?;
        de::VariantAccess::unit_variant(variant)?;
        Ok(reason.0)
    }
}

struct RejectVariant(RejectReason);

impl<'de> Deserialize<'de> for RejectVariant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_identifier(VariantOf)
    }
}

struct VariantOf;

impl de::Visitor<'_> for VariantOf {
    type Value = RejectVariant;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("V1, V2, V4 or V7")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<RejectVariant, E> {
        let found = RejectReason::ALL.into_iter().find(|reason| u64::from(reason.to_wire()) == number);
        found.map(RejectVariant).ok_or_else(|| E::custom("no reason has this number"))
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<RejectVariant, E> {
        let found = RejectReason::ALL.into_iter().find(|reason| reason.name() == name);
        found.map(RejectVariant).ok_or_else(|| E::unknown_variant(name, NAMES))
    }
}
