//! Asking a node for its price before money moves (section 3, D1).
//!
//! A channel is opened only on a quote: a signed rate within the order's maximum, no older than [`PROBE_WINDOW`]. From then on
//! nothing above it is paid to this node for this download, and while it is young enough the request presents it, so that the
//! node is held to it in public (E5).

use super::Client;
use crate::{
    crypto::{Crypto, ProbeResponseTerms, StreamError, Typed},
    fault::{LimitHit, Proof, Rule},
    ids::{ConnId, FetchId, NodeId, StreamId},
    io::{Effect, Gone, Lane, Notice, Outputs},
    limits::BLOB_BYTES_MAX,
    machine::{
        Cx,
        fetcher::{Failure, Price, Quoted, Stage},
    },
    money::Amount,
    time::Now,
    wire::{Code, ProbeMessage, ProbeRequest, ProbeResponse, Protocol},
};

/// A probe under way: one connection for each, and one at a time with a node (W3).
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    pub(super) node: NodeId,
    fetch: FetchId,
    /// What was asked, once the connection is up.
    asked: Option<ProbeRequest>,
}

impl Client {
    /// Asks a download's present candidate, unless it is being asked: then whoever waits is moved along by the answer.
    pub(super) fn probe(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let node = self.fetcher.fetches[&id].candidate().node;
        if self.probes.values().any(|probe| probe.node == node) {
            return;
        }
        // As many as there may be other connections: an open channel that is idle must not keep a price from being asked.
        if self.probes.len() >= self.config.limits.conns {
            out.limit(Rule::W3, LimitHit::Conns);
            return self.fail_attempt(now, id, Failure::NotNow, out);
        }
        let conn = self.tools.conn();
        self.probes.insert(conn, Probe { node, fetch: id, asked: None });
        self.is_rest_dirty = true;
        out.push(Lane::Role, Effect::Connect { conn, peer: node, protocol: Protocol::Probe });
        self.fetcher.set_stage(id, Stage::Probing(conn), &mut Cx { now, tools: &mut self.tools, out });
    }

    pub(super) fn on_probe_connected(&mut self, now: Now, conn: ConnId, out: &mut Outputs) {
        let Some(probe) = self.probes.get_mut(&conn) else { return };
        let Some(fetch) = self.fetcher.fetches.get(&probe.fetch) else { return };
        let request = ProbeRequest {
            hash: fetch.record.order.hash,
            token: fetch.record.order.token,
            requester: self.config.account,
            timestamp: now.wall,
        };
        probe.asked = Some(request);
        let stream = StreamId { conn, index: 0 };
        out.send(Lane::Role, stream, ProbeMessage::Request(request));
    }

    /// P6: the answer counts if the candidate's account signed it for what was asked, at a sane rate.
    pub(super) fn on_probe_response<C: Crypto>(
        &mut self,
        now: Now,
        id: StreamId,
        response: ProbeResponse,
        crypto: &C,
        out: &mut Outputs,
    ) {
        let Some(&Probe { node, fetch: fetch_id, asked: Some(asked) }) = self.probes.get(&id.conn) else {
            return;
        };
        let Some(fetch) = self.fetcher.fetches.get_mut(&fetch_id) else { return };
        let ProbeResponse { has_blob, rate, total_bytes, signature } = response;
        let terms = ProbeResponseTerms {
            node,
            hash: asked.hash,
            has_blob,
            token: asked.token,
            rate,
            requester: asked.requester,
            timestamp: asked.timestamp,
        };
        let is_whole =
            (!has_blob || rate.is_sane()) && total_bytes.is_none_or(|bytes| bytes <= BLOB_BYTES_MAX);
        let (operator, max_rate) = (fetch.candidate().operator, fetch.record.order.max_rate);
        let what = Typed::ProbeResponse(terms);
        if !is_whole || !crypto.verify(&self.config.deployment, &what, &signature, operator) {
            out.breach(node, Rule::P6, Proof::Message(id));
            return self.end_probe(now, id.conn, Some(Failure::Ban), out);
        }
        let refused = |error| Effect::Notice(Notice::Refused { fetch: fetch_id, node, error });
        if !has_blob {
            out.push(Lane::Role, refused(StreamError::Unavailable));
            return self.end_probe(now, id.conn, Some(Failure::Refused), out);
        }
        let quote = Quoted { rate, timestamp: asked.timestamp, signature, total_bytes };
        fetch.set_price(Price::Quoted(quote));
        // No opening will tell.
        if rate > max_rate || self.usable_channel(now, fetch_id, out).is_some() {
            self.show_quote(fetch_id, None, out);
        }
        if rate > max_rate {
            // It is none to open a channel on.
            if let Some(fetch) = self.fetcher.fetches.get_mut(&fetch_id) {
                fetch.set_price(Price::Unasked);
            }
            out.push(Lane::Role, refused(StreamError::RateExceeded));
            return self.end_probe(now, id.conn, Some(Failure::Ban), out);
        }
        self.end_probe(now, id.conn, None, out);
    }

    /// Tells the owner what the present candidate wants, and what goes into a channel with it, if one is opened now.
    pub(super) fn show_quote(&self, id: FetchId, deposit: Option<Amount>, out: &mut Outputs) {
        let quoted =
            self.fetcher.fetches.get(&id).and_then(|fetch| Some((fetch.candidate().node, fetch.quoted()?)));
        let Some((node, Quoted { rate, total_bytes, .. })) = quoted else { return };
        out.notice(Notice::Quoted { fetch: id, node, rate, total_bytes, deposit });
    }

    /// The connection of a probe is gone before its answer.
    pub(super) fn on_probe_lost(&mut self, now: Now, conn: ConnId, why: Gone, out: &mut Outputs) {
        let Some(probe) = self.probes.get(&conn) else { return };
        let rule = if why == Gone::WrongPeer { Rule::I3 } else { Rule::D10 };
        out.unattributed(probe.node, rule);
        let failure = match why {
            Gone::Closed(code) => of_code(code),
            Gone::Unreachable | Gone::WrongPeer | Gone::Lost => Failure::Refused,
        };
        self.forget_probe(now, conn, Some(failure), out);
    }

    /// Refused, unsigned, or ended without an answer.
    pub(super) fn on_probe_closed(&mut self, now: Now, conn: ConnId, code: Option<Code>, out: &mut Outputs) {
        self.end_probe(now, conn, Some(code.map_or(Failure::Refused, of_code)), out);
    }

    /// What came is no answer to a probe.
    pub(super) fn on_probe_malformed(&mut self, now: Now, id: StreamId, out: &mut Outputs) {
        let Some(probe) = self.probes.get(&id.conn) else { return };
        out.breach(probe.node, Rule::W1, Proof::Message(id));
        self.end_probe(now, id.conn, Some(Failure::Ban), out);
    }

    /// Silence (D10).
    pub(super) fn on_probe_late(&mut self, now: Now, conn: ConnId, out: &mut Outputs) {
        let Some(probe) = self.probes.get(&conn) else { return };
        out.unattributed(probe.node, Rule::D10);
        self.end_probe(now, conn, Some(Failure::Refused), out);
    }

    /// Hangs up; the download tries again, or goes on.
    pub(super) fn end_probe(&mut self, now: Now, conn: ConnId, failure: Option<Failure>, out: &mut Outputs) {
        if self.probes.contains_key(&conn) {
            out.disconnect(conn, Code::NotNow);
            self.forget_probe(now, conn, failure, out);
        }
    }

    fn forget_probe(&mut self, now: Now, conn: ConnId, failure: Option<Failure>, out: &mut Outputs) {
        let Some(probe) = self.probes.remove(&conn) else { return };
        self.is_rest_dirty = true;
        match failure {
            Some(failure) => self.fail_attempt(now, probe.fetch, failure, out),
            None => {
                self.fetcher.set_stage(
                    probe.fetch,
                    Stage::Waiting,
                    &mut Cx { now, tools: &mut self.tools, out },
                );
                self.advance(now, probe.fetch, out);
            }
        }
        self.advance_peer(now, probe.node, out);
    }

    /// A download has ended while it asked: another one may ask now.
    pub(super) fn drop_probe(&mut self, now: Now, conn: ConnId, out: &mut Outputs) {
        let Some(probe) = self.probes.remove(&conn) else { return };
        self.is_rest_dirty = true;
        out.disconnect(conn, Code::NotNow);
        self.advance_peer(now, probe.node, out);
    }
}

fn of_code(code: Code) -> Failure {
    match code {
        Code::NotNow | Code::ChannelPending => Failure::NotNow,
        Code::Malformed | Code::Unsupported | Code::TooLarge => Failure::Ban,
        Code::Other(_) => Failure::Refused,
    }
}
