//! secp256k1 as the contracts recover it: who signed what, and keys that sign.
//!
//! The curve is the one that the EVM's `ecrecover` runs on, so that off-chain code rejects exactly what the
//! chain rejects (I4).

use core::fmt;

use alloy_primitives::keccak256;
use decdn_engine::{
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
};
use secp256k1::{
    All, Message, PublicKey, Secp256k1, SecretKey, SignOnly,
    ecdsa::{RecoverableSignature, RecoveryId},
};

/// Half the curve's order: the largest `s` of a canonical signature (EIP-2).
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x5d,
    0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

/// The engine's [`Crypto`] over real curves.
#[derive(Clone)]
pub struct Curves {
    secp: Secp256k1<All>,
}

impl Curves {
    /// Builds the curve's context; keep one and share it.
    pub fn new() -> Self {
        Self { secp: Secp256k1::new() }
    }

    /// The account that made a signature over a digest: `None` unless it is low-s with v 27 or 28 and
    /// recovers (I4).
    pub fn recover_digest(&self, digest: [u8; 32], signature: &Signature) -> Option<Address> {
        let (compact, v) = signature.0.split_at(64);
        let recovery = match v {
            [27] => RecoveryId::Zero,
            [28] => RecoveryId::One,
            _ => return None,
        };
        if compact[32..] > HALF_ORDER[..] {
            return None;
        }
        let signature = RecoverableSignature::from_compact(compact, recovery).ok()?;
        self.secp.recover_ecdsa(Message::from_digest(digest), &signature).ok().map(|key| address_of(&key))
    }
}

impl Default for Curves {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Curves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Curves")
    }
}

impl Crypto for Curves {
    fn recover(&self, deployment: &Deployment, what: &Typed, signature: &Signature) -> Option<Address> {
        self.recover_digest(what.digest(deployment), signature)
    }
}

/// An Ethereum account's key (I1). Its `Debug` shows the address, never the secret.
#[derive(Clone)]
pub struct EthKey {
    secp: Secp256k1<SignOnly>,
    secret: SecretKey,
    address: Address,
}

impl EthKey {
    /// The key with these secret bytes; `None` for zero and for values at or above the curve's order.
    pub fn from_secret(secret: [u8; 32]) -> Option<Self> {
        let secret = SecretKey::from_byte_array(secret).ok()?;
        let secp = Secp256k1::signing_only();
        let address = address_of(&PublicKey::from_secret_key(&secp, &secret));
        Some(Self { secp, secret, address })
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.address
    }

    /// Signs for a deployment's EIP-712 domains. Deterministic (RFC 6979) and canonical (I4).
    pub fn sign(&self, what: &Typed, deployment: &Deployment) -> Signature {
        self.sign_digest(what.digest(deployment))
    }

    /// Signs a digest, as [`sign`](Self::sign) does.
    pub fn sign_digest(&self, digest: [u8; 32]) -> Signature {
        let signature = self.secp.sign_ecdsa_recoverable(Message::from_digest(digest), &self.secret);
        let (recovery, compact) = signature.serialize_compact();
        let mut bytes = [0; 65];
        bytes[..64].copy_from_slice(&compact);
        // A signature whose r overflowed the order would have recovery id 2 or 3; nobody can find such a
        // digest.
        bytes[64] = if recovery == RecoveryId::Zero { 27 } else { 28 };
        Signature(bytes)
    }
}

impl fmt::Debug for EthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EthKey({})", self.address)
    }
}

fn address_of(key: &PublicKey) -> Address {
    let hash = keccak256(&key.serialize_uncompressed()[1..]);
    Address::from_slice(&hash[12..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::{U256, address};

    /// The curve's order.
    const ORDER: U256 = U256::from_be_bytes([
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba,
        0xae, 0xdc, 0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
    ]);

    fn key(n: u64) -> EthKey {
        EthKey::from_secret(U256::from(n).to_be_bytes()).expect("small and not zero")
    }

    #[test]
    fn i1_the_address_of_secret_1_is_the_known_one() {
        assert_eq!(key(1).address(), address!("7E5F4552091A69125d5DfCb7b8C2659029395Bdf"));
    }

    #[test]
    fn i4_high_s_and_foreign_v_are_nobodys() {
        let (curves, key, digest) = (Curves::new(), key(7), [3; 32]);
        let good = key.sign_digest(digest);
        assert_eq!(curves.recover_digest(digest, &good), Some(key.address()));
        let mut high = good;
        let s = U256::from_be_slice(&good.0[32..64]);
        high.0[32..64].copy_from_slice(&(ORDER - s).to_be_bytes::<32>());
        high.0[64] = 55 - good.0[64];
        assert_eq!(curves.recover_digest(digest, &high), None);
        for v in (0..=255).filter(|v| *v != 27 && *v != 28) {
            let mut bent = good;
            bent.0[64] = v;
            assert_eq!(curves.recover_digest(digest, &bent), None, "v = {v}");
        }
    }

    #[test]
    fn i4_signing_is_deterministic_and_low_s() {
        for n in 1..64u64 {
            let digest = keccak256(n.to_be_bytes()).0;
            let signature = key(n).sign_digest(digest);
            assert_eq!(signature, key(n).sign_digest(digest));
            assert!(signature.0[32..64] <= HALF_ORDER[..]);
        }
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let key = EthKey::from_secret([0x42; 32]).expect("in range");
        assert_eq!(format!("{key:?}"), format!("EthKey({})", key.address()));
    }

    #[test]
    fn zero_and_the_order_are_no_keys() {
        assert!(EthKey::from_secret([0; 32]).is_none());
        assert!(EthKey::from_secret(ORDER.to_be_bytes()).is_none());
    }
}
