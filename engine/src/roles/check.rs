//! What holds between the machines of any role: closing channels, tickets, write sets, alarms. Each is a function of what it ties.

use alloc::collections::BTreeMap;

use crate::{
    chain::{Checkpoint, Openings, UNSEEN},
    dispute::Outlook,
    ids::{ChannelId, SignTicket, TxTicket},
    machine::{AlarmKey, Tools, closings::Closings},
    record::{ChannelStatus, PersistSeq},
    state::{ALARMS_SPARE, Alarms, Checked, Slot, holds},
};

/// `status`: of a channel that is there.
pub(super) fn are_closings_closing(
    closings: &Closings,
    status: impl Fn(Slot) -> Option<ChannelStatus>,
) -> Checked {
    for (slot, _) in closings.iter() {
        let status = status(slot);
        holds!(status == Some(ChannelStatus::Closing), "{slot:?}: {status:?}");
    }
    Ok(())
}

pub(super) fn have_disputes_transactions(closings: &Closings) -> Checked {
    for (slot, watch) in closings.iter() {
        for ticket in watch.tickets() {
            holds!(closings.txs.get(&ticket) == Some(&slot), "{slot:?}, {ticket:?}");
        }
    }
    Ok(())
}

/// `id`: of a channel that is there.
pub(super) fn hold_closings_the_cursor(
    closings: &Closings,
    checkpoint: &Checkpoint,
    id: impl Fn(Slot) -> Option<ChannelId>,
) -> Checked {
    for (slot, watch) in closings.iter() {
        let is_held = id(slot).is_some_and(|id| checkpoint.is_held_by(watch.closed_in, id));
        holds!(is_held, "{slot:?}, block {}", watch.closed_in);
    }
    for (channel, kept) in closings.retained.iter() {
        holds!(checkpoint.is_held_by(kept.held_from, *channel), "{channel:?}, block {}", kept.held_from);
    }
    Ok(())
}

/// `known`: closes under way, and channels that are retained.
pub(super) fn holds_nothing_else_the_cursor(checkpoint: &Checkpoint, known: usize) -> Checked {
    let held = checkpoint.closing();
    holds!(held == known, "it is held by {held}, {known} are known");
    Ok(())
}

/// `is_there`: whether the role's table has a channel.
pub(super) fn are_retained_gone(closings: &Closings, is_there: impl Fn(&ChannelId) -> bool) -> Checked {
    for (channel, kept) in closings.retained.iter() {
        holds!(!is_there(channel), "{channel:?}: {:?}", kept.why);
    }
    Ok(())
}

/// `opened_in`: the block of a channel's opening; `None` of a channel that this table does not have.
pub(super) fn are_unseen_marked(
    openings: &Openings,
    opened_in: impl Fn(&ChannelId) -> Option<u64>,
) -> Checked {
    for channel in openings.iter_unseen() {
        let block = opened_in(channel);
        holds!(block.is_none_or(|block| block == UNSEEN), "{channel:?}: {block:?}");
    }
    Ok(())
}

pub(super) fn are_inboxes_forced(closings: &Closings, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, watch) in closings.iter() {
        let is_set = alarms.at(AlarmKey::Force(slot)).is_some();
        holds!(!watch.is_queued() || is_set, "{slot:?}");
    }
    Ok(())
}

pub(super) fn are_disputes_tried(closings: &Closings, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, watch) in closings.iter() {
        let is_set = alarms.at(AlarmKey::Dispute(slot)).is_some();
        holds!(!watch.is_disputed() || is_set || watch.tickets().next().is_some(), "{slot:?}");
    }
    Ok(())
}

/// `is_there`: whether the role's table has a channel.
pub(super) fn are_disputes_about_channels(
    closings: &Closings,
    is_there: impl Fn(&ChannelId) -> bool,
) -> Checked {
    for channel in closings.disputes() {
        holds!(is_there(channel) || closings.retained.contains(channel), "{channel:?}");
    }
    Ok(())
}

pub(super) fn is_settling_due(closings: &Closings, outlook: &Outlook, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, watch) in closings.iter() {
        let is_due = alarms.at(AlarmKey::Settle(slot)).is_some() || watch.settling.is_some();
        // Of what was taken back all is looked at again once the chain is read.
        holds!(
            is_due || closings.is_rewound(slot) || !closings.is_worth_settling(watch, outlook),
            "{slot:?}"
        );
    }
    Ok(())
}

/// `is_own`: whether a channel is one of those that these closings are about, where a role has two kinds.
pub(super) fn are_closing_alarms_owned(
    closings: &Closings,
    alarms: &Alarms<AlarmKey>,
    is_own: impl Fn(Slot) -> bool,
) -> Checked {
    for key in alarms.keys() {
        if let AlarmKey::Dispute(slot) | AlarmKey::Force(slot) | AlarmKey::Settle(slot) = key
            && is_own(slot)
        {
            holds!(closings.is_defended(slot), "{key:?}");
        }
    }
    Ok(())
}

pub(super) fn is_poll_due(alarms: &Alarms<AlarmKey>) -> Checked {
    holds!(alarms.at(AlarmKey::Poll).is_some(), "nothing reads the chain any more");
    Ok(())
}

/// `most`: alarms that can be set at once.
pub(super) fn are_alarms_few(alarms: &Alarms<AlarmKey>, most: usize) -> Checked {
    let entries = alarms.len();
    holds!(entries <= 2 * most + ALARMS_SPARE, "{entries} entries for at most {most} alarms");
    Ok(())
}

/// `signing`: the signatures under way.
pub(super) fn were_tickets_given(
    tools: &Tools,
    signing: impl Iterator<Item = SignTicket>,
    txs: &BTreeMap<TxTicket, Slot>,
) -> Checked {
    let mut tickets = signing.map(|ticket| ticket.0).chain(txs.keys().map(|ticket| ticket.0));
    let unknown = tickets.find(|ticket| !tools.has_given(*ticket));
    holds!(unknown.is_none(), "{unknown:?}");
    Ok(())
}

pub(super) fn are_tickets_apart(
    mut signing: impl Iterator<Item = SignTicket>,
    txs: &BTreeMap<TxTicket, Slot>,
) -> Checked {
    let both = signing.find(|ticket| txs.contains_key(&TxTicket(ticket.0)));
    holds!(both.is_none(), "{both:?}");
    Ok(())
}

pub(super) fn were_writes_asked_for(tools: &Tools, mut seqs: impl Iterator<Item = PersistSeq>) -> Checked {
    let unknown = seqs.find(|seq| !tools.has_written(*seq));
    holds!(unknown.is_none(), "{unknown:?}");
    Ok(())
}
