//! What a demo shows at the end of an act: bytes, vouchers, signatures, money and transactions, per party.

use alloy_sol_types::SolCall;
use decdn_contracts::bindings::sol::{PaymentChannel, TestToken};
use decdn_engine::money::{Amount, Rate};
use serde::Serialize;

use crate::devnet;

/// One act of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Statement {
    pub(super) act: &'static str,
    pub(super) content: String,
    pub(super) hash: String,
    pub(super) bytes: u64,
    pub(super) hash_ok: bool,
    pub(super) delivery_ms: u64,
    pub(super) rate_per_mb: u64,
    /// ceil(bytes × rate / MB).
    pub(super) price: u64,
    pub(super) deposit: u64,
    pub(super) paid: u64,
    pub(super) refunded: u64,
    pub(super) money_exact: bool,
    pub(super) close: Close,
    pub(super) client: PartyStatement,
    pub(super) node: PartyStatement,
}

/// How the channel ended.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Close {
    Cooperative,
    Disputed {
        closed_at: u64,
        disputed_to: u64,
        window_secs: u64,
    },
    /// The sequencer took no dispute; the delayed inbox was forced.
    Forced {
        closed_at: u64,
        disputed_to: u64,
        forced_after_secs: u64,
        window_secs: u64,
    },
    /// By the node, after it had claimed.
    Finished {
        claimed: u64,
    },
}

/// One side's part.
#[derive(Debug, Default, Serialize)]
pub(super) struct PartyStatement {
    pub(super) vouchers: u64,
    pub(super) signatures: u64,
    /// What the party holds more than before, in base units.
    pub(super) balance_change: i128,
    pub(super) gas: u64,
    pub(super) transactions: Vec<Transaction>,
}

#[derive(Debug, Serialize)]
pub(super) struct Transaction {
    call: &'static str,
    block: u64,
    ok: bool,
    gas: u64,
}

impl PartyStatement {
    pub(super) fn take_transactions(&mut self, transactions: &[devnet::Transaction]) {
        self.transactions = transactions
            .iter()
            .map(|tx| Transaction {
                call: name(tx.selector),
                block: tx.block.number,
                ok: tx.success,
                gas: tx.gas,
            })
            .collect();
        self.gas = self.transactions.iter().map(|tx| tx.gas).sum();
    }
}

/// The function that a transaction called.
fn name(selector: [u8; 4]) -> &'static str {
    match selector {
        TestToken::approveCall::SELECTOR => "approve",
        PaymentChannel::openChannelCall::SELECTOR => "openChannel",
        PaymentChannel::openWithPermitCall::SELECTOR => "openWithPermit",
        PaymentChannel::closeChannelCall::SELECTOR => "closeChannel",
        PaymentChannel::disputeChannelCall::SELECTOR => "disputeChannel",
        PaymentChannel::settleChannelCall::SELECTOR => "settleChannel",
        PaymentChannel::closeCooperativelyCall::SELECTOR => "closeCooperatively",
        PaymentChannel::claimChannelCall::SELECTOR => "claimChannel",
        PaymentChannel::finishChannelCall::SELECTOR => "finishChannel",
        _ => "another call",
    }
}

/// An amount of the demo's token, as people read it.
pub(super) fn usdc(base_units: u64) -> String {
    format!("{}.{:06} USDC", base_units / 1_000_000, base_units % 1_000_000)
}

/// A whole amount, as a statement holds it.
pub(super) fn units(amount: Amount) -> u64 {
    u64::try_from(amount.0).unwrap_or(u64::MAX)
}

/// Mebibytes a second.
#[expect(clippy::float_arithmetic, reason = "a figure to print")]
pub(super) fn mib_per_second(bytes: u64, ms: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20) / (ms.max(1) as f64 / 1_000.0)
}

impl Statement {
    pub(super) fn is_good(&self) -> bool {
        self.hash_ok && self.money_exact
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let yes = |is: bool| if is { "yes" } else { "NO" };
        let mut text = format!("\n  {}\n", self.act);
        let mut line = |what: &str, value: String| text += &format!("    {what:<24}{value}\n");
        line("content", self.content.clone());
        line("blake3", self.hash.clone());
        line("bytes delivered", format!("{} in {} ms", self.bytes, self.delivery_ms));
        line("", format!("{:.1} MiB/s", mib_per_second(self.bytes, self.delivery_ms)));
        line("hash matches", yes(self.hash_ok).to_owned());
        line("rate", format!("{} per MB", usdc(Rate(self.rate_per_mb).0)));
        match &self.close {
            Close::Cooperative => line("close", "cooperative, settled at once".to_owned()),
            Close::Disputed { closed_at, disputed_to, window_secs } => line(
                "close",
                format!(
                    "by the client at {}, disputed to {}, settled after {} h",
                    usdc(*closed_at),
                    usdc(*disputed_to),
                    window_secs / 3_600
                ),
            ),
            Close::Forced { closed_at, disputed_to, forced_after_secs, window_secs } => {
                line("close", format!("by the client at {}, the node's dispute censored", usdc(*closed_at)));
                let forced =
                    format!("forced in after {} h to {}", forced_after_secs / 3_600, usdc(*disputed_to));
                line("", format!("{forced}, settled after {} h", window_secs / 3_600));
            }
            Close::Finished { claimed } => {
                line("close", format!("{} claimed half-way, then finished by the node", usdc(*claimed)));
            }
        }
        line("deposit", usdc(self.deposit));
        line("paid to the node", usdc(self.paid));
        line("refunded to the client", usdc(self.refunded));
        line("exact to the unit", yes(self.money_exact).to_owned());
        for (who, party) in [("client", &self.client), ("node", &self.node)] {
            let counts = format!("{} vouchers, {} signatures", party.vouchers, party.signatures);
            text += &format!(
                "    {who}\n      {counts}, balance {:+}, {} gas\n",
                party.balance_change, party.gas
            );
            for tx in &party.transactions {
                let end = if tx.ok { "" } else { "  reverted" };
                text += &format!("      block {:>7}  {:<20}{:>9} gas{end}\n", tx.block, tx.call, tx.gas);
            }
        }
        text
    }
}
