//! The L1's delayed inbox (L2): messages in order, taken by a willing sequencer or forced after the delay.

use std::{collections::VecDeque, fmt};

use decdn_engine::time::{ChainTime, Span, Time};

use super::TxId;

/// A message that the inbox holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Queued {
    /// Names the transaction.
    pub id: TxId,
    /// When L1 took it, by the L1's clock.
    pub at: ChainTime,
    /// From when on it can be forced, by the L1's clock.
    pub forcible: ChainTime,
}

/// Why a message can't be forced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CantForce {
    /// The inbox does not hold it: never sent there, or included already.
    NotQueued,
    /// It has not waited for long enough.
    TooEarly {
        /// From when on it can be forced, by the L1's clock.
        forcible: ChainTime,
    },
}

impl fmt::Display for CantForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotQueued => f.write_str("the delayed inbox does not hold this transaction"),
            Self::TooEarly { forcible } => {
                write!(f, "the delayed inbox can be forced from {} s on (L1 clock)", forcible.0)
            }
        }
    }
}

impl std::error::Error for CantForce {}

#[derive(Clone, Debug)]
pub(super) struct Inbox<T> {
    messages: VecDeque<Message<T>>,
}

#[derive(Clone, Debug)]
struct Message<T> {
    id: TxId,
    arrived: Time,
    at: ChainTime,
    forced: Option<Time>,
    tx: T,
}

pub(super) fn forcible(at: ChainTime, delay: Span) -> ChainTime {
    ChainTime(at.0.saturating_add(delay.0.div_ceil(1_000_000)))
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Self { messages: VecDeque::new() }
    }

    pub(super) fn push(&mut self, id: TxId, arrived: Time, at: ChainTime, tx: T) {
        self.messages.push_back(Message { id, arrived, at, forced: None, tx });
    }

    /// The oldest message like this that is in no block yet.
    pub(super) fn find(&self, delay: Span, is_it: impl Fn(&T) -> bool) -> Option<Queued> {
        let message = self.messages.iter().find(|message| is_it(&message.tx))?;
        Some(Queued { id: message.id, at: message.at, forcible: forcible(message.at, delay) })
    }

    pub(super) fn holds(&self, id: TxId) -> bool {
        self.messages.iter().any(|message| message.id == id)
    }

    /// Forces everything up to a message; whatever is before it has waited for longer.
    pub(super) fn force(&mut self, id: TxId, now: Time, l1: ChainTime, delay: Span) -> Result<(), CantForce> {
        let place = self.messages.iter().position(|message| message.id == id).ok_or(CantForce::NotQueued)?;
        let forcible = forcible(self.messages[place].at, delay);
        if l1 < forcible {
            return Err(CantForce::TooEarly { forcible });
        }
        for message in self.messages.range_mut(..=place) {
            message.forced.get_or_insert(now);
        }
        Ok(())
    }

    /// When the oldest message was forced, if it was.
    pub(super) fn forced_at(&self) -> Option<Time> {
        self.messages.front()?.forced
    }

    /// When a sequencer that takes the oldest message does so.
    pub(super) fn due(&self, delay: Span, takes: impl Fn(&T) -> bool) -> Option<Time> {
        self.messages.front().filter(|message| takes(&message.tx)).map(|message| message.arrived + delay)
    }

    /// Takes out what was forced, oldest first.
    pub(super) fn pop_forced(&mut self, ripe: impl Fn(Time) -> bool) -> Option<(TxId, T)> {
        self.forced_at().filter(|at| ripe(*at))?;
        self.messages.pop_front().map(|message| (message.id, message.tx))
    }

    /// Takes out what a willing sequencer includes, oldest first.
    pub(super) fn pop_due(
        &mut self,
        delay: Span,
        takes: impl Fn(&T) -> bool,
        ripe: impl Fn(Time) -> bool,
    ) -> Option<(TxId, T)> {
        self.due(delay, takes).filter(|due| ripe(*due))?;
        self.messages.pop_front().map(|message| (message.id, message.tx))
    }
}
