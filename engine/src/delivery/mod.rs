//! Paid delivery (section 4): the node's side sells, the client's side buys, and both count with one [`Meter`].

mod meter;
mod tail;
mod window;

pub use meter::Meter;
pub use tail::Tail;
pub use window::Window;
