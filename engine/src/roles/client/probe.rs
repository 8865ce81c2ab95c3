//! Asking a node for its price before money moves (section 3, D1).
//!
//! A channel is opened only on a quote: a signed rate within the order's maximum, no older than
//! [`PROBE_WINDOW`](crate::limits::PROBE_WINDOW). From then on nothing above it is paid to this node for this download, and
//! while it is young enough the request presents it, so that the node is held to it in public (E5).

use super::{Client, Next};
use crate::{
    crypto::{Crypto, StreamError},
    fault::{Proof, Rule},
    ids::{ConnId, FetchId, StreamId},
    io::{Gone, Notice, Outputs},
    machine::{
        Cx,
        fetcher::{Failure, Price, Quoted, Stage},
        prober::{Answer, Failed, Probe},
    },
    money::Amount,
    time::Now,
    wire::{Code, ProbeRequest, ProbeResponse},
};

impl Client {
    /// Asks a download's present candidate, unless it is being asked: then whoever waits is moved along by the answer.
    pub(super) fn probe(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let node = self.fetcher.fetches[&id].candidate().node;
        if self.prober.is_asking(node) {
            return;
        }
        self.prints.is_rest_dirty = true;
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        match self.prober.ask(node, id, self.config.limits.conns, cx) {
            Some(conn) => self.fetcher.set_stage(id, Stage::Probing(conn), cx),
            None => self.fail_attempt(now, id, Failure::NotNow, out),
        }
    }

    pub(super) fn on_probe_connected(&mut self, now: Now, conn: ConnId, out: &mut Outputs) {
        let probe = self.prober.get(conn).expect("a connection for a question has one");
        let fetch = self.fetcher.fetches.get(&probe.fetch).expect("a question's download waits for it");
        let order = &fetch.record.order;
        let request = ProbeRequest {
            hash: order.hash,
            token: order.token,
            requester: self.config.account,
            timestamp: now.wall,
        };
        self.prober.on_up(conn, request, &mut Cx { now, tools: &mut self.tools, out });
    }

    pub(super) fn on_probe_response<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        response: ProbeResponse,
        crypto: &C,
        out: &mut Outputs,
    ) {
        let probe = self.prober.get(id.conn).expect("an answer is to a question");
        let Probe { node, fetch: fetch_id, .. } = *probe;
        let fetch = self.fetcher.fetches.get(&fetch_id).expect("a question's download waits for it");
        assert_eq!(fetch.candidate().node, node, "the present candidate is asked");
        let (operator, order) = (fetch.candidate().operator, &fetch.record.order);
        let (max_rate, most) = (order.max_rate, self.config.rate_max(order.token));
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let by = (&self.config.deployment, operator, most);
        // It may come before the question went out.
        let Some(answer) = self.prober.on_response(id, response, by, crypto, cx) else { return };
        let refused = |error| Notice::Refused { fetch: fetch_id, node, error };
        let quoted = match answer {
            Answer::Worthless => return self.end_probe(now, id.conn, Some(Failure::Ban), out),
            Answer::NotSold => {
                out.notice(refused(StreamError::Unavailable));
                return self.end_probe(now, id.conn, Some(Failure::Refused), out);
            }
            Answer::Quote { rate, timestamp, signature, total_bytes, least_deposit } => {
                Quoted { rate, timestamp, signature, total_bytes, least_deposit }
            }
        };
        let rate = quoted.rate;
        self.set_price(fetch_id, Price::Quoted(quoted));
        // No opening will tell.
        if rate > max_rate || self.usable_channel(now, fetch_id, out).is_some() {
            self.show_quote(fetch_id, None, out);
        }
        if rate > max_rate {
            // It is none to open a channel on.
            self.set_price(fetch_id, Price::Unasked);
            out.notice(refused(StreamError::RateExceeded));
            return self.end_probe(now, id.conn, Some(Failure::Ban), out);
        }
        self.end_probe(now, id.conn, None, out);
    }

    fn set_price(&mut self, id: FetchId, price: Price) {
        let fetch = self.fetcher.fetches.get_mut(&id).expect("a price is a download's");
        fetch.set_price(price);
    }

    /// Tells the owner what the present candidate wants, and what goes into a channel with it, if one is opened now.
    pub(super) fn show_quote(&self, id: FetchId, deposit: Option<Amount>, out: &mut Outputs) {
        let fetch = self.fetcher.fetches.get(&id).expect("a price is a download's");
        let node = fetch.candidate().node;
        let Quoted { rate, total_bytes, .. } = fetch.quoted().expect("a price is shown that was quoted (D1)");
        out.notice(Notice::Quoted { fetch: id, node, rate, total_bytes, deposit });
    }

    /// The connection of a probe is gone before its answer.
    pub(super) fn on_probe_lost(&mut self, now: Now, conn: ConnId, why: Gone, out: &mut Outputs) {
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let (probe, failed) = self.prober.on_lost(conn, why, cx);
        self.after_probe(now, probe, Some(failed.into()), out);
    }

    /// Refused, unsigned, or ended without an answer.
    pub(super) fn on_probe_closed(&mut self, now: Now, conn: ConnId, code: Option<Code>, out: &mut Outputs) {
        let failed = code.map_or(Failed::Silent, Failed::from);
        self.end_probe(now, conn, Some(failed.into()), out);
    }

    /// What came is no answer to a probe.
    pub(super) fn on_probe_breach(&mut self, now: Now, id: StreamId, rule: Rule, out: &mut Outputs) {
        let probe = self.prober.get(id.conn).expect("asked of a connection for a question");
        out.breach(probe.node, rule, Proof::Message(id));
        self.end_probe(now, id.conn, Some(Failure::Ban), out);
    }

    /// Silence (D10).
    pub(super) fn on_probe_late(&mut self, now: Now, conn: ConnId, out: &mut Outputs) {
        let probe = self.prober.get(conn).expect("a download that asks for a price has its question");
        out.unattributed(probe.node, Rule::D10);
        self.end_probe(now, conn, Some(Failure::Refused), out);
    }

    /// Hangs up; the download tries again, or goes on.
    fn end_probe(&mut self, now: Now, conn: ConnId, failure: Option<Failure>, out: &mut Outputs) {
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let probe = self.prober.end(conn, cx).expect("a question ends once");
        self.after_probe(now, probe, failure, out);
    }

    fn after_probe(&mut self, now: Now, probe: Probe, failure: Option<Failure>, out: &mut Outputs) {
        self.prints.is_rest_dirty = true;
        match failure {
            Some(failure) => self.fail_attempt(now, probe.fetch, failure, out),
            None => {
                let cx = &mut Cx { now, tools: &mut self.tools, out };
                self.fetcher.set_stage(probe.fetch, Stage::Waiting, cx);
                self.advance(now, probe.fetch, out);
            }
        }
        self.advance_peer(now, probe.node, out);
    }

    /// A download has ended while it asked: another one may ask now.
    pub(super) fn drop_probe(&mut self, now: Now, conn: ConnId, out: &mut Outputs) {
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        // It may have ended first, and the download with it.
        let Some(probe) = self.prober.end(conn, cx) else { return };
        self.prints.is_rest_dirty = true;
        self.todo.push_back(Next::Freed(probe.node));
    }
}

impl From<Failed> for Failure {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Later => Self::NotNow,
            Failed::Silent => Self::Refused,
            Failed::Never => Self::Ban,
        }
    }
}
