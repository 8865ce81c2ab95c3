//! On which terms a node sells for which tokens: its configuration's, its flags', and for USDC the defaults.

use std::collections::BTreeMap;

use decdn_engine::{
    money::{Amount, Rate, rate_max},
    roles::config::TokenTerms,
};

use super::{
    outcome::{Failure, failed, input},
    settings::{Chosen, units},
};
use crate::{
    chain::Token,
    config::{self, File, TokenFile, Tokens},
};

/// The terms for each token, and the token. Where flags say rates, for these tokens alone.
pub(super) async fn terms(
    file: &File,
    rates: Vec<(String, Tokens)>,
    chosen: &Chosen,
) -> Result<Vec<(TokenTerms, Token)>, Failure> {
    let mut written: BTreeMap<String, TokenFile> = file.node.tokens.clone();
    if !rates.is_empty() {
        let with_rate = |(symbol, rate): (String, Tokens)| {
            let rest = file.node.tokens.get(&symbol).cloned().unwrap_or_default();
            (symbol, TokenFile { rate: Some(rate), ..rest })
        };
        written = rates.into_iter().map(with_rate).collect();
    }
    if written.is_empty() {
        written.insert(config::TOKEN.to_owned(), TokenFile::default());
    }
    let mut terms = Vec::new();
    for (symbol, figures) in written {
        let token = chosen.token(file, &symbol).await?;
        terms.push((complete(&symbol, &figures, &token)?, token));
    }
    Ok(terms)
}

/// USDC has defaults; for another token the owner says what it is worth (P6).
fn complete(symbol: &str, figures: &TokenFile, token: &Token) -> Result<TokenTerms, Failure> {
    let figure = |name: &str, written: &Option<Tokens>, default: &str| -> Result<Amount, Failure> {
        let default = || default.parse::<Tokens>().map_err(failed);
        match written {
            Some(tokens) => units(name, tokens, token),
            None if token.symbol == config::TOKEN => units(name, &default()?, token),
            None => Err(input(format!(
                "{name} is missing for {symbol}: only {} has defaults; write rate, least_deposit, soft_cap and claim_above to \
                 [node.tokens.{symbol}] in the configuration",
                config::TOKEN
            ))),
        }
    };
    let rate = figure("rate", &figures.rate, config::RATE)?;
    let most = rate_max(token.decimals);
    let sane = u64::try_from(rate.0).ok().map(Rate).filter(|rate| rate.is_sane(most));
    let rate = sane.ok_or_else(|| {
        input(format!(
            "a rate of {} base units of {symbol} is none: it has to be above 0 and at most {}",
            rate.0, most.0
        ))
    })?;
    Ok(TokenTerms {
        token: token.address,
        decimals: token.decimals,
        rate,
        least_deposit: figure("least_deposit", &figures.least_deposit, config::LEAST_DEPOSIT)?,
        soft_cap: figure("soft_cap", &figures.soft_cap, config::SOFT_CAP)?,
        claim_above: figure("claim_above", &figures.claim_above, config::CLAIM_ABOVE)?,
        coin: figures.coin.as_ref().map(|coin| units("coin", coin, token)).transpose()?,
    })
}
