//! Asking the owner before money goes into a channel (D16): an opening waits for the yes to its price and its deposit, for so long
//! and no longer. A yes is for one opening. It is kept in memory alone: after a restart the owner is asked anew.
//!
//! What is bought on a channel that is there needs no yes: it pays from a deposit that was agreed to, within the order's highest
//! rate.

use super::Client;
use crate::{
    ids::{Address, FetchId, NodeId},
    io::{FetchFailure, Outputs},
    machine::{
        Cx,
        fetcher::{Failure, Stage},
    },
    money::Amount,
    order::Agreement,
    time::Now,
};

impl Client {
    /// Asks for a yes to what the present candidate has quoted. An earlier one that is too little counts no more.
    pub(super) fn ask_owner(&mut self, now: Now, id: FetchId, deposit: Amount, out: &mut Outputs) {
        self.show_quote(id, Some(deposit), out);
        self.fetcher.take_agreement(id);
        self.fetcher.set_stage(id, Stage::Asking, &mut Cx { now, tools: &mut self.tools, out });
    }

    /// A yes. One that comes late, or for somebody else, is to nothing that was asked; one to less than was asked leaves the
    /// question open. If the quote has become old meanwhile the node is asked once more, and the owner only if it has risen.
    pub(super) fn on_agreed(
        &mut self,
        now: Now,
        id: FetchId,
        node: NodeId,
        agreement: Agreement,
        out: &mut Outputs,
    ) {
        let asks = self.fetcher.fetches.get(&id).filter(|fetch| fetch.is_asking(node));
        if !asks
            .is_some_and(|fetch| fetch.deposit().is_some_and(|deposit| fetch.is_enough(&agreement, deposit)))
        {
            return;
        }
        self.fetcher.fetches.get_mut(&id).expect("looked up above").agree(agreement);
        self.fetcher.set_stage(id, Stage::Waiting, &mut Cx { now, tools: &mut self.tools, out });
        self.advance(now, id, out);
    }

    /// A no. After a yes that no opening has used up it takes that back, whichever candidate is tried meanwhile; an opening that
    /// has left goes on.
    pub(super) fn on_declined(&mut self, now: Now, id: FetchId, node: NodeId, out: &mut Outputs) {
        let Some(fetch) = self.fetcher.fetches.get_mut(&id) else { return };
        let was_agreed = fetch.take_back(node);
        let is_tried = fetch.candidate().node == node;
        match fetch.stage {
            Stage::Asking if is_tried => self.on_not_agreed(now, id, out),
            Stage::Waiting | Stage::BackingOff if is_tried && was_agreed => self.on_not_agreed(now, id, out),
            _ => {}
        }
    }

    /// A no, or none at all in all that time: this candidate is out of the question for this download.
    pub(super) fn on_not_agreed(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = self.fetcher.fetches.get_mut(&id).expect("a question to the owner is a download's");
        fetch.why = FetchFailure::NotAgreed;
        self.fail_attempt(now, id, Failure::Ban, out);
    }

    /// A channel with this node is open: whoever asks about another one has no need to.
    pub(super) fn stop_asking(&mut self, now: Now, node: NodeId, token: Address, out: &mut Outputs) {
        let asking = self.fetcher.ids(|fetch| fetch.is_asking(node) && fetch.record.order.token == token);
        for id in asking {
            self.fetcher.set_stage(id, Stage::Waiting, &mut Cx { now, tools: &mut self.tools, out });
        }
    }
}
