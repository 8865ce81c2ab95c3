//! A client that takes one offer unpaid, drops the stream, asks for the next one, and sometimes reconnects: each
//! stream looks like a new customer, the channel does not (D8). In half of the runs it asks for the same bytes again
//! each time, which go out twice for nothing and are charged from then on.

use std::collections::BTreeMap;

use decdn_engine::{
    blob::Verdict,
    ids::{BlobHash, StreamId},
    io::{Effect, Gone, Input, Lane, Output},
    wire::{ClientMessage, Code, Message},
};

use super::{
    exit::Lie,
    fast_stop::without_money,
    payer::{Kit, Ploy},
};
use crate::{actor::Turn, decide::Label, rung::Mix};

/// Hops per run; then it leaves.
const HOPS: u32 = 24;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct CadenceHop {
    /// Bytes taken on the present stream.
    taken: u64,
    /// What the node offered on it, once it has answered.
    offer: Option<u64>,
    hops: u32,
    /// Whether it asks for the same bytes again; drawn at the first request.
    again: Option<bool>,
    /// Where each download began.
    first: BTreeMap<BlobHash, u64>,
    /// What the role is still to be told.
    news: Vec<Input>,
}

impl CadenceHop {
    /// Drops the stream, or the connection, and lets the role believe that the node or the network did.
    fn hop(&mut self, stream: StreamId, turn: &mut Turn<'_>) {
        self.hops += 1;
        self.taken = 0;
        self.offer = None;
        if turn.decide.below(Label::Adversary, 3) == 0 {
            turn.push(Lane::Role, Effect::Disconnect { conn: stream.conn, code: Code::NotNow });
            self.news.push(Input::Disconnected { conn: stream.conn, why: Gone::Lost });
        } else {
            turn.push(Lane::Stream(stream), Effect::Reset { stream, code: Code::NotNow });
            self.news.push(Input::StreamClosed { stream, code: Some(Code::NotNow) });
        }
    }
}

impl Ploy for CadenceHop {
    const LIE: Lie = Lie::Empty;

    fn hear(&mut self, input: &mut Input, _kit: &mut Kit, turn: &mut Turn<'_>) -> bool {
        match input {
            Input::Message { message: Message::Client(ClientMessage::StreamResponse(response)), .. } => {
                self.offer = Some(response.max_bytes_per_voucher.max(1));
                self.taken = 0;
            }
            Input::Verdict { stream, verdict: Verdict::Good { bytes, .. } } if self.hops < HOPS => {
                self.taken += *bytes;
                if self.offer.is_some_and(|offer| self.taken >= offer) {
                    self.hop(*stream, turn);
                }
                if self.again == Some(true) {
                    // The role would take it for the wrong bytes.
                    return false;
                }
            }
            _ => {}
        }
        true
    }

    fn say(&mut self, output: Output, _kit: &mut Kit, turn: &mut Turn<'_>) {
        let Some(Output { lane, mut effect }) = without_money(output) else { return };
        let again = *self.again.get_or_insert_with(|| turn.decide.below(Label::Adversary, 2) == 1);
        if again && self.hops < HOPS {
            match &mut effect {
                Effect::Send { message: Message::Client(ClientMessage::StreamRequest(request)), .. } => {
                    request.offset_bytes = *self.first.entry(request.hash).or_insert(request.offset_bytes);
                }
                Effect::Receive { hash, offset, bytes, .. } => {
                    let first = self.first.get(hash).copied().unwrap_or(*offset);
                    *bytes += *offset - first;
                    *offset = first;
                }
                _ => {}
            }
        }
        turn.push(lane, effect);
    }

    fn urge(&mut self) -> Option<Input> {
        self.news.pop()
    }

    fn mix(&self, mix: &mut Mix) {
        let again = self.again.map_or(2, u64::from);
        mix.words([self.taken, self.offer.unwrap_or(u64::MAX), u64::from(self.hops), again]);
    }

    fn restart(&mut self) {
        self.news.clear();
    }
}
