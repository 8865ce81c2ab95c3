//! The signer of a key that is at hand.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use decdn_contracts::EthKey;
use decdn_driver::Signer;
use decdn_engine::{
    crypto::{Deployment, Signature, Typed},
    ids::Address,
};

/// Signs with a key in memory, and counts.
#[derive(Clone, Debug)]
pub struct KeySigner {
    key: EthKey,
    deployment: Deployment,
    signed: Arc<AtomicU64>,
}

impl KeySigner {
    /// A signer for the domains of a deployment.
    pub fn new(key: EthKey, deployment: Deployment) -> Self {
        Self { key, deployment, signed: Arc::default() }
    }

    /// The account.
    pub fn address(&self) -> Address {
        self.key.address()
    }

    /// How many signatures it has made; the clones of a signer count together.
    pub fn signed(&self) -> u64 {
        self.signed.load(Ordering::Relaxed)
    }
}

impl Signer for KeySigner {
    fn sign(&mut self, what: Typed) -> impl Future<Output = Option<Signature>> + Send + 'static + use<> {
        self.signed.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Some(self.key.sign(&what, &self.deployment)))
    }
}
