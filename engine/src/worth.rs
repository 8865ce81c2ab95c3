//! Whether a transaction is worth its gas (X2): what it moves against what it costs, in the token that it moves. What a native coin is
//! worth is the owner's word, never an endpoint's; without one nothing is held back.

use alloy_primitives::U256;
use serde::{Deserialize, Serialize};

use crate::money::Amount;

/// Gas of a dispute. These four are what is reckoned with, not more than an eighth above what `contracts` measures; a test there
/// compares them.
pub const DISPUTE_GAS: u64 = 46_000;
/// Gas of a settlement.
pub const SETTLE_GAS: u64 = 70_000;
/// Gas of a finish.
pub const FINISH_GAS: u64 = 82_000;
/// Gas of a claim.
pub const CLAIM_GAS: u64 = 70_000;

/// Wei in a native coin.
const COIN_WEI: u64 = 1_000_000_000_000_000_000;

/// What gas costs, in wei. Zero: nobody has said.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct GasPrice(pub u64);

impl GasPrice {
    /// Whether nobody has said it.
    pub fn is_unknown(&self) -> bool {
        self.0 == 0
    }
}

/// What a channel's transactions are measured by.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stake {
    /// What was paid out of the channel by claims (C12).
    pub claimed: Amount,
    /// What a native coin is worth, in the token's base units.
    pub coin: Option<Amount>,
}

/// What gas costs now, and how many times as much a transaction has to move.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Market {
    /// See [`GasPrice`].
    pub gas_price: GasPrice,
    /// The owner's factor.
    pub factor: u8,
}

impl Market {
    /// The most that a transaction of so much gas may move without being worth it: its cost, rounded up, times the factor.
    pub fn cost(&self, gas: u64, coin: Option<Amount>) -> Amount {
        let Some(coin) = coin else { return Amount::ZERO };
        let wei = U256::from(gas) * U256::from(self.gas_price.0);
        let units = (wei * U256::from(coin.0)).div_ceil(U256::from(COIN_WEI));
        Amount(units.saturating_mul(U256::from(self.factor)).saturating_to())
    }

    /// Whether a transaction of so much gas that moves this much is worth it.
    pub fn pays(&self, moves: Amount, gas: u64, coin: Option<Amount>) -> bool {
        moves > self.cost(gas, coin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 46,000 gas at 0.02 gwei are 9.2 * 10^-7 coins: at 3,000 USDC a coin 2,760 base units.
    const MARKET: Market = Market { gas_price: GasPrice(20_000_000), factor: 2 };
    const COIN: Option<Amount> = Some(Amount(3_000_000_000));

    #[test]
    fn x2_a_transaction_moves_more_than_twice_its_cost() {
        assert_eq!(MARKET.cost(DISPUTE_GAS, COIN), Amount(5_520));
        assert!(!MARKET.pays(Amount(5_520), DISPUTE_GAS, COIN));
        assert!(MARKET.pays(Amount(5_521), DISPUTE_GAS, COIN));
    }

    #[test]
    fn x2_nothing_is_held_back_that_nobody_has_put_a_price_on() {
        assert!(MARKET.pays(Amount(1), DISPUTE_GAS, None));
        let unknown = Market { gas_price: GasPrice(0), ..MARKET };
        assert!(unknown.gas_price.is_unknown() && unknown.pays(Amount(1), DISPUTE_GAS, COIN));
        assert!(!MARKET.pays(Amount::ZERO, DISPUTE_GAS, None));
    }

    #[test]
    fn x2_a_cost_is_rounded_up_and_never_runs_over() {
        let cheap = Market { gas_price: GasPrice(1), factor: 1 };
        assert_eq!(cheap.cost(1, Some(Amount(1))), Amount(1));
        let dear = Market { gas_price: GasPrice(u64::MAX), factor: u8::MAX };
        assert_eq!(dear.cost(u64::MAX, Some(Amount::MAX)), Amount::MAX);
    }
}
