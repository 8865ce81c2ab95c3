//! What has to hold of a scenario file as a whole, and types can't say: above all that whoever is named is there.

use std::collections::BTreeSet;

use super::{
    Symbol, Symbols, evaluate,
    event::{Event, Happening},
    file::{Actor, Fetch, File, Pin, Placed},
};
use crate::{cast::Part, names::unknown};

/// What is wrong with a file.
pub(super) enum Wrong {
    /// This, at a byte of its text.
    There(usize, String),
    /// This, with what to do about it.
    Somewhere(String),
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self::Somewhere(what)
    }
}

impl From<&str> for Wrong {
    fn from(what: &str) -> Self {
        Self::Somewhere(what.to_owned())
    }
}

/// Whether the file can be run.
pub(super) fn check(file: &File) -> Result<(), Wrong> {
    for actor in &file.actors {
        check_actor(file, actor)?;
    }
    check_people(file)?;
    let mut names = BTreeSet::new();
    for fetch in &file.fetches {
        check_fetch(file, fetch)?;
        if let Some(name) = fetch.name.as_ref().filter(|name| !names.insert(*name)) {
            let what = format!("two fetches are called {:?}; give each a name of its own", &**name);
            return Err(Wrong::There(name.at, what));
        }
    }
    check_links(file)?;
    for name in file.chain.sequencer.iter().flat_map(|rule| &rule.censors) {
        find(file, name)?;
    }
    for name in file.chain.accounts.iter().flat_map(|accounts| accounts.names()) {
        find(file, name)?;
    }
    for event in &file.events {
        check_event(file, event)?;
    }
    for line in &file.endpoints {
        find(file, &line.of)?;
        line.wrong()?;
    }
    check_ranges(file)?;
    check_formulas(file)?;
    let mut lifted = BTreeSet::new();
    for lift in &file.lifts {
        find(file, &lift.actor)?;
        if !lifted.insert((lift.oracle, &lift.actor)) {
            let what = format!("{} is lifted twice for {:?}", lift.oracle.name(), &*lift.actor);
            return Err(Wrong::There(lift.actor.at, what));
        }
    }
    Ok(())
}

/// Whom a name means.
fn find<'a>(file: &'a File, name: &Placed) -> Result<&'a Actor, Wrong> {
    let known = || file.actors.iter().map(|actor| &*actor.name);
    file.actors
        .iter()
        .find(|actor| actor.name == *name)
        .ok_or_else(|| Wrong::There(name.at, unknown("actor", name, known())))
}

/// Whom a name means, who has to sell.
fn find_seller(file: &File, name: &Placed) -> Result<(), Wrong> {
    if find(file, name)?.part == Part::Node {
        return Ok(());
    }
    Err(Wrong::There(name.at, format!("{:?} is a client; name a node", &**name)))
}

/// Whether there is a download of this name.
fn find_fetch(file: &File, fetch: &Placed) -> Result<(), Wrong> {
    let mut names = file.fetches.iter().filter_map(|fetch| fetch.name.as_ref());
    if names.clone().any(|name| name == fetch) {
        return Ok(());
    }
    Err(Wrong::There(fetch.at, unknown("fetch", fetch, names.by_ref().map(|name| &**name))))
}

fn check_actor(file: &File, actor: &Actor) -> Result<(), Wrong> {
    if actor.count.most() > 64 {
        return Err(format!("actor {:?} has a count above 64; lower it", &*actor.name).into());
    }
    let buys = actor.part == Part::Client || file.fetches.iter().any(|fetch| fetch.client == actor.name);
    if actor.owner.is_some() && !buys {
        let what =
            format!("{:?} buys nothing that an owner could be asked about; drop its `owner`", &*actor.name);
        return Err(Wrong::There(actor.name.at, what));
    }
    let Some(adversary) = actor.plays else {
        return match actor.with.keys().next() {
            None => Ok(()),
            Some(name) => {
                Err(Wrong::There(name.at, format!("{:?} is honest and takes no options", &*actor.name)))
            }
        };
    };
    if let Some(name) = actor.with.keys().find(|name| !adversary.takes.contains(&&***name)) {
        let what = format!("option of {}", adversary.name);
        return Err(Wrong::There(name.at, unknown(&what, name, adversary.takes.iter().copied())));
    }
    if adversary.part.is_some_and(|part| part != actor.part) {
        let what = format!("{:?} can't play {}, {}", &*actor.name, adversary.name, adversary.does);
        return Err(Wrong::There(actor.name.at, what));
    }
    if file.profit.is_none() {
        return Err("an actor plays an adversary, and no `profit` says what it may gain; add it".into());
    }
    Ok(())
}

/// Everybody has a name of his own, those who share one in the file included.
fn check_people(file: &File) -> Result<(), Wrong> {
    let mut taken = BTreeSet::new();
    for actor in &file.actors {
        let several = (1..=actor.count.most()).filter(|_| actor.count.most() > 1);
        let several = several.map(|number| format!("{}-{number}", &*actor.name));
        for name in several.chain([actor.name.to_string()]) {
            if taken.contains(&name) {
                let what = format!("two actors are called {name:?}; give each a name of its own");
                return Err(Wrong::There(actor.name.at, what));
            }
            taken.insert(name);
        }
    }
    Ok(())
}

fn check_fetch(file: &File, fetch: &Fetch) -> Result<(), Wrong> {
    // A node may buy as well, but not from itself.
    find(file, &fetch.client)?;
    for from in &fetch.from {
        find_seller(file, from)?;
        if *from == fetch.client {
            return Err(Wrong::There(
                from.at,
                format!("{:?} can't buy from itself; name another node", &**from),
            ));
        }
    }
    if let Some(token) = fetch.token.filter(|token| !file.money.more_tokens.contains(token)) {
        return Err(format!(
            "a fetch is paid in {:?}, which nobody takes; add it to `more_tokens`",
            token.name()
        )
        .into());
    }
    if fetch.from.is_empty() {
        return Err("a fetch has nobody in `from`; name at least one node".into());
    }
    if fetch.blob_bytes.most() > 1 << 40 || fetch.count.most() > 1_000 {
        return Err("a fetch is above 2^40 bytes or 1,000 times; lower it".into());
    }
    Ok(())
}

fn check_links(file: &File) -> Result<(), Wrong> {
    let mut pairs = BTreeSet::new();
    for pair in &file.links {
        let (from, to) = (find(file, &pair.from)?, find(file, &pair.to)?);
        if from.name == to.name && from.count.most() == 1 {
            let what = format!("a link leads from {:?} to itself", &*pair.from);
            return Err(Wrong::There(pair.to.at, what));
        }
        if !pairs.insert((pair.from.clone().min(pair.to.clone()), pair.from.clone().max(pair.to.clone()))) {
            let what = format!("{:?} and {:?} have a link already", &*pair.from, &*pair.to);
            return Err(Wrong::There(pair.from.at, what));
        }
    }
    Ok(())
}

fn check_event(file: &File, event: &Event) -> Result<(), Wrong> {
    match &event.what {
        Happening::Crash { who, .. }
        | Happening::Wipe { who, .. }
        | Happening::Suspend { who, .. }
        | Happening::Clock { who, .. }
        | Happening::Glitch { who, .. }
        | Happening::LogsBehind { who, .. }
        | Happening::Withdraw { who } => {
            find(file, who)?;
        }
        Happening::Silence { from, to, .. } => {
            find(file, from)?;
            find(file, to)?;
        }
        Happening::Censorship { whom, .. } | Happening::Loss { whom, .. } => {
            for name in whom {
                find(file, name)?;
            }
        }
        Happening::Order { fetch, from, .. } => {
            find_fetch(file, fetch)?;
            for name in from.iter().flatten() {
                find_seller(file, name)?;
            }
        }
        Happening::Cancel { fetch } => find_fetch(file, fetch)?,
        Happening::Close { who, with } => {
            if find(file, who)?.part == find(file, with)?.part {
                let what =
                    format!("{:?} and {:?} have no channel; name a client and a node", &**who, &**with);
                return Err(Wrong::There(who.at, what));
            }
        }
        Happening::Claim { who, with } => {
            if (find(file, who)?.part, find(file, with)?.part) != (Part::Node, Part::Client) {
                let what = format!("{:?} earns nothing from {:?}; name a node and a client", &**who, &**with);
                return Err(Wrong::There(who.at, what));
            }
        }
        Happening::Window { .. }
        | Happening::Down { .. }
        | Happening::Fork { .. }
        | Happening::Drift { .. } => {}
    }
    Ok(())
}

fn check_ranges(file: &File) -> Result<(), Wrong> {
    let windows = file.events.iter().filter_map(|event| match &event.what {
        Happening::Window { hours } => Some(hours),
        _ => None,
    });
    if windows.chain([&file.chain.window_hours]).any(|window| window.least() < 12 || window.most() > 72) {
        return Err("window_hours is outside 12 to 72, the contract's bounds; correct it".into());
    }
    if file.limit_hours.most() > 24 * 365 {
        return Err("limit_hours is above a year; lower it".into());
    }
    for pin in pins(file) {
        if pin.least() > pin.most() || matches!(pin, Pin::Any(any) if any.any.is_empty()) {
            return Err("a range has its ends exchanged, or no options; correct it".into());
        }
    }
    Ok(())
}

fn check_formulas(file: &File) -> Result<(), Wrong> {
    let mut symbols = Symbols::default();
    for symbol in Symbol::ALL.iter().filter(|symbol| **symbol != Symbol::Mixed) {
        symbols.set(*symbol, 1);
    }
    let mut at_the_end = symbols.clone();
    at_the_end.set(Symbol::Mixed, 1);
    let bounds = file.bounds.iter().map(|bound| (&bound.limit, &symbols));
    let lifts = file.lifts.iter().map(|lift| (&lift.loss, &symbols));
    let profit = file.profit.iter().map(|line| (&line.limit, &at_the_end));
    for (formula, symbols) in bounds.chain(lifts).chain(profit) {
        if formula.len() > 400 {
            let what = "a formula is longer than 400 characters".to_owned();
            return Err(Wrong::There(formula.at, what));
        }
        evaluate(formula, symbols)
            .map_err(|what| Wrong::There(formula.at, format!("in the formula `{}` {what}", &**formula)))?;
    }
    Ok(())
}

fn pins(file: &File) -> Vec<&Pin> {
    let (money, chain, link) = (&file.money, &file.chain, &file.link);
    let mut pins = vec![
        &file.limit_hours,
        &file.calm_secs,
        &money.rate,
        &money.cadence_bytes,
        &money.offer_ceiling_bytes,
        &money.deposit,
        &money.wallet,
        &chain.window_hours,
        &chain.forced_hours,
        &chain.endpoint_ms,
    ];
    for link in file.links.iter().map(|pair| &pair.link).chain([link]) {
        pins.extend([&link.latency_us, &link.jitter_us, &link.mbit, &link.life_ms]);
    }
    for actor in &file.actors {
        pins.extend([&actor.count, &actor.disk_us, &actor.signer_us, &actor.restart_ms]);
        pins.extend(actor.with.values());
        pins.extend([&actor.rate, &actor.offer_ceiling_bytes].into_iter().flatten());
        pins.extend(actor.terms.pins().into_iter().flatten());
        pins.extend([&actor.poll_secs, &actor.margin_hours].into_iter().flatten());
        pins.extend(actor.owner.iter().map(|owner| &owner.thinks_ms));
    }
    for fetch in &file.fetches {
        pins.extend([&fetch.blob_bytes, &fetch.offset_groups, &fetch.len_bytes, &fetch.at_ms, &fetch.count]);
        pins.extend([&fetch.keep_channel]);
        pins.extend([&fetch.cadence_bytes, &fetch.deposit].into_iter().flatten());
    }
    for event in &file.events {
        pins.extend(event.pins());
    }
    pins.extend(file.endpoints.iter().flat_map(|line| line.pins()));
    pins.extend(chain.accounts.iter().flat_map(|accounts| accounts.pins()));
    for rule in &chain.sequencer {
        pins.extend([&rule.from_secs, &rule.for_secs]);
    }
    pins
}
