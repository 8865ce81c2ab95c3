//! What gas costs, by the endpoints' word: the lowest that one of them said lately, for what is held back because it seems too dear may be
//! lost, and one that lies must not bring that about (X2, L4).

use alloc::collections::BTreeMap;

use crate::{
    time::{Now, Span, Time},
    worth::GasPrice,
};

/// How long an endpoint's word counts.
const LATELY: Span = Span::from_secs(600);

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Prices {
    /// By endpoint, of which there are at most 256.
    said: BTreeMap<u8, (GasPrice, Time)>,
    lowest: GasPrice,
}

impl Prices {
    /// An endpoint says so.
    pub fn hear(&mut self, now: Now, endpoint: u8, price: GasPrice) {
        self.said.insert(endpoint, (price, now.mono));
        self.said.retain(|_, (_, at)| now.mono.since(*at) <= LATELY);
        let known = self.said.values().map(|(price, _)| *price).filter(|price| !price.is_unknown());
        self.lowest = known.min().unwrap_or_default();
    }

    /// The lowest price.
    pub fn lowest(&self) -> GasPrice {
        self.lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::WallTime;

    #[test]
    fn x2_an_endpoint_that_says_too_much_holds_nothing_back() {
        let at = |secs: u64| Now { mono: Time(secs * 1_000_000), wall: WallTime(0) };
        let mut prices = Prices::default();
        prices.hear(at(0), 0, GasPrice(10));
        prices.hear(at(60), 1, GasPrice(u64::MAX));
        assert_eq!(prices.lowest(), GasPrice(10));
        prices.hear(at(120), 0, GasPrice(30));
        assert_eq!(prices.lowest(), GasPrice(30), "its newest word counts");
        prices.hear(at(180), 2, GasPrice(0));
        assert_eq!(prices.lowest(), GasPrice(30), "who says nothing says no price");
        prices.hear(at(721), 1, GasPrice(50));
        assert_eq!(prices.lowest(), GasPrice(50), "it was not heard for ten minutes");
    }
}
