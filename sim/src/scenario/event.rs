//! What happens at a time of its own: faults, a sequencer that is not honest, and what owners order beside downloads. Each is
//! an entry of `[[events]]`: when, one key that says what, and what belongs to it.

use std::fmt;

use serde::Deserialize;

use super::file::{Pin, Placed, zero};
use crate::names::names;

/// Something that happens at a time of its own.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub struct Event {
    /// When.
    pub at_ms: Pin,
    /// What.
    pub what: Happening,
}

/// What can happen at a time of its own; names are of actors, each of them where there are several.
#[derive(Clone, Debug)]
pub enum Happening {
    /// This process dies and is gone that long.
    Crash {
        /// Whose.
        who: Placed,
        /// How long.
        for_ms: Pin,
    },
    /// The same, and it comes back without its records.
    Wipe {
        /// Whose.
        who: Placed,
        /// How long.
        for_ms: Pin,
    },
    /// This machine is suspended for that long: its processes stand still, and so may their monotonic clocks.
    Suspend {
        /// Whose.
        who: Placed,
        /// How long.
        for_ms: Pin,
        /// What the monotonic clock does; drawn where nothing is said.
        monotonic: Option<Monotonic>,
    },
    /// Nothing that the one sends reaches the other for that long.
    Silence {
        /// The one.
        from: Placed,
        /// The other.
        to: Placed,
        /// How long.
        for_ms: Pin,
    },
    /// The contract's owner sets the dispute window of later closes to this (C9).
    Window {
        /// How long it is from then on.
        hours: Pin,
    },
    /// A wall clock jumps.
    Clock {
        /// Whose.
        who: Placed,
        /// How far.
        by_ms: Pin,
        /// Ahead rather than back.
        is_ahead: bool,
    },
    /// The next answer about the chain that this one gets has the wrong time on its head, by so much, and maybe a number that is so much
    /// too high.
    Glitch {
        /// Whose.
        who: Placed,
        /// How far.
        by_ms: Pin,
        /// By how many blocks it is too high.
        by_blocks: Option<Pin>,
        /// Ahead rather than back.
        is_ahead: bool,
    },
    /// For that long whoever answers this one has the head, and logs that are so much behind it.
    LogsBehind {
        /// Who is answered.
        who: Placed,
        /// How far.
        by_ms: Pin,
        /// How long.
        for_ms: Pin,
    },
    /// The sequencer drops their transactions for that long.
    Censorship {
        /// Whose.
        whom: Vec<Placed>,
        /// How long.
        for_ms: Pin,
    },
    /// What they hand to the sequencer is lost for that long, and they hear so late.
    Loss {
        /// Whose.
        whom: Vec<Placed>,
        /// How long.
        for_ms: Pin,
    },
    /// Something that everybody relies on does not work for that long.
    Down {
        /// What.
        what: Service,
        /// How long.
        for_ms: Pin,
    },
    /// From then on the chain's clock is so far off L1's: as far as the profile allows, and never back (L1).
    Drift {
        /// How far.
        off_ms: Pin,
        /// Ahead rather than behind.
        is_ahead: bool,
    },
    /// The sequencer takes back its word about the blocks of this time, as far as they are not safe (L1).
    Fork {
        /// How long.
        back_ms: Pin,
    },
    /// An owner orders a download again: it goes on where it failed, or runs on, under these terms (D17).
    Order {
        /// The name of the `[[fetches]]`.
        fetch: Placed,
        /// From whom, if from others than before.
        from: Option<Vec<Placed>>,
        /// The most per MB, if it is another.
        max_rate: Option<Pin>,
        /// The deposit, if it is another.
        deposit: Option<Pin>,
    },
    /// An owner gives a download up.
    Cancel {
        /// The name of the `[[fetches]]`.
        fetch: Placed,
    },
    /// An owner closes the channels that are open between the two.
    Close {
        /// Whose owner.
        who: Placed,
        /// The other party.
        with: Placed,
    },
    /// A node's owner has it claim what it earned on the channels that are open between the two.
    Claim {
        /// Whose owner.
        who: Placed,
        /// Who pays on them.
        with: Placed,
    },
    /// An owner draws its credit.
    Withdraw {
        /// Whose owner.
        who: Placed,
    },
}

names! {
    /// What everybody relies on.
    Service, "service" {
        /// The sequencer.
        Sequencer = "sequencer",
        /// What posts blocks to L1: without it the safe head stands still.
        Poster = "poster",
        /// What takes messages for the delayed inbox: without it they are lost.
        Inbox = "inbox",
    }
}

names! {
    /// What a monotonic clock does while its machine is suspended.
    Monotonic, "monotonic clock" {
        /// It stands still.
        Stands = "stands",
        /// It runs on.
        Runs = "runs",
    }
}

impl Event {
    /// Its numbers.
    pub fn pins(&self) -> impl Iterator<Item = &Pin> {
        let (own, other) = match &self.what {
            Happening::Crash { for_ms, .. }
            | Happening::Wipe { for_ms, .. }
            | Happening::Suspend { for_ms, .. }
            | Happening::Loss { for_ms, .. }
            | Happening::Silence { for_ms, .. }
            | Happening::Censorship { for_ms, .. }
            | Happening::Down { for_ms, .. } => (Some(for_ms), None),
            Happening::Window { hours } => (Some(hours), None),
            Happening::Fork { back_ms } => (Some(back_ms), None),
            Happening::Drift { off_ms, .. } => (Some(off_ms), None),
            Happening::Clock { by_ms, .. } => (Some(by_ms), None),
            Happening::Glitch { by_ms, by_blocks, .. } => (Some(by_ms), by_blocks.as_ref()),
            Happening::LogsBehind { by_ms, for_ms, .. } => (Some(by_ms), Some(for_ms)),
            Happening::Order { max_rate, deposit, .. } => (max_rate.as_ref(), deposit.as_ref()),
            Happening::Cancel { .. }
            | Happening::Close { .. }
            | Happening::Claim { .. }
            | Happening::Withdraw { .. } => (None, None),
        };
        own.into_iter().chain(other).chain([&self.at_ms])
    }

    /// Its numbers, to be changed: at places that do not depend on which of them are there.
    pub(super) fn slots_mut(&mut self) -> [Option<&mut Pin>; 3] {
        let (own, other) = match &mut self.what {
            Happening::Crash { for_ms, .. }
            | Happening::Wipe { for_ms, .. }
            | Happening::Suspend { for_ms, .. }
            | Happening::Loss { for_ms, .. }
            | Happening::Silence { for_ms, .. }
            | Happening::Censorship { for_ms, .. }
            | Happening::Down { for_ms, .. } => (Some(for_ms), None),
            Happening::Window { hours } => (Some(hours), None),
            Happening::Fork { back_ms } => (Some(back_ms), None),
            Happening::Drift { off_ms, .. } => (Some(off_ms), None),
            Happening::Clock { by_ms, .. } => (Some(by_ms), None),
            Happening::Glitch { by_ms, by_blocks, .. } => (Some(by_ms), by_blocks.as_mut()),
            Happening::LogsBehind { by_ms, for_ms, .. } => (Some(by_ms), Some(for_ms)),
            Happening::Order { max_rate, deposit, .. } => (max_rate.as_mut(), deposit.as_mut()),
            Happening::Cancel { .. }
            | Happening::Close { .. }
            | Happening::Claim { .. }
            | Happening::Withdraw { .. } => (None, None),
        };
        [Some(&mut self.at_ms), own, other]
    }
}

/// The entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    at_ms: Pin,
    for_ms: Option<Pin>,
    by_ms: Option<Pin>,
    crash: Option<Placed>,
    wipe: Option<Placed>,
    suspend: Option<Placed>,
    monotonic: Option<Monotonic>,
    silence: Option<[Placed; 2]>,
    window_hours: Option<Pin>,
    clock_ahead: Option<Placed>,
    clock_behind: Option<Placed>,
    head_ahead: Option<Placed>,
    head_behind: Option<Placed>,
    by_blocks: Option<Pin>,
    logs_behind: Option<Placed>,
    censors: Option<Vec<Placed>>,
    loses: Option<Vec<Placed>>,
    down: Option<Service>,
    fork_ms: Option<Pin>,
    drift_ahead_ms: Option<Pin>,
    drift_behind_ms: Option<Pin>,
    order: Option<Placed>,
    from: Option<Vec<Placed>>,
    max_rate: Option<Pin>,
    deposit: Option<Pin>,
    cancel: Option<Placed>,
    close: Option<[Placed; 2]>,
    claim: Option<[Placed; 2]>,
    withdraw: Option<Placed>,
}

/// An entry that is no event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum NoEvent {
    NotOne,
    DoesNotLast,
    NoClock,
    NoOrder,
    NoSuspension,
    NoHead,
}

impl fmt::Display for NoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOne => {
                "an event needs exactly one of crash, wipe, suspend, silence, window_hours, clock_ahead, clock_behind, \
                 head_ahead, head_behind, logs_behind, censors, loses, down, fork_ms, drift_ahead_ms, drift_behind_ms, \
                 order, cancel, close, claim, withdraw"
            }
            Self::DoesNotLast => "for_ms belongs to crash, wipe, suspend, silence, logs_behind, censors, loses and down alone",
            Self::NoClock => "by_ms belongs to clock_ahead, clock_behind, head_ahead, head_behind and logs_behind alone",
            Self::NoOrder => "from, max_rate and deposit belong to order alone",
            Self::NoSuspension => "monotonic belongs to suspend alone",
            Self::NoHead => "by_blocks belongs to head_ahead alone",
        })
    }
}

impl TryFrom<Keys> for Event {
    type Error = NoEvent;

    fn try_from(keys: Keys) -> Result<Self, NoEvent> {
        let for_ms = || keys.for_ms.clone().unwrap_or_else(zero);
        let by_ms = || keys.by_ms.clone().unwrap_or_else(zero);
        let clock = |who, is_ahead| Happening::Clock { who, by_ms: by_ms(), is_ahead };
        let by_blocks = keys.by_blocks.clone();
        let glitch = |who, is_ahead| {
            let by_blocks = keys.by_blocks.clone();
            Happening::Glitch { who, by_ms: by_ms(), by_blocks, is_ahead }
        };
        let has_terms = keys.from.is_some() || keys.max_rate.is_some() || keys.deposit.is_some();
        let (from, max_rate, deposit) = (keys.from, keys.max_rate, keys.deposit);
        let monotonic = keys.monotonic;
        let order = |fetch| Happening::Order { fetch, from, max_rate, deposit };
        let mut said = [
            keys.crash.map(|who| Happening::Crash { who, for_ms: for_ms() }),
            keys.wipe.map(|who| Happening::Wipe { who, for_ms: for_ms() }),
            keys.suspend.map(|who| Happening::Suspend { who, for_ms: for_ms(), monotonic }),
            keys.silence.map(|[from, to]| Happening::Silence { from, to, for_ms: for_ms() }),
            keys.window_hours.map(|hours| Happening::Window { hours }),
            keys.clock_ahead.map(|who| clock(who, true)),
            keys.clock_behind.map(|who| clock(who, false)),
            keys.head_ahead.map(|who| glitch(who, true)),
            keys.head_behind.map(|who| glitch(who, false)),
            keys.logs_behind.map(|who| Happening::LogsBehind { who, by_ms: by_ms(), for_ms: for_ms() }),
            keys.censors.map(|whom| Happening::Censorship { whom, for_ms: for_ms() }),
            keys.loses.map(|whom| Happening::Loss { whom, for_ms: for_ms() }),
            keys.down.map(|what| Happening::Down { what, for_ms: for_ms() }),
            keys.fork_ms.map(|back_ms| Happening::Fork { back_ms }),
            keys.drift_ahead_ms.map(|off_ms| Happening::Drift { off_ms, is_ahead: true }),
            keys.drift_behind_ms.map(|off_ms| Happening::Drift { off_ms, is_ahead: false }),
            keys.order.map(order),
            keys.cancel.map(|fetch| Happening::Cancel { fetch }),
            keys.close.map(|[who, with]| Happening::Close { who, with }),
            keys.claim.map(|[who, with]| Happening::Claim { who, with }),
            keys.withdraw.map(|who| Happening::Withdraw { who }),
        ]
        .into_iter()
        .flatten();
        let (Some(what), None) = (said.next(), said.next()) else { return Err(NoEvent::NotOne) };
        let (lasts, jumps) = match &what {
            Happening::Clock { .. } | Happening::Glitch { .. } => (false, true),
            Happening::LogsBehind { .. } => (true, true),
            Happening::Window { .. }
            | Happening::Fork { .. }
            | Happening::Drift { .. }
            | Happening::Order { .. }
            | Happening::Cancel { .. }
            | Happening::Close { .. }
            | Happening::Claim { .. }
            | Happening::Withdraw { .. } => (false, false),
            _ => (true, false),
        };
        if keys.for_ms.is_some() && !lasts {
            return Err(NoEvent::DoesNotLast);
        }
        if keys.by_ms.is_some() && !jumps {
            return Err(NoEvent::NoClock);
        }
        if by_blocks.is_some() && !matches!(what, Happening::Glitch { is_ahead: true, .. }) {
            return Err(NoEvent::NoHead);
        }
        if monotonic.is_some() && !matches!(what, Happening::Suspend { .. }) {
            return Err(NoEvent::NoSuspension);
        }
        if has_terms && !matches!(what, Happening::Order { .. }) {
            return Err(NoEvent::NoOrder);
        }
        Ok(Self { at_ms: keys.at_ms, what })
    }
}
