//! Ordering what is there already: a download that was kept goes on, one that runs gets other terms (D17).

use alloc::vec::Vec;

use super::{Fetch, Fetcher, Price, Stage};
use crate::{
    ids::{Address, FetchId, NodeId},
    machine::{AlarmKey, Cx},
    money::Amount,
    order::{Candidate, FetchOrder},
    record::FetchRecord,
    state::Canonical,
};

/// Whom a download tries after its terms have changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amended {
    /// The same as before.
    Same,
    /// The first in the new list that has attempts left.
    First,
    /// Nobody in it has any.
    Nobody,
}

impl Fetch {
    /// Whether nothing moves it.
    pub fn is_kept(&self) -> bool {
        self.stage == Stage::Kept
    }

    /// Whether it lists a node, and is not just kept.
    pub fn lists(&self, node: NodeId) -> bool {
        !self.is_kept() && self.record.order.candidates.iter().any(|candidate| candidate.node == node)
    }

    /// Whether it may use a channel with this node, in this token, now or later.
    pub fn wants(&self, node: NodeId, token: Address) -> bool {
        self.record.order.token == token && self.lists(node)
    }

    /// Whether an opening with this deposit is within its order (V4), whoever it was first wanted by.
    pub fn may_deposit(&self, deposit: Amount) -> bool {
        deposit.0 <= self.record.order.deposit.0.saturating_mul(2)
    }

    /// Whether an order is for what this one gets: another candidate's bytes go on where the last one's ended.
    pub fn gets(&self, order: &FetchOrder) -> bool {
        let own = &self.record.order;
        (own.hash, own.offset_bytes, own.len_bytes) == (order.hash, order.offset_bytes, order.len_bytes)
    }

    /// Takes other terms up. What is known of candidates that are in both lists stays, as far as it is about the same token.
    fn amend(&mut self, order: FetchOrder, present: Option<usize>) {
        let before = core::mem::replace(&mut self.record.order, order);
        let after = &self.record.order;
        let known = |(place, candidate): (usize, &Candidate)| match present {
            Some(present) if present == place => Some(self.current),
            _ if before.token != after.token => None,
            _ => before.candidates.iter().position(|other| other == candidate),
        };
        let known: Vec<Option<usize>> = after.candidates.iter().enumerate().map(known).collect();
        let of = |prices: &[Price], place: usize| match prices[place] {
            // It may want less by now.
            Price::Quoted(quote) if quote.rate > after.max_rate => Price::Due,
            price => price,
        };
        self.tries = known.iter().map(|place| place.map_or(0, |place| self.tries[place])).collect();
        self.agreed = known.iter().map(|place| place.and_then(|place| self.agreed[place])).collect();
        self.prices =
            known.iter().map(|place| place.map_or(Price::Unasked, |place| of(&self.prices, place))).collect();
        if present.is_none() {
            self.refusals = 0;
        }
        self.current = present.unwrap_or(0);
        let count = self.record.order.candidates.len();
        assert_eq!(self.tries.len(), count, "each candidate has a count of tries");
        assert!(self.current < count, "the present candidate is one of the order's");
        self.is_amended = true;
    }

    /// The terms that an order may change, for the digest.
    pub(super) fn canon_terms(&self, out: &mut Canonical) {
        let FetchOrder { candidates, token, deposit, cadence_bytes, max_rate, keep_channel, .. } =
            &self.record.order;
        for Candidate { node, operator } in candidates {
            out.bytes(&node.0);
            out.bytes(operator.as_slice());
        }
        out.bytes(token.as_slice());
        out.large(deposit.0);
        out.number(*cadence_bytes);
        out.number(max_rate.0);
        out.tag(u8::from(*keep_channel));
    }
}

impl Fetcher {
    /// Takes up a download that waits for its owner.
    pub fn adopt_kept(&mut self, record: FetchRecord) {
        assert!(!self.fetches.contains_key(&record.order.id), "a download is taken up once");
        self.fetches.insert(record.order.id, Fetch::new(record, Price::Due, Stage::Kept));
    }

    /// A download has failed: what it has verified is kept, as a start would find it. Returns it as it was.
    pub fn keep(&mut self, id: FetchId, cx: &mut Cx<'_>) -> Fetch {
        cx.tools.alarms.cancel(AlarmKey::Fetch(id));
        let fetch = self.fetches.get_mut(&id).expect("only a download that is there fails");
        let kept = Fetch::new(fetch.record.clone(), Price::Due, Stage::Kept);
        core::mem::replace(fetch, kept)
    }

    /// A kept download is ordered again: with nothing against anybody, and no price known.
    pub fn go_on(&mut self, order: FetchOrder) {
        let fetch = self.fetches.get_mut(&order.id).expect("only a download that is there goes on");
        assert!(fetch.is_kept() && fetch.gets(&order), "what goes on was kept, and gets the same (D17)");
        let record = FetchRecord { order, ..fetch.record.clone() };
        *fetch = Fetch::new(record, Price::Due, Stage::Waiting);
        fetch.is_amended = true;
    }

    /// Other terms for a download that runs. `stays`: whether the attempt that runs may go on under them.
    pub fn amend(&mut self, order: FetchOrder, stays: bool) -> Amended {
        let fetch = self.fetches.get_mut(&order.id).expect("only a download that is there is amended");
        assert!(fetch.gets(&order), "other terms are for the same bytes (D17)");
        let candidate = fetch.candidate();
        let present = order.candidates.iter().position(|other| stays && *other == candidate);
        fetch.amend(order, present);
        if present.is_some() {
            return Amended::Same;
        }
        match fetch.tries.iter().position(|tries| *tries < self.attempts) {
            Some(first) => {
                fetch.current = first;
                Amended::First
            }
            None => Amended::Nobody,
        }
    }

    /// The kept download that is given up first where there is no room: the one with the least to lose.
    pub fn least_kept(&self) -> Option<FetchId> {
        let kept = self.fetches.iter().filter(|(_, fetch)| fetch.is_kept());
        kept.min_by_key(|(id, fetch)| (fetch.record.verified_bytes, **id)).map(|(id, _)| *id)
    }
}
