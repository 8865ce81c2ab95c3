//! A look at the chain before anything is risked on it: is it the right one, is the contract there, who is this
//! node, what is this token.

use std::{fmt, time::Duration};

use alloy_eips::BlockNumberOrTag;
use alloy_primitives::{Address, B256, U256};
use alloy_provider::{Provider, RootProvider};
use alloy_rpc_types_eth::{Filter, TransactionRequest};
use alloy_sol_types::{SolCall, SolEvent};
use decdn_contracts::bindings::{
    self,
    sol::{NodeList, PaymentChannel, TestToken},
};
use decdn_engine::{crypto::Deployment, ids::NodeId, money::Amount, time::Span};
use futures::future::join_all;
use serde::Deserialize;
use serde_json::json;
use tokio::time::timeout;

use super::ChainError;

/// The contract that this program speaks to, as its EIP-712 domain names it.
const CONTRACT: (&str, &str) = ("PaymentChannel", "1");
/// How long each of several endpoints may take to say which chain it serves.
const PATIENCE: Duration = Duration::from_secs(5);
/// Blocks in one request for logs, where an endpoint does not take them all at once.
const PAGE: u64 = 10_000;

/// Why the chain can't be used.
#[derive(Debug)]
pub enum SurveyError {
    /// No endpoint answers, or it fails: it may work later.
    Away(String),
    /// What is there is not what was configured.
    Wrong(String),
}

impl fmt::Display for SurveyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Away(why) | Self::Wrong(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for SurveyError {}

fn away(error: impl fmt::Display) -> SurveyError {
    SurveyError::Away(format!(
        "the RPC endpoint can't be used: {error}; check --rpc and that it runs, then try again"
    ))
}

/// Of several endpoints each serves the same chain (L4): those that answer. One that does not is left out until the next start, or
/// it would keep the others from agreeing.
async fn same_chain(urls: &[String], found: u64) -> Result<Vec<String>, SurveyError> {
    if urls.len() < 2 {
        return Ok(urls.to_vec());
    }
    let mut answering = Vec::new();
    let asked = urls.iter().map(|url| async move {
        let provider = super::endpoint::provider(std::slice::from_ref(url)).ok()?;
        timeout(PATIENCE, provider.get_chain_id()).await.ok()?.ok()
    });
    for (url, other) in urls.iter().zip(join_all(asked).await) {
        let shown = url.parse().as_ref().map(super::endpoint::shown).unwrap_or_default();
        match other {
            Some(other) if other != found => {
                return Err(SurveyError::Wrong(format!(
                    "the RPC endpoint {shown} serves chain {other}, but another one serves chain {found}; name endpoints of one \
                     chain with --rpc"
                )));
            }
            Some(_) => answering.push(url.clone()),
            None => tracing::warn!(
                endpoint = shown,
                "an RPC endpoint does not answer, and is left out until the next start"
            ),
        }
    }
    Ok(if answering.is_empty() { urls.to_vec() } else { answering })
}

/// A token that can be paid in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Token {
    /// Its contract.
    pub address: Address,
    /// What people call it.
    pub symbol: String,
    /// Base units of a whole token, as a power of ten.
    pub decimals: u8,
}

/// A chain that was looked at.
#[derive(Clone, Debug)]
pub struct Survey {
    provider: RootProvider,
    /// Where the contracts are.
    pub deployment: Deployment,
    /// Whether it is a devnet of ours, whose clock can be warped.
    pub is_devnet: bool,
    /// The dispute window that a close would get now.
    pub window: Span,
    /// Which endpoints answer.
    pub answering: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DevnetStatus {
    warped_micros: u64,
}

impl Survey {
    /// Looks at the chain behind the endpoints.
    ///
    /// # Errors
    /// No endpoint answers; another chain; no contract at the address, or another one.
    pub async fn look(
        urls: &[String],
        contract: Address,
        chain_id: Option<u64>,
        judge: Address,
    ) -> Result<Self, SurveyError> {
        let provider = super::endpoint::provider(urls).map_err(|error| match error {
            ChainError::Url(_) => SurveyError::Wrong(error.to_string()),
            other => away(other),
        })?;
        let found = provider.get_chain_id().await.map_err(away)?;
        let answering = same_chain(urls, found).await?;
        if let Some(wanted) = chain_id.filter(|wanted| *wanted != found) {
            return Err(SurveyError::Wrong(format!(
                "the RPC endpoint serves chain {found}, but chain {wanted} is configured; correct --rpc or --chain-id"
            )));
        }
        if provider.get_code_at(contract).await.map_err(away)?.is_empty() {
            return Err(SurveyError::Wrong(format!(
                "there is no contract at {contract} on chain {found}; correct --contract or --rpc"
            )));
        }
        let deployment =
            Deployment { chain_id: found, payment_channel: contract, judge, ..Deployment::default() };
        let mut survey = Self { provider, deployment, is_devnet: false, window: Span(0), answering };
        let other = || {
            SurveyError::Wrong(format!(
                "the contract at {contract} on chain {found} is no {} of version {}; correct --contract, or use the \
                 decdn that belongs to it",
                CONTRACT.0, CONTRACT.1
            ))
        };
        let domain = survey.read(contract, &PaymentChannel::eip712DomainCall {}).await?.ok_or_else(other)?;
        let is_ours = (domain.name.as_str(), domain.version.as_str()) == CONTRACT
            && domain.chainId == U256::from(found)
            && domain.verifyingContract == contract;
        if !is_ours {
            return Err(other());
        }
        survey.deployment.registry =
            survey.read(contract, &PaymentChannel::registryCall {}).await?.ok_or_else(other)?;
        let window = survey.read(contract, &PaymentChannel::disputeWindowCall {}).await?.ok_or_else(other)?;
        survey.window = Span::from_secs(window);
        let version = survey.provider.get_client_version().await.unwrap_or_default();
        survey.is_devnet = version.starts_with("decdn-devnet/");
        Ok(survey)
    }

    /// A call's answer; `None` where the contract has none of this kind.
    async fn read<C: SolCall>(&self, at: Address, call: &C) -> Result<Option<C::Return>, SurveyError> {
        let request = TransactionRequest::default().to(at).input(call.abi_encode().into());
        match self.provider.call(request).await {
            Ok(output) => Ok(C::abi_decode_returns(&output).ok()),
            Err(error) if error.as_error_resp().is_some() => Ok(None),
            Err(error) => Err(away(error)),
        }
    }

    /// What there is to know of a token.
    ///
    /// # Errors
    /// It is none, or channels may not use it.
    pub async fn token(&self, address: Address) -> Result<Token, SurveyError> {
        let none = || {
            let chain = self.deployment.chain_id;
            SurveyError::Wrong(format!(
                "there is no ERC-20 token at {address} on chain {chain}; correct the address"
            ))
        };
        let symbol = self.read(address, &TestToken::symbolCall {}).await?.ok_or_else(none)?;
        let decimals = self.read(address, &TestToken::decimalsCall {}).await?.ok_or_else(none)?;
        let is_allowed = PaymentChannel::tokenAllowedCall { token: address };
        if self.read(self.deployment.payment_channel, &is_allowed).await? != Some(true) {
            return Err(SurveyError::Wrong(format!(
                "the payment channel takes no {symbol} ({address}); choose a token that it allows"
            )));
        }
        if decimals > 30 {
            return Err(SurveyError::Wrong(format!(
                "{symbol} ({address}) has {decimals} decimals, more than fit"
            )));
        }
        // It is shown on a terminal.
        let symbol: String = symbol.chars().filter(|c| c.is_ascii_graphic()).take(16).collect();
        Ok(Token { address, symbol, decimals })
    }

    /// What an account holds of a token.
    ///
    /// # Errors
    /// The endpoint failed.
    pub async fn balance(&self, token: Address, account: Address) -> Result<Amount, SurveyError> {
        let balance = self.read(token, &TestToken::balanceOfCall { account }).await?;
        balance
            .and_then(|balance| bindings::units(balance).ok())
            .ok_or_else(|| away(format!("the balance of {account} can't be read")))
    }

    /// The ether that an account has for gas, in wei.
    ///
    /// # Errors
    /// The endpoint failed.
    pub async fn ether(&self, account: Address) -> Result<U256, SurveyError> {
        self.provider.get_balance(account).await.map_err(away)
    }

    /// Whether the registry has an operator with this NodeId, and active.
    ///
    /// # Errors
    /// The endpoint failed.
    pub async fn is_listed(&self, operator: Address, node: NodeId) -> Result<bool, SurveyError> {
        let registry = self.deployment.registry;
        let id = self.read(registry, &NodeList::nodeIdOfCall { operator }).await?;
        let is_active = self.read(registry, &NodeList::isActiveCall { operator }).await?;
        Ok(id == Some(B256::from(node.0)) && is_active == Some(true))
    }

    /// Who operates a node: the registry's newest entry for its NodeId that still stands.
    ///
    /// # Errors
    /// The endpoint failed.
    pub async fn operator_of(&self, node: NodeId, start_block: u64) -> Result<Option<Address>, SurveyError> {
        let filter = Filter::new()
            .address(self.deployment.registry)
            .event_signature(NodeList::NodeSet::SIGNATURE_HASH)
            .topic2(B256::from(node.0));
        let head = self.provider.get_block_number().await.map_err(away)?;
        let all = filter.clone().from_block(start_block).to_block(BlockNumberOrTag::Number(head));
        let mut logs = match self.provider.get_logs(&all).await {
            Ok(logs) => logs,
            Err(_) => {
                let mut logs = Vec::new();
                let mut first = start_block;
                while first <= head {
                    let last = head.min(first.saturating_add(PAGE - 1));
                    let page = filter.clone().from_block(first).to_block(last);
                    logs.extend(self.provider.get_logs(&page).await.map_err(away)?);
                    first = last + 1;
                }
                logs
            }
        };
        while let Some(log) = logs.pop() {
            let operator = log.topics().get(1).map(|word| Address::from_word(*word));
            // A log may lie, and be old: the registry's state decides.
            if let Some(operator) = operator
                && self.is_listed(operator, node).await?
            {
                return Ok(Some(operator));
            }
        }
        Ok(None)
    }

    /// How far a devnet's clock was warped; nothing elsewhere.
    ///
    /// # Errors
    /// The endpoint failed.
    pub async fn warped(&self) -> Result<Span, SurveyError> {
        if !self.is_devnet {
            return Ok(Span(0));
        }
        let status: DevnetStatus =
            self.provider.raw_request("decdn_status".into(), json!([])).await.map_err(away)?;
        Ok(Span(status.warped_micros))
    }
}
