//! Doing what actors ask for.

use decdn_engine::{
    chain::Route,
    ids::{StreamId, TxTicket},
    io::{Effect, Gone, Input, Lane, Notice, Output, Outputs},
    time::{Span, Time},
    wire::{ClientMessage, Code, Message, Protocol},
};

use super::{Event, Poll, Slot, World};
use crate::{
    actor::{ActorId, Trick},
    decide::{Decisions, Label},
    edge::{Order, Write},
    net::{Content, End, EndState, Item, Net, Receive},
    seen::{LinkId, Pipe, Seen},
};

impl World {
    /// Carries a step's outputs out, up to where the process dies.
    pub(super) fn carry_all(&mut self, id: ActorId, out: &mut Outputs, tricks: &[Trick]) {
        self.play(tricks);
        let mut outputs = out.drain().enumerate();
        while let Some((index, output)) = outputs.next() {
            if self.dies_now(id) {
                let left = 1 + outputs.len() as u32;
                return self.crash(id, left, None);
            }
            self.note(id, &output.effect);
            let corrupt = corrupt_in(tricks, index, &output);
            let Output { lane, effect } = output;
            let edge = &mut self.slot(id).edge;
            if edge.is_blocked(lane) {
                edge.hold(Order { effect, lane, corrupt });
            } else {
                self.carry(id, lane, effect, corrupt);
            }
        }
    }

    /// What only adversaries do.
    fn play(&mut self, tricks: &[Trick]) {
        for trick in tricks {
            if let Trick::Bribe { account, until } = *trick {
                self.chain.bribe(self.queue.now(), account, until);
                self.arm_chain();
            }
        }
    }

    pub(super) fn slot(&mut self, id: ActorId) -> &mut Slot {
        &mut self.actors[usize::from(id.0)]
    }

    /// A write set is on the disk: the barrier falls, then the actor is told.
    pub(super) fn on_durable(&mut self, id: ActorId, epoch: u32, seq: decdn_engine::record::PersistSeq) {
        if !self.lives(id, epoch) {
            return;
        }
        let Some(Write { lane, writes, .. }) = self.slot(id).edge.complete(seq) else { return };
        let (now, safe) = (self.queue.now(), self.chain.safe(self.queue.now()));
        self.watch.see(now, &Seen::Persisted { actor: id, seq, writes: &writes, safe });
        self.slot(id).edge.durable.apply(seq, writes);
        while let Some(held) = self.slot(id).edge.unheld() {
            self.queue.push(self.queue.now(), Event::Durable(id, epoch, held));
        }
        while let Some(order) = self.slot(id).edge.release(lane) {
            if self.dies_now(id) {
                return self.crash(id, 1, None);
            }
            let is_barrier = matches!(order.effect, Effect::Persist { .. });
            self.carry(id, order.lane, order.effect, order.corrupt);
            if is_barrier {
                break;
            }
        }
        self.step(id, Input::Persisted { seq });
    }

    /// Does one thing; `corrupt` as in [`Order`].
    fn carry(&mut self, id: ActorId, lane: Lane, effect: Effect, corrupt: Option<u64>) {
        let now = self.queue.now();
        if !matches!(effect, Effect::Persist { .. }) {
            self.watch.see(now, &Seen::Started { actor: id, effect: &effect });
        }
        match effect {
            Effect::Persist { seq, writes } => {
                let calm = self.calm;
                let (slot, decide) = (&mut self.actors[usize::from(id.0)], &mut self.decide);
                let takes = write_time(slot, calm, decide);
                slot.edge.begin(Write { seq, lane, writes, is_held: false });
                let epoch = slot.epoch;
                self.queue.push(now + takes, Event::Durable(id, epoch, seq));
            }
            Effect::Connect { conn, peer, protocol } => self.connect(id, (conn, protocol), peer),
            Effect::Disconnect { conn, code } => self.disconnect(id, conn, code),
            Effect::Send { stream, message } => self.send(id, stream, message),
            Effect::Finish { stream } => self.end_stream(id, stream, Item::Fin),
            Effect::Reset { stream, code } => self.end_stream(id, stream, Item::Reset(code)),
            Effect::Receive { stream, fetch, hash, total_bytes, offset, bytes } => {
                let Some((link, end)) = self.conn(id, stream) else { return };
                if let Some(stream) = self.net.link(link).stream(stream.index) {
                    let until = offset.saturating_add(bytes);
                    let receive = Receive { fetch, hash, total_bytes, next: offset, until };
                    stream.receive[usize::from(end)] = Some(receive);
                }
            }
            Effect::SendRange { stream, hash, offset, bytes } => {
                let content = Content { hash, offset, bytes, corrupt, last: true };
                self.send_range(id, stream, content);
            }
            Effect::Sign { ticket, what } => {
                let signer = self.cast.get(id).account;
                let signature = self.crypto.sign(&self.chain.deployment(), &what, signer);
                self.watch.see(now, &Seen::Signed { actor: id, what: &what, signature: &signature });
                let (low, high) = self.slot(id).machine.signer;
                let takes = Span(self.decide.between(Label::Signer, low.0, high.0));
                self.feed_at(now + takes, id, Input::Signed { ticket, signature: Some(signature) });
            }
            Effect::Tx { ticket, call, route } => self.submit(id, ticket, call, route),
            Effect::ForceInclude { ticket } => self.force(id, ticket),
            Effect::Poll { from_block, interests } => {
                let poll = Poll { actor: id, epoch: self.slot(id).epoch, from_block, interests };
                let takes = self.chain.endpoint_delay(&mut self.decide);
                let poll = self.polls.insert(poll);
                self.queue.push(now + takes, Event::Polled(poll));
            }
            Effect::Notice(Notice::Quoted { fetch, node, rate, deposit: Some(deposit), .. }) => {
                self.ask(id, (fetch, node), (rate, deposit));
            }
            Effect::Fault(_) | Effect::Notice(_) => {}
        }
    }

    /// The link and the end of an actor's stream, while the connection is up.
    pub(super) fn conn(&mut self, id: ActorId, stream: StreamId) -> Option<(LinkId, u8)> {
        self.slot(id).conns.get(&stream.conn).copied()
    }

    fn connect(
        &mut self,
        id: ActorId,
        (conn, protocol): (decdn_engine::ids::ConnId, Protocol),
        peer: decdn_engine::ids::NodeId,
    ) {
        let now = self.queue.now();
        let Some(to) = self.cast.by_node(peer).map(|person| person.id) else {
            return self.feed_at(
                now + Span::from_secs(1),
                id,
                Input::Disconnected { conn, why: Gone::Unreachable },
            );
        };
        let path = self.paths.get(&(id, to)).copied().unwrap_or(self.path);
        let end = |actor, epoch, conn| End { actor, epoch, conn, state: EndState::Opening };
        let epoch = self.slot(id).epoch;
        let ends = [end(id, epoch, conn), end(to, 0, decdn_engine::ids::ConnId(u64::MAX))];
        let link = self.net.dial(ends, path, protocol);
        self.slot(id).conns.insert(conn, (link, 0));
        let there = Net::latency(&path, &mut self.decide);
        let back = Net::latency(&path, &mut self.decide);
        self.queue.push(now + Span(there.0 + back.0), Event::Dialled(link));
    }

    fn disconnect(&mut self, id: ActorId, conn: decdn_engine::ids::ConnId, code: Code) {
        let Some((link, end)) = self.slot(id).conns.remove(&conn) else { return };
        let path = self.net.link(link).path;
        let takes = Net::latency(&path, &mut self.decide);
        let arrives = self.queue.now() + takes;
        let link_now = self.net.link(link);
        let was = std::mem::replace(&mut link_now.ends[usize::from(end)].state, EndState::Gone);
        let is_dead = link_now.dead;
        let why = Gone::Closed(code);
        if was == EndState::Opening {
            // A dial that is given up is still answered, and nobody is there at the other end.
            return self.feed_at(self.queue.now(), id, Input::Disconnected { conn, why });
        }
        self.watch.see(self.queue.now(), &Seen::Unlinked { link, actor: id, why });
        if !is_dead {
            self.queue.push(arrives, Event::Unlink(link, 1 - end, Gone::Closed(code)));
        }
    }

    fn send(&mut self, id: ActorId, stream: StreamId, message: Message) {
        let Some((link, end)) = self.conn(id, stream) else { return };
        let to = self.net.link(link).ends[usize::from(1 - end)].actor;
        let pipe = Pipe { link, index: stream.index };
        let Some(state) = self.net.link(link).stream(stream.index) else { return };
        if state.mute[usize::from(end)] {
            return;
        }
        if let Message::Client(ClientMessage::StreamRequest(request)) = &message {
            state.channel = Some(request.channel);
            state.asked = (request.offset_bytes, request.len_bytes);
        }
        self.watch.see(self.queue.now(), &Seen::Sent { from: id, to, pipe, message: &message });
        self.put(link, end, stream.index, Item::Message(message));
    }

    fn send_range(&mut self, id: ActorId, stream: StreamId, content: Content) {
        let now = self.queue.now();
        let Some((link, end)) = self.conn(id, stream) else { return };
        let to = self.net.link(link).ends[usize::from(1 - end)].actor;
        let has = self.slot(id).blobs.iter().find(|(hash, _)| *hash == content.hash).map(|(_, size)| *size);
        if has.is_none_or(|size| content.offset.saturating_add(content.bytes) > size) || content.bytes == 0 {
            return self.feed_at(now, id, Input::RangeFailed { stream });
        }
        let Some(state) = self.net.link(link).stream(stream.index) else { return };
        if state.mute[usize::from(end)] {
            return;
        }
        let Content { hash, offset, bytes, .. } = content;
        let (pipe, channel) = (Pipe { link, index: stream.index }, state.channel);
        self.watch.see(now, &Seen::SentContent { from: id, to, pipe, channel, hash, offset, bytes });
        self.put(link, end, stream.index, Item::Content(content));
    }

    /// Finishes a side of a stream, or gives it up both ways.
    fn end_stream(&mut self, id: ActorId, stream: StreamId, item: Item) {
        let Some((link, end)) = self.conn(id, stream) else { return };
        let Some(state) = self.net.link(link).stream(stream.index) else { return };
        if state.mute[usize::from(end)] && !matches!(item, Item::Reset(_)) {
            return;
        }
        if matches!(item, Item::Reset(_)) {
            if std::mem::replace(&mut state.deaf[usize::from(end)], true) {
                return;
            }
            self.net.drop_unsent(link, end, stream.index);
            let pipe = Pipe { link, index: stream.index };
            self.watch.see(self.queue.now(), &Seen::StreamOver { actor: id, pipe });
        }
        if let Some(state) = self.net.link(link).stream(stream.index) {
            state.mute[usize::from(end)] = true;
        }
        self.put(link, end, stream.index, item);
    }

    fn put(&mut self, link: LinkId, end: u8, index: u32, item: Item) {
        let now = self.queue.now();
        let Self { net, queue, decide, .. } = self;
        net.send(now, (link, end, index), item, decide, &mut |at: Time, due| queue.push(at, Event::Net(due)));
    }

    fn submit(&mut self, id: ActorId, ticket: TxTicket, call: decdn_engine::chain::Call, route: Route) {
        let now = self.queue.now();
        if route != Route::QueuedBefore {
            self.watch.see(now, &Seen::Submitted { actor: id, call: &call, route });
        }
        let account = self.cast.get(id).account;
        let owner = self.owner(id, ticket);
        if self.is_forgotten(owner, route) {
            self.chain.lose(now, owner, route, &mut self.decide);
            return self.arm_chain();
        }
        self.chain.submit(now, owner, account, call, route, &mut self.decide);
        self.arm_chain();
    }

    fn force(&mut self, id: ActorId, ticket: TxTicket) {
        let epoch = self.slot(id).epoch;
        self.chain.force(self.queue.now(), (id, epoch, ticket), &mut self.decide);
        self.arm_chain();
    }
}

/// How long a durable write takes.
fn write_time(slot: &Slot, calm: bool, decide: &mut Decisions) -> Span {
    let (low, high) = slot.machine.disk;
    let (weight, longest) = slot.machine.slow_disk;
    if !calm && decide.chance(Label::Disk, weight) {
        return Span(decide.between(Label::Disk, high.0, longest.0.max(high.0)));
    }
    Span(decide.between(Label::Disk, low.0, high.0))
}

fn corrupt_in(tricks: &[Trick], index: usize, output: &Output) -> Option<u64> {
    if tricks.is_empty() || !matches!(output.effect, Effect::SendRange { .. }) {
        return None;
    }
    tricks.iter().find_map(|trick| match trick {
        Trick::Corrupt { output, offset } if *output == index => Some(*offset),
        _ => None,
    })
}
