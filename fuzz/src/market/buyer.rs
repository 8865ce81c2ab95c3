//! What an input can do to a role that buys. A target's edge says how its role is told things.

use decdn_engine::{
    ids::{ChannelId, FetchId, StreamId},
    io::{Effect, Gone, Input},
    money::{Amount, Nonce, Rate},
    time::{Now, Span},
    wire::{ClientMessage, Code, Protocol},
};

use super::{Market, Said, book::as_serial, money_order, pick};
use crate::{Bytes, harness};

pub(crate) trait Buyer {
    fn market(&mut self) -> &mut Market;

    /// One step.
    fn step(&mut self, input: Input) -> Said;

    /// Takes an effect that is about a probe, at the head of whatever lane.
    fn take_for_probe(&mut self) -> Option<Effect>;

    /// Carries out the next effect of a lane; false if there was none.
    fn carry_out_as(&mut self, choice: usize, is_refused: bool) -> bool;

    /// The chain includes what waits and answers who asks.
    fn hear_all(&mut self);

    /// Channels that are paid on.
    fn known(&self) -> Vec<ChannelId>;

    /// A step, and what its outputs bring about at once.
    fn feed(&mut self, input: Input) {
        let said = self.step(input);
        self.after(&said);
    }

    fn after(&mut self, said: &Said) {
        self.market().end_orders(said);
        self.serve_probes();
    }

    fn serve_probes(&mut self) {
        while let Some(effect) = self.take_for_probe() {
            if let Some(answer) = self.market().serve_probe(effect) {
                let said = self.step(answer);
                self.market().end_orders(&said);
            }
        }
    }

    fn order(&mut self, id: FetchId, input: &mut Bytes<'_>) {
        let market = self.market();
        let order = market.new_order(id, input);
        if let Some(serial) = market.book.serial(id) {
            // It runs, or is kept: it goes on under these terms, or stays as it is (D17).
            let order = as_serial(order, serial);
            let said = self.step(Input::Fetch(order.clone()));
            if !said.is_refused {
                self.market().book.amended(order);
            }
            return self.after(&said);
        }
        market.book.ordered(order.clone());
        self.feed(Input::Fetch(order));
    }

    fn cancel(&mut self, id: FetchId) {
        self.feed(Input::Cancel(id));
    }

    fn close_channel(&mut self, choice: u8) {
        if let Some(id) = pick(self.known(), choice) {
            // Mostly a close.
            let how = if choice < 0xc0 { 0 } else { choice };
            self.feed(Input::Order(money_order(how, id)));
        }
    }

    /// A node says something on a stream.
    fn talk(&mut self, input: &mut Bytes<'_>) {
        let market = self.market();
        let Some((stream, wire)) = market.stream(input.byte()) else { return };
        let message = market.message(&wire, input);
        self.hear(stream, message);
    }

    fn hear(&mut self, stream: StreamId, message: ClientMessage) {
        let input = self.market().hear(stream, message);
        self.feed(input);
    }

    fn malformed(&mut self, choice: u8, code: Code) {
        if let Some((stream, _)) = self.market().stream(choice) {
            self.feed(Input::Malformed { stream, code });
        }
    }

    fn close_stream(&mut self, choice: u8, code: Option<Code>) {
        if let Some((stream, _)) = self.market().stream(choice) {
            self.market().streams.remove(&stream);
            self.feed(Input::StreamClosed { stream, code });
        }
    }

    /// See [`Market::content`].
    fn content(&mut self, choice: u8, more_groups: u64, is_good: bool) {
        let Some(found) = self.market().content(choice, more_groups, is_good) else { return };
        let said = self.step(Input::Verdict { stream: found.stream, verdict: found.verdict });
        self.market().told(found, &said);
        self.market().end_orders(&said);
    }

    fn connected(&mut self, choice: u8, rtt: Span) {
        let conns = &mut self.market().conns;
        let waiting = conns.iter().filter(|(_, (_, is_up))| !is_up).map(|(conn, _)| *conn).collect();
        let Some(conn) = pick(waiting, choice) else { return };
        let entry = conns.get_mut(&conn).expect("picked from the table");
        entry.1 = true;
        let peer = entry.0;
        self.feed(Input::Connected { conn, peer, protocol: Protocol::Client, rtt });
    }

    /// A connection to a node is lost.
    fn lose(&mut self, choice: u8, why: Gone) {
        let market = self.market();
        let Some(conn) = pick(market.conns.keys().copied().collect(), choice) else { return };
        let (_, was_up) = market.conns.remove(&conn).expect("picked from the table");
        market.streams.retain(|id, _| id.conn != conn);
        let why = match (was_up, why) {
            (false, Gone::Lost) => Gone::Unreachable,
            (true, Gone::WrongPeer) => Gone::Lost,
            (_, why) => why,
        };
        self.feed(Input::Disconnected { conn, why });
    }

    /// A node closes a channel too low.
    fn stale_close(&mut self, now: Now, input: &mut Bytes<'_>) {
        if let Some(channel) = pick(self.known(), input.byte()) {
            let amount = Amount(u128::from(input.byte()));
            self.market().chain.stale_close(now, channel, amount);
        }
    }

    /// The owner answers something that he was asked (D16).
    fn answer_owner(&mut self, how: u8) {
        if let Some(answer) = self.market().owner.answer(how) {
            self.feed(answer);
        }
    }

    /// Yes to the oldest question, where there is one to ask.
    fn agree(&mut self) -> bool {
        let market = self.market();
        let Some(yes) = market.asks.then(|| market.owner.agree()).flatten() else { return false };
        self.feed(yes);
        true
    }

    fn change_mood(&mut self, mood: u8) {
        self.market().mood = mood;
    }

    /// A stretch in which everybody does what is expected: the way to states that chance rarely reaches.
    fn good_day(&mut self, input: &mut Bytes<'_>) {
        let rounds = input.byte() % 8 + 1;
        for _ in 0..rounds {
            self.drain();
            while self.agree() {
                self.drain();
            }
            for choice in 0..self.market().conns.len() {
                self.connected(choice as u8, Span::from_millis(20));
            }
            self.hear_all();
            self.drain();
            for (stream, wire) in self.market().streams.clone() {
                // A request may carry the newest voucher itself: it is answered before that is.
                if wire.rate == Rate(0) {
                    let response = self.market().message(&wire, &mut Bytes::new(&[]));
                    self.hear(stream, response);
                } else if wire.newest != Nonce::NONE {
                    self.hear(stream, ClientMessage::VoucherAck(wire.newest));
                }
                self.drain();
            }
            for choice in 0..self.market().streams.len() {
                self.content(choice as u8, u64::from(rounds / 2), true);
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        harness::rest(|| self.carry_out_as(0, false));
    }
}
