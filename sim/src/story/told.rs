//! A story on one screen: what happened, what was violated, and a ledger by channel and by party.

use decdn_engine::{
    chain::{Revert, Route},
    time::Time,
};

use super::{About, Line, Story, page::Page};
use crate::{
    actor::ActorId,
    chain::PurseNews,
    check::Liftable,
    report::Violation,
    scenario::Scenario,
    seen::{Included, OnChainStatus},
    text::{columns, grouped},
};

/// Events that fit on a screen beside the ledger.
const EVENTS: usize = 24;
/// Rows of the ledger's halves.
const ROWS: usize = 12;
/// Characters of a reason.
const REASON: usize = 150;

/// The story's lines.
pub fn told(story: &Story, scenario: &Scenario, violations: &[Violation]) -> Vec<String> {
    let mut out = events(story);
    if !violations.is_empty() {
        out.push(String::new());
    }
    out.extend(violations.iter().take(3).map(|wrong| {
        let text = shortened(&wrong.text);
        format!("VIOLATED {} {}: {text}", wrong.oracle, wrong.rule)
    }));
    if violations.len() > 3 {
        out.push(format!("VIOLATED {} more", violations.len() - 3));
    }
    out.push(String::new());
    out.extend(channels(story, scenario, violations));
    out.push(String::new());
    out.extend(parties(story));
    out
}

/// What a purse did about a transaction.
pub(super) fn purse(who: &str, what: PurseNews) -> String {
    match what {
        PurseNews::Unpaid { missing } => format!("{who} can't pay a transaction: {missing} wei are missing"),
        PurseNews::OutOfGas { limit } => format!("{who}'s transaction runs out of gas at {limit}"),
        PurseNews::Raised { fee } => format!("{who} bids {fee} wei per gas for what waits"),
        PurseNews::GivenUp => format!("{who} gives up a transaction that nobody takes"),
    }
}

fn events(story: &Story) -> Vec<String> {
    let mut lines = story.lines.clone();
    lines.extend(story.pages.iter().flat_map(vouchers));
    lines.extend(story.down.iter().map(|(who, (since, _))| {
        let text = format!("{} goes down and does not come back", story.people.name(*who));
        Line { at: *since, about: About::Crash, text, more: 0, until: *since }
    }));
    lines.sort_by_key(|line| line.at);
    draw_together(&mut lines, EVENTS);
    let line = |line: &Line| {
        let more = match line.more {
            0 => String::new(),
            more => format!(" ({more} more, until {})", clock(line.until)),
        };
        format!("{:>9}  {}{more}", clock(line.at), line.text)
    };
    lines.iter().map(line).collect()
}

/// A channel's vouchers.
fn vouchers(page: &Page) -> Option<Line> {
    let taken = page.taken?;
    let ((at, first), (until, last)) = (taken.first, taken.last);
    let node = page.label.rsplit('→').next().unwrap_or_default();
    let text = if taken.count == 1 {
        format!("{node} has a voucher over {} on {}", grouped(last), page.label)
    } else {
        let (first, last, until) = (grouped(first), grouped(last), clock(until));
        format!(
            "{node} has {} vouchers on {}, the first over {first}, the last at {until} over {last}",
            taken.count, page.label
        )
    };
    Some(Line { at, about: About::Vouchers, text, more: 0, until: at })
}

/// Leaves one line of each kind, beginning with the kinds that matter least, until there are few enough.
fn draw_together(lines: &mut Vec<Line>, most: usize) {
    while lines.len() > most {
        let least = lines
            .iter()
            .map(|line| line.about)
            .filter(|about| lines.iter().filter(|line| line.about == *about).count() > 1);
        let Some(about) = least.min() else { return };
        let of_it = || lines.iter().filter(|line| line.about == about);
        let more = of_it().map(|line| 1 + line.more).sum::<u64>() - 1;
        let until = of_it().map(|line| line.until).max().unwrap_or_default();
        let Some(first) = lines.iter().position(|line| line.about == about) else { return };
        let mut at = 0;
        lines.retain(|line| {
            at += 1;
            line.about != about || at == first + 1
        });
        (lines[first].more, lines[first].until) = (more, until);
    }
}

fn channels(story: &Story, scenario: &Scenario, violations: &[Violation]) -> Vec<String> {
    let heads = ["channel", "deposit", "best voucher", "delivered", "settled at", "back", "lost"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut reasons = vec![Vec::new()];
    let mut pages: Vec<&Page> = story.pages.iter().collect();
    // Where not all have room, those with a loss come first.
    if pages.len() > ROWS {
        pages.sort_by_key(|page| std::cmp::Reverse(page.node_lost() + page.client_lost()));
    }
    let left_out = pages.len().saturating_sub(ROWS);
    for page in pages.iter().take(ROWS) {
        let settled = match (page.paid, page.status) {
            (Some(paid), _) => grouped(paid),
            (None, Some(OnChainStatus::Closing)) => "closing".to_owned(),
            (None, _) => "open".to_owned(),
        };
        let back = page.paid.map_or("-".to_owned(), |paid| grouped(page.deposit.saturating_sub(paid)));
        let lost = page.node_lost() + page.client_lost();
        let (deposit, held, worth) = (grouped(page.deposit), grouped(page.held), grouped(page.worth().0));
        rows.push(vec![page.label.clone(), deposit, held, worth, settled, back, grouped(lost)]);
        reasons.push(why(story, page, scenario, violations));
    }
    let mut out = Vec::new();
    for (row, reasons) in columns(&rows).into_iter().zip(reasons) {
        out.push(row);
        out.extend(reasons.iter().map(|reason| format!("    {}", shortened(reason))));
    }
    if left_out > 0 {
        out.push(format!("{left_out} more"));
    }
    out
}

/// Why a channel's parties lost what they lost.
fn why(story: &Story, page: &Page, scenario: &Scenario, violations: &[Violation]) -> Vec<String> {
    let mut reasons = Vec::new();
    let (node, client) = (story.name(page.node), story.name(page.client));
    let paid = page.paid.unwrap_or(0);
    let lost = grouped(page.node_lost());
    if page.paid.is_some() && page.held > paid {
        reasons.push(format!("{node} lost {lost}: {}", missed(page)));
        reasons.push(verdict(page, node, scenario, violations));
    } else if page.node_lost() > 0 {
        reasons.push(format!(
            "{node} lost {lost}: delivered beyond its last voucher, up to a cadence each time (D8, D9)"
        ));
    }
    if page.client_lost() > 0 {
        let lost = grouped(page.client_lost());
        reasons.push(format!("{client} lost {lost}: paid beyond what it verified (D8, O4)"));
    }
    reasons
}

/// Why a voucher that was held did not settle.
fn missed(page: &Page) -> String {
    let late = |at: Time| page.deadline.map(|deadline| span(at.since(deadline).0 / 1_000_000));
    let refused = page.rulings.iter().find(|ruling| ruling.amount.is_none());
    let counted = page.rulings.iter().filter_map(|ruling| ruling.amount).max();
    match (counted, refused, page.handed_in, page.seen) {
        (Some(amount), ..) => format!("the best dispute that counts is over {}", grouped(amount)),
        (None, Some(ruling), ..) => {
            let late = late(ruling.at).unwrap_or_default();
            format!("its dispute is in a block {late} after the window (W < F + detection + submission, L3)")
        }
        (None, None, Some(at), _) => {
            format!("its dispute, handed in at {}, is in no block before the window ends (X2, L3)", clock(at))
        }
        (None, None, None, Some(at)) => {
            format!("it saw the close at {} and disputed nothing (X1)", clock(at))
        }
        (None, None, None, None) if page.deadline.is_some() => {
            "it saw no stale close before the settlement (X1)".to_owned()
        }
        _ => "it ended without a window (C4, C11)".to_owned(),
    }
}

/// What is said about it: a lift of the scenario, or an oracle.
fn verdict(page: &Page, node: &str, scenario: &Scenario, violations: &[Violation]) -> String {
    let id = page.id.to_string();
    if let Some(wrong) = violations.iter().find(|wrong| wrong.text.contains(&id)) {
        return format!("{} speaks: {} is broken", wrong.oracle, wrong.rule);
    }
    let is_meant = |name: &str| {
        let number = node.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        node == name || number.is_some_and(|number| number.parse::<u32>().is_ok())
    };
    let lift = scenario.file.lifts.iter().find(|lift| lift.oracle == Liftable::O8 && is_meant(&lift.actor));
    match lift {
        Some(lift) => format!("O8 is lifted here: {}", lift.because),
        None => {
            "no oracle speaks: it held the voucher too late, or could land nothing in time (O8)".to_owned()
        }
    }
}

fn parties(story: &Story) -> Vec<String> {
    let heads = ["party", "in its wallet", "in channels", "content", "gained", ""];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    let mut ids: Vec<ActorId> = story.people.ids().collect();
    let left_out = ids.len().saturating_sub(ROWS);
    ids.truncate(ROWS);
    for id in ids {
        let purse = story.purses.get(usize::from(id.0)).copied().unwrap_or_default();
        let (mut content, mut inside) = (0_i128, 0_i128);
        for page in story.pages.iter() {
            let worth = signed(page.worth().0);
            if page.client == Some(id) {
                content += worth;
                inside += if page.paid.is_none() && page.status.is_some() { signed(page.deposit) } else { 0 };
            }
            if page.node == Some(id) {
                content -= worth;
            }
        }
        let wallet = purse.end - purse.start;
        let honest = if story.people.is_honest(id) { "" } else { "not honest" };
        let gained = wallet + inside + content;
        let name = story.people.name(id).to_owned();
        let amounts = [wallet, inside, content, gained].map(plus);
        rows.push([vec![name], amounts.to_vec(), vec![honest.to_owned()]].concat());
    }
    let mut out = columns(&rows);
    if left_out > 0 {
        out.push(format!("{left_out} more"));
    }
    out
}

fn signed(amount: u128) -> i128 {
    i128::try_from(amount).unwrap_or(i128::MAX)
}

fn plus(amount: i128) -> String {
    let sign = match amount {
        0 => "",
        1.. => "+",
        _ => "-",
    };
    format!("{sign}{}", grouped(amount.unsigned_abs()))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// How a transaction came into its block, and how long that took.
pub(super) fn way(tx: &Included<'_>, at: Time) -> String {
    let took = span(at.since(tx.submitted).0 / 1_000_000);
    format!("by {} after {took}", place(tx.route))
}

/// Where a transaction is handed in.
pub(super) fn place(route: Route) -> &'static str {
    match route {
        Route::Sequencer => "the sequencer",
        Route::DelayedInbox | Route::QueuedBefore => "the delayed inbox",
    }
}

/// A revert's own name.
pub(super) fn revert(revert: Revert) -> String {
    match revert {
        Revert::Channel(why) => format!("{why:?}"),
        other => format!("{other:?}"),
    }
}

/// A simulated time.
pub(super) fn clock(at: Time) -> String {
    span(at.0 / 1_000_000)
}

/// A span of seconds.
pub(super) fn span(secs: u64) -> String {
    format!("{}:{:02}:{:02}", secs / 3_600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u64, about: About, text: &str) -> Line {
        Line { at: Time(at), about, text: text.to_owned(), more: 0, until: Time(at) }
    }

    #[test]
    fn what_matters_least_is_drawn_together_first() {
        let mut lines = vec![
            line(1, About::Opening, "a"),
            line(2, About::Vouchers, "b"),
            line(3, About::Opening, "c"),
            line(4, About::Vouchers, "d"),
            line(5, About::Settlement, "e"),
            line(6, About::Settlement, "f"),
        ];
        draw_together(&mut lines, 5);
        let texts: Vec<&str> = lines.iter().map(|line| &*line.text).collect();
        assert_eq!(texts, ["a", "b", "c", "e", "f"]);
        assert_eq!((lines[1].more, lines[1].until), (1, Time(4)));
        draw_together(&mut lines, 1);
        assert_eq!(lines.len(), 3, "one of each kind stays");
    }

    #[test]
    fn amounts_have_signs_and_reasons_an_end() {
        assert_eq!([plus(0), plus(1_500), plus(-1_500)], ["0", "+1,500", "-1,500"]);
        assert_eq!(shortened(&"x".repeat(200)).chars().count(), REASON + 1);
    }
}
