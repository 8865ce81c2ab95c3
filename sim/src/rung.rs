//! The two rungs: what differs between a symbolic run and one with real curves, bytes and bytecode.

use decdn_contracts::{Curves, EthKey};
use decdn_engine::{
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
};
use serde::{Deserialize, Serialize};

use crate::cast::{Cast, keys};

/// How much of a run is real. Outcomes are equal on both: token balances, rule ids, probes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rung {
    /// Signatures are symbols, content is ranges, the chain is the Rust model.
    Ideal,
    /// secp256k1 signatures, bao-encoded bytes in frames, the compiled contracts in an EVM.
    Real,
}

impl Rung {
    /// The word on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ideal => "ideal",
            Self::Real => "real",
        }
    }
}

/// A run's signatures. Only the world makes them, each with its actor's own key.
#[derive(Clone, Debug)]
pub enum SimCrypto {
    /// A signature is its signer's address and a cheap hash of what is signed.
    Ideal,
    /// secp256k1, as the contracts recover it.
    Real {
        /// The curve.
        curves: Curves,
        /// The cast's keys.
        keys: Vec<EthKey>,
    },
}

impl SimCrypto {
    /// The real keys of a cast.
    pub fn real(cast: &Cast) -> Self {
        Self::Real {
            curves: Curves::new(),
            keys: cast.people.iter().map(|person| keys(person.id).0).collect(),
        }
    }

    /// `signer`'s signature of `what`.
    pub fn sign(&self, deployment: &Deployment, what: &Typed, signer: Address) -> Signature {
        match self {
            Self::Ideal => {
                let mut bytes = [0; 65];
                bytes[..20].copy_from_slice(signer.as_slice());
                bytes[32..64].copy_from_slice(&symbol(deployment, what));
                bytes[64] = 27;
                Signature(bytes)
            }
            Self::Real { keys, .. } => {
                let key = keys.iter().find(|key| key.address() == signer);
                key.expect("only the cast signs").sign(what, deployment)
            }
        }
    }
}

impl Crypto for SimCrypto {
    fn recover(&self, deployment: &Deployment, what: &Typed, signature: &Signature) -> Option<Address> {
        match self {
            Self::Ideal => {
                let bytes = &signature.0;
                let canonical = bytes[64] == 27 && bytes[20..32] == [0; 12];
                (canonical && bytes[32..64] == symbol(deployment, what))
                    .then(|| Address::from_slice(&bytes[..20]))
            }
            Self::Real { curves, .. } => curves.recover(deployment, what, signature),
        }
    }
}

/// Stands for the EIP-712 digest: every field is mixed in, nobody in the simulator looks for collisions.
fn symbol(deployment: &Deployment, what: &Typed) -> [u8; 32] {
    let mut mix = Mix::new();
    mix.word(deployment.chain_id);
    match what {
        Typed::Voucher(terms) | Typed::CooperativeClose(terms) => {
            mix.word(if matches!(what, Typed::Voucher(_)) { 1 } else { 2 });
            mix.bytes(deployment.payment_channel.as_slice());
            mix.bytes(terms.channel.as_bytes());
            mix.wide(terms.amount.0);
            mix.word(terms.nonce.0);
            mix.bytes(terms.token.as_slice());
        }
        Typed::StreamResponse(terms) => {
            mix.word(3);
            mix.bytes(deployment.judge.as_slice());
            mix.bytes(terms.node.as_bytes());
            mix.bytes(terms.hash.as_bytes());
            mix.word(u64::from(terms.ok) << 8 | u64::from(terms.error.map_or(0, |error| error.code())));
            mix.bytes(terms.token.as_slice());
            mix.word(terms.rate.0);
            mix.word(terms.max_rate.0);
            mix.word(terms.total_bytes);
            mix.bytes(terms.channel.as_bytes());
            mix.bytes(terms.redirect.as_bytes());
            mix.bytes(terms.requester.as_slice());
            mix.word(terms.timestamp.0);
            mix.bytes(&terms.quote);
        }
        Typed::ProbeResponse(terms) => {
            mix.word(5);
            mix.bytes(deployment.judge.as_slice());
            mix.bytes(terms.node.as_bytes());
            mix.bytes(terms.hash.as_bytes());
            mix.word(u64::from(terms.has_blob));
            mix.bytes(terms.token.as_slice());
            mix.word(terms.rate.0);
            mix.bytes(terms.requester.as_slice());
            mix.word(terms.timestamp.0);
        }
        Typed::BindNodeId { node, nonce } => {
            mix.word(4);
            mix.bytes(deployment.registry.as_slice());
            mix.bytes(node.as_bytes());
            mix.word(*nonce);
        }
    }
    mix.finish()
}

/// A fast mixing function of 64-bit words into 256 bits; not a cryptographic hash.
#[derive(Clone, Debug)]
pub struct Mix {
    lanes: [u64; 2],
    words: u64,
}

impl Default for Mix {
    fn default() -> Self {
        Self::new()
    }
}

impl Mix {
    /// The empty mix.
    pub const fn new() -> Self {
        Self { lanes: [0x243f_6a88_85a3_08d3, 0x1319_8a2e_0370_7344], words: 0 }
    }

    /// Adds a word.
    pub fn word(&mut self, word: u64) {
        self.words = self.words.wrapping_add(1);
        let [a, b] = self.lanes;
        self.lanes = [fold(a ^ word, 0xa409_3822_299f_31d1), fold(b ^ word, 0x082e_fa98_ec4e_6c89) ^ a];
    }

    /// Adds words.
    pub fn words(&mut self, words: impl IntoIterator<Item = u64>) {
        words.into_iter().for_each(|word| self.word(word));
    }

    /// Adds two words.
    pub fn wide(&mut self, wide: u128) {
        self.word(wide as u64);
        self.word((wide >> 64) as u64);
    }

    /// Adds bytes of a length that the context fixes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
    }

    /// The mix of everything added.
    pub fn finish(&self) -> [u8; 32] {
        let [a, b] = self.lanes;
        let mut out = [0; 32];
        for (i, bytes) in out.chunks_exact_mut(8).enumerate() {
            let word = fold(a.wrapping_add(i as u64), b ^ self.words);
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        out
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let wide = u128::from(a ^ 0x9e37_79b9_7f4a_7c15) * u128::from(b | 1);
    (wide as u64) ^ ((wide >> 64) as u64)
}
