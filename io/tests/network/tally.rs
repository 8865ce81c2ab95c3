//! What has been put on the network and has to come of it: while anything is owed, a bench is not at rest, however
//! long the network takes.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Waker},
};

use decdn_engine::{
    ids::{ConnId, StreamId},
    io::Input,
};
use decdn_io::transport::CREDITS;

/// Something that has to come out of the driver's transport, or at the peer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Owed {
    /// The peer has dialled.
    Up(ConnId),
    /// The peer has hung up.
    Down(ConnId),
    /// The engine has dialled.
    Dialled(ConnId),
    /// The engine gave up a dial before it was answered: the peer sees the connection end.
    GivenUp,
    /// The peer has said something.
    Said(StreamId),
    /// The peer has sent content.
    Delivered(StreamId),
    /// The peer has ended a stream.
    Closed(StreamId),
    /// The engine sends content.
    Range(StreamId),
}

impl Owed {
    fn stream(self) -> Option<StreamId> {
        match self {
            Self::Said(stream) | Self::Delivered(stream) | Self::Closed(stream) | Self::Range(stream) => {
                Some(stream)
            }
            _ => None,
        }
    }

    fn conn(self) -> Option<ConnId> {
        match self {
            Self::Up(conn) | Self::Down(conn) | Self::Dialled(conn) => Some(conn),
            Self::GivenUp => None,
            _ => self.stream().map(|stream| stream.conn),
        }
    }
}

/// Shared by bench, tap and peer.
#[derive(Clone, Default)]
pub struct Tally(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    owed: BTreeMap<Owed, usize>,
    /// Inputs of a stream that hold one of its credits.
    held: BTreeMap<StreamId, usize>,
    /// Nothing more comes of these.
    gone: BTreeSet<ConnId>,
    silent: BTreeSet<StreamId>,
    injected: VecDeque<Input>,
    driver: Option<Waker>,
}

impl Inner {
    fn pay(&mut self, owed: Owed) {
        if let Some(count) = self.owed.get_mut(&owed) {
            *count = count.saturating_sub(1);
        }
    }

    fn forget(&mut self, is_it: impl Fn(Owed) -> bool) {
        self.owed.retain(|owed, _| !is_it(*owed));
    }
}

impl Tally {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().expect("no panic while it was held")
    }

    /// Something has to follow now. False if it can't, because its stream or connection has ended.
    pub fn owe(&self, owed: Owed) -> bool {
        let mut inner = self.lock();
        let is_over = owed.conn().is_some_and(|conn| inner.gone.contains(&conn))
            || owed.stream().is_some_and(|stream| inner.silent.contains(&stream));
        if is_over {
            return false;
        }
        *inner.owed.entry(owed).or_default() += 1;
        if let Owed::Closed(stream) = owed {
            inner.silent.insert(stream);
        }
        true
    }

    /// The peer saw a connection end that the engine had asked for.
    pub fn peer_saw_the_end(&self) {
        self.lock().pay(Owed::GivenUp);
    }

    /// The transport brought this.
    pub fn came<C>(&self, input: &Input, credit: C) -> Held<C> {
        let mut inner = self.lock();
        let stream = match input {
            Input::Connected { conn, .. } => {
                inner.pay(Owed::Up(*conn));
                inner.pay(Owed::Dialled(*conn));
                None
            }
            Input::Disconnected { conn, .. } => {
                inner.gone.insert(*conn);
                inner.forget(|owed| owed.conn() == Some(*conn));
                None
            }
            Input::Message { stream, .. } => {
                inner.pay(Owed::Said(*stream));
                Some(*stream)
            }
            Input::Verdict { stream, .. } => {
                inner.pay(Owed::Delivered(*stream));
                Some(*stream)
            }
            Input::StreamClosed { stream, .. } | Input::Malformed { stream, .. } => {
                inner.silent.insert(*stream);
                inner.forget(|owed| owed.stream() == Some(*stream));
                Some(*stream)
            }
            Input::RangeSent { stream } | Input::RangeFailed { stream } => {
                inner.pay(Owed::Range(*stream));
                None
            }
            _ => None,
        };
        if let Some(stream) = stream {
            *inner.held.entry(stream).or_default() += 1;
        }
        drop(inner);
        Held { _credit: credit, stream: stream.map(|stream| (self.clone(), stream)) }
    }

    /// The engine has ended a connection.
    pub fn ended(&self, conn: ConnId) {
        let mut inner = self.lock();
        if inner.owed.get(&Owed::Dialled(conn)).is_some_and(|count| *count > 0) {
            *inner.owed.entry(Owed::GivenUp).or_default() += 1;
        }
        inner.gone.insert(conn);
        inner.forget(|owed| owed.conn() == Some(conn));
    }

    /// The engine has ended a stream.
    pub fn silenced(&self, stream: StreamId) {
        let mut inner = self.lock();
        inner.silent.insert(stream);
        inner.forget(|owed| owed.stream() == Some(stream));
    }

    /// Puts an input into the transport's mouth.
    pub fn inject(&self, input: Input) {
        let mut inner = self.lock();
        inner.injected.push_back(input);
        if let Some(driver) = inner.driver.take() {
            driver.wake();
        }
    }

    /// The next input that no network brought.
    pub fn poll_injected(&self, cx: &mut Context<'_>) -> Option<Input> {
        let mut inner = self.lock();
        inner.driver = Some(cx.waker().clone());
        inner.injected.pop_front()
    }

    /// Whether everything has come that can come: what a stream brings waits while all its credits are out.
    pub fn is_settled(&self) -> bool {
        let inner = self.lock();
        let is_waiting = |owed: &Owed| {
            let held = owed.stream().and_then(|stream| inner.held.get(&stream));
            held.is_some_and(|held| *held >= CREDITS as usize)
        };
        inner.injected.is_empty() && inner.owed.iter().all(|(owed, count)| *count == 0 || is_waiting(owed))
    }
}

/// A credit, counted.
pub struct Held<C> {
    _credit: C,
    stream: Option<(Tally, StreamId)>,
}

impl<C> Held<Option<C>> {
    /// Of an input that holds nothing.
    pub fn without() -> Self {
        Self { _credit: None, stream: None }
    }
}

impl<C> Drop for Held<C> {
    fn drop(&mut self) {
        if let Some((tally, stream)) = &self.stream
            && let Some(held) = tally.lock().held.get_mut(stream)
        {
            *held -= 1;
        }
    }
}
