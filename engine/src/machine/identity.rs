//! The proof of a role's account to its peers: one signature, the same on every connection (I3).

use super::Cx;
use crate::{
    crypto::{Signature, Typed},
    ids::{Address, NodeId, SignTicket},
    io::Lane,
    wire::Auth,
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Identity {
    node: NodeId,
    account: Address,
    signature: Option<Signature>,
    asked: Option<SignTicket>,
}

impl Identity {
    /// Of this account at this network key.
    pub fn new(node: NodeId, account: Address) -> Self {
        Self { node, account, signature: None, asked: None }
    }

    /// The proof, as a request carries it.
    pub fn auth(&self) -> Option<Auth> {
        self.signature.map(|signature| Auth { address: self.account, signature })
    }

    /// Whether there is a proof.
    pub fn is_proven(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether the signer was asked and has not answered.
    pub fn is_asked(&self) -> bool {
        self.asked.is_some()
    }

    /// The signature that was asked for.
    pub fn ticket(&self) -> Option<SignTicket> {
        self.asked
    }

    /// Asks the signer for it, once.
    pub fn ask(&mut self, cx: &mut Cx<'_>) {
        assert!(self.signature.is_none(), "the proof is there: it is the same on every connection (I3)");
        if self.asked.is_none() {
            self.asked =
                Some(cx.tools.sign(Lane::Role, Typed::BindNodeId { node: self.node, nonce: 0 }, cx.out));
        }
    }

    /// The signer's answer to a ticket: `None` if it was another's, else whether there is a proof now.
    pub fn on_signed(&mut self, ticket: SignTicket, signature: Option<Signature>) -> Option<bool> {
        if self.asked != Some(ticket) {
            return None;
        }
        assert!(self.signature.is_none(), "the proof is signed once (I3)");
        self.asked = None;
        self.signature = signature;
        Some(signature.is_some())
    }
}
