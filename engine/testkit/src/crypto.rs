//! Stand-ins for signatures. Curves have tests of their own.

use decdn_engine::{
    crypto::{Crypto, Deployment, Signature, Typed},
    ids::Address,
};

/// A signature is its signer and what was signed: see [`sign`]. Whatever else is nobody's.
#[derive(Clone, Copy, Debug)]
pub struct Symbols;

impl Crypto for Symbols {
    fn recover(&self, _: &Deployment, what: &Typed, signature: &Signature) -> Option<Address> {
        let signer = Address::from_slice(&signature.0[..20]);
        (sign(signer, what) == *signature).then_some(signer)
    }
}

/// A signature that [`Symbols`] knows.
pub fn sign(signer: Address, what: &Typed) -> Signature {
    let mut signature = named(signer);
    signature.0[20..52].copy_from_slice(&what.digest(&Deployment::default()));
    signature
}

/// The first byte says whose a signature is, whatever was signed: a place in this list, or nobody. So a fuzzer's byte is a signer.
#[derive(Clone, Copy, Debug)]
pub struct FirstByte(pub &'static [Address]);

impl Crypto for FirstByte {
    fn recover(&self, _: &Deployment, _: &Typed, signature: &Signature) -> Option<Address> {
        self.0.get(usize::from(signature.0[0]) % (self.0.len() + 1)).copied()
    }
}

/// A signature that [`FirstByte`] knows.
pub const fn signature(whose: u8) -> Signature {
    Signature([whose; 65])
}

/// Takes any signature for one of the first of these accounts, but where it is another's by [`named`].
#[derive(Clone, Copy, Debug)]
pub struct Trusting(pub &'static [Address]);

impl Crypto for Trusting {
    fn recover(&self, _: &Deployment, _: &Typed, signature: &Signature) -> Option<Address> {
        let is_named = |account: &&Address| signature.0.starts_with(account.as_slice());
        self.0.iter().find(is_named).or(self.0.first()).copied()
    }
}

/// A signature that says whose it is, and not over what.
pub fn named(signer: Address) -> Signature {
    let mut bytes = [0; 65];
    bytes[..20].copy_from_slice(signer.as_slice());
    Signature(bytes)
}
