//! What the owner has agreed to, and whether it is enough (D16).

use super::{Fetch, Fetcher, Stage};
use crate::{
    ids::{FetchId, NodeId},
    money::Amount,
    order::Agreement,
};

impl Fetch {
    /// Whether the owner is asked about this candidate.
    pub fn is_asking(&self, node: NodeId) -> bool {
        self.stage == Stage::Asking && self.candidate().node == node
    }

    /// Whether this is a yes to what the present candidate has quoted, and to this deposit.
    pub fn is_enough(&self, agreement: &Agreement, deposit: Amount) -> bool {
        self.quoted().is_some_and(|quote| agreement.covers(quote.rate, deposit))
    }

    /// Whether the owner has agreed to an opening with this deposit, at what the present candidate has quoted.
    pub fn is_agreed(&self, deposit: Amount) -> bool {
        self.agreed[self.current].is_some_and(|agreement| self.is_enough(&agreement, deposit))
    }

    /// The owner agrees.
    pub fn agree(&mut self, agreement: Agreement) {
        self.agreed[self.current] = Some(agreement);
    }

    /// What the owner has agreed to and no opening has used up.
    pub fn agreements(&self) -> impl Iterator<Item = &Agreement> {
        self.agreed.iter().flatten()
    }
}

impl Fetcher {
    /// What the owner has agreed to with a download's present candidate, which from now on counts no more: it is used up, taken
    /// back, or too little.
    pub fn take_agreement(&mut self, id: FetchId) -> Option<Agreement> {
        let fetch = self.fetches.get_mut(&id)?;
        fetch.agreed[fetch.current].take()
    }
}
