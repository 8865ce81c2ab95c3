//! The role's account: its key, and transactions signed with it.

use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use decdn_contracts::EthKey;

/// What a signed transaction costs at most, and where it stands in its account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) chain_id: u64,
    pub(crate) nonce: u64,
    pub(crate) gas_limit: u64,
    pub(crate) max_fee_per_gas: u128,
    pub(crate) max_priority_fee_per_gas: u128,
    /// What goes with it, in wei.
    pub(crate) value: U256,
}

/// A signed transaction: its hash and its bytes.
pub(crate) fn signed(key: &EthKey, terms: Terms, to: Address, input: Bytes) -> (B256, Bytes) {
    let tx = TxEip1559 {
        chain_id: terms.chain_id,
        nonce: terms.nonce,
        gas_limit: terms.gas_limit,
        max_fee_per_gas: terms.max_fee_per_gas,
        max_priority_fee_per_gas: terms.max_priority_fee_per_gas,
        to: TxKind::Call(to),
        value: terms.value,
        access_list: Default::default(),
        input,
    };
    let signature = key.sign_digest(tx.signature_hash().0).0;
    let word = |at: usize| U256::from_be_slice(&signature[at..at + 32]);
    let signature = alloy_primitives::Signature::new(word(0), word(32), signature[64] == 28);
    let envelope = TxEnvelope::from(tx.into_signed(signature));
    (*envelope.tx_hash(), envelope.encoded_2718().into())
}
