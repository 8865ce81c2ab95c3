//! What holds between a node's machines, from step to step: every invariant by name, with the machines that it is about.

use alloc::collections::BTreeMap;

use super::{Node, state::Signing};
use crate::{
    ids::SignTicket,
    machine::{
        AlarmKey,
        earnings::{Channel, Earnings},
        inbound::Inbound,
        sending::{Sending, StreamState},
    },
    money::Amount,
    order::Order,
    record::ChannelStatus,
    roles::{
        check,
        client::Client,
        config::{NodeConfig, TokenTerms},
    },
    state::{Alarms, Broken, Checked, Invariant, Slot, holds},
    wire::Protocol,
};

/// All of them.
const INVARIANTS: &[Invariant<Node>] = &[
    Invariant::tie("a connection counts its streams", |n| are_streams_counted(&n.inbound, &n.sending)),
    Invariant::tie("a connection for probes counts what is being signed", |n| {
        are_probes_counted(&n.inbound, &n.signing)
    }),
    Invariant::of("no more streams on a connection than allowed", |n| {
        are_streams_few(&n.inbound, n.config.limits.streams_per_conn)
    }),
    Invariant::of("no more connections than allowed", |n| {
        let (conns, limit) = (n.inbound.conns.len().max(n.quotes.len()), n.config.limits.conns);
        holds!(conns <= limit, "{conns}, at most {limit}");
        Ok(())
    }),
    Invariant::tie("a stream runs on a connection for streams", |n| {
        are_streams_connected(&n.sending, &n.inbound)
    }),
    Invariant::tie("a stream is listed with its channel", |n| are_streams_listed(&n.sending, &n.earnings)),
    Invariant::tie("a channel lists streams on it, each once", |n| are_lists_true(&n.earnings, &n.sending)),
    Invariant::tie("a stream serves who pays on its channel", |n| are_payers_served(&n.sending, &n.earnings)),
    Invariant::tie("a stream is metered at the rate that was agreed on", |n| {
        are_rates_metered(&n.sending, &n.earnings)
    }),
    Invariant::tie("an answer that is missing is being signed", |n| {
        are_answers_signed(&n.sending, &n.signing)
    }),
    Invariant::tie("exposure is within the largest offer", |n| {
        is_exposure_offered(&n.earnings, n.config.offer_for(n.config.offer_ceiling))
    }),
    Invariant::of("no more tails are kept than allowed", |n| {
        let ((_, _, tails), limit) = (n.earnings.counts(), n.config.limits.tails);
        holds!(tails <= limit, "{tails}, at most {limit}");
        Ok(())
    }),
    Invariant::tie("what raises a limit was given to the disk", |n| {
        check::were_writes_asked_for(&n.buyer.tools, n.earnings.raising())
    }),
    Invariant::tie("a consent is being signed where one was asked for", |n| {
        are_consents_signed(&n.earnings, &n.signing)
    }),
    Invariant::tie("a channel knows that its consent is being signed", |n| {
        are_consents_known(&n.signing, &n.earnings)
    }),
    Invariant::tie("no channel is soft that the safe head has", |n| {
        are_soft_unsafe(&n.earnings, n.buyer.follower.safe())
    }),
    Invariant::tie("soft deposits are within their token's cap", |n| are_soft_capped(&n.earnings, &n.config)),
    Invariant::tie("a channel that is closing on chain says so", |n| {
        let status = |channel: &Channel| channel.status;
        check::are_closings_closing(&n.closings, |slot| n.earnings.channels.get(slot).map(status))
    }),
    Invariant::tie("a dispute has its transaction", |n| check::have_disputes_transactions(&n.closings)),
    Invariant::tie("a close holds the durable cursor back", |n| {
        let id = |slot| n.earnings.channels.get(slot).map(|channel| channel.id);
        check::hold_closings_the_cursor(&n.closings, &n.buyer.follower.checkpoint, id)
    }),
    Invariant::tie("nothing else holds the durable cursor back", |n| {
        let known = n.closings.known() + n.buyer.closings_known();
        check::holds_nothing_else_the_cursor(&n.buyer.follower.checkpoint, known)
    }),
    Invariant::tie("what is retained of a channel is not in the table", |n| {
        check::are_retained_gone(&n.closings, |id| n.earnings.slot(id).is_some())
    }),
    Invariant::tie("an opening that has to be seen again is of no known block", |n| {
        check::are_unseen_marked(&n.buyer.follower.openings, |id| {
            n.earnings.slot(id).map(|slot| n.earnings.channels[slot].opened_at_block)
        })
    }),
    Invariant::tie("a dispute in the inbox is forced when it is time", |n| {
        check::are_inboxes_forced(&n.closings, &n.buyer.tools.alarms)
    }),
    Invariant::tie("a dispute that is wanted is on its way or tried again", |n| {
        check::are_disputes_tried(&n.closings, &n.buyer.tools.alarms)
    }),
    Invariant::tie("a dispute on record is about a channel that is known", |n| {
        check::are_disputes_about_channels(&n.closings, |id| n.has_earned_on(id))
    }),
    Invariant::tie("what was claimed is about a channel that is known", |n| {
        let unknown = n.earnings.claims.channels().find(|id| !n.has_earned_on(id));
        holds!(unknown.is_none(), "{unknown:?}");
        Ok(())
    }),
    Invariant::tie("a close that was ordered is of a channel that serves no more", are_orders_about_channels),
    Invariant::tie("a close that was sent has its transaction", have_orders_transactions),
    Invariant::tie("a closing channel is settled when it is time", |n| {
        check::is_settling_due(&n.closings, &n.buyer.follower.outlook(), &n.buyer.tools.alarms)
    }),
    Invariant::tie("an alarm about a close is about a closing channel", |n| {
        check::are_closing_alarms_owned(&n.closings, &n.buyer.tools.alarms, |slot| n.earns_on(slot))
    }),
    Invariant::tie("an alarm about paying is about a channel that is paid on", |n| {
        are_alarms_of_payers(&n.buyer.tools.alarms, &n.buyer)
    }),
    Invariant::tie("the chain is read again", |n| check::is_poll_due(&n.buyer.tools.alarms)),
    Invariant::tie("what an event did was given to the disk", |n| {
        check::were_writes_asked_for(&n.buyer.tools, n.buyer.follower.checkpoint.writing())
    }),
    Invariant::tie("alarms are in proportion to what they are about", |n| {
        check::are_alarms_few(&n.buyer.tools.alarms, n.alarms_max())
    }),
    Invariant::tie("a ticket was given out", |n| {
        check::were_tickets_given(&n.buyer.tools, n.signing.keys().copied(), &n.closings.txs)
    }),
    Invariant::tie("a ticket is a signature's or a transaction's", |n| {
        check::are_tickets_apart(n.signing.keys().copied(), &n.closings.txs)
    }),
];

impl Node {
    pub(super) fn check_all(&self) -> Result<(), Broken> {
        self.buyer.check_beside()?;
        self.earnings.check()?;
        self.inbound.check()?;
        self.sending.check()?;
        self.closings.check()?;
        Invariant::check_all(INVARIANTS, self)
    }
}

fn are_streams_counted(inbound: &Inbound, sending: &Sending) -> Checked {
    for (id, conn) in inbound.conns.iter().filter(|(_, conn)| conn.protocol == Protocol::Client) {
        let there = sending.on_conn(*id).count();
        holds!(conn.streams as usize == there, "{id:?}: {} counted, {there} there", conn.streams);
    }
    Ok(())
}

fn are_probes_counted(inbound: &Inbound, signing: &BTreeMap<SignTicket, Signing>) -> Checked {
    for (id, conn) in inbound.conns.iter().filter(|(_, conn)| conn.protocol == Protocol::Probe) {
        let is_on_it =
            |purpose: &&Signing| matches!(purpose, Signing::Probe { stream, .. } if stream.conn == *id);
        let asked = signing.values().filter(is_on_it).count();
        holds!(conn.streams as usize == asked, "{id:?}: {} counted, {asked} asked", conn.streams);
    }
    Ok(())
}

fn are_streams_few(inbound: &Inbound, limit: u32) -> Checked {
    for (id, conn) in inbound.conns.iter() {
        holds!(conn.streams <= limit, "{id:?}: {} of {limit}", conn.streams);
    }
    Ok(())
}

fn are_streams_connected(sending: &Sending, inbound: &Inbound) -> Checked {
    for (id, _) in sending.streams.iter() {
        let protocol = inbound.get(id.conn).map(|conn| conn.protocol);
        holds!(protocol == Some(Protocol::Client), "{id:?}: {protocol:?}");
    }
    Ok(())
}

fn are_streams_listed(sending: &Sending, earnings: &Earnings) -> Checked {
    for (id, stream) in sending.streams.iter() {
        let channel = earnings.channels.get(stream.channel);
        holds!(channel.is_some_and(|channel| channel.streams.contains(id)), "{id:?}, {:?}", stream.channel);
    }
    Ok(())
}

fn are_lists_true(earnings: &Earnings, sending: &Sending) -> Checked {
    for (slot, channel) in earnings.channels.iter() {
        for (place, id) in channel.streams.iter().enumerate() {
            let is_on_it = sending.streams.get(id).is_some_and(|stream| stream.channel == slot);
            holds!(is_on_it && !channel.streams[..place].contains(id), "{slot:?}, {id:?}");
        }
    }
    Ok(())
}

fn are_payers_served(sending: &Sending, earnings: &Earnings) -> Checked {
    for (id, stream) in sending.streams.iter() {
        let Some(channel) = earnings.channels.get(stream.channel) else { continue };
        let asked = (stream.terms.channel, stream.terms.requester, stream.terms.token);
        holds!(asked == (channel.id, channel.client, channel.token), "{id:?}, {:?}", stream.channel);
    }
    Ok(())
}

fn are_rates_metered(sending: &Sending, earnings: &Earnings) -> Checked {
    for (id, stream) in sending.streams.iter() {
        let is_live = stream.terms.ok && stream.state != StreamState::Ended;
        let rate = earnings.channels.get(stream.channel).map(|channel| channel.meter.rate());
        let is_agreed = rate.is_none_or(|rate| rate == stream.terms.rate);
        holds!(!is_live || is_agreed, "{id:?}: {:?}, metered {rate:?}", stream.terms.rate);
    }
    Ok(())
}

fn are_answers_signed(sending: &Sending, signing: &BTreeMap<SignTicket, Signing>) -> Checked {
    for (id, stream) in sending.streams.iter() {
        let is_signed = |purpose: &Signing| matches!(purpose, Signing::Response(stream) if stream == id);
        holds!(stream.state != StreamState::Answering || signing.values().any(is_signed), "{id:?}");
    }
    Ok(())
}

/// Beyond its best voucher, durable or not, whose last unit may be rounded up.
fn is_exposure_offered(earnings: &Earnings, largest: u64) -> Checked {
    for (slot, channel) in earnings.channels.iter() {
        let (_, best) = channel.best_pair();
        let (unpaid, most) =
            (channel.meter.unpaid(best), largest.saturating_add(channel.meter.bytes_per_unit()));
        holds!(unpaid <= most, "{slot:?}: {unpaid} of {most}");
    }
    Ok(())
}

fn is_consent(purpose: &Signing, slot: Slot) -> bool {
    matches!(purpose, Signing::Consent { channel, .. } if *channel == slot)
}

fn are_consents_signed(earnings: &Earnings, signing: &BTreeMap<SignTicket, Signing>) -> Checked {
    for (slot, _) in earnings.channels.iter().filter(|(_, channel)| channel.is_consenting) {
        let count = signing.values().filter(|purpose| is_consent(purpose, slot)).count();
        holds!(count == 1, "{slot:?}: {count} times");
    }
    Ok(())
}

fn are_consents_known(signing: &BTreeMap<SignTicket, Signing>, earnings: &Earnings) -> Checked {
    for (ticket, purpose) in signing {
        if let Signing::Consent { channel: slot, .. } = purpose {
            let is_known = earnings.channels.get(*slot).is_none_or(|channel| channel.is_consenting);
            holds!(is_known, "{ticket:?}, {slot:?}");
        }
    }
    Ok(())
}

fn are_soft_unsafe(earnings: &Earnings, safe: u64) -> Checked {
    for (block, slot) in earnings.soft() {
        holds!(block > safe, "{slot:?}, block {block}, safe {safe}");
    }
    Ok(())
}

fn are_soft_capped(earnings: &Earnings, config: &NodeConfig) -> Checked {
    for TokenTerms { token, soft_cap, .. } in &config.tokens {
        let soft = earnings.soft().filter_map(|(_, slot)| earnings.channels.get(slot));
        let sum = soft
            .filter(|channel| channel.token == *token)
            .fold(Amount::ZERO, |sum, channel| sum.checked_add(channel.deposit).unwrap_or(Amount::MAX));
        holds!(sum <= *soft_cap, "{token}: {sum:?} of {soft_cap:?}");
    }
    Ok(())
}

fn are_orders_about_channels(node: &Node) -> Checked {
    for (order, _) in node.buyer.orders.earned() {
        let (Order::Close(channel) | Order::Claim(channel)) = order else { continue };
        let slot = node.earnings.slot(channel);
        let status = slot.map(|slot| node.earnings.channels[slot].status);
        let is_there = slot.is_some() || node.closings.retained.contains(channel);
        let is_claim = matches!(order, Order::Claim(_));
        holds!(is_there && (is_claim || status != Some(ChannelStatus::Open)), "{order:?}: {status:?}");
    }
    Ok(())
}

fn have_orders_transactions(node: &Node) -> Checked {
    for (order, ticket) in node.buyer.orders.earned() {
        let has = ticket.is_none_or(|ticket| node.closings.txs.contains_key(&ticket));
        holds!(has, "{order:?}: {ticket:?}");
    }
    Ok(())
}

/// Settling and forcing are for both kinds of channel.
fn are_alarms_of_payers(alarms: &Alarms<AlarmKey>, buyer: &Client) -> Checked {
    for key in alarms.keys() {
        if let AlarmKey::Quiet(slot)
        | AlarmKey::Resend(slot)
        | AlarmKey::Consent(slot)
        | AlarmKey::Ask(slot) = key
        {
            holds!(buyer.pays_on(slot), "{key:?}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
