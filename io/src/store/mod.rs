//! What survives a crash: records, blobs, and the directory that they are in.

mod blobs;
mod dir;
mod records;

pub use blobs::{Blob, BlobStore, Download};
pub use dir::{DirError, StateDir, VERSION};
pub use records::Records;
