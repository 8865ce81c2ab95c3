//! Closes against alarms, channels against openings.

use crate::{
    machine::{
        AlarmKey,
        opener::Opener,
        wallet::{Channel, Closing, Wallet},
    },
    record::ChannelStatus,
    state::{Alarms, Checked, Slot, holds},
};

pub(super) fn are_consents_wanted(alarms: &Alarms<AlarmKey>, wallet: &Wallet) -> Checked {
    for key in alarms.keys() {
        if let AlarmKey::Consent(slot) = key
            && alarms.at(key).is_some()
        {
            let channel = wallet.channels.get(slot);
            let closing = channel.map(|channel| (channel.closing, channel.paying.status));
            let is_wanted = channel.is_some_and(Channel::is_to_be_closed);
            holds!(is_wanted, "{slot:?}: {closing:?}");
        }
    }
    Ok(())
}

/// Channels whose close is this client's own doing, as far as anybody has heard.
/// V3: as long as there is a stream to send it on.
pub(super) fn are_vouchers_sent_again(wallet: &Wallet, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, channel) in wallet.channels.iter() {
        let is_due = channel.signature.is_some() && channel.acked < channel.paying.nonce;
        let is_set = alarms.at(AlarmKey::Resend(slot)).is_some();
        holds!(is_set || !is_due || channel.streams.is_empty(), "{slot:?}: {:?}", channel.paying.nonce);
    }
    Ok(())
}

fn own_closes(wallet: &Wallet) -> impl Iterator<Item = (Slot, &Channel)> {
    wallet.channels.iter().filter(|(_, channel)| channel.paying.status != ChannelStatus::Closing)
}

pub(super) fn are_consents_timed(wallet: &Wallet, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, channel) in own_closes(wallet) {
        let is_asked_for = matches!(channel.closing, Closing::Asked(_) | Closing::PutOff);
        let is_set = || alarms.at(AlarmKey::Consent(slot)).is_some();
        holds!(!is_asked_for || is_set(), "{slot:?}: {:?}", channel.closing);
    }
    Ok(())
}

/// It waits for the node, or for a signature.
pub(super) fn do_closes_go_on(wallet: &Wallet, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, channel) in own_closes(wallet) {
        if channel.closing == Closing::Wanted {
            let is_set = |key| alarms.at(key).is_some();
            let goes_on = is_set(AlarmKey::Consent(slot))
                || channel.signing.is_some()
                || is_set(AlarmKey::Resend(slot));
            holds!(goes_on, "{slot:?}");
        }
    }
    Ok(())
}

pub(super) fn are_closes_asked_again(wallet: &Wallet, alarms: &Alarms<AlarmKey>) -> Checked {
    for (slot, channel) in own_closes(wallet) {
        let is_set = || alarms.at(AlarmKey::Ask(slot)).is_some();
        holds!(channel.closing != Closing::PutOff || is_set(), "{slot:?}");
    }
    Ok(())
}

pub(super) fn have_alarms_channels(alarms: &Alarms<AlarmKey>, wallet: &Wallet) -> Checked {
    for key in alarms.keys() {
        let (AlarmKey::Quiet(slot) | AlarmKey::Resend(slot) | AlarmKey::Consent(slot) | AlarmKey::Ask(slot)) =
            key
        else {
            continue;
        };
        holds!(wallet.channels.get(slot).is_some(), "{key:?}");
    }
    Ok(())
}

/// Until the chain is read nothing is closed, and what may be the channel that is being opened is not.
pub(super) fn are_found_closed(wallet: &Wallet, opener: &Opener, is_read: bool) -> Checked {
    let first = opener.first().filter(|opening| opening.is_under_way() || opening.included_in().is_some());
    let opened = first.map(|opening| (opening.operator, opening.token));
    for (slot, channel) in wallet.channels.iter().filter(|(_, channel)| is_read && channel.is_apart()) {
        let like = (channel.paying.operator, channel.paying.token);
        holds!(opened == Some(like), "{slot:?}");
    }
    Ok(())
}
