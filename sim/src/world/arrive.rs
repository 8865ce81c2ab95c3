//! What the network brings.

use decdn_engine::{
    ids::{ConnId, StreamId},
    io::{Gone, Input},
    time::{Span, Time},
    wire::Code,
};

use super::{Event, World};
use crate::{
    actor::ActorId,
    content::through_frame,
    decide::Label,
    net::{Content, Due, EndState, Flying, Item, Link, Net},
    seen::{LinkId, Pipe, Seen},
};

/// Connections that an actor accepts are numbered from here: those that it dials, its role numbers from 0.
const ACCEPTED: u64 = 1 << 63;
/// How long an end may take to notice that a connection is dead: the idle timeout (W3).
const IDLE: Span = Span::from_secs(30);

impl World {
    pub(super) fn on_net(&mut self, due: Due) {
        match due {
            Due::Arrive(slot) => {
                if let Some(flying) = self.net.land(slot) {
                    self.on_arrival(flying);
                }
            }
            Due::LineFree(link, end) => {
                let now = self.queue.now();
                let Self { net, queue, decide, .. } = self;
                net.line_free(now, link, end, decide, &mut |at: Time, due| queue.push(at, Event::Net(due)));
            }
            Due::RangeSent(link, end, index) => self.on_range_sent(link, end, index),
        }
    }

    fn on_range_sent(&mut self, link: LinkId, end: u8, index: u32) {
        let state = self.net.link(link);
        let here = state.ends[usize::from(end)];
        let hears = !state.dead && state.stream(index).is_some_and(|stream| !stream.deaf[usize::from(end)]);
        if hears && here.state == EndState::Up && self.lives(here.actor, here.epoch) {
            self.step(here.actor, Input::RangeSent { stream: StreamId { conn: here.conn, index } });
        }
    }

    fn on_arrival(&mut self, flying: Flying) {
        let Flying { link, end, index, item, stray } = flying;
        let from = self.net.link(link).ends[usize::from(end)].actor;
        let to_end = 1 - end;
        let state = self.net.link(link);
        let there = state.ends[usize::from(to_end)];
        let is_dead = state.dead;
        let Some(stream) = state.stream(index) else { return };
        // A copy does not outlive its stream: its sender has finished or given it up.
        let is_late = stray && stream.mute[usize::from(end)];
        let is_heard =
            !is_dead && !is_late && there.state == EndState::Up && !stream.deaf[usize::from(to_end)];
        let channel = stream.channel;
        let is_heard = is_heard && self.lives(there.actor, there.epoch);
        let now = self.queue.now();
        let pipe = Pipe { link, index };
        let stream_id = StreamId { conn: there.conn, index };
        match item {
            Item::Message(message) if is_heard => {
                let to = there.actor;
                self.watch.see(now, &Seen::Delivered { from, to, pipe, message: &message });
                let decoded = if self.library.is_real() { through_frame(&message) } else { Some(message) };
                self.step(
                    to,
                    match decoded {
                        Some(message) => Input::Message { stream: stream_id, message },
                        None => Input::Malformed { stream: stream_id, code: Code::Malformed },
                    },
                );
            }
            Item::Message(message) if !stray => {
                self.watch.see(now, &Seen::Lost { from, to: there.actor, pipe, message: &message });
            }
            Item::Content(content) if is_heard => {
                self.on_content((there.actor, from), (link, to_end), stream_id, channel, content);
            }
            Item::Fin if is_heard => self.on_stream_closed(link, to_end, stream_id, None),
            Item::Reset(code) if is_heard => {
                self.net.drop_unsent(link, to_end, index);
                if let Some(stream) = self.net.link(link).stream(index) {
                    stream.mute[usize::from(to_end)] = true;
                }
                self.on_stream_closed(link, to_end, stream_id, Some(code));
            }
            Item::Message(_) | Item::Content(_) | Item::Fin | Item::Reset(_) => {}
        }
    }

    fn on_stream_closed(&mut self, link: LinkId, end: u8, id: StreamId, code: Option<Code>) {
        let here = self.net.link(link).ends[usize::from(end)];
        if let Some(stream) = self.net.link(link).stream(id.index) {
            stream.deaf[usize::from(end)] = true;
        }
        let pipe = Pipe { link, index: id.index };
        self.watch.see(self.queue.now(), &Seen::StreamOver { actor: here.actor, pipe });
        self.step(here.actor, Input::StreamClosed { stream: id, code });
    }

    /// Content is checked against the agreement and the blob, as the verifier would (D4).
    fn on_content(
        &mut self,
        (actor, from): (ActorId, ActorId),
        (link, end): (LinkId, u8),
        id: StreamId,
        channel: Option<decdn_engine::ids::ChannelId>,
        content: Content,
    ) {
        let Self { net, library, .. } = self;
        let Some(stream) = net.link(link).stream(id.index) else { return };
        let asked = stream.asked;
        let [one, other] = &mut stream.bytes;
        let ends = if end == 1 { [one, other] } else { [other, one] };
        let Some(receive) = &mut stream.receive[usize::from(end)] else {
            return self.step(actor, Input::Malformed { stream: id, code: Code::Malformed });
        };
        let hash = receive.hash;
        let verdicts = library.check(receive, asked, ends, &content);
        let epoch = self.slot(actor).epoch;
        let pipe = Pipe { link, index: id.index };
        for verdict in verdicts.into_iter().flatten() {
            if !self.lives(actor, epoch) {
                return;
            }
            self.watch.see(self.queue.now(), &Seen::Verified { actor, from, pipe, channel, hash, verdict });
            self.step(actor, Input::Verdict { stream: id, verdict });
        }
    }

    /// A connection that was dialled comes up at both ends, or fails.
    pub(super) fn on_dialled(&mut self, id: LinkId) {
        let now = self.queue.now();
        let [from, to] = self.net.link(id).ends;
        if from.state != EndState::Opening || !self.lives(from.actor, from.epoch) {
            return;
        }
        if !self.is_there(to.actor) {
            let silence = Span(self.decide.between(Label::Connection, 100_000, 3_000_000));
            self.queue.push(now + silence, Event::Unlink(id, 0, Gone::Unreachable));
            return;
        }
        let there = self.slot(to.actor);
        there.accepted += 1;
        let conn = ConnId(ACCEPTED | there.accepted);
        let epoch = there.epoch;
        there.conns.insert(conn, (id, 1));
        let Link { path, protocol, .. } = *self.net.link(id);
        let rtt = Span(2 * Net::latency(&path, &mut self.decide).0);
        let link = self.net.link(id);
        link.ends[1].epoch = epoch;
        link.ends[1].conn = conn;
        link.ends[0].state = EndState::Up;
        link.ends[1].state = EndState::Up;
        if let Some(mean) = path.life
            && !self.calm
        {
            let life = Span(self.decide.between(Label::Connection, 0, mean.0.saturating_mul(2)));
            self.queue.push(now + life, Event::Die(id));
        }
        self.watch.see(now, &Seen::Linked { link: id, from: from.actor, to: to.actor });
        let peer = self.cast.get(from.actor).node;
        self.step(to.actor, Input::Connected { conn, peer, protocol, rtt });
        if self.lives(from.actor, from.epoch) && self.net.link(id).ends[0].state == EndState::Up {
            let peer = self.cast.get(to.actor).node;
            self.step(from.actor, Input::Connected { conn: from.conn, peer, protocol, rtt });
        }
    }

    pub(super) fn on_unlink(&mut self, id: LinkId, end: u8, why: Gone) {
        let here = self.net.link(id).ends[usize::from(end)];
        if here.state == EndState::Gone {
            return;
        }
        self.net.link(id).ends[usize::from(end)].state = EndState::Gone;
        if !self.lives(here.actor, here.epoch) {
            return;
        }
        self.slot(here.actor).conns.remove(&here.conn);
        self.watch.see(self.queue.now(), &Seen::Unlinked { link: id, actor: here.actor, why });
        self.step(here.actor, Input::Disconnected { conn: here.conn, why });
    }

    /// A connection dies: nothing arrives any more, and both ends notice in their own time.
    pub(super) fn on_die(&mut self, id: LinkId) {
        if self.calm || self.net.link(id).dead {
            return;
        }
        self.net.link(id).dead = true;
        for end in 0..2 {
            self.notice_later(id, end);
        }
    }

    /// An end will notice that its connection is gone: soon, or when it has been idle for too long.
    pub(super) fn notice_later(&mut self, id: LinkId, end: u8) {
        let longest = if self.decide.below(Label::Connection, 2) == 0 { 200_000 } else { IDLE.0 };
        let after = Span(self.decide.between(Label::Connection, 0, longest));
        self.queue.push(self.queue.now() + after, Event::Unlink(id, end, Gone::Lost));
    }
}
