//! The methods: what Ethereum libraries ask for, and what tests and demonstrations need to steer the chain.

use std::collections::BTreeSet;

use alloy_consensus::{
    Receipt, ReceiptEnvelope, ReceiptWithBloom, Transaction as _, TxReceipt as _, Typed2718 as _,
};
use alloy_eips::{BlockId, BlockNumberOrTag};
use alloy_primitives::{Address, B256, Bytes, U64, U256, hex};
use alloy_rpc_types_eth::{
    Block as RpcBlock, BlockOverrides, BlockTransactions, Filter, FilterBlockOption, Header, Log,
    Transaction, TransactionReceipt, TransactionRequest,
};
use decdn_contracts::{Policy, Setup, evm::RawTx, l2::CantForce, registry, token};
use decdn_engine::{
    chain::Block,
    ids::NodeId,
    money::Amount,
    time::{ChainTime, Span},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::chain::{BLOCK_GAS, Chain, Mined, Refused, Sent, block_hash, block_of, unsigned};

/// What every account is said to own, in wei.
const ETHER: U256 = U256::from_limbs([0, 1 << 20, 0, 0]);
/// More than has to be left when the payment channel asks its fee split (C3).
const SPLIT_GAS: u64 = 400_000;
/// Logs in one answer.
const LOGS_MAX: usize = 10_000;
/// Blocks in one fee history.
const FEE_BLOCKS_MAX: u64 = 1_024;

/// A JSON-RPC error.
pub(super) struct RpcError {
    pub(super) code: i64,
    pub(super) message: String,
    /// Revert data.
    pub(super) data: Option<Bytes>,
}

impl RpcError {
    pub(super) fn invalid(why: &str) -> Self {
        Self { code: -32_600, message: why.into(), data: None }
    }

    fn params(why: impl Into<String>) -> Self {
        Self { code: -32_602, message: why.into(), data: None }
    }

    pub(super) fn server(why: impl Into<String>) -> Self {
        Self { code: -32_000, message: why.into(), data: None }
    }
}

type Answer = Result<Value, RpcError>;

pub(super) fn dispatch(chain: &mut Chain, method: &str, params: Value) -> Answer {
    let mut params = Params(match params {
        Value::Array(params) => params,
        Value::Null => Vec::new(),
        _ => return Err(RpcError::params("params is an array")),
    });
    match method {
        "web3_clientVersion" => Ok(json!(concat!("decdn-devnet/", env!("CARGO_PKG_VERSION")))),
        "net_version" => Ok(json!(chain.chain_id().to_string())),
        "eth_chainId" => Ok(json!(U64::from(chain.chain_id()))),
        "eth_blockNumber" => Ok(json!(U64::from(chain.head().number))),
        "eth_gasPrice" => Ok(json!(U64::from(chain.base_fee(u64::MAX)))),
        "eth_maxPriorityFeePerGas" => Ok(json!(U64::ZERO)),
        "eth_feeHistory" => fee_history(chain, params.take(0)?),
        "eth_getBalance" => Ok(json!(ETHER)),
        "eth_getCode" => Ok(json!(chain.l2().machine().code_of(params.take(0)?))),
        "eth_getTransactionCount" => transaction_count(chain, params.take(0)?, params.optional(1)?),
        "eth_accounts" => Ok(json!([])),
        "eth_syncing" => Ok(Value::Bool(false)),
        "net_listening" => Ok(Value::Bool(true)),
        "eth_getBlockByHash" => match block_of(params.take(0)?) {
            Some(number) => block(chain, number.into(), params.optional(1)?.unwrap_or(false)),
            None => Ok(Value::Null),
        },
        "eth_getBlockReceipts" => receipts(chain, params.take(0)?),
        "eth_getBlockByNumber" => block(chain, params.take(0)?, params.optional(1)?.unwrap_or(false)),
        "eth_call" => call(chain, &params.take(0)?, params.optional(1)?, params.optional(3)?),
        "eth_estimateGas" => estimate(chain, &params.take(0)?),
        "eth_sendRawTransaction" => {
            let raw: Bytes = params.take(0)?;
            chain.send(&raw).map(|hash| json!(hash)).map_err(refused)
        }
        "eth_getTransactionReceipt" => {
            let hash: B256 = params.take(0)?;
            let base_fee = fee_of(chain, hash);
            Ok(chain
                .sent(hash)
                .and_then(|sent| receipt(hash, sent, base_fee))
                .map_or(Value::Null, |r| json!(r)))
        }
        "eth_getTransactionByHash" => {
            let hash: B256 = params.take(0)?;
            let base_fee = fee_of(chain, hash);
            Ok(chain.sent(hash).map_or(Value::Null, |sent| json!(transaction(sent, base_fee))))
        }
        "eth_getLogs" => logs(chain, &params.take(0)?),
        "decdn_status" => Ok(status(chain)),
        "decdn_warp" => {
            let secs: u64 = params.take(0)?;
            chain.warp(Span(secs.saturating_mul(1_000_000)));
            Ok(status(chain))
        }
        "decdn_mine" => {
            chain.mine();
            Ok(status(chain))
        }
        "decdn_censor" => {
            let accounts: BTreeSet<Address> = params.take(0)?;
            chain.set_policy(if accounts.is_empty() { Policy::Honest } else { Policy::Censor(accounts) });
            Ok(status(chain))
        }
        "decdn_sequencer" => {
            let is_up: bool = params.take(0)?;
            chain.set_policy(if is_up { Policy::Honest } else { Policy::Down });
            Ok(status(chain))
        }
        "decdn_setBaseFee" => {
            let wei: U64 = params.take(0)?;
            chain.set_base_fee(wei.to());
            Ok(status(chain))
        }
        "decdn_setNode" => {
            let (operator, node): (Address, B256) = (params.take(0)?, params.take(1)?);
            let active = params.optional(2)?.unwrap_or(true);
            setup(chain, &registry::Setup::SetNode { operator, node: NodeId(node.0), active }.into())
        }
        "decdn_mint" => {
            let (token, to, amount): (Address, Address, U256) =
                (params.take(0)?, params.take(1)?, params.take(2)?);
            let amount =
                u128::try_from(amount).map_err(|_| RpcError::params("the amount is above 128 bits"))?;
            setup(chain, &token::Setup::Mint { token, to, amount: Amount(amount) }.into())
        }
        "decdn_sendInbox" => {
            let raw: Bytes = params.take(0)?;
            let (hash, queued) = chain.send_inbox(&raw).map_err(refused)?;
            Ok(json!({ "hash": hash, "at": queued.at.0, "forcible": queued.forcible.0 }))
        }
        "decdn_fromL1" => {
            let (number, from, to): (U64, Address, Address) =
                (params.take(0)?, params.take(1)?, params.take(2)?);
            let (input, gas): (Bytes, U64) = (params.take(3)?, params.take(4)?);
            let sent = chain.send_from_l1(number.to(), from, to, input, gas.to());
            sent.map(|hash| json!(hash)).map_err(refused)
        }
        "decdn_findInbox" => {
            let (from, to, input): (Address, Address, Bytes) =
                (params.take(0)?, params.take(1)?, params.take(2)?);
            let found = chain.find_inbox(from, to, &input).map(|(hash, nonce, queued)| {
                json!({ "hash": hash, "nonce": nonce, "at": queued.at.0, "forcible": queued.forcible.0 })
            });
            Ok(found.unwrap_or_default())
        }
        "decdn_forceInclude" => match chain.force_include(params.take(0)?) {
            Ok(()) => Ok(Value::Bool(true)),
            Err(why @ (CantForce::NotQueued | CantForce::TooEarly { .. })) => {
                Err(RpcError::server(why.to_string()))
            }
        },
        _ => Err(RpcError {
            code: -32_601,
            message: format!("the devnet has no method {method:.64}"),
            data: None,
        }),
    }
}

/// A call's arguments.
struct Params(Vec<Value>);

impl Params {
    fn take<T: DeserializeOwned>(&mut self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?.ok_or_else(|| RpcError::params(format!("argument {index} is missing")))
    }

    fn optional<T: DeserializeOwned>(&mut self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get_mut(index).map(Value::take) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => serde_json::from_value(value)
                .map(Some)
                .map_err(|why| RpcError::params(format!("argument {index}: {why}"))),
        }
    }
}

fn refused(why: Refused) -> RpcError {
    RpcError::server(match why {
        Refused::TooLarge => "the transaction is above 128 KiB",
        Refused::Undecodable => "these bytes are no signed transaction",
        Refused::UnsupportedType => "transactions are legacy, EIP-2930 or EIP-1559 here",
        Refused::WrongChain => "invalid chain id for signer",
        Refused::BadSignature => "invalid sender: the signature recovers to nobody",
        Refused::Known => "already known",
        Refused::GasLimit => "exceeds block gas limit",
        Refused::NonceTooLow => "nonce too low",
        Refused::NonceTooHigh => "nonce too high",
        Refused::Full => "txpool is full",
        Refused::Down => "the sequencer is down",
        Refused::CheapReplacement => "replacement transaction underpriced",
        Refused::Underpriced => "max fee per gas less than block base fee",
    })
}

/// The number that a tag stands for, at most the head's; `None` for a block that is not there yet.
fn number(chain: &mut Chain, tag: BlockNumberOrTag) -> Option<u64> {
    let head = chain.head().number;
    match tag {
        BlockNumberOrTag::Latest | BlockNumberOrTag::Pending => Some(head),
        BlockNumberOrTag::Safe | BlockNumberOrTag::Finalized => Some(chain.safe().number),
        BlockNumberOrTag::Earliest => Some(0),
        BlockNumberOrTag::Number(number) => (number <= head).then_some(number),
    }
}

fn transaction_count(chain: &mut Chain, account: Address, at: Option<BlockNumberOrTag>) -> Answer {
    chain.now();
    let count = match at {
        Some(BlockNumberOrTag::Pending) => chain.next_nonce(account),
        _ => chain.l2().machine().nonce_of(account),
    };
    Ok(json!(U64::from(count)))
}

fn fee_history(chain: &mut Chain, count: U64) -> Answer {
    let head = chain.head().number;
    let count = count.to::<u64>().clamp(1, FEE_BLOCKS_MAX).min(head + 1);
    let first = head + 1 - count;
    let fees: Vec<U64> = (first..=head + 1).map(|number| U64::from(chain.base_fee(number))).collect();
    let rewards: Vec<[U64; 1]> = (0..count).map(|_| [U64::ZERO]).collect();
    let used: Vec<u8> = (0..count).map(|_| 0).collect();
    let oldest = U64::from(first);
    Ok(json!({ "oldestBlock": oldest, "baseFeePerGas": fees, "gasUsedRatio": used, "reward": rewards }))
}

fn block(chain: &mut Chain, tag: BlockNumberOrTag, is_full: bool) -> Answer {
    let Some(number) = number(chain, tag) else { return Ok(Value::Null) };
    let header = header(chain, number);
    let hashes = chain.transactions(number).to_vec();
    let transactions = if is_full {
        let base_fee = chain.base_fee(number);
        let full = hashes.iter().filter_map(|hash| Some(transaction(chain.sent(*hash)?, base_fee)));
        BlockTransactions::Full(full.collect())
    } else {
        BlockTransactions::Hashes(hashes)
    };
    Ok(json!(RpcBlock { header, uncles: Vec::new(), transactions, withdrawals: None }))
}

/// The header of a block that is there.
pub(super) fn header(chain: &mut Chain, number: u64) -> Header {
    let block = chain.l2().block(number);
    let gas_used = chain.mined(number, number).map(|(_, mined)| mined.receipt.gas).sum();
    let inner = alloy_consensus::Header {
        parent_hash: number.checked_sub(1).map_or(B256::ZERO, block_hash),
        number,
        timestamp: block.time.0,
        gas_limit: BLOCK_GAS,
        gas_used,
        base_fee_per_gas: Some(chain.base_fee(number)),
        ..alloy_consensus::Header::default()
    };
    Header { hash: block_hash(number), inner, total_difficulty: None, size: None }
}

fn receipts(chain: &mut Chain, tag: BlockNumberOrTag) -> Answer {
    let Some(number) = number(chain, tag) else { return Ok(Value::Null) };
    let base_fee = chain.base_fee(number);
    let hashes = chain.transactions(number).to_vec();
    let receipts = hashes.iter().filter_map(|hash| receipt(*hash, chain.sent(*hash)?, base_fee));
    Ok(json!(receipts.collect::<Vec<_>>()))
}

/// Something that only the contracts' owner may do.
fn setup(chain: &mut Chain, setup: &Setup) -> Answer {
    match chain.send_setup(setup) {
        Some(sent) => sent.map(|hash| json!(hash)).map_err(refused),
        None => Err(RpcError::server("this devnet does not hold its owner's key")),
    }
}

/// A call on the state after the given block, in that block or in what the overrides make of it.
fn call(
    chain: &mut Chain,
    request: &TransactionRequest,
    at: Option<BlockId>,
    overrides: Option<BlockOverrides>,
) -> Answer {
    let tag = match at {
        None => BlockNumberOrTag::Latest,
        Some(BlockId::Number(tag)) => tag,
        Some(BlockId::Hash(hash)) => {
            block_of(hash.block_hash).ok_or_else(|| RpcError::server("unknown block"))?.into()
        }
    };
    let on = number(chain, tag).ok_or_else(|| RpcError::server("unknown block"))?;
    let mut block = chain.l2().block(on);
    if let Some(time) = overrides.and_then(|overrides| overrides.time) {
        block.time = ChainTime(time);
    }
    let called = run(chain, on, block, request)?;
    Ok(json!(called.0))
}

/// Enough for a call to run as it does with all the gas there is: what it uses, and half of it more, or as much as the payment
/// channel wants to see before it asks its fee split (C3).
fn estimate(chain: &mut Chain, request: &TransactionRequest) -> Answer {
    let head = chain.head();
    let (_, gas) = run(chain, head.number, head, request)?;
    Ok(json!(U64::from((gas + (gas / 2).max(SPLIT_GAS)).min(BLOCK_GAS))))
}

fn run(chain: &Chain, on: u64, block: Block, request: &TransactionRequest) -> Result<(Bytes, u64), RpcError> {
    let tx = environment(request);
    let called =
        chain.call(on, block, &tx).ok_or_else(|| RpcError::server("the state of that block is not kept"))?;
    if called.success {
        return Ok((called.output, called.gas));
    }
    Err(RpcError { code: 3, message: "execution reverted".into(), data: Some(called.output) })
}

fn environment(request: &TransactionRequest) -> RawTx {
    let to = request.to.and_then(|to| to.into_to());
    let data = request.input.input().cloned().unwrap_or_default();
    let value = request.value.unwrap_or_default();
    unsigned(request.from.unwrap_or_default(), to, data, value, request.gas)
}

/// The base fee of the block that a transaction is in, or would be in next.
fn fee_of(chain: &mut Chain, hash: B256) -> u64 {
    let mined = chain.sent(hash).and_then(|sent| sent.mined.as_ref());
    let number = mined.map_or(u64::MAX, |mined| mined.block.number);
    chain.base_fee(number)
}

fn transaction(sent: &Sent, base_fee: u64) -> Transaction {
    let mined = sent.mined.as_ref();
    Transaction {
        inner: sent.tx.clone(),
        block_hash: mined.map(|mined| block_hash(mined.block.number)),
        block_number: mined.map(|mined| mined.block.number),
        transaction_index: mined.map(|mined| mined.index),
        effective_gas_price: Some(base_fee.into()),
        block_timestamp: mined.map(|mined| mined.block.time.0),
    }
}

fn receipt(hash: B256, sent: &Sent, base_fee: u64) -> Option<TransactionReceipt> {
    let mined = sent.mined.as_ref()?;
    let logs: Vec<Log> = log_entries(hash, mined).collect();
    let receipt =
        Receipt { status: mined.receipt.success.into(), cumulative_gas_used: mined.receipt.gas, logs };
    let logs_bloom = receipt.bloom();
    let receipt = ReceiptWithBloom { receipt, logs_bloom };
    let inner = match sent.tx.ty() {
        0 => ReceiptEnvelope::Legacy(receipt),
        1 => ReceiptEnvelope::Eip2930(receipt),
        _ => ReceiptEnvelope::Eip1559(receipt),
    };
    Some(TransactionReceipt {
        inner,
        transaction_hash: hash,
        transaction_index: Some(mined.index),
        block_hash: Some(block_hash(mined.block.number)),
        block_number: Some(mined.block.number),
        gas_used: mined.receipt.gas,
        effective_gas_price: base_fee.into(),
        blob_gas_used: None,
        blob_gas_price: None,
        from: sent.tx.signer(),
        to: sent.tx.to(),
        contract_address: mined.receipt.created,
    })
}

fn log_entries(hash: B256, mined: &Mined) -> impl Iterator<Item = Log> {
    (mined.first_log..).zip(&mined.receipt.logs).map(move |(index, log)| Log {
        inner: log.clone(),
        block_hash: Some(block_hash(mined.block.number)),
        block_number: Some(mined.block.number),
        block_timestamp: Some(mined.block.time.0),
        transaction_hash: Some(hash),
        transaction_index: Some(mined.index),
        log_index: Some(index),
        removed: false,
    })
}

pub(super) fn logs(chain: &mut Chain, filter: &Filter) -> Answer {
    let (from_block, to_block) = match filter.block_option {
        FilterBlockOption::Range { from_block, to_block } => (from_block, to_block),
        FilterBlockOption::AtBlockHash(hash) => {
            let number = block_of(hash).ok_or_else(|| RpcError::server("unknown block"))?.into();
            (Some(number), Some(number))
        }
    };
    let head = chain.head().number;
    let from = match from_block.unwrap_or_default() {
        BlockNumberOrTag::Number(number) => number,
        tag => number(chain, tag).unwrap_or(head),
    };
    let to = number(chain, to_block.unwrap_or_default()).unwrap_or(head);
    if from > to {
        return Ok(json!([]));
    }
    let entries = chain.mined(from, to).flat_map(|(hash, mined)| log_entries(hash, mined));
    let found: Vec<Log> = entries.filter(|log| filter.rpc_matches(log)).take(LOGS_MAX + 1).collect();
    if found.len() > LOGS_MAX {
        return Err(RpcError::server("query returned more than 10000 results"));
    }
    Ok(json!(found))
}

fn status(chain: &mut Chain) -> Value {
    let (head, safe) = (chain.head(), chain.safe());
    let (sequencer, censored) = match chain.l2().policy() {
        Policy::Honest => ("honest", Vec::new()),
        Policy::Censor(accounts) => ("censoring", accounts.iter().map(hex::encode_prefixed).collect()),
        // Nothing of the devnet asks for it.
        Policy::CensorCalls(_) => ("censoring", Vec::new()),
        Policy::Down => ("down", Vec::new()),
    };
    let at = chain.deployment();
    json!({
        "chainId": at.chain_id,
        "contract": at.payment_channel,
        "registry": at.registry,
        "judge": at.judge,
        "baseFee": chain.base_fee(u64::MAX),
        "head": { "number": head.number, "time": head.time.0 },
        "safe": safe.number,
        "warpedMicros": chain.warped().0,
        "sequencer": sequencer,
        "censored": censored,
        "forcedInclusionSecs": chain.forced_inclusion().0 / 1_000_000,
    })
}
