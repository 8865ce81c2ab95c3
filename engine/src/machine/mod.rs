//! What roles are made of: machines with their own state, alarms and share of the digest.
//!
//! A machine gets what it needs from outside as a value: the tools of a step ([`Cx`]), its configuration, what it has to know
//! of another machine's state. It calls no sibling and knows no role. What follows elsewhere it answers, with an enum of its own, and the
//! role acts on it: a role is the only place where machines meet.

pub mod closings;
pub mod earnings;
pub mod fetcher;
pub mod follower;
pub mod identity;
pub mod inbound;
pub mod links;
pub mod opener;
pub mod orders;
pub mod prober;
pub mod quotes;
pub mod sending;
pub mod wallet;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{
    crypto::Typed,
    ids::{ConnId, FetchId, SignTicket, TxTicket},
    io::{Effect, Lane, Outputs},
    record::{PersistSeq, Record},
    state::{Alarms, Slot},
    time::{Now, Span},
};

/// How long a client waits for what (D8, D10, V3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// For the first group (D10).
    pub first_chunk: Span,
    /// For the next group (D10).
    pub silence: Span,
    /// For a voucher's ack, until it is sent again (V3).
    pub ack: Span,
    /// For a consent to a cooperative close.
    pub consent: Span,
    /// For each transaction of an opening to be in a block.
    pub inclusion: Span,
    /// Shortest quiet time after which everything verified is signed for (D8); else two round trips.
    pub quiet_min: Span,
    /// The first back-off after an unsigned refusal; doubles up to 32 times of it (D11).
    pub backoff: Span,
    /// For the owner's yes to a price and a deposit (D16).
    #[serde(default = "agreement")]
    pub agreement: Span,
}

/// Older recordings don't say it.
const fn agreement() -> Span {
    Span::from_secs(300)
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            first_chunk: Span::from_secs(10),
            silence: Span::from_secs(10),
            ack: Span::from_secs(2),
            consent: Span::from_secs(10),
            inclusion: Span::from_secs(120),
            quiet_min: Span::from_millis(50),
            backoff: Span::from_millis(250),
            agreement: agreement(),
        }
    }
}

/// What an alarm is about. One heap serves all machines of a role.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AlarmKey {
    /// Read the chain.
    Poll,
    /// The opening under way takes too long (O10).
    Opening,
    /// A download waits, for this long at most.
    Fetch(FetchId),
    /// Nothing has arrived for two round trips (D8).
    Quiet(Slot),
    /// The newest voucher has no ack yet (V3).
    Resend(Slot),
    /// The consent is late.
    Consent(Slot),
    /// Ask for the consent again.
    Ask(Slot),
    /// Dispute once more by the sequencer (X2).
    Dispute(Slot),
    /// Take the forced path, or force (X2).
    Force(Slot),
    /// The dispute window is over: settle.
    Settle(Slot),
}

impl AlarmKey {
    /// All that a paying channel may set.
    pub fn of_channel(slot: Slot) -> [Self; 7] {
        [
            Self::Quiet(slot),
            Self::Resend(slot),
            Self::Consent(slot),
            Self::Ask(slot),
            Self::Dispute(slot),
            Self::Force(slot),
            Self::Settle(slot),
        ]
    }
}

/// What every step of a role needs, whichever machine takes it: its alarms, and the next number of whatever it numbers.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    /// See [`AlarmKey`].
    pub alarms: Alarms<AlarmKey>,
    next_conn: u64,
    next_persist: PersistSeq,
    next_ticket: u64,
}

impl Tools {
    /// The number of a connection that is dialled.
    pub fn conn(&mut self) -> ConnId {
        let conn = ConnId(self.next_conn);
        self.next_conn += 1;
        conn
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// The number of a transaction.
    pub fn tx_ticket(&mut self) -> TxTicket {
        TxTicket(self.ticket())
    }

    /// Whether this connection was dialled by this role.
    pub fn has_dialled(&self, conn: ConnId) -> bool {
        conn.0 < self.next_conn
    }

    /// Whether this number was given to a signature or a transaction.
    pub fn has_given(&self, ticket: u64) -> bool {
        ticket <= self.next_ticket
    }

    /// Whether this write set was asked for.
    pub fn has_written(&self, seq: PersistSeq) -> bool {
        seq < self.next_persist
    }

    /// Stores a write set before anything later in this lane.
    pub fn persist(&mut self, lane: Lane, writes: Vec<Record>, out: &mut Outputs) -> PersistSeq {
        let seq = self.next_persist;
        self.next_persist = PersistSeq(seq.0 + 1);
        out.push(lane, Effect::Persist { seq, writes });
        seq
    }

    /// Asks for a signature.
    pub fn sign(&mut self, lane: Lane, what: Typed, out: &mut Outputs) -> SignTicket {
        let ticket = SignTicket(self.ticket());
        out.push(lane, Effect::Sign { ticket, what });
        ticket
    }
}

/// What a machine takes a step with.
#[derive(Debug)]
pub struct Cx<'a> {
    /// When it is.
    pub now: Now,
    /// See [`Tools`].
    pub tools: &'a mut Tools,
    /// Where effects go.
    pub out: &'a mut Outputs,
}
