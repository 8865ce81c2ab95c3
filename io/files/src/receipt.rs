//! Receipts: what was bought, from whom, for how much, with the signatures that prove it to anybody, offline.
//!
//! The node's signature under each agreement proves what it sold and at which rate, the client's under each
//! channel's newest voucher what it paid, the node's under a consent that it took that as final.

use std::fmt;

use alloy_primitives::{Address, hex};
use decdn_contracts::Curves;
use decdn_engine::{
    crypto::{Crypto, Deployment, Signature, StreamResponseTerms, Typed, VoucherTerms},
    ids::{BlobHash, ChannelId, NodeId},
    money::{Amount, MB, Nonce, Rate},
    time::WallTime,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::plain;

/// The form of what is written here.
pub const VERSION: u32 = 1;
/// Agreements and payments in one receipt.
const PARTS_MAX: usize = 4_096;
/// What people call a token is at most so long, in bytes.
const SYMBOL_BYTES_MAX: usize = 64;

/// 32 or 65 bytes as hex.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hex<const N: usize>(pub [u8; N]);

impl<const N: usize> Serialize for Hex<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex::encode(self.0))
    }
}

impl<'de, const N: usize> Deserialize<'de> for Hex<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; N];
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(&text), &mut bytes)
            .map_err(|_| serde::de::Error::custom(format!("{} hex digits are wanted", 2 * N)))?;
        Ok(Self(bytes))
    }
}

/// An amount as decimal text: JSON's numbers end too early.
mod decimal {
    use super::*;

    pub(super) fn serialize<S: Serializer>(amount: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&amount.to_string())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| serde::de::Error::custom("a decimal amount of base units is wanted"))
    }
}

fn caption<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    if text.len() > SYMBOL_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(serde::de::Error::custom(format!(
            "a symbol is one line of at most {SYMBOL_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// What one fetch bought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`VERSION`].
    pub version: u32,
    /// BLAKE3 of the content.
    pub hash: Hex<32>,
    /// Its size.
    pub bytes: u64,
    /// EIP-155.
    pub chain_id: u64,
    /// `PaymentChannel`.
    pub contract: Address,
    /// `SlashingJudge`.
    pub judge: Address,
    /// Who paid.
    pub client: Address,
    /// In what.
    pub token: Address,
    /// What people call it. Nobody signs this, so it is no more than a caption.
    #[serde(deserialize_with = "caption")]
    pub symbol: String,
    /// Its decimals.
    pub decimals: u8,
    /// What was paid for this content, in base units.
    #[serde(with = "decimal")]
    pub paid: u128,
    /// What nodes agreed to.
    pub agreements: Vec<Sold>,
    /// What was paid on which channel.
    pub payments: Vec<Paid>,
}

/// An agreement (D1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sold {
    /// The node.
    pub node: Hex<32>,
    /// Its account, which signed.
    pub operator: Address,
    /// The channel that pays.
    pub channel: Hex<32>,
    /// From which byte on.
    pub offset_bytes: u64,
    /// The blob's size, as this node signed it.
    pub total_bytes: u64,
    /// Base units per MB.
    pub rate_per_mb: u64,
    /// What the client would have paid at most.
    pub max_rate_per_mb: u64,
    /// When it was asked.
    pub timestamp_us: u64,
    /// The struct hash of the quote that the node was shown, if it was shown one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Hex<32>>,
    /// The node's.
    pub signature: Hex<65>,
}

/// A channel's part of the payment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paid {
    /// The channel.
    pub channel: Hex<32>,
    /// The node's account.
    pub operator: Address,
    /// What earlier fetches had paid on it.
    #[serde(with = "decimal")]
    pub amount_before: u128,
    /// What the newest voucher says, cumulatively.
    #[serde(with = "decimal")]
    pub amount: u128,
    /// Its nonce.
    pub nonce: u64,
    /// The client's.
    pub signature: Hex<65>,
    /// The node's consent to this amount as the final one, where it gave it.
    pub consent: Option<Hex<65>>,
}

/// What is wrong with a receipt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Flaw {
    /// Written in another form.
    Version(u32),
    /// Nothing was sold, or nothing paid.
    Empty,
    /// More parts than a receipt has.
    TooLong,
    /// The signature of this agreement is not its operator's.
    Agreement(usize),
    /// This agreement's channel is not among the payments, or belongs to another operator.
    Stray(usize),
    /// This agreement is about content of another size.
    Size(usize),
    /// The signature of this payment's voucher is not the client's.
    Payment(usize),
    /// The consent of this payment is not its operator's.
    Consent(usize),
    /// A channel is named twice.
    Twice(usize),
    /// The payments are not what the receipt says was paid.
    Sum {
        /// What they are.
        found: u128,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => write!(f, "it has version {version}, this program knows {VERSION}"),
            Self::Empty => f.write_str("it names no agreement or no payment"),
            Self::TooLong => write!(f, "it has more than {PARTS_MAX} agreements or payments"),
            Self::Agreement(n) => write!(f, "agreement {n} is not signed by its operator"),
            Self::Stray(n) => {
                write!(f, "agreement {n} is about a channel on which its operator was not paid")
            }
            Self::Size(n) => write!(f, "agreement {n} is about content of another size"),
            Self::Payment(n) => write!(f, "the voucher of payment {n} is not signed by the client"),
            Self::Consent(n) => write!(f, "the consent of payment {n} is not signed by its operator"),
            Self::Twice(n) => write!(f, "payment {n} is about a channel that was named before"),
            Self::Sum { found } => write!(f, "its payments add up to {found}, not to what it says was paid"),
        }
    }
}

impl Receipt {
    /// A receipt from its text; `place` is where the text is from.
    ///
    /// # Errors
    /// One sentence, with line and column.
    pub fn parse(place: &str, text: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(text).map_err(|error| {
            let (line, column, what) = (error.line(), error.column(), plain(&error.to_string()));
            format!("{place}:{line}:{column}: this is no receipt: {what}; name another file")
        })
    }

    fn deployment(&self) -> Deployment {
        let (chain_id, payment_channel, judge) = (self.chain_id, self.contract, self.judge);
        Deployment { chain_id, payment_channel, judge, ..Deployment::default() }
    }

    /// What the bytes cost at the highest rate that was agreed on, rounded up.
    pub fn price(&self) -> Amount {
        let rate = self.agreements.iter().map(|sold| sold.rate_per_mb).max().unwrap_or_default();
        Amount((u128::from(self.bytes) * u128::from(rate)).div_ceil(u128::from(MB)))
    }

    /// Checks every signature and the sum. Nothing but the receipt is needed.
    ///
    /// # Errors
    /// The first flaw.
    pub fn verify(&self) -> Result<(), Flaw> {
        if self.version != VERSION {
            return Err(Flaw::Version(self.version));
        }
        if self.agreements.is_empty() || self.payments.is_empty() {
            return Err(Flaw::Empty);
        }
        if self.agreements.len() > PARTS_MAX || self.payments.len() > PARTS_MAX {
            return Err(Flaw::TooLong);
        }
        let (curves, at) = (Curves::new(), self.deployment());
        for (n, sold) in self.agreements.iter().enumerate() {
            let typed = Typed::StreamResponse(self.terms(sold));
            if !curves.verify(&at, &typed, &Signature(sold.signature.0), sold.operator) {
                return Err(Flaw::Agreement(n));
            }
            if sold.total_bytes != self.bytes {
                return Err(Flaw::Size(n));
            }
            let is_paid = |paid: &Paid| paid.channel == sold.channel && paid.operator == sold.operator;
            if !self.payments.iter().any(is_paid) {
                return Err(Flaw::Stray(n));
            }
        }
        let mut found: u128 = 0;
        for (n, paid) in self.payments.iter().enumerate() {
            if self.payments[..n].iter().any(|earlier| earlier.channel == paid.channel) {
                return Err(Flaw::Twice(n));
            }
            let terms = VoucherTerms {
                channel: ChannelId(paid.channel.0),
                amount: Amount(paid.amount),
                nonce: Nonce(paid.nonce),
                token: self.token,
            };
            if !curves.verify(&at, &Typed::Voucher(terms), &Signature(paid.signature.0), self.client) {
                return Err(Flaw::Payment(n));
            }
            if let Some(consent) = paid.consent
                && !curves.verify(&at, &Typed::CooperativeClose(terms), &Signature(consent.0), paid.operator)
            {
                return Err(Flaw::Consent(n));
            }
            found = found.saturating_add(paid.amount.saturating_sub(paid.amount_before));
        }
        if found == self.paid { Ok(()) } else { Err(Flaw::Sum { found }) }
    }

    fn terms(&self, sold: &Sold) -> StreamResponseTerms {
        StreamResponseTerms {
            node: NodeId(sold.node.0),
            hash: BlobHash(self.hash.0),
            ok: true,
            token: self.token,
            rate: Rate(sold.rate_per_mb),
            max_rate: Rate(sold.max_rate_per_mb),
            total_bytes: sold.total_bytes,
            channel: ChannelId(sold.channel.0),
            redirect: NodeId::default(),
            error: None,
            requester: self.client,
            timestamp: WallTime(sold.timestamp_us),
            quote: sold.quote.map_or([0; 32], |quote| quote.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use decdn_contracts::EthKey;

    use super::*;

    fn receipt() -> Receipt {
        let key = |n| EthKey::from_secret([n; 32]).expect("in range");
        let (client, node) = (key(1), key(2));
        let mut receipt = Receipt {
            version: VERSION,
            hash: Hex([7; 32]),
            bytes: 3 << 20,
            chain_id: 5,
            contract: Address::repeat_byte(1),
            judge: Address::repeat_byte(2),
            client: client.address(),
            token: Address::repeat_byte(3),
            symbol: "USDC".into(),
            decimals: 6,
            paid: 3_000,
            agreements: Vec::new(),
            payments: Vec::new(),
        };
        let mut sold = Sold {
            node: Hex([9; 32]),
            operator: node.address(),
            channel: Hex([4; 32]),
            offset_bytes: 0,
            total_bytes: 3 << 20,
            rate_per_mb: 1_000,
            max_rate_per_mb: 2_000,
            timestamp_us: 77,
            quote: None,
            signature: Hex([0; 65]),
        };
        let at = receipt.deployment();
        sold.signature = Hex(node.sign(&Typed::StreamResponse(receipt.terms(&sold)), &at).0);
        receipt.agreements.push(sold);
        let terms = VoucherTerms {
            channel: ChannelId([4; 32]),
            amount: Amount(3_500),
            nonce: Nonce(4),
            token: receipt.token,
        };
        receipt.payments.push(Paid {
            channel: Hex([4; 32]),
            operator: node.address(),
            amount_before: 500,
            amount: 3_500,
            nonce: 4,
            signature: Hex(client.sign(&Typed::Voucher(terms), &at).0),
            consent: Some(Hex(node.sign(&Typed::CooperativeClose(terms), &at).0)),
        });
        receipt
    }

    #[test]
    fn d1_the_quote_that_an_agreement_names_is_part_of_what_was_signed() {
        let mut quoted = receipt();
        quoted.agreements[0].quote = Some(Hex([6; 32]));
        assert_eq!(quoted.verify(), Err(Flaw::Agreement(0)));
        let (at, node) = (quoted.deployment(), EthKey::from_secret([2; 32]).expect("in range"));
        let terms = quoted.terms(&quoted.agreements[0]);
        quoted.agreements[0].signature = Hex(node.sign(&Typed::StreamResponse(terms), &at).0);
        assert_eq!(quoted.verify(), Ok(()));
        let text = serde_json::to_string(&quoted).expect("plain data");
        assert_eq!(Receipt::parse("x", text.as_bytes()).expect("what was written"), quoted);
        quoted.agreements[0].quote = None;
        assert_eq!(quoted.verify(), Err(Flaw::Agreement(0)));
    }

    #[test]
    fn d1_a_receipt_proves_itself_and_any_change_shows() {
        let good = receipt();
        assert_eq!(good.verify(), Ok(()));
        assert_eq!(good.price(), Amount(3_000));
        let text = serde_json::to_string(&good).expect("plain data");
        assert_eq!(Receipt::parse("x", text.as_bytes()).expect("what was written"), good);
        let coloured = text.replace("USDC", "\\u001b[31m");
        let refused = Receipt::parse("x", coloured.as_bytes()).expect_err("not for a terminal");
        assert!(refused.starts_with("x:1:") && refused.contains("a symbol is one line"), "{refused}");
        let flawed = |change: fn(&mut Receipt)| {
            let mut receipt = receipt();
            change(&mut receipt);
            receipt.verify()
        };
        assert_eq!(flawed(|r| r.bytes += 1), Err(Flaw::Size(0)));
        assert_eq!(flawed(|r| r.agreements[0].total_bytes += 1), Err(Flaw::Agreement(0)));
        assert_eq!(flawed(|r| r.hash.0[0] ^= 1), Err(Flaw::Agreement(0)));
        assert_eq!(flawed(|r| r.agreements[0].rate_per_mb = 1), Err(Flaw::Agreement(0)));
        assert_eq!(flawed(|r| r.agreements[0].operator = r.client), Err(Flaw::Agreement(0)));
        assert_eq!(flawed(|r| r.payments[0].amount += 1), Err(Flaw::Payment(0)));
        assert_eq!(flawed(|r| r.payments[0].consent = Some(Hex([1; 65]))), Err(Flaw::Consent(0)));
        assert_eq!(flawed(|r| r.payments[0].channel = Hex([5; 32])), Err(Flaw::Stray(0)));
        assert_eq!(flawed(|r| r.paid = 1), Err(Flaw::Sum { found: 3_000 }));
        assert_eq!(flawed(|r| r.payments.push(r.payments[0].clone())), Err(Flaw::Twice(1)));
        assert_eq!(flawed(|r| r.payments.clear()), Err(Flaw::Empty));
        assert_eq!(flawed(|r| r.version = 2), Err(Flaw::Version(2)));
    }
}
