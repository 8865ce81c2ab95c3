//! Orders for a download that is there already (D17): one that was kept goes on where it was, one that runs goes on under other
//! terms. What it has verified stays in both cases, and is asked of nobody again.

use alloc::vec;

use super::Client;
use crate::{
    ids::FetchId,
    io::{Lane, Notice, Outputs},
    machine::{
        Cx,
        fetcher::{Amended, Stage},
        links::Purpose,
    },
    order::FetchOrder,
    record::{Key, Record},
    time::Now,
};

impl Client {
    /// An order that can be carried out, for a download that is there.
    pub(super) fn on_order_again(&mut self, now: Now, order: FetchOrder, out: &mut Outputs) {
        let fetch = self.fetcher.fetches.get(&order.id).expect("a download that is there is ordered again");
        match fetch.stage {
            Stage::Kept => self.go_on(now, order, out),
            // There is nothing left that terms could be for.
            Stage::Paying(_) => {}
            _ if fetch.record.order == order => {}
            _ => self.amend(now, order, out),
        }
    }

    /// A kept download goes on, as it would after a start: nobody is known to be bad, and each price has to be asked for. What ran
    /// last may have lost bytes.
    fn go_on(&mut self, now: Now, order: FetchOrder, out: &mut Outputs) {
        let id = order.id;
        self.fetcher.go_on(order);
        self.persist_fetch(id, out);
        self.note_lost_of(id);
        self.advance(now, id, out);
    }

    /// A download goes on under other terms. The attempt that runs ends only if they don't allow it, and that is nobody's fault.
    fn amend(&mut self, now: Now, order: FetchOrder, out: &mut Outputs) {
        let id = order.id;
        let stays = self.may_stay(&order);
        let asks = self.fetcher.fetches[&id].stage == Stage::Asking;
        if !stays || asks {
            // Who is asked is asked anew, about what it is now.
            self.end_attempt(now, id, out);
        }
        let fetch = self.fetcher.fetches.get(&id).expect("a download outlives its attempts");
        let (before, why) = (fetch.record.order.clone(), fetch.why);
        let amended = self.fetcher.amend(order, stays);
        self.retire_lossy(now, &before, out);
        self.persist_fetch(id, out);
        if amended == Amended::Nobody {
            return self.fail_fetch(now, id, why, out);
        }
        if self.follower.is_read() {
            self.close_unused(now, out);
        }
        self.leave_idle_peers(now, out);
        self.advance(now, id, out);
    }

    /// Whether what a download does now may go on under these terms: with the same node, in the same token, at a rate that they
    /// allow.
    fn may_stay(&self, order: &FetchOrder) -> bool {
        let fetch = self.fetcher.fetches.get(&order.id).expect("a download that is there is ordered again");
        let is_listed = order.candidates.contains(&fetch.candidate());
        let is_allowed = match fetch.stage {
            Stage::Requested(stream) | Stage::Streaming(stream) => {
                let stream = self.links.streams.get(&stream).expect("a download's stream serves it");
                match &stream.purpose {
                    Purpose::Content { is_agreed: true, .. } => {
                        self.wallet.channels[stream.channel].paying.meter.rate() <= order.max_rate
                    }
                    Purpose::Content { request, .. } => request.max_rate <= order.max_rate,
                    Purpose::Close => unreachable!("a download's stream brings content"),
                }
            }
            _ => true,
        };
        is_listed && is_allowed && order.token == fetch.record.order.token
    }

    /// Ends what a download does now. What it got is signed for.
    fn end_attempt(&mut self, now: Now, id: FetchId, out: &mut Outputs) {
        let fetch = self.fetcher.fetches.get(&id).expect("an attempt is a download's");
        let (stage, position) = (fetch.stage, fetch.position());
        self.fetcher.set_stage(id, Stage::Waiting, &mut Cx { now, tools: &mut self.tools, out });
        match stage {
            Stage::Probing(conn) => self.drop_probe(now, conn, out),
            Stage::Requested(stream) | Stage::Streaming(stream) => {
                let slot = self.links.streams.get(&stream).expect("a download's stream serves it").channel;
                // The node may have agreed by now, and send (D8).
                self.wallet.channels[slot].note_lost(id, position);
                self.drop_stream(now, stream, out);
            }
            _ => {}
        }
    }

    /// Stores a download: by itself, unless it has got bytes that its channels' records don't count yet (D14).
    fn persist_fetch(&mut self, id: FetchId, out: &mut Outputs) {
        if let Some(slot) = self.source_of(id) {
            self.persist_paying(slot, out);
            return;
        }
        let fetch = self.fetcher.fetches.get_mut(&id).expect("a download that is there is stored");
        fetch.sources.clear();
        let record = fetch.stored();
        self.persist(Lane::Role, vec![record], out);
    }

    /// Gives up what a failed download has verified, so that there is room for another one. `false` if nothing is kept.
    pub(super) fn make_room(&mut self, now: Now, out: &mut Outputs) -> bool {
        let Some(id) = self.fetcher.least_kept() else { return false };
        let cx = &mut Cx { now, tools: &mut self.tools, out };
        let gone = self.fetcher.remove(id, cx);
        out.notice(Notice::Forgotten { fetch: id, verified_bytes: gone.record.verified_bytes });
        self.persist(Lane::Role, vec![Record::Gone(Key::Fetch(id))], out);
        true
    }
}
