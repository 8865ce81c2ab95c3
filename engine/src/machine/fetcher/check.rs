//! What holds of downloads between two steps.

use super::{Fetcher, Price, Stage};
use crate::state::{Broken, Checked, Invariant, holds};

impl Fetcher {
    /// Of candidates, prices and what is verified.
    pub const INVARIANTS: &'static [Invariant<Self>] = &[
        Invariant::of("each candidate has a price and a count of tries", Self::have_candidates_all),
        Invariant::tie("the present candidate has tries left", Self::has_candidate_tries),
        Invariant::tie("no quote is kept that is above the maximum", Self::are_quotes_allowed),
        Invariant::of("a download goes no further than its end", Self::are_ends_kept),
        Invariant::of("a download that is being paid is whole", Self::are_paying_whole),
        Invariant::tie(
            "whoever asks the owner has a price to show, and no yes to it",
            Self::are_questions_open,
        ),
        Invariant::of("a kept download is as a start would find it", Self::are_kept_clean),
    ];

    /// The first of [`Self::INVARIANTS`] that does not hold, or of what does of its tables.
    ///
    /// # Errors
    /// That one.
    pub fn check(&self) -> Result<(), Broken> {
        self.fetches.check()?;
        Invariant::check_all(Self::INVARIANTS, self)
    }

    fn have_candidates_all(&self) -> Checked {
        for (id, fetch) in self.fetches.iter() {
            let count = fetch.record.order.candidates.len();
            let lists = [fetch.tries.len(), fetch.prices.len(), fetch.agreed.len()];
            let is_there = fetch.current < count && lists == [count; 3];
            holds!(is_there, "{id:?}: {count} candidates");
        }
        Ok(())
    }

    fn has_candidate_tries(&self) -> Checked {
        for (id, fetch) in self.fetches.iter() {
            let tries = fetch.tries.get(fetch.current);
            holds!(
                tries.is_some_and(|tries| *tries < self.attempts),
                "{id:?}: {tries:?} of {}",
                self.attempts
            );
        }
        Ok(())
    }

    fn are_quotes_allowed(&self) -> Checked {
        for (id, fetch) in self.fetches.iter() {
            let most = fetch.record.order.max_rate;
            for price in &fetch.prices {
                holds!(!matches!(price, Price::Quoted(quote) if quote.rate > most), "{id:?}: {price:?}");
            }
        }
        Ok(())
    }

    fn are_ends_kept(&self) -> Checked {
        for (id, fetch) in self.fetches.iter() {
            let (position, end) = (fetch.position(), fetch.end());
            holds!(end.is_none_or(|end| position <= end), "{id:?}: at {position} of {end:?}");
        }
        Ok(())
    }

    fn are_paying_whole(&self) -> Checked {
        for (id, fetch) in self.fetches.iter() {
            holds!(!matches!(fetch.stage, Stage::Paying(_)) || fetch.is_complete(), "{id:?}");
        }
        Ok(())
    }

    fn are_questions_open(&self) -> Checked {
        for (id, fetch) in self.fetches.iter().filter(|(_, fetch)| fetch.stage == Stage::Asking) {
            let is_open = fetch.quoted().is_some() && fetch.agreed[fetch.current].is_none();
            holds!(is_open, "{id:?}: {:?}", fetch.agreed[fetch.current]);
        }
        Ok(())
    }

    /// Nothing is left to be written, or held against anybody.
    fn are_kept_clean(&self) -> Checked {
        for (id, fetch) in self.fetches.iter().filter(|(_, fetch)| fetch.is_kept()) {
            let is_clean = fetch.sources.is_empty()
                && fetch.tries.iter().all(|tries| *tries == 0)
                && fetch.prices.iter().all(|price| *price == Price::Due)
                && fetch.agreements().next().is_none();
            holds!(is_clean, "{id:?}: {:?}, {:?}", fetch.sources, fetch.tries);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::{
        super::{Fetch, Quoted, Timeouts},
        *,
    };
    use crate::{
        crypto::Signature,
        ids::{Address, BlobHash, FetchId, NodeId},
        limits::GROUP,
        money::{Amount, Rate},
        order::{Candidate, FetchOrder},
        record::FetchRecord,
        state::{Case, Slab, each_fails},
        time::WallTime,
    };

    /// One of two groups is verified, at a price that was quoted.
    fn half() -> Fetcher {
        let order = FetchOrder {
            id: FetchId(1),
            hash: BlobHash([7; 32]),
            offset_bytes: 0,
            len_bytes: 0,
            candidates: vec![Candidate { node: NodeId([1; 32]), operator: Address::ZERO }],
            token: Address::ZERO,
            deposit: Amount(9),
            cadence_bytes: 4 * GROUP,
            max_rate: Rate(5),
            keep_channel: false,
        };
        let record = FetchRecord { order, verified_bytes: GROUP, total_bytes: Some(2 * GROUP) };
        let (timestamp, signature) = (WallTime(1), Signature([1; 65]));
        let quote = Quoted {
            rate: Rate(5),
            timestamp,
            signature,
            total_bytes: Some(2 * GROUP),
            least_deposit: Amount::ZERO,
        };
        let mut fetcher = Fetcher::new(Address::ZERO, 3, Timeouts::default());
        fetcher.adopt(record, Price::Quoted(quote));
        fetcher
    }

    fn fetch(fetcher: &mut Fetcher) -> &mut Fetch {
        fetcher.fetches.get_mut(&FetchId(1)).expect("the download")
    }

    #[test]
    fn each_invariant_of_downloads_can_fail() {
        let cases: [Case<Fetcher>; 7] = [
            ("each candidate has a price and a count of tries", half, |it| fetch(it).prices.clear()),
            ("the present candidate has tries left", half, |it| fetch(it).tries[0] = 3),
            ("no quote is kept that is above the maximum", half, |it| {
                fetch(it).record.order.max_rate = Rate(4);
            }),
            ("a download goes no further than its end", half, |it| {
                fetch(it).record.verified_bytes = 3 * GROUP;
            }),
            ("a download that is being paid is whole", half, |it| {
                fetch(it).stage = Stage::Paying(Slab::default().insert(()));
            }),
            ("whoever asks the owner has a price to show, and no yes to it", half, |it| {
                fetch(it).stage = Stage::Asking;
                fetch(it).set_price(Price::Due);
            }),
            ("a kept download is as a start would find it", half, |it| fetch(it).stage = Stage::Kept),
        ];
        each_fails(Fetcher::INVARIANTS, &cases, |fetcher| assert!(fetcher.check().is_err()));
    }
}
