//! What a transaction bids for its place in a block, and under which nonce of its account. It asks nobody and sends nothing, so the
//! edge and the simulator have one purse: what it is to be told, and what is to be sent, is its caller's.

use alloc::{collections::BTreeMap, vec::Vec};

/// The least gas limit, whatever an estimate says.
pub const GAS_LEAST: u64 = 60_000;
/// The most that an estimate is believed at first: each call of ours takes less, what the L2 charges for L1's data included. Whoever
/// answers with more can't make a transaction too dear for its account.
pub const GAS_FIRST: u64 = 2_000_000;
/// The most gas that is ever asked for.
pub const GAS_MOST: u64 = 30_000_000;
/// What is bid at most for what waits, in times of what the market asks: beyond that it is not the fee that it waits for.
const TIMES_MARKET: u128 = 100;
/// What is bid at most for what waits, of what may be bid: room is left for two that take its place.
const RAISED_MOST: (u128, u128) = (4, 9);
/// What a replacement bids in percent of what it replaces.
const RAISE_PERCENT: u128 = 150;
/// The least that nodes take for a replacement, in percent of what it replaces.
const LEAST_PERCENT: u128 = 110;

/// Fees per unit of gas, in wei.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fees {
    /// The most in all.
    pub most: u128,
    /// What of it may go to whoever makes the block.
    pub tip: u128,
}

impl Fees {
    /// No more than this.
    pub fn capped(self, cap: u128) -> Self {
        let most = self.most.min(cap);
        Self { most, tip: self.tip.min(most) }
    }

    /// Half as much again, up to a cap.
    pub fn raised(self, cap: u128) -> Self {
        let raise = |wei: u128| (wei.saturating_mul(RAISE_PERCENT) / 100).max(wei.saturating_add(1));
        Self { most: raise(self.most), tip: raise(self.tip) }.capped(cap)
    }

    /// Whether a node takes this in place of the other.
    pub fn replaces(self, other: Self) -> bool {
        let least = |wei: u128| wei.saturating_mul(LEAST_PERCENT).div_ceil(100);
        self.most >= least(other.most).max(other.most.saturating_add(1)) && self.tip >= least(other.tip)
    }

    fn max(self, other: Self) -> Self {
        Self { most: self.most.max(other.most), tip: self.tip.max(other.tip) }
    }
}

/// What a transaction may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caps {
    /// Per unit of gas, in wei.
    pub fee: u128,
    /// In all, in wei: what it saves, where that is known (X2).
    pub cost: Option<u128>,
}

impl Caps {
    fn of_gas(self, gas_limit: u64) -> u128 {
        let share = |cost: u128| cost / u128::from(gas_limit.max(1));
        self.cost.map_or(self.fee, |cost| share(cost).min(self.fee))
    }
}

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bid {
    /// The gas limit.
    pub gas_limit: u64,
    /// The fees.
    pub fees: Fees,
    caps: Caps,
}

impl Bid {
    /// The first one: the chain's own estimate, within limits, and what the market asks; but more than what lies under the same nonce
    /// already.
    pub fn first(estimate: u64, market: Fees, caps: Caps, lies: Option<Self>) -> Self {
        let gas_limit = estimate.clamp(GAS_LEAST, GAS_FIRST);
        let cap = caps.of_gas(gas_limit);
        let over = lies.map_or(Fees::default(), |lies| lies.fees.raised(cap));
        Self { gas_limit, fees: market.max(over).capped(cap), caps }
    }

    /// Nobody takes it: half as much again, and no less than the market asks now. `None` where that would be more than it may
    /// cost, or less than a node takes for a replacement. Whoever says what the market asks may say too little, so much more is bid; but
    /// what a sequencer does not want must not become so dear that nothing can take its place.
    #[must_use]
    pub fn raised(self, market: Fees) -> Option<Self> {
        let (part, of) = RAISED_MOST;
        let most = self.caps.of_gas(self.gas_limit).saturating_mul(part) / of;
        let cap = most.min(market.most.saturating_mul(TIMES_MARKET));
        let fees = self.fees.raised(cap).max(market.capped(cap));
        fees.replaces(self.fees).then_some(Self { fees, ..self })
    }

    /// Its gas was not enough, or was refused: twice as much. `None` where there is no more.
    #[must_use]
    pub fn with_more_gas(self) -> Option<Self> {
        let gas_limit = self.gas_limit.saturating_mul(2).min(GAS_MOST);
        let fees = self.fees.capped(self.caps.of_gas(gas_limit));
        (gas_limit > self.gas_limit).then_some(Self { gas_limit, fees, ..self })
    }

    /// What it costs at most, in wei.
    pub fn cost(self) -> u128 {
        self.fees.most.saturating_mul(self.gas_limit.into())
    }
}

/// The nonces of one account that are taken by transactions which are still followed, and what each was to do. What is given up
/// leaves its nonce to the next transaction, which replaces it; and where one waits behind it already, to one that does nothing. So
/// nothing waits for ever behind what nobody takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nonces<W>(BTreeMap<u64, Taken<W>>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Taken<W> {
    /// Nothing, where it only makes way for others.
    what: Option<W>,
    is_followed: bool,
    /// What was bid under it last, if a node has it.
    bid: Option<Bid>,
}

/// A nonce for a transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The nonce.
    pub nonce: u64,
    /// What a node may have under it.
    pub lies: Option<Bid>,
    /// Whether that does the same: then it is followed again, and not replaced.
    pub is_same: bool,
}

impl<W> Default for Nonces<W> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<W: PartialEq> Nonces<W> {
    /// A place for a transaction, of an account that has used so many nonces: that of the same one that was given up, or the lowest
    /// nonce that nothing which is followed has.
    pub fn take(&mut self, used: u64, what: W) -> Place {
        self.0 = self.0.split_off(&used);
        let same = self.0.iter().find(|(_, taken)| !taken.is_followed && taken.what.as_ref() == Some(&what));
        let is_free = |nonce: &u64| self.0.get(nonce).is_none_or(|taken| !taken.is_followed);
        let (nonce, is_same) = match same {
            Some((nonce, _)) => (*nonce, true),
            None => ((used..u64::MAX).find(is_free).unwrap_or(u64::MAX), false),
        };
        let bid = self.0.get(&nonce).and_then(|taken| taken.bid);
        self.0.insert(nonce, Taken { what: Some(what), is_followed: true, bid });
        Place { nonce, lies: bid, is_same }
    }

    /// A node has this under a nonce.
    pub fn sent(&mut self, nonce: u64, bid: Bid) {
        if let Some(taken) = self.0.get_mut(&nonce) {
            taken.bid = Some(bid);
        }
    }

    /// What has this nonce is in a block: should the same be sent once more, that is another one.
    pub fn done(&mut self, nonce: u64) {
        self.0.remove(&nonce);
    }

    /// What has this nonce is followed no more.
    pub fn free(&mut self, nonce: u64) {
        match self.0.get_mut(&nonce) {
            Some(taken) if taken.bid.is_some() => taken.is_followed = false,
            // Nobody has it.
            Some(_) => _ = self.0.remove(&nonce),
            None => {}
        }
    }

    /// What was given up and has something behind it that is followed: each nonce, and what was bid under it. They are to be taken by
    /// transactions that do nothing, and are named once.
    pub fn clear_the_way(&mut self) -> Vec<(u64, Bid)> {
        let followed = self.0.iter().filter(|(_, taken)| taken.is_followed);
        let Some(last) = followed.map(|(nonce, _)| *nonce).max() else { return Vec::new() };
        let mut way = Vec::new();
        for (nonce, taken) in self.0.range_mut(..last) {
            if let (false, Some(_), Some(bid)) = (taken.is_followed, &taken.what, taken.bid) {
                taken.what = None;
                way.push((*nonce, bid));
            }
        }
        way
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps { fee: 1_000, cost: None };

    fn fees(most: u128) -> Fees {
        Fees { most, tip: 0 }
    }

    #[test]
    fn l2_each_bid_is_half_as_much_again_up_to_the_most() {
        let mut bid = Fees { most: 1_000, tip: 1 };
        bid = bid.raised(2_000);
        assert_eq!(bid, Fees { most: 1_500, tip: 2 });
        bid = bid.raised(2_000);
        assert_eq!(bid, Fees { most: 2_000, tip: 3 });
        assert_eq!(bid.raised(2_000).most, 2_000);
        assert_eq!(Fees::default().raised(10), Fees { most: 1, tip: 1 });
        assert_eq!(Fees { most: u128::MAX, tip: u128::MAX }.raised(u128::MAX).most, u128::MAX);
    }

    #[test]
    fn l2_a_bid_follows_the_market_and_stops_at_what_it_may_cost() {
        let bid = Bid::first(100_000, fees(10), CAPS, None);
        assert_eq!((bid.gas_limit, bid.fees.most), (100_000, 10));
        let bid = bid.raised(fees(300)).expect("the market asks for more");
        assert_eq!(bid.fees.most, 300);
        let bid = bid.raised(fees(900)).expect("half as much again is left");
        assert_eq!(bid.fees.most, 444);
        assert_eq!(bid.raised(fees(5_000)), None, "what may be bid for what waits");
        let next = Bid::first(1, fees(10), CAPS, Some(bid));
        assert!(next.fees.replaces(bid.fees) && next.fees.most == 666, "what takes its place may bid more");
        // A raise of less than a tenth would be refused.
        assert_eq!(Bid::first(1, fees(430), CAPS, None).raised(fees(430)), None);
        let mut bid = Bid::first(1, fees(1), CAPS, None);
        while let Some(raised) = bid.raised(fees(1)) {
            bid = raised;
        }
        assert_eq!(bid.fees.most, 94, "a hundred times the market, less what would be no raise");
        let dear = Caps { fee: 1_000, cost: Some(60_000 * 45) };
        let bid = Bid::first(1, fees(10), dear, None);
        let bid = bid.raised(fees(100)).expect("up to what it saves");
        assert_eq!(bid.fees.most, 20);
        let more = bid.with_more_gas().expect("there is more");
        assert_eq!((more.fees.most, more.cost()), (20, 2_400_000));
    }

    #[test]
    fn l2_gas_is_the_estimate_within_limits_and_doubles() {
        let first = |estimate| Bid::first(estimate, fees(1), CAPS, None).gas_limit;
        assert_eq!((first(0), first(61_000), first(u64::MAX)), (GAS_LEAST, 61_000, GAS_FIRST));
        let mut bid = Bid::first(0, fees(1), CAPS, None);
        let mut limits = alloc::vec![bid.gas_limit];
        while let Some(more) = bid.with_more_gas() {
            bid = more;
            limits.push(bid.gas_limit);
        }
        assert_eq!(limits.len(), 10, "60,000 × 2^9 is above 30 M");
        assert_eq!(limits.last(), Some(&GAS_MOST));
    }

    #[test]
    fn l2_what_is_given_up_is_replaced_by_the_next_one() {
        let mut nonces = Nonces::default();
        let place = |nonce| Place { nonce, lies: None, is_same: false };
        assert_eq!((nonces.take(5, 'a'), nonces.take(5, 'b')), (place(5), place(6)));
        let bid = Bid::first(0, fees(10), CAPS, None);
        nonces.sent(5, bid);
        nonces.sent(6, bid);
        nonces.free(5);
        let taken = nonces.take(5, 'c');
        assert_eq!(taken, Place { lies: Some(bid), ..place(5) });
        assert!(Bid::first(0, fees(10), CAPS, taken.lies).fees.replaces(bid.fees), "and it bids more");
        assert_eq!(nonces.take(5, 'd'), place(7));
        // Refused: nobody has it.
        nonces.free(7);
        assert_eq!(nonces.take(5, 'e'), place(7));
        // What is in a block is over.
        assert_eq!(nonces.take(8, 'f'), place(8));
    }

    #[test]
    fn l2_nothing_waits_behind_what_was_given_up() {
        let mut nonces = Nonces::default();
        let bid = Bid::first(0, fees(10), CAPS, None);
        for what in ['a', 'b'] {
            let place = nonces.take(0, what);
            nonces.sent(place.nonce, bid);
        }
        assert_eq!(nonces.clear_the_way(), []);
        nonces.free(1);
        assert_eq!(nonces.clear_the_way(), [], "nothing is behind it");
        nonces.free(0);
        assert_eq!(nonces.take(0, 'b').nonce, 1);
        assert_eq!(nonces.clear_the_way(), [(0, bid)]);
        assert_eq!(nonces.clear_the_way(), [], "once");
        assert_eq!(nonces.take(0, 'a'), Place { nonce: 0, lies: Some(bid), is_same: false });
    }

    #[test]
    fn l2_what_is_sent_again_is_followed_where_it_lies() {
        let mut nonces = Nonces::default();
        let bid = Bid::first(0, fees(10), CAPS, None);
        for what in ['a', 'b'] {
            let place = nonces.take(0, what);
            nonces.sent(place.nonce, bid);
        }
        nonces.free(0);
        nonces.free(1);
        assert_eq!(nonces.take(0, 'b'), Place { nonce: 1, lies: Some(bid), is_same: true });
        assert_eq!(nonces.take(0, 'c'), Place { nonce: 0, lies: Some(bid), is_same: false });
    }
}
