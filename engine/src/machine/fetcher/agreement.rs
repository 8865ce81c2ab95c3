//! What the owner has agreed to, and whether it is enough (D16).

use super::{BANNED, Fetch, Fetcher, Stage};
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
        assert_eq!(self.stage, Stage::Asking, "the owner agrees to what it was asked (D16)");
        self.agreed[self.current] = Some(agreement);
    }

    /// The owner takes back what it agreed to with a candidate; whether it had. One that is not tried now is not tried again.
    pub fn take_back(&mut self, node: NodeId) -> bool {
        let place = self.record.order.candidates.iter().position(|candidate| candidate.node == node);
        let Some(place) = place.filter(|place| self.agreed[*place].take().is_some()) else { return false };
        if place != self.current {
            self.tries[place] = BANNED;
        }
        true
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
        let fetch = self.fetches.get_mut(&id).expect("an agreement is a download's");
        fetch.agreed[fetch.current].take()
    }
}
