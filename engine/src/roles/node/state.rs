//! What a node asks its signer for, and what of its machines is hashed in one.

use crate::{
    ids::StreamId,
    machine::{earnings::Earnings, follower::Follower},
    money::{Amount, Rate},
    state::{Canon, Canonical, Slot},
};

/// What a signature was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Signing {
    Response(StreamId),
    Consent { channel: Slot, stream: StreamId },
    Probe { stream: StreamId, rate: Rate, total_bytes: Option<u64>, least_deposit: Amount },
}

/// What the chain's view and what is kept of channels have in common: neither has an entry for each channel.
impl Canon for (&Follower, &Earnings) {
    fn canon(&self, out: &mut Canonical) {
        let (follower, earnings) = self;
        follower.canon(out);
        earnings.aside.canon(out);
        earnings.claims.canon(out);
        earnings.forgone.canon(out);
    }
}
