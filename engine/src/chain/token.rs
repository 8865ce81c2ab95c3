//! A token, as far as a role speaks to it. Every ERC-20 allows any allowance: there is nothing to predict, and no event
//! that a role follows.

use serde::{Deserialize, Serialize};

use crate::{ids::Address, money::Amount};

/// A call of the contract.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Call {
    /// ERC-20 `approve(PaymentChannel, amount)`.
    Approve {
        /// The token.
        token: Address,
        /// The allowance.
        amount: Amount,
    },
}

impl Call {
    pub(super) fn purpose(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approving a deposit",
        }
    }
}
