//! What the roles keep their state in: slabs, maps by id, deadlines, tables that know what was touched, and the running digest.

mod alarm;
mod bucket;
mod idmap;
mod invariant;
mod slab;
mod tally;
mod tracked;

pub use alarm::{ALARMS_SPARE, Alarms};
pub use bucket::Bucket;
pub use idmap::IdMap;
pub(crate) use invariant::holds;
pub use invariant::{Broken, Checked, Invariant};
pub use slab::{Slab, Slot};
pub use tally::{Canon, Canonical, Digest, Mark, Sum, Tally};
pub use tracked::{TrackedMap, TrackedSlab};

#[cfg(test)]
pub(crate) use invariant::{Case, each_fails};
