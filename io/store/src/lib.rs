//! A role's durable records, in redb.
//!
//! What is acknowledged rests on them (V3), so a file that was damaged must be refused, never read as something else:
//! an old record is a voucher that is signed twice, or one that is lost. redb alone doesn't give that. It believes a
//! file that was closed well without a look at its checksums (and panics on some that were damaged then), and after a
//! crash a damaged commit looks to it like one that was not finished, so that it goes back to the one before. Hence:
//!
//! - no file is believed to have been closed well: redb checks every page when it opens one (`doubted.rs`);
//! - each commit carries its number and a sum over all records, which opening and loading compare (`seal.rs`);
//! - a second file knows the number of the last commit, so that an older database is told from the newest (`mark.rs`).
//!
//! [`Disk`] is a disk in memory whose writes and syncs fail on request and whose power can be cut; [`ordeal`] are the
//! questions that bytes can ask of all this.

#![warn(missing_docs)]

mod db;
mod disk;
mod doubted;
mod error;
mod mark;
pub mod ordeal;
mod seal;

pub use db::{Age, RecordDb};
pub use disk::{Disk, DiskFile, Op};
pub use error::StoreError;
