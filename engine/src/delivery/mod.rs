//! Paid delivery (section 4): the node's side sells, the client's side buys, and both count with one [`Meter`].

mod meter;
mod tail;

pub use meter::Meter;
pub use tail::Tail;
