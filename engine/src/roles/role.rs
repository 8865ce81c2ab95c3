//! What all roles have in common.

use crate::{
    crypto::Crypto,
    io::{Input, Outputs},
    state::{Broken, Digest},
    time::{Now, Time},
};

/// Why a role wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Reason {
    /// A peer has been silent for too long (D10).
    Silence,
    /// Nothing has arrived for two round trips: sign for what is verified (D8).
    Quiet,
    /// A voucher has no ack yet (V3).
    Resend,
    /// Try again after a back-off.
    Retry,
    /// Read the chain (X1).
    Poll,
    /// Take the forced-inclusion path (X2).
    Force,
    /// The dispute window ends: settle.
    Settle,
    /// A cooperative close got no consent.
    Consent,
    /// An opening is in no block yet.
    Inclusion,
    /// The owner has not answered (D16).
    Agreement,
}

/// What all roles have in common: what a driver needs to run one.
pub trait Role {
    /// Takes one input; everything that follows is appended to `out`. Runs to completion.
    fn step<C: Crypto>(&mut self, now: Now, input: Input, crypto: &C, out: &mut Outputs);

    /// When `Input::Tick` is due, and why; O(1).
    fn next_deadline(&self) -> Option<(Time, Reason)>;

    /// The fingerprint of the state; O(changes since the last call).
    fn digest(&mut self) -> Digest;

    /// Whether the state is one that the rules allow, looked at as a whole: O(state), so for whoever tests a role. It holds
    /// after each step, whatever the role was told.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    fn check(&self) -> Result<(), Broken>;
}
