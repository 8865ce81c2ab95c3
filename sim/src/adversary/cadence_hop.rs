//! A client that takes one offer unpaid, drops the stream, asks for the next one, and sometimes reconnects: each
//! stream looks like a new customer, the channel does not (D8). In half of the runs it asks for the same bytes again
//! each time, which go out twice for nothing and are charged from then on.

use std::collections::BTreeMap;

use decdn_engine::{
    ids::{BlobHash, StreamId},
    io::{Effect, Gone, Input, Lane, Output, Verdict},
    time::Time,
    wire::{Code, Message},
};

use super::{
    With,
    exit::{Exit, Lie},
    fast_stop::without_money,
    mask::Hand,
};
use crate::{actor::Turn, decide::Label};

/// Hops per run; then it leaves.
const HOPS: u32 = 24;

/// See the module.
#[derive(Clone, Debug)]
pub struct CadenceHop {
    exit: Exit,
    /// Bytes taken on the present stream, and the offer.
    taken: u64,
    offer: u64,
    hops: u32,
    /// Whether it asks for the same bytes again; drawn at the first request.
    again: Option<bool>,
    /// Where each download began.
    first: BTreeMap<BlobHash, u64>,
    /// What the role is still to be told.
    news: Vec<Input>,
}

impl CadenceHop {
    /// `with`: see [`Exit::new`].
    pub fn new(with: &With) -> Self {
        let exit = Exit::new(Lie::Empty, with);
        Self {
            exit,
            taken: 0,
            offer: u64::MAX,
            hops: 0,
            again: None,
            first: BTreeMap::new(),
            news: Vec::new(),
        }
    }

    /// Drops the stream, or the connection, and lets the role believe that the node or the network did.
    fn hop(&mut self, stream: StreamId, turn: &mut Turn<'_>) {
        self.hops += 1;
        self.taken = 0;
        self.offer = u64::MAX;
        if turn.decide.below(Label::Adversary, 3) == 0 {
            turn.push(Lane::Role, Effect::Disconnect { conn: stream.conn, code: Code::NotNow });
            self.news.push(Input::Disconnected { conn: stream.conn, why: Gone::Lost });
        } else {
            turn.push(Lane::Stream(stream), Effect::Reset { stream, code: Code::NotNow });
            self.news.push(Input::StreamClosed { stream, code: Some(Code::NotNow) });
        }
    }
}

impl Hand for CadenceHop {
    fn hear(&mut self, input: Input, turn: &mut Turn<'_>) -> Option<Input> {
        match &input {
            Input::Message { message: Message::StreamResponse(response), .. } => {
                self.offer = response.max_bytes_per_voucher.max(1);
                self.taken = 0;
            }
            Input::Verdict { stream, verdict: Verdict::Good { bytes, .. } } if self.hops < HOPS => {
                self.taken += bytes;
                if self.taken >= self.offer {
                    self.hop(*stream, turn);
                }
                if self.again == Some(true) {
                    // The role would take it for the wrong bytes.
                    return None;
                }
            }
            _ => {}
        }
        self.exit.hear(input, turn)
    }

    fn say(&mut self, output: Output, turn: &mut Turn<'_>) {
        let Some(output) = self.exit.say(output, turn) else { return };
        let Some(Output { lane, mut effect }) = without_money(output) else { return };
        let again = *self.again.get_or_insert_with(|| turn.decide.below(Label::Adversary, 2) == 1);
        if again && self.hops < HOPS {
            match &mut effect {
                Effect::Send { message: Message::StreamRequest(request), .. } => {
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

    fn urge(&mut self, _turn: &mut Turn<'_>) -> Option<Input> {
        self.news.pop()
    }

    fn next_deadline(&self) -> Option<Time> {
        self.exit.next_deadline()
    }

    fn words(&self) -> Vec<u64> {
        let mut words = self.exit.words();
        words.extend([self.taken, self.offer, u64::from(self.hops), self.again.map_or(2, u64::from)]);
        words
    }

    fn restart(&mut self) {
        self.exit.restart();
        self.news.clear();
    }
}
