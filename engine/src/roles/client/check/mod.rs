//! What holds between a client's machines, from step to step: every invariant by name, with the machines that it is about.

mod channels;
mod downloads;
mod money;

use super::Client;
use crate::{
    ids::SignTicket,
    machine::wallet::Channel,
    roles::check,
    state::{Broken, Invariant, holds},
};

/// Channels, connections, streams.
const CHANNELS: &[Invariant<Client>] = &[
    Invariant::tie("a connection was dialled, for one purpose", |c| {
        channels::were_connections_dialled(&c.tools, &c.links, &c.prober)
    }),
    Invariant::tie("a connection is wanted by a channel, a stream or a download", |c| {
        channels::are_connections_wanted(&c.links, &c.wallet, &c.fetcher)
    }),
    Invariant::of("no more connections than allowed", |c| {
        let (conns, _) = c.links.counts();
        channels::are_few(conns.max(c.prober.len()), c.config.limits.conns)
    }),
    Invariant::tie("a node was greeted with its own channels", |c| {
        channels::are_greeted_its_own(&c.links, &c.wallet)
    }),
    Invariant::tie("a stream's channel is there, with the same node", |c| {
        channels::have_streams_channels(&c.links, &c.wallet)
    }),
    Invariant::tie("a stream that was agreed on is listed with its channel", |c| {
        channels::are_agreed_listed(&c.links, &c.wallet)
    }),
    Invariant::tie("a channel lists streams that were agreed on, each once", |c| {
        channels::are_listed_agreed(&c.wallet, &c.links)
    }),
    Invariant::tie("a stream for a close is what its channel asked on", |c| {
        channels::are_closes_asked_for(&c.links, &c.wallet)
    }),
    Invariant::tie("who was asked for consent has a stream to answer on", |c| {
        channels::can_consent_come(&c.wallet, &c.links)
    }),
    Invariant::tie("a request names its channel", |c| {
        channels::do_requests_name_channels(&c.links, &c.wallet)
    }),
    Invariant::tie("a stream costs no more than its request allows", |c| {
        channels::are_rates_allowed(&c.links, &c.wallet)
    }),
    Invariant::tie("a stream is paid by a voucher that there is", |c| {
        channels::are_payments_there(&c.links, &c.wallet)
    }),
];

/// Tickets, closes, the chain.
const MONEY: &[Invariant<Client>] = &[
    Invariant::tie("a ticket was given out", |c| {
        check::were_tickets_given(&c.tools, c.signing(), &c.closings.txs)
    }),
    Invariant::tie("a ticket is a signature's or a transaction's", |c| {
        check::are_tickets_apart(c.signing(), &c.closings.txs)
    }),
    Invariant::tie("an unacknowledged voucher goes out again", |c| {
        money::are_vouchers_sent_again(&c.wallet, &c.tools.alarms)
    }),
    Invariant::tie("a consent is late only where one is wanted", |c| {
        money::are_consents_wanted(&c.tools.alarms, &c.wallet)
    }),
    Invariant::tie("a consent that was asked for is late some time", |c| {
        money::are_consents_timed(&c.wallet, &c.tools.alarms)
    }),
    Invariant::tie("a close that is wanted goes on", |c| money::do_closes_go_on(&c.wallet, &c.tools.alarms)),
    Invariant::tie("a close that was put off is asked for again", |c| {
        money::are_closes_asked_again(&c.wallet, &c.tools.alarms)
    }),
    Invariant::tie("a channel's alarm has its channel", |c| {
        money::have_alarms_channels(&c.tools.alarms, &c.wallet)
    }),
    Invariant::tie("a channel on the chain that may not be paid on is closed", |c| {
        money::are_found_closed(&c.wallet, &c.opener, c.follower.is_read())
    }),
    Invariant::tie("a channel that is closing on chain says so", |c| {
        let status = |channel: &Channel| channel.paying.status;
        check::are_closings_closing(&c.closings, |slot| c.wallet.channels.get(slot).map(status))
    }),
    Invariant::tie("a dispute has its transaction", |c| check::have_disputes_transactions(&c.closings)),
    Invariant::tie("a close holds the durable cursor back", |c| {
        let id = |slot| c.wallet.channels.get(slot).map(|channel| channel.paying.channel);
        check::hold_closings_the_cursor(&c.closings, &c.follower.checkpoint, id)
    }),
    Invariant::tie("what is retained of a channel is not in the table", |c| {
        check::are_retained_gone(&c.closings, |id| c.wallet.slot(id).is_some())
    }),
    Invariant::tie("an opening that has to be seen again is of no known block", |c| {
        check::are_unseen_marked(&c.follower.openings, |id| {
            c.wallet.slot(id).map(|slot| c.wallet.channels[slot].paying.opened_at_block)
        })
    }),
    Invariant::tie("a dispute in the inbox is forced when it is time", |c| {
        check::are_inboxes_forced(&c.closings, &c.tools.alarms)
    }),
    Invariant::tie("a dispute that is wanted is on its way or tried again", |c| {
        check::are_disputes_tried(&c.closings, &c.tools.alarms)
    }),
    Invariant::tie("a dispute on record is about a channel that is known", |c| {
        check::are_disputes_about_channels(&c.closings, |id| c.wallet.slot(id).is_some())
    }),
    Invariant::tie("a closing channel is settled when it is time", |c| {
        check::is_settling_due(&c.closings, &c.follower.outlook(), &c.tools.alarms)
    }),
    Invariant::tie("an alarm about a close is about a closing channel", |c| {
        check::are_closing_alarms_owned(&c.closings, &c.tools.alarms, |slot| c.pays_on(slot))
    }),
    Invariant::tie("the chain is read again", |c| check::is_poll_due(&c.tools.alarms)),
    Invariant::tie("what an event did was given to the disk", |c| {
        check::were_writes_asked_for(&c.tools, c.follower.checkpoint.writing())
    }),
    Invariant::of("nothing that has come up is left to do", |c| {
        holds!(c.todo.is_empty(), "{:?}", c.todo);
        Ok(())
    }),
];

/// Of a client that is no part of a node.
const ALONE: &[Invariant<Client>] = &[
    Invariant::tie("alarms are in proportion to what they are about", |c| {
        check::are_alarms_few(&c.tools.alarms, c.alarms_max())
    }),
    Invariant::tie("nothing else holds the durable cursor back", |c| {
        check::holds_nothing_else_the_cursor(&c.follower.checkpoint, c.closings.known())
    }),
];

/// Downloads, prices, openings.
const DOWNLOADS: &[Invariant<Client>] = &[
    Invariant::tie("a download's stream serves it", |c| downloads::have_streams(&c.fetcher, &c.links)),
    Invariant::tie("a stream's download waits for it", |c| {
        downloads::are_streams_awaited(&c.links, &c.fetcher)
    }),
    Invariant::tie("a stream is as far as its download", |c| {
        downloads::are_streams_as_far(&c.links, &c.fetcher)
    }),
    Invariant::tie("a request asks for what was ordered", |c| {
        downloads::do_requests_ask_for_orders(&c.links, &c.fetcher, &c.wallet)
    }),
    Invariant::tie("a download's stream is with the candidate that it tries", |c| {
        downloads::are_streams_with_candidates(&c.links, &c.fetcher)
    }),
    Invariant::tie("a kept download is left alone", |c| {
        downloads::are_kept_left_alone(&c.fetcher, &c.links, (&c.prober, &c.tools.alarms))
    }),
    Invariant::tie("a download that asks for a price has its probe", |c| {
        downloads::have_askers_probes(&c.fetcher, &c.prober)
    }),
    Invariant::tie("a probe's download waits for it", |c| {
        downloads::are_probes_awaited(&c.prober, &c.fetcher)
    }),
    Invariant::tie("whatever a download waits for is late some time", |c| {
        downloads::are_waits_timed(&c.fetcher, &c.tools.alarms)
    }),
    Invariant::tie("a download's alarm has its download", |c| {
        downloads::have_alarms_downloads(&c.tools.alarms, &c.fetcher)
    }),
    Invariant::tie("something moves each download that waits", |c| {
        if !c.follower.is_read() || !c.identity.is_proven() {
            return Ok(());
        }
        downloads::are_moved(&c.fetcher, (&c.opener, &c.prober), (&c.links, &c.wallet, &c.tools.alarms))
    }),
    Invariant::tie("what a download got came on channels that it may use", |c| {
        downloads::are_sources_its_own(&c.fetcher, &c.wallet)
    }),
    Invariant::tie("lost bytes are of a download that can ask for them again", |c| {
        downloads::are_lost_wanted(&c.wallet, &c.fetcher)
    }),
    Invariant::tie("a channel that nothing uses is closed", |c| {
        downloads::are_unused_closed(&c.wallet, &c.fetcher, c.follower.is_read())
    }),
    Invariant::tie("an opening's transaction is late some time", |c| {
        downloads::are_openings_timed(&c.opener, &c.tools.alarms)
    }),
    Invariant::tie("nothing is opened that the owner did not agree to", |c| {
        downloads::are_openings_agreed(&c.opener, c.config.asks)
    }),
    Invariant::tie("the owner agrees to nothing without being asked", |c| {
        downloads::are_agreements_wanted(&c.fetcher, c.config.asks)
    }),
    Invariant::tie("an opening has room for its channel", |c| {
        let used = c.wallet.channels.len() + c.opener.len();
        // One may be kept apart until it is known whether it is the one that is being opened; and a fork may bring as many back as there
        // may be (L1).
        channels::are_few(used, 2 * c.config.limits.channels + 1)
    }),
];

impl Client {
    pub(super) fn check_all(&self) -> Result<(), Broken> {
        self.check_beside()?;
        Invariant::check_all(ALONE, self)
    }

    /// The same in a node, which sets alarms of its own beside these.
    pub(in crate::roles) fn check_beside(&self) -> Result<(), Broken> {
        self.wallet.check()?;
        self.links.check()?;
        self.fetcher.check()?;
        self.prober.check()?;
        self.opener.check()?;
        self.orders.check()?;
        self.closings.check()?;
        self.follower.check()?;
        self.tools.alarms.check()?;
        [CHANNELS, MONEY, DOWNLOADS].iter().try_for_each(|table| Invariant::check_all(table, self))
    }

    /// The signatures under way.
    fn signing(&self) -> impl Iterator<Item = SignTicket> {
        self.wallet.tickets().chain(self.identity.ticket())
    }
}

#[cfg(test)]
mod tests;
