//! The client's state as canonical bytes, for its digest.

use alloc::vec::Vec;

use super::{Channel, Client, Closing, Dirty, Fetch, Purpose, Stage, Stream};
use crate::{ids::StreamId, state::Canon};

impl Client {
    pub(super) fn fold_dirty(&mut self) {
        for dirty in self.dirty.drain(..) {
            match dirty {
                Dirty::Channel(slot) => {
                    if let Some(channel) = self.channels.get_mut(slot) {
                        let mut mark = channel.mark;
                        self.tally.fold(&mut mark, channel);
                        channel.mark = mark;
                    }
                }
                Dirty::Stream(id) => {
                    if let Some(stream) = self.streams.get_mut(&id) {
                        let mut mark = stream.mark;
                        self.tally.fold(&mut mark, &(id, &*stream));
                        stream.mark = mark;
                    }
                }
                Dirty::Fetch(id) => {
                    if let Some(fetch) = self.fetches.get_mut(&id) {
                        let mut mark = fetch.mark;
                        self.tally.fold(&mut mark, fetch);
                        fetch.mark = mark;
                    }
                }
            }
        }
    }
}

impl Canon for Channel {
    fn canon(&self, out: &mut Vec<u8>) {
        let paying = &self.paying;
        out.push(b'C');
        out.extend_from_slice(&paying.channel.0);
        out.push(paying.status as u8);
        out.extend_from_slice(&paying.nonce.0.to_le_bytes());
        out.extend_from_slice(&paying.amount.0.to_le_bytes());
        out.extend_from_slice(&paying.meter.owed_raw().to_le_bytes());
        out.extend_from_slice(&self.acked.0.to_le_bytes());
        out.push(u8::from(self.signature.is_some()) | u8::from(self.signing.is_some()) << 1);
        out.push(u8::from(self.window.is_halved));
        let (closing, ticket) = match self.closing {
            Closing::No => (0, 0),
            Closing::Wanted => (1, 0),
            Closing::Asked(stream) => (2, u64::from(stream.index)),
            Closing::Cooperative(ticket) => (3, ticket.0),
            Closing::Unilateral(ticket) => (4, ticket.0),
        };
        out.push(closing);
        out.extend_from_slice(&ticket.to_le_bytes());
        if let Some(watch) = &self.watch {
            watch.canon(out);
        }
    }
}

impl Canon for (StreamId, &Stream) {
    fn canon(&self, out: &mut Vec<u8>) {
        let (id, stream) = self;
        out.push(b'S');
        out.extend_from_slice(&id.conn.0.to_le_bytes());
        out.extend_from_slice(&id.index.to_le_bytes());
        match &stream.purpose {
            Purpose::Close => out.push(0),
            Purpose::Content { fetch, offer, next, end, is_agreed, .. } => {
                out.push(1 + u8::from(*is_agreed));
                for word in [fetch.0, *offer, *next, *end] {
                    out.extend_from_slice(&word.to_le_bytes());
                }
            }
        }
    }
}

impl Canon for Fetch {
    fn canon(&self, out: &mut Vec<u8>) {
        out.push(b'F');
        let stage = match self.stage {
            Stage::Waiting => 0,
            Stage::Requested(_) => 1,
            Stage::Streaming(_) => 2,
            Stage::Paying(_) => 3,
            Stage::BackingOff => 4,
        };
        out.push(stage);
        out.push(self.refusals);
        for word in [self.order.id.0, self.verified, self.total.unwrap_or(u64::MAX), self.current as u64] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.tries);
    }
}
