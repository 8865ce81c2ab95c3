//! Of a scenario with something set, every run draws as often as it would without: what is not set stays as the seed has it.
//! Only how many there are of something moves what is drawn after it (`count`, or a whole list that is set), for there is more or
//! less to draw.

use super::file::{File, Link, Pin, Set};

/// Lets what was set draw as often as what it stands for.
pub(super) fn keep_draws(before: &File, after: &mut File) {
    keep(&before.limit_hours, &mut after.limit_hours);
    keep(&before.calm_secs, &mut after.calm_secs);
    keep_money(before, after);
    keep_chain(before, after);
    keep_link(&before.link, &mut after.link);
    for (before, after) in before.links.iter().zip(&mut after.links) {
        keep_link(&before.link, &mut after.link);
    }
    keep_actors(before, after);
    keep_fetches(before, after);
    for (before, after) in before.events.iter().zip(&mut after.events) {
        let mut before = before.clone();
        for (before, after) in before.slots_mut().into_iter().zip(after.slots_mut()) {
            keep_slot(before.as_deref(), after);
        }
    }
}

fn keep(before: &Pin, after: &mut Pin) {
    if before != after && (before.is_open() || after.is_open()) {
        *after = Pin::Set(Box::new(Set { to: after.clone(), was: before.clone() }));
    }
}

/// Where a file may say nothing: then it draws nothing.
fn keep_slot(before: Option<&Pin>, after: Option<&mut Pin>) {
    if let Some(after) = after {
        keep(before.unwrap_or(&Pin::Is(0)), after);
    }
}

fn keep_money(before: &File, after: &mut File) {
    let (before, after) = (&before.money, &mut after.money);
    keep(&before.rate, &mut after.rate);
    keep(&before.cadence_bytes, &mut after.cadence_bytes);
    keep(&before.offer_ceiling_bytes, &mut after.offer_ceiling_bytes);
    keep(&before.deposit, &mut after.deposit);
    keep(&before.wallet, &mut after.wallet);
}

fn keep_chain(before: &File, after: &mut File) {
    let (before, after) = (&before.chain, &mut after.chain);
    keep(&before.window_hours, &mut after.window_hours);
    keep(&before.forced_hours, &mut after.forced_hours);
    keep(&before.endpoint_ms, &mut after.endpoint_ms);
    if let (Some(before), Some(after)) = (&before.accounts, &mut after.accounts) {
        before.pins().into_iter().zip(after.pins_mut()).for_each(|(before, after)| keep(before, after));
    }
    for (before, after) in before.sequencer.iter().zip(&mut after.sequencer) {
        keep(&before.from_secs, &mut after.from_secs);
        keep(&before.for_secs, &mut after.for_secs);
    }
}

fn keep_link(before: &Link, after: &mut Link) {
    keep(&before.latency_us, &mut after.latency_us);
    keep(&before.jitter_us, &mut after.jitter_us);
    keep(&before.mbit, &mut after.mbit);
    keep(&before.life_ms, &mut after.life_ms);
}

fn keep_actors(before: &File, after: &mut File) {
    for (before, after) in before.actors.iter().zip(&mut after.actors) {
        keep(&before.count, &mut after.count);
        keep_slot(before.rate.as_ref(), after.rate.as_mut());
        keep_slot(before.offer_ceiling_bytes.as_ref(), after.offer_ceiling_bytes.as_mut());
        for (before, after) in before.terms.pins().into_iter().zip(after.terms.pins_mut()) {
            keep_slot(before, after);
        }
        keep_slot(before.poll_secs.as_ref(), after.poll_secs.as_mut());
        keep_slot(before.margin_hours.as_ref(), after.margin_hours.as_mut());
        for (name, pin) in &mut after.with {
            keep_slot(before.with.get(name), Some(pin));
        }
    }
}

fn keep_fetches(before: &File, after: &mut File) {
    let deposit = &before.money.deposit;
    for (before, after) in before.fetches.iter().zip(&mut after.fetches) {
        keep(&before.blob_bytes, &mut after.blob_bytes);
        keep(&before.offset_groups, &mut after.offset_groups);
        keep(&before.len_bytes, &mut after.len_bytes);
        keep(&before.at_ms, &mut after.at_ms);
        keep(&before.count, &mut after.count);
        keep(&before.keep_channel, &mut after.keep_channel);
        keep_slot(before.cadence_bytes.as_ref(), after.cadence_bytes.as_mut());
        // A fetch that names no deposit draws that of `money`.
        keep_slot(before.deposit.as_ref().or(Some(deposit)), after.deposit.as_mut());
    }
}
