//! What transactions cost: the table that the model quotes, and how it is measured from the bytecode.
//!
//! Execution gas. On an L2 the transaction's data is paid for on top.

use decdn_engine::chain;

use crate::backend::Call;

/// What the model says a transaction used. The bytecode's figures vary with zero bytes, cold slots and first balances; a
/// test keeps these within a quarter of them.
pub(crate) fn quoted(call: &Call, succeeded: bool) -> u64 {
    match call {
        Call::Role(call) if succeeded => typical(call),
        Call::Role(_) => REFUSED,
        Call::Setup(_) => 50_000,
    }
}

/// A call that the contract refuses.
const REFUSED: u64 = 30_000;

/// Execution gas of a call that succeeds.
pub const fn typical(call: &chain::Call) -> u64 {
    match call {
        chain::Call::Approve { .. } => 46_000,
        chain::Call::Open { .. } => 200_000,
        chain::Call::Close { voucher: None, .. } => 60_000,
        chain::Call::Close { voucher: Some(_), .. } => 85_000,
        chain::Call::Dispute { .. } => 60_000,
        chain::Call::Settle { .. } => 90_000,
        chain::Call::CloseCooperatively { .. } => 100_000,
        chain::Call::WithdrawCredit { .. } => 60_000,
    }
}
